//! The scheduler actor: requests in, tasks out to the pool, events back to the clients. Every decision is made in `table`.

use super::answers::Answers;
use super::batch::Plain;
use super::caught::{Panicked, caught};
use super::cluster::{AskProgress, ClusterEvent, EngineEvent, EngineEvents};
use super::external::{Calls, ExternalLoad, Responder, Saying, Token};
use super::health::{Health, MAX_PANICS};
use super::message::{Account, Ask, ClientId, Event, JobId, Order, Payer, Policy, RequestId, Subject, Work, WorkId};
use super::pool::{Hire, Pool};
use super::restored::Restored;
use super::table::{FoundAnswer, HandedOut, LaneId, Table};
use super::task::{Load, Task};
use super::text::{fault, lost, no_thread};
use super::worker::{self, Finished, Lane};
use crate::auth::UserLimits;
use crate::clients::{ClientState, Clients};
use crate::metrics::Metrics;
use crate::proto::{Code, Failure, Value};
use crate::store::{COMPUTED, Commit, Committed, Journal, KeptAnswer, StoreError, StoredJob};
use actix::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant, SystemTime};
use std::{io, mem};
use tokio::sync::oneshot;

/// Messages whose consequences are drawn in one turn, at the most: what is free by then gets its work.
const MAX_TOGETHER: usize = 64;

/// An answer that took more CPU time than this is kept by the store.
const EXPENSIVE: Duration = Duration::from_millis(100);

/// Requests of a client. One message carries all of one read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Requests {
    /// The client.
    pub client: ClientId,
    /// The connection that it asks over: itself, or the one that it shares with other users.
    pub connection: ClientId,
    /// Whose shares and limits it uses; always the same.
    pub account: Account,
    /// How much the account may use, beyond what every account may.
    pub limits: UserLimits,
    /// Plain questions: of these nothing is wanted but the answer. In the order of their names.
    pub questions: Vec<Plain>,
    /// What else is asked.
    pub orders: Vec<Order>,
    /// Where news of them goes.
    pub to: Arc<Recipient<News>>,
}

/// News of a client's requests.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum News {
    /// What happened, in that order.
    Events {
        /// The client: an actor may act for several.
        client: ClientId,
        /// Of which request, and what.
        events: Vec<(RequestId, Event)>,
    },
    /// The scheduler broke, and has lost whatever it had of this client up to this request: each of these that has no reply yet gets the
    /// failure.
    Lost {
        /// The client.
        client: ClientId,
        /// The latest request that the scheduler had been sent.
        last: RequestId,
        /// What those that waited are answered.
        failure: Failure,
    },
}

impl News {
    /// The client whose requests they are about.
    pub const fn client(&self) -> ClientId {
        match self {
            Self::Events { client, .. } | Self::Lost { client, .. } => *client,
        }
    }
}

/// The order to stop working on a request; it is answered `cancelled`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cancel {
    /// The client that asked.
    pub client: ClientId,
    /// Which request.
    pub request: RequestId,
}

/// The news that a client can take more rows of a request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Grant {
    /// The client that asked.
    pub client: ClientId,
    /// Which request.
    pub request: RequestId,
    /// How many more rows.
    pub rows: usize,
}

/// The news that a client is gone: what it asked is cancelled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave(pub ClientId);

/// What an actor says of a call.
#[derive(Message)]
#[rtype(result = "()")]
struct Said {
    work: WorkId,
    what: Saying,
}

/// The order to shut down: first nothing new, and then nothing at all.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Shutdown {
    /// Finish what has been accepted, refuse what is new.
    Drain,
    /// Cancel what is left.
    Cancel,
}

/// Asks to be notified when everything is written: sent after the last request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle {
    /// Notified then.
    pub settled: oneshot::Sender<()>,
}

/// Makes a job of its request again.
pub type Again = Box<dyn Fn(StoredJob) -> Restored>;

