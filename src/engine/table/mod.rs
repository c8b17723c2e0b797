//! The table of jobs: what happens to each, and who waits for it. Plain data: time is an argument, events are a list.
//!
//! A job is in the `express` lane until its first slice is over, and then, if it is not answered, in `bulk`: its plan cuts slices for as
//! many workers as are free, or it is parked until it may begin, and begun anew (`memory`). Plain questions pass the express lane as
//! batches, and become jobs only if that is not enough. Work that is no plan is `external`, in a lane of its own. `jobs` is the map of them
//! all, `waiters` knows who waits for each, `submitted` remembers what was submitted, `admission` refuses what is too much. Each of these
//! alone changes what it owns; here is what happens between them. A job ends when it is answered, or when nobody waits for it any more.
//! Knows no actor, no thread and no socket.

mod admission;
mod allowances;
mod backlog;
mod bulk;
mod express;
mod external;
mod flow;
mod jobs;
mod log;
mod measured;
mod memory;
mod outbox;
mod submitted;
#[cfg(test)]
mod tests;
mod view;
mod waiters;
mod wall;

pub(super) use external::{HandedOut, LaneId};
pub(super) use outbox::{Events, Found as FoundAnswer};

use super::batch::Plain;
use super::caught::{Panicked, caught};
use super::external::{ExternalLane, Saying};
use super::message::{
    Account, Ask, ClientId, Event, JobId, Order, Payer, Policy, Priority, RequestId, Selection, Subject, Submit, Work,
    WorkId,
};
use super::restored::Restored;
use super::task::{Done, Outcome, Task};
use crate::auth::UserLimits;
use crate::job::Job;
use crate::metrics::{LaneMetrics, StateMetrics};
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::{Record, StoredJob, Submission, Timestamp};
use admission::{Admission, Limits, Standing};
use allowances::Allowances;
use external::External;
use flow::{Flow, overload};
use jobs::{Entry, Stage};
use log::Ids;
use measured::Measured;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use submitted::{Found, Keyed, Submitted, job_id};
use waiters::{Due, Holder, Waiter};

/// All jobs that are not answered, and what is remembered of those that are.
pub(super) struct Table {
    admission: Admission,
    allowances: Allowances,
    /// Why the store takes nothing for now.
    store_outage: Option<Failure>,
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

    /// A table that takes the place of this one, which broke in the midst of a change. Nothing of it is trusted but what was submitted, the
    /// lanes, and the names that must not be used again; all work is stopped. What was submitted and runs is given back, to be
    /// [resumed](Self::resume); without a store it has failed.
    pub(super) fn rebuilt(self, policy: Policy, workers: usize, now: Instant) -> (Self, Vec<StoredJob>) {
        let Self {
            admission,
            allowances,
            flow,
            ..
        } = self;
        let ((work, job), keeps) = (flow.next(), flow.submitted.keeps());
        // Another panic, as of a plan that is dropped, must not be the end of the rebuilding.
        let kept = caught(move || flow.take_apart(now));
        let (external, (submitted, unfinished)) = kept.unwrap_or_else(|Panicked| {
            let none = Submitted::new(job, &policy, keeps, now);
            (External::default(), (none, Vec::new()))
        });
        let flow = Flow::new(work, external, submitted, policy, workers, now);
        let table = Self {
            admission,
            allowances,
            store_outage: None,
            flow,
        };
        (table, unfinished)
    }

    /// For now nothing is taken in, and this is the answer; `None`: it is again.
    pub(super) fn set_outage(&mut self, outage: Option<Failure>) {
        self.admission.set_outage(outage);
    }

    /// How much an account may use from now on.
    pub(super) fn set_limits(&mut self, payer: Payer, limits: UserLimits, now: Instant) {
        self.allowances.set(payer, limits, now);
    }

    /// Takes in an order of a client.
    pub(super) fn take_in(&mut self, payer: Payer, order: Order, now: Instant) {
        self.flow.now = now;
        let request = order.request;
        match self.ask(payer, order) {
            Ok(None) => {}
            Ok(Some(value)) => self.flow.outbox.reply(payer.client, request, Ok(value)),
            Err(failure) => self.flow.outbox.reply(payer.client, request, Err(failure)),
        }
    }

