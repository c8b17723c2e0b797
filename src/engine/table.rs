//! The table of jobs: what happens to each, and who waits for it. Plain data: time is an argument, news is a list.
//!
//! A job is `Queued` for its express slice, `Express` while that runs, and then, if it is not answered, `Bulk`: its plan is here
//! and cuts slices for as many workers as are free. If there is no memory for it, it is `Parked` until there is, and then begun
//! anew. It ends when it is answered, or when nobody waits for it any more: neither a client nor the ticket of a submitted job.
//! Knows no actor, no thread and no socket.

use super::fairness::{ClientId, Fair};
use super::task::{Done, JobId, Load, Outcome, Task};
use super::tickets::{State, TicketId, Tickets};
use crate::job::{AnyPlan, Job};
use crate::proto::{Code, Failure, Interim, Reply, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Names a request among those of its client.
pub type Place = u64;

/// A slice is charged this much when it is handed out, and what it really took when it comes back.
const CHARGE_US: u64 = 2_000;

/// Bytes that the titles of all jobs may have. A question takes about three times its title, and one about a number of 10000
/// digits has a title as long: by their number alone, jobs would not be bounded.
const MAX_TITLE_BYTES: usize = 8 << 20;

/// How many tasks an express worker is handed at once, at the most.
const MAX_PACK: usize = 32;

/// How often a watched job says how far it is, unless it is asked for more or less often.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A job that has not advanced for so long is said to be stalled.
const STALLED: Duration = Duration::from_secs(1);

/// How many rows `jobs` shows.
const MAX_LISTED: usize = 1_000;

/// Something that is asked of the engine.
#[derive(Debug)]
pub struct Order {
    /// Names the request among those of the client.
    pub place: Place,
    /// What is asked.
    pub ask: Ask,
    /// When the client no longer wants the answer.
    pub deadline: Option<Instant>,
    /// How often the client wants to hear how far it is.
    pub progress: Option<Duration>,
    /// How many rows may be sent before the client grants more.
    pub rows: usize,
}

/// What can be asked of the engine.
#[derive(Debug)]
pub enum Ask {
    /// The answer of a job, for as long as the client waits.
    Answer(Job),
    /// A job that goes on without its client; answered by its ID at once.
    Keep(Job),
    /// A submitted job whose answer was known.
    KeepKnown {
        /// The question.
        title: String,
        /// Its answer.
        value: Value,
    },
    /// The progress of a submitted job, and then its answer.
    Watch(TicketId),
    /// The answer of a submitted job.
    Result(TicketId),
    /// The end of a submitted job.
    Cancel(TicketId),
    /// All jobs that are submitted or long, as rows.
    List,
}

/// What the engine tells whoever asked.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The final reply.
    Final(Reply),
    /// A line before it.
    Interim(Interim),
}

/// The bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Jobs held at once, queued and running. Beyond it, up to twice as many, only clients with less than an equal share are served.
    pub max_jobs: usize,
    /// The same for one client.
    pub max_jobs_per_client: usize,
    /// Bytes that all plans together may hold.
    pub max_memory: u64,
    /// Submitted jobs that are remembered after they have ended.
    pub max_finished: usize,
    /// How long they are remembered.
    pub max_finished_age: Duration,
    /// Threads that may run slices of one plan at once.
    pub workers: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_jobs: 20_000,
            max_jobs_per_client: 2_000,
            max_memory: 2 << 30,
            max_finished: 1_000,
            max_finished_age: Duration::from_secs(3_600),
            workers: 1,
        }
    }
}

/// Who waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// A request of a client.
    Client(ClientId, Place),
    /// A submitted job.
    Ticket(TicketId),
}

/// All jobs that are not answered.
pub(super) struct Table {
    policy: Policy,
    next_id: JobId,
    jobs: HashMap<JobId, Entry>,
    /// Long jobs by title, so that an equal question joins them.
    long: HashMap<String, JobId>,
    waiting: BTreeMap<Holder, JobId>,
    /// How many jobs a client waits for or has submitted.
    held: HashMap<ClientId, usize>,
    /// Clients that have left while jobs which they submitted go on.
    gone: HashSet<ClientId>,
    tickets: Tickets,
    alarms: BTreeSet<(Instant, Holder)>,
    express: Fair<JobId>,
    bulk: Fair<JobId>,
    /// Long jobs for which there is no memory yet; clients take turns.
    parked: Fair<JobId>,
    /// Bytes that long jobs may hold.
    memory: u64,
    /// Bytes of the titles of all jobs.
    titles: usize,
    is_draining: bool,
    now: Instant,
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
    cpu: Duration,
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
}

