//! Cancels in a cluster: each is answered when that has said how all its jobs ended. Knows no job and no transport.

use crate::engine::message::{ClientId, JobId, RequestId};
use crate::proto::{Failure, Reply, Value};
use crate::store::End;
use std::collections::BTreeSet;

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
    waiting: Vec<Cancel>,
    /// Ends that the cluster is to write.
    asked: Vec<End>,
}

impl Cancels {
    /// A request waits; the cluster is to end jobs so.
    pub(super) fn ask(&mut self, cancel: Cancel, ends: Vec<End>) {
        self.waiting.push(cancel);
        self.asked.extend(ends);
    }

    /// What the cluster is to be asked, since the last time.
    pub(super) fn take_asked(&mut self) -> Vec<End> {
        std::mem::take(&mut self.asked)
    }

    /// Jobs that somebody cancels.
    pub(super) fn jobs(&self) -> BTreeSet<JobId> {
        self.waiting.iter().flat_map(|cancel| &cancel.jobs).copied().collect()
    }

    /// A job is cancelled, or not: the requests that are answered by that.
    pub(super) fn settled(&mut self, job: JobId, outcome: &Result<(), Failure>) -> Vec<(ClientId, RequestId, Reply)> {
        let mut replies = Vec::new();
        self.waiting.retain_mut(|cancel| {
            if !cancel.jobs.remove(&job) {
                return true;
            }
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
            }
            !cancel.jobs.is_empty()
        });
        replies
    }

    /// All requests that wait.
    pub(super) fn take(&mut self) -> Vec<(ClientId, RequestId)> {
        let waiting = self.waiting.drain(..);
        waiting.map(|cancel| (cancel.client, cancel.request)).collect()
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.waiting.retain(|cancel| cancel.client != client);
    }
}
