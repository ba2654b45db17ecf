//! Whatever a client sends, the server does not panic, and what is signed is answered.

use proptest::prelude::*;
use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::{MessageClass, MessageWrite as _};
use turn_types::attribute::{ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

use super::harness::*;

/// Attribute types with a meaning to some request, and one without.
const TYPES: [u16; 9] = [0x0c, 0x0d, 0x12, 0x17, 0x18, 0x19, 0x1a, 0x22, 0x7fff];

/// A valid message of each kind, for mutation.
fn valid(s: &mut TestServer, kind: usize) -> Vec<u8> {
    let peer = s.peer(PEER);
    let transport = RequestedTransport::new(17);
    match kind {
        0 => s.request(&alice(), ALLOCATE, &[&transport]),
        1 => s.request(&alice(), REFRESH, &[&Lifetime::new(600)]),
        2 => s.request(&alice(), CREATE_PERMISSION, &[&peer]),
        3 => s.request(
            &alice(),
            CHANNEL_BIND,
            &[&ChannelNumber::new(0x4000), &peer],
        ),
        4 => {
            let peer = XorPeerAddress::new(addr(PEER), s.transaction.into());
            let class = MessageClass::Indication;
            s.unsigned(class, SEND, &[&peer, &Data::new(b"hello")])
                .finish()
        }
        _ => vec![0x40, 0, 0, 4, 1, 2, 3, 4],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nothing_a_client_sends_makes_the_server_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut s = TestServer::new();
        s.allocate(&alice());
        s.server.handle_client(s.now, alice().tuple, &payload);
        while s.server.next_command().is_some() {}
    }

    #[test]
    fn no_mutation_of_a_valid_message_makes_the_server_panic(
        kind in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut s = TestServer::new();
        s.allocate(&alice());
        let mut message = valid(&mut s, kind);
        for (at, value) in changes {
            let at = at.index(message.len());
            message[at] = value;
        }
        s.server.handle_client(s.now, alice().tuple, &message);
        s.server.handle_client(s.now, alice().tuple, &message[..keep.index(message.len())]);
        while s.server.next_command().is_some() {}
    }

    #[test]
    fn no_signed_nonsense_makes_the_server_panic(
        method in prop::sample::select(vec![ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND]),
        attributes in prop::collection::vec(
            (prop::sample::select(TYPES.to_vec()), prop::collection::vec(any::<u8>(), 0..24)),
            0..6,
        ),
        allocated in any::<bool>(),
    ) {
        let mut s = TestServer::new();
        if allocated {
            s.allocate(&alice());
        }
        let raw: Vec<_> = attributes
            .iter()
            .map(|(kind, value)| RawAttribute::new(AttributeType::new(*kind), value))
            .collect();
        let raw: Vec<_> = raw.iter().map(|raw| raw as &dyn AttributeWrite).collect();
        let request = s.request(&alice(), method, &raw);
        s.receive(&alice(), &request);
        let mut commands = 0;
        while s.server.next_command().is_some() {
            commands += 1;
        }
        prop_assert!(commands > 0, "a signed request is answered");
    }
}
