//! Lines of stdin as datagrams to a peer through a relay, what comes back to stdout: the cloud proxy in a program of one's own.
//!
//! `TOKEN=… cargo run --example datagrams -- relay.example.org 203.0.113.5:5004`, with the certificate of a relay's own in `CA`.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use relay_userspace::client::ice::{IceApi, Place};
use relay_userspace::client::secure::SecureServer;
use relay_userspace::client::session::{Happening, Options, Session};
use relay_userspace::https::{authorities, client_config};
use relay_userspace::mode::{Mode, Policy};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<()> {
    let mut given = env::args().skip(1);
    let (Some(relay), Some(peer)) = (given.next(), given.next()) else {
        bail!("usage: datagrams RELAY PEER");
    };
    let peer: SocketAddr = peer.parse().context("PEER is ADDRESS:PORT")?;
    let (session, mut happenings) = Session::start(options(&relay, peer).await?);
    session.open(peer).await;

    let mut lines = BufReader::new(stdin()).lines();
    let mut bound = false;
    loop {
        tokio::select! {
            line = lines.next_line(), if bound => match line? {
                Some(line) => session.send(peer, line.into_bytes()),
                None => break,
            },
            happening = happenings.recv() => match happening.context("the session is over")? {
                Happening::Bound { .. } => bound = true,
                Happening::Data { data, .. } => println!("{}", String::from_utf8_lossy(&data)),
                Happening::Notice { notice, .. } => eprintln!("{}", serde_json::to_string(&notice)?),
                Happening::Relayed(address) => eprintln!("peers see {address}"),
                Happening::Unbound { peer, refused } => bail!("{peer}: {refused}"),
                Happening::Ended(refusal) => bail!("{refusal}"),
            },
        }
    }
    session.end().await;
    Ok(())
}

/// What the relay's own API says a token may use.
async fn options(relay: &str, peer: SocketAddr) -> Result<Options> {
    let token = env::var("TOKEN").context("TOKEN: one with scope ice, docs/accounts.md")?;
    let tls = client_config(authorities(
        env::var_os("CA").map(PathBuf::from).as_deref(),
    )?)?;
    let mode = Mode::UdpOverTcp;
    let named = |host: &str| ServerName::try_from(host.to_owned());
    let api = IceApi::new(relay, 443, tls.clone(), named(relay)?)?;
    let granted = api.ask(&token, mode, Duration::from_secs(10)).await?;
    let secure = granted.tls.context("this relay has no TLS")?;
    Ok(Options {
        mode,
        policy: Policy::default(),
        login: granted.login,
        udp: look_up(granted.udp.context("this relay has no UDP")?).await?,
        secure: SecureServer {
            name: named(&secure.host)?,
            address: look_up(secure).await?,
            tls: Arc::new(tls),
        },
        relayed_v4: peer.is_ipv4(),
    })
}

async fn look_up(place: Place) -> Result<SocketAddr> {
    let Place { host, port } = place;
    let mut found = tokio::net::lookup_host((host.as_str(), port)).await?;
    found
        .next()
        .with_context(|| format!("{host} has no address"))
}
