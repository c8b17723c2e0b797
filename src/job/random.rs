//! `random BITS`: a random prime of a length, every one as likely as every other: numbers are drawn until one is prime.
//!
//! Does not know where random bytes come from, nor how a number is tested. Start at [`RandomPrime`].
//!
//! The next prime after a drawn number would be the quicker way, and a wrong one: a prime after a long gap would come
//! up more often. Nor is it the prime that is found first that counts, for that may depend on how long tests take, but
//! the one that was drawn first.

use super::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::candidates::Candidates;
use crate::primes::primality::large;
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::collections::VecDeque;
use std::sync::Arc;

/// Fills bytes at random. The number of the draw is for tests, which want the same bytes each time; a real source takes
/// no notice.
pub type Source = fn(draw: u64, bytes: &mut [u8]);

/// What kind of prime is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrimeKind {
    /// Any prime.
    Prime,
    /// `(p - 1) / 2` is a prime too.
    Safe,
    /// `p - 1` has a prime factor `r` of nearly half as many bits, `p + 1` one as well, and `r - 1` one too (J. Gordon,
    /// "Strong primes are easy to find", Eurocrypt 1984; but what he counts up is drawn here).
    Strong,
}

impl PrimeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Prime, Self::Safe, Self::Strong];

    /// The word for it on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prime => "prime",
            Self::Safe => "safe",
            Self::Strong => "strong",
        }
    }

    /// The fewest bits that a prime of the kind is drawn with: 2 is the first prime, 5 the first safe one; the factors
    /// of a strong one need room.
    pub const fn least_bits(self) -> usize {
        match self {
            Self::Prime => 2,
            Self::Safe => 3,
            Self::Strong => 128,
        }
    }
}

/// Bits that the factors of a strong prime are shorter than half of it: room to draw what is beside them.
const ROOM: usize = 10;
/// Bits of the cofactor of the largest factor of `r - 1`.
const COFACTOR_BITS: usize = 18;

/// Draws a prime.
#[derive(Debug)]
pub struct RandomPrime {
    kind: PrimeKind,
    bits: usize,
    source: Source,
    /// Primes that were drawn for a strong one so far: t, s, r.
    parts: Vec<Natural>,
    search: Search,
    answer: Option<Natural>,
    progress: f64,
}

/// What is drawn from: `base + step * i` for `i < count`.
#[derive(Debug)]
struct Family {
    base: Natural,
    step: Natural,
    count: Natural,
    is_safe: bool,
}

/// Drawing from one family until there is a prime.
#[derive(Debug)]
struct Search {
    family: Arc<Family>,
    /// How many searches there were before.
    round: u64,
    /// Draws before this one are handed out, `bout` of them a bout.
    next: u64,
    bout: u64,
    paused: Vec<Bout>,
    under_way: Vec<u64>,
    /// The earliest draw that was prime.
    best: Option<(u64, Natural)>,
    /// Draws that were not, and how many are expected to be.
    tested: u64,
    mean: f64,
}

/// Draws that are tested together.
#[derive(Debug)]
struct Bout {
    round: u64,
    began: u64,
    at: u64,
    end: u64,
    batch: Option<Box<Batch>>,
}

/// Draws without small factors.
#[derive(Debug)]
struct Batch {
    /// Draws before this one have been made.
    drawn: u64,
    /// Those that may be prime, by their number.
    draws: VecDeque<(u64, Natural)>,
    /// The tests of as many numbers; `None` while more are drawn. Of a safe prime `p` this is `(p - 1) / 2`.
    tests: Option<Candidates>,
    /// The test of the first draw, if it is to be a safe prime and `(p - 1) / 2` is prime.
    last: Option<Candidates>,
}

/// A bout of draws.
#[derive(Debug)]
pub struct Slice(Arc<Family>, Source, Bout);

/// What it found: the draw before which none of the bout was prime, and the prime if that one is.
#[derive(Debug)]
pub struct Partial(Bout, u64, Option<Natural>);

impl RandomPrime {
    /// Asks for a prime of exactly `bits` bits, at least [`PrimeKind::least_bits`].
    pub fn new(bits: usize, kind: PrimeKind, source: Source) -> Self {
        let mut plan = Self {
            kind,
            bits,
            source,
            parts: Vec::new(),
            search: Search::new(0, Family::of_bits(bits, false)),
            answer: None,
            progress: 0.0,
        };
        plan.search = Search::new(0, plan.family());
        plan
    }

