//! Who waits for a job, and for how long: deadlines, progress, cancelling, leaving. A job ends with the last who waits for it.

use super::lanes::Turn;
use super::{Event, Place, Stage, Table, eta};
use crate::engine::caught::caught;
use crate::engine::fairness::ClientId;
use crate::engine::order::{JobId, TicketId};
use crate::proto::{Code, Failure, Interim};
use std::time::{Duration, Instant};

/// A job that has not advanced for so long is said to be stalled.
const STALLED: Duration = Duration::from_secs(1);

/// Who waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A request of a client.
    Client(ClientId, Place),
    /// A submitted job.
    Ticket(TicketId),
}

pub(super) struct Waiter {
    pub(super) holder: Holder,
    /// Whose share of the CPU the job uses on its behalf.
    pub(super) client: ClientId,
    /// The submitted job that it watches.
    pub(super) watched: Option<TicketId>,
    pub(super) deadline: Option<Instant>,
    pub(super) progress: Option<Duration>,
    /// When progress is due.
    pub(super) due: Option<Instant>,
    /// How far the job was when that was last told.
    pub(super) told: f64,
    pub(super) rows: usize,
}

impl Waiter {
    /// A request of which nothing is wanted but its answer.
    pub(super) const fn plain(client: ClientId, place: Place) -> Self {
        Self {
            holder: Holder::Client(client, place),
            client,
            watched: None,
            deadline: None,
            progress: None,
            due: None,
            told: -1.0,
            rows: 0,
        }
    }

    /// When something has to be said to this waiter, unless it is answered before.
    pub(super) fn alarm(&self) -> Option<Instant> {
        [self.deadline, self.due].into_iter().flatten().min()
    }
}

impl Table {
    /// The client is gone: what it waits for is cancelled, and nobody is told. What it submitted goes on.
    pub(in crate::engine) fn leave(&mut self, client: ClientId) {
        let places = Holder::Client(client, 0)..=Holder::Client(client, Place::MAX);
        let holders: Vec<Holder> = self.waiting.range(places).map(|(holder, _)| *holder).collect();
        for holder in holders {
            self.remove_waiter(holder);
        }
        self.remove_batches(client);
        self.outbox.forget(client);
        if self.held.contains_key(&client) {
            self.gone.insert(client);
        } else {
            self.forget(client);
        }
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        self.express.forget(client);
        self.bulk.forget(client);
        self.parked.forget(client);
        for lane in &mut self.lanes {
            lane.waiting.forget(client);
        }
    }

    /// The client no longer wants this answer, and is told so.
    pub(in crate::engine) fn cancel(&mut self, client: ClientId, place: Place, now: Instant) {
        self.now = now;
        let failure = Failure::new(Code::Cancelled, "cancelled as asked");
        self.refuse(Holder::Client(client, place), failure);
    }

    /// Ends everything that is left.
    pub(in crate::engine) fn cancel_all(&mut self) {
        let holders: Vec<Holder> = self.waiting.keys().copied().chain(self.batches.holders()).collect();
        for holder in holders {
            let failure = Failure::new(Code::Cancelled, "the daemon shut down before it was done");
            self.refuse(holder, failure);
        }
    }

    /// Passes the moment `now`: deadlines strike, progress is told.
    pub(in crate::engine) fn tick(&mut self, now: Instant) {
        self.now = now;
        while let Some(&(at, holder)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            self.ring(holder);
        }
    }

    pub(super) fn ring(&mut self, holder: Holder) {
        let now = self.now;
        let Some(waiter) = self.waiter(holder) else {
            return;
        };
        if waiter.deadline.is_some_and(|deadline| deadline <= now) {
            let watched = waiter.watched;
            return self.strike(holder, watched);
        }
        if let (Some(every), Some(due)) = (waiter.progress, waiter.due) {
            waiter.due = due.checked_add(every).map(|due| due.max(now));
        }
        if let Some(at) = waiter.alarm() {
            self.alarms.insert((at, holder));
        }
        if let Some(progress) = self.progress(holder) {
            self.tell(holder, Event::Interim(progress));
        }
    }

