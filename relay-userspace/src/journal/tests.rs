//! The journal as the next process finds it.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;
use crate::config::Forward;
use crate::forward::saved::SavedSession;
use crate::police::{Change, Limit};
use crate::turn::SavedAllocation;

mod log;

fn identity(boot: &str) -> Identity {
    Identity {
        format: 1,
        boot: boot.to_owned(),
        workers: 2,
    }
}

/// Of a forward.
fn session(since: Instant, deadline: Instant) -> SavedSession {
    SavedSession {
        id: 9,
        worker: 1,
        forward: "rtp".to_owned(),
        client: "192.0.2.1:1".parse().unwrap(),
        server: "[2001:db8::1]:5004".parse().unwrap(),
        destination: "192.0.2.9:5004".parse().unwrap(),
        local: "[2001:db8::1]:50000".parse().unwrap(),
        since,
        deadline,
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
    let path = directory.path().join("journal.log");
    let (journal, remembered) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    assert_eq!(remembered.nonce_key, [1; 32]);
    journal.keep(Entry::Allocation(allocation(1, 600)));
    journal.keep(Entry::Allocation(allocation(1, 1200)));
    journal.keep(Entry::Allocation(allocation(2, 600)));
    journal.keep(Entry::Forward(forward()));
    journal.forget(Key::Allocation(2));
    journal.settled().await;
    // As a killed process leaves it: the store was never closed.
    let left = directory.path().join("left.log");
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
    let path = directory.path().join("journal.log");
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
    let path = directory.path().join("journal.log");
    let (_journal, _) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Journal::open(&path, &identity("a"), [1; 32]).map(|_| ());
    assert!(matches!(second, Err(StoreFault::InUse(_))), "{second:?}");
}

#[test]
fn what_is_no_journal_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.log");
    for foreign in [&[7; 10_000][..], b"relay journal 1\n and more", b"r"] {
        std::fs::write(&path, foreign).unwrap();
        let (_, remembered) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
        assert!(remembered.allocations.is_empty());
        assert!(std::fs::read(&path).unwrap().starts_with(frame::MARK));
    }
}

#[test]
fn the_journal_of_an_older_relay_makes_room_unless_that_relay_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.log");
    let older = directory.path().join("journal.redb");
    std::fs::write(&older, b"redb").unwrap();
    let running = std::fs::File::open(&older).unwrap();
    running.lock().unwrap();
    let refused = Journal::open(&path, &identity("a"), [1; 32]).map(|_| ());
    assert!(matches!(refused, Err(StoreFault::InUse(of)) if of == older));
    drop(running);
    let opened = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    assert!(!older.exists());
    drop(opened);
    std::fs::write(&older, b"redb").unwrap();
    assert!(remove(&path).unwrap());
    assert!(!remove(&path).unwrap());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn everything_a_relay_keeps_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.log");
    let now = Instant::now();
    let session = session(now, now + Duration::from_secs(60));
    let limit = Limit {
        bits_per_second: Some(u64::MAX),
        packets_per_second: None,
    };
    let whose = [
        Change::Sessions,
        Change::Users,
        Change::User("alice".to_owned()),
        Change::Session(9),
    ];
    let limits = whose.map(|of| GivenLimit { of, limit });
    let (journal, _) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    journal.keep(Entry::Session(session.clone()));
    for given in &limits {
        journal.keep(Entry::Limit(given.clone()));
    }
    journal.settled().await;
    drop(journal);

    let (_, remembered) = Journal::open(&path, &identity("a"), [1; 32]).unwrap();
    let [kept] = &remembered.sessions[..] else {
        panic!("{remembered:?}");
    };
    let moments = [
        (kept.since, session.since),
        (kept.deadline, session.deadline),
    ];
    for (kept, was) in moments {
        assert!(kept.max(was) - kept.min(was) < Duration::from_millis(50));
    }
    let (since, deadline) = (session.since, session.deadline);
    let kept = SavedSession {
        since,
        deadline,
        ..kept.clone()
    };
    assert_eq!(kept, session);
    assert_eq!(remembered.limits.len(), limits.len());
    assert!(limits.iter().all(|given| remembered.limits.contains(given)));
}
