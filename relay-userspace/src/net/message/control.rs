//! Control messages as they lie in memory (cmsg(3)): what is said beside a datagram. Bytes only, no system call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::marks::Marks;

const HEADER: usize = size_of::<libc::cmsghdr>();
const WORD: usize = size_of::<usize>();

/// Room for everything that is ever said beside one datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Control {
    pub bytes: [u8; 128],
}

impl Default for Control {
    fn default() -> Self {
        Control { bytes: [0; 128] }
    }
}

/// What the kernel says beside a datagram it received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    pub to: Option<IpAddr>,
    pub marks: Marks,
    /// Of each datagram of a train.
    pub segment: Option<usize>,
}

/// What it is told about one to send.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    pub from: Option<IpAddr>,
    pub marks: Marks,
    pub segment: Option<u16>,
}

impl Control {
    pub fn heard(&self, length: usize) -> Heard {
        let mut heard = Heard::default();
        let mut rest = &self.bytes[..length.min(self.bytes.len())];
        while let Some((level, kind, data, next)) = first(rest) {
            rest = next;
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    heard.marks.traffic_class = number(data) as u8;
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    heard.marks.hop_limit = Some(number(data) as u8);
                }
                // struct in_pktinfo: interface, our address, the header's.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let octets = data.get(8..12).and_then(|o| <[u8; 4]>::try_from(o).ok());
                    heard.to = octets.map(|octets| Ipv4Addr::from(octets).into());
                }
                // struct in6_pktinfo: address, interface.
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let octets = data.get(..16).and_then(|o| <[u8; 16]>::try_from(o).ok());
                    heard.to = octets.map(|octets| Ipv6Addr::from(octets).into());
                }
                (libc::SOL_UDP, libc::UDP_GRO) => heard.segment = Some(number(data) as usize),
                _ => {}
            }
        }
        heard
    }

    /// For a datagram to an address of IPv6 or not. Returns the length.
    pub fn say(&mut self, said: &Said, v6: bool) -> usize {
        let (level, class, hops) = match v6 {
            true => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT),
            false => (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL),
        };
        let int = |value: u8| libc::c_int::from(value).to_ne_bytes();
        let mut at = self.push(0, level, class, &int(said.marks.traffic_class));
        if let Some(limit) = said.marks.hop_limit {
            at = self.push(at, level, hops, &int(limit));
        }
        match said.from {
            Some(IpAddr::V4(from)) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&from.octets());
                at = self.push(at, level, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(from)) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&from.octets());
                at = self.push(at, level, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        if let Some(segment) = said.segment {
            let bytes = segment.to_ne_bytes();
            at = self.push(at, libc::SOL_UDP, libc::UDP_SEGMENT, &bytes);
        }
        at
    }

    /// Where the next one goes.
    fn push(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let length = HEADER + data.len();
        let next = at + length.next_multiple_of(WORD);
        let place = &mut self.bytes[at..next];
        place.fill(0);
        place[..WORD].copy_from_slice(&length.to_ne_bytes());
        place[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        place[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        place[HEADER..length].copy_from_slice(data);
        next
    }
}

/// Level, type and data of the first one, and what follows it.
fn first(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let (header, _) = bytes.split_at_checked(HEADER)?;
    let (length, names) = header.split_first_chunk::<WORD>()?;
    let (level, kind) = names.split_first_chunk::<4>()?;
    let length = usize::from_ne_bytes(*length);
    let data = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(WORD)..);
    let level = i32::from_ne_bytes(*level);
    let kind = i32::from_ne_bytes(*kind.first_chunk()?);
    Some((level, kind, data, next.unwrap_or_default()))
}

/// One byte, or an int.
fn number(data: &[u8]) -> i32 {
    match *data {
        [byte] => byte.into(),
        [a, b, c, d, ..] => i32::from_ne_bytes([a, b, c, d]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_but_for_the_words_of_one_direction() {
        let marks = Marks {
            traffic_class: 0xb9,
            hop_limit: Some(63),
        };
        for from in ["192.0.2.1", "2001:db8::1"] {
            let from: IpAddr = from.parse().expect("an address");
            let segment = Some(1200);
            let said = Said {
                from: Some(from),
                marks,
                segment,
            };
            let mut control = Control::default();
            let length = control.say(&said, from.is_ipv6());
            let heard = control.heard(length);
            assert_eq!(heard.marks, marks);
            // Where to send from stands where the kernel says which address of ours was meant.
            let to = if from.is_ipv6() {
                from
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            };
            assert_eq!(heard.to, Some(to));
        }
    }

    #[test]
    fn nonsense_ends_the_list() {
        let mut control = Control::default();
        for length in [0, 1, 15, 16, 128, 999] {
            assert_eq!(control.heard(length), Heard::default());
        }
        control.bytes.fill(0xff);
        assert_eq!(control.heard(128), Heard::default());
    }
}
