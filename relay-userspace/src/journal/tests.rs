//! The journal as the next process finds it.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;
use crate::config::Forward;
use crate::turn::SavedAllocation;

fn identity(boot: &str) -> Identity {
    Identity {
        format: 1,
        boot: boot.to_owned(),
        workers: 2,
    }
}

fn allocation(id: u64, lifetime: u32) -> SavedAllocation {
    let now = Instant::now();
    SavedAllocation {
        id,
        worker: 1,
        client: "192.0.2.1:1".parse().unwrap(),
        server: "192.0.2.2:3478".parse().unwrap(),
        username: "alice".to_owned(),
        key_print: u64::MAX,
        algorithm: Default::default(),
        relayed: "192.0.2.2:50000".parse().unwrap(),
        also_relayed: None,
        transaction: [255; 12],
        lifetime,
        created: now,
        expires: now + Duration::from_secs(600),
        mobility: None,
        permissions: Vec::new(),
        channels: Vec::new(),
    }
}

fn forward() -> Forward {
    Forward {
        name: "rtp".to_owned(),
        listen: "0.0.0.0:5004".parse().unwrap(),
        to: crate::config::value::destination("192.0.2.9:5004").unwrap(),
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        idle: Duration::from_secs(60),
        max_sessions: 7,
    }
}

#[tokio::test]
async fn the_last_state_of_each_thing_is_there_after_the_process_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let (journal, remembered) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    assert_eq!(remembered.nonce_key, [1; 32]);
    journal.keep(Entry::Allocation(allocation(1, 600)));
    journal.keep(Entry::Allocation(allocation(1, 1200)));
    journal.keep(Entry::Allocation(allocation(2, 600)));
    journal.keep(Entry::Forward(forward()));
    journal.forget(Key::Allocation(2));
    journal.settled().await;
    // As a killed process leaves it: the store was never closed.
    let left = directory.path().join("left.redb");
    std::fs::copy(&path, &left).unwrap();

    let (_next, remembered) = Journal::open(&left, &identity("a"), [2; 32]).unwrap();
    assert_eq!(remembered.nonce_key, [1; 32]);
    assert_eq!(remembered.forwards, [forward()]);
    let [kept] = &remembered.allocations[..] else {
        panic!("{remembered:?}");
    };
    assert_eq!((kept.id, kept.lifetime, kept.worker), (1, 1200, 1));
    assert_eq!(kept.transaction, [255; 12]);
}

#[test]
fn another_boot_begins_with_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let (journal, _) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    journal.keep(Entry::Allocation(allocation(1, 600)));
    drop(journal);
    let (_, remembered) = Journal::open(&path, &identity("b"), [2; 32]).unwrap();
    assert_eq!(remembered.nonce_key, [2; 32]);
    assert!(remembered.allocations.is_empty());
}

#[test]
fn the_file_is_private_and_of_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let (_journal, _) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Journal::open(&path, &identity("a"), [1; 32]).map(|_| ());
    assert!(matches!(second, Err(StoreFault::InUse(_))), "{second:?}");
}

#[test]
fn what_is_no_journal_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    std::fs::write(&path, vec![7; 10_000]).unwrap();
    let (_, remembered) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    assert!(remembered.allocations.is_empty());
}
