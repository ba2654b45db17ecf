//! What floods are made of. Sends nothing.

use std::net::SocketAddr;

use anyhow::Result;

use super::super::packet::shared::{HEADER_WORDS, Harness};
use super::super::veth::generator::Template;
use super::super::veth::{Lab, OUTER, OUTER_CARD, RELAY, mac};
use crate::packet::{Udp, channel_data, udp};

/// One kind of junk.
#[derive(Debug, Clone, Copy)]
pub struct Junk {
    pub name: &'static str,
    payload: Payload,
    from: From,
    to: To,
}

#[derive(Debug, Clone, Copy)]
enum Payload {
    /// Neither STUN nor ChannelData.
    Bytes,
    Binding,
    /// Without credentials.
    Allocate,
    /// Of a channel nobody bound.
    Channel,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Anywhere,
    /// A /24.
    Prefix,
    /// The address of known clients, any port.
    Client,
}

#[derive(Debug, Clone, Copy)]
enum To {
    Turn,
    /// The range of relayed addresses.
    RelayPorts,
}

/// The flood in the name of a known client's address.
pub const FORGED: &str = "client_address";

pub const ALL: [Junk; 7] = [
    Junk::new("junk", Payload::Bytes, From::Anywhere, To::Turn),
    Junk::new("binding", Payload::Binding, From::Anywhere, To::Turn),
    Junk::new("allocate", Payload::Allocate, From::Anywhere, To::Turn),
    Junk::new("one_prefix", Payload::Allocate, From::Prefix, To::Turn),
    Junk::new("channel_data", Payload::Channel, From::Anywhere, To::Turn),
    Junk::new(
        "relay_ports",
        Payload::Bytes,
        From::Anywhere,
        To::RelayPorts,
    ),
    Junk::new(FORGED, Payload::Binding, From::Client, To::Turn),
];

pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// REQUESTED-TRANSPORT: UDP.
const WANTS_UDP: [u8; 8] = [0x00, 0x19, 0x00, 0x04, 17, 0, 0, 0];

impl Junk {
    const fn new(name: &'static str, payload: Payload, from: From, to: To) -> Self {
        Self {
            name,
            payload,
            from,
            to,
        }
    }

    fn payload(self) -> Vec<u8> {
        match self.payload {
            Payload::Bytes => vec![0xa7; 40],
            Payload::Channel => channel_data(0x4abc, &[0xa7; 36], 0),
            Payload::Binding => stun(0x0001, &[]),
            Payload::Allocate => stun(0x0003, &WANTS_UDP),
        }
    }

    /// As the generator wants it.
    pub fn template(self, lab: &Lab) -> Result<Template> {
        let (from, address_mask) = match self.from {
            From::Anywhere => ("1.0.0.1:1024", u32::MAX),
            From::Prefix => ("198.51.100.0:1024", 0xff),
            From::Client => (&*format!("{OUTER}:1024"), 0),
        };
        let (port, port_mask) = match self.to {
            To::Turn => (3478, 0),
            To::RelayPorts => (49_152, 0x3fff),
        };
        let packet = udp(
            from.parse()?,
            SocketAddr::new(RELAY.parse()?, port),
            &self.payload(),
        );
        let mut frame = Udp {
            macs: (mac(&lab.inner, &lab.card)?, mac(&lab.outer, OUTER_CARD)?),
            ..packet
        }
        .bytes();
        // The generator writes this much of every frame.
        frame.resize(frame.len().max(8 * HEADER_WORDS), 0);
        let mut header = [0; HEADER_WORDS];
        for (word, bytes) in header.iter_mut().zip(frame.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into()?);
        }
        let harness = Harness {
            header,
            length: frame.len() as u32,
            flows: u32::MAX,
            address_mask,
            source_port_mask: 0xffff,
            port_mask,
            shift: 0,
            is_v6: 0,
            one_in: 1,
            rtp: 0,
            channel_bits: 0,
        };
        Ok((harness, frame))
    }
}

fn stun(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((attributes.len() as u16).to_be_bytes());
    bytes.extend(MAGIC_COOKIE);
    bytes.extend([0x5a; 12]);
    bytes.extend(attributes);
    bytes
}
