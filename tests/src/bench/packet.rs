//! `bench packet`: nanoseconds of the data path per packet, by path and number of flows, through `BPF_PROG_TEST_RUN`.
//!
//! A harness program makes every packet anew and tail-calls the relay, so the relay never sees its own output. Net
//! time is: harness with relay, less harness with an empty program, less half of what moving the start of the frame
//! and moving it back costs (the harness moves it back where the relay had moved it). Rounds take turns.

mod floor;
mod rig;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use relay_common::{
    Counter, Match, Meter, NextHop, PORT_IS_OPEN, Rate, Session, VLAN_NONE, meter_index, port_index,
};
use relay_userspace::fastpath::seats::{Guess, Seats};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use crate::engine::MemoryTables;
use crate::kernel::{KernelEngine, TEST_RUN_INGRESS};
use crate::packet::{channel_data, udp};

#[path = "../../../relay-ebpf/src/lab/shared.rs"]
pub mod shared;
use rig::{Memory, Rig};
use shared::{HEADER_WORDS, Harness};

// SAFETY: integers only; 72 + 10 * 4 bytes make 112, without padding.
unsafe impl aya::Pod for Harness {}
const _: () = assert!(size_of::<Harness>() == 112);

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Numbers of flows.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000, 100_000, 1_000_000])]
    pub flows: Vec<u32>,
    /// Packets a round.
    #[arg(long, default_value_t = 1_000_000)]
    pub packets: u32,
    /// Rounds, in turn with the empty program; the median counts.
    #[arg(long, default_value_t = 7)]
    pub rounds: usize,
    /// Application bytes a packet.
    #[arg(long, default_value_t = 160)]
    pub payload: usize,
    /// Limits to keep: every session has one, and its user another.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=2))]
    pub limits: u32,
    /// Channels of each client, a power of two; paths that arrive on an IPv4 channel only.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub channels: u32,
    /// Packets are RTP, and counted as such.
    #[arg(long)]
    pub rtp: bool,
    /// Only these paths; `floor` is what the memory alone takes.
    #[arg(long, value_delimiter = ',')]
    pub paths: Vec<String>,
}

impl Options {
    /// Low bits of a flow that name its channel.
    fn channel_bits(&self, path: Path) -> u32 {
        match path.arrives != 0 && !path.v6 {
            true => self.channels.ilog2(),
            false => 0,
        }
    }
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub rows: Vec<Row>,
}

/// One path at one number of flows.
#[derive(Debug, Serialize)]
pub struct Row {
    pub path: String,
    pub flows: u32,
    pub payload: usize,
    /// Net nanoseconds a packet: median of the rounds.
    pub ns: f64,
    pub ns_min: f64,
    pub ns_max: f64,
}

const PATHS: [Path; 16] = [
    Path::new("channel_to_udp_v4", (V4, 0x4001), (V4, 0)),
    Path::new("udp_to_channel_v4", (V4, 0), (V4, 0x4001)),
    Path::new("channel_to_channel_v4", (V4, 0x4001), (V4, 0x4002)),
    Path::new("udp_to_udp_v4", (V4, 0), (V4, 0)),
    Path::new("channel_to_udp_v6", (V6, 0x4001), (V6, 0)),
    Path::new("udp_to_channel_v6", (V6, 0), (V6, 0x4001)),
    Path::new("channel_to_channel_v6", (V6, 0x4001), (V6, 0x4002)),
    Path::new("udp_to_udp_v6", (V6, 0), (V6, 0)),
    Path::new("channel_to_udp_v4_v6", (V4, 0x4001), (V6, 0)),
    Path::new("udp_to_channel_v4_v6", (V4, 0), (V6, 0x4001)),
    Path::new("channel_to_channel_v4_v6", (V4, 0x4001), (V6, 0x4002)),
    Path::new("udp_to_udp_v4_v6", (V4, 0), (V6, 0)),
    Path::new("channel_to_udp_v6_v4", (V6, 0x4001), (V4, 0)),
    Path::new("udp_to_channel_v6_v4", (V6, 0), (V4, 0x4001)),
    Path::new("channel_to_channel_v6_v4", (V6, 0x4001), (V4, 0x4002)),
    Path::new("udp_to_udp_v6_v4", (V6, 0), (V4, 0)),
];

#[derive(Clone, Copy)]
struct Path {
    name: &'static str,
    v6: bool,
    leaves_v6: bool,
    /// Channel numbers, 0 for plain UDP.
    arrives: u16,
    leaves: u16,
}

const V4: bool = false;
const V6: bool = true;

