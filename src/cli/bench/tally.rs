//! What was measured: replies, how long they took, errors, bytes, CPU time. Knows no socket.

use super::replies::error_code;
use crate::cli::print::printable;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one thread measured in some time, or all of them together.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Replies, errors included.
    pub(super) replies: u64,
    /// Nanoseconds until the reply; for what was not answered in the end, until the end.
    pub(super) latency_ns: Histogram<u64>,
    /// Error replies by their code.
    pub(super) errors: BTreeMap<String, u64>,
    /// The first of them, in full.
    pub(super) first_error: Option<String>,
    /// Asked, or due to be asked, and not answered in the end.
    pub(super) unanswered: u64,
    /// Bytes sent.
    pub(super) sent: u64,
    /// Bytes received.
    pub(super) received: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            replies: 0,
            latency_ns: Histogram::new(3).expect("3 digits are within 0 to 5"),
            errors: BTreeMap::new(),
            first_error: None,
            unanswered: 0,
            sent: 0,
            received: 0,
        }
    }
}

impl Tally {
    /// Counts requests of one latency.
    pub(super) fn record(&mut self, latency_ns: u64, count: u64) {
        self.latency_ns
            .record_n(latency_ns, count)
            .expect("the histogram grows as far as u64 goes");
    }

    /// Notes an error reply.
    pub(super) fn error(&mut self, line: &[u8]) {
        let code = printable(error_code(line));
        match self.errors.get_mut(&*code) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(code.into_owned(), 1)),
        }
        self.first_error
            .get_or_insert_with(|| printable(&String::from_utf8_lossy(line)).into_owned());
    }

    /// Takes in what another one has noted.
    pub(super) fn add(&mut self, other: &Self) {
        self.replies += other.replies;
        self.latency_ns
            .add(&other.latency_ns)
            .expect("the histogram grows as far as u64 goes");
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        self.unanswered += other.unanswered;
        self.sent += other.sent;
        self.received += other.received;
    }

    /// The latency at a quantile.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency_ns.value_at_quantile(quantile))
    }

    /// The longest latency.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.latency_ns.max())
    }

    /// How many replies were errors.
    pub(super) fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }
}
