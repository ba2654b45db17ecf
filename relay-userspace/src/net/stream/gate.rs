//! How many connections may be there that have no allocation yet: in all, and of one source prefix. Counts, never waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::turn::prefix;

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
}

/// One for all workers.
#[derive(Debug)]
pub struct Gate {
    places: Places,
    total: AtomicUsize,
    prefixes: Mutex<HashMap<u64, u32>>,
}

/// Given back when dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    prefix: Option<u64>,
}

impl Gate {
    pub fn new(places: Places) -> Arc<Gate> {
        Arc::new(Gate {
            places,
            total: AtomicUsize::new(0),
            prefixes: Mutex::default(),
        })
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
        let gate = Gate::new(PLACES);
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
        let gate = Gate::new(PLACES);
        let places: Vec<_> = (0..PLACES.total).map(|_| gate.enter().unwrap()).collect();
        assert_eq!(gate.enter().unwrap_err(), Full::Total);
        drop(places);
        assert_eq!(gate.total.load(Relaxed), 0);
    }
}
