//! What is wrong with a configuration: where, which key, why, and what to write instead. Faults are collected, never thrown one by one.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Line 0: the file as a whole.
    File {
        path: PathBuf,
        line: usize,
    },
    Env(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value with the place it was written at and the key it sets, so that a later check can still point there.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> At<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At {
            value: change(self.value),
            place: self.place,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub origin: Origin,
    /// Key path as an operator would say it: `forward[0].to`.
    pub key: String,
}

impl Place {
    pub fn of<T>(self, value: T) -> At<T> {
        At { value, place: self }
    }
}

/// Why a text is not the value it should be; its place is known to whoever read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{problem}: {remedy}")]
pub struct Wrong {
    pub problem: String,
    pub remedy: String,
}

impl Wrong {
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub origin: Origin,
    pub key: String,
    pub problem: String,
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}: {}", self.problem, self.remedy)
    }
}

/// Every fault of one configuration, told together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn add(&mut self, place: &Place, wrong: Wrong) {
        self.0.push(Fault {
            origin: place.origin.clone(),
            key: place.key.clone(),
            problem: wrong.problem,
            remedy: wrong.remedy,
        });
    }

    /// The value if there is one; else its fault is kept.
    pub fn keep<T>(&mut self, place: Place, read: Result<T, Wrong>) -> Option<At<T>> {
        match read {
            Ok(value) => Some(place.of(value)),
            Err(wrong) => {
                self.add(&place, wrong);
                None
            }
        }
    }

    /// In the order an editor goes through them: the file by line, then environment and flags as read.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|fault| match fault.origin {
            Origin::File { line, .. } => line,
            _ => usize::MAX,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