    /// What is known at once, if it is; or else the client waits from now on.
    fn ask(&mut self, payer: Payer, order: Order) -> Result<Option<Value>, Failure> {
        let waiter = Waiter::of(payer, &order, self.flow.now);
        let (client, request) = (payer.client, order.request);
        let scope = order.is_confined.then_some(payer.account);
        match order.ask {
            Ask::Answer(work) => drop(self.wait_for(waiter, work, Begins::Now, Priority::Normal)?),
            Ask::Submit(submit) => return self.submit(payer, order.request, waiter, *submit),
            Ask::Watch(job) => {
                self.flow.submitted.check_owner(job, scope)?;
                log::about(client, request, job, "watches");
                return self.watch(waiter.of_watch(job, self.flow.now), job);
            }
            Ask::Result(job) => {
                self.flow.submitted.check_owner(job, scope)?;
                log::about(client, request, job, "waits for the result");
                return self.watch(waiter.of_result(job), job);
            }
            Ask::Cancel(job) => {
                self.flow.submitted.check_owner(job, scope)?;
                log::about(client, request, job, "cancels");
                let Found::Running(work) = self.flow.submitted.find(job, self.flow.now)? else {
                    return Err(Failure::new(Code::NoJob, format!("job {job} has ended already")));
                };
                let failure = Failure::new(Code::Cancelled, format!("job {job} was cancelled"));
                self.flow.end_submitted(job, work, &failure);
                return Ok(Some(Value::Nothing));
            }
            // The scheduler has the answers, and makes work of questions.
            Ask::Forget(_) | Ask::Verify(_) => return Ok(Some(Value::Nothing)),
            Ask::CancelMany(which) => return self.cancel_many(payer, which, scope).map(Some),
            Ask::List => {
                self.admission
                    .check_list(self.flow.waiters.counts(payer.account).lists)?;
                let id = self.flow.jobs.name();
                let list = Entry::new(String::new(), payer, Stage::List, self.flow.now).streaming(true);
                self.flow.jobs.insert(id, list);
                self.flow.waiters.add(id, waiter.of_list());
                self.flow.submitted.confine_list(id, scope);
                self.flow.send_list(id);
            }
        }
        Ok(None)
    }

    /// Takes in a submitted job. Its ID is sent once the store has it; without a store, at once.
    fn submit(
        &mut self,
        payer: Payer,
        request: RequestId,
        waiter: Waiter,
        submit: Submit,
    ) -> Result<Option<Value>, Failure> {
        let now = self.flow.now;
        let title = submit.subject.title().into_owned();
        // Users do not meet in their keys.
        let key = submit.key.map(|key| match payer.account {
            Account::User(name) => format!("{name}:{key}"),
            Account::Process | Account::Address(_) => key,
        });
        if let Some(key) = &key {
            match self.flow.submitted.keyed(key, &title, (payer.client, request))? {
                Keyed::Known(job) => {
                    log::about(payer.client, request, job, "submits again, by the key");
                    return Ok(Some(job_id(job)));
                }
                Keyed::Soon => return Ok(None),
                Keyed::Free => {}
            }
        }
        if let Some(outage) = &self.store_outage {
            return Err(outage.clone());
        }
        let job = self.flow.submitted.next();
        let not_before = submit.after.and_then(|after| now.checked_add(after));
        let wall = *self.flow.submitted.wall();
        let submission = Submission {
            job,
            request: submit.request,
            title,
            key,
            owner: payer.account.to_string(),
            priority: submit.priority,
            submitted_at: wall.at(now),
            not_before: not_before.map(|at| wall.at(at)),
            deadline: waiter.deadline().map(|at| wall.at(at)),
        };
        match submit.subject {
            Subject::Known { value, .. } => {
                log::about(payer.client, request, job, "submits; the answer is known");
                self.flow
                    .submitted
                    .open_known(submission, payer.client, Ok(value), request, now);
            }
            Subject::Work(work) => {
                let begins = match not_before {
                    Some(_) => Begins::Later,
                    None if self.flow.submitted.keeps() => Begins::Stored,
                    None => Begins::Now,
                };
                let work = self.wait_for(waiter.submitted(job), work, begins, submit.priority)?;
                log::about(payer.client, request, job, "submits");
                self.flow
                    .submitted
                    .open(submission, payer.client, work, not_before, request);
            }
        }
        if !self.flow.submitted.keeps() {
            self.flow.acknowledge(job);
        }
        Ok(None)
    }

    /// Takes in the jobs of an earlier process, which a store has, and names no job up to `last` again.
    pub(super) fn restore(&mut self, jobs: Vec<Restored>, last: u64, now: Instant) {
        self.flow.now = now;
        self.flow.submitted.keep(last);
        for job in self.take_back(jobs) {
            self.flow.submitted.go_on(job, now);
        }
        self.flow.submitted.restored(now);
    }

