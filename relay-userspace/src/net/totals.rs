//! What was relayed in all, kernel and userspace together. Data only.

use std::ops::AddAssign;

use crate::api::Traffic;
use crate::events::Event;
use crate::fastpath::LegTraffic;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub to_peer: Traffic,
    pub to_client: Traffic,
    /// Packets over a limit: from the client, and to it.
    pub refused: [u64; 2],
}

impl Totals {
    pub fn is_zero(&self) -> bool {
        *self == Totals::default()
    }

    /// Writes them into the event of an end.
    pub fn tell(self, event: Event) -> Event {
        Event {
            to_peer: Some(self.to_peer),
            to_client: Some(self.to_client),
            dropped: Some(self.refused.into()),
            ..event
        }
    }
}

impl From<LegTraffic> for Totals {
    fn from(kernel: LegTraffic) -> Totals {
        Totals {
            to_peer: kernel.near,
            to_client: kernel.far,
            refused: kernel.refused,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Totals) {
        for (sum, more) in [
            (&mut self.to_peer, more.to_peer),
            (&mut self.to_client, more.to_client),
        ] {
            sum.packets += more.packets;
            sum.bytes += more.bytes;
        }
        for (sum, more) in self.refused.iter_mut().zip(more.refused) {
            *sum += more;
        }
    }
}
