//! `totient sigma moebius radical`: functions of a number that its prime factors give at once.
//!
//! Knows nothing of how factors are found ([`Factor`]) or of the formulas ([`multiplicative`]).

use super::{Budget, Damaged, Factor, Plan, Reader, Shared, Writer};
use crate::primes::Natural;
use crate::primes::multiplicative::{self, moebius, powers, radical, sigma, totient};
use crate::proto::Value;

const KIND: [u8; 4] = *b"OFFA";
const VERSION: u32 = 1;

/// A function of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function {
    /// How many numbers of `1..=n` are coprime to n.
    Totient,
    /// The sum of the divisors of n.
    Sigma,
    /// 0 if a square divides n; else 1 or -1, as the number of its primes is even or odd.
    Moebius,
    /// The product of the different primes that divide n.
    Radical,
}

impl Function {
    const ALL: [Self; 4] = [Self::Totient, Self::Sigma, Self::Moebius, Self::Radical];

    /// The word for it on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Totient => "totient",
            Self::Sigma => "sigma",
            Self::Moebius => "moebius",
            Self::Radical => "radical",
        }
    }

    fn of(self, powers: &[multiplicative::PrimePower]) -> Value {
        match self {
            Self::Totient => Value::Number(totient(powers)),
            Self::Sigma => Value::Number(sigma(powers)),
            Self::Moebius => Value::Text(moebius(powers).to_string()),
            Self::Radical => Value::Number(radical(powers)),
        }
    }
}

/// A function of a number by its prime factors.
#[derive(Debug)]
pub struct OfFactors {
    function: Function,
    factor: Factor,
    /// How far the plan was when it was saved.
    progress: f64,
    /// Of how many pieces it is known whether two are equal.
    seen: usize,
}

impl OfFactors {
    /// Asks for the function of `n`, which must not be 0.
    pub fn new(function: Function, n: &Natural) -> Self {
        Self {
            function,
            factor: factor_of(n),
            progress: 0.0,
            seen: 0,
        }
    }
}

/// The plan that finds the prime factors of a number, which is as small as it takes.
pub(super) fn factor_of(n: &Natural) -> Factor {
    Factor::new(n.clone())
}

/// The primes that a plan of factors came to.
pub(super) fn primes(value: Value) -> Vec<Natural> {
    match value {
        Value::Numbers(primes) => primes,
        _ => Vec::new(),
    }
}

/// Whether two of these are equal.
fn has_repeated(mut pieces: Vec<&Natural>) -> bool {
    pieces.sort_unstable();
    pieces.windows(2).any(|pair| pair[0] == pair[1])
}

impl Plan for OfFactors {
    type Slice = <Factor as Plan>::Slice;
    type Partial = <Factor as Plan>::Partial;

    fn cut(&mut self) -> Option<Self::Slice> {
        Plan::cut(&mut self.factor)
    }

    fn run(slice: Self::Slice, budget: Budget<'_>) -> Self::Partial {
        Factor::run(slice, budget)
    }

    fn absorb(&mut self, partial: Self::Partial) {
        Plan::absorb(&mut self.factor, partial);
    }

    fn answer(&mut self) -> Option<Value> {
        // A square divides the number, whatever is still to be factored.
        if self.function == Function::Moebius && self.factor.pieces().count() != self.seen {
            let pieces = Vec::from_iter(self.factor.pieces());
            self.seen = pieces.len();
            if has_repeated(pieces) {
                return Some("0".into());
            }
        }
        let primes = primes(Plan::answer(&mut self.factor)?);
        Some(self.function.of(&powers(&primes)))
    }

    fn progress(&self) -> f64 {
        Plan::progress(&self.factor).max(self.progress)
    }

    fn stage(&self) -> Option<String> {
        Plan::stage(&self.factor)
    }

    fn found(&self) -> Option<String> {
        Plan::found(&self.factor)
    }

    fn memory(&self, workers: usize) -> u64 {
        Plan::memory(&self.factor, workers)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let index = Function::ALL.iter().position(|function| *function == self.function)?;
        let mut writer = Writer::new(KIND, VERSION);
        writer
            .u64(index as u64)
            .u64(self.progress().to_bits())
            .bytes(&Plan::save(&self.factor)?);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let index = usize::try_from(reader.u64()?).ok();
        let function = *index
            .and_then(|index| Function::ALL.get(index))
            .ok_or(Damaged::Impossible("function"))?;
        let progress = reader.share()?;
        let factor = Factor::restore_whole(reader.bytes()?)?;
        reader.finish()?;
        Ok(Self {
            function,
            factor,
            progress,
            seen: 0,
        })
    }

