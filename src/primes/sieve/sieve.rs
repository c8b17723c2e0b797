//! The segmented sieve: which primes lie in `low..=last`, one segment after the other, in small steps. Knows no clock:
//! the caller decides after each step whether to go on.
//!
//! A segment is made in five phases: *feed* adds the sieving primes up to its square root, *chunks* starts its bytes
//! from the patterns of [`presieve`] and crosses off the smallest primes a first-level cache at a time, then the other
//! *small*, the *medium* and the *big* primes are crossed off in the whole of it. Each phase is cut into steps of some
//! 10 to 200 microseconds.
//!
//! All positions are bytes of the number line, `n / 30`, so nothing overflows up to 2^64.

use super::big::{self, BigPrimes};
use super::bits::Bits;
use super::feed::Feed;
use super::first_multiple::{self, FirstMultiples, Wheel};
use super::medium::MediumPrimes;
use super::presieve;

use super::segment::Segment;
use super::small::{self, SmallPrimes};
use crate::primes::caches;
use crate::primes::estimate::most_primes;
use crate::primes::known::PRIMES;
use crate::primes::primality::is_prime_u64;
use crate::primes::wheel::{BITS_BELOW, COPRIME_TO_210, NUMBERS_PER_BYTE, NUMBERS_PER_WORD, RESIDUES, bit};

/// The smallest primes are crossed off in chunks of this many bytes: the smallest first-level cache of today's
/// machines.
const CHUNK: usize = 32 << 10;

/// Primes up to this bound are crossed off in chunks.
const MAX_IN_CHUNK: u32 = 16 << 10;

/// Primes up to this bound are small, if a segment and the range are at least [`PERIODS`] times as long as their
/// period. What they save is the state of a wheel; it costs one wrong guess of where they end in a segment.
const MAX_SMALL: u32 = 128 << 10;
const PERIODS: usize = 4;

/// The most bytes of a segment: half of a usual second-level cache. Beyond a large square root, most of what a segment
/// costs is to look at primes without a multiple in it, and longer ones are better: see [`longest_segment`].
const SEGMENT: usize = 512 << 10;
const LARGE_SEGMENT: usize = 1 << 20;
const LARGEST_SEGMENT: usize = 2 << 20;
const LARGE_ROOT: u32 = 8 << 20;

/// Blocks of big primes in a step.
const BIG_BLOCKS: usize = 16;

/// Only with a square root above this can it be cheaper to sieve by primes up to this bound only and to test what is
/// left.
const PARTIAL_BOUND: u32 = 1 << 20;

/// Bytes of a segment if what is left is tested: that takes so much longer than sieving that segments may be short.
const PARTIAL_SEGMENT: usize = 2 << 10;

/// What the work costs, in nanoseconds on the machine it was measured on: to add the sieving primes for each number up
/// to their bound, to test what is left for each number of the range.
const FEED_COST: f64 = 0.27;
const TEST_COST: f64 = 22.0;
/// The first without AVX-512, beside numbers of the range that take what they take with it: Zen 2, 10^18 and 3 10^18.
const FEED_COST_WITHOUT_AVX512: f64 = 0.85;

/// Words whose numbers are tested in a step: about 20 numbers.
const TEST_WORDS: usize = 2;

/// Finds the primes of a range of numbers, segment by segment. Can be moved to another thread between any two steps.
///
/// ```
/// use primed::internals::sieve::{Sieve, Step};
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
    phase: Phase,
    /// The current segment.
    bits: Bits,
    /// Made with the first segment.
    feed: Option<Feed>,
    first_multiples: FirstMultiples,
    in_chunks: SmallPrimes,
    small: SmallPrimes,
    max_small: u32,
    medium: MediumPrimes,
    big: Option<BigPrimes>,
    max_medium: u32,
    /// The largest sieving prime. If it is below the square root of `last`, what is left is tested.
    max_prime: u32,
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

