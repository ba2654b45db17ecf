//! What was found, as it is told: in JSON as docs/check.md lists it, and whether that is good. Measures nothing.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::Question;
use crate::mode::{Leg, Mode, Reason};

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub server: String,
    pub mode: Mode,
    pub verdict: Verdict,
    pub elapsed_ms: u64,
    pub checks: Vec<Check>,
    /// What the mode uses; `None`: it does not work.
    pub transport: Option<Choice>,
    pub open: Vec<Opening>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Works,
    /// The mode does, and something else does not.
    Impaired,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Works,
    Fails,
    /// It could not be tried, which is nobody's fault.
    Skipped,
}

#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub target: String,
    pub state: State,
    pub found: String,
    #[serde(rename = "rtt_ms", skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    #[serde(skip)]
    pub open: Option<Opening>,
    /// The relay was reached and said no.
    #[serde(skip)]
    pub refused: bool,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Loss {
    pub sent: usize,
    pub lost: usize,
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Choice {
    pub proto: Leg,
    pub elapsed_ms: u64,
    pub reason: Reason,
}

/// What to ask the firewall's keeper for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    pub proto: Leg,
    pub address: String,
    pub port: u16,
    pub direction: &'static str,
    pub rule: String,
}

impl Opening {
    pub fn to(proto: Leg, server: SocketAddr) -> Self {
        let (address, port) = (server.ip().to_string(), server.port());
        let name = proto.to_string().to_uppercase();
        Self {
            proto,
            rule: format!(
                "allow {name} from here to {address} port {port}, outbound, and its answers"
            ),
            address,
            port,
            direction: "outbound",
        }
    }
}

impl Spread {
    /// At least one.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ms = |time: Option<&Duration>| {
            let micros = time.map_or(0, Duration::as_micros);
            (micros as f64 / 100.0).round() / 10.0
        };
        Self {
            min: ms(times.first()),
            median: ms(times.get(times.len() / 2)),
            count: times.len(),
        }
    }
}

impl Check {
    pub fn of(check: &'static str, target: impl Display) -> Self {
        Self {
            check,
            target: target.to_string(),
            state: State::Skipped,
            found: String::new(),
            round_trip: None,
            loss: None,
            open: None,
            refused: false,
        }
    }

    fn with(self, state: State, found: impl Display) -> Self {
        let found = found.to_string();
        Self {
            state,
            found,
            ..self
        }
    }

    pub fn works(self, found: impl Display) -> Self {
        self.with(State::Works, found)
    }

    pub fn fails(self, found: impl Display) -> Self {
        self.with(State::Fails, found)
    }

    pub fn skipped(self, found: impl Display) -> Self {
        self.with(State::Skipped, found)
    }

    pub fn refused(self, found: impl Display) -> Self {
        Self {
            refused: true,
            ..self.fails(found)
        }
    }

    pub fn blocked(self, found: impl Display, open: Opening) -> Self {
        Self {
            open: Some(open),
            ..self.fails(found)
        }
    }

    pub fn timed(self, round_trip: Spread) -> Self {
        let round_trip = Some(round_trip);
        Self { round_trip, ..self }
    }
}

impl Report {
    pub fn new(question: &Question) -> Self {
        Self {
            server: question.host.clone(),
            mode: question.mode,
            verdict: Verdict::Nothing,
            elapsed_ms: 0,
            checks: Vec::new(),
            transport: None,
            open: Vec::new(),
        }
    }

    pub fn add(&mut self, check: Check, tell: &dyn Fn(&Check)) {
        tell(&check);
        self.take(check);
    }

    /// One that was told.
    pub fn take(&mut self, check: Check) {
        if let Some(open) = &check.open
            && !self.open.contains(open)
        {
            self.open.push(open.clone());
        }
        self.checks.push(check);
    }

    pub fn close(&mut self, elapsed: Duration) {
        self.elapsed_ms = elapsed.as_millis() as u64;
        let fails = self.checks.iter().any(|check| check.state == State::Fails);
        self.verdict = match (&self.transport, fails) {
            (None, _) => Verdict::Nothing,
            (Some(_), true) => Verdict::Impaired,
            (Some(_), false) => Verdict::Works,
        };
    }

    /// The relay was reached, and does not want this user.
    pub fn by_the_relay(&self) -> bool {
        self.checks.iter().any(|check| check.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_least_and_the_middle_in_milliseconds() {
        let times = [30, 10, 20].map(Duration::from_millis);
        let spread = Spread::of(times.to_vec());
        assert_eq!((spread.min, spread.median, spread.count), (10.0, 20.0, 3));
        assert_eq!(Spread::of(vec![Duration::from_micros(1234)]).min, 1.2);
    }

    #[test]
    fn the_rule_to_ask_for_names_protocol_address_port_and_direction() {
        let open = Opening::to(Leg::Udp, "203.0.113.7:3478".parse().unwrap());
        let expected = "allow UDP from here to 203.0.113.7 port 3478, outbound, and its answers";
        assert_eq!(open.rule, expected);
        let json = serde_json::to_value(&open).unwrap();
        assert_eq!(
            (&json["proto"], &json["port"]),
            (&"udp".into(), &3478.into())
        );
    }
}
