//! The scheduler and its clients: what they ask is taken in, and what happened to it is sent.

use super::messages::{Cancel, Grant, Leave, News, Requests};
use super::store::unwritten;
use super::{Scheduler, now};
use crate::clients::ClientState;
use crate::engine::message::{Account, Ask, JobId, Order, Payer, RequestId, Subject, Work};
use crate::engine::table::FoundAnswer;
use crate::job::{FROM_TABLE, UNVERIFIABLE, is_of_table};
use crate::proto::{Code, Failure, Value};
use crate::store::{COMPUTED, KeptAnswer};
use actix::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// An answer that took more CPU time than this is kept by the store.
const EXPENSIVE: Duration = Duration::from_millis(100);

/// A client that has asked something.
pub(super) struct Client {
    pub(super) to: Arc<Recipient<News>>,
    /// Its latest request.
    pub(super) last: RequestId,
    /// The connection, if it has one.
    pub(super) state: Option<Arc<ClientState>>,
}

impl Scheduler {
    /// Before orders are taken in: what the table does not know by itself.
    fn prepare(&mut self, now: Instant) {
        self.table.set_time(now, SystemTime::now().into());
        if let Some(link) = &self.store {
            let outage = link.journal.admits(now).err();
            self.table.set_store_outage(outage.map(unwritten));
        }
    }

    fn take_in(&mut self, payer: Payer, mut order: Order, now: Instant) {
        order.ask = match order.ask {
            Ask::Answer(work) => Ask::Answer(self.of_known_answer(work)),
            Ask::Submit(mut submit) => {
                if let Subject::Work(work) = submit.subject {
                    submit.subject = Subject::Work(self.of_known_answer(work));
                }
                Ask::Submit(submit)
            }
            ask => ask,
        };
        let title = match order.ask {
            Ask::Forget(title) => title,
            Ask::Verify(job) => match self.verification(job, order.is_confined.then_some(payer.account), now) {
                Ok(work) => {
                    order.ask = Ask::Answer(work);
                    return self.table.take_in(payer, order, now);
                }
                Err(failure) => return self.table.reply(payer.client, order.request, Err(failure)),
            },
            ask => {
                order.ask = ask;
                return self.table.take_in(payer, order, now);
            }
        };
        let records = self.answers.forget(title.as_deref());
        if let Some(link) = &mut self.store {
            records.into_iter().for_each(|record| link.journal.push(record));
        }
        self.table.reply(payer.client, order.request, Ok(Value::Nothing));
    }

    /// The work that verifies the answer of a submitted job.
    fn verification(&mut self, job: JobId, scope: Option<Account>, now: Instant) -> Result<Work, Failure> {
        let (stored, value) = self.table.answered(job, scope, now)?;
        let Some(link) = &self.store else {
            let text = "the question of a job is not kept without a store; usage: verify REQUEST";
            return Err(Failure::new(Code::BadArg, text));
        };
        let (verification, reason) = match (link.rebuild)(stored).subject? {
            Subject::Work(Work::Plan(job)) => (job.verification(), UNVERIFIABLE),
            Subject::Known { title, .. } if is_of_table(&title) => (None, FROM_TABLE),
            _ => (None, UNVERIFIABLE),
        };
        let verification = verification.ok_or_else(|| Failure::new(Code::BadArg, reason))?;
        Ok(Work::Plan(
            verification.of_answer(value).titled(format!("verify job {job}")),
        ))
    }

    /// The same work; a verification verifies the answer that is kept, if there is one.
    fn of_known_answer(&self, work: Work) -> Work {
        match work {
            Work::Plan(job) => match job.verifies().and_then(|title| self.answers.get(&title)) {
                Some(answer) => Work::Plan(job.of_answer(answer)),
                None => Work::Plan(job),
            },
            other @ Work::External(_) => other,
        }
    }

    pub(super) fn send(&mut self) {
        for FoundAnswer { title, value, cost } in self.table.take_found() {
            if self.store.is_some() && cost > EXPENSIVE {
                let answer = KeptAnswer {
                    title: title.clone(),
                    value: value.clone(),
                    cost,
                    found_at: SystemTime::now().into(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    method: COMPUTED.to_owned(),
                    is_refuted: false,
                };
                self.keep_for_good(answer);
            }
            self.answers.keep(title, value);
        }
        for (title, has_passed) in self.table.take_verified() {
            let record = match has_passed {
                true => self.answers.verified(&title),
                false => {
                    tracing::error!(
                        title,
                        "a verification came to another answer: the one that was kept is never given again"
                    );
                    self.answers.refute(&title, None)
                }
            };
            if let (Some(link), Some(record)) = (&mut self.store, record) {
                link.journal.push(record);
            }
        }
        for (client, events) in self.table.take_events() {
            if let Some(Client { to, .. }) = self.clients.get(&client) {
                to.do_send(News::Events { client, events });
            }
        }
    }
}

impl Handler<Requests> for Scheduler {
    type Result = ();

    fn handle(&mut self, requests: Requests, context: &mut Self::Context) {
        let Requests {
            client,
            connection,
            account,
            limits,
            questions,
            orders,
            to,
        } = requests;
        let payer = Payer { account, client };
        let last = questions.last().map(|(request, _)| *request);
        let last = last.max(orders.last().map(|order| order.request));
        let known = self.clients.entry(client).or_insert_with(|| Client {
            to,
            last: RequestId::MIN,
            state: self.connected.get(connection.0),
        });
        known.last = known.last.max(last.unwrap_or(RequestId::MIN));
        self.take_by("requests", context, |this| {
            let now = now();
            this.table.set_limits(payer, limits, now);
            this.table.take_in_plain(payer, questions, now);
            if !orders.is_empty() {
                this.prepare(now);
            }
            for order in orders {
                this.take_in(payer, order, now);
            }
        });
    }
}

impl Handler<Cancel> for Scheduler {
    type Result = ();

    fn handle(&mut self, Cancel { client, request }: Cancel, context: &mut Self::Context) {
        self.handle_by("a cancel", context, |this| this.table.cancel(client, request, now()));
    }
}

impl Handler<Grant> for Scheduler {
    type Result = ();

    fn handle(&mut self, grant: Grant, context: &mut Self::Context) {
        let Grant { client, request, rows } = grant;
        self.handle_by("a grant of rows", context, |this| {
            this.table.grant(client, request, rows, now())
        });
    }
}

impl Handler<Leave> for Scheduler {
    type Result = ();

    fn handle(&mut self, Leave(client): Leave, context: &mut Self::Context) {
        self.clients.remove(&client);
        self.handle_by("a client that leaves", context, |this| this.table.leave(client, now()));
    }
}
