//! Every input a fuzzer was given or has found, through its target again: what once was wrong stays right.

use std::path::{Path, PathBuf};

use relay_tests::fuzz::TARGETS;
use relay_tests::random;

fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(folder)
        .join(target);
    let Ok(listing) = std::fs::read_dir(&path) else {
        return Vec::new();
    };
    let mut files: Vec<_> = listing.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_kept_input_holds() {
    for (name, target) in TARGETS {
        let corpus = files("corpus", name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for file in corpus.into_iter().chain(files("regressions", name)) {
            // The harness prints it only if the target panics.
            println!("{}", file.display());
            target(&std::fs::read(file).unwrap());
        }
    }
}

#[test]
fn every_target_takes_any_bytes() {
    for (name, target) in TARGETS {
        for seed in 0..60 {
            println!("{name} {seed}");
            target(&random::bytes(seed, 1 + seed as usize * 3));
        }
        target(&[]);
    }
}
