//! Relayed data in both directions: what passes, what is dropped and under which name.

use stun_types::attribute::AttributeWrite;
use stun_types::message::{BINDING, Message, MessageClass, MessageWrite as _};
use turn_types::attribute::{Data, DontFragment, XorPeerAddress};
use turn_types::message::{CHANNEL_BIND, DATA, SEND};

use super::harness::*;
use crate::turn::{Counter, ToPeer};

fn bound() -> TestServer {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s
}

fn send(s: &TestServer, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
    s.unsigned(MessageClass::Indication, SEND, attributes)
        .finish()
}

fn to_peer<'p>(s: &mut TestServer, bytes: &'p [u8]) -> Option<ToPeer<'p>> {
    let relayed = s.server.handle_client(s.now, alice().tuple, bytes);
    assert_eq!(s.server.next_command(), None);
    relayed
}

fn to_client(s: &mut TestServer, peer: &str, data: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0xEE; 7];
    let to = s
        .server
        .handle_peer(s.now, addr("5.6.7.8:50000"), addr(peer), data, &mut out)?;
    assert_eq!(to, alice().tuple);
    Some(out)
}

fn only(s: &TestServer, counter: Counter) {
    assert_eq!(s.server.counters().get(counter), 1, "{}", counter.name());
}

#[test]
fn channel_data_reaches_the_peer_padded_or_not() {
    let mut s = bound();
    let padded = [0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
    for bytes in [&padded[..9], &padded[..]] {
        let relayed = to_peer(&mut s, bytes).unwrap();
        assert_eq!(
            (relayed.relayed, relayed.peer),
            (addr("5.6.7.8:50000"), addr(PEER))
        );
        assert_eq!(
            (relayed.data, relayed.dont_fragment),
            (&[1, 2, 3, 4, 5][..], false)
        );
    }
}

#[test]
fn channel_data_that_lies_about_its_length_or_number_is_dropped() {
    let mut s = bound();
    assert_eq!(to_peer(&mut s, &[0x40, 0, 0, 5, 1, 2]), None);
    only(&s, Counter::ChannelDataMalformed);
    assert_eq!(to_peer(&mut s, &[0x40, 1, 0, 0]), None);
    only(&s, Counter::ChannelDataUnbound);
    assert_eq!(to_peer(&mut s, &[0x80, 0, 0, 0]), None);
    assert_eq!(to_peer(&mut s, &[]), None);
    assert_eq!(s.server.counters().get(Counter::NotStun), 2);
}

#[test]
fn data_stops_on_time_even_when_the_timer_is_late() {
    let mut s = bound();
    s.elapse(299);
    assert!(to_client(&mut s, PEER, b"x").is_some());
    s.elapse(1);
    assert_eq!(to_client(&mut s, PEER, b"x"), None);
    only(&s, Counter::PeerNoPermission);
    assert!(to_peer(&mut s, &[0x40, 0, 0, 0]).is_some());
    s.elapse(300);
    assert_eq!(to_peer(&mut s, &[0x40, 0, 0, 0]), None);
    assert_eq!(to_client(&mut s, PEER, b"x"), None);
    only(&s, Counter::PeerNoAllocation);
}

#[test]
fn a_send_indication_needs_a_permission_and_carries_the_df_wish() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    let peer = XorPeerAddress::new(addr(PEER), s.transaction.into());
    let plain = send(&s, &[&peer, &Data::new(b"hello")]);
    assert_eq!(to_peer(&mut s, &plain), None);
    only(&s, Counter::SendNoPermission);

    s.expect_permission(&alice(), &["8.8.8.8:9"], &["1000 CreatePermission ok"]);
    let peer = XorPeerAddress::new(addr(PEER), s.transaction.into());
    let plain = send(&s, &[&peer, &Data::new(b"hello")]);
    let relayed = to_peer(&mut s, &plain).unwrap();
    assert_eq!(
        (relayed.peer, relayed.data, relayed.dont_fragment),
        (addr(PEER), &b"hello"[..], false)
    );
    let df = send(&s, &[&DontFragment::new(), &peer, &Data::new(b"")]);
    let relayed = to_peer(&mut s, &df).unwrap();
    assert_eq!((relayed.data, relayed.dont_fragment), (&b""[..], true));
}

#[test]
fn the_first_peer_of_a_send_indication_counts() {
    let mut s = bound();
    let first = XorPeerAddress::new(addr(PEER), s.transaction.into());
    let second = XorPeerAddress::new(addr(OTHER), s.transaction.into());
    let bytes = send(&s, &[&first, &second, &Data::new(b"x"), &Data::new(b"y")]);
    let relayed = to_peer(&mut s, &bytes).unwrap();
    assert_eq!((relayed.peer, relayed.data), (addr(PEER), &b"x"[..]));
}

