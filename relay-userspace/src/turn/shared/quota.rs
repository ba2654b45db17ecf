//! How many allocations, channels and permissions there may be: in all, of a group of shared secrets and of one user.
//! Knows nothing of what they are.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use crate::config::{Auth, Caps, Limits};

#[derive(Debug)]
pub struct Quota {
    taken: Mutex<Taken>,
}

/// What there may be.
#[derive(Debug, Clone, Default)]
pub struct Ceilings {
    pub total: Caps,
    pub user: Caps,
    pub groups: HashMap<String, Caps>,
}

/// What there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    pub allocations: usize,
    pub channels: usize,
    pub permissions: usize,
}

#[derive(Debug, Default)]
struct Taken {
    ceilings: Ceilings,
    total: Held,
    by_group: HashMap<Arc<str>, Held, RandomState>,
    by_user: HashMap<Arc<str>, Held, RandomState>,
    by_client: HashMap<IpAddr, usize, RandomState>,
    /// Of users that hold something and have caps of their own.
    own: HashMap<Arc<str>, Caps, RandomState>,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    User,
    Group,
    Total,
}

/// What one allocation takes; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    quota: Arc<Quota>,
    user: Arc<str>,
    group: Option<Arc<str>>,
    client: IpAddr,
    held: Held,
}

impl Ceilings {
    pub fn new(limits: &Limits, auth: &Auth) -> Self {
        let caps = |allocations, channels, permissions| Caps {
            allocations: Some(allocations),
            channels,
            permissions,
        };
        let Limits {
            allocations_per_user: of_user,
            channels_per_user,
            permissions_per_user,
            ..
        } = *limits;
        let groups = auth.shared.iter();
        Self {
            total: caps(limits.allocations, limits.channels, limits.permissions),
            user: caps(of_user, channels_per_user, permissions_per_user),
            groups: groups.map(|one| (one.id.clone(), one.caps)).collect(),
        }
    }
}

impl Quota {
    pub fn new(ceilings: Ceilings) -> Self {
        let taken = Taken {
            ceilings,
            ..Taken::default()
        };
        Self {
            taken: Mutex::new(taken),
        }
    }

    /// For what comes; what is there stays.
    pub fn set(&self, ceilings: Ceilings) {
        self.lock().ceilings = ceilings;
    }

    pub fn total(&self) -> usize {
        self.lock().total.allocations
    }

    /// Users with allocations.
    pub fn users(&self) -> Vec<(String, Held)> {
        let taken = self.lock();
        let users = taken.by_user.iter();
        users
            .map(|(name, held)| (name.to_string(), *held))
            .collect()
    }

    pub fn admit(
        self: &Arc<Self>,
        user: &str,
        group: Option<&Arc<str>>,
        client: IpAddr,
        own: Option<Caps>,
    ) -> Result<Place, Full> {
        let mut place = Place {
            quota: Arc::clone(self),
            user: user.into(),
            group: group.cloned(),
            client,
            held: Held::default(),
        };
        let first = Held {
            allocations: 1,
            ..Held::default()
        };
        let mut taken = self.lock();
        if let Some(own) = own {
            taken.own.insert(Arc::clone(&place.user), own);
        }
        let grown = taken.grow(&place, first);
        taken.forget_own(&place.user);
        grown?;
        *taken.by_client.entry(client).or_default() += 1;
        place.held = first;
        drop(taken);
        Ok(place)
    }

    /// Whether an allocation was made from there that lives.
    pub fn is_client(&self, address: IpAddr) -> bool {
        self.lock().by_client.contains_key(&address)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// All of it, or nothing.
    fn grow(&mut self, place: &Place, by: Held) -> Result<(), Full> {
        let Ceilings {
            total,
            user,
            groups,
        } = &self.ceilings;
        let of_user = self.by_user.get(&place.user).copied().unwrap_or_default();
        let own = self.own.get(&place.user).copied().unwrap_or_default();
        if !of_user.has_room(by, own.or(*user)) {
            return Err(Full::User);
        }
        if let Some(group) = &place.group
            && let Some(caps) = groups.get(&**group)
        {
            let of_group = self.by_group.get(group).copied().unwrap_or_default();
            if !of_group.has_room(by, *caps) {
                return Err(Full::Group);
            }
        }
        if !self.total.has_room(by, *total) {
            return Err(Full::Total);
        }
        self.change(place, |held| held.add(by));
        Ok(())
    }

    fn change(&mut self, place: &Place, change: impl Fn(&mut Held)) {
        change(&mut self.total);
        change_one(&mut self.by_user, &place.user, &change);
        if let Some(group) = &place.group {
            change_one(&mut self.by_group, group, &change);
        }
        self.forget_own(&place.user);
    }

    fn forget_own(&mut self, user: &Arc<str>) {
        if !self.by_user.contains_key(user) {
            self.own.remove(user);
        }
    }
}

/// Who holds nothing is forgotten.
fn change_one(
    all: &mut HashMap<Arc<str>, Held, RandomState>,
    key: &Arc<str>,
    change: impl Fn(&mut Held),
) {
    let held = all.entry(Arc::clone(key)).or_default();
    change(held);
    if *held == Held::default() {
        all.remove(key);
    }
}

impl Held {
    fn has_room(self, by: Held, caps: Caps) -> bool {
        let fits = |has: usize, more: usize, most: Option<usize>| {
            more == 0 || most.is_none_or(|most| has + more <= most)
        };
        fits(self.allocations, by.allocations, caps.allocations)
            && fits(self.channels, by.channels, caps.channels)
            && fits(self.permissions, by.permissions, caps.permissions)
    }

