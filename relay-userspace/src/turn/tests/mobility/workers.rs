//! From one worker to another.

use super::*;

/// Carries out the fetch a worker ordered.
fn carry_over(home: &mut TestServer, to: &mut TestServer) -> Option<u64> {
    let Some(Command::FetchAllocation {
        allocation,
        serial,
        from,
        request,
        ..
    }) = to.server.next_command()
    else {
        panic!("no fetch")
    };
    let departed = home.server.depart(allocation, serial);
    let id = departed.as_ref().map(|departed| Departed::id(departed).0);
    to.server.fetched(to.now, from, &request, departed);
    id
}

fn share(s: &mut TestServer, with: &TestServer) {
    (s.start, s.now) = (with.start, with.now);
    s.server.config.shared = with.server.config.shared.clone();
}

#[test]
fn an_allocation_moves_between_workers_and_on_to_a_third() {
    let (mut home, ticket) = with_channel(worker(0));
    let mut other = worker(1);
    share(&mut other, &home);
    let attributes: [&dyn AttributeWrite; 2] = [&Lifetime::new(600), &self::ticket(&ticket)];
    let request = other.request(&away(1111), REFRESH, &attributes);
    other.receive(&away(1111), &request);
    // A repetition while the first is on its way.
    other.receive(&away(1111), &request);
    assert!(carry_over(&mut home, &mut other).is_some());
    home.assert_commands(&["remove 4"]);
    assert_eq!(carry_over(&mut home, &mut other), None);
    other.assert_commands(&[
        "remove 4",
        &MOVED.replace("install 2", "install 4"),
        "1111 Refresh ok lifetime 600 ticket",
        "1111 Refresh ok lifetime 600 ticket",
    ]);
    assert_eq!(home.server.table.index_sizes(), [0; 5]);
    assert_eq!(home.server.poll_timeout(), None);
    assert_eq!(other.server.config.shared.allocations(), 1);
    assert_eq!(from_peer(&mut other), Some(away(1111).tuple));
    // Its id says worker 0, which knows where it went.
    let request = home.request(&away(1112), REFRESH, &attributes);
    home.receive(&away(1112), &request);
    assert!(matches!(
        home.server.commands.front(),
        Some(Command::FetchAllocation { home: 1, .. })
    ));
    assert!(carry_over(&mut other, &mut home).is_some());
    assert_eq!(from_peer(&mut home), Some(away(1112).tuple));
    assert_eq!(other.server.table.index_sizes(), [0; 5]);
    home.advance(700);
    assert_eq!(home.server.table.index_sizes(), [0; 5]);
    assert_eq!(home.server.poll_timeout(), None);
    assert_eq!(home.server.config.shared.allocations(), 0);
}

#[test]
fn a_fetch_that_finds_nothing_is_437() {
    let (mut home, ticket) = with_channel(worker(0));
    let mut other = worker(1);
    share(&mut other, &home);
    let request = other.request(&away(1111), REFRESH, &[&self::ticket(&ticket)]);
    other.receive(&away(1111), &request);
    home.expect_refresh(
        &alice(),
        0,
        &[
            "remove 4",
            "release 5.6.7.8:50000",
            "1000 Refresh ok lifetime 0",
        ],
    );
    assert_eq!(carry_over(&mut home, &mut other), None);
    other.assert_commands(&["1111 Refresh 437"]);
}
