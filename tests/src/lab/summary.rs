//! What became of the media, in the end: for a script and for a person.

use serde::Serialize;

use super::histogram::Histogram;
use super::video_call::Outcome;

/// All that is printed in the end: one object.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub media: Summary,
    /// Of the last call that was over.
    #[serde(flatten)]
    pub call: Option<Outcome>,
}

impl Report {
    /// What is wrong with it; empty for a run as it should be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.media.faults();
        faults.extend(self.call.iter().flat_map(Outcome::faults));
        faults
    }

    /// For a person.
    pub fn text(&self) -> String {
        let call = self.call.map(|call| format!("\ncall: {}", call.text()));
        self.media.text() + &call.unwrap_or_default()
    }
}

/// Of the media. Relayed and kernel packets are the relay's own counts, lost ones those of the receivers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub relayed_packets: u64,
    pub kernel_packets: u64,
    pub lost_packets: u64,
    pub kernel_share: f64,
    pub delay_us: Delay,
}

/// One-way delays of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    pub p50: f64,
    pub p99: f64,
}

/// The least share of packets that must run in the kernel: the first ones of a session take the slow path by design.
const KERNEL_SHARE: f64 = 0.99;

impl Summary {
    pub fn new(
        kernel_packets: u64,
        userspace_packets: u64,
        lost_packets: u64,
        delay: &Histogram,
    ) -> Self {
        let relayed_packets = kernel_packets + userspace_packets;
        let share = kernel_packets as f64 / relayed_packets.max(1) as f64;
        Self {
            relayed_packets,
            kernel_packets,
            lost_packets,
            // Rounded down: 0.99 is only printed when it is reached.
            kernel_share: (share * 10_000.0).floor() / 10_000.0,
            delay_us: Delay {
                p50: delay.microseconds(0.5),
                p99: delay.microseconds(0.99),
            },
        }
    }

    /// What is wrong with it; empty for a run as it should be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.relayed_packets == 0 {
            faults.push("nothing was relayed".to_owned());
        }
        if self.lost_packets > 0 {
            faults.push(format!("{} packets were lost", self.lost_packets));
        }
        if self.kernel_share < KERNEL_SHARE {
            faults.push(format!(
                "only {:.2} % ran in the kernel",
                self.kernel_share * 100.0
            ));
        }
        faults
    }

    /// For a person.
    pub fn text(&self) -> String {
        format!(
            "relayed {} packets, {} of them in the kernel ({:.2} %), lost {}; one-way delay p50 {} µs, p99 {} µs",
            self.relayed_packets,
            self.kernel_packets,
            self.kernel_share * 100.0,
            self.lost_packets,
            self.delay_us.p50,
            self.delay_us.p99
        )
    }
}

/// How to do the same where it counts.
pub const REAL_HOST: &str = "\
The same on a real host:
  install -m 755 target/release/relay /usr/local/bin/
  relay serve --interface eth0          # the card that carries the media; attaching can reset its queues for a moment
  relay credentials --user alice --ttl 12h                          # ICE servers, ready to paste
  relay forward add --listen udp/5004 --to media.example.org:5004   # a UDP forward, one line
  relay connect --server https://relay.example.org --user alice --forward udp/127.0.0.1:5004=media.example.org:5004
                                        # any program behind any firewall: over UDP, over TLS while UDP is cut
  relay status; relay session list                                  # where everything runs, and why
Open UDP 3478, TCP 443 and the relay ports (UDP 49152-65535) in the firewall.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_traffic_is_a_fault() {
        assert!(
            !Summary::new(0, 0, 0, &Histogram::default())
                .faults()
                .is_empty()
        );
    }

    #[test]
    fn a_report_is_one_flat_object_with_the_call_if_there_was_one() {
        let media = Summary::new(10, 0, 0, &Histogram::default());
        let keys = |call| {
            let json = serde_json::to_value(Report { media, call }).unwrap();
            let keys = json.as_object().unwrap().keys().cloned();
            keys.collect::<Vec<_>>()
        };
        let alone = keys(None);
        assert_eq!(
            alone,
            [
                "delay_us",
                "kernel_packets",
                "kernel_share",
                "lost_packets",
                "relayed_packets"
            ]
        );
        let both = keys(Some(Outcome::default()));
        assert!(alone.iter().all(|key| both.contains(key)));
        assert!(both.contains(&"switch_to_tcp_ms".to_owned()));
    }

    #[test]
    fn one_lost_packet_is_a_fault() {
        assert_eq!(
            Summary::new(10_000, 1, 1, &Histogram::default()).faults(),
            ["1 packets were lost"]
        );
    }

    #[test]
    fn the_share_is_never_rounded_up_to_the_limit() {
        let summary = Summary::new(98_999, 1_001, 0, &Histogram::default());
        assert_eq!((summary.kernel_share, summary.faults().len()), (0.9899, 1));
    }
}
