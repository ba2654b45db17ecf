//! A real video: ffmpeg encodes H.264 into RTP in one namespace, a receiver in another counts what arrives.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;

use super::ledger::Ledger;
use crate::netns::NetNs;

/// Key frames come as bursts that the default buffer would not hold.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Counts the RTP packets that reach a port of a namespace.
pub struct Receiver {
    pub address: SocketAddr,
    pub ledger: Ledger,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start(namespace: &NetNs, ip: &str) -> Result<Self> {
        let socket = namespace.enter(|| roomy_socket(ip))?;
        let address = socket.local_addr()?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (ledger, stop) = (Ledger::default(), Arc::new(AtomicBool::new(false)));
        let (counts, ends) = (ledger.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !ends.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut buffer)
                    && let Some(sequence) = rtp_sequence(&buffer[..length])
                {
                    let mut stream = counts.lock();
                    let sequence = stream.unwrap(sequence);
                    stream.arrived(sequence, length);
                }
            }
        });
        Ok(Self {
            address,
            ledger,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What ffmpeg encodes, in real time: a test picture of `size` at 30 a second, a key frame every `key_frames` of them.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    pub size: &'static str,
    pub bits: &'static str,
    pub key_frames: u32,
}

pub const LARGE: Picture = Picture {
    size: "960x540",
    bits: "3M",
    key_frames: 60,
};

/// ffmpeg, sending until it is told to stop.
pub struct Sender {
    child: Child,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Sender {
    /// RTP only, from sequence number 0.
    pub fn start(namespace: &NetNs, to: SocketAddr, picture: &Picture) -> Result<Self> {
        let Picture {
            size,
            bits,
            key_frames,
        } = picture;
        let directory = crate::scratch::folder("video")?;
        let log = directory.path().join("ffmpeg.log");
        let mut command: Command = namespace.command("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-re"]);
        let source = format!("testsrc2=size={size}:rate=30");
        command.args(["-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p", "-an"]);
        command.args(["-c:v", "libx264", "-preset", "ultrafast"]);
        command.args(["-tune", "zerolatency", "-g", &key_frames.to_string()]);
        command.args(["-b:v", bits, "-minrate", bits, "-maxrate", bits]);
        command.args(["-bufsize", "600k", "-x264-params", "nal-hrd=cbr"]);
        command.args(["-f", "rtp", "-seq", "0", "-rtpflags", "skip_rtcp"]);
        command.arg(format!("rtp://{to}?pkt_size=1200"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = command.spawn().context("start ffmpeg")?;
        Ok(Self {
            child,
            log,
            _directory: directory,
        })
    }

    /// An error if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!(
                "ffmpeg ended ({status}): {}",
                std::fs::read_to_string(&self.log)?
            ),
            None => Ok(()),
        }
    }

    /// Lets it send what it has, then waits for its end.
    pub fn stop(&mut self) -> Result<()> {
        self.check()?;
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        crate::eventually::within(Duration::from_secs(10), "ffmpeg ends", || {
            self.child.try_wait().ok().flatten()
        })?;
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Datagrams that sockets of `namespace` sent since it exists.
pub fn datagrams_sent(namespace: &NetNs) -> Result<u64> {
    let v4 = column(&namespace.run("cat", &["/proc/net/snmp"])?)?;
    let v6 = namespace.run("cat", &["/proc/net/snmp6"])?;
    let v6 = v6
        .lines()
        .find_map(|line| line.strip_prefix("Udp6OutDatagrams"))
        .context("Udp6OutDatagrams")?;
    Ok(v4 + v6.trim().parse::<u64>()?)
}

/// `OutDatagrams` of the `Udp:` pair of lines.
fn column(snmp: &str) -> Result<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (
        lines.next().context("Udp: names")?,
        lines.next().context("Udp: values")?,
    );
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = columns
        .find(|(name, _)| *name == "OutDatagrams")
        .context("OutDatagrams")?;
    Ok(value.parse()?)
}

/// A socket on a free port whose buffer holds a key frame and more.
pub(super) fn roomy_socket(ip: &str) -> Result<UdpSocket> {
    let ip: std::net::IpAddr = ip.parse()?;
    let socket = UdpSocket::bind((ip, 0)).with_context(|| format!("bind {ip}"))?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .context("enlarge the receive buffer")?;
    Ok(socket)
}

/// `None`: not RTP.
pub(super) fn rtp_sequence(packet: &[u8]) -> Option<u16> {
    let version_2 = packet.first()? >> 6 == 2;
    (version_2 && packet.len() >= 12).then(|| u16::from_be_bytes([packet[2], packet[3]]))
}
