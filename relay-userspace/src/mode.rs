//! Which way media goes, over UDP or over secure TCP: one table for every client of the relay.
//!
//! Pure: facts and the time come in, orders go out. It opens no socket and reads no clock. docs/connect.md has the
//! table in words; the browser's module follows the same one.

mod machine;
mod notice;
mod path;
mod policy;
mod probes;
mod refusal;
mod timing;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub use machine::Machine;
pub use notice::{Notice, Reason};
pub use policy::Policy;
pub use refusal::{Refusal, Tried};
pub use timing::{Disorder, Timing, TimingError};

/// What an application prefers; `preferredProtocol` of the browser's module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// UDP, and secure TCP while UDP does not work.
    #[default]
    UdpOverTcp,
    /// Never TCP.
    UdpOnly,
    /// Never a UDP packet.
    TcpOnly,
}

/// A way to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    Udp,
    Tcp,
}

/// What media leaves by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Only(Leg),
    /// UDP is silent, and not yet given up. Whoever can tell doubles apart at the far end sends on both; whoever cannot
    /// sends by TCP and hears both (decision 0020).
    Both,
}

/// What happened, told to [`Machine::take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The socket is there, the handshake done. The leg works once something is heard on it.
    Opened(Leg),
    /// Refused, reset, a send error, a certificate that is not trusted.
    Failed(Leg, String),
    /// The relay does not want this leg's media, by a rule of its own: it is not tried again.
    Refused(Leg, String),
    /// Anything that came from the relay.
    Heard(Leg),
    Answered {
        leg: Leg,
        probe: u64,
    },
    /// An [`Order::Use`] is carried out.
    InUse(Route),
    /// Media is as long as that now, framing included.
    Carries {
        bytes: usize,
    },
    /// The relay sends its client to another one, to which both legs lead from now on.
    Redirected,
    /// Addresses or routes of this host are others now.
    NetworkChanged,
}

/// What to do, from [`Machine::next_order`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Open(Leg),
    Close(Leg),
    /// A question of so many bytes in all, whose answer is [`Fact::Answered`].
    Probe {
        leg: Leg,
        probe: u64,
        bytes: usize,
    },
    /// Answered by [`Fact::InUse`], or [`Fact::Failed`].
    Use(Route),
    Tell(Notice),
    /// Nothing works. The last order.
    GiveUp(Refusal),
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::UdpOverTcp, Mode::UdpOnly, Mode::TcpOnly];

    /// As it is displayed, to the letter: what programs write.
    pub fn named(name: &str) -> Option<Mode> {
        let mut all = Self::ALL.into_iter();
        all.find(|mode| mode.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Mode::UdpOverTcp => "UDP_OVER_TCP",
            Mode::UdpOnly => "UDP_ONLY",
            Mode::TcpOnly => "TCP_ONLY",
        }
    }

    pub fn allows(self, leg: Leg) -> bool {
        match self {
            Mode::UdpOverTcp => true,
            Mode::UdpOnly => leg == Leg::Udp,
            Mode::TcpOnly => leg == Leg::Tcp,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no mode: UDP_OVER_TCP, UDP_ONLY or TCP_ONLY")]
pub struct NoMode(String);

impl FromStr for Mode {
    type Err = NoMode;

    /// As people write it: lower case and dashes as well.
    fn from_str(text: &str) -> Result<Self, NoMode> {
        let plain = text.to_ascii_uppercase().replace('-', "_");
        Self::named(&plain).ok_or_else(|| NoMode(text.to_owned()))
    }
}

impl Leg {
    pub const ALL: [Leg; 2] = [Leg::Udp, Leg::Tcp];

    pub fn other(self) -> Leg {
        match self {
            Leg::Udp => Leg::Tcp,
            Leg::Tcp => Leg::Udp,
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Leg::Udp => "udp",
            Leg::Tcp => "tcp",
        })
    }
}

impl Route {
    pub fn carries(self, leg: Leg) -> bool {
        self == Route::Both || self == Route::Only(leg)
    }
}

#[cfg(test)]
mod tests;
