//! Every spelling of an address nobody should reach, what opens them, and what nothing opens.

use super::*;
use crate::advertise::Advertised;

fn peers(allow: &[&str], deny: &[&str]) -> Peers {
    let parse = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
    Peers {
        allow: parse(allow),
        deny: parse(deny),
    }
}

fn reason(policy: &PeerPolicy, peer: &str) -> Option<String> {
    let ip: IpAddr = peer.parse().unwrap();
    let with_port = policy.check(SocketAddr::new(ip, 50_000)).err();
    let without = policy.check_address(ip).err();
    assert_eq!(with_port.map(|r| r.rule), without.map(|r| r.rule), "{peer}");
    with_port.map(|refusal| refusal.to_string())
}

#[test]
fn no_spelling_of_a_special_address_is_a_peer() {
    let policy = PeerPolicy::new(&Peers::default());
    let table = [
        ("127.0.0.1", "loopback (127.0.0.0/8)"),
        ("127.1.2.3", "loopback (127.0.0.0/8)"),
        ("0.0.0.0", "unspecified (0.0.0.0/8)"),
        ("::1", "loopback (::1/128)"),
        ("::", "unspecified (::/128)"),
        ("::ffff:127.0.0.1", "loopback (127.0.0.0/8)"),
        ("::ffff:0.0.0.0", "unspecified (0.0.0.0/8)"),
        ("::ffff:10.0.0.1", "private (10.0.0.0/8)"),
        ("::127.0.0.1", "loopback (127.0.0.0/8)"),
        ("::ffff:0:127.0.0.1", "loopback (127.0.0.0/8)"),
        ("64:ff9b::7f00:1", "loopback (127.0.0.0/8)"),
        ("64:ff9b:1::a00:1", "private (10.0.0.0/8)"),
        ("2002:7f00:1::", "loopback (127.0.0.0/8)"),
        ("2002:a9fe:a9fe::1", "cloud metadata (169.254.169.254/32)"),
        // Teredo by way of 10.0.0.1, and a Teredo client at 127.0.0.1.
        ("2001:0:a00:1::f7f7:f7f7", "private (10.0.0.0/8)"),
        ("2001:0:808:808::80ff:fffe", "loopback (127.0.0.0/8)"),
        ("2a00::5efe:10.0.0.1", "private (10.0.0.0/8)"),
        ("fe80::1", "link local (fe80::/10)"),
        ("fc00::1", "unique local (fc00::/7)"),
        ("fd00:ec2::254", "cloud metadata (fd00:ec2::254/128)"),
        ("10.1.2.3", "private (10.0.0.0/8)"),
        ("172.31.255.255", "private (172.16.0.0/12)"),
        ("192.168.1.1", "private (192.168.0.0/16)"),
        ("169.254.169.254", "cloud metadata (169.254.169.254/32)"),
        ("169.254.1.1", "link local (169.254.0.0/16)"),
        (
            "100.64.0.1",
            "shared address space of carriers (100.64.0.0/10)",
        ),
        ("192.0.2.1", "documentation (192.0.2.0/24)"),
        ("198.51.100.1", "documentation (198.51.100.0/24)"),
        ("203.0.113.1", "documentation (203.0.113.0/24)"),
        ("198.19.0.1", "benchmarking (198.18.0.0/15)"),
        ("224.0.0.1", "multicast (224.0.0.0/4)"),
        ("::ffff:224.0.0.1", "multicast (224.0.0.0/4)"),
        ("240.0.0.1", "reserved (240.0.0.0/4)"),
        ("255.255.255.255", "broadcast (255.255.255.255/32)"),
        ("ff02::1", "multicast (ff00::/8)"),
        ("2001:db8::1", "documentation (2001:db8::/32)"),
        ("3fff::1", "documentation (3fff::/20)"),
        ("100::1", "discard only (100::/64)"),
        ("fec0::1", "site local (fec0::/10)"),
        ("4000::1", "reserved by IANA (::/0)"),
        ("::ffff:8.8.8.8", "IPv4-mapped (::ffff:0.0.0.0/96)"),
        ("::8.8.8.8", "IPv4-compatible (::/96)"),
        ("2002:808:808::1", "6to4 (2002::/16)"),
    ];
    for (peer, rule) in table {
        let reason = reason(&policy, peer).unwrap_or_else(|| panic!("{peer} was allowed"));
        assert!(
            reason.contains(&format!("built-in rule \"{rule}\"")),
            "{peer}: {reason}"
        );
    }
}