    /// Goes on with the jobs of a table that broke. That is no start which the store counts: a plan that panics is caught, so it
    /// was not their
    /// fault; if it is, the process ends of it, and the next one counts.
    pub(super) fn resume(&mut self, jobs: Vec<Restored>, now: Instant) {
        self.flow.now = now;
        for job in self.take_back(jobs) {
            if let Some(work) = self.flow.submitted.begins(job, now) {
                self.flow.begin_submitted(work);
            }
        }
    }

    /// Takes in jobs with their work, which is held, and gives those that are to go on.
    fn take_back(&mut self, jobs: Vec<Restored>) -> Vec<JobId> {
        // Jobs of one owner share one part of the CPU, as they did; no connection has such a name.
        let mut owners: HashMap<String, ClientId> = HashMap::new();
        let mut unfinished = Vec::new();
        for restored in jobs {
            if restored.stored.end.is_some() {
                self.flow.submitted.restore(&restored, None, self.flow.now);
                continue;
            }
            let free = ClientId(u64::MAX - owners.len() as u64);
            let owner = restored.stored.submission.owner.clone();
            // A store of an earlier version has other owners.
            let account = owner.parse().unwrap_or(Account::Process);
            let client = *owners.entry(owner).or_insert(free);
            unfinished.extend(self.take_back_unfinished(Payer { account, client }, restored));
        }
        unfinished
    }

    /// Takes in a job that has not ended; its name, unless it ends here.
    fn take_back_unfinished(&mut self, payer: Payer, restored: Restored) -> Option<JobId> {
        let now = self.flow.now;
        let id = self.flow.jobs.name();
        self.flow.submitted.restore(&restored, Some(id), now);
        let Submission {
            job,
            deadline,
            priority,
            ..
        } = restored.stored.submission;
        let subject = match Submitted::given_up(&restored.stored) {
            Some(failure) => Err(failure),
            None => restored.subject,
        };
        let work = match subject {
            Ok(Subject::Work(work)) => work,
            Ok(Subject::Known { value, .. }) => {
                self.flow.submitted.finish(job, Ok(value), Duration::ZERO, now);
                return None;
            }
            Err(failure) => {
                self.flow.submitted.finish(job, Err(failure), Duration::ZERO, now);
                return None;
            }
        };
        let wall = *self.flow.submitted.wall();
        let deadline = deadline.map(|at| wall.instant(at, now));
        let entry = Entry::new(work.title().into_owned(), payer, Stage::Express, now);
        let entry = entry
            .kept(work.is_kept())
            .of_verb(work.verb())
            .urgent(priority)
            .verifying(work.verifies())
            .submitted(true);
        self.flow.jobs.insert(id, entry);
        self.flow.jobs.set_stage(id, Stage::Held(work));
        let waiter = Waiter::plain(payer, RequestId::MIN, now).submitted(job).until(deadline);
        self.flow.waiters.add(id, waiter);
        Some(job)
    }

    /// The store has these submitted jobs.
    pub(super) fn acknowledge(&mut self, jobs: Vec<JobId>, now: Instant) {
        self.flow.now = now;
        jobs.into_iter().for_each(|job| self.flow.acknowledge(job));
    }

    /// The store does not take these submitted jobs.
    pub(super) fn withdraw(&mut self, jobs: Vec<JobId>, failure: &Failure, now: Instant) {
        self.flow.now = now;
        jobs.into_iter().for_each(|job| self.flow.withdraw(job, failure));
    }

    /// Answers a request that was not for the table.
    pub(super) fn reply(&mut self, client: ClientId, request: RequestId, reply: Reply) {
        self.flow.outbox.reply(client, request, reply);
    }

    /// For now the store takes nothing, and submits are answered so; `None`: it does again.
    pub(super) fn set_store_outage(&mut self, outage: Option<Failure>) {
        self.store_outage = outage;
    }

    /// It is this time of day.
    pub(super) fn set_time(&mut self, now: Instant, time: Timestamp) {
        self.flow.submitted.wall().set(now, time);
    }

