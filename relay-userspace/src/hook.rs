//! Accounts of somebody else: an HTTP service that is asked about user names. Asks and remembers; who may do what is judged
//! by the servers of the workers, which never wait for it.

mod answer;
mod asker;
mod bounds;
mod caller;
mod directory;
mod shelf;

pub use answer::{Answer, read};
pub use asker::{Hook, HookError};
pub use bounds::REFUSALS;
pub use directory::{Directory, Known, OUTCOMES, Outcome, Record};
