//! The prime next to a number, of any size.
//!
//! Does not know how it is found: numbers of 128 bits have it at once ([`search`]), longer ones by a
//! [`Search`](super::nearest::Search). Start at [`Neighbour`].

use super::checkpoint::{Damaged, Reader, Writer};
use super::nearest::{self, Down, Search, Side, Up, direction};
use super::plan::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::search::{self, Direction};
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::sync::Arc;

const KIND: [u8; 4] = *b"NEAR";
const VERSION: u32 = 1;

/// The smallest prime above a number.
pub type Next = Neighbour<Up>;
/// The largest prime below a number, which must be above 2.
pub type Prev = Neighbour<Down>;

/// The prime next to a number, on one side.
#[derive(Debug)]
pub struct Neighbour<S> {
    n: Arc<Natural>,
    stage: Stage<S>,
}

#[derive(Debug)]
enum Stage<S> {
    /// The answer may have 128 bits at the most.
    Short,
    /// A slice finds it, or that it has more.
    Begun,
    Long(Search<S>),
    Done(Natural),
}

/// A step of the search.
#[derive(Debug)]
pub struct Slice(Work);

#[derive(Debug)]
enum Work {
    Short(Arc<Natural>),
    Long(nearest::Slice),
}

/// What a step found.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    Short(Option<Natural>),
    Long(nearest::Partial),
}

impl<S: Side> Neighbour<S> {
    /// Asks for the prime next to `n`. To the side of smaller numbers, `n` must be above 2.
    pub fn new(n: Natural) -> Self {
        let n = Arc::new(n);
        let stage = match n.bit_len() {
            ..=128 => Stage::Short,
            _ => Stage::Long(Search::new(Arc::clone(&n), 1, 1)),
        };
        Self { n, stage }
    }
}

/// The prime next to a number, if both have 128 bits at the most.
pub(super) fn at_once(n: &Natural, direction: Direction) -> Option<Natural> {
    let n = u128::try_from(n).ok()?;
    match direction {
        Direction::Up => search::next(n).map(Natural::from),
        Direction::Down => search::prev(n).map(Natural::from),
    }
}

