//! From a packet's match to its session: a keyed hash, two candidate buckets of one cache line each.
//!
//! NH (the hash inside UMAC and VMAC) makes two matches collide with probability 2^-32 for anyone who does not
//! know the key. A collision costs a miss, never a wrong delivery: the slot repeats the whole match.

use core::ops::{BitOr, Shl};

use crate::{Family, Match};

/// Entries in a bucket: one cache line.
pub const BUCKET_WAYS: usize = 8;

/// Secret words of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct HashKey(pub [u32; 14]);

/// One cache line of index entries; 0 is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct Bucket(pub [u64; BUCKET_WAYS]);

/// Slot, leg, tag and generation in one word, so that an entry appears and disappears in one store.
///
/// | bits | field |
/// |---|---|
/// | 63..48 | tag of the match |
/// | 47..24 | generation, low 24 bits; never 0 in use |
/// | 23..1 | slot |
/// | 0 | leg |
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IndexEntry(pub u64);

/// Where an entry may stand, and the tag it carries there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// First bucket to try.
    pub first: u32,
    /// Bucket for what the first has no room for.
    pub second: u32,
    /// Tag compared before a slot is touched.
    pub tag: u16,
    /// Hash of who sends to which of our addresses, whatever the channel.
    ends: u32,
    channel: u16,
}

impl IndexEntry {
    /// Bits of a generation that are kept.
    pub const GENERATION_MASK: u32 = 0xff_ffff;

    /// An entry that leads to `leg` of `slot`.
    #[inline(always)]
    pub const fn new(tag: u16, generation: u32, slot: u32, leg: u32) -> Self {
        Self(
            (tag as u64) << 48
                | ((generation & Self::GENERATION_MASK) as u64) << 24
                | ((slot & 0x7f_ffff) as u64) << 1
                | (leg & 1) as u64,
        )
    }
    /// The tag; compare before anything else.
    #[inline(always)]
    pub const fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }
    /// Low bits of the session's generation; 0 in an empty entry.
    #[inline(always)]
    pub const fn generation(self) -> u32 {
        (self.0 >> 24) as u32 & Self::GENERATION_MASK
    }
    /// Index in `SESSIONS`.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        (self.0 >> 1) as u32 & 0x7f_ffff
    }
    /// Which leg of the session.
    #[inline(always)]
    pub const fn leg(self) -> u32 {
        self.0 as u32 & 1
    }
}

impl HashKey {
    /// Where entries of `m` stand among `mask + 1` buckets.
    pub fn place(&self, m: &Match, mask: u32) -> Place {
        Place::of(
            pair(m.remote_port, m.local_port),
            pair(m.channel, m.family),
            if m.family == Family::V6 as u16 { 4 } else { 1 },
            &m.remote.0,
            &m.local.0,
            mask,
            |i| self.0[i],
        )
    }
}

/// Two neighbouring fields as one, as they lie in memory.
#[inline(always)]
pub(crate) fn pair<Half, Whole>(first: Half, second: Half) -> Whole
where
    Whole: From<Half> + Shl<u32, Output = Whole> + BitOr<Output = Whole>,
{
    let bits = 8 * size_of::<Half>() as u32;
    if cfg!(target_endian = "little") {
        Whole::from(first) | Whole::from(second) << bits
    } else {
        Whole::from(first) << bits | Whole::from(second)
    }
}

/// The first of two fields that [`pair`] put together.
#[inline(always)]
const fn first_of(pair: u32) -> u16 {
    if cfg!(target_endian = "little") {
        pair as u16
    } else {
        (pair >> 16) as u16
    }
}

/// NH is weak in its low bits: folds the strong ones down and spreads them (Murmur3's finaliser, one round).
#[inline(always)]
pub(crate) fn fold(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^ h >> 32
}

impl Place {
    /// Of so many slots the one in which, or near which, the session is if this is its client's leg; may be beyond the last.
    /// Only a guess: the kernel has that memory on its way while it asks the index, and believes nothing but the index.
    ///
    /// Channels of a client mostly count up, so that each of eight has a guess of its own, near the others'.
    #[inline(always)]
    pub const fn guess(self, slots: u32) -> u32 {
        let clients = ((self.ends as u64 * slots as u64) >> 32) as u32;
        clients ^ self.channel as u32 & 7
    }

    /// As [`HashKey::place`], with a key that is read word by word and the first `words` words of the addresses.
    #[inline(always)]
    pub(crate) fn of(
        ports: u32,
        channel_family: u32,
        words: usize,
        remote: &[u32; 4],
        local: &[u32; 4],
        mask: u32,
        key: impl Fn(usize) -> u32,
    ) -> Self {
        let product = |a: u32, b: u32, i: usize| {
            a.wrapping_add(key(i)) as u64 * b.wrapping_add(key(i + 1)) as u64
        };
        let mut addresses = 0u64;
        for i in 0..words {
            addresses = addresses.wrapping_add(product(remote[i], local[i], 2 + 2 * i));
        }
        let h = fold(addresses.wrapping_add(product(ports, channel_family, 0)));
        let ends = fold(addresses.wrapping_add(product(ports, 0, 0)));
        let first = h as u32 & mask;
        Self {
            first,
            second: first ^ (((h >> 40) as u32 | 1) & mask),
            tag: (h >> 48) as u16,
            ends: (ends >> 32) as u32,
            channel: u16::from_be(first_of(channel_family)),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    const KEY: HashKey = HashKey([0x9e37_79b9; 14]);

    fn leg(client: u16, channel: u16) -> Match {
        let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Match::new(at(client), at(3478), channel)
    }

    fn guess(client: u16, channel: u16, slots: u32) -> u32 {
        KEY.place(&leg(client, channel), 63).guess(slots)
    }

    #[test]
    fn eight_channels_of_a_client_have_neighbouring_guesses_and_all_have_buckets_of_their_own() {
        for client in 1..100 {
            let guesses = [0, 1, 2, 3, 4, 5, 6, 7].map(|n| guess(client, 0x4000 + n, 1024));
            let eighth = guesses[0] & !7;
            assert!((eighth..eighth + 8).all(|slot| guesses.contains(&slot)));
            assert_eq!(guess(client, 0, 1024), guess(client, 0x4008, 1024));
            let bucket = |channel| KEY.place(&leg(client, channel), u32::MAX).first;
            assert_ne!(bucket(0x4000), bucket(0x4001));
        }
    }

    #[test]
    fn guesses_of_clients_are_spread_over_all_slots() {
        let mut clients = [0; 10];
        for client in 0..10_000 {
            clients[guess(client, 0x4000, 10) as usize] += 1;
        }
        assert!(
            clients.iter().all(|n| (800..1200).contains(n)),
            "{clients:?}"
        );
    }
}
