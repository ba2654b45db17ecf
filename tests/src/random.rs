//! Random flows and random packets about them, the same for the same seed everywhere.

use std::net::{IpAddr, SocketAddr};

use relay_common::{Match, Meter, NextHop, Rate, Session, VLAN_NONE};

use crate::engine::MemoryTables;
use crate::fuzz::Input;
use crate::packet::{Checksum, Udp, channel_data, udp};

/// One end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// 0 for plain UDP.
    pub channel: u16,
}

/// Tables with sessions of every kind, and what they are.
pub struct Flows {
    pub tables: MemoryTables,
    pub ends: Vec<[End; 2]>,
}

pub const SESSIONS: usize = 48;
pub const VLAN: u16 = 10;
const SMALL_MTU: u16 = 300;
/// What was let through is paid for in the far future.
pub const SPENT: u64 = u64::MAX / 2;

/// Splitmix64.
pub fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let next = move |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31).to_be_bytes()
    };
    let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(next).collect();
    bytes.truncate(count);
    bytes
}

/// The flows of `seed`; `ingress` is the interface packets come in by.
pub fn flows(seed: u64, ingress: u32) -> Flows {
    let bytes = bytes(seed, 64 * SESSIONS);
    let input = &mut Input(&bytes);
    let mut tables = MemoryTables::with_seed(64, input.long());
    let near = NextHop {
        destination: [2; 6],
        source: [1; 6],
        vlan: VLAN_NONE,
        mtu: 1500,
        ifindex: ingress,
        card: 0,
        completes: 0,
        _pad: 0,
    };
    let other = NextHop {
        destination: [7; 6],
        source: [8; 6],
        ifindex: ingress + 1,
        card: 1,
        ..near
    };
    let hops = [
        near,
        other,
        NextHop { vlan: VLAN, ..near },
        NextHop {
            mtu: SMALL_MTU,
            ..near
        },
        NextHop { ifindex: 0, ..near },
    ];
    let hops = hops.map(|hop| tables.next_hop(hop));
    let meter = |due| Meter {
        rate: Rate::new(1 << 40, 1 << 30, 1_000_000_000, 250),
        due: [due, 0],
        ..Meter::default()
    };
    let meters = [0, tables.meter(meter(0)), tables.meter(meter(SPENT))];
    // Half of the sessions go the plain way.
    let hop = |input: &mut Input<'_>| hops[input.below(2 * hops.len()).saturating_sub(hops.len())];
    let mut ends = Vec::new();
    for number in 0..SESSIONS as u16 {
        let pair = [end(input, number, 0), end(input, number, 1)];
        let legs = pair.map(|e| Match::new(e.remote, e.local, e.channel));
        let deadlines = std::array::from_fn(|_| match input.below(8) {
            0 => tables.jiffies.wrapping_sub(1),
            _ => u64::MAX,
        });
        let mut session = Session::new(legs, [hop(input), hop(input)], deadlines);
        // Whoever is at this leg has a limit; one of them has used it up, and may receive all the same.
        let limited = &mut session.legs[input.below(2)].meters[input.below(2)];
        *limited = meters[input.below(2 * meters.len()).saturating_sub(meters.len())];
        let slot = tables.install(session, u32::from(number) + 1);
        if number.is_multiple_of(4) {
            tables.displace(slot, u32::from(number / 4 % 2));
        }
        if number % 4 == 1 {
            tables.collide(slot, u32::from(number / 4 % 2), slot - 1);
        }
        // A shortcut leads to a plain leg only; a wrong one must do no harm.
        let leg = input.below(2);
        if legs[leg].channel == 0 && input.flag() {
            tables.hint(slot, leg as u32);
        }
        if input.below(10) == 0 {
            tables.sessions[slot as usize].generation ^= 0x100;
        }
        ends.push(pair);
    }
    Flows { tables, ends }
}

/// Ports are those of a relay: one for control, few for forwards, many for relayed addresses.
fn end(input: &mut Input<'_>, number: u16, leg: u16) -> End {
    let v6 = input.flag();
    let hosts = |net: [u8; 4], host: u8| -> IpAddr {
        match v6 {
            false => [net[0], net[1], net[2], host].into(),
            true => [0x2001, 0xdb8, net[0].into(), 0, 0, 0, 0, host.into()].into(),
        }
    };
    let channel = match input.flag() {
        true => 0x4000 + number,
        false => 0,
    };
    let port = match (channel, input.below(3)) {
        (0, 0) => 5004,
        (0, _) => 50_000 + 2 * number + leg,
        _ => 3478,
    };
    let remote = hosts([198, 51, 100, 0], input.byte() % 4);
    End {
        remote: SocketAddr::new(remote, 40_000 + 2 * number + leg),
        local: SocketAddr::new(hosts([192, 0, 2, 0], 1), port),
        channel,
    }
}

