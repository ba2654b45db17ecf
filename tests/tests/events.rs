//! What a listener to events hears of allocations and sessions, and what one that does not listen costs.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use relay_tests::interop::{Tools, client::run};
use relay_tests::relay::Follower;
use relay_tests::scene::{CHANNEL, Scene};
use relay_tests::topology::{CLIENT_V4, EDGE_V4, SERVER_V4};
use relay_userspace::events::{Change, Event, Kind, Peer, Reason, What};

fn scene(configuration: &str) -> Option<(Scene, tempfile::NamedTempFile)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), configuration).unwrap();
    let more = [
        "--config",
        file.path().to_str().unwrap(),
        "--user",
        "bob:builder",
    ];
    Some((Scene::with("native", &more)?, file))
}

/// `relay events`, and nothing has happened since.
fn listen(scene: &Scene, more: &[&str]) -> Follower {
    let events = [&["events", "--json"], more].concat();
    let listener = scene.relay.follow(&events).unwrap();
    let first: Event = listener.next().unwrap().expect("a first line");
    assert_eq!(first.event, Kind::Subscribed);
    listener
}

fn until(listener: &Follower, what: What, change: Change) -> Vec<Event> {
    let last = |event: &Event| event.event == Kind::Of(what, change);
    listener.until(last).unwrap()
}

fn names(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| match event.reason {
        Some(reason) => format!("{} {reason:?}", event.event),
        None => event.event.to_string(),
    };
    events.iter().map(name).collect()
}

#[test]
fn the_whole_life_of_an_allocation_is_told_in_order_with_what_was_relayed() {
    let Some((scene, _file)) = scene("[limits]\nmax_lifetime = \"4s\"\n") else {
        return;
    };
    let listener = listen(&scene, &[]);
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.wait_for_kernel();
    let before = scene.packets();
    for number in 0..100u32 {
        call.to_peer(&number.to_be_bytes());
        call.to_client(&[7; 10]);
    }
    assert!(scene.packets().0 > before.0, "some of it in the kernel");
    let events = until(&listener, What::Allocation, Change::Ended);
    assert_eq!(
        names(&events),
        [
            "allocation.created",
            "permission.created",
            "channel.created",
            "channel.ended Expired",
            "permission.ended Expired",
            "allocation.ended Expired",
        ]
    );
    let first = events[0].sequence.expect("a number");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.sequence, Some(first + index as u64));
        assert_eq!(event.user.as_deref(), Some("user"));
        assert_eq!(event.client, Some(call.client.socket.local_addr().unwrap()));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age = now.unwrap().as_millis() as u64 - event.time_ms;
        assert!(age < 30_000, "{age} ms ago");
    }
    let [created, _, channel, channel_ended, .., ended] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(created.relayed, [call.client.relayed]);
    assert_eq!(created.expires_in_seconds, Some(4));
    let peer = call.peer.local_addr().unwrap();
    assert_eq!(channel.peer, Some(Peer::Port(peer)));
    assert_eq!(
        (channel.channel, channel.allocation),
        (Some(CHANNEL), created.id)
    );
    for event in [channel_ended, ended] {
        let [up, down] = [event.to_peer, event.to_client].map(|one| one.expect("a count"));
        assert_eq!((up.packets, up.bytes), (100, 400), "{}", event.event);
        assert_eq!((down.packets, down.bytes), (100, 1000), "{}", event.event);
    }
    assert!(
        (3..=5).contains(&ended.lasted_seconds.unwrap()),
        "{ended:?}"
    );
    assert_eq!(scene.count("events_lost", ""), 0);
}

#[test]
fn sessions_of_a_forward_are_told_with_their_end_by_silence() {
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let listener = listen(&scene, &["--filter", "session"]);
    let destination = scene.peer(SERVER_V4);
    let to = destination.local_addr().unwrap().to_string();
    let add = [
        "forward", "add", "--listen", "udp/5004", "--to", &to, "--idle", "1s",
    ];
    scene.relay.cli(&add).unwrap();
    let bind = || Ok(UdpSocket::bind((CLIENT_V4, 0))?);
    let client = scene.topology.client.enter(bind).unwrap();
    let mut buffer = [0; 64];
    for _ in 0..10 {
        client.send_to(b"hello", (EDGE_V4, 5004)).unwrap();
        let (_, from) = destination
            .recv_from(&mut buffer)
            .expect("at the destination");
        destination.send_to(b"back", from).unwrap();
        client.recv(&mut buffer).expect("at the client");
    }
    let events = until(&listener, What::Session, Change::Ended);
    assert_eq!(names(&events), ["session.created", "session.ended Idle"]);
    let [created, ended] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(created.forward.as_deref(), Some("udp-5004"));
    assert_eq!(created.id, ended.id);
    let [up, down] = [ended.to_peer, ended.to_client].map(|one| one.expect("a count"));
    assert_eq!(
        (up.packets, up.bytes, down.packets, down.bytes),
        (10, 50, 10, 40)
    );
}

