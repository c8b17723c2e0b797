//! The pool: which workers there are, which are free, and a new thread for each that died. Knows no queue.
//!
//! A thread that cannot be had when the pool is made is an error. One that cannot be had later is asked for again and again, with
//! pauses: until then its lane has one worker fewer.

use super::table::LaneId;
use super::task::Task;
use super::worker::{Finished, Handover, Lane, Run, WorkerId};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pauses between two attempts to start a thread that the system has refused.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the first workers may take to start.
const MAX_START: Duration = Duration::from_secs(10);

/// Starts a worker of a lane, and says where to send it what it is to run. The worker counts itself when it has started.
pub(super) type Hire = Box<dyn Fn(Lane, &Started) -> io::Result<Recipient<Run>>>;

/// Counts workers that have started.
pub(super) type Started = watch::Sender<usize>;

/// The workers of all lanes, each with an address of its own, so that each can be replaced alone.
pub(super) struct Pool {
    hire: Hire,
    started: Started,
    express: LaneWorkers,
    bulk: LaneWorkers,
    external: BTreeMap<LaneId, LaneWorkers>,
    back: Option<Arc<Recipient<Finished>>>,
    /// Workers without a thread, and when the next attempt to start one is made.
    missing: Vec<(Lane, usize)>,
    retry: Option<Instant>,
    pause: Duration,
    replaced: u64,
}

#[derive(Default)]
struct LaneWorkers {
    workers: Vec<Worker>,
    free: Vec<usize>,
}

struct Worker {
    /// None while its thread cannot be had.
    address: Option<Recipient<Run>>,
    generation: u64,
}

impl LaneWorkers {
    fn add(&mut self, address: Option<Recipient<Run>>) {
        if address.is_some() {
            self.free.push(self.workers.len());
        }
        self.workers.push(Worker { address, generation: 0 });
    }
}

impl Pool {
    /// Starts `count` workers in each lane.
    ///
    /// # Errors
    /// If the system has no thread for one of them; those that were started end then.
    pub(super) fn new(count: usize, hire: Hire) -> io::Result<Self> {
        let mut pool = Self {
            hire,
            started: watch::Sender::new(0),
            express: LaneWorkers::default(),
            bulk: LaneWorkers::default(),
            external: BTreeMap::new(),
            back: None,
            missing: Vec::new(),
            retry: None,
            pause: SHORTEST_PAUSE,
            replaced: 0,
        };
        for lane in [Lane::Express, Lane::Bulk] {
            for _ in 0..count {
                let address = (pool.hire)(lane, &pool.started)?;
                pool.lane(lane).add(Some(address));
            }
        }
        Ok(pool)
    }

    /// Waits until all workers have started.
    ///
    /// # Errors
    /// `TimedOut` if they do not.
    pub(super) async fn ready(&self) -> io::Result<()> {
        let expected = self.express.workers.len() + self.bulk.workers.len();
        let mut started = self.started.subscribe();
        let all = started.wait_for(|started| *started >= expected);
        let all = tokio::time::timeout(MAX_START, all).await;
        all.map(drop).map_err(|_| {
            let text = "the threads of the workers were started and do not run";
            io::Error::new(io::ErrorKind::TimedOut, text)
        })
    }