#[test]
fn public_addresses_are_peers() {
    let policy = PeerPolicy::new(&Peers::default());
    for peer in [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2a00:1450::1",
        "2606:4700::1111",
        "64:ff9b::808:808",
    ] {
        assert_eq!(reason(&policy, peer), None, "{peer}");
    }
}

#[test]
fn a_refusal_says_what_would_allow_it() {
    let policy = PeerPolicy::new(&peers(&[], &["8.8.0.0/16"]));
    let table = [
        (
            "10.1.2.3",
            r#"denied by built-in rule "private (10.0.0.0/8)"; allow it with peers.allow"#,
        ),
        (
            "64:ff9b::a00:1",
            r#"denied by built-in rule "private (10.0.0.0/8)" as 64:ff9b::a00:1 stands for 10.0.0.1; allow it with peers.allow"#,
        ),
        (
            "224.0.0.1",
            r#"denied by built-in rule "multicast (224.0.0.0/4)"; no setting allows it"#,
        ),
        ("8.8.8.8", r#"denied by peers.deny entry "8.8.0.0/16""#),
    ];
    for (peer, expected) in table {
        assert_eq!(reason(&policy, peer).as_deref(), Some(expected));
    }
}

#[test]
fn an_allow_list_opens_what_it_names_and_nothing_more() {
    let policy = PeerPolicy::new(&peers(&["10.0.0.0/24", "fd00::/8", "127.0.0.0/8"], &[]));
    for peer in ["10.0.0.9", "fd00::1", "127.0.0.1"] {
        assert_eq!(reason(&policy, peer), None, "{peer}");
    }
    for peer in ["10.0.1.9", "::1", "fc00::1", "2002:a00:1::"] {
        assert!(reason(&policy, peer).is_some(), "{peer}");
    }
}

#[test]
fn no_allow_list_opens_what_is_no_unicast_peer() {
    let policy = PeerPolicy::new(&peers(&["0.0.0.0/0", "::/0"], &[]));
    for peer in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:0.0.0.0",
        "64:ff9b::e000:1",
    ] {
        assert!(
            reason(&policy, peer)
                .unwrap()
                .contains("no setting allows it"),
            "{peer}"
        );
    }
}

#[test]
fn deny_beats_allow_in_every_spelling() {
    let policy = PeerPolicy::new(&peers(&["0.0.0.0/0", "::/0"], &["8.8.8.8/32"]));
    for peer in [
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::",
    ] {
        assert!(
            reason(&policy, peer).unwrap().contains("peers.deny"),
            "{peer}"
        );
    }
    assert_eq!(reason(&policy, "8.8.4.4"), None);
}

fn relay_at(address: &str, allow: &[&str]) -> PeerPolicy {
    let ip: IpAddr = address.parse().unwrap();
    PeerPolicy::new(&peers(allow, &[]))
        .with_listeners([
            "0.0.0.0:3478".parse().unwrap(),
            "127.0.0.1:9478".parse().unwrap(),
        ])
        .with_relayed([ip], |relayed| relayed.port() == 50_000)
}

#[test]
fn own_relayed_addresses_are_peers_even_when_private() {
    for address in ["10.0.0.5", "5.6.7.8"] {
        let policy = relay_at(address, &[]);
        let at = |port| SocketAddr::new(address.parse().unwrap(), port);
        assert_eq!(policy.check(at(50_000)), Ok(()));
        assert_eq!(policy.check_address(at(0).ip()), Ok(()));
        // Of the relay range, but another program's.
        assert_eq!(policy.check(at(51_820)).unwrap_err().rule, Rule::OwnAddress);
        assert_eq!(policy.check(at(22)).unwrap_err().rule, Rule::OwnAddress);
        assert!(matches!(
            policy.check(at(3478)).unwrap_err().rule,
            Rule::OwnListener(_)
        ));
    }
}

