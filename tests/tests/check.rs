//! `relay check` from behind a link where some things do not pass: what it says, what it tells to ask for, and how long
//! it takes.

use std::process::{Command, Stdio};

use relay_tests::eventually::eventually;
use relay_tests::rough::Rough;
use relay_tests::token::Issuer;
use relay_tests::topology::EDGE_V4;
use serde_json::{Value, json};

/// Whatever is blocked.
const LONGEST_MS: u64 = 15_000;

const NO_TLS: &str = "table inet cut {
    chain out { type filter hook output priority 0; tcp dport 443 drop; }
}";
const NOTHING: &str = "table inet cut {
    chain out { type filter hook output priority 0; oifname != lo drop; }
}";

/// Said and ended with.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        let report: Value = serde_json::from_str(&self.out).expect(&self.out);
        assert!(
            report["elapsed_ms"].as_u64().unwrap() < LONGEST_MS,
            "{report}"
        );
        report
    }
}

fn command(rough: &Rough, more: &[&str]) -> Command {
    let mut command = rough.command("check");
    command.arg(format!("https://{EDGE_V4}")).args(more);
    command.args(["--tls-name", "relay.test"]);
    command
}

fn run(mut command: Command) -> Said {
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let [out, err] = [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap());
    let code = ended.status.code();
    println!("{code:?}\n{out}{err}");
    Said { code, out, err }
}

fn check(rough: &Rough, more: &[&str]) -> Said {
    let mut command = command(rough, more);
    command.arg("--ca").arg(rough.certificate());
    run(command)
}

/// The only one of this name.
fn one<'r>(report: &'r Value, name: &str) -> &'r Value {
    let mut all = report["checks"].as_array().unwrap().iter();
    let found = all.find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {report}"))
}

fn states(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = report["checks"].as_array().unwrap().iter();
    all.map(|check| (text(&check["check"]), text(&check["state"])))
        .collect()
}

fn failing(report: &Value) -> Vec<String> {
    let bad = states(report)
        .into_iter()
        .filter(|(_, state)| state == "fails");
    bad.map(|(name, _)| name).collect()
}

#[test]
fn where_everything_is_open_everything_works_and_is_timed() {
    let issuer = Issuer::new("").unwrap();
    let Some(rough) = Rough::with(issuer.configuration(), &[]) else {
        return;
    };
    let token = issuer.token(&json!({})).unwrap();
    let said = check(&rough, &["--json", "--token", &token]);
    assert_eq!(said.code, Some(0));
    let report = said.json();
    assert_eq!(report["verdict"], "works");
    for name in ["dns", "credential", "udp-allocation", "tls-allocation"] {
        assert_eq!(one(&report, name)["state"], "works", "{name}");
    }
    for name in ["udp", "tcp", "tls", "https", "websocket"] {
        let times = &one(&report, name)["rtt_ms"];
        // The link is ten milliseconds long, each way.
        let (least, middle) = (
            times["min"].as_f64().unwrap(),
            times["median"].as_f64().unwrap(),
        );
        assert!(least >= 20.0 && middle >= least, "{name}: {times}");
        assert!(times["count"].as_u64().unwrap() >= 5, "{name}: {times}");
    }
    let loss = one(&report, "udp-loss");
    assert_eq!(
        (&loss["loss"]["sent"], &loss["loss"]["bytes"]),
        (&50.into(), &1200.into())
    );
    assert!(
        loss["found"].as_str().unwrap().contains("both ways"),
        "{loss}"
    );
    let tls = one(&report, "tls")["found"].as_str().unwrap();
    assert!(
        tls.contains("ALPN stun.turn") && tls.contains("relay.test"),
        "{tls}"
    );
    assert_eq!(report["transport"]["proto"], "udp");
    assert_eq!(report["open"], json!([]));
    // Progress goes elsewhere, a line a check.
    assert_eq!(
        said.err.lines().count(),
        report["checks"].as_array().unwrap().len()
    );
    eventually("allocations are given back", || {
        rough.relay.sessions().unwrap().is_empty()
    })
    .unwrap();
}

