//! The copy for mutations of `relay-userspace`: the whole tree, of which one library is compiled, and those of its tests run
//! that are about the module.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::copy_all;
use crate::build::cargo;
use crate::tree;

/// Of the tree's root: too large, and nothing a test needs.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

pub fn make(copy: &Path) -> Result<()> {
    for entry in fs::read_dir(tree::root())? {
        let entry = entry?;
        let (name, place) = (entry.file_name(), copy.join(entry.file_name()));
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &place)?,
            false => drop(fs::copy(entry.path(), place)?),
        }
    }
    Ok(())
}

/// Unit tests whose name has one of these words; all if there is none.
pub fn test(copy: &Path, about: &str) -> Command {
    let mut command = cargo();
    command
        .current_dir(copy)
        .args(["test", "--quiet", "-p", "relay-userspace", "--lib"]);
    command.arg("--target-dir").arg(copy.join("target"));
    command.arg("--").args(about.split_whitespace());
    // Compiled once a mutation: only what changed, and nothing for a debugger.
    command.env("CARGO_INCREMENTAL", "1");
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    command
}
