//! A video and a call to a TLS client whose link becomes slow for a while: how old what arrives is.
//!
//! The client is behind a `Link` with a delay and a long queue, as of a home's router; the peer is beside the server. What
//! was sent when is in each packet: one clock.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::super::pair::Pair;
use super::super::veth::OUTER;
use super::super::veth::subject::CHANNEL;
use super::server::{SUBJECTS, Server};
use crate::client::stream::StreamClient;
use crate::link::{Link, Shape};
use crate::netns::NetNs;

/// How long each phase is, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub before: Duration,
    pub slow: Duration,
    pub after: Duration,
    pub video_bits: u64,
    pub slow_bits: u64,
}

/// As the issue of every relay over TCP is described: a quarter of what the video needs.
pub const PLAN: Plan = Plan {
    before: Duration::from_secs(2),
    slow: Duration::from_secs(10),
    after: Duration::from_secs(4),
    video_bits: 4_000_000,
    slow_bits: 1_000_000,
};

/// Of the client's link. Two seconds' worth when it is slow.
const SHAPE: Shape = Shape {
    delay: Duration::from_millis(10),
    queue: 256 << 10,
};

pub const ROUND_TRIP: Duration = SHAPE.delay.saturating_mul(2);

/// How far above the usual an age may be and count as usual.
const USUAL: Duration = Duration::from_millis(30);

/// One server, with one congestion control.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub subject: &'static str,
    pub congestion: String,
    pub round_trip_ms: f64,
    pub video: Kind,
    pub audio: Kind,
    /// From the link's recovery until the last packet that was older than usual.
    pub recovered_after_ms: f64,
}

/// Ages are of what arrived, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Kind {
    pub before: Ages,
    pub slow: Ages,
    pub after: Ages,
}

/// Of packets that arrived in one phase.
#[derive(Debug, Clone, Serialize)]
pub struct Ages {
    pub sent: usize,
    pub arrived: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Longest time without one.
    pub gap_ms: f64,
}

const VIDEO: usize = 1200;
const AUDIO: usize = 160;
const AUDIO_EVERY: Duration = Duration::from_millis(20);
const CLIENT: &str = "10.73.0.2";
const CLIENTS_GATEWAY: &str = "10.73.0.1";

/// Offsets from the beginning.
#[derive(Debug, Clone, Copy)]
struct Packet {
    length: usize,
    sent: Duration,
    arrived: Option<Duration>,
}

pub fn run(congestion: &[String]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for congestion in congestion {
        for subject in SUBJECTS {
            let row = measure(subject, congestion, PLAN)
                .with_context(|| format!("{subject} with {congestion}"))?;
            eprintln!(
                "{subject:<6} {congestion:<5}: slow: video p50 {:>6.0} ms, max {:>6.0} ms, {} of {}; audio p50 {:>6.0} ms, max {:>6.0} ms, {} of {}; recovered after {:.0} ms",
                row.video.slow.p50_ms,
                row.video.slow.max_ms,
                row.video.slow.arrived,
                row.video.slow.sent,
                row.audio.slow.p50_ms,
                row.audio.slow.max_ms,
                row.audio.slow.arrived,
                row.audio.slow.sent,
                row.recovered_after_ms,
            );
            rows.push(row);
        }
    }
    Ok(rows)
}

pub fn measure(subject: &'static str, congestion: &str, plan: Plan) -> Result<Row> {
    let pair = Pair::new()?;
    let behind = NetNs::new("behind")?;
    let link = Link::new(
        (&pair.inner, "access", CLIENTS_GATEWAY),
        (&behind, "eth0", CLIENT),
        SHAPE,
    )?;
    behind.ip(&["route", "add", "default", "via", CLIENTS_GATEWAY])?;
    let choose = format!("echo {congestion} > /proc/sys/net/ipv4/tcp_congestion_control");
    pair.inner.run("sh", &["-c", &choose])?;
    let server = Server::start(subject, &pair.inner, "")?;
    let mut client = server.client(&behind, "tls")?;
    let peer = pair.outer.enter(|| Ok(UdpSocket::bind((OUTER, 0))?))?;
    client.bind(CHANNEL, peer.local_addr()?)?;
    peer.connect(client.relayed)?;

    let (start, over) = (Instant::now(), AtomicBool::new(false));
    let packets = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&mut client, start, &packets, &over));
        let sender = scope.spawn(|| send(&peer, plan, start, &packets, &over));
        std::thread::sleep(plan.before);
        link.limit(Some(plan.slow_bits));
        std::thread::sleep(plan.slow);
        link.limit(None);
        std::thread::sleep(plan.after);
        over.store(true, Relaxed);
        sender.join().expect("the sender's thread")?;
        receiver.join().expect("the receiver's thread")
    })?;
    let packets = packets.into_inner().expect("both threads are done");
    judge(subject, congestion, plan, &packets)
}

