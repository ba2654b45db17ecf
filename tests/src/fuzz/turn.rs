//! The TURN server under anything a client, a peer or a router may send.

mod books;
mod message;
mod sequence;
mod stage;
mod tickets;

use relay_userspace::icmp::IcmpError;
use relay_userspace::turn::Command;
use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{Message, MessageClass};
use stun_types::prelude::*;
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::message::{
    ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH,
};

use super::input::Input;
use message::parse;
pub use sequence::turn_sequence;
use stage::{CHANNEL, PEERS, Stage, client, peer};
pub use tickets::turn_tickets;

/// A datagram nobody signed: at most one answer, to its sender, and nothing is granted.
pub fn turn_bytes(input: &[u8]) {
    let mut input = Input(input);
    let mut stage = Stage::with_a_call();
    let from = client(input.below(2));
    let payload = input.rest();
    if let Some(to) = stage.server.handle_client(stage.now, from, payload) {
        assert_eq!(from, client(0), "data of a client without an allocation");
        assert!([peer(0), peer(2)].map(|p| p.ip()).contains(&to.peer.ip()));
        let inside = payload.as_ptr_range();
        assert!(to.data.is_empty() || inside.contains(&to.data.as_ptr()));
    }
    let mut answers = 0;
    while let Some(command) = stage.server.next_command() {
        let Command::Send { to, bytes } = command else {
            panic!("ordered by nobody: {command:?}");
        };
        assert_eq!(to, from, "sent to somebody else");
        assert!(parse(&bytes).is_some() && bytes.len() < 200);
        answers += 1;
    }
    assert!(answers <= 1);
}

/// Attributes of any kind in a request that is signed: it is answered, and what it gets the policy allows.
pub fn turn_signed(input: &[u8]) {
    let mut input = Input(input);
    let mut stage = Stage::with_a_call();
    let who = input.below(2);
    let method = [
        ALLOCATE,
        REFRESH,
        CREATE_PERMISSION,
        CHANNEL_BIND,
        CONNECT,
        CONNECTION_BIND,
    ][input.below(6)];
    let mut attributes = Vec::new();
    while !input.is_empty() && attributes.len() < 20 {
        /// With a meaning to some request.
        const KNOWN: [u16; 17] = [
            0x0c, 0x0d, 0x12, 0x13, 0x15, 0x17, 0x18, 0x19, 0x1a, 0x22, 0x8000, 0x06, 0x2a, 0x8030,
            0x1d, 0x1e, 0x8002,
        ];
        let kind = match input.byte() {
            255 => input.word(),
            known => KNOWN[usize::from(known) % KNOWN.len()],
        };
        let length = input.byte().into();
        let value = input.take(length);
        // Those of integrity are made when the message is.
        if ![0x08, 0x1c, 0x8028].contains(&kind) {
            attributes.push(RawAttribute::new(AttributeType::new(kind), value).into_owned());
        }
    }
    let attributes: Vec<_> = attributes
        .iter()
        .map(|a| a as &dyn AttributeWrite)
        .collect();
    stage.ask(who, method, &attributes);
    let mut commands = 0;
    while let Some(command) = stage.server.next_command() {
        commands += 1;
        match command {
            Command::Send { to, bytes } => {
                assert_eq!(to, client(who));
                assert!(parse(&bytes).is_some());
            }
            Command::InstallSession { spec, .. } => {
                assert_eq!(
                    (method, spec.near.remote),
                    (CHANNEL_BIND, client(who).client)
                );
                assert!(stage.policy.check(spec.far.remote).is_ok());
            }
            _ => {}
        }
    }
    assert!(commands > 0, "a signed request is answered");
}

/// Datagrams and ICMP errors of peers: the client is told exactly what they said, and of nobody it did not permit.
pub fn turn_peer(input: &[u8]) {
    let mut input = Input(input);
    let mut stage = Stage::with_a_call();
    let (relayed, now) = (stage.relayed, stage.now);
    let mut out = vec![0x55; 7];
    let from = peer(input.below(PEERS.len()));
    let permitted = [peer(0), peer(2)].map(|p| p.ip()).contains(&from.ip());
    if input.flag() {
        let error = IcmpError {
            kind: input.byte(),
            code: input.byte(),
            mtu: input.long(),
        };
        let to = stage
            .server
            .handle_icmp(now, relayed, from, error, &mut out);
        assert_eq!(to.is_some(), permitted && error.is_an_error(from.is_ipv6()));
        assert!(to.is_none() || (to == Some(client(0)) && parse(&out).is_some()));
        return;
    }
    let data = input.rest();
    let to = stage.server.handle_peer(now, relayed, from, data, &mut out);
    assert_eq!(to, permitted.then(|| client(0)));
    if to.is_none() {
        return;
    }
    if from == peer(2) {
        let length = (data.len() as u16).to_be_bytes();
        assert_eq!(out[..2], CHANNEL.to_be_bytes());
        assert_eq!((&out[2..4], &out[4..]), (&length[..], data));
        return;
    }
    let message = Message::from_bytes(&out).expect("an indication");
    assert!(message.has_class(MessageClass::Indication));
    let named = message.attribute::<XorPeerAddress>().expect("its peer");
    assert_eq!(named.addr(message.transaction_id()), from);
    assert_eq!(message.attribute::<Data>().expect("its data").data(), data);
}
