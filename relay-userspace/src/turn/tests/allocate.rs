//! Allocate: what is granted, what is refused with which code, and that repeating it changes nothing.

use stun_types::attribute::{AttributeType, RawAttribute};
use turn_types::AddressFamily;
use turn_types::attribute::*;
use turn_types::message::ALLOCATE;

use super::harness::*;
use crate::events::Reason;
use crate::turn::{BindFault, Command, Counter, Family, PortWish, RelayFamilies};

const UDP: u8 = 17;

fn udp() -> RequestedTransport {
    RequestedTransport::new(UDP)
}

#[test]
fn an_allocation_is_answered_once_its_address_is_bound() {
    let mut s = TestServer::new();
    let request = s.request(&alice(), ALLOCATE, &[&udp()]);
    s.receive(&alice(), &request);
    s.bind();
    s.assert_commands(&[
        "1000 Allocate ok relayed 5.6.7.8:50000 lifetime 600 mapped 192.0.2.1:1000",
    ]);
    assert_eq!(
        s.server.poll_timeout(),
        Some(s.start + std::time::Duration::from_secs(600))
    );
    assert_eq!(s.server.allocations().count(), 1);
}

#[test]
fn the_driver_is_told_what_to_bind() {
    let v6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    let mut s = TestServer::new();
    s.expect(
        &client(1, "alice", "wonderland"),
        ALLOCATE,
        &[&udp(), &v6],
        &["bind V6 at 5.6.7.8 Any"],
    );
    let (even, next) = (EvenPort::new(false), EvenPort::new(true));
    s.expect(
        &client(2, "alice", "wonderland"),
        ALLOCATE,
        &[&udp(), &even],
        &["bind V4 at 5.6.7.8 Even"],
    );
    s.expect(
        &bob(),
        ALLOCATE,
        &[&udp(), &next],
        &["bind V4 at 5.6.7.8 EvenWithNext"],
    );
}

#[test]
fn a_repeated_allocate_gets_the_same_answer_and_binds_nothing() {
    let mut s = TestServer::new();
    let request = s.request(&alice(), ALLOCATE, &[&udp(), &EvenPort::new(true)]);
    s.receive(&alice(), &request);
    let Some(Command::BindRelay {
        allocation, port, ..
    }) = s.server.next_command()
    else {
        panic!("no BindRelay")
    };
    assert!(matches!(port, PortWish::EvenWithNext(_)));
    // Still binding: the answer will do for both.
    s.receive(&alice(), &request);
    s.assert_commands(&[]);
    s.server
        .relay_bound(s.now, allocation, Family::V4, Ok(addr("5.6.7.8:50000")));
    let answer = "1000 Allocate ok relayed 5.6.7.8:50000 lifetime 600 token mapped 192.0.2.1:1000";
    s.assert_commands(&[answer]);
    s.elapse(5);
    s.receive(&alice(), &request);
    s.assert_commands(&[answer]);
    assert_eq!(s.server.counters().get(Counter::Retransmissions), 1);
}

#[test]
fn a_second_allocate_of_the_same_client_is_437() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect(&alice(), ALLOCATE, &[&udp()], &["1000 Allocate 437"]);
}

#[test]
fn transport_must_be_named_and_known() {
    let mut s = TestServer::new();
    s.expect(&alice(), ALLOCATE, &[], &["1000 Allocate 400"]);
    s.expect(
        &alice(),
        ALLOCATE,
        &[&RequestedTransport::new(33)],
        &["1000 Allocate 442"],
    );
    let short = RawAttribute::new(AttributeType::new(0x0019), &[17]);
    s.expect(&alice(), ALLOCATE, &[&short], &["1000 Allocate 400"]);
}

#[test]
fn unsupported_families_are_440() {
    let mut s = TestServer::with(limits(), |c| {
        c.relay_families = RelayFamilies {
            v4: true,
            v6: false,
        }
    });
    let v6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    s.expect(&alice(), ALLOCATE, &[&udp(), &v6], &["1000 Allocate 440"]);
    let strange = RawAttribute::new(AttributeType::new(0x0017), &[9, 0, 0, 0]);
    s.expect(
        &alice(),
        ALLOCATE,
        &[&udp(), &strange],
        &["1000 Allocate 440"],
    );
}

#[test]
fn a_reservation_is_taken_alone() {
    let mut s = TestServer::new();
    let token = ReservationToken::new(7);
    let v4 = RequestedAddressFamily::new(AddressFamily::IPV4);
    s.expect(
        &alice(),
        ALLOCATE,
        &[&udp(), &token, &EvenPort::new(false)],
        &["1000 Allocate 400"],
    );
    s.expect(
        &alice(),
        ALLOCATE,
        &[&udp(), &token, &v4],
        &["1000 Allocate 400"],
    );
    let request = s.request(&alice(), ALLOCATE, &[&udp(), &token]);
    s.receive(&alice(), &request);
    let Some(Command::BindRelay {
        allocation, port, ..
    }) = s.server.next_command()
    else {
        panic!("no BindRelay")
    };
    assert!(matches!(port, PortWish::Reserved(token) if token.0 == 7));
    s.server.relay_bound(
        s.now,
        allocation,
        Family::V4,
        Err(BindFault::UnknownReservation),
    );
    s.assert_commands(&["1000 Allocate 508"]);
}

