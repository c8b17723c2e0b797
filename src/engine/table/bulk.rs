//! The bulk lane: plans of long jobs, whose slices are cut in fair turns, as soon as they have memory. Calls into
//! plans, and survives their panics. Knows nobody who waits.

use super::jobs::Jobs;
use super::memory::Memory;
use super::parts::{Offer, PartFault, Parts};
use crate::caught::{Panicked, caught};
use crate::engine::fairness::{CHARGE_US, Fair};
use crate::engine::lanes::ahead;
use crate::engine::message::{Account, ClientId, Payer, Priority, WorkId};
use crate::engine::task::{Payload, Task};
use crate::job::{AnyPartial, AnyPlan, Job};
use crate::proto::{Code, Failure, Value};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// CPU time after which a submitted job is saved again: a crash costs no more of its work than this, and the slices
/// under way. It goes by CPU time and not by the clock, so that the checkpoints of any number of jobs are bounded by
/// what the machine can compute. To save takes microseconds.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The CPU time between the first two checkpoints of a job that goes on after a restart; it is doubled from one to the
/// next, up to the usual. A process that is ended again and again, by others or by this job, comes some way each time.
const SAVE_SOON: Duration = Duration::from_millis(1);

/// Long jobs.
pub(super) struct Bulk {
    workers: usize,
    /// Slices of one plan that may be under way at once.
    slices: usize,
    plans: FxHashMap<WorkId, Running>,
    ready: Fair<WorkId>,
    /// Those of low priority, which work when no other is ready.
    low: Fair<WorkId>,
    memory: Memory,
    /// Parts that were taken back since the last time.
    recalled: Vec<(WorkId, u64)>,
    /// Plans of which nothing is left but parts that others may be at, and until when those are waited for.
    idle: BTreeMap<WorkId, Instant>,
}

/// A plan, and how much of it is handed out.
struct Running {
    plan: Box<dyn AnyPlan>,
    used: u64,
    under_way: usize,
    /// Slices that may be under way at once: its memory is set aside for as many.
    most_under_way: usize,
    is_ready: bool,
    /// How many rows it gave the last time, if there was credit for more.
    given: Option<usize>,
    advanced: Instant,
    /// When it began here: a job may have been parked for long.
    began: Instant,
    /// How far it was when it began here: a job that goes on after a restart was somewhere.
    from: f64,
    priority: Priority,
    /// The CPU time after which it was saved.
    saved: Duration,
    /// The CPU time until it is saved again.
    save_every: Duration,
    /// Its checkpoints have become too large.
    is_unsaveable: bool,
    parts: Parts,
    /// It has no slice until it is [not deferred any more](Bulk::undefer).
    is_deferred: bool,
}

/// What becomes of a job that was not answered by its first slice.
pub(super) enum Entered {
    Runs,
    /// What its first slice has made is given up: parked jobs hold nothing.
    Parked,
    /// The job is given back.
    TooBig(Failure, Job),
    Panicked,
}

/// Why a plan whose turn it is has no slice.
pub(super) enum NoSlice {
    /// The plan panicked, or has neither a slice nor an answer.
    Fault(WorkId),
    /// The job is deferred: its start has to be counted before it has a slice.
    Deferred(WorkId),
    /// A stream has neither a slice nor one under way, and its client takes more rows than it gave: it may have some.
    Rows(WorkId),
}

/// What a plan has to give.
pub(super) struct PlanOutput {
    pub(super) rows: Vec<String>,
    pub(super) answer: Option<Value>,
}

impl Bulk {
    pub(super) fn new(workers: usize, max_memory: u64) -> Self {
        Self {
            workers,
            slices: workers + ahead(workers),
            plans: FxHashMap::default(),
            ready: Fair::default(),
            low: Fair::default(),
            memory: Memory::new(workers, max_memory),
            recalled: Vec::new(),
            idle: BTreeMap::new(),
        }
    }

