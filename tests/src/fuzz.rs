//! Fuzz targets: functions of bytes that panic when something that must always hold does not. libFuzzer looks for
//! inputs (`cargo xtask fuzz`); every input kept under `tests/fuzz` is replayed by `cargo test`.

mod accounts;
mod answers;
mod credentials;
mod forward;
mod host;
mod input;
mod journal;
mod packet;
mod stream;
mod turn;
mod web;

pub use accounts::{hook_answer, jwt};
pub use answers::answers;
pub use credentials::{admin, credentials};
pub use forward::forward;
pub use host::{config, control, firewall, icmp, netlink};
pub use input::Input;
pub use journal::journal;
pub use packet::packet;
pub use stream::{first_bytes, proxy_header, stream_frames, stream_queue};
pub use turn::{turn_bytes, turn_peer, turn_sequence, turn_signed, turn_tickets};
pub use web::web_request;

pub type Target = fn(&[u8]);

/// Name and function of each.
pub const TARGETS: [(&str, Target); 23] = [
    ("packet", packet),
    ("turn_bytes", turn_bytes),
    ("turn_signed", turn_signed),
    ("turn_sequence", turn_sequence),
    ("turn_peer", turn_peer),
    ("turn_tickets", turn_tickets),
    ("stream_frames", stream_frames),
    ("stream_queue", stream_queue),
    ("proxy_header", proxy_header),
    ("first_bytes", first_bytes),
    ("forward", forward),
    ("icmp", icmp),
    ("control", control),
    ("config", config),
    ("journal", journal),
    ("admin", admin),
    ("netlink", netlink),
    ("firewall", firewall),
    ("credentials", credentials),
    ("hook_answer", hook_answer),
    ("jwt", jwt),
    ("web_request", web_request),
    ("answers", answers),
];