impl Path {
    const fn new(name: &'static str, arrival: (bool, u16), departure: (bool, u16)) -> Self {
        Self {
            name,
            v6: arrival.0,
            leaves_v6: departure.0,
            arrives: arrival.1,
            leaves: departure.1,
        }
    }

    /// From a client that is no client of TURN.
    const fn is_forward(self) -> bool {
        self.arrives == 0 && self.leaves == 0
    }

    /// As the relay lays out a session: the client's leg is the first, and a peer's packets come by the other.
    const fn arriving_leg(self) -> usize {
        (self.arrives == 0 && self.leaves != 0) as usize
    }

    /// Bytes of IP and ChannelData headers that a packet loses on the way.
    fn shift(self) -> i32 {
        let ip = |v6| if v6 { 40 } else { 20 };
        let channel = |number| if number != 0 { 4 } else { 0 };
        ip(self.v6) + channel(self.arrives) - ip(self.leaves_v6) - channel(self.leaves)
    }
}

/// Ports a plain path spreads its flows over: what one relay address has, rounded down to a power of two.
const PORTS: u32 = 8192;

/// Measures all paths; `object` and `lab` are the two BPF objects.
pub fn run(object: &[u8], lab: &[u8], options: &Options) -> Result<Report> {
    ensure!(
        options.channels.is_power_of_two(),
        "--channels {}: give a power of two",
        options.channels
    );
    let mut rows = Vec::new();
    let mut tell = |row: Row| {
        eprintln!(
            "{:<24} {:>8} flows  {:>6.1} ns  ({:.1} to {:.1})",
            row.path, row.flows, row.ns, row.ns_min, row.ns_max
        );
        rows.push(row);
    };
    let wanted =
        |name: &str| options.paths.is_empty() || options.paths.iter().any(|path| path == name);
    for path in PATHS.iter().filter(|path| wanted(path.name)).copied() {
        for flows in &options.flows {
            let row = measure(object, lab, path, *flows, options)
                .with_context(|| format!("{} with {flows} flows", path.name))?;
            tell(row);
        }
    }
    for reads in floor::ALL.into_iter().filter(|_| wanted("floor")) {
        for flows in &options.flows {
            let row = floor::measure(lab, reads, *flows, options)
                .with_context(|| format!("{} with {flows} flows", reads.name))?;
            tell(row);
        }
    }
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        rows,
    })
}

fn measure(object: &[u8], lab: &[u8], path: Path, flows: u32, options: &Options) -> Result<Row> {
    let tables = tables(path, flows, options);
    let mut kernel = KernelEngine::new(object, &tables)?;
    drop(tables);
    let (harness, frame) = packets(path, flows, options);
    let mut relay = Rig::new(lab, harness, Memory::NONE)?;
    relay.aim_at(kernel.program()?)?;
    let mut nothing = Rig::new(lab, harness, Memory::NONE)?;
    nothing.aim("nothing")?;
    let mut shift = Rig::new(lab, harness, Memory::NONE)?;
    shift.aim("shift")?;

    let before = relayed(&mut kernel)?;
    relay.run(&frame, flows.saturating_mul(2).min(options.packets))?;
    let mut net = Vec::new();
    for _ in 0..options.rounds {
        let (with, without) = (
            relay.run(&frame, options.packets)?,
            nothing.run(&frame, options.packets)?,
        );
        let moved = if harness.shift != 0 {
            (shift.run(&frame, options.packets)? - without) / 2.0
        } else {
            0.0
        };
        net.push(with - without - moved);
    }
    let relayed = relayed(&mut kernel)? - before;
    let sent = u64::from(flows.saturating_mul(2).min(options.packets))
        + options.rounds as u64 * u64::from(options.packets);
    ensure!(
        relayed == sent,
        "only {relayed} of {sent} packets were relayed"
    );
    Ok(Row::new(path.name, flows, options, net))
}

impl Row {
    /// `net` has the nanoseconds of each round.
    fn new(path: &str, flows: u32, options: &Options, mut net: Vec<f64>) -> Row {
        net.sort_by(f64::total_cmp);
        Row {
            path: path.into(),
            flows,
            payload: options.payload,
            ns: net[net.len() / 2],
            ns_min: net[0],
            ns_max: net[net.len() - 1],
        }
    }
}

/// The harness changes addresses and leaves the checksum: one packet in 65536 looks as if its sender had left it to
/// hardware, and is passed at the very end of the checks.
fn relayed(kernel: &mut KernelEngine) -> Result<u64> {
    Ok(kernel.counter(Counter::Transmitted)? + kernel.counter(Counter::PartialChecksum)?)
}

