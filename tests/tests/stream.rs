//! Clients on TLS under what TCP makes of a bad link, and under floods of bad connections.

use std::time::Duration;

use relay_tests::bench::stream::flood;
use relay_tests::bench::stream::stalled::{Plan, ROUND_TRIP, measure};
use relay_tests::privileged;

/// As configured by default.
const MOST_AGE: Duration = Duration::from_millis(200);
/// For two busy cores, of nearly all and of all that arrives. Without a bound a slow phase of three seconds makes data
/// seconds old.
const MARGINS: [Duration; 2] = [Duration::from_millis(80), Duration::from_millis(200)];

#[test]
fn on_a_link_that_becomes_slow_nothing_is_old_and_the_call_goes_on() {
    if !privileged::is_root() {
        return;
    }
    let plan = Plan {
        before: Duration::from_secs(1),
        slow: Duration::from_secs(3),
        after: Duration::from_secs(2),
        video_bits: 4_000_000,
        slow_bits: 1_000_000,
    };
    // One fills whatever queue a link has, as cubic does, and any host allows it; the other spaces packets out.
    let available = "/proc/sys/net/ipv4/tcp_available_congestion_control";
    let available = std::fs::read_to_string(available).unwrap();
    for congestion in ["reno", "bbr"] {
        if available.contains(congestion) {
            hold(congestion, plan);
        }
    }
}

fn hold(congestion: &str, plan: Plan) {
    let row = measure("relay", congestion, plan).unwrap();
    let [nearly_all, all] =
        MARGINS.map(|margin| (MOST_AGE + ROUND_TRIP + margin).as_secs_f64() * 1e3);
    for kind in [&row.video, &row.audio] {
        assert!(kind.slow.p99_ms < nearly_all, "{row:#?}");
        assert!(kind.slow.max_ms < all, "{row:#?}");
        assert!(kind.after.p99_ms < kind.before.p99_ms + 100.0, "{row:#?}");
    }
    let audio = &row.audio.slow;
    assert!(audio.arrived * 10 > audio.sent * 8, "{row:#?}");
    assert!(
        row.video.slow.arrived < row.video.slow.sent / 2,
        "the link was slow: {row:#?}"
    );
    assert!(row.recovered_after_ms < 1000.0 + all, "{row:#?}");
}

#[test]
fn established_sessions_lose_nothing_to_slow_half_open_and_garbled_connections() {
    if !privileged::is_root() {
        return;
    }
    for row in flood::run(&["relay"]).unwrap() {
        assert!(row.sent > 1000, "{row:?}");
        assert_eq!(row.lost, 0, "{row:?}");
        if row.flood != "nothing" {
            assert!(row.connections_per_second > 50.0, "{row:?}");
        }
    }
}
