//! A journal that something else wrote to: it is read as far as it is whole, or a new one begins. Never a crash.

use std::sync::OnceLock;

use relay_userspace::config::{Forward, value};
use relay_userspace::journal::{Entry, Identity, Journal};

use super::input::Input;

fn identity() -> Identity {
    Identity {
        format: 1,
        boot: "boot".to_owned(),
        workers: 2,
    }
}

fn directory() -> tempfile::TempDir {
    // In memory where there is such a place: each input is a file.
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

fn forward(number: u8) -> Entry {
    Entry::Forward(Forward {
        name: format!("forward-{number}"),
        listen: "0.0.0.0:5004".parse().expect("an address"),
        to: value::destination("192.0.2.9:5004").expect("a destination"),
        allow: Vec::new(),
        idle: std::time::Duration::from_secs(60),
        max_sessions: 7,
    })
}

fn settle(journal: &Journal) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(journal.settled());
}

/// A whole journal with a few entries.
fn whole() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let directory = directory();
        let path = directory.path().join("journal");
        let (journal, _) = Journal::open(&path, &identity(), [1; 32]).expect("a journal");
        let commits: Vec<_> = (0..20).map(|i| journal.keep(forward(i))).collect();
        assert!(commits.is_sorted());
        settle(&journal);
        std::fs::read(&path).expect("its file")
    })
}

/// A length, then an offset and bytes to put there, until the input ends. Length 0: all of it.
pub fn journal(input: &[u8]) {
    let mut input = Input(input);
    let mut bytes = whole().to_vec();
    let length = input.long() as usize % (bytes.len() + 1);
    while !input.is_empty() {
        let at = input.long() as usize % bytes.len();
        let count = input.byte().into();
        let new = input.take(count);
        let end = (at + new.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&new[..end - at]);
    }
    if length > 0 {
        bytes.truncate(length);
    }
    let directory = directory();
    let path = directory.path().join("journal");
    std::fs::write(&path, bytes).expect("written");
    let (journal, remembered) = Journal::open(&path, &identity(), [2; 32]).expect("opens");
    assert!(remembered.forwards.len() <= 20);
    assert!(
        journal.keep(forward(77)).is_some(),
        "a journal that is whole"
    );
    settle(&journal);
    drop(journal);
    let (_, remembered) = Journal::open(&path, &identity(), [3; 32]).expect("opens again");
    assert!(remembered.forwards.iter().any(|f| f.name == "forward-77"));
}
