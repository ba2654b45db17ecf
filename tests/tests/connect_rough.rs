//! `relay connect` on ways that are bad rather than closed: lossy, too narrow for media, refused, slow.

use std::time::Duration;

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
    media.run_until_whole().unwrap();
    assert_eq!(media.doubled(), [0, 0]);
}

#[test]
fn a_way_too_narrow_for_media_is_left_and_not_returned_to_before_it_is_wide_again() {
    let Some(rough) = Rough::new() else { return };
    let timing = ["dwell=500ms", "longest-seek=250ms", "return-every=50ms"];
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
    narrow(None);
    let returned = media.run_until(&connector, "transport-switched").unwrap();
    assert_eq!(
        (&returned["to"], &returned["reason"]),
        (&"udp".into(), &"restored".into())
    );
    media.run_until_whole().unwrap();
    assert_eq!(media.doubled(), [0, 0]);
}

#[test]
fn udp_that_icmp_refuses_is_left_at_once() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", VIDEO, &[]);
    let refuse = "add table inet refuse
        add chain inet refuse input { type filter hook input priority 0; }
        add rule inet refuse input udp dport 3478 reject";
    for line in refuse.lines() {
        rough.edge.run("nft", &[line.trim()]).unwrap();
    }
    let switched = media.run_until(&connector, "transport-switched").unwrap();
    assert_eq!(
        (&switched["to"], &switched["reason"]),
        (&"tcp".into(), &"failed".into())
    );
    media.run_until_whole().unwrap();
    assert_eq!(media.doubled(), [0, 0]);
}

#[test]
fn a_tls_leg_too_slow_for_media_carries_what_is_new() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut media, _) = rough.connected("TCP_ONLY", VIDEO, &[]);
    // A quarter of what is sent.
    let slow = Some(200_000);
    rough.link.change(|weather| weather.rate_back = slow);
    media.run_for(Duration::from_secs(6)).unwrap();
    // Were all of them kept, 4 s would wait by now, and ever more.
    let late = |media: &Media| Ok(media.to_peer.count_from(media.next - 150) == 0);
    media.run_while(Duration::from_secs(20), late).unwrap();
    println!("at most {} behind", media.to_peer.behind);
    let stats = media.run_until(&connector, "stats").unwrap();
    assert!(stats["dropped"].as_u64() > Some(0), "{stats}");
    rough.link.change(|weather| weather.rate_back = None);
    let first = media.next;
    let slow = |media: &Media| Ok(media.to_peer.count_from(first) == 0);
    media.run_while(Duration::from_secs(20), slow).unwrap();
}
