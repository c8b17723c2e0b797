//! What happens to a job between the parts of the table: from its queue to its lane, and to its end with one reply to all that wait.
//! Knows no request that is not taken in.

use super::away::Away;
use super::bulk::{Bulk, Entered};
use super::express::{Express, Late, Settled};
use super::external::External;
use super::jobs::{Entry, Jobs, Stage};
use super::log::{self, Ids};
use super::measured::Measured;
use super::outbox::Outbox;
use super::submitted::{Acknowledged, Submitted, Withdrawn, job_id};
use super::unwritten::{Held, Unwritten};
use super::view::View;
use super::waiters::{Holder, Removed, Waiter, Waiters};
use crate::engine::batch::{Batch, Unfinished};
use crate::engine::caught::Panicked;
use crate::engine::external::Saying;
use crate::engine::message::{ClientId, Event, JobId, Payer, Policy, Priority, RequestId, Work, WorkId};
use crate::engine::task::{Done, Outcome};
use crate::engine::text::{fault, lost};
use crate::job::{AnyPlan, Job, is_refuted};
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::StoredJob;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a restored job may wait in the bulk lane for its first slice until its start does not count.
const RESTS_AFTER: Duration = Duration::from_millis(100);

/// A restored job that has no slice yet in the bulk lane.
struct Unbegun {
    work: WorkId,
    since: Instant,
}

/// A job that rested, and has slices again when the store has its number of starts.
struct Waking {
    work: WorkId,
    job: JobId,
    starts: u32,
}

/// The parts, each of which alone changes what it owns.
pub(super) struct Flow {
    pub(super) jobs: Jobs,
    pub(super) waiters: Waiters,
    pub(super) express: Express,
    pub(super) bulk: Bulk,
    pub(super) external: External,
    pub(super) away: Away,
    pub(super) submitted: Submitted,
    /// Restored jobs that have no slice yet in the bulk lane.
    unbegun: Vec<Unbegun>,
    waking: Vec<Waking>,
    pub(super) unwritten: Unwritten,
    pub(super) outbox: Outbox,
    pub(super) measured: Measured,
    pub(super) now: Instant,
    /// How long a question may wait until it is begun.
    pub(super) max_age: Duration,
}

impl Flow {
    /// Parts without any work, whose first piece will have the name `first`. Lanes and submitted jobs may be those of an earlier one.
    pub(super) fn new(
        first: WorkId,
        external: External,
        submitted: Submitted,
        policy: Policy,
        workers: usize,
        now: Instant,
    ) -> Self {
        Self {
            jobs: Jobs::new(first),
            waiters: Waiters::default(),
            express: Express::new(policy.max_answers > 0),
            bulk: Bulk::new(workers, policy.max_memory),
            external,
            away: Away::default(),
            submitted,
            unbegun: Vec::new(),
            waking: Vec::new(),
            unwritten: Unwritten::default(),
            outbox: Outbox::default(),
            measured: Measured::default(),
            now,
            max_age: policy.max_queue_age,
        }
    }

    /// The names that the next piece of work and the next submitted job will have.
    pub(super) const fn next(&self) -> (WorkId, JobId) {
        (self.jobs.next(), self.submitted.next())
    }

    /// Stops all work, and gives what outlives it.
    pub(super) fn take_apart(self, now: Instant) -> (External, (Submitted, Vec<StoredJob>)) {
        self.jobs.stop_all();
        self.express.stop_all();
        (self.external.rebuilt(), self.submitted.rebuilt(&lost(), now))
    }

    /// Puts work into the queue where it begins.
    pub(super) fn begin(&mut self, id: WorkId, payer: Payer, work: Work) {
        match work {
            Work::Plan(job) => self.begin_plan(id, payer, job),
            Work::External(task) => {
                self.external.push(id, payer, task, self.now);
                self.jobs.set_stage(id, Stage::External);
            }
        }
    }

