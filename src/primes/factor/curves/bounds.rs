//! What all searches with the same bounds share: the primes of the first stage with their addition chains, and the
//! pairs of the second.
//!
//! Knows no group and no modulus.

use crate::primes::sieve::{Sieve, Step};

/// The ratios that a chain may begin with: numbers whose continued fractions end in ones (P. L. Montgomery, "Evaluating
/// recurrences of form X_{m+n} = f(X_m, X_n, X_{m-n}) via Lucas chains" (1983), section 4).
const RATIOS: [f64; 6] = [
    1.618_033_988_749_895,
    1.723_606_797_749_979,
    1.618_347_119_656_228,
    1.617_914_406_528_817,
    1.612_429_949_509_495,
    1.632_839_806_088_706,
];

/// A step of a chain for `k P = d A + e B`, `C = A - B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Swap,
    Thirds,
    HalfBoth,
    Less,
    Half,
    ThirdLess,
    ThirdSum,
    ThirdDifference,
    HalfOther,
}

impl Rule {
    /// The rule for `d`, `e`, and what they become (Montgomery, table 4).
    pub(super) fn next(d: u64, e: u64) -> (Self, u64, u64) {
        let is_close = 4 * d <= 5 * e;
        if d < e {
            (Self::Swap, e, d)
        } else if is_close && (d + e).is_multiple_of(3) {
            (Self::Thirds, (2 * d - e) / 3, (2 * e - d) / 3)
        } else if is_close && (d - e).is_multiple_of(6) {
            (Self::HalfBoth, (d - e) / 2, e)
        } else if d <= 4 * e {
            (Self::Less, d - e, e)
        } else if (d - e).is_multiple_of(2) {
            (Self::HalfBoth, (d - e) / 2, e)
        } else if d.is_multiple_of(2) {
            (Self::Half, d / 2, e)
        } else if d.is_multiple_of(3) {
            (Self::ThirdLess, d / 3 - e, e)
        } else if (d + e).is_multiple_of(3) {
            (Self::ThirdSum, (d - 2 * e) / 3, e)
        } else if (d - e).is_multiple_of(3) {
            (Self::ThirdDifference, (d - e) / 3, e)
        } else {
            (Self::HalfOther, d, e / 2)
        }
    }

    /// How many additions it takes, doublings included.
    const fn cost(self) -> u32 {
        match self {
            Self::Swap => 0,
            Self::Less => 1,
            Self::HalfBoth | Self::Half | Self::HalfOther => 2,
            Self::Thirds => 3,
            Self::ThirdLess | Self::ThirdSum | Self::ThirdDifference => 4,
        }
    }
}

/// The start of the chain for a number above 2 that begins with a ratio, after the first doubling: `d`, `e`.
pub(super) fn start(k: u64, ratio: u8) -> (u64, u64) {
    let r = (k as f64 / RATIOS[usize::from(ratio)]).round() as u64;
    (k - r, 2 * r - k)
}

/// The cost of a chain; `None` if it does not end well.
fn cost(k: u64, ratio: u8) -> Option<u32> {
    let (mut d, mut e) = start(k, ratio);
    let mut sum = 2;
    while d != e {
        if e == 0 || d == 0 {
            return None;
        }
        let (rule, next_d, next_e) = Rule::next(d, e);
        sum += rule.cost();
        (d, e) = (next_d, next_e);
    }
    (d == 1).then_some(sum)
}

