//! Who relays in `bench stream`: this relay or coturn, on CPU 1, with TCP and TLS on the inner end of a pair.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, bail};

use super::super::running::Running;
use super::super::veth::RELAY;
use super::super::veth::subject::{USER, start_coturn_with};
use crate::client::stream::StreamClient;
use crate::netns::{NetNs, output};
use crate::relay::Relay;
use crate::trust::Trust;

pub const SUBJECTS: [&str; 2] = ["relay", "coturn"];
pub const TRANSPORTS: [&str; 2] = ["tcp", "tls"];
const TLS_PORT: u16 = 5349;

pub struct Server {
    running: Running,
    trust: Trust,
}

impl Server {
    /// `config` is more of this relay's file.
    pub fn start(subject: &str, inner: &NetNs, config: &str) -> Result<Server> {
        let trust = Trust::new()?;
        let (cert, key) = (trust.cert(), trust.key());
        let (cert, key) = (cert.display(), key.display());
        let running = match subject {
            "relay" => {
                let file = trust.folder().join("relay.toml");
                let tls = format!("[[tls.certificate]]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
                std::fs::write(&file, [config, &tls].concat())?;
                Running::Relay(relay(inner, &file.display().to_string())?)
            }
            "coturn" => {
                let (cert, key) = (cert.to_string(), key.to_string());
                let arguments = ["--cert", &cert, "--pkey", &key];
                Running::Coturn(start_coturn_with(inner, &arguments, TLS_PORT)?)
            }
            other => bail!("no server {other}"),
        };
        Ok(Server { running, trust })
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Address and, for TLS, what its client must trust.
    pub fn door(&self, transport: &str) -> Result<(SocketAddr, Option<&Trust>)> {
        let ip = RELAY.parse()?;
        Ok(match transport {
            "tls" => (SocketAddr::new(ip, TLS_PORT), Some(&self.trust)),
            _ => (SocketAddr::new(ip, 3478), None),
        })
    }

    /// With an allocation.
    pub fn client(&self, from: &NetNs, transport: &str) -> Result<StreamClient> {
        let (server, trust) = self.door(transport)?;
        let connect = || StreamClient::allocate(server, trust, USER);
        from.enter(connect)
    }
}

fn relay(inner: &NetNs, config: &str) -> Result<Relay> {
    let listen = format!("udp/{RELAY}:3478,tcp/{RELAY}:3478,tls/{RELAY}:{TLS_PORT}");
    let user = format!("{}:{}", USER.0, USER.1);
    let listens = listen.split(',').flat_map(|one| ["--listen", one]);
    let mut arguments = vec!["--config", config, "--workers", "1", "--user", &user];
    arguments.extend(["--relay-address", RELAY, "--realm", "bench"]);
    arguments.extend(["--allow-peer", "10.72.0.0/24"]);
    arguments.extend(listens);
    let relay = Relay::start(inner, &arguments)?;
    let pid = relay.pid().to_string();
    output(Command::new("taskset").args(["-a", "-p", "-c", "1", &pid]))?;
    Ok(relay)
}
