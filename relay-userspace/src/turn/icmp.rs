//! ICMP errors about data that left for a peer, as Data indications (RFC 8656 §11.5). Changes no table.

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _,
    MessageWriteMutSlice,
};
use turn_types::attribute::XorPeerAddress;
use turn_types::message::DATA;

use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::server::Server;
use crate::icmp::IcmpError;

const ICMP: AttributeType = AttributeType::new(0x8004);
/// Header, XOR-PEER-ADDRESS per family, and ICMP.
const INDICATION_V4: usize = 20 + 12 + 12;
const INDICATION_V6: usize = 20 + 24 + 12;

impl Server {
    /// An ICMP error about a datagram from `relayed` to `peer`. Replaces what is in `out` with what the client is sent.
    pub fn handle_icmp(
        &mut self,
        now: Now,
        relayed: SocketAddr,
        peer: SocketAddr,
        error: IcmpError,
        out: &mut Vec<u8>,
    ) -> Option<FiveTuple> {
        let peer = SocketAddr::new(peer.ip(), peer.port());
        let outcome = self.judge_icmp(now.mono, relayed, peer, error);
        match outcome {
            Ok(to) => {
                let named = self.config.advertise.outward(peer);
                write_icmp_indication(self.tokens.transaction(), named, error, out);
                self.counters.bump(Counter::IcmpRelayed);
                Some(to)
            }
            Err(cause) => {
                self.counters.bump(cause);
                None
            }
        }
    }

    /// The permission of the peer counts, not that of whoever sent the ICMP error.
    fn judge_icmp(
        &self,
        now: Instant,
        relayed: SocketAddr,
        peer: SocketAddr,
        error: IcmpError,
    ) -> Result<FiveTuple, Counter> {
        if !error.is_an_error(peer.is_ipv6()) {
            return Err(Counter::IcmpOther);
        }
        let slot = self.table.of_relayed(relayed);
        let allocation = &self.table[slot.ok_or(Counter::PeerNoAllocation)?];
        if allocation.expires <= now {
            return Err(Counter::PeerNoAllocation);
        }
        match allocation.permits(peer.ip(), now) {
            true => Ok(allocation.tuple),
            false => Err(Counter::IcmpNoPermission),
        }
    }
}

fn write_icmp_indication(transaction: u128, peer: SocketAddr, error: IcmpError, out: &mut Vec<u8>) {
    let v6 = peer.is_ipv6();
    out.clear();
    out.resize(if v6 { INDICATION_V6 } else { INDICATION_V4 }, 0);
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, transaction.into(), MessageWriteMutSlice::new(out));
    let transaction = message.transaction_id();
    let value = value(error, v6);
    let written = message
        .add_attribute(&XorPeerAddress::new(peer, transaction))
        .and_then(|()| message.add_attribute(&RawAttribute::new(ICMP, &value)));
    debug_assert!(written.is_ok(), "the buffer was made to fit");
    message.finish();
}

/// RFC 8656 §18.13: sixteen reserved bits, seven of the type, nine of the code, then the MTU or zero.
fn value(error: IcmpError, v6: bool) -> [u8; 8] {
    let word = u16::from(error.kind) << 9 | u16::from(error.code);
    let mtu = if error.is_too_big(v6) { error.mtu } else { 0 };
    let mut value = [0; 8];
    value[2..4].copy_from_slice(&word.to_be_bytes());
    value[4..].copy_from_slice(&mtu.to_be_bytes());
    value
}
