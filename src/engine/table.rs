//! The table of jobs: what happens to each, and who waits for it. Plain data: time is an argument, news is a list.
//!
//! A job is `Queued` for its express slice, `Express` while that runs, and then, if it is not answered, `Bulk`: its plan is here
//! and cuts slices for as many workers as are free. If there is no memory for it, it is `Parked` until there is, and then begun
//! anew. It ends when it is answered, or when nobody waits for it any more.
//! Knows no actor, no thread and no socket.

use super::fairness::{ClientId, Fair};
use super::worker::{Done, Load, Task};
use crate::job::{AnyPartial, AnyPlan, Job};
use crate::proto::{Code, Failure, Interim, Reply, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Names a request among those of its client.
pub type Place = u64;

/// Names a job; never used twice.
pub(super) type JobId = u64;

/// A slice is charged this much when it is handed out, and what it really took when it comes back.
const CHARGE_US: u64 = 2_000;

/// Bytes that the titles of all jobs may have. A question takes about three times its title, and one about a number of 10000
/// digits has a title as long: by their number alone, jobs would not be bounded.
const MAX_TITLE_BYTES: usize = 8 << 20;

/// How many tasks an express worker is handed at once, at the most.
const MAX_PACK: usize = 32;

/// An order for a job, from one who will wait for it.
#[derive(Debug)]
pub struct Order {
    /// Names the request among those of the client.
    pub place: Place,
    /// What is to be done.
    pub job: Job,
    /// When the client no longer wants the answer.
    pub deadline: Option<Instant>,
    /// How often the client wants to hear how far it is.
    pub progress: Option<Duration>,
    /// How many rows may be sent before the client grants more.
    pub rows: usize,
}

/// What the engine tells whoever asked.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The final reply.
    Final(Reply),
    /// A line before it.
    Interim(Interim),
}

/// What a run of a job came to.
pub(super) enum Outcome {
    /// The express slice was enough.
    Answered(Value),
    /// The express slice was not enough; here is the plan.
    Unfinished(Box<dyn AnyPlan>, Job),
    /// The worker had no time to begin it.
    Untouched(Job),
    /// A slice of the plan.
    Partial(AnyPartial),
    /// It panicked.
    Panicked,
}

/// The bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Jobs held at once, queued and running.
    pub max_jobs: usize,
    /// Bytes that all plans together may hold.
    pub max_memory: u64,
    /// Threads that may run slices of one plan at once.
    pub workers: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_jobs: 20_000,
            max_memory: 2 << 30,
            workers: 1,
        }
    }
}

/// All jobs that are not answered.
pub(super) struct Table {
    policy: Policy,
    next_id: JobId,
    jobs: HashMap<JobId, Entry>,
    /// Long jobs by title, so that an equal question joins them.
    long: HashMap<String, JobId>,
    waiting: BTreeMap<(ClientId, Place), JobId>,
    alarms: BTreeSet<(Instant, ClientId, Place)>,
    express: Fair<JobId>,
    bulk: Fair<JobId>,
    /// Long jobs for which there is no memory yet; clients take turns.
    parked: Fair<JobId>,
    /// Bytes that long jobs may hold.
    memory: u64,
    /// Bytes of the titles of all jobs.
    titles: usize,
    is_draining: bool,
    news: Vec<(ClientId, Place, Event)>,
}

struct Entry {
    title: String,
    streams: bool,
    /// Whose share of the CPU it uses.
    client: ClientId,
    waiters: Vec<Waiter>,
    cancel: Arc<AtomicBool>,
    stage: Stage,
    begun: Instant,
    /// Bytes set aside for its plan.
    memory: u64,
}

enum Stage {
    /// A stream that may not send rows yet: nothing is computed for it, so that a client cannot make it hold memory.
    Held(Job),
    Queued(Job),
    Express,
    Parked(Job),
    Bulk(Bulk),
}

struct Bulk {
    plan: Box<dyn AnyPlan>,
    used: u64,
    under_way: usize,
    is_ready: bool,
    advanced: Instant,
    done: f64,
}

struct Waiter {
    client: ClientId,
    place: Place,
    deadline: Option<Instant>,
    progress: Option<Duration>,
    /// When progress is due.
    due: Option<Instant>,
    rows: usize,
}

