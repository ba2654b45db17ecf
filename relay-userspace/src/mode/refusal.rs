//! Why there is no way to the relay: what was tried, for how long, and what to ask the firewall's keeper for.

use std::fmt;
use std::time::Duration;

use super::{Leg, Mode};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub mode: Mode,
    pub waited: Duration,
    /// Those the mode allows.
    pub tried: Vec<Tried>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub leg: Leg,
    /// Since it was first opened, or last heard.
    pub time: Duration,
    pub probes: u64,
    /// By a rule of the relay, which was reached.
    pub refused: bool,
    /// What it failed of; `None`: nothing was heard.
    pub fault: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mode, waited) = (self.mode, self.waited.as_secs_f64());
        write!(f, "{mode}: no way to the relay for {waited:.1} s")?;
        for tried in &self.tried {
            let (leg, time) = (tried.leg, tried.time.as_secs_f64());
            write!(f, "; {leg}, tried for {time:.1} s: ")?;
            match &tried.fault {
                Some(fault) => f.write_str(fault)?,
                None => write!(f, "no answer to {} probes", tried.probes)?,
            }
        }
        Ok(())
    }
}

impl Refusal {
    /// The relay was reached, and wants none of it.
    pub fn by_the_relay(&self) -> bool {
        self.tried.iter().all(|tried| tried.refused)
    }

    /// What would help, where the relay's UDP and secure TCP are at `udp` and `tcp`.
    pub fn advice(&self, udp: &str, tcp: &str) -> String {
        let open = |tried: &Tried| match tried.leg {
            Leg::Udp => format!("UDP to {udp}"),
            Leg::Tcp => format!("TCP to {tcp}"),
        };
        let open: Vec<_> = self.tried.iter().map(open).collect();
        let other = match self.mode {
            Mode::UdpOverTcp => "",
            _ => ", or use UDP_OVER_TCP",
        };
        let open = open.join(" or ");
        format!("let the firewall pass {open}, both directions{other}")
    }
}
