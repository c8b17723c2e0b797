//! The parts of one plan that other machines work on: each has a number, is absorbed once, and may be taken back. Knows
//! no machine.

use crate::job::{AnyPlan, Damaged};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nanoseconds of work of a part, unless little is left.
const COST: f64 = 1e9;

/// The least that is worth being sent.
const LEAST: f64 = 50e6;

/// How many parts each machine's worker is to get of what is left: the last ones are short, so that nobody waits long
/// for another.
const SHARES: f64 = 4.0;

/// How long after a part was cut it is known whether a machine has begun it: a machine says so as soon as it takes one.
const GRACE: Duration = Duration::from_millis(300);

/// A part that was begun elsewhere takes this many times the work that it is, at the most, before it is done here.
const PATIENCE: u32 = 3;

/// The parts of a plan that are under way.
#[derive(Default)]
pub(super) struct Parts {
    next: u64,
    under_way: BTreeMap<u64, UnderWay>,
    /// The plan gave none, and nothing has been absorbed since.
    has_none: bool,
    /// One was taken back because nothing else was left to do here: no more are cut until all others are back.
    is_ending: bool,
    /// How many are begun at once elsewhere, at the most.
    busy: usize,
    /// The machines whose results were absorbed.
    contributors: BTreeSet<String>,
}

/// A part that is not back.
struct UnderWay {
    bytes: Arc<[u8]>,
    cost: Duration,
    cut: Instant,
    /// When a machine first said that it works on it.
    begun: Option<Instant>,
}

impl UnderWay {
    /// When it is to be done here, if there is nothing else to do.
    fn due(&self) -> Instant {
        match self.begun {
            None => self.cut + GRACE,
            Some(begun) => begun + GRACE + PATIENCE * self.cost,
        }
    }
}

/// A part to be sent.
pub(super) struct Offer {
    pub(super) number: u64,
    pub(super) bytes: Arc<[u8]>,
}

