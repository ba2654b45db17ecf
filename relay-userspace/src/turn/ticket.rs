//! Mobility tickets (RFC 8016 §4.1): which allocation, whose, until when. Sealed, so that nothing is kept to know them again,
//! and every worker and the next process can read them.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::identity::AllocationId;
use crate::secret::Secret;

const STATED: usize = 8 + 4 + 4 + 8;
const SEAL: usize = 16;
pub(super) const LENGTH: usize = STATED + SEAL;

pub(super) type Sealed = [u8; LENGTH];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub allocation: AllocationId,
    /// Tickets of one allocation in the order they were issued.
    pub serial: u32,
    /// Unix seconds. Wraps in 2106 without harm.
    pub expires: u32,
    /// See [`Tickets::owner`].
    pub owner: u64,
}

#[derive(Debug)]
pub(super) struct Tickets {
    key: Secret<[u8; 32]>,
}

impl Tickets {
    /// `nonce_key` is the same for all workers and for the next process.
    pub fn new(nonce_key: &[u8; 32]) -> Self {
        Self {
            key: Secret::new(mac(nonce_key, &[b"mobility tickets"])),
        }
    }

    /// Stands for a username without giving it away.
    pub fn owner(&self, username: &str) -> u64 {
        let full = mac(self.key.expose(), &[b"owner", username.as_bytes()]);
        u64::from_be_bytes(std::array::from_fn(|i| full[i]))
    }

    pub fn seal(&self, ticket: Ticket) -> Sealed {
        let mut sealed = [0; LENGTH];
        sealed[..8].copy_from_slice(&ticket.allocation.0.to_be_bytes());
        sealed[8..12].copy_from_slice(&ticket.serial.to_be_bytes());
        sealed[12..16].copy_from_slice(&ticket.expires.to_be_bytes());
        sealed[16..24].copy_from_slice(&ticket.owner.to_be_bytes());
        let full = mac(self.key.expose(), &[b"ticket", &sealed[..STATED]]);
        sealed[STATED..].copy_from_slice(&full[..SEAL]);
        sealed
    }

    /// `None`: not one of ours, changed, or too old.
    pub fn open(&self, sealed: &[u8], unix: u64) -> Option<Ticket> {
        let sealed: &Sealed = sealed.try_into().ok()?;
        let full = mac(self.key.expose(), &[b"ticket", &sealed[..STATED]]);
        let genuine: bool = full[..SEAL].ct_eq(&sealed[STATED..]).into();
        let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| sealed[at + i]));
        let wide = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| sealed[at + i]));
        let ticket = Ticket {
            allocation: AllocationId(wide(0)),
            serial: word(8),
            expires: word(12),
            owner: wide(16),
        };
        let left = ticket.expires.wrapping_sub(unix as u32) as i32;
        (genuine && left > 0).then_some(ticket)
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn a_ticket_is_read_until_it_expires_and_not_once_a_bit_of_it_changed() {
        let tickets = Tickets::new(&[7; 32]);
        let ticket = Ticket {
            allocation: AllocationId(3),
            serial: 9,
            expires: NOW as u32 + 600,
            owner: tickets.owner("alice"),
        };
        let sealed = tickets.seal(ticket);
        assert_eq!(tickets.open(&sealed, NOW + 599), Some(ticket));
        assert_eq!(tickets.open(&sealed, NOW + 600), None);
        assert_eq!(Tickets::new(&[8; 32]).open(&sealed, NOW), None);
        assert_eq!(tickets.open(&sealed[..LENGTH - 1], NOW), None);
        assert_eq!(tickets.open(&[], NOW), None);
        for bit in 0..LENGTH * 8 {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(tickets.open(&changed, NOW), None, "bit {bit}");
        }
        assert_ne!(tickets.owner("alice"), tickets.owner("bob"));
    }
}
