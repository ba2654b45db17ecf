//! A NAT in front of the far end: UDP ports over IPv4, each exchanged for another one. Addresses stay, so nothing has to be
//! routed.

use std::collections::HashSet;

use relay_common::checksum;

const ETHERNET: usize = 14;

/// The first one exchanges nothing, so a link without rebinding leaves frames as they are.
#[derive(Debug, Default)]
pub(super) struct Nat {
    /// What ports are exclusive-ored with.
    mask: u16,
    /// Outer ports in use.
    mapped: HashSet<u16>,
}

impl Nat {
    pub fn rebind(&mut self) {
        // Ports stay above 1024, and differ from all those before.
        self.mask = (self.mask + 1) & 0x3FF;
        self.mapped.clear();
    }

    /// Whether it goes on. All do.
    pub fn outward(&mut self, frame: &mut [u8]) -> bool {
        if let Some(at) = ports(frame) {
            let outer = exchange(frame, at, at, self.mask);
            self.mapped.insert(outer);
        }
        true
    }

    /// Those to a port that nobody has sent from end here.
    pub fn inward(&mut self, frame: &mut [u8]) -> bool {
        let Some(at) = ports(frame) else {
            return true;
        };
        let outer = u16::from_be_bytes([frame[at + 2], frame[at + 3]]);
        if self.mask > 0 && !self.mapped.contains(&outer) {
            return false;
        }
        exchange(frame, at, at + 2, self.mask);
        true
    }
}

/// Where the UDP header of an IPv4 packet is.
fn ports(frame: &[u8]) -> Option<usize> {
    let is_v4 = frame.get(12..ETHERNET)? == [0x08, 0x00];
    let at = ETHERNET + 4 * usize::from(frame.get(ETHERNET)? & 0x0F);
    (is_v4 && frame.len() >= at + 8).then_some(at)
}

/// The port at `port`, of the UDP header at `header`; what it is then.
fn exchange(frame: &mut [u8], header: usize, port: usize, mask: u16) -> u16 {
    let word = |frame: &[u8], at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let old = word(frame, port);
    let new = old ^ mask;
    frame[port..port + 2].copy_from_slice(&new.to_be_bytes());
    let sum = word(frame, header + 6);
    // None at all is none afterwards.
    if sum != 0 {
        let sum = checksum::never_zero(checksum::update(sum, old, new));
        frame[header + 6..header + 8].copy_from_slice(&sum.to_be_bytes());
    }
    new
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::packet::udp;

    fn frame(from: &str, to: &str) -> Vec<u8> {
        let [from, to] = [from, to].map(|a| a.parse::<SocketAddr>().unwrap());
        udp(from, to, b"payload").bytes()
    }

    #[test]
    fn a_port_is_another_after_a_rebinding_and_leads_back_to_the_same() {
        let (inner, outer, server) = ("10.0.0.2:40000", "10.0.0.2:40001", "10.0.0.1:3478");
        let mut nat = Nat::default();
        let mut plain = frame(inner, server);
        assert!(nat.outward(&mut plain));
        assert_eq!(plain, frame(inner, server));
        nat.rebind();
        let mut out = frame(inner, server);
        assert!(nat.outward(&mut out));
        assert_eq!(out, frame(outer, server));
        let mut back = frame(server, outer);
        assert!(nat.inward(&mut back));
        assert_eq!(back, frame(server, inner));
    }

    #[test]
    fn what_comes_to_a_forgotten_mapping_ends_there() {
        let mut nat = Nat::default();
        nat.outward(&mut frame("10.0.0.2:40000", "10.0.0.1:3478"));
        nat.rebind();
        let mut late = frame("10.0.0.1:3478", "10.0.0.2:40000");
        assert!(!nat.inward(&mut late));
    }
}
