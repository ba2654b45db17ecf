//! Which entries of a table are free, in the order in which they became so. Any one of them can be taken at once.

const TAKEN: [u32; 2] = [u32::MAX; 2];
const PREVIOUS: usize = 0;
const NEXT: usize = 1;

/// A ring through all free entries; the last link is not an entry but the ring's beginning and end.
pub struct FreeList {
    links: Vec<[u32; 2]>,
    free: usize,
}

impl FreeList {
    /// All of `count` are free, the first for longest.
    pub fn all_of(count: u32) -> Self {
        let ends = count + 1;
        let link = |at: u32| [(at + ends - 1) % ends, (at + 1) % ends];
        Self {
            links: (0..ends).map(link).collect(),
            free: count as usize,
        }
    }

    /// None of `count` is.
    pub fn none_of(count: u32) -> Self {
        let mut links = vec![TAKEN; count as usize];
        links.push([count; 2]);
        Self { links, free: 0 }
    }

    /// How many are free.
    pub fn len(&self) -> usize {
        self.free
    }

    /// The one that has been free for longest.
    pub fn first(&self) -> Option<u32> {
        let first = self.links[self.end()][NEXT];
        (self.free > 0).then_some(first)
    }

    /// Takes that one.
    pub fn take_first(&mut self) -> Option<u32> {
        let first = self.first()?;
        self.take(first).then_some(first)
    }

    /// The one that became free last.
    pub fn take_last(&mut self) -> Option<u32> {
        let last = self.links[self.end()][PREVIOUS];
        self.take(last).then_some(last)
    }

    /// This one, if it is free.
    pub fn take(&mut self, entry: u32) -> bool {
        let at = entry as usize;
        if at >= self.end() || self.links[at] == TAKEN {
            return false;
        }
        let [previous, next] = std::mem::replace(&mut self.links[at], TAKEN);
        self.links[previous as usize][NEXT] = next;
        self.links[next as usize][PREVIOUS] = previous;
        self.free -= 1;
        true
    }

    /// The first of these that is free.
    pub fn take_any(&mut self, mut entries: impl Iterator<Item = u32>) -> Option<u32> {
        entries.find(|entry| self.take(*entry))
    }

    /// Frees `entry`; nothing if it is free.
    pub fn give_back(&mut self, entry: u32) {
        let (at, end) = (entry as usize, self.end());
        if at >= end || self.links[at] != TAKEN {
            return;
        }
        let last = self.links[end][PREVIOUS];
        self.links[at] = [last, end as u32];
        self.links[last as usize][NEXT] = entry;
        self.links[end][PREVIOUS] = entry;
        self.free += 1;
    }

    fn end(&self) -> usize {
        self.links.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_in_the_order_they_were_freed(
            full in any::<bool>(),
            steps in prop::collection::vec((0u8..5, 0u32..6), 0..60),
        ) {
            let mut list = if full { FreeList::all_of(5) } else { FreeList::none_of(5) };
            let mut model: VecDeque<u32> = (0..5).filter(|_| full).collect();
            for (step, entry) in steps {
                match step {
                    0 => prop_assert_eq!(list.take_first(), model.pop_front()),
                    1 => prop_assert_eq!(list.take_last(), model.pop_back()),
                    2 => {
                        let was_free = model.contains(&entry);
                        model.retain(|free| *free != entry);
                        prop_assert_eq!(list.take(entry), was_free);
                    }
                    3 => {
                        let wanted = [entry, entry + 1, 0];
                        let free = wanted.into_iter().find(|entry| model.contains(entry));
                        model.retain(|left| Some(*left) != free);
                        prop_assert_eq!(list.take_any(wanted.into_iter()), free);
                    }
                    _ => {
                        list.give_back(entry);
                        if entry < 5 && !model.contains(&entry) {
                            model.push_back(entry);
                        }
                    }
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.first(), model.front().copied());
            }
        }
    }
}
