//! Is a number prime? The plan: trial division, then the Baillie-PSW test, one bout of steps a slice; the two stages of
//! a long test at once.
//!
//! Does not know how the test works; see [`crate::primes::primality`].

use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::bpsw::{Lucas, POWER_SHARE, Power, Test};
use crate::primes::primality::{is_prime_u128, large};
use crate::proto::Value;
use dashu_int::ops::BitTest;
use large::{Large, Residue};
use std::sync::Arc;

const KIND: [u8; 4] = *b"ISPR";
const VERSION: u32 = 2;

/// From this many bits on, both stages of a test are offered at once: the second is in vain for a composite, but a
/// prime is known in two thirds of the time.
const SPLIT_BITS: usize = 2048;

/// Whether a number is prime; a number of any size. Numbers below 2^128 take one slice.
#[derive(Debug)]
pub struct IsPrime {
    n: Arc<Natural>,
    stage: Stage,
    /// Whether both stages of the test may be under way at once.
    is_split: bool,
    progress: f64,
}

/// How far a test has come.
#[derive(Debug)]
enum Stage {
    /// Nothing done yet.
    Fresh,
    /// Trial division is under way.
    Begun,
    /// Past trial division: a chain for the whole test, or one for each of its stages.
    Testing(Arc<Large>, Vec<Chain>),
    /// The verdict.
    Done(bool),
}

/// A row of steps, each of which needs the one before.
#[derive(Debug)]
struct Chain {
    /// How far it is; `None` while a slice is under way.
    here: Option<Test<Residue>>,
    /// What that was when it was last here: a checkpoint restarts from it.
    saved: Test<Residue>,
}

impl Chain {
    fn new(test: Test<Residue>) -> Self {
        Self {
            here: Some(test.clone()),
            saved: test,
        }
    }
}

/// A bout of steps.
#[derive(Debug)]
pub struct Slice(Work);

#[derive(Debug)]
enum Work {
    Begin { n: Arc<Natural>, is_split: bool },
    Test(Arc<Large>, usize, Test<Residue>),
}

/// How far the bout came.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    Begun(Stage),
    Test(usize, Test<Residue>),
}

impl IsPrime {
    /// Asks whether `n` is prime.
    pub fn new(n: Natural) -> Self {
        Self {
            is_split: n.bit_len() >= SPLIT_BITS,
            n: Arc::new(n),
            stage: Stage::Fresh,
            progress: 0.0,
        }
    }

    /// The same, one stage after the other: for one of many tests, which keep the workers busy without work that may be
    /// in vain.
    pub(super) fn in_order(n: Natural) -> Self {
        Self {
            is_split: false,
            ..Self::new(n)
        }
    }

    /// The same [in order](Self::in_order), if it has not begun.
    pub(super) fn in_order_unless_begun(mut self) -> Self {
        self.is_split &= !matches!(self.stage, Stage::Fresh);
        self
    }

    fn share(&self) -> f64 {
        let bits = bits(&self.n);
        match &self.stage {
            Stage::Fresh | Stage::Begun => 0.0,
            Stage::Done(_) => 1.0,
            Stage::Testing(_, chains) => match chains.as_slice() {
                [first, second] => {
                    first.saved.progress(bits).min(POWER_SHARE) + second.saved.progress(bits) - POWER_SHARE
                }
                chains => chains.iter().map(|chain| chain.saved.progress(bits)).sum(),
            },
        }
    }
}

fn bits(n: &Natural) -> u32 {
    u32::try_from(n.bit_len()).expect("a number in memory has fewer than 2^32 bits")
}

