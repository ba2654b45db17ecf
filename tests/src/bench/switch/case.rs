//! What goes wrong with a link, by name. Changes its weather and nothing else.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::link::Link;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// No UDP at all.
    Block,
    /// A fifth of UDP is lost.
    Loss,
    /// The NAT gives another port.
    Rebind,
    /// UDP as long as media vanishes.
    BlackHole,
    /// A third of what media needs, policed, and from the middle of the call on.
    Throttle,
    /// No UDP for four seconds, UDP for four, three times.
    Flap,
    /// Up to 200 ms more each way: not to be left.
    Jitter,
    /// One of twenty is lost: not to be left.
    SomeLoss,
}

/// How a run of a case goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Bad until the other leg carries, then fine again.
    Leave,
    /// Once.
    Rebind,
    /// So often, each half as long.
    Flap { times: u32, half: Duration },
    /// For so long; nothing should happen.
    Stay(Duration),
}

/// Ethernet header included: media is longer, a bare probe is not.
const HOLE: usize = 700;
const POLICED: u64 = 256_000;

impl Case {
    pub const ALL: [Case; 8] = [
        Case::Block,
        Case::Loss,
        Case::Rebind,
        Case::BlackHole,
        Case::Throttle,
        Case::Flap,
        Case::Jitter,
        Case::SomeLoss,
    ];

    pub fn course(self) -> Course {
        match self {
            Case::Rebind => Course::Rebind,
            Case::Flap => Course::Flap {
                times: 3,
                half: Duration::from_secs(4),
            },
            Case::Jitter | Case::SomeLoss => Course::Stay(Duration::from_secs(20)),
            Case::Block | Case::Loss | Case::BlackHole | Case::Throttle => Course::Leave,
        }
    }

    /// From fine weather.
    pub fn begin(self, link: &Link) {
        link.change(|weather| match self {
            Case::Block | Case::Flap => weather.udp_blocked = true,
            Case::Loss => weather.udp_loss_percent = 20,
            Case::BlackHole => weather.udp_black_hole = Some(HOLE),
            Case::Throttle => weather.udp_police = Some(POLICED),
            Case::Jitter => weather.jitter = Duration::from_millis(200),
            Case::SomeLoss => weather.udp_loss_percent = 5,
            Case::Rebind => {}
        });
        if self == Case::Rebind {
            link.rebind();
        }
    }

    /// To fine weather.
    pub fn end(self, link: &Link) {
        link.change(|weather| {
            weather.udp_blocked = false;
            weather.udp_loss_percent = 0;
            weather.udp_black_hole = None;
            weather.udp_police = None;
            weather.jitter = Duration::ZERO;
        });
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Case::Block => "block",
            Case::Loss => "loss",
            Case::Rebind => "rebind",
            Case::BlackHole => "black_hole",
            Case::Throttle => "throttle",
            Case::Flap => "flap",
            Case::Jitter => "jitter",
            Case::SomeLoss => "some_loss",
        })
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |case: &Case| case.to_string() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let all = Self::ALL.map(|case| case.to_string()).join(", ");
            format!("no case {text:?}: there are {all}")
        })
    }
}
