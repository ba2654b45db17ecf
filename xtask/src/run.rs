//! `run`: the main job in one command. Sets up and builds what is missing, then hands over to the lab.

use std::process::Command;

use anyhow::Result;

use crate::{build, setup, shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// End after 15 s of media and a call of half a minute that UDP is cut under; fail if media was lost, less than 99 % ran in
    /// the kernel, or the call did not go on
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
