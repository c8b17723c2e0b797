//! Ends of submitted jobs that are not written yet, and the replies that say so: they wait until the store has the end,
//! and in a cluster until that has it too. What was said once is then still true after a crash, and at every node.
//! Knows no file and no transport.

use crate::engine::message::{ClientId, JobId, RequestId};
use crate::proto::Reply;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the cluster may take to write an end, from when the store has it. An entry that NATS does not confirm is
/// given up after as long (`cluster/links/mod.rs`).
pub(super) const SHARE_LIMIT: Duration = Duration::from_secs(5);

/// A reply that waits.
pub(super) struct DelayedReply {
    pub(super) client: ClientId,
    pub(super) request: RequestId,
    pub(super) reply: Reply,
    pub(super) says: Says,
}

/// What a delayed reply says of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// How it ended.
    End,
    /// That it is cancelled, which is not so while the store does not have it.
    Cancelled,
    /// That it cannot be cancelled any more.
    NotCancelled,
}

/// An end that is not written everywhere.
#[derive(Default)]
struct UnwrittenEnd {
    replies: Vec<DelayedReply>,
    /// The store has it, and the cluster is waited for until then.
    share_by: Option<Instant>,
}

/// What is not written yet.
#[derive(Default)]
pub(super) struct Unwritten {
    ends: FxHashMap<JobId, UnwrittenEnd>,
    /// There is a cluster, which is to have each end as well.
    is_shared: bool,
    /// Until when the cluster is waited for, the earliest first; also ends that it has by now.
    limits: VecDeque<(Instant, JobId)>,
}

impl Unwritten {
    /// From now on a cluster is to have each end as well.
    pub(super) const fn share(&mut self) {
        self.is_shared = true;
    }

    /// Whether a cluster is to have each end as well.
    pub(super) const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// A job has ended, perhaps in another way than before, and the store is to write that.
    pub(super) fn ended(&mut self, job: JobId) {
        self.ends.entry(job).or_default().share_by = None;
    }

    /// A job ended in this way: what waits to be said of its end says so.
    pub(super) fn correct(&mut self, job: JobId, reply: &Reply) {
        let replies = self.ends.get_mut(&job).map(|end| &mut end.replies);
        for held in replies.into_iter().flatten().filter(|held| held.says == Says::End) {
            held.reply.clone_from(reply);
        }
    }

    /// Keeps a reply about the end of a job until that is written; gives it back if it is.
    pub(super) fn delay(&mut self, job: JobId, reply: DelayedReply) -> Option<DelayedReply> {
        match self.ends.get_mut(&job) {
            Some(end) => {
                end.replies.push(reply);
                None
            }
            None => Some(reply),
        }
    }

    /// The store has the end of a job: the replies that waited for that, unless a cluster is to have it too.
    pub(super) fn stored(&mut self, job: JobId, now: Instant) -> Vec<DelayedReply> {
        if !self.is_shared {
            return self.settled(job);
        }
        if let (Some(end), Some(limit)) = (self.ends.get_mut(&job), now.checked_add(SHARE_LIMIT)) {
            end.share_by = Some(limit);
            self.limits.push_back((limit, job));
        }
        Vec::new()
    }

    /// Whether the store has the end of a job, and only the cluster is waited for.
    pub(super) fn is_being_shared(&self, job: JobId) -> bool {
        self.ends.get(&job).is_some_and(|end| end.share_by.is_some())
    }

    /// All jobs of whose ends only the cluster is waited for.
    pub(super) fn being_shared(&self) -> Vec<JobId> {
        let jobs = self.ends.keys().copied();
        jobs.filter(|job| self.is_being_shared(*job)).collect()
    }

    /// All jobs of whose ends the store is waited for.
    pub(super) fn not_stored(&self) -> Vec<JobId> {
        let jobs = self.ends.keys().copied();
        jobs.filter(|job| !self.is_being_shared(*job)).collect()
    }

    /// A job whose end the cluster has not written in time, if there is one.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<JobId> {
        while let Some((limit, job)) = self.limits.pop_front_if(|(limit, _)| *limit <= now) {
            if self.ends.get(&job).is_some_and(|end| end.share_by == Some(limit)) {
                return Some(job);
            }
        }
        None
    }

    /// When the cluster is waited for no longer.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.limits.front().map(|(limit, _)| *limit)
    }

    /// Nothing is waited for any more: the replies about the end of a job.
    pub(super) fn settled(&mut self, job: JobId) -> Vec<DelayedReply> {
        let settled = self.ends.remove(&job);
        while let Some((limit, job)) = self.limits.front()
            && self.ends.get(job).is_none_or(|end| end.share_by != Some(*limit))
        {
            self.limits.pop_front();
        }
        settled.map(|end| end.replies).unwrap_or_default()
    }

    /// All replies that wait.
    pub(super) fn take(&mut self) -> Vec<DelayedReply> {
        self.limits.clear();
        self.ends.drain().flat_map(|(_, end)| end.replies).collect()
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        for end in self.ends.values_mut() {
            end.replies.retain(|held| held.client != client);
        }
    }
}
