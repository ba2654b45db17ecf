//! Where this relay listens itself: some addresses from start to end, others while a forward exists. Judges nothing.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Debug, Default)]
pub(super) struct Listeners {
    all: Arc<RwLock<Vec<SocketAddr>>>,
}

/// Nothing reaches this listener until it is dropped.
#[derive(Debug)]
pub struct Shielded {
    address: SocketAddr,
    all: Arc<RwLock<Vec<SocketAddr>>>,
}

impl Listeners {
    pub fn extend(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        write(&self.all).extend(addresses);
    }

    pub fn shield(&self, address: SocketAddr) -> Shielded {
        self.extend([address]);
        Shielded {
            address,
            all: Arc::clone(&self.all),
        }
    }

    pub fn find(&self, wanted: impl Fn(&SocketAddr) -> bool) -> Option<SocketAddr> {
        read(&self.all).iter().copied().find(|one| wanted(one))
    }
}

impl Drop for Shielded {
    fn drop(&mut self) {
        let mut all = write(&self.all);
        if let Some(at) = all.iter().rposition(|one| *one == self.address) {
            all.remove(at);
        }
    }
}

fn read(all: &RwLock<Vec<SocketAddr>>) -> RwLockReadGuard<'_, Vec<SocketAddr>> {
    all.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(all: &RwLock<Vec<SocketAddr>>) -> RwLockWriteGuard<'_, Vec<SocketAddr>> {
    all.write().unwrap_or_else(PoisonError::into_inner)
}
