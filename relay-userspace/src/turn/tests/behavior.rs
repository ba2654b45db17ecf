//! Behaviour discovery (RFC 5780): where answers come from, what they say, and what is refused.

use std::net::SocketAddr;

use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::{BINDING, Message, MessageClass, MessageWrite as _};

use super::harness::*;
use crate::turn::{Alternates, Command, FiveTuple, Transport};

const FIRST: &str = "5.6.7.8:3478";
const SECOND: &str = "5.6.7.9:3479";

fn discovering() -> TestServer {
    TestServer::with(limits(), |config| {
        config.behavior = Some(Alternates::new([addr(FIRST), addr(SECOND)]));
    })
}

fn attribute(kind: u16, value: &[u8]) -> RawAttribute<'static> {
    RawAttribute::new(AttributeType::new(kind), value).into_owned()
}

fn change(flags: u8) -> RawAttribute<'static> {
    attribute(0x0003, &[0, 0, 0, flags])
}

fn at(server: &str) -> FiveTuple {
    FiveTuple {
        server: addr(server),
        ..alice().tuple
    }
}

/// The answer, where it goes, and whence.
fn ask(
    s: &mut TestServer,
    from: FiveTuple,
    attributes: &[RawAttribute<'static>],
) -> (FiveTuple, Vec<u8>) {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|a| a as &dyn AttributeWrite)
        .collect();
    let request = s
        .unsigned(MessageClass::Request, BINDING, &attributes)
        .finish();
    assert_eq!(s.server.handle_client(s.now, from, &request), None);
    let Some(Command::Send { to, bytes }) = s.server.next_command() else {
        panic!("no answer")
    };
    s.assert_commands(&[]);
    (to, bytes)
}

/// 0 of a success.
fn error(bytes: &[u8]) -> u16 {
    let message = Message::from_bytes(bytes).unwrap();
    let code = message.attribute::<stun_types::attribute::ErrorCode>();
    code.map_or(0, |code| code.code())
}

/// MAPPED-ADDRESS and its kin, of IPv4.
fn plain(bytes: &[u8], kind: u16) -> SocketAddr {
    let message = Message::from_bytes(bytes).unwrap();
    let raw = message.raw_attribute(AttributeType::new(kind)).unwrap();
    let [0, 1, high, low, ip @ ..] = &*raw.value else {
        panic!("{:?}", raw.value)
    };
    let ip: [u8; 4] = ip.try_into().unwrap();
    (ip, u16::from_be_bytes([*high, *low])).into()
}

#[test]
fn a_binding_request_is_answered_from_where_it_asks_and_told_the_other_address() {
    // RFC 5780, table 1: by the flags (4: IP, 2: port), from each of the four.
    for (server, other, from) in [
        (
            FIRST,
            SECOND,
            [FIRST, "5.6.7.8:3479", "5.6.7.9:3478", SECOND],
        ),
        (
            SECOND,
            FIRST,
            [SECOND, "5.6.7.9:3478", "5.6.7.8:3479", FIRST],
        ),
        (
            "5.6.7.8:3479",
            "5.6.7.9:3478",
            ["5.6.7.8:3479", FIRST, SECOND, "5.6.7.9:3478"],
        ),
    ] {
        let mut s = discovering();
        for (flags, origin) in [0, 2, 4, 6].into_iter().zip(from) {
            let (to, bytes) = ask(&mut s, at(server), &[change(flags)]);
            assert_eq!((to.client, to.server), (alice().tuple.client, addr(origin)));
            assert_eq!(plain(&bytes, 0x802B), addr(origin), "RESPONSE-ORIGIN");
            assert_eq!(plain(&bytes, 0x802C), addr(other), "OTHER-ADDRESS");
            assert_eq!(plain(&bytes, 0x0001), alice().tuple.client);
        }
        let (to, bytes) = ask(&mut s, at(server), &[]);
        assert_eq!(
            (to.server, plain(&bytes, 0x802C)),
            (addr(server), addr(other))
        );
    }
}

#[test]
fn an_answer_goes_to_another_port_of_who_asked_and_is_not_padded_then() {
    let mut s = discovering();
    let port = attribute(0x0027, &[0x12, 0x34, 0, 0]);
    let (to, _) = ask(&mut s, at(FIRST), std::slice::from_ref(&port));
    let mut there = alice().tuple.client;
    there.set_port(0x1234);
    assert_eq!((to.client, to.server), (there, addr(FIRST)));
    let padding = attribute(0x0026, &[0; 100]);
    for refused in [
        &[port, padding.clone()][..],
        &[attribute(0x0027, &[0, 0, 0, 0])],
        &[attribute(0x0027, &[1, 2, 3])],
        &[attribute(0x0003, &[6])],
    ] {
        let (to, bytes) = ask(&mut s, at(FIRST), refused);
        assert_eq!((to, error(&bytes)), (at(FIRST), 400));
    }
    for (asked, padded) in [(100, 100), (1500, 1500), (9000, 1500)] {
        let padding = attribute(0x0026, &vec![0; asked]);
        let (_, bytes) = ask(&mut s, at(FIRST), &[padding]);
        let message = Message::from_bytes(&bytes).unwrap();
        let raw = message.raw_attribute(AttributeType::new(0x0026)).unwrap();
        assert_eq!(raw.value.len(), padded);
    }
}

#[test]
fn where_behaviour_is_not_discovered_its_attributes_are_unknown() {
    let mut plain_server = TestServer::new();
    let (_, bytes) = ask(&mut plain_server, at(FIRST), &[change(6)]);
    assert_eq!(error(&bytes), 420);
    let (_, bytes) = ask(&mut plain_server, at(FIRST), &[]);
    assert_eq!(bytes.len(), 32, "no word more than ever");
    for asked in [0, 24, 28, 1176, 9000] {
        let padding = attribute(0x0026, &vec![0; asked]);
        let (_, bytes) = ask(&mut plain_server, at(FIRST), &[padding]);
        // What asks is 24 bytes longer than its padding, and no answer but the barest is longer than what asked.
        let room = asked.saturating_sub(24).min(1500);
        let expected = if room > 0 { 32 + 4 + room } else { 32 };
        assert_eq!(bytes.len(), expected, "{asked}");
        assert!(expected <= (24 + asked).max(32));
    }
    let mut s = discovering();
    let mut by_tcp = at(FIRST);
    by_tcp.transport = Transport::Tcp;
    for elsewhere in [at("5.6.7.8:5000"), by_tcp] {
        let (_, bytes) = ask(&mut s, elsewhere, &[change(2)]);
        assert_eq!(error(&bytes), 420);
    }
}
