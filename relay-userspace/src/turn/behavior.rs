//! NAT behaviour discovery (RFC 5780): which of four addresses a Binding request is answered from, and how large.
//! Sends to the IP that asked and to no other, and pads an answer no more than the request was.

use std::net::{IpAddr, SocketAddr};

use stun_types::attribute::AttributeType;
use stun_types::message::Message;

use super::answer::Reject;
use super::identity::{FiveTuple, Transport};

pub(super) const MAPPED_ADDRESS: AttributeType = AttributeType::new(0x0001);
pub(super) const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
pub(super) const PADDING: AttributeType = AttributeType::new(0x0026);
pub(super) const RESPONSE_PORT: AttributeType = AttributeType::new(0x0027);
pub(super) const RESPONSE_ORIGIN: AttributeType = AttributeType::new(0x802B);
pub(super) const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802C);
/// Comprehended where behaviour is discovered, and 420 elsewhere (RFC 5780 §6.1).
pub(super) const ASKED: &[AttributeType] = &[CHANGE_REQUEST, PADDING, RESPONSE_PORT];

/// Bits of CHANGE-REQUEST (RFC 5780 §7.2).
const CHANGE_IP: u32 = 4;
const CHANGE_PORT: u32 = 2;
/// The MTU of the outgoing link, as a rule (RFC 5780 §7.6): enough to make fragments.
const LONGEST_PADDING: usize = 1500;
/// XOR-MAPPED-ADDRESS of IPv6, with its header.
const LONGEST_MAPPED: usize = 24;

/// Two addresses that differ in IP and port; Binding requests come to their four pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternates([SocketAddr; 2]);

/// What an answer says besides the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// Where it comes from.
    pub origin: SocketAddr,
    pub other: SocketAddr,
}

impl Alternates {
    /// Of one family.
    pub fn new(pair: [SocketAddr; 2]) -> Self {
        Self(pair)
    }

    /// All four.
    pub fn all(self) -> [SocketAddr; 4] {
        let [a, b] = self.0;
        let crossed = [(a.ip(), b.port()), (b.ip(), a.port())].map(SocketAddr::from);
        [a, crossed[0], crossed[1], b]
    }

    /// The pair with neither the IP nor the port of this one; `None`: it is none of the four, or no datagram's.
    pub(super) fn other(self, at: FiveTuple) -> Option<SocketAddr> {
        let [a, b] = self.0;
        let here = at.transport == Transport::Udp && self.all().contains(&at.server);
        here.then(|| {
            let ip = if at.server.ip() == a.ip() {
                b.ip()
            } else {
                a.ip()
            };
            let same_port = at.server.port() == a.port();
            let port = if same_port { b.port() } else { a.port() };
            SocketAddr::new(ip, port)
        })
    }
}

/// Whom the answer goes to and from where, and the padding it is to have.
pub(super) fn path(
    message: &Message<'_>,
    from: FiveTuple,
    other: SocketAddr,
) -> Result<(FiveTuple, usize), Reject> {
    let mut path = from;
    if let Some(change) = message.raw_attribute(CHANGE_REQUEST) {
        let flags = <[u8; 4]>::try_from(&*change.value).map_err(|_| Reject::BadRequest)?;
        let flags = u32::from_be_bytes(flags);
        if flags & CHANGE_IP != 0 {
            path.server.set_ip(other.ip());
        }
        if flags & CHANGE_PORT != 0 {
            path.server.set_port(other.port());
        }
    }
    let padding = message.raw_attribute(PADDING);
    if let Some(port) = message.raw_attribute(RESPONSE_PORT) {
        // Both together would make this an amplifier at another port (RFC 5780 §7.5).
        let ([high, low] | [high, low, _, _]) = &*port.value else {
            return Err(Reject::BadRequest);
        };
        let port = u16::from_be_bytes([*high, *low]);
        if port == 0 || padding.is_some() {
            return Err(Reject::BadRequest);
        }
        path.client.set_port(port);
    }
    let padding = padding.map_or(0, |asked| asked.value.len().min(LONGEST_PADDING));
    Ok((path, padding))
}

/// The padding of an answer to a client that asks whether packets of a size pass, where no other address is told: so much
/// that the answer is no longer than what asked for it.
pub(super) fn echo(message: &Message<'_>) -> usize {
    let asked = message.raw_attribute(PADDING);
    let asked = asked.map_or(0, |asked| asked.value.len());
    asked.saturating_sub(LONGEST_MAPPED).min(LONGEST_PADDING)
}

/// An address as MAPPED-ADDRESS and its kin have it (RFC 8489 §14.1).
pub(super) fn plain(address: SocketAddr) -> Vec<u8> {
    let (family, ip) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    [&[0, family], &address.port().to_be_bytes()[..], &ip].concat()
}
