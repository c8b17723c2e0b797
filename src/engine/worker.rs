//! A worker: a sync actor on a thread of its own that runs what it is handed, and survives its panics.
//!
//! Knows no queue and no client. What it is handed travels in a [`Handover`]; one that is dropped without an answer
//! says to the pool that the thread itself died.

use super::batch::{Batch, Begun};
use super::lanes::{Lane, WorkerId};
use super::message::WorkId;
use super::task::{Done, Outcome, Payload, Task};
use super::threads::start_thread;
use crate::caught::{Panicked, caught};
use crate::job::Budget;
use crate::priority;
use actix::prelude::*;
use crossbeam_channel::Receiver;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the first slice of a job may take: most questions are answered within it, and those after it do not notice.
const EXPRESS_SLICE: Duration = Duration::from_millis(1);
/// How long jobs of one hand-over are begun. Many in one save hand-overs; they must not make the last of them wait.
const EXPRESS_HANDOVER: Duration = Duration::from_micros(500);
/// Questions answered without a plan between two looks at the clock: they take microseconds, and a look costs 30 ns.
const CLOCK_EVERY: u32 = 4;
/// How long a slice of a long job may take: a few hundred times its hand-over, and short enough to be a good moment to
/// stop.
const BULK_SLICE: Duration = Duration::from_millis(2);

/// Counts workers that have started.
pub(super) type Started = watch::Sender<usize>;

/// News from a worker: what it has done, and what becomes of it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Finished {
    pub(super) worker: WorkerId,
    pub(super) done: Vec<Done>,
    pub(super) then: Then,
}

/// What a worker does after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It waits for the next hand-over.
    Waits,
    /// It runs the next task of its lane's queue.
    GoesOn,
    /// Its thread is dead.
    Died,
}

/// Tasks on their way to a worker and back. Dropped on the way, it says so.
pub(super) struct Handover {
    worker: WorkerId,
    tasks: std::vec::IntoIter<Task>,
    done: Vec<Done>,
    running: Option<WorkId>,
    batch: Option<(WorkId, Batch)>,
    /// Where the worker finds the next task itself.
    queue: Option<Receiver<Task>>,
    back: Option<Arc<Recipient<Finished>>>,
}

impl Handover {
    pub(super) fn new(
        worker: WorkerId,
        tasks: Vec<Task>,
        queue: Option<Receiver<Task>>,
        back: Arc<Recipient<Finished>>,
    ) -> Self {
        Self {
            worker,
            done: Vec::with_capacity(tasks.len()),
            tasks: tasks.into_iter(),
            running: None,
            batch: None,
            queue,
            back: Some(back),
        }
    }

    fn note(&mut self, work: WorkId, outcome: Outcome, cpu: Duration) {
        self.done.push(Done { work, outcome, cpu });
    }

    /// Runs tasks until none is left or the hand-over has taken its time. False if one panicked: what is left is not
    /// begun then.
    pub(super) fn work(&mut self, clock: &impl Clock) -> bool {
        let mut time = Time::new(clock);
        let mut panicked = false;
        while !panicked && (self.done.is_empty() || time.is_left()) {
            let Some(Task { work, cancel, payload }) = self.tasks.next() else {
                break;
            };
            // A batch knows itself which of its questions is running.
            self.running = (!matches!(payload, Payload::Batch(_))).then_some(work);
            let outcome = match payload {
                Payload::Batch(batch) => {
                    let (_, batch) = self.batch.insert((work, batch));
                    answer(batch, &cancel, &mut time);
                    panicked = batch.running.is_some();
                    let cpu: Duration = batch.unfinished.iter().map(|unfinished| unfinished.cpu).sum();
                    self.note_batch(time.cpu() + cpu);
                    continue;
                }
                Payload::Begin(job) => time.slice(EXPRESS_SLICE, &cancel, |budget| match Begun::of(&job, budget) {
                    Err(failure) => Outcome::Refused(failure),
                    Ok(Begun::AtOnce(value) | Begun::Answered(value)) => Outcome::Answered(value),
                    Ok(Begun::Unfinished(plan)) => Outcome::Unfinished(plan, job),
                }),
                Payload::Slice(slice) => time.slice(BULK_SLICE, &cancel, |budget| Outcome::Partial(slice(budget))),
                Payload::Blocking(code, token) => {
                    time.slice(BULK_SLICE, &cancel, |_| Outcome::Replied(code.into_inner()(&token)))
                }
            };
            self.running = None;
            panicked = outcome.is_err();
            self.note(work, outcome.unwrap_or(Outcome::Panicked), time.cpu());
            time.look();
        }
        !panicked
    }

    fn note_batch(&mut self, cpu: Duration) {
        if let Some((work, batch)) = self.batch.take() {
            self.note(work, Outcome::Batch(batch), cpu);
        }
    }

    /// Reports what is done, and takes the next task of the lane's queue. False if there is none, or if the hand-over
    /// panicked: then it is over.
    pub(super) fn go_on(&mut self, survived: bool) -> bool {
        let next = self
            .queue
            .as_ref()
            .filter(|_| survived)
            .and_then(|queue| queue.try_recv().ok());
        let Some(next) = next else {
            self.end(Then::Waits);
            return false;
        };
        self.tasks = vec![next].into_iter();
        if let Some(back) = &self.back {
            back.do_send(Finished {
                worker: self.worker,
                done: std::mem::take(&mut self.done),
                then: Then::GoesOn,
            });
        }
        true
    }

