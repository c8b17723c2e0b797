//! Is a number prime? The plan: trial division, then the Baillie-PSW test, one bout of steps a slice.
//!
//! Does not know how the test works; see [`crate::primes::primality`].

use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::bpsw::{Lucas, Power, Test};
use crate::primes::primality::{is_prime_u128, large};
use crate::proto::Value;
use dashu_int::ops::BitTest;
use large::Large;
use std::sync::Arc;

const KIND: [u8; 4] = *b"ISPR";
const VERSION: u32 = 1;

/// Whether a number is prime; a number of any size. Numbers below 2^128 take one slice.
#[derive(Debug)]
pub struct IsPrime {
    n: Arc<Natural>,
    /// How far the test is; `None` while a slice is under way, which restarts from `saved`.
    stage: Option<Stage>,
    /// What `stage` was when it was last here.
    saved: Saved,
    progress: f64,
}

/// How far a test has come.
#[derive(Clone, Debug)]
enum Stage {
    /// Nothing done yet.
    Fresh,
    /// Past trial division.
    Testing(Arc<Large>, Test<Natural>),
    /// The verdict.
    Done(bool),
}

/// A stage without its arithmetic.
#[derive(Clone, Debug, PartialEq)]
enum Saved {
    Fresh,
    Testing(Test<Natural>),
}

/// A bout of steps.
#[derive(Debug)]
pub struct Slice {
    n: Arc<Natural>,
    stage: Stage,
}

/// How far the bout came.
#[derive(Debug)]
pub struct Partial(Stage);