#[test]
fn malformed_and_homeless_send_indications_are_dropped() {
    let mut s = TestServer::new();
    let peer = XorPeerAddress::new(addr(PEER), s.transaction.into());
    let whole = send(&s, &[&peer, &Data::new(b"x")]);
    assert_eq!(to_peer(&mut s, &whole), None);
    only(&s, Counter::SendNoAllocation);
    for half in [send(&s, &[&peer]), send(&s, &[&Data::new(b"x")])] {
        assert_eq!(to_peer(&mut s, &half), None);
    }
    assert_eq!(s.server.counters().get(Counter::SendMalformed), 2);
}

#[test]
fn a_send_indication_cannot_reach_the_relays_own_ports() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    // Client to client: the address is permitted, but not every port of it.
    s.expect_permission(&alice(), &["5.6.7.8:50001"], &["1000 CreatePermission ok"]);
    for (port, reaches) in [(50_001, true), (3478, false), (22, false), (0, false)] {
        let peer = std::net::SocketAddr::new(addr(PEER).ip(), port);
        let peer = std::net::SocketAddr::new("5.6.7.8".parse().unwrap(), peer.port());
        let bytes = send(
            &s,
            &[
                &XorPeerAddress::new(peer, s.transaction.into()),
                &Data::new(b"x"),
            ],
        );
        assert_eq!(to_peer(&mut s, &bytes).is_some(), reaches, "{port}");
    }
    assert_eq!(s.server.counters().get(Counter::SendForbidden), 3);
    assert_eq!(s.server.refusals().count(), 3);
}

#[test]
fn a_peer_with_a_channel_arrives_as_channel_data_and_others_as_indications() {
    let mut s = bound();
    assert_eq!(to_client(&mut s, PEER, b"abc").unwrap(), b"\x40\0\0\x03abc");
    assert_eq!(to_client(&mut s, OTHER, b"abc"), None);
    only(&s, Counter::PeerNoPermission);

    // The permission is for the address, the channel for the port.
    for data in [&b""[..], b"a", b"abcd", b"abcde"] {
        let bytes = to_client(&mut s, "8.8.8.8:5", data).unwrap();
        let message = Message::from_bytes(&bytes).unwrap();
        assert!(message.has_class(MessageClass::Indication) && message.has_method(DATA));
        assert_eq!(
            message
                .attribute::<XorPeerAddress>()
                .unwrap()
                .addr(message.transaction_id()),
            addr("8.8.8.8:5")
        );
        assert_eq!(message.attribute::<Data>().unwrap().data(), data);
        let padding = &bytes[bytes.len() - (4 - data.len() % 4) % 4..];
        assert!(padding.iter().all(|b| *b == 0));
    }
}

#[test]
fn data_indications_have_different_transactions() {
    let mut s = bound();
    let first = to_client(&mut s, "8.8.8.8:5", b"x").unwrap();
    let second = to_client(&mut s, "8.8.8.8:5", b"x").unwrap();
    assert_ne!(first[8..20], second[8..20]);
}

#[test]
fn what_does_not_fit_a_datagram_once_wrapped_is_dropped() {
    let mut s = bound();
    let largest = vec![0; 65_507];
    assert_eq!(to_client(&mut s, PEER, &largest), None);
    assert_eq!(to_client(&mut s, "8.8.8.8:5", &largest), None);
    assert_eq!(s.server.counters().get(Counter::PeerTooLarge), 2);
    assert!(to_client(&mut s, PEER, &largest[..65_500]).is_some());
}

#[test]
fn another_client_cannot_use_an_allocation() {
    let mut s = bound();
    assert_eq!(
        s.server.handle_client(s.now, bob().tuple, &[0x40, 0, 0, 0]),
        None
    );
    only(&s, Counter::ChannelDataUnbound);
}

#[test]
fn responses_and_foreign_methods_are_not_answered() {
    let mut s = TestServer::new();
    let messages = [
        s.unsigned(MessageClass::Success, BINDING, &[]).finish(),
        s.unsigned(MessageClass::Error, CHANNEL_BIND, &[]).finish(),
        s.unsigned(MessageClass::Indication, BINDING, &[]).finish(),
        s.unsigned(MessageClass::Indication, DATA, &[]).finish(),
        s.unsigned(MessageClass::Request, SEND, &[]).finish(),
        s.unsigned(
            MessageClass::Request,
            stun_types::message::Method::new(0xABC),
            &[],
        )
        .finish(),
    ];
    for message in &messages {
        s.receive(&alice(), message);
    }
    s.assert_commands(&[]);
    assert_eq!(
        s.server.counters().get(Counter::UnexpectedStun),
        messages.len() as u64
    );
}
