//! The table of jobs: what happens to each, and who waits for it. Plain data: time is an argument, events are a list.
//!
//! A job is in the `express` lane until its first slice is over, and then, if it is not answered, in `bulk`: its plan
//! cuts slices for as many workers as are free, or it is parked until it may begin, and begun anew (`memory`). Plain
//! questions pass the express lane as batches, and become jobs only if that is not enough. Work that is no plan is
//! `external`, in a lane of its own. `jobs` is the map of them all, `waiters` knows who waits for each, `submitted`
//! remembers what was submitted, `admission` refuses what is too much. Each of these alone changes what it owns; here
//! is what happens between them: in `asking` for what clients ask, in `storing` for the store, in `cluster` for a
//! cluster of daemons, and below for what workers and the clock bring. A job ends when it is answered, or when nobody
//! waits for it any more. Knows no actor, no thread and no socket.

mod admission;
mod allowances;
mod asking;
mod away;
mod backlog;
mod bulk;
mod cancels;
mod checkpoints;
mod cluster;
#[cfg(test)]
mod cluster_tests;
mod deferred;
mod express;
mod external;
mod flow;
#[cfg(test)]
mod idle_tests;
mod jobs;
mod log;
mod measured;
mod memory;
mod outbox;
mod owners;
mod parts;
mod spans;
#[cfg(test)]
mod store_tests;
mod storing;
mod submitted;
#[cfg(test)]
mod tests;
mod unwritten;
mod view;
mod wait_queue;
mod waiters;
mod wall;

pub(super) use external::HandedOut;
pub(crate) use log::is_logged;
pub(super) use outbox::{Events, Found as FoundAnswer};

use super::external::{ActorReply, ExternalLane};
use super::lanes::LaneId;
use super::message::{Account, ClientId, JobId, Payer, Policy, RequestId, WorkId};
use super::task::{Done, Outcome, Task};
use crate::auth::UserLimits;
use crate::caught::{Panicked, caught};
use crate::metrics::{LaneMetrics, StateMetrics, VerbLabel};
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::StoredJob;
use admission::Admission;
use allowances::Allowances;
use bulk::NoSlice;
use external::External;
use flow::{Flow, overload};
use jobs::{Entry, WorkState};
use measured::Measured;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use submitted::{Submitted, taken_back};
use unwritten::Says;
use waiters::{Due, WaiterId};

/// All jobs that are not answered, and what is remembered of those that are.
pub(super) struct Table {
    admission: Admission,
    allowances: Allowances,
    /// Why the store takes nothing for now.
    store_outage: Option<Failure>,
    /// Why no job is ever taken in here.
    only_works: Option<Failure>,
    flow: Flow,
}

/// When work begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    Now,
    /// When the store has it.
    Stored,
    /// At a time of its own, and not together with an equal job.
    Later,
}

impl Table {
    /// An empty table, whose plans run on `workers` threads at once.
    pub(super) fn new(policy: Policy, workers: usize, now: Instant) -> Self {
        Self {
            admission: Admission::new(&policy),
            allowances: Allowances::default(),
            store_outage: None,
            only_works: None,
            flow: Flow::new(
                WorkId(1),
                External::default(),
                Submitted::new(JobId(1), &policy, false, now),
                policy,
                workers,
                now,
            ),
        }
    }

    /// A table that takes the place of this one, which broke in the midst of a change. Nothing of it is trusted but the
    /// limits and what accounts have used of them, what was submitted, the lanes, and the names that must not be used
    /// again; all work is stopped. What was submitted and runs is given back, to be [resumed](Self::resume); without a
    /// store it has failed.
    pub(super) fn rebuilt(self, policy: Policy, workers: usize, now: Instant) -> (Self, Vec<StoredJob>) {
        let Self {
            admission,
            allowances,
            only_works,
            flow,
            ..
        } = self;
        let ((work, job), keeps) = (flow.next(), flow.submitted.keeps());
        // Threads and actors are known by the numbers of their lanes.
        let lanes = flow.external.lanes_alone();
        // Another panic, as of a plan that is dropped, must not be the end of the rebuilding.
        let kept = caught(move || flow.take_apart(now));
        let (external, (submitted, unfinished)) = kept.unwrap_or_else(|Panicked| {
            let none = Submitted::new(job, &policy, keeps, now);
            (lanes, (none, Vec::new()))
        });
        let flow = Flow::new(work, external, submitted, policy, workers, now);
        let table = Self {
            admission,
            allowances,
            store_outage: None,
            only_works,
            flow,
        };
        (table, unfinished)
    }

