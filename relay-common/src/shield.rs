//! What the shield keeps: allowances, paces, and who is known. Fixed tables: nobody who floods can make them grow.

use crate::index::{fold, pair};
use crate::{Address, HashKey};

/// Entries of `PREFIXES`: prefixes that share one share its pace.
pub const PREFIX_ENTRIES: u32 = 1 << 16;
/// Entries in a bucket of `KNOWN`: one cache line.
pub const KNOWN_WAYS: usize = 8;
/// The two ports under which `KNOWN` holds an address of the host itself.
pub const OWN_PORT: u16 = u16::MAX;
/// Units of an [`Allowance`] in a jiffy: 2 to the power of this.
pub const PACE_BITS: u32 = 14;

/// Buckets of `KNOWN` where there is room for `sessions` sessions: four entries a session.
pub const fn known_buckets_for(sessions: u32) -> u32 {
    crate::buckets_for(sessions) / 2
}

/// How often: what one packet costs, and how much may be owed. In units of 1/16384 jiffy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Pace {
    /// 0: as often as you like.
    pub cost: u32,
    /// At least the cost.
    pub burst: u32,
}

/// The shield's limits, the only entry of `PACES`. All zero: the shield is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Paces {
    /// Who is not known and may begin something: STUN, a forward's first packet. By prefix, and on one CPU.
    pub strangers: [Pace; 2],
    /// What nobody who is not known has reason to send. By prefix, and on one CPU.
    pub junk: [Pace; 2],
    /// STUN from the address of a known client, but from another port.
    pub address: Pace,
    /// A known client, a permitted peer, a forward's client or destination.
    pub known: Pace,
    /// Ports of the relay's range that nobody opened, on one CPU.
    pub closed: Pace,
    /// First and last port of that range.
    pub range: [u32; 2],
}

/// A word that others change meanwhile.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(
    #[cfg(not(target_arch = "bpf"))] core::sync::atomic::AtomicU32,
    // Rust knows no such atomic here, and the machine needs none: an aligned access is one.
    #[cfg(target_arch = "bpf")] core::cell::Cell<u32>,
);

/// Generic cell rate algorithm in one word: the time at which all that was let through is paid for.
///
/// Two CPUs that meet in one may lose an update: a limit is then exceeded by a packet.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Allowance(Word);

/// Of a source prefix, or of all on a CPU.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Allowances {
    /// See [`Paces::strangers`].
    pub strangers: Allowance,
    /// See [`Paces::junk`].
    pub junk: Allowance,
    /// See [`Paces::closed`].
    pub closed: Allowance,
    /// Zero.
    pub _pad: Allowance,
}

/// Somebody the relay knows. A word for userspace, which alone writes the tag; the kernel keeps the allowance.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Known {
    /// Low half of the word.
    pub allowance: Allowance,
    /// High half; 0: nobody.
    pub tag: Word,
}

/// One cache line of them.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct KnownBucket(pub [Known; KNOWN_WAYS]);

/// Where somebody known may stand, and as what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownPlace {
    /// First bucket to try.
    pub first: u32,
    /// Bucket for whom the first has no room.
    pub second: u32,
    /// Never 0.
    pub tag: u32,
}

impl Word {
    /// What it is now.
    #[inline(always)]
    pub fn get(&self) -> u32 {
        #[cfg(not(target_arch = "bpf"))]
        return self.0.load(core::sync::atomic::Ordering::Relaxed);
        #[cfg(target_arch = "bpf")]
        return self.0.get();
    }
    /// Makes it another.
    #[inline(always)]
    pub fn set(&self, value: u32) {
        #[cfg(not(target_arch = "bpf"))]
        self.0.store(value, core::sync::atomic::Ordering::Relaxed);
        #[cfg(target_arch = "bpf")]
        self.0.set(value);
    }
}

impl Allowance {
    /// Lets one packet through, if the pace allows. `now` as [`shield_time`] has it.
    #[inline(always)]
    pub fn admit(&self, pace: Pace, now: u32) -> bool {
        if pace.cost == 0 {
            return true;
        }
        let owed = self.0.get().wrapping_sub(now);
        // What is in the past looks far in the future, where nothing ever is: the clock wraps.
        let owed = if owed > pace.burst { 0 } else { owed };
        if owed.wrapping_add(pace.cost) > pace.burst {
            return false;
        }
        self.0.set(now.wrapping_add(owed).wrapping_add(pace.cost));
        true
    }
}

/// The clock of allowances.
#[inline(always)]
pub fn shield_time(jiffies: u64) -> u32 {
    (jiffies as u32) << PACE_BITS
}

impl Pace {
    /// `per_second` packets at `hz` jiffies a second, of which `burst_ms` milliseconds' worth may come at once.
    pub fn new(per_second: u32, hz: u64, burst_ms: u64) -> Self {
        let second = hz << PACE_BITS;
        let per_second = (per_second as u64).max(1);
        let cost = ((second + per_second / 2) / per_second).max(1);
        // A whole jiffy's worth comes before the clock moves.
        let burst = (second * burst_ms / 1000).max(2 << PACE_BITS).max(cost);
        Self {
            cost: cost as u32,
            burst: burst as u32,
        }
    }
}