#[test]
fn all_sessions_of_one_user_are_killed_and_nobody_elses() {
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let listener = listen(&scene, &["--filter", "allocation.ended"]);
    let mut kept = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let mut bobs: Vec<_> = (0..3)
        .map(|_| scene.client_of(CLIENT_V4, EDGE_V4, "bob", "builder"))
        .collect();
    let kill = ["session", "kill", "--user", "bob"];
    assert_eq!(scene.relay.cli(&kill).unwrap().trim(), "3 ended");
    for _ in 0..3 {
        let event: Event = listener.next().unwrap().expect("an end");
        assert_eq!(event.reason, Some(Reason::Killed));
        assert_eq!(event.user.as_deref(), Some("bob"));
    }
    for bob in &mut bobs {
        assert!(bob.refresh(600).is_err());
    }
    kept.exchange(10);
    assert_eq!(kept.client.refresh(600).unwrap(), 600);
    assert!(scene.relay.cli(&kill).is_err(), "nobody of this name");
}

#[test]
fn what_a_drain_ends_is_told_with_reason_and_counts_before_the_stream_ends() {
    let Some((mut scene, _file)) = scene("") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    call.exchange(30);
    let listener = listen(&scene, &["--filter", "ended,drain"]);
    let _drain = scene.relay.follow(&["drain", "--deadline", "1s"]).unwrap();
    let mut events = Vec::new();
    while let Some(event) = listener.next::<Event>().unwrap() {
        events.push(event);
    }
    assert_eq!(
        names(&events),
        [
            "drain.created",
            "drain.ended",
            "channel.ended Drained",
            "permission.ended Drained",
            "allocation.ended Drained",
        ]
    );
    assert_eq!((events[0].left, events[1].left), (Some(1), Some(1)));
    let sent = events[4].to_peer.expect("a count").packets;
    assert_eq!(sent, 30);
    assert_eq!(scene.relay.exit().unwrap(), 0);
}

#[test]
fn a_listener_that_never_reads_harms_nobody_and_is_told_what_it_missed() {
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let mut call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let mut deaf = UnixStream::connect(scene.relay.admin_socket()).unwrap();
    deaf.write_all(b"GET /v1/events HTTP/1.1\r\nhost: relay\r\n\r\n")
        .unwrap();
    let listening = || scene.count("event_listeners", "") == 1;
    relay_tests::eventually::eventually("it listens", listening).unwrap();
    let peer = call.peer.local_addr().unwrap();
    let before = scene.count("events", "");
    while scene.count("events_lost", "") < 1000 {
        for _ in 0..500 {
            call.client.permit(peer).unwrap();
        }
    }
    call.exchange(50);
    let listener = listen(&scene, &[]);
    call.client.permit(peer).unwrap();
    let heard: Event = listener.next().unwrap().expect("an event");
    assert_eq!(heard.event, Kind::Of(What::Permission, Change::Changed));
    let told = scene.count("events", "");
    // What waited for it, the word of what did not, and what came after that.
    deaf.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (mut seen, mut lost, mut last) = (0, 0, before);
    for line in BufReader::new(deaf).lines().map_while(Result::ok) {
        let Ok(event) = serde_json::from_str::<Event>(&line) else {
            continue;
        };
        match event.event {
            Kind::Subscribed => assert_eq!(event.sequence, Some(before)),
            Kind::Lost => {
                let missing = event.lost.expect("how many");
                (lost, last) = (lost + missing, last + missing);
            }
            _ => {
                last += 1;
                seen += 1;
                assert_eq!(event.sequence, Some(last), "none is missing without a word");
            }
        }
        if before + seen + lost == told {
            break;
        }
    }
    assert!(lost >= 1000, "{lost}");
    assert_eq!(before + seen + lost, told);
}

#[test]
fn connections_of_tcp_allocations_are_told_with_their_bytes() {
    if Tools::or_skip(&["turnutils_uclient"]).is_none() {
        return;
    }
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let listener = listen(&scene, &["--filter", "connection,allocation.ended"]);
    let mut client = scene.topology.client.command("turnutils_uclient");
    client.args([
        "-u", "user", "-w", "password", "-p", "3478", "-X", "-y", "-c",
    ]);
    client.args([
        "-t", "-T", "-n", "20", "-m", "1", "-l", "100", "-z", "5", EDGE_V4,
    ]);
    let said = run(&client).unwrap();
    assert!(said.contains("Total lost packets 0"), "{said}");
    let ended = |event: &Event| event.event == Kind::Of(What::Connection, Change::Ended);
    let mut bytes = 0;
    let mut bound = 0;
    let mut connections = 0;
    while connections < 2 {
        let events = listener.until(ended).unwrap();
        let is_bound = |event: &&Event| event.reason == Some(Reason::Bound);
        bound += events.iter().filter(is_bound).count();
        let last = events.last().expect("an end");
        assert!(last.user.as_deref() == Some("user") && last.allocation.is_some());
        bytes += last.to_peer.expect("a count").bytes;
        connections += 1;
    }
    assert_eq!(bound, 2, "one connected, the other was told of it");
    assert!(bytes >= 20 * 100, "{bytes}");
}
