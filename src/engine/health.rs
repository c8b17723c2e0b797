//! Panics of the actors that a daemon cannot do without: counted, logged, and too many of them within a minute are the
//! end. Knows not how an actor is rebuilt, nor how a daemon ends.

use crate::metrics::Metrics;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// With this many panics within [`WINDOW`], what is rebuilt is as broken as what it replaces: a new process may do
/// better.
pub(super) const MAX_PANICS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// The health of the core actors of a daemon.
#[derive(Clone, Debug)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    /// How many panics within the window are too many.
    too_many: usize,
    /// Panics within the window. The lock is taken after a panic only.
    panics: Mutex<VecDeque<Instant>>,
    gave_up: watch::Sender<bool>,
}

impl Health {
    pub(super) fn new(metrics: Arc<Metrics>, too_many: usize) -> Self {
        Self(Arc::new(Shared {
            metrics,
            too_many,
            panics: Mutex::default(),
            gave_up: watch::Sender::new(false),
        }))
    }

    /// Notes that an actor panicked while it was at `work`, and is rebuilt.
    pub(crate) fn panicked(&self, actor: &str, work: &str, now: Instant) {
        let shared = &*self.0;
        shared.metrics.actors_rebuilt.add();
        let mut panics = shared.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.push_back(now);
        while panics.front().is_some_and(|first| now - *first >= WINDOW) {
            panics.pop_front();
        }
        let within_a_minute = panics.len();
        tracing::error!(
            actor,
            work,
            within_a_minute,
            "an actor panicked and is rebuilt; what waited for it gets ERR internal"
        );
        if within_a_minute >= shared.too_many {
            shared.gave_up.send_replace(true);
        }
    }

    /// Notes that an actor is no more. If the daemon has not ended it, nothing can be done any more.
    pub(crate) fn ended(&self) {
        self.0.gave_up.send_replace(true);
    }

    /// True if there were too many panics, or an actor ended that nobody has ended.
    pub(crate) fn has_given_up(&self) -> bool {
        *self.0.gave_up.borrow()
    }

    /// Waits until there were too many panics, or an actor ended that nobody has ended.
    pub async fn gave_up(&self) {
        let mut gave_up = self.0.gave_up.subscribe();
        // The sender lives as long as this does.
        let _ = gave_up.wait_for(|gave_up| *gave_up).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_panics_within_a_minute_are_too_many_and_five_in_a_longer_time_are_not() {
        let start = Instant::now();
        let health = Health::new(Arc::default(), MAX_PANICS);
        for n in 0..20 {
            health.panicked("scheduler", "a test", start + n * Duration::from_secs(15));
        }
        assert!(!health.has_given_up());
        assert_eq!(health.0.metrics.actors_rebuilt.count(), 20);
        health.panicked("scheduler", "a test", start + Duration::from_secs(299));
        assert!(health.has_given_up());
    }
}
