//! The way of a job through the lanes: what is handed out next, and what becomes of what comes back.

use super::waiters::Holder;
use super::{Entry, Event, Place, Stage, Table};
use crate::engine::caught::{Panicked, caught};
use crate::engine::fairness::ClientId;
use crate::engine::order::JobId;
use crate::engine::task::{Done, Load, Outcome, Task};
use crate::job::{AnyPlan, Job};
use crate::proto::{Code, Failure, Interim};
use std::time::Instant;

/// A slice is charged this much when it is handed out, and what it really took when it comes back.
const CHARGE_US: u64 = 2_000;

/// How many questions an express worker is handed at once, at the most.
const MAX_PACK: usize = 128;

/// A turn at the express workers: that of a job, or of a batch by its name. Older ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) id: JobId,
    batch: Option<Place>,
}

impl Turn {
    pub(super) const fn of_job(id: JobId) -> Self {
        Self { id, batch: None }
    }

    pub(super) const fn of_batch(id: JobId, name: Place) -> Self {
        Self { id, batch: Some(name) }
    }
}

/// A long job: its plan, and how much of it is handed out.
pub(super) struct Bulk {
    pub(super) plan: Box<dyn AnyPlan>,
    pub(super) used: u64,
    pub(super) under_way: usize,
    pub(super) is_ready: bool,
    pub(super) advanced: Instant,
}

impl Table {
    /// Cuts work for an express worker: first slices, several if more wait than there are `free` workers.
    pub(in crate::engine) fn next_express(&mut self, free: usize) -> Vec<Task> {
        let waiting = self.express.len() + self.batches.crowd();
        let pack = waiting.div_ceil(free.max(1)).min(MAX_PACK);
        let mut tasks = Vec::new();
        let mut taken = 0;
        while taken < pack {
            let Some((client, turn, _)) = self.express.next() else {
                break;
            };
            let Turn { id, batch } = turn;
            if let Some(name) = batch {
                if let Some((task, count)) = self.next_batch(client, turn, name, pack - taken) {
                    tasks.push(task);
                    taken += count;
                }
                continue;
            }
            let Some(entry) = self.jobs.get_mut(&id) else {
                continue;
            };
            if let Stage::Queued(job) = std::mem::replace(&mut entry.stage, Stage::Express) {
                tasks.push(Task {
                    job: id,
                    cancel: entry.cancel.clone(),
                    load: Load::Begin(job),
                });
                taken += 1;
            }
        }
        tasks
    }

