//! Why a peer was refused, in a sentence that names the rule and what would allow it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::builtin::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub peer: SocketAddr,
    /// What the address means: the embedded IPv4 address when that is what is denied.
    pub face: IpAddr,
    pub rule: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Not public unicast.
    BuiltIn(&'static Range),
    /// In `peers.deny`.
    Denied(IpNet),
    /// Where the relay itself listens.
    OwnListener(SocketAddr),
    /// An address of this host that no client of the relay has now.
    OwnAddress,
    PortZero,
}

impl Refusal {
    pub(super) fn new(peer: SocketAddr, face: IpAddr, rule: Rule) -> Self {
        Self { peer, face, rule }
    }

    /// What would open the way.
    pub fn remedy(&self) -> &'static str {
        match self.rule {
            Rule::BuiltIn(range) if range.overridable => "allow it with peers.allow",
            Rule::OwnAddress => "allow it with peers.allow",
            Rule::Denied(_) => "remove that entry, or choose another destination",
            _ => "no setting allows it",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(range) => write!(f, "{} ({})", range.name, range.net),
            Self::Denied(net) => write!(f, "peers.deny {net}"),
            Self::OwnListener(listener) => write!(f, "the relay's own listener ({listener})"),
            Self::OwnAddress => f.write_str("own address, and no relayed one"),
            Self::PortZero => f.write_str("port 0"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::Denied(net) => write!(f, "denied by peers.deny entry \"{net}\"")?,
            rule => write!(f, "denied by built-in rule \"{rule}\"")?,
        }
        if self.face != self.peer.ip() {
            write!(f, " as {} stands for {}", self.peer.ip(), self.face)?;
        }
        match self.rule {
            Rule::Denied(_) => Ok(()),
            _ => write!(f, "; {}", self.remedy()),
        }
    }
}

impl std::error::Error for Refusal {}
