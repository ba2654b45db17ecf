//! An application at one end of a call: one RTP socket, as symmetric RTP has it, between a camera and a screen.
//!
//! Passes packets on as they are and keeps count of them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::screen::{self, Screen};
use super::track::Track;
use crate::lab::video::{Picture, Sender, roomy_socket};
use crate::netns::NetNs;

const PICTURE: Picture = Picture {
    size: "640x360",
    bits: "1M",
    key_frames: 30,
};
const LOOPBACK: &str = "127.0.0.1";
/// How soon its threads notice its end.
const PATIENCE: Duration = Duration::from_millis(50);

/// Hangs up when dropped.
pub struct Phone {
    pub address: SocketAddr,
    camera: Option<Sender>,
    screen: Screen,
    /// Where the camera sends to.
    lens: SocketAddr,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What a phone says and hears.
pub struct Tracks {
    pub said: Track,
    pub heard: Track,
}

impl Phone {
    /// At `ip`, camera off. It sends to `other`, or to whoever called last.
    pub fn start(
        namespace: &NetNs,
        ip: &str,
        other: Option<SocketAddr>,
        tracks: Tracks,
    ) -> Result<Self> {
        let screen = Screen::start(namespace)?;
        let line = namespace.enter(|| roomy_socket(ip))?;
        let inside = namespace.enter(|| roomy_socket(LOOPBACK))?;
        for socket in [&line, &inside] {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        let (address, lens) = (line.local_addr()?, inside.local_addr()?);
        let over = Arc::new(AtomicBool::new(false));
        let other = Arc::new(Mutex::new(other));
        let wires = Wires {
            line,
            inside,
            other,
            over: Arc::clone(&over),
        };
        let back = wires.try_clone()?;
        let threads = vec![
            std::thread::spawn(move || wires.speak(&tracks.said)),
            std::thread::spawn(move || back.listen(&tracks.heard)),
        ];
        Ok(Self {
            address,
            camera: None,
            screen,
            lens,
            over,
            threads,
        })
    }

    /// From sequence number 0.
    pub fn camera_on(&mut self, namespace: &NetNs) -> Result<()> {
        self.camera = Some(Sender::start(namespace, self.lens, &PICTURE)?);
        Ok(())
    }

    pub fn has_camera_on(&self) -> bool {
        self.camera.is_some()
    }

    /// Returns when it has sent its last packet.
    pub fn camera_off(&mut self) -> Result<()> {
        match self.camera.take() {
            Some(mut camera) => camera.stop(),
            None => Ok(()),
        }
    }

    /// Decoded so far.
    pub fn pictures(&self) -> u64 {
        self.screen.pictures()
    }

    /// An error if a part of it gave up.
    pub fn check(&mut self) -> Result<()> {
        self.screen.check()?;
        self.camera.as_mut().map_or(Ok(()), Sender::check)
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Wires {
    line: UdpSocket,
    inside: UdpSocket,
    other: Arc<Mutex<Option<SocketAddr>>>,
    over: Arc<AtomicBool>,
}

impl Wires {
    fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            line: self.line.try_clone()?,
            inside: self.inside.try_clone()?,
            other: Arc::clone(&self.other),
            over: Arc::clone(&self.over),
        })
    }

    /// Camera to line. What the system does not take counts as sent, and is missing.
    fn speak(&self, said: &Track) {
        self.carry(&self.inside, |packet, _| {
            let other = *self.other.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(other) = other {
                said.leaves(packet);
                let _ = self.line.send_to(packet, other);
            }
        });
    }

    /// Line to screen.
    fn listen(&self, heard: &Track) {
        let screen = (Ipv4Addr::LOCALHOST, screen::PORT);
        self.carry(&self.line, |packet, from| {
            *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            heard.arrives(packet, Instant::now());
            let _ = self.inside.send_to(packet, screen);
        });
    }

    fn carry(&self, from: &UdpSocket, mut each: impl FnMut(&[u8], SocketAddr)) {
        let mut buffer = [0; 2048];
        while !self.over.load(Relaxed) {
            if let Ok((length, sender)) = from.recv_from(&mut buffer) {
                each(&buffer[..length], sender);
            }
        }
    }
}
