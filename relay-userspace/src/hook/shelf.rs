//! Names with what is known of them until a time each, so many and no more: what ends first gives way. No clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub struct Shelf<T> {
    by_name: HashMap<Arc<str>, (T, Instant)>,
    by_end: BTreeSet<(Instant, Arc<str>)>,
    most: usize,
}

impl<T> Shelf<T> {
    pub fn new(most: usize) -> Self {
        Self {
            by_name: HashMap::new(),
            by_end: BTreeSet::new(),
            most,
        }
    }

    pub fn get(&self, name: &str, now: Instant) -> Option<&T> {
        let (known, until) = self.by_name.get(name)?;
        (*until > now).then_some(known)
    }

    pub fn put(&mut self, name: Arc<str>, known: T, until: Instant) {
        self.remove(&name);
        while self.by_name.len() >= self.most {
            let Some((_, first)) = self.by_end.pop_first() else {
                break;
            };
            self.by_name.remove(&first);
        }
        self.by_end.insert((until, Arc::clone(&name)));
        self.by_name.insert(name, (known, until));
    }

    pub fn remove(&mut self, name: &Arc<str>) {
        if let Some((_, until)) = self.by_name.remove(name) {
            self.by_end.remove(&(until, Arc::clone(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_ends_first_gives_way_when_there_are_too_many() {
        let (mut shelf, now) = (Shelf::new(3), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        shelf.put("last".into(), 0, after(1000));
        for n in 1..=100 {
            shelf.put(format!("name-{n}").into(), n, after(n));
        }
        assert_eq!((shelf.by_name.len(), shelf.by_end.len()), (3, 3));
        let known = ["last", "name-98", "name-99", "name-100"].map(|name| shelf.get(name, now));
        assert_eq!(known, [Some(&0), None, Some(&99), Some(&100)]);
    }

    #[test]
    fn a_name_is_there_once_and_no_longer_than_it_was_put_for() {
        let (mut shelf, now) = (Shelf::new(3), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        shelf.put("a".into(), 1, after(9));
        shelf.put("a".into(), 2, after(5));
        assert_eq!(shelf.get("a", after(4)), Some(&2));
        assert_eq!(shelf.get("a", after(5)), None);
        assert_eq!((shelf.by_name.len(), shelf.by_end.len()), (1, 1));
        shelf.remove(&"a".into());
        assert!(shelf.by_name.is_empty() && shelf.by_end.is_empty());
    }
}