impl Plan for IsPrime {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        match &mut self.stage {
            Stage::Fresh => {
                self.stage = Stage::Begun;
                let (n, is_split) = (Arc::clone(&self.n), self.is_split);
                Some(Slice(Work::Begin { n, is_split }))
            }
            Stage::Testing(large, chains) => {
                // The first stage comes first: it alone finds almost all composites, so a worker that is alone does
                // nothing in vain.
                let mut chains = chains.iter_mut().enumerate();
                let waiting =
                    chains.find(|(_, chain)| matches!(&chain.here, Some(test) if !matches!(test, Test::Done(_))));
                let (index, chain) = waiting?;
                Some(Slice(Work::Test(Arc::clone(large), index, chain.here.take()?)))
            }
            Stage::Begun | Stage::Done(_) => None,
        }
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Begin { n, is_split } => Found::Begun(begin(&n, is_split)),
            Work::Test(large, index, test) => Found::Test(index, large.advance(test, || budget.over())),
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match (found, &mut self.stage) {
            (Found::Begun(stage), Stage::Begun) => self.stage = stage,
            (Found::Test(_, Test::Done(false)), Stage::Testing(..)) => self.stage = Stage::Done(false),
            (Found::Test(index, test), Stage::Testing(_, chains)) => {
                chains[index] = Chain::new(test);
                if chains.iter().all(|chain| chain.saved == Test::Done(true)) {
                    self.stage = Stage::Done(true);
                }
            }
            // The other stage had the verdict.
            _ => {}
        }
        self.progress = self.progress.max(self.share());
    }

    fn answer(&mut self) -> Option<Value> {
        match self.stage {
            Stage::Done(verdict) => Some(Value::Truth(verdict)),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, _workers: usize) -> u64 {
        // The number, its prepared reduction, the four residues of both stages here and saved, and room for products of
        // each. As digits all of them are up to five times as long as the number.
        16_384 + 176 * (self.n.bit_len() as u64 / 8)
    }

    fn is_speculative(&self) -> bool {
        self.is_split
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.natural(&self.n);
        match &self.stage {
            Stage::Testing(large, chains) => {
                writer.u64(chains.len() as u64);
                for chain in chains {
                    save_test(&mut writer, &large.numbers(chain.saved.clone()));
                }
            }
            Stage::Fresh | Stage::Begun | Stage::Done(_) => {
                writer.u64(0);
            }
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let n = reader.natural()?;
        let mut tests = Vec::new();
        for _ in 0..reader.u64()? {
            tests.push(load_test(&mut reader, &n)?);
        }
        reader.finish()?;
        let mut plan = Self::new(n);
        plan.is_split = match tests.as_slice() {
            [] => return Ok(plan),
            [Test::Power(_) | Test::Lucas(_)] => false,
            [
                Test::PowerAlone(_),
                Test::LucasFirst | Test::Lucas(_) | Test::Done(true),
            ]
            | [Test::Done(true), Test::LucasFirst | Test::Lucas(_)] => true,
            _ => return Err(Damaged::Impossible("stages")),
        };
        let large = Large::new(Natural::clone(&plan.n));
        let chains = tests.into_iter().map(|test| Chain::new(large.resume(test))).collect();
        plan.stage = Stage::Testing(Arc::new(large), chains);
        plan.progress = plan.share();
        Ok(plan)
    }
}

/// The first slice: all there is to do for up to 128 bits, trial division beyond.
fn begin(n: &Natural, is_split: bool) -> Stage {
    if let Ok(n) = u128::try_from(n) {
        return Stage::Done(is_prime_u128(n));
    }
    // The longer the number, the more a test costs against a division. A few milliseconds at 10,000 digits.
    let limit = (4 * n.bit_len() as u64).min(1 << 16);
    if large::has_small_factor(n, limit) {
        return Stage::Done(false);
    }
    let large = Large::new(n.clone());
    let test = large.start();
    let chains = match is_split {
        false => vec![Chain::new(test)],
        true => test.split().map(Chain::new).into(),
    };
    Stage::Testing(Arc::new(large), chains)
}

/// Writes a test whose verdict is not `false`: that one ends the plan.
fn save_test(writer: &mut Writer, test: &Test<Natural>) {
    let (kind, next, elements): (u64, u32, &[&Natural]) = match test {
        Test::Power(power) => (1, power.next, &[&power.power]),
        Test::Lucas(lucas) => (2, lucas.next, &[&lucas.first, &lucas.w, &lucas.w_after]),
        Test::PowerAlone(power) => (3, power.next, &[&power.power]),
        Test::LucasFirst => (4, 0, &[]),
        Test::Done(_) => (5, 0, &[]),
    };
    writer.u64(kind).u64(next.into());
    for element in elements {
        writer.natural(element);
    }
}

fn load_test(reader: &mut Reader<'_>, n: &Natural) -> Result<Test<Natural>, Damaged> {
    if n.bit_len() <= 128 || !n.bit(0) {
        return Err(Damaged::Impossible("number under test"));
    }
    let kind = reader.u64()?;
    let next = match u32::try_from(reader.u64()?) {
        Ok(next) if next <= bits(n) => next,
        _ => return Err(Damaged::Impossible("index")),
    };
    let mut element = || match reader.natural()? {
        e if e < *n => Ok(e),
        _ => Err(Damaged::Impossible("residue")),
    };
    Ok(match kind {
        1 => Test::Power(Power {
            next,
            power: element()?,
        }),
        2 => Test::Lucas(Lucas {
            first: element()?,
            w: element()?,
            w_after: element()?,
            next,
        }),
        3 => Test::PowerAlone(Power {
            next,
            power: element()?,
        }),
        4 => Test::LucasFirst,
        5 => Test::Done(true),
        _ => return Err(Damaged::Impossible("stage")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};
    use proptest::prelude::*;

    fn power_of_ten_plus(exponent: usize, more: u32) -> Natural {
        Natural::from(10u8).pow(exponent) + more
    }

    fn ask(n: Natural) -> Value {
        run_to_end(&mut IsPrime::new(n))
    }

    #[test]
    fn edges() {
        for (n, prime) in [
            (0u128, false),
            (1, false),
            (2, true),
            (3, true),
            (4, false),
            ((1 << 127) - 1, true),
        ] {
            assert_eq!(ask(Natural::from(n)), Value::Truth(prime), "{n}");
        }
        // 2^128 + 51 is the smallest prime above 2^128 (A013597), 2^128 - 159 the largest below (A013603).
        let edge = Natural::ONE << 128;
        assert_eq!(ask(&edge + 51u8), Value::Truth(true));
        assert_eq!(ask(&edge - 159u8), Value::Truth(true));
        for n in [edge.clone(), &edge + 49u8, &edge - 157u8] {
            assert_eq!(ask(n), Value::Truth(false));
        }
    }

    #[test]
    fn arnaults_pseudoprime_to_every_base_below_307_is_composite() {
        // F. Arnault, "Constructing Carmichael numbers which are strong pseudoprimes to several bases", J. Symb. Comp.
        // 20 (1995), section 5: p (313 (p - 1) + 1) (353 (p - 1) + 1), 397 digits.
        let p = "29674495668685510550154174642905332730771991799853043350995075531276838753171770199594238596428121188033664754218345562493168782883";
        let p: Natural = p.parse().expect("digits");
        let below: Natural = &p - 1u8;
        let n = &p * (&below * 313u32 + 1u8) * (below * 353u32 + 1u8);
        assert_eq!(ask(n), Value::Truth(false));
    }

    fn saved(plan: &IsPrime) -> Vec<Test<Residue>> {
        match &plan.stage {
            Stage::Testing(_, chains) => chains.iter().map(|chain| chain.saved.clone()).collect(),
            _ => Vec::new(),
        }
    }

    fn in_two_stages(n: &Natural) -> IsPrime {
        IsPrime {
            is_split: true,
            ..IsPrime::new(n.clone())
        }
    }

    /// Two primes by PARI's `isprime`, a multiple of 41, and a composite without a factor below 10^4.
    #[test]
    fn both_stages_at_once_are_the_same_however_they_are_cut() {
        for (exponent, more, is_prime) in [(120, 79u32, true), (120, 81, false), (60, 7, true), (100, 271, false)] {
            let n = power_of_ten_plus(exponent, more);
            assert_eq!(exercise(|| in_two_stages(&n)), is_prime.into(), "10^{exponent}+{more}");
        }
    }

    /// Two slices are there for two workers, and one worker does not begin the second stage before the first is over.
    #[test]
    fn a_second_worker_gets_the_second_stage() {
        let n = power_of_ten_plus(120, 79);
        let mut plan = in_two_stages(&n);
        let begin = Plan::cut(&mut plan).expect("a slice");
        assert!(Plan::cut(&mut plan).is_none());
        Plan::absorb(&mut plan, IsPrime::run(begin, Budget::unlimited()));
        let (first, second) = (Plan::cut(&mut plan), Plan::cut(&mut plan));
        let (first, second) = (first.expect("a slice"), second.expect("another"));
        assert!(Plan::cut(&mut plan).is_none());
        assert!(matches!(first.0, Work::Test(_, 0, Test::PowerAlone(_))));
        assert!(matches!(second.0, Work::Test(_, 1, Test::LucasFirst)));
        Plan::absorb(&mut plan, IsPrime::run(first, Budget::new(&|| true)));
        let next = Plan::cut(&mut plan).expect("a slice");
        assert!(matches!(next.0, Work::Test(_, 0, _)));
        Plan::absorb(&mut plan, IsPrime::run(next, Budget::unlimited()));
        assert!(Plan::answer(&mut plan).is_none() && Plan::cut(&mut plan).is_none());
        Plan::absorb(&mut plan, IsPrime::run(second, Budget::unlimited()));
        assert_eq!(Plan::answer(&mut plan), Some(true.into()));
    }

    /// The slice of the other stage comes back to a plan that has its verdict.
    #[test]
    fn the_first_stage_that_finds_a_composite_ends_the_plan() {
        let mut plan = in_two_stages(&power_of_ten_plus(100, 271));
        let begin = Plan::cut(&mut plan).expect("a slice");
        Plan::absorb(&mut plan, IsPrime::run(begin, Budget::unlimited()));
        let (first, second) = (Plan::cut(&mut plan), Plan::cut(&mut plan));
        let (first, second) = (first.expect("a slice"), second.expect("another"));
        Plan::absorb(&mut plan, IsPrime::run(first, Budget::unlimited()));
        assert!(Plan::cut(&mut plan).is_none());
        assert_eq!((Plan::answer(&mut plan), plan.progress()), (Some(false.into()), 1.0));
        Plan::absorb(&mut plan, IsPrime::run(second, Budget::new(&|| true)));
        assert_eq!(Plan::answer(&mut plan), Some(false.into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_cut_and_any_checkpoint_give_the_whole(
            (exponent, more) in prop::sample::select(vec![(120, 79u32), (120, 81), (60, 7), (100, 267)]),
            rests in prop::collection::vec(0usize..400, 1..8),
            saves: u8,
            is_split: bool,
        ) {
            let n = power_of_ten_plus(exponent, more);
            let fresh = || IsPrime { is_split, ..IsPrime::new(n.clone()) };
            let mut plan = fresh();
            let (mut turn, mut before) = (0, 0.0);
            let value = loop {
                if let Some(value) = Plan::answer(&mut plan) {
                    break value;
                }
                let left = std::cell::Cell::new(rests[turn % rests.len()]);
                let over = || { let now = left.get(); left.set(now.saturating_sub(1)); now == 0 };
                let slice = Plan::cut(&mut plan).expect("a slice");
                if saves >> (turn % 8) & 1 == 1 {
                    let mut resumed = IsPrime::restore(&Plan::save(&plan).expect("bytes")).expect("own bytes");
                    prop_assert_eq!(saved(&resumed), saved(&plan));
                    plan = std::mem::replace(&mut resumed, fresh());
                    drop(slice);
                    let slice = Plan::cut(&mut plan).expect("a slice");
                    Plan::absorb(&mut plan, IsPrime::run(slice, Budget::new(&over)));
                } else {
                    Plan::absorb(&mut plan, IsPrime::run(slice, Budget::new(&over)));
                }
                prop_assert!(plan.progress() >= before && plan.progress() <= 1.0);
                before = plan.progress();
                turn += 1;
            };
            prop_assert_eq!(value, ask(n));
        }

        #[test]
        fn broken_checkpoints_are_refused_without_a_panic(at in 0usize..600, bit in 0u8..8, cut in 0usize..600) {
            let mut plan = IsPrime::new(power_of_ten_plus(120, 79));
            for _ in 0..40 {
                let slice = Plan::cut(&mut plan).expect("a slice");
                Plan::absorb(&mut plan, IsPrime::run(slice, Budget::new(&|| true)));
            }
            let mut bytes = Plan::save(&plan).expect("bytes");
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = IsPrime::restore(&bytes);
            prop_assert!(IsPrime::restore(&bytes[..cut.min(bytes.len() - 1)]).is_err());
        }
    }
}