/// A packet that arrives at one end, and what is sent for it if nothing stands against it.
pub struct Sent {
    pub packet: Vec<u8>,
    /// Slot and leg, and the outgoing packet; `None`: something is odd about it.
    pub expected: Option<(usize, usize, Udp)>,
}

impl Flows {
    /// A packet of some session, more or less.
    pub fn packet(&self, input: &mut Input<'_>) -> Sent {
        let (slot, leg) = (input.below(self.ends.len()), input.below(2));
        let (arrival, departure) = (self.ends[slot][leg], self.ends[slot][1 - leg]);
        let length = match input.below(8) {
            0 => 0,
            1 => usize::from(input.word() % 1600),
            _ => input.below(64),
        };
        let mut data = bytes(u64::from(input.long()), length);
        if input.below(8) == 0 {
            data.fill(0);
        }
        let padding = input.below(8).saturating_sub(4);
        let framed = |end: End, padding| match end.channel {
            0 => data.clone(),
            number => channel_data(number, &data, padding),
        };
        let hop =
            &self.tables.next_hops[self.tables.sessions[slot].legs[1 - leg].next_hop as usize];
        let tci = (hop.vlan != VLAN_NONE).then(|| u16::from(input.byte() & 0xe0) << 8 | hop.vlan);
        let packet = Udp {
            hop_limit: input.byte().max(1),
            tos: input.byte(),
            flow_label: input.long() & 0xf_ffff,
            id: input.word(),
            fragment: if input.flag() { 0x4000 } else { 0 },
            vlan: tci,
            trailer: vec![0; input.below(12).saturating_sub(6)],
            ..udp(arrival.remote, arrival.local, &framed(arrival, padding))
        };
        let out = Udp {
            macs: (hop.destination, hop.source),
            hop_limit: packet.hop_limit - 1,
            ..udp(departure.local, departure.remote, &framed(departure, 0))
        };
        let out = match arrival.remote.is_ipv4() == departure.remote.is_ipv4() {
            true => Udp {
                tos: packet.tos,
                flow_label: packet.flow_label,
                id: packet.id,
                fragment: packet.fragment,
                vlan: tci,
                ..out
            },
            // New headers: an atomic datagram, and a label that is the flow's.
            false => Udp {
                tos: packet.tos,
                flow_label: self.tables.sessions[slot].legs[leg].checksum_delta.into(),
                id: 0,
                vlan: tci,
                ..out
            },
        };
        let cut = if arrival.channel == 0 { 0 } else { padding };
        let mut trailer = packet.trailer.clone();
        trailer.splice(..0, vec![0x5a; cut]);
        let out = Udp { trailer, ..out };
        match oddity(packet, input) {
            (packet, true) => Sent {
                packet,
                expected: None,
            },
            (packet, false) => Sent {
                packet,
                expected: Some((slot, leg, out)),
            },
        }
    }
}

/// Sometimes something that is not as usual; true if so.
fn oddity(packet: Udp, input: &mut Input<'_>) -> (Vec<u8>, bool) {
    let odd = |change: &dyn Fn(&mut Udp)| {
        let mut packet = packet.clone();
        change(&mut packet);
        packet.bytes()
    };
    let bytes = match input.below(32) {
        0 => odd(&|p| p.fragment = 0x2000),
        1 => odd(&|p| p.fragment = 0x00b9),
        2 => odd(&|p| p.options = vec![1; 4]),
        3 => odd(&|p| p.extension = Some(60)),
        4 => odd(&|p| p.vlan = p.vlan.map_or(Some(VLAN), |_| None)),
        5 => odd(&|p| p.checksum = Checksum::Zero),
        6 => odd(&|p| p.checksum = Checksum::Partial),
        7 => odd(&|p| p.checksum = Checksum::Wrong),
        8 => odd(&|p| p.from.set_port(9)),
        9 => odd(&|p| p.to.set_port(9)),
        10 => {
            let mut bytes = packet.bytes();
            bytes.truncate(14 + input.below(60));
            bytes
        }
        11 | 12 => {
            let mut bytes = packet.bytes();
            let at = 12 + input.below(bytes.len() - 12);
            bytes[at] = input.byte();
            bytes
        }
        13 | 14 => {
            // The first bytes of the payload, where ChannelData has its header.
            let mut payload = packet.payload.clone();
            let at = input.below(4);
            let new = input.byte();
            payload.iter_mut().skip(at).take(1).for_each(|b| *b = new);
            odd(&|p| p.payload.clone_from(&payload))
        }
        // One in 65,536 looks as if hardware had to finish its checksum.
        _ => {
            return (
                packet.bytes(),
                packet.bytes() == odd(&|p| p.checksum = Checksum::Partial),
            );
        }
    };
    (bytes, true)
}
