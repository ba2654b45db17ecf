//! `relay connect` behind a link that is made bad in mid-flow: over which leg it goes, what of a stream is missing, and what
//! it says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use relay_tests::relay::{Follower, binary};
use relay_tests::rough::{Media, Pace, Rough, local_port};
use relay_tests::topology::SERVER_V4;

const PACE: Pace = Pace {
    period: Duration::from_millis(5),
    bytes: 4,
};

/// From the moment on when UDP works again.
fn return_costs_nothing(rough: &Rough, connector: &Follower, media: &mut Media) {
    let restored = media.next;
    rough.link.change(|weather| weather.udp_blocked = false);
    let returned = media.run_until(connector, "transport-switched").unwrap();
    assert_eq!(
        (&returned["from"], &returned["to"]),
        (&"tcp".into(), &"udp".into())
    );
    assert_eq!(
        (&returned["gap_ms"], &returned["lost"]),
        (&0.into(), &0.into())
    );
    media.run_for(Duration::from_secs(1)).unwrap();
    media.settle().unwrap();
    let missing = media.missing(restored, media.next);
    assert_eq!(missing, [0, 0], "at the return");
}

#[test]
fn a_stream_goes_on_over_tls_when_udp_is_cut_and_back_when_it_works_with_the_same_address() {
    let Some(rough) = Rough::new() else { return };
    let timing = ["dwell=1s", "return-every=100ms"];
    let (connector, mut media, selected) = rough.connected("UDP_OVER_TCP", PACE, &timing);
    assert_eq!(selected["proto"], "udp");
    media.run_until_whole().unwrap();

    let first = media.next;
    rough.link.change(|weather| weather.udp_blocked = true);
    let cut = Instant::now();
    let switched = media.run_until(&connector, "transport-switched").unwrap();
    let took = cut.elapsed();
    println!("on TLS after {took:?}");
    assert_eq!(
        (&switched["from"], &switched["to"]),
        (&"udp".into(), &"tcp".into())
    );
    assert_eq!(switched["reason"], "silence");
    // 2.5 s without a proof, and a busy machine.
    assert!(took < Duration::from_secs(10), "{took:?}");
    media.run_for(Duration::from_millis(500)).unwrap();
    media.settle().unwrap();
    let [to_peer, to_application] = media.missing(first, media.next);
    println!("missing: {to_peer} to the peer, {to_application} to the application");
    let lost = switched["lost"].as_u64().unwrap() as usize;
    assert!((1..=lost).contains(&to_peer), "{to_peer} of at most {lost}");
    assert!(to_application > 0, "the link was cut");

    media.run_until_whole().unwrap();
    return_costs_nothing(&rough, &connector, &mut media);
    assert_eq!(media.doubled(), [0, 0]);
    assert_eq!(media.relayed.len(), 1, "{:?}", media.relayed);
    assert_eq!(rough.relay.sessions().unwrap().len(), 1);
}

#[test]
fn udp_that_is_blocked_from_the_start_is_not_waited_for_and_tcp_only_sends_none() {
    let Some(rough) = Rough::new() else { return };
    let before = rough.link.udp_upstream();
    let (connector, mut media, selected) = rough.connected("TCP_ONLY", PACE, &[]);
    assert_eq!(
        (&selected["proto"], &selected["reason"]),
        (&"tcp".into(), &"mode".into())
    );
    media.run_until_whole().unwrap();
    assert_eq!(rough.link.udp_upstream(), before, "UDP in TCP_ONLY");
    drop(connector);

    rough.link.change(|weather| weather.udp_blocked = true);
    let (_connector, mut media, selected) = rough.connected("UDP_OVER_TCP", PACE, &[]);
    assert_eq!(
        (&selected["proto"], &selected["reason"]),
        (&"tcp".into(), &"no-answer".into())
    );
    let elapsed = selected["elapsed_ms"].as_u64().unwrap();
    assert!((1000..4000).contains(&elapsed), "{elapsed} ms");
    media.run_until_whole().unwrap();
    assert!(rough.link.udp_upstream() > before, "UDP was tried");
}

#[test]
fn a_nat_that_forgets_its_client_costs_no_relayed_address() {
    let Some(rough) = Rough::new() else { return };
    let (_connector, mut media, _) = rough.connected("UDP_ONLY", PACE, &[]);
    media.run_for(Duration::from_millis(500)).unwrap();
    media.settle().unwrap();
    rough.link.rebind();
    let first = media.next;
    let silent = |media: &Media| Ok(media.to_peer.count_from(first) == 0);
    media.run_while(Duration::from_secs(10), silent).unwrap();
    media.run_until_whole().unwrap();
    assert_eq!(media.relayed.len(), 1, "{:?}", media.relayed);
}

#[test]
fn udp_only_fails_with_what_was_tried_and_what_to_open() {
    let Some(rough) = Rough::new() else { return };
    rough.link.change(|weather| weather.udp_blocked = true);
    let mut command = rough.connect_command("UDP_ONLY", &format!("udp/127.0.0.1:0={SERVER_V4}:9"));
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(69), "{said}");
    assert!(
        said.contains("UDP_ONLY: no way to the relay for 10."),
        "{said}"
    );
    assert!(said.contains("udp, tried for 10."), "{said}");
    assert!(
        said.contains("let the firewall pass UDP to 10.71.1.1:3478"),
        "{said}"
    );
}

#[test]
fn a_timing_that_is_unknown_or_contradicts_another_is_wrong_usage() {
    for (timing, words) in [
        ("dowbt=1s", "\"dowbt\" is no timing: there are head-start,"),
        ("doubt=9s", "doubt (9s) is longer than silence (2s500ms)"),
    ] {
        let mut command = Command::new(binary());
        command.args(["connect", "--server", "127.0.0.1", "--user", "user"]);
        command.args([
            "--password",
            "password",
            "--forward",
            "udp/127.0.0.1:0=127.0.0.1:9",
        ]);
        let ended = command.args(["--timing", timing]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_wrong_password_is_the_relays_no_and_not_the_firewalls() {
    let Some(rough) = Rough::new() else { return };
    let mut command =
        rough.connect_command("UDP_OVER_TCP", &format!("udp/127.0.0.1:0={SERVER_V4}:9"));
    command.env("RELAY_CONNECT_PASSWORD", "wrong");
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(77), "{said}");
    assert!(said.contains("401"), "{said}");
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || from.write_all(bytes).unwrap());
        to.read_exact(&mut arrived).unwrap();
    });
    assert!(arrived == bytes, "other bytes than were sent");
}

#[test]
fn connections_go_through_the_relay_each_by_itself() {
    let Some(rough) = Rough::new() else { return };
    let listener = rough
        .server
        .enter(|| Ok(TcpListener::bind((SERVER_V4, 0))?))
        .unwrap();
    let to = listener.local_addr().unwrap();
    let connector = rough.connect("TCP_ONLY", &format!("tcp/127.0.0.1:0={to}"));
    let port = local_port(&connector);
    let mut ends = Vec::new();
    for _ in 0..3 {
        let near = rough
            .client
            .enter(|| Ok(TcpStream::connect(port)?))
            .unwrap();
        let (far, _) = listener.accept().unwrap();
        ends.push((near, far));
    }
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    for (near, far) in &ends {
        carry(near, far, &bytes);
        carry(far, near, &bytes);
    }
    for (near, mut far) in ends {
        near.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0; 16]).unwrap(), 0, "the end arrives");
    }
}
