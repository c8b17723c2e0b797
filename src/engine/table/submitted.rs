//! Submitted jobs: who submitted what, and what came of it; what the store is to write of them, and the lists that show them. Knows no
//! plan, no queue and no file.
//!
//! A submitted job waits for its work as a request does, but does not leave when its client does. With a store its ID is sent, and it
//! begins, once the store has it. Finished ones are remembered for a while, bounded in number and age.

use super::checkpoints::Checkpoints;
use super::wall::Wall;
use crate::engine::message::{Account, ClientId, JobId, Payer, Policy, Priority, RequestId, WorkId};
use crate::engine::restored::Restored;
use crate::engine::text::shortened;
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::{Checkpoint, End, Record, StoredJob, Submission, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The characters that a row shows of a question: one about a number of 10000 digits would fill a screen, and a thousand of these too
/// much memory. With the dots there are 100.
const MAX_TITLE: usize = 97;

/// How many rows `jobs` shows: as many as fit what a connection may leave unsent, which bounds an array in RESP.
pub(super) const MAX_LISTED: usize = 250;

/// A job that has gone on this often since its last checkpoint, and was worked on each time when the process ended, may be why: it goes on
/// when no other such job is at work, until it has a checkpoint.
const SUSPECT_STARTS: u32 = 2;

/// A job that has gone on this often since its last checkpoint does not go on again.
const MAX_STARTS: u32 = 5;

/// How many daemons of a cluster may have numbers.
const NODES: u64 = 1_000;

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
    /// Jobs that may have ended earlier processes, which go on one at a time; and the one that does.
    suspects: VecDeque<JobId>,
    tried: Option<JobId>,
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
    /// The requests that are answered by its ID once the store has it; `None`: it has.
    unacknowledged: Option<Vec<(ClientId, RequestId)>>,
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

/// What a client finds that asks for a submitted job.
pub(super) enum Found<'a> {
    Running(WorkId),
    Done(&'a Reply),
}

/// Where a submitted job is.
pub(super) enum Location {
    Unknown,
    /// This work answers it.
    Running(WorkId),
    Ended,
}

/// What there is of a key.
pub(super) enum Keyed {
    /// The job that has it.
    Known(JobId),
    /// A job that the store does not have yet: the request will be answered.
    Soon,
    Free,
}

/// A job that the store has now.
pub(super) struct Acknowledged {
    /// Whom to send its ID.
    pub(super) requests: Vec<(ClientId, RequestId)>,
    /// The work to begin; none if it is to begin later, or has ended.
    pub(super) begins: Option<WorkId>,
}

/// What a row of a list is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Listed {
    Submitted(JobId),
    /// A job that clients wait for, and that nobody submitted.
    Asked(WorkId),
}

/// A job that is not finished, as a row shows it.
pub(super) struct Shown<'a> {
    pub(super) title: &'a str,
    pub(super) payer: Payer,
    pub(super) state: String,
    pub(super) cpu: Duration,
}

