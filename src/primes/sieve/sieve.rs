//! The segmented sieve: which primes lie in `low..=last`, one segment after the other, in small steps. Knows no clock: whoever
//! calls decides after each step whether to go on.
//!
//! A segment is made in four phases: *feed* adds the sieving primes up to its square root, *chunks* starts its bytes from the
//! patterns of [`presieve`] and crosses off small primes a first-level cache at a time, then *medium* and *big* primes are
//! crossed off in the whole of it. Each phase is cut into steps of some 10 to 200 microseconds.
//!
//! All positions are bytes of the number line, `n / 30`, so nothing overflows up to 2^64.

use super::big::{self, BigPrimes};
use super::medium::MediumPrimes;
use super::presieve;
use super::primes_up_to;
use super::segment::Segment;
use super::small::{self, SmallPrimes};
use crate::primes::wheel::{BITS_BELOW, COPRIME_TO_210, NEXT_COPRIME, NEXT_COPRIME_210, NUMBERS_PER_BYTE, bit};
use std::sync::OnceLock;

/// Small primes are crossed off in chunks of so many bytes: the smallest first-level cache of today's machines.
const CHUNK: usize = 32 << 10;

/// Primes up to this bound are small.
const MAX_SMALL: u32 = 8 << 10;

/// The largest segment, in bytes: half of a usual second-level cache.
const MAX_SEGMENT: usize = 512 << 10;

/// Primes up to so many times a segment's bytes are medium.
const MEDIUM_FACTOR: usize = 3;

/// Blocks of big primes in a step.
const BIG_BLOCKS: usize = 16;

/// Words of a nested segment that are turned into sieving primes in a step: up to about 15,000 primes.
const FEED_WORDS: usize = 1024;

/// All primes below 2^16: enough to find the sieving primes of any sieve. Shared by all sieves of the process.
fn first_primes() -> &'static [u32] {
    static PRIMES: OnceLock<Vec<u32>> = OnceLock::new();
    PRIMES.get_or_init(|| primes_up_to(u16::MAX.into()))
}

/// Finds the primes of a range of numbers, segment by segment. Can be moved to another thread between any two steps.
///
/// ```
/// use primed::primes::sieve::{Sieve, Step};
///
/// let mut sieve = Sieve::new(100, 120);
/// let mut primes = Vec::new();
/// loop {
///     match sieve.step() {
///         Step::Busy => continue,
///         Step::Segment(segment) => primes.extend(segment.primes()),
///         Step::Done => break,
///     }
/// }
/// assert_eq!(primes, [101, 103, 107, 109, 113]);
/// ```
#[derive(Debug)]
pub struct Sieve {
    low: u64,
    last: u64,
    /// Bytes of a segment; the last one may be shorter.
    segment_bytes: usize,
    /// The current segment's first byte on the number line, and how many bytes it has.
    first_byte: u64,
    bytes: usize,
    /// The current segment with slack on both sides for the small primes' periods.
    buffer: Vec<u8>,
    phase: Phase,
    feed: Feed,
    small: SmallPrimes,
    medium: MediumPrimes,
    big: Option<BigPrimes>,
    max_medium: u32,
}

/// What a step did.
#[derive(Debug)]
pub enum Step<'a> {
    /// Some work; more is left for the current segment.
    Busy,
    /// Finished this segment.
    Segment(Segment<'a>),
    /// Nothing: all segments were returned.
    Done,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Start,
    Feed { root: u32 },
    Chunk { start: usize },
    Medium { class: usize },
    Big,
    Ready,
    Done,
}

/// Where sieving primes come from, ascending.
#[derive(Debug)]
enum Feed {
    /// From the table of the first primes, from this index on.
    Table(usize),
    /// From a sieve of its own, whose current segment has been taken up to `word`; `bits` is what is left of that word.
    Nested {
        sieve: Box<Sieve>,
        ready: bool,
        word: usize,
        bits: u64,
    },
}

