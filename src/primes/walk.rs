//! Walking from a point of the number line to the r-th prime above or below it, by sieving one stripe of numbers.
//!
//! Knows no slice and no count of primes: [`Stripe::advance`] goes on until its closure ends it; the caller that cut
//! the stripe knows what lies before it.

use super::sieve::{Segment, ShortSieve, Sieve, Step, WideSieve};
use super::wheel::{NUMBERS_PER_BYTE, RESIDUES};

/// Which way to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The first prime is the smallest one above the start.
    Up,
    /// The first prime is the largest one that is not above the start.
    Down,
}

/// The primes among the numbers `low..=last`, passed in order to find one, or only counted.
#[derive(Debug)]
pub(crate) struct Stripe {
    low: u128,
    last: u128,
    way: Way,
    /// The rank in the stripe of the prime that is wanted, counted from the side where the walk begins; `None` if that
    /// is not known.
    rank: Option<u64>,
    sieve: Numbers,
    counts: Vec<Count>,
}

/// The sieve of a stripe, by where that ends.
#[derive(Debug)]
enum Numbers {
    Words(Box<Sieve>),
    Wide(Box<WideSieve>),
}

impl Numbers {
    fn new(low: u128, last: u128) -> Self {
        match (u64::try_from(low), u64::try_from(last)) {
            (Ok(low), Ok(last)) => Self::Words(Box::new(Sieve::new(low, last))),
            _ => Self::Wide(Box::new(WideSieve::new(low, last))),
        }
    }

    /// What positions in segments count from.
    fn base(&self) -> u128 {
        match self {
            Self::Words(_) => 0,
            Self::Wide(sieve) => sieve.base(),
        }
    }

    fn step(&mut self) -> Step<'_> {
        match self {
            Self::Words(sieve) => sieve.step(),
            Self::Wide(sieve) => sieve.step(),
        }
    }
}

/// How many primes a part of a stripe has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) low: u128,
    pub(crate) last: u128,
    pub(crate) primes: u64,
}

/// What came of a stripe.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The prime that was wanted.
    Found(u128),
    /// It is not known or not here: the primes of the stripe's parts, ascending.
    Counted(Vec<Count>),
    /// More is to be sieved.
    Paused(Box<Stripe>),
}

impl Stripe {
    /// The stripe `low..=last`, at most [`WideSieve::LONGEST`] numbers if it ends beyond 2^64; costs nothing before it
    /// advances.
    pub(crate) fn new(low: u128, last: u128, way: Way, rank: Option<u64>) -> Self {
        Self {
            low,
            last,
            way,
            rank,
            sieve: Numbers::new(low, last),
            counts: Vec::new(),
        }
    }

    /// The share of its work that is done, 0.0..=1.0, or less.
    pub(crate) fn progress(&self) -> f64 {
        match &self.sieve {
            Numbers::Words(_) => 0.0,
            Numbers::Wide(sieve) => sieve.progress(),
        }
    }

    /// Sieves until the prime is found or the stripe ends or until `over`, asked every 10 to 200 microseconds.
    pub(crate) fn advance(mut self: Box<Self>, mut over: impl FnMut() -> bool) -> Outcome {
        let base = self.sieve.base();
        loop {
            match self.sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    let last = base + u128::from(segment.last());
                    let primes = segment.count();
                    let here = match self.way {
                        Way::Up => self.rank.filter(|rank| *rank <= primes),
                        // From above the rank counts from the last segment only; others are looked up again when all
                        // are counted.
                        Way::Down => self
                            .rank
                            .filter(|rank| last >= self.last && *rank <= primes)
                            .map(|rank| primes + 1 - rank),
                    };
                    if let Some(prime) = here.and_then(|rank| nth_in(&segment, rank)) {
                        return Outcome::Found(base + u128::from(prime));
                    }
                    if self.way == Way::Up {
                        self.rank = self.rank.map(|rank| rank - primes);
                    }
                    self.counts.push(Count {
                        low: self.low.max(base + u128::from(segment.low())),
                        last,
                        primes,
                    });
                }
                Step::Done => return Outcome::Counted(self.counts),
            }
            if over() {
                return Outcome::Paused(self);
            }
        }
    }
}

