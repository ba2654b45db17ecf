//! The TURN server (RFC 8656 over RFC 8489) as a state machine: bytes and `Now` in, commands out.
//! No socket, clock, randomness or task in here.
//!
//! The driver calls [`Server::handle_client`], [`Server::handle_peer`] and [`Server::handle_timeout`], drains
//! [`Server::next_command`] after each, strictly in order, and sleeps until [`Server::poll_timeout`].

mod command;
mod config;
mod counters;
mod identity;
mod view;

mod server;

mod answer;
mod auth;
mod message;
mod nonce;

mod adopt;
mod allocate;
mod alternate;
mod behavior;
mod binding;
mod channel_bind;
mod data;
mod expiry;
mod icmp;
mod lookup;
mod mobility;
mod permission;
mod refresh;
mod tcp;

mod acquaintance;
mod allocation;
mod channel;
mod farewell;
mod hash;
mod refusals;
mod relayed;
mod restore;
mod saved;
mod shared;
mod table;
mod telling;
mod ticket;
mod timer;
mod token;

pub use acquaintance::Acquaintance;
pub use alternate::Alternate;
pub use behavior::Alternates;
pub use command::{BindFault, Command, Family, PortWish, ReservationToken, ToPeer};
pub use config::{RelayFamilies, Rules, ServerConfig};
pub use counters::{Counter, Counters};
pub use data::WayToClient;
pub use identity::{AllocationId, FiveTuple, Now, Transport};
pub use mobility::{Departed, FORMER};
pub use restore::Lapsed;
pub use saved::{SavedAllocation, SavedChannel, SavedPermission};
pub use server::Server;
pub use shared::flood::{Flood, prefix};
pub use shared::{Ceilings, Held, Shared};
pub use tcp::{ConnectionId, Pending, Unbindable};
pub use view::{AllocationView, ChannelView, PermissionView, RefusalView};

#[cfg(test)]
mod tests;
