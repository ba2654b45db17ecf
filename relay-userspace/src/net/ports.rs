//! The process-wide pool of relay ports: which are ours, which are kept for a reservation token.
//! Asked when an allocation or a forward session begins and ends, never per packet.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::entropy::Entropy;
use super::socket::bind_alone;
use crate::turn::ReservationToken;

/// How long the second port of EVEN-PORT waits for its owner (RFC 8656 §7.2 recommends at least 30 s).
pub const RESERVATION: Duration = Duration::from_secs(30);

/// Why no port was bound.
#[derive(Debug, thiserror::Error)]
pub enum PortFault {
    #[error("no free relay port on {address} in {first}-{last}")]
    Exhausted {
        address: IpAddr,
        first: u16,
        last: u16,
    },
    #[error("bind a relay port on {address}: {source}")]
    Bind { address: IpAddr, source: io::Error },
    #[error("the reservation token is unknown or has expired")]
    UnknownToken,
}

/// A port this process holds. Dropping it gives the port back; close the socket first.
#[derive(Debug)]
pub struct Lease {
    address: SocketAddr,
    pool: Arc<PortPool>,
}

impl Lease {
    /// It listens for TCP from now on, and UDP of it is anybody's.
    pub fn is_of_streams(&self) {
        self.pool.lock().streams.insert(self.address);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.lock().give_back(self.address);
    }
}

/// A bound port. Fields in the order they must be dropped.
#[derive(Debug)]
pub struct Bound {
    pub socket: UdpSocket,
    pub address: SocketAddr,
    pub lease: Lease,
}

#[derive(Debug)]
pub struct PortPool {
    ports: RangeInclusive<u16>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One bit a port, per address.
    held: HashMap<IpAddr, Vec<u64>>,
    reserved: HashMap<ReservationToken, (Bound, Instant)>,
    /// Of sessions of an earlier process that are still to be restored.
    inherited: HashSet<SocketAddr>,
    /// Held for TCP, not for UDP.
    streams: HashSet<SocketAddr>,
    entropy: Entropy,
}

impl PortPool {
    pub fn new(ports: RangeInclusive<u16>) -> Arc<PortPool> {
        Arc::new(PortPool {
            ports,
            state: Mutex::default(),
        })
    }

    /// Any port, chosen unpredictably.
    pub fn bind(self: &Arc<Self>, address: IpAddr) -> Result<Bound, PortFault> {
        self.search(address, 1, |port| self.try_bind(address, port))
    }

    /// An even port.
    pub fn bind_even(self: &Arc<Self>, address: IpAddr) -> Result<Bound, PortFault> {
        self.search(address, 2, |port| self.try_bind(address, port))
    }

    /// An even port; the next one is kept under `token` for 30 s.
    pub fn bind_pair(
        self: &Arc<Self>,
        address: IpAddr,
        token: ReservationToken,
        now: Instant,
    ) -> Result<Bound, PortFault> {
        let (even, odd) = self.search(address, 2, |port| {
            let odd = port.checked_add(1).filter(|odd| self.ports.contains(odd));
            let Some(odd) = odd else { return Ok(None) };
            let Some(even) = self.try_bind(address, port)? else {
                return Ok(None);
            };
            Ok(self.try_bind(address, odd)?.map(|odd| (even, odd)))
        })?;
        self.lock().reserved.insert(token, (odd, now + RESERVATION));
        Ok(even)
    }

    /// This very address. `None`: somebody has it.
    pub fn bind_exactly(self: &Arc<Self>, address: SocketAddr) -> Result<Option<Bound>, PortFault> {
        self.lock().inherited.remove(&address);
        self.try_bind(address.ip(), address.port())
    }

    /// From now on only [`Self::bind_exactly`] binds these: else a new session could get the port of one that is about
    /// to be restored.
    pub fn keep_for_heirs(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.lock().inherited.extend(addresses);
    }

    /// Nobody comes for the rest any more.
    pub fn heirs_are_done(&self) {
        self.lock().inherited.clear();
    }

    /// The port kept under `token`, once.
    pub fn take_reserved(&self, token: ReservationToken, now: Instant) -> Result<Bound, PortFault> {
        self.expire(now);
        let taken = self.lock().reserved.remove(&token);
        taken.map(|(bound, _)| bound).ok_or(PortFault::UnknownToken)
    }