    /// Takes in the plan of a job, if it may begin: memory may be set aside for it already.
    pub(super) fn enter(
        &mut self,
        work: WorkId,
        payer: Payer,
        plan: Box<dyn AnyPlan>,
        question: Job,
        priority: Priority,
        now: Instant,
    ) -> Entered {
        let max = self.memory.max();
        let counted = caught(|| {
            let slices = if plan.is_speculative() {
                self.workers
            } else {
                self.slices
            };
            // Few workers are better than none.
            let all = Vec::from_iter(1..=slices);
            let most = all.partition_point(|most| plan.memory(*most) <= max).max(1);
            (most, plan.memory(most), plan.progress())
        });
        let Ok((most_under_way, memory, from)) = counted else {
            return Entered::Panicked;
        };
        if memory > max {
            let text = format!(
                "this would take {} MiB, and jobs together may take {}; a daemon takes more with 'primed serve --max-memory-mib'",
                memory >> 20,
                max >> 20
            );
            return Entered::TooBig(Failure::new(Code::TooBig, text), question);
        }
        if !self.memory.admit(work, payer, memory, question) {
            return Entered::Parked;
        }
        let running = Running {
            plan,
            used: 0,
            under_way: 0,
            most_under_way,
            is_ready: false,
            given: None,
            advanced: now,
            began: now,
            from,
            priority,
            saved: Duration::ZERO,
            save_every: SAVE_EVERY,
            is_unsaveable: false,
            parts: Parts::default(),
            is_deferred: false,
        };
        self.plans.insert(work, running);
        Entered::Runs
    }

    /// Notes how many bytes are held beside the plans.
    pub(super) const fn set_beside(&mut self, bytes: u64) {
        self.memory.set_beside(bytes);
    }

    /// A parked job that may begin now; it begins anew.
    pub(super) fn unpark(&mut self) -> Option<(WorkId, Job)> {
        self.memory.unpark()
    }

    /// Cuts the next slice of the plan whose turn it is.
    pub(super) fn next(&mut self, jobs: &Jobs, now: Instant) -> Option<Result<Task, NoSlice>> {
        loop {
            let (payer, work, used) = self.ready.next().or_else(|| self.low.next())?;
            self.idle.remove(&work);
            let (Some(running), Some(entry)) = (self.plans.get_mut(&work), jobs.get(work)) else {
                continue;
            };
            running.used = used;
            running.is_ready = false;
            if running.is_deferred {
                return Some(Err(NoSlice::Deferred(work)));
            }
            if running.under_way >= running.most_under_way {
                // Absorbing makes it ready again.
                continue;
            }
            let slice = match caught(|| running.plan.cut()) {
                Ok(Some(slice)) => slice,
                // What is left waits for slices under way, or for rows to be taken: absorbing and granting make it
                // ready again.
                Ok(None) if running.under_way > 0 => continue,
                Ok(None) if entry.streams() => match running.given {
                    None => continue,
                    Some(0) => return Some(Err(NoSlice::Fault(work))),
                    Some(_) => return Some(Err(NoSlice::Rows(work))),
                },
                // Or for parts: one that nobody has begun, or that takes too long elsewhere, is done here.
                Ok(None) if !running.parts.is_empty() => {
                    match caught(|| running.parts.take_back_idle(&mut *running.plan, now)) {
                        Ok(Ok(number)) => {
                            self.recalled.push((work, number));
                            let (priority, used) = (running.priority, running.used);
                            running.is_ready = true;
                            self.push(payer, work, priority, used);
                            continue;
                        }
                        Ok(Err(until)) => {
                            self.idle.extend(until.map(|until| (work, until)));
                            continue;
                        }
                        Err(Panicked) => return Some(Err(NoSlice::Fault(work))),
                    }
                }
                Ok(None) | Err(Panicked) => return Some(Err(NoSlice::Fault(work))),
            };
            running.under_way += 1;
            running.used += CHARGE_US;
            running.is_ready = true;
            let task = Task {
                work,
                cancel: entry.cancel().clone(),
                payload: Payload::Slice(slice),
            };
            let (priority, used) = (running.priority, running.used);
            self.push(payer, work, priority, used);
            self.queue(priority).charge(payer.client, CHARGE_US as i64);
            return Some(Ok(task));
        }
    }

