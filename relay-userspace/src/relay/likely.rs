//! Why packets of a session that is in the kernel take userspace all the same, told from what the kernel counted. A guess,
//! and worded as one: the kernel counts verdicts, not sessions.

use relay_common::Counter;

use crate::api::Session;

/// Below both it is not worth a word: the first packets of a session always take userspace.
const LARGE_PERCENT: u8 = 5;
const LARGE_PACKETS: u64 = 20;

/// How the description of a packet that goes on to userspace begins.
const PASSED: &str = "Passed: ";
/// Passed, but not for anything about a session's packets.
const OF_OTHERS: [Counter; 5] = [
    Counter::NotIp,
    Counter::NotUdp,
    Counter::NotOurs,
    Counter::NotChannelData,
    Counter::NoSession,
];

/// Fills in `userspace_percent`, and `note` where that is a lot.
pub fn annotate(session: &mut Session, verdicts: &[(&'static str, u64)]) {
    session.userspace_percent = percent(session);
    let packets = session.userspace_to_peer.packets + session.userspace_to_client.packets;
    if session.runs_in == "kernel"
        && session.userspace_percent >= LARGE_PERCENT
        && packets >= LARGE_PACKETS
    {
        let why = reason(verdicts, packets);
        session.note = Some(format!(
            "{} % of its packets take userspace; likely: {why}",
            session.userspace_percent
        ));
    }
}

/// Of what goes now, or of everything when nothing does.
fn percent(session: &Session) -> u8 {
    let (peer, client) = (&session.to_peer, &session.to_client);
    let rate = peer.packets_per_second + client.packets_per_second;
    if rate >= 1.0 {
        let slow = peer.userspace_packets_per_second + client.userspace_packets_per_second;
        return (100.0 * slow / rate).round() as u8;
    }
    let slow = session.userspace_to_peer.packets + session.userspace_to_client.packets;
    let fast = session.kernel_to_peer.packets + session.kernel_to_client.packets;
    (100 * slow).checked_div(slow + fast).unwrap_or(0) as u8
}

/// The verdict that was given most often, if it can explain half of `packets`.
fn reason(verdicts: &[(&'static str, u64)], packets: u64) -> String {
    let of_a_session =
        |counter: &&Counter| counter.describe().starts_with(PASSED) && !OF_OTHERS.contains(counter);
    let count = |counter: &Counter| {
        verdicts
            .iter()
            .find(|(name, _)| *name == counter.name())
            .map_or(0, |(_, n)| *n)
    };
    let most = Counter::ALL
        .iter()
        .filter(of_a_session)
        .max_by_key(|counter| count(counter));
    let Some(counter) = most.filter(|counter| count(counter) >= packets.div_ceil(2)) else {
        return "they came before the session was in the kernel, or come in by a card without the XDP program".to_owned();
    };
    let text = counter
        .describe()
        .trim_start_matches(PASSED)
        .trim_end_matches('.');
    let name = counter.name();
    match counter {
        Counter::PartialChecksum => {
            format!("{text} (`{name}`); on the sending side: ethtool -K CARD tx off")
        }
        _ => format!("{text} (`{name}`)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Pace, Traffic};

    fn session(fast: u64, slow: u64, rates: (f64, f64)) -> Session {
        let traffic = |packets| Traffic { packets, bytes: 0 };
        Session {
            runs_in: "kernel".to_owned(),
            kernel_to_peer: traffic(fast),
            userspace_to_peer: traffic(slow),
            to_peer: Pace {
                packets_per_second: rates.0 + rates.1,
                userspace_packets_per_second: rates.1,
                ..Pace::default()
            },
            ..Session::blank("192.0.2.1:1".parse().unwrap())
        }
    }

    fn note(mut session: Session, verdicts: &[(&'static str, u64)]) -> (u8, Option<String>) {
        annotate(&mut session, verdicts);
        (session.userspace_percent, session.note)
    }

    #[test]
    fn a_session_whose_packets_all_take_userspace_says_so_and_why() {
        let verdicts = [
            ("transmitted", 900),
            ("not_ours", 5000),
            ("partial_checksum", 300),
            ("too_big", 20),
        ];
        let (percent, told) = note(session(0, 300, (0.0, 0.0)), &verdicts);
        assert_eq!(percent, 100);
        let told = told.unwrap();
        assert!(
            told.starts_with(
                "100 % of its packets take userspace; likely: the sender left the UDP checksum"
            ),
            "{told}"
        );
        assert!(told.contains("`partial_checksum`"), "{told}");
    }

    #[test]
    fn what_goes_now_counts_more_than_what_went() {
        let (percent, told) = note(session(10, 5000, (99.0, 1.0)), &[]);
        assert_eq!((percent, told), (1, None));
        let (percent, told) = note(session(1_000_000, 5000, (0.0, 50.0)), &[("too_big", 4000)]);
        assert_eq!(percent, 100);
        assert!(told.unwrap().contains("`too_big`"));
    }

    #[test]
    fn a_few_first_packets_are_no_news() {
        assert_eq!(note(session(0, 3, (0.0, 0.0)), &[]).1, None);
        let (_, told) = note(session(0, 300, (0.0, 0.0)), &[("fragment", 4)]);
        assert!(told.unwrap().contains("a card without the XDP program"));
    }
}