/// How long after a panic submitted jobs go on.
const GO_ON_AFTER: Duration = Duration::from_millis(100);

/// The way to the store, and what is to be written there.
struct Keeping {
    again: Again,
    journal: Journal,
    writer: Recipient<Commit>,
    settled: Option<oneshot::Sender<()>>,
    /// The latest failure that was logged, until a batch is written.
    failure: Option<StoreError>,
}

/// The way to the cluster, and what is to be said to it.
struct Sharing {
    to: Recipient<EngineEvents>,
    events: Vec<EngineEvent>,
    /// Parts that may be offered at once.
    parts: usize,
    /// Workers of other nodes that are free for them.
    workers: usize,
}

/// Hands out work by the table, and sends what it has come to.
///
/// A panic in its turn is caught in the handler, which stops the actor; actix's `Supervisor` then starts it again with the same mailbox,
/// and [`restarting`](Supervised::restarting) rebuilds the table. The supervisor alone would not do: it restarts an actor that stops, but
/// a panic that reaches it unwinds the supervisor too.
pub struct Scheduler {
    policy: Policy,
    workers: usize,
    table: Table,
    pool: Pool,
    /// The actors of lanes that have met their first call.
    hosts: HashMap<LaneId, Calls>,
    /// How many lanes the metrics know.
    lanes_shown: usize,
    clients: FxHashMap<ClientId, Client>,
    /// The connections.
    connected: Arc<Clients>,
    alarm: Option<(Instant, SpawnHandle)>,
    /// The latest message that was handled without a turn, and how many there were since one.
    without_turn: (&'static str, usize),
    /// Nothing is taken in because there are no threads.
    is_out: bool,
    /// What it was at when it panicked, until it is rebuilt.
    broke_at: Option<&'static str>,
    health: Health,
    metrics: Arc<Metrics>,
    answers: Arc<Answers>,
    keeping: Option<Keeping>,
    sharing: Option<Sharing>,
    /// It has jobs of an earlier process that are not begun.
    has_stored_jobs: bool,
    /// It has jobs of a table that broke which are not begun.
    has_broken_jobs: bool,
}

/// A client that has asked something.
struct Client {
    to: Arc<Recipient<News>>,
    /// Its latest request.
    last: RequestId,
    /// The connection, if it has one.
    state: Option<Arc<ClientState>>,
}

impl Scheduler {
    /// A scheduler with its own pool of `workers` in each lane, each on a thread of its own.
    ///
    /// # Errors
    /// If the system has no thread for one of them.
    pub fn new(policy: Policy, workers: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let health = Health::new(metrics.clone(), MAX_PANICS);
        Self::with_workers(Box::new(worker::start), policy, workers, metrics, health)
    }

    /// A scheduler that starts its workers by `hire`.
    pub(super) fn with_workers(
        hire: Hire,
        policy: Policy,
        workers: usize,
        metrics: Arc<Metrics>,
        health: Health,
    ) -> io::Result<Self> {
        Ok(Self {
            policy,
            workers,
            table: Table::new(policy, workers, now()),
            pool: Pool::new(workers, hire)?,
            hosts: HashMap::new(),
            lanes_shown: 0,
            clients: FxHashMap::default(),
            connected: Arc::default(),
            alarm: None,
            without_turn: ("", 0),
            is_out: false,
            broke_at: None,
            health,
            answers: Arc::new(Answers::new(&policy, metrics.clone())),
            metrics,
            keeping: None,
            sharing: None,
            has_stored_jobs: false,
            has_broken_jobs: false,
        })
    }