#[test]
fn a_failed_bind_leaves_nothing_and_says_why() {
    for (fault, code) in [
        (BindFault::PortsExhausted, 508),
        (BindFault::UnknownReservation, 508),
        (BindFault::FamilyUnavailable, 440),
        (BindFault::Refused, 500),
    ] {
        let mut s = TestServer::new();
        let request = s.request(&alice(), ALLOCATE, &[&udp()]);
        s.receive(&alice(), &request);
        let Some(Command::BindRelay { allocation, .. }) = s.server.next_command() else {
            panic!("no BindRelay")
        };
        s.server
            .relay_bound(s.now, allocation, Family::V4, Err(fault));
        s.assert_commands(&[&format!("1000 Allocate {code}")]);
        assert_eq!(s.server.table.index_sizes(), [0; 5]);
        assert_eq!(s.server.poll_timeout(), None);
        assert_eq!(s.server.config.shared.allocations(), 0);
    }
}

#[test]
fn an_address_bound_too_late_is_released() {
    let mut s = TestServer::new();
    let request = s.request(&alice(), ALLOCATE, &[&udp()]);
    s.receive(&alice(), &request);
    let Some(Command::BindRelay { allocation, .. }) = s.server.next_command() else {
        panic!("no BindRelay")
    };
    s.advance(601);
    s.server
        .relay_bound(s.now, allocation, Family::V4, Ok(addr("5.6.7.8:50000")));
    s.assert_commands(&["release 5.6.7.8:50000"]);
}

#[test]
fn lifetimes_are_granted_between_ten_minutes_and_the_limit() {
    for (wanted, granted) in [
        (0, 600),
        (1, 600),
        (599, 600),
        (1800, 1800),
        (u32::MAX, 3600),
    ] {
        let mut s = TestServer::new();
        let request = s.request(&alice(), ALLOCATE, &[&udp(), &Lifetime::new(wanted)]);
        s.receive(&alice(), &request);
        s.bind();
        s.assert_commands(&[&format!(
            "1000 Allocate ok relayed 5.6.7.8:50000 lifetime {granted} mapped 192.0.2.1:1000"
        )]);
    }
}

#[test]
fn a_user_over_quota_is_486_and_a_full_server_508() {
    let mut s = TestServer::new();
    for port in 1..=3 {
        s.allocate(&client(port, "alice", "wonderland"));
    }
    s.expect(&alice(), ALLOCATE, &[&udp()], &["1000 Allocate 486"]);
    s.allocate(&client(4, "bob", "builder"));
    s.allocate(&client(5, "bob", "builder"));
    s.expect(&bob(), ALLOCATE, &[&udp()], &["2000 Allocate 508"]);
    s.advance(600);
    assert_eq!(s.server.allocations().count(), 0);
    assert_eq!(s.server.config.shared.allocations(), 0);
}

#[test]
fn an_unknown_required_attribute_is_420_and_named() {
    let mut s = TestServer::new();
    let unknown = RawAttribute::new(AttributeType::new(0x7ff1), &[1, 2]);
    let optional = RawAttribute::new(AttributeType::new(0xbff1), &[1, 0, 0, 0]);
    s.expect(
        &alice(),
        ALLOCATE,
        &[&udp(), &unknown],
        &["1000 Allocate 420 unknown [7f, f1]"],
    );
    s.expect(
        &alice(),
        ALLOCATE,
        &[&udp(), &optional],
        &["bind V4 at 5.6.7.8 Any"],
    );
}

#[test]
fn an_allocation_expires_and_gives_everything_back() {
    let mut s = TestServer::new();
    let relayed = s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.advance(599);
    s.assert_commands(&[]);
    s.advance(1);
    s.assert_commands(&["remove 2", "release 5.6.7.8:50000"]);
    assert_eq!(relayed, addr("5.6.7.8:50000"));
    assert_eq!(s.server.poll_timeout(), None);
    assert_eq!(s.server.counters().get(Counter::AllocationsExpired), 1);
}

#[test]
fn a_reservation_ends_with_the_allocation_that_made_it() {
    let mut s = TestServer::new();
    s.allocate_with(&alice(), &[&udp(), &EvenPort::new(true)]);
    // Else a user would hold as many ports as it can ask for in 30 s, whatever its quota.
    s.expect_refresh(
        &alice(),
        0,
        &[
            "release 5.6.7.8:50000",
            "cancel the reservation",
            "1000 Refresh ok lifetime 0",
        ],
    );
}

#[test]
fn a_killed_allocation_goes_with_its_sessions_first() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    let id = s.server.allocations().next().unwrap().id;
    assert!(s.server.kill(id, Reason::Killed));
    s.assert_commands(&["remove 2", "release 5.6.7.8:50000"]);
    assert!(!s.server.kill(id, Reason::Killed));
    assert_eq!(s.server.poll_timeout(), None);
}
