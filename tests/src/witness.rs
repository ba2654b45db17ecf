//! What must hold of every packet whatever the tables say, judged without the data path's code.

use std::net::{IpAddr, SocketAddr};

use relay_common::engine::Verdict;
use relay_common::{Counter, UP};

use crate::engine::Outcome;
use crate::random::{End, Flows, SPENT};

/// A UDP packet read the slow way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub macs: [u8; 12],
    pub vlan: Option<u16>,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub hop_limit: u8,
    pub tos: u8,
    /// Of the IPv4 header; right where there is none.
    pub header_is_right: bool,
    pub checksum: Sum,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    None,
    Right,
    /// By how much it is off, in ones' complement.
    Wrong(u16),
}

/// `None`: no whole UDP packet.
pub fn see(frame: &[u8]) -> Option<Seen> {
    let macs = *frame.first_chunk()?;
    let (mut kind, mut rest) = (be(frame, 12)?, frame.get(14..)?);
    let mut vlan = None;
    if kind == 0x8100 {
        vlan = Some(be(rest, 0)? & 0xfff);
        (kind, rest) = (be(rest, 2)?, rest.get(4..)?);
    }
    let (addresses, hop_limit, tos, header_is_right, udp) = match kind {
        0x0800 => {
            let header = rest.get(..20)?;
            if header[0] != 0x45 || header[9] != 17 || be(header, 6)? & 0xbfff != 0 {
                return None;
            }
            let udp = rest.get(20..be(header, 2)?.into())?;
            let ip = |at: usize| {
                Some(IpAddr::from(
                    <[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?,
                ))
            };
            (
                [ip(12)?, ip(16)?],
                header[8],
                header[1],
                sum(&[header]) == 0xffff,
                udp,
            )
        }
        0x86dd => {
            let header = rest.get(..40)?;
            if header[0] >> 4 != 6 || header[6] != 17 {
                return None;
            }
            let udp = rest.get(40..40 + usize::from(be(header, 4)?))?;
            let ip = |at: usize| {
                Some(IpAddr::from(
                    <[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?,
                ))
            };
            let tos = (be(header, 0)? >> 4) as u8;
            ([ip(8)?, ip(24)?], header[7], tos, true, udp)
        }
        _ => return None,
    };
    if udp.len() < 8 || usize::from(be(udp, 4)?) != udp.len() {
        return None;
    }
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let [from, to] = addresses;
    let pseudo = [octets(from), octets(to), vec![0, 17, udp[4], udp[5]]].concat();
    let checksum = match (be(udp, 6)?, sum(&[&pseudo, udp])) {
        (0, _) => Sum::None,
        (_, 0xffff) => Sum::Right,
        (_, off) => Sum::Wrong(off),
    };
    Some(Seen {
        macs,
        vlan,
        from: SocketAddr::new(from, be(udp, 0)?),
        to: SocketAddr::new(to, be(udp, 2)?),
        hop_limit,
        tos,
        header_is_right,
        checksum,
        payload: udp[8..].to_vec(),
    })
}

/// Panics unless what became of `frame` is right.
pub fn judge(flows: &Flows, frame: &[u8], outcome: &Outcome) {
    let [(counter, 1)] = outcome.counters[..] else {
        panic!("one packet counts once: {:?}", outcome.counters);
    };
    if outcome.verdict == Verdict::Pass {
        assert_eq!(outcome.frame, frame, "passed, but not as it came");
        assert!(!matches!(
            counter,
            Counter::Transmitted | Counter::Redirected
        ));
        return assert_eq!(outcome.charged, []);
    }
    let before = see(frame).expect("only whole packets are relayed");
    if outcome.verdict == Verdict::Drop {
        let (slot, leg) = flows.arrival(&before).expect("refused, but of no session");
        assert_eq!(counter, Counter::RateLimited);
        assert!(flows.is_spent(slot, leg), "within its limit");
        assert_eq!(outcome.refused, [(slot as u32, leg as u32)]);
        return assert_eq!(outcome.charged, []);
    }
    let after = see(&outcome.frame).expect("a whole packet goes out");
    let (slot, leg) = flows.arrival(&before).expect("relayed, but of no session");
    assert!(!flows.is_spent(slot, leg), "over its limit");
    let session = &flows.tables.sessions[slot];
    let departure = flows.ends[slot][1 - leg];
    assert_eq!(
        (after.from, after.to),
        (departure.local, departure.remote),
        "to a stranger"
    );
    assert_eq!(session.generation, slot as u32 + 1, "a removed session");
    assert!(
        session.legs[leg].deadline > flows.tables.jiffies,
        "a session that is over"
    );
    let hop = &flows.tables.next_hops[session.legs[1 - leg].next_hop as usize];
    assert_eq!(after.macs, *[hop.destination, hop.source].concat());
    assert_eq!(after.vlan, before.vlan);
    assert_eq!(after.vlan, Some(hop.vlan).filter(|vlan| *vlan < 4096));
    let redirected = hop.card != 0;
    assert_eq!(outcome.verdict == Verdict::Transmit, !redirected);
    assert_eq!(counter == Counter::Redirected, redirected);
    assert_eq!(
        (after.hop_limit, after.tos),
        (before.hop_limit - 1, before.tos)
    );
    assert!(after.hop_limit > 0 && after.header_is_right >= before.header_is_right);
    assert_eq!(
        after.checksum, before.checksum,
        "damage is neither made nor mended"
    );
    let data = data(&before.payload, flows.ends[slot][leg]);
    assert_eq!(data, self::data(&after.payload, departure), "other data");
    let bytes = data.len() as u64;
    assert_eq!(outcome.charged, [(slot as u32, leg as u32, 1, bytes)]);
    let size = after.payload.len() + 8 + if after.to.is_ipv4() { 20 } else { 40 };
    assert!(size <= hop.mtu.into(), "too big for the link");
}

impl Flows {
    /// Whether whoever sends to this leg may send no more.
    pub fn is_spent(&self, slot: usize, leg: usize) -> bool {
        let meters = self.tables.meters.borrow();
        let named = self.tables.sessions[slot].legs[leg].meters;
        named
            .iter()
            .any(|meter| meters[*meter as usize].due[UP] == SPENT)
    }

    /// Which session a packet belongs to, and the leg it came by.
    fn arrival(&self, seen: &Seen) -> Option<(usize, usize)> {
        let mut legs = (0..self.ends.len()).flat_map(|slot| [(slot, 0), (slot, 1)]);
        legs.find(|(slot, leg)| {
            let end = self.ends[*slot][*leg];
            let channel = match end.channel {
                0 => true,
                number => be(&seen.payload, 0) == Some(number),
            };
            (seen.from, seen.to) == (end.remote, end.local) && channel
        })
    }
}

fn data(payload: &[u8], end: End) -> Vec<u8> {
    match end.channel {
        0 => payload.to_vec(),
        number => {
            assert_eq!(be(payload, 0), Some(number), "another channel");
            let length = usize::from(be(payload, 2).expect("a length"));
            payload[4..4 + length].to_vec()
        }
    }
}

fn be(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..at + 2)?;
    Some(u16::from(word[0]) << 8 | u16::from(word[1]))
}

/// RFC 1071, folded after every word.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}
