//! What should not happen, counted: how often it did, and how long ago it did last.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Incidents of one kind since the start. They are rare: each takes a lock.
#[derive(Debug, Default)]
pub struct Incidents {
    count: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Incidents {
    /// One more. Returns how long after the one before it; `None` for the first.
    pub fn add(&self) -> Option<Duration> {
        self.count.fetch_add(1, Relaxed);
        let now = Instant::now();
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        before.map(|before| now - before)
    }

    /// There are as many as this: more, or no more, than were known.
    pub fn raise_to(&self, count: u64) {
        if count > self.count() {
            self.add();
            self.count.store(count, Relaxed);
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// How long ago the last one was; `None` if there was none.
    pub fn since_last(&self) -> Option<Duration> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_are_counted_and_the_last_is_dated() {
        let incidents = Incidents::default();
        assert_eq!((incidents.count(), incidents.since_last()), (0, None));
        assert_eq!(incidents.add(), None);
        assert!(incidents.add().is_some());
        incidents.raise_to(1);
        assert_eq!(incidents.count(), 2);
        incidents.raise_to(5);
        assert_eq!(incidents.count(), 5);
        assert!(incidents.since_last().is_some());
    }
}
