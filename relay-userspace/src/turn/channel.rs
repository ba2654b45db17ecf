//! The channels of one allocation: a number bound to a peer, relaying until it expires, then in quarantine. No I/O, no timers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::fastpath::SessionId;

use super::hash::Keyed;

/// RFC 8656 §12.
pub(super) const LIFETIME: Duration = Duration::from_secs(600);
/// A number is not bound to another peer, nor a peer to another number, until so long after expiry (RFC 8656 §12).
pub(super) const QUARANTINE: Duration = Duration::from_secs(300);
/// RFC 5766 §11. RFC 8656 §12 tells new clients to stop at 0x4FFF, but older ones (coturn before 4.16) draw from all of
/// it, and nothing else shares this port.
pub(super) const NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFF;
/// What a ChannelData message begins with: the high bytes of [`NUMBERS`].
pub(super) const FIRST_BYTES: std::ops::RangeInclusive<u8> = 0x40..=0x7F;
/// Number and length.
pub(super) const HEADER: usize = 4;
/// As the kernel's half takes it, whatever the length is a multiple of.
const LONGEST_PADDING: usize = 3;

#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    pub peer: SocketAddr,
    /// `None` in quarantine.
    pub session: Option<SessionId>,
    pub expires: Instant,
    /// The deadlines the driver was last told, towards the peer and towards the client.
    pub told: (Instant, Instant),
}

impl Channel {
    /// When something is due: the end, or the end of the quarantine.
    pub fn due(&self) -> Instant {
        match self.session {
            Some(_) => self.expires,
            None => self.expires + QUARANTINE,
        }
    }
}

#[derive(Debug)]
pub(super) struct Channels {
    by_number: HashMap<u16, Channel, Keyed>,
    by_peer: HashMap<SocketAddr, u16, Keyed>,
}

impl Channels {
    pub fn new(hash: Keyed) -> Self {
        Self {
            by_number: HashMap::with_hasher(hash),
            by_peer: HashMap::with_hasher(hash),
        }
    }

    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether `number` and `peer` are free, or bound to each other.
    pub fn may_bind(&self, number: u16, peer: SocketAddr) -> bool {
        let number_fits = self
            .by_number
            .get(&number)
            .is_none_or(|bound| bound.peer == peer);
        let peer_fits = self.by_peer.get(&peer).is_none_or(|bound| *bound == number);
        number_fits && peer_fits
    }

    pub fn get(&self, number: u16) -> Option<&Channel> {
        self.by_number.get(&number)
    }

    pub fn get_mut(&mut self, number: u16) -> Option<&mut Channel> {
        self.by_number.get_mut(&number)
    }

    /// Where data on `number` goes now.
    pub fn peer(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let channel = self.by_number.get(&number)?;
        (channel.session.is_some() && channel.expires > now).then_some(channel.peer)
    }

    /// The number data of `peer` is relayed with now.
    pub fn number(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let number = *self.by_peer.get(&peer)?;
        self.peer(number, now).map(|_| number)
    }

    pub fn insert(&mut self, number: u16, channel: Channel) {
        debug_assert!(self.may_bind(number, channel.peer));
        self.by_peer.insert(channel.peer, number);
        self.by_number.insert(number, channel);
    }

    pub fn remove(&mut self, number: u16) {
        if let Some(channel) = self.by_number.remove(&number) {
            self.by_peer.remove(&channel.peer);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, &Channel)> + '_ {
        self.by_number
            .iter()
            .map(|(number, channel)| (*number, channel))
    }
}

/// The data of a ChannelData message (RFC 8656 §12.4). Padding is accepted; anything else beyond the length is not.
pub(super) fn parse(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (header, rest) = payload.split_first_chunk::<HEADER>()?;
    let number = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fits = rest.len() >= length && rest.len() <= length + LONGEST_PADDING;
    (NUMBERS.contains(&number) && fits).then(|| (number, &rest[..length]))
}

/// Replaces `out` with `data` on `number`, unpadded as UDP wants it.
pub(super) fn write(number: u16, data: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_data_is_taken_with_and_without_padding_and_not_otherwise() {
        let message = [0x40, 0x01, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0];
        for (length, expected) in [
            (3, None),
            (8, None),
            (9, Some(5)),
            (10, Some(5)),
            (12, Some(5)),
            (13, None),
        ] {
            let parsed = parse(&message[..length]);
            assert_eq!(parsed.map(|(_, data)| data.len()), expected, "{length}");
        }
        let whole_words = [0x40, 0x01, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0];
        assert!(parse(&whole_words[..11]).is_some_and(|(_, data)| data.len() == 4));
        assert_eq!(parse(&whole_words), None);
        assert_eq!(parse(&[0x40, 0, 0, 0]), Some((0x4000, &[][..])));
        assert_eq!(parse(&[0x7F, 0xFF, 0, 0]), Some((0x7FFF, &[][..])));
        assert_eq!(parse(&[0x80, 0, 0, 0]), None);
    }
}