#[test]
fn udp_that_is_blocked_is_named_with_the_rule_and_the_mode_decides_the_code() {
    let Some(rough) = Rough::new() else { return };
    rough.link.change(|weather| weather.udp_blocked = true);
    let said = check(&rough, &["--json"]);
    assert_eq!(said.code, Some(1));
    let report = said.json();
    assert_eq!(report["verdict"], "impaired");
    assert_eq!(failing(&report), ["udp"]);
    let transport = &report["transport"];
    assert_eq!(
        (&transport["proto"], &transport["reason"]),
        (&"tcp".into(), &"no-answer".into())
    );
    assert!(
        transport["elapsed_ms"].as_u64().unwrap() >= 1000,
        "{transport}"
    );
    let open = json!([{
        "proto": "udp", "address": EDGE_V4, "port": 3478, "direction": "outbound",
        "rule": "allow UDP from here to 10.71.1.1 port 3478, outbound, and its answers",
    }]);
    assert_eq!(report["open"], open);

    let said = check(&rough, &["--mode", "udp-only"]);
    assert_eq!(said.code, Some(69));
    assert!(said.out.contains("UDP_ONLY has no way"));
    assert!(
        said.out
            .contains("to ask for: allow UDP from here to 10.71.1.1 port 3478")
    );

    let said = check(&rough, &["--mode", "TCP_ONLY", "--json"]);
    assert_eq!(
        (said.code, &said.json()["transport"]["proto"]),
        (Some(1), &"tcp".into())
    );
}

#[test]
fn tls_that_is_blocked_leaves_udp_and_everything_that_is_leaves_nothing_and_both_end_in_time() {
    let Some(rough) = Rough::new() else { return };
    rough.client.run("nft", &[NO_TLS]).unwrap();
    let said = check(&rough, &["--json"]);
    assert_eq!(said.code, Some(1));
    let report = said.json();
    let mut bad = failing(&report);
    bad.sort();
    assert_eq!(bad, ["https", "tls", "websocket"]);
    assert_eq!(report["transport"]["proto"], "udp");
    assert_eq!(
        (&report["open"][0]["proto"], &report["open"][0]["port"]),
        (&"tcp".into(), &443.into())
    );

    rough
        .client
        .run("nft", &["delete", "table", "inet", "cut"])
        .unwrap();
    rough.client.run("nft", &[NOTHING]).unwrap();
    let said = check(&rough, &["--json"]);
    assert_eq!(said.code, Some(69));
    let report = said.json();
    assert_eq!(
        (&report["verdict"], &report["transport"]),
        (&"nothing".into(), &Value::Null)
    );
    let ports: Vec<_> = report["open"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["port"])
        .collect();
    assert_eq!(ports, [3478, 3478, 443]);
}

#[test]
fn a_path_too_narrow_for_media_is_found_though_short_packets_pass() {
    let Some(rough) = Rough::new() else { return };
    rough
        .link
        .change(|weather| weather.udp_black_hole = Some(1000));
    let report = check(&rough, &["--json"]).json();
    assert_eq!(one(&report, "udp")["state"], "works");
    let loss = one(&report, "udp-loss");
    assert_eq!(
        (&loss["state"], &loss["loss"]["lost"]),
        (&"fails".into(), &50.into())
    );
    assert!(loss["found"].as_str().unwrap().contains("MTU"), "{loss}");
    assert_eq!(report["open"], json!([]), "no firewall's fault");
}

#[test]
fn a_user_the_relay_refuses_and_a_certificate_nobody_trusts_are_not_the_firewalls() {
    let Some(rough) = Rough::new() else { return };
    for (password, code) in [("wrong", 77), ("password", 0)] {
        let mut command = command(&rough, &["--json", "--user", "user"]);
        command.arg("--ca").arg(rough.certificate());
        command.env("RELAY_CONNECT_PASSWORD", password);
        let said = run(command);
        assert_eq!(said.code, Some(code), "{password}");
        assert_eq!(said.json()["open"], json!([]));
    }
    let said = check(&rough, &["--json", "--token", "x.y.z"]);
    assert_eq!(said.code, Some(77));
    let found = one(&said.json(), "credential")["found"].to_string();
    assert!(found.contains("knows no issuer"), "{found}");
    let said = run(command(&rough, &["--json"]));
    let report = said.json();
    assert_eq!(
        (said.code, &report["transport"]["proto"]),
        (Some(1), &"udp".into())
    );
    let found = one(&report, "tls")["found"].as_str().unwrap();
    assert!(
        found.contains("not trusted") && found.contains("--ca"),
        "{found}"
    );
    assert_eq!(report["open"], json!([]));
}