/// Why a result is not absorbed.
#[derive(Debug, PartialEq)]
pub(super) enum PartFault {
    /// No such part is under way: it was absorbed or taken back before, or its plan is gone.
    Unknown,
    /// It cannot be the result.
    Damaged(Damaged),
    /// The plan panicked, or does not know a part that was cut from it: its answer would be without that part.
    Unusable,
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.under_way.keys().copied()
    }

    /// Whether a part may be there to be cut.
    pub(super) const fn may_cut(&self) -> bool {
        !self.has_none && !self.is_ending
    }

    /// Something was absorbed, after which there may be parts to be cut.
    pub(super) fn look_again(&mut self) {
        self.has_none = false;
        self.is_ending &= !self.under_way.is_empty();
    }

    pub(super) fn has_contributor(&self, node: &str) -> bool {
        self.contributors.contains(node)
    }

    /// Cuts the next part of a plan that has taken this CPU time, where `busy` workers of other machines work at once.
    pub(super) fn cut(&mut self, plan: &mut dyn AnyPlan, cpu: Duration, busy: usize, now: Instant) -> Option<Offer> {
        self.busy = busy;
        let done = plan.progress();
        let left = cpu.as_secs_f64() * 1e9 * (1.0 - done) / done;
        let share = left / (SHARES * (busy + 1) as f64);
        let cost = if done > 0.0 { share.clamp(LEAST, COST) } else { COST };
        let part = plan.cut_part(cost);
        self.has_none = part.is_none();
        let bytes: Arc<[u8]> = part?.into();
        self.next += 1;
        let part = UnderWay {
            bytes: bytes.clone(),
            cost: Duration::from_nanos(cost as u64),
            cut: now,
            begun: None,
        };
        self.under_way.insert(self.next, part);
        Some(Offer {
            number: self.next,
            bytes,
        })
    }

    /// A machine works on a part.
    pub(super) fn begun(&mut self, number: u64, now: Instant) {
        if let Some(part) = self.under_way.get_mut(&number) {
            part.begun.get_or_insert(now);
        }
    }

    /// Takes in what a part came to; one that cannot be right is taken back.
    pub(super) fn absorb(
        &mut self,
        plan: &mut dyn AnyPlan,
        number: u64,
        result: &[u8],
        node: &str,
    ) -> Result<(), PartFault> {
        let part = self.under_way.remove(&number).ok_or(PartFault::Unknown)?.bytes;
        self.look_again();
        if let Err(damaged) = plan.absorb_part(&part, result) {
            return Err(match plan.take_back(&part) {
                Ok(()) => PartFault::Damaged(damaged),
                Err(_) => PartFault::Unusable,
            });
        }
        if !self.contributors.contains(node) {
            self.contributors.insert(node.to_owned());
        }
        Ok(())
    }

    /// Takes back a part.
    pub(super) fn take_back(&mut self, plan: &mut dyn AnyPlan, number: u64) -> Result<(), PartFault> {
        let part = self.under_way.remove(&number).ok_or(PartFault::Unknown)?;
        self.look_again();
        plan.take_back(&part.bytes).map_err(|_| PartFault::Unusable)
    }

    /// Takes back a part, where nothing else is left to do: the latest that nobody has begun, or the first that takes
    /// too long where it was begun. `Err`: none until this moment.
    pub(super) fn take_back_idle(&mut self, plan: &mut dyn AnyPlan, now: Instant) -> Result<u64, Option<Instant>> {
        let begun = self.under_way.values().filter(|part| part.begun.is_some()).count();
        let unbegun = self.under_way.len() - begun;
        // Of more than workers can have begun, the latest need not be waited for.
        let is_excess = unbegun > self.busy.saturating_sub(begun);
        let latest = self.under_way.iter().rev();
        let mut unbegun = latest.filter(|(_, part)| part.begun.is_none() && (is_excess || part.due() <= now));
        let late = || self.under_way.iter().find(|(_, part)| part.due() <= now);
        let Some((&number, _)) = unbegun.next().or_else(late) else {
            return Err(self.under_way.values().map(UnderWay::due).min());
        };
        self.is_ending = true;
        // A panic here ends the job.
        self.take_back(plan, number)
            .expect("a part that was cut can be taken back");
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Budget, Method, Query, restore, run_to_end};

    fn plan() -> Box<dyn AnyPlan> {
        let query = Query::Count {
            low: 1 << 40,
            last: (1 << 40) + 2_000_000_000,
            method: Method::Sieve,
        };
        query.plan()
    }

    /// What a part comes to on another machine.
    fn done_elsewhere(part: &[u8]) -> Vec<u8> {
        let mut plan = restore(part).expect("it was cut from a plan of this question");
        run_to_end(&mut *plan);
        plan.result().expect("it has its answer")
    }

    fn is_damaged(result: Result<(), PartFault>) -> bool {
        matches!(result, Err(PartFault::Damaged(_)))
    }

    #[test]
    fn a_part_is_absorbed_once_and_what_is_lost_or_damaged_is_done_here() {
        let (mut plan, mut whole) = (plan(), plan());
        let mut parts = Parts::default();
        let offers = parts_of(&mut parts, &mut *plan, 4, Instant::now());
        let results: Vec<Vec<u8>> = offers.iter().map(|offer| done_elsewhere(&offer.bytes)).collect();
        let absorb = |parts: &mut Parts, plan: &mut dyn AnyPlan, index: usize, result: &[u8]| {
            parts.absorb(plan, offers[index].number, result, "b")
        };
        assert_eq!(absorb(&mut parts, &mut *plan, 1, &results[1]), Ok(()));
        assert_eq!(absorb(&mut parts, &mut *plan, 1, &results[1]), Err(PartFault::Unknown));
        assert!(is_damaged(absorb(&mut parts, &mut *plan, 2, b"no result")));
        assert_eq!(absorb(&mut parts, &mut *plan, 2, &results[2]), Err(PartFault::Unknown));
        assert_eq!(parts.take_back(&mut *plan, offers[3].number), Ok(()));
        assert_eq!(absorb(&mut parts, &mut *plan, 0, &results[0]), Ok(()));
        assert!(parts.is_empty() && parts.has_contributor("b") && !parts.has_contributor("c"));
        assert_eq!(run_to_end(&mut *plan), run_to_end(&mut *whole));
    }

    /// Parts that are cut where one worker of another machine is free.
    fn parts_of(parts: &mut Parts, plan: &mut dyn AnyPlan, count: usize, now: Instant) -> Vec<Offer> {
        // The first slices show how long it takes: so little that the shortest parts are cut.
        while plan.progress() == 0.0 {
            let slice = plan.cut().expect("it has just begun");
            plan.absorb(slice(Budget::unlimited()));
        }
        let offers = (0..count).map(|_| parts.cut(plan, Duration::from_micros(1), 1, now));
        let offers: Vec<Offer> = offers.flatten().collect();
        assert_eq!(offers.len(), count, "there is enough to cut");
        offers
    }

    fn cut_all_here(plan: &mut dyn AnyPlan) {
        while let Some(slice) = plan.cut() {
            plan.absorb(slice(Budget::unlimited()));
        }
    }

    #[test]
    fn parts_that_nobody_can_have_begun_are_taken_back_at_the_end_and_not_cut_again() {
        let (mut plan, mut whole, now) = (plan(), plan(), Instant::now());
        let mut parts = Parts::default();
        let offers = parts_of(&mut parts, &mut *plan, 3, now);
        cut_all_here(&mut *plan);
        assert_eq!(parts.take_back_idle(&mut *plan, now), Ok(offers[2].number));
        assert!(!parts.may_cut(), "it would go to and fro");
        assert_eq!(parts.take_back_idle(&mut *plan, now), Ok(offers[1].number));
        assert_eq!(
            parts.take_back_idle(&mut *plan, now),
            Err(Some(now + GRACE)),
            "one worker may have begun the first"
        );
        let result = done_elsewhere(&offers[0].bytes);
        assert_eq!(parts.absorb(&mut *plan, offers[0].number, &result, "b"), Ok(()));
        assert!(parts.may_cut());
        assert_eq!(run_to_end(&mut *plan), run_to_end(&mut *whole));
    }

    #[test]
    fn a_part_that_nobody_begins_is_done_here_once_the_others_had_time_to_say_so() {
        let (mut plan, mut whole, now) = (plan(), plan(), Instant::now());
        let mut parts = Parts::default();
        let offers = parts_of(&mut parts, &mut *plan, 1, now);
        cut_all_here(&mut *plan);
        let just_before = now + GRACE - Duration::from_nanos(1);
        assert_eq!(parts.take_back_idle(&mut *plan, just_before), Err(Some(now + GRACE)));
        assert_eq!(parts.take_back_idle(&mut *plan, now + GRACE), Ok(offers[0].number));
        assert_eq!(parts.take_back_idle(&mut *plan, now + GRACE), Err(None));
        assert_eq!(run_to_end(&mut *plan), run_to_end(&mut *whole));
    }

    #[test]
    fn a_part_that_was_begun_is_waited_for_as_long_as_it_may_take_and_then_done_here() {
        let (mut plan, mut whole, now) = (plan(), plan(), Instant::now());
        let mut parts = Parts::default();
        let offers = parts_of(&mut parts, &mut *plan, 2, now);
        cut_all_here(&mut *plan);
        let later = now + GRACE / 2;
        parts.begun(offers[0].number, later);
        assert_eq!(
            parts.take_back_idle(&mut *plan, later),
            Ok(offers[1].number),
            "the one worker that is free has the first"
        );
        let due = later + GRACE + PATIENCE * Duration::from_nanos(LEAST as u64);
        // It is said again and again while it is worked on.
        parts.begun(offers[0].number, now + GRACE);
        assert_eq!(parts.take_back_idle(&mut *plan, now + GRACE), Err(Some(due)));
        assert_eq!(parts.take_back_idle(&mut *plan, due), Ok(offers[0].number));
        let result = done_elsewhere(&offers[0].bytes);
        let absorbed = parts.absorb(&mut *plan, offers[0].number, &result, "b");
        assert_eq!(absorbed, Err(PartFault::Unknown), "it comes too late");
        assert_eq!(run_to_end(&mut *plan), run_to_end(&mut *whole));
    }
}
