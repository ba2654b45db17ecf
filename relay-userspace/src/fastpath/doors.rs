//! Where packets for the relay arrive, and who may knock there more often than strangers. No sessions.

use std::net::{IpAddr, SocketAddr};

use super::known::Acquainted;
use super::{FastPath, canonical};

impl FastPath {
    /// Clients speak TURN to `local`: ChannelData may arrive there. Counted by family and port.
    pub fn open_control_port(&self, local: SocketAddr) {
        self.with(|mirror| mirror.open_control_port(canonical(local)));
    }

    /// Plain UDP of sessions may arrive at `local` (relayed addresses, forward listeners and their far sides).
    pub fn open_flow_port(&self, local: SocketAddr) {
        self.with(|mirror| mirror.open_flow_port(canonical(local)));
    }

    /// The same, and whoever sends there first begins a session: a forward's listener.
    pub fn open_forward_port(&self, local: SocketAddr) {
        self.with(|mirror| mirror.open_forward_port(canonical(local)));
    }

    /// Whether the shield is to let more of `remote` (port 0: whatever port it sends from) through to `local_port` (0:
    /// those of TURN). Counted: as often not as it was.
    pub fn acquaint(&self, remote: SocketAddr, local_port: u16, is_known: bool) {
        let remote = canonical(remote);
        self.with(|mirror| mirror.acquaint(Acquainted { remote, local_port }, is_known));
    }

    /// All addresses of this host: packets to others are nobody's business here.
    pub fn set_own_addresses(&self, all: impl IntoIterator<Item = IpAddr>) {
        let all = all.into_iter().map(|ip| ip.to_canonical()).collect();
        self.with(|mirror| mirror.set_own_addresses(all));
    }

    /// Takes the last `open_*_port` of `local` back.
    pub fn close_port(&self, local: SocketAddr) {
        self.with(|mirror| mirror.close_port(canonical(local)));
    }
}