    /// The same scheduler with a store: it goes on with these jobs, names none up to `last` again, and has `writer` write what changes.
    /// After a panic it goes on with what `again` makes of each.
    pub fn keeping(
        mut self,
        writer: Recipient<Commit>,
        jobs: Vec<Restored>,
        last: u64,
        answers: BTreeMap<String, KeptAnswer>,
        again: Again,
    ) -> Self {
        let mut journal = Journal::new();
        for record in self.answers.load(answers) {
            journal.push(record);
        }
        let now = now();
        self.table.set_time(now, SystemTime::now().into());
        self.table.restore(jobs, last, now);
        self.has_stored_jobs = true;
        self.keeping = Some(Keeping {
            again,
            journal,
            writer,
            settled: None,
            failure: None,
        });
        self
    }

    /// Waits until all its workers run.
    ///
    /// # Errors
    /// `TimedOut` if they do not.
    pub async fn ready(&self) -> io::Result<()> {
        self.pool.ready().await
    }

    /// Starts the actor, which is started again after a panic.
    pub fn supervised(self) -> Addr<Self> {
        Supervisor::start(|_| self)
    }

    /// Whether it has panicked too often.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// The connections, to which it adds the CPU time of their requests.
    pub fn connected(&self) -> Arc<Clients> {
        self.connected.clone()
    }

    /// The answers that it keeps.
    pub fn answers(&self) -> Arc<Answers> {
        self.answers.clone()
    }

