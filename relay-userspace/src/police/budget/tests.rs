//! Rounds on plain memory and virtual time: who gets how much of a total.

use super::*;
use crate::fastpath::SessionId;
use crate::police::{DOWN, Limits, Pass, UP};

const BYTES: usize = 125;
/// A millisecond of a simulated second.
const STEP: Duration = Duration::from_millis(1);

fn bits(bits: u64) -> Limit {
    Limit {
        bits_per_second: Some(bits),
        packets_per_second: None,
    }
}

fn police(total: Limit, groups: &[(&str, Limit)]) -> Police {
    let groups = groups
        .iter()
        .map(|(name, limit)| ((*name).to_owned(), *limit));
    Police::new(
        Limits {
            total,
            groups: groups.collect(),
            burst: Duration::from_millis(15),
            ..Limits::default()
        },
        None,
    )
}

/// A sender of `offered` bits a second.
struct Sender {
    pass: Pass,
    direction: usize,
    offered: u64,
    owed: f64,
    passed: u64,
}

fn sender(police: &Police, user: &str, group: Option<&str>, offered: u64) -> Sender {
    limited(police, user, group, Limit::NONE, offered)
}

fn limited(police: &Police, user: &str, group: Option<&str>, own: Limit, offered: u64) -> Sender {
    let group = group.map(Arc::from);
    police.belongs(user, group.as_ref(), own);
    Sender {
        pass: police.session(SessionId(offered + user.len() as u64), Some(user), None),
        direction: UP,
        offered,
        owed: 0.0,
        passed: 0,
    }
}

/// Bits a second that pass, over `seconds` after one of settling.
fn run(police: &Police, start: Instant, seconds: u32, senders: &mut [Sender]) -> Vec<f64> {
    for ms in 0..(seconds + 1) * 1000 {
        let now = start + STEP * ms;
        if ms % 100 == 0 {
            police.round(now);
        }
        if ms == 1000 {
            senders.iter_mut().for_each(|sender| sender.passed = 0);
        }
        for sender in &mut *senders {
            sender.owed += sender.offered as f64 / 1000.0;
            while sender.owed >= (BYTES * 8) as f64 {
                sender.owed -= (BYTES * 8) as f64;
                sender.passed += u64::from(sender.pass.admits(sender.direction, now, BYTES));
            }
        }
    }
    let rate = |sender: &Sender| (sender.passed * BYTES as u64 * 8) as f64 / f64::from(seconds);
    senders.iter().map(rate).collect()
}

#[track_caller]
fn near(measured: f64, expected: f64) {
    assert!(
        (measured / expected - 1.0).abs() < 0.05,
        "{measured:.0} instead of {expected:.0}"
    );
}

#[test]
fn greedy_users_share_a_total_evenly_and_a_modest_one_has_what_it_wants() {
    let police = police(bits(9_000_000), &[]);
    let mut senders = [
        sender(&police, "ann", None, 20_000_000),
        sender(&police, "ben", None, 8_000_000),
        sender(&police, "cid", None, 1_000_000),
    ];
    let got = run(&police, Instant::now(), 4, &mut senders);
    near(got[2], 1e6);
    near(got[0], 4e6);
    near(got[1], 4e6);
    near(got.iter().sum(), 9e6);
}

#[test]
fn one_user_alone_has_all_of_it_and_gives_way_to_others_at_once() {
    let police = police(bits(8_000_000), &[]);
    let start = Instant::now();
    let mut senders = vec![sender(&police, "ann", None, 30_000_000)];
    near(run(&police, start, 2, &mut senders)[0], 8e6);
    senders.push(sender(&police, "ben", None, 30_000_000));
    let got = run(&police, start + Duration::from_secs(3), 2, &mut senders);
    near(got[0], 4e6);
    near(got[1], 4e6);
    // And has all of it again.
    senders.truncate(1);
    near(
        run(&police, start + Duration::from_secs(6), 2, &mut senders)[0],
        8e6,
    );
}

#[test]
fn a_group_has_its_own_total_and_the_others_have_the_rest() {
    let police = police(bits(10_000_000), &[("web", bits(2_000_000))]);
    let mut senders = [
        sender(&police, "ann", Some("web"), 20_000_000),
        sender(&police, "ben", Some("web"), 30_000_000),
        sender(&police, "cid", None, 40_000_000),
    ];
    let got = run(&police, Instant::now(), 4, &mut senders);
    near(got[0], 1e6);
    near(got[1], 1e6);
    near(got[2], 8e6);
}

#[test]
fn each_direction_has_a_total_and_below_it_nothing_is_dropped() {
    let police = police(bits(10_000_000), &[]);
    let mut senders = [
        sender(&police, "ann", None, 4_000_000),
        sender(&police, "ben", None, 4_500_000),
        sender(&police, "cid", None, 9_000_000),
    ];
    senders[2].direction = DOWN;
    let got = run(&police, Instant::now(), 4, &mut senders);
    near(got[0], 4e6);
    near(got[1], 4.5e6);
    near(got[2], 9e6);
}

#[test]
fn a_total_in_packets_is_shared_out_as_well() {
    let packets = Limit {
        bits_per_second: None,
        packets_per_second: Some(3000),
    };
    let police = police(packets, &[]);
    let mut senders = [
        sender(&police, "ann", None, 5_000_000),
        sender(&police, "ben", None, 7_000_000),
    ];
    let got = run(&police, Instant::now(), 4, &mut senders);
    near(got[0] / (BYTES * 8) as f64, 1500.0);
    near(got[1] / (BYTES * 8) as f64, 1500.0);
}

#[test]
fn who_may_have_less_than_a_part_of_its_group_leaves_the_rest_to_the_others() {
    let police = police(Limit::NONE, &[("staff", bits(9_000_000))]);
    let staff = Some("staff");
    let mut senders = [
        limited(&police, "ann", staff, bits(2_000_000), 20_000_000),
        sender(&police, "ben", staff, 20_000_000),
    ];
    let got = run(&police, Instant::now(), 4, &mut senders);
    near(got[0], 2e6);
    near(got[1], 7e6);
}
