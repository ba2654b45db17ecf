//! What this process has from an earlier one and keeps for the next: journal and pins, both or neither. Restores nothing
//! itself.

use crate::config::{Config, Forward, XdpMode, defaults};
use crate::fastpath::SessionId;
use crate::fastpath::pins::{self, Pins};
use crate::journal::{GivenLimit, Identity, Journal, Key, Remembered};
use crate::police::{Change, Police};

/// What an operator told an earlier process, for when everything runs.
pub struct Inheritance {
    pub forwards: Vec<Forward>,
    pub limits: Vec<GivenLimit>,
}

pub struct Heritage {
    pub journal: Option<Journal>,
    pub remembered: Remembered,
    pub pins: Option<Pins>,
}

impl Heritage {
    /// Never fails: without it, sessions end with this process, and the operator is told why. `nonce_key` is for a relay
    /// that has none yet.
    pub fn open(config: &Config, workers: usize, nonce_key: [u8; 32]) -> Self {
        let none = Remembered {
            nonce_key,
            ..Remembered::default()
        };
        if !config.survive {
            return Self::without(none);
        }
        let (journal, remembered) = match journal(workers, nonce_key) {
            Ok(opened) => opened,
            Err(reason) => {
                tracing::warn!(reason, "no journal: sessions will end with this process");
                return Self::without(none);
            }
        };
        Self {
            journal: Some(journal),
            remembered,
            pins: pins(config),
        }
    }

    fn without(remembered: Remembered) -> Self {
        Self {
            journal: None,
            remembered,
            pins: None,
        }
    }
}

impl GivenLimit {
    /// Before any session runs.
    pub fn apply(&self, police: &Police) {
        match self.of {
            Change::Session(id) => police.expect(SessionId(id), self.limit),
            _ => drop(police.change(self.of.clone(), self.limit)),
        }
    }

    /// What names it in the journal, if its session did not go on.
    pub fn lapsed(&self, police: &Police) -> Option<Key> {
        match self.of {
            Change::Session(id) if !police.runs(SessionId(id)) => Some(Key::Limit(self.of.clone())),
            _ => None,
        }
    }
}

fn journal(workers: usize, nonce_key: [u8; 32]) -> Result<(Journal, Remembered), String> {
    let path = defaults::journal().ok_or("no state directory: set STATE_DIRECTORY")?;
    if let Some(directory) = path.parent() {
        make_private(directory).map_err(|e| format!("make {}: {e}", directory.display()))?;
    }
    let opened =
        Identity::current(workers).and_then(|identity| Journal::open(&path, &identity, nonce_key));
    opened.map_err(|fault| fault.to_string())
}

fn make_private(directory: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)
}

/// `None`: kernel state ends with this process.
fn pins(config: &Config) -> Option<Pins> {
    let kernel = &config.kernel;
    let directory = &kernel.pin_directory;
    if kernel.interfaces.is_empty() || kernel.xdp == XdpMode::Off {
        match pins::remove(directory) {
            Ok(false) => {}
            Ok(true) => tracing::warn!("what an earlier relay left in the kernel was removed"),
            Err(fault) => tracing::warn!(%fault, "an earlier relay's kernel state stays"),
        }
        return None;
    }
    match Pins::open(directory) {
        Ok(pins) => Some(pins),
        Err(fault) => {
            tracing::warn!(%fault, "sessions in the kernel will end with this process");
            None
        }
    }
}
