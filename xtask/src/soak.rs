//! `soak`: builds, then hands over to the lab with the same arguments.

use std::process::Command;

use anyhow::Result;

use crate::{build, setup, shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// Passed on, e.g. `--minutes 10`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn task(options: &Options) -> Result<()> {
    setup::task(&setup::Options::default())?;
    build::task(&build::Options::default())?;
    let mut lab = Command::new(tree::binary("release", "lab"));
    lab.arg("soak").args(&options.arguments);
    Err(shell::become_command(&mut lab))
}
