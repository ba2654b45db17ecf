//! Headless Chromium, two peer connections that may use relay candidates only: 200 data-channel ping-pongs.

use anyhow::{Result, ensure};
use relay_tests::interop::client::{ask, introduce};
use relay_tests::interop::{Before, Host, Path, Stage, Tools};

const PING_PONGS: u64 = 200;

fn every_ping_comes_back(host: Host) -> Result<()> {
    let Some(tools) = Tools::or_skip(&["chromium", "node", "node:puppeteer-core"]) else {
        return Ok(());
    };
    let stage = Stage::open(host)?;
    let before = Before::read(&stage)?;
    let mut client = stage.lab.client.command("node");
    client.arg(Tools::script("chromium_channel.mjs"));
    introduce(&mut client, PING_PONGS);
    client.arg("--modules").arg(tools.node_modules());
    let answer = ask(&stage, &client)?;
    ensure!(answer.echoed == PING_PONGS, "{answer:?}");
    ensure!(answer.candidate_types == ["relay"], "{answer:?}");
    ensure!(answer.local.as_deref() == Some("relay"), "{answer:?}");
    ensure!(answer.remote.as_deref() == Some("relay"), "{answer:?}");
    ensure!(
        answer.relay_protocol.as_deref() == Some("udp"),
        "{answer:?}"
    );
    // A ping and a pong are one packet each, acknowledgements not counted.
    Before::expect(before, &stage, Path::Fastest, PING_PONGS * 2)
}

#[test]
fn chromium_plays_ping_pong_through_the_kernel() -> Result<()> {
    every_ping_comes_back(Host::NativeXdp)
}

#[test]
fn chromium_plays_ping_pong_through_an_unprivileged_relay() -> Result<()> {
    every_ping_comes_back(Host::Unprivileged)
}
