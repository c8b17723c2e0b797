//! The pool: which workers there are, which are free, and a new thread for each that died. Knows no job.
//!
//! Bulk workers have a short queue of slices that were cut ahead: one that is done with a slice begins the next at
//! once, and need not wait until the scheduler has taken in its report, which takes some 50 us where a core sleeps.
//!
//! They run where no other thread wants the core. Where others want all cores, they get next to no CPU time; then
//! slices go to a *reserve*, as many workers with a small share of the cores, until theirs are back soon.
//!
//! A thread that cannot be had when the pool is made is an error. One that cannot be had later is asked for again and
//! again, with pauses: until then its lane has one worker fewer.

use super::lanes::{Lane, LaneId, WorkerId, ahead};
use super::task::{Done, Task};
use super::worker::{Finished, Handover, Run, Started, Then};
use actix::prelude::*;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pauses between two attempts to start a thread that the system has refused.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often it is seen whether bulk workers get CPU time.
const STARVATION_INTERVAL: Duration = Duration::from_secs(1);
/// One that gets less than this share of a core starves: beside one thread that never rests it has a 340th, beside busy
/// sessions, which do rest, a 50th and more.
const LEAST_SHARE: u32 = 100;
/// A slice that is not back after this time waits for the CPU.
const STUCK: Duration = Duration::from_millis(100);
/// How long the reserve works at the least.
const RESERVE_FOR: Duration = Duration::from_secs(10);
/// A slice of the reserve that waits this long for the CPU shows that others still want all cores.
const SLOW: Duration = Duration::from_millis(25);

/// How long the first workers may take to start.
const MAX_START: Duration = Duration::from_secs(10);

/// Starts a worker of a lane, and says where to send it what it is to run. The worker counts itself when it has
/// started.
pub(super) type Hire = Box<dyn Fn(Lane, &Started) -> io::Result<Recipient<Run>>>;

/// The workers of all lanes, each with an address of its own, so that each can be replaced alone.
pub(super) struct Pool {
    hire: Hire,
    started: Started,
    express: LaneWorkers,
    bulk: LaneWorkers,
    /// Slices for the next bulk workers that are done with theirs.
    queue: (Sender<Task>, Receiver<Task>),
    /// Slices that were handed out or queued and have not come back.
    slices: usize,
    /// Started when they are needed for the first time.
    reserve: LaneWorkers,
    /// When to see whether bulk workers get any time.
    look: Option<Instant>,
    /// The CPU time of bulk workers since the last look.
    bulk_cpu: Duration,
    /// Until when slices go to the reserve.
    reserve_until: Option<Instant>,
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
    /// Since when a worker of long jobs is at its slice.
    since: Option<Instant>,
}

impl LaneWorkers {
    fn add(&mut self, address: Option<Recipient<Run>>) {
        if address.is_some() {
            self.free.push(self.workers.len());
        }
        self.workers.push(Worker {
            address,
            generation: 0,
            since: None,
        });
    }

