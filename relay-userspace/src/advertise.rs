//! 1:1 NAT: the public address each local address is known by outside. Pure; knows no packets and judges nothing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What reaches `public` on any port arrives at the same port of `local`. Both are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertised {
    pub local: IpAddr,
    pub public: IpAddr,
}

impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.local, self.public)
    }
}

/// What is known outside as `local`: itself where no NAT is between.
pub fn outside(local: IpAddr, pairs: &[Advertised]) -> IpAddr {
    let pair = pairs.iter().find(|pair| pair.local == local);
    pair.map_or(local, |pair| pair.public)
}

/// No local and no public address is there twice. Clones are the same table.
#[derive(Debug, Clone, Default)]
pub struct Advertise {
    pairs: Arc<[Advertised]>,
}

impl Advertise {
    pub fn new(pairs: &[Advertised]) -> Advertise {
        Advertise {
            pairs: pairs.into(),
        }
    }

    pub fn pairs(&self) -> &[Advertised] {
        &self.pairs
    }

    /// What others know `local` by.
    pub fn outward(&self, local: SocketAddr) -> SocketAddr {
        SocketAddr::new(outside(local.ip(), &self.pairs), local.port())
    }

    /// The address of ours that `public` stands for.
    pub fn local_of(&self, public: IpAddr) -> Option<IpAddr> {
        let pair = self.pairs.iter().find(|pair| pair.public == public);
        pair.map(|pair| pair.local)
    }

    /// Where packets for `address` must really go from this host: a NAT need not send our own packets back.
    pub fn inward(&self, address: SocketAddr) -> SocketAddr {
        let ip = self.local_of(address.ip()).unwrap_or(address.ip());
        SocketAddr::new(ip, address.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_out_public_and_comes_back_local_and_others_stay() {
        let pair = Advertised {
            local: "10.0.0.5".parse().expect("an address"),
            public: "198.51.100.5".parse().expect("an address"),
        };
        let advertise = Advertise::new(&[pair]);
        let socket = |text: &str| text.parse::<SocketAddr>().expect("an address");
        for (local, public) in [
            ("10.0.0.5:7", "198.51.100.5:7"),
            ("10.0.0.6:7", "10.0.0.6:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
        ] {
            assert_eq!(advertise.outward(socket(local)), socket(public));
            assert_eq!(advertise.inward(socket(public)), socket(local));
        }
        assert_eq!(advertise.inward(socket("10.0.0.5:7")), socket("10.0.0.5:7"));
    }
}
