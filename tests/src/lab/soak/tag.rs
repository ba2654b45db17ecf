//! What every packet of the soak carries: whose it is and which. All tags of one session have one checksum: one in 65,536
//! would look as if hardware had to finish it, and be left to userspace, which may be dead.

pub const LENGTH: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub session: u32,
    pub number: u32,
}

impl Tag {
    pub fn bytes(self) -> [u8; LENGTH] {
        let words = [self.session, !self.session, self.number, !self.number];
        let mut bytes = [0; LENGTH];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// Of the last bytes of `packet`; `None`: not of the soak.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let bytes = packet.last_chunk::<LENGTH>()?;
        let mut words = bytes.chunks_exact(4).map(|word| {
            word.iter()
                .fold(0u32, |all, byte| all << 8 | u32::from(*byte))
        });
        let mut next = || words.next().unwrap_or_default();
        let (session, twice, number, again) = (next(), next(), next(), next());
        (session == !twice && number == !again).then_some(Tag { session, number })
    }
}
