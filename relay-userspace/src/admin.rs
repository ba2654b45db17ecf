//! The operator's door: HTTP and JSON over a Unix socket. Whoever may open the socket may do everything; nobody else can reach it.
//!
//! | route | answers |
//! |---|---|
//! | `GET /v1/status` | [`api::StatusReport`](crate::api::StatusReport) |
//! | `GET /v1/sessions`, `GET /v1/sessions/{id}` | [`api::Session`](crate::api::Session) |
//! | `DELETE /v1/sessions/{id}` | 204 |
//! | `DELETE /v1/sessions?user=NAME` | [`api::Killed`](crate::api::Killed) |
//! | `GET /v1/forwards`, `POST /v1/forwards` | [`api::ForwardView`](crate::api::ForwardView) |
//! | `DELETE /v1/forwards/{name}` | 204 |
//! | `GET /v1/users` | list of [`api::User`](crate::api::User) |
//! | `GET`, `PUT /v1/limits` | [`api::LimitsView`](crate::api::LimitsView) |
//! | `POST /v1/credentials` | list of [`api::IceServer`](crate::api::IceServer) |
//! | `POST /v1/reload` | [`api::Reloaded`](crate::api::Reloaded), or 409 and nothing changed |
//! | `POST`, `GET`, `DELETE /v1/drain` | [`api::Drain`](crate::api::Drain), and 204 when it is taken back |
//! | `GET /v1/drain/progress` | the same as JSON lines until it is over |
//! | `GET /v1/events?of=…&user=…` | [`Event`](crate::events::Event)s as JSON lines, without end |
//! | `GET /v1/counters` | list of [`api::Count`](crate::api::Count) |
//!
//! Every other answer is an [`api::Fault`](crate::api::Fault) with its status code.

pub(crate) mod bearer;
pub mod client;
mod drain;
mod events;
pub mod ice;
mod refusal;
pub mod request;
mod routes;
pub mod socket;

pub use routes::{Office, Reload, router, unix_now};

#[cfg(test)]
mod tests;