/// What a sieve costs, in nanoseconds on the machine the model was fitted on: good for shares and comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// To find the sieving primes.
    pub start: f64,
    /// The same with AVX-512, whether there is any or not.
    pub start_with_avx512: f64,
    /// For each number of the range.
    pub per_number: f64,
}

impl Cost {
    /// For each number, with all sieving primes up to `root`, 10 or more.
    pub(crate) fn of_a_number(root: f64) -> f64 {
        0.0025 * 1.9_f64.powf(root.log10())
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Start,
    Feed { root: u32 },
    Chunk { start: usize },
    Small { start: usize, class: usize },
    Medium,
    Big,
    Test { byte: usize },
    Ready,
    Done,
}

impl Sieve {
    /// A sieve of the numbers `low..=last`; empty if `last < low`. Costs nothing: all work is done by steps.
    pub fn new(low: u64, last: u64) -> Self {
        Self::with_segments(low, last, LARGEST_SEGMENT)
    }

    /// The same with segments of at most `most_bytes` (but 32 KiB at least), for a caller that holds several sieves at
    /// once, or takes long for a segment. Costs some speed.
    pub fn with_segments(low: u64, last: u64, most_bytes: usize) -> Self {
        let root = last.isqrt() as u32;
        let numbers = last.saturating_sub(low);
        let is_partial = root > PARTIAL_BOUND && (numbers as f64) * TEST_COST < f64::from(root) * FEED_COST;
        let max_prime = if is_partial { PARTIAL_BOUND } else { root };
        let medium = MediumPrimes::new();
        let segment_bytes = if is_partial {
            PARTIAL_SEGMENT
        } else {
            (2 * root as usize).next_power_of_two().clamp(
                CHUNK,
                most_bytes.next_power_of_two().clamp(CHUNK, max_segment(root, &medium)),
            )
        };
        let first_byte = low / NUMBERS_PER_BYTE / 8 * 8;
        Self {
            low,
            last,
            segment_bytes,
            first_byte,
            bytes: 0,
            phase: if low > last { Phase::Done } else { Phase::Start },
            bits: Bits::default(),
            feed: None,
            first_multiples: FirstMultiples::default(),
            in_chunks: SmallPrimes::of(known_above(presieve::MAX_PRIME)),
            small: SmallPrimes::of(known_above(MAX_IN_CHUNK)),
            max_small: max_small(segment_bytes.min((numbers / NUMBERS_PER_BYTE) as usize)),
            max_medium: max_medium(&medium, numbers, segment_bytes),
            medium,
            big: None,
            max_prime,
        }
    }

    /// The same sieve, which has done nothing yet, without its numbers below `next`: the segments are as long, and
    /// begin at [`Sieve::align`] of it.
    pub fn beginning_at(mut self, next: u64) -> Self {
        self.low = self.low.max(next);
        self.first_byte = self.low / NUMBERS_PER_BYTE / 8 * 8;
        if self.low > self.last {
            self.phase = Phase::Done;
        }
        self
    }

    /// Works for some 10 to 200 microseconds.
    pub fn step(&mut self) -> Step<'_> {
        match self.phase {
            Phase::Start => self.start_segment(),
            Phase::Feed { root } => self.feed_some(root),
            Phase::Chunk { start } => self.sieve_chunk(start),
            Phase::Small { start, class } => self.cross_off_small(start, class),
            Phase::Medium => self.cross_off_medium(),
            Phase::Big => self.cross_off_big(),
            Phase::Test { byte } => self.test_some(byte),
            Phase::Ready => self.next_segment(),
            Phase::Done => {}
        }
        match self.phase {
            Phase::Ready => Step::Segment(self.segment()),
            Phase::Done => Step::Done,
            _ => Step::Busy,
        }
    }

    /// Where the segments of a sieve from `low` on begin: the multiple of 240 at or below it.
    pub fn align(low: u64) -> u64 {
        low - low % NUMBERS_PER_WORD
    }

