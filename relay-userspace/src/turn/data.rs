//! Relayed data: ChannelData and Send indications of clients, datagrams of peers. Reads tables, never changes them.

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::attribute::{Attribute as _, AttributeFromRaw as _, AttributeStaticType as _};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _,
    MessageWriteMutSlice,
};
use turn_types::attribute::{Data, DontFragment, XorPeerAddress};
use turn_types::message::DATA;

use super::channel;
use super::command::ToPeer;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message;
use super::server::Server;

/// The largest payload of a UDP datagram over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;
/// Header, XOR-PEER-ADDRESS and the header of DATA, per family.
const DATA_INDICATION_V4: usize = 20 + 12 + 4;
const DATA_INDICATION_V6: usize = 20 + 24 + 4;
/// Type and length of an attribute.
const ATTRIBUTE_HEADER: usize = 4;

/// How datagrams of one peer go on to the client. True until anything changes: not to be kept.
#[derive(Debug, Clone, Copy)]
pub struct WayToClient {
    pub to: FiveTuple,
    peer: SocketAddr,
    /// Without one in Data indications.
    number: Option<u16>,
}

impl Server {
    /// ChannelData from a client (RFC 8656 §12.6).
    pub(super) fn channel_data<'p>(
        &mut self,
        now: Instant,
        from: FiveTuple,
        payload: &'p [u8],
    ) -> Option<ToPeer<'p>> {
        let Some((number, data)) = channel::parse(payload) else {
            self.counters.bump(Counter::ChannelDataMalformed);
            return None;
        };
        let bound = self.of_path(now, from).and_then(|slot| {
            let allocation = &self.table[slot];
            let peer = allocation.channels.peer(number, now)?;
            Some(ToPeer {
                allocation: allocation.id,
                relayed: allocation.relayed_at(now, peer.ip())?,
                peer,
                data,
                dont_fragment: false,
            })
        });
        self.counters.bump(match bound {
            Some(_) => Counter::ChannelDataRelayed,
            None => Counter::ChannelDataUnbound,
        });
        bound
    }

    /// A Send indication (RFC 8656 §11.2): relayed or dropped, never answered.
    pub(super) fn send_indication<'p>(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        payload: &'p [u8],
    ) -> Option<ToPeer<'p>> {
        let outcome = self.judge_send(now, from, message, payload);
        self.counters.bump(match outcome {
            Ok(_) => Counter::SendRelayed,
            Err(cause) => cause,
        });
        outcome.ok()
    }

    fn judge_send<'p>(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        payload: &'p [u8],
    ) -> Result<ToPeer<'p>, Counter> {
        message::comprehend(message).map_err(|_| Counter::SendMalformed)?;
        let (named, data) = addressed(message, payload).ok_or(Counter::SendMalformed)?;
        let peer = self.config.advertise.inward(named);
        let slot = self
            .of_path(now.mono, from)
            .ok_or(Counter::SendNoAllocation)?;
        let allocation = &self.table[slot];
        let relayed = allocation
            .relayed_at(now.mono, peer.ip())
            .filter(|_| !allocation.tcp)
            .ok_or(Counter::SendNoAllocation)?;
        if !allocation.permits(peer.ip(), now.mono) {
            return Err(Counter::SendNoPermission);
        }
        // The permission was judged without the port.
        if let Err(refusal) = self.config.policy.check(named) {
            let user = allocation.place.user().to_owned();
            self.note_refusal(now, from.client, &user, &refusal);
            return Err(Counter::SendForbidden);
        }
        Ok(ToPeer {
            allocation: allocation.id,
            relayed,
            peer,
            data,
            dont_fragment: message.has_attribute(DontFragment::TYPE),
        })
    }

    /// One datagram from a peer to a relayed address. Replaces what is in `out` with what the client is sent.
    pub fn handle_peer(
        &mut self,
        now: Now,
        relayed: SocketAddr,
        peer: SocketAddr,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<FiveTuple> {
        let way = self.way_of_peer(now, relayed, peer, 1)?;
        self.frame(&way, data, out).then_some(way.to)
    }

    /// How datagrams of a peer to a relayed address go on: judged once for `datagrams` that came together.
    pub fn way_of_peer(
        &mut self,
        now: Now,
        relayed: SocketAddr,
        peer: SocketAddr,
        datagrams: usize,
    ) -> Option<WayToClient> {
        // Without the scope and flow label a socket may report.
        let peer = SocketAddr::new(peer.ip(), peer.port());
        let judged = self.judge_peer(now.mono, relayed, peer);
        if let Err(cause) = judged {
            self.counters.add(cause, datagrams);
        }
        judged.ok()
    }

    /// Replaces what is in `out` with what the client is sent. False: it does not fit, and goes no further.
    pub fn frame(&mut self, way: &WayToClient, data: &[u8], out: &mut Vec<u8>) -> bool {
        if data.len().next_multiple_of(4) + way.overhead() > LARGEST_DATAGRAM {
            self.counters.bump(Counter::PeerTooLarge);
            return false;
        }
        match way.number {
            Some(number) => {
                channel::write(number, data, out);
                self.counters.bump(Counter::PeerToChannel);
            }
            None => {
                let named = self.config.advertise.outward(way.peer);
                write_data_indication(self.tokens.transaction(), named, data, out);
                self.counters.bump(Counter::PeerToIndication);
            }
        }
        true
    }

    fn judge_peer(
        &self,
        now: Instant,
        relayed: SocketAddr,
        peer: SocketAddr,
    ) -> Result<WayToClient, Counter> {
        let slot = self
            .table
            .of_relayed(relayed)
            .ok_or(Counter::PeerNoAllocation)?;
        let allocation = &self.table[slot];
        if allocation.expires <= now {
            return Err(Counter::PeerNoAllocation);
        }
        if !allocation.permits(peer.ip(), now) {
            return Err(Counter::PeerNoPermission);
        }
        Ok(WayToClient {
            to: allocation.tuple,
            peer,
            number: allocation.channels.number(peer, now),
        })
    }
}

