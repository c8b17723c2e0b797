//! What happens to a job between the parts of the table: here from its queue to its lane and to what it sends, in
//! `entering` into the bulk lane, in `starting` when the start of a restored job counts, in `saving` what a store has
//! of it, in `ending` its end with one reply to all that wait. Knows no request that is not taken in.

mod ending;
mod entering;
mod saving;
mod starting;

#[cfg(test)]
pub(super) use saving::MAX_CHECKPOINT;

use super::away::Away;
use super::bulk::Bulk;
use super::cancels::Cancels;
use super::deferred::Deferred;
use super::express::{BatchOutcome, Express, Late};
use super::external::External;
use super::jobs::{Entry, Jobs, WorkState};
use super::log::{self, Ids};
use super::measured::Measured;
use super::outbox::Outbox;
use super::owners::Owners;
use super::submitted::Submitted;
use super::unwritten::Unwritten;
use super::view::View;
use super::waiters::{Removed, Waiter, WaiterId, Waiters};
use crate::caught::Panicked;
use crate::engine::batch::{Batch, Unfinished};
use crate::engine::external::ActorReply;
use crate::engine::message::{Event, JobId, Payer, Policy, Priority, Work, WorkId};
use crate::engine::task::{Done, Outcome};
use crate::engine::text::{fault, lost};
use crate::job::Job;
use crate::proto::{Code, Failure, Value};
use crate::store::StoredJob;
use std::time::{Duration, Instant};

/// The parts, each of which alone changes what it owns.
pub(super) struct Flow {
    pub(super) jobs: Jobs,
    pub(super) waiters: Waiters,
    pub(super) owners: Owners,
    pub(super) express: Express,
    pub(super) bulk: Bulk,
    pub(super) external: External,
    pub(super) away: Away,
    pub(super) submitted: Submitted,
    pub(super) deferred: Deferred,
    pub(super) unwritten: Unwritten,
    pub(super) cancels: Cancels,
    pub(super) outbox: Outbox,
    pub(super) measured: Measured,
    /// Where the store was, if it is not there any more.
    pub(super) lost_store: Option<String>,
    pub(super) now: Instant,
    /// How long a question may wait until it is begun.
    pub(super) max_age: Duration,
}

