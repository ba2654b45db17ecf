//! The mirror over tables an earlier process left: sessions go on there until they are wanted again, or nobody did.

use super::Mirror;
use crate::fastpath::memory::Memory;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// Sessions of before are still being wanted again.
    Open,
    /// All that will be wanted again is; the last routes are being looked up.
    Closing,
    /// The tables hold nothing but what is wanted.
    Done,
}

impl<M: Memory> Mirror<M> {
    /// Before anything else is asked of the mirror. Returns how many sessions go on.
    pub fn adopt(&mut self) -> usize {
        self.adoption = Adoption::Open;
        self.kernel.adopt()
    }

    /// Everything that is to go on has been installed again.
    pub fn close_adoption(&mut self) {
        if self.adoption == Adoption::Open {
            self.adoption = Adoption::Closing;
            self.needs_resolver = true;
        }
    }

    /// Ends what nobody claimed, once every session had its chance. Returns how many sessions, at the moment it did.
    pub fn settle(&mut self) -> Option<usize> {
        if self.adoption != Adoption::Closing || !self.network.knows_all_routes() {
            return None;
        }
        self.adoption = Adoption::Done;
        self.needs_resolver = true;
        Some(self.kernel.drop_unclaimed())
    }
}
