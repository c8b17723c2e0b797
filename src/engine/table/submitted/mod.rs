//! Submitted jobs: who submitted what, and what came of it; what the store is to write of them, and the lists that show
//! them. Knows no plan, no queue and no file.
//!
//! A submitted job waits for its work as a request does, but does not leave when its client does. With a store its ID
//! is sent, and it begins, once the store has it. Finished ones are remembered for a while, bounded in number and age.
//!
//! Here is what a job is and where. `opening` takes it in and says when it begins, `saving` notes how far it is,
//! `ended` what came of it, `resuming` lets it go on after a restart, `cluster` is about those of a cluster, `listing`
//! shows all.

mod cluster;
mod ended;
mod listing;
mod opening;
mod resuming;
#[cfg(test)]
mod samples;
mod saving;

pub(super) use self::ended::Found;
pub(super) use self::listing::{MAX_LISTED, Shown};
pub(super) use self::opening::{Acknowledged, Keyed, Withdrawn, job_id, taken_back};

use self::listing::{Listed, MAX_TITLE};
use super::checkpoints::Checkpoints;
use super::wall::Wall;
use crate::engine::message::{Account, ClientId, JobId, Policy, Priority, RequestId, WorkId};
use crate::engine::text::shortened;
use crate::proto::{Code, Failure, Reply};
use crate::store::{NODES, Record, StoredJob, Submission, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// All submitted jobs, and the lists that are being sent.
pub(super) struct Submitted {
    next: JobId,
    /// The number of this daemon in a cluster, in which its IDs end.
    node: Option<u64>,
    jobs: BTreeMap<JobId, Job>,
    /// Jobs by what their clients call them.
    keys: HashMap<String, JobId>,
    /// Jobs that begin later.
    delayed: BTreeSet<(Instant, JobId)>,
    /// Finished ones, the one that ended first in front.
    finished: VecDeque<JobId>,
    /// How many of these the store does not have yet.
    ended_unacknowledged: usize,
    /// Jobs that may have ended earlier processes, which go on one at a time; and the one that does.
    quarantined: VecDeque<JobId>,
    on_probation: Option<JobId>,
    max_finished: usize,
    max_age: Duration,
    /// What is left to send of each list; it is chosen when the first row may be sent.
    lists: HashMap<WorkId, VecDeque<Listed>>,
    /// Lists that show the jobs of one account only, until they are chosen.
    confined: HashMap<WorkId, Account>,
    /// What the store is to write; none if there is no store.
    records: Option<Vec<Record>>,
    /// What the unfinished jobs hold.
    checkpoints: Checkpoints,
    wall: Wall,
    /// Old jobs are not forgotten before this.
    forget_again: Instant,
}

/// A submitted job.
struct Job {
    /// The words of the request.
    request: String,
    /// The question, short enough for a row.
    title: String,
    /// The hash of the whole question.
    question: u64,
    owner: Account,
    /// What its client calls it, and the whole question.
    key: Option<(String, String)>,
    priority: Priority,
    submitted_at: Timestamp,
    not_before: Option<Instant>,
    /// The CPU time that it took in earlier processes.
    cpu_before: Duration,
    /// In how many processes it went on.
    resumed: u32,
    /// What it goes on from after a restart of the process or of the scheduler; none once it has ended.
    unfinished: Option<Box<StoredJob>>,
    /// Whether it goes on with what was begun before a restart.
    is_restored: bool,
    /// Whether its start does not count, as it is not worked on.
    is_deferred: bool,
    /// The requests that are answered by its ID once the store has it; `None`: it has.
    unacknowledged: Option<Vec<(ClientId, RequestId)>>,
    /// The requests that were answered by its ID, which may be cancelled before their clients have read that.
    submitters: Vec<(ClientId, RequestId)>,
    state: State,
}

enum State {
    /// The work that answers it.
    Running(WorkId),
    /// What came of it, and the CPU time that took.
    Done {
        reply: Reply,
        cpu: Duration,
        ended: Instant,
    },
}

/// Where a submitted job is.
pub(super) enum Location {
    Unknown,
    /// This work answers it.
    Running(WorkId),
    Ended,
}

impl Submitted {
    /// No jobs; the first one will have this name.
    pub(super) fn new(first: JobId, policy: &Policy, keeps: bool, now: Instant) -> Self {
        Self {
            next: first,
            node: None,
            jobs: BTreeMap::new(),
            keys: HashMap::new(),
            delayed: BTreeSet::new(),
            finished: VecDeque::new(),
            ended_unacknowledged: 0,
            quarantined: VecDeque::new(),
            on_probation: None,
            max_finished: policy.max_finished,
            max_age: policy.max_finished_age,
            lists: HashMap::new(),
            confined: HashMap::new(),
            records: keeps.then(Vec::new),
            checkpoints: Checkpoints::default(),
            wall: Wall::new(now),
            forget_again: now,
        }
    }

    /// The name that the next submitted job will have.
    pub(super) const fn next(&self) -> JobId {
        match self.node {
            None => self.next,
            Some(node) => {
                let JobId(next) = self.next;
                JobId(next + (node + NODES - self.next.node()) % NODES)
            }
        }
    }

    /// From now on the IDs end in this number, of three digits.
    pub(super) fn set_node(&mut self, node: u64) {
        self.node = Some(node % NODES);
        self.next = self.next.max(JobId(NODES));
    }

    /// Whether there is a store.
    pub(super) const fn keeps(&self) -> bool {
        self.records.is_some()
    }

    /// From now on there is a store, and no job up to this one is named again.
    pub(super) fn keep(&mut self, last: u64) {
        self.records.get_or_insert_default();
        self.next = self.next.max(JobId(last.saturating_add(1)));
    }

    pub(super) const fn wall(&mut self) -> &mut Wall {
        &mut self.wall
    }

    /// What the store is to write, since the last time.
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn record(&mut self, record: impl FnOnce() -> Record) {
        if let Some(records) = &mut self.records {
            records.push(record());
        }
    }

    fn remove(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        if let Some(stored) = &job.unfinished {
            self.checkpoints.release(stored);
        }
        self.free_key(id, job.key.as_ref());
        self.not_delayed(id, job.not_before);
        self.end_probation(id);
        Some(job)
    }

    /// A job does not have its key any more.
    fn free_key(&mut self, id: JobId, key: Option<&(String, String)>) {
        if let Some((key, _)) = key
            && self.keys.get(key) == Some(&id)
        {
            self.keys.remove(key);
        }
    }

    /// A job does not begin later any more.
    fn not_delayed(&mut self, id: JobId, not_before: Option<Instant>) {
        if let Some(at) = not_before {
            self.delayed.remove(&(at, id));
        }
    }

    /// The work that answers a submitted job is another one now.
    pub(super) fn join(&mut self, id: JobId, work: WorkId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.state = State::Running(work);
        }
    }

    /// All that are not finished, with their work.
    pub(super) fn running(&self) -> Vec<(JobId, WorkId)> {
        let running = |(id, job): (&JobId, &Job)| match job.state {
            State::Running(work) => Some((*id, work)),
            State::Done { .. } => None,
        };
        self.jobs.iter().filter_map(running).collect()
    }

    /// Those of them that the store has.
    pub(super) fn stored(&self) -> impl Iterator<Item = JobId> {
        let is_meant = |job: &Job| matches!(job.state, State::Running(_)) && job.is_stored();
        let stored = self.jobs.iter().filter(move |(_, job)| is_meant(job));
        stored.map(|(id, _)| *id)
    }

    /// Where a job is.
    pub(super) fn location(&self, id: JobId) -> Location {
        match self.jobs.get(&id).map(|job| &job.state) {
            None => Location::Unknown,
            Some(State::Running(work)) => Location::Running(*work),
            Some(State::Done { .. }) => Location::Ended,
        }
    }

    /// Whether a job is of this account, if it has to be. One of another account is answered like one that does not
    /// exist.
    ///
    /// # Errors
    /// `no-job` if it is not.
    pub(super) fn check_owner(&self, id: JobId, scope: Option<Account>) -> Result<(), Failure> {
        match (scope, self.jobs.get(&id)) {
            (Some(own), Some(job)) if job.owner != own => Err(no_job(id)),
            _ => Ok(()),
        }
    }

    /// The submitted jobs of an account that have not ended.
    pub(super) fn running_of(&self, owner: Account) -> Vec<JobId> {
        let is_running_of = |job: &Job| job.owner == owner && matches!(job.state, State::Running(_));
        let running = self.jobs.iter().filter(|(_, job)| is_running_of(job));
        running.map(|(id, _)| *id).collect()
    }
}