    fn add(&mut self, by: Held) {
        self.allocations += by.allocations;
        self.channels += by.channels;
        self.permissions += by.permissions;
    }

    fn take(&mut self, by: Held) {
        self.allocations -= by.allocations;
        self.channels -= by.channels;
        self.permissions -= by.permissions;
    }
}

impl Place {
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The allocation is about to have so many more channels and permissions.
    pub fn grow(&mut self, channels: usize, permissions: usize) -> Result<(), Full> {
        let by = Held {
            allocations: 0,
            channels,
            permissions,
        };
        self.quota.lock().grow(self, by)?;
        self.held.add(by);
        Ok(())
    }

    /// The allocation has so many now, not more than before.
    pub fn settle(&mut self, channels: usize, permissions: usize) {
        let by = Held {
            allocations: 0,
            channels: self.held.channels.saturating_sub(channels),
            permissions: self.held.permissions.saturating_sub(permissions),
        };
        if by != Held::default() {
            self.quota.lock().change(self, |held| held.take(by));
            self.held.take(by);
        }
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
        // One that was refused has nothing.
        if self.held.allocations == 0 {
            return;
        }
        let mut taken = self.quota.lock();
        taken.change(self, |held| held.take(self.held));
        give_back(&mut taken.by_client, &self.client);
    }
}

fn give_back<K: Borrow<Q> + Hash + Eq, Q: Hash + Eq + ?Sized>(
    counts: &mut HashMap<K, usize, RandomState>,
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

    fn allocations(most: usize) -> Caps {
        Caps {
            allocations: Some(most),
            ..Caps::default()
        }
    }

    #[test]
    fn a_place_is_given_back_when_dropped() {
        let quota = Arc::new(Quota::new(Ceilings {
            total: allocations(2),
            user: allocations(1),
            ..Ceilings::default()
        }));
        let alice = quota.admit("alice", None, HOME, None).unwrap();
        assert_eq!(
            quota.admit("alice", None, HOME, None).unwrap_err(),
            Full::User
        );
        let bob = quota.admit("bob", None, HOME, None).unwrap();
        assert_eq!(
            quota.admit("carol", None, HOME, None).unwrap_err(),
            Full::Total
        );
        drop(alice);
        assert_eq!(quota.total(), 1);
        assert!(!quota.lock().by_user.contains_key("alice"));
        assert!(quota.is_client(HOME));
        quota.admit("carol", None, HOME, None).unwrap();
        drop(bob);
        assert!(!quota.is_client(HOME));
    }

    #[test]
    fn users_of_a_group_share_what_it_may_have_and_others_do_not() {
        let group: Arc<str> = "web".into();
        let channels = |most| Caps {
            channels: Some(most),
            ..Caps::default()
        };
        let quota = Arc::new(Quota::new(Ceilings {
            total: channels(4),
            groups: [("web".to_owned(), channels(3))].into(),
            ..Ceilings::default()
        }));
        let mut ann = quota.admit("ann", Some(&group), HOME, None).unwrap();
        let mut ben = quota.admit("ben", Some(&group), HOME, None).unwrap();
        let mut cid = quota.admit("cid", None, HOME, None).unwrap();
        assert_eq!(ann.grow(2, 9), Ok(()));
        assert_eq!(ben.grow(2, 0), Err(Full::Group));
        assert_eq!(ben.grow(1, 0), Ok(()));
        assert_eq!(cid.grow(2, 0), Err(Full::Total));
        ann.settle(0, 9);
        assert_eq!(cid.grow(2, 0), Ok(()));
        drop((ann, ben, cid));
        assert_eq!(quota.lock().total, Held::default());
        assert!(quota.lock().by_group.is_empty());
    }
}
