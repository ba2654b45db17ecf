//! One answer of the doctor: what was looked at, how it is, and what to do about it.

use serde::{Deserialize, Serialize};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Works, but slower, or not for everybody.
    Warn,
    /// Something that is configured, or the kernel path, does not work.
    Fail,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A word per check; docs/cli.md lists them.
    pub check: String,
    /// The card, port, file or limit it is about.
    pub subject: String,
    pub state: State,
    pub found: String,
    /// What to do; nothing when it is fine.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            subject: subject.into(),
            state: State::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    pub fn warn(
        check: &str,
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(check, subject, found)
        }
    }

    pub fn fail(
        check: &str,
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Fail,
            ..Self::warn(check, subject, found, remedy)
        }
    }
}
