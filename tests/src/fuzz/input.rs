//! Bytes of a fuzzer as numbers and choices, taken from the front. An exhausted input gives zeros and says so.

use std::net::{IpAddr, SocketAddr};

pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn long(&mut self) -> u32 {
        u32::from(self.word()) << 16 | u32::from(self.word())
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// As many bytes, or all that are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    pub fn address(&mut self, v6: bool) -> SocketAddr {
        let ip: IpAddr = match v6 {
            true => std::array::from_fn::<u8, 16, _>(|_| self.byte()).into(),
            false => std::array::from_fn::<u8, 4, _>(|_| self.byte()).into(),
        };
        SocketAddr::new(ip, self.word())
    }
}