    /// What is drawn from next.
    fn family(&self) -> Family {
        let half = self.bits / 2;
        match (self.kind, self.parts.as_slice()) {
            (PrimeKind::Prime, _) => Family::of_bits(self.bits, false),
            (PrimeKind::Safe, _) => Family::of_bits(self.bits, true),
            (PrimeKind::Strong, []) => Family::of_bits(half - ROOM - COFACTOR_BITS - 2, false),
            (PrimeKind::Strong, [_]) => Family::of_bits(half - ROOM, false),
            // r = 2 i t + 1
            (PrimeKind::Strong, [t, _]) => {
                let least = Natural::ONE << COFACTOR_BITS;
                let step = t * 2u8;
                Family {
                    base: &step * &least + 1u8,
                    step,
                    count: least,
                    is_safe: false,
                }
            }
            // p = 1 mod r and p = -1 mod s: p = 2 (s^(r-2) mod r) s - 1 + 2 j r s
            (PrimeKind::Strong, [_, s, r, ..]) => {
                let ring = dashu_int::fast_div::ConstDivisor::new(r.clone());
                let inverse = ring.reduce(s.clone()).pow(&(r - 2u8)).residue();
                let first = inverse * s * 2u8 - 1u8;
                let step = r * s * 2u8;
                let (low, high) = (Natural::ONE << (self.bits - 1), Natural::ONE << self.bits);
                // The first of the family in low..high; first is below step, and step below low.
                let base = &first + (low - &first + &step - 1u8) / &step * &step;
                let count = (high - 1u8 - &base) / &step + 1u8;
                Family {
                    base,
                    step,
                    count,
                    is_safe: false,
                }
            }
        }
    }

    fn is_last(&self) -> bool {
        self.kind != PrimeKind::Strong || self.parts.len() == 3
    }
}

impl Family {
    /// All numbers of `bits` bits that may be prime; for a safe prime, those that are 3 modulo 4. Of a few bits simply
    /// all numbers.
    fn of_bits(bits: usize, is_safe: bool) -> Self {
        let low = Natural::ONE << (bits - 1);
        let (residue, step) = match (bits, is_safe) {
            (..=3, _) => (0u8, 1u8),
            (_, false) => (1, 2),
            (_, true) => (3, 4),
        };
        Self {
            count: &low / step,
            base: low + residue,
            step: step.into(),
            is_safe,
        }
    }

    fn draw(&self, source: Source, draw: u64) -> Natural {
        let bits = (&self.count - 1u8).bit_len();
        let mut bytes = vec![0; bits.div_ceil(8)];
        for attempt in 0.. {
            source(draw.wrapping_mul(64).wrapping_add(attempt), &mut bytes);
            if let (Some(last), 1..) = (bytes.last_mut(), bits % 8) {
                *last &= (1 << (bits % 8)) - 1;
            }
            let index = Natural::from_le_bytes(&bytes);
            if index < self.count {
                return &self.base + index * &self.step;
            }
        }
        unreachable!("every second draw is below the count")
    }

    /// How many draws are tested at once.
    fn at_once(&self) -> usize {
        match self.base.bit_len() {
            ..=128 => 1,
            bits => Candidates::at_once(bits),
        }
    }

    /// The number of a draw that is tested first.
    fn first(&self, draw: &Natural) -> Natural {
        if self.is_safe { draw >> 1 } else { draw.clone() }
    }

    /// Whether a draw is not prime because of a small factor, or (p - 1) / 2 is not: then it leaves 1.
    fn is_hopeless(&self, draw: &Natural) -> bool {
        let limit = (4 * draw.bit_len() as u64).min(1 << 16);
        let is_meant = |remainder| remainder == 0 || self.is_safe && remainder == 1;
        draw.bit_len() > 128 && large::has_remainder(draw, limit, is_meant)
    }
}

impl Batch {
    fn new(drawn: u64) -> Self {
        Self {
            drawn,
            draws: VecDeque::new(),
            tests: None,
            last: None,
        }
    }

    /// Draws until enough draws are to be tested, or until `end` or `over`; whether the tests can be made.
    fn is_drawn(&mut self, family: &Family, source: Source, round: u64, end: u64, budget: Budget<'_>) -> bool {
        while self.tests.is_none() {
            if self.drawn == end || self.draws.len() == family.at_once() {
                let numbers = self.draws.iter().map(|(_, draw)| family.first(draw));
                self.tests = Some(Candidates::new(numbers.collect()));
                break;
            }
            let draw = family.draw(source, round << 48 | self.drawn);
            if !family.is_hopeless(&draw) {
                self.draws.push_back((self.drawn, draw));
            }
            self.drawn += 1;
            if budget.over() {
                return false;
            }
        }
        true
    }

