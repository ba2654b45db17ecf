//! What strangers may ask over HTTP on the address TURN is served at: the public API, and the origins of the signaling
//! routes. The browser's SDK as well, and a page that checks the way here.
//! A request goes one way: connection → desk → API, SDK, check or proxy → origin.

pub mod connection;
mod local;

mod desk;

mod api;
mod asset;
mod check;
mod proxy;
mod sdk;

pub(crate) mod hygiene;
pub(crate) mod target;

mod health;
mod origin;
mod table;

mod body;
pub mod counts;
mod fault;
mod record;

pub use api::Authority;
pub use connection::Asker;
pub use desk::{Next, Web};
pub use table::Unroutable;
