//! What a link does to frames at a time, the same for the same seed. Keeps no frame.

use std::time::Duration;

/// Changed while a link is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    pub delay: Duration,
    /// Up to so much more, and never so that one frame overtakes another.
    pub jitter: Duration,
    /// Of all frames, of a hundred.
    pub loss_percent: u64,
    /// Of UDP alone.
    pub udp_loss_percent: u64,
    /// Neither UDP nor what it says of itself passes; ARP and TCP do.
    pub udp_blocked: bool,
    /// Longer UDP packets vanish without a word: Ethernet header included.
    pub udp_black_hole: Option<usize>,
    /// Bits per second of UDP in each direction; what is more is dropped, as by a policer.
    pub udp_police: Option<u64>,
    /// Bits per second towards the far end.
    pub rate: Option<u64>,
    /// And from it.
    pub rate_back: Option<u64>,
}

const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;

impl Weather {
    pub fn fine(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss_percent: 0,
            udp_loss_percent: 0,
            udp_blocked: false,
            udp_black_hole: None,
            udp_police: None,
            rate: None,
            rate_back: None,
        }
    }

    pub(super) fn passes(&self, lots: &mut Lots, frame: &[u8]) -> bool {
        if lots.hit(self.loss_percent) {
            return false;
        }
        let too_long = self
            .udp_black_hole
            .is_some_and(|longest| frame.len() > longest);
        !is_udp(frame) || !(self.udp_blocked || too_long || lots.hit(self.udp_loss_percent))
    }
}

pub(super) fn is_udp(frame: &[u8]) -> bool {
    let protocol = match frame.get(12..ETHERNET) {
        Some(kind) if kind == IPV4 => frame.get(ETHERNET + 9),
        Some(kind) if kind == IPV6 => frame.get(ETHERNET + 6),
        _ => None,
    };
    protocol == Some(&UDP)
}

/// Splitmix64.
#[derive(Debug)]
pub(super) struct Lots(u64);

impl Lots {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `percent` times of a hundred.
    pub fn hit(&mut self, percent: u64) -> bool {
        percent > 0 && self.draw() % 100 < percent
    }

    pub fn below(&mut self, most: Duration) -> Duration {
        match most.as_nanos() as u64 {
            0 => Duration::ZERO,
            most => Duration::from_nanos(self.draw() % most),
        }
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::udp;

    fn frame(payload: usize) -> Vec<u8> {
        let [from, to] = ["10.0.0.1:1", "10.0.0.2:2"].map(|a| a.parse().unwrap());
        udp(from, to, &vec![0; payload]).bytes()
    }

    fn tcp() -> Vec<u8> {
        let mut frame = frame(2000);
        frame[ETHERNET + 9] = 6;
        frame
    }

    #[test]
    fn what_blocks_udp_lets_pass_everything_else() {
        let fine = Weather::fine(Duration::ZERO);
        let mut lots = Lots::new(1);
        assert!(fine.passes(&mut lots, &frame(100)));
        let blocked = Weather {
            udp_blocked: true,
            ..fine
        };
        assert!(!blocked.passes(&mut lots, &frame(100)));
        assert!(blocked.passes(&mut lots, &tcp()));
    }

    #[test]
    fn a_black_hole_takes_long_datagrams_only() {
        let hole = Weather {
            udp_black_hole: Some(1000),
            ..Weather::fine(Duration::ZERO)
        };
        let mut lots = Lots::new(1);
        let passed = [100, 1100].map(|length| hole.passes(&mut lots, &frame(length)));
        assert_eq!(passed, [true, false]);
        assert!(hole.passes(&mut lots, &tcp()));
    }

    #[test]
    fn the_same_seed_loses_the_same_frames_and_about_as_many_as_asked() {
        let rain = Weather {
            loss_percent: 20,
            ..Weather::fine(Duration::ZERO)
        };
        let lost = |seed| {
            let mut lots = Lots::new(seed);
            let lost = |_: &u32| !rain.passes(&mut lots, &frame(10));
            (0..10_000).filter(lost).collect::<Vec<_>>()
        };
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
        assert!((1_800..2_200).contains(&lost(7).len()));
    }
}
