//! One sieved segment: its bits and the ways to read them. Knows nothing of how it was sieved.

use super::popcount::{count_ones, ranks};
use crate::primes::wheel::{BITS_BELOW, NUMBERS_PER_BYTE, NUMBERS_PER_WORD, RESIDUES};

/// The primes of a stretch of numbers, as bits; borrowed from the sieve until its next step.
///
/// Bit `j` of byte `k` is set if `low() + 30 k + [1, 7, 11, 13, 17, 19, 23, 29][j]` is prime and within the bounds of
/// the sieve. Words are eight bytes, the first byte lowest, so bits ascend within words as numbers do. The primes 2, 3
/// and 5 have no bits; they are [`Segment::wheel_primes`] of the first segment, and every count and walk here includes
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub(super) low: u64,
    pub(super) last: u64,
    pub(super) bytes: &'a [u8],
    pub(super) wheel_primes: &'static [u64],
}

/// For each bit of a word how far its number is from the word's first.
pub(super) const OFFSETS: [u8; 64] = {
    let mut table = [0; 64];
    let mut i = 0;
    while i < 64 {
        table[i] = 30 * (i as u8 / 8) + RESIDUES[i % 8];
        i += 1;
    }
    table
};

impl<'a> Segment<'a> {
    /// The number at which the bits begin: a multiple of 240. Numbers below the sieve's own bound have no bits set.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// The last number the segment is about, inclusive.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Those of 2, 3 and 5 that are in the segment.
    pub fn wheel_primes(&self) -> &'static [u64] {
        self.wheel_primes
    }

    /// The bits as bytes; a multiple of eight.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bits as words.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        self.bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
    }

    /// How many primes there are. Takes about 0.1 ns for a word with AVX-512, 0.4 ns with popcnt.
    pub fn count(&self) -> u64 {
        self.wheel_primes.len() as u64 + count_ones(self.bytes)
    }

    /// Calls `take` with every prime, ascending. The fastest way to have them all.
    #[inline]
    pub fn for_each(&self, mut take: impl FnMut(u64)) {
        self.wheel_primes.iter().copied().for_each(&mut take);
        let mut base = self.low;
        for word in self.words() {
            let mut bits = word;
            while bits != 0 {
                take(base + u64::from(OFFSETS[bits.trailing_zeros() as usize]));
                bits &= bits - 1;
            }
            // This can wrap only after the final word of the numbers below 2^64, and is not used then.
            base = base.wrapping_add(NUMBERS_PER_WORD);
        }
    }

    /// The sum of the primes. They are added up word by word: a count times the word's first number, and the distances
    /// from it.
    pub fn sum(&self) -> u128 {
        let mut sum: u128 = self.wheel_primes.iter().map(|prime| u128::from(*prime)).sum();
        let mut base = self.low;
        for word in self.words() {
            let mut offsets = 0;
            let mut bits = word;
            while bits != 0 {
                offsets += u64::from(OFFSETS[bits.trailing_zeros() as usize]);
                bits &= bits - 1;
            }
            sum += u128::from(base) * u128::from(word.count_ones()) + u128::from(offsets);
            base = base.wrapping_add(NUMBERS_PER_WORD);
        }
        sum
    }

    /// The primes, ascending.
    pub fn primes(&self) -> impl Iterator<Item = u64> + use<'a> {
        let low = self.low;
        let in_words = self.words().enumerate().flat_map(move |(index, mut bits)| {
            std::iter::from_fn(move || {
                let offset = OFFSETS.get(bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(low + index as u64 * NUMBERS_PER_WORD + u64::from(*offset))
            })
        });
        self.wheel_primes.iter().copied().chain(in_words)
    }

    /// The same in parts of at most `most_bytes`, a multiple of eight; ascending.
    pub fn parts(&self, most_bytes: usize) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let Self {
            low,
            last,
            bytes,
            wheel_primes,
        } = *self;
        bytes
            .chunks(most_bytes.next_multiple_of(8))
            .enumerate()
            .map(move |(index, part)| {
                let low = low + (index * most_bytes.next_multiple_of(8)) as u64 * NUMBERS_PER_BYTE;
                let part_last = low.saturating_add(part.len() as u64 * NUMBERS_PER_BYTE - 1);
                let wheel_primes = if index == 0 { wheel_primes } else { &[] };
                Segment {
                    low,
                    last: part_last.min(last),
                    bytes: part,
                    wheel_primes,
                }
            })
    }

    /// A copy that outlives the sieve's next step.
    pub fn to_owned(&self) -> OwnedSegment {
        let Self {
            low,
            last,
            bytes,
            wheel_primes,
        } = *self;
        OwnedSegment {
            low,
            last,
            bytes: bytes.into(),
            wheel_primes,
        }
    }

    /// The sum, over the numbers `start + place` of the segment, of how many of its primes are at most that; the places
    /// descend. Takes some 2 ns for a place and as long as [`count`](Self::count) for what lies between.
    pub fn sum_of_ranks(&self, start: u64, places: &[u32]) -> u64 {
        debug_assert!(self.wheel_primes.is_empty(), "these have no bits");
        ranks(
            self.bytes,
            places.iter().map(|&place| start + u64::from(place) - self.low),
        )
    }

    /// Starts to count primes up to ascending bounds.
    pub fn counter(&self) -> Counter<'a> {
        Counter {
            segment: *self,
            words_counted: 0,
            count: 0,
        }
    }
}

