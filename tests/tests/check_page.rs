//! The /check page of a relay in headless Chromium, with UDP open and blocked, with a token and without.

use relay_tests::interop::Tools;
use relay_tests::interop::client::run;
use relay_tests::rough::Rough;
use relay_tests::token::Issuer;
use relay_tests::topology::EDGE_V4;
use serde_json::{Value, json};

struct Visit {
    rough: Rough,
    issuer: Issuer,
    tools: Tools,
}

impl Visit {
    /// `more`: of the relay's configuration.
    fn new(more: &str) -> Option<Self> {
        let tools = Tools::without_kernel(&["chromium", "node", "node:puppeteer-core"])?;
        let issuer = Issuer::new(more).unwrap();
        let rough = Rough::with(issuer.configuration(), &[])?;
        Some(Self {
            rough,
            issuer,
            tools,
        })
    }

    /// What the visitor saw.
    fn look(&self, token: Option<&str>) -> Value {
        let mut node = self.rough.client.command("node");
        node.arg(Tools::script("check_page.mjs"));
        node.args(["--url", &format!("https://{EDGE_V4}/check")]);
        node.arg("--modules").arg(self.tools.node_modules());
        if let Some(token) = token {
            node.args(["--token", token]);
        }
        let text = run(&node).unwrap();
        let line = text.lines().find(|line| line.starts_with('{'));
        let seen: Value = serde_json::from_str(line.expect(&text)).unwrap();
        println!("{seen:#}");
        assert_eq!(seen["ok"], true);
        seen
    }

    fn token(&self) -> String {
        self.issuer.token(&json!({})).unwrap()
    }
}

fn one<'r>(seen: &'r Value, name: &str) -> &'r Value {
    let mut all = seen["report"]["checks"].as_array().unwrap().iter();
    let found = all.find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn with_a_token_both_transports_are_measured_and_nobody_else_is_asked() {
    let Some(visit) = Visit::new("") else { return };
    let seen = visit.look(Some(&visit.token()));
    assert_eq!(seen["report"]["verdict"], "works");
    assert_eq!(seen["origins"], json!([format!("https://{EDGE_V4}")]));
    assert_eq!(seen["faults"], json!([]), "its own policy lets it work");
    for name in ["https", "websocket", "media-udp", "media-tls"] {
        let check = one(&seen, name);
        assert_eq!(check["state"], "works", "{name}");
        // The link is ten milliseconds long, each way.
        assert!(check["rtt_ms"]["min"].as_f64().unwrap() >= 15.0, "{check}");
    }
    for name in ["media-udp", "media-tls"] {
        let loss = &one(&seen, name)["loss"];
        assert_eq!((&loss["sent"], &loss["bytes"]), (&50.into(), &1200.into()));
        assert!(loss["lost"].as_u64().unwrap() < 50, "{loss}");
    }
    assert_eq!(seen["report"]["transport"]["proto"], "udp");
    assert_eq!(seen["report"]["open"], json!([]));
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains("media goes by udp"), "{text}");
    // For who cannot see it: told as it goes, and read out at the end.
    assert_eq!(seen["focused"], "verdict");
    let told = seen["told"].as_array().unwrap();
    assert!(told.len() >= 6, "{told:?}");
}

#[test]
fn without_udp_the_page_says_which_rule_to_ask_for_and_that_media_goes_by_tls() {
    let Some(visit) = Visit::new("") else { return };
    visit
        .rough
        .link
        .change(|weather| weather.udp_blocked = true);
    let seen = visit.look(Some(&visit.token()));
    let report = &seen["report"];
    assert_eq!(report["verdict"], "impaired");
    assert_eq!(one(&seen, "media-udp")["state"], "fails");
    assert_eq!(one(&seen, "media-tls")["state"], "works");
    assert_eq!(report["transport"]["proto"], "tcp");
    let rule = format!("allow UDP from here to {EDGE_V4} port 3478, outbound, and its answers");
    assert_eq!(report["open"][0]["rule"], rule);
    assert!(seen["text"].as_str().unwrap().contains(&rule));
}

#[test]
fn without_a_token_the_web_is_checked_and_a_bad_one_is_named() {
    let Some(visit) = Visit::new("") else { return };
    let seen = visit.look(None);
    assert_eq!(seen["report"]["verdict"], "works");
    assert_eq!(seen["rows"], 3);
    let seen = visit.look(Some("x.y.z"));
    let credential = one(&seen, "credential");
    assert_eq!(credential["state"], "fails");
    let found = credential["found"].as_str().unwrap();
    assert!(found.contains("did not take the token"), "{found}");
}
