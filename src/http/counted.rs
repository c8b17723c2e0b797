//! How a request over HTTP is counted: by its verb, with the time it took and how it ended. Knows no route.

use super::guard::Caller;
use crate::clients::ClientState;
use crate::metrics::{Exemplar, Outcome, VerbLabel};
use crate::proto::{Code, Failure};
use crate::server::Shared;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

/// A request that is counted when it ends: by its reply, or because its client has gone.
pub(super) struct Counted {
    shared: Arc<Shared>,
    state: Arc<ClientState>,
    verb: VerbLabel,
    begun: Instant,
    is_counted: bool,
}

impl Counted {
    pub(super) fn of(caller: &Caller, words: &str) -> Self {
        let mut words = words.split_ascii_whitespace();
        let first = words.find(|word| !word.starts_with('@')).unwrap_or_default();
        let is_number = first.starts_with(|first: char| first.is_ascii_digit());
        let position = caller.shared.registry.position(if is_number { "nth" } else { first });
        // Requests of one connection are answered one by one.
        caller.state.set_in_flight(1);
        Self {
            shared: caller.shared.clone(),
            state: caller.state.clone(),
            verb: position.map(VerbLabel::at).unwrap_or_default(),
            begun: Instant::now(),
            is_counted: false,
        }
    }

    /// Counts it.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.count(outcome);
    }

    /// Counts it with this failure, and returns that.
    pub(super) fn fail(self, failure: Failure) -> Failure {
        self.end(Outcome::failed(failure.code as u8));
        failure
    }

    fn count(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        self.state.set_in_flight(0);
        self.state.add_answered(1);
        let metrics = &self.shared.daemon.metrics;
        metrics.requests.fetch_add(1, Relaxed);
        metrics.errors.fetch_add(u64::from(outcome.is_error()), Relaxed);
        if let Some(verbs) = metrics.verbs() {
            let wall = self.begun.elapsed();
            verbs.count(self.verb, outcome, 1);
            verbs.observe(self.verb, wall, 1, || Exemplar {
                client: self.state.id,
                request: None,
                seconds: wall.as_secs_f64(),
            });
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count(Outcome::failed(Code::Cancelled as u8));
    }
}