impl<S: Side> Plan for Neighbour<S> {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        match &mut self.stage {
            Stage::Short => {
                self.stage = Stage::Begun;
                Some(Slice(Work::Short(Arc::clone(&self.n))))
            }
            Stage::Long(search) => Some(Slice(Work::Long(search.cut()?))),
            Stage::Begun | Stage::Done(_) => None,
        }
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Short(n) => Found::Short(at_once(&n, direction::<S>())),
            Work::Long(slice) => Found::Long(Search::<S>::run(slice, budget)),
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match (found, &mut self.stage) {
            (Found::Short(Some(prime)), _) => self.stage = Stage::Done(prime),
            (Found::Short(None), _) => self.stage = Stage::Long(Search::new(Arc::clone(&self.n), 1, 1)),
            (Found::Long(partial), Stage::Long(search)) => {
                if let Some(prime) = search.absorb(partial).pop() {
                    self.stage = Stage::Done(prime);
                }
            }
            // Bouts that began before the answer was known.
            (Found::Long(_), _) => {}
        }
    }

    fn answer(&mut self) -> Option<Value> {
        match &self.stage {
            Stage::Done(prime) => Some(Value::Number(prime.clone())),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        match &self.stage {
            Stage::Short | Stage::Begun => 0.0,
            Stage::Long(search) => search.progress(),
            Stage::Done(_) => 1.0,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        Search::<S>::memory(&self.n, 1, workers)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let [from, tested] = match &self.stage {
            Stage::Long(search) if self.n.bit_len() > 128 => search.state(),
            _ => [1, 0],
        };
        let mut writer = Writer::new(KIND, VERSION);
        writer.u64(S::UP.into()).u64(from).u64(tested).natural(&self.n);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        if reader.u64()? != u64::from(S::UP) {
            return Err(Damaged::Kind);
        }
        let state @ [from, tested] = [reader.u64()?, reader.u64()?];
        let n = reader.natural()?;
        reader.finish()?;
        if !S::UP && n <= Natural::from(2u8) {
            return Err(Damaged::Impossible("number"));
        }
        // Far beyond any gap that a search will ever cross, and far from the end of a word.
        const FAR: u64 = 1 << 48;
        if from == 0 || from > FAR || tested > FAR || (n.bit_len() <= 128 && from > 1) {
            return Err(Damaged::Impossible("distance"));
        }
        let mut plan = Self::new(n);
        if let Stage::Long(search) = &mut plan.stage {
            *search = Search::resumed(Arc::clone(&plan.n), 1, state);
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;
    use proptest::prelude::*;

    fn next(n: Natural) -> Value {
        run_to_end(&mut Next::new(n))
    }

    fn prev(n: Natural) -> Value {
        run_to_end(&mut Prev::new(n))
    }

    fn power_of_ten(exponent: usize) -> Natural {
        Natural::from(10u8).pow(exponent)
    }

    #[test]
    fn edges() {
        for (n, above) in [(0u64, 2u64), (1, 2), (2, 3), (13, 17), (114, 127)] {
            assert_eq!(next(n.into()), above.into());
        }
        for (n, below) in [
            (3u64, 2u64),
            (4, 3),
            (5, 3),
            (127, 113),
            (18_446_744_073_709_551_557, 18_446_744_073_709_551_533),
        ] {
            assert_eq!(prev(n.into()), below.into());
        }
        // A013597 and A013603: 2^k + 13 and 2^k - 59 for k = 64, + 51 and - 159 for k = 128.
        let double = Natural::ONE << 128;
        assert_eq!(next(&double - 159u8), Value::Number(&double + 51u8));
        assert_eq!(prev(&double + 51u8), Value::Number(&double - 159u8));
        assert_eq!(
            next((Natural::ONE << 64) - 59u8),
            Value::Number((Natural::ONE << 64) + 13u8)
        );
    }

    #[test]
    fn neighbours_of_powers_of_ten() {
        // A033873: 10^k + a is the next prime; A033874: 10^k - b the previous one; as PARI's nextprime and precprime
        // say too.
        for (k, a, b) in [(40, 121u32, 17u32), (60, 7, 161), (99, 289, 621), (100, 267, 797)] {
            assert_eq!(next(power_of_ten(k)), Value::Number(power_of_ten(k) + a), "10^{k}");
            assert_eq!(prev(power_of_ten(k)), Value::Number(power_of_ten(k) - b), "10^{k}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn several_slices_out_and_checkpoints_give_the_same_prime(
            offset: u64, hands in 1usize..5, order in any::<prop::sample::Index>(), rest in 0usize..600, save_every in 2usize..9,
        ) {
            let n = power_of_ten(60) + offset;
            let expected = next(n.clone());
            let mut plan = Next::new(n);
            let (mut out, mut turn, mut before) = (Vec::new(), 0, 0.0);
            while Plan::answer(&mut plan).is_none() {
                while out.len() < hands {
                    let Some(slice) = Plan::cut(&mut plan) else { break };
                    out.push(slice);
                }
                let left = std::cell::Cell::new(rest);
                let over = || { let now = left.get(); left.set(now.saturating_sub(1)); now == 0 };
                let slice = out.swap_remove(order.index(out.len()));
                Plan::absorb(&mut plan, Next::run(slice, Budget::new(&over)));
                prop_assert!(plan.progress() >= before && plan.progress() <= 1.0);
                before = plan.progress();
                turn += 1;
                if turn % save_every == 0 && turn < 40 && Plan::answer(&mut plan).is_none() {
                    plan = Next::restore(&Plan::save(&plan).expect("bytes")).expect("own bytes");
                    out.clear();
                }
            }
            prop_assert_eq!(Plan::answer(&mut plan), Some(expected));
        }
    }
}
