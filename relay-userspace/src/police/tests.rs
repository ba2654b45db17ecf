//! The registry on plain memory: what is in force, what a change does, what is given back.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::*;
use crate::fastpath::SessionId;

const PACKETS: fn(u64) -> Limit = |packets| Limit {
    packets_per_second: Some(packets),
    bits_per_second: None,
};

fn limits(session: Limit, user: Limit) -> Limits {
    Limits {
        session,
        user,
        burst: Duration::from_millis(15),
        ..Limits::default()
    }
}

/// A table of `slots` with two meters each, and a registry over it.
fn shared(limits: Limits, slots: usize) -> (Police, Arc<MeterTable>) {
    let words = slots * size_of::<relay_common::Slot>() / 8;
    let words: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
    let table = Arc::new(MeterTable::new(Box::new(words)));
    let clock = Arc::new(MeterClock::own());
    (
        Police::new(limits, Some((Arc::clone(&table), clock))),
        table,
    )
}

/// Of 5000 packets spread over a second, how many pass.
fn passed(pass: &Pass, direction: usize, from: Instant) -> usize {
    (0..5000)
        .filter(|i| pass.admits(direction, from + Duration::from_micros(200 * i), 100))
        .count()
}

#[test]
fn a_session_is_held_to_its_limit_in_each_direction_on_its_own() {
    let police = Police::new(limits(PACKETS(1000), Limit::NONE), None);
    let pass = police.session(SessionId(1), Some("ann"), None);
    let now = Instant::now();
    for direction in [UP, DOWN] {
        let got = passed(&pass, direction, now);
        assert!((980..=1020).contains(&got), "{got}");
    }
    assert_eq!(
        police.users()[0].dropped,
        [0, 0],
        "it was not the user's limit"
    );
}

#[test]
fn the_sessions_of_a_user_share_the_users_limit_and_others_do_not() {
    let (police, _) = shared(limits(Limit::NONE, PACKETS(1000)), 8);
    let one = police.session(SessionId(1), Some("ann"), None);
    let two = police.allocation("ann", None);
    let bob = police.session(SessionId(3), Some("bob"), None);
    let now = Instant::now();
    let admitted = |i: u64, pass: &Pass| pass.admits(UP, now + Duration::from_micros(200 * i), 9);
    let got = (0..5000u64)
        .filter(|i| admitted(*i, if i % 2 == 0 { &one } else { &two }))
        .count();
    assert!((980..=1020).contains(&got), "{got}");
    assert_eq!(police.users()[0].dropped[UP], 5000 - got as u64);
    assert!(admitted(1, &bob));
}

#[test]
fn a_changed_limit_is_in_force_at_once_on_what_runs() {
    let (police, table) = shared(limits(Limit::NONE, Limit::NONE), 8);
    let pass = police.session(SessionId(1), Some("ann"), None);
    let place = pass.meters().unwrap()[0];
    let rate = || table.meter(place).unwrap()[1].load(std::sync::atomic::Ordering::Relaxed);
    let now = Instant::now();
    assert_eq!((passed(&pass, UP, now), rate()), (5000, 0));
    assert!(police.change(Change::Sessions, PACKETS(100)));
    assert!(passed(&pass, UP, now) <= 102);
    assert_ne!(rate(), 0, "the kernel sees it");
    assert!(police.change(Change::Session(1), PACKETS(2000)));
    assert!((1960..=2040).contains(&passed(&pass, UP, now + Duration::from_secs(9))));
    assert!(police.change(Change::User("ann".into()), PACKETS(50)));
    assert!(passed(&pass, UP, now + Duration::from_secs(20)) <= 51);
    assert!(
        !police.change(Change::Session(7), PACKETS(1)),
        "no such session"
    );
    assert_eq!(police.limit_of(SessionId(1)), PACKETS(2000));
}

#[test]
fn a_session_that_moves_is_not_rid_of_the_limit_it_was_given() {
    let (police, _) = shared(limits(Limit::NONE, Limit::NONE), 8);
    let pass = police.session(SessionId(1), Some("ann"), None);
    assert!(police.change(Change::Session(1), PACKETS(100)));
    drop(pass);
    let moved = police.session(SessionId(1), Some("ann"), None);
    assert!(passed(&moved, UP, Instant::now()) <= 102);
    // Of those that ended there are never many.
    drop(moved);
    for id in 2..5000 {
        let _pass = police.session(SessionId(id), None, None);
        assert!(police.change(Change::Session(id), PACKETS(100)));
    }
    assert_eq!(police.limit_of(SessionId(1)), Limit::NONE);
}

#[test]
fn places_are_given_back_and_without_one_userspace_alone_keeps_the_limit() {
    let (police, _) = shared(limits(PACKETS(100), Limit::NONE), 1);
    let one = police.session(SessionId(1), Some("ann"), None);
    let two = police.session(SessionId(2), Some("ann"), None);
    assert!(one.meters().is_some());
    assert_eq!(two.meters(), None, "no room");
    assert!(passed(&two, UP, Instant::now()) <= 102);
    drop((one, two));
    assert!(police.users().is_empty());
    assert!(
        police
            .session(SessionId(3), Some("bob"), None)
            .meters()
            .is_some()
    );
}