impl Sieve {
    /// A sieve of the numbers `low..=last`; empty if `last < low`. Costs nothing: all work is done by steps.
    pub fn new(low: u64, last: u64) -> Self {
        let root = last.isqrt() as u32;
        let segment_bytes = (2 * root as usize).next_power_of_two().clamp(CHUNK, MAX_SEGMENT);
        let first_byte = low / NUMBERS_PER_BYTE / 8 * 8;
        Self {
            low,
            last,
            segment_bytes,
            first_byte,
            bytes: 0,
            buffer: Vec::new(),
            phase: if low > last { Phase::Done } else { Phase::Start },
            feed: Feed::Table(0),
            small: SmallPrimes::default(),
            medium: MediumPrimes::default(),
            big: None,
            max_medium: (segment_bytes * MEDIUM_FACTOR) as u32,
        }
    }

    /// Works for some 10 to 200 microseconds.
    pub fn step(&mut self) -> Step<'_> {
        match self.phase {
            Phase::Start => self.start_segment(),
            Phase::Feed { root } => self.feed_some(root),
            Phase::Chunk { start } => self.sieve_chunk(start),
            Phase::Medium { class } => self.cross_off_medium(class),
            Phase::Big => self.cross_off_big(),
            Phase::Ready => self.next_segment(),
            Phase::Done => {}
        }
        match self.phase {
            Phase::Ready => Step::Segment(self.segment()),
            Phase::Done => Step::Done,
            _ => Step::Busy,
        }
    }

    fn segment_low(&self) -> u64 {
        self.first_byte * NUMBERS_PER_BYTE
    }

    /// The last number of the current segment.
    fn segment_last(&self) -> u64 {
        let numbers = self.bytes as u64 * NUMBERS_PER_BYTE;
        self.segment_low().saturating_add(numbers - 1).min(self.last)
    }

    fn is_last_segment(&self) -> bool {
        self.first_byte + self.bytes as u64 > self.last / NUMBERS_PER_BYTE
    }

    fn segment(&self) -> Segment<'_> {
        Segment {
            low: self.segment_low(),
            last: self.segment_last(),
            bytes: &self.buffer[small::SLACK..][..self.bytes],
            wheel_primes: self.wheel_primes(),
        }
    }

    /// Those of 2, 3, 5 that are in the current segment.
    fn wheel_primes(&self) -> &'static [u64] {
        const ALL: &[u64] = &[2, 3, 5];
        if self.first_byte > 0 {
            return &[];
        }
        let from = ALL.partition_point(|&p| p < self.low);
        let to = ALL.partition_point(|&p| p <= self.last);
        &ALL[from..to]
    }

    fn start_segment(&mut self) {
        let left = self.last / NUMBERS_PER_BYTE - self.first_byte + 1;
        self.bytes = left.next_multiple_of(8).min(self.segment_bytes as u64) as usize;
        if self.buffer.is_empty() {
            let whole_blocks = self.bytes.next_multiple_of(presieve::BLOCK);
            self.buffer = vec![0; whole_blocks + 2 * small::SLACK];
            self.add_small_primes();
        }
        let root = self.segment_last().isqrt() as u32;
        self.phase = Phase::Feed { root };
    }

    /// The small primes do not wait for their squares: crossing off a few numbers too early costs less than looking.
    fn add_small_primes(&mut self) {
        let table = first_primes();
        let from = table.partition_point(|&p| p <= presieve::MAX_PRIME);
        let max = MAX_SMALL.min(self.last.isqrt() as u32);
        let to = table.partition_point(|&p| p <= max).max(from);
        for &prime in &table[from..to] {
            self.small.add(prime, self.first_byte);
        }
        self.feed = Feed::Table(to);
    }

    /// Adds sieving primes up to `root`, or a step's worth of them.
    fn feed_some(&mut self, root: u32) {
        let mut feed = std::mem::replace(&mut self.feed, Feed::Table(0));
        let complete = match &mut feed {
            Feed::Table(next) => {
                let table = first_primes();
                let to = *next + table[*next..].partition_point(|&p| p <= root);
                for &prime in &table[*next..to] {
                    self.add(prime);
                }
                *next = to;
                if to == table.len() && root > u16::MAX.into() {
                    let from = u64::from(u16::MAX) + 1;
                    let sieve = Box::new(Sieve::new(from, self.last.isqrt()));
                    feed = Feed::Nested {
                        sieve,
                        ready: false,
                        word: 0,
                        bits: 0,
                    };
                    false
                } else {
                    true
                }
            }
            Feed::Nested {
                sieve,
                ready,
                word,
                bits,
            } => self.feed_from(sieve, ready, word, bits, root),
        };
        self.feed = feed;
        if complete {
            self.phase = Phase::Chunk { start: 0 };
        }
    }

    /// Takes a step's worth of primes up to `root` from the nested sieve; true if there are no more.
    fn feed_from(&mut self, sieve: &mut Sieve, ready: &mut bool, word: &mut usize, bits: &mut u64, root: u32) -> bool {
        if !*ready {
            match sieve.step() {
                Step::Busy => return false,
                Step::Done => return true,
                Step::Segment(_) => (*ready, *word, *bits) = (true, usize::MAX, 0),
            }
        }
        let segment = sieve.segment();
        let words = segment.bytes().as_chunks::<8>().0;
        for _ in 0..FEED_WORDS {
            while *bits != 0 {
                let prime = segment.low()
                    + *word as u64 * 240
                    + u64::from(super::segment::OFFSETS[bits.trailing_zeros() as usize]);
                if prime > u64::from(root) {
                    return true;
                }
                self.add(prime as u32);
                *bits &= *bits - 1;
            }
            *word = word.wrapping_add(1);
            let Some(next) = words.get(*word) else {
                *ready = false;
                return false;
            };
            *bits = u64::from_le_bytes(*next);
        }
        false
    }

    /// Adds a sieving prime that is not small, from its square or the current segment on, whichever is later.
    #[inline]
    fn add(&mut self, prime: u32) {
        let (p, a, r) = (u64::from(prime), u64::from(prime / 30), prime % 30);
        let class = bit(r as usize);
        let q = self.segment_low().div_ceil(p).max(p);
        let byte_of = |q: u64| a * q + u64::from(r) * (q / 30) + u64::from(r) * (q % 30) / 30;
        if prime <= self.max_medium {
            let (up, state) = NEXT_COPRIME[(q % 30) as usize];
            let at = byte_of(q + u64::from(up)) - self.first_byte;
            self.medium.add(a as u32, class, state.into(), at as u32);
        } else {
            let (up, index) = NEXT_COPRIME_210[(q % 210) as usize];
            let at = byte_of(q + u64::from(up)) - self.first_byte;
            if at > self.last / NUMBERS_PER_BYTE - self.first_byte {
                return;
            }
            let state = class * COPRIME_TO_210 + usize::from(index);
            self.big
                .get_or_insert_with(|| BigPrimes::new(self.segment_bytes, self.last.isqrt() as u32))
                .add(a as u32, state as u32, at as usize);
        }
    }

    /// Starts one chunk from the patterns and crosses off its small primes.
    fn sieve_chunk(&mut self, start: usize) {
        let length = CHUNK.min(self.bytes - start);
        let at = small::SLACK + start;
        let whole_blocks = length.next_multiple_of(presieve::BLOCK);
        presieve::fill(&mut self.buffer[at..at + whole_blocks], self.first_byte + start as u64);
        self.small.cross_off(&mut self.buffer, at, length);
        let start = start + length;
        self.phase = if start < self.bytes {
            Phase::Chunk { start }
        } else {
            Phase::Medium { class: 0 }
        };
    }

    fn cross_off_medium(&mut self, class: usize) {
        self.medium
            .cross_off(class, &mut self.buffer[small::SLACK..][..self.bytes]);
        if class < 7 {
            self.phase = Phase::Medium { class: class + 1 };
        } else if self.big.is_some() {
            self.phase = Phase::Big;
        } else {
            self.finish_segment();
        }
    }

    fn cross_off_big(&mut self) {
        let segment = &mut self.buffer[small::SLACK..][..self.bytes];
        let Some(big) = &mut self.big else { return };
        for _ in 0..BIG_BLOCKS {
            if !big.cross_off_some(segment) {
                return self.finish_segment();
            }
        }
    }

    /// Puts back the primes that crossed themselves off, and clears what is out of bounds.
    fn finish_segment(&mut self) {
        let (first_byte, low, last) = (self.first_byte, self.segment_low(), self.last);
        let is_last = self.is_last_segment();
        let segment = &mut self.buffer[small::SLACK..][..self.bytes];
        if low < MAX_SMALL.into() {
            for p in first_primes()
                .iter()
                .take_while(|&&p| p <= MAX_SMALL)
                .skip(3)
                .map(|&p| p as usize)
            {
                if let Some(byte) = (p / 30)
                    .checked_sub(first_byte as usize)
                    .and_then(|k| segment.get_mut(k))
                {
                    *byte |= 1 << bit(p % 30);
                }
            }
        }
        if low == 0 {
            // 1 is no prime.
            segment[0] &= !1;
        }
        if low < self.low {
            let k = ((self.low - low) / NUMBERS_PER_BYTE) as usize;
            segment[..k].fill(0);
            segment[k] &= !BITS_BELOW[(self.low % NUMBERS_PER_BYTE) as usize];
        }
        if is_last {
            let k = (last / NUMBERS_PER_BYTE - first_byte) as usize;
            segment[k] &= BITS_BELOW[(last % NUMBERS_PER_BYTE) as usize + 1];
            segment[k + 1..].fill(0);
        }
        self.phase = Phase::Ready;
    }

    fn next_segment(&mut self) {
        if self.is_last_segment() {
            self.phase = Phase::Done;
        } else {
            self.first_byte += self.bytes as u64;
            self.phase = Phase::Start;
        }
    }
}

