//! How many allocations may live, in all and of one user. Knows nothing of what an allocation is.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub struct Quota {
    limit: usize,
    limit_per_user: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_user: HashMap<Arc<str>, usize>,
    by_client: HashMap<IpAddr, usize>,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    User,
    Total,
}

/// One allocation's place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    quota: Arc<Quota>,
    user: Arc<str>,
    client: IpAddr,
}

impl Quota {
    pub fn new(limit: usize, limit_per_user: usize) -> Self {
        Self {
            limit,
            limit_per_user,
            taken: Mutex::default(),
        }
    }

    pub fn total(&self) -> usize {
        self.lock().total
    }

    pub fn admit(self: &Arc<Self>, user: &str, client: IpAddr) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.by_user.get(user).copied().unwrap_or(0) >= self.limit_per_user {
            return Err(Full::User);
        }
        if taken.total >= self.limit {
            return Err(Full::Total);
        }
        let user: Arc<str> = user.into();
        taken.total += 1;
        *taken.by_user.entry(user.clone()).or_default() += 1;
        *taken.by_client.entry(client).or_default() += 1;
        Ok(Place {
            quota: self.clone(),
            user,
            client,
        })
    }

    /// Whether an allocation was made from there that lives.
    pub fn is_client(&self, address: IpAddr) -> bool {
        self.lock().by_client.contains_key(&address)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Its client is there now.
    pub fn follow(&mut self, client: IpAddr) {
        let mut taken = self.quota.lock();
        give_back(&mut taken.by_client, &self.client);
        *taken.by_client.entry(client).or_default() += 1;
        self.client = client;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.quota.lock();
        taken.total -= 1;
        give_back(&mut taken.by_user, &self.user);
        give_back(&mut taken.by_client, &self.client);
    }
}

fn give_back<K: Borrow<Q> + Hash + Eq, Q: Hash + Eq + ?Sized>(
    counts: &mut HashMap<K, usize>,
    key: &Q,
) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_place_is_given_back_when_dropped() {
        let quota = Arc::new(Quota::new(2, 1));
        let alice = quota.admit("alice", HOME).unwrap();
        assert_eq!(quota.admit("alice", HOME).unwrap_err(), Full::User);
        let bob = quota.admit("bob", HOME).unwrap();
        assert_eq!(quota.admit("carol", HOME).unwrap_err(), Full::Total);
        drop(alice);
        assert_eq!(quota.total(), 1);
        assert!(!quota.lock().by_user.contains_key("alice"));
        assert!(quota.is_client(HOME));
        quota.admit("carol", HOME).unwrap();
        drop(bob);
        assert!(!quota.is_client(HOME));
    }
}
