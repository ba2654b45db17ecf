//! The addresses an address stands for: the IPv4 addresses embedded in an IPv6 one, then itself; before each the local
//! one that is advertised as it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::advertise::Advertise;

/// Embedded addresses come first: they say best what is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faces {
    addresses: [IpAddr; 6],
    count: usize,
}

pub(super) fn of(address: IpAddr, advertise: &Advertise) -> Faces {
    let mut faces = Faces {
        addresses: [address; 6],
        count: 0,
    };
    if let IpAddr::V6(v6) = address {
        for v4 in embedded(v6).into_iter().flatten() {
            faces.push(IpAddr::V4(v4), advertise);
        }
    }
    faces.push(address, advertise);
    faces
}

impl Faces {
    fn push(&mut self, address: IpAddr, advertise: &Advertise) {
        for face in advertise.local_of(address).into_iter().chain([address]) {
            self.addresses[self.count] = face;
            self.count += 1;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses[..self.count].iter().copied()
    }
}

/// At most two: Teredo carries a server and a client.
fn embedded(v6: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bits = v6.to_bits();
    let last = Ipv4Addr::from_bits(bits as u32);
    match v6.segments() {
        // Unspecified and loopback, not IPv4-compatible.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // IPv4-compatible, RFC 4291 §2.5.5.1.
        [0, 0, 0, 0, 0, 0, _, _] => [Some(last), None],
        // IPv4-mapped, RFC 4291 §2.5.5.2.
        [0, 0, 0, 0, 0, 0xffff, _, _] => [Some(last), None],
        // IPv4-translated, RFC 2765 §2.1.
        [0, 0, 0, 0, 0xffff, 0, _, _] => [Some(last), None],
        // NAT64, RFC 6052 §2.1 and RFC 8215.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..] => [Some(last), None],
        // Teredo: the server, and the client inverted, RFC 4380 §4.
        [0x2001, 0, ..] => [
            Some(Ipv4Addr::from_bits((bits >> 64) as u32)),
            Some(Ipv4Addr::from_bits(!(bits as u32))),
        ],
        // 6to4, RFC 3056 §2.
        [0x2002, ..] => [Some(Ipv4Addr::from_bits((bits >> 80) as u32)), None],
        // ISATAP, RFC 5214 §6.1.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => [Some(last), None],
        _ => [None, None],
    }
}
