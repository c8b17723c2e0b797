//! The scheduler actor: requests in, tasks out to the pool, events back to the clients. Every decision is made in `table`.

use super::answers::Answers;
use super::batch::Plain;
use super::external::{Calls, ExternalLoad, Responder, Saying, Token};
use super::message::{ClientId, Event, Order, Policy, RequestId, WorkId};
use super::pool::{Hire, Pool};
use super::table::{HandedOut, LaneId, Table};
use super::task::{Load, Task};
use super::worker::{self, Finished, Lane};
use crate::metrics::Metrics;
use crate::proto::{Code, Failure};
use actix::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Requests of a client. One message carries all of one read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Requests {
    /// The client.
    pub client: ClientId,
    /// Plain questions: of these nothing is wanted but the answer. In the order of their names.
    pub questions: Vec<Plain>,
    /// What else is asked.
    pub orders: Vec<Order>,
    /// Where news of them goes.
    pub to: Arc<Recipient<News>>,
}

/// News of a client's requests, in the order they happened.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct News(pub Vec<(RequestId, Event)>);

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

/// Hands out work by the table, and sends what it has come to.
pub struct Scheduler {
    workers: usize,
    table: Table,
    hire: Option<Hire>,
    pool: Option<Pool>,
    /// The actors of lanes that have met their first call.
    hosts: HashMap<LaneId, Calls>,
    /// How many lanes the metrics know.
    lanes_shown: usize,
    clients: FxHashMap<ClientId, Arc<Recipient<News>>>,
    alarm: Option<(Instant, SpawnHandle)>,
    metrics: Arc<Metrics>,
    answers: Arc<Answers>,
}

impl Scheduler {
    /// A scheduler with its own pool of `workers` in each lane, each on a thread of its own.
    pub fn new(policy: Policy, workers: usize, metrics: Arc<Metrics>) -> Self {
        Self::with_workers(Box::new(worker::start), policy, workers, metrics)
    }

    /// A scheduler that starts its workers so.
    pub(super) fn with_workers(hire: Hire, policy: Policy, workers: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            workers,
            table: Table::new(policy, workers, now()),
            hire: Some(hire),
            pool: None,
            hosts: HashMap::new(),
            lanes_shown: 0,
            clients: FxHashMap::default(),
            alarm: None,
            metrics,
            answers: Arc::new(Answers::new(policy.max_answers)),
        }
    }

    /// The answers that it keeps.
    pub fn answers(&self) -> Arc<Answers> {
        self.answers.clone()
    }

    /// After anything has happened: hands out work, sends events, sets the alarm.
    fn turn(&mut self, context: &mut Context<Self>) {
        self.hand_out();
        self.hand_out_external(context);
        self.send();
        self.set_alarm(context);
        self.metrics.jobs.store(self.table.len() as u64, Relaxed);
        for (index, lane) in self.table.lane_metrics().enumerate() {
            if index == self.lanes_shown {
                self.metrics.add_lane(lane.clone());
                self.lanes_shown += 1;
            }
        }
    }

    fn hand_out(&mut self) {
        let Some(pool) = &mut self.pool else {
            return;
        };
        while let free @ 1.. = pool.free(Lane::Express) {
            let tasks = self.table.next_express(free);
            if tasks.is_empty() || pool.run(Lane::Express, tasks).is_err() {
                break;
            }
        }
        while pool.free(Lane::Bulk) > 0 {
            let Some(task) = self.table.next_bulk() else {
                break;
            };
            if pool.run(Lane::Bulk, vec![task]).is_err() {
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
                    if let Some(pool) = &mut self.pool {
                        pool.open(lane, spec.slots);
                        // A slot is a worker, so there is one that is free.
                        let _ = pool.run(Lane::External(lane), vec![task]);
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

    /// The host of the actor of a lane, started if this is its first call.
    fn host(&mut self, lane: LaneId) -> Result<&Calls, Failure> {
        let spec = self.table.lane_spec(lane);
        let start = spec.actor.as_ref().ok_or_else(|| no_thread(spec.name))?;
        match self.hosts.entry(lane) {
            Entry::Occupied(host) => Ok(host.into_mut()),
            Entry::Vacant(place) => match start() {
                Ok(host) => Ok(place.insert(host)),
                Err(error) => {
                    tracing::error!(%error, lane = spec.name, "cannot start a thread; the call is refused");
                    Err(no_thread(spec.name))
                }
            },
        }
    }

    fn send(&mut self) {
        for (title, value) in self.table.take_found() {
            self.answers.keep(title, value);
        }
        for (client, events) in self.table.take_events() {
            if let Some(to) = self.clients.get(&client) {
                to.do_send(News(events));
            }
        }
    }

    fn set_alarm(&mut self, context: &mut Context<Self>) {
        let next = self.table.next_alarm();
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
            this.table.tick(now());
            this.turn(context);
        });
        self.alarm = Some((next, handle));
    }
}

/// What a call is answered whose lane has no thread.
fn no_thread(lane: &str) -> Failure {
    let text = format!("the system has no thread for '{lane}' now; retry-ms=1000");
    Failure::new(Code::Busy, text)
}

/// The present moment by the clock that timers go by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let hire = self.hire.take();
        self.pool = hire.map(|hire| Pool::start(self.workers, hire, context.address().recipient()));
    }
}