    /// Gives back the port kept under this token, if it still is.
    pub fn cancel_reservation(&self, token: ReservationToken) {
        let cancelled = self.lock().reserved.remove(&token);
        drop(cancelled); // outside the lock: dropping a lease takes it
    }

    /// Gives back the ports nobody came for.
    pub fn expire(&self, now: Instant) {
        let expired: Vec<_> = self
            .lock()
            .reserved
            .extract_if(|_, (_, until)| *until <= now)
            .collect();
        drop(expired); // outside the lock: dropping a lease takes it
    }

    /// Whether this very address is one of ours now, for UDP.
    pub fn holds(&self, address: SocketAddr) -> bool {
        let state = self.lock();
        state.holds(address) && !state.streams.contains(&address)
    }

    /// The same for TCP.
    pub fn holds_stream(&self, address: SocketAddr) -> bool {
        self.lock().streams.contains(&address)
    }

    /// Ports held, those under a token included.
    pub fn in_use(&self) -> u64 {
        self.lock()
            .held
            .values()
            .flatten()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    pub fn size(&self) -> u64 {
        self.ports.len() as u64
    }

    pub fn range(&self) -> RangeInclusive<u16> {
        self.ports.clone()
    }

    fn search<T>(
        &self,
        address: IpAddr,
        step: usize,
        attempt: impl Fn(u16) -> Result<Option<T>, PortFault>,
    ) -> Result<T, PortFault> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        let exhausted = PortFault::Exhausted {
            address,
            first,
            last,
        };
        let aligned = first.checked_add(if step == 2 { first % 2 } else { 0 });
        let candidates = aligned.map_or(0, |aligned| (aligned..=last).step_by(step).len());
        let Some(aligned) = aligned.filter(|_| candidates > 0) else {
            return Err(exhausted);
        };
        let port = |index: usize| aligned + (index % candidates * step) as u16;
        // Random tries keep ports unpredictable; then every port once, so that a nearly full pool still serves.
        for _ in 0..16 {
            if let Some(found) = attempt(port(self.random(address)?))? {
                return Ok(found);
            }
        }
        let start = self.random(address)? % candidates;
        for index in 0..candidates {
            if let Some(found) = attempt(port(start + index))? {
                return Ok(found);
            }
        }
        Err(exhausted)
    }

    /// `None`: somebody has it, we or another program.
    fn try_bind(self: &Arc<Self>, address: IpAddr, port: u16) -> Result<Option<Bound>, PortFault> {
        let address = SocketAddr::new(address, port);
        if !self.lock().take(address) {
            return Ok(None);
        }
        let lease = Lease {
            address,
            pool: Arc::clone(self),
        };
        match bind_alone(address) {
            Ok(socket) => Ok(Some(Bound {
                socket,
                address,
                lease,
            })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(source) => Err(PortFault::Bind {
                address: address.ip(),
                source,
            }),
        }
    }

    fn random(&self, address: IpAddr) -> Result<usize, PortFault> {
        let number = self.lock().entropy.number();
        let number = number.map_err(|source| PortFault::Bind { address, source })?;
        Ok(number as usize)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, address: SocketAddr) -> bool {
        if self.inherited.contains(&address) {
            return false;
        }
        let bits = self
            .held
            .entry(address.ip())
            .or_insert_with(|| vec![0; 1024]);
        let (word, bit) = (usize::from(address.port() / 64), 1 << (address.port() % 64));
        let free = bits[word] & bit == 0;
        bits[word] |= bit;
        free
    }

    fn holds(&self, address: SocketAddr) -> bool {
        let bits = self.held.get(&address.ip());
        bits.is_some_and(|bits| {
            bits[usize::from(address.port() / 64)] & 1 << (address.port() % 64) != 0
        })
    }

    fn give_back(&mut self, address: SocketAddr) {
        self.streams.remove(&address);
        if let Some(bits) = self.held.get_mut(&address.ip()) {
            bits[usize::from(address.port() / 64)] &= !(1 << (address.port() % 64));
        }
    }
}

#[cfg(test)]
mod tests;
