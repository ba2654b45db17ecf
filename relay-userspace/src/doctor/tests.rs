//! Every check against hosts that are made up.

use super::facts::{Attached, Bound, Card, Firewall, Kernel, Ports};
use super::read::{iptables, nftables};
use super::*;

/// A host with nothing to say about.
fn sound() -> Host {
    Host {
        kernel: Kernel {
            release: "6.1.0-18-amd64".to_owned(),
            xdp: Some(Ok(true)),
            devmap: Some(Ok(true)),
            btf: true,
            bpffs: vec!["/sys/fs/bpf".to_owned()],
        },
        privileges: facts::Privileges {
            uid: 0,
            effective: u64::MAX,
        },
        cards: vec![card("eth0")],
        cards_named: true,
        forwarding: facts::Forwarding {
            v4: Some(true),
            v6: Some(true),
        },
        limits: facts::Limits {
            open_files: Some(1_048_576),
            sockets_wanted: 16_384,
            locked_memory: Some(8_388_608),
        },
        clock: facts::Clock {
            synchronised: Some(true),
            source: Some("tsc".to_owned()),
            jiffies_per_second: Some(250),
        },
        ports: Ports {
            listen: vec![("TURN".to_owned(), "0.0.0.0:3478".parse().unwrap())],
            relay: Some(49152..=65535),
            relay_pid: Some(7),
            ephemeral: Some(32768..=49151),
            ..Ports::default()
        },
        ..Host::default()
    }
}

fn card(name: &str) -> Card {
    Card {
        name: name.to_owned(),
        exists: true,
        up: true,
        mtu: 1500,
        driver: Some("ixgbe".to_owned()),
        xdp_features: Some(0b111),
        features: Some(vec!["rx-gro".to_owned(), "tx-checksum-ipv4".to_owned()]),
        rp_filter: Some(0),
        accept_ra: Some(2),
        ..Card::default()
    }
}

/// `check subject state` of everything that is not fine.
fn bad(host: &Host) -> Vec<String> {
    let findings = examine(host);
    assert!(
        findings
            .iter()
            .all(|f| (f.state == State::Ok) == f.remedy.is_none()),
        "{findings:?}"
    );
    let bad = findings.iter().filter(|f| f.state != State::Ok);
    bad.map(|f| format!("{} {} {}", f.check, f.subject, f.state.name()))
        .collect()
}

fn after(change: impl FnOnce(&mut Host)) -> Vec<String> {
    let mut host = sound();
    change(&mut host);
    bad(&host)
}

#[test]
fn a_sound_host_has_nothing_to_mend() {
    assert_eq!(bad(&sound()), [""; 0]);
}

#[test]
fn an_old_kernel_fails_and_a_middling_one_warns() {
    assert_eq!(
        after(|host| host.kernel.release = "5.4.0-150-generic".to_owned()),
        [
            "kernel version fail",
            "bpf_link kernel fail",
            "limits locked memory warn"
        ]
    );
    assert_eq!(
        after(|host| host.kernel.release = "5.10.0".to_owned()),
        ["kernel version warn", "limits locked memory warn"]
    );
    assert_eq!(
        after(|host| host.kernel.xdp = Some(Ok(false))),
        ["bpf kernel fail"]
    );
    assert_eq!(
        after(|host| host.kernel.devmap = Some(Err("no".to_owned()))),
        ["devmap kernel warn"]
    );
    assert_eq!(
        after(|host| host.kernel.bpffs.clear()),
        ["bpffs /sys/fs/bpf warn"]
    );
}

#[test]
fn missing_capabilities_are_named() {
    let mut host = sound();
    host.privileges = facts::Privileges {
        uid: 1000,
        effective: 1 << 12,
    };
    let finding = examine(&host)
        .into_iter()
        .find(|f| f.check == "privileges")
        .unwrap();
    assert_eq!(
        finding.remedy.unwrap(),
        "run as root, or give the service AmbientCapabilities=CAP_BPF CAP_PERFMON"
    );
}

