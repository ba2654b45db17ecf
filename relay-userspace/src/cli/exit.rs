//! Exit codes and the one line an operator reads when something failed. Documented in docs/cli.md.

use std::io;
use std::process::ExitCode;

use super::output::harmless;
use crate::admin::client::AskError;
use crate::config::Faults;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 4,
    BadConfig = 64,
    NotRunning = 69,
    Internal = 70,
    System = 71,
    NotAllowed = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// For `--help`.
pub const HELP: &str = "Exit codes:
  0   done
  1   refused or failed
  2   wrong usage of the command line
  4   no such session or forward
  64  faults in the configuration; `top` without a terminal
  69  no relay answers on the admin socket; `connect`, `check`: no way to the relay
  70  internal error
  71  the system refused: cannot bind, read or write
  77  the admin socket may not be opened by this user, or is answered by a stranger; `connect`, `check`: refused by the relay";

#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// What failed and what to do; `None`: nothing to say (broken pipe, or told already).
    pub text: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, text: impl std::fmt::Display) -> Self {
        Self {
            exit,
            text: Some(text.to_string()),
        }
    }

    pub fn silent(exit: Exit) -> Self {
        Self { exit, text: None }
    }

    /// Of what a stranger said, who gets no line of his own.
    pub fn of_a_stranger(exit: Exit, text: impl std::fmt::Display) -> Self {
        Self::new(exit, harmless(&text.to_string()))
    }

    /// Once, on stderr.
    pub fn tell(self) -> Exit {
        use io::Write;
        for line in self.text.iter().flat_map(|text| text.lines()) {
            // Nobody left to tell.
            let _ = writeln!(io::stderr(), "relay: {}", harmless(line));
        }
        self.exit
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let exit = match &error {
            AskError::NotRunning { .. } | AskError::Timeout(_) => Exit::NotRunning,
            AskError::NotAllowed { .. } | AskError::Stranger { .. } => Exit::NotAllowed,
            AskError::NotFound(_) => Exit::NotFound,
            AskError::Refused { .. } => Exit::Failed,
            AskError::Broken(_) | AskError::NotUnderstood(_) => Exit::Internal,
        };
        Self::new(exit, error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::new(Exit::BadConfig, faults)
    }
}

/// Output that cannot be written. A reader that has seen enough (`| head`) is not an error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Done),
            _ => Self::new(Exit::System, format!("write the output: {error}")),
        }
    }
}
