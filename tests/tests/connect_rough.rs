//! `relay connect` on ways that are bad rather than closed: lossy, too narrow for media, refused, slow.

use std::time::{Duration, Instant};

use relay_tests::rough::{Media, Pace, Rough};
use serde_json::Value;

/// Of a video of 0.8 Mbit/s.
const VIDEO: Pace = Pace {
    period: Duration::from_millis(10),
    bytes: 1000,
};

#[test]
fn udp_that_loses_a_fifth_is_left_for_tls_where_nothing_is_missing() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", VIDEO, &[]);
    rough.link.change(|weather| weather.udp_loss_percent = 20);
    let switched = media.run_until(&connector, "transport-switched").unwrap();
    assert_eq!(
        (&switched["to"], &switched["reason"]),
        (&"tcp".into(), &"loss".into())
    );
    let first = media.next;
    media.run_for(Duration::from_secs(1)).unwrap();
    media.settle().unwrap();
    media.assert_whole(first);
}

#[test]
fn a_way_too_narrow_for_media_is_left_and_not_returned_to_before_it_is_wide_again() {
    let Some(rough) = Rough::new() else { return };
    let timing = ["dwell=500ms", "longest-seek=250ms"];
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", VIDEO, &timing);
    let narrow = |bytes| rough.link.change(|weather| weather.udp_black_hole = bytes);
    // Probes that ask whether anything passes do.
    narrow(Some(700));
    let switched = media.run_until(&connector, "transport-switched").unwrap();
    assert_eq!(
        (&switched["to"], &switched["reason"]),
        (&"tcp".into(), &"loss".into())
    );
    let asked = rough.link.udp_upstream();
    let few = |_: &_| Ok(rough.link.udp_upstream() < asked + 20);
    media.run_while(Duration::from_secs(60), few).unwrap();
    while let Some(line) = connector.poll::<Value>().unwrap() {
        assert_ne!(line["event"], "transport-switched", "{line}");
    }
    let restored = media.next;
    narrow(None);
    let returned = media.run_until(&connector, "transport-switched").unwrap();
    assert_eq!(
        (&returned["to"], &returned["reason"]),
        (&"udp".into(), &"restored".into())
    );
    media.run_for(Duration::from_millis(500)).unwrap();
    media.settle().unwrap();
    media.assert_whole(restored);
}

#[test]
fn udp_that_icmp_refuses_is_left_at_once() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", VIDEO, &[]);
    let refuse = "add table inet refuse
        add chain inet refuse input { type filter hook input priority 0; }
        add rule inet refuse input udp dport 3478 reject";
    let refused = Instant::now();
    for line in refuse.lines() {
        rough.edge.run("nft", &[line.trim()]).unwrap();
    }
    let switched = media.run_until(&connector, "transport-switched").unwrap();
    assert_eq!(
        (&switched["to"], &switched["reason"]),
        (&"tcp".into(), &"failed".into())
    );
    // Silence alone would take 2.5 s.
    assert!(refused.elapsed() < Duration::from_secs(2));
    let first = media.next;
    media.run_for(Duration::from_millis(500)).unwrap();
    media.settle().unwrap();
    media.assert_whole(first);
}

#[test]
fn a_tls_leg_too_slow_for_media_carries_what_is_new() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut media, _) = rough.connected("TCP_ONLY", VIDEO, &[]);
    // A third of what is sent.
    rough
        .link
        .change(|weather| weather.rate_back = Some(300_000));
    media.run_for(Duration::from_secs(2)).unwrap();
    media.to_peer.behind = 0;
    let arrived = media.to_peer.count_from(0);
    media.run_for(Duration::from_secs(4)).unwrap();
    let (behind, arrived) = (media.to_peer.behind, media.to_peer.count_from(0) - arrived);
    println!("{arrived} arrived, the latest {behind} behind");
    assert!(arrived > 40, "{arrived} of 400");
    // Were all of them kept, it would be 400 and more by now.
    assert!(behind < 120, "{behind} datagrams late");
    let stats = media.run_until(&connector, "stats").unwrap();
    assert!(stats["dropped"].as_u64() > Some(0), "{stats}");
    rough.link.change(|weather| weather.rate_back = None);
    let first = media.next;
    let slow = |media: &Media| Ok(media.to_peer.count_from(first) == 0);
    media.run_while(Duration::from_secs(20), slow).unwrap();
}