#[test]
fn each_card_gets_the_rung_of_the_lowest() {
    let found = after(|host| {
        host.cards.push(Card {
            xdp_features: Some(0),
            driver: Some("e1000".to_owned()),
            ..card("eth1")
        });
    });
    assert_eq!(found, ["xdp eth0 warn", "xdp eth1 warn"]);
    assert_eq!(
        after(|host| host.cards[0].attached = Some(Attached::Generic)),
        ["xdp eth0 warn"]
    );
    assert_eq!(after(|host| host.cards[0].xdp_features = None), [""; 0]);
    assert_eq!(
        after(|host| host.cards[0].exists = false),
        ["card eth0 fail"]
    );
    assert_eq!(after(|host| host.cards[0].mtu = 9000), ["mtu eth0 warn"]);
}

#[test]
fn a_strict_reverse_path_filter_matters_with_a_second_card() {
    assert_eq!(after(|host| host.cards[0].rp_filter = Some(1)), [""; 0]);
    let found = after(|host| {
        host.cards[0].rp_filter = Some(1);
        host.cards.push(card("eth1"));
    });
    assert_eq!(found, ["rp_filter eth0 warn"]);
}

#[test]
fn offloads_that_break_xdp_are_told_one_by_one() {
    let found = after(|host| {
        host.cards[0].features = Some(vec!["rx-lro".to_owned(), "rx-gro-hw".to_owned()])
    });
    assert_eq!(found, ["offloads eth0 warn", "offloads eth0 warn"]);
    let found = after(|host| {
        host.cards[0].driver = Some("veth".to_owned());
        host.cards[0].features = Some(vec!["rx-vlan-hw-parse".to_owned()]);
    });
    assert_eq!(found, ["checksums eth0 warn"]);
}

#[test]
fn the_rest_of_the_host_is_looked_at() {
    assert_eq!(
        after(|host| host.cards[0].accept_ra = Some(1)),
        ["forwarding eth0 warn"]
    );
    assert_eq!(
        after(|host| host.limits.open_files = Some(1024)),
        ["limits open files warn"]
    );
    assert_eq!(
        after(|host| host.clock.synchronised = Some(false)),
        ["clock time of day warn"]
    );
    assert_eq!(
        after(|host| host.clock.source = Some("hpet".to_owned())),
        ["clock source warn"]
    );
}

#[test]
fn a_port_of_a_stranger_fails_and_one_of_the_running_relay_does_not() {
    let held = |address: &str, pid| Bound {
        address: address.parse().unwrap(),
        owner: Some((pid, "coturn".to_owned())),
    };
    assert_eq!(
        after(|host| host.ports.bound = vec![held("192.0.2.1:3478", 8)]),
        ["ports udp/0.0.0.0:3478 fail"]
    );
    assert_eq!(
        after(|host| host.ports.bound = vec![held("0.0.0.0:3478", 7)]),
        [""; 0]
    );
    assert_eq!(
        after(|host| host.ports.bound = vec![held("[::]:3478", 8)]),
        [""; 0]
    );
    let door = |needed| {
        after(move |host| {
            host.ports.bound_tcp = vec![held("0.0.0.0:443", 8)];
            host.ports.doors = vec![facts::Door {
                protocol: "tls",
                address: "0.0.0.0:443".parse().unwrap(),
                needed,
            }];
        })
    };
    assert_eq!(door(true), ["ports tls/0.0.0.0:443 fail"]);
    assert_eq!(door(false), ["ports tls/0.0.0.0:443 warn"]);
    assert_eq!(
        after(|host| host.ports.bound = vec![held("0.0.0.0:50000", 8)]),
        ["ports udp/49152-65535 warn"]
    );
    let shared = |reserved: Vec<_>| {
        after(|host| {
            host.ports.ephemeral = Some(32768..=60999);
            host.ports.reserved = reserved;
        })
    };
    assert_eq!(shared(vec![]), ["ports net.ipv4.ip_local_port_range warn"]);
    assert_eq!(shared(vec![49152..=60999]), [""; 0]);
}

