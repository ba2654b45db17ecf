//! `relay doctor` in a namespace whose faults are real.

use std::net::UdpSocket;
use std::process::Command;

use relay_tests::netns::NetNs;
use relay_tests::privileged;
use relay_tests::relay::binary;
use relay_userspace::doctor::{Finding, State};

/// Findings and exit code of `relay doctor` in `namespace`.
fn examine(namespace: &NetNs, arguments: &[&str]) -> (Vec<Finding>, Option<i32>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nobody.sock");
    let mut command: Command = namespace.command(binary().to_str().unwrap());
    command
        .args(["doctor", "--json", "--admin-socket"])
        .arg(socket)
        .args(arguments);
    let done = command.output().unwrap();
    let findings = serde_json::from_slice(&done.stdout);
    (
        findings.unwrap_or_else(|error| panic!("{error}: {done:?}")),
        done.status.code(),
    )
}

fn state(findings: &[Finding], check: &str, subject: &str) -> State {
    let of_it = findings
        .iter()
        .filter(|f| f.check == check && f.subject == subject);
    of_it
        .map(|f| f.state)
        .max()
        .unwrap_or_else(|| panic!("nothing about {check} {subject}: {findings:#?}"))
}

#[test]
fn the_doctor_finds_a_taken_port_a_strict_filter_and_a_card_without_xdp() {
    if !privileged::is_root() {
        return;
    }
    let host = NetNs::new("doctor").unwrap();
    host.ip(&[
        "link", "add", "native0", "type", "veth", "peer", "name", "far0",
    ])
    .unwrap();
    host.ip(&["link", "add", "generic0", "type", "bridge"])
        .unwrap();
    for card in ["native0", "far0", "generic0"] {
        host.ip(&["link", "set", card, "up"]).unwrap();
    }
    let named = [
        "--interface",
        "native0",
        "--interface",
        "generic0",
        "--interface",
        "missing0",
    ];
    let set = |key: &str, value: &str| {
        host.run("sh", &["-c", &format!("echo {value} > /proc/sys/{key}")])
            .unwrap()
    };

    set("net/ipv4/conf/all/rp_filter", "0");
    set("net/ipv4/conf/native0/rp_filter", "0");
    set("net/ipv4/ip_local_port_range", "32768 49151");
    let (before, code) = examine(&host, &named);
    assert_eq!(code, Some(1), "a missing card fails");
    assert_eq!(state(&before, "card", "missing0"), State::Fail);
    assert_eq!(state(&before, "rp_filter", "native0"), State::Ok);
    assert_eq!(state(&before, "ports", "udp/0.0.0.0:3478"), State::Ok);
    assert_eq!(
        state(&before, "ports", "net.ipv4.ip_local_port_range"),
        State::Ok
    );
    assert_eq!(state(&before, "xdp", "generic0"), State::Warn);
    assert_eq!(state(&before, "checksums", "native0"), State::Warn);
    assert_eq!(state(&before, "bpf", "kernel"), State::Ok);

    set("net/ipv4/conf/native0/rp_filter", "1");
    set("net/ipv4/ip_local_port_range", "32768 60999");
    let _taken = host
        .enter(|| Ok(UdpSocket::bind("127.0.0.1:3478")?))
        .unwrap();
    let (after, _) = examine(&host, &named);
    assert_eq!(state(&after, "rp_filter", "native0"), State::Warn);
    assert_eq!(
        state(&after, "ports", "net.ipv4.ip_local_port_range"),
        State::Warn
    );
    assert_eq!(state(&after, "ports", "udp/0.0.0.0:3478"), State::Fail);
    let port = after
        .iter()
        .find(|f| f.subject == "udp/0.0.0.0:3478" && f.check == "ports")
        .unwrap();
    assert!(
        port.found
            .contains(&format!("(pid {})", std::process::id())),
        "{port:?}"
    );

    let (alone, code) = examine(
        &host,
        &["--interface", "native0", "--listen", "udp/0.0.0.0:4000"],
    );
    assert_eq!(state(&alone, "xdp", "native0"), State::Ok);
    assert_eq!(code, Some(0), "{alone:#?}");
}