#[test]
fn what_an_earlier_process_gave_out_is_left_alone_until_nobody_has_it() {
    let (police, table) = shared(limits(PACKETS(100), Limit::NONE), 1);
    table.hold(&[1, 2]);
    assert_eq!(police.session(SessionId(1), None, None).meters(), None);
    table.settle();
    assert!(police.session(SessionId(2), None, None).meters().is_some());
}

#[test]
fn a_users_meter_that_two_sessions_named_goes_to_one_user_when_they_are_gone() {
    let (police, table) = shared(limits(PACKETS(100), PACKETS(100)), 2);
    table.hold(&[1, 2, 3, 2]);
    table.settle();
    let users = [(1, "ann"), (2, "bob")];
    let passes = users.map(|(id, user)| police.session(SessionId(id), Some(user), None));
    let mut given: Vec<u32> = passes
        .iter()
        .flat_map(|pass| pass.meters().unwrap())
        .collect();
    given.sort_unstable();
    assert_eq!(given, [1, 2, 3, 4]);
}

#[test]
fn a_session_has_the_other_meter_of_its_users_slot() {
    let (police, _) = shared(limits(PACKETS(100), PACKETS(100)), 8);
    let mut passes = Vec::new();
    let mut slots = |id, user| {
        passes.push(police.session(SessionId(id), user, None));
        passes[passes.len() - 1]
            .meters()
            .unwrap()
            .map(|index| relay_common::meter_place(index).0)
    };
    assert_eq!(
        [slots(1, Some("ann")), slots(2, Some("bob"))],
        [[0, 0], [1, 1]]
    );
    assert_eq!(
        slots(3, Some("ann"))[0],
        2,
        "of her slot the session's is taken"
    );
    assert_eq!(
        slots(4, Some("col")),
        [3, 3],
        "a slot of his own, not what she left of hers"
    );
    passes.remove(1);
    let whole = [(5, "dan"), (6, "eva"), (7, "fay"), (8, "gil"), (9, "hal")];
    let given = whole.map(|(id, user)| {
        passes.push(police.session(SessionId(id), Some(user), None));
        passes[passes.len() - 1].meters().unwrap()
    });
    assert_eq!(
        given[4],
        [3, 4],
        "what became free last is given out last: {given:?}"
    );
}

#[test]
fn meters_lie_where_the_session_is_guessed_and_the_users_first_if_it_comes_before() {
    let (police, _) = shared(limits(PACKETS(100), PACKETS(100)), 64);
    let mut passes = vec![police.allocation("ann", Some(40))];
    let mut slots = |id, user, guess| {
        passes.push(police.session(SessionId(id), Some(user), Some(guess)));
        let meters = passes[passes.len() - 1].meters().unwrap();
        meters.map(|index| relay_common::meter_place(index).0)
    };
    assert_eq!(slots(1, "ann", 40), [40, 40]);
    assert_eq!(slots(2, "bob", 7), [7, 7]);
    let [second, user] = slots(3, "ann", 40);
    assert_eq!(user, 40);
    assert!(second != 40 && relay_common::beside(40).any(|slot| slot == second));
    assert_eq!(slots(4, "ann", 9), [9, 40], "from another place");
    assert_eq!(slots(5, "col", 70), [0, 0], "no such slot");
}

#[test]
fn a_stream_waits_for_its_own_limit_and_its_users_and_is_never_refused() {
    let bits = |bits| Limit {
        bits_per_second: Some(bits),
        packets_per_second: Some(1),
    };
    for (session, user) in [
        (bits(8_000_000), Limit::NONE),
        (Limit::NONE, bits(8_000_000)),
    ] {
        let police = Police::new(limits(session, user), None);
        let pass = police.allocation("ann", None);
        let start = Instant::now();
        for direction in [UP, DOWN] {
            let (mut now, mut moved) = (start, 0);
            while now < start + Duration::from_secs(1) {
                match pass.room(direction, now) {
                    Ok(room) => {
                        // A read may bring more than there was room for: it is paid for.
                        let bytes = room.min(40_000) + 100;
                        pass.spend(direction, now, bytes);
                        moved += bytes;
                    }
                    Err(wait) => now += wait,
                }
            }
            // A megabyte a second and 15 ms of burst.
            assert!((1_000_000..1_060_000).contains(&moved), "{moved}");
        }
        assert_eq!(police.users()[0].dropped, [0, 0]);
    }
    let police = Police::new(limits(Limit::NONE, Limit::NONE), None);
    let free = police.allocation("bob", None);
    free.spend(UP, Instant::now(), 1 << 30);
    assert_eq!(free.room(UP, Instant::now()), Ok(usize::MAX));
}
