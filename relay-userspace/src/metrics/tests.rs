//! The registry, the documentation, the relay's samples and the exposition name the same metrics.

use std::collections::BTreeSet;

use super::{exposition, registry};
use crate::config::Config;
use crate::relay::{Kind, Relay, Sample};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
const BEGIN: &str = "<!-- begin: printed from metrics/registry.rs -->\n";
const END: &str = "<!-- end -->";

/// `RELAY_BLESS=1 cargo test -p relay-userspace metrics` rewrites the tables.
#[test]
fn every_metric_is_documented_as_declared() {
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/metrics.md");
    let (head, rest) = document.split_once(BEGIN).expect("the begin mark");
    let (tables, tail) = rest.split_once(END).expect("the end mark");
    if std::env::var_os("RELAY_BLESS").is_some() {
        let fresh = format!("{head}{BEGIN}{}{END}{tail}", registry::markdown());
        std::fs::write(DOCUMENT, fresh).expect("docs/metrics.md is writable");
        return;
    }
    let printed = registry::markdown();
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (tables.lines().collect(), printed.lines().collect());
    let differing: Vec<_> = old.symmetric_difference(&new).collect();
    assert!(
        tables == printed,
        "run it with RELAY_BLESS=1: {differing:#?}"
    );
}

#[test]
fn metric_names_are_unique_and_without_suffix() {
    let all = registry::all();
    let names: BTreeSet<_> = all.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all.len());
    for name in names {
        assert!(!name.ends_with("_total"), "{name}");
    }
}

#[tokio::test]
async fn the_relay_counts_exactly_what_is_declared() {
    let mut config = loopback();
    let route = "[[signaling.route]]\norigins = [\"http://127.0.0.1:1\"]\n";
    let route = crate::config::read_text(route).expect("a route");
    config.signaling = route.config.signaling;
    let relay = Relay::start(config).await.expect("the relay starts");
    let samples = relay.counters().await;
    relay.shutdown().await;
    for sample in &samples {
        let metric = registry::find(&sample.name)
            .unwrap_or_else(|| panic!("{} is not in the registry", sample.name));
        let labels: Vec<_> = sample.labels.iter().map(|(key, _)| *key).collect();
        assert_eq!(metric.kind, sample.kind, "{}", sample.name);
        assert_eq!(metric.labels, labels, "{}", sample.name);
    }
    let counted: BTreeSet<_> = samples.iter().map(|sample| sample.name.as_str()).collect();
    let mut silent: Vec<_> = registry::all().iter().map(|metric| metric.name).collect();
    silent.retain(|name| !counted.contains(name));
    // Its rules are known only once one of them refused, and the program counts only where it is loaded.
    silent.retain(|name| !["turn_refused_peers", "kernel_packets"].contains(name));
    assert!(
        silent.is_empty(),
        "declared, but not counted even as 0: {silent:?}"
    );
}

#[test]
fn samples_of_one_name_stand_together_under_one_help() {
    let samples = vec![
        Sample::counter("kernel_packets", 5).label("verdict", "transmitted"),
        Sample::gauge("forwards", 2),
        Sample::counter("kernel_packets", 7).label("verdict", "not_\"ip"),
    ];
    let text = exposition::encode(samples).unwrap();
    assert_eq!(
        text,
        "# HELP relay_forwards Forwards that exist.\n\
         # TYPE relay_forwards gauge\n\
         relay_forwards 2\n\
         # HELP relay_kernel_packets Packets the kernel program saw, by what it did with them and why.\n\
         # TYPE relay_kernel_packets counter\n\
         relay_kernel_packets_total{verdict=\"transmitted\"} 5\n\
         relay_kernel_packets_total{verdict=\"not_\\\"ip\"} 7\n\
         # EOF\n"
    );
    assert_eq!(
        registry::find("forwards").map(|metric| metric.kind),
        Some(Kind::Gauge)
    );
}

/// A relay that touches no card and no fixed port.
fn loopback() -> Config {
    let mut config = Config::default();
    config.listen.udp = vec!["127.0.0.1:0".parse().unwrap()];
    config.listen.tcp = Vec::new();
    config.listen.tls = Vec::new();
    config.metrics.listen = None;
    config.workers = 1;
    config.survive = false;
    config
}
