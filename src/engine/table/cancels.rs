//! Cancels in a cluster: each is answered when that has said how all its jobs ended. Knows jobs by their
//! IDs, and no transport.

use crate::engine::message::{ClientId, JobId, RequestId};
use crate::proto::{Failure, Reply, Value};
use crate::store::End;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// A request that cancels jobs, which other daemons work on or this one did.
pub(super) struct Cancel {
    pub(super) client: ClientId,
    pub(super) request: RequestId,
    /// Jobs of which nothing is known yet.
    pub(super) jobs: BTreeSet<JobId>,
    /// If it is answered by their number: those that are known to be cancelled.
    pub(super) cancelled: Option<u64>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Cancels {
    /// By the order in which they came.
    waiting: BTreeMap<u64, Cancel>,
    next: u64,
    /// Those that wait for a job.
    by_job: FxHashMap<JobId, Vec<u64>>,
    /// Ends that the cluster is to write.
    asked: Vec<End>,
}

impl Cancels {
    /// A request waits; the cluster is to end jobs so.
    pub(super) fn ask(&mut self, cancel: Cancel, ends: Vec<End>) {
        for job in &cancel.jobs {
            self.by_job.entry(*job).or_default().push(self.next);
        }
        self.waiting.insert(self.next, cancel);
        self.next += 1;
        self.asked.extend(ends);
    }

    /// What the cluster is to be asked, since the last time.
    pub(super) fn take_asked(&mut self) -> Vec<End> {
        std::mem::take(&mut self.asked)
    }

    /// Whether somebody cancels a job.
    pub(super) fn has(&self, job: JobId) -> bool {
        self.by_job.contains_key(&job)
    }

    /// Jobs that somebody cancels.
    pub(super) fn jobs(&self) -> BTreeSet<JobId> {
        self.by_job.keys().copied().collect()
    }

    /// A job is cancelled, or not: the requests that are answered by that.
    pub(super) fn settled(&mut self, job: JobId, outcome: &Result<(), Failure>) -> Vec<(ClientId, RequestId, Reply)> {
        let mut replies = Vec::new();
        for id in self.by_job.remove(&job).unwrap_or_default() {
            let Some(cancel) = self.waiting.get_mut(&id) else {
                continue;
            };
            cancel.jobs.remove(&job);
            if let (Some(cancelled), Ok(())) = (&mut cancel.cancelled, outcome) {
                *cancelled += 1;
            }
            if cancel.jobs.is_empty() {
                let reply = match (cancel.cancelled, outcome) {
                    (Some(0) | None, Err(failure)) => Err(failure.clone()),
                    (Some(cancelled), _) => Ok(Value::Text(format!("cancelled={cancelled}"))),
                    (None, Ok(())) => Ok(Value::Nothing),
                };
                replies.push((cancel.client, cancel.request, reply));
                self.waiting.remove(&id);
            }
        }
        replies
    }

    /// All requests that wait.
    pub(super) fn take(&mut self) -> Vec<(ClientId, RequestId)> {
        self.by_job.clear();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        waiting.map(|cancel| (cancel.client, cancel.request)).collect()
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        let before = self.waiting.len();
        self.waiting.retain(|_, cancel| cancel.client != client);
        if self.waiting.len() < before {
            self.by_job.retain(|_, ids| {
                ids.retain(|id| self.waiting.contains_key(id));
                !ids.is_empty()
            });
        }
    }
}