impl Handler<Requests> for Scheduler {
    type Result = ();

    fn handle(&mut self, requests: Requests, context: &mut Self::Context) {
        let Requests {
            client,
            questions,
            orders,
            to,
        } = requests;
        self.clients.entry(client).or_insert(to);
        let now = now();
        self.table.take_in_plain(client, questions, now);
        for order in orders {
            self.table.take_in(client, order, now);
        }
        self.turn(context);
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
        for done in done {
            match worker.lane {
                Lane::External(_) => self.table.free_slot(done.work, now),
                Lane::Express | Lane::Bulk => drop(self.metrics.slices.fetch_add(done.slices(), Relaxed)),
            }
            self.metrics
                .cpu_us
                .fetch_add(u64::try_from(done.cpu.as_micros()).unwrap_or(u64::MAX), Relaxed);
            self.table.finished(done, now);
        }
        if let Some(pool) = &mut self.pool {
            pool.freed(worker, thread_died);
            self.metrics.threads_replaced.store(pool.replaced, Relaxed);
        }
        self.turn(context);
    }
}

impl Handler<Said> for Scheduler {
    type Result = ();

    fn handle(&mut self, Said { work, what }: Said, context: &mut Self::Context) {
        self.table.said(work, what, now());
        self.turn(context);
    }
}

impl Handler<Cancel> for Scheduler {
    type Result = ();

    fn handle(&mut self, Cancel { client, request }: Cancel, context: &mut Self::Context) {
        self.table.cancel(client, request, now());
        self.turn(context);
    }
}

impl Handler<Grant> for Scheduler {
    type Result = ();

    fn handle(&mut self, grant: Grant, context: &mut Self::Context) {
        self.table.grant(grant.client, grant.request, grant.rows);
        self.turn(context);
    }
}

impl Handler<Leave> for Scheduler {
    type Result = ();

    fn handle(&mut self, Leave(client): Leave, context: &mut Self::Context) {
        self.clients.remove(&client);
        self.table.leave(client);
        self.turn(context);
    }
}

impl Handler<Shutdown> for Scheduler {
    type Result = ();

    fn handle(&mut self, shutdown: Shutdown, context: &mut Self::Context) {
        match shutdown {
            Shutdown::Drain => self.table.drain(),
            Shutdown::Cancel => {
                let text = "the daemon shut down before it was done";
                self.table.refuse_all(&Failure::new(Code::Cancelled, text));
            }
        }
        self.turn(context);
    }
}
