//! Every time and threshold of the modes, with its default. Decides nothing.

use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// UDP's lead over secure TCP: what RFC 8305 §5 gives one family over the other.
    pub head_start: Duration,
    /// TCP is taken if UDP has not answered by then.
    pub commit: Duration,
    /// Neither leg has worked for so long: the error.
    pub give_up: Duration,
    /// Of the leg in use.
    pub probe_every: Duration,
    /// Of the leg that waits.
    pub standby_every: Duration,
    /// An answer that is older is no answer.
    pub probe_patience: Duration,
    /// Without a proof for so long, both legs carry.
    pub doubt: Duration,
    /// So many proofs in a row, none later than the gap after the one before, and silence is strange: the leg is asked
    /// often then, and doubted sooner (decision 0022).
    pub steady_run: usize,
    pub steady_gap: Duration,
    pub steady_probe_every: Duration,
    pub steady_doubt: Duration,
    /// Without a proof for so long, UDP is given up.
    pub silence: Duration,
    /// The same of the TCP leg, whose bytes may wait for a retransmission.
    pub tcp_silence: Duration,
    /// Of UDP's probes, within [`Self::loss_window`], there and back; so many of a hundred and more make it switch. A
    /// link that loses one of twenty each way stays well below (decision 0022).
    pub loss_percent: usize,
    pub loss_window: Duration,
    /// Fewer probes say nothing about a share.
    pub loss_samples: usize,
    /// The same of those alone that are as long as media.
    pub long_percent: usize,
    pub long_samples: usize,
    /// While one of the window was lost.
    pub loss_probe_every: Duration,
    /// A TCP leg that is slower suffers as well, and there is no point in switching.
    pub healthy_round_trip: Duration,
    /// Of a probe that UDP must carry before media returns to it, so that a path with a smaller MTU does not.
    pub return_bytes: usize,
    /// Answered in a row.
    pub return_run: usize,
    pub return_every: Duration,
    /// While UDP does not answer: doubled up to the longest.
    pub seek: Duration,
    pub longest_seek: Duration,
    /// On TCP for at least so long; doubled with each return that did not last as long as the longest.
    pub dwell: Duration,
    pub longest_dwell: Duration,
    /// A leg that failed is opened again: doubled up to the longest.
    pub reopen: Duration,
    pub longest_reopen: Duration,
    /// A route that is ordered and not in use by then has failed.
    pub carry: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            head_start: ms(250),
            commit: ms(1000),
            give_up: ms(10_000),
            probe_every: ms(500),
            standby_every: ms(5000),
            probe_patience: ms(1000),
            doubt: ms(1500),
            steady_run: 10,
            steady_gap: ms(200),
            steady_probe_every: ms(100),
            steady_doubt: ms(700),
            silence: ms(2500),
            tcp_silence: ms(5000),
            loss_percent: 25,
            loss_window: ms(3000),
            loss_samples: 60,
            long_percent: 60,
            long_samples: 10,
            loss_probe_every: ms(30),
            healthy_round_trip: ms(300),
            return_bytes: 1200,
            return_run: 10,
            return_every: ms(500),
            seek: ms(250),
            longest_seek: ms(5000),
            dwell: ms(15_000),
            longest_dwell: ms(300_000),
            reopen: ms(500),
            longest_reopen: ms(30_000),
            carry: ms(5000),
        }
    }
}