struct Waiter {
    holder: Holder,
    /// Whose share of the CPU the job uses on its behalf.
    client: ClientId,
    /// The submitted job that it watches.
    watched: Option<TicketId>,
    deadline: Option<Instant>,
    progress: Option<Duration>,
    /// When progress is due.
    due: Option<Instant>,
    /// How far the job was when that was last told.
    told: f64,
    rows: usize,
}

impl Waiter {
    /// When something has to be said to this waiter, unless it is answered before.
    fn alarm(&self) -> Option<Instant> {
        [self.deadline, self.due].into_iter().flatten().min()
    }
}

impl Table {
    pub(super) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            next_id: 1,
            jobs: HashMap::new(),
            long: HashMap::new(),
            waiting: BTreeMap::new(),
            held: HashMap::new(),
            gone: HashSet::new(),
            tickets: Tickets::new(policy.max_finished, policy.max_finished_age),
            alarms: BTreeSet::new(),
            express: Fair::default(),
            bulk: Fair::default(),
            parked: Fair::default(),
            memory: 0,
            titles: 0,
            is_draining: false,
            now,
            news: Vec::new(),
        }
    }

    /// Takes in an order of a client.
    pub(super) fn submit(&mut self, client: ClientId, order: Order, now: Instant) {
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
            due: order.progress.map(|every| self.now + every),
            told: -1.0,
            rows: order.rows,
        };
        match order.ask {
            Ask::Answer(job) => self.hold(waiter, job).map(drop),
            Ask::Keep(job) => self.keep(waiter, job),
            Ask::KeepKnown { title, value } => {
                let ticket = self.tickets.open(title, client, 0);
                self.tickets.finish(ticket, Ok(value), Duration::ZERO, self.now);
                self.tell(holder, Event::Final(Ok(job_id(ticket))));
                Ok(())
            }
            Ask::Watch(ticket) => {
                let every = waiter.progress.unwrap_or(WATCH_INTERVAL);
                let due = Some(self.now + every);
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
            Ask::List => {
                let rows = self.list();
                self.tell(holder, Event::Interim(Interim::Rows(rows)));
                self.tell(holder, Event::Final(Ok(Value::Nothing)));
                Ok(())
            }
        }
    }

    /// Lets a holder wait for a job: an equal long one that is there, or this one from now on.
    fn hold(&mut self, waiter: Waiter, job: Job) -> Result<JobId, Failure> {
        let client = waiter.client;
        if self.is_draining {
            let text = "the daemon is shutting down; ask again when it is back";
            return Err(Failure::new(Code::Draining, text));
        }
        let twin = (!job.streams).then(|| self.long.get(&job.title)).flatten().copied();
        self.admit(client, twin.is_none().then_some(&job))?;
        let is_held = job.streams && waiter.rows == 0 && matches!(waiter.holder, Holder::Client(..));
        let id = twin.unwrap_or(self.next_id);
        if twin.is_none() {
            self.next_id += 1;
            let entry = Entry {
                title: job.title.clone(),
                streams: job.streams,
                client,
                waiters: Vec::with_capacity(1),
                cancel: Arc::default(),
                stage: match is_held {
                    true => Stage::Held(job),
                    false => Stage::Queued(job),
                },
                begun: self.now,
                cpu: Duration::ZERO,
                memory: 0,
            };
            self.titles += entry.title.len();
            self.jobs.insert(id, entry);
            if !is_held {
                self.express.push(client, id, 0);
            }
        }
        self.add_waiter(id, waiter);
        Ok(id)
    }

    /// Whether one more may wait, and there is room for one more job if it needs one of its own.
    fn admit(&self, client: ClientId, new: Option<&Job>) -> Result<(), Failure> {
        let held = self.held.get(&client).copied().unwrap_or_default();
        if held >= self.policy.max_jobs_per_client {
            let text = format!("{held} jobs of yours are waiting already; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        let Some(job) = new else {
            return Ok(());
        };
        // Those who filled the table must not lock out the others: who holds less than an equal share is still taken in.
        let share = self.policy.max_jobs / (self.held.len() + 1);
        let is_full = self.jobs.len() >= self.policy.max_jobs;
        if is_full && (held >= share || self.jobs.len() >= 2 * self.policy.max_jobs) {
            let text = format!("{} jobs are waiting already; retry-ms=1000", self.jobs.len());
            return Err(Failure::new(Code::Busy, text));
        }
        if self.titles + job.title.len() > MAX_TITLE_BYTES {
            let text = "too many questions about huge numbers are waiting; retry-ms=1000";
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }

    /// Submits a job: its ticket waits for it, and the client is told the ID at once.
    fn keep(&mut self, asker: Waiter, job: Job) -> Result<(), Failure> {
        let title = job.title.clone();
        // The ticket is opened only once the job is taken in, so that a refused job leaves none behind.
        let provisional = Holder::Ticket(0);
        let reply_to = asker.holder;
        let waiter = Waiter {
            holder: provisional,
            due: None,
            progress: None,
            ..asker
        };
        let client = waiter.client;
        let id = self.hold(waiter, job)?;
        let ticket = self.tickets.open(title, client, id);
        self.waiting.remove(&provisional);
        self.waiting.insert(Holder::Ticket(ticket), id);
        if let Some(waiter) = self.jobs.get_mut(&id).and_then(|entry| entry.waiters.last_mut()) {
            waiter.holder = Holder::Ticket(ticket);
            if let Some(at) = waiter.alarm() {
                self.alarms.remove(&(at, provisional));
                self.alarms.insert((at, Holder::Ticket(ticket)));
            }
        }
        self.tell(reply_to, Event::Final(Ok(job_id(ticket))));
        Ok(())
    }

    fn watch(&mut self, mut waiter: Waiter, ticket: TicketId) -> Result<(), Failure> {
        let found = self.tickets.get(ticket, self.now).ok_or_else(|| no_job(ticket))?;
        match &found.state {
            State::Running(id) => {
                waiter.watched = Some(ticket);
                let id = *id;
                self.add_waiter(id, waiter);
            }
            State::Done { reply, .. } => {
                let reply = reply.clone();
                self.tell(waiter.holder, Event::Final(reply));
            }
        }
        Ok(())
    }

    /// Ends a submitted job: it and all who watch it are told; whoever asked the same question goes on.
    fn cancel_ticket(&mut self, ticket: TicketId) -> Result<(), Failure> {
        let found = self.tickets.get(ticket, self.now).ok_or_else(|| no_job(ticket))?;
        let State::Running(id) = found.state else {
            return Err(Failure::new(Code::NoJob, format!("job {ticket} has ended already")));
        };
        let failure = || Failure::new(Code::Cancelled, format!("job {ticket} was cancelled"));
        let waiters = self
            .jobs
            .get(&id)
            .map(|entry| entry.waiters.as_slice())
            .unwrap_or_default();
        let watchers = waiters.iter().filter(|waiter| waiter.watched == Some(ticket));
        let watchers: Vec<Holder> = watchers.map(|waiter| waiter.holder).collect();
        for watcher in watchers {
            self.refuse(watcher, failure());
        }
        self.refuse(Holder::Ticket(ticket), failure());
        Ok(())
    }

    fn list(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for (id, ticket) in self.tickets.iter() {
            rows.push(match &ticket.state {
                State::Running(job) => self.row(&id.to_string(), ticket.owner, *job),
                State::Done { reply, cpu, .. } => {
                    let state = reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "done");
                    format!(
                        "id={id} state={state} cpu={} owner={} request={}",
                        spelt(*cpu),
                        ticket.owner,
                        ticket.title
                    )
                }
            });
        }
        let mut asked: Vec<JobId> = self.long.values().copied().collect();
        asked.sort_unstable();
        for job in asked {
            let waiters = self
                .jobs
                .get(&job)
                .map(|entry| entry.waiters.as_slice())
                .unwrap_or_default();
            let is_submitted = waiters.iter().any(|waiter| matches!(waiter.holder, Holder::Ticket(_)));
            if let Some(waiter) = waiters.first().filter(|_| !is_submitted) {
                rows.push(self.row("-", waiter.client, job));
            }
        }
        rows.truncate(MAX_LISTED);
        rows
    }

    fn row(&self, id: &str, owner: ClientId, job: JobId) -> String {
        let Some(entry) = self.jobs.get(&job) else {
            return format!("id={id} state=ending owner={owner}");
        };
        let title = &entry.title;
        let cpu = spelt(entry.cpu);
        match &entry.stage {
            Stage::Bulk(bulk) => {
                let done = guard(|| bulk.plan.progress()).unwrap_or_default();
                let eta = eta(self.now - entry.begun, done)
                    .map(|eta| format!(" eta={}", spelt(eta)))
                    .unwrap_or_default();
                let percent = (done * 1000.0).floor().clamp(0.0, 999.0) / 10.0;
                format!("id={id} state=running pct={percent:.1} cpu={cpu}{eta} owner={owner} request={title}")
            }
            Stage::Parked(_) => format!("id={id} state=parked cpu={cpu} owner={owner} request={title}"),
            Stage::Held(_) | Stage::Queued(_) | Stage::Express => {
                format!("id={id} state=queued cpu={cpu} owner={owner} request={title}")
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
        self.now = now;
        let Done { job: id, outcome, cpu } = done;
        let cost = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX);
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let client = entry.client;
        entry.cpu += cpu;
        match outcome {
            Outcome::Answered(value) => {
                self.express.charge(client, cost);
                self.end(id, &Ok(value));
            }
            Outcome::Refused(failure) => {
                self.express.charge(client, cost);
                self.end(id, &Err(failure));
            }
            Outcome::Untouched(job) => {
                entry.stage = Stage::Queued(job);
                self.express.push(client, id, 0);
            }
            Outcome::Unfinished(plan, job) => {
                self.express.charge(client, cost);
                self.enter_bulk(id, plan, job);
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
    fn enter_bulk(&mut self, id: JobId, plan: Box<dyn AnyPlan>, job: Job) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let streams = entry.streams;
        if let Some(&twin) = self.long.get(&entry.title).filter(|twin| **twin != id && !streams) {
            let waiters = std::mem::take(&mut entry.waiters);
            self.titles -= entry.title.len();
            self.jobs.remove(&id);
            for waiter in &waiters {
                self.waiting.insert(waiter.holder, twin);
                if let Holder::Ticket(ticket) = waiter.holder {
                    self.tickets.join(ticket, twin);
                }
            }
            if let Some(twin) = self.jobs.get_mut(&twin) {
                twin.waiters.extend(waiters);
            }
            return;
        }
        let Ok(memory) = guard(|| plan.memory(self.policy.workers)) else {
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
            plan,
            used: 0,
            under_way: 0,
            is_ready: false,
            advanced: self.now,
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
            if let Holder::Client(client, place) = waiter.holder {
                self.news.push((client, place, Event::Interim(Interim::Rows(rows))));
            }
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
        let holder = Holder::Client(client, place);
        let Some(&id) = self.waiting.get(&holder) else {
            return;
        };
        if let Some(waiter) = self.waiter(holder) {
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
    pub(super) fn cancel(&mut self, client: ClientId, place: Place, now: Instant) {
        self.now = now;
        let failure = Failure::new(Code::Cancelled, "cancelled as asked");
        self.refuse(Holder::Client(client, place), failure);
    }

    /// The client is gone: what it waits for is cancelled, and nobody is told. What it submitted goes on.
    pub(super) fn leave(&mut self, client: ClientId) {
        let places = Holder::Client(client, 0)..=Holder::Client(client, Place::MAX);
        let holders: Vec<Holder> = self.waiting.range(places).map(|(holder, _)| *holder).collect();
        for holder in holders {
            self.remove_waiter(holder);
        }
        self.news.retain(|(to, _, _)| *to != client);
        if self.held.contains_key(&client) {
            self.gone.insert(client);
        } else {
            self.forget(client);
        }
    }

    fn forget(&mut self, client: ClientId) {
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
        let holders: Vec<Holder> = self.waiting.keys().copied().collect();
        for holder in holders {
            let failure = Failure::new(Code::Cancelled, "the daemon shut down before it was done");
            self.refuse(holder, failure);
        }
    }

    /// Passes the moment `now`: deadlines strike, progress is told.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = now;
        while let Some(&(at, holder)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            self.ring(holder);
        }
    }

    fn ring(&mut self, holder: Holder) {
        let now = self.now;
        let Some(waiter) = self.waiter(holder) else {
            return;
        };
        if waiter.deadline.is_some_and(|deadline| deadline <= now) {
            let failure = Failure::new(Code::Deadline, "the deadline passed; the work was stopped");
            return self.refuse(holder, failure);
        }
        if let (Some(every), Some(due)) = (waiter.progress, waiter.due) {
            waiter.due = Some((due + every).max(now));
        }
        if let Some(at) = waiter.alarm() {
            self.alarms.insert((at, holder));
        }
        if let Some(progress) = self.progress(holder) {
            self.tell(holder, Event::Interim(progress));
        }
    }

    /// How far the job is that somebody waits for: told only if it has really advanced, else since when it has not.
    fn progress(&mut self, holder: Holder) -> Option<Interim> {
        let entry = self.jobs.get_mut(self.waiting.get(&holder)?)?;
        let (done, silent) = match &entry.stage {
            Stage::Bulk(bulk) => (guard(|| bulk.plan.progress()).ok()?, self.now - bulk.advanced),
            _ => (0.0, self.now - entry.begun),
        };
        let waiter = entry.waiters.iter_mut().find(|waiter| waiter.holder == holder)?;
        if done <= waiter.told {
            return (silent >= STALLED).then_some(Interim::Stalled(silent));
        }
        waiter.told = done;
        let eta = eta(self.now - entry.begun, done);
        Some(Interim::Progress { done, eta })
    }

    /// The next moment for [`tick`](Self::tick).
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// What is to be told, since it was last asked.
    pub(super) fn take_news(&mut self) -> Vec<(ClientId, Place, Event)> {
        std::mem::take(&mut self.news)
    }

    /// How many jobs there are.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    fn tell(&mut self, holder: Holder, event: Event) {
        match (holder, event) {
            (Holder::Client(client, place), event) => self.news.push((client, place, event)),
            (Holder::Ticket(ticket), Event::Final(reply)) => {
                self.tickets.finish(ticket, reply, Duration::ZERO, self.now);
            }
            (Holder::Ticket(_), Event::Interim(_)) => {}
        }
    }

    fn add_waiter(&mut self, id: JobId, waiter: Waiter) {
        self.waiting.insert(waiter.holder, id);
        self.alarms.extend(waiter.alarm().map(|at| (at, waiter.holder)));
        *self.held.entry(waiter.client).or_default() += 1;
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.waiters.push(waiter);
        }
    }

    fn waiter(&mut self, holder: Holder) -> Option<&mut Waiter> {
        let entry = self.jobs.get_mut(self.waiting.get(&holder)?)?;
        entry.waiters.iter_mut().find(|waiter| waiter.holder == holder)
    }

    fn refuse(&mut self, holder: Holder, failure: Failure) {
        if self.remove_waiter(holder) {
            self.tell(holder, Event::Final(Err(failure)));
        }
    }

    /// Takes one who waits off its job, and stops the job if it was the last. False if nobody waited there.
    fn remove_waiter(&mut self, holder: Holder) -> bool {
        let Some(&id) = self.waiting.get(&holder) else {
            return false;
        };
        let Some(entry) = self.jobs.get_mut(&id) else {
            return false;
        };
        let Some(index) = entry.waiters.iter().position(|waiter| waiter.holder == holder) else {
            return false;
        };
        let waiter = entry.waiters.swap_remove(index);
        match entry.waiters.first() {
            None => self.remove(id),
            Some(heir) if entry.client == waiter.client => {
                // The one whose share the job used has left: the next in line takes it over.
                let heir = heir.client;
                let queue = match &entry.stage {
                    Stage::Queued(_) => Some(&mut self.express),
                    Stage::Parked(_) => Some(&mut self.parked),
                    Stage::Bulk(bulk) => bulk.is_ready.then_some(&mut self.bulk),
                    Stage::Held(_) | Stage::Express => None,
                };
                if let Some(queue) = queue {
                    queue.remove(entry.client, id);
                    queue.push(heir, id, 0);
                }
                entry.client = heir;
            }
            Some(_) => {}
        }
        self.let_go(&waiter);
        true
    }

    /// A waiter waits no more.
    fn let_go(&mut self, waiter: &Waiter) {
        self.waiting.remove(&waiter.holder);
        if let Some(at) = waiter.alarm() {
            self.alarms.remove(&(at, waiter.holder));
        }
        if let Some(held) = self.held.get_mut(&waiter.client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&waiter.client);
                if self.gone.remove(&waiter.client) {
                    self.forget(waiter.client);
                }
            }
        }
    }

    /// Ends a job with one reply to all who wait.
    fn end(&mut self, id: JobId, reply: &Reply) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let cpu = entry.cpu;
        for waiter in std::mem::take(&mut entry.waiters) {
            self.let_go(&waiter);
            match waiter.holder {
                Holder::Ticket(ticket) => self.tickets.finish(ticket, reply.clone(), cpu, self.now),
                holder => self.tell(holder, Event::Final(reply.clone())),
            }
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

/// What `submit` answers.
fn job_id(ticket: TicketId) -> Value {
    Value::Text(format!("job={ticket}"))
}

fn no_job(ticket: TicketId) -> Failure {
    Failure::new(
        Code::NoJob,
        format!("there is no job {ticket}, or it ended too long ago; 'jobs' lists them"),
    )
}

/// How long the rest will take, if it goes on as it went.
fn eta(elapsed: Duration, done: f64) -> Option<Duration> {
    let left = elapsed.as_secs_f64() * (1.0 - done) / done;
    (done > 0.0).then(|| Duration::try_from_secs_f64(left).ok()).flatten()
}

/// A duration as a row shows it.
fn spelt(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
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
