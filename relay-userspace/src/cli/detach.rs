//! `relay detach`: removes what a relay that is gone left running. Never touches one that runs.

use super::args::{Detach, Global};
use super::exit::{Exit, Failure};
use super::flags::{self, ServeFlags};
use super::output;
use crate::config::{Config, defaults};
use crate::fastpath::pins::{self, PinFault};
use crate::journal::{self, StoreFault};

pub fn detach(global: &Global, wish: Detach) -> Result<(), Failure> {
    let flags = ServeFlags {
        config: wish.config,
        pin_directory: wish.pin_directory,
        ..ServeFlags::default()
    };
    let settings = flags::settings(global, &flags)?;
    match remove_all(&settings.config)? {
        true => output::line("detached: every session has ended"),
        false => output::line("nothing was left"),
    }
}

/// Pins, and with them the programs on the cards; then the journal. True if there was anything.
pub fn remove_all(config: &Config) -> Result<bool, Failure> {
    let pins = pins::remove(&config.kernel.pin_directory).map_err(|fault| match fault {
        PinFault::InUse(_) => runs(),
        fault => Failure::new(Exit::System, fault),
    })?;
    let journal = defaults::journal().map_or(Ok(false), |path| journal::remove(&path));
    let journal = journal.map_err(|fault| match fault {
        StoreFault::InUse(_) => runs(),
        fault => Failure::new(Exit::System, fault),
    })?;
    Ok(pins || journal)
}

fn runs() -> Failure {
    Failure::new(
        Exit::Failed,
        "a relay is running: stop it (SIGTERM), which removes everything, too",
    )
}