    fn begin_plan(&mut self, id: WorkId, payer: Payer, job: Job) {
        let begin_by = self.jobs.get(id).and_then(Entry::deadline_to_begin);
        self.express.push(payer, id, job, begin_by, self.now);
    }

    /// Refuses what has waited for too long to be begun.
    pub(super) fn refuse_late(&mut self) {
        while let Some(late) = self.express.take_late(self.now) {
            let text = format!("{}; retry-ms=1000", overload(self.max_age));
            let failure = Failure::new(Code::Busy, text);
            match late {
                Late::Job(work) => self.end(work, Err(failure)),
                Late::Plain(client, requests) => {
                    self.waiters.release(client, requests.len());
                    let reply = |request| (request, Event::Final(Err(failure.clone())));
                    self.outbox.push_all(client, requests.into_iter().map(reply).collect());
                }
            }
        }
    }

    /// Takes in what became of a task.
    pub(super) fn finished(&mut self, done: Done) {
        let Done { work: id, outcome, cpu } = done;
        if let Outcome::Batch(batch) = outcome {
            return self.batch_finished(batch, cpu);
        }
        let Some((payer, begun, verb)) = self
            .jobs
            .used(id, cpu, self.now)
            .map(|entry| (entry.payer(), entry.begun(), entry.verb()))
        else {
            return;
        };
        if let Outcome::Answered(_) | Outcome::Refused(_) | Outcome::Unfinished(..) = outcome {
            self.express.job_begun(payer, cpu, self.now);
            self.measured.first_slices(&[verb], self.now - begun);
        }
        match outcome {
            Outcome::Answered(value) => self.end(id, Ok(value)),
            Outcome::Refused(failure) => self.end(id, Err(failure)),
            Outcome::Untouched(job) => self.begin_plan(id, payer, job),
            Outcome::Unfinished(plan, job) => self.enter_bulk(id, payer, plan, job),
            Outcome::Partial(partial) => match self.bulk.absorb(id, payer.client, partial, cpu, self.now) {
                Ok(()) => {
                    self.deliver_plan(id, payer);
                    self.save_if_due(id);
                }
                Err(Panicked) => self.end_by_fault(id),
            },
            Outcome::Replied(reply) => {
                self.external.replied(id, reply);
                self.deliver_external(id);
            }
            Outcome::Panicked | Outcome::Batch(_) => self.end_by_fault(id),
        }
    }

    fn batch_finished(&mut self, batch: Batch, cpu: Duration) {
        let client = batch.client;
        let Some(settled) = self.express.finished(batch, cpu, self.now) else {
            return;
        };
        #[cfg(test)]
        crate::engine::planted::here();
        self.measured.first_slices(&settled.verbs, self.now - settled.begun);
        self.measured.batch(&settled, cpu, self.now);
        let Settled {
            begun,
            payer,
            events,
            found,
            panicked,
            unfinished,
            ..
        } = settled;
        self.outbox.keep_all(found);
        self.waiters.release(client, events.len());
        self.outbox.push_all(client, events);
        if let Some((request, job)) = panicked {
            self.waiters.release(client, 1);
            let title = job.title();
            log::panicked(Ids::of_request(client, request), &title);
            self.outbox.reply(client, request, Err(fault(&title)));
        }
        for Unfinished {
            request,
            plan,
            job,
            cpu,
        } in unfinished
        {
            let id = self.jobs.name();
            let entry = Entry::new(job.title().into_owned(), payer, Stage::Express, begun);
            self.jobs.insert(id, entry.kept(job.is_kept).after(cpu, self.now));
            // It is counted among what the client holds once more.
            self.waiters.add(id, Waiter::plain(payer, request, begun));
            self.waiters.release(client, 1);
            self.enter_bulk(id, payer, plan, job);
        }
    }

