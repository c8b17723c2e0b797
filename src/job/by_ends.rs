//! The plan of a range by what the numbers up to its two ends come to: that up to `last` less that up to `low - 1`.
//!
//! Knows neither what is added up nor how: slices and parts are those of two plans, each [`UpTo`] a number.

use super::plan::LONG;
use super::{Budget, Damaged, Plan, Reader, Shared, Writer};
use crate::proto::Value;

/// A plan of what the primes up to a number come to.
pub trait UpTo: Plan {
    /// The kind and version of the checkpoints of a range.
    const RANGE: ([u8; 4], u32);
    /// The largest number.
    const MOST: u128;

    /// The plan up to `x`, which is no more than [`MOST`](Self::MOST).
    fn up_to(x: u128) -> Self;
    /// What it comes to up to `x` if that is too small for a plan.
    fn at_once(_x: u128) -> Option<u128> {
        None
    }
    /// What the plan costs, in nanoseconds on the machine where it was measured.
    fn cost(x: u128) -> f64;
    /// What it comes to, once every slice is absorbed.
    fn total(&self) -> Option<u128>;
    /// The plan of a checkpoint of the one up to `x`.
    ///
    /// # Errors
    /// [`Damaged`] if it is none, that of another number, or a part for another machine.
    fn restore_of(x: u128, bytes: &[u8]) -> Result<Self, Damaged>;
}

/// What the primes of a range come to, by those up to both ends.
#[derive(Debug)]
pub struct ByEnds<P> {
    /// The longer one first: that up to the last number.
    sides: [Side<P>; 2],
}

#[derive(Debug)]
struct Side<P> {
    x: u128,
    cost: f64,
    state: State<P>,
}

#[derive(Debug)]
enum State<P> {
    Working(Box<P>),
    Over(u128),
}

/// Which of the two plans a slice or partial belongs to.
type Which = usize;

/// A slice of one of the plans.
#[derive(Debug)]
pub struct Slice<S>(Which, S);

/// What a slice brings back.
#[derive(Debug)]
pub struct Partial<P>(Which, P);

impl<P: UpTo> Side<P> {
    fn new(x: u128) -> Self {
        let state = match P::at_once(x) {
            Some(total) => State::Over(total),
            None => State::Working(Box::new(P::up_to(x))),
        };
        Self::of(x, state)
    }

    fn of(x: u128, state: State<P>) -> Self {
        let cost = P::cost(x);
        Self { x, cost, state }
    }

    fn plan(&self) -> Option<&P> {
        match &self.state {
            State::Working(plan) => Some(plan),
            State::Over(_) => None,
        }
    }

    fn plan_mut(&mut self) -> Option<&mut P> {
        match &mut self.state {
            State::Working(plan) => Some(plan),
            State::Over(_) => None,
        }
    }

    const fn total(&self) -> Option<u128> {
        match self.state {
            State::Working(_) => None,
            State::Over(total) => Some(total),
        }
    }

    /// Keeps what the plan came to and no more, if all of it is absorbed.
    fn end(&mut self) {
        if let Some(total) = self.plan().and_then(P::total) {
            self.state = State::Over(total);
        }
    }

    fn save(&self, writer: &mut Writer) -> Option<()> {
        writer.u128(self.x);
        match &self.state {
            State::Working(plan) => writer.u64(0).bytes(&plan.save()?),
            State::Over(total) => writer.u64(1).u128(*total),
        };
        Some(())
    }

    fn restore(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let x = reader.u128()?;
        if x > P::MOST {
            return Err(Damaged::Impossible("end of a range"));
        }
        let state = match reader.u64()? {
            0 => State::Working(Box::new(P::restore_of(x, reader.bytes()?)?)),
            1 => State::Over(reader.u128()?),
            _ => return Err(Damaged::Impossible("state")),
        };
        Ok(Self::of(x, state))
    }
}

impl<P: UpTo> ByEnds<P> {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u128, last: u128) -> Self {
        let below = low.saturating_sub(1);
        Self {
            sides: [last.max(below), below].map(Side::new),
        }
    }

    /// The plans that are not over.
    fn plans(&self) -> impl Iterator<Item = &P> {
        self.sides.iter().filter_map(Side::plan)
    }

    fn plans_mut(&mut self) -> impl Iterator<Item = &mut P> {
        self.sides.iter_mut().filter_map(Side::plan_mut)
    }

    fn cost(&self) -> f64 {
        self.sides.iter().map(|side| side.cost).sum()
    }
}

impl<P: UpTo> Plan for ByEnds<P> {
    type Slice = Slice<P::Slice>;
    type Partial = Partial<P::Partial>;

    fn cut(&mut self) -> Option<Self::Slice> {
        let mut sides = self.sides.iter_mut().enumerate();
        sides.find_map(|(which, side)| Some(Slice(which, side.plan_mut()?.cut()?)))
    }

