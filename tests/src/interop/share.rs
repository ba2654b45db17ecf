//! How many stages of one test binary run at a time: real-time media has the machine to itself, clients that mostly wait share it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// Two cores carry so many clients of a few hundred packets a second without losing one, even beside two busy processes.
const SHARES: u32 = 6;

/// Given back when dropped.
#[derive(Debug)]
pub struct Share(u32);

static FREE: Mutex<u32> = Mutex::new(SHARES);
static GIVEN_BACK: Condvar = Condvar::new();

impl Share {
    /// The whole machine.
    pub fn whole() -> Self {
        Self::take(SHARES)
    }

    /// Beside others.
    pub fn one() -> Self {
        Self::take(1)
    }

    fn take(wanted: u32) -> Self {
        let mut free = lock();
        while *free < wanted {
            free = GIVEN_BACK
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= wanted;
        Self(wanted)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *lock() += self.0;
        GIVEN_BACK.notify_all();
    }
}

fn lock() -> MutexGuard<'static, u32> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `work` with every item, each on a thread of its own; an error if one had one, the first in order.
pub fn side_by_side<T: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<()> + Send + Sync,
) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let started = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)));
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use anyhow::bail;

    use super::*;

    #[test]
    fn shares_are_never_more_than_there_are_and_the_whole_is_alone() {
        let taken = AtomicU32::new(0);
        let highest = AtomicU32::new(0);
        side_by_side((0..40).collect(), |number: u32| {
            let (share, size) = match number % 10 {
                0 => (Share::whole(), SHARES),
                _ => (Share::one(), 1),
            };
            highest.fetch_max(taken.fetch_add(size, SeqCst) + size, SeqCst);
            std::thread::yield_now();
            taken.fetch_sub(size, SeqCst);
            drop(share);
            Ok(())
        })
        .unwrap();
        assert_eq!(highest.into_inner(), SHARES);
    }

    #[test]
    fn one_error_of_many_is_told_after_all_have_ended() {
        let ended = AtomicU32::new(0);
        let result = side_by_side(vec![1, 2, 3], |number| {
            ended.fetch_add(1, SeqCst);
            if number == 2 {
                bail!("the second");
            }
            Ok(())
        });
        assert_eq!(result.unwrap_err().to_string(), "the second");
        assert_eq!(ended.into_inner(), 3);
    }
}