    /// Does what a message asks for, and then everything that this makes possible. A panic in it stops the actor, to be rebuilt.
    fn handle_by(&mut self, work: &'static str, context: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        let turn = caught(|| {
            act(self);
            self.turn(context);
        });
        if let Err(Panicked) = turn {
            self.broke_at = Some(work);
            context.stop();
        }
    }

    /// Does what a message asks for. The turn comes after the messages that are there already: those of one poll of the sockets share it, and
    /// wake one worker where each alone would wake another.
    fn take_by(&mut self, work: &'static str, context: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        let count = self.without_turn.1 + 1;
        if count == MAX_TOGETHER {
            return self.handle_by(work, context, act);
        }
        self.without_turn = (work, count);
        if let Err(Panicked) = caught(|| act(self)) {
            self.broke_at = Some(work);
            context.stop();
        }
    }

    /// After anything has happened: hands out work, sends events, sets the alarm.
    fn turn(&mut self, context: &mut Context<Self>) {
        self.without_turn.1 = 0;
        self.mend_pool();
        self.hand_out();
        self.hand_out_external(context);
        #[cfg(test)]
        super::planted::here();
        self.send();
        self.write(context);
        self.share();
        self.set_alarm(context);
        self.metrics.jobs.store(self.table.len() as u64, Relaxed);
        self.table.show_states(&self.metrics.states);
        self.table.measured().report(&self.metrics);
        for (index, lane) in self.table.lane_metrics().enumerate() {
            if index == self.lanes_shown {
                self.metrics.add_lane(lane.clone());
                self.lanes_shown += 1;
            }
        }
    }

    /// Starts threads that could not be had before. As long as no plan can be worked on, none is taken in, and those that are there are
    /// given up: nobody knows when there will be a thread.
    fn mend_pool(&mut self) {
        self.pool.mend(now());
        if self.pool.is_out() != self.is_out {
            self.is_out = !self.is_out;
            self.table.set_outage(self.is_out.then(no_thread));
            if self.is_out {
                self.table.refuse_all(&no_thread());
            }
        }
    }

    fn hand_out(&mut self) {
        while let free @ 1.. = self.pool.free(Lane::Express) {
            let tasks = self.table.next_express(free);
            #[cfg(test)]
            super::planted::here();
            if tasks.is_empty() || self.pool.run(Lane::Express, tasks).is_err() {
                break;
            }
        }
        while self.pool.free(Lane::Bulk) > 0 {
            let Some(task) = self.table.next_bulk() else {
                break;
            };
            if self.pool.run(Lane::Bulk, vec![task]).is_err() {
                break;
            }
        }
    }

    /// Hands out external tasks, as far as their lanes have slots.
    fn hand_out_external(&mut self, context: &mut Context<Self>) {
        while let Some(task) = self.table.next_external() {
            let HandedOut {
                work,
                lane,
                client,
                channel,
                load,
            } = task;
            let spec = self.table.lane_spec(lane);
            match load {
                ExternalLoad::Blocking(code) => {
                    let task = Task {
                        work,
                        cancel: Arc::default(),
                        load: Load::Blocking(code, Token(channel)),
                    };
                    self.pool.open(lane, spec.slots, now());
                    // A slot is a worker, so there is one that is free, unless the system had no thread for it.
                    if self.pool.run(Lane::External(lane), vec![task]).is_err() {
                        self.table.cannot_run(work, no_thread());
                    }
                }
                ExternalLoad::Call(delivery) => {
                    let back = context.address();
                    let back = move |what| back.do_send(Said { work, what });
                    let responder = Responder::new(client.0, channel, Box::new(back));
                    match self.host(lane) {
                        // If the host's thread is gone, the call comes back at once: its responder is dropped.
                        Ok(host) => drop(host.send((delivery, responder))),
                        Err(failure) => self.table.cannot_run(work, failure),
                    }
                }
            }
        }
    }

    /// Before orders are taken in: what the table does not know by itself.
    fn prepare(&mut self, now: Instant) {
        self.table.set_time(now, SystemTime::now().into());
        if let Some(keeping) = &self.keeping {
            let outage = keeping.journal.admits(now).err();
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
        if let Some(keeping) = &mut self.keeping {
            records.into_iter().for_each(|record| keeping.journal.push(record));
        }
        self.table.reply(payer.client, order.request, Ok(Value::Nothing));
    }

    /// The work that verifies the answer of a submitted job.
    fn verification(&mut self, job: JobId, scope: Option<Account>, now: Instant) -> Result<Work, Failure> {
        let (stored, value) = self.table.answered(job, scope, now)?;
        let Some(keeping) = &self.keeping else {
            let text = "the question of a job is not kept without a store; write 'verify REQUEST'";
            return Err(Failure::new(Code::NoJob, text));
        };
        let verification = match (keeping.again)(stored).subject? {
            Subject::Work(Work::Plan(job)) => job.verification(),
            _ => None,
        };
        let verification = verification.ok_or_else(|| {
            let text = "there is a second way for pi, nth and factor only, if the answer is not in a table";
            Failure::new(Code::BadArg, text)
        })?;
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

    /// The host of the actor of a lane, started if this is its first call.
    fn host(&mut self, lane: LaneId) -> Result<&Calls, Failure> {
        let spec = self.table.lane_spec(lane);
        match self.hosts.entry(lane) {
            Entry::Occupied(host) => Ok(host.into_mut()),
            Entry::Vacant(place) => match spec.actor.as_ref().map(|start| start()) {
                Some(Ok(host)) => Ok(place.insert(host)),
                Some(Err(error)) => {
                    tracing::error!(%error, lane = spec.name, "cannot start the thread of an actor; the call is refused");
                    Err(no_thread())
                }
                None => Err(fault(spec.name)),
            },
        }
    }

    fn send(&mut self) {
        for FoundAnswer { title, value, cost } in self.table.take_found() {
            if let Some(keeping) = self.keeping.as_mut().filter(|_| cost > EXPENSIVE) {
                let answer = KeptAnswer {
                    title: title.clone(),
                    value: value.clone(),
                    cost,
                    found_at: SystemTime::now().into(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    method: COMPUTED.to_owned(),
                    is_refuted: false,
                };
                let records = self.answers.store(answer);
                records.into_iter().for_each(|record| keeping.journal.push(record));
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
                    self.answers.refute(&title)
                }
            };
            if let (Some(keeping), Some(record)) = (&mut self.keeping, record) {
                keeping.journal.push(record);
            }
        }
        for (client, events) in self.table.take_events() {
            if let Some(Client { to, .. }) = self.clients.get(&client) {
                to.do_send(News::Events { client, events });
            }
        }
    }

    /// Hands the store what is to be written, unless it is writing already: what comes meanwhile shares the next batch.
    fn write(&mut self, context: &mut Context<Self>) {
        let Some(keeping) = &mut self.keeping else {
            return;
        };
        for record in self.table.take_records() {
            keeping.journal.push(record);
        }
        if let Some(batch) = keeping.journal.next_batch(now()) {
            let reply = context.address().recipient();
            keeping.writer.do_send(Commit { batch, reply });
        }
        if keeping.journal.is_settled()
            && let Some(settled) = keeping.settled.take()
        {
            let _ = settled.send(());
        }
    }

    /// Offers parts to the cluster, as many as it wants, and reports what has happened.
    fn share(&mut self) {
        let recalled = self.table.take_recalled();
        let Some(sharing) = &mut self.sharing else {
            return;
        };
        sharing.events.extend(recalled.into_iter().map(EngineEvent::Recalled));
        if sharing.parts > 0 {
            let wanted = sharing.parts.saturating_sub(self.table.parts());
            for _ in 0..wanted {
                let Some(part) = self.table.next_part(sharing.workers) else {
                    break;
                };
                sharing.events.push(EngineEvent::Offered(part));
            }
        }
        if !sharing.events.is_empty() {
            sharing.to.do_send(EngineEvents(mem::take(&mut sharing.events)));
        }
    }

    /// Does what the cluster says.
    fn hear(&mut self, event: ClusterEvent, now: Instant) {
        match event {
            ClusterEvent::Joined { to } => {
                self.sharing = Some(Sharing {
                    to,
                    events: vec![EngineEvent::Began(self.table.submitted_here())],
                    parts: 0,
                    workers: 0,
                });
            }
            ClusterEvent::Numbered(node) => self.table.set_node(node),
            ClusterEvent::Wanted { parts, workers } => {
                if let Some(sharing) = &mut self.sharing {
                    (sharing.parts, sharing.workers) = (parts, workers);
                }
            }
            ClusterEvent::PartDone { id, result, cpu, node } => {
                self.table.absorb_part(id, &result, cpu, &node, now);
            }
            ClusterEvent::PartLost(id) => self.table.part_lost(id, now),
            ClusterEvent::Erred { node } => self.start_over(&node, now),
            ClusterEvent::Away { job, node } => self.table.set_away(*job, node, now),
            ClusterEvent::Advanced(progress) => self.table.advance_away(progress, now),
            ClusterEvent::Ended(ended) => self.table.end_away(ended.0, ended.1, now),
            ClusterEvent::TakenOver(stored) => {
                if let Some(keeping) = &self.keeping {
                    self.table.take_over((keeping.again)(*stored), now);
                }
            }
            ClusterEvent::Forgotten(job) => self.table.forget_away(job),
            ClusterEvent::Answer(answer) => self.take_answer(*answer),
        }
    }

    /// Jobs with parts that a node has done which errs start over: nothing that was absorbed of them is trusted.
    fn start_over(&mut self, node: &str, now: Instant) {
        for (id, title) in self.table.contributed_to(node) {
            tracing::error!(
                request = title,
                node,
                "starts over: a node that has done parts of it errs"
            );
            let subject = match &self.keeping {
                Some(keeping) => (keeping.again)(StoredJob::of_request(title)).subject,
                None => Err(lost()),
            };
            self.table.start_over(id, subject, now);
        }
    }

    /// Keeps an answer that another node has found, or gives one no more that was refuted there.
    fn take_answer(&mut self, answer: KeptAnswer) {
        let record = match answer.is_refuted {
            true => {
                self.table.refute(&answer.title);
                self.answers.refute(&answer.title).into_iter().collect()
            }
            false => {
                self.answers.keep(answer.title.clone(), answer.value.clone());
                self.answers.store(answer)
            }
        };
        if let Some(keeping) = &mut self.keeping {
            record.into_iter().for_each(|record| keeping.journal.push(record));
        }
    }

    fn set_alarm(&mut self, context: &mut Context<Self>) {
        let writing = self.keeping.as_ref().and_then(|keeping| keeping.journal.wake_at());
        let others = self.pool.next_alarm().into_iter().chain(writing);
        let next = self.table.next_alarm().into_iter().chain(others).min();
        let earlier = match (&self.alarm, next) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some((at, _)), Some(next)) => next < *at,
        };
        let Some(next) = next.filter(|_| earlier) else {
            return;
        };
        if let Some((_, handle)) = self.alarm.take() {
            context.cancel_future(handle);
        }
        let handle = context.run_later(next.saturating_duration_since(now()), |this, context| {
            this.alarm = None;
            this.handle_by("an alarm", context, |this| this.table.tick(now()));
        });
        self.alarm = Some((next, handle));
    }
}

