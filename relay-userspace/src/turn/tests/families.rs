//! IPv6 relayed addresses, for clients of either family.

use stun_types::message::Message;
use turn_types::AddressFamily;
use turn_types::attribute::{Data, RequestedAddressFamily, RequestedTransport, XorPeerAddress};

use super::harness::*;

const PEER6: &str = "[2a00::99]:7";

fn v6() -> TestServer {
    let mut s = TestServer::new();
    let v6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    let relayed = s.allocate_with(&alice(), &[&RequestedTransport::new(17), &v6]);
    assert_eq!(relayed, addr("[2a00::5678]:50000"));
    s
}

#[test]
fn an_ipv4_client_relays_to_ipv6_peers_by_channel() {
    let mut s = v6();
    s.expect_bind(
        &alice(),
        0x4000,
        PEER6,
        &[
            "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, [2a00::99]:7>[2a00::5678]:50000 until 300",
            "1000 ChannelBind ok",
        ],
    );
    s.expect_bind(&alice(), 0x4001, PEER, &["1000 ChannelBind 443"]);
    let relayed = s
        .server
        .handle_client(s.now, alice().tuple, &[0x40, 0, 0, 1, 9])
        .unwrap();
    assert_eq!(
        (relayed.relayed, relayed.peer),
        (addr("[2a00::5678]:50000"), addr(PEER6))
    );
}

#[test]
fn ipv6_peers_without_a_channel_arrive_as_indications_whatever_their_scope() {
    let mut s = v6();
    s.expect_permission(&alice(), &[PEER6], &["1000 CreatePermission ok"]);
    let std::net::SocketAddr::V6(mut peer) = addr(PEER6) else {
        panic!("an IPv6 address")
    };
    peer.set_flowinfo(5);
    peer.set_scope_id(3);
    let mut out = Vec::new();
    let to = s.server.handle_peer(
        s.now,
        addr("[2a00::5678]:50000"),
        peer.into(),
        b"abc",
        &mut out,
    );
    assert_eq!(to, Some(alice().tuple));
    let message = Message::from_bytes(&out).unwrap();
    let told = message.attribute::<XorPeerAddress>().unwrap();
    assert_eq!(told.addr(message.transaction_id()), addr(PEER6));
    assert_eq!(message.attribute::<Data>().unwrap().data(), b"abc");
}