/// A submitted job that the store did not take.
pub(super) struct Withdrawn {
    /// The requests that wait for its ID.
    pub(super) requests: Vec<(ClientId, RequestId)>,
    /// The work that it waited for.
    pub(super) work: Option<WorkId>,
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
            suspects: VecDeque::new(),
            tried: None,
            max_finished: policy.max_finished,
            max_age: policy.max_finished_age,
            lists: HashMap::new(),
            confined: HashMap::new(),
            records: keeps.then(Vec::new),
            checkpoints: Checkpoints::default(),
            wall: Wall::new(now),
        }
    }

    /// The name that the next submitted job will have.
    pub(super) const fn next(&self) -> JobId {
        match self.node {
            None => self.next,
            Some(node) => {
                let JobId(next) = self.next;
                JobId(next + (node + NODES - next % NODES) % NODES)
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

    /// Notes a submitted job that is taken in. With a store, it has to be [acknowledged](Self::acknowledge).
    pub(super) fn open(
        &mut self,
        submission: Submission,
        client: ClientId,
        work: WorkId,
        not_before: Option<Instant>,
        request: RequestId,
    ) {
        let mut job = Job::new(&submission, State::Running(work));
        job.not_before = not_before;
        job.unacknowledged = Some(vec![(client, request)]);
        self.insert(submission, job);
    }

    /// Notes a submitted job whose answer was known.
    pub(super) fn open_known(
        &mut self,
        submission: Submission,
        client: ClientId,
        reply: Reply,
        request: RequestId,
        now: Instant,
    ) {
        let id = submission.job;
        let ended = State::Done {
            reply: reply.clone(),
            cpu: Duration::ZERO,
            ended: now,
        };
        let mut job = Job::new(&submission, ended);
        job.unacknowledged = Some(vec![(client, request)]);
        self.insert(submission, job);
        let ended_at = self.wall.at(now);
        self.record(|| {
            Record::Ended(End {
                job: id,
                ended_at,
                cpu: Duration::ZERO,
                reply,
            })
        });
        self.finished.push_back(id);
        self.forget_old(now);
    }

    fn insert(&mut self, submission: Submission, job: Job) {
        let id = submission.job;
        self.next = self.next.max(JobId(id.0 + 1));
        if let Some((key, _)) = &job.key {
            self.keys.insert(key.clone(), id);
        }
        self.jobs.insert(id, job);
        self.record(|| Record::Submitted(submission));
    }

    /// Takes in a job of an earlier process: one that has ended, or that this work goes on with.
    pub(super) fn restore(&mut self, restored: &Restored, work: Option<WorkId>, now: Instant) {
        let stored = &restored.stored;
        let submission = &stored.submission;
        let id = submission.job;
        let state = match (&stored.end, work) {
            (Some(end), _) => State::Done {
                reply: match stored.is_refuted {
                    true => Err(refuted(id)),
                    false => end.reply.clone(),
                },
                cpu: end.cpu,
                ended: self.wall.instant(end.ended_at, now),
            },
            (None, Some(work)) => State::Running(work),
            (None, None) => return,
        };
        let is_done = matches!(state, State::Done { .. });
        let mut job = Job::new(submission, state);
        job.cpu_before = stored.cpu;
        job.resumed = stored.resumed;
        if !is_done {
            self.checkpoints.hold(stored);
            job.unfinished = Some(Box::new(stored.clone()));
            job.is_restored = true;
        }
        job.not_before = submission.not_before.map(|at| self.wall.instant(at, now));
        if let Some((key, _)) = &job.key {
            self.keys.insert(key.clone(), id);
        }
        // One that only the others still know, as after this daemon's directory was put back from a copy, is not named again.
        if self.node == Some(id.0 % NODES) {
            self.next = self.next.max(JobId(id.0.saturating_add(1)));
        }
        self.jobs.insert(id, job);
        if is_done {
            self.finished.push_back(id);
        }
    }

    /// Lets a restored job go on when it may. It begins when it is [acknowledged](Self::acknowledge), that is when the store has
    /// counted this
    /// start.
    pub(super) fn go_on(&mut self, id: JobId, now: Instant) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if let Some(at) = job.not_before.filter(|at| *at > now) {
            self.delayed.insert((at, id));
        } else if job.starts() >= SUSPECT_STARTS {
            self.suspects.push_back(id);
            self.try_next();
        } else {
            self.start(id);
        }
    }

    fn start(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.resumed += 1;
        job.unacknowledged.get_or_insert_default();
        if let Some(stored) = &mut job.unfinished {
            stored.resumed += 1;
            stored.starts += 1;
        }
        self.record(|| Record::Resumed(id));
    }

    fn try_next(&mut self) {
        while self.tried.is_none()
            && let Some(id) = self.suspects.pop_front()
        {
            if self.jobs.get(&id).is_some_and(|job| job.unfinished.is_some()) {
                self.tried = Some(id);
                self.start(id);
            }
        }
    }

    /// A job may have others of its kind beside it: it has a checkpoint, cannot have one, or is not at work.
    pub(super) fn prove(&mut self, id: JobId) {
        if self.tried == Some(id) {
            self.tried = None;
            self.try_next();
        }
    }

    /// A job is not at work from now on, so that it cannot be what ends the process.
    pub(super) fn pause(&mut self, id: JobId) {
        let stored = self.jobs.get_mut(&id).and_then(|job| job.unfinished.as_mut());
        if let Some(stored) = stored.filter(|stored| stored.starts > 0) {
            stored.starts = 0;
            self.record(|| Record::Paused(id));
        }
        self.prove(id);
    }

    /// Whether a job goes on that has no checkpoint since.
    pub(super) fn is_unproven(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.starts() > 0)
    }

    /// Why a job does not go on that has ended every process it was in since its last checkpoint; none if it may.
    pub(super) fn given_up(stored: &StoredJob) -> Option<Failure> {
        (stored.starts >= MAX_STARTS).then(|| {
            let text = format!(
                "the daemon ended {} times while it worked on job {} and before that had a checkpoint, so it does not go on; the log \
                 says why the daemon ended; submit it again to try once more",
                stored.starts, stored.submission.job
            );
            Failure::new(Code::Internal, text)
        })
    }

    /// After all jobs of an earlier process are taken in.
    pub(super) fn restored(&mut self, now: Instant) {
        let ended = |id: &JobId| match self.jobs.get(id).map(|job| &job.state) {
            Some(State::Done { ended, .. }) => Some(*ended),
            _ => None,
        };
        let mut finished: Vec<JobId> = self.finished.drain(..).collect();
        finished.sort_by_key(ended);
        self.finished = finished.into();
        self.forget_old(now);
    }

    /// What there is of a key, for a request of this question.
    ///
    /// # Errors
    /// `bad-arg` if another question has it.
    pub(super) fn keyed(&mut self, key: &str, title: &str, request: (ClientId, RequestId)) -> Result<Keyed, Failure> {
        let Some(id) = self.keys.get(key).copied() else {
            return Ok(Keyed::Free);
        };
        let Some(job) = self.jobs.get_mut(&id) else {
            return Ok(Keyed::Free);
        };
        if job.key.as_ref().is_some_and(|(_, other)| other != title) {
            let text = format!("submit: the id of job {id} is the same, and its question is another; use another id=");
            return Err(Failure::new(Code::BadArg, text));
        }
        match &mut job.unacknowledged {
            Some(requests) => {
                requests.push(request);
                Ok(Keyed::Soon)
            }
            None => Ok(Keyed::Known(id)),
        }
    }

    /// The store has a job.
    pub(super) fn acknowledge(&mut self, id: JobId, now: Instant) -> Option<Acknowledged> {
        let job = self.jobs.get_mut(&id)?;
        let requests = job.unacknowledged.take()?;
        let begins = self.begins(id, now);
        self.forget_old(now);
        Some(Acknowledged { requests, begins })
    }

    /// The work of a job, unless that is to begin later: then [`due`](Self::due) gives it.
    pub(super) fn begins(&mut self, id: JobId, now: Instant) -> Option<WorkId> {
        let job = self.jobs.get(&id)?;
        let State::Running(work) = job.state else {
            return None;
        };
        match job.not_before.filter(|at| *at > now) {
            None => Some(work),
            Some(at) => {
                self.delayed.insert((at, id));
                None
            }
        }
    }

    /// A job that is to begin by now.
    pub(super) fn due(&mut self, now: Instant) -> Option<WorkId> {
        while let Some(&(at, id)) = self.delayed.first()
            && at <= now
        {
            self.delayed.pop_first();
            match self.jobs.get(&id) {
                Some(job) if job.is_restored && job.unfinished.is_some() => self.go_on(id, now),
                Some(Job {
                    state: State::Running(work),
                    ..
                }) => return Some(*work),
                _ => {}
            }
        }
        None
    }

    /// When the next job begins that is to begin later.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// The store refuses a job: it was never there. Says whom to answer so, and its work.
    pub(super) fn withdraw(&mut self, id: JobId) -> Option<Withdrawn> {
        self.jobs.get(&id)?.unacknowledged.as_ref()?;
        let job = self.remove(id)?;
        let work = match job.state {
            State::Running(work) => Some(work),
            State::Done { .. } => {
                self.finished.retain(|other| *other != id);
                None
            }
        };
        Some(Withdrawn {
            requests: job.unacknowledged.unwrap_or_default(),
            work,
        })
    }

    /// The bytes of the checkpoints that unfinished jobs hold.
    pub(super) const fn checkpoint_bytes(&self) -> u64 {
        self.checkpoints.bytes()
    }

    fn remove(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        if let Some(stored) = &job.unfinished {
            self.checkpoints.release(stored);
        }
        if let Some((key, _)) = &job.key
            && self.keys.get(key) == Some(&id)
        {
            self.keys.remove(key);
        }
        self.prove(id);
        Some(job)
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

    /// Where a job is.
    pub(super) fn location(&self, id: JobId) -> Location {
        match self.jobs.get(&id).map(|job| &job.state) {
            None => Location::Unknown,
            Some(State::Running(work)) => Location::Running(*work),
            Some(State::Done { .. }) => Location::Ended,
        }
    }

    /// The jobs that the store has and that are worked on here, and those that have ended.
    pub(super) fn here(&self) -> Vec<StoredJob> {
        let is_stored = |job: &Job| job.is_restored || job.unacknowledged.is_none();
        let stored = |(id, job): (&JobId, &Job)| match &job.state {
            State::Running(_) => job.unfinished.as_deref().cloned(),
            State::Done { reply, cpu, ended } => Some(StoredJob {
                end: Some(End {
                    job: *id,
                    ended_at: self.wall.at(*ended),
                    cpu: *cpu,
                    reply: reply.clone(),
                }),
                ..StoredJob::unbegun(Self::submission(*id, job))
            }),
        };
        self.jobs
            .iter()
            .filter(|(_, job)| is_stored(job))
            .filter_map(stored)
            .collect()
    }

    /// Another daemon works on a job: nothing of it is to be gone on with here.
    pub(super) fn set_away(&mut self, id: JobId) {
        if let Some(stored) = self.jobs.get_mut(&id).and_then(|job| job.unfinished.take()) {
            self.checkpoints.release(&stored);
        }
        self.prove(id);
    }

    /// A job is worked on here from now on, from this on: the store is to know it.
    pub(super) fn adopt(&mut self, stored: StoredJob) {
        let id = stored.submission.job;
        let Some(job) = self
            .jobs
            .get_mut(&id)
            .filter(|job| matches!(job.state, State::Running(_)))
        else {
            return;
        };
        job.cpu_before = stored.cpu;
        job.resumed = stored.resumed;
        self.checkpoints.hold(&stored);
        if let Some(before) = job.unfinished.replace(Box::new(stored.clone())) {
            self.checkpoints.release(&before);
        }
        self.record(|| Record::Submitted(stored.submission));
        if let Some(checkpoint) = stored.checkpoint {
            self.record(|| Record::Checkpoint(checkpoint));
        }
    }

    /// A job starts over: its checkpoint is replaced, also in the store, by one that no plan goes on from.
    pub(super) fn forget_checkpoint(&mut self, id: JobId, now: Instant) {
        self.checkpoint(id, Arc::default(), 0.0, Duration::ZERO, now);
    }

    /// The CPU time that a job took elsewhere.
    pub(super) fn set_cpu(&mut self, id: JobId, cpu: Duration) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.cpu_before = cpu;
        }
    }

    /// A job that has ended elsewhere is forgotten there.
    pub(super) fn forget(&mut self, id: JobId) {
        if let Location::Ended = self.location(id) {
            self.finished.retain(|other| *other != id);
            self.remove(id);
        }
    }

    /// Notes how far a job has come, whose work took this CPU time in this process.
    pub(super) fn checkpoint(&mut self, id: JobId, bytes: Arc<[u8]>, progress: f64, cpu: Duration, now: Instant) {
        let saved_at = self.wall.at(now);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let checkpoint = Checkpoint {
            job: id,
            saved_at,
            progress,
            cpu: job.cpu_before + cpu,
            bytes,
        };
        if let Some(stored) = &mut job.unfinished {
            self.checkpoints.release(stored);
            stored.starts = 0;
            stored.cpu = checkpoint.cpu;
            stored.checkpoint = Some(checkpoint.clone());
            self.checkpoints.hold(stored);
        }
        self.record(|| Record::Checkpoint(checkpoint));
        self.prove(id);
    }

    /// The CPU time that a job took in earlier processes.
    pub(super) fn cpu_before(&self, id: JobId) -> Duration {
        self.jobs.get(&id).map_or(Duration::ZERO, |job| job.cpu_before)
    }

    /// Notes what came of a submitted job.
    pub(super) fn finish(&mut self, id: JobId, reply: Reply, cpu: Duration, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&id)
            && matches!(job.state, State::Running(_))
        {
            let cpu = job.cpu_before + cpu;
            let end = self.records.is_some().then(|| End {
                job: id,
                ended_at: self.wall.at(now),
                cpu,
                reply: reply.clone(),
            });
            job.state = State::Done { reply, cpu, ended: now };
            if let Some(stored) = job.unfinished.take() {
                self.checkpoints.release(&stored);
            }
            self.finished.push_back(id);
            if let (Some(end), Some(records)) = (end, &mut self.records) {
                records.push(Record::Ended(end));
            }
            self.prove(id);
        }
        self.forget_old(now);
    }

    /// The same jobs for a new table. With a store, those that run in the old one are taken out, to be [restored](Self::restore); without
    /// one they have failed.
    pub(super) fn rebuilt(mut self, failure: &Failure, now: Instant) -> (Self, Vec<StoredJob>) {
        self.lists.clear();
        self.confined.clear();
        self.delayed.clear();
        self.suspects.clear();
        self.tried = None;
        let mut unfinished = Vec::new();
        for (id, _) in self.running() {
            if !self.keeps() {
                self.finish(id, Err(failure.clone()), Duration::ZERO, now);
            } else if let Some(stored) = self.remove(id).and_then(|job| job.unfinished) {
                unfinished.push(*stored);
            }
        }
        (self, unfinished)
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(&oldest) = self.finished.front() {
            let age = match self.jobs.get(&oldest).map(|job| &job.state) {
                Some(State::Done { ended, .. }) => now.saturating_duration_since(*ended),
                _ => Duration::MAX,
            };
            let is_within = self.finished.len() <= self.max_finished && age <= self.max_age;
            let is_awaited = |job: &Job| job.unacknowledged.is_some();
            if is_within || self.jobs.get(&oldest).is_some_and(is_awaited) {
                break;
            }
            self.finished.pop_front();
            self.remove(oldest);
            self.record(|| Record::Forgotten(oldest));
        }
    }

    /// A submitted job that is not forgotten.
    ///
    /// # Errors
    /// `no-job` if there is none.
    pub(super) fn find(&mut self, id: JobId, now: Instant) -> Result<Found<'_>, Failure> {
        self.forget_old(now);
        match self.jobs.get(&id).map(|job| &job.state) {
            Some(State::Running(work)) => Ok(Found::Running(*work)),
            Some(State::Done { reply, .. }) => Ok(Found::Done(reply)),
            None => Err(no_job(id)),
        }
    }

    /// A job that has its answer, as it was before it began, and the answer.
    ///
    /// # Errors
    /// `no-job` if there is none, or it has no answer.
    pub(super) fn answered(&mut self, id: JobId, now: Instant) -> Result<(StoredJob, Value), Failure> {
        let value = match self.find(id, now)? {
            Found::Done(Ok(value)) => value.clone(),
            Found::Done(Err(failure)) => {
                let text = format!("job {id} has no answer: {}", failure.text);
                return Err(Failure::new(Code::NoJob, text));
            }
            Found::Running(_) => {
                let text = format!("job {id} has not ended; 'result {id}' waits for it");
                return Err(Failure::new(Code::NoJob, text));
            }
        };
        let submission = Self::submission(id, &self.jobs[&id]);
        Ok((StoredJob::unbegun(submission), value))
    }

    fn submission(id: JobId, job: &Job) -> Submission {
        Submission {
            job: id,
            request: job.request.clone(),
            title: job.title.clone(),
            key: None,
            owner: job.owner.to_string(),
            priority: job.priority,
            submitted_at: job.submitted_at,
            not_before: None,
            deadline: None,
        }
    }

    /// The answer to this question was refuted: jobs that have one give it no more.
    pub(super) fn refute(&mut self, title: &str) {
        let question = hash(title);
        let mut found = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.question == question
                && let State::Done { reply, .. } = &mut job.state
                && reply.is_ok()
            {
                *reply = Err(refuted(*id));
                found.push(*id);
            }
        }
        for id in found {
            self.record(|| Record::Refuted(id));
        }
    }

    /// Whether a job is of this account, if it has to be. One of another account is answered like one that does not exist.
    ///
    /// # Errors
    /// `no-job` if it is not.
    pub(super) fn check_owner(&self, id: JobId, scope: Option<Account>) -> Result<(), Failure> {
        match (scope, self.jobs.get(&id)) {
            (Some(own), Some(job)) if job.owner != own => Err(no_job(id)),
            _ => Ok(()),
        }
    }

    /// A list that is to show the jobs of this account only, if of one.
    pub(super) fn confine_list(&mut self, list: WorkId, scope: Option<Account>) {
        self.confined.extend(scope.map(|own| (list, own)));
    }

    /// The rows of a list that may be sent now, at most `credit`, and whether they are the last. `asked` are the jobs that nobody
    /// submitted, `show` shows one that is not finished.
    pub(super) fn rows<'a>(
        &mut self,
        list: WorkId,
        credit: usize,
        asked: impl FnOnce() -> Vec<WorkId>,
        show: impl Fn(WorkId) -> Option<Shown<'a>>,
    ) -> (Vec<String>, bool) {
        let scope = self.confined.remove(&list);
        let mut left = self.lists.remove(&list).unwrap_or_else(|| {
            let is_shown =
                |work: &WorkId| scope.is_none_or(|own| show(*work).is_some_and(|job| job.payer.account == own));
            self.listed(scope, || asked().into_iter().filter(is_shown).collect())
        });
        let next = std::iter::from_fn(|| left.pop_front());
        let rows: Vec<String> = next.filter_map(|listed| self.row(listed, &show)).take(credit).collect();
        let is_over = left.is_empty();
        if !is_over {
            self.lists.insert(list, left);
        }
        (rows, is_over)
    }

    /// What a list shows: what is under way, that is submitted jobs and questions that turned out long, and then what has ended, the
    /// latest first.
    /// A list costs what its rows cost, however many jobs there are: who is asked for is looked for only if there are rows left.
    fn listed(&self, scope: Option<Account>, asked: impl FnOnce() -> Vec<WorkId>) -> VecDeque<Listed> {
        let is_shown = |job: &(&JobId, &Job)| scope.is_none_or(|own| job.1.owner == own);
        let is_running = |job: &(&JobId, &Job)| matches!(job.1.state, State::Running(_));
        let about = |(id, _): (&JobId, &Job)| Listed::Submitted(*id);
        let running = self.jobs.iter().filter(is_shown).filter(is_running).map(about);
        let mut listed: VecDeque<Listed> = running.take(MAX_LISTED).collect();
        if listed.len() < MAX_LISTED {
            let mut asked = asked();
            asked.sort_unstable();
            listed.extend(asked.into_iter().map(Listed::Asked));
            let ended = self.jobs.iter().rev().filter(is_shown);
            let ended = ended.filter(|job| !is_running(job)).map(about);
            listed.extend(ended.take(MAX_LISTED.saturating_sub(listed.len())));
            listed.truncate(MAX_LISTED);
        }
        listed
    }

    /// The submitted jobs of an account that have not ended.
    pub(super) fn running_of(&self, owner: Account) -> Vec<JobId> {
        let is_running_of = |job: &Job| job.owner == owner && matches!(job.state, State::Running(_));
        let running = self.jobs.iter().filter(|(_, job)| is_running_of(job));
        running.map(|(id, _)| *id).collect()
    }

    /// A row of a list; none if what it was to show is gone in the meantime.
    fn row<'a>(&self, listed: Listed, show: impl Fn(WorkId) -> Option<Shown<'a>>) -> Option<String> {
        match listed {
            Listed::Submitted(id) => {
                let job = self.jobs.get(&id)?;
                let (state, cpu) = match &job.state {
                    State::Running(work) => {
                        let shown = show(*work)?;
                        let state = match job.not_before {
                            Some(at) if self.delayed.contains(&(at, id)) => "queued".to_owned(),
                            _ => shown.state,
                        };
                        (state, job.cpu_before + shown.cpu)
                    }
                    State::Done { reply, cpu, .. } => (ended_as(reply), *cpu),
                };
                let (cpu, priority) = (cpu.as_secs_f64(), job.priority.as_str());
                let Job {
                    owner,
                    submitted_at,
                    resumed,
                    title,
                    ..
                } = job;
                Some(format!(
                    "id={id} state={state} cpu={cpu:.1}s owner={owner} submitted={submitted_at} resumed={resumed} \
                     priority={priority} request={title}"
                ))
            }
            Listed::Asked(work) => {
                let shown = show(work)?;
                let title = shortened(shown.title, MAX_TITLE);
                let (state, cpu) = (shown.state, shown.cpu.as_secs_f64());
                let Payer { account, client } = shown.payer;
                Some(format!(
                    "id=- state={state} cpu={cpu:.1}s owner={account} client={client} request={title}"
                ))
            }
        }
    }

    /// A list is not sent any further.
    pub(super) fn remove_list(&mut self, list: WorkId) {
        self.lists.remove(&list);
        self.confined.remove(&list);
    }
}

