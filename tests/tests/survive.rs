//! Sessions outlive the process that made them: in the kernel without a gap, in the next process by adoption.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use relay_common::{ABI_VERSION, Stamp, maps};
use relay_tests::client::TurnClient;
use relay_tests::eventually::eventually;
use relay_tests::home::Home;
use relay_tests::packet::channel_data;
use relay_tests::privileged;
use relay_tests::relay::{Relay, binary};
use relay_tests::topology::{
    CLIENT_CARD, CLIENT_V4, EDGE_V4, LAB_NETWORKS, SERVER_CARD, SERVER_V4, Topology,
};
use relay_userspace::api::Session;

const CHANNEL: u16 = 0x4123;

/// The arguments of every relay here.
fn start(topology: &Topology, home: Arc<Home>, more: &[&str]) -> Relay {
    let mut arguments = vec!["--interface", CLIENT_CARD, "--interface", SERVER_CARD];
    arguments.extend(["--xdp", "native", "--user", "user:password"]);
    arguments.extend(["--realm", "lab", "--allow-peer", LAB_NETWORKS[0]]);
    arguments.extend(more);
    Relay::start_at(home, &topology.edge, &arguments).unwrap()
}

fn lab() -> Option<(Topology, Relay)> {
    if !privileged::is_root() {
        return None;
    }
    let topology = Topology::new().unwrap();
    let relay = start(&topology, Arc::new(Home::surviving().unwrap()), &[]);
    Some((topology, relay))
}

/// A TURN client with a channel to a peer in the server namespace.
struct Call {
    client: TurnClient,
    peer: UdpSocket,
}

impl Call {
    fn new(topology: &Topology) -> Self {
        let bind = |ip: &str| UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0));
        let socket = topology.client.enter(|| Ok(bind(CLIENT_V4)?)).unwrap();
        let peer = topology.server.enter(|| Ok(bind(SERVER_V4)?)).unwrap();
        let server = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
        let mut client = TurnClient::allocate(socket, server, "user", "password").unwrap();
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        for socket in [&client.socket, &peer] {
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        Self { client, peer }
    }

    /// Sends numbered packets both ways, one a millisecond each, while `act` runs. All must arrive.
    fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        const END: u32 = u32::MAX;
        let done = AtomicBool::new(false);
        let send = |number: u32| {
            let data = numbered(number);
            self.client.send(CHANNEL, &data).unwrap();
            self.peer.send_to(&data, self.client.relayed).unwrap();
        };
        let hear = |socket: &UdpSocket| {
            let (mut heard, mut buffer) = (Vec::new(), [0; 64]);
            loop {
                let length = socket.recv(&mut buffer).expect("a packet");
                let number = *buffer[length - 8..].first_chunk().expect("a number");
                match u32::from_be_bytes(number) {
                    END => return heard,
                    number => heard.push(number),
                }
            }
        };
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0u32;
                while !done.load(Relaxed) || sent < 100 {
                    send(sent);
                    sent += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
                send(END);
                sent
            });
            let readers = [&self.peer, &self.client.socket].map(|s| scope.spawn(move || hear(s)));
            let result = act();
            done.store(true, Relaxed);
            let sent = sender.join().unwrap();
            for (reader, who) in readers.into_iter().zip(["peer", "client"]) {
                let heard = reader.join().unwrap();
                let missing: Vec<u32> = (0..sent).filter(|i| !heard.contains(i)).collect();
                assert!(missing.is_empty(), "{who} misses {missing:?} of {sent}");
                assert!(heard.is_sorted(), "{who} hears {heard:?}");
            }
            result
        })
    }

    /// `count` packets each way, each one checked: none may be lost.
    fn exchange(&self, count: u32) {
        let mut buffer = [0; 64];
        for i in 0..count {
            let data = numbered(i);
            self.client.send(CHANNEL, &data).unwrap();
            let (length, from) = self.peer.recv_from(&mut buffer).expect("at the peer");
            assert_eq!((from, &buffer[..length]), (self.client.relayed, &data[..]));
            self.peer.send_to(&data, self.client.relayed).unwrap();
            let length = self.client.socket.recv(&mut buffer).expect("at the client");
            assert_eq!(&buffer[..length], channel_data(CHANNEL, &data, 0));
        }
    }
}

/// All of one checksum: one in 65,536 looks as if hardware had to finish it and is left to userspace, which is dead here.
fn numbered(number: u32) -> [u8; 8] {
    let mut data = [0; 8];
    data[..4].copy_from_slice(&number.to_be_bytes());
    data[4..].copy_from_slice(&(!number).to_be_bytes());
    data
}

fn wait_for_kernel(relay: &Relay) {
    eventually("sessions run in the kernel", || {
        let sessions = relay.sessions().unwrap();
        !sessions.is_empty() && sessions.iter().all(|s| s.runs_in == "kernel")
    })
    .unwrap();
}

