//! The scheduler actor: orders in, tasks out to the pool, news back to whoever asked. Every decision is made in `table`.

use super::answers::Answers;
use super::batch::Plain;
use super::errand::{ErrandLoad, Token};
use super::fairness::ClientId;
use super::host::Calls;
use super::order::{Event, Order, Place, Policy};
use super::pool::{Hire, Pool};
use super::responder::{Responder, Said};
use super::table::{HandedOut, LaneId, Table};
use super::task::{Load, Task};
use super::worker::{self, Finished, Lane};
use crate::metrics::Metrics;
use actix::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// The order to do jobs. One message carries all jobs of one read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Submit {
    /// Who asks.
    pub client: ClientId,
    /// Plain questions: of these nothing is wanted but the answer. In the order of their places.
    pub questions: Vec<Plain>,
    /// What else is asked.
    pub orders: Vec<Order>,
    /// Where news of them goes.
    pub to: Arc<Recipient<News>>,
}

/// News of a client's requests, in the order they happened.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct News(pub Vec<(Place, Event)>);

/// The order to stop working on a request; it is answered `cancelled`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cancel {
    /// Who asked.
    pub client: ClientId,
    /// Which request.
    pub place: Place,
}

/// The news that a client can take more rows of a request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Grant {
    /// Who asked.
    pub client: ClientId,
    /// Which request.
    pub place: Place,
    /// How many more rows.
    pub rows: usize,
}

/// The news that a client is gone: what it asked is cancelled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave(pub ClientId);

/// The order to shut down: first nothing new, and then nothing at all.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Drain {
    /// Finish what has been accepted, refuse what is new.
    Begin,
    /// Cancel what is left.
    Finish,
}

/// Whose turn it is, on which worker.
pub struct Scheduler {
    workers: usize,
    table: Table,
    hire: Option<Hire>,
    pool: Option<Pool>,
    /// The actors of lanes that have met their first call.
    hosts: HashMap<LaneId, Calls>,
    /// Where these send their answers.
    said: Option<Arc<Recipient<Said>>>,
    /// How many lanes the metrics know.
    lanes_shown: usize,
    clients: FxHashMap<ClientId, Arc<Recipient<News>>>,
    alarm: Option<(Instant, SpawnHandle)>,
    metrics: Arc<Metrics>,
    answers: Arc<Answers>,
}

impl Scheduler {
    /// A scheduler with its own pool of so many workers in each lane, each on a thread of its own.
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
            said: None,
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

    /// After anything has happened: hands out work, tells the news, sets the alarm.
    fn turn(&mut self, context: &mut Context<Self>) {
        self.hand_out();
        self.hand_out_errands(context);
        self.tell();
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

    /// Hands out errands, as far as their lanes have slots.
    fn hand_out_errands(&mut self, context: &mut Context<Self>) {
        while let Some(errand) = self.table.next_errand() {
            let HandedOut {
                job,
                lane,
                client,
                line,
                load,
            } = errand;
            let spec = self.table.lane_spec(lane);
            match load {
                ErrandLoad::Blocking(work) => {
                    let task = Task {
                        job,
                        cancel: Arc::default(),
                        load: Load::Blocking(work, Token(line)),
                    };
                    if let Some(pool) = &mut self.pool {
                        pool.open(lane, spec.slots);
                        // A slot is a worker, so there is one that is free.
                        let _ = pool.run(Lane::Own(lane), vec![task]);
                    }
                }
                ErrandLoad::Call(delivery) => {
                    let back = self.said.get_or_insert_with(|| Arc::new(context.address().recipient()));
                    let responder = Responder {
                        job,
                        client,
                        line,
                        back: Some(back.clone()),
                    };
                    if let Some(start) = &spec.actor {
                        let host = self.hosts.entry(lane).or_insert_with(start);
                        // If the host's thread is gone, the call comes back at once: its responder is dropped.
                        let _ = host.send((delivery, responder));
                    }
                }
            }
        }
    }

    fn tell(&mut self) {
        for (title, value) in self.table.take_found() {
            self.answers.keep(title, value);
        }
        for (client, events) in self.table.take_news() {
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

impl Handler<Submit> for Scheduler {
    type Result = ();

    fn handle(&mut self, submit: Submit, context: &mut Self::Context) {
        let Submit {
            client,
            questions,
            orders,
            to,
        } = submit;
        self.clients.entry(client).or_insert(to);
        let now = now();
        self.table.submit_plain(client, questions, now);
        for order in orders {
            self.table.submit(client, order, now);
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
                Lane::Own(_) => self.table.free_slot(done.job, now),
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

    fn handle(&mut self, Said { job, what }: Said, context: &mut Self::Context) {
        self.table.said(job, what, now());
        self.turn(context);
    }
}

impl Handler<Cancel> for Scheduler {
    type Result = ();

    fn handle(&mut self, Cancel { client, place }: Cancel, context: &mut Self::Context) {
        self.table.cancel(client, place, now());
        self.turn(context);
    }
}

impl Handler<Grant> for Scheduler {
    type Result = ();

    fn handle(&mut self, grant: Grant, context: &mut Self::Context) {
        self.table.grant(grant.client, grant.place, grant.rows);
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

impl Handler<Drain> for Scheduler {
    type Result = ();

    fn handle(&mut self, drain: Drain, context: &mut Self::Context) {
        match drain {
            Drain::Begin => self.table.drain(),
            Drain::Finish => self.table.cancel_all(),
        }
        self.turn(context);
    }
}
