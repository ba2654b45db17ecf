//! `test`: every test there is, then a look for what they left behind.

use std::process::Command;

use anyhow::Result;

use crate::build::cargo;
use crate::{build, setup, shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// Cargo profile; `dev` compiles faster and keeps overflow checks
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Passed on to `cargo test`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn task(options: &Options) -> Result<()> {
    setup::task(&setup::Options { tests: true })?;
    build::task(&build::Options {
        profile: options.profile.clone(),
    })?;
    let mut tests = cargo();
    // relay-ebpf is no program of this machine; its code is tested through relay-common and the loaded object.
    tests.args([
        "test",
        "--profile",
        &options.profile,
        "--workspace",
        "--exclude",
        "relay-ebpf",
        "--no-fail-fast",
    ]);
    tests.args(&options.arguments);
    tests.env("RELAY_BIN", tree::binary(&options.profile, "relay"));
    if shell::is_root() {
        tests.env("RELAY_REQUIRE_PRIVILEGED", "1");
    } else {
        shell::say("not root: tests that need namespaces or BPF are skipped, and say so");
    }
    let tested = shell::show(&mut tests);
    let clean = shell::show(Command::new(tree::binary(&options.profile, "lab")).arg("residue"));
    tested.and(clean)
}
