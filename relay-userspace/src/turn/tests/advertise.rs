//! 1:1 NAT as clients see it: public addresses in every message, local ones in every order to the driver.

use stun_types::message::{Message, MessageWrite as _};
use turn_types::attribute::{Data, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, DATA, SEND};

use super::harness::*;
use crate::advertise::{Advertise, Advertised};
use crate::turn::Command;

const PUBLIC: &str = "1.2.3.4";

fn behind_nat() -> TestServer {
    TestServer::with(limits(), |config| {
        config.advertise = Advertise::new(&[Advertised {
            local: "5.6.7.8".parse().unwrap(),
            public: PUBLIC.parse().unwrap(),
        }]);
    })
}

#[test]
fn a_client_is_given_the_public_address_also_when_it_repeats_itself() {
    let mut s = behind_nat();
    let request = s.request(&alice(), ALLOCATE, &[&RequestedTransport::new(17)]);
    s.receive(&alice(), &request);
    s.bind();
    s.server.handle_client(s.now, alice().tuple, &request);
    for _ in 0..2 {
        let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
            panic!("no answer");
        };
        let message = Message::from_bytes(&bytes).unwrap();
        let relayed = message.attribute::<XorRelayedAddress>().unwrap();
        assert_eq!(
            relayed.addr(message.transaction_id()),
            addr("1.2.3.4:50000")
        );
    }
}

#[test]
fn two_clients_that_know_their_public_addresses_meet_at_the_local_ones() {
    let mut s = behind_nat();
    s.allocate(&alice());
    s.allocate(&bob());
    s.expect_bind(&alice(), 0x4000, "1.2.3.4:50001", &[
        "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 5.6.7.8:50001>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.expect_permission(&bob(), &["1.2.3.4:50000"], &["2000 CreatePermission ok"]);
    let indication = |s: &TestServer| {
        let peer = XorPeerAddress::new(addr("1.2.3.4:50000"), s.transaction.into());
        s.unsigned(
            stun_types::message::MessageClass::Indication,
            SEND,
            &[&peer, &Data::new(b"hello")],
        )
        .finish()
    };
    let sent = indication(&s);
    let relayed = s.server.handle_client(s.now, bob().tuple, &sent).unwrap();
    assert_eq!(
        (relayed.relayed, relayed.peer),
        (addr("5.6.7.8:50001"), addr("5.6.7.8:50000"))
    );
    let mut out = Vec::new();
    let to = s.server.handle_peer(
        s.now,
        addr("5.6.7.8:50001"),
        addr("5.6.7.8:50000"),
        b"back",
        &mut out,
    );
    assert_eq!(to, Some(bob().tuple));
    let message = Message::from_bytes(&out).unwrap();
    assert!(message.has_method(DATA));
    let peer = message.attribute::<XorPeerAddress>().unwrap();
    assert_eq!(peer.addr(message.transaction_id()), addr("1.2.3.4:50000"));
}