    /// A job was not answered by its first slice: it joins an equal long job, or becomes one if there is room for it.
    fn enter_bulk(&mut self, id: WorkId, payer: Payer, plan: Box<dyn AnyPlan>, job: Job) {
        self.log(id, "its first slice was not enough");
        let entry = self.jobs.get(id).filter(|entry| !entry.streams());
        let duplicate = entry.and_then(|entry| self.jobs.duplicate_of(entry.title()));
        let duplicate = duplicate.filter(|duplicate| *duplicate != id);
        let jobs = self.waiters.submitted(id);
        let before = jobs.map(|job| self.submitted.saved_progress(job)).fold(0.0, f64::max);
        let is_further = |than: WorkId| before > self.bulk.progress(than).map_or(0.0, |(done, _)| done);
        if let Some(duplicate) = duplicate.filter(|duplicate| is_further(*duplicate)) {
            // What an earlier process has done of it is not given up for work that a client has just begun.
            self.log(id, "takes the place of equal work");
            let priority = entry_priority(&self.jobs, duplicate);
            for job in self.waiters.join(duplicate, id) {
                self.submitted.join(job, id);
            }
            self.raise(id, priority);
            self.remove(duplicate);
        } else if let Some(duplicate) = duplicate {
            let priority = entry_priority(&self.jobs, id);
            self.log(id, "joins equal work");
            for job in self.waiters.join(id, duplicate) {
                self.submitted.join(job, duplicate);
            }
            self.raise(duplicate, priority);
            self.remove(id);
            return;
        }
        let priority = entry_priority(&self.jobs, id);
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        match self.bulk.enter(id, payer, plan, job, priority, self.now) {
            Entered::Runs => {
                self.bulk.goes_on_from(id, before);
                self.jobs.is_long(id);
                self.jobs.set_stage(id, Stage::Bulk);
                if self.waiters.submitted(id).any(|job| self.submitted.is_unproven(job)) {
                    self.bulk.save_soon(id);
                    self.unbegun.push(Unbegun {
                        work: id,
                        since: self.now,
                    });
                }
                self.deliver_plan(id, payer);
            }
            Entered::Parked => {
                self.jobs.is_long(id);
                self.jobs.set_stage(id, Stage::Parked);
                self.log(id, "parked until there is memory");
                for job in self.waiters.submitted(id) {
                    self.submitted.rest(job);
                }
                // It may be its turn at once.
                self.unpark();
            }
            Entered::TooBig(failure, job) => self.too_big(id, failure, job),
            Entered::Panicked => self.end_by_fault(id),
        }
    }

    /// A job needs more memory than there may ever be. One that was acknowledged under a larger limit waits for that to come back.
    fn too_big(&mut self, id: WorkId, failure: Failure, job: Job) {
        let restored: Vec<JobId> = self.waiters.submitted(id).collect();
        if !restored.iter().any(|job| self.submitted.is_restored(*job)) {
            return self.end(id, Err(failure));
        }
        for job in restored {
            tracing::warn!(%job, error = %failure.text, "a job of an earlier process waits for a daemon that may use more memory");
            self.submitted.rest(job);
        }
        self.jobs.set_stage(id, Stage::Held(job.into()));
    }

    /// A slice of a long job is handed out.
    pub(super) fn begins_slice(&mut self, id: WorkId) {
        self.unbegun.retain(|unbegun| unbegun.work != id);
    }

    /// The starts of restored jobs that wait for their turn after others do not count: what ends the process meanwhile is not their fault.
    pub(super) fn let_rest(&mut self) {
        let now = self.now;
        let is_over = |unbegun: &mut Unbegun| now.saturating_duration_since(unbegun.since) >= RESTS_AFTER;
        for Unbegun { work, .. } in self.unbegun.extract_if(.., is_over) {
            self.bulk.rest(work);
            for job in self.waiters.submitted(work) {
                self.submitted.rest(job);
            }
        }
    }

    /// When to look at these again.
    pub(super) fn rest_at(&self) -> Option<Instant> {
        let since = self.unbegun.iter().map(|unbegun| unbegun.since).min();
        since.map(|since| since + RESTS_AFTER)
    }

