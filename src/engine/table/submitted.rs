//! Submitted jobs: who submitted what, and what came of it; and the lists that show them. Knows no plan and no queue.
//!
//! A submitted job waits for its work as a request does, but does not leave when its client does. Finished ones are remembered for a
//! while, bounded in number and age.

use crate::engine::message::{ClientId, JobId, Policy, WorkId};
use crate::engine::text::shortened;
use crate::proto::{Code, Failure, Reply, Value};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The characters that a row shows of a question: one about a number of 10000 digits would fill a screen, and a thousand of these too
/// much memory. With the dots there are 100.
const MAX_TITLE: usize = 97;

/// How many rows `jobs` shows: as many as fit what a connection may leave unsent, which bounds an array in RESP.
const MAX_LISTED: usize = 250;

/// All submitted jobs, and the lists that are being sent.
pub(super) struct Submitted {
    next: JobId,
    jobs: BTreeMap<JobId, Job>,
    /// Finished ones, the one that ended first in front.
    finished: VecDeque<JobId>,
    max_finished: usize,
    max_age: Duration,
    /// What is left to send of each list; it is chosen when the first row may be sent.
    lists: HashMap<WorkId, VecDeque<Listed>>,
}

/// A submitted job.
struct Job {
    /// The question, short enough for a row.
    title: String,
    owner: ClientId,
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
    /// The client that pays for it.
    pub(super) owner: ClientId,
    pub(super) state: String,
    pub(super) cpu: Duration,
}

impl Submitted {
    /// No jobs; the first one will have this name.
    pub(super) fn new(first: JobId, policy: &Policy) -> Self {
        Self {
            next: first,
            jobs: BTreeMap::new(),
            finished: VecDeque::new(),
            max_finished: policy.max_finished,
            max_age: policy.max_finished_age,
            lists: HashMap::new(),
        }
    }

    /// The name that the next submitted job will have.
    pub(super) const fn next(&self) -> JobId {
        self.next
    }

    /// Notes a submitted job that is taken in.
    pub(super) fn open(&mut self, title: &str, owner: ClientId, work: WorkId) -> JobId {
        self.insert(title, owner, State::Running(work))
    }

    /// Notes a submitted job whose answer was known.
    pub(super) fn open_known(&mut self, title: &str, owner: ClientId, reply: Reply, now: Instant) -> JobId {
        let ended = State::Done {
            reply,
            cpu: Duration::ZERO,
            ended: now,
        };
        let id = self.insert(title, owner, ended);
        self.finished.push_back(id);
        self.forget_old(now);
        id
    }

    fn insert(&mut self, title: &str, owner: ClientId, state: State) -> JobId {
        let id = self.next;
        self.next = JobId(id.0 + 1);
        let title = shortened(title, MAX_TITLE);
        self.jobs.insert(id, Job { title, owner, state });
        id
    }