impl WayToClient {
    fn overhead(&self) -> usize {
        match (self.number, self.peer) {
            (Some(_), _) => channel::HEADER,
            (None, SocketAddr::V4(_)) => DATA_INDICATION_V4,
            (None, SocketAddr::V6(_)) => DATA_INDICATION_V6,
        }
    }
}

/// The first peer and the first data of a Send indication.
fn addressed<'p>(message: &Message<'_>, payload: &'p [u8]) -> Option<(SocketAddr, &'p [u8])> {
    let transaction = message.transaction_id();
    let (mut peer, mut data) = (None, None);
    for (offset, raw) in message.iter_attributes() {
        if raw.get_type() == XorPeerAddress::TYPE && peer.is_none() {
            peer = Some(XorPeerAddress::from_raw_ref(&raw).ok()?.addr(transaction));
        } else if raw.get_type() == Data::TYPE && data.is_none() {
            let start = offset + ATTRIBUTE_HEADER;
            data = payload.get(start..start + raw.value.len());
        }
    }
    peer.zip(data)
}

fn write_data_indication(transaction: u128, peer: SocketAddr, data: &[u8], out: &mut Vec<u8>) {
    let head = match peer {
        SocketAddr::V4(_) => DATA_INDICATION_V4,
        SocketAddr::V6(_) => DATA_INDICATION_V6,
    };
    out.clear();
    out.resize(head + data.len().next_multiple_of(4), 0);
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, transaction.into(), MessageWriteMutSlice::new(out));
    let transaction = message.transaction_id();
    let written = message
        .add_attribute(&XorPeerAddress::new(peer, transaction))
        .and_then(|()| message.add_attribute(&Data::new(data)));
    debug_assert!(written.is_ok(), "the buffer was made to fit");
    let length = message.finish();
    debug_assert_eq!(length, head + data.len().next_multiple_of(4));
}
