//! What a TURN client asks, and what it reads in the answers (RFC 8656, RFC 8016, RFC 6062). Knows no transport.

use std::net::SocketAddr;
use std::time::Duration;

use stun_types::attribute::{AttributeType, XorMappedAddress};
use stun_types::message::BINDING;
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, ConnectionId, Lifetime, RequestedAddressFamily, RequestedTransport,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, REFRESH};

use super::request::{Answer, MessageError, Request};

const MOBILITY_TICKET: AttributeType = AttributeType::new(0x8030);
/// RFC 5780 §7.6: the answer is padded as well, so both directions carry the size.
const PADDING: AttributeType = AttributeType::new(0x0026);
const HEADER: usize = 20;
const ATTRIBUTE_HEADER: usize = 4;
/// Of allocations for connections (RFC 6062 §4.1).
const TCP: u8 = 6;
/// Between two questions for more time.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Asked for, in seconds.
const LIFETIME: u32 = 600;

/// A question of `bytes` bytes; a bare one if there is no room for padding.
pub fn binding(bytes: usize) -> Request {
    match bytes.checked_sub(HEADER + ATTRIBUTE_HEADER) {
        None | Some(0) => Request::new(BINDING),
        Some(room) => Request::new(BINDING).with_raw(PADDING, &vec![0; room / 4 * 4]),
    }
}

/// A relayed address of this family, for datagrams.
pub fn allocate(ipv4: bool) -> Request {
    Request::new(ALLOCATE)
        .with(RequestedTransport::new(RequestedTransport::UDP))
        .with(RequestedAddressFamily::new(match ipv4 {
            true => AddressFamily::IPV4,
            false => AddressFamily::IPV6,
        }))
}

/// The same, and it may move.
pub fn allocate_mobile(ipv4: bool) -> Request {
    allocate(ipv4).with_raw(MOBILITY_TICKET, &[])
}

/// For connections to peers.
pub fn allocate_tcp() -> Request {
    Request::new(ALLOCATE).with(RequestedTransport::new(TCP))
}

/// As long as is asked for; 0 ends the allocation.
pub fn refresh(seconds: u32) -> Request {
    Request::new(REFRESH).with(Lifetime::new(seconds))
}

pub fn keep() -> Request {
    refresh(LIFETIME)
}

/// Takes the allocation of `ticket` over to where this comes from.
pub fn come_over(ticket: &[u8]) -> Request {
    keep().with_raw(MOBILITY_TICKET, ticket)
}

pub fn channel_bind(number: u16, peer: SocketAddr) -> Request {
    Request::new(CHANNEL_BIND)
        .with(ChannelNumber::new(number))
        .with_peer(peer)
}

pub fn connect(peer: SocketAddr) -> Request {
    Request::new(CONNECT).with_peer(peer)
}

pub fn connection_bind(connection: u32) -> Request {
    Request::new(CONNECTION_BIND).with(ConnectionId::new(connection))
}

pub fn relayed(answer: &Answer) -> Result<SocketAddr, MessageError> {
    let message = answer.message()?;
    let relayed = message.attribute::<XorRelayedAddress>();
    let relayed = relayed.map_err(|_| MessageError::Without("XOR-RELAYED-ADDRESS"))?;
    Ok(relayed.addr(message.transaction_id()))
}

/// Where the server sees us.
pub fn mapped(answer: &Answer) -> Result<SocketAddr, MessageError> {
    let message = answer.message()?;
    let mapped = message.attribute::<XorMappedAddress>();
    let mapped = mapped.map_err(|_| MessageError::Without("XOR-MAPPED-ADDRESS"))?;
    Ok(mapped.addr(message.transaction_id()))
}

/// `None`: the server does not let this allocation move.
pub fn ticket(answer: &Answer) -> Result<Option<Vec<u8>>, MessageError> {
    let message = answer.message()?;
    let ticket = message.raw_attribute(MOBILITY_TICKET);
    Ok(ticket.map(|ticket| ticket.value.to_vec()))
}

pub fn lifetime(answer: &Answer) -> Result<Duration, MessageError> {
    let message = answer.message()?;
    let lifetime = message.attribute::<Lifetime>();
    let lifetime = lifetime.map_err(|_| MessageError::Without("LIFETIME"))?;
    Ok(Duration::from_secs(lifetime.seconds().into()))
}

/// When to ask for more time. A server that gives none is not asked in one go.
pub fn renew_after(answer: &Answer) -> Result<Duration, MessageError> {
    Ok((lifetime(answer)? / 2).max(SHORTEST_PAUSE))
}

pub fn connection(answer: &Answer) -> Result<u32, MessageError> {
    let message = answer.message()?;
    let connection = message.attribute::<ConnectionId>();
    let connection = connection.map_err(|_| MessageError::Without("CONNECTION-ID"))?;
    Ok(connection.id())
}