    /// A deadline has passed: of a question, of a submitted job and so of all who watch it, or of one who watches a job that goes on.
    fn strike(&mut self, holder: Holder, watched: Option<TicketId>) {
        let failure = match watched {
            None => Failure::new(Code::Deadline, "the deadline passed; the work was stopped"),
            Some(ticket) => {
                let text = format!("the deadline passed; job {ticket} goes on, 'result {ticket}' waits for it");
                Failure::new(Code::Deadline, text)
            }
        };
        match (holder, self.waiting.get(&holder)) {
            (Holder::Ticket(ticket), Some(&job)) => self.refuse_all(ticket, job, &failure),
            _ => self.refuse(holder, failure),
        }
    }

    /// How far the job is that somebody waits for: told only if it has really advanced, else since when it has not.
    pub(super) fn progress(&mut self, holder: Holder) -> Option<Interim> {
        let entry = self.jobs.get_mut(self.waiting.get(&holder)?)?;
        let (done, silent) = match &entry.stage {
            Stage::Bulk(bulk) => (caught(|| bulk.plan.progress()).ok()?, self.now - bulk.advanced),
            Stage::Errand(errand) => (errand.line().progress(), self.now - errand.advanced),
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
    pub(in crate::engine) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    pub(super) fn add_waiter(&mut self, id: JobId, waiter: Waiter) {
        self.waiting.insert(waiter.holder, id);
        self.alarms.extend(waiter.alarm().map(|at| (at, waiter.holder)));
        *self.held.entry(waiter.client).or_default() += 1;
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.waiters.push(waiter);
        }
    }

    pub(super) fn waiter(&mut self, holder: Holder) -> Option<&mut Waiter> {
        let entry = self.jobs.get_mut(self.waiting.get(&holder)?)?;
        entry.waiters.iter_mut().find(|waiter| waiter.holder == holder)
    }

    pub(super) fn refuse(&mut self, holder: Holder, failure: Failure) {
        let entry = self.waiting.get(&holder).and_then(|id| self.jobs.get(id));
        let cpu = entry.map_or(Duration::ZERO, |entry| entry.cpu);
        if self.remove_waiter(holder) {
            self.answer(holder, Err(failure), cpu);
        }
    }

    /// Takes one who waits off its job, and stops the job if it was the last. False if nobody waited there.
    pub(super) fn remove_waiter(&mut self, holder: Holder) -> bool {
        let Some(&id) = self.waiting.get(&holder) else {
            return match holder {
                Holder::Client(client, place) => self.remove_from_batch(client, place),
                Holder::Ticket(_) => false,
            };
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
                    Stage::Queued(_) => {
                        self.express.remove(entry.client, Turn::of_job(id));
                        self.express.push(heir, Turn::of_job(id), 0);
                        None
                    }
                    Stage::Parked(_) => Some(&mut self.parked),
                    Stage::Bulk(bulk) => bulk.is_ready.then_some(&mut self.bulk),
                    Stage::Errand(errand) => errand.is_waiting().then_some(&mut self.lanes[errand.lane].waiting),
                    Stage::Held(_) | Stage::Express | Stage::List(_) => None,
                };
                if let Some(queue) = queue {
                    queue.remove(entry.client, id);
                    queue.push(heir, id, 0);
                }
                entry.client = heir;
                self.unpark();
            }
            Some(_) => {}
        }
        self.let_go(&waiter);
        true
    }

    /// A waiter waits no more.
    pub(super) fn let_go(&mut self, waiter: &Waiter) {
        self.waiting.remove(&waiter.holder);
        if let Some(at) = waiter.alarm() {
            self.alarms.remove(&(at, waiter.holder));
        }
        self.release(waiter.client, 1);
    }

    /// A client waits for so many fewer answers.
    pub(super) fn release(&mut self, client: ClientId, count: usize) {
        if let Some(held) = self.held.get_mut(&client) {
            *held -= count;
            if *held == 0 {
                self.held.remove(&client);
                if self.gone.remove(&client) {
                    self.forget(client);
                }
            }
        }
    }
}
