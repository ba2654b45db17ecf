//! `cargo xtask TASK`: everything a developer or CI does to this tree. Only dispatches; a task is a file.

mod bench;
mod build;
mod fuzz;
mod mutate;
mod run;
mod setup;
mod shell;
mod soak;
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
    /// Relay real media through a lab of namespaces, show where it runs and what a cut of UDP does to a call
    Run(run::Options),
    /// Run every test, then look for leftovers
    Test(test::Options),
    /// Look for inputs that break a parser or a state machine, guided by coverage
    Fuzz(fuzz::Options),
    /// Kill the relay every few seconds under sessions that stay and sessions that come and go
    Soak(soak::Options),
    /// Break the data path, or userspace, in every way of a list: each must make a fast test fail
    Mutate(mutate::Options),
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
        Task::Fuzz(options) => fuzz::task(&options),
        Task::Soak(options) => soak::task(&options),
        Task::Mutate(options) => mutate::task(&options),
        Task::Bench(options) => bench::task(&options),
        Task::Tidy => tidy::task(),
    }
}
