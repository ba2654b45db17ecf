//! The `relay` command: words to actions. Parses, asks the relay or becomes it, prints, and says by its exit code how it went.

mod args;
mod check;
mod client;
mod configuration;
mod connect;
mod detach;
mod doctor;
mod drain;
mod ending;
mod events;
mod exit;
mod flags;
mod hints;
mod logging;
mod output;
mod reload;
mod serve;
mod state;
mod top;

pub use args::Cli;
pub use exit::{Exit, Failure};

/// Does what was asked; the code of the process.
pub async fn run(cli: Cli) -> Exit {
    let done = dispatch(cli).await;
    match done {
        Ok(()) => Exit::Done,
        Err(failure) => failure.tell(),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    use args::Command;
    let global = cli.global;
    match cli.command {
        Command::Serve(flags) => serve::serve(&global, &flags).await,
        Command::Detach(wish) => detach::detach(&global, wish),
        Command::Status(read) => client::status(&global, read).await,
        Command::Reload(read) => client::reload(&global, read).await,
        Command::Events(wish) => events::events(&global, wish).await,
        Command::Drain(wish) => drain::drain(&global, wish).await,
        Command::Top => top::top(&global).await,
        Command::Session(command) => client::session(&global, command).await,
        Command::User(command) => client::user(&global, command).await,
        Command::Limit(command) => client::limit(&global, command).await,
        Command::Forward(command) => client::forward(&global, command).await,
        Command::Credentials(wish) => client::credentials(&global, wish).await,
        Command::Connect(wish) => connect::connect(*wish).await,
        Command::Check(wish) => check::check(*wish).await,
        Command::Config(command) => configuration::run(&global, command),
        Command::Doctor { flags, read } => doctor::doctor(&global, &flags, read.json).await,
        Command::Version(read) => output::version(read.json),
    }
}

#[cfg(test)]
mod tests;