    /// For now nothing is taken in, and this is the answer; `None`: it is again.
    pub(super) fn set_outage(&mut self, outage: Option<Failure>) {
        self.admission.set_outage(outage);
    }

    /// From now on no job is taken in, and submits are answered so.
    #[cfg(feature = "cluster")]
    pub(super) fn only_work(&mut self, failure: Failure) {
        self.only_works = Some(failure);
    }

    /// How much an account may use from now on.
    pub(super) fn set_limits(&mut self, payer: Payer, limits: UserLimits, now: Instant) {
        self.allowances.set(payer, limits, now);
    }

    /// Answers a request that was not for the table.
    pub(super) fn reply(&mut self, client: ClientId, request: RequestId, reply: Reply) {
        self.flow.outbox.reply(client, request, reply);
    }

    /// How many jobs there are, and questions that may become some.
    pub(super) fn len(&self) -> usize {
        self.flow.jobs.len() + self.flow.express.questions()
    }

    /// First slices for an express worker, several if more wait than there are `free` workers.
    pub(super) fn next_express(&mut self, free: usize) -> Vec<Task> {
        self.flow.express.next(free, &self.flow.jobs)
    }

    /// The next slice of the long job whose turn it is.
    pub(super) fn next_bulk(&mut self) -> Option<Task> {
        loop {
            match self.flow.bulk.next(&self.flow.jobs, self.flow.now)? {
                Ok(task) => {
                    self.flow.slice_begun(task.work);
                    return Some(task);
                }
                Err(NoSlice::Deferred(work)) => self.flow.count_again(work),
                Err(NoSlice::Rows(work)) => self.flow.deliver_more(work),
                Err(NoSlice::Fault(work)) => self.flow.end_by_fault(work),
            }
        }
    }

    /// An external task for which there is a slot, in a lane that takes one now.
    pub(super) fn next_external(&mut self, takes: impl Fn(LaneId) -> bool) -> Option<HandedOut> {
        self.flow.external.next(takes, self.flow.now)
    }

    /// Takes in what became of a task. A job that nobody waits for any more is unknown here, and its result is dropped.
    pub(super) fn finished(&mut self, done: Done, now: Instant) {
        self.flow.now = now;
        self.spend(&done);
        self.flow.finished(done);
    }

    /// The client that a task is worked on for; of several who wait for one job, the one whose share it uses.
    pub(super) fn client_of(&self, done: &Done) -> Option<ClientId> {
        match &done.outcome {
            Outcome::Batch(batch) => Some(batch.client),
            _ => Some(self.flow.jobs.get(done.work)?.payer().client),
        }
    }

    /// The verb that a task is worked on for; of a batch, that of the question that was begun last.
    pub(super) fn verb_of(&self, done: &Done) -> VerbLabel {
        match &done.outcome {
            Outcome::Batch(batch) => batch.verbs.last().copied().unwrap_or_default(),
            _ => self.flow.jobs.get(done.work).map_or(VerbLabel::UNKNOWN, Entry::verb),
        }
    }

    /// Charges the CPU time of a task to the allowance of its account.
    fn spend(&mut self, done: &Done) {
        let account = match &done.outcome {
            Outcome::Batch(batch) => self.allowances.account_of(batch.client),
            _ => self.flow.jobs.account_of(done.work),
        };
        if let Some(account) = account {
            self.allowances.spend(account, done.cpu, self.flow.now);
        }
    }

    /// Takes in what an actor says of a call.
    pub(super) fn said(&mut self, work: WorkId, what: ActorReply, now: Instant) {
        self.flow.now = now;
        if !matches!(what, ActorReply::Row(_)) {
            self.free_slot(work, now);
        }
        self.flow.said(work, what);
    }

    /// The code or actor that worked on an external task has let go of it.
    pub(super) fn free_slot(&mut self, work: WorkId, now: Instant) {
        self.flow.external.free_slot(work, now);
    }

    /// An external task cannot be worked on.
    pub(super) fn cannot_run(&mut self, work: WorkId, failure: Failure) {
        self.free_slot(work, self.flow.now);
        self.flow.end(work, Err(failure));
    }

