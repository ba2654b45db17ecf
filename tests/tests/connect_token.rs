//! `relay connect --token`: the relay's own API says where its servers are and who may use them, as long as it takes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Output, Stdio};

use relay_tests::relay::Follower;
use relay_tests::rough::{Rough, local_port, wait_for};
use relay_tests::token::Issuer;
use relay_tests::topology::SERVER_V4;
use serde_json::json;

/// Its user is of the token alone.
fn scene(more: &str) -> Option<(Rough, Issuer)> {
    let issuer = Issuer::new(more).unwrap();
    let rough = Rough::with(issuer.configuration(), &[])?;
    Some((rough, issuer))
}

fn ends(rough: &Rough, token: &str) -> (Option<i32>, String) {
    let mut command =
        rough.connect_as_nobody("UDP_OVER_TCP", &format!("udp/127.0.0.1:0={SERVER_V4}:9"));
    command.env("RELAY_CONNECT_TOKEN", token);
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_token_is_all_it_takes_and_connections_open_after_the_first_credential_has_ended() {
    let Some((rough, issuer)) = scene("[api]\ndefault_ttl = \"2s\"\nmax_ttl = \"2s\"") else {
        return;
    };
    let listener = rough
        .server
        .enter(|| Ok(TcpListener::bind((SERVER_V4, 0))?));
    let listener = listener.unwrap();
    let to = listener.local_addr().unwrap();
    let mut command = rough.connect_as_nobody("TCP_ONLY", &format!("tcp/127.0.0.1:0={to}"));
    command.args(["--token", &issuer.token(&json!({})).unwrap()]);
    let connector = Follower::start(&mut command).unwrap();
    let port = local_port(&connector);
    // Twice: whatever was granted first is over.
    for _ in 0..2 {
        assert_eq!(wait_for(&connector, "credential-renewed")["ttl_ms"], 2000);
    }
    let mut near = rough
        .client
        .enter(|| Ok(TcpStream::connect(port)?))
        .unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    far.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    let users = rough.relay.cli(&["user", "list", "--json"]).unwrap();
    assert!(users.contains("\"ann\""), "{users}");
}

#[test]
fn datagrams_flow_with_a_token_and_go_on_when_their_credential_has_ended() {
    let Some((rough, issuer)) = scene("[api]\ndefault_ttl = \"2s\"\nmax_ttl = \"2s\"") else {
        return;
    };
    let peer = rough.peer();
    let to = peer.local_addr().unwrap();
    let mut command = rough.connect_as_nobody("UDP_ONLY", &format!("udp/127.0.0.1:0={to}"));
    command.env("RELAY_CONNECT_TOKEN", issuer.token(&json!({})).unwrap());
    let connector = Follower::start(&mut command).unwrap();
    let port = local_port(&connector);
    let relayed = wait_for(&connector, "ready")["relayed"].clone();
    for _ in 0..2 {
        wait_for(&connector, "credential-renewed");
    }
    let application = rough.application();
    application.send_to(b"still here", port).unwrap();
    let mut buffer = [0; 64];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"still here");
    assert_eq!(relayed, from.to_string());
}

#[test]
fn what_the_api_refuses_ends_with_its_reason_and_a_code() {
    let Some((rough, issuer)) = scene("[api]\nrequests_per_second = 1") else {
        return;
    };
    let token = |claims| issuer.token(&claims).unwrap();
    for (token, code, words) in [
        ("x.y.z".to_owned(), 77, "401 Unauthorized token_invalid"),
        (token(json!({"exp": 1})), 77, "token_invalid"),
        (
            token(json!({"scope": "read"})),
            77,
            "403 Forbidden out_of_scope",
        ),
    ] {
        let (ended, said) = patiently(&rough, &token);
        assert_eq!(ended, Some(code), "{said}");
        assert!(
            said.contains(words) && said.contains("another token"),
            "{said}"
        );
    }
    // A second's worth is one request: of several at once all but one are too many.
    let (ended, said) = loop {
        let both = std::thread::scope(|scope| {
            let one = || scope.spawn(|| ends(&rough, "x.y.z"));
            let all = [one(), one(), one()];
            all.map(|one| one.join().unwrap())
        });
        let limited = |(_, said): &(Option<i32>, String)| said.contains("too_many_requests");
        if let Some(found) = both.into_iter().find(limited) {
            break found;
        }
    };
    assert_eq!(ended, Some(69), "{said}");
    assert!(
        said.contains("429") && said.contains("try again later"),
        "{said}"
    );
}

/// Again while it is told to wait.
fn patiently(rough: &Rough, token: &str) -> (Option<i32>, String) {
    loop {
        let (ended, said) = ends(rough, token);
        if !said.contains("too_many_requests") {
            return (ended, said);
        }
    }
}

#[test]
fn a_relay_that_cannot_be_reached_is_named_with_what_to_open() {
    let Some((mut rough, issuer)) = scene("") else {
        return;
    };
    rough.relay.stop().unwrap();
    let (ended, said) = ends(&rough, &issuer.token(&json!({})).unwrap());
    assert_eq!(ended, Some(69), "{said}");
    assert!(said.contains("ask the relay for a credential"), "{said}");
    assert!(said.contains("let the firewall pass TCP"), "{said}");
}

#[test]
fn a_token_and_a_user_are_one_too_many_and_neither_is_too_few() {
    let Some((rough, _issuer)) = scene("") else {
        return;
    };
    for more in [&["--token", "t", "--user", "u"][..], &[], &["--user", "u"]] {
        let mut command = rough.connect_as_nobody("UDP_ONLY", "udp/127.0.0.1:0=192.0.2.1:9");
        let ended = command.args(more).stdin(Stdio::null()).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{more:?}");
    }
}
