//! Counters that every module adds to, and `info`, `slowlog` and `/metrics` show; and what `serve` says of jobs and the
//! store as it ends. No I/O. No request takes a lock here but one that was slow: others are for the list of lanes,
//! taken for each new one, the state of the store, taken when that changes, the nodes of a cluster and its trouble,
//! which the node writes, and incidents; and what shows these reads them.

mod cluster;
mod histogram;
mod incidents;
mod slow;
mod verbs;

pub use cluster::{ClusterMetrics, NodeView, Trouble};
#[cfg(feature = "http")]
pub use histogram::{BOUNDS_US, Snapshot};
pub use histogram::{Exemplar, SLOW};
pub use incidents::Incidents;
pub use slow::{MAX_REMEMBERED, Slow, SlowRequests};
pub use verbs::{Outcome, VerbLabel, Verbs};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A time in whole microseconds, as it is counted and logged.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// CPU time of a slice that others notice; its budget is 1 or 2 ms.
pub(crate) const LATE_SLICE: Duration = Duration::from_millis(50);

/// Time of a turn of the scheduler that others notice.
pub(crate) const LATE_TURN: Duration = Duration::from_millis(100);

/// What the daemon has done since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections accepted since the start.
    pub connections_total: AtomicU64,
    /// Connections refused because of the limit.
    pub connections_refused: Incidents,
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
    /// Worker threads that died and were replaced.
    pub threads_replaced: Incidents,
    /// Core actors that panicked and were rebuilt.
    pub actors_rebuilt: Incidents,
    /// Sessions that panicked, each at the cost of its connection.
    pub session_panics: Incidents,
    /// Slices that took 50 ms of CPU time or more: questions that came meanwhile had to wait for the worker.
    pub late_slices: Incidents,
    /// Turns of the scheduler that took 100 ms or more: everybody had to wait.
    pub late_turns: Incidents,
    /// Bytes read from clients.
    pub bytes_read: AtomicU64,
    /// Bytes written to clients.
    pub bytes_written: AtomicU64,
    /// Slices and CPU time of the express lane, which gives questions their first slice.
    pub express: ClassMetrics,
    /// Of the bulk lane, which works on long jobs.
    pub bulk: ClassMetrics,
    /// Of the lanes of plugged-in verbs.
    pub external: ClassMetrics,
    /// Jobs by state.
    pub states: StateMetrics,
    /// The latest requests that took long.
    pub slow: SlowRequests,
    /// The nodes of its cluster, and parts.
    pub cluster: ClusterMetrics,
    /// Nothing new is taken in: the daemon ends.
    pub draining: AtomicBool,
    /// Wrong users or passwords; set where there are users, who may be those of several daemons.
    wrong_passwords: OnceLock<Arc<AtomicU64>>,
    /// Requests by verb; set once the verbs are known.
    verbs: OnceLock<Verbs>,
    /// Where the store is, and why it fails.
    store: Mutex<StoreState>,
    /// Lanes of plugged-in verbs that have been called.
    lanes: Mutex<Vec<Arc<LaneMetrics>>>,
}

/// What a class of workers has done.
#[derive(Debug, Default)]
pub struct ClassMetrics {
    /// Slices, or calls of a plugged-in verb.
    pub slices: AtomicU64,
    /// Their CPU time, in microseconds.
    pub cpu_us: AtomicU64,
}

/// Jobs in the engine's table.
#[derive(Debug, Default)]
pub struct StateMetrics {
    /// Questions that wait for their first slice, or are at it.
    pub queued: AtomicU64,
    /// Long jobs that wait for memory, or for a place of their account.
    pub parked: AtomicU64,
    /// Long jobs that are worked on.
    pub running: AtomicU64,
    /// Submitted jobs that have not ended; they are in one of the other states too.
    pub submitted: AtomicU64,
    /// Those that the store had not confirmed when the last records were to be written, as the daemon ends.
    pub unstored: AtomicU64,
    /// Memory set aside for long jobs, in bytes.
    pub memory: AtomicU64,
}

impl Metrics {
    /// Slices run since the start, first slices included.
    pub fn slices(&self) -> u64 {
        self.express.slices.load(Relaxed) + self.bulk.slices.load(Relaxed)
    }

    /// CPU time of all slices and plugged-in verbs, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        let classes = [&self.express, &self.bulk, &self.external];
        classes.iter().map(|class| class.cpu_us.load(Relaxed)).sum()
    }

    /// Wrong users or passwords since the users were read first; 0 without users.
    pub fn wrong_passwords(&self) -> u64 {
        self.wrong_passwords.get().map_or(0, |count| count.load(Relaxed))
    }

    /// Shows this count of wrong passwords from now on; once.
    pub fn set_wrong_passwords(&self, count: Arc<AtomicU64>) {
        let _ = self.wrong_passwords.set(count);
    }

    /// Requests by verb; none before the daemon has opened.
    #[inline]
    pub fn verbs(&self) -> Option<&Verbs> {
        self.verbs.get()
    }

    /// Counts requests by these verbs from now on; once.
    pub fn set_verbs(&self, verbs: Verbs) {
        let _ = self.verbs.set(verbs);
    }

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
    /// It fails because its files are not there any more, or are others.
    pub is_replaced: bool,
    /// The daemon has ended, and the store did not take its last records.
    pub is_incomplete: bool,
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
