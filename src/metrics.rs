//! Counters that every room adds to and `info` shows. No I/O, no locks.

use std::sync::atomic::AtomicU64;

/// What the daemon has done since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections accepted since the start.
    pub connections_total: AtomicU64,
    /// Connections turned away because of the limit.
    pub connections_refused: AtomicU64,
    /// Requests answered since the start, errors included.
    pub requests: AtomicU64,
    /// Error replies since the start.
    pub errors: AtomicU64,
    /// Jobs that are not answered yet.
    pub jobs: AtomicU64,
    /// Slices run since the start, first slices included.
    pub slices: AtomicU64,
    /// CPU time of all slices, in microseconds.
    pub cpu_us: AtomicU64,
    /// Worker threads that died and were replaced.
    pub threads_replaced: AtomicU64,
}
