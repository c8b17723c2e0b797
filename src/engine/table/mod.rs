//! The table of jobs: what happens to each, and who waits for it. Plain data: time is an argument, news is a list.
//!
//! A job is `Queued` for its express slice, `Express` while that runs, and then, if it is not answered, `Bulk`: its plan is here
//! and cuts slices for as many workers as are free. If there is no memory for it, it is `Parked` until there is, and then begun
//! anew. Work that is no plan is an `Errand`, in a lane of its own. A `List` of jobs is in the table as they are, so that it is bounded and
//! can be cancelled as they can. A job ends when it is answered, or when nobody waits for it any more: neither a client nor the ticket of a submitted job.
//! Knows no actor, no thread and no socket.

mod admission;
mod batches;
mod errands;
mod lanes;
mod outbox;
mod submitted;
#[cfg(test)]
mod tests;
mod waiters;

pub(super) use errands::{HandedOut, LaneId};

use super::errand::Work;
use super::fairness::{ClientId, Fair};
use super::order::{Ask, Event, JobId, Order, Place, Policy};
use super::tickets::Tickets;
use crate::job::Job;
use crate::proto::{Code, Failure, Reply, Value};
use batches::Batches;
use errands::{ErrandState, LaneState, Slot};
use lanes::{Bulk, Turn};
use outbox::Outbox;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use submitted::{Listed, WATCH_INTERVAL, job_id};
use waiters::{Holder, Waiter};

/// All jobs that are not answered.
pub(in crate::engine) struct Table {
    policy: Policy,
    /// Threads that may run slices of one plan at once.
    workers: usize,
    next_id: JobId,
    jobs: FxHashMap<JobId, Entry>,
    /// Long jobs by title, so that an equal question joins them.
    long: HashMap<String, JobId>,
    waiting: BTreeMap<Holder, JobId>,
    /// How many jobs a client waits for or has submitted.
    held: FxHashMap<ClientId, usize>,
    /// Clients that have left while jobs which they submitted go on.
    gone: HashSet<ClientId>,
    tickets: Tickets,
    alarms: BTreeSet<(Instant, Holder)>,
    express: Fair<Turn>,
    batches: Batches,
    bulk: Fair<JobId>,
    /// Long jobs for which there is no memory yet; clients take turns.
    parked: Fair<JobId>,
    /// Lanes of errands, in the order in which they were met.
    lanes: Vec<LaneState>,
    /// Slots of these that are taken.
    slots: HashMap<JobId, Slot>,
    /// Bytes that long jobs may hold, and each of them.
    memory: u64,
    holding: BTreeMap<JobId, u64>,
    /// Bytes of the titles of all jobs.
    titles: usize,
    is_draining: bool,
    now: Instant,
    outbox: Outbox,
    /// Answers that may be kept.
    found: Vec<(String, Value)>,
}

struct Entry {
    title: String,
    streams: bool,
    is_kept: bool,
    /// Whose share of the CPU it uses.
    client: ClientId,
    waiters: Vec<Waiter>,
    cancel: Arc<AtomicBool>,
    stage: Stage,
    begun: Instant,
    cpu: Duration,
    /// Bytes set aside for its plan.
    memory: u64,
}

enum Stage {
    /// A stream that may not send rows yet: nothing is computed for it, so that a client cannot make it hold memory.
    Held(Work),
    Queued(Job),
    Express,
    Parked(Job),
    Bulk(Bulk),
    Errand(ErrandState),
    /// No work, but the rows of a list that are not told yet; they are chosen when the first may be told.
    List(Option<VecDeque<Listed>>),
}

impl Table {
    pub(in crate::engine) fn new(policy: Policy, workers: usize, now: Instant) -> Self {
        Self {
            policy,
            workers,
            next_id: 1,
            jobs: FxHashMap::default(),
            long: HashMap::new(),
            waiting: BTreeMap::new(),
            held: FxHashMap::default(),
            gone: HashSet::new(),
            tickets: Tickets::new(policy.max_finished, policy.max_finished_age),
            alarms: BTreeSet::new(),
            express: Fair::default(),
            batches: Batches::default(),
            bulk: Fair::default(),
            parked: Fair::default(),
            lanes: Vec::new(),
            slots: HashMap::new(),
            memory: 0,
            holding: BTreeMap::new(),
            titles: 0,
            is_draining: false,
            now,
            outbox: Outbox::default(),
            found: Vec::new(),
        }
    }

    /// Takes in an order of a client.
    pub(in crate::engine) fn submit(&mut self, client: ClientId, order: Order, now: Instant) {
        self.now = now;
        let place = order.place;
        if let Err(failure) = self.take_in(client, order) {
            self.tell(Holder::Client(client, place), Event::Final(Err(failure)));
        }
    }