fn send(
    peer: &UdpSocket,
    plan: Plan,
    start: Instant,
    packets: &Mutex<Vec<Packet>>,
    over: &AtomicBool,
) -> Result<()> {
    let every = Duration::from_secs_f64(VIDEO as f64 * 8.0 / plan.video_bits as f64);
    let (mut video, mut audio) = (start, start);
    while !over.load(Relaxed) {
        let length = if audio <= video { AUDIO } else { VIDEO };
        let due = match length {
            AUDIO => &mut audio,
            _ => &mut video,
        };
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        *due += if length == AUDIO { AUDIO_EVERY } else { every };
        let mut data = vec![0; length];
        let serial = {
            let mut packets = packets.lock().expect("no thread panics");
            let sent = start.elapsed();
            packets.push(Packet {
                length,
                sent,
                arrived: None,
            });
            packets.len() as u64 - 1
        };
        data[..8].copy_from_slice(&serial.to_be_bytes());
        peer.send(&data)?;
    }
    Ok(())
}

fn receive(
    client: &mut StreamClient,
    start: Instant,
    packets: &Mutex<Vec<Packet>>,
    over: &AtomicBool,
) -> Result<()> {
    client
        .tcp()
        .set_read_timeout(Some(Duration::from_millis(100)))?;
    while !over.load(Relaxed) {
        let read = client.receive(|message| {
            let serial = message.get(4..12).and_then(|bytes| bytes.try_into().ok());
            let serial = serial.map(|bytes| u64::from_be_bytes(bytes) as usize);
            let mut packets = packets.lock().expect("no thread panics");
            if let Some(packet) = serial.and_then(|serial| packets.get_mut(serial)) {
                packet.arrived = Some(start.elapsed());
            }
        });
        match read {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(error).context("the client's connection");
            }
            _ => {}
        }
    }
    Ok(())
}

fn judge(subject: &'static str, congestion: &str, plan: Plan, packets: &[Packet]) -> Result<Row> {
    let recovers = plan.before + plan.slow;
    let end = recovers + plan.after;
    let kind = |length| -> Result<Kind> {
        let of: Vec<Packet> = packets
            .iter()
            .filter(|packet| packet.length == length)
            .copied()
            .collect();
        Ok(Kind {
            // The first packets find TCP and everybody's caches cold.
            before: ages(&of, plan.before / 4, plan.before)?,
            slow: ages(&of, plan.before, recovers)?,
            after: ages(&of, recovers + Duration::from_secs(1), end)?,
        })
    };
    let (video, audio) = (kind(VIDEO)?, kind(AUDIO)?);
    let usual = Duration::from_secs_f64(video.before.max_ms / 1e3) + USUAL;
    let old = packets.iter().filter_map(|packet| {
        let arrived = packet.arrived?;
        (arrived > recovers && arrived - packet.sent > usual).then(|| arrived - recovers)
    });
    let recovered_after_ms = ms(old.max().unwrap_or_default());
    Ok(Row {
        subject,
        congestion: congestion.to_owned(),
        round_trip_ms: ms(ROUND_TRIP),
        video,
        audio,
        recovered_after_ms,
    })
}

/// Of what arrived between two moments.
fn ages(packets: &[Packet], from: Duration, to: Duration) -> Result<Ages> {
    let within = |moment: Duration| moment >= from && moment < to;
    let sent = packets.iter().filter(|packet| within(packet.sent)).count();
    let mut arrivals: Vec<(Duration, Duration)> = packets
        .iter()
        .filter_map(|packet| Some((packet.arrived?, packet.sent)))
        .filter(|(arrived, _)| within(*arrived))
        .collect();
    ensure!(!arrivals.is_empty(), "nothing arrived of {sent} packets");
    arrivals.sort();
    let moments = arrivals.iter().map(|(arrived, _)| *arrived);
    let moments: Vec<Duration> = [from].into_iter().chain(moments).chain([to]).collect();
    let gaps = moments.windows(2).map(|two| two[1] - two[0]);
    let gap_ms = ms(gaps.max().unwrap_or_default());
    let mut ages: Vec<Duration> = arrivals
        .iter()
        .map(|(arrived, sent)| *arrived - *sent)
        .collect();
    ages.sort();
    let at = |share: f64| ms(ages[((ages.len() - 1) as f64 * share) as usize]);
    Ok(Ages {
        sent,
        arrived: ages.len(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        gap_ms,
    })
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