    /// Where workers report to.
    pub(super) fn report_to(&mut self, back: Recipient<Finished>) {
        self.back = Some(Arc::new(back));
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneWorkers {
        match lane {
            Lane::Express => &mut self.express,
            Lane::Bulk => &mut self.bulk,
            Lane::External(lane) => self.external.entry(lane).or_default(),
        }
    }

    /// Starts the workers of a lane of external tasks, as many as can be had, unless that was done before.
    pub(super) fn open(&mut self, lane: LaneId, threads: usize, now: Instant) {
        if self.external.contains_key(&lane) {
            return;
        }
        let lane = Lane::External(lane);
        for index in 0..threads {
            let address = self.start_thread(lane, index, now);
            self.lane(lane).add(address);
        }
    }

    /// A new thread, or a later attempt to start one.
    fn start_thread(&mut self, lane: Lane, index: usize, now: Instant) -> Option<Recipient<Run>> {
        match (self.hire)(lane, &self.started) {
            Ok(address) => Some(address),
            Err(error) => {
                tracing::error!(%error, ?lane, "cannot start a thread for a worker; trying again later");
                self.missing.push((lane, index));
                self.retry.get_or_insert(now + self.pause);
                None
            }
        }
    }

    /// Tries again to start threads that could not be had, if it is time to.
    pub(super) fn mend(&mut self, now: Instant) {
        if self.retry.is_none_or(|at| at > now) {
            return;
        }
        self.retry = None;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        for (lane, index) in std::mem::take(&mut self.missing) {
            if self.retry.is_some() {
                // The system has just refused one.
                self.missing.push((lane, index));
            } else if let Some(address) = self.start_thread(lane, index, now) {
                let workers = self.lane(lane);
                workers.workers[index].address = Some(address);
                workers.free.push(index);
            }
        }
        if self.missing.is_empty() {
            self.pause = SHORTEST_PAUSE;
        }
    }

    /// When to [`mend`](Self::mend).
    pub(super) const fn next_alarm(&self) -> Option<Instant> {
        self.retry
    }

    /// True if all plans have to wait because a lane that they pass has no worker left.
    pub(super) fn is_out(&self) -> bool {
        let is_out = |lane: &LaneWorkers| lane.workers.iter().all(|worker| worker.address.is_none());
        !self.missing.is_empty() && (is_out(&self.express) || is_out(&self.bulk))
    }

    /// Threads replaced so far.
    pub(super) const fn replaced(&self) -> u64 {
        self.replaced
    }

    /// How many workers of a lane are free.
    pub(super) fn free(&mut self, lane: Lane) -> usize {
        self.lane(lane).free.len()
    }

    /// Hands tasks to a free worker; gives them back if none is free.
    pub(super) fn run(&mut self, lane: Lane, tasks: Vec<Task>) -> Result<(), Vec<Task>> {
        let Some(back) = self.back.clone() else {
            return Err(tasks);
        };
        let workers = self.lane(lane);
        let Some(index) = workers.free.pop() else {
            return Err(tasks);
        };
        let Worker { address, generation } = &workers.workers[index];
        let Some(address) = address else {
            return Err(tasks);
        };
        let worker = WorkerId {
            lane,
            index,
            generation: *generation,
        };
        address.do_send(Run(Handover::new(worker, tasks, back)));
        Ok(())
    }

    /// Takes a worker back; starts a new thread in its place if its own died.
    pub(super) fn freed(&mut self, worker: WorkerId, thread_died: bool, now: Instant) {
        let WorkerId {
            lane,
            index,
            generation,
        } = worker;
        if self.lane(lane).workers[index].generation != generation {
            return;
        }
        if thread_died {
            self.replaced += 1;
            let address = self.start_thread(lane, index, now);
            let worker = &mut self.lane(lane).workers[index];
            worker.generation += 1;
            worker.address = address;
            if worker.address.is_none() {
                return;
            }
        }
        self.lane(lane).free.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// A worker that does nothing.
    struct Idle;

    impl Actor for Idle {
        type Context = Context<Self>;
    }

    impl Handler<Run> for Idle {
        type Result = ();

        fn handle(&mut self, _: Run, _: &mut Self::Context) {}
    }

    /// A pool on a system that has this many threads left.
    fn pool(count: usize, threads: usize) -> (io::Result<Pool>, Rc<Cell<usize>>) {
        let left = Rc::new(Cell::new(threads));
        let hire = {
            let left = left.clone();
            move |_, _: &Started| match left.get() {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                threads => {
                    left.set(threads - 1);
                    Ok(Idle.start().recipient())
                }
            }
        };
        (Pool::new(count, Box::new(hire)), left)
    }

    #[test]
    fn a_pool_that_lacks_a_thread_at_first_is_an_error() {
        System::new().block_on(async {
            assert!(pool(2, 3).0.is_err());
            assert!(pool(2, 4).0.is_ok());
        });
    }

    #[test]
    fn a_worker_without_a_thread_gets_one_later_with_pauses_in_between() {
        System::new().block_on(async {
            let (pool, left) = pool(1, 2);
            let mut pool = pool.expect("there are two threads");
            let now = Instant::now();
            let died = WorkerId {
                lane: Lane::Bulk,
                index: 0,
                generation: 0,
            };
            pool.bulk.free.clear();
            pool.freed(died, true, now);
            assert_eq!((pool.is_out(), pool.free(Lane::Bulk), pool.replaced()), (true, 0, 1));
            pool.mend(now);
            assert_eq!(pool.next_alarm(), Some(now + SHORTEST_PAUSE));
            let second = now + SHORTEST_PAUSE;
            pool.mend(second);
            assert_eq!(pool.next_alarm(), Some(second + 2 * SHORTEST_PAUSE));
            left.set(1);
            pool.mend(second + 2 * SHORTEST_PAUSE);
            assert_eq!(
                (pool.is_out(), pool.next_alarm(), pool.free(Lane::Bulk)),
                (false, None, 1)
            );
            pool.freed(died, true, now);
            assert_eq!(
                pool.replaced(),
                1,
                "the news of a thread that is replaced already changes nothing"
            );
        });
    }

    #[test]
    fn a_lane_opens_with_as_many_threads_as_there_are() {
        System::new().block_on(async {
            let (pool, left) = pool(1, 3);
            let mut pool = pool.expect("there are two threads");
            let now = Instant::now();
            pool.open(0, 3, now);
            assert_eq!((pool.free(Lane::External(0)), pool.is_out()), (1, false));
            left.set(9);
            pool.mend(now + SHORTEST_PAUSE);
            assert_eq!(pool.free(Lane::External(0)), 3);
        });
    }
}
