//! Addresses and links of a host come, go and change while calls run: what a session does then, and that it shows.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relay_tests::eventually::{eventually, within};
use relay_tests::netns::NetNs;
use relay_tests::scene::{CHANNEL, Call, Scene};
use relay_tests::topology::{
    CLIENT_CARD, CLIENT_V4, CLIENT_V6, EDGE_SERVER_V4, EDGE_SERVER_V6, EDGE_V4, EDGE_V6,
    OUTER_CARD, SERVER_CARD, SERVER_V4, SERVER_V6, attach,
};

/// More addresses of the edge, routed to it.
const SECOND_V4: &str = "10.71.5.1";
const SECOND_V6: &str = "fd71:5::1";

fn ip(namespace: &NetNs, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    namespace.ip(&words).unwrap();
}

fn in_kernel(scene: &Scene, call: &Call) {
    scene.wait_for_kernel();
    let before = scene.packets();
    call.exchange(50);
    let after = scene.packets();
    assert!(after.0 - before.0 >= 99, "{before:?} {after:?}");
}

/// Until packets arrive both ways again, and that in the kernel.
fn again_in_kernel(scene: &Scene, call: &Call) {
    let patient = Some(Duration::from_secs(5));
    let quick = Some(Duration::from_millis(100));
    call.peer.set_read_timeout(quick).unwrap();
    call.client.socket.set_read_timeout(quick).unwrap();
    let arrived = eventually("packets arrive both ways again", || {
        let mut buffer = [0; 64];
        let sent = call.client.send(CHANNEL, b"again").is_ok();
        let there = sent && call.peer.recv(&mut buffer).is_ok();
        let sent = there && call.peer.send_to(b"back", call.client.relayed).is_ok();
        sent && call.client.socket.recv(&mut buffer).is_ok()
    });
    if let Err(late) = arrived {
        panic!("{late}: {:#?}", scene.relay.sessions().unwrap());
    }
    while call.peer.recv(&mut [0; 64]).is_ok() {}
    while call.client.socket.recv(&mut [0; 64]).is_ok() {}
    call.peer.set_read_timeout(patient).unwrap();
    call.client.socket.set_read_timeout(patient).unwrap();
    in_kernel(scene, call);
}

/// Until the session of `call` says that userspace has it, and why.
fn reason(scene: &Scene, call: &Call, word: &str) {
    let relayed = call.client.relayed;
    let said = within(Duration::from_secs(10), "a reason", || {
        let sessions = scene.relay.sessions().unwrap();
        let session = sessions.into_iter().find(|s| s.relayed == relayed)?;
        session.reason.filter(|reason| reason.contains(word))
    });
    if said.is_err() {
        panic!("{word}: {:#?}", scene.relay.sessions().unwrap());
    }
}

fn second_addresses(scene: &Scene) {
    ip(
        &scene.topology.edge,
        &format!("addr add {SECOND_V4}/32 dev {CLIENT_CARD}"),
    );
    ip(
        &scene.topology.edge,
        &format!("addr add {SECOND_V6}/128 dev {CLIENT_CARD} nodad"),
    );
}

#[test]
fn every_address_of_every_card_relays_under_its_own_name() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    second_addresses(&scene);
    let v4 = [EDGE_V4, EDGE_SERVER_V4, SECOND_V4].map(|edge| (CLIENT_V4, edge, SERVER_V4));
    let v6 = [EDGE_V6, EDGE_SERVER_V6, SECOND_V6].map(|edge| (CLIENT_V6, edge, SERVER_V6));
    let calls: Vec<_> = v4
        .into_iter()
        .chain(v6)
        .map(|(client, edge, server)| {
            let call = scene.call(client, edge, server);
            let expected: IpAddr = edge.parse().unwrap();
            assert_eq!(call.client.relayed.ip(), expected);
            call
        })
        .collect();
    for call in &calls {
        in_kernel(&scene, call);
    }
}

#[test]
fn an_address_added_while_running_relays_and_is_closed_to_clients_like_the_others() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    second_addresses(&scene);
    for (client, edge, server) in [
        (CLIENT_V4, SECOND_V4, SERVER_V4),
        (CLIENT_V6, SECOND_V6, SERVER_V6),
    ] {
        let call = scene.call(client, edge, server);
        in_kernel(&scene, &call);
        let mut other = scene.client(client, edge);
        // Its listener at this address, which no allow list opens.
        let own = SocketAddr::new(edge.parse().unwrap(), 3478);
        eventually("the host's own new address is refused as a peer", || {
            let bound = other.bind(CHANNEL + 1, own);
            bound.is_err_and(|refused| refused.to_string().contains("403"))
        })
        .unwrap();
        other.refresh(0).unwrap();
    }
}

