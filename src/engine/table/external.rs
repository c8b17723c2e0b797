//! External tasks in the table: lanes of their own, each with slots and a queue with a limit, clients taking turns.
//!
//! A task has a place in its lane from when it is taken in until it is handed out, also while it is held: a task that
//! is to begin later stands in the queue at its time, however many do. Submitted tasks have places of their own,
//! because they may stay for weeks: they must not take the room of those that clients wait for.
//!
//! A slot is free again when the code or actor that works on the task has let go of it, not when nobody waits any more:
//! so what is cancelled and goes on regardless is bounded by its lane. Knows nobody who waits.

use crate::engine::external::{Channel, ExternalLane, ExternalPayload, ExternalTask, row_size};
use crate::engine::fairness::{CHARGE_US, Fair, has_room};
use crate::engine::lanes::LaneId;
use crate::engine::message::{Account, ClientId, Payer, WorkId};
use crate::metrics::LaneMetrics;
use crate::proto::{Code, Failure, Reply};
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Lanes, their tasks, and the slots that are taken.
#[derive(Default)]
pub(super) struct External {
    /// In the order in which they were met.
    lanes: Vec<LaneState>,
    tasks: HashMap<WorkId, TaskState>,
    /// Those that are not handed out, each with a place in its lane.
    unbegun: HashMap<WorkId, Unbegun>,
    slots: BTreeMap<WorkId, Slot>,
}

/// A lane, and what waits for it.
struct LaneState {
    spec: Arc<ExternalLane>,
    waiting: Fair<WorkId>,
    asked: Taken,
    submitted: Taken,
    under_way: usize,
    metrics: Arc<LaneMetrics>,
}

/// A task that is not handed out, by which its place is counted.
#[derive(Clone, Copy)]
struct Unbegun {
    lane: LaneId,
    account: Account,
    is_submitted: bool,
}

/// How many places of a lane are taken, and by whom.
#[derive(Default)]
struct Taken {
    all: usize,
    accounts: FxHashMap<Account, usize>,
}

impl Taken {
    /// Whether an account may take one more.
    fn has_room(&self, account: Account, max: usize) -> bool {
        let own = self.accounts.get(&account).copied().unwrap_or_default();
        has_room(own, self.all, self.accounts.len(), max)
    }

    fn add(&mut self, account: Account) {
        self.all += 1;
        *self.accounts.entry(account).or_default() += 1;
    }

    fn remove(&mut self, account: Account) {
        self.all -= 1;
        if let Some(own) = self.accounts.get_mut(&account) {
            *own -= 1;
            if *own == 0 {
                self.accounts.remove(&account);
            }
        }
    }
}

impl LaneState {
    fn new(spec: Arc<ExternalLane>, metrics: Arc<LaneMetrics>) -> Self {
        Self {
            spec,
            waiting: Fair::default(),
            asked: Taken::default(),
            submitted: Taken::default(),
            under_way: 0,
            metrics,
        }
    }

    const fn taken(&mut self, is_submitted: bool) -> &mut Taken {
        match is_submitted {
            true => &mut self.submitted,
            false => &mut self.asked,
        }
    }
}

/// A slot that is taken. It outlives its job, if that is cancelled.
struct Slot {
    lane: LaneId,
    client: ClientId,
    since: Instant,
    channel: Arc<Channel>,
}

/// The external task of a job.
struct TaskState {
    lane: LaneId,
    /// What is to be done, until it is handed out.
    payload: Option<ExternalPayload>,
    channel: Arc<Channel>,
    /// Rows that the client has not granted yet.
    rows: VecDeque<String>,
    /// The answer, once it is there and rows before it are not gone.
    reply: Option<Reply>,
    advanced: Cell<Instant>,
    /// The share that was done when somebody last looked.
    seen: Cell<f64>,
}

