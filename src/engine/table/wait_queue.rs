//! The waiters of one job, in the order in which they came. Finds and removes one in a few steps, however many there
//! are: thousands of clients may wait for one job, and each may be reported to and leave. Knows no job.

use super::waiters::Waiter;
use crate::engine::message::Priority;

/// Removed waiters that are kept beside as many that wait, at least.
const SPARE: usize = 8;

/// Waiters of a job.
#[derive(Default)]
pub(super) struct WaitQueue {
    /// Each with its place, ascending; `None`: it was removed.
    places: Vec<(u64, Option<Waiter>)>,
    next: u64,
    /// Where the first one is that was not removed.
    first: usize,
    count: usize,
    /// How many there are of each priority.
    priorities: [usize; Priority::ALL.len()],
    /// How many of them are submitted jobs.
    submitted: usize,
}

impl WaitQueue {
    /// Adds a waiter; returns its place, by which it is found.
    pub(super) fn push(&mut self, waiter: Waiter) -> u64 {
        let place = self.next;
        self.next += 1;
        self.count += 1;
        self.priorities[waiter.priority() as usize] += 1;
        self.submitted += usize::from(waiter.is_submitted());
        if self.places.capacity() == 0 {
            // Most jobs have one.
            self.places.reserve_exact(1);
        }
        self.places.push((place, Some(waiter)));
        place
    }

    fn index(&self, place: u64) -> Option<usize> {
        self.places.binary_search_by_key(&place, |(place, _)| *place).ok()
    }

    pub(super) fn get(&self, place: u64) -> Option<&Waiter> {
        self.places[self.index(place)?].1.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: u64) -> Option<&mut Waiter> {
        let index = self.index(place)?;
        self.places[index].1.as_mut()
    }

    pub(super) fn remove(&mut self, place: u64) -> Option<Waiter> {
        let index = self.index(place)?;
        let waiter = self.places[index].1.take()?;
        self.count -= 1;
        self.priorities[waiter.priority() as usize] -= 1;
        self.submitted -= usize::from(waiter.is_submitted());
        if self.places.len() > 2 * self.count + SPARE {
            self.places.retain(|(_, waiter)| waiter.is_some());
            self.first = 0;
        }
        while matches!(self.places.get(self.first), Some((_, None))) {
            self.first += 1;
        }
        Some(waiter)
    }

    /// The one that has waited longest.
    pub(super) fn first(&self) -> Option<&Waiter> {
        self.places.get(self.first)?.1.as_ref()
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Waiter> {
        self.places.get_mut(self.first)?.1.as_mut()
    }

    /// The highest priority of those that wait.
    pub(super) fn priority(&self) -> Option<Priority> {
        let mut highest_first = Priority::ALL.into_iter().rev();
        highest_first.find(|priority| self.priorities[*priority as usize] > 0)
    }

    /// Whether a submitted job is among those that wait.
    pub(super) const fn has_submitted(&self) -> bool {
        self.submitted > 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.places[self.first..]
            .iter()
            .filter_map(|(_, waiter)| waiter.as_ref())
    }
}

impl IntoIterator for WaitQueue {
    type Item = Waiter;
    type IntoIter =
        std::iter::FilterMap<std::vec::IntoIter<(u64, Option<Waiter>)>, fn((u64, Option<Waiter>)) -> Option<Waiter>>;

    fn into_iter(self) -> Self::IntoIter {
        self.places.into_iter().filter_map(|(_, waiter)| waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{Account, ClientId, Payer, RequestId};
    use proptest::prelude::*;
    use std::time::Instant;

    fn waiter(request: u64, priority: Priority) -> Waiter {
        let payer = Payer {
            account: Account::Process,
            client: ClientId(1),
        };
        Waiter::plain(payer, RequestId(request), Instant::now()).with_priority(priority)
    }

    proptest! {
        /// It is a list from which any may be removed.
        #[test]
        fn it_is_the_same_as_a_list(steps in prop::collection::vec((any::<bool>(), 0..40_usize, 0..3_usize), 1..200)) {
            let (mut queue, mut list) = (WaitQueue::default(), Vec::new());
            for (number, (is_new, index, priority)) in steps.into_iter().enumerate() {
                if is_new || list.is_empty() {
                    let waiter = waiter(number as u64, Priority::ALL[priority]);
                    let id = waiter.id();
                    list.push((queue.push(waiter), id, Priority::ALL[priority]));
                } else {
                    let (place, id, _) = list.remove(index % list.len());
                    prop_assert_eq!(queue.remove(place).map(|waiter| waiter.id()), Some(id));
                    prop_assert!(queue.get(place).is_none() && queue.remove(place).is_none());
                }
                let ids: Vec<_> = list.iter().map(|(_, id, _)| *id).collect();
                prop_assert!(queue.iter().map(Waiter::id).eq(ids.iter().copied()));
                prop_assert_eq!(queue.first().map(Waiter::id), ids.first().copied());
                prop_assert_eq!(queue.priority(), list.iter().map(|(_, _, priority)| *priority).max());
                for (place, id, _) in &list {
                    prop_assert_eq!(queue.get(*place).map(Waiter::id), Some(*id));
                }
            }
            prop_assert!(queue.into_iter().map(|waiter| waiter.id()).eq(list.iter().map(|(_, id, _)| *id)));
        }
    }
}
