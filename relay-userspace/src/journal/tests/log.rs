//! The log under the journal: torn anywhere, written anew, left half-written, and read by other versions.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use super::super::frame::Frame;
use super::super::store::Store;
use super::*;

struct Fixture {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.log");
        Fixture { directory, path }
    }

    fn open(&self) -> (Store, Vec<(u64, u32)>) {
        let (store, remembered) = Store::open(&self.path, &identity("a"), [1; 32]).unwrap();
        assert_eq!(remembered.nonce_key, [1; 32]);
        let mut kept: Vec<_> = remembered
            .allocations
            .iter()
            .map(|a| (a.id, a.lifetime))
            .collect();
        kept.sort_unstable();
        (store, kept)
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }
}

/// Each allocation with this lifetime; 0: it is gone.
fn commit(store: &mut Store, all: &[(u64, u32)]) {
    let mut batch = Frame::default();
    for (id, lifetime) in all {
        let entry = Entry::Allocation(allocation(*id, *lifetime));
        let write = |bytes: &mut Vec<u8>| match lifetime {
            0 => Ok(()),
            _ => entry.write(bytes),
        };
        batch.add(entry.key(), write).unwrap();
    }
    store.commit(&mut batch).unwrap();
}

#[test]
fn a_log_torn_at_any_byte_is_read_up_to_its_last_whole_commit_and_goes_on_from_there() {
    let f = Fixture::new();
    let (mut store, _) = f.open();
    let commits: [&[(u64, u32)]; 3] = [&[(1, 10), (2, 20)], &[(1, 11), (2, 0)], &[(3, 30)]];
    let after: [&[(u64, u32)]; 4] = [&[], &[(1, 10), (2, 20)], &[(1, 11)], &[(1, 11), (3, 30)]];
    let mut ends = vec![f.length() as usize];
    for changes in commits {
        commit(&mut store, changes);
        ends.push(f.length() as usize);
    }
    drop(store);
    let whole = fs::read(&f.path).unwrap();
    for length in ends[0]..=whole.len() {
        fs::write(&f.path, &whole[..length]).unwrap();
        let commits = ends.iter().rposition(|end| *end <= length).unwrap();
        let (mut store, kept) = f.open();
        assert_eq!(kept, after[commits], "cut at {length}");
        commit(&mut store, &[(4, 40)]);
        drop(store);
        let (_, kept) = f.open();
        assert_eq!(
            kept,
            [after[commits], &[(4, 40)]].concat(),
            "cut at {length}"
        );
    }
}

#[test]
fn a_log_is_bounded_by_what_it_keeps_and_the_next_process_reads_it_anew_written() {
    let f = Fixture::new();
    let (mut store, _) = f.open();
    let all = |lifetime: u32| std::array::from_fn::<_, 64, _>(|id| (id as u64, lifetime));
    let mut longest = 0;
    let mut rewritten = 0;
    for round in 1..=400 {
        let before = f.length();
        commit(&mut store, &all(round));
        store.tidy().unwrap();
        longest = longest.max(f.length());
        rewritten += u32::from(f.length() < before);
    }
    assert!(rewritten >= 2, "{rewritten}");
    assert!(longest < 2 << 20, "{longest}");
    let second = Store::open(&f.path, &identity("a"), [1; 32]).map(|_| ());
    assert!(matches!(second, Err(StoreFault::InUse(_))), "{second:?}");
    drop(store);
    let (_, kept) = f.open();
    assert_eq!(kept, std::array::from_fn::<_, 64, _>(|id| (id as u64, 400)));
}

#[test]
fn a_process_that_dies_while_it_writes_the_log_anew_loses_nothing() {
    let f = Fixture::new();
    let (mut store, _) = f.open();
    commit(&mut store, &[(1, 10)]);
    drop(store);
    let unfinished = f.directory.path().join("journal.new");
    fs::write(&unfinished, b"relay journal 2\nhalf").unwrap();
    let (store, kept) = f.open();
    assert_eq!(kept, [(1, 10)]);
    drop(store);
    assert!(remove(&f.path).unwrap());
    assert!(!unfinished.exists());
}

#[test]
fn a_relay_reads_entries_with_fields_it_does_not_know() {
    #[derive(serde::Serialize)]
    struct Newer {
        more: Vec<u32>,
        #[serde(flatten)]
        session: SavedSession,
    }
    let now = Instant::now();
    let newer = Newer {
        more: vec![1, 2],
        session: session(now, now),
    };
    let bytes = rmp_serde::to_vec_named(&HashMap::from([("Session", newer)])).unwrap();
    let entry: Entry = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(entry.key(), Key::Session(9));
}
