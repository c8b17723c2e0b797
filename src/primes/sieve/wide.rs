//! The sieve beyond 2^64: all bits of a range at once, crossed off prime by prime. Knows no segment until all is done.
//!
//! There the sieving primes outnumber what a range holds: 455 million at 10^20. So nothing is kept of a prime: its
//! first multiple is found by one division, which takes most of the time, and the few multiples it has are crossed off
//! wherever they are. Positions count from a base, a multiple of 240, so that they are words and have the wheel's
//! residues.

use super::list::primes_up_to;
use super::segment::{OFFSETS, Segment};
use super::sieve::{Cost, Sieve, Step};
use super::small::SmallPrimes;
use crate::primes::primality::is_prime_u128;
use crate::primes::wheel::{BITS_BELOW, NUMBERS_PER_BYTE, NUMBERS_PER_WORD, RESIDUES};

/// Bytes of a chunk that small primes are crossed off in at once, the bound of these, and as many bytes before and
/// after the bits.
const CHUNK: usize = 32 << 10;
const SLACK: usize = 16 << 10;

/// The bound of the medium primes, and how many numbers each is crossed off in at once: some 0.2 ms for the smallest.
const MEDIUM: u32 = 1 << 20;
const WINDOW: u64 = 1 << 31;

/// Medium primes of a step if they have few multiples, and the words of sieving primes of a step: some thousand primes.
const PRIMES: usize = 64;
const WORDS: usize = 128;

/// Words whose numbers are tested in a step: about 20 numbers.
const TEST_WORDS: usize = 2;

/// Bytes of the segments that are returned.
const SEGMENT: usize = 512 << 10;

/// What the work costs, in nanoseconds on a Zen 5 core: to find and divide by the sieving primes for each number up to
/// their bound, to cross off for each number of the range, and to test what is left for each number.
const FEED_COST: f64 = 0.9;
const SIEVE_COST: f64 = 1.5;
const TEST_COST: f64 = 70.0;

/// For each residue modulo 30 the mask that clears its bit; nothing is cleared for those that have none.
static KEEP: [u8; NUMBERS_PER_BYTE as usize] = {
    let mut keep = [u8::MAX; NUMBERS_PER_BYTE as usize];
    let mut j = 0;
    while j < RESIDUES.len() {
        keep[RESIDUES[j] as usize] = !(1 << j);
        j += 1;
    }
    keep
};

/// Finds the primes of a range of numbers that ends beyond 2^64. Can be moved to another thread between any two steps.
#[derive(Debug)]
pub struct WideSieve {
    base: u128,
    /// The range, counted from the base.
    low: u64,
    last: u64,
    /// The bits, with slack on both sides for the small primes' periods.
    buffer: Vec<u8>,
    bytes: usize,
    small: SmallPrimes,
    medium: Vec<u32>,
    /// The largest sieving prime; if it is below the square root of the last number, what is left is tested.
    max_prime: u64,
    is_exact: bool,
    feed: Option<Box<Sieve>>,
    /// The sieving primes below this have been crossed off.
    passed: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Start,
    Small {
        start: usize,
    },
    Medium {
        window: u64,
        index: usize,
    },
    /// The word of the feed's segment whose primes are next; `None`: the feed is at work on the segment.
    Large {
        word: Option<usize>,
    },
    Test {
        byte: usize,
    },
    Ready {
        byte: usize,
        next: usize,
    },
    Done,
}

/// Whether a range is so short that it is cheaper to test what the smaller primes leave, and the bound of the primes.
fn bound(low: u128, last: u128) -> (bool, u64) {
    let root = last.isqrt() as u64;
    let numbers = last.saturating_sub(low) as f64 + 1.0;
    if numbers * TEST_COST < root as f64 * FEED_COST {
        // Twice as many primes leave fewer numbers by a share of 1 / log2 of their bound: at four times the range that
        // is not worth it any more.
        (false, (4.0 * numbers).max(f64::from(MEDIUM)).min(root as f64) as u64)
    } else {
        (true, root)
    }
}

impl WideSieve {
    /// How many numbers a sieve may have at most: 143 MB of bits.
    pub const LONGEST: u64 = 1 << 32;

    /// A sieve of the numbers `low..=last`, at most [`WideSieve::LONGEST`]; `low <= last`. Costs nothing: all work is
    /// done by steps.
    pub fn new(low: u128, last: u128) -> Self {
        let base = low - low % u128::from(NUMBERS_PER_WORD);
        let (is_exact, max_prime) = bound(low, last);
        let last = (last - base) as u64;
        debug_assert!(last < Self::LONGEST + NUMBERS_PER_WORD);
        Self {
            base,
            low: (low - base) as u64,
            last,
            buffer: Vec::new(),
            bytes: (last / NUMBERS_PER_BYTE + 1).next_multiple_of(8) as usize,
            small: SmallPrimes::default(),
            medium: Vec::new(),
            max_prime,
            is_exact,
            feed: None,
            passed: 0,
            phase: Phase::Start,
        }
    }

    /// What positions in segments count from.
    pub fn base(&self) -> u128 {
        self.base
    }

