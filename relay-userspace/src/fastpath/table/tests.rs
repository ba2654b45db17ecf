//! The table against a model: a lookup that follows the kernel's algorithm finds exactly the live legs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::fastpath::memory::PlainMemory;
use crate::fastpath::seats::Guess;
use crate::police::meter_words;
use relay_common::{beside, meter_index};

const KEY: HashKey = HashKey([
    0x9e37_79b9,
    0x7f4a_7c15,
    0xf39c_c060,
    0x5ced_c834,
    0x1082_276b,
    0xf3a2_7251,
    0xf86c_6a11,
    0xd0c1_8e95,
    0x2767_f0b1,
    0x53d2_7b7f,
    0x0347_045b,
    0x5bf1_827f,
    0x0186_7ed5,
    0xd295_c3ab,
]);

fn leg(n: u16, channel: u16) -> Match {
    let ip = |last: u8| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    Match::new(
        SocketAddr::new(ip(1), n + 1),
        SocketAddr::new(ip(2), 3478),
        channel,
    )
}

fn session(n: u16) -> Session {
    Session::new([leg(n, 0x4000), leg(n, 0)], [1, 1], [10, 20])
}

/// Where the kernel guesses the client's leg of `session(n)` to be.
fn guess(n: u16, slots: u32) -> u32 {
    Guess::new(KEY, slots).of(&leg(n, 0x4000))
}

/// What the kernel does with a packet of `wanted`.
fn lookup(table: &Table<PlainMemory>, wanted: &Match) -> Option<(u32, u32)> {
    let place = KEY.place(wanted, table.mask);
    for bucket in [place.first, place.second] {
        for word in 0..BUCKET_WORDS {
            let word = &table.memory.buckets()[bucket as usize * BUCKET_WORDS + word];
            let entry = IndexEntry(word.load(Relaxed));
            if entry.tag() != place.tag || entry.generation() == 0 {
                continue;
            }
            let base = entry.slot() as usize * SLOT_WORDS;
            let generation = table.memory.sessions()[base].load(Relaxed) as u32;
            let mut expected = Session::default();
            expected.legs[entry.leg() as usize].matches = *wanted;
            let expected = session_words(&expected);
            let match_words = size_of::<Match>() / 8;
            let first = next_hop_word(entry.leg() as usize) - match_words;
            let same = (first..first + match_words)
                .all(|i| table.memory.sessions()[base + i].load(Relaxed) == expected[i]);
            if generation == entry.generation() && same {
                return Some((entry.slot(), entry.leg()));
            }
        }
    }
    None
}

#[derive(Debug, Clone)]
enum Step {
    Install(u16),
    Remove(u16),
    Grace,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u16..60).prop_map(Step::Install),
        3 => (0u16..60).prop_map(Step::Remove),
        1 => Just(Step::Grace),
    ]
}

proptest! {
    #[test]
    fn lookups_find_exactly_the_live_legs(steps in prop::collection::vec(step(), 1..300), buckets in prop::sample::select(vec![4u32, 16, 64])) {
        let mut table = Table::new(PlainMemory::new(40, buckets), KEY);
        let mut model: HashMap<u16, u32> = HashMap::new();
        for step in steps {
            match step {
                Step::Install(n) => match table.install(&session(n), 0) {
                    Ok((slot, generation)) => {
                        prop_assert!(generation != 0 && generation <= IndexEntry::GENERATION_MASK);
                        prop_assert!(model.values().all(|s| *s != slot));
                        prop_assert!(model.insert(n, slot).is_none());
                    }
                    Err(TableFault::Duplicate) => prop_assert!(model.contains_key(&n)),
                    Err(TableFault::Full) => prop_assert!(buckets < 64 || model.len() + table.retired.len() == 40),
                },
                Step::Remove(n) => {
                    if let Some(slot) = model.remove(&n) {
                        table.remove(slot);
                    }
                }
                Step::Grace => {
                    let slots = table.take_retired();
                    table.release(slots);
                }
            }
            for n in 0..60 {
                let live = model.get(&n);
                prop_assert_eq!(lookup(&table, &leg(n, 0x4000)), live.map(|s| (*s, 0)));
                prop_assert_eq!(lookup(&table, &leg(n, 0)), live.map(|s| (*s, 1)));
            }
            prop_assert_eq!(table.verify(0..usize::MAX), 0);
        }
    }
}

#[test]
fn a_freed_slot_waits_for_its_grace_period() {
    let mut table = Table::new(PlainMemory::new(1, 64), KEY);
    let (slot, generation) = table.install(&session(1), 0).unwrap();
    table.remove(slot);
    assert_eq!(table.install(&session(2), 0), Err(TableFault::Full));
    let retired = table.take_retired();
    assert_eq!(retired, [slot]);
    table.release(retired);
    assert_eq!(table.install(&session(2), 0), Ok((slot, generation + 1)));
}

#[test]
fn generations_skip_zero_when_they_wrap() {
    assert_eq!(next_generation(0), 1);
    assert_eq!(next_generation(0xff_ffff), 1);
}

