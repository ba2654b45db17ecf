//! The data path's copy: `relay-common` and those tests of it that need nothing else, so that one way takes seconds.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{copy_all, write};
use crate::build::cargo;
use crate::tree;

/// What the tests are made of, from tests/src.
const SUPPORT: [&str; 6] = [
    "cases.rs",
    "engine.rs",
    "engine/tests.rs",
    "packet.rs",
    "random.rs",
    "witness.rs",
];

/// A workspace of two crates.
pub fn make(copy: &Path) -> Result<()> {
    let root = tree::root();
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest = manifest
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("members", _)) => "members = [\"relay-common\", \"proof\"]",
            Some(("default-members" | "exclude" | "relay-userspace", _)) => "",
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    write(&copy.join("Cargo.toml"), &manifest)?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    copy_all(&root.join("relay-common"), &copy.join("relay-common"))?;
    let proof = copy.join("proof");
    write(
        &proof.join("Cargo.toml"),
        "[package]\nname = \"proof\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         relay-common = { path = \"../relay-common\" }\n",
    )?;
    for file in SUPPORT {
        let text = fs::read_to_string(root.join("tests/src").join(file))?;
        write(&proof.join("src").join(file), &text)?;
    }
    copy_all(&root.join("tests/src/cases"), &proof.join("src/cases"))?;
    for file in ["input.rs", "packet.rs"] {
        let text = fs::read_to_string(root.join("tests/src/fuzz").join(file))?;
        write(&proof.join("src/fuzz").join(file), &text)?;
    }
    write(&proof.join("src/lib.rs"), LIBRARY)?;
    write(&proof.join("tests/proof.rs"), TESTS)
}

const LIBRARY: &str = "pub mod cases;\npub mod engine;\npub mod packet;\npub mod random;\npub mod witness;\n\
    pub mod kernel { pub const TEST_RUN_INGRESS: u32 = 1; }\n\
    pub mod fuzz { mod input; mod packet; pub use input::Input; pub use packet::packet; }\n";

const TESTS: &str = "use proof::{cases::{cases, sieges, world}, fuzz, random};\n\
    #[test] fn cases_hold() { let w = world(1); for c in cases() {\n\
        assert_eq!(w.tables.run(&c.packet, 1), c.outcome, \"{}\", c.name); } }\n\
    #[test] fn sieges_hold() { for s in sieges(1) { for c in s.cases {\n\
        assert_eq!(s.tables.run(&c.packet, 1), c.outcome, \"{}\", c.name); } } }\n\
    #[test] fn random_packets_are_sent_as_expected() {\n\
        for seed in 0..40_000u64 { let mut bytes = random::bytes(seed, 64); bytes[1] &= !1; fuzz::packet(&bytes); } }\n";

pub fn test(copy: &Path) -> Command {
    let mut command = cargo();
    command
        .current_dir(copy)
        .args(["test", "--quiet", "--workspace"]);
    command.arg("--target-dir").arg(copy.join("target"));
    // Optimised, or the random packets take longer than the compiler.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command
}
