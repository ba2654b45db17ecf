//! coturn's `turnutils_uclient` with what came after RFC 5766: mobility (RFC 8016), TCP allocations (RFC 6062).
//! Every message must come back.

use anyhow::{Context, Result, ensure};
use relay_tests::interop::client::run;
use relay_tests::interop::stage::{PASSWORD, TURN_PORT, USER};
use relay_tests::interop::{Host, Stage, Tools};
use relay_tests::topology::{EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6};

const MESSAGES: u64 = 100;
const CLIENTS: u64 = 2;
const PEER_PORT: u16 = 3480;

/// Its name and its options.
type Run = (&'static str, &'static [&'static str]);

const MOBILITY: &[Run] = &[
    ("mobile channels", &["-M"]),
    ("mobile Send", &["-M", "-s"]),
    ("mobile client to client", &["-M", "-y"]),
];

/// Between two of them: one connects, the other is told of it and binds.
const TCP: &[Run] = &[("TCP allocations", &["-t", "-T", "-y"])];

fn every_message_comes_back(host: Host, runs: &[Run]) -> Result<()> {
    if Tools::or_skip(&["turnutils_uclient", "turnutils_peer"]).is_none() {
        return Ok(());
    }
    let mut stage = Stage::open(host)?;
    for address in [SERVER_V4, SERVER_V6] {
        let mut peer = stage.lab.server.command("turnutils_peer");
        peer.args(["-L", address, "-p", &PEER_PORT.to_string()]);
        stage
            .start(peer, &format!("peer-{address}.log"))?
            .wait_for_udp(PEER_PORT)?;
    }
    for v6 in [false, true] {
        for (name, options) in runs {
            one(&stage, options, v6).with_context(|| format!("{name} (v6: {v6})"))?;
        }
    }
    Ok(())
}

fn one(stage: &Stage, options: &[&str], v6: bool) -> Result<()> {
    let mut client = stage.lab.client.command("turnutils_uclient");
    client.args(["-u", USER, "-w", PASSWORD, "-p", &TURN_PORT.to_string()]);
    client.args(["-n", &MESSAGES.to_string(), "-m", &CLIENTS.to_string()]);
    client.args(["-l", "171", "-z", "5", "-c", "-r", &PEER_PORT.to_string()]);
    client.args(options);
    if v6 {
        client.args(["-x", "-e", SERVER_V6]).arg(EDGE_V6);
    } else {
        client.args(["-X", "-e", SERVER_V4]).arg(EDGE_V4);
    }
    let said = run(&client)?;
    let all = MESSAGES * CLIENTS;
    let counts = format!("tot_send_msgs={all}, tot_recv_msgs={all}");
    ensure!(
        said.contains(&counts),
        "not {counts}: {said}\n{}",
        stage.logs()
    );
    ensure!(said.contains("Total lost packets 0 (0.000000%)"), "{said}");
    Ok(())
}

#[test]
fn mobile_clients_lose_nothing_through_the_kernel() -> Result<()> {
    every_message_comes_back(Host::NativeXdp, MOBILITY)
}

#[test]
fn mobile_clients_lose_nothing_through_an_unprivileged_relay() -> Result<()> {
    every_message_comes_back(Host::Unprivileged, MOBILITY)
}

#[test]
fn tcp_allocations_lose_nothing() -> Result<()> {
    every_message_comes_back(Host::Unprivileged, TCP)
}