/// A copy of a [`Segment`].
#[derive(Clone, Debug)]
pub struct OwnedSegment {
    low: u64,
    last: u64,
    bytes: Box<[u8]>,
    wheel_primes: &'static [u64],
}

impl OwnedSegment {
    /// What it is a copy of.
    pub fn segment(&self) -> Segment<'_> {
        let Self {
            low,
            last,
            ref bytes,
            wheel_primes,
        } = *self;
        Segment {
            low,
            last,
            bytes,
            wheel_primes,
        }
    }
}

/// Counts the primes of a segment up to ascending bounds, each part of the segment once.
#[derive(Clone, Debug)]
pub struct Counter<'a> {
    segment: Segment<'a>,
    words_counted: usize,
    count: u64,
}

impl Counter<'_> {
    /// How many primes of the segment are `<= bound`. Bounds must not descend; outside of the segment every bound is
    /// good.
    #[inline]
    pub fn up_to(&mut self, bound: u64) -> u64 {
        let Segment {
            low,
            bytes,
            wheel_primes,
            ..
        } = self.segment;
        if bound < low {
            return 0;
        }
        let byte = ((bound - low) / NUMBERS_PER_BYTE).min(bytes.len() as u64) as usize;
        let word = byte / 8;
        debug_assert!(word >= self.words_counted, "bounds descend");
        let whole = &bytes[8 * self.words_counted..8 * word];
        self.count += count_ones(whole);
        self.words_counted = word;
        let mut count = self.count + wheel_primes.iter().filter(|&&p| p <= bound).count() as u64;
        if let Some(bits) = bytes[8 * word..].first_chunk() {
            let number = (bound - low) % NUMBERS_PER_BYTE;
            let shift = 8 * (byte % 8);
            let below = ((1 << shift) - 1) | (u64::from(BITS_BELOW[number as usize + 1]) << shift);
            count += u64::from((u64::from_le_bytes(*bits) & below).count_ones());
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use crate::primes::sieve::{Sieve, Step, naive};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counters_count_up_to_any_bounds(low in 0_u64..5000, length in 1_u64..5000, mut bounds in prop::collection::vec(0_u64..12_000, 1..20)) {
            let mut sieve = Sieve::new(low, low + length);
            let primes = naive::primes(low, low + length);
            bounds.sort_unstable();
            loop {
                match sieve.step() {
                    Step::Busy => {}
                    Step::Done => break,
                    Step::Segment(segment) => {
                        let mut counter = segment.counter();
                        for &bound in &bounds {
                            prop_assert_eq!(counter.up_to(bound), primes.partition_point(|&p| p <= bound) as u64);
                        }
                    }
                }
            }
        }

        #[test]
        fn parts_and_copies_are_the_whole(low in 0_u64..1 << 33, length in 0_u64..500_000, bytes in 1_usize..10_000) {
            let mut sieve = Sieve::new(low, low + length);
            loop {
                match sieve.step() {
                    Step::Busy => {}
                    Step::Done => break,
                    Step::Segment(segment) => {
                        let copies: Vec<_> = segment.parts(bytes).map(|part| part.to_owned()).collect();
                        let primes = copies.iter().flat_map(|copy| copy.segment().primes());
                        prop_assert!(primes.eq(segment.primes()));
                        prop_assert_eq!(copies[0].segment().low(), segment.low());
                        prop_assert_eq!(copies[copies.len() - 1].segment().last(), segment.last());
                    }
                }
            }
        }
    }
}
