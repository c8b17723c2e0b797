//! The scheduler actor: requests in, tasks out to the pool, events back to the clients. Every decision is made in
//! `table`.
//!
//! Here is its turn, its alarm, and how it begins again after a panic. `messages` are what it takes and sends,
//! `clients` takes in what they ask and sends what happened to it, `workers` hands out tasks and takes their results,
//! `store` is about a store, `cluster` about a cluster of daemons.

mod clients;
mod cluster;
mod late;
mod messages;
mod store;
mod workers;

pub use self::messages::{Cancel, Flush, Grant, Leave, News, Requests, Shutdown};

use self::clients::Client;
use self::cluster::ClusterLink;
use self::store::StoreLink;
use super::answers::Answers;
use super::cluster::EngineEvent;
use super::external::Calls;
use super::health::{Health, MAX_PANICS};
use super::lanes::LaneId;
use super::message::{ClientId, Policy};
use super::pool::{Hire, Pool};
use super::table::Table;
use super::text::lost;
use super::worker;
use crate::caught::{Panicked, caught};
use crate::clients::Clients;
use crate::metrics::Metrics;
use crate::proto::{Code, Failure};
use actix::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant, SystemTime};
use std::{io, mem};

/// Messages whose consequences are drawn in one turn, at the most: what is free by then gets its work.
const MAX_TOGETHER: usize = 64;

/// How long after a panic submitted jobs go on.
const RESUME_DELAY: Duration = Duration::from_millis(100);

/// Hands out work by the table, and sends what it has come to.
///
/// A panic in its turn is caught in the handler, which stops the actor; actix's `Supervisor` then starts it again with
/// the same mailbox, and [`restarting`](Supervised::restarting) rebuilds the table. The supervisor alone would not do:
/// it restarts an actor that stops, but a panic that reaches it unwinds the supervisor too.
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
    has_no_workers: bool,
    /// What it was at when it panicked, until it is rebuilt.
    panicked_in: Option<&'static str>,
    health: Health,
    metrics: Arc<Metrics>,
    answers: Arc<Answers>,
    store: Option<StoreLink>,
    cluster: Option<ClusterLink>,
    /// It has jobs of an earlier process that are not begun.
    has_stored_jobs: bool,
    /// It has jobs of a table that broke which are not begun.
    has_broken_jobs: bool,
}

impl Scheduler {
    /// A scheduler with its own pool of `workers` in each lane, each on a thread of its own; `long_work` sets the
    /// priority of those of long jobs.
    ///
    /// # Errors
    /// If the system has no thread for one of them.
    pub fn new(policy: Policy, workers: usize, long_work: fn(), metrics: Arc<Metrics>) -> io::Result<Self> {
        let health = Health::new(metrics.clone(), MAX_PANICS);
        let hire = move |lane, started: &_| worker::start(lane, long_work, started);
        Self::with_workers(Box::new(hire), policy, workers, metrics, health)
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
            has_no_workers: false,
            panicked_in: None,
            health,
            answers: Arc::new(Answers::new(&policy, metrics.clone())),
            metrics,
            store: None,
            cluster: None,
            has_stored_jobs: false,
            has_broken_jobs: false,
        })
    }

    /// Waits until all its workers run.
    ///
    /// # Errors
    /// `TimedOut` if they do not.
    pub async fn ready(&self) -> io::Result<()> {
        self.pool.ready().await
    }

    /// The same scheduler, which takes in no jobs: submits are answered so.
    #[cfg(feature = "cluster")]
    pub fn only_working(mut self, failure: Failure) -> Self {
        self.table.only_work(failure);
        self
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

    /// Does what a message asks for, and then everything that this makes possible. A panic in it stops the actor, to be
    /// rebuilt.
    fn handle_by(&mut self, work: &'static str, context: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        let begun = now();
        let turn = caught(|| {
            act(self);
            self.turn(context);
        });
        self.note_turn(work, begun);
        if let Err(Panicked) = turn {
            self.panicked_in = Some(work);
            context.stop();
        }
    }

    /// Does what a message asks for. The turn comes after the messages that are there already: those of one poll of the
    /// sockets share it, and wake one worker where each alone would wake another.
    fn take_by(&mut self, work: &'static str, context: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        let count = self.without_turn.1 + 1;
        if count == MAX_TOGETHER {
            return self.handle_by(work, context, act);
        }
        self.without_turn = (work, count);
        let begun = now();
        if let Err(Panicked) = caught(|| act(self)) {
            self.panicked_in = Some(work);
            context.stop();
        }
        self.note_turn(work, begun);
    }

    /// After anything has happened: hands out work, sends events, sets the alarm.
    fn turn(&mut self, context: &mut Context<Self>) {
        self.without_turn.1 = 0;
        self.mend_pool();
        self.hand_out();
        self.hand_out_external(context);
        self.offer_parts();
        #[cfg(test)]
        super::failpoint::hit();
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

    fn set_alarm(&mut self, context: &mut Context<Self>) {
        let writing = self.store.as_ref().and_then(|link| link.journal.wake_at());
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
            this.handle_by("an alarm", context, |this| {
                let now = now();
                this.table.set_time(now, SystemTime::now().into());
                this.table.tick(now);
            });
        });
        self.alarm = Some((next, handle));
    }
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
            context.run_later(RESUME_DELAY, |this, context| {
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
    /// Goes on with a new table after a panic, which has the submitted jobs, if there is a store: each as of its last
    /// checkpoint. The pool and the hosts stay: what their workers bring back of the old table has names that the new
    /// one does not know. Each client is sent what it was to be sent, and then that the rest is lost: it knows best
    /// which of its requests have no reply, and this need not be right in a table that broke.
    fn restarting(&mut self, _: &mut Self::Context) {
        let now = now();
        let work = self.panicked_in.take().unwrap_or("an unknown message");
        self.health.panicked("scheduler", work, now);
        // Its timer is gone with the old context.
        self.alarm = None;
        self.without_turn.1 = 0;
        let _ = caught(|| self.send());
        let table = mem::replace(&mut self.table, Table::new(self.policy, self.workers, now));
        let (table, unfinished) = table.rebuilt(self.policy, self.workers, now);
        self.table = table;
        if let Some(link) = &self.store {
            self.has_broken_jobs = !unfinished.is_empty();
            let jobs = unfinished.into_iter().map(&link.rebuild).collect();
            let _ = caught(|| self.table.resume(jobs, now));
        }
        if let Some(cluster) = &mut self.cluster {
            self.table.join(now);
            cluster.events.clear();
            cluster.events.push(EngineEvent::Began(self.table.submitted_here()));
        }
        self.has_no_workers = false;
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

impl Handler<Shutdown> for Scheduler {
    type Result = ();

    fn handle(&mut self, shutdown: Shutdown, context: &mut Self::Context) {
        self.answers.close();
        self.handle_by("the shutdown", context, |this| {
            this.table.set_lost_store(this.lost_store());
            this.table.drain(now());
            if matches!(shutdown, Shutdown::Cancel) {
                let text = "the daemon shut down before it was done";
                this.table.refuse_all(&Failure::new(Code::Cancelled, text));
            }
        });
    }
}
