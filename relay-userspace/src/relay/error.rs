//! Why the relay or a forward cannot start, in words an operator can act on.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::tls::TlsFault;

/// Nothing runs when this is returned: what was bound is closed again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Hook(#[from] crate::hook::HookError),
    #[error("signaling: {0}")]
    Signaling(#[from] crate::web::Unroutable),
    #[error("listen on udp/{address}: {source}{}", advice(source))]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("listen on {protocol}/{address}: {source}{}", advice(source))]
    Door {
        protocol: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{0}")]
    Tls(#[from] TlsFault),
    #[error(
        "use {address} as relay address: {source}; it must be an address of this host (relay.addresses, relay.advertise)"
    )]
    RelayAddress { address: IpAddr, source: io::Error },
    #[error("start worker {index}: {source}")]
    Worker { index: usize, source: io::Error },
    #[error("prepare webhooks: {0}")]
    Webhooks(#[from] crate::events::webhook::WebhookFault),
    #[error("read random bytes for nonces: {0}")]
    Random(getrandom::Error),
    #[error("forward {name}: {source}")]
    Forward { name: String, source: ForwardError },
}

/// The forward was not added; everything else runs on.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("a forward named {name} exists already; remove it first or choose another name")]
    NameTaken { name: String },
    #[error("resolve {host}: {source}; check the name and the servers in /etc/resolv.conf")]
    Resolve { host: String, source: io::Error },
    #[error("resolve {host}: the name has no address; check the name")]
    NoAddress { host: String },
    /// `rule` is a sentence that says what would allow it.
    #[error("destination {address} is {rule}")]
    Denied { address: SocketAddr, rule: String },
    #[error("listen on udp/{address}: {source}{}", advice(source))]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the relay is shutting down")]
    ShuttingDown,
}

impl StartError {
    /// The host has no such address family.
    pub fn is_missing_family(&self) -> bool {
        matches!(self, StartError::Listen { source, .. } if matches!(source.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)))
    }
}

impl ForwardError {
    /// The name has no address now: another time it may.
    pub fn is_about_names(&self) -> bool {
        matches!(
            self,
            ForwardError::Resolve { .. } | ForwardError::NoAddress { .. }
        )
    }
}

pub fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has that port: `ss -lunp` or `ss -ltnp` shows it, or choose another port"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; that address is not one of this host",
        _ => "",
    }
}