impl Flow {
    /// Parts without any work, whose first piece will have the name `first`. Lanes and submitted jobs may be those of
    /// an earlier one.
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
            owners: Owners::default(),
            express: Express::new(policy.max_answers > 0),
            bulk: Bulk::new(workers, policy.max_memory),
            external,
            away: Away::default(),
            submitted,
            deferred: Deferred::default(),
            unwritten: Unwritten::default(),
            cancels: Cancels::default(),
            outbox: Outbox::default(),
            measured: Measured::default(),
            lost_store: None,
            now,
            max_age: policy.max_queue_age,
        }
    }

    /// The names that the next piece of work and the next submitted job will have.
    pub(super) const fn next(&self) -> (WorkId, JobId) {
        (self.jobs.peek_id(), self.submitted.next())
    }

    /// Stops all work, and gives what outlives it.
    pub(super) fn take_apart(self, now: Instant) -> (External, (Submitted, Vec<StoredJob>)) {
        self.jobs.stop_all();
        self.express.stop_all();
        (self.external.rebuilt(), self.submitted.rebuilt(&lost(), now))
    }

    /// Keeps work that may not begin yet.
    pub(super) fn hold(&mut self, work: WorkId, question: Work) {
        self.take_place(work, &question);
        self.jobs.set_state(work, WorkState::Held(question));
    }

    /// An external task takes its place in its lane.
    fn take_place(&mut self, work: WorkId, question: &Work) {
        if let (Work::External(task), Some(entry)) = (question, self.jobs.get(work)) {
            self.external
                .take_place(work, task, entry.payer().account, entry.is_submitted());
        }
    }

    /// Puts work into the queue where it begins.
    pub(super) fn begin(&mut self, work: WorkId, payer: Payer, question: Work) {
        self.take_place(work, &question);
        match question {
            Work::Plan(question) => self.begin_plan(work, payer, question),
            Work::External(task) => {
                self.external.push(work, payer, task, self.now);
                self.jobs.set_state(work, WorkState::External);
            }
        }
    }

    fn begin_plan(&mut self, work: WorkId, payer: Payer, question: Job) {
        let begin_by = self.jobs.get(work).and_then(Entry::begin_by);
        self.express.push(payer, work, question, begin_by, self.now);
    }

    /// Refuses what has waited for too long to be begun.
    pub(super) fn refuse_late(&mut self) {
        while let Some(late) = self.express.take_late(self.now) {
            let text = format!("{}; retry-ms=1000", overload(self.max_age));
            let failure = Failure::new(Code::Busy, text);
            match late {
                Late::Job(work) => self.end(work, Err(failure)),
                Late::Plain(client, requests) => {
                    self.waiters.uncount_questions(client, requests.len());
                    let reply = |request| (request, Event::Final(Err(failure.clone())));
                    self.outbox.push_all(client, requests.into_iter().map(reply).collect());
                }
            }
        }
    }

    /// Takes in what became of a task.
    pub(super) fn finished(&mut self, done: Done) {
        let Done { work, outcome, cpu } = done;
        let outcome = match outcome {
            Outcome::Batch(batch) => return self.batch_finished(work, batch, cpu),
            Outcome::Untouched(question) => {
                if let Some(payer) = self.jobs.get(work).map(Entry::payer) {
                    self.begin_plan(work, payer, question);
                }
                return;
            }
            other => other,
        };
        let Some((entry, is_first)) = self.jobs.used(work, cpu, self.now) else {
            return;
        };
        let (payer, queued_at, verb) = (entry.payer(), entry.queued_at(), entry.verb());
        if let Outcome::Answered(_) | Outcome::Refused(_) | Outcome::Unfinished(..) = outcome {
            self.express.first_slice_done(payer, cpu, self.now);
            if is_first {
                self.measured.first_slices(&[verb], self.now - queued_at);
            }
        }
        match outcome {
            Outcome::Answered(value) => self.end(work, Ok(value)),
            Outcome::Refused(failure) => self.end(work, Err(failure)),
            Outcome::Unfinished(plan, question) => self.enter_bulk(work, payer, plan, question),
            Outcome::Partial(partial) => match self.bulk.absorb(work, payer.client, partial, cpu, self.now) {
                Ok(()) => {
                    self.deliver_plan(work, payer);
                    self.save_if_due(work);
                }
                Err(Panicked) => self.end_by_fault(work),
            },
            Outcome::Replied(reply) => {
                self.external.replied(work, reply);
                self.deliver_external(work);
            }
            Outcome::Panicked | Outcome::Batch(_) | Outcome::Untouched(_) => self.end_by_fault(work),
        }
    }

    fn batch_finished(&mut self, batch_work: WorkId, batch: Batch, cpu: Duration) {
        let client = batch.client;
        let Some(outcome) = self.express.finished(batch, cpu, self.now) else {
            return;
        };
        #[cfg(test)]
        crate::engine::failpoint::hit();
        self.measured.first_slices(&outcome.verbs, self.now - outcome.queued_at);
        self.measured.batch(&outcome, cpu, self.now);
        log::end_together(client, batch_work, &outcome.events, cpu);
        let BatchOutcome {
            queued_at,
            payer,
            events,
            found,
            panicked,
            unfinished,
            ..
        } = outcome;
        self.outbox.keep_all(found);
        self.waiters.uncount_questions(client, events.len());
        self.outbox.push_all(client, events);
        if let Some((request, question)) = panicked {
            self.waiters.uncount_questions(client, 1);
            let title = question.title();
            log::failed(Ids::of_request(client, request), &title);
            self.outbox.reply(client, request, Err(fault(&title)));
        }
        for Unfinished {
            request,
            plan,
            question,
            cpu,
        } in unfinished
        {
            let work = self.jobs.next_id();
            log::goes_on_alone(client, request, batch_work, work);
            let entry =
                Entry::of_plan(&question, question.title().into_owned(), payer, queued_at).with_cpu(cpu, self.now);
            self.jobs.insert(work, entry);
            // It is counted among what the client holds once more.
            self.waiters.add(work, Waiter::plain(payer, request, queued_at));
            self.waiters.uncount_questions(client, 1);
            self.enter_bulk(work, payer, plan, question);
        }
    }

    /// Another client wants the answer of a job, which is as urgent as this.
    pub(super) fn raise(&mut self, work: WorkId, priority: Priority) {
        self.set_priority(work, priority.max(entry_priority(&self.jobs, work)));
    }

    fn set_priority(&mut self, work: WorkId, priority: Priority) {
        if self.jobs.set_priority(work, priority)
            && let Some(payer) = self.jobs.get(work).map(Entry::payer)
        {
            self.bulk.set_priority(work, payer, priority);
        }
    }

    /// Takes in what an actor says of a call.
    pub(super) fn said(&mut self, work: WorkId, what: ActorReply) {
        match what {
            ActorReply::Row(row) => {
                self.external.row(work, row, self.now);
                self.deliver_external(work);
            }
            ActorReply::Reply(reply) => {
                self.external.replied(work, reply);
                self.deliver_external(work);
            }
            ActorReply::Dropped => self.end_by_fault(work),
        }
    }

    /// Sends what a plan has, and ends the job if that is the answer.
    pub(super) fn deliver_plan(&mut self, work: WorkId, payer: Payer) {
        match self.bulk.deliver(work, payer, self.waiters.credit(work)) {
            Some(Ok(output)) => {
                self.send_rows(work, output.rows);
                if let Some(value) = output.answer {
                    self.end(work, Ok(value));
                }
            }
            Some(Err(Panicked)) => self.end_by_fault(work),
            None => {}
        }
    }

    /// The same once more, of a plan that had rows before.
    pub(super) fn deliver_more(&mut self, work: WorkId) {
        if let Some(payer) = self.jobs.get(work).map(Entry::payer) {
            self.deliver_plan(work, payer);
        }
    }

    /// The same of an external task.
    pub(super) fn deliver_external(&mut self, work: WorkId) {
        if let Some(output) = self.external.deliver(work, self.waiters.credit(work)) {
            self.send_rows(work, output.rows);
            if let Some(reply) = output.reply {
                self.end(work, reply);
            }
        }
    }

    fn send_rows(&mut self, work: WorkId, rows: Vec<String>) {
        if !rows.is_empty()
            && let Some((client, request)) = self.waiters.spend(work, rows.len())
        {
            self.outbox.rows(client, request, rows);
        }
    }

    /// Sends as many rows of a list as its client has granted, and then its end.
    pub(super) fn send_list(&mut self, work: WorkId) {
        let credit = self.waiters.credit(work);
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
        let (rows, is_over) = self
            .submitted
            .rows(work, credit, || view.asked(), |work| view.show(work));
        self.send_rows(work, rows);
        if is_over {
            self.end(work, Ok(Value::Nothing));
        }
    }

    pub(super) fn report(&mut self, waiter: WaiterId, work: WorkId) {
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
                    .report(waiter, progress.done, progress.silent, progress.eta, progress.stage)
            && let WaiterId::Request(client, request) = waiter
        {
            self.outbox.push(client, request, Event::Interim(interim));
        }
    }

    /// A waiter was removed. If it was the last, its job ends. If it paid for the job, the next waiter does. The
    /// priority becomes the highest of those that are left.
    pub(super) fn removed(&mut self, removed: Removed) {
        let Removed {
            work,
            payer,
            next_payer,
            priority,
        } = removed;
        match next_payer {
            None => return drop(self.remove(work)),
            Some(next_payer) if self.jobs.get(work).is_some_and(|entry| entry.payer() == payer) => {
                self.express.change_payer(work, payer, next_payer, self.now);
                self.bulk.change_payer(work, payer, next_payer);
                self.external.change_payer(work, payer.client, next_payer);
                self.jobs.change_payer(work, next_payer);
                self.unpark();
            }
            Some(_) => {}
        }
        self.set_priority(work, priority);
        self.recount(work);
        self.undefer_unless_submitted(work);
    }

    /// Others wait for a job now, by which it counts among those that were asked, or among those that were submitted.
    pub(super) fn recount(&mut self, work: WorkId) {
        self.jobs.set_submitted(work, self.waiters.has_submitted(work));
    }

    /// Those that wait for a job wait for another one from now on, and the old one stops.
    pub(super) fn replace(&mut self, old: WorkId, entry: Entry) -> WorkId {
        let new = self.jobs.next_id();
        self.jobs.insert(new, entry);
        for job in self.waiters.join(old, new) {
            self.submitted.join(job, new);
        }
        self.remove(old);
        new
    }

    /// Takes a job out of all parts but the waiters.
    fn remove(&mut self, work: WorkId) -> Option<Entry> {
        let entry = self.jobs.remove(work)?;
        let payer = entry.payer();
        match entry.state() {
            WorkState::Held(Work::Plan(_)) | WorkState::Parked | WorkState::Bulk => {}
            WorkState::Express => self.express.remove(payer, work),
            WorkState::Held(Work::External(_)) | WorkState::External => self.external.remove(payer.client, work),
            WorkState::Away => self.away.remove(work),
            WorkState::List => self.submitted.remove_list(work),
        }
        self.deferred.forget(work);
        // Also in the express lane memory may be set aside for it, if it was parked before.
        self.bulk.remove(payer.client, work);
        self.unpark();
        Some(entry)
    }

    pub(super) fn forget_clients(&mut self) {
        for client in self.waiters.take_forgotten() {
            self.express.forget(client);
            self.bulk.forget(client);
            self.external.forget(client);
            self.owners.forget(client);
        }
    }
}

fn entry_priority(jobs: &Jobs, work: WorkId) -> Priority {
    jobs.get(work).map_or(Priority::Normal, Entry::priority)
}

/// What is said of a question that is not begun within this time.
pub(super) fn overload(max_age: Duration) -> String {
    format!("it cannot be begun within {} ms", max_age.as_millis())
}
