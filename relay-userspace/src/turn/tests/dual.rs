//! One allocation with a relayed address of each family (RFC 8656 §7.2), and the end of either.

use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use turn_types::AddressFamily;
use turn_types::attribute::*;
use turn_types::message::{ALLOCATE, REFRESH};

use super::harness::*;
use crate::turn::{BindFault, Command, Counter, Family, RelayFamilies};

const PEER6: &str = "[2a00::99]:7";
const UDP: fn() -> RequestedTransport = || RequestedTransport::new(17);
const BOTH: fn() -> AdditionalAddressFamily = || AdditionalAddressFamily::new(AddressFamily::IPV6);

fn ask(s: &mut TestServer, attributes: &[&dyn AttributeWrite]) {
    let request = s.request(&alice(), ALLOCATE, attributes);
    s.receive(&alice(), &request);
}

/// Answers both BindRelay, the one of `fails` with `fault`.
fn answer(s: &mut TestServer, fails: &[Family], fault: BindFault) {
    for expected in [Family::V4, Family::V6] {
        let Some(Command::BindRelay {
            allocation, family, ..
        }) = s.server.next_command()
        else {
            panic!("no BindRelay")
        };
        assert_eq!(family, expected);
        let relayed = match family {
            Family::V4 => addr("5.6.7.8:50000"),
            Family::V6 => addr("[2a00::5678]:50001"),
        };
        let result = if fails.contains(&family) {
            Err(fault)
        } else {
            Ok(relayed)
        };
        s.server.relay_bound(s.now, allocation, family, result);
    }
}

fn dual() -> TestServer {
    let mut s = TestServer::new();
    ask(&mut s, &[&UDP(), &BOTH()]);
    answer(&mut s, &[], BindFault::Refused);
    s.assert_commands(&[
        "1000 Allocate ok relayed 5.6.7.8:50000 relayed [2a00::5678]:50001 lifetime 600 mapped 192.0.2.1:1000",
    ]);
    s
}

fn refresh(s: &mut TestServer, lifetime: u32, family: AddressFamily, expected: &[&str]) {
    let (lifetime, family) = (Lifetime::new(lifetime), RequestedAddressFamily::new(family));
    s.expect(&alice(), REFRESH, &[&lifetime, &family], expected);
}

fn bind_both(s: &mut TestServer) {
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.expect_bind(&alice(), 0x4001, PEER6, &[
        "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4001 until 600, [2a00::99]:7>[2a00::5678]:50001 until 300",
        "1000 ChannelBind ok",
    ]);
}

#[test]
fn one_allocation_relays_to_peers_of_both_families() {
    let mut s = dual();
    bind_both(&mut s);
    for (number, relayed) in [(0u8, "5.6.7.8:50000"), (1, "[2a00::5678]:50001")] {
        let data = [0x40, number, 0, 1, 9];
        let sent = s.server.handle_client(s.now, alice().tuple, &data).unwrap();
        assert_eq!(sent.relayed, addr(relayed));
        let mut out = Vec::new();
        let back = s
            .server
            .handle_peer(s.now, sent.relayed, sent.peer, b"x", &mut out);
        assert_eq!(
            (back, &out[..2]),
            (Some(alice().tuple), &[0x40, number][..])
        );
    }
    assert_eq!(s.server.config.shared.allocations(), 1);
}

#[test]
fn a_family_that_cannot_be_had_is_told_beside_the_other() {
    for (fails, fault, told) in [
        (
            Family::V6,
            BindFault::PortsExhausted,
            "relayed 5.6.7.8:50000 lifetime 600",
        ),
        (
            Family::V4,
            BindFault::FamilyUnavailable,
            "relayed [2a00::5678]:50001 lifetime 600",
        ),
    ] {
        let mut s = TestServer::new();
        let request = s.request(&alice(), ALLOCATE, &[&UDP(), &BOTH()]);
        s.receive(&alice(), &request);
        answer(&mut s, &[fails], fault);
        let (family, code) = match fails {
            Family::V4 => ("IPV4", 440),
            Family::V6 => ("IPV6", 508),
        };
        let (relayed, lifetime) = told.split_at(told.find(" lifetime").unwrap());
        let answer =
            format!("1000 Allocate ok {relayed} {family} {code}{lifetime} mapped 192.0.2.1:1000");
        s.assert_commands(&[&answer]);
        // And again to who did not hear it.
        s.receive(&alice(), &request);
        s.assert_commands(&[&answer]);
    }
}

