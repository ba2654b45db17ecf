//! From the command line to what a session needs: names looked up, certificates read. Opens no port.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::args::{Connect, LocalForward, Proof};
use super::token::{self, Logins, Renewal};
use crate::cli::exit::{Exit, Failure};
use crate::client::ice::{IceApi, Place};
use crate::client::request::Login;
use crate::client::secure::SecureServer;
use crate::client::session::Options;
use crate::config::value;
use crate::https::{authorities, client_config, roots_of_this_host};
use crate::mode::{Mode, Policy, Refusal};

const TLS_PORT: u16 = 443;

pub struct Plan {
    mode: Mode,
    policy: Policy,
    pub logins: Logins,
    /// Of a token.
    pub renewal: Option<Renewal>,
    udp: SocketAddr,
    pub secure: SecureServer,
    pub forwards: Vec<Forward>,
}

#[derive(Debug, Clone, Copy)]
pub struct Forward {
    pub tcp: bool,
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

impl Plan {
    pub async fn read(wish: &Connect) -> Result<Self, Failure> {
        refuse_what_cannot_be(wish)?;
        let policy = Policy::with(&wish.timing)
            .map_err(|disorder| Failure::new(Exit::Usage, format!("--timing: {disorder}")))?;
        let (host, port) = server(&wish.server)?;
        let tls = tls(wish.ca.as_deref())?;
        let named = |host: &str| certificate_name(wish.tls_name.as_deref().unwrap_or(host));
        let name = named(&host)?;
        let (mut udp, mut secure) = ((host.clone(), wish.udp_port), (host.clone(), port));
        let (logins, renewal) = match &wish.proof.token {
            None => (Logins::fixed(login(&wish.proof)), None),
            Some(token) => {
                let api = IceApi::new(&host, port, tls.clone(), name).map_err(token::failure)?;
                let (granted, logins, renewal) = token::begin(api, token, wish.mode).await?;
                udp = granted.udp.map_or(udp, Place::into);
                secure = granted.tls.map_or(secure, Place::into);
                (logins, Some(renewal))
            }
        };
        let mut forwards = Vec::new();
        for forward in &wish.forward {
            let LocalForward { tcp, local, to } = forward;
            let peer = look_up(&to.host, to.port).await?;
            forwards.push(Forward {
                tcp: *tcp,
                local: *local,
                peer,
            });
        }
        refuse_what_meets(&forwards)?;
        Ok(Self {
            mode: wish.mode,
            policy,
            logins,
            renewal,
            udp: look_up(&udp.0, udp.1).await?,
            secure: SecureServer {
                address: look_up(&secure.0, secure.1).await?,
                name: named(&secure.0)?,
                tls: Arc::new(tls),
            },
            forwards,
        })
    }

    pub fn options(&self) -> Options {
        let datagrams = self.forwards.iter().find(|forward| !forward.tcp);
        Options {
            mode: self.mode,
            policy: self.policy,
            login: self.logins.now(),
            udp: self.udp,
            secure: self.secure.clone(),
            relayed_v4: datagrams.is_none_or(|forward| forward.peer.is_ipv4()),
        }
    }

    /// There never was a way.
    pub fn failure(&self, refusal: &Refusal) -> Failure {
        if refusal.by_the_relay() {
            return Failure::of_a_stranger(
                Exit::NotAllowed,
                format!(
                    "{refusal}: check --user and --password, or --token, and what this user may use"
                ),
            );
        }
        let advice = refusal.advice(&self.udp.to_string(), &self.secure.address.to_string());
        Failure::of_a_stranger(Exit::NotRunning, format!("{refusal}: {advice}"))
    }
}

fn refuse_what_cannot_be(wish: &Connect) -> Result<(), Failure> {
    let connections = wish.forward.iter().any(|forward| forward.tcp);
    match wish.mode {
        Mode::UdpOnly if connections => Err(bad(
            "UDP_ONLY never opens TCP, and a tcp/ forward needs it: leave it out or use another --mode",
        )),
        _ => Ok(()),
    }
}

/// One allocation has one relayed address of a family, and tells peers apart by their address.
fn refuse_what_meets(forwards: &[Forward]) -> Result<(), Failure> {
    let datagrams: Vec<_> = forwards.iter().filter(|forward| !forward.tcp).collect();
    let mut peers = HashSet::new();
    for forward in &datagrams {
        if !peers.insert(forward.peer) {
            let peer = forward.peer;
            return Err(bad(format!(
                "two udp/ forwards lead to {peer}, and nobody could say whose answer comes back: run a second relay connect"
            )));
        }
        if forward.peer.is_ipv4() != datagrams[0].peer.is_ipv4() {
            return Err(bad(
                "udp/ forwards lead to IPv4 and to IPv6: run a second relay connect for one of them",
            ));
        }
    }
    Ok(())
}

pub fn login(proof: &Proof) -> Login {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    Login::new(&text(&proof.user), &text(&proof.password))
}

pub fn certificate_name(name: &str) -> Result<ServerName<'static>, Failure> {
    let read = ServerName::try_from(name.to_owned());
    read.map_err(|_| {
        bad(format!(
            "{name:?} is no name of a certificate: give --tls-name"
        ))
    })
}

pub fn server(text: &str) -> Result<(String, u16), Failure> {
    let bare = text.strip_prefix("https://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let read = value::public_host(bare);
    let (host, port) = read.map_err(|wrong| {
        bad(format!(
            "{}: write HOST, HOST:PORT or https://HOST:PORT",
            wrong.problem
        ))
    })?;
    Ok((host, port.unwrap_or(TLS_PORT)))
}

async fn look_up(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map(|mut addresses| addresses.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(no_way(format!("{host} has no address"))),
        Err(error) => Err(no_way(format!("look up {host}: {error}"))),
    }
}

/// A host without authorities can still use UDP.
pub fn tls(ca: Option<&Path>) -> Result<ClientConfig, Failure> {
    let roots = match ca {
        None => roots_of_this_host(),
        Some(_) => authorities(ca).map_err(|fault| bad(format!("--ca {fault}")))?,
    };
    client_config(roots).map_err(|error| Failure::new(Exit::Internal, error))
}

fn bad(problem: impl std::fmt::Display) -> Failure {
    Failure::of_a_stranger(Exit::BadConfig, problem)
}

fn no_way(problem: impl std::fmt::Display) -> Failure {
    Failure::of_a_stranger(Exit::NotRunning, problem)
}