/// The failure of a submit that the store does not take.
fn unwritten(error: &StoreError) -> Failure {
    Failure::new(Code::Store, format!("the job is not taken in: {error}; retry-ms=1000"))
}

/// The present moment by the clock that timers go by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.pool.report_to(context.address().recipient());
        context.spawn(Turns);
        // Jobs of an earlier process go on without a request.
        if mem::take(&mut self.has_stored_jobs) {
            self.handle_by("the start", context, |_| {});
        }
        // After a panic not at once: with one at every turn the clients would hear of nothing else.
        if mem::take(&mut self.has_broken_jobs) {
            context.run_later(GO_ON_AFTER, |this, context| {
                this.handle_by("jobs that go on", context, |_| {});
            });
        }
    }
}

/// Has the scheduler make its turn after the messages that were there: an actor polls its futures after its mailbox.
struct Turns;

impl ActorFuture<Scheduler> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        scheduler: &mut Scheduler,
        context: &mut Context<Scheduler>,
        _: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let (work, count) = scheduler.without_turn;
        if count > 0 {
            scheduler.handle_by(work, context, |_| {});
        }
        Poll::Pending
    }
}

impl Supervised for Scheduler {
    /// Goes on with a new table after a panic, which has the submitted jobs, if there is a store: each as of its last checkpoint.
    /// The pool and the hosts stay: what their workers bring back of the old table has names
    /// that the new one does not know. Each client is sent what it was to be sent, and then that the rest is lost: it knows best which
    /// of its requests have no reply, and this need not be right in a table that broke.
    fn restarting(&mut self, _: &mut Self::Context) {
        let now = now();
        let work = self.broke_at.take().unwrap_or("an unknown message");
        self.health.panicked("scheduler", work, now);
        // Its timer is gone with the old context.
        self.alarm = None;
        self.without_turn.1 = 0;
        let _ = caught(|| self.send());
        let table = mem::replace(&mut self.table, Table::new(self.policy, self.workers, now));
        let (table, unfinished) = table.rebuilt(self.policy, self.workers, now);
        self.table = table;
        if let Some(keeping) = &self.keeping {
            self.has_broken_jobs = !unfinished.is_empty();
            let jobs = unfinished.into_iter().map(&keeping.again).collect();
            let _ = caught(|| self.table.resume(jobs, now));
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.events.clear();
            sharing.events.push(EngineEvent::Began(self.table.submitted_here()));
        }
        self.is_out = false;
        self.table.set_outage(None);
        self.metrics.jobs.store(0, Relaxed);
        for (client, Client { to, last, .. }) in &self.clients {
            to.do_send(News::Lost {
                client: *client,
                last: *last,
                failure: lost(),
            });
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.health.ended();
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

impl Handler<Finished> for Scheduler {
    type Result = ();

    fn handle(&mut self, finished: Finished, context: &mut Self::Context) {
        let Finished {
            worker,
            done,
            thread_died,
        } = finished;
        let now = now();
        // First of all: a panic in what follows must not cost a worker.
        self.pool.freed(worker, thread_died, now);
        self.metrics.threads_replaced.store(self.pool.replaced(), Relaxed);
        self.take_by("a worker's results", context, |this| {
            for done in done {
                this.table.log_slices(worker, &done);
                let slices = done.slices();
                let class = match worker.lane {
                    Lane::External(_) => {
                        this.table.free_slot(done.work, now);
                        &this.metrics.external
                    }
                    Lane::Express => &this.metrics.express,
                    Lane::Bulk => &this.metrics.bulk,
                };
                let cpu_us = u64::try_from(done.cpu.as_micros()).unwrap_or(u64::MAX);
                class.slices.fetch_add(slices, Relaxed);
                class.cpu_us.fetch_add(cpu_us, Relaxed);
                if let Some(client) = this.table.client_of(&done)
                    && let Some(Client { state: Some(state), .. }) = this.clients.get(&client)
                {
                    state.has_used(cpu_us);
                }
                this.table.finished(done, now);
            }
        });
    }
}

impl Handler<Said> for Scheduler {
    type Result = ();

    fn handle(&mut self, Said { work, what }: Said, context: &mut Self::Context) {
        self.handle_by("an actor's answer", context, |this| this.table.said(work, what, now()));
    }
}

impl Handler<Committed> for Scheduler {
    type Result = ();

    fn handle(&mut self, Committed { batch, result }: Committed, context: &mut Self::Context) {
        self.handle_by("the store's answer", context, |this| {
            let now = now();
            let Some(keeping) = &mut this.keeping else {
                return;
            };
            let failure = result.as_ref().err().map(unwritten);
            match &result {
                Err(error) if keeping.failure.as_ref() != Some(error) => {
                    tracing::error!(%error, "the store cannot be written: submits are refused until it can");
                    keeping.failure = Some(error.clone());
                    let shown = error.to_string();
                    this.metrics.set_store(|store| store.failure = shown);
                }
                Ok(()) if keeping.failure.take().is_some() => {
                    tracing::info!("the store can be written again");
                    this.metrics.set_store(|store| store.failure.clear());
                }
                _ => {}
            }
            if let (Some(sharing), Ok(())) = (&mut this.sharing, &result) {
                sharing.events.push(EngineEvent::Committed(batch.clone()));
            }
            let settled = keeping.journal.settle(batch, result, now);
            this.table.acknowledge(settled.acknowledged, now);
            if let Some(failure) = failure {
                this.table.withdraw(settled.refused, &failure, now);
            }
        });
    }
}

impl Handler<ClusterEvent> for Scheduler {
    type Result = ();

    fn handle(&mut self, event: ClusterEvent, context: &mut Self::Context) {
        self.handle_by("news of the cluster", context, |this| this.hear(event, now()));
    }
}

impl Handler<AskProgress> for Scheduler {
    type Result = MessageResult<AskProgress>;

    fn handle(&mut self, _: AskProgress, _: &mut Self::Context) -> Self::Result {
        MessageResult(caught(|| self.table.progress_here()).unwrap_or_default())
    }
}

impl Handler<Settle> for Scheduler {
    type Result = ();

    fn handle(&mut self, Settle { settled }: Settle, context: &mut Self::Context) {
        self.handle_by("the end", context, |this| match &mut this.keeping {
            Some(keeping) => keeping.settled = Some(settled),
            None => drop(settled.send(())),
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
        self.handle_by("a client that leaves", context, |this| this.table.leave(client));
    }
}

impl Handler<Shutdown> for Scheduler {
    type Result = ();

    fn handle(&mut self, shutdown: Shutdown, context: &mut Self::Context) {
        self.handle_by("the shutdown", context, |this| match shutdown {
            Shutdown::Drain => this.table.drain(now()),
            Shutdown::Cancel => {
                this.table.drain(now());
                let text = "the daemon shut down before it was done";
                this.table.refuse_all(&Failure::new(Code::Cancelled, text));
            }
        });
    }
}