#[test]
fn a_family_this_relay_lacks_is_not_even_tried() {
    let mut s = TestServer::with(limits(), |config| {
        config.relay_families = RelayFamilies {
            v4: true,
            v6: false,
        };
    });
    ask(&mut s, &[&UDP(), &BOTH()]);
    s.bind();
    s.assert_commands(&[
        "1000 Allocate ok relayed 5.6.7.8:50000 IPV6 440 lifetime 600 mapped 192.0.2.1:1000",
    ]);
}

#[test]
fn without_either_family_there_is_no_allocation() {
    let mut s = TestServer::new();
    ask(&mut s, &[&UDP(), &BOTH()]);
    answer(&mut s, &[Family::V4, Family::V6], BindFault::PortsExhausted);
    s.assert_commands(&["1000 Allocate 508"]);
    assert_eq!(s.server.config.shared.allocations(), 0);
    assert_eq!(s.server.poll_timeout(), None);
}

#[test]
fn what_does_not_go_with_an_additional_family_is_400() {
    let wrong: [&[&dyn AttributeWrite]; 4] = [
        &[
            &UDP(),
            &RawAttribute::new(AttributeType::new(0x8000), &[1, 0, 0, 0]),
        ],
        &[
            &UDP(),
            &BOTH(),
            &RequestedAddressFamily::new(AddressFamily::IPV6),
        ],
        &[&UDP(), &BOTH(), &EvenPort::new(true)],
        &[&UDP(), &BOTH(), &ReservationToken::new(7)],
    ];
    for attributes in wrong {
        let mut s = TestServer::new();
        s.expect(&alice(), ALLOCATE, attributes, &["1000 Allocate 400"]);
    }
    let mut s = TestServer::new();
    ask(&mut s, &[&UDP(), &BOTH(), &EvenPort::new(false)]);
    s.assert_commands(&["bind V4 at 5.6.7.8 Even", "bind V6 at 5.6.7.8 Even"]);
}

#[test]
fn either_family_can_be_deleted_and_the_other_goes_on() {
    let mut s = dual();
    bind_both(&mut s);
    refresh(
        &mut s,
        0,
        AddressFamily::IPV4,
        &[
            "remove 2",
            "release 5.6.7.8:50000",
            "1000 Refresh ok lifetime 0",
        ],
    );
    let again = s.signed(
        &alice(),
        REFRESH,
        &[
            &Lifetime::new(0),
            &RequestedAddressFamily::new(AddressFamily::IPV4),
        ],
    );
    s.receive(&alice(), &again);
    s.assert_commands(&["1000 Refresh ok lifetime 0"]);
    refresh(&mut s, 600, AddressFamily::IPV4, &["1000 Refresh 443"]);
    s.expect_bind(&alice(), 0x4002, PEER, &["1000 ChannelBind 443"]);
    s.expect_permission(&alice(), &[PEER], &["1000 CreatePermission 443"]);
    assert_eq!(
        s.server
            .handle_client(s.now, alice().tuple, &[0x40, 0, 0, 0]),
        None
    );
    assert!(
        s.server
            .handle_client(s.now, alice().tuple, &[0x40, 1, 0, 0])
            .is_some()
    );
    assert_eq!(s.server.counters().get(Counter::AllocationsDeleted), 0);
    refresh(
        &mut s,
        0,
        AddressFamily::IPV6,
        &[
            "remove 3",
            "release [2a00::5678]:50001",
            "1000 Refresh ok lifetime 0",
        ],
    );
    assert_eq!(s.server.config.shared.allocations(), 0);
}

#[test]
fn a_refresh_that_names_one_family_prolongs_both() {
    let mut s = dual();
    refresh(
        &mut s,
        1800,
        AddressFamily::IPV6,
        &["1000 Refresh ok lifetime 1800"],
    );
    s.advance(1799);
    assert_eq!(s.server.allocations().next().unwrap().relayed.len(), 2);
    s.advance(1);
    s.assert_commands(&["release 5.6.7.8:50000", "release [2a00::5678]:50001"]);
}

#[test]
fn both_families_go_on_in_the_next_process() {
    let mut s = dual();
    bind_both(&mut s);
    let id = s.server.take_changed().into_iter().next().unwrap();
    let saved = s.server.save(id).unwrap();
    let mut next = TestServer::new();
    (next.start, next.now) = (s.start, s.now);
    next.server.restore(next.now, &saved).unwrap();
    next.assert_commands(&[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4001 until 600, [2a00::99]:7>[2a00::5678]:50001 until 300",
    ]);
}
