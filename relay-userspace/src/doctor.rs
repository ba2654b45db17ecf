//! `relay doctor`: reads what the host is like, judges it, says what to do. Changes nothing, attaches nothing.
//!
//! `read` only reads, `checks` only judges: every check is a pure function over [`facts::Host`].

mod finding;

mod facts;
pub(crate) mod read;

mod checks;

pub use checks::examine;
pub use facts::Host;
pub use finding::{Finding, State};
pub use read::{Plan, host};

#[cfg(test)]
mod tests;
