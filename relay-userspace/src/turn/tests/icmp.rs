//! ICMP errors about relayed data: who is told, what, and who is not.

use stun_types::attribute::{Attribute as _, AttributeType};
use stun_types::message::Message;
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::message::DATA;

use super::harness::*;
use crate::icmp::IcmpError;
use crate::turn::Counter;

const TYPE: AttributeType = AttributeType::new(0x8004);

fn permitted() -> TestServer {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_permission(&alice(), &[PEER], &["1000 CreatePermission ok"]);
    s
}

fn told(s: &mut TestServer, peer: &str, error: (u8, u8, u32)) -> Option<[u8; 8]> {
    let (kind, code, mtu) = error;
    let error = IcmpError { kind, code, mtu };
    let mut out = vec![0xEE; 7];
    let relayed = addr("5.6.7.8:50000");
    let to = s
        .server
        .handle_icmp(s.now, relayed, addr(peer), error, &mut out)?;
    assert_eq!(to, alice().tuple);
    let message = Message::from_bytes(&out).unwrap();
    assert!(message.has_method(DATA) && !message.is_response());
    let named = message.attribute::<XorPeerAddress>().unwrap();
    assert_eq!(named.addr(message.transaction_id()), addr(peer));
    assert!(message.attribute::<Data>().is_err());
    let (_, raw) = message
        .iter_attributes()
        .find(|(_, raw)| raw.get_type() == TYPE)
        .expect("ICMP");
    Some(raw.value.as_ref().try_into().unwrap())
}

#[test]
fn errors_about_permitted_peers_are_told_in_seven_and_nine_bits_with_the_mtu_where_one_is() {
    let mut s = permitted();
    for (error, expected) in [
        ((3, 3, 9), [0, 0, 6, 3, 0, 0, 0, 0]),
        ((3, 4, 1400), [0, 0, 6, 4, 0, 0, 5, 120]),
        ((11, 0, 7), [0, 0, 22, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(told(&mut s, PEER, error), Some(expected));
    }
    assert_eq!(s.server.counters().get(Counter::IcmpRelayed), 3);
}

#[test]
fn other_kinds_other_peers_and_ended_permissions_are_not_told() {
    let mut s = permitted();
    assert_eq!(told(&mut s, PEER, (5, 1, 0)), None);
    assert_eq!(s.server.counters().get(Counter::IcmpOther), 1);
    assert_eq!(told(&mut s, OTHER, (3, 3, 0)), None);
    s.elapse(300);
    assert_eq!(told(&mut s, PEER, (3, 3, 0)), None);
    assert_eq!(s.server.counters().get(Counter::IcmpNoPermission), 2);
}
