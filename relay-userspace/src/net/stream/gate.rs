//! How many connections may be there that have no allocation yet, and how many TLS handshakes begin: in all, and of one
//! source prefix. Counts, never waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::turn::{Flood, prefix};

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    pub total: usize,
    /// Of a /24 or a /48.
    pub of_a_prefix: u32,
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Total,
    Prefix,
    /// A handshake costs a hundred times what a Binding request does, and ends as soon as it is done.
    Handshakes,
}

/// One for all workers.
#[derive(Debug)]
pub struct Gate {
    places: Places,
    total: AtomicUsize,
    prefixes: Mutex<HashMap<u64, u32>>,
    handshakes: Flood,
}

/// Given back when dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    prefix: Option<u64>,
}

impl Gate {
    /// `seed`: so that nobody can aim at another prefix's rate.
    pub fn new(places: Places, handshakes_per_second: u32, seed: [u8; 32]) -> Arc<Gate> {
        Arc::new(Gate {
            places,
            total: AtomicUsize::new(0),
            prefixes: Mutex::default(),
            handshakes: Flood::new(handshakes_per_second, seed),
        })
    }

    /// Where no handshake begins.
    pub fn of(places: Places) -> Arc<Gate> {
        Arc::new(Gate {
            places,
            total: AtomicUsize::new(0),
            prefixes: Mutex::default(),
            handshakes: Flood::of_all(0, [0; 32]),
        })
    }

    /// One more handshake of this client begins.
    pub fn handshake(&self, client: IpAddr, now: Instant) -> Result<(), Full> {
        match self.handshakes.admit(prefix(client), now) {
            true => Ok(()),
            false => Err(Full::Handshakes),
        }
    }

    /// Of somebody not known yet.
    pub fn enter(self: &Arc<Self>) -> Result<Place, Full> {
        let place = Place {
            gate: Arc::clone(self),
            prefix: None,
        };
        match self.total.fetch_add(1, Relaxed) < self.places.total {
            true => Ok(place),
            false => Err(Full::Total),
        }
    }

    fn prefixes(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It is this client's.
    pub fn of(&mut self, client: IpAddr) -> Result<(), Full> {
        let prefix = prefix(client);
        let mut prefixes = self.gate.prefixes();
        let count = prefixes.entry(prefix).or_default();
        if *count >= self.gate.places.of_a_prefix {
            return Err(Full::Prefix);
        }
        *count += 1;
        self.prefix = Some(prefix);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Relaxed);
        let Some(prefix) = self.prefix else { return };
        let mut prefixes = self.gate.prefixes();
        if let Some(count) = prefixes.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                prefixes.remove(&prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PLACES: Places = Places {
        total: 100,
        of_a_prefix: 20,
    };

    fn enter(gate: &Arc<Gate>, client: &str) -> Result<Place, Full> {
        let mut place = gate.enter()?;
        place.of(client.parse().unwrap())?;
        Ok(place)
    }

    #[test]
    fn a_prefix_fills_alone_and_gives_its_places_back() {
        let gate = Gate::new(PLACES, 3, [1; 32]);
        let mut places: Vec<_> = (0..PLACES.of_a_prefix)
            .map(|i| enter(&gate, &format!("192.0.2.{}", i % 256)).unwrap())
            .collect();
        assert_eq!(enter(&gate, "192.0.2.9").unwrap_err(), Full::Prefix);
        let _other = enter(&gate, "198.51.100.1").unwrap();
        places.pop();
        let _again = enter(&gate, "192.0.2.9").unwrap();
        drop(places);
        assert_eq!(gate.total.load(Relaxed), 2);
        assert_eq!(gate.prefixes().len(), 2);
    }

    #[test]
    fn there_are_only_so_many_in_all() {
        let gate = Gate::new(PLACES, 3, [1; 32]);
        let places: Vec<_> = (0..PLACES.total).map(|_| gate.enter().unwrap()).collect();
        assert_eq!(gate.enter().unwrap_err(), Full::Total);
        drop(places);
        assert_eq!(gate.total.load(Relaxed), 0);
    }

    #[test]
    fn the_handshakes_of_a_prefix_have_a_rate_and_others_their_own() {
        let gate = Gate::new(PLACES, 3, [1; 32]);
        let now = Instant::now();
        let begun = |client: &str, now: Instant| {
            let client = client.parse().unwrap();
            (0..10)
                .filter(|_| gate.handshake(client, now).is_ok())
                .count()
        };
        assert_eq!(begun("192.0.2.1", now), 3);
        assert_eq!(begun("192.0.2.9", now), 0);
        assert_eq!(begun("198.51.100.1", now), 3);
        assert_eq!(begun("192.0.2.9", now + Duration::from_secs(1)), 3);
    }
}
