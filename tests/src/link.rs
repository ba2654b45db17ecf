//! A link with a rate, a delay and a queue between two namespaces, for kernels without netem. A namespace between them
//! has a card of each; frames go from one to the other through the queues here.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::Socket;

use crate::netns::NetNs;
use crate::wire::tapping_socket;

/// What is the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub delay: Duration,
    /// Bytes that wait for their turn; more are lost.
    pub queue: usize,
}

/// Dropping it ends the link.
pub struct Link {
    over: Arc<AtomicBool>,
    /// Bits per second towards the far end.
    rate: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    _between: NetNs,
}

const NEAR: &str = "near";
const FAR: &str = "far";
const UNLIMITED: u64 = u64::MAX;
const TICK: Duration = Duration::from_micros(300);

/// An end of the link: a namespace, the name its card gets, and its address.
pub type End<'n> = (&'n NetNs, &'n str, &'n str);

impl Link {
    /// From `near` to `far`, without a limit yet.
    pub fn new(near: End<'_>, far: End<'_>, shape: Shape) -> Result<Link> {
        let between = NetNs::new("link")?;
        for (name, (namespace, card, address)) in [(NEAR, near), (FAR, far)] {
            let kind = ["type", "veth", "peer", "name", card, "netns"];
            let add = [&["link", "add", name][..], &kind, &[namespace.name()]].concat();
            between.ip(&add)?;
            let silence = format!("echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            between.run("sh", &["-c", &silence])?;
            between.ip(&["link", "set", name, "promisc", "on", "arp", "off", "up"])?;
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", card])?;
            namespace.ip(&["link", "set", card, "up"])?;
            // Whole frames with whole checksums, as on a wire.
            let plain = ["-K", card, "tx", "off", "tso", "off", "gso", "off"];
            namespace.run("ethtool", &plain)?;
        }
        let (over, rate) = (Arc::default(), Arc::new(AtomicU64::new(UNLIMITED)));
        let socket = |card| between.enter(|| tapping_socket(card));
        let (near, far) = (socket(NEAR)?, socket(FAR)?);
        let back = Way {
            from: far.try_clone()?,
            to: near.try_clone()?,
            shape,
            rate: Arc::new(AtomicU64::new(UNLIMITED)),
            over: Arc::clone(&over),
        };
        let forth = Way {
            from: near,
            to: far,
            shape,
            rate: Arc::clone(&rate),
            over: Arc::clone(&over),
        };
        let threads = [forth, back].map(|way| std::thread::spawn(move || way.run()));
        Ok(Link {
            over,
            rate,
            threads: threads.into(),
            _between: between,
        })
    }

    /// Towards the far end, for what waits already as well; `None`: as fast as it goes.
    pub fn limit(&self, bits_per_second: Option<u64>) {
        self.rate
            .store(bits_per_second.unwrap_or(UNLIMITED), Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One direction.
struct Way {
    from: Socket,
    to: Socket,
    shape: Shape,
    rate: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Way {
    fn run(mut self) {
        let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
        let mut travelling: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let (mut bytes, mut free) = (0, Instant::now());
        let mut buffer = vec![0; 4096];
        while !self.over.load(Relaxed) {
            let idle = waiting.is_empty();
            while let Some(length) = self.take(&mut buffer) {
                if bytes + length <= self.shape.queue {
                    bytes += length;
                    waiting.push_back(buffer[..length].to_vec());
                }
            }
            let now = Instant::now();
            if idle {
                free = free.max(now);
            }
            while free <= now
                && let Some(frame) = waiting.pop_front()
            {
                bytes -= frame.len();
                let bits = frame.len() as f64 * 8.0;
                free += Duration::from_secs_f64(bits / self.rate.load(Relaxed) as f64);
                travelling.push_back((free + self.shape.delay, frame));
            }
            while let Some((_, frame)) = travelling.pop_front_if(|(due, _)| *due <= now) {
                // What the card does not take is lost, as on any wire.
                let _ = self.to.write(&frame);
            }
            std::thread::sleep(TICK);
        }
    }

    fn take(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.from.read(buffer).ok()
    }
}
