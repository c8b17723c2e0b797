//! A job as far as a node knows it: its entries, where it is, and the command that is under way. Decides nothing.

use crate::cluster::entry::{JobEntry, OwnerEntry};
use crate::store::{Checkpoint, End, StoredJob, Submission};
use std::time::{Duration, Instant};

/// How long a job waits after a command that failed; doubled each time, up to [`MAX_RETRY`].
const RETRY: Duration = Duration::from_millis(250);

/// How long it waits at most: NATS may be full, or have an entry of a form that is not known here.
const MAX_RETRY: Duration = Duration::from_secs(32);

/// Where a job is, as far as the engine of this node knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Location {
    /// The engine does not know the job.
    #[default]
    Unknown,
    /// It works on it.
    Here,
    /// It knows that the node of this name does.
    Away(String),
    /// It knows that the job has ended.
    Ended,
}

/// Whether two submissions of one ID are one.
pub(super) fn is_same(one: &Submission, other: &Submission) -> bool {
    one.submitted_at == other.submitted_at && one.request == other.request
}

/// Whether a checkpoint is to be gone on from in place of another one. A job that was begun anew has one without bytes,
/// which replaces those before.
pub(super) fn is_further(this: &Checkpoint, other: &Checkpoint) -> bool {
    if this.bytes.is_empty() || other.bytes.is_empty() {
        return this.saved_at > other.saved_at;
    }
    this.progress > other.progress
}

/// An entry as it was seen last.
#[derive(Debug)]
pub(super) struct Seen<T> {
    pub(super) revision: u64,
    pub(super) value: T,
}

/// A job, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct KnownJob {
    pub(super) stored: Option<StoredJob>,
    pub(super) location: Location,
    /// How it ended here.
    pub(super) end: Option<End>,
    /// How a client here wants it to end.
    pub(super) wanted: Option<End>,
    pub(super) entry: Option<Seen<JobEntry>>,
    pub(super) owner: Option<Seen<OwnerEntry>>,
    /// Until when a command that is under way is waited for.
    pub(super) pending: Option<Instant>,
    /// Commands that failed, one after another, and until when the next one waits.
    pub(super) failures: u32,
    pub(super) wait_until: Option<Instant>,
    /// The number of the last entry written, and what is being written.
    pub(super) serial: u64,
    pub(super) writing: Option<Writing>,
    /// A checkpoint that is to be sent.
    pub(super) unsent: Option<Checkpoint>,
    pub(super) sent_at: Option<Instant>,
    /// NATS may have a checkpoint that is further than that which the engine goes on from: none is saved before that
    /// is read.
    pub(super) is_to_compare: bool,
    /// Since when it has no owner that lives.
    pub(super) unowned: Option<Instant>,
    /// Since when NATS has no entry of it.
    pub(super) absent: Option<Instant>,
    /// The job of this ID here is another one than that of the cluster: it was submitted before this node joined, and
    /// stays alone.
    pub(super) is_another: bool,
    /// It has come further since this node became its owner, and was saved since then.
    pub(super) is_further: bool,
    pub(super) is_saved: bool,
    pub(super) is_cleared: bool,
    /// The engine has forgotten it, and its entry is to go too.
    pub(super) is_forgotten: bool,
}

/// An entry that is being written.
#[derive(Clone, Debug)]
pub(super) enum Writing {
    Job(Box<JobEntry>),
    Owner(OwnerEntry),
}

impl KnownJob {
    /// A command came to this: after a failure the next one waits, unless something new is seen before.
    pub(super) fn succeeded(&mut self, is_done: bool, now: Instant) {
        self.pending = None;
        if is_done {
            return self.changed();
        }
        self.wait_until = Some(now + (RETRY * 2_u32.pow(self.failures.min(7))).min(MAX_RETRY));
        self.failures += 1;
    }

    /// Something new was seen: what failed before may do now.
    pub(super) const fn changed(&mut self) {
        self.failures = 0;
        self.wait_until = None;
    }

    /// The engine knows the end that the cluster has, and nobody owns the job.
    pub(super) fn is_seen_to_its_end(&self) -> bool {
        self.knows_its_end() && (self.is_cleared || self.owner.is_none())
    }

    /// The engine knows the end that the cluster has, and no other one.
    pub(super) fn knows_its_end(&self) -> bool {
        let (own, written) = (self.end.as_ref(), self.ended_elsewhere());
        self.location == Location::Ended && own.map(|end| &end.reply) == written.map(|end| &end.reply)
    }

    /// Its answer has failed a verification here.
    pub(super) fn is_refuted(&self) -> bool {
        let refuted = |end: &End| end.reply == Err(end.job.refuted());
        self.location == Location::Ended && self.end.as_ref().is_some_and(refuted)
    }

    /// The engine has saved this.
    pub(super) fn keep_checkpoint(&mut self, checkpoint: Checkpoint) {
        if let Some(stored) = &mut self.stored {
            self.is_further |= stored.take_checkpoint(checkpoint.clone());
        }
        self.unsent = Some(checkpoint);
    }

    /// A checkpoint was not written: it is sent again, unless there is a later one.
    pub(super) fn send_again(&mut self) {
        if self.location == Location::Here && self.unsent.is_none() {
            self.unsent = self.stored.as_ref().and_then(|stored| stored.checkpoint.clone());
        }
    }

    /// The job that stayed alone is forgotten: what there is of this ID is the cluster's.
    pub(super) fn forget_own(&mut self) {
        self.is_another = false;
        self.location = Location::Unknown;
        self.end = None;
        self.unsent = None;
        let entry = self.entry.as_ref();
        self.stored = entry.map(|seen| StoredJob::unbegun(seen.value.submission.clone()));
    }

    /// It has ended.
    pub(super) fn drop_checkpoints(&mut self) {
        self.unsent = None;
        if let Some(stored) = &mut self.stored {
            stored.checkpoint = None;
        }
    }

    /// The node that owns it by its entry.
    pub(super) fn owner_node(&self) -> Option<&str> {
        self.owner.as_ref()?.value.node.as_deref()
    }

    pub(super) fn ended_elsewhere(&self) -> Option<&End> {
        self.entry.as_ref()?.value.end.as_ref()
    }
}
