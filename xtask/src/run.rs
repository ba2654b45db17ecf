//! `run`: the main job in one command. Sets up and builds what is missing, then hands over to the lab.

use std::process::Command;

use anyhow::Result;

use crate::{build, setup, shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// End after about 15 s of media; fail if anything was lost or less than 99 % ran in the kernel
    #[arg(long)]
    once: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn task(options: &Options) -> Result<()> {
    setup::task(&setup::Options::default())?;
    build::task(&build::Options::default())?;
    let mut lab = Command::new(tree::binary("release", "lab"));
    lab.arg("run");
    lab.args(options.once.then_some("--once"))
        .args(options.json.then_some("--json"));
    Err(shell::become_command(&mut lab))
}