impl Job {
    fn new(submission: &Submission, state: State) -> Self {
        Self {
            unfinished: matches!(state, State::Running(_)).then(|| Box::new(StoredJob::unbegun(submission.clone()))),
            is_restored: false,
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
            state,
        }
    }

    /// How often it went on since its last checkpoint.
    fn starts(&self) -> u32 {
        self.unfinished.as_ref().map_or(0, |stored| stored.starts)
    }
}

fn hash(title: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    title.hash(&mut hasher);
    hasher.finish()
}

/// What is said of a job whose answer was refuted.
fn refuted(id: JobId) -> Failure {
    let text = format!("a verification came to another answer than job {id}; submit it again");
    Failure::new(Code::Internal, text)
}

fn no_job(id: JobId) -> Failure {
    let text = format!("there is no job {id}, or it ended too long ago; 'jobs' lists them");
    Failure::new(Code::NoJob, text)
}

/// How a row shows what came of a job.
fn ended_as(reply: &Reply) -> String {
    match reply {
        Ok(_) => "done".to_owned(),
        Err(failure) if failure.code == Code::Cancelled => "cancelled".to_owned(),
        Err(failure) => format!("failed error={}", failure.code),
    }
}

/// What `submit` answers.
pub(super) fn job_id(job: JobId) -> Value {
    Value::Text(format!("job={job}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Account = Account::Process;
    const CLIENT: ClientId = ClientId(1);

    fn submission(title: &str, job: JobId) -> Submission {
        Submission {
            job,
            request: title.to_owned(),
            title: title.to_owned(),
            key: None,
            owner: OWNER.to_string(),
            priority: Priority::Normal,
            submitted_at: Timestamp::from_millis(0),
            not_before: None,
            deadline: None,
        }
    }

    fn open(submitted: &mut Submitted, title: &str, work: WorkId) -> JobId {
        let job = submitted.next();
        submitted.open(submission(title, job), CLIENT, work, None, RequestId(1));
        submitted.acknowledge(job, Instant::now());
        job
    }

    #[test]
    fn finished_jobs_are_forgotten_by_number_and_by_age_and_running_ones_never() {
        let start = Instant::now();
        let policy = Policy {
            max_finished: 2,
            max_finished_age: Duration::from_secs(60),
            ..Policy::default()
        };
        let mut submitted = Submitted::new(JobId(1), &policy, false, start);
        let running = open(&mut submitted, "pi 1", WorkId(1));
        let done: Vec<JobId> = (0..3)
            .map(|n| open(&mut submitted, &format!("pi {n}"), WorkId(n)))
            .collect();
        for id in &done {
            submitted.finish(*id, Ok(Value::from(0)), Duration::ZERO, start);
        }
        assert!(submitted.find(done[0], start).is_err());
        assert!(submitted.find(done[1], start).is_ok());
        let later = start + Duration::from_secs(61);
        assert!(submitted.find(done[2], later).is_err());
        assert!(submitted.find(running, later).is_ok());
    }

    #[test]
    fn in_a_new_table_what_ran_has_failed_and_what_was_done_stays() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), false, now);
        let running = open(&mut submitted, "pi 1", WorkId(1));
        let done = submitted.next();
        submitted.open_known(submission("nth 1", done), CLIENT, Ok(Value::from(2)), RequestId(1), now);
        let failure = Failure::new(Code::Internal, "as asked");
        let (mut submitted, unfinished) = submitted.rebuilt(&failure, now);
        assert!(unfinished.is_empty(), "there is no store to go on from");
        assert!(matches!(submitted.find(running, now), Ok(Found::Done(Err(found))) if *found == failure));
        assert!(matches!(submitted.find(done, now), Ok(Found::Done(Ok(_)))));
        assert_eq!(submitted.next(), JobId(3));
        let (rows, is_over) = submitted.rows(WorkId(9), 10, Vec::new, |_| None);
        assert!(rows[1].starts_with("id=1 state=failed error=internal"), "{rows:?}");
        assert_eq!((rows.len(), is_over), (2, true));
    }

    fn stored(job: u64, starts: u32) -> Restored {
        Restored {
            stored: StoredJob {
                submission: submission("pi 1", JobId(job)),
                resumed: 7,
                starts,
                cpu: Duration::ZERO,
                checkpoint: None,
                end: None,
                is_refuted: false,
            },
            subject: Err(Failure::new(Code::Internal, "not looked at")),
        }
    }

    #[test]
    fn a_job_that_may_have_ended_the_process_goes_on_alone_until_it_has_a_checkpoint() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        for (job, starts) in [
            (1, 0),
            (2, SUSPECT_STARTS),
            (3, SUSPECT_STARTS),
            (4, 1),
            (5, SUSPECT_STARTS),
        ] {
            submitted.restore(&stored(job, starts), Some(WorkId(job)), now);
            submitted.go_on(JobId(job), now);
        }
        let resumed = |jobs: &[u64]| -> Vec<Record> { jobs.iter().map(|job| Record::Resumed(JobId(*job))).collect() };
        assert_eq!(submitted.take_records(), resumed(&[1, 2, 4]));
        let acknowledged = submitted.acknowledge(JobId(2), now);
        assert_eq!(acknowledged.and_then(|job| job.begins), Some(WorkId(2)));
        assert!(submitted.is_unproven(JobId(2)));
        submitted.checkpoint(JobId(2), Arc::from(&b"bytes"[..]), 0.1, Duration::ZERO, now);
        assert!(!submitted.is_unproven(JobId(2)));
        assert_eq!(submitted.take_records()[1..], resumed(&[3]));
        submitted.pause(JobId(3));
        let expected = [Record::Paused(JobId(3)), Record::Resumed(JobId(5))];
        assert_eq!(submitted.take_records(), expected);
    }

    #[test]
    fn checkpoints_are_counted_once_and_until_their_jobs_end() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let jobs = [1, 2, 3].map(|job| {
            submitted.restore(&stored(job, 0), Some(WorkId(7)), now);
            JobId(job)
        });
        let bytes: Arc<[u8]> = vec![0; 100].into();
        for job in jobs {
            submitted.checkpoint(job, bytes.clone(), 0.1, Duration::ZERO, now);
        }
        assert_eq!(submitted.checkpoint_bytes(), 100);
        submitted.checkpoint(jobs[0], vec![0; 30].into(), 0.2, Duration::ZERO, now);
        assert_eq!(submitted.checkpoint_bytes(), 130);
        submitted.finish(jobs[0], Ok(Value::from(7)), Duration::ZERO, now);
        submitted.forget_checkpoint(jobs[1], now);
        assert_eq!(submitted.checkpoint_bytes(), 100);
        let (submitted, unfinished) = submitted.rebuilt(&Failure::new(Code::Internal, "as asked"), now);
        assert_eq!((submitted.checkpoint_bytes(), unfinished.len()), (0, 2));
    }

    #[test]
    fn a_job_that_ends_every_process_is_given_up_and_the_reason_says_what_to_do() {
        assert!(Submitted::given_up(&stored(1, MAX_STARTS - 1).stored).is_none());
        let failure = Submitted::given_up(&stored(1, MAX_STARTS).stored).expect("it went on too often");
        assert!(failure.text.contains("submit it again"), "{failure:?}");
    }

    #[test]
    fn with_a_store_what_ran_in_a_broken_table_is_given_back_with_its_checkpoint() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let running = open(&mut submitted, "pi 1", WorkId(1));
        submitted.checkpoint(running, Arc::from(&b"bytes"[..]), 0.5, Duration::from_secs(3), now);
        let (mut submitted, unfinished) = submitted.rebuilt(&Failure::new(Code::Internal, "as asked"), now);
        assert!(submitted.find(running, now).is_err());
        let [stored] = unfinished.as_slice() else {
            panic!("{unfinished:?}");
        };
        assert_eq!((stored.submission.job, stored.cpu), (running, Duration::from_secs(3)));
        assert_eq!(
            stored.checkpoint.as_ref().map(|saved| saved.bytes.as_ref()),
            Some(&b"bytes"[..])
        );
        assert_eq!(submitted.next(), JobId(2));
    }

    #[test]
    fn an_answer_that_is_refuted_is_not_given_again() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let job = open(&mut submitted, "pi 1", WorkId(1));
        assert!(submitted.answered(job, now).is_err(), "it has not ended");
        submitted.finish(job, Ok(Value::from(7)), Duration::ZERO, now);
        assert!(matches!(submitted.answered(job, now), Ok((_, value)) if value == Value::from(7)));
        submitted.refute("pi 2");
        assert!(matches!(submitted.find(job, now), Ok(Found::Done(Ok(_)))));
        submitted.take_records();
        submitted.refute("pi 1");
        assert!(matches!(submitted.find(job, now), Ok(Found::Done(Err(_)))));
        assert_eq!(submitted.take_records(), [Record::Refuted(job)]);
        assert!(submitted.answered(job, now).is_err());
    }
}