/// Sessions of the next process are those of the last, and everybody goes on with them.
fn goes_on(mut call: Call, before: &[Session], next: &Relay) {
    call.during(|| {
        eventually("the next relay has adopted what it wants", || {
            next.log()
                .contains("adoption is over: sessions nobody claimed have ended ended=0")
        })
        .unwrap();
    });
    wait_for_kernel(next);
    let after = next.sessions().unwrap();
    let names = |all: &[Session]| {
        all.iter()
            .map(|s| (s.id, s.client, s.relayed))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&after), names(before));
    assert!(after[0].kernel_to_peer.packets > before[0].kernel_to_peer.packets);
    let requests = call.client.requests_sent();
    assert_eq!(call.client.refresh(600).unwrap(), 600);
    let peer = call.peer.local_addr().unwrap();
    call.client.bind(CHANNEL, peer).unwrap();
    assert_eq!(
        call.client.requests_sent() - requests,
        2,
        "its nonce is still good"
    );
    call.exchange(100);
    assert!(next.sessions().unwrap()[0].userspace_to_peer.packets <= 1);
}

#[test]
fn a_killed_relay_leaves_its_sessions_running_in_the_kernel() {
    let Some((topology, relay)) = lab() else {
        return;
    };
    let call = Call::new(&topology);
    wait_for_kernel(&relay);
    let home = relay.kill().unwrap();
    call.exchange(200);
    let pinned = home.pinned();
    assert_eq!(pinned.iter().filter(|n| n.starts_with("link-")).count(), 2);
}

#[test]
fn the_next_relay_goes_on_with_the_sessions_of_a_killed_one() {
    let Some((topology, relay)) = lab() else {
        return;
    };
    let call = Call::new(&topology);
    wait_for_kernel(&relay);
    let before = relay.sessions().unwrap();
    let mut next = call.during(|| {
        let home = relay.kill().unwrap();
        start(&topology, home, &[])
    });
    assert!(
        next.status()
            .unwrap()
            .cards
            .iter()
            .all(|c| c.mode == "native")
    );
    goes_on(call, &before, &next);
    assert_eq!(next.stop().unwrap(), 0);
    let cards = topology.edge.run("ip", &["link"]).unwrap();
    assert!(!cards.contains("xdp"), "{cards}");
}

#[test]
fn a_relay_told_to_leave_hands_its_sessions_over() {
    let Some((topology, relay)) = lab() else {
        return;
    };
    let call = Call::new(&topology);
    wait_for_kernel(&relay);
    let before = relay.sessions().unwrap();
    let next = call.during(|| start(&topology, relay.leave().unwrap(), &[]));
    goes_on(call, &before, &next);
}

#[test]
fn after_a_clean_stop_nothing_is_left() {
    let Some((topology, mut relay)) = lab() else {
        return;
    };
    let _call = Call::new(&topology);
    wait_for_kernel(&relay);
    assert_eq!(relay.stop().unwrap(), 0);
    let home = relay.kill().unwrap();
    assert!(home.pinned().is_empty(), "{:?}", home.pinned());
    let next = start(&topology, home, &[]);
    assert!(next.sessions().unwrap().is_empty());
}

#[test]
fn a_forward_and_its_sessions_go_on_with_the_same_ports() {
    let Some((topology, relay)) = lab() else {
        return;
    };
    let bind = |ip: &str| UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0));
    let destination = topology.server.enter(|| Ok(bind(SERVER_V4)?)).unwrap();
    let client = topology.client.enter(|| Ok(bind(CLIENT_V4)?)).unwrap();
    for socket in [&destination, &client] {
        let patience = Some(Duration::from_secs(5));
        socket.set_read_timeout(patience).unwrap();
    }
    let to = destination.local_addr().unwrap().to_string();
    let add = [
        "forward", "add", "--listen", "udp/5004", "--to", &to, "--name", "rtp",
    ];
    relay.cli(&add).unwrap();
    client.connect((EDGE_V4, 5004)).unwrap();
    let mut buffer = [0; 64];
    client.send(b"hello").unwrap();
    let (_, port) = destination.recv_from(&mut buffer).unwrap();
    wait_for_kernel(&relay);
    let before = relay.sessions().unwrap();
    let mut there_and_back = || {
        client.send(b"there").unwrap();
        let (length, from) = destination
            .recv_from(&mut buffer)
            .expect("at the destination");
        assert_eq!((&buffer[..length], from), (&b"there"[..], port));
        destination.send_to(b"back", port).unwrap();
        assert_eq!(client.recv(&mut buffer).expect("at the client"), 4);
    };
    let home = relay.kill().unwrap();
    (0..100).for_each(|_| there_and_back());
    let next = start(&topology, home, &[]);
    (0..100).for_each(|_| there_and_back());
    wait_for_kernel(&next);
    (0..100).for_each(|_| there_and_back());
    let after = next.sessions().unwrap();
    assert_eq!((after.len(), after[0].id), (1, before[0].id));
    assert!(after[0].kernel_to_peer.packets >= 300, "{after:?}");
    assert_eq!(after[0].userspace_to_peer.packets, 0);
    next.cli(&["forward", "remove", "rtp"]).unwrap();
    assert!(next.sessions().unwrap().is_empty());
    let last = start(&topology, next.leave().unwrap(), &[]);
    assert_eq!(last.status().unwrap().forwards, 0, "removed is removed");
}