#[test]
fn a_port_relays_the_protocol_it_was_opened_for_and_no_other() {
    let at = |port| SocketAddr::new("5.6.7.8".parse().unwrap(), port);
    let policy = relay_at("5.6.7.8", &[]);
    let refused = |policy: &PeerPolicy| policy.check_stream(at(50_000)).map_err(|r| r.rule);
    assert_eq!(refused(&policy), Err(Rule::OwnAddress));
    let policy = policy.with_relayed_streams(|relayed| relayed.port() == 50_001);
    assert_eq!(refused(&policy), Err(Rule::OwnAddress));
    assert_eq!(policy.check_stream(at(50_001)), Ok(()));
    assert!(policy.check(at(50_001)).is_err());
}

/// DHCP and the temporary addresses of IPv6 give a host new ones while the relay runs.
#[test]
fn addresses_the_host_gets_later_are_its_own_and_those_it_lost_are_not() {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let policy = PeerPolicy::new(&Peers::default())
        .with_listeners(["[::]:3478".parse().unwrap()])
        .with_own_addresses([ip("2a00::1"), ip("127.0.0.1")])
        .with_relayed([], |relayed| relayed.port() == 50_000);
    let check = |peer: &str| policy.check(peer.parse().unwrap()).map_err(|r| r.rule);
    assert_eq!(check("[2a00::1]:53"), Err(Rule::OwnAddress));
    assert_eq!(check("[2a00::2]:53"), Ok(()));
    policy.set_own_addresses([ip("2a00::2"), ip("127.0.0.1")]);
    assert_eq!(check("[2a00::1]:53"), Ok(()));
    assert_eq!(check("[2a00::2]:53"), Err(Rule::OwnAddress));
    assert!(matches!(check("[2a00::2]:3478"), Err(Rule::OwnListener(_))));
    assert_eq!(check("[2a00::2]:50000"), Ok(()));
    assert!(check("127.0.0.1:50000").is_err());
}

#[test]
fn own_listeners_stay_out_of_reach_whatever_is_allowed() {
    let policy = relay_at("10.0.0.5", &["0.0.0.0/0", "::/0"]);
    for peer in [
        "10.0.0.5:3478",
        "127.0.0.1:3478",
        "127.0.0.1:9478",
        "[::1]:3478",
        "[::ffff:10.0.0.5]:3478",
    ] {
        let refusal = policy.check(peer.parse().unwrap()).unwrap_err();
        assert!(
            matches!(refusal.rule, Rule::OwnListener(_)),
            "{peer}: {refusal}"
        );
    }
    assert_eq!(policy.check("10.0.0.5:22".parse().unwrap()), Ok(()));
}

#[test]
fn port_zero_is_no_destination() {
    let policy = PeerPolicy::new(&Peers::default());
    assert_eq!(
        policy.check("8.8.8.8:0".parse().unwrap()).unwrap_err().rule,
        Rule::PortZero
    );
}

#[test]
fn an_advertised_address_is_the_local_one_behind_it() {
    let pair = Advertised {
        local: "10.0.0.5".parse().unwrap(),
        public: "8.8.4.4".parse().unwrap(),
    };
    let policy = PeerPolicy::new(&peers(&[], &["9.9.9.9/32"]))
        .with_listeners(["0.0.0.0:3478".parse().unwrap()])
        .with_own_addresses([pair.local])
        .with_advertised(Advertise::new(&[pair]))
        .with_relayed([], |relayed| relayed == "10.0.0.5:50000".parse().unwrap());
    let rule = |peer: &str| policy.check(peer.parse().unwrap()).err().map(|r| r.rule);
    for peer in ["8.8.4.4:50000", "10.0.0.5:50000"] {
        assert_eq!(rule(peer), None, "{peer}");
    }
    for peer in [
        "8.8.4.4:50001",
        "10.0.0.5:50001",
        "[64:ff9b::808:404]:50000",
    ] {
        assert_eq!(rule(peer), Some(Rule::OwnAddress), "{peer}");
    }
    for peer in ["8.8.4.4:3478", "[64:ff9b::808:404]:3478"] {
        assert!(matches!(rule(peer), Some(Rule::OwnListener(_))), "{peer}");
    }
}