    /// What the numbers `low..=last` cost, in as many sieves as they take.
    pub fn cost(low: u128, last: u128) -> Cost {
        let stripe = last.saturating_sub(low).min(Self::LONGEST.into());
        let (is_exact, max_prime) = bound(last - stripe, last);
        let start = FEED_COST * max_prime as f64;
        let stripes = last.saturating_sub(low) as f64 / Self::LONGEST as f64;
        let start = start * stripes.max(1.0);
        Cost {
            start,
            start_with_avx512: start,
            per_number: if is_exact { SIEVE_COST } else { TEST_COST },
        }
    }

    /// Upper bound of the bytes the sieve will hold.
    pub fn memory_bound(&self) -> u64 {
        let feed = Sieve::new(MEDIUM.into(), self.max_prime).memory_bound();
        (2 << 20) + self.bytes as u64 + feed
    }

    /// The share of the work that is done, 0.0..=1.0.
    pub fn progress(&self) -> f64 {
        match self.phase {
            Phase::Large { .. } if self.is_exact => self.passed as f64 / self.max_prime as f64,
            Phase::Start | Phase::Small { .. } | Phase::Medium { .. } | Phase::Large { .. } => 0.0,
            Phase::Test { byte } => byte as f64 / self.bytes as f64,
            Phase::Ready { .. } | Phase::Done => 1.0,
        }
    }

    /// Works for some 10 to 200 microseconds. Segments ascend; their positions count from [`WideSieve::base`].
    pub fn step(&mut self) -> Step<'_> {
        match self.phase {
            Phase::Start => self.start(),
            Phase::Small { start } => self.cross_off_small(start),
            Phase::Medium { window, index } => self.cross_off_medium(window, index),
            Phase::Large { word } => self.cross_off_large(word),
            Phase::Test { byte } => self.test_some(byte),
            Phase::Ready { next, .. } => self.ready(next),
            Phase::Done => {}
        }
        match self.phase {
            Phase::Ready { byte, next } => Step::Segment(self.segment(byte, next)),
            Phase::Done => Step::Done,
            _ => Step::Busy,
        }
    }

    fn start(&mut self) {
        self.buffer = vec![0; self.bytes + 2 * SLACK];
        self.medium = primes_up_to(MEDIUM);
        let first_byte = self.base / u128::from(NUMBERS_PER_BYTE);
        let is_small = |prime: &u32| (*prime as usize) < SLACK;
        for prime in self.medium.iter().copied().take_while(is_small).skip(3) {
            self.small.add(prime, (first_byte % u128::from(prime)) as u64);
        }
        let max_prime = self.max_prime;
        self.medium
            .retain(|prime| !is_small(prime) && u64::from(*prime) <= max_prime);
        self.phase = Phase::Small { start: 0 };
    }

    fn cross_off_small(&mut self, start: usize) {
        // The chunk before has cleared the slack before this one too: only what no chunk has begun is filled.
        let length = CHUNK.min(self.bytes - start);
        let from = SLACK + start;
        self.buffer[from + if start == 0 { 0 } else { SLACK }..from + length + SLACK].fill(u8::MAX);
        self.small.cross_off(&mut self.buffer, from, length);
        let start = start + length;
        self.phase = if start < self.bytes {
            Phase::Small { start }
        } else {
            Phase::Medium { window: 0, index: 0 }
        };
    }

    fn cross_off_medium(&mut self, window: u64, mut index: usize) {
        let end = (window + WINDOW).min(self.last + 1);
        let mut multiples = 0;
        while let Some(&prime) = self.medium.get(index)
            && multiples < WINDOW / u64::from(MEDIUM) * PRIMES as u64
        {
            let prime = u64::from(prime);
            cross_off(&mut self.buffer[SLACK..], self.base, prime, window, end);
            multiples += (end - window) / prime + 1;
            index += 1;
        }
        self.phase = if index < self.medium.len() {
            Phase::Medium { window, index }
        } else if end <= self.last {
            Phase::Medium { window: end, index: 0 }
        } else {
            let feed = Sieve::new(u64::from(MEDIUM) + 1, self.max_prime);
            self.feed = Some(Box::new(feed));
            Phase::Large { word: None }
        };
    }

    fn cross_off_large(&mut self, word: Option<usize>) {
        let Some(feed) = &mut self.feed else { return };
        let Some(from) = word else {
            match feed.step() {
                Step::Busy => {}
                Step::Segment(_) => self.phase = Phase::Large { word: Some(0) },
                Step::Done => self.finish(),
            }
            return;
        };
        let segment = feed.segment();
        let words = segment.bytes().as_chunks::<8>().0;
        let to = words.len().min(from + WORDS);
        let bits = &mut self.buffer[SLACK..];
        for (word, index) in words[from..to].iter().zip(from as u64..) {
            let low = segment.low() + index * NUMBERS_PER_WORD;
            let mut ones = u64::from_le_bytes(*word);
            while ones != 0 {
                let prime = low + u64::from(OFFSETS[ones.trailing_zeros() as usize]);
                cross_off(bits, self.base, prime, 0, self.last + 1);
                ones &= ones - 1;
            }
        }
        self.passed = segment.low() + to as u64 * NUMBERS_PER_WORD;
        let word = (to < words.len()).then_some(to);
        self.phase = Phase::Large { word };
    }

    /// Clears what is out of bounds.
    fn finish(&mut self) {
        self.feed = None;
        let bits = &mut self.buffer[SLACK..];
        let below = (self.low / NUMBERS_PER_BYTE) as usize;
        bits[..below].fill(0);
        bits[below] &= !BITS_BELOW[(self.low % NUMBERS_PER_BYTE) as usize];
        let end = (self.last / NUMBERS_PER_BYTE) as usize;
        bits[end] &= BITS_BELOW[(self.last % NUMBERS_PER_BYTE) as usize + 1];
        bits[end + 1..].fill(0);
        self.phase = Phase::Test { byte: 0 };
        if self.is_exact {
            self.ready(0);
        }
    }

    /// Clears what is left but not prime in some words.
    fn test_some(&mut self, start: usize) {
        let end = (start + 8 * TEST_WORDS).min(self.bytes);
        for k in start..end {
            let byte = &mut self.buffer[SLACK + k];
            for (j, residue) in RESIDUES.iter().enumerate() {
                let n = self.base + u128::from(NUMBERS_PER_BYTE * k as u64 + u64::from(*residue));
                if *byte >> j & 1 == 1 && !is_prime_u128(n) {
                    *byte &= !(1 << j);
                }
            }
        }
        self.phase = Phase::Test { byte: end };
        if end == self.bytes {
            self.ready(0);
        }
    }

    fn ready(&mut self, byte: usize) {
        self.phase = if byte < self.bytes {
            Phase::Ready {
                byte,
                next: self.bytes.min(byte + SEGMENT),
            }
        } else {
            Phase::Done
        };
    }

    fn segment(&self, byte: usize, next: usize) -> Segment<'_> {
        Segment {
            low: byte as u64 * NUMBERS_PER_BYTE,
            last: self.last.min(next as u64 * NUMBERS_PER_BYTE - 1),
            bytes: &self.buffer[SLACK + byte..SLACK + next],
            wheel_primes: &[],
        }
    }
}