impl HashKey {
    /// Where the known `remote` stands among `mask + 1` buckets. `remote_port` (host order) is 0 for any;
    /// `local_port` is 0 for the ports of TURN.
    pub fn known(
        &self,
        remote: Address,
        is_v6: bool,
        remote_port: u16,
        local_port: u16,
        mask: u32,
    ) -> KnownPlace {
        KnownPlace::of(&remote.0, is_v6, remote_port, local_port, mask, |i| {
            self.0[i]
        })
    }
}

impl KnownPlace {
    #[inline(always)]
    pub(crate) fn of(
        remote: &[u32; 4],
        is_v6: bool,
        remote_port: u16,
        local_port: u16,
        mask: u32,
        key: impl Fn(usize) -> u32,
    ) -> Self {
        let product = |a: u32, b: u32, i: usize| {
            a.wrapping_add(key(i)) as u64 * b.wrapping_add(key(i + 1)) as u64
        };
        let ports: u32 = pair(remote_port, local_port);
        let mut h = product(remote[0], ports, 0);
        if is_v6 {
            h = h
                .wrapping_add(product(remote[1], remote[2], 2))
                .wrapping_add(product(remote[3], 6, 4));
        }
        h = fold(h);
        let first = h as u32 & mask;
        Self {
            first,
            second: first ^ (((h >> 20) as u32 | 1) & mask),
            tag: (h >> 32) as u32 | 1,
        }
    }
}

/// Index in `PREFIXES` of a /24 of IPv4 or a /56 of IPv6.
#[inline(always)]
pub(crate) fn prefix(remote: &[u32; 4], is_v6: bool, key: impl Fn(usize) -> u32) -> u32 {
    let low_byte = 0xffff_ff00u32.to_be();
    let product = |a: u32, b: u32, i: usize| {
        a.wrapping_add(key(i)) as u64 * b.wrapping_add(key(i + 1)) as u64
    };
    let h = if is_v6 {
        product(remote[0], remote[1] & low_byte, 6)
    } else {
        product(remote[0] & low_byte, 4, 6)
    };
    fold(h) as u32 & (PREFIX_ENTRIES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(allowance: &Allowance, pace: Pace, jiffies: u64, asked: u32) -> u32 {
        let now = shield_time(jiffies);
        (0..asked).filter(|_| allowance.admit(pace, now)).count() as u32
    }

    #[test]
    fn an_allowance_lets_its_rate_through_and_no_more() {
        for hz in [100, 250, 1000] {
            for per_second in [1, 50, 2000, 100_000] {
                let (allowance, pace) = (Allowance::default(), Pace::new(per_second, hz, 20));
                let start = u64::from(u32::MAX) - 3;
                let mut through = 0;
                for jiffies in start..start + 10 * hz {
                    through += admitted(&allowance, pace, jiffies, 2 * per_second / hz as u32 + 2);
                }
                let ideal = 10 * per_second;
                let burst = pace.burst / pace.cost + 1;
                // 16 and a half units of 1/16384 jiffy are 16 at 100 jiffies a second.
                assert!(
                    through >= ideal - ideal / 40,
                    "{per_second} at {hz}: {through}"
                );
                assert!(
                    through <= ideal + ideal / 40 + burst,
                    "{per_second} at {hz}: {through}"
                );
            }
        }
    }

    #[test]
    fn an_allowance_that_slept_for_any_time_is_not_stuck() {
        let pace = Pace::new(10, 250, 1000);
        // The clock wraps every 2^18 jiffies: at the worst moment it looks as if the burst were just used up.
        for pause in [
            0u64,
            1,
            1 << 17,
            1 << 18,
            (1 << 18) - 1,
            (1 << 18) - 250,
            1 << 30,
        ] {
            let allowance = Allowance::default();
            assert_eq!(admitted(&allowance, pace, 1000, 100), 10);
            let then = 1000 + 250 + pause;
            let later =
                admitted(&allowance, pace, then, 100) + admitted(&allowance, pace, then + 250, 100);
            assert!(later >= 10, "after {pause} jiffies: {later}");
        }
    }

    #[test]
    fn no_cost_is_no_limit() {
        assert_eq!(
            admitted(&Allowance::default(), Pace::default(), 5, 1000),
            1000
        );
    }

    #[test]
    fn one_site_is_one_prefix_and_its_neighbour_another() {
        let key = |i: usize| 0x9e37_79b9u32.wrapping_mul(i as u32 + 1);
        let index = |ip: &str| {
            let ip: core::net::IpAddr = ip.parse().expect("an address");
            prefix(&Address::from(ip).0, ip.is_ipv6(), key)
        };
        assert_eq!(index("192.0.2.1"), index("192.0.2.255"));
        assert_ne!(index("192.0.2.1"), index("192.0.3.1"));
        assert_eq!(index("2001:db8:1:200::1"), index("2001:db8:1:2ff:ffff::9"));
        assert_ne!(index("2001:db8:1:200::1"), index("2001:db8:1:300::1"));
    }
}
