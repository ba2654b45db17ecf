//! The cloud proxy as an application meets it: two Chromium in a meeting whose page, tokens, signaling and media all go
//! through one relay, in each mode, with UDP cut and restored.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use relay_tests::eventually::eventually;
use relay_tests::interop::call::{Browsers, Look, Seat, Side};
use relay_tests::interop::{Background, Tools};
use relay_tests::netns::NetNs;
use relay_tests::relay::Relay;
use relay_tests::scene::arguments;
use relay_tests::scratch;
use relay_tests::topology::{CLIENT_CARD, EDGE_SERVER_V4, EDGE_V4, SERVER_CARD, Topology};

const NEEDS: [&str; 6] = [
    "chromium",
    "node",
    "nft",
    "openssl",
    "node:puppeteer-core",
    "node:ws",
];
const BEFORE_ANYTHING: Duration = Duration::from_secs(40);
/// Beyond what the machine itself takes, which shows in a call nobody disturbs.
const SLOWER_WITHOUT_UDP_MS: f64 = 1500.0;
const RESUMES_WITHIN_MS: f64 = 3000.0;

/// Two cores carry one call.
static ALONE: Mutex<()> = Mutex::new(());

/// Dropped in this order: browsers, origin, relay, namespaces, files, the right to be the only one.
struct Meeting {
    browsers: Browsers,
    _origin: Background,
    relay: Relay,
    lab: Topology,
    _folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Meeting {
    fn open() -> Result<Option<Self>> {
        let Some(tools) = Tools::or_skip(&NEEDS) else {
            return Ok(None);
        };
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Topology::new()?;
        let folder = scratch::folder("meeting")?;
        let key = folder.path().join("meeting.key");
        std::fs::write(&key, lab.edge.run("openssl", &["rand", "-hex", "32"])?)?;
        let (origin, address) = start_origin(&lab.edge, &tools, &key, folder.path())?;
        let configuration = folder.path().join("relay.toml");
        std::fs::write(&configuration, configured(&key, &address))?;
        let configuration = configuration.to_str().context("a path of text")?;
        let mut serve = arguments(&[CLIENT_CARD, SERVER_CARD], "native");
        serve.extend(["--config", configuration, "--secret", "of-the-lab"]);
        let relay = Relay::start(&lab.edge, &serve)?;
        for namespace in [&lab.client, &lab.server] {
            // A browser takes an address that becomes usable for a change of network, and gives up what it loads.
            eventually("addresses in use", || {
                let tentative = namespace.run("ip", &["-6", "addr", "show", "tentative"]);
                tentative.is_ok_and(|said| said.trim().is_empty())
            })?;
        }
        let seat = |namespace, host| Seat { namespace, host };
        let (near, far) = (
            seat(&lab.client, EDGE_V4),
            seat(&lab.server, EDGE_SERVER_V4),
        );
        Ok(Some(Self {
            browsers: Browsers::start(&tools, &near, &far)?,
            _origin: origin,
            relay,
            lab,
            _folder: folder,
            _alone: alone,
        }))
    }

    /// Both play the other's video, and the data channel is open.
    fn plays(&mut self, mode: &str) -> Result<Look> {
        self.browsers.open(mode)?;
        self.browsers
            .look_until(BEFORE_ANYTHING, "both play", |look| {
                look.sides().iter().all(|side| side.frames > 30)
            })
    }

    /// The near side told that it is on the other transport.
    fn switched(&mut self, to: &str) -> Result<Look> {
        let limit = BEFORE_ANYTHING;
        self.browsers
            .look_until(limit, &format!("a switch to {to}"), |look| {
                let events = &look.near.events;
                events.last().and_then(|last| last.to.as_deref()) == Some(to)
            })
    }

    /// Another second of video on both sides.
    fn plays_on(&mut self, since: &Look) -> Result<Look> {
        self.browsers
            .look_until(BEFORE_ANYTHING, "video goes on", |look| {
                let [near, far] = [look.near.frames, look.far.frames];
                near > since.near.frames + 30 && far > since.far.frames + 30
            })
    }

    /// The near side's own packets and those for it.
    fn cut_udp(&self) -> Result<()> {
        self.lab.client.run("nft", &[NO_UDP]).map(drop)
    }

    fn restore_udp(&self) -> Result<()> {
        let table = ["delete", "table", "inet", "cut"];
        self.lab.client.run("nft", &table).map(drop)
    }

    fn sent_udp(&self) -> Result<u64> {
        let said = self.lab.client.run("nft", &["-j", "list", "counters"])?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let listed = said["nftables"].as_array().context("a list")?;
        let counted = listed
            .iter()
            .find_map(|one| one["counter"]["packets"].as_u64());
        counted.context("no counter")
    }
}

const NO_UDP: &str = "table inet cut {
    chain out { type filter hook output priority 0; meta l4proto udp drop; }
    chain in { type filter hook input priority 0; meta l4proto udp drop; }
}";
const COUNT_UDP: &str = "table inet counted {
    counter sent { }
    chain out { type filter hook output priority 10; meta l4proto udp counter name sent; }
}";

fn start_origin(
    edge: &NetNs,
    tools: &Tools,
    key: &Path,
    folder: &Path,
) -> Result<(Background, String)> {
    let mut command = edge.command("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/meeting/server.mjs"));
    command.arg("--modules").arg(tools.node_modules());
    command.arg("--secret").arg(key);
    // The namespace has its ports to itself; the origin says which it took.
    command.args(["--listen", "127.0.0.1:0"]);
    let mut origin = Background::start(command, &folder.join("origin.log"))?;
    origin.wait_for("address", |log| log.contains("http://"))?;
    let log = origin.log();
    let address = log
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    Ok((origin, address.context("no address")?.to_owned()))
}