    fn take_in(&mut self, client: ClientId, order: Order) -> Result<(), Failure> {
        let holder = Holder::Client(client, order.place);
        let waiter = Waiter {
            holder,
            client,
            watched: None,
            deadline: order.deadline,
            progress: order.progress,
            due: order.progress.and_then(|every| self.now.checked_add(every)),
            told: -1.0,
            rows: order.rows,
        };
        match order.ask {
            Ask::Answer(work) => self.hold(waiter, work).map(drop),
            Ask::Keep(work) => self.keep(waiter, work),
            Ask::KeepKnown { title, value } => {
                let ticket = self.tickets.open(&title, client, 0);
                self.tickets.finish(ticket, Ok(value), Duration::ZERO, self.now);
                self.tell(holder, Event::Final(Ok(job_id(ticket))));
                Ok(())
            }
            Ask::Watch(ticket) => {
                let every = waiter.progress.unwrap_or(WATCH_INTERVAL);
                let due = self.now.checked_add(every);
                let progress = Some(every);
                self.watch(
                    Waiter {
                        progress,
                        due,
                        ..waiter
                    },
                    ticket,
                )
            }
            Ask::Result(ticket) => self.watch(waiter, ticket),
            Ask::Cancel(ticket) => {
                self.cancel_ticket(ticket)?;
                self.tell(holder, Event::Final(Ok(Value::Nothing)));
                Ok(())
            }
            Ask::List => self.open_list(waiter),
        }
    }

    /// From now on nothing new is taken in.
    pub(in crate::engine) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Answers that may be kept, since it was last asked.
    pub(in crate::engine) fn take_found(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.found)
    }

    /// What is to be told, since it was last asked.
    pub(in crate::engine) fn take_news(&mut self) -> Vec<(ClientId, Vec<(Place, Event)>)> {
        self.outbox.take()
    }

    /// How many jobs there are, and questions that may become some.
    pub(in crate::engine) fn len(&self) -> usize {
        self.jobs.len() + self.batches.questions()
    }

    fn tell(&mut self, holder: Holder, event: Event) {
        if let Holder::Client(client, place) = holder {
            self.outbox.push(client, place, event);
        }
    }

    /// Ends a job with one reply to all who wait.
    fn end(&mut self, id: JobId, reply: Reply) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let cpu = entry.cpu;
        if let Ok(value) = &reply
            && entry.is_kept
        {
            self.found.push((entry.title.clone(), value.clone()));
        }
        let mut waiters = std::mem::take(&mut entry.waiters);
        self.remove(id);
        let last = waiters.pop();
        for waiter in waiters {
            self.let_go(&waiter);
            self.answer(waiter.holder, reply.clone(), cpu);
        }
        if let Some(last) = last {
            self.let_go(&last);
            self.answer(last.holder, reply, cpu);
        }
    }

    /// Gives one who waited the final reply of a job that took so much CPU time.
    fn answer(&mut self, holder: Holder, reply: Reply, cpu: Duration) {
        match holder {
            Holder::Ticket(ticket) => self.tickets.finish(ticket, reply, cpu, self.now),
            holder => self.tell(holder, Event::Final(reply)),
        }
    }

    /// Ends a job whose plan or errand panicked, or stopped before it had its answer.
    fn end_by_fault(&mut self, id: JobId) {
        let title = self.jobs.get(&id).map(|entry| entry.title.clone()).unwrap_or_default();
        self.end(id, Err(Self::fault(&title)));
    }

    /// What is answered if the work at a question panicked.
    fn fault(title: &str) -> Failure {
        tracing::error!(title, "it failed; its request gets an error");
        let text = format!("'{title}' failed by a fault in the daemon; other requests are not touched");
        Failure::new(Code::Internal, text)
    }

    fn remove(&mut self, id: JobId) {
        let Some(entry) = self.jobs.remove(&id) else {
            return;
        };
        entry.cancel.store(true, Relaxed);
        self.titles -= entry.title.len();
        if self.long.get(&entry.title) == Some(&id) {
            self.long.remove(&entry.title);
        }
        match entry.stage {
            Stage::Parked(_) => self.parked.remove(entry.client, id),
            Stage::Queued(_) => self.express.remove(entry.client, Turn::of_job(id)),
            Stage::Held(_) | Stage::Express | Stage::List(_) => {}
            Stage::Bulk(_) => self.bulk.remove(entry.client, id),
            Stage::Errand(errand) => {
                errand.line().close();
                self.lanes[errand.lane].waiting.remove(entry.client, id);
            }
        }
        self.memory -= self.holding.remove(&id).unwrap_or_default();
        self.unpark();
    }
}

/// How long the rest will take, if it goes on as it went.
fn eta(elapsed: Duration, done: f64) -> Option<Duration> {
    let left = elapsed.as_secs_f64() * (1.0 - done) / done;
    (done > 0.0).then(|| Duration::try_from_secs_f64(left).ok()).flatten()
}