    /// Whether the first draw that is left is a prime of the kind, which is dropped then unless it is one; `None` if
    /// none is left, or after the budget is over.
    fn advance(&mut self, family: &Family, budget: Budget<'_>) -> Option<bool> {
        let (_, draw) = self.draws.front()?;
        if self.last.is_none() {
            let is_prime = self.tests.as_mut()?.advance(|| budget.over())?;
            if is_prime && family.is_safe {
                self.last = Some(Candidates::new(vec![draw.clone()]));
            } else if is_prime {
                return Some(true);
            }
        }
        if let Some(last) = &mut self.last {
            if last.advance(|| budget.over())? {
                return Some(true);
            }
            self.last = None;
        }
        self.draws.pop_front();
        Some(false)
    }
}

impl Search {
    fn new(round: u64, family: Family) -> Self {
        let bits = family.base.bit_len() + 1;
        // One in bits ln 2 numbers is prime, and only those that are not even are drawn.
        let one = (bits as f64 * std::f64::consts::LN_2 / 2.0).max(1.0);
        // A test of 1000 bits takes 30 us if eight are made at once, a third of a millisecond otherwise. One of some
        // eight draws has no small factor, one of a hundred if it is to be a safe prime: bouts of a few milliseconds,
        // or of two batches of long numbers.
        let draws = if family.is_safe { 100 } else { 8 };
        let bout = match family.at_once() {
            1 => (8 * (3_000 / bits).pow(3)).clamp(4, 256),
            at_once => (6_000 / bits).clamp(2, 16) * at_once * draws,
        };
        Self {
            mean: if family.is_safe { one * one } else { one },
            family: Arc::new(family),
            round,
            next: 0,
            bout: bout as u64,
            paused: Vec::new(),
            under_way: Vec::new(),
            best: None,
            tested: 0,
        }
    }

    fn cut(&mut self) -> Option<Bout> {
        let limit = self.best.as_ref().map_or(u64::MAX, |(at, _)| *at);
        self.paused.retain(|bout| bout.at < limit);
        let earliest = (0..self.paused.len()).min_by_key(|index| self.paused[*index].at);
        let mut bout = match earliest {
            Some(index) => self.paused.swap_remove(index),
            None if self.next < limit => {
                let at = self.next;
                self.next += self.bout;
                Bout {
                    round: self.round,
                    began: at,
                    at,
                    end: self.next,
                    batch: None,
                }
            }
            None => return None,
        };
        bout.began = bout.at;
        self.under_way.push(bout.began);
        Some(bout)
    }

    /// Takes in a bout; the prime, once it is certain that none was drawn before.
    fn absorb(&mut self, mut bout: Bout, at: u64, prime: Option<Natural>) -> Option<Natural> {
        self.tested += at - bout.at;
        if let Some(index) = self.under_way.iter().position(|began| *began == bout.began) {
            self.under_way.swap_remove(index);
        }
        bout.at = at;
        match prime {
            Some(prime) if self.best.as_ref().is_none_or(|(at, _)| bout.at < *at) => self.best = Some((bout.at, prime)),
            Some(_) => {}
            None if bout.at < bout.end => self.paused.push(bout),
            None => {}
        }
        let paused = self.paused.iter().map(|bout| bout.at);
        let open = paused.chain(self.under_way.iter().copied()).chain([self.next]).min()?;
        self.best.take_if(|(at, _)| *at < open).map(|(_, prime)| prime)
    }
}

