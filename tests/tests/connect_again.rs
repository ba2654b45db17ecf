//! `relay connect` when what it is connected to becomes another: the relay is gone and back, sends it elsewhere, or this
//! host's way to it changes.

use std::process::Stdio;
use std::time::Duration;

use relay_tests::relay::{Follower, Relay};
use relay_tests::rough::{Media, Pace, Rough, wait_for};
use relay_tests::topology::{CLIENT_V4, EDGE_V4, SERVER_V4};
use serde_json::Value;

const PACE: Pace = Pace {
    period: Duration::from_millis(10),
    bytes: 100,
};
/// Another relay.
const OTHER_V4: &str = "10.71.1.3";
/// Another address of the client.
const MOVED_V4: &str = "10.71.1.4";

/// Until both directions carry what is sent from now on.
fn wait_for_media(media: &mut Media) {
    let first = media.next;
    let one_is_silent = |media: &Media| {
        let ways = [&media.to_peer, &media.to_application];
        Ok(ways.iter().any(|way| way.count_from(first) == 0))
    };
    media
        .run_while(Duration::from_secs(20), one_is_silent)
        .unwrap();
}

#[test]
fn a_relay_that_was_gone_is_connected_to_again_after_waits_that_grow_and_differ() {
    let Some(mut rough) = Rough::new() else {
        return;
    };
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", PACE, &["give-up=3s"]);
    media.run_for(Duration::from_millis(300)).unwrap();
    rough.relay.stop().unwrap();
    for (least, most) in [(500, 1500), (1000, 3000)] {
        let line = media.run_until(&connector, "reconnecting").unwrap();
        let wait = line["wait_ms"].as_u64().unwrap();
        assert!((least..=most).contains(&wait), "{line}");
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("no way to the relay"), "{reason}");
    }
    rough.start_relay_again();
    media.run_until(&connector, "ready").unwrap();
    wait_for_media(&mut media);
    assert_eq!(media.doubled(), [0, 0]);
}

#[test]
fn another_way_to_the_relay_is_taken_at_once_and_the_relayed_address_stays() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", PACE, &[]);
    let clients = || -> Vec<String> {
        let sessions = rough.relay.sessions().unwrap();
        sessions
            .iter()
            .map(|session| session.client.to_string())
            .collect()
    };
    assert!(clients()[0].starts_with(CLIENT_V4), "{:?}", clients());
    let network = |arguments: &[&str]| rough.client.ip(arguments).unwrap();
    network(&["addr", "add", &format!("{MOVED_V4}/32"), "dev", "eth0"]);
    // The old one would work on: only the route says that it is not to be used.
    network(&[
        "route",
        "replace",
        "10.71.1.0/24",
        "dev",
        "eth0",
        "src",
        MOVED_V4,
    ]);
    let changed = |line: &Value| line["reason"] == "network-changed";
    media.run_until_line(&connector, changed).unwrap();
    wait_for_media(&mut media);
    assert!(clients()[0].starts_with(MOVED_V4), "{:?}", clients());

    network(&["link", "set", "eth0", "down"]);
    media.run_for(Duration::from_millis(200)).unwrap();
    network(&["link", "set", "eth0", "up"]);
    media.run_until_line(&connector, changed).unwrap();
    wait_for_media(&mut media);
    assert!(clients()[0].starts_with(CLIENT_V4), "{:?}", clients());
    assert_eq!(media.relayed.len(), 1, "{:?}", media.relayed);
    assert_eq!(media.doubled(), [0, 0]);
}

/// Of a relay that sends its clients to `address` while it drains.
fn elsewhere(address: &str) -> String {
    format!("[turn]\nalternate_servers = [\"{address}:3478\", \"tls/{address}:443\"]\n")
}

/// Arguments of a relay that leaves other addresses of its host to another.
fn alone(address: &str) -> [String; 4] {
    let [udp, tls] = [format!("udp/{address}:3478"), format!("tls/{address}:443")];
    ["--listen", &udp, "--listen", &tls].map(str::to_owned)
}

fn drain(relay: &Relay) -> Follower {
    let drain = relay.follow(&["drain", "--json", "--deadline", "10m"]);
    let drain = drain.unwrap();
    drain.next::<Value>().unwrap().expect("a first line");
    drain
}

#[test]
fn a_relay_that_sends_its_client_elsewhere_is_followed_and_never_in_a_circle() {
    let [here, there] = [EDGE_V4, OTHER_V4].map(alone);
    let here = here.each_ref().map(String::as_str);
    let Some(rough) = Rough::with(&elsewhere(OTHER_V4), &here) else {
        return;
    };
    let there = there.each_ref().map(String::as_str);
    let other = rough.another_relay(OTHER_V4, &elsewhere(EDGE_V4), &there);
    // A relay without clients ends as soon as it drains.
    let _client = rough.connected("UDP_OVER_TCP", PACE, &[]);
    let _drain = drain(&rough.relay);
    let mut connectors = Vec::new();
    for mode in ["UDP_OVER_TCP", "TCP_ONLY"] {
        let peer = rough.peer();
        let forward = format!("udp/127.0.0.1:0={}", peer.local_addr().unwrap());
        let connector = rough.connect(mode, &forward);
        let ready = wait_for(&connector, "ready");
        let relayed = ready["relayed"].as_str().unwrap();
        assert!(relayed.starts_with(OTHER_V4), "{mode}: {ready}");
        connectors.push(connector);
    }
    assert_eq!(rough.relay.sessions().unwrap().len(), 1);

    let _drain = drain(&other);
    let mut command =
        rough.connect_command("UDP_OVER_TCP", &format!("udp/127.0.0.1:0={SERVER_V4}:9"));
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(77), "{said}");
    assert!(said.contains("refused: 300"), "{said}");
}
