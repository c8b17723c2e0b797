//! Ends of submitted jobs that the store does not have yet, and the replies that say so: they are sent when it has.
//! What was said once is then still true after a crash. Knows no file.

use crate::engine::message::{ClientId, JobId, RequestId};
use crate::proto::Reply;
use rustc_hash::FxHashMap;

/// A reply that waits.
pub(super) struct DelayedReply {
    pub(super) client: ClientId,
    pub(super) request: RequestId,
    pub(super) reply: Reply,
    /// Whether it says that something was done, which is not so while the store does not have it.
    pub(super) is_order: bool,
}

/// What the store does not have yet.
#[derive(Default)]
pub(super) struct Unwritten {
    ends: FxHashMap<JobId, Vec<DelayedReply>>,
}

impl Unwritten {
    /// A job has ended, and the store is to write that.
    pub(super) fn ended(&mut self, job: JobId) {
        self.ends.entry(job).or_default();
    }

    /// Keeps a reply about the end of a job until the store has that; gives it back if it has.
    pub(super) fn delay(&mut self, job: JobId, reply: DelayedReply) -> Option<DelayedReply> {
        match self.ends.get_mut(&job) {
            Some(replies) => {
                replies.push(reply);
                None
            }
            None => Some(reply),
        }
    }

    /// The store was asked to write the end of a job: the replies that waited for that.
    pub(super) fn settled(&mut self, job: JobId) -> Vec<DelayedReply> {
        self.ends.remove(&job).unwrap_or_default()
    }

    /// All replies that wait.
    pub(super) fn take(&mut self) -> Vec<DelayedReply> {
        self.ends.drain().flat_map(|(_, replies)| replies).collect()
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        for replies in self.ends.values_mut() {
            replies.retain(|held| held.client != client);
        }
    }
}