impl IsPrime {
    /// Asks whether `n` is prime.
    pub fn new(n: Natural) -> Self {
        Self {
            n: Arc::new(n),
            stage: Some(Stage::Fresh),
            saved: Saved::Fresh,
            progress: 0.0,
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
        if let Some(Stage::Done(_)) = self.stage {
            return None;
        }
        let stage = self.stage.take()?;
        Some(Slice {
            n: Arc::clone(&self.n),
            stage,
        })
    }

    fn run(slice: Slice, budget: Budget<'_>) -> Partial {
        Partial(match slice.stage {
            Stage::Fresh => begin(&slice.n),
            Stage::Testing(large, test) => match large.advance(test, || budget.over()) {
                Test::Done(verdict) => Stage::Done(verdict),
                test => Stage::Testing(large, test),
            },
            Stage::Done(verdict) => Stage::Done(verdict),
        })
    }

    fn absorb(&mut self, partial: Partial) {
        match &partial.0 {
            Stage::Fresh => {}
            Stage::Testing(_, test) => {
                self.progress = self.progress.max(test.progress(bits(&self.n)));
                self.saved = Saved::Testing(test.clone());
            }
            Stage::Done(_) => self.progress = 1.0,
        }
        self.stage = Some(partial.0);
    }

    fn answer(&mut self) -> Option<Value> {
        match self.stage {
            Some(Stage::Done(verdict)) => Some(Value::Truth(verdict)),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, _workers: usize) -> u64 {
        // The number, its prepared reduction (three times its size), the elements of a test here, saved and under way, and scratch.
        16_384 + 32 * (self.n.bit_len() as u64 / 8)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.bytes(&self.n.to_le_bytes());
        save_stage(&mut writer, &self.saved);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let n = Natural::from_le_bytes(reader.bytes()?);
        let saved = load_stage(&mut reader, &n)?;
        reader.finish()?;
        let mut plan = Self::new(n);
        if let Saved::Testing(test) = &saved {
            plan.progress = test.progress(bits(&plan.n));
            plan.stage = Some(Stage::Testing(
                Arc::new(Large::new(Natural::clone(&plan.n))),
                test.clone(),
            ));
        }
        plan.saved = saved;
        Ok(plan)
    }
}

/// The first slice: all there is to do for up to 128 bits, trial division beyond.
fn begin(n: &Natural) -> Stage {
    if let Ok(n) = u128::try_from(n) {
        return Stage::Done(is_prime_u128(n));
    }
    // The longer the number, the more a test costs against a division. A few milliseconds at 10,000 digits.
    let limit = (4 * n.bit_len() as u64).min(1 << 16);
    if !n.bit(0) || large::has_small_factor(n, limit) {
        return Stage::Done(false);
    }
    let large = Large::new(n.clone());
    let test = large.start();
    Stage::Testing(Arc::new(large), test)
}

fn save_stage(writer: &mut Writer, saved: &Saved) {
    let element = |writer: &mut Writer, e: &Natural| {
        writer.bytes(&e.to_le_bytes());
    };
    match saved {
        Saved::Fresh | Saved::Testing(Test::Done(_)) => {
            writer.u64(0);
        }
        Saved::Testing(Test::Power(power)) => {
            writer.u64(1).u64(power.next.into());
            element(writer, &power.power);
        }
        Saved::Testing(Test::Lucas(lucas)) => {
            writer.u64(2).u64(lucas.next.into());
            for e in [&lucas.first, &lucas.w, &lucas.w_after] {
                element(writer, e);
            }
        }
    }
}

fn load_stage(reader: &mut Reader<'_>, n: &Natural) -> Result<Saved, Damaged> {
    let stage = reader.u64()?;
    if stage == 0 {
        return Ok(Saved::Fresh);
    }
    if n.bit_len() <= 128 || !n.bit(0) {
        return Err(Damaged::Impossible("number under test"));
    }
    let index = |reader: &mut Reader<'_>| match u32::try_from(reader.u64()?) {
        Ok(next) if next <= bits(n) => Ok(next),
        _ => Err(Damaged::Impossible("index")),
    };
    let element = |reader: &mut Reader<'_>| match Natural::from_le_bytes(reader.bytes()?) {
        e if e < *n => Ok(e),
        _ => Err(Damaged::Impossible("residue")),
    };
    match stage {
        1 => Ok(Saved::Testing(Test::Power(Power {
            next: index(reader)?,
            power: element(reader)?,
        }))),
        2 => {
            let next = index(reader)?;
            let (first, w, w_after) = (element(reader)?, element(reader)?, element(reader)?);
            Ok(Saved::Testing(Test::Lucas(Lucas {
                first,
                w,
                w_after,
                next,
            })))
        }
        _ => Err(Damaged::Impossible("stage")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;
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
        // F. Arnault, "Constructing Carmichael numbers which are strong pseudoprimes to several bases", J. Symb. Comp. 20 (1995),
        // section 5: p (313 (p - 1) + 1) (353 (p - 1) + 1), 397 digits.
        let p = "29674495668685510550154174642905332730771991799853043350995075531276838753171770199594238596428121188033664754218345562493168782883";
        let p: Natural = p.parse().expect("digits");
        let below: Natural = &p - 1u8;
        let n = &p * (&below * 313u32 + 1u8) * (below * 353u32 + 1u8);
        assert_eq!(ask(n), Value::Truth(false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_cut_and_any_checkpoint_give_the_whole(
            (exponent, more) in prop::sample::select(vec![(120, 79u32), (120, 81), (60, 7), (100, 267)]),
            rests in prop::collection::vec(0usize..400, 1..8),
            saves: u8,
        ) {
            let n = power_of_ten_plus(exponent, more);
            let mut plan = IsPrime::new(n.clone());
            let (mut turn, mut before) = (0, 0.0);
            let value = loop {
                if let Some(value) = Plan::answer(&mut plan) {
                    break value;
                }
                let left = std::cell::Cell::new(rests[turn % rests.len()]);
                let over = || { let now = left.get(); left.set(now.saturating_sub(1)); now == 0 };
                let slice = Plan::cut(&mut plan).expect("a slice");
                prop_assert!(Plan::cut(&mut plan).is_none());
                if saves >> (turn % 8) & 1 == 1 {
                    let mut resumed = IsPrime::restore(&Plan::save(&plan).expect("bytes")).expect("own bytes");
                    prop_assert_eq!(resumed.saved.clone(), plan.saved.clone());
                    plan = std::mem::replace(&mut resumed, IsPrime::new(n.clone()));
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
