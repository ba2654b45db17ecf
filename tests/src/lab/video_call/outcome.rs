//! What became of one call: for a script and for a person.

use serde::Serialize;

/// Times in milliseconds, packets of both directions together. A switch that never came has no time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// From the order to cut UDP until the connector had switched.
    pub switch_to_tcp_ms: Option<u64>,
    /// From the order to let UDP pass until the connector had switched back.
    pub switch_to_udp_ms: Option<u64>,
    /// The longest time one of the two applications was without a new packet, from the cut to the end.
    pub app_gap_ms: u64,
    pub lost: u64,
    pub duplicated: u64,
    /// Of those, and of that time, what came after the order to let UDP pass.
    pub lost_on_return: u64,
    pub return_gap_ms: u64,
    /// Decoded, at both ends.
    pub pictures: u64,
    /// Decoded on TLS before UDP passed again, at the end that had fewer.
    pub pictures_over_tls: u64,
}

/// The longest that an application may be without a packet. In a call a silence of UDP is believed after 0.7 s, and the move to
/// TLS takes a round trip or two: 0.74 s on an idle machine. On two cores with fifteen busy processes it was twice what it is.
const LONGEST_GAP_MS: u64 = 5000;
/// The least that must be seen on TLS: a second's.
const FEWEST_PICTURES: u64 = 30;

impl Outcome {
    /// What is wrong with it; empty for a call as it should be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match (self.switch_to_tcp_ms, self.switch_to_udp_ms) {
            (None, _) => faults.push("the video never switched to TLS".to_owned()),
            (Some(_), None) => faults.push("the video never came back to UDP".to_owned()),
            (Some(_), Some(_)) => {}
        }
        if self.app_gap_ms > LONGEST_GAP_MS {
            faults.push(format!(
                "an application was without a packet for {} ms, more than {LONGEST_GAP_MS}",
                self.app_gap_ms
            ));
        }
        if self.duplicated > 0 {
            faults.push(format!("{} packets came twice", self.duplicated));
        }
        if self.lost_on_return > 0 {
            let lost = self.lost_on_return;
            faults.push(format!("{lost} packets were lost on the return to UDP"));
        }
        if self.switch_to_tcp_ms.is_some() && self.pictures_over_tls < FEWEST_PICTURES {
            let seen = self.pictures_over_tls;
            faults.push(format!("only {seen} pictures were decoded over TLS"));
        }
        faults
    }

    /// For a person.
    pub fn text(&self) -> String {
        let after = |ms: Option<u64>| ms.map_or("never".to_owned(), |ms| format!("after {ms} ms"));
        format!(
            "UDP cut: on TLS {}, {} ms without a packet, {} packets lost; UDP back: on UDP {}, {} ms without a packet, \
             {} lost; {} doubled; {} pictures decoded",
            after(self.switch_to_tcp_ms),
            self.app_gap_ms,
            self.lost - self.lost_on_return,
            after(self.switch_to_udp_ms),
            self.return_gap_ms,
            self.lost_on_return,
            self.duplicated,
            self.pictures
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Outcome = Outcome {
        switch_to_tcp_ms: Some(2510),
        switch_to_udp_ms: Some(9020),
        app_gap_ms: 1570,
        lost: 290,
        duplicated: 0,
        lost_on_return: 0,
        return_gap_ms: 40,
        pictures: 1400,
        pictures_over_tls: 170,
    };

    #[test]
    fn a_call_as_it_should_be_has_no_fault() {
        assert_eq!(GOOD.faults(), Vec::<String>::new());
    }

    #[test]
    fn each_promise_that_is_broken_is_a_fault_of_its_own() {
        type Spoil = fn(&mut Outcome);
        let broken: [(Spoil, &str); 6] = [
            (|o| o.switch_to_tcp_ms = None, "never switched"),
            (|o| o.switch_to_udp_ms = None, "never came back"),
            (|o| o.app_gap_ms = 5001, "5001 ms"),
            (|o| o.duplicated = 1, "1 packets came twice"),
            (|o| o.lost_on_return = 2, "2 packets were lost"),
            (|o| o.pictures_over_tls = 29, "only 29 pictures"),
        ];
        for (spoil, expected) in broken {
            let mut outcome = GOOD;
            spoil(&mut outcome);
            let faults = outcome.faults();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(expected), "{faults:?}");
        }
    }

    #[test]
    fn the_keys_are_those_that_are_documented() {
        let json = serde_json::to_value(GOOD).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let documented = [
            "app_gap_ms",
            "duplicated",
            "lost",
            "lost_on_return",
            "pictures",
            "pictures_over_tls",
            "return_gap_ms",
            "switch_to_tcp_ms",
            "switch_to_udp_ms",
        ];
        assert_eq!(keys, documented);
    }
}
