//! Layers, precedence, and the rule that every fault is told at once.

mod accounts;
mod web;

use std::collections::HashMap;

use super::*;
use crate::config::{Config, show};

pub(crate) fn read(text: &str) -> Result<Settings, Faults> {
    with(text, Raw::default(), &[])
}

fn with(text: &str, flags: Raw, variables: &[(&str, &str)]) -> Result<Settings, Faults> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relay.toml");
    std::fs::write(&path, text).unwrap();
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    load(Layers {
        flags,
        faults: Faults::default(),
        environment: &|name| variables.get(name).map(|v| (*v).to_owned()),
        file: Some(&path),
    })
}

fn faults(text: &str) -> Vec<String> {
    let faults = read(text).expect_err("the configuration was accepted").0;
    let line = |origin: &Origin| match origin {
        Origin::File { line, .. } => line.to_string(),
        other => other.to_string(),
    };
    faults
        .iter()
        .map(|f| {
            format!(
                "{}: {}: {}: {}",
                line(&f.origin),
                f.key,
                f.problem,
                f.remedy
            )
        })
        .collect()
}

fn flag<T>(value: T) -> At<T> {
    let place = Place {
        origin: Origin::Flag("--test"),
        key: "test".to_owned(),
    };
    place.of(value)
}

#[test]
fn behaviour_is_discovered_from_two_addresses_that_differ_in_both_parts() {
    let of = |all: &str| format!("[turn]\nbehavior_discovery = {all}\n");
    let settings = read(&of(r#"["192.0.2.1:3478", "192.0.2.2:3479"]"#)).unwrap();
    let pair = ["192.0.2.1:3478", "192.0.2.2:3479"].map(|at| at.parse().unwrap());
    assert_eq!(settings.config.turn.behavior_discovery, Some(pair));
    assert_eq!(
        read(&of("[]")).unwrap().config.turn.behavior_discovery,
        None
    );
    for (wrong, problem) in [
        (r#"["192.0.2.1:3478"]"#, "1 addresses, not two"),
        (
            r#"["192.0.2.1:3478", "0.0.0.0:3479"]"#,
            "needs an address and a port in each",
        ),
        (
            r#"["192.0.2.1:3478", "[::1]:3479"]"#,
            "the two are of different families",
        ),
        (
            r#"["192.0.2.1:3478", "192.0.2.2:3478"]"#,
            "the two must differ in both",
        ),
        (
            r#"["192.0.2.1:3478", "192.0.2.1:3479"]"#,
            "the two must differ in both",
        ),
    ] {
        let told = faults(&of(wrong));
        assert!(
            told.len() == 1 && told[0].starts_with("2: turn.behavior_discovery"),
            "{told:?}"
        );
        assert!(told[0].contains(problem), "{told:?}");
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let settings = read("").unwrap();
    assert_eq!(
        format!("{:?}", settings.config),
        format!("{:?}", Config::default())
    );
}

#[test]
fn every_fault_is_told_at_once_with_line_key_and_remedy() {
    let told = faults(
        r#"workers = "two"
[listen]
udp = ["nowhere", "127.0.0.1:0"]
[relay]
port = "1-2"
ports = "9-5"
[limits]
allocations = 0
max_lifetime = "60"
[[auth.users]]
name = "eve"
[[forward]]
listen = "udp/5004"
to = "media"
"#,
    );
    assert_eq!(
        told,
        [
            "1: workers: is of type string, not a whole number: write digits without quotes",
            r#"3: listen.udp[0]: "nowhere" is not an address with a port: write IP:PORT, for example 192.0.2.1:3478 or [2001:db8::1]:3478"#,
            "5: relay.port: is not a key the relay knows: did you mean ports?",
            "6: relay.ports: the range 9-5 is empty: put the lower port first",
            "8: limits.allocations: 0 would refuse everything: write 1 or more, or leave the key out",
            r#"9: limits.max_lifetime: "60" is not a duration: write a number with a unit: 90s, 10m, 1h or 2d"#,
            "10: auth.users[0]: password is missing: write password = \"…\"",
            r#"14: forward[0].to: "media" is not a destination: write HOST:PORT, for example media.example.org:5004 or [2001:db8::1]:5004"#,
        ]
    );
}

#[test]
fn a_key_is_missing_only_where_it_is_not_there() {
    let told = faults(
        "[[auth.users]]\nname = \"eve\"\npassword = \"\"\n[[forward]]\nlisten = \"5004\"\n[[forward]]\nto = 5\n",
    );
    let starts = [
        "3: auth.users[0].password: is empty",
        "4: forward[0]: to is missing",
        "5: forward[0].listen: \"5004\" does not",
        "6: forward[1]: listen is missing",
        "7: forward[1].to: is of type",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (fault, start) in told.iter().zip(starts) {
        assert!(fault.starts_with(start), "{told:#?}");
    }
}

#[test]
fn a_destination_the_peer_policy_denies_is_a_fault() {
    let forward = "[[forward]]\nlisten = \"udp/5004\"\nto = \"10.0.0.1:5004\"\n";
    assert_eq!(
        faults(forward),
        [
            "1: forward[0]: destination 10.0.0.1 is denied: private (10.0.0.0/8): allow it with peers.allow"
        ]
    );
    let allowed = format!("{forward}[peers]\nallow = [\"10.0.0.0/24\"]\n");
    assert!(read(&allowed).is_ok());
}

#[test]
fn a_card_named_twice_or_one_too_many_is_a_fault() {
    let many: Vec<_> = (0..=relay_common::MAX_CARDS)
        .map(|i| format!("\"c{i}\""))
        .collect();
    let told = |names: &str| faults(&format!("[kernel]\ninterfaces = [{names}]\n"));
    assert_eq!(told("\"a\", \"b\", \"a\"").len(), 1);
    assert_eq!(
        told(&many.join(", ")),
        ["2: kernel.interfaces[64]: card c64 is one more than the relay can use: name at most 64"]
    );
}

#[test]
fn an_unknown_table_is_a_fault() {
    assert_eq!(
        faults("[limit]\nallocations = 5\n"),
        ["1: limit: is not a key the relay knows: did you mean limits?"]
    );
}

#[test]
fn broken_toml_is_one_fault_with_its_line() {
    let told = faults("[listen]\nudp = [\n");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("is not TOML"), "{told:?}");
}

#[test]
fn ports_that_cannot_both_be_bound_are_faults() {
    let told = faults(
        r#"[[forward]]
listen = "udp/3478"
to = "media.example.org:1"
[[forward]]
name = "b"
listen = "udp/5004"
to = "media.example.org:1"
[[forward]]
name = "b"
listen = "udp/192.0.2.9:5004"
to = "media.example.org:1"
"#,
    );
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(
        told[0]
            .contains("1: forward[0]: udp/0.0.0.0:3478 is already taken by listen.udp (default)")
    );
    assert!(
        told[1].starts_with("8: forward[2]: forward b is there twice"),
        "{told:#?}"
    );
    assert!(told[2].contains("8: forward[2]: udp/192.0.2.9:5004 is already taken by forward[1]"));
}

#[test]
fn metrics_for_the_network_need_to_be_asked_for() {
    assert_eq!(faults("[metrics]\nlisten = \"0.0.0.0:9478\"\n").len(), 1);
    assert!(read("[metrics]\nlisten = \"0.0.0.0:9478\"\nallow_public = true\n").is_ok());
    assert!(
        read("[metrics]\nlisten = \"off\"\n")
            .unwrap()
            .config
            .metrics
            .listen
            .is_none()
    );
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let file = "workers = 1\n[auth]\nrealm = \"file\"\n[log]\nlevel = \"warn\"\n[peers]\nallow = [\"10.0.0.0/8\"]\n";
    let flags = Raw {
        workers: Some(flag(3)),
        ..Raw::default()
    };
    let variables = [
        ("RELAY_WORKERS", "2"),
        ("RELAY_REALM", "env"),
        ("RELAY_PORTS", "2000-3000"),
    ];
    let settings = with(file, flags, &variables).unwrap();
    assert_eq!(settings.config.workers, 3);
    assert_eq!(settings.config.auth.realm, "env");
    assert_eq!(settings.config.relay.ports, 2000..=3000);
    assert_eq!(settings.log.level, "warn");
    assert_eq!(settings.config.peers.allow.len(), 1);
    assert_eq!(
        settings.config.kernel.max_sessions,
        Config::default().kernel.max_sessions
    );
}

#[test]
fn a_fault_in_the_environment_names_the_variable() {
    let told = with("", Raw::default(), &[("RELAY_XDP", "fast")])
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("environment variable RELAY_XDP: kernel.xdp: \"fast\" is not an XDP mode"),
        "{told}"
    );
}

#[test]
fn a_secret_given_higher_up_hides_the_file_of_the_lower_layer() {
    let file = "[auth]\nsecret_file = \"/nonexistent/relay\"\n";
    assert_eq!(faults(file).len(), 1);
    let settings = with(file, Raw::default(), &[("RELAY_SECRET", "one,two")]).unwrap();
    assert_eq!(settings.config.auth.secrets.len(), 2);
}

#[test]
fn a_secret_file_holds_one_secret_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets");
    std::fs::write(&path, "# newest first\nnew\n\n old \n").unwrap();
    let text = format!("[auth]\nsecret_file = {:?}\n", path.display().to_string());
    let secrets = read(&text).unwrap().config.auth.secrets;
    assert_eq!(
        secrets
            .iter()
            .map(|s| s.expose().as_str())
            .collect::<Vec<_>>(),
        ["new", "old"]
    );
}

#[test]
fn what_is_shown_hides_secrets_and_reads_back() {
    let text = r#"workers = 2
[auth]
secrets = ["hunter2"]
[[auth.users]]
name = "alice"
password = "hunter3"
[[forward]]
listen = "udp/[::]:5004"
to = "[2001:4860::1]:5004"
allow = ["10.0.0.0/8"]
idle = "90s"
[metrics]
listen = "0.0.0.0:1"
allow_public = true
"#;
    let settings = read(text).unwrap();
    let shown = show::toml(&settings).to_string();
    assert!(
        !shown.contains("hunter") && shown.contains("***"),
        "{shown}"
    );
    assert!(!show::json(&settings).to_string().contains("hunter"));
    assert!(!format!("{settings:?}").contains("hunter"));
    let again = read(&shown).unwrap_or_else(|faults| panic!("{faults}\n{shown}"));
    assert_eq!(show::json(&again), show::json(&settings));
    assert_eq!(again.config.forwards, settings.config.forwards);
}

#[test]
fn advertised_addresses_are_pairs_of_one_family_each_address_once() {
    let told = faults(
        r#"
        [relay]
        advertise = ["10.0.0.5=198.51.100.5", "10.0.0.5=198.51.100.6", "10.0.0.6", "10.0.0.7=2001:db8::1"]
        "#,
    );
    assert_eq!(told.len(), 3, "{told:?}");
    let settings = with(
        "",
        Raw::default(),
        &[("RELAY_ADVERTISE", "10.0.0.5=198.51.100.5")],
    );
    let shown = show::toml(&settings.expect("it is right")).to_string();
    assert!(
        shown.contains("advertise = [\"10.0.0.5=198.51.100.5\"]"),
        "{shown}"
    );
}

#[test]
fn a_file_without_end_is_refused_after_its_first_megabytes() {
    let faults = load(Layers::only_file(Some(Path::new("/dev/zero")))).unwrap_err();
    let text = faults.to_string();
    assert!(text.contains("file too large"), "{text}");
    assert!(text.contains("4 MiB"), "{text}");
}