#[test]
fn counters_of_a_live_session_survive_everything_but_removal() {
    let mut table = Table::new(PlainMemory::new(2, 64), KEY);
    let (slot, _) = table.install(&session(1), 0).unwrap();
    table.memory.sessions()[slot as usize * SLOT_WORDS + packets_word(1)].fetch_add(7, Relaxed);
    table.set_deadlines(slot, [99, 98]);
    table.set_next_hop(slot, 0, 5);
    assert_eq!(table.verify(0..usize::MAX), 0);
    assert_eq!(table.traffic(slot)[1].packets, 7);
    assert_eq!(table.remove(slot)[1].packets, 7);
}

#[test]
fn damaged_memory_is_counted_and_repaired() {
    let mut table = Table::new(PlainMemory::new(2, 64), KEY);
    let (slot, _) = table.install(&session(1), 0).unwrap();
    table.memory.sessions()[slot as usize * SLOT_WORDS + deadline_word(0)].store(1, Relaxed);
    let at = table.slots[slot as usize].live.as_ref().unwrap().entries[0].0;
    table.memory.buckets()[at].store(0, Relaxed);
    assert_eq!(table.verify(0..usize::MAX), 2);
    assert_eq!(table.verify(0..usize::MAX), 0);
    assert!(lookup(&table, &leg(1, 0x4000)).is_some());
}

#[test]
fn a_session_lies_where_its_meter_does_unless_that_slot_is_taken() {
    let mut table = Table::new(PlainMemory::new(64, 64), KEY);
    let mut install = |n, slot| table.install(&session(n), meter_index(slot, 0)).unwrap().0;
    assert_eq!(install(1, 2), 2);
    assert_eq!(install(2, 2), guess(2, 64), "where it is guessed");
}

#[test]
fn a_session_stands_at_its_guess_or_in_its_page_and_beyond_that_anywhere() {
    let mut table = Table::new(PlainMemory::new(64, 256), KEY);
    // Every eighth channel has the same guess.
    let from_client = |n| leg(7, 0x4000 + 8 * n);
    let of_one_client = |n| {
        let legs = [from_client(n), leg(100 + n, 0)];
        Session::new(legs, [1, 1], [10, 20])
    };
    let page: Vec<u32> = beside(guess(7, 64)).collect();
    let given: Vec<u32> = (0..=page.len() as u16)
        .map(|n| table.install(&of_one_client(n), 0).unwrap().0)
        .collect();
    assert_eq!(given[0], guess(7, 64));
    assert_eq!(given[..page.len()], page);
    assert!(!page.contains(&given[page.len()]));
    for (n, slot) in given.into_iter().enumerate() {
        let client = from_client(n as u16);
        assert_eq!(
            lookup(&table, &client),
            Some((slot, 0)),
            "found by the index"
        );
        let peer = leg(100 + n as u16, 0);
        assert_eq!(lookup(&table, &peer), Some((slot, 1)));
    }
}

#[test]
fn a_guess_whose_slot_has_its_grace_period_yet_to_wait_for_is_taken() {
    let mut table = Table::new(PlainMemory::new(64, 64), KEY);
    let (slot, _) = table.install(&session(1), 0).unwrap();
    assert_eq!(slot, guess(1, 64));
    table.remove(slot);
    let (other, _) = table.install(&session(1), 0).unwrap();
    assert_ne!(other, slot);
    assert_eq!(lookup(&table, &leg(1, 0x4000)), Some((other, 0)));
}

#[test]
fn a_session_an_earlier_process_had_elsewhere_stays_there() {
    let mut table = Table::new(PlainMemory::new(64, 64), KEY);
    let away = (guess(1, 64) + 32) % 64;
    let (slot, generation) = table.install(&session(1), meter_index(away, 0)).unwrap();
    assert_eq!(slot, away);
    let mut next = Table::new(table.memory, KEY);
    assert_eq!(next.adopt(), 1);
    assert_eq!(next.install(&session(1), 0), Ok((slot, generation)));
    assert_eq!(lookup(&next, &leg(1, 0x4000)), Some((slot, 0)));
    let (second, _) = next.install(&session(2), meter_index(away, 0)).unwrap();
    assert_eq!(second, guess(2, 64), "its slot is not free");
}

#[test]
fn sessions_and_meters_of_a_slot_leave_each_other_alone() {
    let mut table = Table::new(PlainMemory::new(2, 64), KEY);
    let meters = |table: &Table<PlainMemory>| {
        let words = (1..=4).flat_map(|index| meter_words(table.memory.sessions(), index).unwrap());
        words.map(|word| word.load(Relaxed)).collect::<Vec<_>>()
    };
    for index in 1..=4 {
        for word in meter_words(table.memory.sessions(), index).unwrap() {
            word.store(u64::from(index), Relaxed);
        }
    }
    let before = meters(&table);
    let (slot, _) = table.install(&session(1), 0).unwrap();
    table.set_deadlines(slot, [7, 8]);
    assert_eq!(table.verify(0..2), 0);
    table.remove(slot);
    assert_eq!(meters(&table), before);
    assert!(meter_words(table.memory.sessions(), 0).is_none());
    assert!(meter_words(table.memory.sessions(), 5).is_none());
}

#[test]
fn channels_of_a_client_stand_at_guesses_of_their_own() {
    let mut table = Table::new(PlainMemory::new(64, 256), KEY);
    for n in 0..8 {
        let client = leg(7, 0x4000 + n);
        let session = Session::new([client, leg(100 + n, 0)], [1, 1], [10, 20]);
        let (slot, _) = table.install(&session, 0).unwrap();
        assert_eq!(slot, Guess::new(KEY, 64).of(&client));
    }
}
