//! The real relay at its borders: from one IP version to the other, and past its deadlines while userspace stands still.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use relay_tests::client::TurnClient;
use relay_tests::eventually::eventually;
use relay_tests::packet::channel_data;
use relay_tests::privileged;
use relay_tests::relay::Relay;
use relay_tests::scene::arguments;
use relay_tests::topology::{
    CLIENT_CARD, CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_CARD, SERVER_V4, SERVER_V6,
    Topology,
};

const CHANNEL: u16 = 0x4123;

fn start(topology: &Topology, more: &[&str]) -> Relay {
    let mut arguments = arguments(&[CLIENT_CARD, SERVER_CARD], "native");
    arguments.extend(more);
    Relay::start(&topology.edge, &arguments).unwrap()
}

fn socket(namespace: &relay_tests::netns::NetNs, address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    let socket = namespace
        .enter(|| Ok(UdpSocket::bind((address, 0))?))
        .unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

fn all_run_in_the_kernel(relay: &Relay) {
    eventually("sessions run in the kernel", || {
        let sessions = relay.sessions().unwrap();
        !sessions.is_empty() && sessions.iter().all(|s| s.runs_in == "kernel")
    })
    .unwrap_or_else(|_| panic!("{:#?}", relay.sessions().unwrap()));
}

#[test]
fn a_channel_between_families_runs_in_the_kernel() {
    if !privileged::is_root() {
        return;
    }
    let topology = Topology::new().unwrap();
    let relay = start(
        &topology,
        &["--relay-address", EDGE_V4, "--relay-address", EDGE_V6],
    );
    for (client, edge, server) in [
        (CLIENT_V4, EDGE_V4, SERVER_V6),
        (CLIENT_V6, EDGE_V6, SERVER_V4),
    ] {
        let peer = socket(&topology.server, server);
        let to = peer.local_addr().unwrap();
        let from = socket(&topology.client, client);
        let turn = SocketAddr::new(edge.parse().unwrap(), 3478);
        let mut call =
            TurnClient::allocate_family(from, turn, to.is_ipv4(), "user", "password").unwrap();
        assert_eq!(call.relayed.is_ipv4(), to.is_ipv4());
        call.bind(CHANNEL, to).unwrap();
        all_run_in_the_kernel(&relay);
        // The first packets may still find a neighbour unresolved.
        for _ in 0..3 {
            exchange(&call, &peer, b"warm");
        }
        let before = relay.status().unwrap();
        for i in 0..100u32 {
            exchange(&call, &peer, &i.to_be_bytes().repeat(1 + i as usize % 50));
        }
        let after = relay.status().unwrap();
        let kernel = after.kernel.packets - before.kernel.packets;
        assert!(kernel >= 199, "{kernel} of 200 packets in the kernel");
    }
}

fn exchange(call: &TurnClient, peer: &UdpSocket, data: &[u8]) {
    let mut buffer = [0; 2048];
    call.send(CHANNEL, data).unwrap();
    let (length, from) = peer.recv_from(&mut buffer).expect("a packet at the peer");
    assert_eq!((from, &buffer[..length]), (call.relayed, data));
    peer.send_to(data, call.relayed).unwrap();
    let length = call
        .socket
        .recv(&mut buffer)
        .expect("a packet at the client");
    assert_eq!(&buffer[..length], channel_data(CHANNEL, data, 0));
}

#[test]
fn an_allocation_ends_in_the_kernel_although_userspace_stands_still() {
    if !privileged::is_root() {
        return;
    }
    const LIFETIME: Duration = Duration::from_secs(4);
    let topology = Topology::new().unwrap();
    let config = std::env::temp_dir().join(format!("relay-lifetime-{}.toml", std::process::id()));
    std::fs::write(
        &config,
        format!("[limits]\nmax_lifetime = \"{}s\"\n", LIFETIME.as_secs()),
    )
    .unwrap();
    let relay = start(&topology, &["--config", config.to_str().unwrap()]);
    let peer = socket(&topology.server, SERVER_V4);
    let from = socket(&topology.client, CLIENT_V4);
    let turn = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
    let mut call = TurnClient::allocate(from, turn, "user", "password").unwrap();
    call.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    all_run_in_the_kernel(&relay);
    exchange(&call, &peer, b"before");
    call.refresh(600).unwrap();
    let granted = Instant::now();

    let pid = Pid::from_raw(relay.pid() as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    let mut last = None;
    peer.set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    while granted.elapsed() < LIFETIME + Duration::from_secs(3) {
        call.send(CHANNEL, b"tick").unwrap();
        peer.send_to(b"tick", call.relayed).unwrap();
        if peer.recv_from(&mut [0; 64]).is_ok() {
            last = Some(granted.elapsed());
        }
    }
    kill(pid, Signal::SIGCONT).unwrap();
    std::fs::remove_file(&config).unwrap();
    let last = last.expect("packets while userspace stands still");
    assert!(last > LIFETIME - Duration::from_secs(1), "{last:?}");
    assert!(last < LIFETIME + Duration::from_millis(500), "{last:?}");
}
