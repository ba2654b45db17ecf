//! aioice and aiortc through the relay: an echo peer behind a channel, ICE and a data channel with relay candidates only.

use anyhow::{Context, Result, ensure};
use relay_tests::interop::client::{ask, introduce, introduce_by};
use relay_tests::interop::{Before, Host, Path, Stage, Tools, Transport, inside};
use relay_tests::topology::SERVER_V4;

const MESSAGES: u64 = 20;

fn all_echoes_return(host: Host) -> Result<()> {
    let Some(tools) = Tools::or_skip(&["python:aioice"]) else {
        return Ok(());
    };
    let mut stage = Stage::open(host)?;
    let port = start_echo_peer(&mut stage, &tools)?;
    for transport in Transport::ALL {
        let before = Before::read(&stage)?;
        let mut client = inside(&stage.lab.client, &tools.python())?;
        client.arg(Tools::script("aioice_echo.py"));
        introduce_by(&mut client, MESSAGES, transport);
        client.args(["--peer", &format!("{SERVER_V4}:{port}")]);
        let answer = ask(&stage, &client)?;
        ensure!(answer.echoed == MESSAGES, "{transport:?}: {answer:?}");
        Before::expect(before, &stage, transport.path(Path::Fastest), MESSAGES * 2)?;
    }
    Ok(())
}

fn start_echo_peer(stage: &mut Stage, tools: &Tools) -> Result<u16> {
    let mut peer = inside(&stage.lab.server, &tools.python())?;
    peer.arg(Tools::script("udp_echo.py")).arg(SERVER_V4);
    let peer = stage.start(peer, "echo.log")?;
    peer.wait_for("port", |log| log.contains('}'))?;
    let said: serde_json::Value = serde_json::from_str(&peer.log())?;
    let port = said["port"].as_u64().context("no port")?;
    Ok(u16::try_from(port)?)
}

/// Both agents stand on the client's side, so each message crosses the relay from one client to the other.
fn two_agents_connect(host: Host, script: &str, module: &str) -> Result<()> {
    let Some(tools) = Tools::or_skip(&[module]) else {
        return Ok(());
    };
    let stage = Stage::open(host)?;
    let before = Before::read(&stage)?;
    let mut client = inside(&stage.lab.client, &tools.python())?;
    client.arg(Tools::script(script));
    introduce(&mut client, MESSAGES);
    let answer = ask(&stage, &client)?;
    ensure!(answer.echoed == MESSAGES, "{answer:?}");
    ensure!(answer.candidate_types == ["relay"], "{answer:?}");
    Before::expect(before, &stage, Path::Fastest, MESSAGES * 2)
}

#[test]
fn aioice_gets_every_echo_through_the_kernel() -> Result<()> {
    all_echoes_return(Host::NativeXdp)
}

#[test]
fn aioice_gets_every_echo_through_an_unprivileged_relay() -> Result<()> {
    all_echoes_return(Host::Unprivileged)
}

#[test]
fn aioice_agents_connect_by_relay_candidates_through_the_kernel() -> Result<()> {
    two_agents_connect(Host::NativeXdp, "aioice_ice.py", "python:aioice")
}

#[test]
fn aioice_agents_connect_by_relay_candidates_through_an_unprivileged_relay() -> Result<()> {
    two_agents_connect(Host::Unprivileged, "aioice_ice.py", "python:aioice")
}

#[test]
fn aiortc_data_channel_works_through_the_kernel() -> Result<()> {
    two_agents_connect(Host::NativeXdp, "aiortc_channel.py", "python:aiortc")
}

#[test]
fn aiortc_data_channel_works_through_an_unprivileged_relay() -> Result<()> {
    two_agents_connect(Host::Unprivileged, "aiortc_channel.py", "python:aiortc")
}
