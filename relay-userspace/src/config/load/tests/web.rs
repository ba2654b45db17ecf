//! What the file says of signaling routes and of the public API.

use std::time::Duration;

use super::*;
use crate::config::HostHeader;

const ROUTE: &str = r#"
[[signaling.route]]
host = "Meet.example.org"
path = "/api/"
origins = ["http://127.0.0.1:8080", "https://[2001:db8::1]:8443"]
host_header = "origin"
allow_origins = ["https://app.example.org"]
idle_timeout = "5m"
max_body_bytes = 1000
health_path = "/health/"
"#;

#[test]
fn a_route_is_read_with_what_is_usual_for_the_rest() {
    let signaling = read(ROUTE).unwrap().config.signaling;
    let route = &signaling.routes[0];
    assert_eq!(route.name(), "meet.example.org/api");
    assert_eq!(route.origins.len(), 2);
    assert_eq!(route.host_header, HostHeader::Origin);
    assert_eq!(route.idle_timeout, Duration::from_secs(300));
    assert_eq!(route.connect_timeout, Duration::from_secs(3));
    assert_eq!(route.health_path.as_deref(), Some("/health/"));
    assert!(!signaling.allow_plain);
    let bare = "[[signaling.route]]\norigins = [\"http://a.example\"]\n";
    let bare = &read(bare).unwrap().config.signaling.routes[0];
    assert_eq!(bare.name(), "*/");
}

#[test]
fn what_is_shown_of_routes_and_api_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let api = format!(
        "[api]\nhosts = [\"a.example\"]\nallow_origins = [\"*\"]\nregion = \"fra1\"\n\
         [[api.keys]]\nname = \"web\"\nfile = {key:?}\n"
    );
    let settings = read(&(ROUTE.to_owned() + &api)).unwrap();
    let shown = show::toml(&settings).to_string();
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
    // A secret that is hidden is no secret.
    let again = read(&shown.replace("secrets = []\n", "")).unwrap().config;
    assert_eq!(again.signaling, settings.config.signaling);
    assert_eq!(again.api, settings.config.api);
}

#[test]
fn what_cannot_be_served_is_refused_with_a_remedy() {
    for (text, told) in [
        ("[[signaling.route]]\npath = \"/\"\n", "origins is missing"),
        ("[[signaling.route]]\norigins = []\n", "names no origin"),
        (
            "[[signaling.route]]\norigins = [\"http://a/b\"]\n",
            "no path of its own",
        ),
        (
            "[[signaling.route]]\norigins = [\"ftp://a\"]\n",
            "not the address of a web server",
        ),
        (
            "[[signaling.route]]\npath = \"/a/../b\"\norigins = [\"http://a\"]\n",
            "not a path",
        ),
        (
            "[[signaling.route]]\nhost = \"a:443\"\norigins = [\"http://a\"]\n",
            "without a port",
        ),
        (
            "[[signaling.route]]\nmax_concurrent = 0\norigins = [\"http://a\"]\n",
            "refuse everything",
        ),
        (
            "[[signaling.route]]\nidle_timeout = \"0s\"\norigins = [\"http://a\"]\n",
            "no time to wait",
        ),
        (
            "[[signaling.route]]\norigins = [\"http://a\"]\n[[signaling.route]]\norigins = [\"http://b\"]\n",
            "route */ is there twice",
        ),
        ("[signaling]\nmax_header_bytes = 10\n", "max_header_bytes"),
        (
            "[signaling]\nkeep_alive = \"0s\"\n",
            "2: signaling.keep_alive: ",
        ),
        ("[api]\ndefault_ttl = \"2d\"\n", "default_ttl <= max_ttl"),
        ("[api]\nrequests_per_second = 0\n", "requests_per_second"),
        ("[api]\nhost = \"a:443\"\n", "has a port"),
        (
            "[[api.keys]]\nname = \"web\"\nfile = \"/nowhere\"\n",
            "3: api.keys[0].file: /nowhere cannot be read",
        ),
    ] {
        let all = faults(text).join("\n");
        assert!(all.contains(told), "{text}: {all}");
    }
}
