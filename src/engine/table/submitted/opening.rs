//! Submitted jobs from when they are taken in until they begin: whether there is one already, what the store says of
//! it, and when it is due.

use super::{Job, State, Submitted};
use crate::engine::message::{ClientId, JobId, RequestId, WorkId};
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::{End, Record, Submission};
use std::time::{Duration, Instant};

/// How many jobs may wait for the store, or have their IDs on the way to their clients, as good as always.
const MAX_UNACKNOWLEDGED: usize = 2_048;

/// How often the clocks are compared while a job waits for a time of day.
const COMPARE_CLOCKS: Duration = Duration::from_secs(60);

/// What there is of a key.
pub(in crate::engine::table) enum Keyed {
    /// The job that has it.
    Known(JobId),
    /// A job that the store does not have yet: the request will be answered.
    Soon,
    Free,
}

/// A job that the store has now.
pub(in crate::engine::table) struct Acknowledged {
    /// Whom to send its ID.
    pub(in crate::engine::table) requests: Vec<(ClientId, RequestId)>,
    /// The work to begin; none if it is to begin later, or has ended.
    pub(in crate::engine::table) begins: Option<WorkId>,
}

/// A submitted job that the store did not take.
pub(in crate::engine::table) struct Withdrawn {
    /// The requests that wait for its ID.
    pub(in crate::engine::table) requests: Vec<(ClientId, RequestId)>,
    /// The work that it waited for.
    pub(in crate::engine::table) work: Option<WorkId>,
}

/// What a job comes to whose submit was cancelled before anybody had its ID. It has its key no more, for the client
/// asks anew.
pub(in crate::engine::table) fn taken_back() -> Failure {
    Failure::new(Code::Cancelled, TAKEN_BACK)
}

/// Whether a job has come to that. What it had found may follow.
pub(super) fn is_taken_back(reply: &Reply) -> bool {
    let is_so = |failure: &Failure| failure.code == Code::Cancelled && failure.text.starts_with(TAKEN_BACK);
    reply.as_ref().is_err_and(is_so)
}

const TAKEN_BACK: &str = "its submit was cancelled before its ID was known";

impl Submitted {
    /// Notes a submitted job that is taken in. With a store, it has to be [acknowledged](Self::acknowledge).
    pub(in crate::engine::table) fn open(
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
    pub(in crate::engine::table) fn open_known(
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
        self.ended_unacknowledged += 1;
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

    /// What there is of a key, for a request of this question, in these words. What is the same question by its title
    /// or by its words is the same: two of `random` have two titles.
    ///
    /// # Errors
    /// `bad-arg` if another question has it.
    pub(in crate::engine::table) fn keyed(
        &mut self,
        key: &str,
        (title, words): (&str, &str),
        request: (ClientId, RequestId),
        now: Instant,
    ) -> Result<Keyed, Failure> {
        self.forget_old(now);
        let Some(id) = self.keys.get(key).copied() else {
            return Ok(Keyed::Free);
        };
        let Some(job) = self.jobs.get_mut(&id) else {
            return Ok(Keyed::Free);
        };
        if job.key.as_ref().is_some_and(|(_, other)| other != title) && job.request != words {
            let text = format!("submit: id= is that of job {id}, which asks another question; choose another id=");
            return Err(Failure::new(Code::BadArg, text));
        }
        match &mut job.unacknowledged {
            Some(requests) => {
                requests.push(request);
                Ok(Keyed::Soon)
            }
            None => {
                // Somebody is given the ID who does not cancel: the job stays, whatever the others do.
                job.submitters = Vec::new();
                Ok(Keyed::Known(id))
            }
        }
    }

    /// A request that submitted a job is cancelled, and its client will not have the ID. The job, if nobody else has
    /// the ID or will be given it.
    pub(in crate::engine::table) fn cancel_submit(
        &mut self,
        client: ClientId,
        request: RequestId,
    ) -> Option<(JobId, WorkId)> {
        // It is among the latest of this daemon's own.
        let node = self.node;
        let is_own = |id: &JobId| node.is_none_or(|node| id.node() == node);
        let own = self.jobs.iter_mut().rev().filter(|(id, _)| is_own(id));
        let mut latest = own.take(MAX_UNACKNOWLEDGED);
        latest
            .find_map(|(id, job)| {
                // The ID of one that goes on after a restart was given in an earlier process.
                let State::Running(work) = job.state else { return None };
                if job.is_restored {
                    return None;
                }
                let requests = job.unacknowledged.as_mut().unwrap_or(&mut job.submitters);
                let index = requests.iter().position(|other| *other == (client, request))?;
                requests.swap_remove(index);
                Some((requests.is_empty(), *id, work))
            })
            .and_then(|(was_last, id, work)| was_last.then_some((id, work)))
    }

    /// Jobs that have ended, most of them because their answers were known, and that the store does not have yet.
    pub(in crate::engine::table) const fn ended_unacknowledged(&self) -> usize {
        self.ended_unacknowledged
    }

    /// The requests of all submits that the store has not confirmed, which are answered otherwise.
    pub(in crate::engine::table) fn take_unacknowledged(&mut self) -> Vec<(ClientId, RequestId)> {
        let waiting = self.jobs.values_mut().filter_map(|job| job.unacknowledged.as_mut());
        waiting.flat_map(std::mem::take).collect()
    }

    /// The store has a job.
    pub(in crate::engine::table) fn acknowledge(&mut self, id: JobId, now: Instant) -> Option<Acknowledged> {
        let job = self.jobs.get_mut(&id)?;
        let requests = job.unacknowledged.take()?;
        if matches!(job.state, State::Running(_)) {
            job.submitters.clone_from(&requests);
        }
        self.ended_unacknowledged -= usize::from(matches!(job.state, State::Done { .. }));
        let begins = self.begins(id, now);
        self.forget_old(now);
        Some(Acknowledged { requests, begins })
    }

    /// The work of a job, unless that is to begin later: then [`due`](Self::due) gives it.
    pub(in crate::engine::table) fn begins(&mut self, id: JobId, now: Instant) -> Option<WorkId> {
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
    pub(in crate::engine::table) fn due(&mut self, now: Instant) -> Option<WorkId> {
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

    /// When the next job begins that is to begin later, or the clock is compared, or an old job is to be forgotten.
    pub(in crate::engine::table) fn next_alarm(&self) -> Option<Instant> {
        let begins = self.delayed.first().map(|(at, _)| *at);
        let begins = begins.map(|at| at.min(self.wall.compared() + COMPARE_CLOCKS));
        begins.into_iter().chain(self.next_forgotten()).min()
    }

    /// The store refuses a job: it was never there. Says whom to answer so, and its work.
    pub(in crate::engine::table) fn withdraw(&mut self, id: JobId) -> Option<Withdrawn> {
        let job = self.remove(id)?;
        let work = match job.state {
            State::Running(work) => Some(work),
            State::Done { .. } => {
                self.ended_unacknowledged -= 1;
                self.finished.retain(|other| *other != id);
                None
            }
        };
        Some(Withdrawn {
            requests: job.unacknowledged.unwrap_or_default(),
            work,
        })
    }
}

/// What `submit` answers.
pub(in crate::engine::table) fn job_id(job: JobId) -> Value {
    Value::Text(format!("job={job}"))
}
