//! Two network namespaces joined by a veth pair, each owned by a thread; both end with their threads.

use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

/// A thread in a namespace of its own that runs what it is given.
pub struct Host {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    pub tid: i32,
}

type Work = Box<dyn FnOnce() + Send>;

impl Host {
    fn new() -> Self {
        let (work, orders): (Sender<Work>, Receiver<Work>) = channel();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
            ready.send(nix::unistd::gettid().as_raw()).unwrap();
            for order in orders {
                order();
            }
        });
        Self {
            work: Some(work),
            thread: Some(thread),
            tid: is_ready.recv().unwrap(),
        }
    }

    /// Runs `work` in the namespace and waits for it.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, result) = channel();
        let order = move || {
            let _ = answer.send(work());
        };
        self.work.as_ref().unwrap().send(Box::new(order)).unwrap();
        result.recv().expect("the work panicked")
    }

    /// Runs commands, one a line.
    pub fn shell(&self, script: &str) {
        let script = script.to_owned();
        self.run(move || {
            for line in script
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
            {
                let words: Vec<_> = line.split_whitespace().collect();
                let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{line}: {error}");
            }
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.work.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().expect("the namespace's thread panicked");
        }
    }
}

/// `relay` has 10.77.0.1 and fd77::1 on `card0`, `outside` 10.77.0.2 and .3, fd77::2 on `card1`. `None`: not root.
pub fn pair() -> Option<(Host, Host)> {
    if !nix::unistd::geteuid().is_root() {
        let required = std::env::var("RELAY_REQUIRE_PRIVILEGED").is_ok();
        assert!(!required, "may not be skipped here: needs root");
        eprintln!("skipped: needs root");
        return None;
    }
    let (relay, outside) = (Host::new(), Host::new());
    relay.shell(&format!(
        "ip link set lo up
         ip link add card0 type veth peer name card1
         ip link set card1 netns {}
         ethtool -K card0 tx off
         ip addr add 10.77.0.1/24 dev card0
         ip addr add fd77::1/64 dev card0 nodad
         ip link set card0 up",
        outside.tid
    ));
    outside.shell(
        "ip link set lo up
         ethtool -K card1 tx off
         ip addr add 10.77.0.2/24 dev card1
         ip addr add 10.77.0.3/24 dev card1
         ip addr add fd77::2/64 dev card1 nodad
         ip link set card1 up",
    );
    Some((relay, outside))
}

/// Waits until `probe` gives something.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
