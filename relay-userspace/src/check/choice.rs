//! What a mode uses from here: tried with a session of its own where there is a credential, else what the modes' machine
//! does with the times that were measured.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::reach::Ways;
use super::report::Choice;
use super::subject::Subject;
use crate::client::request::Login;
use crate::client::session::{Happening, Options, Session};
use crate::mode::{Fact, Leg, Machine, Mode, Notice, Order, Policy};

const LONGEST: Duration = Duration::from_millis(2500);

/// `None`: the mode does not work.
pub async fn real(subject: &Subject, login: &Login, ways: &Ways) -> Option<Choice> {
    let mode = subject.question.mode;
    let udp = ways.udp.map(|(address, _)| address);
    let tls = ways.tls.map(|(address, ..)| address);
    // What was silent for seconds is not waited for again.
    expected(mode, ways)?;
    let options = Options {
        mode,
        policy: Policy::default(),
        login: login.clone(),
        udp: subject.udp_at(udp.or(tls)?),
        secure: subject.secure_at(tls.or(udp)?),
        relayed_v4: true,
    };
    let (session, mut happenings) = Session::start(options);
    let selected = async {
        loop {
            match happenings.recv().await? {
                Happening::Notice { notice, .. } => {
                    if let Some(choice) = chosen(&notice) {
                        return Some(choice);
                    }
                }
                Happening::Ended(_) => return None,
                _ => {}
            }
        }
    };
    let choice = timeout(LONGEST, selected).await.ok().flatten();
    session.end().await;
    choice
}

/// In virtual time.
pub fn expected(mode: Mode, ways: &Ways) -> Option<Choice> {
    let half = |spread: super::Spread| Duration::from_secs_f64(spread.median / 1000.0);
    let round_trip = |leg| match leg {
        Leg::Udp => ways.udp.map(|(_, spread)| half(spread)),
        Leg::Tcp => ways.tls.map(|(.., spread)| half(spread)),
    };
    let opening = |leg| match leg {
        Leg::Udp => Some(Duration::ZERO),
        Leg::Tcp => ways.tls.map(|(_, connect, _)| connect),
    };
    let mut now = Instant::now();
    let mut machine = Machine::new(mode, Policy::default(), now);
    let mut coming: Vec<(Instant, Fact)> = Vec::new();
    loop {
        while let Some(order) = machine.next_order() {
            let fact = match order {
                Order::Open(leg) => opening(leg).map(|takes| (takes, Fact::Opened(leg))),
                Order::Probe { leg, probe, .. } => {
                    round_trip(leg).map(|takes| (takes, Fact::Answered { leg, probe }))
                }
                Order::Use(route) => Some((Duration::ZERO, Fact::InUse(route))),
                Order::Tell(notice) => match chosen(&notice) {
                    Some(choice) => return Some(choice),
                    None => None,
                },
                Order::GiveUp(_) => return None,
                Order::Close(_) => None,
            };
            coming.extend(fact.map(|(takes, fact)| (now + takes, fact)));
        }
        let due = machine.due(now)?;
        let next = (0..coming.len()).min_by_key(|index| coming[*index].0);
        match next.filter(|index| coming[*index].0 <= due) {
            Some(index) => {
                let (at, fact) = coming.swap_remove(index);
                now = at.max(now);
                machine.take(now, fact);
            }
            None => {
                now = due.max(now);
                machine.tick(now);
            }
        }
    }
}

fn chosen(notice: &Notice) -> Option<Choice> {
    match notice {
        Notice::TransportSelected {
            proto,
            elapsed,
            reason,
        } => Some(Choice {
            proto: *proto,
            elapsed_ms: elapsed.as_millis() as u64,
            reason: *reason,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::check::Spread;
    use crate::mode::Reason;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ways(udp: Option<u64>, tls: Option<(u64, u64)>) -> Ways {
        let spread = |ms: u64| Spread::of(vec![Duration::from_millis(ms)]);
        Ways {
            udp: udp.map(|ms| (HERE, spread(ms))),
            tls: tls.map(|(connect, ms)| (HERE, Duration::from_millis(connect), spread(ms))),
        }
    }

    fn of(mode: Mode, ways: &Ways) -> Option<(Leg, u64, Reason)> {
        expected(mode, ways).map(|choice| (choice.proto, choice.elapsed_ms, choice.reason))
    }

    #[test]
    fn without_a_credential_the_machine_says_what_it_would_do() {
        let all = ways(Some(30), Some((90, 31)));
        let no_udp = ways(None, Some((90, 31)));
        let no_tls = ways(Some(30), None);
        let both = Mode::UdpOverTcp;
        assert_eq!(of(both, &all), Some((Leg::Udp, 30, Reason::Answered)));
        assert_eq!(of(both, &no_udp), Some((Leg::Tcp, 1000, Reason::NoAnswer)));
        assert_eq!(of(both, &no_tls), Some((Leg::Udp, 30, Reason::Answered)));
        assert_eq!(of(Mode::TcpOnly, &all), Some((Leg::Tcp, 121, Reason::Mode)));
        assert_eq!(of(Mode::UdpOnly, &all), Some((Leg::Udp, 30, Reason::Mode)));
        assert_eq!(of(Mode::UdpOnly, &no_udp), None);
        assert_eq!(of(Mode::TcpOnly, &no_tls), None);
        assert_eq!(of(both, &ways(None, None)), None);
    }
}