/// A task that is handed out.
pub(in crate::engine) struct HandedOut {
    pub(in crate::engine) work: WorkId,
    pub(in crate::engine) lane: LaneId,
    pub(in crate::engine) client: ClientId,
    pub(in crate::engine) channel: Arc<Channel>,
    pub(in crate::engine) payload: ExternalPayload,
}

/// What a task has to give.
pub(super) struct TaskOutput {
    pub(super) rows: Vec<String>,
    pub(super) reply: Option<Reply>,
}

impl External {
    /// The same lanes without any task, for a new table. A slot stays taken if its task is still worked on: that is, if
    /// its channel is held by somebody besides the slot.
    pub(super) fn rebuilt(self) -> Self {
        let Self {
            lanes,
            tasks,
            unbegun: _,
            mut slots,
        } = self;
        for task in tasks.values() {
            task.channel.close();
        }
        drop(tasks);
        slots.retain(|_, slot| Arc::strong_count(&slot.channel) > 1);
        let under_way = |index| slots.values().filter(|slot| slot.lane == index).count();
        let lanes = lanes.into_iter().enumerate().map(|(index, lane)| LaneState {
            under_way: under_way(index),
            ..LaneState::new(lane.spec, lane.metrics)
        });
        Self {
            lanes: lanes.collect(),
            tasks: HashMap::new(),
            unbegun: HashMap::new(),
            slots,
        }
    }

    /// The same lanes, with their numbers, as if nothing were worked on.
    pub(super) fn lanes_alone(&self) -> Self {
        let lanes = self.lanes.iter();
        let lanes = lanes.map(|lane| LaneState::new(lane.spec.clone(), lane.metrics.clone()));
        Self {
            lanes: lanes.collect(),
            ..Self::default()
        }
    }

    /// The lane of this description; a new one if it is met for the first time.
    fn lane(&mut self, spec: &Arc<ExternalLane>) -> LaneId {
        let known = self.lanes.iter().position(|lane| Arc::ptr_eq(&lane.spec, spec));
        known.unwrap_or_else(|| {
            if self.lanes.iter().filter(|lane| lane.spec.name == spec.name).count() == 1 {
                tracing::warn!(
                    lane = spec.name,
                    "a second lane of this name: each has threads of its own, as long as the daemon lives; make it once, and not with each call"
                );
            }
            let metrics = Arc::new(LaneMetrics::new(spec.name));
            self.lanes.push(LaneState::new(spec.clone(), metrics));
            self.lanes.len() - 1
        })
    }

    /// Whether one more task of an account may wait for its lane.
    ///
    /// # Errors
    /// `busy`.
    pub(super) fn admit(&mut self, task: &ExternalTask, account: Account, is_submitted: bool) -> Result<(), Failure> {
        let lane = self.lane(&task.lane);
        let taken = self.lanes[lane].taken(is_submitted);
        if taken.has_room(account, task.lane.max_waiting) {
            return Ok(());
        }
        let what = if is_submitted { "submitted jobs" } else { "calls" };
        let (count, name) = (taken.all, task.lane.name);
        let text = format!("{count} {what} are waiting for '{name}' already; retry-ms=1000");
        Err(Failure::new(Code::Busy, text))
    }

    /// A task takes a place in its lane, unless it has one.
    pub(super) fn take_place(&mut self, work: WorkId, task: &ExternalTask, account: Account, is_submitted: bool) {
        let lane = self.lane(&task.lane);
        if let Entry::Vacant(place) = self.unbegun.entry(work) {
            place.insert(Unbegun {
                lane,
                account,
                is_submitted,
            });
            self.lanes[lane].taken(is_submitted).add(account);
        }
    }

    /// Puts a task that has a place into the queue of its lane.
    pub(super) fn push(&mut self, work: WorkId, payer: Payer, task: ExternalTask, now: Instant) {
        let lane = self.lane(&task.lane);
        self.lanes[lane].waiting.push(payer, work, 0);
        let state = TaskState {
            lane,
            channel: Arc::new(Channel::new(task.streams)),
            payload: Some(task.payload),
            rows: VecDeque::new(),
            reply: None,
            advanced: Cell::new(now),
            seen: Cell::new(0.0),
        };
        self.tasks.insert(work, state);
    }

