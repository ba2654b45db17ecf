//! The `relay` command: parse, run, exit code. Everything it does lives in the library.

use std::process::ExitCode;

use clap::Parser;
use relay_userspace::cli::{self, Cli, Exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The relay's workers have runtimes of their own; this one serves the operator.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("operator")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(cli::run(cli));
            // Not by dropping it: that would wait for a name server that does not answer.
            runtime.shutdown_background();
            exit.into()
        }
        Err(error) => {
            eprintln!("relay: start the runtime: {error}: check the limits on threads and files");
            Exit::System.into()
        }
    }
}
