//! What goes up to userspace, or nowhere, and why.

use relay_common::Counter;
use relay_common::engine::Verdict;

use super::{Case, World};
use crate::engine::Outcome;
use crate::packet::{Checksum, Udp, channel_data, udp};

pub fn passed(w: &World) -> Vec<Case> {
    let (t, v6, f) = (&w.turn_v4, &w.turn_v6, &w.forward);
    let channel = |data: &[u8]| udp(t.client, t.server, &channel_data(0x4001, data, 0));
    let other = "203.0.113.99:9".parse().expect("an address");
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([1; 12]);
    let long_udp = |delta: i32| {
        let mut bytes = channel(b"length").bytes();
        bytes[39] = (i32::from(bytes[39]) + delta) as u8;
        bytes
    };
    let mut arp = vec![0xff; 12];
    arp.extend([0x08, 0x06, 0, 1]);
    let mut tcp = channel(b"x").bytes();
    tcp[23] = 6;
    let lying = |length: u16| {
        let mut payload = channel_data(0x4001, b"lying", 0);
        payload[2..4].copy_from_slice(&length.to_be_bytes());
        udp(t.client, t.server, &payload)
    };
    [
        ("ARP", arp, Counter::NotIp),
        ("runt", vec![0; 13], Counter::NotIp),
        ("TCP", tcp, Counter::NotUdp),
        (
            "UDP to another service",
            udp(t.client, "192.0.2.1:53".parse().expect("an address"), b"x").bytes(),
            Counter::NotOurs,
        ),
        (
            "UDP to a port only IPv6 uses",
            udp(
                t.client,
                "192.0.2.1:50001".parse().expect("an address"),
                b"x",
            )
            .bytes(),
            Counter::NotOurs,
        ),
        (
            "STUN",
            udp(t.client, t.server, &stun).bytes(),
            Counter::NotChannelData,
        ),
        (
            "empty datagram to the TURN port",
            udp(t.client, t.server, b"").bytes(),
            Counter::NotChannelData,
        ),
        (
            "channel nobody bound",
            udp(t.client, t.server, &channel_data(0x4abc, b"x", 0)).bytes(),
            Counter::NoSession,
        ),
        (
            "channel of somebody else",
            udp(other, t.server, &channel_data(0x4001, b"x", 0)).bytes(),
            Counter::NoSession,
        ),
        (
            "stranger to a relayed address",
            udp(other, t.relayed, b"x").bytes(),
            Counter::NoSession,
        ),
        (
            "new client of a forward",
            udp(other, f.server, b"x").bytes(),
            Counter::NoSession,
        ),
        (
            "session over its deadline",
            udp(w.expired.client, w.expired.server, b"x").bytes(),
            Counter::Expired,
        ),
        (
            "generation that is gone",
            udp(w.recycled.client, w.recycled.server, b"x").bytes(),
            Counter::NoSession,
        ),
        (
            "first fragment",
            Udp {
                fragment: 0x2000,
                ..channel(b"x")
            }
            .bytes(),
            Counter::Fragment,
        ),
        (
            "later fragment",
            Udp {
                fragment: 0x0010,
                ..channel(b"x")
            }
            .bytes(),
            Counter::Fragment,
        ),
        (
            "IP options",
            Udp {
                options: vec![1, 1, 1, 1],
                ..channel(b"x")
            }
            .bytes(),
            Counter::IpOptions,
        ),
        (
            "IPv6 destination options",
            Udp {
                extension: Some(60),
                ..udp(v6.client, v6.server, b"x")
            }
            .bytes(),
            Counter::ExtensionHeader,
        ),
        (
            "IPv6 fragment",
            Udp {
                extension: Some(44),
                ..udp(v6.client, v6.server, b"x")
            }
            .bytes(),
            Counter::ExtensionHeader,
        ),
        (
            "UDP longer than its packet",
            long_udp(1),
            Counter::BadLength,
        ),
        (
            "UDP shorter than its packet",
            long_udp(-1),
            Counter::BadLength,
        ),
        (
            "ChannelData longer than its datagram",
            lying(6).bytes(),
            Counter::BadLength,
        ),
        (
            "ChannelData with more than padding behind it",
            lying(1).bytes(),
            Counter::BadLength,
        ),
        (
            "ChannelData of 65535 bytes",
            lying(0xffff).bytes(),
            Counter::BadLength,
        ),
        (
            "packet cut short",
            channel(b"cut").bytes()[..46].to_vec(),
            Counter::BadLength,
        ),
        (
            "hop limit used up",
            Udp {
                hop_limit: 1,
                ..channel(b"x")
            }
            .bytes(),
            Counter::HopLimit,
        ),
        (
            "IPv6 without checksum",
            Udp {
                checksum: Checksum::Zero,
                ..udp(v6.peer, v6.relayed, b"x")
            }
            .bytes(),
            Counter::ZeroChecksum,
        ),
        (
            "checksum left to hardware where the kernel would compute it again",
            Udp {
                checksum: Checksum::Partial,
                ..udp(w.generic.client, w.generic.server, b"x")
            }
            .bytes(),
            Counter::PartialChecksum,
        ),
        (
            "checksum left to hardware of a packet larger than is added up",
            Udp {
                checksum: Checksum::Partial,
                ..udp(w.jumbo.client, w.jumbo.server, &[1; 2041])
            }
            .bytes(),
            Counter::PartialChecksum,
        ),
        (
            "unresolved neighbour",
            udp(w.unresolved.client, w.unresolved.server, b"x").bytes(),
            Counter::NoNextHop,
        ),
        (
            "too big for the outgoing link",
            udp(w.small_mtu.client, w.small_mtu.server, &[0; 573]).bytes(),
            Counter::TooBig,
        ),
        (
            "untagged frame of a tagged session",
            udp(w.vlan.client, w.vlan.server, &channel_data(0x4001, b"x", 0)).bytes(),
            Counter::VlanChange,
        ),
        (
            "tagged frame of an untagged session",
            Udp {
                vlan: Some(10),
                ..channel(b"x")
            }
            .bytes(),
            Counter::VlanChange,
        ),
        (
            "without checksum towards IPv6",
            Udp {
                checksum: Checksum::Zero,
                ..udp(
                    w.cross.client,
                    w.cross.server,
                    &channel_data(0x4001, b"x", 0),
                )
            }
            .bytes(),
            Counter::ZeroChecksum,
        ),
    ]
    .map(|(name, packet, reason)| Case {
        name,
        outcome: Outcome {
            verdict: Verdict::Pass,
            frame: packet.clone(),
            counters: vec![(reason, 1)],
            charged: vec![],
            refused: vec![],
        },
        packet,
    })
    .into()
}
