//! What the engine and a cluster of daemons say to each other. Plain data: knows no node and no transport.
//!
//! The engine offers parts of long jobs, and reports what the store has taken: jobs, checkpoints, ends and answers. The
//! cluster brings what parts came to, and says which jobs other daemons work on, which of them to go on with here, and
//! which to leave to others.

use crate::store::{End, JobId, KeptAnswer, Record, StoredJob};
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Names a part of a job that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId {
    /// The work of the engine; never used twice by a process.
    pub work: u64,
    /// The part of it; never used twice by a piece of work.
    pub number: u64,
}

/// A part for another daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub id: PartId,
    /// The question, from whose words the job is made again.
    pub question: String,
    /// The checkpoint of a plan for this part alone.
    pub bytes: Arc<[u8]>,
}

/// How far a submitted job is that this daemon works on.
#[derive(Clone, Debug, PartialEq)]
pub struct JobProgress {
    /// The job.
    pub job: JobId,
    /// The share that is done, 0.0..=1.0.
    pub done: f64,
    /// The CPU time so far.
    pub cpu: Duration,
    /// What it is at, in words.
    pub stage: Option<String>,
}

/// What the engine says to the cluster.
#[derive(Debug)]
pub enum EngineEvent {
    /// A part to be done elsewhere.
    Offered(Part),
    /// A part is of no use any more.
    Recalled(PartId),
    /// A client cancels a job that another node works on: the cluster is to write that it ended so.
    Cancelled(End),
    /// What the store has taken, in that order.
    Committed(Vec<Record>),
    /// The submitted jobs that it has, and works on: the cluster has just joined, or the engine has broken and begun
    /// again.
    Began(Vec<StoredJob>),
}

/// Events of the engine, in that order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct EngineEvents(pub Vec<EngineEvent>);

/// What the cluster says to the engine.
#[derive(Message)]
#[rtype(result = "()")]
pub enum ClusterEvent {
    /// There is a cluster.
    Joined {
        /// Where events go.
        to: Recipient<EngineEvents>,
    },
    /// The number of this node, from 0 to 999, in which the IDs of its jobs end.
    Numbered(u64),
    /// How many parts may be offered at once, and how many workers of other nodes are free for them.
    Wanted {
        /// Parts under way at the most.
        parts: usize,
        /// Workers.
        workers: usize,
    },
    /// A node has begun a part.
    PartBegun(PartId),
    /// A node has done a part.
    PartDone {
        /// The part.
        id: PartId,
        /// What it came to.
        result: Vec<u8>,
        /// The CPU time of its slices there, as that node measured it.
        cpu: Duration,
        /// The node.
        node: String,
    },
    /// A part is not done elsewhere.
    PartLost(PartId),
    /// A node has erred: jobs with parts that it has done start over.
    Erred {
        /// The node.
        node: String,
    },
    /// Another node works on a job, and this one does not, or not any longer.
    Away {
        /// The job.
        job: Box<StoredJob>,
        /// The node.
        node: String,
    },
    /// How far a job is that another node works on.
    Advanced(JobProgress),
    /// A job has ended, here or elsewhere.
    Ended(Box<(StoredJob, End)>),
    /// NATS has the end of a job that the store has, or it is not waited for.
    EndShared(JobId),
    /// A job of another node cannot be cancelled: NATS cannot be reached or refuses that, or this node has not seen the
    /// job's entry yet.
    NotCancelled(JobId),
    /// This node goes on with a job.
    TakenOver(Box<StoredJob>),
    /// A job of another node is forgotten.
    Forgotten(JobId),
    /// Another node has found an answer.
    Answer(Box<KeptAnswer>),
}

/// Asks how far the submitted jobs are that this daemon works on.
#[derive(Message)]
#[rtype(result = "Vec<JobProgress>")]
pub struct AskProgress;
