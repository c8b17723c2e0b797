//! The log of work: a line for each request and submitted job that it concerns, so that one search by client and
//! request, or by job, finds them all. Decides nothing.
//!
//! The lines are events with their ids as fields, and no spans: a span would have to be made with the request, which
//! costs every request that is not logged, and would miss what was under way when the level is raised. Where the level
//! is off, each is one comparison.

use super::Table;
use super::flow::Flow;
use super::waiters::{Waiter, WaiterId};
use crate::engine::batch::{Batch, Plain};
use crate::engine::lanes::{Lane, WorkerId};
use crate::engine::message::{ClientId, Event, JobId, RequestId, WorkId};
use crate::engine::task::{Done, Outcome};
use crate::engine::text::shortened;
use crate::metrics::micros;
use crate::proto::{Reply, outcome};
use std::collections::VecDeque;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// The characters that a line shows of a question, which may be about a number of 10000 digits.
const MAX_TITLE: usize = 97;

/// The names of one that waits for work. A line has those that there are.
#[derive(Clone, Copy, Default)]
pub(super) struct Ids {
    client: Option<u64>,
    request: Option<u64>,
    job: Option<u64>,
}

impl Ids {
    pub(super) const fn of_request(client: ClientId, request: RequestId) -> Self {
        Self {
            client: Some(client.0),
            request: Some(request.0),
            job: None,
        }
    }

    const fn of_job(job: JobId) -> Self {
        Self {
            client: None,
            request: None,
            job: Some(job.0),
        }
    }
}

impl From<WaiterId> for Ids {
    fn from(waiter: WaiterId) -> Self {
        match waiter {
            WaiterId::Request(client, request) => Self::of_request(client, request),
            WaiterId::Submitted(job) => Self::of_job(job),
        }
    }
}

impl From<&Waiter> for Ids {
    fn from(waiter: &Waiter) -> Self {
        let job = waiter.watched().map(|job| job.0);
        let ids = Self::from(waiter.id());
        Self {
            client: Some(waiter.payer().client.0),
            job: ids.job.or(job),
            ..ids
        }
    }
}

/// Whether requests and their work may be logged: anything of this level is. Where nothing is, this is one comparison.
/// To ask for one event by `tracing::enabled!` would leave the verdict to the next event of another module, where
/// layers have filters of their own.
#[inline]
pub(crate) fn is_logged() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// Logs that one begins to wait for work.
#[inline]
pub(super) fn waits(ids: impl Into<Ids>, work: WorkId, title: impl FnOnce() -> String, event: &'static str) {
    if is_logged() {
        let Ids { client, request, job } = ids.into();
        let (work, title) = (work.0, shortened(&title(), MAX_TITLE));
        tracing::debug!(client, request, job, work, title, "{event}");
    }
}

/// Logs that the questions of a batch begin to wait.
#[inline]
pub(super) fn wait_together(client: ClientId, work: WorkId, questions: &VecDeque<Plain>) {
    if is_logged() {
        for (request, job) in questions {
            let ids = Ids::of_request(client, *request);
            waits(ids, work, || job.title().into_owned(), "work begins");
        }
    }
}

/// Logs that questions of a batch were answered by their first slices, which took this CPU time together.
#[inline]
pub(super) fn end_together(client: ClientId, work: WorkId, events: &[(RequestId, Event)], cpu: Duration) {
    if is_logged() {
        for (request, event) in events {
            if let Event::Final(reply) = event {
                let (outcome, cpu_us) = (outcome(reply), micros(cpu));
                tracing::debug!(
                    client = client.0,
                    request = request.0,
                    work = work.0,
                    outcome,
                    cpu_us,
                    "work ends"
                );
            }
        }
    }
}

/// Logs that a question of a batch has a number of its own from now on.
#[inline]
pub(super) fn goes_on_alone(client: ClientId, request: RequestId, batch: WorkId, work: WorkId) {
    if is_logged() {
        let (work, next_work) = (batch.0, work.0);
        tracing::debug!(
            client = client.0,
            request = request.0,
            work,
            next_work,
            "leaves its batch"
        );
    }
}

