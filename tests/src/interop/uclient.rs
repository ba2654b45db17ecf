//! coturn's `turnutils_uclient` and the peers it talks to: what one exchange of messages is, and that none may be missing.

use anyhow::{Result, ensure};

use super::client::run;
use super::stage::{PASSWORD, Stage, USER};
use super::{Tools, Transport};
use crate::topology::{EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6};

const MESSAGES: u64 = 100;
const CLIENTS: u64 = 2;
/// Of one exchange, in one direction.
pub const ALL: u64 = MESSAGES * CLIENTS;
/// Of the peer, in a namespace where nobody else listens.
const PEER_PORT: u16 = 3480;

/// Whether the commands are there; says so if not.
pub fn is_there() -> bool {
    Tools::or_skip(&["turnutils_uclient", "turnutils_peer"]).is_some()
}

/// How one exchange goes.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    pub transport: Transport,
    pub v6: bool,
    pub options: &'a [&'a str],
}

/// An echo peer of each family on the server; they end with the stage.
pub fn start_peers(stage: &mut Stage) -> Result<()> {
    for address in [SERVER_V4, SERVER_V6] {
        let mut peer = stage.lab.server.command("turnutils_peer");
        peer.args(["-L", address, "-p", &PEER_PORT.to_string()]);
        stage
            .start(peer, &format!("peer-{address}.log"))?
            .wait_for_udp(PEER_PORT)?;
    }
    Ok(())
}

/// Messages to the peer and back, or from client to client; an error unless every one came.
pub fn loses_nothing(stage: &Stage, exchange: Exchange<'_>) -> Result<()> {
    let mut client = stage.lab.client.command("turnutils_uclient");
    let port = exchange.transport.port().to_string();
    client.args(["-u", USER, "-w", PASSWORD, "-p", &port]);
    client.args(match exchange.transport {
        Transport::Udp => &[][..],
        Transport::Tcp => &["-t"],
        Transport::Tls => &["-t", "-S"],
    });
    client.args(["-n", &MESSAGES.to_string(), "-m", &CLIENTS.to_string()]);
    // 171 bytes need padding; one message a client every 5 ms; no second allocation for RTCP.
    client.args(["-l", "171", "-z", "5", "-c", "-r", &PEER_PORT.to_string()]);
    client.args(exchange.options);
    if exchange.v6 {
        client.args(["-x", "-e", SERVER_V6]).arg(EDGE_V6);
    } else {
        client.args(["-X", "-e", SERVER_V4]).arg(EDGE_V4);
    }
    let said = run(&client)?;
    let counts = format!("tot_send_msgs={ALL}, tot_recv_msgs={ALL}");
    let whole = said.contains(&counts) && said.contains("Total lost packets 0 (0.000000%)");
    ensure!(whole, "not {counts}: {said}\n{}", stage.logs());
    Ok(())
}