impl Plan for RandomPrime {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        if self.answer.is_some() {
            return None;
        }
        let bout = self.search.cut()?;
        Some(Slice(Arc::clone(&self.search.family), self.source, bout))
    }

    fn run(Slice(family, source, mut bout): Slice, budget: Budget<'_>) -> Partial {
        let mut at = bout.at;
        while at < bout.end {
            let batch = bout.batch.get_or_insert_with(|| Box::new(Batch::new(at)));
            if !batch.is_drawn(&family, source, bout.round, bout.end, budget) {
                break;
            }
            while let Some((draw, _)) = batch.draws.front() {
                at = *draw;
                match batch.advance(&family, budget) {
                    Some(true) => {
                        let prime = batch.draws.pop_front().map(|(_, prime)| prime);
                        return Partial(bout, at, prime);
                    }
                    Some(false) => {}
                    None => return Partial(bout, at, None),
                }
            }
            at = batch.drawn;
            bout.batch = None;
            if budget.over() {
                break;
            }
        }
        Partial(bout, at, None)
    }

    fn absorb(&mut self, Partial(bout, at, prime): Partial) {
        // Bouts of a search that is over may come back later.
        if self.answer.is_some() || bout.round != self.search.round {
            return;
        }
        let share = self.search.tested as f64 / (self.search.tested as f64 + self.search.mean);
        // The parts of a strong prime are half as long, and take an eighth of the time or less.
        let progress = if self.is_last() {
            0.3 + 0.7 * share
        } else {
            0.1 * (self.parts.len() as f64 + share)
        };
        self.progress = self.progress.max(if self.kind == PrimeKind::Strong {
            progress
        } else {
            share
        });
        if let Some(prime) = self.search.absorb(bout, at, prime) {
            if self.is_last() {
                self.answer = Some(prime);
                self.progress = 1.0;
            } else {
                self.parts.push(prime);
                self.search = Search::new(self.parts.len() as u64, self.family());
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        self.answer.clone().map(Value::Number)
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, workers: usize) -> u64 {
        // For every worker some draws, their reductions and tests.
        (64 << 10) + (128 * self.bits as u64 / 8 + 4096) * (workers as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};
    use crate::primes::sieve::naive;
    use std::collections::BTreeMap;

    /// Bytes that depend on the number of the draw and nothing else.
    fn repeatable(draw: u64, bytes: &mut [u8]) {
        fastrand::Rng::with_seed(draw.wrapping_mul(0x9e37_79b9_7f4a_7c15)).fill(bytes);
    }

    fn fresh(_: u64, bytes: &mut [u8]) {
        fastrand::fill(bytes);
    }

    fn prime(bits: usize, kind: PrimeKind, source: Source) -> Natural {
        match run_to_end(&mut RandomPrime::new(bits, kind, source)) {
            Value::Number(prime) => prime,
            other => panic!("{other:?}"),
        }
    }

    /// Pearson's statistic for draws that should be evenly spread over the primes.
    fn chi_square(bits: usize, kind: PrimeKind, primes: &[u64]) -> f64 {
        let draws = 200 * primes.len();
        let mut counts: BTreeMap<u64, u64> = primes.iter().map(|p| (*p, 0)).collect();
        for _ in 0..draws {
            let prime = u64::try_from(prime(bits, kind, fresh)).expect("small");
            *counts.get_mut(&prime).expect("a prime of the right length and kind") += 1;
        }
        counts
            .values()
            .map(|count| (*count as f64 - 200.0).powi(2) / 200.0)
            .sum()
    }

    #[test]
    fn every_prime_of_a_length_is_as_likely_as_every_other() {
        for bits in [2usize, 3, 4, 5, 8, 11] {
            let primes = naive::primes(1 << (bits - 1), (1 << bits) - 1);
            let safe: Vec<u64> = primes.iter().copied().filter(|p| naive::is_prime(p / 2)).collect();
            for (kind, primes) in [(PrimeKind::Prime, primes), (PrimeKind::Safe, safe)] {
                if bits < kind.least_bits() {
                    continue;
                }
                let degrees = (primes.len() - 1) as f64;
                let statistic = chi_square(bits, kind, &primes);
                // Six standard deviations and more: once in a hundred million runs by chance. The next prime after a
                // draw is off by hundreds.
                assert!(
                    statistic < degrees + 9.0 * (2.0 * degrees).sqrt() + 20.0,
                    "{bits} bits, {kind:?}: {statistic}"
                );
            }
        }
    }

    #[test]
    fn kinds_are_what_they_say() {
        let is_prime = |n: &Natural| run_to_end(&mut crate::job::IsPrime::new(n.clone())) == true.into();
        for bits in [130, 200] {
            let p = prime(bits, PrimeKind::Prime, fresh);
            assert!(is_prime(&p) && p.bit_len() == bits);
        }
        let p = prime(140, PrimeKind::Safe, fresh);
        assert!(is_prime(&p) && is_prime(&(&p >> 1)) && p.bit_len() == 140);
        for bits in [128, 301] {
            let mut plan = RandomPrime::new(bits, PrimeKind::Strong, fresh);
            let Value::Number(p) = run_to_end(&mut plan) else {
                panic!("a number")
            };
            let [t, s, r] = plan.parts.as_slice() else {
                panic!("three parts")
            };
            assert!([&p, t, s, r].into_iter().all(is_prime) && p.bit_len() == bits);
            assert!(
                (&p - 1u8) % r == Natural::ZERO && (&p + 1u8) % s == Natural::ZERO && (r - 1u8) % t == Natural::ZERO
            );
            assert!(s.bit_len() == bits / 2 - ROOM && r.bit_len() + ROOM + 4 >= bits / 2);
        }
    }

    #[test]
    fn the_prime_that_was_drawn_first_counts() {
        for kind in PrimeKind::ALL {
            exercise(|| RandomPrime::new(160, kind, repeatable));
        }
    }
}
