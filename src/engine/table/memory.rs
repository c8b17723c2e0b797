//! Memory of long plans: which may begin, and which are parked until they may. Knows no plan and no CPU.
//!
//! Plans are of five classes by their size, each up to four times as large as the one before. An account begins only as
//! many of a class as can use the workers, or as fit its part of the memory; the others are parked. More at once would
//! be no faster, and would hold memory that others need. Each class has its own count, so that a smaller plan never
//! waits for a larger one of the same account. Small plans have memory of their own, so that they fit beside any number
//! of large ones. Where the memory itself is short, accounts take turns.

use crate::engine::fairness::Fair;
use crate::engine::message::{Account, ClientId, Payer, WorkId};
use crate::job::Job;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap};

/// Small plans, and four classes of large ones.
const CLASSES: usize = 5;

/// Plans of a class that an account may have begun, for each worker: one that is cut, and one beside it whose last
/// slices are under way.
const PLANS_A_WORKER: usize = 2;

/// Where the memory of a plan is accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    Small,
    Large,
}

/// What is set aside for whom, and who waits for how much.
pub(super) struct Memory {
    /// Bytes for large plans.
    max: u64,
    max_plans: usize,
    /// Jobs that may not begin yet, by class, in their clients' turns. Accounts that may begin none of a class are
    /// paused there.
    parked: [Fair<WorkId>; CLASSES],
    wanting: HashMap<WorkId, (Job, u64)>,
    reservations: BTreeMap<WorkId, Reservation>,
    small: u64,
    large: u64,
    /// Bytes beside the plans: the checkpoints of unfinished jobs. Large plans have that much less.
    beside: u64,
    begun: FxHashMap<(Account, usize), Begun>,
}

/// Memory that is set aside for a plan.
#[derive(Clone, Copy)]
struct Reservation {
    account: Account,
    bytes: u64,
}

/// The plans of a class that an account has begun.
#[derive(Clone, Copy, Default)]
struct Begun {
    plans: usize,
    bytes: u64,
}

impl Memory {
    pub(super) fn new(workers: usize, max: u64) -> Self {
        Self {
            max,
            max_plans: PLANS_A_WORKER * workers,
            parked: Default::default(),
            wanting: HashMap::new(),
            reservations: BTreeMap::new(),
            small: 0,
            large: 0,
            beside: 0,
            begun: FxHashMap::default(),
        }
    }

    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    /// Notes what is held beside the plans.
    pub(super) const fn set_beside(&mut self, bytes: u64) {
        self.beside = bytes;
    }

    /// Small plans have up to a 256th of the memory, 8 MiB of the default: `pi` and `nth` of up to a second or two.
    fn class_of(&self, bytes: u64) -> usize {
        let limits = [self.max >> 8, self.max >> 6, self.max >> 4, self.max >> 2];
        limits.iter().take_while(|limit| bytes > **limit).count()
    }

    fn pool_of(&self, bytes: u64) -> Pool {
        match self.class_of(bytes) {
            0 => Pool::Small,
            _ => Pool::Large,
        }
    }

    /// Bytes of a pool, and how many are set aside. Small plans have an eighth of the memory in addition.
    const fn level(&self, pool: Pool) -> (u64, u64) {
        match pool {
            Pool::Small => (self.max / 8, self.small),
            Pool::Large => (self.max, self.large),
        }
    }

    /// True if the account may begin no other plan of the class now. One may always begin, however large.
    fn is_full(&self, account: Account, class: usize) -> bool {
        let Some(begun) = self.begun.get(&(account, class)) else {
            return false;
        };
        match class {
            0 => begun.bytes >= self.max / 64,
            _ => begun.plans >= self.max_plans || begun.bytes >= self.max / 8,
        }
    }

    /// Sets memory aside for a job, unless that was done before. False if it is parked instead.
    pub(super) fn admit(&mut self, work: WorkId, payer: Payer, bytes: u64, question: Job) -> bool {
        if self.reservations.contains_key(&work) {
            return true;
        }
        let class = self.class_of(bytes);
        if !self.is_full(payer.account, class) && self.fits(work, bytes) {
            self.set_aside(work, payer.account, bytes);
            return true;
        }
        self.wanting.insert(work, (question, bytes));
        self.parked[class].push(payer, work, 0);
        false
    }

