//! `bench NAME`: measurements. Builds, then hands over to the lab with the same arguments.

use std::process::Command;

use anyhow::Result;

use crate::{build, setup, shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// What to measure: `packet`, `veth`, …
    name: String,
    /// Passed on, e.g. `--json`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn task(options: &Options) -> Result<()> {
    // All but the packet bench compare with coturn.
    setup::task(&setup::Options {
        tests: options.name != "packet",
    })?;
    build::task(&build::Options::default())?;
    let mut lab = Command::new(tree::binary("release", "lab"));
    lab.arg("bench").arg(&options.name).args(&options.arguments);
    Err(shell::become_command(&mut lab))
}
