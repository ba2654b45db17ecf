//! Limits on a running relay: kept in the kernel and in userspace, changed while packets flow, and told to the operator.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use relay_tests::packet::channel_data;
use relay_tests::scene::{CHANNEL, Call, Scene};
use relay_tests::topology::{CLIENT_V4, EDGE_V4, SERVER_V4};

const BYTES: usize = 500;

/// Of the relay's limits in these tests. Who waits for a CPU for longer cannot use up its rate.
const BURST: Duration = Duration::from_millis(500);

/// Packets a second that arrive at the peer, measured while this process had a CPU all the time.
fn arriving(call: &Call) -> f64 {
    let measured = (0..5).find_map(|_| offer(call));
    measured.expect("a CPU for four seconds and a half")
}

/// Offers about 4000 a second for four seconds and a half, and counts over the last three; `None`: it had to wait for as
/// long as the burst lasts.
fn offer(call: &Call) -> Option<f64> {
    let offered = Duration::from_micros(250);
    let frame = channel_data(CHANNEL, &[7; BYTES], 0);
    call.peer.set_nonblocking(true).unwrap();
    let (start, mut sent) = (Instant::now(), 0);
    let (mut counted, mut since, mut waited) = (0u32, None, Duration::ZERO);
    while start.elapsed() < Duration::from_millis(4500) {
        waited = waited.max(start.elapsed().saturating_sub(offered * sent));
        while start.elapsed() > offered * sent {
            call.client
                .socket
                .send_to(&frame, call.client.server)
                .unwrap();
            sent += 1;
        }
        let got = drain(&call.peer);
        if start.elapsed() > Duration::from_millis(1500) {
            since.get_or_insert_with(Instant::now);
            counted += got;
        }
    }
    call.peer.set_nonblocking(false).unwrap();
    let rate = f64::from(counted) / since.unwrap().elapsed().as_secs_f64();
    (waited < BURST).then_some(rate)
}

fn drain(socket: &UdpSocket) -> u32 {
    let mut buffer = [0; 2048];
    let mut count = 0;
    while socket.recv_from(&mut buffer).is_ok() {
        count += 1;
    }
    count
}

fn near(measured: f64, limit: f64) {
    assert!(
        (measured / limit - 1.0).abs() < 0.03,
        "{measured:.0} packets a second, {limit:.0} are allowed"
    );
}

fn limits_are_kept_and_changed(xdp: &str, runs_in: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let burst = format!("[rates]\nburst = \"{}ms\"\n", BURST.as_millis());
    std::fs::write(path, burst).unwrap();
    let mut more = vec!["--config", path, "--session-bits", "2M"];
    more.extend(["--user-packets", "5000"]);
    let Some(scene) = Scene::with(xdp, &more) else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    if runs_in == "kernel" {
        scene.wait_for_kernel();
    }
    near(arriving(&call), 2e6 / 8.0 / BYTES as f64);
    let session = scene.relay.sessions().unwrap().remove(0);
    assert_eq!(session.runs_in, runs_in);
    assert_eq!(session.limit.bits_per_second, Some(2_000_000));
    assert!(
        session.dropped.to_peer > 1000 && session.dropped.to_client == 0,
        "{:?}",
        session.dropped
    );

    let id = session.id.to_string();
    scene
        .relay
        .cli(&["limit", "set", "--session", &id, "--bits", "4M"])
        .unwrap();
    near(arriving(&call), 1000.0);
    scene
        .relay
        .cli(&["limit", "set", "--session", &id, "--none"])
        .unwrap();
    scene
        .relay
        .cli(&["limit", "set", "--user", "user", "--packets", "300"])
        .unwrap();
    near(arriving(&call), 300.0);
    scene
        .relay
        .cli(&["limit", "set", "--user", "user", "--none"])
        .unwrap();
    let free = arriving(&call);
    assert!(free > 3500.0, "{free}");

    let listed = scene.relay.cli(&["limit", "list", "--json"]).unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["users"][0]["user"], "user");
    assert!(listed["users"][0]["dropped"]["to_peer"].as_u64() > Some(1000));
    assert_eq!(listed["session"]["bits_per_second"], 2_000_000);
    let refused = scene
        .relay
        .cli(&["limit", "set", "--session", "999", "--none"]);
    assert!(refused.is_err(), "no such session");
    // What userspace cannot tell from a stranger's packet it must not count as one over a limit.
    match runs_in {
        "kernel" => assert!(scene.verdict("rate_limited") > 1000),
        _ => assert!(scene.count("userspace_dropped", "rate_limited") > 1000),
    }
}

#[test]
fn limits_are_kept_in_the_kernel_and_changed_while_packets_flow() {
    limits_are_kept_and_changed("native", "kernel");
}

#[test]
fn limits_are_kept_in_userspace_and_changed_while_packets_flow() {
    limits_are_kept_and_changed("off", "userspace");
}

#[test]
fn the_rtp_of_a_session_is_shown_with_its_loss_and_jitter() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.wait_for_kernel();
    let start = Instant::now();
    for i in 0..100u32 {
        // Every tenth packet is lost before the relay: 20 ms of 48 kHz sound each.
        if i % 10 != 5 {
            let mut rtp = vec![0x80, 111];
            rtp.extend((i as u16).to_be_bytes());
            rtp.extend((i * 960).to_be_bytes());
            rtp.extend(0xfeed_u32.to_be_bytes());
            rtp.extend([0; 80]);
            call.to_peer(&rtp);
        }
        while start.elapsed() < Duration::from_millis(20) * (i + 1) {
            std::thread::yield_now();
        }
    }
    let session = scene.relay.sessions().unwrap().remove(0);
    let [stream] = &session.rtp_to_peer[..] else {
        panic!("{:?}", session.rtp_to_peer);
    };
    assert_eq!(
        (
            stream.ssrc,
            stream.payload_type,
            stream.packets,
            stream.lost
        ),
        (0xfeed, 111, 90, 10)
    );
    assert_eq!(stream.clock_rate, Some(48_000));
    assert!(stream.jitter_ms.unwrap() < 15.0, "{stream:?}");
    let rate = 90.0 * 92.0 * 8.0 / 2.0;
    assert!(
        (stream.bits_per_second / rate - 1.0).abs() < 0.1,
        "{stream:?}"
    );
    assert!(session.rtp_to_client.is_empty());
    let shown = scene
        .relay
        .cli(&["session", "show", &session.id.to_string()])
        .unwrap();
    assert!(
        shown.contains("0x0000feed") && shown.contains("10 (10.00%)"),
        "{shown}"
    );
}
