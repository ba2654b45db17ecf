//! `relay reload` while clients are served: what it says has changed has changed for the next of them, and nobody is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;
use relay_tests::client::{Refused, TurnClient};
use relay_tests::eventually::eventually;
use relay_tests::home::Home;
use relay_tests::mobile::{MobileClient, Path, present};
use relay_tests::netns::NetNs;
use relay_tests::privileged;
use relay_tests::relay::Relay;
use relay_tests::scene::Scene;
use relay_tests::topology::{CLIENT_V4, EDGE_V4, SERVER_V4};
use relay_userspace::api::Reloaded;

const RELAY: &str = "127.0.0.1:3478";
const ELSEWHERE: &str = "192.0.2.7:3478";
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay with HTTP on its TCP listener, and where its configuration is.
struct Site {
    namespace: NetNs,
    relay: Relay,
    config: PathBuf,
}

fn config(route: &str, lines: u32) -> String {
    format!(
        "[listen]\nudp = [\"{RELAY}\"]\ntcp = [\"{RELAY}\"]\ntls = []\n\
         [signaling]\nallow_plain = true\naccess_log_per_second = {lines}\n{route}"
    )
}

fn route(origin: SocketAddr) -> String {
    format!("[[signaling.route]]\norigins = [\"http://{origin}\"]\n")
}

impl Site {
    /// `None`, with the reason said: not root. With two origins that say who they are.
    fn open() -> Option<(Site, [SocketAddr; 2])> {
        if !privileged::is_root() {
            return None;
        }
        let namespace = NetNs::new("reload").unwrap();
        let origins = ["old", "new"].map(|name| origin(&namespace, name));
        let home = Arc::new(Home::new().unwrap());
        let file = home.path().join("relay.toml");
        std::fs::write(&file, config(&route(origins[0]), 0)).unwrap();
        let arguments = ["--config", file.to_str().unwrap()];
        let relay = Relay::start_at(home, &namespace, &arguments).unwrap();
        let site = Site {
            namespace,
            relay,
            config: file,
        };
        Some((site, origins))
    }

    fn reload(&self, text: &str) -> Reloaded {
        std::fs::write(&self.config, text).unwrap();
        let done = self.relay.cli(&["reload", "--json"]).unwrap();
        serde_json::from_str(&done).unwrap()
    }

    fn connect(&self) -> Browser {
        let connect = || Ok(TcpStream::connect(RELAY)?);
        let stream = self.namespace.enter(connect).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Browser(BufReader::new(stream))
    }
}

/// Answers every request with its name.
fn origin(namespace: &NetNs, name: &'static str) -> SocketAddr {
    let bind = || Ok(TcpListener::bind("127.0.0.1:0")?);
    let listener = namespace.enter(bind).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(connection, name));
        }
    });
    address
}

fn answer(connection: TcpStream, name: &str) -> Option<()> {
    let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
    loop {
        while !lines.next()?.ok()?.is_empty() {}
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{name}");
        (&connection).write_all(text.as_bytes()).ok()?;
    }
}

/// One connection that is kept.
struct Browser(BufReader<TcpStream>);

impl Browser {
    /// Status and body.
    fn get(&mut self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: relay.test\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "closed: {head:?}");
            match line.trim_end() {
                "" => break,
                text => head.push(text.to_ascii_lowercase()),
            }
        }
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .iter()
            .find_map(|one| one.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}

/// Asks again and again over one connection until it is told to stop.
struct Visitor {
    answers: Arc<Mutex<Vec<(u16, String)>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Visitor {
    fn of(site: &Site) -> Visitor {
        let answers = Arc::<Mutex<Vec<_>>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let mut browser = site.connect();
        let (heard, ends) = (Arc::clone(&answers), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !ends.load(Relaxed) {
                let answer = browser.get("/visited");
                heard.lock().unwrap().push(answer);
            }
        });
        Visitor {
            answers,
            stop,
            thread,
        }
    }

    fn hears(&self, name: &str) -> bool {
        let answers = self.answers.lock().unwrap();
        answers.last().is_some_and(|(_, body)| body == name)
    }

    fn leave(self) -> Vec<(u16, String)> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("every request is answered");
        Arc::into_inner(self.answers).unwrap().into_inner().unwrap()
    }
}

