//! The real relay between namespaces: which path packets take, that they arrive whole, and that it shows.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use relay_tests::client::TurnClient;
use relay_tests::eventually::eventually;
use relay_tests::packet::channel_data;
use relay_tests::scene::{CHANNEL, Call, Scene};
use relay_tests::socket_option::set_option;
use relay_tests::topology::{
    CLIENT_CARD, CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, OUTER_CARD, SERVER_CARD, SERVER_V4,
    SERVER_V6,
};

fn runs_in_the_kernel(lab: &Scene, call: &Call) {
    lab.wait_for_kernel();
    let before = lab.packets();
    call.exchange(100);
    let after = lab.packets();
    // One checksum in 65536 looks unfinished and takes the slow path.
    assert!(after.0 - before.0 >= 199, "{before:?} {after:?}");
    assert!(after.1 - before.1 <= 1, "{before:?} {after:?}");
}

#[test]
fn a_channel_runs_in_the_kernel_between_two_native_cards() {
    let Some(lab) = Scene::new("native") else {
        return;
    };
    let call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    runs_in_the_kernel(&lab, &call);
    let call = lab.call(CLIENT_V6, EDGE_V6, SERVER_V6);
    runs_in_the_kernel(&lab, &call);
    assert!(
        lab.relay
            .status()
            .unwrap()
            .cards
            .iter()
            .all(|c| c.mode == "native")
    );
}

#[test]
fn a_channel_runs_in_the_kernel_on_generic_cards() {
    let Some(lab) = Scene::new("generic") else {
        return;
    };
    let call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    runs_in_the_kernel(&lab, &call);
    assert!(
        lab.relay
            .status()
            .unwrap()
            .cards
            .iter()
            .all(|c| c.mode == "generic")
    );
}

#[test]
fn a_session_whose_sender_leaves_checksums_to_hardware_says_so_on_generic_cards() {
    let Some(lab) = Scene::new("generic") else {
        return;
    };
    let call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    runs_in_the_kernel(&lab, &call);
    let at_rest = &lab.relay.sessions().unwrap()[0];
    assert_eq!((&at_rest.note, &at_rest.reason), (&None, &None));
    assert_eq!(at_rest.to_peer.last_seen_seconds, Some(0), "{at_rest:?}");

    let server = &lab.topology.server;
    server
        .run("ethtool", &["-K", OUTER_CARD, "tx", "on"])
        .unwrap();
    let noted = || {
        for _ in 0..50 {
            call.to_client(b"with half a checksum");
        }
        let session = lab.relay.sessions().unwrap().remove(0);
        assert_eq!(session.runs_in, "kernel");
        session
            .note
            .filter(|note| note.contains("`partial_checksum`"))
    };
    eventually("the session says why", || noted().is_some()).unwrap();
    let list = lab.relay.cli(&["session", "list"]).unwrap();
    assert!(list.contains("ethtool"), "{list}");
}

#[test]
fn without_xdp_everything_runs_in_userspace_and_says_why() {
    let Some(lab) = Scene::new("off") else { return };
    let call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    call.exchange(50);
    assert_eq!(lab.packets().0, 0);
    assert!(lab.packets().1 >= 100);
    let sessions = lab.relay.sessions().unwrap();
    assert!(
        sessions
            .iter()
            .all(|s| s.runs_in == "userspace" && s.reason.is_some()),
        "{sessions:?}"
    );
    assert!(lab.relay.status().unwrap().kernel_off.is_some());
}

#[test]
fn a_neighbour_with_a_new_address_gets_its_packets_and_the_kernel_follows() {
    let Some(lab) = Scene::new("native") else {
        return;
    };
    let call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    runs_in_the_kernel(&lab, &call);
    let server = &lab.topology.server;
    server
        .ip(&["link", "set", OUTER_CARD, "address", "02:00:00:00:00:77"])
        .unwrap();
    lab.topology.edge.ip(&["neigh", "flush", "all"]).unwrap();
    eventually("packets arrive again", || {
        call.client.send(CHANNEL, b"again").unwrap();
        call.peer
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        call.peer.recv_from(&mut [0; 64]).is_ok()
    })
    .unwrap();
    call.peer
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    eventually("the kernel relays again", || {
        let before = lab.packets().0;
        call.to_client(b"x");
        call.client.send(CHANNEL, b"x").unwrap();
        lab.packets().0 >= before + 2
    })
    .unwrap();
}

#[test]
fn what_the_kernel_cannot_handle_arrives_through_userspace_and_is_counted() {
    let Some(lab) = Scene::new("native") else {
        return;
    };
    let call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    runs_in_the_kernel(&lab, &call);

    let before = lab.verdict("fragment");
    call.to_peer(&[7; 4000]);
    call.to_client(&[8; 4000]);
    assert!(
        lab.verdict("fragment") >= before + 4,
        "both directions come in fragments"
    );

    let before = lab.verdict("ip_options");
    // Four no-operations.
    set_option(
        &call.client.socket,
        libc::IPPROTO_IP,
        libc::IP_OPTIONS,
        &[1, 1, 1, 1],
    );
    call.to_peer(b"with options");
    assert_eq!(lab.verdict("ip_options"), before + 1);

    let v6 = lab.call(CLIENT_V6, EDGE_V6, SERVER_V6);
    runs_in_the_kernel(&lab, &v6);
    let before = lab.verdict("extension_header");
    // Destination options: next header filled in by the host, one unit of padding.
    set_option(
        &v6.client.socket,
        libc::IPPROTO_IPV6,
        libc::IPV6_DSTOPTS,
        &[0, 0, 1, 4, 0, 0, 0, 0],
    );
    v6.to_peer(b"with an extension header");
    assert_eq!(lab.verdict("extension_header"), before + 1);

    let before = lab.verdict("no_next_hop");
    lab.topology
        .edge
        .ip(&["neigh", "del", SERVER_V4, "dev", SERVER_CARD])
        .unwrap();
    eventually("a packet finds its neighbour unresolved", || {
        lab.topology.edge.ip(&["neigh", "flush", "all"]).unwrap();
        set_option(&call.client.socket, libc::IPPROTO_IP, libc::IP_OPTIONS, &[]);
        call.to_peer(b"who has");
        lab.verdict("no_next_hop") > before
    })
    .unwrap();
}

