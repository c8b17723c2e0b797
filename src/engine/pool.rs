//! The pool: which workers there are, which are free, and a new thread for each that died. Knows no queue.

use super::table::LaneId;
use super::task::Task;
use super::worker::{Finished, Handover, Lane, Run, WorkerId};
use actix::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Starts a worker of a lane, and says where to send it what it is to run.
pub(super) type Hire = Box<dyn Fn(Lane) -> Recipient<Run>>;

/// The workers of all lanes, each with an address of its own, so that each can be told apart and replaced.
pub(super) struct Pool {
    hire: Hire,
    express: LaneWorkers,
    bulk: LaneWorkers,
    own: HashMap<LaneId, LaneWorkers>,
    back: Arc<Recipient<Finished>>,
    /// Threads replaced so far.
    pub(super) replaced: u64,
}

#[derive(Default)]
struct LaneWorkers {
    workers: Vec<(Recipient<Run>, u64)>,
    free: Vec<usize>,
}

impl LaneWorkers {
    fn new(lane: Lane, count: usize, hire: &Hire) -> Self {
        Self {
            workers: (0..count).map(|_| (hire(lane), 0)).collect(),
            free: (0..count).collect(),
        }
    }
}

impl Pool {
    /// Starts `count` workers in each lane. They report to `back`.
    pub(super) fn start(count: usize, hire: Hire, back: Recipient<Finished>) -> Self {
        Self {
            express: LaneWorkers::new(Lane::Express, count, &hire),
            bulk: LaneWorkers::new(Lane::Bulk, count, &hire),
            own: HashMap::new(),
            hire,
            back: Arc::new(back),
            replaced: 0,
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneWorkers {
        match lane {
            Lane::Express => &mut self.express,
            Lane::Bulk => &mut self.bulk,
            Lane::External(lane) => self.own.entry(lane).or_default(),
        }
    }

    /// Starts the workers of a lane of errands, unless they have been.
    pub(super) fn open(&mut self, lane: LaneId, threads: usize) {
        let hire = &self.hire;
        self.own
            .entry(lane)
            .or_insert_with(|| LaneWorkers::new(Lane::External(lane), threads, hire));
    }

    /// How many workers of a lane are free.
    pub(super) fn free(&mut self, lane: Lane) -> usize {
        self.lane(lane).free.len()
    }

    /// Hands tasks to a free worker; gives them back if none is free.
    pub(super) fn run(&mut self, lane: Lane, tasks: Vec<Task>) -> Result<(), Vec<Task>> {
        let back = self.back.clone();
        let workers = self.lane(lane);
        let Some(index) = workers.free.pop() else {
            return Err(tasks);
        };
        let (address, generation) = &workers.workers[index];
        let worker = WorkerId {
            lane,
            index,
            generation: *generation,
        };
        address.do_send(Run(Handover::new(worker, tasks, back)));
        Ok(())
    }

    /// Takes a worker back; starts a new thread in its request if its own died.
    pub(super) fn freed(&mut self, worker: WorkerId, thread_died: bool) {
        let replacement = thread_died.then(|| (self.hire)(worker.lane));
        let workers = self.lane(worker.lane);
        let (address, generation) = &mut workers.workers[worker.index];
        if *generation != worker.generation {
            return;
        }
        if let Some(replacement) = replacement {
            *address = replacement;
            *generation += 1;
        }
        workers.free.push(worker.index);
        self.replaced += u64::from(thread_died);
    }
}