#[test]
fn a_session_ends_in_the_kernel_while_userspace_stands_still() {
    if !privileged::is_root() {
        return;
    }
    let topology = Topology::new().unwrap();
    let home = Arc::new(Home::surviving().unwrap());
    let config = home.path().join("relay.toml");
    std::fs::write(&config, "[limits]\nmax_lifetime = \"3s\"\n").unwrap();
    let relay = start(&topology, home, &["--config", config.to_str().unwrap()]);
    let call = Call::new(&topology);
    wait_for_kernel(&relay);
    relay.signal(nix::sys::signal::Signal::SIGSTOP).unwrap();
    call.exchange(20);
    let end = std::time::Instant::now() + Duration::from_secs(4);
    let hears = |socket: &UdpSocket| socket.recv(&mut [0; 64]).is_ok();
    for socket in [&call.client.socket, &call.peer] {
        let patience = Some(Duration::from_millis(20));
        socket.set_read_timeout(patience).unwrap();
    }
    eventually("the kernel stops relaying", || {
        call.client.send(CHANNEL, b"late").unwrap();
        !hears(&call.peer)
    })
    .unwrap();
    assert!(std::time::Instant::now() < end, "later than its lifetime");
    while std::time::Instant::now() < end {
        call.client.send(CHANNEL, b"late").unwrap();
        call.peer.send_to(b"late", call.client.relayed).unwrap();
        assert!(!hears(&call.peer) && !hears(&call.client.socket));
    }
}

/// A killed relay with a session, and what it left.
fn left() -> Option<(Topology, Call, Arc<Home>)> {
    let (topology, relay) = lab()?;
    let call = Call::new(&topology);
    wait_for_kernel(&relay);
    let home = relay.kill().unwrap();
    Some((topology, call, home))
}

#[test]
fn tables_of_another_abi_are_replaced_whole_and_allocations_go_on() {
    let Some((topology, mut call, home)) = left() else {
        return;
    };
    let data = aya::maps::MapData::from_pin(home.pins().join(maps::STAMP)).unwrap();
    let mut stamp: aya::maps::Array<_, Stamp> = aya::maps::Map::Array(data).try_into().unwrap();
    let other = Stamp {
        abi: ABI_VERSION + 1,
        ..stamp.get(&0, 0).unwrap()
    };
    stamp.set(0, other, 0).unwrap();
    drop(stamp);
    let next = start(&topology, home, &[]);
    let said = format!("they have ABI {}, this relay has {ABI_VERSION}", other.abi);
    assert!(next.log().contains(&said), "{}", next.log());
    wait_for_kernel(&next);
    call.exchange(50);
    assert_eq!(call.client.refresh(600).unwrap(), 600);
}

#[test]
fn half_of_the_tables_is_none() {
    let Some((topology, call, home)) = left() else {
        return;
    };
    std::fs::remove_file(home.pins().join(maps::SESSIONS)).unwrap();
    let next = start(&topology, home, &[]);
    assert!(next.log().contains("cannot be adopted"), "{}", next.log());
    wait_for_kernel(&next);
    call.exchange(50);
}

#[test]
fn a_fresh_relay_knows_nothing_of_the_last() {
    let Some((topology, mut call, home)) = left() else {
        return;
    };
    let next = start(&topology, home, &["--fresh"]);
    assert!(next.sessions().unwrap().is_empty());
    assert!(
        next.status()
            .unwrap()
            .cards
            .iter()
            .all(|c| c.mode == "native")
    );
    assert!(call.client.refresh(600).is_err());
}

#[test]
fn detach_removes_what_a_killed_relay_left_and_nothing_of_a_running_one() {
    let Some((topology, _call, home)) = left() else {
        return;
    };
    let detach = |home: &Home| {
        let mut command = std::process::Command::new(binary());
        command
            .arg("detach")
            .envs(home.environment())
            .output()
            .unwrap()
    };
    let next = start(&topology, home, &[]);
    wait_for_kernel(&next);
    let home = next.home();
    let refused = detach(&home);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!home.pinned().is_empty());
    next.kill().unwrap();
    assert!(detach(&home).status.success());
    assert!(home.pinned().is_empty());
    assert!(!home.path().join("journal.log").exists());
    eventually("the program is off the cards", || {
        !topology.edge.run("ip", &["link"]).unwrap().contains("xdp")
    })
    .unwrap();
}
