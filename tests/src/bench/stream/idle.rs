//! What a TLS connection costs in memory when nothing happens on it, without an allocation and with one.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use super::super::pair::Pair;
use super::super::process;
use super::server::{SUBJECTS, Server};
use crate::client::stream::Wire;

/// One server: bytes of its own memory a connection; what the kernel keeps for a socket is not in it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub subject: &'static str,
    pub connections: usize,
    pub bytes_per_connection: f64,
    /// With an allocation each: as many as may be open.
    pub clients: usize,
    pub bytes_per_client: f64,
    /// By the clock, the client's work included.
    pub handshakes_per_second: f64,
}

/// Nobody is to be cut or refused while it is measured.
const CONFIG: &str = "[stream]
setup_timeout = \"10m\"
handshakes_per_second = 1000000
max_waiting = 100000
max_waiting_per_prefix = 100000
[limits]
allocations_per_user = 100000
unauthenticated_per_second = 1000000
";
/// After the last handshake, for what is freed late.
const REST: Duration = Duration::from_millis(500);

pub fn run(connections: usize) -> Result<Vec<Row>> {
    let (_, files) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, files, files)?;
    // A client is two sockets of the server.
    let clients = connections.min((files as usize).saturating_sub(1000) / 2);
    ensure!(
        connections + 1000 < files as usize,
        "{files} open files allowed: ulimit -Hn, or --idle for fewer connections"
    );
    let mut rows = Vec::new();
    for subject in SUBJECTS {
        let row =
            measure(subject, connections, clients).with_context(|| format!("measure {subject}"))?;
        eprintln!(
            "{subject:<6} {connections} idle TLS connections: {:.0} bytes each, {:.0} with an allocation; {:.0} handshakes/s",
            row.bytes_per_connection, row.bytes_per_client, row.handshakes_per_second
        );
        rows.push(row);
    }
    Ok(rows)
}

fn measure(subject: &'static str, connections: usize, clients: usize) -> Result<Row> {
    let pair = Pair::new()?;
    let server = Server::start(subject, &pair.inner, CONFIG)?;
    let before = process::resident(server.pid())?;
    let start = Instant::now();
    let (address, trust) = server.door("tls")?;
    let held: Vec<TcpStream> = pair.outer.enter(|| {
        let connect = |_| Ok(Wire::connect(address, trust)?.tcp().try_clone()?);
        (0..connections).map(connect).collect()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes_per_connection = growth(&server, before, connections)?;
    still_open(&held)?;
    drop((held, server));

    let server = Server::start(subject, &pair.inner, CONFIG)?;
    let before = process::resident(server.pid())?;
    let held: Vec<TcpStream> = (0..clients)
        .map(|_| Ok(server.client(&pair.outer, "tls")?.tcp().try_clone()?))
        .collect::<Result<_>>()?;
    let bytes_per_client = growth(&server, before, clients)?;
    still_open(&held)?;
    Ok(Row {
        subject,
        connections,
        clients,
        bytes_per_connection,
        bytes_per_client,
        handshakes_per_second: connections as f64 / seconds,
    })
}

fn growth(server: &Server, before: f64, connections: usize) -> Result<f64> {
    std::thread::sleep(REST);
    Ok((process::resident(server.pid())? - before) / connections as f64)
}

/// A connection the server has ended would be measured as free.
fn still_open(held: &[TcpStream]) -> Result<()> {
    let mut byte = [0];
    for (i, tcp) in held.iter().enumerate() {
        tcp.set_nonblocking(true)?;
        // Session tickets wait there, or nothing; the end would be nothing read.
        ensure!(
            tcp.peek(&mut byte).ok() != Some(0),
            "connection {i} has ended"
        );
    }
    Ok(())
}
