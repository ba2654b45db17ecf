//! The pool on real loopback sockets. A small range of ports that are free right now is looked for first.

use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A pool of `len` ports, the first of which is even, none of which was bound a moment ago.
fn pool(len: u16) -> Arc<PortPool> {
    loop {
        let first = UdpSocket::bind((HERE, 0))
            .and_then(|s| s.local_addr())
            .expect("any port")
            .port()
            & !1;
        let Some(last) = first.checked_add(len - 1) else {
            continue;
        };
        let probes: Vec<_> = (first..=last)
            .map_while(|port| UdpSocket::bind((HERE, port)).ok())
            .collect();
        if probes.len() == usize::from(len) {
            return PortPool::new(first..=last);
        }
    }
}

#[test]
fn every_port_of_the_range_is_found_and_then_the_pool_says_so() {
    let pool = pool(5);
    let bound: Vec<_> = (0..5).map(|_| pool.bind(HERE).expect("a port")).collect();
    assert_eq!(pool.in_use(), 5);
    assert!(bound.iter().all(|bound| pool.holds(bound.address)));
    let first = bound[0].address;
    assert!(!pool.holds(SocketAddr::new(
        Ipv4Addr::new(127, 0, 0, 2).into(),
        first.port()
    )));
    assert!(matches!(pool.bind(HERE), Err(PortFault::Exhausted { .. })));
    drop(bound);
    assert_eq!(pool.in_use(), 0);
    assert!(!pool.holds(first));
    pool.bind(HERE).expect("free again");
}

#[test]
fn a_port_that_listens_for_tcp_is_none_of_udp() {
    let pool = pool(1);
    let bound = pool.bind(HERE).expect("a port");
    let address = bound.address;
    assert!(!pool.holds_stream(address));
    bound.lease.is_of_streams();
    assert!(pool.holds_stream(address) && !pool.holds(address));
    drop(bound);
    assert!(!pool.holds_stream(address));
    let next = pool.bind(HERE).expect("free again");
    assert!(pool.holds(next.address));
}

#[test]
fn a_port_that_a_session_of_before_will_want_is_nobody_elses() {
    let pool = pool(2);
    let kept = SocketAddr::new(HERE, *pool.range().end());
    pool.keep_for_heirs([kept]);
    let other = pool.bind(HERE).expect("the other one");
    assert_ne!(other.address, kept);
    assert!(matches!(pool.bind(HERE), Err(PortFault::Exhausted { .. })));
    let heir = pool.bind_exactly(kept).expect("bound").expect("kept");
    assert_eq!(heir.address, kept);
    drop(heir);
    pool.bind(HERE).expect("an ordinary port from then on");
    drop(other);
    pool.keep_for_heirs([kept]);
    pool.heirs_are_done();
    assert!((0..2).map(|_| pool.bind(HERE)).all(|bound| bound.is_ok()));
}

#[test]
fn a_port_of_another_program_is_passed_over() {
    let pool = pool(2);
    let _theirs = UdpSocket::bind((HERE, *pool.range().start())).expect("free a moment ago");
    let ours = pool.bind(HERE).expect("the other one");
    assert_eq!(ours.address.port(), *pool.range().end());
    assert_eq!(pool.in_use(), 1);
}

#[test]
fn an_even_port_with_the_next_one_kept_under_a_token() {
    let (pool, now) = (pool(4), Instant::now());
    let even = pool
        .bind_pair(HERE, ReservationToken(1), now)
        .expect("a pair");
    assert_eq!(even.address.port() % 2, 0);
    let odd = pool
        .take_reserved(ReservationToken(1), now + RESERVATION / 2)
        .expect("kept");
    assert_eq!(odd.address.port(), even.address.port() + 1);
    assert!(matches!(
        pool.take_reserved(ReservationToken(1), now),
        Err(PortFault::UnknownToken)
    ));
}

#[test]
fn a_reservation_nobody_came_for_gives_its_port_back() {
    let (pool, now) = (pool(2), Instant::now());
    let _even = pool
        .bind_pair(HERE, ReservationToken(1), now)
        .expect("a pair");
    assert_eq!(pool.in_use(), 2);
    assert!(matches!(
        pool.take_reserved(ReservationToken(1), now + RESERVATION),
        Err(PortFault::UnknownToken)
    ));
    assert_eq!(pool.in_use(), 1);
}

#[test]
fn a_cancelled_reservation_gives_its_port_back_unless_it_was_taken() {
    let (pool, now) = (pool(2), Instant::now());
    let even = pool
        .bind_pair(HERE, ReservationToken(1), now)
        .expect("a pair");
    pool.cancel_reservation(ReservationToken(1));
    assert_eq!(pool.in_use(), 1);
    drop(even);
    let _even = pool
        .bind_pair(HERE, ReservationToken(2), now)
        .expect("a pair");
    let _odd = pool.take_reserved(ReservationToken(2), now).expect("kept");
    pool.cancel_reservation(ReservationToken(2));
    assert_eq!(pool.in_use(), 2);
}

#[test]
fn no_pair_without_room_for_the_second_port() {
    let pool = pool(1);
    assert!(matches!(
        pool.bind_pair(HERE, ReservationToken(1), Instant::now()),
        Err(PortFault::Exhausted { .. })
    ));
    assert_eq!(pool.in_use(), 0);
    pool.bind_even(HERE).expect("an even port alone");
}