    /// Whether the memory is there. Beside a parked job that could begin but for it, a later one may take what that
    /// will not need once those before it have ended: so it need not wait for hours after a giant, and however many
    /// come, the parked one does not wait for them. What is held beside the plans keeps none from running alone: it is
    /// freed by their ends only.
    fn fits(&self, work: WorkId, bytes: u64) -> bool {
        let pool = self.pool_of(bytes);
        let (max, used) = self.level(pool);
        let first = self.parked.iter().filter_map(Fair::first);
        let first = first.filter(|first| *first < work && self.pool_of(self.wanted_by(*first)) == pool);
        let promised = first.min().map_or(0, |first| {
            let later = self.reservations.range(first..).map(|(_, held)| held.bytes);
            let later: u64 = later.filter(|bytes| self.pool_of(*bytes) == pool).sum();
            later + self.wanted_by(first)
        });
        let beside = match pool {
            Pool::Small => 0,
            Pool::Large => self.beside,
        };
        let taken = used.max(promised);
        taken == 0 || taken + bytes + beside <= max
    }

    fn wanted_by(&self, parked: WorkId) -> u64 {
        self.wanting.get(&parked).map_or(0, |(_, bytes)| *bytes)
    }

    /// A parked job that may begin now; it begins anew.
    pub(super) fn unpark(&mut self) -> Option<(WorkId, Job)> {
        if self.wanting.is_empty() {
            return None;
        }
        let firsts = self.parked.iter().enumerate();
        let mut firsts: Vec<(WorkId, usize)> = firsts
            .filter_map(|(class, parked)| Some((parked.first()?, class)))
            .collect();
        firsts.sort_unstable();
        let fits = |(work, _): &&(WorkId, usize)| self.fits(*work, self.wanted_by(*work));
        let class = firsts.iter().find(fits)?.1;
        let (payer, work, _) = self.parked[class].next()?;
        self.parked[class].charge(payer.client, 1);
        let (question, bytes) = self.wanting.remove(&work)?;
        self.set_aside(work, payer.account, bytes);
        Some((work, question))
    }

    fn set_aside(&mut self, work: WorkId, account: Account, bytes: u64) {
        match self.pool_of(bytes) {
            Pool::Small => self.small += bytes,
            Pool::Large => self.large += bytes,
        }
        self.reservations.insert(work, Reservation { account, bytes });
        self.begin(account, bytes);
    }

    fn begin(&mut self, account: Account, bytes: u64) {
        let class = self.class_of(bytes);
        let begun = self.begun.entry((account, class)).or_default();
        begun.plans += 1;
        begun.bytes += bytes;
        self.pause(account, class);
    }

    fn end(&mut self, account: Account, bytes: u64) {
        let class = self.class_of(bytes);
        if let Some(begun) = self.begun.get_mut(&(account, class)) {
            begun.plans -= 1;
            begun.bytes -= bytes;
            if begun.plans == 0 {
                self.begun.remove(&(account, class));
            }
        }
        self.pause(account, class);
    }

    fn pause(&mut self, account: Account, class: usize) {
        let is_full = self.is_full(account, class);
        self.parked[class].set_paused(account, is_full);
    }

    /// A job uses another client's share from now on.
    pub(super) fn change_payer(&mut self, work: WorkId, from: Payer, next_payer: Payer) {
        if let Some((_, bytes)) = self.wanting.get(&work) {
            let class = self.class_of(*bytes);
            self.parked[class].remove(from.client, work);
            self.parked[class].push(next_payer, work, 0);
        }
        if let Some(held) = self.reservations.get_mut(&work) {
            let Reservation { account, bytes } = *held;
            held.account = next_payer.account;
            self.end(account, bytes);
            self.begin(next_payer.account, bytes);
        }
    }

    /// Takes a job out, whether it is parked or memory is set aside for it.
    pub(super) fn remove(&mut self, client: ClientId, work: WorkId) {
        if let Some((_, bytes)) = self.wanting.remove(&work) {
            let class = self.class_of(bytes);
            self.parked[class].remove(client, work);
        }
        if let Some(Reservation { account, bytes }) = self.reservations.remove(&work) {
            match self.pool_of(bytes) {
                Pool::Small => self.small -= bytes,
                Pool::Large => self.large -= bytes,
            }
            self.end(account, bytes);
        }
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        self.parked.iter_mut().for_each(|parked| parked.forget(client));
    }

    /// Bytes that are set aside or held beside, and how many jobs are parked.
    pub(super) fn in_use(&self) -> (u64, usize) {
        (self.small + self.large + self.beside, self.wanting.len())
    }

