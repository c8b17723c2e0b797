//! A histogram of durations with fixed buckets, each with the latest slow request that fell into it. Knows no verb.

use super::micros;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// The upper bounds of the buckets in microseconds; one more bucket is beyond them. From a lookup to a job of an hour,
/// two in most decades; few bounds keep a scrape short.
pub const BOUNDS_US: [u64; 14] = [
    100,
    250,
    1_000,
    2_500,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
];

/// Buckets, the one beyond the bounds included.
pub const BUCKETS: usize = BOUNDS_US.len() + 1;

/// A request that takes as long is named as an example, and listed by `slowlog`.
pub const SLOW: Duration = Duration::from_millis(10);

/// A request that took as long as its bucket says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Who asked.
    pub client: u64,
    /// Which of its requests, where the session counts them.
    pub request: Option<u64>,
    /// How long it took.
    pub seconds: f64,
}

/// Durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
    exemplars: Mutex<[Option<Exemplar>; BUCKETS]>,
}

/// A histogram at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// How many fell into each bucket, not cumulated.
    pub buckets: [u64; BUCKETS],
    /// All durations together, in seconds.
    pub sum: f64,
    /// The latest slow request of each bucket.
    pub exemplars: [Option<Exemplar>; BUCKETS],
}

impl Snapshot {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Histogram {
    /// Adds a duration, `count` times.
    pub fn add(&self, duration: Duration, count: u64) {
        self.add_to_bucket(duration, count);
    }

    /// Adds a duration, `count` times, with an example if it is slow.
    pub fn observe(&self, duration: Duration, count: u64, exemplar: impl FnOnce() -> Exemplar) {
        let bucket = self.add_to_bucket(duration, count);
        if duration < SLOW {
            return;
        }
        // Who is in the way leaves an example of its own.
        let exemplars = match self.exemplars.try_lock() {
            Ok(exemplars) => Some(exemplars),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut exemplars) = exemplars {
            exemplars[bucket] = Some(exemplar());
        }
    }

    fn add_to_bucket(&self, duration: Duration, count: u64) -> usize {
        let us = micros(duration);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound);
        let bucket = bucket.unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(count, Relaxed);
        self.sum_us.fetch_add(us.saturating_mul(count), Relaxed);
        bucket
    }

    /// How it stands.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            sum: self.sum_us.load(Relaxed) as f64 / 1e6,
            exemplars: *self.exemplars.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::default();
        for us in [1, 100, 101, 3_600_000_000, 3_600_000_001] {
            histogram.add(Duration::from_micros(us), 1);
            let seconds = us as f64 / 1e6;
            histogram.observe(Duration::from_micros(us), 1, || Exemplar {
                client: 3,
                request: Some(us),
                seconds,
            });
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets, [4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2]);
        assert_eq!(snapshot.count(), 10);
        let named: Vec<_> = snapshot
            .exemplars
            .iter()
            .flatten()
            .filter_map(|slow| slow.request)
            .collect();
        assert_eq!(named, [3_600_000_000, 3_600_000_001]);
    }
}