    /// It is the turn of a job that rests: it has slices again as soon as the store has counted its start.
    pub(super) fn work_again(&mut self, work: WorkId) {
        let jobs = self.waiters.submitted(work);
        let again = jobs.filter_map(|job| Some((job, self.submitted.work_again(job)?)));
        let waking: Vec<Waking> = again.map(|(job, starts)| Waking { work, job, starts }).collect();
        let is_waking = |waking: &Waking| waking.work == work;
        if waking.is_empty() && !self.waking.iter().any(is_waking) {
            self.wake(work);
        }
        self.waking.extend(waking);
    }

    /// The store has this number of starts of a job, or has failed to write it.
    pub(super) fn counted(&mut self, job: JobId, starts: u32) {
        let is_counted = |waking: &mut Waking| (waking.job, waking.starts) == (job, starts);
        let counted: Vec<WorkId> = self
            .waking
            .extract_if(.., is_counted)
            .map(|waking| waking.work)
            .collect();
        for work in counted {
            self.wake(work);
        }
    }

    fn wake(&mut self, work: WorkId) {
        self.bulk.wake(work);
        if let Some(payer) = self.jobs.get(work).map(Entry::payer) {
            self.deliver_plan(work, payer);
        }
    }

    /// Begins parked jobs for which there is memory now, after anything that may have changed that.
    fn unpark(&mut self) {
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        while let Some((id, job)) = self.bulk.unpark() {
            if let Some(payer) = self.jobs.get(id).map(Entry::payer) {
                self.jobs.set_stage(id, Stage::Express);
                self.log(id, "begins again: there is memory");
                // It was begun before: what it waits for now is no sign of overload.
                self.jobs.may_wait(id);
                for job in self.waiters.submitted(id) {
                    self.submitted.work_again(job);
                }
                self.express.push(payer, id, job, None, self.now);
            }
        }
    }

    /// Another client wants the answer of a job, which is as urgent as this.
    pub(super) fn raise(&mut self, id: WorkId, priority: Priority) {
        if self.jobs.raise(id, priority)
            && let Some(payer) = self.jobs.get(id).map(Entry::payer)
        {
            self.bulk.set_priority(id, payer, priority);
        }
    }

    /// The store has a submitted job: its ID is sent, and it begins, unless it is to begin later.
    pub(super) fn acknowledge(&mut self, job: JobId) {
        let Some(Acknowledged { requests, begins }) = self.submitted.acknowledge(job, self.now) else {
            return;
        };
        for (client, request) in requests {
            self.outbox.reply(client, request, Ok(job_id(job)));
        }
        if let Some(work) = begins {
            self.begin_submitted(work);
        }
    }

    /// Begins the work of a submitted job, if it is held.
    pub(super) fn begin_submitted(&mut self, id: WorkId) {
        if let Some(work) = self.jobs.begin_held(id, self.now)
            && let Some(payer) = self.jobs.get(id).map(Entry::payer)
        {
            self.begin(id, payer, work);
        }
    }

    /// The store does not take a submitted job, which is refused.
    pub(super) fn withdraw(&mut self, job: JobId, failure: &Failure) {
        let Some(Withdrawn { requests, work }) = self.submitted.withdraw(job) else {
            return;
        };
        for holder in work.map_or_else(Vec::new, |work| self.waiters.watchers(job, work)) {
            self.refuse(holder, failure.clone());
        }
        if let Some(removed) = self.waiters.remove(Holder::Submitted(job)) {
            self.removed(removed);
        }
        for (client, request) in requests {
            self.outbox.reply(client, request, Err(failure.clone()));
        }
    }

    /// Saves a plan that submitted jobs wait for, if enough has been done since the last time.
    pub(super) fn save_if_due(&mut self, id: WorkId) {
        if self.submitted.keeps()
            && let Some(cpu) = self.jobs.get(id).map(Entry::cpu)
            && self.bulk.is_unsaved(id, cpu)
            && !self.save(id)
        {
            for job in self.waiters.submitted(id) {
                self.submitted.prove(job);
            }
        }
    }

