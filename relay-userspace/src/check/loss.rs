//! How much of what is as large as media is lost by UDP, and whether a call would bear it.

use std::net::SocketAddr;
use std::time::Duration;

use super::prober::{Prober, Silence};
use super::report::{Check, Loss};
use super::wire::Wire;
use crate::mode::Policy;

const PACKETS: usize = 50;
/// As large as packets of media are; what a path with a smaller MTU loses.
const BYTES: usize = 1200;
const EVERY: Duration = Duration::from_millis(20);
const LAST: Duration = Duration::from_millis(800);
/// An answer may be shorter than what was asked by the longest mapped address.
const AS_LONG: usize = BYTES - 40;

/// What IPv6 asks of every link (RFC 8200 §5).
const RAISE: &str = "raise the MTU on the way to 1280, or mend what drops long UDP packets";

/// There and back.
pub async fn measure(server: SocketAddr) -> Check {
    let check = Check::of("udp-loss", server);
    let asked = async {
        let mut prober = Prober::new(Wire::udp(server).await?, None, true);
        let loss = prober.burst(PACKETS, BYTES, EVERY, LAST).await?;
        Ok::<_, Silence>((loss, prober.longest))
    };
    match asked.await {
        Ok((loss, longest)) => Check {
            loss: Some(loss),
            ..judged(check, loss, longest)
        },
        Err(Silence::Broken(error)) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
            check.fails(format!("{BYTES} bytes do not leave this host: {RAISE}"))
        }
        Err(silence) => check.fails(silence),
    }
}

fn judged(check: Check, loss: Loss, longest: usize) -> Check {
    let bearable = Policy::default().loss_percent;
    match longest >= AS_LONG {
        _ if loss.lost == loss.sent => check.fails(format!(
            "none of {} packets of {} bytes came back, and short ones do: {RAISE}",
            loss.sent, loss.bytes
        )),
        _ if loss.lost * 100 >= loss.sent * bearable => check.fails(format!(
            "{bearable} % or more is lost, and media breaks up: look for a full link or a UDP limit on the way"
        )),
        true => check.works("as large as media, both ways"),
        false => check.works("as large as media, to the relay, whose answers are short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    #[test]
    fn loss_is_bearable_as_long_as_the_modes_stay_on_udp() {
        let of = |lost, longest| {
            let loss = Loss {
                sent: 50,
                lost,
                bytes: BYTES,
            };
            let check = judged(Check::of("udp-loss", "relay"), loss, longest);
            (check.state, check.found)
        };
        for lost in [0, 12] {
            let (state, found) = of(lost, BYTES);
            assert_eq!(state, State::Works);
            assert!(found.contains("both ways"));
        }
        assert!(of(0, 100).1.contains("answers are short"));
        assert_eq!(of(13, BYTES).0, State::Fails);
        assert!(of(50, 0).1.contains("MTU"));
    }
}