    /// Cuts the next slice of the long job whose turn it is.
    pub(in crate::engine) fn next_bulk(&mut self) -> Option<Task> {
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
            let slice = match caught(|| bulk.plan.cut()) {
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
    pub(in crate::engine) fn finished(&mut self, done: Done, now: Instant) {
        self.now = now;
        let Done { job: id, outcome, cpu } = done;
        let cost = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX);
        let mut entry = self.jobs.get_mut(&id);
        if let Some(entry) = &mut entry {
            entry.cpu += cpu;
        }
        match (outcome, entry) {
            // Its ID is that of no job.
            (Outcome::Batch(batch), _) => self.batch_finished(batch, cpu),
            (_, None) => {}
            (Outcome::Answered(value), Some(entry)) => {
                self.express.charge(entry.client, cost);
                self.end(id, Ok(value));
            }
            (Outcome::Refused(failure), Some(entry)) => {
                self.express.charge(entry.client, cost);
                self.end(id, Err(failure));
            }
            (Outcome::Untouched(job), Some(entry)) => {
                entry.stage = Stage::Queued(job);
                self.express.push(entry.client, Turn::of_job(id), 0);
            }
            (Outcome::Unfinished(plan, job), Some(entry)) => {
                self.express.charge(entry.client, cost);
                self.enter_bulk(id, plan, job);
            }
            (Outcome::Partial(partial), Some(entry)) => {
                self.bulk.charge(entry.client, cost - CHARGE_US as i64);
                if let Stage::Bulk(bulk) = &mut entry.stage {
                    bulk.under_way -= 1;
                    bulk.used = bulk.used.saturating_add_signed(cost - CHARGE_US as i64);
                    bulk.advanced = now;
                    if caught(|| bulk.plan.absorb(partial)).is_err() {
                        return self.end_by_fault(id);
                    }
                }
                self.settle(id);
            }
            (Outcome::Replied(reply), Some(_)) => self.replied(id, reply),
            (Outcome::Panicked, Some(_)) => self.end_by_fault(id),
        }
    }

    /// A job was not answered by its express slice: it joins its twin, or becomes a long job if there is room for it.
    pub(super) fn enter_bulk(&mut self, id: JobId, plan: Box<dyn AnyPlan>, job: Job) {
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
        let Ok(memory) = caught(|| plan.memory(self.workers)) else {
            return self.end_by_fault(id);
        };
        if memory > self.policy.max_memory {
            let text = format!(
                "this would take {} MiB, the limit is {}",
                memory >> 20,
                self.policy.max_memory >> 20
            );
            return self.end(id, Err(Failure::new(Code::TooBig, text)));
        }
        if !streams {
            self.long.insert(entry.title.clone(), id);
        }
        if entry.memory == 0 {
            entry.memory = memory;
            if !self.has_memory_for(id, memory) {
                return self.park(id, job);
            }
            self.memory += memory;
            self.holding.insert(id, memory);
        }
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        entry.stage = Stage::Bulk(Bulk {
            plan,
            used: 0,
            under_way: 0,
            is_ready: false,
            advanced: self.now,
        });
        self.settle(id);
    }

    /// Whether a long job may begin. Beside a parked one whose turn it is, a later one may take what that will not need once those before it
    /// have ended: so it need not wait for hours behind a giant, and however many come, the parked one does not wait for them.
    fn has_memory_for(&self, id: JobId, memory: u64) -> bool {
        let parked = self.parked.first().filter(|parked| *parked < id);
        let promised = parked.map_or(0, |parked| {
            let later: u64 = self.holding.range(parked..).map(|(_, memory)| memory).sum();
            later + self.jobs.get(&parked).map_or(0, |entry| entry.memory)
        });
        self.memory.max(promised) + memory <= self.policy.max_memory
    }

    /// Lets a long job wait for memory. What its first slice has made is given up: parked jobs hold nothing.
    fn park(&mut self, id: JobId, job: Job) {
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.stage = Stage::Parked(job);
            self.parked.push(entry.client, id, 0);
        }
        // It may be its turn at once.
        self.unpark();
    }

    /// Begins parked jobs for which there is memory now, after anything that may have changed that, or whose turn it is. The first in turn is
    /// waited for.
    pub(super) fn unpark(&mut self) {
        while let Some(id) = self.parked.first()
            && let Some(entry) = self.jobs.get_mut(&id)
            && self.memory + entry.memory <= self.policy.max_memory
        {
            self.parked.next();
            if let Stage::Parked(job) = std::mem::replace(&mut entry.stage, Stage::Express) {
                self.memory += entry.memory;
                self.holding.insert(id, entry.memory);
                entry.stage = Stage::Queued(job);
                self.parked.charge(entry.client, 1);
                self.express.push(entry.client, Turn::of_job(id), 0);
            }
        }
    }

    /// Delivers what a plan has, ends it if it is answered, and else makes it ready for its next slice.
    pub(super) fn settle(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let Stage::Bulk(bulk) = &mut entry.stage else {
            return;
        };
        // A job that streams has one waiter: it is never shared.
        let allowed = entry.waiters.first().map_or(0, |waiter| waiter.rows);
        let plan = &mut bulk.plan;
        let Ok((rows, answer)) = caught(|| (plan.rows(allowed), plan.answer())) else {
            return self.end_by_fault(id);
        };
        if let Some(waiter) = entry.waiters.first_mut().filter(|_| !rows.is_empty()) {
            waiter.rows = waiter.rows.saturating_sub(rows.len());
            if let Holder::Client(client, place) = waiter.holder {
                self.outbox.push(client, place, Event::Interim(Interim::Rows(rows)));
            }
        }
        if let Some(value) = answer {
            return self.end(id, Ok(value));
        }
        if !bulk.is_ready {
            bulk.is_ready = true;
            self.bulk.push(entry.client, id, bulk.used);
        }
    }

    /// Lets a client have more rows.
    pub(in crate::engine) fn grant(&mut self, client: ClientId, place: Place, rows: usize) {
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
            if let Stage::Held(work) = std::mem::replace(&mut entry.stage, Stage::Express) {
                let stage = self.enqueue(id, client, work);
                if let Some(entry) = self.jobs.get_mut(&id) {
                    entry.stage = stage;
                }
            }
            return;
        }
        self.settle(id);
        self.deliver(id);
        self.list(id);
    }
}
