//! `KNOWN`: whom the shield lets through more of. Only who has authenticated, or was named by someone who has, gets in
//! here, and the clients of forwards; somebody for whom there is no room is a stranger to the kernel, no more.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};

use foldhash::quality::RandomState;
use relay_common::{HashKey, KNOWN_WAYS, KnownPlace};

use super::memory::Memory;

/// Who sends to which of our ports. Port 0: from any, and to those of TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Acquainted {
    pub remote: SocketAddr,
    pub local_port: u16,
}

/// See the module.
pub struct Known {
    key: HashKey,
    all: HashMap<Acquainted, Entry, RandomState>,
    /// Words of the table that are ours.
    taken: HashSet<usize, RandomState>,
}

struct Entry {
    uses: u32,
    word: Option<usize>,
}

/// Bits of a word that the kernel writes.
const METER: u64 = 0xffff_ffff;

impl Known {
    pub fn new(key: HashKey) -> Self {
        Self {
            key,
            all: HashMap::default(),
            taken: HashSet::default(),
        }
    }

    /// Counts one more reason to know somebody.
    pub fn meet(&mut self, memory: &impl Memory, who: Acquainted) {
        if let Some(entry) = self.all.get_mut(&who) {
            entry.uses += 1;
            return;
        }
        let word = self.place(memory, who);
        self.taken.extend(word);
        self.all.insert(who, Entry { uses: 1, word });
    }

    /// Takes one reason back.
    pub fn part(&mut self, memory: &impl Memory, who: Acquainted) {
        let Some(entry) = self.all.get_mut(&who) else {
            return;
        };
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        if let Some(word) = entry.word {
            memory.known()[word].store(0, Release);
            self.taken.remove(&word);
        }
        self.all.remove(&who);
    }

    /// How many are known, and for how many of them there was room.
    pub fn count(&self) -> (u64, u64) {
        (self.all.len() as u64, self.taken.len() as u64)
    }

    /// Forgets whom only an earlier process knew.
    pub fn drop_strangers(&self, memory: &impl Memory) {
        for (i, word) in memory.known().iter().enumerate() {
            if word.load(Relaxed) != 0 && !self.taken.contains(&i) {
                word.store(0, Release);
            }
        }
    }

    /// A word for `who`: the one of an earlier process, or a free one.
    fn place(&self, memory: &impl Memory, who: Acquainted) -> Option<usize> {
        let KnownPlace { first, second, tag } = self.wanted(memory, who);
        let words = || {
            let buckets = [first, second].into_iter();
            buckets.flat_map(|b| (0..KNOWN_WAYS).map(move |way| b as usize * KNOWN_WAYS + way))
        };
        let is = |word: &usize, tag: u32| {
            memory.known()[*word].load(Relaxed) >> 32 == u64::from(tag)
                && !self.taken.contains(word)
        };
        let word = words()
            .find(|word| is(word, tag))
            .or_else(|| words().find(|word| is(word, 0)))?;
        let meter = memory.known()[word].load(Relaxed) & METER;
        memory.known()[word].store(u64::from(tag) << 32 | meter, Release);
        Some(word)
    }

    fn wanted(&self, memory: &impl Memory, who: Acquainted) -> KnownPlace {
        let mask = (memory.known().len() / KNOWN_WAYS) as u32 - 1;
        let ip = who.remote.ip();
        self.key.known(
            ip.into(),
            ip.is_ipv6(),
            who.remote.port(),
            who.local_port,
            mask,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fastpath::memory::PlainMemory;

    fn who(remote: &str, local_port: u16) -> Acquainted {
        Acquainted {
            remote: remote.parse().unwrap(),
            local_port,
        }
    }

    fn words(memory: &PlainMemory) -> usize {
        let set = |word: &&std::sync::atomic::AtomicU64| word.load(Relaxed) != 0;
        memory.known().iter().filter(set).count()
    }

    #[test]
    fn somebody_is_known_until_the_last_reason_is_gone() {
        let (memory, mut known) = (PlainMemory::new(64, 64), Known::new(HashKey([7; 14])));
        let client = who("192.0.2.1:0", 0);
        known.meet(&memory, client);
        known.meet(&memory, client);
        assert_eq!((known.count(), words(&memory)), ((1, 1), 1));
        known.part(&memory, client);
        assert_eq!(words(&memory), 1);
        known.part(&memory, client);
        known.part(&memory, client);
        assert_eq!((known.count(), words(&memory)), ((0, 0), 0));
    }

    #[test]
    fn who_finds_no_room_is_counted_and_takes_nobodys_place() {
        let (memory, mut known) = (PlainMemory::new(64, 64), Known::new(HashKey([7; 14])));
        let everybody: Vec<_> = (1..2000).map(|port| who("[2001:db8::1]:9", port)).collect();
        for one in &everybody {
            known.meet(&memory, *one);
        }
        let (all, with_room) = known.count();
        assert_eq!(all, 1999);
        assert!(with_room > 200 && with_room <= 256, "{with_room}");
        assert_eq!(words(&memory) as u64, with_room);
        for one in everybody {
            known.part(&memory, one);
        }
        assert_eq!(words(&memory), 0);
    }

    #[test]
    fn the_next_process_goes_on_with_the_words_of_the_last_and_forgets_the_rest() {
        let (memory, mut first) = (PlainMemory::new(64, 64), Known::new(HashKey([7; 14])));
        let (stays, goes) = (who("192.0.2.1:5", 0), who("192.0.2.2:0", 50_000));
        first.meet(&memory, stays);
        first.meet(&memory, goes);
        let mut next = Known::new(HashKey([7; 14]));
        next.meet(&memory, stays);
        assert_eq!(words(&memory), 2);
        next.drop_strangers(&memory);
        assert_eq!(words(&memory), 1);
        next.part(&memory, stays);
        assert_eq!(words(&memory), 0);
    }
}
