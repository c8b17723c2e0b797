//! What keeps others waiting, and should not: slices far beyond their budget, and turns that take long. Counts it, and
//! logs it once for each minute without.

use super::{Scheduler, now};
use crate::engine::lanes::Lane;
use crate::engine::task::{Done, Outcome};
use crate::metrics::{Incidents, LATE_SLICE, LATE_TURN};
use std::time::{Duration, Instant};

/// What follows sooner is counted only.
const PAUSE: Duration = Duration::from_secs(60);

impl Scheduler {
    /// Looks at what a worker of a lane has done, before the table takes it in.
    #[inline]
    pub(super) fn note_slice(&self, lane: Lane, done: &Done) {
        let is_slice = !matches!(lane, Lane::External(_)) && !matches!(done.outcome, Outcome::Untouched(_));
        if done.cpu >= LATE_SLICE && is_slice {
            self.late_slice(done);
        }
    }

    #[cold]
    fn late_slice(&self, done: &Done) {
        if is_first(&self.metrics.late_slices) {
            let verbs = self.metrics.verbs();
            let verb = verbs.map(|verbs| verbs.name(self.table.verb_of(done)));
            let (question, cpu_ms) = (self.table.question_of(done), done.cpu.as_millis() as u64);
            tracing::warn!(
                verb,
                question,
                cpu_ms,
                "a slice took far longer than its budget, and other questions waited for its worker: the plan should look at the budget more often"
            );
        }
    }

    /// Looks at how long it was at `work`.
    #[inline]
    pub(super) fn note_turn(&self, work: &'static str, begun: Instant) {
        let took = now().saturating_duration_since(begun);
        if took >= LATE_TURN {
            self.late_turn(work, took);
        }
    }

    #[cold]
    fn late_turn(&self, work: &'static str, took: Duration) {
        if is_first(&self.metrics.late_turns) {
            let took_ms = took.as_millis() as u64;
            tracing::warn!(
                work,
                took_ms,
                "a turn of the scheduler took long, and everybody waited: cut, absorb, save or drop of a plan does, or the machine is crowded"
            );
        }
    }
}

/// Counts an incident. True if none was shortly before it.
fn is_first(incidents: &Incidents) -> bool {
    incidents.add().is_none_or(|pause| pause >= PAUSE)
}