#[test]
fn a_route_leads_elsewhere_after_a_reload_and_no_request_is_dropped() {
    let Some((site, [old, new])) = Site::open() else {
        return;
    };
    let visitors: Vec<_> = (0..4).map(|_| Visitor::of(&site)).collect();
    let all_hear = |name: &str| visitors.iter().all(|one| one.hears(name));
    eventually("the old origin answers", || all_hear("old")).unwrap();
    for _ in 0..5 {
        site.reload(&config(&route(new), 0));
        assert_eq!(site.connect().get("/"), (200, "new".to_owned()));
        site.reload(&config(&route(old), 0));
        assert_eq!(site.connect().get("/"), (200, "old".to_owned()));
    }
    let done = site.reload(&config(&route(new), 0));
    assert_eq!(done.applied, ["signaling.route"]);
    assert!(done.needs_restart.is_empty(), "{:?}", done.needs_restart);
    eventually("the new origin answers", || all_hear("new")).unwrap();
    for visitor in visitors {
        let answers = visitor.leave();
        let good =
            |(status, body): &(u16, String)| *status == 200 && ["old", "new"].contains(&&**body);
        assert!(answers.iter().all(good), "{answers:?}");
        assert_eq!(answers.last().unwrap().1, "new");
    }
}

#[test]
fn a_route_that_is_gone_is_refused_on_connections_that_stay() {
    let Some((site, [old, _])) = Site::open() else {
        return;
    };
    let mut browser = site.connect();
    assert_eq!(browser.get("/").0, 200);
    site.reload(&config("", 0));
    let (status, body) = browser.get("/");
    assert!(
        status == 404 && body.contains("\"error\""),
        "{status} {body}"
    );
    site.reload(&config(&route(old), 0));
    assert_eq!(browser.get("/").0, 200);
}

#[test]
fn the_access_log_begins_and_ends_with_a_reload() {
    let Some((site, [old, _])) = Site::open() else {
        return;
    };
    let mut browser = site.connect();
    browser.get("/before");
    for (lines, path) in [(50, "/logged"), (0, "/silent"), (50, "/last")] {
        let done = site.reload(&config(&route(old), lines));
        assert_eq!(done.applied, ["signaling.access_log_per_second"]);
        assert_eq!(browser.get(path).0, 200);
    }
    eventually("what was asked last is logged", || {
        site.relay.log().contains("/last")
    })
    .unwrap();
    let log = site.relay.log();
    assert!(log.contains("/logged"), "{log}");
    assert!(
        !log.contains("/before") && !log.contains("/silent"),
        "{log}"
    );
}

#[test]
fn where_clients_are_sent_and_how_long_a_stop_waits_change_with_a_reload() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[drain]\non_stop = \"0s\"\n").unwrap();
    let config = ["--config", file.path().to_str().unwrap()];
    let Some(mut scene) = Scene::with("off", &config) else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let text = format!(
        "[drain]\non_stop = \"10m\"\n[turn]\nmobility = false\nalternate_servers = [\"{ELSEWHERE}\"]\n\
         behavior_discovery = [\"192.0.2.1:3478\", \"192.0.2.2:3479\"]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    let done = scene.relay.cli(&["reload", "--json"]).unwrap();
    let done: Reloaded = serde_json::from_str(&done).unwrap();
    let applied = ["drain.on_stop", "turn.alternate_servers", "turn.mobility"];
    assert_eq!(done.applied, applied);
    assert_eq!(done.needs_restart, ["turn.behavior_discovery"]);

    scene.relay.signal(Signal::SIGTERM).unwrap();
    let drains = || scene.relay.status().unwrap().draining.is_some();
    eventually("it drains", drains).unwrap();
    let bind = || Ok(UdpSocket::bind((CLIENT_V4, 0))?);
    let socket = scene.topology.client.enter(bind).unwrap();
    let server = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
    let late = TurnClient::allocate(socket, server, "user", "password");
    let refused: Refused = late.err().expect("refused").downcast().unwrap();
    let elsewhere: SocketAddr = ELSEWHERE.parse().unwrap();
    assert_eq!((refused.code, refused.alternates), (300, vec![elsewhere]));
    call.exchange(20);
    assert_eq!(scene.relay.stop().unwrap(), 0);
}

#[test]
fn tickets_are_neither_given_nor_taken_after_a_reload_that_forbids_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = ["--config", file.path().to_str().unwrap()];
    let Some(scene) = Scene::with("off", &config) else {
        return;
    };
    let server = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
    let path = || Path::udp(&scene.topology.client, CLIENT_V4.parse().unwrap(), server).unwrap();
    let allocate = || MobileClient::allocate(path(), "user", "password");
    let allow = |mobility: bool| {
        std::fs::write(file.path(), format!("[turn]\nmobility = {mobility}\n")).unwrap();
        scene.relay.cli(&["reload"]).unwrap();
    };
    let client = allocate().unwrap();
    let come_over = || present(path(), "user", "password", &client.ticket);
    allow(false);
    for refused in [allocate().err(), come_over().err()] {
        let refused: Refused = refused.expect("refused").downcast().unwrap();
        assert_eq!(refused.code, 405);
    }
    // Who wants no ticket is served.
    scene.call(CLIENT_V4, EDGE_V4, SERVER_V4).exchange(20);
    allow(true);
    allocate().unwrap();
    come_over().unwrap();
}