/// The `rank`-th prime of a segment, counted from 1 upwards.
fn nth_in(segment: &Segment<'_>, rank: u64) -> Option<u64> {
    let small = segment.wheel_primes();
    let Some(mut left) = rank.checked_sub(small.len() as u64 + 1) else {
        return small.get(usize::try_from(rank.checked_sub(1)?).ok()?).copied();
    };
    for (word, mut bits) in (0u64..).zip(segment.words()) {
        let count = u64::from(bits.count_ones());
        if left < count {
            for _ in 0..left {
                bits &= bits - 1;
            }
            let bit = u64::from(bits.trailing_zeros());
            return Some(
                segment.low() + NUMBERS_PER_BYTE * (8 * word + bit / 8) + u64::from(RESIDUES[bit as usize % 8]),
            );
        }
        left -= count;
    }
    None
}

/// How many numbers a walk of `rank` primes from `start` takes, with some to spare: more suffices only once in a
/// thousand walks.
pub(crate) fn length(start: u128, rank: u64) -> u128 {
    let rank = rank as f64;
    // Primes are rarer than 1 / ln start by chance as Poisson's law has it, and their density at the far end is lower
    // still; a float saturates.
    ((rank + 4.0 * rank.sqrt() + 8.0) * (start.max(100) as f64 + rank).ln()) as u128
}

/// The prime of this rank from `start` on, where it is so close that a [`ShortSieve`] finds it.
pub(crate) fn at_once(start: u64, rank: u64, way: Way) -> Option<u64> {
    let numbers = u64::try_from(length(start.into(), rank)).ok()?;
    match way {
        Way::Up => ShortSieve::new(start.checked_add(1)?, start.checked_add(numbers)?)?.nth(rank),
        Way::Down => {
            let sieve = ShortSieve::new(start.checked_sub(numbers)?, start)?;
            sieve.nth((sieve.count() + 1).checked_sub(rank)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::known;
    use proptest::prelude::*;

    fn outcome(mut stripe: Stripe, every: u32) -> Outcome {
        let mut asked = 0;
        loop {
            let outcome = Box::new(stripe).advance(|| {
                asked += 1;
                asked % every == 0
            });
            match outcome {
                Outcome::Paused(rest) => stripe = *rest,
                outcome => return outcome,
            }
        }
    }

    proptest! {
        #[test]
        fn both_ways_lead_to_the_prime_of_the_table(start in 0u128..1 << 19, rank in 1u64..5000, every in 1u32..4) {
            let before = known::pi(start as u64).expect("in the table");
            let above = known::nth(before + rank).expect("in the table");
            let up = outcome(Stripe::new(start + 1, start + 2 * length(start, rank), Way::Up, Some(rank)), every);
            prop_assert!(matches!(up, Outcome::Found(p) if p == above.into()), "{:?}", up);
            if let Some(below) = (before + 1).checked_sub(rank).and_then(known::nth) {
                let down = outcome(Stripe::new(0, start, Way::Down, Some(rank)), every);
                prop_assert!(matches!(down, Outcome::Found(p) if p == below.into()), "{:?}", down);
            }
        }
    }

    #[test]
    fn without_a_rank_the_parts_are_counted() {
        let (low, last) = (1 << 40, (1 << 40) + 60_000_000);
        let Outcome::Counted(counts) = outcome(Stripe::new(low, last, Way::Up, None), 3) else {
            panic!("no rank")
        };
        assert!(counts.len() > 1);
        assert_eq!((counts[0].low, counts[counts.len() - 1].last), (low, last));
        assert!(counts.is_sorted_by(|a, b| a.last + 1 == b.low));
    }
}
