//! ICMP errors of our own to clients that speak no TURN, in the name of the address they sent to. Rate-limited: whoever
//! makes a destination refuse must not make this relay a source of packets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use crate::icmp::IcmpError;

/// As many as a worker sends in a second.
const PER_SECOND: u32 = 100;
/// ICMP header, then what is quoted: an IP header and eight bytes (RFC 792), for IPv6 as well enough to find the socket.
pub(crate) const LONGEST: usize = 8 + 40 + 8;
const UDP: u8 = 17;

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    #[error("too many a second")]
    Rate,
    #[error("send: {0}")]
    Send(#[from] io::Error),
}

/// The limit of one worker.
#[derive(Debug)]
pub struct Teller {
    since: Instant,
    sent: u32,
}

impl Teller {
    pub fn new(now: Instant) -> Teller {
        Teller {
            since: now,
            sent: 0,
        }
    }

    /// Tells `client` what became of what it sent to `server`. Both are of one family, and so is `error`.
    pub fn tell(
        &mut self,
        now: Instant,
        client: SocketAddr,
        server: SocketAddr,
        error: IcmpError,
    ) -> Result<(), Untold> {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Teller::new(now);
        }
        if self.sent >= PER_SECOND {
            return Err(Untold::Rate);
        }
        self.sent += 1;
        let mut bytes = [0; LONGEST];
        let length = write(client, server, error, &mut bytes);
        Ok(send(client.ip(), server.ip(), &bytes[..length])?)
    }
}

/// A socket for each: one that stays would be handed every ICMP packet of the host.
fn send(to: IpAddr, from: IpAddr, bytes: &[u8]) -> io::Result<()> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
    let to = SockaddrStorage::from(SocketAddr::new(to, 0));
    let buffers = [io::IoSlice::new(bytes)];
    let (v4, v6);
    let source = match from {
        IpAddr::V4(from) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(from.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(from) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: from.octets(),
                },
                ipi6_ifindex: 0,
            };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    let flags = MsgFlags::MSG_DONTWAIT;
    sendmsg(socket.as_raw_fd(), &buffers, &[source], flags, Some(&to))?;
    Ok(())
}

/// The message, and in it the beginning of a packet from `client` to `server`. Its length.
pub(crate) fn write(
    client: SocketAddr,
    server: SocketAddr,
    error: IcmpError,
    out: &mut [u8; LONGEST],
) -> usize {
    let v6 = client.is_ipv6();
    (out[0], out[1]) = (error.kind, error.code);
    if error.is_too_big(v6) {
        out[4..8].copy_from_slice(&error.mtu.to_be_bytes());
    }
    let (header, quoted) = out.split_at_mut(8);
    let ports = match (client.ip(), server.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (quoted[0], quoted[3], quoted[8], quoted[9]) = (0x45, 28, 64, UDP);
            quoted[12..16].copy_from_slice(&from.octets());
            quoted[16..20].copy_from_slice(&to.octets());
            let checksum = checksum(&quoted[..20]);
            quoted[10..12].copy_from_slice(&checksum.to_ne_bytes());
            20
        }
        (from, to) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            (quoted[0], quoted[5], quoted[6], quoted[7]) = (0x60, 8, UDP, 64);
            quoted[8..24].copy_from_slice(&octets(from));
            quoted[24..40].copy_from_slice(&octets(to));
            40
        }
    };
    quoted[ports..ports + 2].copy_from_slice(&client.port().to_be_bytes());
    quoted[ports + 2..ports + 4].copy_from_slice(&server.port().to_be_bytes());
    quoted[ports + 5] = 8;
    let length = header.len() + ports + 8;
    if !v6 {
        // The kernel writes the one of ICMPv6, which covers addresses as well (RFC 3542 §3.1).
        let checksum = checksum(&out[..length]);
        out[2..4].copy_from_slice(&checksum.to_ne_bytes());
    }
    length
}

fn checksum(bytes: &[u8]) -> u16 {
    !relay_common::checksum::fold(relay_common::checksum::sum(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(client: &str, server: &str, error: (u8, u8, u32)) -> Vec<u8> {
        let mut out = [0; LONGEST];
        let (kind, code, mtu) = error;
        let error = IcmpError { kind, code, mtu };
        let address = |text: &str| text.parse().expect("an address");
        let length = write(address(client), address(server), error, &mut out);
        out[..length].to_vec()
    }

    #[test]
    fn the_beginning_of_the_clients_packet_is_quoted_under_right_checksums() {
        let bytes = quoted("192.0.2.1:4660", "198.51.100.7:22136", (3, 4, 1400));
        assert_eq!(
            (bytes.len(), checksum(&bytes), checksum(&bytes[8..28])),
            (36, 0, 0)
        );
        assert_eq!(bytes[..2], [3, 4]);
        assert_eq!(bytes[4..8], [0, 0, 5, 120]);
        assert_eq!(bytes[20..28], [192, 0, 2, 1, 198, 51, 100, 7]);
        assert_eq!(bytes[28..32], [0x12, 0x34, 0x56, 0x78]);
        let bytes = quoted("[2001:db8::1]:4660", "[2001:db8::2]:22136", (1, 4, 1400));
        assert_eq!(bytes[..8], [1, 4, 0, 0, 0, 0, 0, 0]);
        assert_eq!((bytes.len(), bytes[8], bytes[14]), (56, 0x60, UDP));
        assert_eq!(bytes[48..52], [0x12, 0x34, 0x56, 0x78]);
    }

    #[test]
    fn a_second_has_room_for_so_many_and_the_next_for_more() {
        let start = Instant::now();
        let mut teller = Teller::new(start);
        teller.sent = PER_SECOND;
        let here: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let error = IcmpError {
            kind: 3,
            code: 3,
            mtu: 0,
        };
        let rate = |told| matches!(told, Err(Untold::Rate));
        assert!(rate(teller.tell(start, here, here, error)));
        assert!(!rate(teller.tell(
            start + Duration::from_secs(1),
            here,
            here,
            error
        )));
    }
}