    /// Lets a client have more rows.
    pub(super) fn grant(&mut self, client: ClientId, request: RequestId, rows: usize, now: Instant) {
        self.flow.now = now;
        let Some(work) = self.flow.waiters.grant(WaiterId::Request(client, request), rows) else {
            return;
        };
        let Some(payer) = self.flow.jobs.get(work).map(Entry::payer) else {
            return;
        };
        if let Some(question) = self.flow.jobs.begin_held(work, now) {
            let begin_by = self.flow.now.checked_add(self.flow.max_age);
            self.flow.jobs.set_begin_by(work, begin_by);
            return self.flow.begin(work, payer, question);
        }
        match self.flow.jobs.get(work).map(Entry::state) {
            Some(WorkState::Bulk) => self.flow.deliver_plan(work, payer),
            Some(WorkState::External) => self.flow.deliver_external(work),
            Some(WorkState::List) => self.flow.send_list(work),
            _ => {}
        }
    }

    /// The client no longer wants this answer, and gets an error instead. It gets nothing if this is a submit whose job
    /// the store does not have yet, and nothing more if that has been answered.
    pub(super) fn cancel(&mut self, client: ClientId, request: RequestId, now: Instant) {
        self.flow.now = now;
        let failure = Failure::new(Code::Cancelled, "cancelled as asked");
        let was_waiting = self.flow.refuse(WaiterId::Request(client, request), failure);
        // A submit whose ID its client does not have yet: nobody will know the job.
        if !was_waiting && let Some((job, work)) = self.flow.submitted.cancel_submit(client, request) {
            self.flow.end_submitted(job, work, &taken_back());
        }
    }

    /// Ends all that plans have to answer, with this failure, but for the submitted jobs that a store has.
    pub(super) fn refuse_plans(&mut self, failure: &Failure) {
        self.refuse_if(failure, |state| {
            matches!(state, WorkState::Express | WorkState::Parked | WorkState::Bulk)
        });
    }

    /// Ends everything that is left, with this failure, but for the submitted jobs that a store has.
    pub(super) fn refuse_all(&mut self, failure: &Failure) {
        self.refuse_if(failure, |_| true);
        for (client, request) in self.flow.cancels.take() {
            self.flow.outbox.reply(client, request, Err(failure.clone()));
        }
        // They wait for the store, which may not come to it any more.
        for held in self.flow.unwritten.take() {
            let reply = if held.says == Says::Cancelled {
                Err(failure.clone())
            } else {
                held.reply
            };
            self.flow.outbox.reply(held.client, held.request, reply);
        }
        for (client, request) in self.flow.submitted.take_unacknowledged() {
            self.flow.outbox.reply(client, request, Err(unknown_submit()));
        }
    }

    /// How many submitted jobs have not ended of which it is not known whether the store will have them.
    pub(super) fn unstored(&self) -> usize {
        self.flow.submitted.running().len() - self.flow.submitted.stored().count()
    }

    /// Ends what is in such a state, and plain questions, but for the submitted jobs that a store has.
    fn refuse_if(&mut self, failure: &Failure, is_meant: impl Fn(&WorkState) -> bool) {
        let keeps = self.flow.submitted.keeps();
        for waiter in self.flow.waiters.all() {
            let is_kept = keeps && matches!(waiter, WaiterId::Submitted(_));
            let work = self.flow.waiters.work_of(waiter);
            let entry = work.and_then(|work| self.flow.jobs.get(work));
            if !is_kept && entry.is_some_and(|entry| is_meant(entry.state())) {
                self.flow.refuse(waiter, failure.clone());
            }
        }
        for (client, request) in self.flow.express.plain() {
            self.flow.refuse(WaiterId::Request(client, request), failure.clone());
        }
    }

    /// The client is gone: what it waits for is cancelled, and nothing is sent. What it submitted goes on.
    pub(super) fn leave(&mut self, client: ClientId, now: Instant) {
        self.flow.now = now;
        for waiter in self.flow.waiters.requests_of(client) {
            if let Some(removed) = self.flow.waiters.remove(waiter) {
                log::lets_go(waiter, "the client is gone");
                self.flow.removed(removed);
            }
        }
        let plain = self.flow.express.remove_all_plain(client);
        self.flow.waiters.uncount_questions(client, plain);
        self.flow.outbox.forget(client);
        self.flow.unwritten.forget(client);
        self.flow.cancels.forget(client);
        self.flow.waiters.leave(client);
        self.allowances.leave(client);
        self.flow.forget_clients();
    }