#[test]
fn a_removed_address_takes_its_sessions_out_of_the_kernel_with_a_reason_until_it_is_back() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    second_addresses(&scene);
    let stays = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let calls = [
        (CLIENT_V4, SECOND_V4, SERVER_V4),
        (CLIENT_V6, SECOND_V6, SERVER_V6),
    ]
    .map(|(client, edge, server)| scene.call(client, edge, server));
    for call in &calls {
        in_kernel(&scene, call);
    }
    let edge = &scene.topology.edge;
    ip(edge, &format!("addr del {SECOND_V4}/32 dev {CLIENT_CARD}"));
    ip(edge, &format!("addr del {SECOND_V6}/128 dev {CLIENT_CARD}"));
    for call in &calls {
        reason(&scene, call, "is not an address of this host");
        let before = scene.packets().0;
        call.client.send(CHANNEL, b"to nobody").unwrap();
        stays.exchange(10);
        assert_eq!(scene.packets().0 - before, 20, "only of the other session");
    }
    second_addresses(&scene);
    for call in &calls {
        again_in_kernel(&scene, call);
    }
    stays.exchange(10);
}

#[test]
fn a_link_that_went_down_and_up_carries_its_sessions_in_the_kernel_again() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let edge = &scene.topology.edge;
    // Without it IPv6 addresses are gone with the link.
    let keep = "for f in /proc/sys/net/ipv6/conf/*/keep_addr_on_down; do echo 1 > $f; done";
    edge.run("sh", &["-c", keep]).unwrap();
    let calls = [
        (CLIENT_V4, EDGE_V4, SERVER_V4),
        (CLIENT_V6, EDGE_V6, SERVER_V6),
    ]
    .map(|(client, edge, server)| scene.call(client, edge, server));
    for card in [SERVER_CARD, CLIENT_CARD] {
        for call in &calls {
            in_kernel(&scene, call);
        }
        ip(edge, &format!("link set {card} down"));
        for call in &calls {
            reason(&scene, call, "");
            let _ = call.client.send(CHANNEL, b"into the void");
        }
        ip(edge, &format!("link set {card} up"));
        for call in &calls {
            again_in_kernel(&scene, call);
        }
    }
}

#[test]
fn packets_take_userspace_exactly_while_a_card_is_too_narrow_for_them() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    in_kernel(&scene, &call);
    let both = |mtu: u32| {
        for (namespace, card) in [
            (&scene.topology.edge, SERVER_CARD),
            (&scene.topology.server, OUTER_CARD),
        ] {
            ip(namespace, &format!("link set {card} mtu {mtu}"));
        }
    };
    let large = [7; 1400];
    for (mtu, expected) in [(1300, (0, 1)), (1500, (1, 0)), (1280, (0, 1))] {
        both(mtu);
        eventually("the new MTU decides", || {
            let before = scene.packets();
            call.to_peer(&large);
            let after = scene.packets();
            (after.0 - before.0, after.1 - before.1) == expected
        })
        .unwrap();
        let before = scene.packets().0;
        call.to_peer(b"small");
        call.to_client(b"small");
        assert_eq!(scene.packets().0 - before, 2);
    }
}

#[test]
fn a_card_that_is_deleted_and_made_again_is_attached_again() {
    let Some(mut scene) = Scene::new("native") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    in_kernel(&scene, &call);
    let card = |scene: &Scene| {
        let cards = scene.relay.status().unwrap().cards;
        cards
            .into_iter()
            .find(|card| card.name == SERVER_CARD)
            .unwrap()
    };
    ip(&scene.topology.edge, &format!("link del {SERVER_CARD}"));
    eventually("the card is seen to be gone", || {
        card(&scene).mode == "none"
    })
    .unwrap();
    let why = card(&scene).reason.unwrap();
    assert!(why.contains("no interface to-server"), "{why}");
    reason(&scene, &call, "");

    scene.topology.link_server().unwrap();
    let _pass = attach(&scene.topology.server, OUTER_CARD, "pass").unwrap();
    eventually("the card is attached again", || {
        card(&scene).mode == "native"
    })
    .unwrap();
    assert_eq!(card(&scene).reason, None);
    again_in_kernel(&scene, &call);
    let log = scene.relay.log();
    assert!(
        log.contains("the card is gone") && log.contains("attached again"),
        "{log}"
    );
    // The program leaves the new card as it would have left the old one.
    assert_eq!(scene.relay.stop().unwrap(), 0);
    let link = ["link", "show", "dev", SERVER_CARD];
    let link = scene.topology.edge.run("ip", &link).unwrap();
    assert!(!link.contains("xdp"), "{link}");
}