#[test]
fn two_clients_of_the_relay_meet_in_the_kernel_in_one_pass() {
    let Some(lab) = Scene::new("native") else {
        return;
    };
    let allocate = || {
        let socket = lab
            .topology
            .client
            .enter(|| Ok(UdpSocket::bind((CLIENT_V4, 0))?));
        let server = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
        TurnClient::allocate(socket.unwrap(), server, "user", "password").unwrap()
    };
    let (mut a, mut b) = (allocate(), allocate());
    a.bind(CHANNEL, b.relayed).unwrap();
    b.bind(CHANNEL + 1, a.relayed).unwrap();
    for client in [&a, &b] {
        client
            .socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
    }
    lab.wait_for_kernel();
    let before = lab.packets();
    let mut buffer = [0; 64];
    for i in 0..100u32 {
        a.send(CHANNEL, &i.to_be_bytes()).unwrap();
        let length = b.socket.recv(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            channel_data(CHANNEL + 1, &i.to_be_bytes(), 0)
        );
        b.send(CHANNEL + 1, &i.to_le_bytes()).unwrap();
        let length = a.socket.recv(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            channel_data(CHANNEL, &i.to_le_bytes(), 0)
        );
    }
    let after = lab.packets();
    assert!(
        (199..=201).contains(&(after.0 - before.0)),
        "one pass each: {before:?} {after:?}"
    );
    assert!(after.1 - before.1 <= 2, "{before:?} {after:?}");
}

#[test]
fn a_forward_runs_in_the_kernel_with_one_port_per_client_and_ends_when_idle() {
    let Some(lab) = Scene::new("native") else {
        return;
    };
    let destination = lab
        .topology
        .server
        .enter(|| Ok(UdpSocket::bind((SERVER_V4, 0))?))
        .unwrap();
    destination
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let to = destination.local_addr().unwrap().to_string();
    let add = [
        "forward", "add", "--listen", "udp/5004", "--to", &to, "--name", "rtp", "--idle", "2s",
    ];
    lab.relay.cli(&add).unwrap();
    let clients: Vec<UdpSocket> = (0..2)
        .map(|_| {
            lab.topology
                .client
                .enter(|| Ok(UdpSocket::bind((CLIENT_V4, 0))?))
                .unwrap()
        })
        .collect();
    let mut ports = Vec::new();
    for client in &clients {
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.connect((EDGE_V4, 5004)).unwrap();
        client.send(b"hello").unwrap();
        let mut buffer = [0; 64];
        let (length, from) = destination.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"hello");
        ports.push(from);
    }
    assert_ne!(ports[0], ports[1]);
    lab.wait_for_kernel();
    let before = lab.packets();
    for i in 0..100u32 {
        for (client, port) in clients.iter().zip(&ports) {
            client.send(&i.to_be_bytes()).unwrap();
            let mut buffer = [0; 64];
            let (length, from) = destination.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&i.to_be_bytes()[..], *port));
            destination.send_to(b"back", port).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), 4);
        }
    }
    assert!(
        lab.packets().0 - before.0 >= 399,
        "{before:?} {:?}",
        lab.packets()
    );
    eventually("idle sessions end", || {
        lab.relay.sessions().unwrap().is_empty()
    })
    .unwrap();
    lab.relay.cli(&["forward", "remove", "rtp"]).unwrap();
}

#[test]
fn a_deleted_allocation_is_gone_from_the_kernel_when_its_end_is_answered() {
    let Some(lab) = Scene::new("native") else {
        return;
    };
    let mut call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    runs_in_the_kernel(&lab, &call);
    let before = lab.packets();
    call.client.refresh(0).unwrap();
    for _ in 0..20 {
        call.client.send(CHANNEL, b"late").unwrap();
        call.peer.send_to(b"late", call.client.relayed).unwrap();
    }
    // Delivered in order: once these are counted as passed, all are through.
    eventually("late packets are passed", || {
        lab.verdict("no_session") + lab.verdict("not_ours") >= 20
    })
    .unwrap();
    assert_eq!(lab.packets(), before);
}

#[test]
fn sigterm_ends_it_cleanly_and_leaves_no_program_attached() {
    let Some(mut lab) = Scene::new("native") else {
        return;
    };
    let _call = lab.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    assert_eq!(lab.relay.stop().unwrap(), 0);
    let links = lab
        .topology
        .edge
        .run("ip", &["link", "show", "dev", CLIENT_CARD])
        .unwrap();
    assert!(!links.contains("xdp"), "{links}");
}