const _: () = assert!(MAX_SEGMENT <= big::MAX_SEGMENT && MAX_SMALL as usize <= small::SLACK);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::naive;
    use proptest::prelude::*;

    fn primes(low: u64, last: u64) -> Vec<u64> {
        let mut sieve = Sieve::new(low, last);
        let mut primes = Vec::new();
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Done => return primes,
                Step::Segment(segment) => {
                    let start = primes.len();
                    primes.extend(segment.primes());
                    assert_eq!(segment.count(), (primes.len() - start) as u64);
                    let mut walked = Vec::new();
                    segment.for_each(|p| walked.push(p));
                    assert_eq!(walked, primes[start..]);
                }
            }
        }
    }

    fn count(low: u64, last: u64) -> u64 {
        let mut sieve = Sieve::new(low, last);
        let mut count = 0;
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Done => return count,
                Step::Segment(segment) => count += segment.count(),
            }
        }
    }

    #[test]
    fn every_small_range_is_right() {
        for low in 0..70 {
            for last in 0..130 {
                assert_eq!(primes(low, last), naive::primes(low, last), "{low}..={last}");
            }
        }
        for last in 130..2000 {
            assert_eq!(primes(last - 130, last), naive::primes(last - 130, last));
        }
    }

    #[test]
    fn counts_agree_with_oeis_a006880() {
        for (k, expected) in [
            (3, 168),
            (4, 1229),
            (5, 9592),
            (6, 78_498),
            (7, 664_579),
            (8, 5_761_455),
            (9, 50_847_534),
        ] {
            assert_eq!(count(0, 10_u64.pow(k)), expected);
        }
    }

    #[test]
    fn counts_at_high_offsets_agree_with_primesieve() {
        assert_eq!(count(1_000_000_000_000, 1_000_100_000_000), 3_618_282);
    }

    #[test]
    fn last_primes_below_2_to_the_64_are_found() {
        // PARI: for(k = 0, 255, if(isprime(2^64 - 1 - k), print(2^64 - k)))
        let below = [59, 83, 95, 179, 189, 257, 279].map(|k| u64::MAX - (k - 1));
        let found = primes(u64::MAX - 278, u64::MAX);
        assert_eq!(found, below.iter().rev().copied().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_range_is_what_trial_division_finds(low in 0_u64..1 << 34, length in 0_u64..2000) {
            prop_assert_eq!(primes(low, low + length), naive::primes(low, low + length));
        }

        #[test]
        fn two_parts_are_the_whole(low in 0_u64..1 << 44, length in 1_u64..20_000_000, cut in 0.0..1.0_f64) {
            let middle = low + (length as f64 * cut) as u64;
            prop_assert_eq!(count(low, middle) + count(middle + 1, low + length), count(low, low + length));
        }
    }
}