    /// The same, added up.
    #[cfg(test)]
    pub(super) fn held(&self) -> (u64, usize) {
        let each: u64 = self.reservations.values().map(|held| held.bytes).sum();
        let begun: u64 = self.begun.values().map(|begun| begun.bytes).sum();
        assert_eq!((each, each), (self.small + self.large, begun));
        let parked = self.parked.iter().map(Fair::len).sum();
        assert_eq!(self.wanting.len(), parked);
        (each, parked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Query;

    const MIB: u64 = 1 << 20;

    fn payer(account: u8) -> Payer {
        Payer {
            account: Account::Address([10, 0, 0, account].into()),
            client: ClientId(account.into()),
        }
    }

    fn admit(memory: &mut Memory, account: u8, work: u64, bytes: u64) -> bool {
        memory.admit(WorkId(work), payer(account), bytes, Query::Pi(work.into()).into())
    }

    fn unparked(memory: &mut Memory) -> Vec<u64> {
        std::iter::from_fn(|| memory.unpark().map(|(work, _)| work.0)).collect()
    }

    #[test]
    fn an_account_begins_as_many_large_plans_as_can_use_the_workers() {
        let mut memory = Memory::new(2, 2048 * MIB);
        let begun = (0..90).filter(|work| admit(&mut memory, 1, *work, 27 * MIB)).count();
        assert_eq!((begun, memory.held()), (4, (4 * 27 * MIB, 86)));
        assert!(admit(&mut memory, 2, 100, 27 * MIB), "another account has its own");
        assert!(admit(&mut memory, 1, 101, 3 * MIB), "a smaller plan does not wait");
        assert_eq!(unparked(&mut memory), [0; 0]);
        memory.remove(ClientId(1), WorkId(2));
        assert_eq!(unparked(&mut memory), [4], "the first in turn takes the place");
        (0..102).for_each(|work| memory.remove(ClientId(1), WorkId(work)));
        assert_eq!(memory.held(), (0, 0));
    }

    #[test]
    fn small_plans_fit_beside_a_giant_and_are_bounded_too() {
        let mut memory = Memory::new(2, 2048 * MIB);
        assert!(admit(&mut memory, 1, 0, 2048 * MIB));
        assert!(!admit(&mut memory, 2, 1, 27 * MIB));
        let begun = (10..100).filter(|work| admit(&mut memory, 2, *work, 8 * MIB)).count();
        assert_eq!(begun, 4, "an account has 32 MiB of small plans");
        for account in 3..20 {
            admit(&mut memory, account, 1_000 + u64::from(account), 32 * 8 * MIB / 32);
        }
        assert!(memory.held().0 <= (2048 + 256) * MIB);
    }

    #[test]
    fn what_is_held_beside_the_plans_leaves_them_less_but_never_stops_all() {
        let mut memory = Memory::new(1, 100);
        memory.set_beside(30);
        assert!(admit(&mut memory, 1, 0, 40));
        assert!(!admit(&mut memory, 2, 1, 40), "together 110");
        memory.set_beside(20);
        assert_eq!(unparked(&mut memory), [1]);
        assert_eq!(memory.in_use(), (100, 0));
        memory.set_beside(1_000);
        assert!(!admit(&mut memory, 3, 2, 100));
        memory.remove(ClientId(1), WorkId(0));
        assert_eq!(unparked(&mut memory), [0; 0]);
        memory.remove(ClientId(2), WorkId(1));
        assert_eq!(unparked(&mut memory), [2], "alone, however much is held");
    }

    #[test]
    fn accounts_take_turns_where_the_memory_is_short() {
        let mut memory = Memory::new(1, 100);
        assert!(admit(&mut memory, 1, 0, 100));
        for work in 1..5 {
            assert!(!admit(&mut memory, 1, work, 100));
        }
        assert!(!admit(&mut memory, 2, 5, 100));
        memory.remove(ClientId(1), WorkId(0));
        let mut order = Vec::new();
        while let Some((work, _)) = memory.unpark() {
            order.push(work.0);
            memory.remove(ClientId(if work.0 == 5 { 2 } else { 1 }), work);
        }
        assert_eq!(order, [1, 5, 2, 3, 4]);
    }

    #[test]
    fn memory_of_a_job_counts_for_its_next_payer() {
        let mut memory = Memory::new(2, 2048 * MIB);
        for work in 0..5 {
            admit(&mut memory, 1, work, 27 * MIB);
        }
        memory.change_payer(WorkId(0), payer(1), payer(2));
        assert_eq!(unparked(&mut memory), [4]);
        assert_eq!(memory.held(), (5 * 27 * MIB, 0));
    }
}
