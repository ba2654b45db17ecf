//! Headless Chromium, two peer connections that may use relay candidates only: 200 data-channel ping-pongs.

use anyhow::{Context, Result, ensure};
use relay_tests::interop::client::{ask, introduce_by};
use relay_tests::interop::{Before, Host, Path, Stage, Tools, Transport};

const PING_PONGS: u64 = 200;

fn every_ping_comes_back(host: Host) -> Result<()> {
    let Some(tools) = Tools::or_skip(&["chromium", "node", "node:puppeteer-core"]) else {
        return Ok(());
    };
    let stage = Stage::open(host)?;
    for transport in Transport::ALL {
        over(&stage, &tools, transport).with_context(|| format!("over {transport:?}"))?;
    }
    Ok(())
}

fn over(stage: &Stage, tools: &Tools, transport: Transport) -> Result<()> {
    let before = Before::read(stage)?;
    let mut client = stage.lab.client.command("node");
    client.arg(Tools::script("chromium_channel.mjs"));
    introduce_by(&mut client, PING_PONGS, transport);
    client.arg("--modules").arg(tools.node_modules());
    let answer = ask(stage, &client)?;
    ensure!(answer.echoed == PING_PONGS, "{answer:?}");
    ensure!(answer.candidate_types == ["relay"], "{answer:?}");
    ensure!(answer.local.as_deref() == Some("relay"), "{answer:?}");
    ensure!(answer.remote.as_deref() == Some("relay"), "{answer:?}");
    let protocol = answer.relay_protocol.as_deref();
    ensure!(protocol == Some(transport.name()), "{answer:?}");
    // A ping and a pong are one packet each, acknowledgements not counted.
    let path = transport.path(Path::Fastest);
    Before::expect(before, stage, path, PING_PONGS * 2)
}

#[test]
fn chromium_plays_ping_pong_through_the_kernel() -> Result<()> {
    every_ping_comes_back(Host::NativeXdp)
}

#[test]
fn chromium_plays_ping_pong_through_an_unprivileged_relay() -> Result<()> {
    every_ping_comes_back(Host::Unprivileged)
}