impl Waiter {
    /// When something has to be said to this waiter, unless it is answered before.
    fn alarm(&self) -> Option<Instant> {
        [self.deadline, self.due].into_iter().flatten().min()
    }
}

impl Table {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            next_id: 1,
            jobs: HashMap::new(),
            long: HashMap::new(),
            waiting: BTreeMap::new(),
            alarms: BTreeSet::new(),
            express: Fair::default(),
            bulk: Fair::default(),
            parked: Fair::default(),
            memory: 0,
            titles: 0,
            is_draining: false,
            news: Vec::new(),
        }
    }

    /// Takes in an order. It joins a long job with the same title, or becomes a job of its own.
    pub(super) fn submit(&mut self, client: ClientId, order: Order, now: Instant) {
        let Order { place, job, .. } = &order;
        if self.is_draining {
            let failure = Failure::new(Code::Draining, "the daemon is shutting down; ask again when it is back");
            return self.tell(client, *place, Event::Final(Err(failure)));
        }
        let twin = (!job.streams).then(|| self.long.get(&job.title)).flatten().copied();
        if twin.is_none() && self.jobs.len() >= self.policy.max_jobs {
            let text = format!("{} jobs are waiting already; retry-ms=1000", self.jobs.len());
            return self.tell(client, *place, Event::Final(Err(Failure::new(Code::Busy, text))));
        }
        if twin.is_none() && self.titles + job.title.len() > MAX_TITLE_BYTES {
            let text = "too many questions about huge numbers are waiting; retry-ms=1000";
            return self.tell(client, *place, Event::Final(Err(Failure::new(Code::Busy, text))));
        }
        let waiter = Waiter {
            client,
            place: *place,
            deadline: order.deadline,
            progress: order.progress,
            due: order.progress.map(|every| now + every),
            rows: order.rows,
        };
        self.alarms.extend(waiter.alarm().map(|at| (at, client, *place)));
        let is_held = order.job.streams && order.rows == 0;
        let id = twin.unwrap_or(self.next_id);
        self.waiting.insert((client, *place), id);
        match self.jobs.get_mut(&id) {
            Some(entry) => entry.waiters.push(waiter),
            None => {
                self.next_id += 1;
                let entry = Entry {
                    title: order.job.title.clone(),
                    streams: order.job.streams,
                    client,
                    waiters: vec![waiter],
                    cancel: Arc::default(),
                    stage: match is_held {
                        true => Stage::Held(order.job),
                        false => Stage::Queued(order.job),
                    },
                    begun: now,
                    memory: 0,
                };
                self.titles += entry.title.len();
                self.jobs.insert(id, entry);
                if !is_held {
                    self.express.push(client, id, 0);
                }
            }
        }
    }

    /// Cuts work for an express worker: first slices, several if more wait than there are `free` workers.
    pub(super) fn next_express(&mut self, free: usize) -> Vec<Task> {
        let pack = self.express.len().div_ceil(free.max(1)).min(MAX_PACK);
        let mut tasks = Vec::with_capacity(pack);
        while tasks.len() < pack {
            let Some((_, id, _)) = self.express.next() else {
                break;
            };
            let Some(entry) = self.jobs.get_mut(&id) else {
                continue;
            };
            if let Stage::Queued(job) = std::mem::replace(&mut entry.stage, Stage::Express) {
                tasks.push(Task {
                    job: id,
                    cancel: entry.cancel.clone(),
                    load: Load::Begin(job),
                });
            }
        }
        tasks
    }

    /// Cuts the next slice of the long job whose turn it is.
    pub(super) fn next_bulk(&mut self) -> Option<Task> {
        loop {
            let (client, id, used) = self.bulk.next()?;
            let Some(Entry {
                stage: Stage::Bulk(bulk),
                cancel,
                streams,
                ..
            }) = self.jobs.get_mut(&id)
            else {
                continue;
            };
            bulk.used = used;
            bulk.is_ready = false;
            let slice = match guard(|| bulk.plan.cut()) {
                Ok(Some(slice)) => slice,
                // What is left waits for slices under way, or for rows to be taken: absorbing and granting make it ready again.
                Ok(None) if bulk.under_way > 0 || *streams => continue,
                Ok(None) | Err(Panicked) => {
                    self.end_by_fault(id);
                    continue;
                }
            };
            bulk.under_way += 1;
            bulk.used += CHARGE_US;
            bulk.is_ready = true;
            let task = Task {
                job: id,
                cancel: cancel.clone(),
                load: Load::Slice(slice),
            };
            self.bulk.push(client, id, bulk.used);
            self.bulk.charge(client, CHARGE_US as i64);
            return Some(task);
        }
    }

    /// Takes in what became of a task. A job that nobody waits for any more is unknown here, and its result is dropped.
    pub(super) fn finished(&mut self, done: Done, now: Instant) {
        let Done { job: id, outcome, cpu } = done;
        let cost = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX);
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let client = entry.client;
        match outcome {
            Outcome::Answered(value) => {
                self.express.charge(client, cost);
                self.end(id, &Ok(value));
            }
            Outcome::Untouched(job) => {
                entry.stage = Stage::Queued(job);
                self.express.push(client, id, 0);
            }
            Outcome::Unfinished(plan, job) => {
                self.express.charge(client, cost);
                self.enter_bulk(id, plan, job, now);
            }
            Outcome::Partial(partial) => {
                self.bulk.charge(client, cost - CHARGE_US as i64);
                if let Stage::Bulk(bulk) = &mut entry.stage {
                    bulk.under_way -= 1;
                    bulk.used = bulk.used.saturating_add_signed(cost - CHARGE_US as i64);
                    bulk.advanced = now;
                    if guard(|| bulk.plan.absorb(partial)).is_err() {
                        return self.end_by_fault(id);
                    }
                }
                self.settle(id);
            }
            Outcome::Panicked => self.end_by_fault(id),
        }
    }

    /// A job was not answered by its express slice: it joins its twin, or becomes a long job if there is room for it.
    fn enter_bulk(&mut self, id: JobId, plan: Box<dyn AnyPlan>, job: Job, now: Instant) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let streams = entry.streams;
        if let Some(&twin) = self.long.get(&entry.title).filter(|twin| **twin != id && !streams) {
            let waiters = std::mem::take(&mut entry.waiters);
            self.titles -= entry.title.len();
            self.jobs.remove(&id);
            for waiter in &waiters {
                self.waiting.insert((waiter.client, waiter.place), twin);
            }
            if let Some(twin) = self.jobs.get_mut(&twin) {
                twin.waiters.extend(waiters);
            }
            return;
        }
        let Ok((memory, done)) = guard(|| (plan.memory(self.policy.workers), plan.progress())) else {
            return self.end_by_fault(id);
        };
        if memory > self.policy.max_memory {
            let text = format!(
                "this would take {} MiB, the limit is {}",
                memory >> 20,
                self.policy.max_memory >> 20
            );
            return self.end(id, &Err(Failure::new(Code::TooBig, text)));
        }
        if !streams {
            self.long.insert(entry.title.clone(), id);
        }
        if entry.memory == 0 {
            entry.memory = memory;
            if self.memory + memory > self.policy.max_memory {
                // What the first slice has made is given up: parked jobs hold nothing.
                entry.stage = Stage::Parked(job);
                return self.parked.push(entry.client, id, 0);
            }
            self.memory += memory;
        }
        entry.stage = Stage::Bulk(Bulk {
            done,
            plan,
            used: 0,
            under_way: 0,
            is_ready: false,
            advanced: now,
        });
        self.settle(id);
    }

    /// Begins parked jobs for which there is memory now. The first in turn is waited for, so that small ones cannot overtake it
    /// for ever.
    fn unpark(&mut self) {
        while let Some((client, id, used)) = self.parked.next() {
            let Some(entry) = self.jobs.get_mut(&id) else {
                continue;
            };
            if self.memory + entry.memory > self.policy.max_memory {
                return self.parked.push(client, id, used);
            }
            if let Stage::Parked(job) = std::mem::replace(&mut entry.stage, Stage::Express) {
                self.memory += entry.memory;
                entry.stage = Stage::Queued(job);
                self.parked.charge(client, 1);
                self.express.push(client, id, 0);
            }
        }
    }

    /// Delivers what a plan has, ends it if it is answered, and else makes it ready for its next slice.
    fn settle(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let Stage::Bulk(bulk) = &mut entry.stage else {
            return;
        };
        // A job that streams has one waiter: it is never shared.
        let allowed = entry.waiters.first().map_or(0, |waiter| waiter.rows);
        let plan = &mut bulk.plan;
        let Ok((rows, answer)) = guard(|| (plan.rows(allowed), plan.answer())) else {
            return self.end_by_fault(id);
        };
        if let Some(waiter) = entry.waiters.first_mut().filter(|_| !rows.is_empty()) {
            waiter.rows = waiter.rows.saturating_sub(rows.len());
            self.news
                .push((waiter.client, waiter.place, Event::Interim(Interim::Rows(rows))));
        }
        if let Some(value) = answer {
            return self.end(id, &Ok(value));
        }
        if !bulk.is_ready {
            bulk.is_ready = true;
            self.bulk.push(entry.client, id, bulk.used);
        }
    }

    /// Lets a client have more rows.
    pub(super) fn grant(&mut self, client: ClientId, place: Place, rows: usize) {
        let Some(&id) = self.waiting.get(&(client, place)) else {
            return;
        };
        if let Some(waiter) = self.waiter(client, place) {
            waiter.rows += rows;
        }
        if let Some(entry) = self.jobs.get_mut(&id)
            && matches!(entry.stage, Stage::Held(_))
        {
            if let Stage::Held(job) = std::mem::replace(&mut entry.stage, Stage::Express) {
                entry.stage = Stage::Queued(job);
            }
            return self.express.push(client, id, 0);
        }
        self.settle(id);
    }

    /// The client no longer wants this answer, and is told so.
    pub(super) fn cancel(&mut self, client: ClientId, place: Place) {
        self.refuse(client, place, Failure::new(Code::Cancelled, "cancelled as asked"));
    }

    /// The client is gone: all it asked is cancelled, and nobody is told.
    pub(super) fn leave(&mut self, client: ClientId) {
        let places: Vec<Place> = self
            .waiting
            .range((client, 0)..=(client, Place::MAX))
            .map(|((_, place), _)| *place)
            .collect();
        for place in places {
            self.remove_waiter(client, place);
        }
        self.news.retain(|(to, _, _)| *to != client);
        self.express.forget(client);
        self.bulk.forget(client);
        self.parked.forget(client);
    }

    /// From now on nothing new is taken in.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Ends everything that is left.
    pub(super) fn cancel_all(&mut self) {
        let places: Vec<_> = self.waiting.keys().copied().collect();
        for (client, place) in places {
            self.refuse(
                client,
                place,
                Failure::new(Code::Cancelled, "the daemon shut down before it was done"),
            );
        }
    }

    /// Passes the moment `now`: deadlines strike, progress is told.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(&(at, client, place)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            self.ring(client, place, now);
        }
    }

    fn ring(&mut self, client: ClientId, place: Place, now: Instant) {
        let Some(waiter) = self.waiter(client, place) else {
            return;
        };
        if waiter.deadline.is_some_and(|deadline| deadline <= now) {
            return self.refuse(
                client,
                place,
                Failure::new(Code::Deadline, "the deadline passed; the work was stopped"),
            );
        }
        if let (Some(every), Some(due)) = (waiter.progress, waiter.due) {
            waiter.due = Some((due + every).max(now));
        }
        if let Some(at) = waiter.alarm() {
            self.alarms.insert((at, client, place));
        }
        if let Some(news) = self.progress(client, place, now) {
            self.tell(client, place, Event::Interim(news));
        }
    }

    fn progress(&mut self, client: ClientId, place: Place, now: Instant) -> Option<Interim> {
        let entry = self.jobs.get_mut(self.waiting.get(&(client, place))?)?;
        let Stage::Bulk(bulk) = &mut entry.stage else {
            return Some(Interim::Stalled(now - entry.begun));
        };
        let done = guard(|| bulk.plan.progress()).ok()?;
        let silent = now - bulk.advanced;
        if done <= bulk.done && silent >= Duration::from_secs(1) {
            return Some(Interim::Stalled(silent));
        }
        bulk.done = done;
        let elapsed = now - entry.begun;
        let left = elapsed.as_secs_f64() * (1.0 - done) / done;
        let eta = (done > 0.0).then(|| Duration::try_from_secs_f64(left).ok()).flatten();
        Some(Interim::Progress { done, eta })
    }

    /// The next moment for [`tick`](Self::tick).
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _, _)| *at)
    }

    /// What is to be told, since it was last asked.
    pub(super) fn take_news(&mut self) -> Vec<(ClientId, Place, Event)> {
        std::mem::take(&mut self.news)
    }

    /// How many jobs there are.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    fn tell(&mut self, client: ClientId, place: Place, event: Event) {
        self.news.push((client, place, event));
    }

    fn waiter(&mut self, client: ClientId, place: Place) -> Option<&mut Waiter> {
        let entry = self.jobs.get_mut(self.waiting.get(&(client, place))?)?;
        entry
            .waiters
            .iter_mut()
            .find(|waiter| (waiter.client, waiter.place) == (client, place))
    }

    fn refuse(&mut self, client: ClientId, place: Place, failure: Failure) {
        if self.remove_waiter(client, place) {
            self.tell(client, place, Event::Final(Err(failure)));
        }
    }

    /// Takes one who waits off its job, and stops the job if it was the last. False if nobody waited there.
    fn remove_waiter(&mut self, client: ClientId, place: Place) -> bool {
        let Some(id) = self.waiting.remove(&(client, place)) else {
            return false;
        };
        let Some(entry) = self.jobs.get_mut(&id) else {
            return false;
        };
        let is_this = |waiter: &Waiter| (waiter.client, waiter.place) == (client, place);
        if let Some(index) = entry.waiters.iter().position(is_this) {
            let waiter = entry.waiters.swap_remove(index);
            if let Some(at) = waiter.alarm() {
                self.alarms.remove(&(at, client, place));
            }
        }
        match entry.waiters.first() {
            None => self.remove(id),
            Some(heir) if entry.client == client => {
                // The one whose share the job used has left: the next in line takes it over.
                let heir = heir.client;
                let queue = match &entry.stage {
                    Stage::Queued(_) => Some(&mut self.express),
                    Stage::Parked(_) => Some(&mut self.parked),
                    Stage::Bulk(bulk) => bulk.is_ready.then_some(&mut self.bulk),
                    Stage::Held(_) | Stage::Express => None,
                };
                if let Some(queue) = queue {
                    queue.remove(client, id);
                    queue.push(heir, id, 0);
                }
                entry.client = heir;
            }
            Some(_) => {}
        }
        true
    }

    /// Ends a job with one reply to all who wait.
    fn end(&mut self, id: JobId, reply: &Reply) {
        let waiters = self
            .jobs
            .get_mut(&id)
            .map(|entry| std::mem::take(&mut entry.waiters))
            .unwrap_or_default();
        for waiter in waiters {
            let Waiter { client, place, .. } = waiter;
            self.waiting.remove(&(client, place));
            if let Some(at) = waiter.alarm() {
                self.alarms.remove(&(at, client, place));
            }
            self.tell(client, place, Event::Final(reply.clone()));
        }
        self.remove(id);
    }

    /// Ends a job whose plan panicked, or stopped cutting before it had its answer.
    fn end_by_fault(&mut self, id: JobId) {
        let title = self.jobs.get(&id).map(|entry| entry.title.clone()).unwrap_or_default();
        tracing::error!(job = id, title, "a plan failed; its request gets an error");
        let text = format!("'{title}' failed by a fault in the daemon; other requests are not touched");
        self.end(id, &Err(Failure::new(Code::Internal, text)));
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
            Stage::Parked(_) => return self.parked.remove(entry.client, id),
            Stage::Queued(_) => self.express.remove(entry.client, id),
            Stage::Held(_) | Stage::Express => {}
            Stage::Bulk(_) => self.bulk.remove(entry.client, id),
        }
        if entry.memory > 0 {
            self.memory -= entry.memory;
            self.unpark();
        }
    }
}

/// A plan panicked.
struct Panicked;

/// Calls into a plan, which anybody may have written: its panic must cost one job and not the scheduler.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        // Dropping a payload may panic again, outside of the catch.
        std::mem::forget(payload);
        Panicked
    })
}