    /// Sends everything back: what is done, what was running, and what was not begun.
    fn end(&mut self, then: Then) {
        let Some(back) = self.back.take() else {
            return;
        };
        if let Some(work) = self.running.take() {
            self.note(work, Outcome::Panicked, Duration::ZERO);
        }
        self.note_batch(Duration::ZERO);
        for Task { work, payload, .. } in self.tasks.by_ref() {
            let outcome = match payload {
                Payload::Begin(fresh) => Outcome::Untouched(fresh),
                Payload::Batch(batch) => Outcome::Batch(batch),
                Payload::Slice(_) | Payload::Blocking(..) => Outcome::Panicked,
            };
            self.done.push(Done {
                work,
                outcome,
                cpu: Duration::ZERO,
            });
        }
        back.do_send(Finished {
            worker: self.worker,
            done: std::mem::take(&mut self.done),
            then,
        });
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.end(Then::Died);
    }
}

/// The order to run the tasks of a hand-over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Run(pub(super) Handover);

/// The time as a worker sees it.
pub(super) trait Clock {
    /// Passes while it works, and while others have the core.
    fn wall(&self) -> Duration;
    /// Passes while it works: what is charged must not depend on who else wants the core.
    fn cpu(&self) -> Duration;
}

/// A worker of one lane, on a thread of its own.
struct Worker {
    lane: Lane,
    long_work: fn(),
    started: Started,
}

/// Starts a worker on a thread of its own. One of long jobs sets its priority by `long_work`.
pub(super) fn start(lane: Lane, long_work: fn(), started: &Started) -> io::Result<Recipient<Run>> {
    let started = started.clone();
    let worker = move || Worker {
        lane,
        long_work,
        started: started.clone(),
    };
    Ok(start_thread(|| SyncArbiter::start(1, worker))?.recipient())
}

impl Actor for Worker {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // Before it has to wait for the CPU.
        self.started.send_modify(|started| *started += 1);
        match self.lane {
            Lane::Express => {}
            Lane::Bulk => (self.long_work)(),
            Lane::Reserve | Lane::External(_) => priority::give_way(),
        }
    }
}

impl Handler<Run> for Worker {
    type Result = ();

    fn handle(&mut self, Run(mut handover): Run, context: &mut Self::Context) {
        let clock = ThreadClock(Instant::now());
        let mut survived = handover.work(&clock);
        while handover.go_on(survived) {
            survived = handover.work(&clock);
        }
        if !survived {
            // The state that the panic left on this actor is dropped with it; the thread stays and makes a new actor.
            context.stop();
        }
    }
}

/// Begins questions of a batch while there is time. One that panics stays in the batch as the one that is running.
fn answer(batch: &mut Batch, cancel: &AtomicBool, time: &mut Time<'_, impl Clock>) {
    let mut unseen = 0;
    while let Some(job) = batch.begin() {
        let Ok(begun) = time.slice(EXPRESS_SLICE, cancel, |budget| Begun::of(job, budget)) else {
            return;
        };
        unseen += 1;
        let is_due = unseen == CLOCK_EVERY || !matches!(begun, Ok(Begun::AtOnce(_)));
        batch.record(begun, || time.cpu());
        if is_due {
            unseen = 0;
            time.look();
        }
        if !time.is_left() || cancel.load(Relaxed) {
            return;
        }
    }
}

/// The time that a hand-over takes. Each look at a clock ends one task and begins the next: a task may be shorter than
/// a look, and the CPU's is a system call.
struct Time<'a, C> {
    clock: &'a C,
    begun: Duration,
    now: Duration,
    /// CPU time that was charged for.
    charged: Duration,
}

impl<'a, C: Clock> Time<'a, C> {
    fn new(clock: &'a C) -> Self {
        let now = clock.wall();
        let charged = clock.cpu();
        Self {
            clock,
            begun: now,
            now,
            charged,
        }
    }

    fn look(&mut self) {
        self.now = self.clock.wall();
    }

    /// Whether there is time to begin one more.
    fn is_left(&self) -> bool {
        self.now - self.begun < EXPRESS_HANDOVER
    }

    /// The CPU time since it was last asked for.
    fn cpu(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.charged, self.clock.cpu());
        self.charged.saturating_sub(before)
    }

    /// Runs a slice that begins now and may take so long.
    fn slice<T>(
        &self,
        limit: Duration,
        cancel: &AtomicBool,
        slice: impl FnOnce(Budget<'_>) -> T,
    ) -> Result<T, Panicked> {
        let over = || cancel.load(Relaxed) || self.clock.wall() - self.now >= limit;
        caught(|| slice(Budget::new(&over)))
    }
}

/// The time of this thread, since it was looked at for the first time.
struct ThreadClock(Instant);

impl Clock for ThreadClock {
    fn wall(&self) -> Duration {
        self.0.elapsed()
    }

    fn cpu(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        )
    }
}