    /// Hands out a task for which there is a slot, in a lane that takes one now, if there is one.
    pub(super) fn next(&mut self, takes: impl Fn(LaneId) -> bool, now: Instant) -> Option<HandedOut> {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            while lane.under_way < lane.spec.slots
                && takes(index)
                && let Some((Payer { client, .. }, work, _)) = lane.waiting.next()
            {
                let Some(task) = self.tasks.get_mut(&work) else {
                    continue;
                };
                let Some(payload) = task.payload.take() else {
                    continue;
                };
                task.advanced.set(now);
                lane.under_way += 1;
                lane.waiting.charge(client, CHARGE_US as i64);
                lane.metrics.calls.fetch_add(1, Relaxed);
                if let Some(place) = self.unbegun.remove(&work) {
                    lane.taken(place.is_submitted).remove(place.account);
                }
                let channel = task.channel.clone();
                let slot = Slot {
                    lane: index,
                    client,
                    since: now,
                    channel: channel.clone(),
                };
                self.slots.insert(work, slot);
                return Some(HandedOut {
                    work,
                    lane: index,
                    client,
                    channel,
                    payload,
                });
            }
        }
        None
    }

    /// The code or actor that worked on a task has let go of it.
    pub(super) fn free_slot(&mut self, work: WorkId, now: Instant) {
        if let Some(slot) = self.slots.remove(&work) {
            let lane = &mut self.lanes[slot.lane];
            lane.under_way -= 1;
            let took = i64::try_from((now - slot.since).as_micros()).unwrap_or(i64::MAX);
            lane.waiting.charge(slot.client, took - CHARGE_US as i64);
        }
    }

    /// A row has come from a task.
    pub(super) fn row(&mut self, work: WorkId, row: String, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&work) {
            task.advanced.set(now);
            task.rows.push_back(row);
        }
    }

    /// The answer of a task has come; it waits for the rows before it.
    pub(super) fn replied(&mut self, work: WorkId, reply: Reply) {
        if let Some(task) = self.tasks.get_mut(&work) {
            task.reply = Some(reply);
        }
    }

    /// What a task has to give, at most `credit` rows. `None`: there is no such task.
    pub(super) fn deliver(&mut self, work: WorkId, credit: usize) -> Option<TaskOutput> {
        let task = self.tasks.get_mut(&work)?;
        let count = task.rows.len().min(credit);
        let rows: Vec<String> = task.rows.drain(..count).collect();
        let freed = rows.iter().map(|row| row_size(row) as usize).sum();
        task.channel.room().add_permits(freed);
        let reply = match task.rows.is_empty() {
            true => task.reply.take(),
            false => None,
        };
        Some(TaskOutput { rows, reply })
    }

    /// How far a task is that does not wait any more, and when it last advanced: by a row, or by what it says, which is
    /// known only when somebody looks.
    pub(super) fn progress(&self, work: WorkId, now: Instant) -> Option<(f64, Instant)> {
        let task = self.tasks.get(&work).filter(|task| task.payload.is_none())?;
        let done = task.channel.progress();
        if done > task.seen.replace(done) {
            task.advanced.set(now);
        }
        Some((done, task.advanced.get()))
    }

    /// A job uses another client's share from now on.
    pub(super) fn change_payer(&mut self, work: WorkId, from: ClientId, next_payer: Payer) {
        if let Some(task) = self.tasks.get(&work).filter(|task| task.payload.is_some()) {
            let waiting = &mut self.lanes[task.lane].waiting;
            waiting.remove(from, work);
            waiting.push(next_payer, work, 0);
        }
    }

    /// Takes a task out, also one that is held. If it is worked on, its slot stays taken.
    pub(super) fn remove(&mut self, client: ClientId, work: WorkId) {
        if let Some(place) = self.unbegun.remove(&work) {
            self.lanes[place.lane].taken(place.is_submitted).remove(place.account);
        }
        if let Some(task) = self.tasks.remove(&work) {
            task.channel.close();
            self.lanes[task.lane].waiting.remove(client, work);
        }
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        for lane in &mut self.lanes {
            lane.waiting.forget(client);
        }
    }

    /// Tasks that are worked on, also cancelled ones.
    pub(super) fn under_way(&self) -> impl Iterator<Item = WorkId> {
        self.slots.keys().copied()
    }

    /// A description of a lane.
    pub(super) fn spec(&self, lane: LaneId) -> &Arc<ExternalLane> {
        &self.lanes[lane].spec
    }

    /// What each lane is doing.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &Arc<LaneMetrics>> {
        self.lanes.iter().map(|lane| {
            lane.metrics.running.store(lane.under_way as u64, Relaxed);
            lane.metrics.waiting.store(lane.waiting.len() as u64, Relaxed);
            &lane.metrics
        })
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::Account;
    use crate::proto::Value;

    fn push(external: &mut External, lane: &Arc<ExternalLane>, work: u64) {
        let task = ExternalTask::blocking(lane.clone(), "task".into(), |_| Ok(Value::Nothing));
        let one = Payer {
            account: Account::Process,
            client: ClientId(1),
        };
        external.push(WorkId(work), one, task, Instant::now());
    }

    #[test]
    fn a_new_table_keeps_the_slots_that_are_worked_on_and_frees_the_others() {
        let lane = Arc::new(ExternalLane::of_threads("a", 2, 10));
        let mut external = External::default();
        for work in 1..=3 {
            push(&mut external, &lane, work);
        }
        let now = Instant::now();
        let worked_on = external.next(|_| true, now).expect("there is a slot");
        drop(external.next(|_| true, now).expect("there is another slot"));
        let mut external = external.rebuilt();
        assert!(worked_on.channel.cancelled().is_cancelled());
        assert_eq!((external.waiting(), external.under_way().count()), (0, 1));
        push(&mut external, &lane, 4);
        push(&mut external, &lane, 5);
        assert_eq!(external.next(|_| true, now).map(|task| task.work), Some(WorkId(4)));
        assert!(external.next(|_| true, now).is_none());
        external.free_slot(worked_on.work, now);
        assert_eq!(external.next(|_| true, now).map(|task| task.work), Some(WorkId(5)));
    }

    #[test]
    fn lanes_without_their_tasks_have_the_numbers_that_they_had() {
        let lanes = ["a", "b"].map(|name| Arc::new(ExternalLane::of_threads(name, 1, 10)));
        let mut external = External::default();
        for (lane, work) in lanes.iter().zip(1..) {
            push(&mut external, lane, work);
        }
        assert!(external.next(|_| true, Instant::now()).is_some());
        let mut alone = external.lanes_alone();
        assert_eq!((alone.waiting(), alone.under_way().count()), (0, 0));
        push(&mut alone, &lanes[1], 3);
        assert_eq!(alone.next(|_| true, Instant::now()).map(|task| task.lane), Some(1));
    }

    #[test]
    fn a_reply_waits_for_the_rows_before_it() {
        let lane = Arc::new(ExternalLane::of_threads("a", 1, 10));
        let mut external = External::default();
        push(&mut external, &lane, 1);
        let (work, now) = (WorkId(1), Instant::now());
        external.row(work, "2".into(), now);
        external.row(work, "3".into(), now);
        external.replied(work, Ok(Value::Nothing));
        let first = external.deliver(work, 1).expect("it is there");
        assert_eq!((first.rows, first.reply), (vec!["2".to_owned()], None));
        let last = external.deliver(work, 1).expect("it is there");
        assert_eq!(
            (last.rows, last.reply),
            (vec!["3".to_owned()], Some(Ok(Value::Nothing)))
        );
    }
}
