//! The origins of one route: which of them is asked next, and which are left alone. Sends nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use super::fault::Fault;

/// An origin that could not be reached is asked again no earlier, while there is another.
const PAUSE: Duration = Duration::from_secs(2);
/// Failed health checks in a row that end its being asked.
const FAILURES: usize = 2;

#[derive(Debug)]
pub struct Origin {
    pub uri: Uri,
    /// For logs and metrics.
    pub name: Arc<str>,
    failures: AtomicUsize,
    unhealthy: AtomicBool,
    /// Milliseconds of the route's own clock.
    paused_until: AtomicU64,
}

#[derive(Debug)]
pub struct Origins {
    all: Vec<Origin>,
    next: AtomicUsize,
    epoch: Instant,
}

impl Origin {
    fn new(uri: Uri) -> Origin {
        let name = uri.to_string();
        Origin {
            name: name.trim_end_matches('/').into(),
            uri,
            failures: AtomicUsize::new(0),
            unhealthy: AtomicBool::new(false),
            paused_until: AtomicU64::new(0),
        }
    }

    /// The same path there.
    pub fn with_path(&self, path: Option<&PathAndQuery>) -> Uri {
        let mut parts = self.uri.clone().into_parts();
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(path.cloned().unwrap_or_else(root));
        // A scheme, an authority and a path make a URI.
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Relaxed)
    }

    /// Takes what a health check found; true if that is news.
    pub fn checked(&self, good: bool) -> bool {
        let failures = match good {
            true => 0,
            false => self.failures.load(Relaxed) + 1,
        };
        self.failures.store(failures, Relaxed);
        let unhealthy = !good && (failures >= FAILURES || !self.is_healthy());
        self.unhealthy.swap(unhealthy, Relaxed) != unhealthy
    }
}

impl Origins {
    pub fn new(uris: &[Uri]) -> Origins {
        Origins {
            all: uris.iter().cloned().map(Origin::new).collect(),
            next: AtomicUsize::new(0),
            epoch: Instant::now(),
        }
    }

    pub fn all(&self) -> &[Origin] {
        &self.all
    }

    /// In turn, those that could not be reached lately last. `tried`: not again.
    pub fn pick(&self, tried: &[usize]) -> Result<(usize, &Origin), Fault> {
        let first = self.next.fetch_add(1, Relaxed);
        let now = self.now();
        let in_turn = (0..self.all.len()).map(|i| (first.wrapping_add(i)) % self.all.len());
        let candidates = || {
            let all = in_turn.clone().map(|index| (index, &self.all[index]));
            all.filter(|(index, one)| one.is_healthy() && !tried.contains(index))
        };
        let rested = |(_, one): &(usize, &Origin)| one.paused_until.load(Relaxed) <= now;
        let found = candidates().find(rested).or_else(|| candidates().next());
        found.ok_or(Fault::NoneHealthy)
    }

    /// It could not be reached.
    pub fn pause(&self, index: usize) {
        let until = self.now() + PAUSE.as_millis() as u64;
        self.all[index].paused_until.store(until, Relaxed);
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(count: usize) -> Origins {
        let uri = |port| format!("http://127.0.0.1:{port}/").parse().unwrap();
        Origins::new(&(1..=count).map(uri).collect::<Vec<_>>())
    }

    fn picked(origins: &Origins, times: usize) -> Vec<usize> {
        let mut all: Vec<_> = (0..times).map(|_| origins.pick(&[]).unwrap().0).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn origins_take_turns_and_one_that_was_tried_is_not_asked_again() {
        let origins = origins(3);
        assert_eq!(picked(&origins, 6), [0, 0, 1, 1, 2, 2]);
        assert_eq!(origins.pick(&[0, 2]).unwrap().0, 1);
        assert_eq!(origins.pick(&[0, 1, 2]).unwrap_err(), Fault::NoneHealthy);
    }

    #[test]
    fn one_that_could_not_be_reached_is_the_last_choice_and_still_one() {
        let origins = origins(2);
        origins.pause(0);
        assert_eq!(picked(&origins, 4), [1; 4]);
        origins.pause(1);
        assert_eq!(picked(&origins, 4), [0, 0, 1, 1]);
    }

    #[test]
    fn two_failed_checks_end_it_and_one_good_one_brings_it_back() {
        let origins = origins(1);
        let one = &origins.all()[0];
        assert!(!one.checked(false) && one.is_healthy());
        assert!(!one.checked(true));
        assert!(!one.checked(false) && one.checked(false));
        assert_eq!(origins.pick(&[]).unwrap_err(), Fault::NoneHealthy);
        assert!(!one.checked(false));
        assert!(one.checked(true) && origins.pick(&[]).is_ok());
    }

    #[test]
    fn the_path_is_the_clients_and_the_rest_the_origins() {
        let origins = origins(1);
        let path = "//evil.example/x?y".parse().unwrap();
        let uri = origins.all()[0].with_path(Some(&path));
        assert_eq!(uri.authority().unwrap().as_str(), "127.0.0.1:1");
        assert_eq!(uri.path(), "//evil.example/x");
    }
}