    /// Saves a plan for the submitted jobs that wait for it. False if there are none, or it cannot be saved.
    fn save(&mut self, id: WorkId) -> bool {
        let jobs: Vec<JobId> = self.waiters.submitted(id).collect();
        let Some(cpu) = self.jobs.get(id).map(Entry::cpu).filter(|_| !jobs.is_empty()) else {
            return false;
        };
        let Some((bytes, progress)) = self.bulk.save(id, cpu) else {
            return false;
        };
        let bytes: Arc<[u8]> = bytes.into();
        for job in jobs {
            self.submitted.checkpoint(job, bytes.clone(), progress, cpu, self.now);
        }
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        true
    }

    /// Stops all submitted jobs after a last checkpoint: the next process goes on with them.
    pub(super) fn suspend(&mut self) {
        let running = self.submitted.running();
        let works: BTreeSet<WorkId> = running.iter().map(|(_, work)| *work).collect();
        let saved = works.into_iter().filter(|work| self.save(*work)).count();
        let mut suspended = 0;
        for (job, work) in running {
            let text = format!(
                "the daemon is shutting down; job {job} goes on when it is back, and 'result {job}' waits for it"
            );
            for holder in self.waiters.watchers(job, work) {
                self.refuse(holder, Failure::new(Code::Draining, text.clone()));
            }
            if let Some(removed) = self.waiters.remove(Holder::Submitted(job)) {
                self.removed(removed);
                self.submitted.pause(job);
                suspended += 1;
            }
        }
        if suspended > 0 {
            tracing::info!(
                jobs = suspended,
                checkpoints = saved,
                "submitted jobs stop here; they go on at the next start"
            );
        }
    }

    /// Takes in what an actor says of a call.
    pub(super) fn said(&mut self, work: WorkId, what: Saying) {
        match what {
            Saying::Row(row) => {
                self.external.row(work, row, self.now);
                self.deliver_external(work);
            }
            Saying::Reply(reply) => {
                self.external.replied(work, reply);
                self.deliver_external(work);
            }
            Saying::Dropped => self.end_by_fault(work),
        }
    }

    /// Sends what a plan has, and ends the job if that is the answer.
    pub(super) fn deliver_plan(&mut self, id: WorkId, payer: Payer) {
        match self.bulk.deliver(id, payer, self.waiters.credit(id)) {
            Some(Ok(delivery)) => {
                self.send_rows(id, delivery.rows);
                if let Some(value) = delivery.answer {
                    self.end(id, Ok(value));
                }
            }
            Some(Err(Panicked)) => self.end_by_fault(id),
            None => {}
        }
    }

    /// The same of an external task.
    pub(super) fn deliver_external(&mut self, id: WorkId) {
        if let Some(delivery) = self.external.deliver(id, self.waiters.credit(id)) {
            self.send_rows(id, delivery.rows);
            if let Some(reply) = delivery.reply {
                self.end(id, reply);
            }
        }
    }

    fn send_rows(&mut self, id: WorkId, rows: Vec<String>) {
        if !rows.is_empty()
            && let Some((client, request)) = self.waiters.spend(id, rows.len())
        {
            self.outbox.rows(client, request, rows);
        }
    }

    /// Sends as many rows of a list as its client has granted, and then its end.
    pub(super) fn send_list(&mut self, id: WorkId) {
        let credit = self.waiters.credit(id);
        if credit == 0 {
            return;
        }
        let view = View {
            jobs: &self.jobs,
            waiters: &self.waiters,
            bulk: &self.bulk,
            external: &self.external,
            away: &self.away,
            now: self.now,
        };
        let (rows, is_over) = self.submitted.rows(id, credit, || view.asked(), |work| view.show(work));
        self.send_rows(id, rows);
        if is_over {
            self.end(id, Ok(Value::Nothing));
        }
    }

