//! Numbers nobody outside can predict, without a random source: a keyed hash of a counter.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::command::ReservationToken;
use crate::secret::Secret;

#[derive(Debug)]
pub(super) struct Tokens {
    seed: Secret<[u8; 32]>,
    worker: u64,
    drawn: u64,
}

impl Tokens {
    pub fn new(seed: [u8; 32], worker_index: usize) -> Self {
        Self {
            seed: seed.into(),
            worker: worker_index as u64,
            drawn: 0,
        }
    }

    pub fn reservation(&mut self) -> ReservationToken {
        ReservationToken(self.draw("reservation") as u64)
    }

    /// 96 bits are used.
    pub fn transaction(&mut self) -> u128 {
        self.draw("transaction")
    }

    fn draw(&mut self, purpose: &str) -> u128 {
        self.drawn += 1;
        let mut mac = Hmac::<Sha256>::new_from_slice(self.seed.expose())
            .expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(&self.worker.to_be_bytes());
        mac.update(&self.drawn.to_be_bytes());
        let full = mac.finalize().into_bytes();
        u128::from_be_bytes(std::array::from_fn(|i| full[i]))
    }
}
