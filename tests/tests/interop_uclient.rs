//! coturn's `turnutils_uclient` through the relay over UDP, TCP and TLS: channels, Send, client to client, mandatory padding.
//! Every message must come back, and by the path it belongs to.

use anyhow::{Context, Result, ensure};
use relay_tests::interop::client::run;
use relay_tests::interop::stage::{PASSWORD, USER};
use relay_tests::interop::{Before, Host, Path, Stage, Tools, Transport};
use relay_tests::topology::{EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6};

const MESSAGES: u64 = 100;
const CLIENTS: u64 = 2;
/// Of the peer, in a namespace where nobody else listens.
const PEER_PORT: u16 = 3480;

struct Run {
    name: &'static str,
    option: Option<&'static str>,
    path: Path,
    /// Relayed packets one message costs.
    passes: u64,
}

const RUNS: &[Run] = &[
    Run {
        name: "channel",
        option: None,
        path: Path::Fastest,
        passes: 2,
    },
    Run {
        name: "padded channel",
        option: Some("-D"),
        path: Path::Fastest,
        passes: 2,
    },
    Run {
        name: "Send",
        option: Some("-s"),
        path: Path::Userspace,
        passes: 2,
    },
    Run {
        name: "client to client",
        option: Some("-y"),
        path: Path::Fastest,
        passes: 1,
    },
];

fn every_message_comes_back(host: Host) -> Result<()> {
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
    for transport in Transport::ALL {
        // Our tests' coturn has no certificate.
        if transport == Transport::Tls && host == Host::Coturn {
            continue;
        }
        for v6 in [false, true] {
            for wanted in RUNS {
                let ran = one(&stage, wanted, transport, v6);
                ran.with_context(|| format!("{} over {transport:?} (v6: {v6})", wanted.name))?;
            }
        }
    }
    Ok(())
}

fn one(stage: &Stage, wanted: &Run, transport: Transport, v6: bool) -> Result<()> {
    let before = Before::read(stage)?;
    let mut client = stage.lab.client.command("turnutils_uclient");
    client.args([
        "-u",
        USER,
        "-w",
        PASSWORD,
        "-p",
        &transport.port().to_string(),
    ]);
    client.args(match transport {
        Transport::Udp => &[][..],
        Transport::Tcp => &["-t"],
        Transport::Tls => &["-t", "-S"],
    });
    client.args(["-n", &MESSAGES.to_string(), "-m", &CLIENTS.to_string()]);
    // 171 bytes need padding; one message a client every 5 ms; no second allocation for RTCP.
    client.args(["-l", "171", "-z", "5", "-c", "-r", &PEER_PORT.to_string()]);
    client.args(wanted.option);
    if v6 {
        client.args(["-x", "-e", SERVER_V6]).arg(EDGE_V6);
    } else {
        client.args(["-X", "-e", SERVER_V4]).arg(EDGE_V4);
    }
    let said = run(&client)?;
    let all = MESSAGES * CLIENTS;
    let counts = format!("tot_send_msgs={all}, tot_recv_msgs={all}");
    ensure!(said.contains(&counts), "not {counts}: {said}");
    ensure!(said.contains("Total lost packets 0 (0.000000%)"), "{said}");
    Before::expect(
        before,
        stage,
        transport.path(wanted.path),
        all * wanted.passes,
    )
}

#[test]
fn uclient_loses_nothing_through_the_kernel() -> Result<()> {
    every_message_comes_back(Host::NativeXdp)
}

#[test]
fn uclient_loses_nothing_through_an_unprivileged_relay() -> Result<()> {
    every_message_comes_back(Host::Unprivileged)
}
