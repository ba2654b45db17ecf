//! The address ranges that are not public unicast: IANA's special-purpose registries, and what clouds hide behind
//! addresses. Nothing else; first match names the rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

#[derive(Debug, PartialEq, Eq)]
pub struct Range {
    pub name: &'static str,
    pub net: IpNet,
    /// Whether `peers.allow` may open it.
    pub overridable: bool,
}

pub(super) fn covering(address: IpAddr) -> Option<&'static Range> {
    RANGES.iter().find(|range| range.net.contains(&address)).or_else(|| {
        // Everything IANA has not handed out as global unicast.
        let reserved = matches!(address, IpAddr::V6(v6) if !GLOBAL_V6.contains(&v6) && !NAT64.contains(&v6));
        reserved.then_some(&RESERVED_V6)
    })
}

/// Ranges that are no unicast peer at all.
pub(super) fn never(address: IpAddr) -> Option<&'static Range> {
    RANGES
        .iter()
        .find(|range| !range.overridable && range.net.contains(&address))
}

const fn v4(name: &'static str, a: u8, b: u8, c: u8, d: u8, length: u8) -> Range {
    Range {
        name,
        net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)),
        overridable: true,
    }
}

const fn v6(name: &'static str, s: [u16; 4], length: u8) -> Range {
    Range {
        name,
        net: IpNet::V6(net6(s, length)),
        overridable: true,
    }
}

const fn net6(s: [u16; 4], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0), length)
}

const fn host6(name: &'static str, address: Ipv6Addr, length: u8) -> Range {
    Range {
        name,
        net: IpNet::V6(Ipv6Net::new_assert(address, length)),
        overridable: true,
    }
}

const fn fixed(range: Range) -> Range {
    Range {
        overridable: false,
        ..range
    }
}

const GLOBAL_V6: Ipv6Net = net6([0x2000, 0, 0, 0], 3);
/// Globally reachable (RFC 6052); the embedded IPv4 address is judged on its own.
const NAT64: Ipv6Net = net6([0x64, 0xff9b, 0, 0], 96);
static RESERVED_V6: Range = v6("reserved by IANA", [0, 0, 0, 0], 0);

/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and the IPv6 one, most telling name first.
static RANGES: &[Range] = &[
    fixed(v4("unspecified", 0, 0, 0, 0, 8)),
    v4("private", 10, 0, 0, 0, 8),
    v4("cloud metadata", 100, 100, 100, 200, 32),
    v4("shared address space of carriers", 100, 64, 0, 0, 10),
    v4("loopback", 127, 0, 0, 0, 8),
    v4("cloud platform", 168, 63, 129, 16, 32),
    v4("cloud metadata", 169, 254, 169, 254, 32),
    v4("link local", 169, 254, 0, 0, 16),
    v4("private", 172, 16, 0, 0, 12),
    v4("cloud metadata", 192, 0, 0, 192, 32),
    v4("IETF protocol assignments", 192, 0, 0, 0, 24),
    v4("documentation", 192, 0, 2, 0, 24),
    v4("AS112", 192, 31, 196, 0, 24),
    v4("AMT", 192, 52, 193, 0, 24),
    v4("6to4 relay anycast", 192, 88, 99, 0, 24),
    v4("private", 192, 168, 0, 0, 16),
    v4("AS112", 192, 175, 48, 0, 24),
    v4("benchmarking", 198, 18, 0, 0, 15),
    v4("documentation", 198, 51, 100, 0, 24),
    v4("documentation", 203, 0, 113, 0, 24),
    fixed(v4("multicast", 224, 0, 0, 0, 4)),
    fixed(v4("broadcast", 255, 255, 255, 255, 32)),
    v4("reserved", 240, 0, 0, 0, 4),
    fixed(host6("unspecified", Ipv6Addr::UNSPECIFIED, 128)),
    host6("loopback", Ipv6Addr::LOCALHOST, 128),
    v6("IPv4-compatible", [0, 0, 0, 0], 96),
    host6(
        "IPv4-mapped",
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
        96,
    ),
    host6(
        "IPv4-translated",
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
        96,
    ),
    v6("local-use NAT64", [0x64, 0xff9b, 1, 0], 48),
    v6("discard only", [0x100, 0, 0, 0], 64),
    v6("dummy prefix", [0x100, 0, 0, 1], 64),
    v6("Teredo", [0x2001, 0, 0, 0], 32),
    v6("benchmarking", [0x2001, 2, 0, 0], 48),
    v6("ORCHID", [0x2001, 0x10, 0, 0], 28),
    v6("ORCHIDv2", [0x2001, 0x20, 0, 0], 28),
    v6("IETF protocol assignments", [0x2001, 0, 0, 0], 23),
    v6("documentation", [0x2001, 0xdb8, 0, 0], 32),
    v6("6to4", [0x2002, 0, 0, 0], 16),
    v6("AS112", [0x2620, 0x4f, 0x8000, 0], 48),
    v6("documentation", [0x3fff, 0, 0, 0], 20),
    v6("segment routing", [0x5f00, 0, 0, 0], 16),
    host6(
        "cloud metadata",
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        128,
    ),
    v6("unique local", [0xfc00, 0, 0, 0], 7),
    v6("link local", [0xfe80, 0, 0, 0], 10),
    v6("site local", [0xfec0, 0, 0, 0], 10),
    fixed(v6("multicast", [0xff00, 0, 0, 0], 8)),
];