    /// A plan goes on from what was saved when it was this far, which it may know itself only when its tables are made.
    pub(super) fn set_initial_progress(&mut self, work: WorkId, before: f64) {
        if let Some(running) = self.plans.get_mut(&work) {
            running.from = running.from.max(before);
        }
    }

    /// A job has no slice from now on, until it is [undeferred](Self::undefer).
    pub(super) fn defer(&mut self, work: WorkId) {
        if let Some(running) = self.plans.get_mut(&work) {
            running.is_deferred = true;
        }
    }

    /// A deferred job has slices again, once it is ready.
    pub(super) fn undefer(&mut self, work: WorkId) {
        if let Some(running) = self.plans.get_mut(&work) {
            running.is_deferred = false;
        }
    }

    /// Takes in the partial result of a slice that took so much CPU time.
    pub(super) fn absorb(
        &mut self,
        work: WorkId,
        client: ClientId,
        partial: AnyPartial,
        cpu: Duration,
        now: Instant,
    ) -> Result<(), Panicked> {
        let Some(running) = self.plans.get_mut(&work) else {
            return Ok(());
        };
        let more = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX) - CHARGE_US as i64;
        match running.priority {
            Priority::Low => self.low.charge(client, more),
            Priority::Normal | Priority::High => self.ready.charge(client, more),
        }
        running.under_way -= 1;
        running.parts.look_again();
        running.used = running.used.saturating_add_signed(more);
        running.advanced = now;
        caught(|| running.plan.absorb(partial))
    }

    /// Cuts a part for another machine from the plan that is to have the next one: of the account with the fewest under
    /// way. `Err`: the plan of this job panicked. What it has cut and not given would be missing from its answer.
    pub(super) fn next_part(
        &mut self,
        jobs: &Jobs,
        busy: usize,
        now: Instant,
    ) -> Option<Result<(WorkId, Offer), WorkId>> {
        loop {
            let mut of_account: FxHashMap<Account, usize> = FxHashMap::default();
            for (work, running) in &self.plans {
                if let Some(entry) = jobs.get(*work) {
                    *of_account.entry(entry.payer().account).or_default() += running.parts.len();
                }
            }
            let candidates = self.plans.iter().filter_map(|(work, running)| {
                let entry = jobs.get(*work).filter(|entry| !entry.streams())?;
                let is_low = running.priority == Priority::Low;
                let account = of_account.get(&entry.payer().account);
                let rank = (is_low, account.copied(), running.parts.len(), *work);
                running.parts.may_cut().then_some((rank, entry))
            });
            let ((.., work), entry) = candidates.min_by_key(|(rank, _)| *rank)?;
            let running = self.plans.get_mut(&work)?;
            let cpu = entry.cpu();
            match caught(|| running.parts.cut(&mut *running.plan, cpu, busy, now)) {
                Ok(Some(offer)) => return Some(Ok((work, offer))),
                Ok(None) => {}
                Err(Panicked) => return Some(Err(work)),
            }
        }
    }

    /// A machine works on a part.
    pub(super) fn part_begun(&mut self, work: WorkId, number: u64, now: Instant) {
        if let Some(running) = self.plans.get_mut(&work) {
            running.parts.begun(number, now);
        }
    }

    /// A plan whose parts have been waited for long enough: it may have slices again.
    pub(super) fn take_idle_due(&mut self, now: Instant) -> Option<WorkId> {
        let work = *self.idle.iter().find(|(_, until)| **until <= now)?.0;
        self.idle.remove(&work);
        Some(work)
    }

    /// When [`take_idle_due`](Self::take_idle_due) has one.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.idle.values().min().copied()
    }

    /// Takes in what a part came to on a machine of this name.
    pub(super) fn absorb_part(
        &mut self,
        work: WorkId,
        number: u64,
        result: &[u8],
        node: &str,
        now: Instant,
    ) -> Result<(), PartFault> {
        let running = self.plans.get_mut(&work).ok_or(PartFault::Unknown)?;
        running.advanced = now;
        let absorbed = caught(|| running.parts.absorb(&mut *running.plan, number, result, node));
        absorbed.unwrap_or(Err(PartFault::Unusable))
    }

    /// Takes back a part that is not done elsewhere.
    pub(super) fn take_back_part(&mut self, work: WorkId, number: u64) -> Result<(), PartFault> {
        let running = self.plans.get_mut(&work).ok_or(PartFault::Unknown)?;
        let taken = caught(|| running.parts.take_back(&mut *running.plan, number));
        taken.unwrap_or(Err(PartFault::Unusable))
    }

    /// Plans of which a machine has done parts.
    pub(super) fn contributed_to(&self, node: &str) -> Vec<WorkId> {
        let has = |running: &Running| running.parts.has_contributor(node);
        let mut plans: Vec<WorkId> = self
            .plans
            .iter()
            .filter(|(_, running)| has(running))
            .map(|(work, _)| *work)
            .collect();
        plans.sort_unstable();
        plans
    }

    /// Parts that are under way.
    pub(super) fn parts(&self) -> usize {
        self.plans.values().map(|running| running.parts.len()).sum()
    }

    /// Parts that are of no use any more, since the last time.
    pub(super) fn take_recalled(&mut self) -> Vec<(WorkId, u64)> {
        std::mem::take(&mut self.recalled)
    }

    /// What a plan has to give, at most `credit` rows; without an answer it is ready for its next slice. `None`: there
    /// is no such plan.
    pub(super) fn deliver(
        &mut self,
        work: WorkId,
        payer: Payer,
        credit: usize,
    ) -> Option<Result<PlanOutput, Panicked>> {
        let running = self.plans.get_mut(&work)?;
        let plan = &mut running.plan;
        let output = caught(|| PlanOutput {
            rows: plan.rows(credit),
            answer: plan.answer(),
        });
        let rows = output.as_ref().map_or(0, |output| output.rows.len());
        running.given = (rows < credit).then_some(rows);
        if let Ok(PlanOutput { answer: None, .. }) = output
            && !running.is_ready
        {
            running.is_ready = true;
            let (priority, used) = (running.priority, running.used);
            self.push(payer, work, priority, used);
        }
        Some(output)
    }

    fn queue(&mut self, priority: Priority) -> &mut Fair<WorkId> {
        match priority {
            Priority::Low => &mut self.low,
            Priority::Normal | Priority::High => &mut self.ready,
        }
    }

    /// Puts a plan into its queue. One of high priority is the first of its client's turns; the client's share remains
    /// what it is.
    fn push(&mut self, payer: Payer, work: WorkId, priority: Priority, used: u64) {
        let used = if priority == Priority::High { 0 } else { used };
        self.queue(priority).push(payer, work, used);
    }

    /// A plan is as urgent as this from now on.
    pub(super) fn set_priority(&mut self, work: WorkId, payer: Payer, priority: Priority) {
        let Some(running) = self.plans.get_mut(&work) else {
            return;
        };
        let before = std::mem::replace(&mut running.priority, priority);
        let (is_ready, used) = (running.is_ready, running.used);
        if is_ready {
            self.queue(before).remove(payer.client, work);
            self.push(payer, work, priority, used);
        }
    }

    /// A plan goes on after a restart: it is saved sooner at first.
    pub(super) fn save_soon(&mut self, work: WorkId) {
        if let Some(running) = self.plans.get_mut(&work) {
            running.save_every = SAVE_SOON;
        }
    }

    /// Whether a plan that has taken this CPU time is to be saved again.
    pub(super) fn is_unsaved(&self, work: WorkId, cpu: Duration) -> bool {
        let running = self.plans.get(&work);
        running.is_some_and(|running| !running.is_unsaveable && cpu.saturating_sub(running.saved) >= running.save_every)
    }

    /// A plan is not saved any more: its checkpoints have become too large.
    pub(super) fn save_no_more(&mut self, work: WorkId) {
        if let Some(running) = self.plans.get_mut(&work) {
            running.is_unsaveable = true;
        }
    }

    /// The bytes of a plan that has taken this CPU time, and how far it is; none if it cannot be saved.
    pub(super) fn save(&mut self, work: WorkId, cpu: Duration) -> Option<(Vec<u8>, f64)> {
        let running = self.plans.get_mut(&work).filter(|running| !running.is_unsaveable)?;
        running.saved = cpu;
        running.save_every = (2 * running.save_every).min(SAVE_EVERY);
        let (bytes, progress) = caught(|| Some((running.plan.save()?, running.plan.progress()))).ok()??;
        // No number is no progress: the store takes none.
        let progress = match progress.is_nan() {
            true => 0.0,
            false => progress.clamp(0.0, 1.0),
        };
        Some((bytes, progress.max(running.from)))
    }

    /// How far a plan is, and when it last advanced.
    pub(super) fn progress(&self, work: WorkId) -> Option<(f64, Instant)> {
        let running = self.plans.get(&work)?;
        let done = caught(|| running.plan.progress()).ok()?;
        Some((done.max(running.from), running.advanced))
    }

    /// When a plan began here, and how far it was then.
    pub(super) fn began(&self, work: WorkId) -> Option<(Instant, f64)> {
        self.plans.get(&work).map(|running| (running.began, running.from))
    }

    /// What a plan is at, in words.
    pub(super) fn stage(&self, work: WorkId) -> Option<String> {
        let running = self.plans.get(&work)?;
        caught(|| running.plan.stage()).ok()?
    }

    /// What a plan has found so far.
    pub(super) fn found(&self, work: WorkId) -> Option<String> {
        let running = self.plans.get(&work)?;
        caught(|| running.plan.found()).ok()?
    }

    /// A job uses another client's share from now on.
    pub(super) fn change_payer(&mut self, work: WorkId, from: Payer, next_payer: Payer) {
        self.memory.change_payer(work, from, next_payer);
        if let Some(running) = self.plans.get(&work).filter(|running| running.is_ready) {
            let priority = running.priority;
            self.queue(priority).remove(from.client, work);
            self.queue(priority).push(next_payer, work, 0);
        }
    }

    /// Takes a job out, whether it runs, is parked, or has memory set aside only.
    pub(super) fn remove(&mut self, client: ClientId, work: WorkId) {
        self.idle.remove(&work);
        if let Some(running) = self.plans.remove(&work) {
            self.recalled
                .extend(running.parts.numbers().map(|number| (work, number)));
            self.queue(running.priority).remove(client, work);
        }
        self.memory.remove(client, work);
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        self.ready.forget(client);
        self.low.forget(client);
        self.memory.forget(client);
    }

    #[cfg(test)]
    pub(super) fn is_running(&self, work: WorkId) -> bool {
        self.plans.contains_key(&work)
    }

    /// Long jobs that are worked on.
    pub(super) fn running(&self) -> usize {
        self.plans.len()
    }

    /// Bytes that are set aside or held beside, and how many jobs are parked.
    pub(super) fn in_use(&self) -> (u64, usize) {
        self.memory.in_use()
    }

    /// The same, added up.
    #[cfg(test)]
    pub(super) fn held(&self) -> (u64, usize) {
        self.memory.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::jobs::{Entry, WorkState};
    use crate::job::{Budget, Plan};

    const ONE: Payer = Payer {
        account: Account::Process,
        client: ClientId(1),
    };

    /// A plan that never ends and needs this memory, and as much more for each worker; and whether it is speculative.
    struct Needs(u64, u64, bool);

    impl Plan for Needs {
        type Slice = ();
        type Partial = ();

        fn cut(&mut self) -> Option<()> {
            Some(())
        }

        fn run((): (), _: Budget<'_>) {}

        fn absorb(&mut self, (): ()) {
            assert!(self.0 < 1_000, "as asked");
        }

        fn answer(&mut self) -> Option<Value> {
            None
        }

        fn memory(&self, workers: usize) -> u64 {
            self.0 + self.1 * workers as u64
        }

        fn is_speculative(&self) -> bool {
            self.2
        }

        fn progress(&self) -> f64 {
            self.0 as f64 / 1_000.0
        }
    }

    fn enter(bulk: &mut Bulk, work: u64, memory: u64) -> Entered {
        enter_plan(bulk, work, move || Needs(memory, 0, false))
    }

    fn enter_plan(bulk: &mut Bulk, work: u64, plan: impl Fn() -> Needs + Send + Sync + 'static) -> Entered {
        let job = Job::new("needs", plan);
        let plan = job.plan().expect("the question is sound");
        bulk.enter(WorkId(work), ONE, plan, job, Priority::Normal, Instant::now())
    }

    #[test]
    fn it_is_known_how_far_a_plan_was_when_it_began() {
        let mut bulk = Bulk::new(1, 1_000);
        assert!(matches!(enter(&mut bulk, 1, 600), Entered::Runs));
        assert_eq!(bulk.began(WorkId(1)).map(|(_, from)| from), Some(0.6));
        assert_eq!(bulk.began(WorkId(2)), None);
    }

    #[test]
    fn memory_is_set_aside_once_and_given_back() {
        let mut bulk = Bulk::new(1, 100);
        assert!(matches!(enter(&mut bulk, 1, 60), Entered::Runs));
        assert!(matches!(enter(&mut bulk, 2, 60), Entered::Parked));
        assert!(matches!(enter(&mut bulk, 3, 101), Entered::TooBig(..)));
        assert!(bulk.unpark().is_none());
        assert_eq!(bulk.held(), (60, 1));
        bulk.remove(ONE.client, WorkId(1));
        assert_eq!(bulk.unpark().map(|(work, _)| work), Some(WorkId(2)));
        assert_eq!(bulk.held(), (60, 0));
        assert!(matches!(enter(&mut bulk, 2, 60), Entered::Runs), "it was set aside");
        assert_eq!(bulk.held(), (60, 0));
        bulk.remove(ONE.client, WorkId(2));
        assert_eq!(bulk.held(), (0, 0));
    }

    /// How many slices are cut of this plan, if it runs.
    fn cut_at_once(mut bulk: Bulk, plan: fn() -> Needs) -> Option<usize> {
        let (now, work) = (Instant::now(), WorkId(1));
        let mut jobs = Jobs::new(work);
        jobs.insert(work, Entry::new("needs".into(), ONE, WorkState::Bulk, now));
        let runs = matches!(enter_plan(&mut bulk, 1, plan), Entered::Runs);
        let _ = bulk.deliver(work, ONE, 0);
        let cut = std::iter::from_fn(|| bulk.next(&jobs, now)).take(10);
        runs.then(|| cut.count())
    }

    #[test]
    fn a_plan_that_is_too_large_for_all_workers_has_as_many_as_fit() {
        for (max_memory, slices) in [
            (29, None),
            (30, Some(1)),
            (89, Some(2)),
            (90, Some(3)),
            (179, Some(5)),
            (180, Some(6)),
        ] {
            let cut = cut_at_once(Bulk::new(4, max_memory), || Needs(0, 30, false));
            assert_eq!(cut, slices, "{max_memory}");
        }
    }

    #[test]
    fn no_slice_is_cut_ahead_of_a_free_worker_that_another_may_make_vain() {
        for workers in [1, 2, 4] {
            let cut = cut_at_once(Bulk::new(workers, 100), || Needs(0, 1, true));
            assert_eq!(cut, Some(workers));
        }
    }

    #[test]
    fn a_plan_that_panics_says_so_and_one_that_is_gone_is_no_fault() {
        let mut bulk = Bulk::new(1, 10_000);
        assert!(matches!(enter(&mut bulk, 1, 1_000), Entered::Runs));
        let absorb = |bulk: &mut Bulk, work| {
            let now = Instant::now();
            bulk.absorb(WorkId(work), ONE.client, Box::new(()), Duration::ZERO, now)
                .is_ok()
        };
        bulk.plans.values_mut().for_each(|running| running.under_way = 1);
        assert!(!absorb(&mut bulk, 1));
        assert!(absorb(&mut bulk, 2));
        assert!(bulk.deliver(WorkId(2), ONE, 0).is_none());
    }
}
