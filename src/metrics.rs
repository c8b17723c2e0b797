//! Counters that every module adds to and `info` shows. No I/O; no lock but for the list of lanes, taken once a lane, and the
//! state of the store, taken when that changes.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// What the daemon has done since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections accepted since the start.
    pub connections_total: AtomicU64,
    /// Connections refused because of the limit.
    pub connections_refused: AtomicU64,
    /// Requests answered since the start, errors included.
    pub requests: AtomicU64,
    /// Error replies since the start.
    pub errors: AtomicU64,
    /// Requests answered from the cache.
    pub cache_hits: AtomicU64,
    /// Of these, by what the store keeps.
    pub stored_answer_hits: AtomicU64,
    /// Answers that the store keeps.
    pub stored_answers: AtomicU64,
    /// Jobs without an answer yet.
    pub jobs: AtomicU64,
    /// Slices run since the start, first slices included.
    pub slices: AtomicU64,
    /// CPU time of all slices, in microseconds.
    pub cpu_us: AtomicU64,
    /// Worker threads that died and were replaced.
    pub threads_replaced: AtomicU64,
    /// Core actors that panicked and were rebuilt.
    pub actors_rebuilt: AtomicU64,
    /// Sessions that panicked, each at the cost of its connection.
    pub session_panics: AtomicU64,
    /// Where the store is, and why it fails.
    store: Mutex<StoreState>,
    /// Lanes of plugged-in verbs that have been called.
    lanes: Mutex<Vec<Arc<LaneMetrics>>>,
}

impl Metrics {
    /// The lanes of plugged-in verbs, in the order in which they were first called.
    pub fn lanes(&self) -> Vec<Arc<LaneMetrics>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the store is doing.
    pub fn store(&self) -> StoreState {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is shown of the store.
    pub fn set_store(&self, change: impl FnOnce(&mut StoreState)) {
        change(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Shows one more lane.
    pub fn add_lane(&self, lane: Arc<LaneMetrics>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }
}

/// How the store is doing.
#[derive(Clone, Debug, Default)]
pub struct StoreState {
    /// Where it is; empty if there is none.
    pub place: String,
    /// Why it fails; empty if it does not.
    pub failure: String,
}

/// What a lane of plugged-in verbs has done.
#[derive(Debug)]
pub struct LaneMetrics {
    /// Its name.
    pub name: &'static str,
    /// Calls handed out since the start.
    pub calls: AtomicU64,
    /// Calls under way, including cancelled ones that have not returned.
    pub running: AtomicU64,
    /// Calls in the queue.
    pub waiting: AtomicU64,
}

impl LaneMetrics {
    /// A lane that has done nothing yet.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            calls: AtomicU64::new(0),
            running: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }
}