    /// The work that answers a submitted job is another one now.
    pub(super) fn join(&mut self, id: JobId, work: WorkId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.state = State::Running(work);
        }
    }

    /// Notes what came of a submitted job.
    pub(super) fn finish(&mut self, id: JobId, reply: Reply, cpu: Duration, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&id)
            && matches!(job.state, State::Running(_))
        {
            job.state = State::Done { reply, cpu, ended: now };
            self.finished.push_back(id);
        }
        self.forget_old(now);
    }

    /// The same jobs for a new table: those that run in the old one have failed.
    pub(super) fn rebuilt(mut self, failure: &Failure, now: Instant) -> Self {
        self.lists.clear();
        let is_running = |(id, job): (&JobId, &Job)| matches!(job.state, State::Running(_)).then_some(*id);
        let running: Vec<JobId> = self.jobs.iter().filter_map(is_running).collect();
        for id in running {
            self.finish(id, Err(failure.clone()), Duration::ZERO, now);
        }
        self
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(&oldest) = self.finished.front() {
            let age = match self.jobs.get(&oldest).map(|job| &job.state) {
                Some(State::Done { ended, .. }) => now - *ended,
                _ => Duration::MAX,
            };
            if self.finished.len() <= self.max_finished && age <= self.max_age {
                break;
            }
            self.finished.pop_front();
            self.jobs.remove(&oldest);
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
            None => {
                let text = format!("there is no job {id}, or it ended too long ago; 'jobs' lists them");
                Err(Failure::new(Code::NoJob, text))
            }
        }
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
        let mut left = self.lists.remove(&list).unwrap_or_else(|| self.listed(asked()));
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
    fn listed(&self, mut asked: Vec<WorkId>) -> VecDeque<Listed> {
        asked.sort_unstable();
        let is_running = |job: &(&JobId, &Job)| matches!(job.1.state, State::Running(_));
        let running = self.jobs.iter().filter(is_running);
        let ended = self.jobs.iter().rev().filter(|job| !is_running(job));
        let about = |(id, _): (&JobId, &Job)| Listed::Submitted(*id);
        let listed = running.map(about).chain(asked.into_iter().map(Listed::Asked));
        listed.chain(ended.map(about)).take(MAX_LISTED).collect()
    }

    /// A row of a list; none if what it was to show is gone in the meantime.
    fn row<'a>(&self, listed: Listed, show: impl Fn(WorkId) -> Option<Shown<'a>>) -> Option<String> {
        let (id, owner, title, state, cpu) = match listed {
            Listed::Submitted(id) => {
                let job = self.jobs.get(&id)?;
                let (state, cpu) = match &job.state {
                    State::Running(work) => show(*work).map(|shown| (shown.state, shown.cpu))?,
                    State::Done { reply, cpu, .. } => {
                        let state = reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "done");
                        (state.to_owned(), *cpu)
                    }
                };
                (id.to_string(), job.owner, job.title.clone(), state, cpu)
            }
            Listed::Asked(work) => {
                let shown = show(work)?;
                let title = shortened(shown.title, MAX_TITLE);
                ("-".to_owned(), shown.owner, title, shown.state, shown.cpu)
            }
        };
        let cpu = cpu.as_secs_f64();
        Some(format!(
            "id={id} state={state} cpu={cpu:.1}s owner={owner} request={title}"
        ))
    }

    /// A list is not sent any further.
    pub(super) fn remove_list(&mut self, list: WorkId) {
        self.lists.remove(&list);
    }
}

/// What `submit` answers.
pub(super) fn job_id(job: JobId) -> Value {
    Value::Text(format!("job={job}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: ClientId = ClientId(1);

    #[test]
    fn finished_jobs_are_forgotten_by_number_and_by_age_and_running_ones_never() {
        let start = Instant::now();
        let policy = Policy {
            max_finished: 2,
            max_finished_age: Duration::from_secs(60),
            ..Policy::default()
        };
        let mut submitted = Submitted::new(JobId(1), &policy);
        let running = submitted.open("pi 1", OWNER, WorkId(1));
        let done: Vec<JobId> = (0..3)
            .map(|n| submitted.open(&format!("pi {n}"), OWNER, WorkId(n)))
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
        let mut submitted = Submitted::new(JobId(1), &Policy::default());
        let running = submitted.open("pi 1", OWNER, WorkId(1));
        let done = submitted.open_known("nth 1", OWNER, Ok(Value::from(2)), now);
        let failure = Failure::new(Code::Internal, "as asked");
        let mut submitted = submitted.rebuilt(&failure, now);
        assert!(matches!(submitted.find(running, now), Ok(Found::Done(Err(found))) if *found == failure));
        assert!(matches!(submitted.find(done, now), Ok(Found::Done(Ok(_)))));
        assert_eq!(submitted.next(), JobId(3));
        let (rows, is_over) = submitted.rows(WorkId(9), 10, Vec::new, |_| None);
        assert!(rows[1].starts_with("id=1 state=internal"), "{rows:?}");
        assert_eq!((rows.len(), is_over), (2, true));
    }
}