/// Crosses off the odd multiples of `prime` among the positions `from..end`.
#[inline]
fn cross_off(bits: &mut [u8], base: u128, prime: u64, from: u64, end: u64) {
    let rest = ((base + u128::from(from)) % u128::from(prime)) as u64;
    let mut at = from + if rest == 0 { 0 } else { prime - rest };
    // The base is even.
    at += if at.is_multiple_of(2) { prime } else { 0 };
    while at < end {
        bits[(at / NUMBERS_PER_BYTE) as usize] &= KEEP[(at % NUMBERS_PER_BYTE) as usize];
        at += 2 * prime;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::search;
    use proptest::prelude::*;

    fn primes(mut sieve: WideSieve) -> Vec<u128> {
        let mut primes = Vec::new();
        loop {
            let base = sieve.base();
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => primes.extend(segment.primes().map(|at| base + u128::from(at))),
                Step::Done => return primes,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_range_holds_the_primes_that_tests_find(bits in 64_u32..84, low: u64, length in 0_u64..20_000) {
            let low = (1 << bits) + u128::from(low) % (1 << bits);
            let last = low + u128::from(length);
            let expected = std::iter::successors(search::next(low - 1), |prime| search::next(*prime));
            let expected: Vec<u128> = expected.take_while(|prime| *prime <= last).collect();
            prop_assert_eq!(primes(WideSieve::new(low, last)), expected);
        }

        #[test]
        fn sieving_by_all_primes_gives_what_testing_gives(low in 0_u64..1 << 40, length in 0_u64..3_000_000) {
            // Small enough to be sieved by all primes in no time.
            let (low, last) = (u128::from(low) + (1 << 40), u128::from(low + length) + (1 << 40));
            let mut all = WideSieve::new(low, last);
            (all.is_exact, all.max_prime) = (true, last.isqrt() as u64);
            let mut tested = WideSieve::new(low, last);
            (tested.is_exact, tested.max_prime) = (false, 1 << 20);
            let tested = primes(tested);
            prop_assert_eq!(&primes(all), &tested);
            let mut words = Vec::new();
            let mut sieve = Sieve::new(low as u64, last as u64);
            loop {
                match sieve.step() {
                    Step::Busy => {}
                    Step::Segment(segment) => words.extend(segment.primes().map(u128::from)),
                    Step::Done => break,
                }
            }
            prop_assert_eq!(tested, words);
        }
    }

    #[test]
    fn the_first_primes_beyond_2_to_the_64_are_found() {
        // By Miller-Rabin with the bases 2..37, which is a proof below 3.1e23 (A014233).
        let found = primes(WideSieve::new(u128::from(u64::MAX) - 60, (1 << 64) + 140));
        let beside: Vec<i64> = found.iter().map(|p| (*p as i128 - (1 << 64)) as i64).collect();
        assert_eq!(beside, [-59, 13, 37, 51, 81, 93]);
    }
}