fn with_rules(chains: Vec<facts::Chain>) -> Vec<String> {
    after(|host| {
        host.firewall = Firewall {
            chains,
            unread: Vec::new(),
        }
    })
}

#[test]
fn iptables_rules_that_drop_our_ports_are_found() {
    let rules = |lines: &str| with_rules(iptables::parse("iptables", lines));
    let (turn, range) = ("firewall udp/3478 fail", "firewall udp/49152-65535 fail");
    let open = "*filter\n:INPUT ACCEPT [0:0]\n:LOG_DROP - [0:0]\n";
    let closed = "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n";
    assert_eq!(rules(open), [""; 0]);
    assert_eq!(rules(closed), [turn, range]);
    let opened =
        format!("{closed}-A INPUT -p udp -m multiport --dports 3478,49152:65535 -j ACCEPT\n");
    assert_eq!(rules(&opened), [""; 0]);
    let half = format!(
        "{closed}-A INPUT -p udp -m udp --dport 3478 -j ACCEPT\n-A INPUT -p udp --dport 49152:60000 -j ACCEPT\n"
    );
    assert_eq!(rules(&half), [range]);
    let by_source = format!("{open}-A INPUT -s 192.0.2.0/24 -p udp -j DROP\n");
    assert_eq!(
        rules(&by_source),
        ["firewall udp/3478 warn", "firewall udp/49152-65535 warn"]
    );
    let jumped = format!(
        "{open}-A INPUT -p udp --dport 3478 -j LOG_DROP\n-A LOG_DROP -j LOG --log-prefix \"no\"\n-A LOG_DROP -j DROP\n"
    );
    assert_eq!(rules(&jumped), [turn]);
    assert_eq!(
        rules(&format!(
            "{open}-A INPUT -p tcp -j DROP\n-A INPUT ! -p udp -j DROP\n"
        )),
        ["firewall udp/3478 warn", "firewall udp/49152-65535 warn"]
    );
}

#[test]
fn nftables_rules_that_drop_our_ports_are_found() {
    let chain = r#"{"chain":{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"drop"}}"#;
    let rules = |rules: &[&str]| {
        let rule = |expr: &&str| {
            format!(
                r#"{{"rule":{{"family":"inet","table":"filter","chain":"input","expr":[{expr}]}}}}"#
            )
        };
        let all: Vec<_> = std::iter::once(chain.to_owned())
            .chain(rules.iter().map(rule))
            .collect();
        let json = format!(r#"{{"nftables":[{{"metainfo":{{}}}},{}]}}"#, all.join(","));
        with_rules(nftables::parse(&json).unwrap())
    };
    let established = r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}"#;
    let ports = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":{"set":[3478,{"range":[49152,65535]}]}}},{"counter":{"packets":1,"bytes":2}},{"accept":null}"#;
    let limited = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":3478}},{"limit":{"rate":10,"per":"second"}},{"accept":null}"#;
    let card =
        r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth0"}},{"accept":null}"#;
    let (turn, range) = ("firewall udp/3478 fail", "firewall udp/49152-65535 fail");
    assert_eq!(rules(&[established]), [turn, range]);
    assert_eq!(rules(&[established, ports]), [""; 0]);
    assert_eq!(rules(&[limited]), ["firewall udp/3478 warn", range]);
    assert_eq!(rules(&[card]), [""; 0]);
    let by_state = r#"{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["invalid",{"drop":null}],["established",{"accept":null}]]}}}"#;
    let by_card = r#"{"vmap":{"key":{"meta":{"key":"iifname"}},"data":{"set":[["eth0",{"jump":{"target":"wan"}}]]}}}"#;
    let (unsure, unsure_range) = ("firewall udp/3478 warn", "firewall udp/49152-65535 warn");
    assert_eq!(rules(&[by_state]), [turn, range]);
    assert_eq!(rules(&[by_card]), [unsure, unsure_range]);
    assert_eq!(nftables::parse("nonsense"), None);
}
