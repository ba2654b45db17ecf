//! `mutate`: breaks the data path on purpose, one way at a time, in a copy; every way must make a fast test fail.
//!
//! The copy holds `relay-common` and those tests of it that need nothing else, so that one way takes seconds.

mod list;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::build::cargo;
use crate::{shell, tree};
use list::{MUTATIONS, Mutation};

#[derive(clap::Args)]
pub struct Options {
    /// Only those whose description contains this
    only: Option<String>,
}

/// What the tests are made of, from tests/src, and from tests/tests.
const SUPPORT: [&str; 7] = [
    "cases.rs",
    "cases/world.rs",
    "engine.rs",
    "engine/tests.rs",
    "packet.rs",
    "random.rs",
    "witness.rs",
];

pub fn task(options: &Options) -> Result<()> {
    let copy = tree::target().join("mutate");
    make(&copy)?;
    shell::step("test the copy as it is", &mut test(&copy))?;
    let wanted = |m: &&Mutation| options.only.as_ref().is_none_or(|o| m.what.contains(o));
    let (mut tried, mut survivors) = (0, Vec::new());
    for mutation in MUTATIONS.iter().filter(wanted) {
        tried += 1;
        let killed = is_killed(&copy, mutation)?;
        shell::say(&format!(
            "  {}: {}",
            if killed { "found" } else { "NOT FOUND" },
            mutation.what
        ));
        if !killed {
            survivors.push(mutation.what);
        }
    }
    ensure!(tried > 0, "no mutation is called so");
    match survivors.is_empty() {
        true => Ok(()),
        false => bail!("no test fails when: {}", survivors.join("; ")),
    }
}

/// A workspace of two crates.
fn make(copy: &Path) -> Result<()> {
    let root = tree::root();
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    // Its last section is about the crate that is not in the copy.
    let (manifest, _) = manifest
        .split_once("[profile.release.package")
        .context("the workspace's manifest")?;
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

const TESTS: &str = "use proof::{cases::{cases, world}, fuzz, random};\n\
    #[test] fn cases_hold() { let w = world(1); for c in cases() {\n\
        assert_eq!(w.tables.run(&c.packet, 1), c.outcome, \"{}\", c.name); } }\n\
    #[test] fn random_packets_are_sent_as_expected() {\n\
        for seed in 0..40_000u64 { let mut bytes = random::bytes(seed, 64); bytes[1] &= !1; fuzz::packet(&bytes); } }\n";

fn is_killed(copy: &Path, mutation: &Mutation) -> Result<bool> {
    let path = copy.join("relay-common/src").join(mutation.file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let count = text.matches(mutation.from).count();
    ensure!(
        count == 1,
        "`{}` is {count} times in {}: say in xtask/src/mutate/list.rs what is meant",
        mutation.from,
        mutation.file
    );
    write(&path, &text.replace(mutation.from, mutation.to))?;
    let tested = test(copy)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    write(&path, &text)?;
    Ok(!tested?.success())
}

fn test(copy: &Path) -> Command {
    let mut command = cargo();
    command
        .current_dir(copy)
        .args(["test", "--quiet", "--workspace"]);
    command.arg("--target-dir").arg(copy.join("target"));
    // Optimised, or the random packets take longer than the compiler.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &place)?,
            false => {
                fs::create_dir_all(to)?;
                fs::copy(entry.path(), place)?;
            }
        }
    }
    Ok(())
}