    // Its parts are parts of the factoring: another machine needs to know no more.
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        self.factor.cut_part(cost)
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        self.factor.absorb_part(part, result)
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        self.factor.take_back(part)
    }

    fn shared(&self) -> Option<Shared> {
        self.factor.shared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};

    #[test]
    fn known_values() {
        let ask = |function, n: u128| run_to_end(&mut OfFactors::new(function, &n.into()));
        // OEIS A000010, A000203, A008683 and A007947 at 1, and at 2520 = 2^3 3^2 5 7.
        for (function, one, n) in [
            (Function::Totient, 1u64, 576u64),
            (Function::Sigma, 1, 9360),
            (Function::Radical, 1, 210),
        ] {
            assert_eq!(
                (ask(function, 1), ask(function, 2520)),
                (one.into(), n.into()),
                "{function:?}"
            );
        }
        for (n, moebius) in [(1, "1"), (2, "-1"), (4, "0"), (6, "1"), (30, "-1"), (2520, "0")] {
            assert_eq!(ask(Function::Moebius, n), moebius.into(), "{n}");
        }
        // The sum of the divisors is larger than a double word here.
        let primorial = 1u128 << 127;
        assert_eq!(
            ask(Function::Sigma, primorial),
            Value::Number((Natural::ONE << 128) - 1u8)
        );
    }

    #[test]
    fn what_is_known_of_the_factors_is_shown_on_the_way() {
        // The largest primes below 2^82 and 2^83.
        let [p, q] = [(1u128 << 82) - 57, (1 << 83) - 55].map(Natural::from);
        let mut plan = OfFactors::new(Function::Totient, &(p * q * 15u8));
        while Plan::stage(&plan).is_none() {
            let slice = Plan::cut(&mut plan).expect("one hand is never idle");
            Plan::absorb(&mut plan, OfFactors::run(slice, Budget::new(&|| true)));
        }
        let found = Plan::found(&plan).expect("small primes are known");
        assert!(found.starts_with("3 5 c50="), "{found}");
    }

    #[test]
    fn a_part_is_no_checkpoint_of_the_factors() {
        let [p, q] = [(1u128 << 82) - 57, (1 << 83) - 55].map(Natural::from);
        let mut factor = factor_of(&(p * q));
        let part = loop {
            match factor.cut_part(1e6) {
                Some(part) => break part,
                None => {
                    let slice = Plan::cut(&mut factor).expect("one hand is never idle");
                    Plan::absorb(&mut factor, Factor::run(slice, Budget::new(&|| true)));
                }
            }
        };
        let restored = |factor: &[u8]| {
            let mut writer = Writer::new(KIND, VERSION);
            writer.u64(0).u64(0).bytes(factor);
            OfFactors::restore(&writer.finish()).is_ok()
        };
        assert!(restored(&Plan::save(&factor).expect("it can be saved")));
        assert!(!restored(&part), "its answer is no list of primes");
    }

    #[test]
    fn numbers_beyond_double_words() {
        let ask = |function, n: &Natural| run_to_end(&mut OfFactors::new(function, n)).to_string();
        // PARI: eulerphi, sigma, moebius and the product of the primes of 2^160 + 1 and of 60!.
        let long = (Natural::ONE << 160) + 1u8;
        let factorial: Natural = (1..=60u32).map(Natural::from).product();
        for (function, n, value) in [
            (
                Function::Totient,
                &long,
                "1459220980743476745395591963854291686131761152000",
            ),
            (
                Function::Totient,
                &factorial,
                "1113185603261629285188732593779997519686022362962925981672836956160000000000000000",
            ),
            (
                Function::Sigma,
                &long,
                "1463782295864799871301253021799105544694586277904",
            ),
            (
                Function::Sigma,
                &factorial,
                "61941215362296253452464214277633247995864890525112200952095468250546647808868352000",
            ),
            (Function::Moebius, &long, "1"),
            (Function::Moebius, &factorial, "0"),
            (
                Function::Radical,
                &long,
                "1461501637330902918203684832716283019655932542977",
            ),
            (Function::Radical, &factorial, "1922760350154212639070"),
        ] {
            assert_eq!(ask(function, n), value, "{function:?} of {n}");
        }
    }

    #[test]
    fn a_square_decides_moebius() {
        // RSA-768, whose factors are not found here.
        let hard = "1230186684530117755130494958384962720772853569595334792197322452151726400507263657518745202199786469389956474942774063845925192557326303453731548268507917026122142913461670429214311602221240479274737794080665351419597459856902143413";
        let hard: Natural = hard.parse().expect("digits");
        let [small, long] = [1_000_003u64, 1_000_000_007].map(Natural::from);
        for square in [4u8.into(), 9u8.into(), small.pow(2), hard.clone(), &hard * long] {
            let n = &hard * &square;
            assert_eq!(
                run_to_end(&mut OfFactors::new(Function::Moebius, &n)),
                "0".into(),
                "{square}"
            );
        }
    }

    #[test]
    fn a_square_decides_moebius_in_whatever_order_its_primes_are_found() {
        // Products of primes of 21 to 26 bits, one of them twice, of which another was found between the two.
        for n in [
            "10573075099296713236420091",
            "2255556210378254906491899979357561",
            "115118938653792242539961825441987057",
        ] {
            let n: Natural = n.parse().expect("digits");
            assert_eq!(
                run_to_end(&mut OfFactors::new(Function::Moebius, &n)),
                "0".into(),
                "{n}"
            );
        }
        let [p, q] = [1_851_119u32, 1_877_471].map(Natural::from);
        assert!(has_repeated(vec![&p, &q, &p]));
        assert!(!has_repeated(vec![&p, &q]));
    }

    #[test]
    fn the_answer_is_the_same_however_it_is_cut() {
        let n = Natural::from(((1u128 << 61) - 1) * 1_000_000_007 * 1_000_000_009);
        for function in Function::ALL {
            exercise(|| OfFactors::new(function, &n));
        }
    }
}
