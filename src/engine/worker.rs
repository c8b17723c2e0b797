//! A worker: a sync actor on a thread of its own that runs what it is handed, and survives its panics.
//!
//! Knows no queue and no client. What it is handed travels in a [`Ticket`]; a ticket that is dropped without an answer tells the
//! pool that the thread itself died.

use super::caught::caught;
use super::table::LaneId;
use super::task::{Done, JobId, Load, Outcome, Task};
use crate::job::Budget;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long the first slice of a job may take: most questions are answered within it, and those behind it do not notice.
const EXPRESS_SLICE: Duration = Duration::from_millis(1);
/// How long jobs of one pack are begun. A pack saves hand-overs; it must not make its last job wait.
const EXPRESS_PACK: Duration = Duration::from_micros(500);
/// How long a slice of a long job may take: a few hundred times its hand-over, and short enough to be a good moment to stop.
const BULK_SLICE: Duration = Duration::from_millis(2);

/// The kinds of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// First slices, at normal priority.
    Express,
    /// All further slices, at the lowest priority that still shares (nice 19; idle scheduling would starve).
    Bulk,
    /// Blocking code of a lane of its own, at the priority of bulk workers.
    Own(LaneId),
}

/// Names a worker: its lane, its place in the lane, and which thread in that place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerId {
    pub(super) lane: Lane,
    pub(super) index: usize,
    pub(super) generation: u64,
}

/// News from a worker: it is free again, or its thread is dead.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Finished {
    pub(super) worker: WorkerId,
    pub(super) done: Vec<Done>,
    pub(super) thread_died: bool,
}

/// Tasks on their way to a worker and back. Dropped on the way, it says so.
pub(super) struct Ticket {
    worker: WorkerId,
    tasks: std::vec::IntoIter<Task>,
    done: Vec<Done>,
    running: Option<JobId>,
    back: Option<Arc<Recipient<Finished>>>,
}

impl Ticket {
    pub(super) fn new(worker: WorkerId, tasks: Vec<Task>, back: Arc<Recipient<Finished>>) -> Self {
        Self {
            worker,
            done: Vec::with_capacity(tasks.len()),
            tasks: tasks.into_iter(),
            running: None,
            back: Some(back),
        }
    }

    fn next(&mut self) -> Option<Task> {
        let task = self.tasks.next()?;
        self.running = Some(task.job);
        Some(task)
    }

    fn note(&mut self, job: JobId, outcome: Outcome, cpu: Duration) {
        self.running = None;
        self.done.push(Done { job, outcome, cpu });
    }

    /// Runs tasks until none is left or the pack has taken its time. False if one panicked: what is left is not begun then.
    pub(super) fn work(&mut self, clock: &impl Clock) -> bool {
        let begun = clock.wall();
        let mut now = begun;
        let mut cpu = clock.cpu();
        let mut panicked = false;
        // Each look at a clock ends one task and begins the next: a task may be shorter than a look, and the CPU's is a system call.
        while !panicked && (self.done.is_empty() || now - begun < EXPRESS_PACK) {
            let Some(Task { job, cancel, load }) = self.next() else {
                break;
            };
            let outcome = run(load, &cancel, clock, now);
            panicked = matches!(outcome, Outcome::Panicked);
            let cpu_before = std::mem::replace(&mut cpu, clock.cpu());
            self.note(job, outcome, cpu.saturating_sub(cpu_before));
            now = clock.wall();
        }
        !panicked
    }

    /// Sends everything back: what is done, what was running, and what was not begun.
    pub(super) fn send(&mut self, thread_died: bool) {
        let Some(back) = self.back.take() else {
            return;
        };
        if let Some(job) = self.running.take() {
            self.note(job, Outcome::Panicked, Duration::ZERO);
        }
        for Task { job, load, .. } in self.tasks.by_ref() {
            let outcome = match load {
                Load::Begin(fresh) => Outcome::Untouched(fresh),
                Load::Slice(_) | Load::Blocking(..) => Outcome::Panicked,
            };
            self.done.push(Done {
                job,
                outcome,
                cpu: Duration::ZERO,
            });
        }
        back.do_send(Finished {
            worker: self.worker,
            done: std::mem::take(&mut self.done),
            thread_died,
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.send(true);
    }
}

/// The order to run the tasks of a ticket.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Run(pub(super) Ticket);

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
}

/// Starts a worker on a thread of its own.
pub(super) fn start(lane: Lane) -> Recipient<Run> {
    SyncArbiter::start(1, move || Worker { lane }).recipient()
}

impl Actor for Worker {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if self.lane != Lane::Express {
            lower_priority();
        }
    }
}

impl Handler<Run> for Worker {
    type Result = ();

    fn handle(&mut self, Run(mut ticket): Run, context: &mut Self::Context) {
        let survived = ticket.work(&ThreadClock(Instant::now()));
        ticket.send(false);
        if !survived {
            // Whatever the panic left behind on this actor goes with it; the thread stays and makes a new one.
            context.stop();
        }
    }
}

/// Runs a task, which begins at `begun` by the wall clock.
fn run(load: Load, cancel: &AtomicBool, clock: &impl Clock, begun: Duration) -> Outcome {
    let limit = match load {
        Load::Begin(_) => EXPRESS_SLICE,
        Load::Slice(_) | Load::Blocking(..) => BULK_SLICE,
    };
    let over = || cancel.load(Relaxed) || clock.wall() - begun >= limit;
    let budget = Budget::new(&over);
    let outcome = caught(|| match load {
        Load::Begin(job) => match job.plan() {
            Err(failure) => Outcome::Refused(failure),
            Ok(mut plan) => match plan.advance(budget) {
                Some(value) => Outcome::Answered(value),
                None => Outcome::Unfinished(plan, job),
            },
        },
        Load::Slice(slice) => Outcome::Partial(slice(budget)),
        Load::Blocking(work, token) => Outcome::Replied(work(&token)),
    });
    outcome.unwrap_or(Outcome::Panicked)
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

/// On Linux, priority belongs to a thread; elsewhere to the process, which must keep its own.
#[cfg(target_os = "linux")]
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), 19) {
        tracing::warn!(%error, "workers keep their normal priority: short requests may wait longer beside long ones");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}