/// Logs that a request is about a submitted job.
pub(super) fn about(client: ClientId, request: RequestId, job: JobId, event: &'static str) {
    tracing::debug!(client = client.0, request = request.0, job = job.0, "{event}");
}

/// Logs that one waits no more, and why.
#[inline]
pub(super) fn lets_go(ids: impl Into<Ids>, outcome: &'static str) {
    if is_logged() {
        let Ids { client, request, job } = ids.into();
        tracing::debug!(client, request, job, outcome, "waits no more");
    }
}

/// Logs that the plan, or the external code, of a question panicked, or ended without an answer.
pub(super) fn failed(ids: impl Into<Ids>, title: &str) {
    let Ids { client, request, job } = ids.into();
    let title = shortened(title, MAX_TITLE);
    tracing::error!(
        client,
        request,
        job,
        title,
        "the job panicked, or ended without an answer; its request gets an error"
    );
}

impl Flow {
    /// Logs what happens to work.
    #[inline]
    pub(super) fn log(&self, work: WorkId, event: &'static str) {
        if is_logged() {
            for Ids { client, request, job } in self.ids(work) {
                tracing::debug!(client, request, job, work = work.0, "{event}");
            }
        }
    }

    /// Logs the end of work, while those that wait for it are still there.
    #[inline]
    pub(super) fn log_end(&self, work: WorkId, reply: &Reply, cpu: Duration) {
        if is_logged() {
            let outcome = outcome(reply);
            for Ids { client, request, job } in self.ids(work) {
                let cpu_us = micros(cpu);
                tracing::debug!(client, request, job, work = work.0, outcome, cpu_us, "work ends");
            }
        }
    }

    /// The names of all that wait for work.
    pub(super) fn ids(&self, work: WorkId) -> impl Iterator<Item = Ids> {
        self.waiters.of(work).map(Ids::from)
    }
}

impl Table {
    /// Logs the slices that a worker has run.
    #[inline]
    pub(in crate::engine) fn log_slices(&self, worker: WorkerId, done: &Done) {
        if LevelFilter::current() >= LevelFilter::TRACE {
            self.trace_slices(worker, done);
        }
    }

    /// The question that a task is worked on for, as lines show it; of a batch, that which was begun last, if it is
    /// there still.
    pub(in crate::engine) fn question_of(&self, done: &Done) -> Option<String> {
        let title = match &done.outcome {
            Outcome::Batch(batch) => batch.unfinished.last()?.question.title(),
            _ => self.flow.jobs.get(done.work)?.title().into(),
        };
        Some(shortened(&title, MAX_TITLE))
    }

    #[cold]
    fn trace_slices(&self, worker: WorkerId, done: &Done) {
        let lane = match worker.lane {
            Lane::Express => "express",
            Lane::Bulk => "bulk",
            Lane::Reserve => "reserve",
            Lane::External(lane) => self.lane_spec(lane).name,
        };
        let (work, cpu_us) = (done.work.0, micros(done.cpu));
        let slice = |Ids { client, request, job }| {
            tracing::trace!(client, request, job, work, lane, worker = worker.index, cpu_us, "slice");
        };
        match &done.outcome {
            Outcome::Untouched(_) => {}
            // Their slices were measured together.
            Outcome::Batch(batch) => requests_of(batch).for_each(slice),
            _ => self.flow.ids(done.work).for_each(slice),
        }
    }
}

/// The requests of a batch that were begun.
fn requests_of(batch: &Batch) -> impl Iterator<Item = Ids> {
    let answered = batch.news.iter().map(|(request, _)| *request);
    let unfinished = batch.unfinished.iter().map(|unfinished| unfinished.request);
    let running = batch.running.iter().map(|(request, _)| *request);
    let all = answered.chain(unfinished).chain(running);
    all.map(|request| Ids::of_request(batch.client, request))
}
