//! Jobs that other daemons of a cluster work on, as this one knows them: where, and how far. Knows no daemon's address
//! and no transport.

use crate::engine::message::WorkId;
use std::collections::BTreeMap;
use std::time::Instant;

/// All jobs that are worked on elsewhere.
#[derive(Default)]
pub(super) struct Away(BTreeMap<WorkId, AwayJob>);

/// A job that is worked on elsewhere.
pub(super) struct AwayJob {
    pub(super) node: String,
    /// Its node has said how far it is.
    pub(super) is_begun: bool,
    pub(super) done: f64,
    pub(super) advanced: Instant,
    pub(super) stage: Option<String>,
}

impl Away {
    /// A job is worked on by this node.
    pub(super) fn set(&mut self, work: WorkId, node: String, now: Instant) {
        let job = self.0.entry(work).or_insert_with(|| AwayJob {
            node: String::new(),
            is_begun: false,
            done: 0.0,
            advanced: now,
            stage: None,
        });
        job.is_begun &= job.node == node;
        job.node = node;
    }

    /// A job has come so far.
    pub(super) fn advance(&mut self, work: WorkId, done: f64, stage: Option<String>, now: Instant) {
        if let Some(job) = self.0.get_mut(&work) {
            if done > job.done {
                job.advanced = now;
            }
            job.is_begun = true;
            job.done = done.clamp(job.done, 1.0);
            job.stage = stage;
        }
    }

    pub(super) fn get(&self, work: WorkId) -> Option<&AwayJob> {
        self.0.get(&work)
    }

    pub(super) fn remove(&mut self, work: WorkId) {
        self.0.remove(&work);
    }
}
