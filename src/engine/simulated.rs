//! Workers without threads, for simulated networks: their time is made up, and now and then one dies.
//!
//! What they run is real; only the clock is not. The same seed gives the same slices at the same moments.

use super::health::Health;
use super::message::Policy;
use super::scheduler::Scheduler;
use super::worker::{Clock, Handover, Run, Started};
use crate::metrics::Metrics;
use actix::prelude::*;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

/// Where workers die, one run of this many ends so.
const RUNS_A_DEATH: u32 = 100;

/// A scheduler whose workers run on the caller's own thread, and may die there.
pub(crate) fn scheduler(policy: Policy, workers: usize, metrics: Arc<Metrics>, seed: u64, may_die: bool) -> Scheduler {
    let seeds = RefCell::new(fastrand::Rng::with_seed(seed));
    let hire = move |_, _: &Started| {
        let random = seeds.borrow_mut().fork();
        Ok(Worker { random, may_die }.start().recipient())
    };
    // However many failpoints are armed, the simulation goes on.
    let health = Health::new(metrics.clone(), usize::MAX);
    let scheduler = Scheduler::with_workers(Box::new(hire), policy, workers, metrics, health);
    scheduler.expect("no thread is started that could not be had")
}

struct Worker {
    random: fastrand::Rng,
    may_die: bool,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Run> for Worker {
    type Result = ();

    fn handle(&mut self, Run(handover): Run, context: &mut Self::Context) {
        self.run(handover, context);
    }
}

impl Worker {
    fn run(&mut self, mut handover: Handover, context: &mut Context<Self>) {
        if self.may_die && self.random.u32(..RUNS_A_DEATH) == 0 {
            return context.stop();
        }
        let clock = MadeUp {
            now: Cell::default(),
            step: Duration::from_micros(self.random.u64(20..400)),
        };
        let survived = handover.work(&clock);
        context.run_later(clock.now.get(), move |this, context| {
            if handover.go_on(survived) {
                this.run(handover, context);
            }
        });
    }
}

/// A clock that advances when it is looked at.
struct MadeUp {
    now: Cell<Duration>,
    step: Duration,
}

impl Clock for MadeUp {
    fn wall(&self) -> Duration {
        self.now.set(self.now.get() + self.step);
        self.now.get()
    }

    fn cpu(&self) -> Duration {
        self.now.get()
    }
}
