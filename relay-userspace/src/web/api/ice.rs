//! ICE servers for a mode, with a credential that ends soon. Decides what a mode means for a browser, and nothing else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Authority;
use super::fault::Fault;
use super::key::Asker;
use crate::admin::ice::{Reach, Wish, servers as mint};
use crate::admin::{request, unix_now};
use crate::api::IceServer;
use crate::config::PublicApi;
use crate::jwt::Scope;
use crate::mode::Mode;

const HTTPS: u16 = 443;

/// What a request says.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    mode: Option<String>,
    /// Seconds.
    ttl: Option<u64>,
    user: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Servers {
    pub mode: Mode,
    pub ice_servers: Vec<IceServer>,
    /// Nothing goes past the relay.
    pub ice_transport_policy: &'static str,
    /// Seconds.
    pub ttl: u64,
    /// Unix seconds.
    pub expires: u64,
    pub region: String,
}

/// What of a relay serves a mode.
fn serving(mode: Mode, reach: Reach) -> Reach {
    match mode {
        Mode::UdpOverTcp => secure(reach),
        Mode::UdpOnly => Reach {
            tcp: None,
            tls: Vec::new(),
            ..reach
        },
        Mode::TcpOnly => Reach {
            udp: None,
            ..secure(reach)
        },
    }
}

/// Of TCP the one way that firewalls let through first, for a browser tries every way it is told: TLS on 443, else on
/// another port, else TCP as it is.
fn secure(mut reach: Reach) -> Reach {
    let https = reach.tls.iter().position(|port| *port == HTTPS);
    let Some(first) = reach.tls.get(https.unwrap_or(0)).copied() else {
        return reach;
    };
    reach.tcp = None;
    reach.tls = vec![first];
    reach
}

/// An empty body asks for what is usual.
pub fn read(body: &[u8]) -> Result<Asked, Fault> {
    if body.is_empty() {
        return Ok(Asked::default());
    }
    // An array would be read as well, its first as the mode.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::Body("is no JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Fault::Body(format!("is not understood: {error}")))
}

pub fn servers(
    config: &PublicApi,
    authority: &Authority,
    asker: &Asker,
    asked: Asked,
    host: &str,
) -> Result<Servers, Fault> {
    let mode = match &asked.mode {
        None => Mode::UdpOverTcp,
        Some(name) => Mode::named(name).ok_or_else(|| Fault::Mode(name.clone()))?,
    };
    let user = user(asker, asked.user)?;
    let ttl = ttl(config, asker, asked.ttl)?;
    let reach = Reach {
        host: host.to_owned(),
        ..authority.reach.clone()
    };
    let reach = serving(mode, reach);
    if reach.udp.is_none() && reach.tcp.is_none() && reach.tls.is_empty() {
        return Err(Fault::Unserved(mode.name()));
    }
    let wish = Wish {
        user: &user,
        ttl: Duration::from_secs(ttl),
        unix_now: unix_now(),
    };
    let servers = mint(&authority.credentials, wish, &reach).ok_or(Fault::NoSecret)?;
    Ok(Servers {
        mode,
        ice_servers: servers,
        ice_transport_policy: "relay",
        ttl,
        expires: wish.unix_now + ttl,
        region: config.region.clone(),
    })
}

/// A token's own subject; a server says for whom.
fn user(asker: &Asker, asked: Option<String>) -> Result<String, Fault> {
    let user = match (asker, asked) {
        (Asker::User(claims), Some(user))
            if user != claims.subject && !claims.may(Scope::Admin) =>
        {
            return Err(Fault::NotSubject(claims.subject.clone()));
        }
        (_, Some(user)) => user,
        (Asker::User(claims), None) => claims.subject.clone(),
        (Asker::Server, None) => {
            return Err(Fault::User("say for whom the credential is".to_owned()));
        }
    };
    match request::user(&user) {
        Ok(()) => Ok(user),
        Err(wrong) => Err(Fault::User(wrong.to_string())),
    }
}

fn ttl(config: &PublicApi, asker: &Asker, asked: Option<u64>) -> Result<u64, Fault> {
    let of_token = match asker {
        Asker::User(claims) => claims.max_ttl,
        Asker::Server => None,
    };
    let most = of_token.unwrap_or(u64::MAX).min(config.max_ttl.as_secs());
    let usual = config.default_ttl.as_secs().min(most);
    match asked {
        None => Ok(usual),
        Some(ttl) if (1..=most).contains(&ttl) => Ok(ttl),
        Some(ttl) => Err(Fault::Ttl(ttl, most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_is_secure_and_one_way_where_it_can_be() {
        let reach = |tls: &[u16]| Reach {
            host: "relay.test".to_owned(),
            udp: Some(3478),
            tcp: Some(3478),
            tls: tls.to_vec(),
        };
        let of = |mode: Mode, tls: &[u16]| {
            let Reach { udp, tcp, tls, .. } = serving(mode, reach(tls));
            (udp, tcp, tls)
        };
        let all = &[443, 5349][..];
        assert_eq!(of(Mode::UdpOverTcp, all), (Some(3478), None, vec![443]));
        assert_eq!(of(Mode::TcpOnly, all), (None, None, vec![443]));
        assert_eq!(of(Mode::TcpOnly, &[5349]), (None, None, vec![5349]));
        assert_eq!(of(Mode::TcpOnly, &[]), (None, Some(3478), vec![]));
        assert_eq!(of(Mode::UdpOnly, all), (Some(3478), None, vec![]));
    }
}