    pub(super) fn report(&mut self, holder: Holder, work: WorkId) {
        let view = View {
            jobs: &self.jobs,
            waiters: &self.waiters,
            bulk: &self.bulk,
            external: &self.external,
            away: &self.away,
            now: self.now,
        };
        if let Some(progress) = view.progress(work)
            && let Some(interim) =
                self.waiters
                    .report(holder, progress.done, progress.silent, progress.eta, progress.stage)
            && let Holder::Request(client, request) = holder
        {
            self.outbox.push(client, request, Event::Interim(interim));
        }
    }

    /// Ends a job with one reply to all that wait.
    pub(super) fn end(&mut self, id: WorkId, reply: Reply) {
        let Some(entry) = self.remove(id) else {
            return;
        };
        #[cfg(test)]
        crate::engine::planted::here();
        if let Ok(value) = &reply
            && entry.is_kept()
        {
            let before = self.waiters.submitted(id).map(|job| self.submitted.cpu_before(job));
            let cpu = entry.cpu() + before.max().unwrap_or_default();
            self.outbox.keep(entry.title(), value, cpu);
        }
        if let (Ok(value), Some(title)) = (&reply, entry.verifies()) {
            let is_refuted = is_refuted(value);
            self.outbox.verify(title, !is_refuted);
            if is_refuted {
                self.submitted.refute(title);
            }
        }
        self.log_end(id, &reply, entry.cpu());
        let outcome = reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
        for waiter in self.waiters.of(id) {
            self.measured.ended(waiter, &entry, outcome, self.now);
        }
        let mut holders = self.waiters.remove_all(id);
        let last = holders.pop();
        for (holder, watched) in holders {
            self.answer(holder, watched, reply.clone(), entry.cpu());
        }
        if let Some((last, watched)) = last {
            self.answer(last, watched, reply, entry.cpu());
        }
    }

    /// Gives one that waited, perhaps for a submitted job that it watched, the final reply of a job that took this CPU time.
    pub(super) fn answer(&mut self, holder: Holder, watched: Option<JobId>, reply: Reply, cpu: Duration) {
        match (holder, watched) {
            (Holder::Request(client, request), Some(job)) => {
                self.reply_when_written(job, client, request, reply, false)
            }
            (Holder::Request(client, request), None) => self.outbox.reply(client, request, reply),
            (Holder::Submitted(job), _) => {
                self.submitted.finish(job, reply, cpu, self.now);
                if self.submitted.keeps() {
                    self.unwritten.ended(job);
                }
            }
        }
    }

    /// Replies that a submitted job has ended, as soon as the store has that.
    pub(super) fn reply_when_written(
        &mut self,
        job: JobId,
        client: ClientId,
        request: RequestId,
        reply: Reply,
        is_order: bool,
    ) {
        let held = Held {
            client,
            request,
            reply,
            is_order,
        };
        if let Some(held) = self.unwritten.hold(job, held) {
            self.outbox.reply(client, request, held.reply);
        }
    }

    /// The store has the end of a submitted job, or has failed to write it.
    pub(super) fn end_settled(&mut self, job: JobId, failure: Option<&Failure>) {
        for held in self.unwritten.settled(job) {
            let reply = match failure.filter(|_| held.is_order) {
                Some(failure) => Err(failure.clone()),
                None => held.reply,
            };
            self.outbox.reply(held.client, held.request, reply);
        }
    }

    /// Ends a job whose plan or external task panicked, or stopped before it had its answer.
    pub(super) fn end_by_fault(&mut self, id: WorkId) {
        if let Some(entry) = self.jobs.get(id) {
            for ids in self.ids(id) {
                log::panicked(ids, entry.title());
            }
            let failure = fault(entry.title());
            self.end(id, Err(failure));
        }
    }

