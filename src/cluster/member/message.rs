//! What happens to a node, and what it wants done: the words between the rules about jobs and those who carry them out.

use crate::cluster::entry::{JobEntry, NodeEntry, OwnerEntry};
use crate::store::{Checkpoint, End, JobId, KeptAnswer, Record, StoredJob};

/// Which entry of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum EntryKind {
    Job,
    Owner,
}

/// What a node wants done elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) enum Command {
    /// Writes an entry, if it still has this revision; 0 if there must be none. Answered by [`Input::Written`].
    Put {
        /// Names this command among those of the job.
        serial: u64,
        job: JobId,
        kind: EntryKind,
        revision: u64,
        bytes: Vec<u8>,
    },
    /// Reads an entry again that has another revision than it was seen with. Answered by it as it is seen, or by
    /// [`Input::Absent`].
    Read(JobId, EntryKind),
    /// Removes the entry of a job that is forgotten. Answered by [`Input::Removed`].
    Forget(JobId),
    /// Removes the owner and the checkpoint of a job that has ended.
    Clear(JobId),
    /// Writes a checkpoint. Answered by [`Input::Saved`].
    Save(Checkpoint),
    /// Reads the checkpoint of a job. Answered by [`Input::Loaded`].
    Load(JobId),
    /// Shares an answer.
    Share(KeptAnswer),
    /// Informs the engine.
    Notify(Box<EngineNotice>),
}

impl Command {
    pub(super) fn notify(notice: EngineNotice) -> Self {
        Self::Notify(Box::new(notice))
    }
}

/// What the engine is to know.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) enum EngineNotice {
    Away(StoredJob, String),
    Ended(StoredJob, End),
    /// NATS has the end of a job that the store has, or does not take it for now. Once after one or more
    /// [`Record::Ended`] of the job, unless the node begins again before.
    EndShared(JobId),
    NotCancelled(JobId),
    TakenOver(StoredJob),
    Forgotten(JobId),
    Answer(KeptAnswer),
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub(in crate::cluster) enum Input {
    /// There is a connection: what was seen is seen again.
    Connected,
    Disconnected,
    /// All entries that there were at the connection have been seen.
    Current,
    /// The engine has these jobs, and no others.
    Began(Vec<StoredJob>),
    /// The store has taken these.
    Committed(Vec<Record>),
    /// A client wants a job that another node works on to end so.
    Cancelled(End),
    /// An entry is this now.
    JobSeen(JobId, u64, Option<JobEntry>),
    OwnerSeen(JobId, u64, Option<OwnerEntry>),
    /// There is no such entry: not even a mark that it was removed.
    Absent(JobId, EntryKind),
    NodeSeen(NodeEntry),
    /// A node has removed its own entry: it ends in good order.
    NodeLeft(String),
    AnswerSeen(KeptAnswer),
    /// What became of a [`Command::Put`]: the revision, or another one was first.
    Written(JobId, u64, Result<u64, NatsError>),
    Saved(JobId, Result<(), NatsError>),
    /// What became of a [`Command::Forget`]. That the entry is gone is seen.
    Removed(JobId, Result<(), NatsError>),
    Loaded(JobId, Result<Option<Checkpoint>, NatsError>),
    /// No job is taken over any more.
    Drain,
    /// Those owned are let go of.
    Close,
}

impl Input {
    /// What this node wrote, and whether NATS took it; `None` if it wrote nothing.
    pub(in crate::cluster) fn outcome(&self) -> Option<(Written, Result<(), NatsError>)> {
        match self {
            Self::Written(_, _, result) => Some((Written::Entry, result.map(drop))),
            Self::Saved(_, result) => Some((Written::Checkpoint, *result)),
            Self::Removed(_, result) => Some((Written::Removal, *result)),
            _ => None,
        }
    }
}

/// What a node writes to NATS: there may be room for one and none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cluster) enum Written {
    Entry,
    Checkpoint,
    Removal,
}

/// Why NATS has not taken an entry or a checkpoint, or not given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum NatsError {
    /// It has another revision.
    Revision,
    /// NATS takes no entry, as where it is full: this one is not written.
    Refused,
    /// Nobody could be reached: it may be written or not.
    Unreachable,
}
