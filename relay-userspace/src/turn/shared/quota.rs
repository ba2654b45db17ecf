//! How many allocations may live, in all and of one user. Knows nothing of what an allocation is.

use std::collections::HashMap;
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

    pub fn admit(self: &Arc<Self>, user: &str) -> Result<Place, Full> {
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
        Ok(Place {
            quota: self.clone(),
            user,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.quota.lock();
        taken.total -= 1;
        if let Some(count) = taken.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_dropped() {
        let quota = Arc::new(Quota::new(2, 1));
        let alice = quota.admit("alice").unwrap();
        assert_eq!(quota.admit("alice").unwrap_err(), Full::User);
        let _bob = quota.admit("bob").unwrap();
        assert_eq!(quota.admit("carol").unwrap_err(), Full::Total);
        drop(alice);
        assert_eq!(quota.total(), 1);
        assert!(!quota.lock().by_user.contains_key("alice"));
        quota.admit("carol").unwrap();
    }
}
