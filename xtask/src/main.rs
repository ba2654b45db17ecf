//! `cargo xtask TASK`: everything a developer or CI does to this tree. Only dispatches; a task is a file.

mod bench;
mod build;
mod run;
mod setup;
mod shell;
mod test;
mod tidy;
mod tree;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Setup, build, run, test, bench and tidy this tree"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what building and running needs (with --tests: what the tests need too)
    Setup(setup::Options),
    /// Build the XDP objects, then the `relay` and `lab` commands
    Build(build::Options),
    /// Relay real media through a lab of three namespaces and show where it runs
    Run(run::Options),
    /// Run every test, then look for leftovers
    Test(test::Options),
    /// Measure: `bench packet`, `bench veth`, …
    Bench(bench::Options),
    /// Check how the tree reads: file sizes, headers, layers
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Setup(options) => setup::task(&options),
        Task::Build(options) => build::task(&options),
        Task::Run(options) => run::task(&options),
        Task::Test(options) => test::task(&options),
        Task::Bench(options) => bench::task(&options),
        Task::Tidy => tidy::task(),
    }
}
