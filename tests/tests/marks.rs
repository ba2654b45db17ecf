//! DSCP, ECN and hop limit arrive the same, whichever path a packet takes.

use std::io::IoSliceMut;
use std::net::UdpSocket;

use relay_tests::eventually::eventually;
use relay_tests::packet::channel_data;
use relay_tests::scene::{CHANNEL, Scene};
use relay_tests::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6};
use relay_userspace::net::marks::Marks;
use relay_userspace::net::message::{self, Envelopes, Meta, Said};

/// Expedited forwarding, ECT(1).
const CLASS: u8 = 0xb9;

fn marked(hop_limit: u8) -> Marks {
    Marks {
        traffic_class: CLASS,
        hop_limit: Some(hop_limit),
    }
}

fn send(from: &UdpSocket, to: &str, hop_limit: u8, bytes: &[u8]) {
    let said = Said {
        from: None,
        marks: marked(hop_limit),
        segment: None,
    };
    message::send(from, to.parse().unwrap(), &said, bytes).unwrap();
}

fn received(socket: &UdpSocket) -> Marks {
    let (mut memory, mut metas) = ([0; 2000], [Meta::default()]);
    let mut buffers = [IoSliceMut::new(&mut memory)];
    eventually("a packet arrives", || {
        let got = Envelopes::default().receive(socket, &mut buffers, &mut metas);
        got.is_ok_and(|count| count == 1)
    })
    .unwrap();
    metas[0].marks
}

fn arrive_by(xdp: &str) {
    let Some(scene) = Scene::new(xdp) else { return };
    for [client, edge, server] in [
        [CLIENT_V4, EDGE_V4, SERVER_V4],
        [CLIENT_V6, EDGE_V6, SERVER_V6],
    ] {
        let call = scene.call(client, edge, server);
        if xdp != "off" {
            scene.wait_for_kernel();
        }
        let (client, peer) = (&call.client.socket, &call.peer);
        for socket in [client, peer] {
            message::enable(socket, socket.local_addr().unwrap()).unwrap();
        }
        let (server, relayed) = (call.client.server, call.client.relayed);
        let data = channel_data(CHANNEL, b"marked", 0);
        let before = scene.packets();
        send(client, &server.to_string(), 33, &data);
        assert_eq!(received(peer), marked(32));
        send(peer, &relayed.to_string(), 33, b"marked");
        assert_eq!(received(client), marked(32));
        let after = scene.packets();
        let paths = (after.0 - before.0, after.1 - before.1);
        assert_eq!(paths, if xdp == "off" { (0, 2) } else { (2, 0) });
        // At its last hop, a packet is not relayed by either.
        send(client, &server.to_string(), 1, &data);
        eventually("it is counted", || {
            scene.count("userspace_dropped", "hop_limit") > 0
        })
        .unwrap();
    }
}

#[test]
fn marks_arrive_through_the_kernel() {
    arrive_by("native");
}

#[test]
fn marks_arrive_through_userspace() {
    arrive_by("off");
}
