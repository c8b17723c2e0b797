//! A queue that is filled by a burst, emptied, and filled again: its memory is there only while it holds something.
//! Knows nothing of what waits.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// Room that is kept while it is empty.
const KEPT: usize = 4;
/// Room that is made at once for as many as there were the last time, at the most.
const MOST_AT_ONCE: usize = 128;

/// A queue that gives its memory back whenever it is empty. It takes at once what the last burst needed, and does not
/// grow by doubling each time.
#[derive(Clone, Debug)]
pub struct Burst<T> {
    items: VecDeque<T>,
    /// The most there were since it was empty.
    most: usize,
}

impl<T> Default for Burst<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            most: 0,
        }
    }
}

impl<T> Burst<T> {
    /// Appends an item.
    #[inline]
    pub fn push(&mut self, item: T) {
        if self.items.is_empty() {
            self.items.reserve(self.most.min(MOST_AT_ONCE));
            self.most = 0;
        }
        self.items.push_back(item);
        self.most = self.most.max(self.items.len());
    }

    /// Gives back its memory, if it is empty.
    #[inline]
    pub fn shrink(&mut self) {
        if self.items.is_empty() && self.items.capacity() > KEPT {
            self.items = VecDeque::new();
        }
    }
}

impl<T> Deref for Burst<T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        &self.items
    }
}

impl<T> DerefMut for Burst<T> {
    fn deref_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_memory_between_bursts_and_takes_what_the_last_one_needed() {
        let mut burst = Burst::default();
        let fill = |burst: &mut Burst<u64>, count| {
            (0..count).for_each(|item| burst.push(item));
            let first = burst.capacity();
            while burst.pop_front().is_some() {}
            burst.shrink();
            assert!(burst.capacity() <= KEPT);
            first
        };
        assert!(fill(&mut burst, 100) >= 100);
        burst.push(7);
        assert!((100..256).contains(&burst.capacity()), "room for another hundred");
        assert_eq!(burst.pop_front(), Some(7));
        burst.shrink();
        assert!(fill(&mut burst, 1) <= KEPT, "the last burst was one");
        fill(&mut burst, 10_000);
        burst.push(7);
        assert!(burst.capacity() < 2 * MOST_AT_ONCE);
    }
}