/// The ratio with the shortest chain.
fn best_ratio(k: u64) -> u8 {
    // Some ratio works for every prime: a chain ends with the greatest common divisor of r and k.
    (0..RATIOS.len() as u8)
        .min_by_key(|ratio| cost(k, *ratio).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

/// The difference of two giant steps. The points of a long number take so much memory that there are to be fewer.
const fn step(second: u64, is_long: bool) -> u64 {
    match second {
        0..20_000 => 60,
        20_000..400_000 => 210,
        _ if is_long => 210,
        _ => 2310,
    }
}

/// The bounds of a search and what follows from them.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// All primes up to here, and their powers, are in the first stage.
    pub(crate) first: u64,
    /// One prime more up to here.
    pub(crate) second: u64,
    /// The odd primes up to `first`, each with the ratio of its chain.
    pub(super) primes: Vec<(u32, u8)>,
    /// Pairs `m d - j`, `m d + j` are looked at together.
    pub(super) d: u64,
    /// The `j`: coprime to `d`, below its half.
    pub(super) babies: Vec<u32>,
    /// The first `m`.
    pub(super) first_giant: u64,
    /// For every `m` the babies with a prime in their pair, as the bits of some words.
    pub(super) pairs: Vec<u64>,
    pub(super) words: usize,
    making: Option<Box<Making>>,
}

#[derive(Debug)]
enum Making {
    Primes(Sieve),
    /// Before this prime, all have their ratios.
    Ratios(usize),
    Pairs(Sieve),
}

impl Bounds {
    /// Whether these are the bounds that [`new`](Self::new) begins.
    pub(crate) const fn fits(&self, first: u64, second: u64, is_long: bool) -> bool {
        self.first == first && self.second == second && self.d == step(second, is_long)
    }

    /// Begins to make them; [`advance`](Self::advance) goes on.
    pub(crate) fn new(first: u64, second: u64, is_long: bool) -> Self {
        let d = step(second, is_long);
        debug_assert!(first > d / 2);
        let babies: Vec<u32> = (1..d as u32 / 2).filter(|j| gcd(u64::from(*j), d) == 1).collect();
        let first_giant = (first + d / 2) / d;
        let giants = (second / d + 2 - first_giant) as usize;
        let words = babies.len().div_ceil(64);
        Self {
            first,
            second,
            primes: Vec::new(),
            d,
            babies,
            first_giant,
            pairs: vec![0; giants * words],
            words,
            making: Some(Box::new(Making::Primes(Sieve::new(3, first)))),
        }
    }

    /// Makes all at once: for small bounds.
    pub(crate) fn at_once(first: u64, second: u64) -> Self {
        let mut bounds = Self::new(first, second, false);
        while !bounds.advance(|| false) {}
        bounds
    }

    /// Goes on until everything is made or until `over`, asked every 50 microseconds or so.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        while let Some(making) = &mut self.making {
            match &mut **making {
                Making::Primes(sieve) => match sieve.step() {
                    Step::Done => **making = Making::Ratios(0),
                    Step::Segment(segment) => segment.for_each(|p| self.primes.push((p as u32, 0))),
                    Step::Busy => {}
                },
                Making::Ratios(next) => {
                    while let Some((p, ratio)) = self.primes.get_mut(*next) {
                        *ratio = best_ratio((*p).into());
                        *next += 1;
                        if *next % 64 == 0 && over() {
                            return false;
                        }
                    }
                    **making = Making::Pairs(Sieve::new(self.first + 1, self.second));
                }
                Making::Pairs(sieve) => {
                    let (d, first_giant, words) = (self.d, self.first_giant, self.words);
                    let (babies, pairs) = (&self.babies, &mut self.pairs);
                    match sieve.step() {
                        Step::Done => self.making = None,
                        Step::Segment(segment) => segment.for_each(|p| {
                            let m = (p + d / 2) / d;
                            let j = (m * d).abs_diff(p) as u32;
                            if let (Ok(bit), Some(row)) = (babies.binary_search(&j), m.checked_sub(first_giant)) {
                                let word = row as usize * words + bit / 64;
                                if let Some(word) = pairs.get_mut(word) {
                                    *word |= 1 << (bit % 64);
                                }
                            }
                        }),
                        Step::Busy => {}
                    }
                }
            }
            if over() {
                return false;
            }
        }
        true
    }

    /// Bytes they take at most, while the vectors grow.
    pub(crate) fn bytes(first: u64, second: u64) -> u64 {
        // Eight bytes for a prime in eight numbers or more, twice when there is no room left; 64 bits for 210 numbers;
        // two sieves.
        2 * first + second / 25 + (2 << 20)
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::primes_up_to;

    #[test]
    fn every_prime_has_a_chain_and_is_in_a_pair() {
        for bounds in [
            Bounds::at_once(100, 5_000),
            Bounds::at_once(2_000, 50_000),
            Bounds::at_once(5_000, 500_000),
        ] {
            for (p, ratio) in &bounds.primes {
                assert!(cost((*p).into(), *ratio).is_some(), "{p}");
            }
            let primes = primes_up_to(bounds.second as u32);
            for p in primes.into_iter().map(u64::from).filter(|p| *p > bounds.first) {
                let m = (p + bounds.d / 2) / bounds.d;
                let j = (m * bounds.d).abs_diff(p) as u32;
                let bit = bounds.babies.binary_search(&j).expect("primes are coprime to d");
                let word = bounds.pairs[(m - bounds.first_giant) as usize * bounds.words + bit / 64];
                assert!(word >> (bit % 64) & 1 == 1, "{p}");
            }
        }
    }
}