    /// Advances the clock to `now`: deadlines pass, progress is sent, and what has waited for too long is refused.
    pub(super) fn tick(&mut self, now: Instant) {
        self.flow.now = now;
        self.flow.refuse_late();
        self.flow.defer_unbegun();
        while let Some(due) = self.flow.waiters.due(now) {
            match due {
                Due::Deadline(waiter, watched) => self.late(waiter, watched),
                Due::Progress(waiter, work) => self.flow.report(waiter, work),
            }
        }
        while let Some(work) = self.flow.submitted.due(now) {
            self.flow.begin_submitted(work);
        }
        self.flow.submitted.forget_due(now);
        while let Some(work) = self.flow.bulk.take_idle_due(now) {
            self.cut_again(work);
        }
        while let Some(job) = self.flow.unwritten.take_late(now) {
            self.flow.end_shared(job);
        }
    }

    /// A deadline has passed: of a question, of a submitted job and so of all that watch it, or of one that watches a
    /// job that goes on.
    fn late(&mut self, waiter: WaiterId, watched: Option<JobId>) {
        let text = match watched {
            None => "the deadline passed; the work was stopped".to_owned(),
            Some(job) => format!("the deadline passed; job {job} goes on, 'result {job}' waits for it"),
        };
        let failure = Failure::new(Code::Deadline, text);
        match (waiter, self.flow.waiters.work_of(waiter)) {
            (WaiterId::Submitted(job), Some(work)) => self.flow.end_submitted(job, work, &failure),
            _ => {
                self.flow.refuse(waiter, failure);
            }
        }
    }

    /// The next moment for [`tick`](Self::tick).
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let alarms = [
            self.flow.waiters.next_alarm(),
            self.flow.express.next_alarm(),
            self.flow.submitted.next_alarm(),
            self.flow.deferred.next_alarm(),
            self.flow.bulk.next_alarm(),
            self.flow.unwritten.next_alarm(),
        ];
        alarms.into_iter().flatten().min()
    }

    /// From now on nothing new is taken in. Submitted jobs that a store has stop at once, for the next process goes on
    /// with them.
    pub(super) fn drain(&mut self, now: Instant) {
        self.flow.now = now;
        self.admission.drain();
        if self.flow.submitted.keeps() {
            self.flow.suspend();
        }
    }

    /// Answers that may be kept, since the last time.
    pub(super) fn take_found(&mut self) -> Vec<FoundAnswer> {
        self.flow.outbox.take_found()
    }

    /// Titles of questions whose answers were verified, and whether they have passed, since the last time.
    pub(super) fn take_verified(&mut self) -> Vec<(String, bool)> {
        self.flow.outbox.take_verified()
    }

    /// A submitted job that has its answer, as it was before it began, and the answer.
    ///
    /// # Errors
    /// `no-job` if there is none, or it has no answer.
    pub(super) fn answered(
        &mut self,
        job: JobId,
        scope: Option<Account>,
        now: Instant,
    ) -> Result<(StoredJob, Value), Failure> {
        self.flow.submitted.check_owner(job, scope)?;
        self.flow.submitted.answered(job, now)
    }

    /// What is to be sent, since the last time.
    pub(super) fn take_events(&mut self) -> Vec<(ClientId, Events)> {
        self.flow.forget_clients();
        self.flow.outbox.take_events()
    }

    /// A description of a lane.
    pub(super) fn lane_spec(&self, lane: LaneId) -> &Arc<ExternalLane> {
        self.flow.external.spec(lane)
    }

    /// What has been measured since the last time.
    pub(super) fn measured(&mut self) -> &mut Measured {
        &mut self.flow.measured
    }

    /// How many jobs are in which state.
    pub(super) fn show_states(&self, states: &StateMetrics) {
        let flow = &self.flow;
        let (memory, parked) = flow.bulk.in_use();
        let figures = [
            (&states.queued, flow.express.queued()),
            (&states.parked, parked),
            (&states.running, flow.bulk.running()),
            (&states.submitted, flow.waiters.submitted_by_all()),
        ];
        for (state, count) in figures {
            state.store(count as u64, Relaxed);
        }
        states.memory.store(memory, Relaxed);
    }

    /// What each lane is doing.
    pub(super) fn lane_metrics(&self) -> impl Iterator<Item = &Arc<LaneMetrics>> {
        self.flow.external.metrics()
    }
}

/// The reply to a submit that the store has not confirmed when the daemon ends.
fn unknown_submit() -> Failure {
    let text = "the daemon shut down before the store had it: the job may or may not be taken in; \
                submitted again with the same id=, it is taken in once";
    Failure::new(Code::Store, text)
}

/// The refusal of one more question, which would wait for longer than this.
fn queue_is_long(patience: Duration) -> Failure {
    let retry = patience.as_millis().clamp(100, 1_000);
    Failure::new(Code::Busy, format!("{}; retry-ms={retry}", overload(patience)))
}