    /// How many have something to run.
    fn busy(&self) -> usize {
        let there = self.workers.iter().filter(|worker| worker.address.is_some());
        there.count() - self.free.len()
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
            queue: bounded(ahead(count)),
            slices: 0,
            reserve: LaneWorkers::default(),
            look: None,
            bulk_cpu: Duration::ZERO,
            reserve_until: None,
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
            let text = "the threads of the workers were started and do not run: the machine is overloaded; start again later, or with fewer workers";
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
            Lane::Reserve => &mut self.reserve,
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

    /// Whether a task of this lane waits for no worker: one is free, or none has a thread, so that it is refused. Where
    /// a worker is done and has not reported, its slot may be free before it is.
    pub(super) fn takes_external(&self, lane: LaneId) -> bool {
        self.external.get(&lane).is_none_or(|lane| {
            let has_thread = |worker: &Worker| worker.address.is_some();
            !lane.free.is_empty() || !lane.workers.iter().any(has_thread)
        })
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

    /// When to [`mend`](Self::mend) or to [`help_bulk`](Self::help_bulk).
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.retry.into_iter().chain(self.look).min()
    }

    /// True if all plans have to wait because a lane that they pass has no worker left.
    pub(super) fn has_no_workers(&self) -> bool {
        let has_no_workers = |lane: &LaneWorkers| lane.workers.iter().all(|worker| worker.address.is_none());
        !self.missing.is_empty() && (has_no_workers(&self.express) || has_no_workers(&self.bulk))
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
        let queue = (lane == Lane::Bulk).then(|| self.queue.1.clone());
        let workers = self.lane(lane);
        let Some(index) = workers.free.pop() else {
            return Err(tasks);
        };
        let Worker {
            address, generation, ..
        } = &workers.workers[index];
        let Some(address) = address else {
            return Err(tasks);
        };
        let worker = WorkerId {
            lane,
            index,
            generation: *generation,
        };
        address.do_send(Run(Handover::new(worker, tasks, queue, back)));
        Ok(())
    }

    /// Whether slices go to the reserve: others want all cores, and it has a thread.
    fn uses_reserve(&self, now: Instant) -> bool {
        let has_thread = || self.reserve.workers.iter().any(|worker| worker.address.is_some());
        self.reserve_until.is_some_and(|until| now < until) && has_thread()
    }

    /// Whether there is a worker for one more slice, or one that will find it in the queue. Never more are under way
    /// than plans account for.
    pub(super) fn takes_bulk(&self, now: Instant) -> bool {
        let workers = self.bulk.workers.len();
        let is_free = if self.uses_reserve(now) {
            !self.reserve.free.is_empty()
        } else {
            !self.bulk.free.is_empty() || !self.queue.0.is_full() && self.bulk.busy() > 0
        };
        is_free && self.slices < workers + ahead(workers)
    }

    /// Hands a slice that was cut to a free worker, or else puts it into the queue. There is room for it.
    pub(super) fn run_bulk(&mut self, slice: Task, now: Instant) {
        self.slices += 1;
        if self.look.is_none() {
            self.look = Some(now + STARVATION_INTERVAL);
            self.bulk_cpu = Duration::ZERO;
        }
        self.place(slice, now);
    }

    /// Hands slices of the queue to workers that are free: since they looked, something was put in, or the others took
    /// over.
    pub(super) fn run_queued(&mut self, now: Instant) {
        while (match self.uses_reserve(now) {
            true => !self.reserve.free.is_empty(),
            false => !self.bulk.free.is_empty(),
        }) && let Ok(slice) = self.queue.1.try_recv()
        {
            self.place(slice, now);
        }
    }

    fn place(&mut self, slice: Task, now: Instant) {
        let (lane, workers) = if self.uses_reserve(now) {
            (Lane::Reserve, &mut self.reserve)
        } else {
            (Lane::Bulk, &mut self.bulk)
        };
        if let Some(index) = workers.free.last() {
            workers.workers[*index].since = Some(now);
        }
        if let Err(slices) = self.run(lane, vec![slice]) {
            for slice in slices {
                let queued = self.queue.0.try_send(slice);
                debug_assert!(queued.is_ok(), "there is room for it");
            }
        }
    }

    /// Sees whether bulk workers get any time, if it is time to, and has the reserve work for them if they do not.
    pub(super) fn help_bulk(&mut self, now: Instant) {
        if self.look.is_none_or(|at| at > now) {
            return;
        }
        self.look = (self.slices > 0).then(|| now + STARVATION_INTERVAL);
        let is_stuck = |worker: &&Worker| worker.since.is_some_and(|since| now >= since + STUCK);
        let (busy, stuck) = (self.bulk.busy(), self.bulk.workers.iter().filter(is_stuck).count());
        let cpu = std::mem::take(&mut self.bulk_cpu);
        if 2 * stuck > busy && LEAST_SHARE * cpu < STARVATION_INTERVAL * busy as u32 {
            self.reserve_until = Some(now + RESERVE_FOR);
            for index in self.reserve.workers.len()..self.bulk.workers.len() {
                let address = self.start_thread(Lane::Reserve, index, now);
                self.reserve.add(address);
            }
        }
    }

    /// Takes a worker back that has done this, unless it goes on; starts a new thread in its place if its own died.
    pub(super) fn reported(&mut self, worker: WorkerId, then: Then, done: &[Done], now: Instant) {
        let WorkerId {
            lane,
            index,
            generation,
        } = worker;
        let is_bulk = matches!(lane, Lane::Bulk | Lane::Reserve);
        if is_bulk {
            // Each that was handed out comes back once, whatever became of its worker.
            self.slices = self.slices.saturating_sub(done.len());
        }
        let worker = &mut self.lane(lane).workers[index];
        if worker.generation != generation {
            return;
        }
        let since = worker.since;
        worker.since = (is_bulk && then == Then::GoesOn).then_some(now);
        let cpu: Duration = done.iter().map(|done| done.cpu).sum();
        match lane {
            Lane::Bulk => self.bulk_cpu += cpu,
            Lane::Reserve => {
                let is_slow = since.is_some_and(|since| now >= since + cpu + SLOW);
                if is_slow && self.uses_reserve(now) {
                    self.reserve_until = Some(now + RESERVE_FOR);
                }
            }
            Lane::Express | Lane::External(_) => {}
        }
        match then {
            Then::GoesOn => return,
            Then::Waits => {}
            Then::Died => {
                self.replaced += 1;
                let address = self.start_thread(lane, index, now);
                let worker = &mut self.lane(lane).workers[index];
                worker.generation += 1;
                worker.address = address;
                if worker.address.is_none() {
                    return;
                }
            }
        }
        self.lane(lane).free.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::WorkId;
    use crate::engine::task::{Outcome, Payload};
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

    impl Handler<Finished> for Idle {
        type Result = ();

        fn handle(&mut self, _: Finished, _: &mut Self::Context) {}
    }

    /// A pool of two workers, and as many slices for it as it takes.
    fn filled(now: Instant) -> Pool {
        let mut pool = pool(2, 9).0.expect("there are threads");
        pool.report_to(Idle.start().recipient());
        fill(&mut pool, now);
        pool
    }

    fn fill(pool: &mut Pool, now: Instant) {
        while pool.takes_bulk(now) {
            let slice = Task {
                work: WorkId(0),
                cancel: Arc::default(),
                payload: Payload::Slice(Box::new(|_| Box::new(()))),
            };
            pool.run_bulk(slice, now);
        }
    }

    /// A worker of this lane and place has done its slice, of 2 ms. One that goes on takes the next from the queue
    /// first.
    fn done(pool: &mut Pool, lane: Lane, index: usize, then: Then, now: Instant) {
        if then == Then::GoesOn {
            assert!(pool.queue.1.try_recv().is_ok(), "it has something to go on with");
        }
        let worker = WorkerId {
            lane,
            index,
            generation: 0,
        };
        let done = Done {
            work: WorkId(0),
            outcome: Outcome::Partial(Box::new(())),
            cpu: Duration::from_millis(2),
        };
        pool.reported(worker, then, &[done], now);
        pool.run_queued(now);
    }

    /// How many slices bulk workers have, the queue, and the reserve.
    fn held(pool: &Pool) -> (usize, usize, usize) {
        (pool.bulk.busy(), pool.queue.0.len(), pool.reserve.busy())
    }

    #[test]
    fn one_slice_for_two_workers_is_ready_and_goes_to_the_first_that_waits() {
        System::new().block_on(async {
            let now = Instant::now();
            let mut pool = filled(now);
            assert_eq!(held(&pool), (2, 1, 0));
            done(&mut pool, Lane::Bulk, 1, Then::Waits, now);
            assert_eq!(held(&pool), (2, 0, 0));
            fill(&mut pool, now);
            done(&mut pool, Lane::Bulk, 0, Then::GoesOn, now);
            assert_eq!(held(&pool), (2, 0, 0));
        });
    }

    #[test]
    fn a_slice_is_under_way_until_its_report_is_taken_in() {
        System::new().block_on(async {
            let now = Instant::now();
            let pool = filled(now);
            // A worker has taken the next one, and its report is on its way.
            assert!(pool.queue.1.try_recv().is_ok());
            assert!(
                !pool.takes_bulk(now),
                "the queue has room, but no plan accounts for more"
            );
        });
    }

    #[test]
    fn where_bulk_workers_get_no_time_slices_go_to_the_reserve() {
        System::new().block_on(async {
            let begun = Instant::now();
            let mut pool = filled(begun);
            // One of two is not most of them.
            let goes_on = |pool: &mut Pool, index, now| {
                done(pool, Lane::Bulk, index, Then::GoesOn, now);
                fill(pool, now);
            };
            goes_on(&mut pool, 0, begun + STARVATION_INTERVAL - STUCK / 2);
            pool.help_bulk(begun + STARVATION_INTERVAL);
            assert_eq!(held(&pool), (2, 1, 0));
            // Twenty milliseconds of a second are a share for two.
            for _ in 0..10 {
                goes_on(&mut pool, 0, begun + STARVATION_INTERVAL);
            }
            pool.help_bulk(begun + 2 * STARVATION_INTERVAL);
            assert_eq!(held(&pool), (2, 1, 0));
            goes_on(&mut pool, 1, begun + 2 * STARVATION_INTERVAL);
            let now = begun + 3 * STARVATION_INTERVAL;
            assert_eq!(pool.next_alarm(), Some(now));
            pool.help_bulk(now);
            pool.run_queued(now);
            assert_eq!(held(&pool), (2, 0, 1));
            assert!(!pool.takes_bulk(now), "no more are under way than plans account for");
            for index in 0..2 {
                done(&mut pool, Lane::Bulk, index, Then::Waits, now);
            }
            fill(&mut pool, now);
            assert_eq!(held(&pool), (0, 0, 2));
            // They are slow too, so it lasts.
            let slow = now + Duration::from_millis(2) + SLOW;
            for index in 0..2 {
                done(&mut pool, Lane::Reserve, index, Then::Waits, slow);
            }
            fill(&mut pool, now + RESERVE_FOR);
            assert_eq!(held(&pool), (0, 0, 2));
            for index in 0..2 {
                done(&mut pool, Lane::Reserve, index, Then::Waits, now + RESERVE_FOR);
            }
            fill(&mut pool, slow + RESERVE_FOR);
            assert_eq!(held(&pool), (2, 1, 0));
        });
    }

    #[test]
    fn nothing_is_looked_for_while_no_slice_is_under_way() {
        System::new().block_on(async {
            let now = Instant::now();
            let mut pool = filled(now);
            for index in [0, 1, 0] {
                done(&mut pool, Lane::Bulk, index, Then::Waits, now);
            }
            assert_eq!(held(&pool), (0, 0, 0));
            pool.help_bulk(now + STARVATION_INTERVAL);
            assert_eq!(pool.next_alarm(), None);
        });
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
            pool.reported(died, Then::Died, &[], now);
            assert_eq!(
                (pool.has_no_workers(), pool.free(Lane::Bulk), pool.replaced()),
                (true, 0, 1)
            );
            pool.mend(now);
            assert_eq!(pool.next_alarm(), Some(now + SHORTEST_PAUSE));
            let second = now + SHORTEST_PAUSE;
            pool.mend(second);
            assert_eq!(pool.next_alarm(), Some(second + 2 * SHORTEST_PAUSE));
            left.set(1);
            pool.mend(second + 2 * SHORTEST_PAUSE);
            assert_eq!(
                (pool.has_no_workers(), pool.next_alarm(), pool.free(Lane::Bulk)),
                (false, None, 1)
            );
            pool.reported(died, Then::Died, &[], now);
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
            assert!(pool.takes_external(0), "its threads are to be started");
            pool.open(0, 3, now);
            assert_eq!((pool.free(Lane::External(0)), pool.has_no_workers()), (1, false));
            assert!(pool.takes_external(0));
            pool.report_to(Idle.start().recipient());
            assert!(pool.run(Lane::External(0), Vec::new()).is_ok());
            assert!(!pool.takes_external(0), "its worker is at a task");
            pool.open(1, 1, now);
            assert!(pool.takes_external(1), "there is no thread to wait for");
            left.set(9);
            pool.mend(now + SHORTEST_PAUSE);
            assert_eq!(pool.free(Lane::External(0)), 2);
            assert!(pool.takes_external(0));
        });
    }
}