/// Every flow is to be found, so a key under which one of millions finds no room is not taken.
fn tables(path: Path, flows: u32, options: &Options) -> MemoryTables {
    (0..)
        .find_map(|seed| tables_under(seed, path, flows, options))
        .expect("a key under which all fit")
}

fn tables_under(seed: u32, path: Path, flows: u32, options: &Options) -> Option<MemoryTables> {
    let mut tables = MemoryTables::with_seed(flows, seed);
    let next_hop = tables.next_hop(NextHop {
        destination: [2; 6],
        source: [1; 6],
        vlan: VLAN_NONE,
        mtu: 1500,
        ifindex: TEST_RUN_INGRESS,
        card: 0,
        completes: 1,
        _pad: 0,
    });
    tables.sessions.resize(flows as usize, Session::default());
    let meters = 2 * flows as usize + 1;
    tables.meters.get_mut().resize(meters, Meter::default());
    let mut seats = Seats::new(flows);
    let guess = Guess::new(tables.key, flows);
    for flow in 0..flows {
        let bits = options.channel_bits(path);
        let arrival = Match::new(
            remote(path.v6, flow >> bits),
            local(path, flow),
            path.arrives + (flow & ((1 << bits) - 1)) as u16,
        );
        let departure = Match::new(
            other_remote(path.leaves_v6, flow),
            other_local(path, flow),
            path.leaves,
        );
        let came = path.arriving_leg();
        let mut legs = [arrival, departure];
        legs.swap(0, came);
        let slot = seats.take(0, guess.of(&legs[0]))?;
        let mut session = Session::new(legs, [next_hop; 2], [u64::MAX; 2]);
        for place in 0..options.limits {
            let meter = meter_index(slot, place);
            tables.meters.get_mut()[meter as usize] = unlimited();
            session.legs[0].meters[place as usize] = meter;
        }
        if options.rtp {
            session.legs[came].streams = tables.stream_place();
        }
        tables.try_install_at(slot, session, flow % 0xff_fffe + 1)?;
        if path.arrives == 0 && flows <= PORTS {
            tables.hint(slot, came as u32);
        }
        if path.is_forward() {
            let port = port_index(path.v6, local(path, flow).port());
            tables.ports[port as usize].kind |= PORT_IS_OPEN;
        }
    }
    Some(tables)
}

/// A limit that is kept, and never reached.
fn unlimited() -> Meter {
    Meter {
        rate: Rate::new(1 << 50, 1 << 40, 1_000_000_000, 250),
        ..Meter::default()
    }
}

fn packets(path: Path, flows: u32, options: &Options) -> (Harness, Vec<u8>) {
    let mut data = vec![0x55; options.payload];
    if options.rtp {
        data[..2].copy_from_slice(&[0x80, 96]);
    }
    let payload = if path.arrives != 0 {
        channel_data(path.arrives, &data, 0)
    } else {
        data
    };
    let frame = udp(remote(path.v6, 0), local(path, 0), &payload).bytes();
    let mut header = [0; HEADER_WORDS];
    for (word, bytes) in header.iter_mut().zip(frame.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    }
    let harness = Harness {
        header,
        length: frame.len() as u32,
        flows,
        address_mask: u32::MAX,
        source_port_mask: 0,
        port_mask: if path.arrives == 0 { PORTS - 1 } else { 0 },
        shift: path.shift(),
        is_v6: u32::from(path.v6),
        one_in: 1,
        rtp: match options.rtp {
            true => (frame.len() - options.payload) as u32,
            false => 0,
        },
        channel_bits: options.channel_bits(path),
    };
    (harness, frame)
}

fn remote(v6: bool, flow: u32) -> SocketAddr {
    address(v6, 0x0b00_0000 + flow, 40_000)
}
fn other_remote(v6: bool, flow: u32) -> SocketAddr {
    address(v6, 0x2000_0000 + flow, 6000)
}
fn local(path: Path, flow: u32) -> SocketAddr {
    let port = if path.arrives != 0 {
        3478
    } else {
        50_000 + (flow & (PORTS - 1)) as u16
    };
    address(path.v6, 0xc000_0201, port)
}
fn other_local(path: Path, flow: u32) -> SocketAddr {
    let port = if path.leaves != 0 {
        3478
    } else {
        50_000 + (flow & (PORTS - 1)) as u16
    };
    address(path.leaves_v6, 0xc000_0202, port)
}
fn address(v6: bool, low: u32, port: u16) -> SocketAddr {
    if v6 {
        let ip = std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(low));
        SocketAddr::new(ip.into(), port)
    } else {
        SocketAddr::new(std::net::Ipv4Addr::from(low).into(), port)
    }
}