impl Job {
    fn new(submission: &Submission, state: State) -> Self {
        Self {
            unfinished: matches!(state, State::Running(_)).then(|| Box::new(StoredJob::unbegun(submission.clone()))),
            is_restored: false,
            is_deferred: false,
            request: submission.request.clone(),
            title: shortened(&submission.title, MAX_TITLE),
            question: hash(&submission.title),
            owner: submission.owner.parse().unwrap_or(Account::Process),
            key: submission.key.clone().map(|key| (key, submission.title.clone())),
            priority: submission.priority,
            submitted_at: submission.submitted_at,
            not_before: None,
            cpu_before: Duration::ZERO,
            resumed: 0,
            unacknowledged: None,
            submitters: Vec::new(),
            state,
        }
    }

    /// Whether the store has it.
    const fn is_stored(&self) -> bool {
        self.is_restored || self.unacknowledged.is_none()
    }

    /// How often it went on since its last new checkpoint.
    fn starts(&self) -> u32 {
        self.unfinished.as_ref().map_or(0, |stored| stored.starts)
    }
}

fn hash(title: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    title.hash(&mut hasher);
    hasher.finish()
}

fn no_job(id: JobId) -> Failure {
    let text = format!("there is no job {id}, or it ended too long ago; 'jobs' lists them");
    Failure::new(Code::NoJob, text)
}