    /// How many numbers a segment is about; the first is that much above [`Sieve::align`] of the lower bound, the last
    /// segment may be shorter.
    pub fn segment_numbers(&self) -> u64 {
        self.segment_bytes as u64 * NUMBERS_PER_BYTE
    }

    /// What the whole work is expected to cost.
    pub fn cost(&self) -> Cost {
        let root = f64::from(self.max_prime.max(10));
        let is_exact = self.max_prime >= self.last.isqrt() as u32;
        let per_number = if is_exact { Cost::of_a_number(root) } else { TEST_COST };
        let feed = if first_multiple::has_avx512() {
            FEED_COST
        } else {
            FEED_COST_WITHOUT_AVX512
        };
        Cost {
            start: feed * root,
            start_with_avx512: FEED_COST * root,
            per_number,
        }
    }

    /// The share of the sieving primes that have been found, 0.0..=1.0.
    pub fn prepared(&self) -> f64 {
        self.feed.as_ref().map_or(0.0, Feed::progress)
    }

    /// Upper bound of the bytes the sieve will hold.
    pub fn memory_bound(&self) -> u64 {
        let numbers = self.last.saturating_sub(self.low) as f64;
        let max_medium = f64::from(self.max_medium.min(self.max_prime));
        let medium = most_primes(max_medium);
        let big = (primes_held(f64::from(self.max_prime), max_medium, numbers) - medium).max(0.0);
        // 8 bytes for each prime and a block for each bucket; lists grow in advance to twice that, the arena of the big
        // ones by an eighth.
        let segments = f64::from(self.max_prime) / 3.0 / self.segment_bytes as f64;
        (1 << 20) + 2 * self.segment_bytes as u64 + (16.0 * medium + 9.0 * big + 16384.0 * segments) as u64
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

    pub(super) fn segment(&self) -> Segment<'_> {
        Segment {
            low: self.segment_low(),
            last: self.segment_last(),
            bytes: self.bits.segment(self.bytes),
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
        if self.feed.is_none() {
            self.feed = Some(Feed::new(self.max_small, self.max_prime));
            self.bits = Bits::new(self.bytes, self.max_small as usize);
        } else {
            self.bits.advance(self.segment_bytes);
        }
        let root = self.max_prime.min(self.segment_last().isqrt() as u32);
        self.phase = Phase::Feed { root };
    }

    /// Adds sieving primes up to `root`, or a batch of them.
    #[inline(never)]
    fn feed_some(&mut self, root: u32) {
        let low = self.segment_low();
        let Some(primes) = self.feed.as_mut().and_then(|feed| feed.take(root)) else {
            self.phase = Phase::Chunk { start: 0 };
            return;
        };
        let (medium, big) = primes.split_at(primes.partition_point(|&p| p <= self.max_medium));
        if !medium.is_empty() {
            self.medium.add(medium, low, &mut self.first_multiples);
        }
        if !big.is_empty() {
            self.first_multiples.find(big, low, Wheel::Modulo210);
            let reach = self.last / NUMBERS_PER_BYTE - self.first_byte;
            let big = self
                .big
                .get_or_insert_with(|| BigPrimes::new(self.segment_bytes, self.max_prime));
            big.add(&self.first_multiples, reach);
        }
    }

    /// Starts one chunk from the patterns and crosses off the smallest primes.
    fn sieve_chunk(&mut self, start: usize) {
        let length = CHUNK.min(self.bytes - start);
        let first_byte = self.first_byte + start as u64;
        let root = root_before(first_byte + length as u64);
        self.in_chunks
            .add_up_to(root.min(MAX_IN_CHUNK).min(self.max_prime), first_byte);
        // Periods reach out of the chunk, so what follows it is begun.
        self.bits.begin(start + length + MAX_IN_CHUNK as usize, self.first_byte);
        let (bytes, at) = self.bits.with_slack();
        self.in_chunks.cross_off(bytes, at + start, length);
        let start = start + length;
        self.phase = if start < self.bytes {
            Phase::Chunk { start }
        } else {
            Phase::Small { start: 0, class: 0 }
        };
    }

    /// Crosses off the other small primes of one residue, in a stretch that the second-level cache holds.
    fn cross_off_small(&mut self, start: usize, class: usize) {
        let length = SEGMENT.min(self.bytes - start);
        if class == 0 {
            let first_byte = self.first_byte + start as u64;
            let root = root_before(first_byte + length as u64);
            self.small
                .add_up_to(root.min(self.max_small).min(self.max_prime), first_byte);
            self.bits
                .begin(start + length + self.max_small as usize, self.first_byte);
        }
        let (bytes, at) = self.bits.with_slack();
        self.small.cross_off_class(class, bytes, at + start, length);
        let (class, next) = (class + 1, start + length);
        self.phase = if self.max_small <= MAX_IN_CHUNK {
            Phase::Medium
        } else if class < small::CLASSES {
            Phase::Small { start, class }
        } else if next < self.bytes {
            Phase::Small { start: next, class: 0 }
        } else {
            Phase::Medium
        };
    }

    fn cross_off_medium(&mut self) {
        let segment = self.bits.segment_mut(self.bytes);
        if self.medium.cross_off_some(segment) {
            return;
        }
        if self.big.is_some() {
            self.phase = Phase::Big;
        } else {
            self.finish_segment();
        }
    }

    fn cross_off_big(&mut self) {
        let segment = self.bits.segment_mut(self.bytes);
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
        let segment = self.bits.segment_mut(self.bytes);
        if low < self.max_small.into() {
            for p in PRIMES
                .iter()
                .take_while(|&&p| p <= self.max_small)
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
        let is_exact = self.max_prime >= self.segment_last().isqrt() as u32;
        self.phase = if is_exact {
            Phase::Ready
        } else {
            Phase::Test { byte: 0 }
        };
    }

    /// Clears what is left but not prime in some words.
    fn test_some(&mut self, start: usize) {
        let low = self.segment_low();
        let end = (start + 8 * TEST_WORDS).min(self.bytes);
        for (byte, k) in self.bits.segment_mut(end)[start..].iter_mut().zip(start..) {
            for (j, residue) in RESIDUES.iter().enumerate() {
                if *byte >> j & 1 == 1 && !is_prime_u64(low + NUMBERS_PER_BYTE * k as u64 + u64::from(*residue)) {
                    *byte &= !(1 << j);
                }
            }
        }
        self.phase = if end < self.bytes {
            Phase::Test { byte: end }
        } else {
            Phase::Ready
        };
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

/// The most bytes of a segment of a sieve whose largest prime is at most `root`.
fn max_segment(root: u32, medium: &MediumPrimes) -> usize {
    if root < LARGE_ROOT {
        return SEGMENT;
    }
    // With sixteen primes at a time 2 MiB were not measured.
    let third = caches::share_of(3).filter(|_| !medium.are_sixteen());
    longest_segment(caches::share_of(2), third)
}

/// The same of a large root, by the bytes of second-level and third-level cache for each thread. A second level
/// of 512 KiB does not hold a segment of its size beside the primes that pass through it; then the third level has to,
/// and may as well hold a longer one.
fn longest_segment(second: Option<usize>, third: Option<usize>) -> usize {
    match (second.unwrap_or(0), third.unwrap_or(0)) {
        (LARGE_SEGMENT.., _) => LARGE_SEGMENT,
        (SEGMENT.., LARGEST_SEGMENT..) => LARGEST_SEGMENT,
        _ => SEGMENT,
    }
}

/// The bound of small primes where these bytes are crossed off at once.
fn max_small(bytes: usize) -> u32 {
    (bytes / PERIODS).clamp(MAX_IN_CHUNK as usize, MAX_SMALL as usize) as u32
}

/// The bound of medium primes. They go by the bytes of a segment, or of a shorter range: of larger primes most have no
/// multiple in that, and only big ones that have none are left out. Chunks are the shortest that medium primes are good
/// for.
fn max_medium(medium: &MediumPrimes, numbers: u64, segment_bytes: usize) -> u32 {
    let range_bytes = (numbers / NUMBERS_PER_BYTE + 1).clamp(CHUNK as u64, segment_bytes.max(CHUNK) as u64);
    medium.max_prime(range_bytes as usize)
}

/// The primes of the table above a bound.
fn known_above(bound: u32) -> &'static [u32] {
    &PRIMES[PRIMES.partition_point(|&p| p <= bound)..]
}

/// The root of the numbers before this byte of the number line: no larger prime has its square among them.
fn root_before(byte: u64) -> u32 {
    byte.saturating_mul(NUMBERS_PER_BYTE).isqrt() as u32
}

/// About how many primes up to `root` are held for `numbers` consecutive ones: the medium ones, and of the others those
/// with a multiple coprime to 210 among these; rather more than less.
fn primes_held(root: f64, max_medium: f64, numbers: f64) -> f64 {
    let reach = (numbers * COPRIME_TO_210 as f64 / 210.0).max(1000.0);
    let all_up_to = reach.max(max_medium);
    if all_up_to >= root {
        most_primes(root)
    } else {
        // Mertens: the reciprocals of the primes between a and b sum up to ln(ln b / ln a).
        most_primes(all_up_to) + reach * (root.ln() / all_up_to.ln()).ln()
    }
}

const _: () = assert!(LARGEST_SEGMENT <= big::MAX_SEGMENT && MAX_SMALL as usize <= small::LIMIT);
const _: () = assert!(MAX_IN_CHUNK >= first_multiple::MIN_PRIME);

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
        // Some of the small primes are in the range, and some are below it.
        let below = naive::primes(0, 49_999).len() as u64;
        assert_eq!(count(50_000, 1_000_000_000), 50_847_534 - below);
    }

    #[test]
    fn counts_at_high_offsets_agree_with_primesieve() {
        // primesieve LOW -d LENGTH
        assert_eq!(count(1_000_000_000_000, 1_000_100_000_000), 3_618_282);
        assert_eq!(
            count(1_000_000_000_000_000, 1_000_000_000_000_000 + 100_000_000),
            2_893_937
        );
        assert_eq!(
            count(1_000_000_000_000_000_000, 1_000_000_000_000_000_000 + 20_000_000),
            483_161
        );
    }

    #[test]
    fn last_primes_below_2_to_the_64_are_found() {
        // PARI: for(k = 0, 255, if(isprime(2^64 - 1 - k), print(2^64 - k)))
        let below = [59, 83, 95, 179, 189, 257, 279].map(|k| u64::MAX - (k - 1));
        let found = primes(u64::MAX - 278, u64::MAX);
        assert_eq!(found, below.iter().rev().copied().collect::<Vec<_>>());
    }

    #[test]
    fn testing_what_is_left_gives_what_sieving_gives() {
        // Above the root of 2^40 both ways are open; the longer range is sieved, the shorter ones are tested.
        let (low, length) = (1_u64 << 50, 1_000_000);
        let whole = primes(low, low + length);
        let parts = (0..10).flat_map(|i| primes(low + i * length / 10, low + (i + 1) * length / 10 - 1));
        assert!(parts.eq(whole.into_iter().filter(|&p| p < low + length)));
    }

    #[test]
    fn segments_follow_the_caches() {
        let kib = |kib: usize| Some(kib << 10);
        assert_eq!(longest_segment(kib(1024), kib(4096)), 1 << 20);
        assert_eq!(longest_segment(kib(2048), None), 1 << 20);
        assert_eq!(longest_segment(kib(512), kib(2048)), 2 << 20);
        assert_eq!(longest_segment(kib(512), kib(1024)), 512 << 10);
        assert_eq!(longest_segment(kib(256), kib(2048)), 512 << 10);
        assert_eq!(longest_segment(None, None), 512 << 10);
        assert_eq!(max_segment(LARGE_ROOT - 1, &MediumPrimes::in_lists()), SEGMENT);
    }

    #[test]
    fn long_segments_give_the_same() {
        // 100 million numbers are two of 2 MiB. In lists primes from 3 or 6 million on are big.
        for (segment_bytes, is_in_lists) in [
            (SEGMENT, false),
            (LARGE_SEGMENT, false),
            (LARGEST_SEGMENT, false),
            (LARGE_SEGMENT, true),
            (LARGEST_SEGMENT, true),
        ] {
            let mut sieve = Sieve::new(1_000_000_000_000_000, 1_000_000_000_000_000 + 100_000_000);
            sieve.segment_bytes = segment_bytes;
            if is_in_lists {
                sieve.medium = MediumPrimes::in_lists();
            }
            sieve.max_medium = sieve.medium.max_prime(segment_bytes);
            let (mut found, mut segments) = (0, 0);
            loop {
                match sieve.step() {
                    Step::Busy => {}
                    Step::Done => break,
                    Step::Segment(segment) => {
                        found += segment.count();
                        segments += 1;
                    }
                }
            }
            assert_eq!(found, 2_893_937);
            assert!(segments > 1 && sieve.big.is_some() >= is_in_lists);
        }
    }

    /// The ways in which this machine can hold medium primes.
    fn ways() -> Vec<MediumPrimes> {
        let mut ways = vec![MediumPrimes::in_lists()];
        #[cfg(target_arch = "x86_64")]
        ways.extend(crate::primes::sieve::lanes::Lanes::eight().map(MediumPrimes::in_lanes));
        ways.push(MediumPrimes::new());
        ways
    }

    #[test]
    fn short_ranges_far_up_hold_no_more_than_their_bound_in_any_way() {
        let low = 1_u64 << 52;
        for (numbers, most) in [(900_000, 8 << 20), (4_000_000, 16 << 20), (19_500_000, 50 << 20)] {
            let mut counts = Vec::new();
            for medium in ways() {
                let mut sieve = Sieve::new(low, low + numbers);
                assert_eq!(
                    sieve.max_prime,
                    (low + numbers).isqrt() as u32,
                    "it is not tested instead"
                );
                sieve.max_medium = max_medium(&medium, numbers, sieve.segment_bytes);
                sieve.medium = medium;
                let (bound, mut found) = (sieve.memory_bound(), 0);
                loop {
                    match sieve.step() {
                        Step::Busy => {}
                        Step::Done => break,
                        Step::Segment(segment) => found += segment.count(),
                    }
                }
                counts.push(found);
                let held = sieve.medium.bytes() + sieve.big.as_ref().map_or(0, BigPrimes::bytes);
                assert!((held as u64) < bound && bound < most, "{held} of {bound} for {numbers}");
            }
            assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        }
    }

    #[test]
    fn a_sieve_goes_on_after_it_was_moved() {
        let mut sieve = Sieve::new(0, 10_000_000);
        let mut count = 0;
        loop {
            let step = std::thread::spawn(move || {
                let found = match sieve.step() {
                    Step::Busy => Some(0),
                    Step::Segment(segment) => Some(segment.count()),
                    Step::Done => None,
                };
                (sieve, found)
            });
            let found;
            (sieve, found) = step.join().expect("sieves");
            match found {
                Some(found) => count += found,
                None => break,
            }
        }
        assert_eq!(count, 664_579);
    }

    #[test]
    fn medium_primes_in_lists_and_in_eight_lanes_give_the_same() {
        for medium in ways() {
            // Whatever this machine would choose: 100 million numbers at 1e15 are several segments, with big primes as
            // well.
            let mut sieve = Sieve::new(1_000_000_000_000_000, 1_000_000_000_000_000 + 100_000_000);
            sieve.max_medium = medium.max_prime(sieve.segment_bytes);
            sieve.medium = medium;
            let mut found = 0;
            loop {
                match sieve.step() {
                    Step::Busy => {}
                    Step::Done => break,
                    Step::Segment(segment) => found += segment.count(),
                }
            }
            assert_eq!(found, 2_893_937);
        }
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
