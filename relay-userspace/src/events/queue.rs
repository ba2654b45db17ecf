//! What waits for one listener: so much and no more. What does not fit is counted, and told in its place.

use std::collections::VecDeque;

#[derive(Debug, PartialEq, Eq)]
pub enum Item<T> {
    Is(T),
    Lost(u64),
}

#[derive(Debug)]
pub struct Queue<T> {
    waiting: VecDeque<Item<T>>,
    room: usize,
    /// Behind all that waits.
    lost: u64,
}

impl<T> Queue<T> {
    pub fn new(room: usize) -> Queue<T> {
        Queue {
            waiting: VecDeque::new(),
            room,
            lost: 0,
        }
    }

    /// False: it did not fit.
    pub fn push(&mut self, one: T) -> bool {
        // One place is for the word that something is missing.
        let needed = if self.lost > 0 { 2 } else { 1 };
        if self.waiting.len() + needed > self.room {
            self.lost += 1;
            return false;
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.waiting.push_back(Item::Lost(lost));
        }
        self.waiting.push_back(Item::Is(one));
        true
    }

    /// Told on, behind all that waits: lost elsewhere.
    pub fn lose(&mut self, count: u64) {
        self.lost += count;
    }

    pub fn pop(&mut self) -> Option<Item<T>> {
        let waiting = self.waiting.pop_front();
        waiting.or_else(|| match std::mem::take(&mut self.lost) {
            0 => None,
            lost => Some(Item::Lost(lost)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue<u32>) -> Vec<Item<u32>> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn what_fits_comes_out_in_order() {
        let mut queue = Queue::new(3);
        assert!((1..=3).all(|one| queue.push(one)));
        assert_eq!(drain(&mut queue), [1, 2, 3].map(Item::Is));
    }

    #[test]
    fn what_did_not_fit_is_told_where_it_is_missing() {
        let mut queue = Queue::new(3);
        for one in 1..=7 {
            assert_eq!(queue.push(one), one <= 3);
        }
        assert_eq!(queue.pop(), Some(Item::Is(1)));
        assert!(!queue.push(8), "one place does not hold the word and it");
        assert_eq!(queue.pop(), Some(Item::Is(2)));
        assert!(queue.push(9));
        let rest = [Item::Is(3), Item::Lost(5), Item::Is(9)];
        assert_eq!(drain(&mut queue), rest);
    }

    #[test]
    fn losses_are_told_even_when_nothing_follows() {
        let mut queue = Queue::new(1);
        assert!(queue.push(1) && !queue.push(2) && !queue.push(3));
        assert_eq!(drain(&mut queue), [Item::Is(1), Item::Lost(2)]);
        assert_eq!(queue.pop(), None);
    }
}