/// The example's, with another key file and another origin.
fn configured(key: &Path, origin: &str) -> String {
    let example = include_str!("../../docs/examples/meeting/relay.toml");
    let [file, address] = ["\"meeting.key\"", "\"http://127.0.0.1:8080\""];
    assert!(example.contains(file) && example.contains(address));
    example
        .replace(file, &format!("{:?}", key.display().to_string()))
        .replace(address, &format!("{origin:?}"))
}

fn gap(look: &Look) -> f64 {
    look.near.gap_ms.max(look.far.gap_ms)
}

fn by(side: &Side, protocol: &str) -> bool {
    side.candidate_type.as_deref() == Some("relay")
        && side.relay_protocol.as_deref() == Some(protocol)
}

#[test]
fn every_mode_plays_by_its_transport_and_tcp_only_sends_no_udp() -> Result<()> {
    let Some(mut meeting) = Meeting::open()? else {
        return Ok(());
    };
    meeting.lab.client.run("nft", &[COUNT_UDP])?;
    for (mode, protocol) in [
        ("TCP_ONLY", "tls"),
        ("UDP_OVER_TCP", "udp"),
        ("UDP_ONLY", "udp"),
    ] {
        let before = meeting.sent_udp()?;
        let look = meeting.plays(mode).context(mode)?;
        let look = match look.sides().iter().all(|side| by(side, protocol)) {
            true => look,
            // A browser may begin on the transport that was there first.
            false => meeting
                .browsers
                .look_until(BEFORE_ANYTHING, protocol, |look| {
                    look.sides().iter().all(|side| by(side, protocol))
                })?,
        };
        meeting.browsers.say("hello")?;
        meeting
            .browsers
            .look_until(BEFORE_ANYTHING, "heard", |look| {
                look.far.heard == ["hello"] && look.near.decoded > 30
            })?;
        println!("{mode}: first frame after {:?} ms", look.near.first_ms);
        let sent = meeting.sent_udp()? - before;
        ensure!(
            (sent > 0) == (protocol == "udp"),
            "{mode}: {sent} packets of UDP"
        );
        let kernel = meeting.relay.sessions()?;
        let kernel = kernel.iter().filter(|one| one.runs_in == "kernel").count();
        ensure!(
            (kernel > 0) == (protocol == "udp"),
            "{mode}: {kernel} sessions in the kernel"
        );
        meeting.browsers.close()?;
    }
    Ok(())
}

#[test]
fn without_udp_the_default_plays_over_tls_and_udp_only_says_what_to_open() -> Result<()> {
    let Some(mut meeting) = Meeting::open()? else {
        return Ok(());
    };
    let first = |look: &Look| look.near.first_ms.context("no frame");
    // The first call of a browser pays for its start.
    meeting.plays("UDP_OVER_TCP")?;
    meeting.browsers.close()?;
    let direct = first(&meeting.plays("UDP_OVER_TCP")?)?;
    meeting.browsers.close()?;
    meeting.cut_udp()?;
    let look = meeting.plays("UDP_OVER_TCP")?;
    ensure!(by(&look.near, "tls"), "{look:#?}");
    let without = first(&look)?;
    println!("first frame after {direct:.0} ms, without UDP after {without:.0} ms");
    ensure!(
        without < direct + SLOWER_WITHOUT_UDP_MS,
        "{direct} and {without}"
    );
    meeting.browsers.close()?;

    meeting.browsers.open("UDP_ONLY")?;
    let look = meeting
        .browsers
        .look_until(BEFORE_ANYTHING, "it gives up", |look| {
            look.near
                .events
                .iter()
                .any(|one| one.event == "transport-failed")
        })?;
    let told = &look.near.events[0];
    let error = told.error.as_deref().unwrap_or_default();
    ensure!(told.code.as_deref() == Some("transport-failed"), "{told:?}");
    ensure!(
        error.contains("UDP_ONLY") && error.contains(&format!("UDP to {EDGE_V4}:3478")),
        "{error}"
    );
    ensure!(
        look.near.frames == 0 && look.near.relay_protocol.is_none(),
        "{look:#?}"
    );
    Ok(())
}

#[test]
fn video_goes_on_over_tls_when_udp_is_cut_and_returns_when_it_works_again() -> Result<()> {
    let Some(mut meeting) = Meeting::open()? else {
        return Ok(());
    };
    meeting.plays("UDP_OVER_TCP")?;
    meeting
        .browsers
        .look_until(BEFORE_ANYTHING, "both on UDP", |look| {
            look.sides().iter().all(|side| by(side, "udp"))
        })?;
    meeting.browsers.mark()?;
    meeting.cut_udp()?;
    let over = meeting.switched("tcp")?;
    ensure!(by(&over.near, "tls"), "{over:#?}");
    let resumed = meeting.plays_on(&over)?;
    let away = gap(&resumed);
    meeting.browsers.mark()?;
    meeting.restore_udp()?;
    let back = meeting.switched("udp")?;
    let returned = meeting.plays_on(&back)?;
    ensure!(by(&returned.near, "udp"), "{returned:#?}");
    println!(
        "without a new frame: {away:.0} ms on the way to TLS, {:.0} ms on the way back",
        gap(&returned)
    );
    ensure!(away < RESUMES_WITHIN_MS, "{resumed:#?}");
    Ok(())
}