    /// Ends a submitted job, for all that watch it too; others that asked the same question go on waiting.
    pub(super) fn end_submitted(&mut self, job: JobId, work: WorkId, failure: &Failure) {
        let watchers = self.waiters.watchers(job, work);
        for holder in std::iter::once(Holder::Submitted(job)).chain(watchers) {
            self.refuse(holder, failure.clone());
        }
    }

    /// Ends the waiting of one, and its job if it was the last.
    pub(super) fn refuse(&mut self, holder: Holder, failure: Failure) {
        if let Some(waiter) = self.waiters.get(holder)
            && let Some(entry) = self.waiters.work_of(holder).and_then(|work| self.jobs.get(work))
        {
            self.measured.ended(waiter, entry, failure.code.as_str(), self.now);
        }
        let watched = self.waiters.watched_by(holder);
        if let Some(removed) = self.waiters.remove(holder) {
            log::lets_go(holder, failure.code.as_str());
            let failure = with_found(failure, self.bulk.found(removed.work));
            let cpu = self.jobs.get(removed.work).map_or(Duration::ZERO, Entry::cpu);
            self.removed(removed);
            self.answer(holder, watched, Err(failure), cpu);
        } else if let Holder::Request(client, request) = holder
            && self.express.remove_plain(client, request)
        {
            log::lets_go(holder, failure.code.as_str());
            self.waiters.release(client, 1);
            self.outbox.reply(client, request, Err(failure));
        }
    }

    /// One waits no more: its job ends if it was the last, and uses the share of the next in line if it used this one's.
    pub(super) fn removed(&mut self, removed: Removed) {
        let Removed { work, payer, heir } = removed;
        match heir {
            None => drop(self.remove(work)),
            Some(heir) if self.jobs.get(work).is_some_and(|entry| entry.payer() == payer) => {
                self.express.pass(work, payer, heir, self.now);
                self.bulk.pass(work, payer, heir);
                self.external.pass(work, payer.client, heir);
                self.jobs.pass_to(work, heir);
                self.unpark();
            }
            Some(_) => {}
        }
    }

    /// Those that wait for a job wait for another one from now on, and the old one stops.
    pub(super) fn replace(&mut self, old: WorkId, entry: Entry) -> WorkId {
        let new = self.jobs.name();
        self.jobs.insert(new, entry);
        for job in self.waiters.join(old, new) {
            self.submitted.join(job, new);
        }
        self.remove(old);
        new
    }

    /// Takes a job out of all parts but the waiters.
    fn remove(&mut self, id: WorkId) -> Option<Entry> {
        let entry = self.jobs.remove(id)?;
        let payer = entry.payer();
        match entry.stage() {
            Stage::Held(_) | Stage::Parked | Stage::Bulk => {}
            Stage::Express => self.express.remove(payer, id),
            Stage::External => self.external.remove(payer.client, id),
            Stage::Away => self.away.remove(id),
            Stage::List => self.submitted.remove_list(id),
        }
        // Also in the express lane memory may be set aside for it, if it was parked before.
        self.bulk.remove(payer.client, id);
        self.unpark();
        Some(entry)
    }

    pub(super) fn forget_clients(&mut self) {
        for client in self.waiters.take_forgotten() {
            self.express.forget(client);
            self.bulk.forget(client);
            self.external.forget(client);
        }
    }
}

fn entry_priority(jobs: &Jobs, id: WorkId) -> Priority {
    jobs.get(id).map_or(Priority::Normal, Entry::priority)
}

/// What is said of a question that is not begun within this time.
pub(super) fn overload(max_age: Duration) -> String {
    format!("it cannot be begun within {} ms", max_age.as_millis())
}

/// The failure of work that is stopped, with what it has found so far: that is not lost.
fn with_found(failure: Failure, found: Option<String>) -> Failure {
    match (failure.code, found) {
        (Code::Deadline | Code::Cancelled, Some(found)) => {
            Failure::new(failure.code, format!("{}; found {found}", failure.text))
        }
        _ => failure,
    }
}
