//! What clients ask of the table: answers, submitted jobs and what concerns them, within their limits. Each is known at
//! once, refused, or waits.

use super::admission::{Kind, Standing};
use super::flow::Flow;
use super::jobs::{Entry, WorkState};
use super::log;
use super::submitted::{Found, Keyed, job_id};
use super::unwritten::Says;
use super::waiters::{Waiter, WaiterId};
use super::{Begins, Table, queue_is_long};
use crate::engine::batch::Plain;
use crate::engine::message::{
    Account, Ask, Event, JobId, Order, Payer, Priority, RequestId, Selection, Subject, Submit, Work, WorkId,
};
use crate::engine::text::fault;
use crate::job::Job;
use crate::proto::{Code, Failure, Value};
use crate::store::Submission;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// What a job comes to that is cancelled.
pub(super) fn cancelled(job: JobId) -> Failure {
    Failure::new(Code::Cancelled, format!("job {job} was cancelled"))
}

/// The answer to a cancel that comes too late.
pub(super) fn has_ended(job: JobId) -> Failure {
    Failure::new(
        Code::NoJob,
        format!("job {job} has ended already; 'result {job}' gives its answer"),
    )
}

impl Table {
    /// Takes in an order of a client.
    pub(in crate::engine) fn take_in(&mut self, payer: Payer, order: Order, now: Instant) {
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
            Ask::Answer(question) => drop(self.wait_for(waiter, question, Begins::Now, Priority::Normal)?),
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
                let work = match self.flow.submitted.find(job, self.flow.now)? {
                    Found::Running(work) => work,
                    Found::Done(Err(failure)) if failure.code == Code::Cancelled => {
                        return Err(Failure::new(Code::NoJob, format!("job {job} was cancelled already")));
                    }
                    Found::Done(_) => return Err(has_ended(job)),
                };
                if self.flow.is_suspended(job) {
                    return Err(self.flow.suspended(job));
                }
                if self.is_away(work) {
                    self.cancel_away(payer, request, [(job, work)].into(), None);
                    return Ok(None);
                }
                self.flow.end_submitted(job, work, &cancelled(job));
                self.flow.reply_when_cancelled(client, request, vec![job], false);
            }
            // The scheduler has the answers, and makes work of questions: it keeps these for itself.
            Ask::Forget(_) => return Err(fault("forget")),
            Ask::Verify(_) => return Err(fault("verify")),
            Ask::CancelMany(which) => self.cancel_many(payer, request, which, scope)?,
            Ask::List(only) => {
                for job in &only {
                    self.flow.submitted.check_owner(*job, scope)?;
                    self.flow.submitted.find(*job, self.flow.now)?;
                }
                self.admission
                    .check_list(payer.account, self.flow.waiters.counts(payer.account).lists)?;
                let work = self.flow.jobs.next_id();
                let list = Entry::new(String::new(), payer, WorkState::List, self.flow.now);
                self.flow.jobs.insert(work, list);
                self.flow.waiters.add(work, waiter.of_list());
                self.flow.submitted.begin_list(work, scope, only);
                self.flow.send_list(work);
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
            Account::Process | Account::Unix | Account::Address(_) => key,
        });
        if let Some(key) = &key {
            match self
                .flow
                .submitted
                .keyed(key, (&title, &submit.request), (payer.client, request), now)?
            {
                Keyed::Known(job) => {
                    log::about(payer.client, request, job, "submits again, by the key");
                    return Ok(Some(job_id(job)));
                }
                Keyed::Soon => return Ok(None),
                Keyed::Free => {}
            }
        }
        if let Some(failure) = self.only_works.as_ref().or(self.store_outage.as_ref()) {
            return Err(failure.clone());
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
        self.open(payer, request, waiter, submission, submit.subject, not_before)?;
        if !self.flow.submitted.keeps() {
            self.flow.acknowledge(job);
        }
        Ok(None)
    }

    /// Notes a submitted job that is new, and lets it wait for its work, if there is any to do.
    fn open(
        &mut self,
        payer: Payer,
        request: RequestId,
        waiter: Waiter,
        submission: Submission,
        subject: Subject,
        not_before: Option<Instant>,
    ) -> Result<(), Failure> {
        let (job, now) = (submission.job, self.flow.now);
        match subject {
            Subject::Known { value, .. } => {
                let standing = self.standing_of_submitted(payer);
                self.admission
                    .check(payer.account, standing, Some(submission.title.len()))?;
                self.allowances.check(payer.account, standing, now)?;
                log::about(payer.client, request, job, "submits; the answer is known");
                self.flow
                    .submitted
                    .open_known(submission, payer.client, Ok(value), request, now);
            }
            Subject::Work(question) => {
                let begins = match not_before {
                    Some(_) => Begins::Later,
                    None if self.flow.submitted.keeps() => Begins::Stored,
                    None => Begins::Now,
                };
                let work = self.wait_for(waiter.submitted(job), question, begins, submission.priority)?;
                log::about(payer.client, request, job, "submits");
                self.flow
                    .submitted
                    .open(submission, payer.client, work, not_before, request);
            }
        }
        Ok(())
    }

    /// Ends several submitted jobs; answered by their number.
    fn cancel_many(
        &mut self,
        payer: Payer,
        request: RequestId,
        which: Selection,
        scope: Option<Account>,
    ) -> Result<(), Failure> {
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
        let mut ended = Vec::new();
        let mut none = Failure::new(Code::NoJob, none);
        let mut away = BTreeMap::new();
        for job in jobs {
            let Ok(Found::Running(work)) = self.flow.submitted.find(job, self.flow.now) else {
                continue;
            };
            if self.flow.is_suspended(job) {
                none = self.flow.suspended(job);
                continue;
            }
            if self.is_away(work) {
                away.insert(job, work);
                continue;
            }
            self.flow.end_submitted(job, work, &cancelled(job));
            ended.push(job);
        }
        if ended.is_empty() && away.is_empty() {
            return Err(none);
        }
        match away.is_empty() {
            true => self.flow.reply_when_cancelled(payer.client, request, ended, true),
            false => self.cancel_away(payer, request, away, Some(ended)),
        }
        Ok(())
    }

    /// Lets one wait for work: for an equal long job that is there, or for a new one.
    fn wait_for(
        &mut self,
        waiter: Waiter,
        question: Work,
        begins: Begins,
        priority: Priority,
    ) -> Result<WorkId, Failure> {
        let payer = waiter.payer();
        let title = question.title().into_owned();
        let duplicate = match &question {
            Work::Plan(job) if !job.streams && begins != Begins::Later => self.flow.jobs.duplicate_of(&title),
            _ => None,
        };
        let new = duplicate.is_none().then_some(title.len());
        let is_submitted = waiter.is_submitted();
        let standing = match is_submitted {
            true => self.standing_of_submitted(payer),
            false => self.standing(payer),
        };
        self.admission.check(payer.account, standing, new)?;
        self.allowances.check(payer.account, standing, self.flow.now)?;
        let mut begin_by = None;
        if !is_submitted && duplicate.is_none() && matches!(question, Work::Plan(_)) {
            self.check_wait(payer, waiter.deadline())?;
            begin_by = match waiter.deadline() {
                None => self.flow.now.checked_add(self.flow.max_age),
                // It says itself how long it may wait.
                Some(_) => None,
            };
        }
        if let Work::External(task) = &question {
            self.flow.external.admit(task, payer.account, is_submitted)?;
        }
        let work = duplicate.unwrap_or_else(|| self.flow.jobs.next_id());
        let event = duplicate.map_or("work begins", |_| "joins equal work");
        log::waits(&waiter, work, || title.clone(), event);
        if duplicate.is_none() {
            let entry = Entry::of(&question, title, payer, self.flow.now)
                .with_priority(priority)
                .with_submitted(is_submitted)
                .with_begin_by(begin_by);
            self.flow.jobs.insert(work, entry);
            if begins != Begins::Now || (question.streams() && waiter.has_no_credit()) {
                self.flow.hold(work, question);
            } else {
                self.flow.begin(work, payer, question);
            }
        } else {
            self.flow.raise(work, priority);
        }
        self.flow.waiters.add(work, waiter.with_priority(priority));
        self.flow.recount(work);
        Ok(work)
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
        let work = match self.flow.submitted.find(job, self.flow.now)? {
            Found::Running(work) => work,
            Found::Done(reply) => {
                let reply = reply.clone();
                if let WaiterId::Request(client, request) = waiter.id() {
                    self.flow.reply_when_written(job, client, request, reply, Says::End);
                }
                return Ok(None);
            }
        };
        if self.flow.is_suspended(job) {
            return Err(self.flow.suspended(job));
        }
        let account = waiter.payer().account;
        let held = self.flow.waiters.counts(account).questions;
        self.admission.check_held(account, held)?;
        self.allowances.check_requests(account, held)?;
        self.flow.waiters.add(work, waiter);
        Ok(None)
    }

    /// Takes in plain questions of a client, in the order of their requests.
    pub(in crate::engine) fn take_in_plain(&mut self, payer: Payer, questions: Vec<Plain>, now: Instant) {
        self.flow.now = now;
        let questions = self.join_duplicates(payer, questions);
        if questions.is_empty() {
            return;
        }
        let (client, max_age) = (payer.client, self.flow.max_age);
        let standing = self.standing(payer);
        let room = self.flow.express.room(payer, max_age);
        let (mut titles, mut longest) = (0, 0);
        for (_, question) in &questions {
            let title = question.title_bytes();
            titles += title;
            longest = longest.max(title);
        }
        // With all before it, and if it has the longest title: then each may have what it needs.
        let last = standing.with(questions.len() - 1, titles);
        if questions.len() <= room
            && self.allowances.check(payer.account, last, now).is_ok()
            && self.admission.check(payer.account, last, Some(longest)).is_ok()
        {
            return self.wait_together(payer, questions.into(), titles);
        }
        let mut refused = Vec::new();
        let mut admitted = VecDeque::with_capacity(questions.len());
        titles = 0;
        for (request, question) in questions {
            let title = question.title_bytes();
            let admitted_so_far = standing.with(admitted.len(), titles);
            let allowance = self.allowances.check(payer.account, admitted_so_far, now);
            let admission = allowance.and_then(|()| self.admission.check(payer.account, admitted_so_far, Some(title)));
            let admission = admission.and_then(|()| match admitted.len() < room {
                true => Ok(()),
                false => Err(queue_is_long(max_age)),
            });
            match admission {
                Ok(()) => {
                    titles += title;
                    admitted.push_back((request, question));
                }
                Err(failure) => refused.push((request, Event::Final(Err(failure)))),
            }
        }
        self.flow.outbox.push_all(client, refused);
        if !admitted.is_empty() {
            self.wait_together(payer, admitted, titles);
        }
    }

    /// Lets a client wait for questions that are taken in. `titles` counts the bytes of their titles.
    fn wait_together(&mut self, payer: Payer, questions: VecDeque<Plain>, titles: usize) {
        let (now, max_age) = (self.flow.now, self.flow.max_age);
        log::wait_together(payer.client, self.flow.jobs.peek_id(), &questions);
        self.flow.waiters.count_questions(payer, questions.len());
        let work = self.flow.jobs.next_id();
        self.flow
            .express
            .push_batch(payer, work, titles, now, max_age, questions);
        #[cfg(test)]
        crate::engine::failpoint::hit();
    }

    /// Lets the questions that equal a long job wait for that, and gives back the others.
    fn join_duplicates(&mut self, payer: Payer, questions: Vec<Plain>) -> Vec<Plain> {
        if !self.flow.jobs.has_long() {
            return questions;
        }
        let is_duplicate =
            |question: &Job| !question.is_brief() && self.flow.jobs.duplicate_of(&question.title()).is_some();
        let (equal, questions): (Vec<Plain>, Vec<Plain>) =
            questions.into_iter().partition(|(_, question)| is_duplicate(question));
        for (request, question) in equal {
            if let Err(failure) = self.wait_for(
                Waiter::plain(payer, request, self.flow.now),
                question.into(),
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
            kind: Kind::Questions,
            held: waiters.counts(payer.account).questions,
            accounts: waiters.accounts(),
            jobs: jobs.asked() + express.questions(),
            title_bytes: jobs.title_bytes() - jobs.submitted_title_bytes() + express.title_bytes(),
        }
    }

    fn standing_of_submitted(&self, payer: Payer) -> Standing {
        let Flow {
            waiters,
            jobs,
            submitted,
            ..
        } = &self.flow;
        Standing {
            kind: Kind::Submitted,
            held: waiters.counts(payer.account).submitted,
            accounts: waiters.accounts(),
            jobs: waiters.submitted_by_all() + submitted.ended_unacknowledged(),
            title_bytes: jobs.submitted_title_bytes(),
        }
    }
}
