//! The command line of `relay connect` as data.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::config::{Destination, value};
use crate::mode::{Mode, Timing};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").args(["user", "token"]).required(true))]
pub struct Connect {
    /// The relay: HOST, HOST:PORT or https://HOST:PORT, its port for TLS [default port: 443]
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// Its port for UDP
    #[arg(long, default_value_t = 3478, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub udp_port: u16,
    /// UDP_OVER_TCP, UDP_ONLY or TCP_ONLY
    #[arg(long, default_value_t = Mode::UdpOverTcp, value_name = "MODE")]
    pub mode: Mode,
    #[command(flatten)]
    pub proof: Proof,
    /// A local port and where it leads; several times for several. Of UDP what comes back goes to whoever sent last
    #[arg(long, required = true, value_name = "udp|tcp/ADDR:PORT=HOST:PORT", value_parser = local_forward)]
    pub forward: Vec<LocalForward>,
    /// Trust this PEM certificate, and no other [default: those this host trusts]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The name in the relay's certificate [default: HOST]
    #[arg(long, value_name = "NAME")]
    pub tls_name: Option<String>,
    /// Another time or threshold of the modes than the default, such as `dwell=5s` (docs/connect.md lists them); several
    /// times for several
    #[arg(long, value_name = "NAME=VALUE")]
    pub timing: Vec<Timing>,
    /// How often to tell what was carried
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = positive)]
    pub stats: Duration,
    /// Print JSON, a line for each event
    #[arg(long)]
    pub json: bool,
}

/// Who asks: a TURN credential, or a token that its API gives one for.
#[derive(Debug, Clone, Args)]
pub struct Proof {
    /// Of the TURN credential
    #[arg(
        long,
        value_name = "NAME",
        requires = "password",
        conflicts_with = "token"
    )]
    pub user: Option<String>,
    /// Of the TURN credential; better in the environment, where other users of this host cannot read it
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "RELAY_CONNECT_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<String>,
    /// Of an issuer the relay knows: its API then says where its servers are, and gives credentials as long as they are needed
    #[arg(
        long,
        value_name = "TOKEN",
        env = "RELAY_CONNECT_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalForward {
    pub tcp: bool,
    pub local: SocketAddr,
    pub to: Destination,
}

fn local_forward(text: &str) -> Result<LocalForward, String> {
    const SHAPE: &str = "write udp/127.0.0.1:5004=HOST:PORT, or tcp/ for connections";
    let split = text
        .split_once('=')
        .and_then(|(local, to)| Some((local.split_once('/')?, to)));
    let Some(((protocol, local), to)) = split else {
        return Err(SHAPE.into());
    };
    let tcp = match protocol {
        "tcp" => true,
        "udp" => false,
        other => return Err(format!("{other:?} is no protocol here: {SHAPE}")),
    };
    Ok(LocalForward {
        tcp,
        local: value::socket_address(local).map_err(|wrong| wrong.to_string())?,
        to: value::destination(to).map_err(|wrong| wrong.to_string())?,
    })
}

fn positive(text: &str) -> Result<Duration, String> {
    match value::duration(text) {
        Ok(time) if time.is_zero() => Err("must be longer than nothing".into()),
        Ok(time) => Ok(time),
        Err(wrong) => Err(wrong.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_forward_is_a_protocol_a_local_address_and_a_destination() {
        let forward = local_forward("udp/127.0.0.1:5004=media.example.org:6004").unwrap();
        assert!(!forward.tcp);
        assert_eq!(forward.local, "127.0.0.1:5004".parse().unwrap());
        assert_eq!(
            (&*forward.to.host, forward.to.port),
            ("media.example.org", 6004)
        );
        let forward = local_forward("tcp/[::1]:1935=[2001:db8::1]:1935").unwrap();
        assert!(forward.tcp);
        assert_eq!(forward.to.host, "2001:db8::1");
    }

    #[test]
    fn what_is_wrong_with_a_local_forward_is_said_with_what_to_write() {
        for (text, words) in [
            ("udp/127.0.0.1:5004", "write udp/"),
            ("5004=host:5004", "write udp/"),
            ("sctp/127.0.0.1:1=host:1", "\"sctp\" is no protocol"),
            ("udp/5004=host:5004", "IP:PORT"),
            ("udp/127.0.0.1:5004=host", "HOST:PORT"),
        ] {
            let error = local_forward(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(positive("0s").unwrap_err().contains("longer"));
    }
}