    fn run(Slice(which, slice): Self::Slice, budget: Budget<'_>) -> Self::Partial {
        Partial(which, P::run(slice, budget))
    }

    fn absorb(&mut self, Partial(which, partial): Self::Partial) {
        let side = &mut self.sides[which];
        if let Some(plan) = side.plan_mut() {
            plan.absorb(partial);
            side.end();
        }
    }

    fn answer(&mut self) -> Option<Value> {
        let [up_to, below] = &self.sides;
        Some(Value::Number((up_to.total()?.saturating_sub(below.total()?)).into()))
    }

    fn progress(&self) -> f64 {
        let done = |side: &Side<P>| side.plan().map_or(1.0, P::progress) * side.cost;
        self.sides.iter().map(done).sum::<f64>() / self.cost()
    }

    fn memory(&self, workers: usize) -> u64 {
        // Slices of the second plan are cut while the last ones of the first are under way.
        self.plans().map(|plan| plan.memory(workers)).sum()
    }

    fn is_long(&self) -> bool {
        self.cost() > LONG
    }

    fn save(&self) -> Option<Vec<u8>> {
        let (kind, version) = P::RANGE;
        let mut writer = Writer::new(kind, version);
        for side in &self.sides {
            side.save(&mut writer)?;
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let (kind, version) = P::RANGE;
        let mut reader = Reader::new(bytes, kind, version)?;
        let sides = [Side::restore(&mut reader)?, Side::restore(&mut reader)?];
        reader.finish()?;
        if sides[0].x < sides[1].x {
            return Err(Damaged::Impossible("range"));
        }
        Ok(Self { sides })
    }

    // Its parts are parts of the two plans: another machine needs to know no more.
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        self.plans_mut().find_map(|plan| plan.cut_part(cost))
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let mut refused = Damaged::Impossible("part");
        for side in &mut self.sides {
            match side.plan_mut().map(|plan| plan.absorb_part(part, result)) {
                Some(Ok(())) => {
                    side.end();
                    return Ok(());
                }
                Some(Err(damaged)) => refused = damaged,
                None => {}
            }
        }
        Err(refused)
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let is_taken = self.plans_mut().any(|plan| plan.take_back(part).is_ok());
        is_taken.then_some(()).ok_or(Damaged::Impossible("part"))
    }

    // Those of the first plan that is not over: parts of the other one come later, and make their own.
    fn needs_shared(&self) -> bool {
        self.plans().next().is_some_and(P::needs_shared)
    }

    fn shared(&self) -> Option<Shared> {
        self.plans().next()?.shared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::sum_to::SumTo;
    use crate::job::{Pi, run_to_end};

    fn parts_use_the_tables_of_their_range<P: UpTo>(low: u128, last: u128) {
        let mut plan = ByEnds::<P>::new(low, last);
        let work = |plan: &mut ByEnds<P>| {
            let slice = plan.cut().expect("nothing is under way");
            plan.absorb(ByEnds::<P>::run(slice, Budget::unlimited()));
        };
        while plan.needs_shared() {
            work(&mut plan);
        }
        let shared = plan.shared().expect("it has made its tables");
        let (mut there, part) = loop {
            let Some(part) = plan.cut_part(1e6) else {
                work(&mut plan);
                continue;
            };
            let there = P::restore(&part).expect("a part is a checkpoint");
            if there.needs_shared() {
                break (there, part);
            }
        };
        there.use_shared(&shared);
        assert!(!there.needs_shared());
        run_to_end(&mut there);
        let result = there.result().expect("it is done");
        assert_eq!(plan.absorb_part(&part, &result), Ok(()));
    }

    #[test]
    fn parts_of_a_range_need_no_tables_but_those_its_plan_has_made() {
        parts_use_the_tables_of_their_range::<Pi>(100_000_000_000, 1_000_000_000_000);
        parts_use_the_tables_of_their_range::<SumTo>(1_000_000_000, 100_000_000_000);
    }

    #[test]
    fn a_checkpoint_of_a_range_that_cannot_be_is_refused() {
        let (kind, version) = Pi::RANGE;
        let restored = |ends: [(u128, u64); 2]| {
            let mut writer = Writer::new(kind, version);
            for (x, state) in ends {
                writer.u128(x).u64(state).u128(4);
            }
            ByEnds::<Pi>::restore(&writer.finish()).map(|_| ())
        };
        assert_eq!(restored([(10, 1), (7, 1)]), Ok(()));
        assert_eq!(restored([(7, 1), (10, 1)]), Err(Damaged::Impossible("range")));
        assert_eq!(restored([(10, 1), (7, 2)]), Err(Damaged::Impossible("state")));
        let too_large = restored([(Pi::MOST + 1, 1), (7, 1)]);
        assert_eq!(too_large, Err(Damaged::Impossible("end of a range")));
    }
}