    /// What the store is to write, since the last time.
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        self.flow.submitted.take_records()
    }

    /// Ends several submitted jobs; answered by their number.
    fn cancel_many(&mut self, payer: Payer, which: Selection, scope: Option<Account>) -> Result<Value, Failure> {
        let (jobs, none) = match which {
            Selection::Jobs(mut jobs) => {
                jobs.retain(|job| self.flow.submitted.check_owner(*job, scope).is_ok());
                (jobs, "none of these jobs is under way; 'jobs' lists them".to_owned())
            }
            Selection::Own => (
                self.flow.submitted.running_of(payer.account),
                format!("{} has no submitted job under way", payer.account),
            ),
            Selection::Of(account) if scope.is_some_and(|own| own != account) => {
                let text = "only a user of the role operate may cancel the jobs of others";
                return Err(Failure::new(Code::Denied, text));
            }
            Selection::Of(account) => (
                self.flow.submitted.running_of(account),
                format!("{account} has no submitted job under way"),
            ),
        };
        let mut cancelled = 0_u64;
        for job in jobs {
            if let Ok(Found::Running(work)) = self.flow.submitted.find(job, self.flow.now) {
                let failure = Failure::new(Code::Cancelled, format!("job {job} was cancelled"));
                self.flow.end_submitted(job, work, &failure);
                cancelled += 1;
            }
        }
        match cancelled {
            0 => Err(Failure::new(Code::NoJob, none)),
            _ => Ok(Value::Text(format!("cancelled={cancelled}"))),
        }
    }

    /// Lets one wait for work: for an equal long job that is there, or for a new one.
    fn wait_for(&mut self, waiter: Waiter, work: Work, begins: Begins, priority: Priority) -> Result<WorkId, Failure> {
        let payer = waiter.payer();
        let title = work.title().into_owned();
        let duplicate = match &work {
            Work::Plan(job) if !job.streams && begins != Begins::Later => self.flow.jobs.duplicate_of(&title),
            _ => None,
        };
        let new = duplicate.is_none().then_some(title.len());
        let is_submitted = waiter.is_submitted();
        let standing = match is_submitted {
            true => self.standing_of_submitted(payer),
            false => self.standing(payer),
        };
        self.admission.check(standing, new)?;
        self.allowances.check(payer.account, standing, self.flow.now)?;
        let mut begin_by = None;
        if !is_submitted && duplicate.is_none() && matches!(work, Work::Plan(_)) {
            self.check_wait(payer, waiter.deadline())?;
            begin_by = match waiter.deadline() {
                None => self.flow.now.checked_add(self.flow.max_age),
                // It says itself how long it may wait.
                Some(_) => None,
            };
        }
        if let Work::External(task) = &work {
            self.flow.external.admit(task)?;
        }
        let id = duplicate.unwrap_or_else(|| self.flow.jobs.name());
        let event = duplicate.map_or("work begins", |_| "joins equal work");
        log::waits(&waiter, id, || title.clone(), event);
        if duplicate.is_none() {
            let entry = Entry::new(title, payer, Stage::Express, self.flow.now);
            let entry = entry
                .streaming(work.streams())
                .kept(work.is_kept())
                .of_verb(work.verb())
                .urgent(priority)
                .verifying(work.verifies())
                .submitted(is_submitted)
                .begin_by(begin_by);
            self.flow.jobs.insert(id, entry);
            self.allowances.begin(id, payer.account);
            if begins != Begins::Now || (work.streams() && waiter.has_no_credit()) {
                self.flow.jobs.set_stage(id, Stage::Held(work));
            } else {
                self.flow.begin(id, payer, work);
            }
        } else {
            self.flow.raise(id, priority);
        }
        self.flow.waiters.add(id, waiter);
        Ok(id)
    }

    /// Whether one more question would be begun in time.
    fn check_wait(&self, payer: Payer, deadline: Option<Instant>) -> Result<(), Failure> {
        let (flow, max_age) = (&self.flow, self.flow.max_age);
        let (has_room, patience) = match deadline {
            None => (flow.express.room(payer, max_age) > 0, max_age),
            Some(deadline) => {
                let patience = deadline.saturating_duration_since(flow.now);
                (flow.express.has_room_within(payer, patience), patience)
            }
        };
        if has_room { Ok(()) } else { Err(queue_is_long(patience)) }
    }

    /// Lets one wait for a submitted job.
    fn watch(&mut self, waiter: Waiter, job: JobId) -> Result<Option<Value>, Failure> {
        match self.flow.submitted.find(job, self.flow.now)? {
            Found::Running(work) if self.flow.jobs.get(work).is_some() => self.flow.waiters.add(work, waiter),
            Found::Running(_) => {
                let text = format!("the daemon is shutting down; job {job} goes on when it is back");
                return Err(Failure::new(Code::Draining, text));
            }
            Found::Done(reply) => return reply.clone().map(Some),
        }
        Ok(None)
    }

    /// Takes in plain questions of a client, in the order of their requests.
    pub(super) fn take_in_plain(&mut self, payer: Payer, questions: Vec<Plain>, now: Instant) {
        self.flow.now = now;
        let questions = self.join_duplicates(payer, questions);
        if questions.is_empty() {
            return;
        }
        let (client, max_age) = (payer.client, self.flow.max_age);
        let standing = self.standing(payer);
        let room = self.flow.express.room(payer, max_age);
        let (mut titles, mut refused) = (0, Vec::new());
        let mut admitted = VecDeque::with_capacity(questions.len());
        for (request, job) in questions {
            let title = job.title_bytes();
            let admitted_so_far = standing.with(admitted.len(), titles);
            let allowance = self.allowances.check(payer.account, admitted_so_far, now);
            let admission = allowance.and_then(|()| self.admission.check(admitted_so_far, Some(title)));
            let admission = admission.and_then(|()| match admitted.len() < room {
                true => Ok(()),
                false => Err(queue_is_long(max_age)),
            });
            match admission {
                Ok(()) => {
                    let ids = Ids::of_request(client, request);
                    log::waits(ids, self.flow.jobs.next(), || job.title().into_owned(), "work begins");
                    titles += title;
                    admitted.push_back((request, job));
                }
                Err(failure) => refused.push((request, Event::Final(Err(failure)))),
            }
        }
        self.flow.outbox.push_all(client, refused);
        if !admitted.is_empty() {
            self.flow.waiters.hold(payer, admitted.len());
            let id = self.flow.jobs.name();
            self.flow.express.push_batch(payer, id, titles, now, max_age, admitted);
        }
        #[cfg(test)]
        crate::engine::planted::here();
    }

    /// Lets the questions that equal a long job wait for that, and gives back the others.
    fn join_duplicates(&mut self, payer: Payer, questions: Vec<Plain>) -> Vec<Plain> {
        if !self.flow.jobs.has_long() {
            return questions;
        }
        let is_duplicate = |job: &Job| !job.is_brief() && self.flow.jobs.duplicate_of(&job.title()).is_some();
        let (equal, questions): (Vec<Plain>, Vec<Plain>) =
            questions.into_iter().partition(|(_, job)| is_duplicate(job));
        for (request, job) in equal {
            if let Err(failure) = self.wait_for(
                Waiter::plain(payer, request, self.flow.now),
                job.into(),
                Begins::Now,
                Priority::Normal,
            ) {
                self.flow.outbox.reply(payer.client, request, Err(failure));
            }
        }
        questions
    }

    fn standing(&self, payer: Payer) -> Standing {
        let Flow {
            waiters, jobs, express, ..
        } = &self.flow;
        Standing {
            limits: Limits::Questions,
            held: waiters.counts(payer.account).questions,
            accounts: waiters.accounts(),
            jobs: jobs.asked() + express.questions(),
            title_bytes: jobs.title_bytes() - jobs.submitted_title_bytes() + express.title_bytes(),
        }
    }

    fn standing_of_submitted(&self, payer: Payer) -> Standing {
        let Flow { waiters, jobs, .. } = &self.flow;
        Standing {
            limits: Limits::Submitted,
            held: waiters.counts(payer.account).submitted,
            accounts: waiters.accounts(),
            jobs: waiters.submitted_by_all(),
            title_bytes: jobs.submitted_title_bytes(),
        }
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
            match self.flow.bulk.next(&self.flow.jobs)? {
                Ok(task) => return Some(task),
                Err(id) => self.flow.end_by_fault(id),
            }
        }
    }

    /// An external task for which there is a slot.
    pub(super) fn next_external(&mut self) -> Option<HandedOut> {
        self.flow.external.next(self.flow.now)
    }

    /// Takes in what became of a task. A job that nobody waits for any more is unknown here, and its result is dropped.
    pub(super) fn finished(&mut self, done: Done, now: Instant) {
        self.flow.now = now;
        self.spend(&done);
        self.flow.finished(done);
    }

    /// Charges the CPU time of a task to the allowance of its account.
    fn spend(&mut self, done: &Done) {
        if self.allowances.is_empty() {
            return;
        }
        let account = match &done.outcome {
            Outcome::Batch(batch) => self.allowances.account_of(batch.client),
            _ => self.allowances.payer_of(done.work),
        };
        if let Some(account) = account {
            self.allowances.spend(account, done.cpu, self.flow.now);
        }
    }

    /// Takes in what an actor says of a call.
    pub(super) fn said(&mut self, work: WorkId, what: Saying, now: Instant) {
        self.flow.now = now;
        if !matches!(what, Saying::Row(_)) {
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
        let Some(id) = self.flow.waiters.grant(Holder::Request(client, request), rows) else {
            return;
        };
        let Some(payer) = self.flow.jobs.get(id).map(Entry::payer) else {
            return;
        };
        if let Some(work) = self.flow.jobs.begin_held(id) {
            let begin_by = self.flow.now.checked_add(self.flow.max_age);
            self.flow.jobs.waits_until(id, begin_by);
            return self.flow.begin(id, payer, work);
        }
        match self.flow.jobs.get(id).map(Entry::stage) {
            Some(Stage::Bulk) => self.flow.deliver_plan(id, payer),
            Some(Stage::External) => self.flow.deliver_external(id),
            Some(Stage::List) => self.flow.send_list(id),
            _ => {}
        }
    }

    /// The client no longer wants this answer, and gets an error instead.
    pub(super) fn cancel(&mut self, client: ClientId, request: RequestId, now: Instant) {
        self.flow.now = now;
        let failure = Failure::new(Code::Cancelled, "cancelled as asked");
        self.flow.refuse(Holder::Request(client, request), failure);
    }

    /// Ends everything that is left, with this failure.
    pub(super) fn refuse_all(&mut self, failure: &Failure) {
        let plain = self.flow.express.plain().into_iter();
        let plain = plain.map(|(client, request)| Holder::Request(client, request));
        for holder in self.flow.waiters.all().into_iter().chain(plain) {
            self.flow.refuse(holder, failure.clone());
        }
    }

    /// The client is gone: what it waits for is cancelled, and nothing is sent. What it submitted goes on.
    pub(super) fn leave(&mut self, client: ClientId) {
        for holder in self.flow.waiters.requests_of(client) {
            if let Some(removed) = self.flow.waiters.remove(holder) {
                log::lets_go(holder, "the client is gone");
                self.flow.removed(removed);
            }
        }
        let plain = self.flow.express.remove_all_plain(client);
        self.flow.waiters.release(client, plain);
        self.flow.outbox.forget(client);
        self.flow.waiters.leave(client);
        self.allowances.leave(client);
        self.flow.forget_clients();
    }

    /// Advances the clock to `now`: deadlines pass, progress is sent, and what has waited for too long is refused.
    pub(super) fn tick(&mut self, now: Instant) {
        self.flow.now = now;
        self.flow.refuse_late();
        while let Some(due) = self.flow.waiters.due(now) {
            match due {
                Due::Deadline(holder, watched) => self.late(holder, watched),
                Due::Progress(holder, work) => self.flow.report(holder, work),
            }
        }
        while let Some(work) = self.flow.submitted.due(now) {
            self.flow.begin_submitted(work);
        }
    }

    /// A deadline has passed: of a question, of a submitted job and so of all that watch it, or of one that watches a job that goes on.
    fn late(&mut self, holder: Holder, watched: Option<JobId>) {
        let text = match watched {
            None => "the deadline passed; the work was stopped".to_owned(),
            Some(job) => format!("the deadline passed; job {job} goes on, 'result {job}' waits for it"),
        };
        let failure = Failure::new(Code::Deadline, text);
        match (holder, self.flow.waiters.work_of(holder)) {
            (Holder::Submitted(job), Some(work)) => self.flow.end_submitted(job, work, &failure),
            _ => self.flow.refuse(holder, failure),
        }
    }

    /// The next moment for [`tick`](Self::tick).
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let alarms = [
            self.flow.waiters.next_alarm(),
            self.flow.express.next_alarm(),
            self.flow.submitted.next_alarm(),
        ];
        alarms.into_iter().flatten().min()
    }

    /// From now on nothing new is taken in. Submitted jobs that a store has stop at once, for the next process goes on with them.
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

/// The refusal of one more question, which would wait for longer than this.
fn queue_is_long(patience: Duration) -> Failure {
    let retry = patience.as_millis().clamp(100, 1_000);
    Failure::new(Code::Busy, format!("{}; retry-ms={retry}", overload(patience)))
}
