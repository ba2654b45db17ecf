//! Fuzz targets: functions of bytes that panic when something that must always hold does not. libFuzzer looks for
//! inputs (`cargo xtask fuzz`); every input kept under `tests/fuzz` is replayed by `cargo test`.

mod accounts;
mod credentials;
mod forward;
mod host;
mod input;
mod journal;
mod packet;
mod turn;

pub use accounts::{hook_answer, jwt};
pub use credentials::{admin, credentials};
pub use forward::forward;
pub use host::{config, control, firewall, icmp, netlink};
pub use input::Input;
pub use journal::journal;
pub use packet::packet;
pub use turn::{turn_bytes, turn_peer, turn_sequence, turn_signed};

pub type Target = fn(&[u8]);

/// Name and function of each.
pub const TARGETS: [(&str, Target); 16] = [
    ("packet", packet),
    ("turn_bytes", turn_bytes),
    ("turn_signed", turn_signed),
    ("turn_sequence", turn_sequence),
    ("turn_peer", turn_peer),
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
];
