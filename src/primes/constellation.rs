//! Prime constellations: primes at fixed distances from each other, found in the bits of a sieve many at a time.
//!
//! Knows patterns and segments; knows no range and no job. A constellation is at most 16 numbers wide, less than a byte
//! of the sieve, so it lies in one byte or in two that are adjacent.

use super::sieve::Segment;
use super::wheel::{NUMBERS_PER_BYTE, NUMBERS_PER_WORD, RESIDUES};

/// A kind of prime constellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Constellation {
    /// `p, p + 2`.
    Twins,
    /// `p, p + 4`.
    Cousins,
    /// `p, p + 6`.
    Sexy,
    /// `p, p + 2, p + 6` or `p, p + 4, p + 6`.
    Triplets,
    /// `p, p + 2, p + 6, p + 8`.
    Quadruplets,
    /// `p, p + 2, p + 6, p + 8, p + 12` or `p, p + 4, p + 6, p + 10, p + 12`.
    Quintuplets,
    /// `p, p + 4, p + 6, p + 10, p + 12, p + 16`.
    Sextuplets,
}

/// The distances of the members from the first one, which is not listed.
type Pattern = &'static [u8];

impl Constellation {
    /// All kinds, in the order in which they are documented.
    pub const ALL: &'static [Self] = &[
        Self::Twins,
        Self::Cousins,
        Self::Sexy,
        Self::Triplets,
        Self::Quadruplets,
        Self::Quintuplets,
        Self::Sextuplets,
    ];

    /// The word for it on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twins => "twins",
            Self::Cousins => "cousins",
            Self::Sexy => "sexy",
            Self::Triplets => "triplets",
            Self::Quadruplets => "quadruplets",
            Self::Quintuplets => "quintuplets",
            Self::Sextuplets => "sextuplets",
        }
    }

    /// Its place among all kinds, as checkpoints have it.
    pub(crate) fn index(self) -> u64 {
        (0..)
            .zip(Self::ALL)
            .find(|(_, kind)| **kind == self)
            .map_or(0, |(index, _)| index)
    }

    /// The kind of an index.
    pub(crate) fn of_index(index: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }

    /// No number is the first member of two patterns of a kind: `p + 2` and `p + 4` are not both prime beside `p`, for
    /// one of the three is a multiple of 3, and `3, 5, 7` is followed by 9.
    const fn patterns(self) -> &'static [Pattern] {
        match self {
            Self::Twins => &[&[2]],
            Self::Cousins => &[&[4]],
            Self::Sexy => &[&[6]],
            Self::Triplets => &[&[2, 6], &[4, 6]],
            Self::Quadruplets => &[&[2, 6, 8]],
            Self::Quintuplets => &[&[2, 6, 8, 12], &[4, 6, 10, 12]],
            Self::Sextuplets => &[&[4, 6, 10, 12, 16]],
        }
    }

    /// The most members.
    pub(crate) const fn members(self) -> usize {
        self.patterns()[0].len() + 1
    }
}

/// Finds the constellations of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    patterns: &'static [Pattern],
    groups: Vec<Group>,
}

/// The first members whose constellation has its other members at the same distances in bits.
#[derive(Clone, Debug)]
struct Group {
    pattern: Pattern,
    /// The bits in which such a first member can be.
    mask: u64,
    /// How many bits above the first member the others are.
    shifts: Vec<u32>,
}

impl Group {
    /// The first members in a word, given the word after it.
    #[inline]
    fn matches(mask: u64, shifts: &[u32], word: u64, after: u64) -> u64 {
        let pair = u128::from(after) << 64 | u128::from(word);
        shifts
            .iter()
            .fold(word & mask, |left, shift| left & (pair >> shift) as u64)
    }

    /// How many first members are in the words, of which each but the last has its successor beside it.
    fn count(&self, words: &[[u8; 8]]) -> u64 {
        fn count<const N: usize>(mask: u64, shifts: [u32; N], words: &[[u8; 8]]) -> u64 {
            let ones = |word, after| u64::from(Group::matches(mask, &shifts, word, after).count_ones());
            let inner = words.windows(2);
            let inner: u64 = inner
                .map(|pair| ones(u64::from_le_bytes(pair[0]), u64::from_le_bytes(pair[1])))
                .sum();
            inner + words.last().map_or(0, |last| ones(u64::from_le_bytes(*last), 0))
        }
        match *self.shifts.as_slice() {
            [a] => count(self.mask, [a], words),
            [a, b] => count(self.mask, [a, b], words),
            [a, b, c] => count(self.mask, [a, b, c], words),
            [a, b, c, d] => count(self.mask, [a, b, c, d], words),
            [a, b, c, d, e] => count(self.mask, [a, b, c, d, e], words),
            _ => unreachable!("a pattern has two to six members"),
        }
    }
}

impl Finder {
    pub(crate) fn new(kind: Constellation) -> Self {
        const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;
        let mut groups: Vec<Group> = Vec::new();
        for pattern in kind.patterns() {
            for (bit, residue) in RESIDUES.iter().enumerate() {
                let place = |distance: &u8| {
                    let number = residue + distance;
                    let index = RESIDUES.iter().position(|other| *other == number % 30)?;
                    Some(u32::from(number / 30) * 8 + index as u32 - bit as u32)
                };
                let Some(shifts) = pattern.iter().map(place).collect::<Option<Vec<u32>>>() else {
                    continue;
                };
                let mask = EVERY_BYTE << bit;
                match groups
                    .iter_mut()
                    .find(|group| group.pattern == *pattern && group.shifts == shifts)
                {
                    Some(group) => group.mask |= mask,
                    None => groups.push(Group { pattern, mask, shifts }),
                }
            }
        }
        Self {
            patterns: kind.patterns(),
            groups,
        }
    }

    /// How many constellations lie wholly in a segment.
    pub(crate) fn count(&self, segment: &Segment<'_>) -> u64 {
        let words = segment.bytes().as_chunks::<8>().0;
        let in_bits: u64 = self.groups.iter().map(|group| group.count(words)).sum();
        in_bits + self.below_seven(segment).len() as u64
    }

    /// How many constellations begin in one byte of a sieve and end in the byte after it.
    pub(crate) fn count_across(&self, byte: u8, after: u8) -> u64 {
        let mut count = 0;
        self.across(byte, after, |_, bits| count += u64::from(bits.count_ones()));
        count
    }

    /// Gives the first members, as bits of the byte, of the constellations that end in the byte after it.
    fn across(&self, byte: u8, after: u8, mut take: impl FnMut(&Group, u64)) {
        for group in &self.groups {
            let matches = |after| Group::matches(group.mask & 0xff, &group.shifts, u64::from(byte) | after << 8, 0);
            take(group, matches(u64::from(after)) & !matches(0));
        }
    }

    /// The constellations that begin with 3 or 5, which have no bits. They end at 17 and so in the segment in which
    /// they begin.
    fn below_seven(&self, segment: &Segment<'_>) -> Vec<(u64, Pattern)> {
        let first_byte = segment.bytes().first().copied().unwrap_or(0);
        let is_prime = |n: u64| match RESIDUES.iter().position(|residue| u64::from(*residue) == n) {
            Some(bit) => first_byte >> bit & 1 == 1,
            None => segment.wheel_primes().contains(&n),
        };
        let is_here = |p: u64, pattern: &Pattern| pattern.iter().all(|distance| is_prime(p + u64::from(*distance)));
        let first = segment.wheel_primes().iter().filter(|p| **p > 2);
        first
            .flat_map(|p| self.patterns.iter().map(|pattern| (*p, *pattern)))
            .filter(|(p, pattern)| is_here(*p, pattern))
            .collect()
    }

    /// Calls `take` with the first member and the distances of the others, for every constellation that ends in the
    /// segment, ascending; `before` is the byte before the segment.
    pub(crate) fn for_each(&self, segment: &Segment<'_>, before: u8, mut take: impl FnMut(u64, Pattern)) {
        if let Some(low) = segment.low().checked_sub(NUMBERS_PER_BYTE) {
            let mut found = Vec::new();
            self.across(
                before,
                segment.bytes().first().copied().unwrap_or(0),
                |group, mut bits| {
                    while bits != 0 {
                        found.push((low + u64::from(RESIDUES[bits.trailing_zeros() as usize]), group.pattern));
                        bits &= bits - 1;
                    }
                },
            );
            found.sort_unstable_by_key(|(first, _)| *first);
            found.into_iter().for_each(|(first, pattern)| take(first, pattern));
        }
        for (first, pattern) in self.below_seven(segment) {
            take(first, pattern);
        }
        let words: Vec<u64> = segment.words().collect();
        for (index, word) in words.iter().enumerate() {
            let after = words.get(index + 1).copied().unwrap_or(0);
            let matches = |group: &Group| Group::matches(group.mask, &group.shifts, *word, after);
            let mut all = self.groups.iter().fold(0, |all, group| all | matches(group));
            while all != 0 {
                let bit = all & all.wrapping_neg();
                all ^= bit;
                let number = NUMBERS_PER_BYTE * u64::from(bit.trailing_zeros() / 8);
                let residue = u64::from(RESIDUES[bit.trailing_zeros() as usize % 8]);
                let first = segment.low() + NUMBERS_PER_WORD * index as u64 + number + residue;
                if let Some(group) = self.groups.iter().find(|group| matches(group) & bit != 0) {
                    take(first, group.pattern);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::{Sieve, Step, naive};
    use proptest::prelude::*;

    /// The constellations with all members in `low..=last`, by looking at every prime.
    fn slowly(kind: Constellation, low: u64, last: u64) -> Vec<Vec<u64>> {
        let primes = naive::primes(low, last);
        let all = |p: &u64| {
            let here = |pattern: &Pattern| {
                let members: Vec<u64> = std::iter::once(*p)
                    .chain(pattern.iter().map(|d| p + u64::from(*d)))
                    .collect();
                members
                    .iter()
                    .all(|q| primes.binary_search(q).is_ok())
                    .then_some(members)
            };
            kind.patterns().iter().filter_map(here).collect::<Vec<_>>()
        };
        primes.iter().flat_map(all).collect()
    }

    /// The same by the bits of a sieve cut into parts of `part_bytes`; and their count.
    fn quickly(kind: Constellation, low: u64, last: u64, part_bytes: usize) -> (Vec<Vec<u64>>, u64) {
        let finder = Finder::new(kind);
        let (mut found, mut count, mut before) = (Vec::new(), 0, 0);
        let mut sieve = Sieve::new(low, last);
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Done => return (found, count),
                Step::Segment(segment) => {
                    for part in segment.parts(part_bytes) {
                        count += finder.count(&part) + finder.count_across(before, part.bytes()[0]);
                        finder.for_each(&part, before, |first, pattern| {
                            let others = pattern.iter().map(|d| first + u64::from(*d));
                            found.push(std::iter::once(first).chain(others).collect());
                        });
                        before = part.bytes()[part.bytes().len() - 1];
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_of_each_kind() {
        let first = |kind| slowly(kind, 0, 200)[0].clone();
        assert_eq!(first(Constellation::Twins), [3, 5]);
        assert_eq!(first(Constellation::Cousins), [3, 7]);
        assert_eq!(first(Constellation::Sexy), [5, 11]);
        assert_eq!(first(Constellation::Triplets), [5, 7, 11]);
        assert_eq!(first(Constellation::Quadruplets), [5, 7, 11, 13]);
        assert_eq!(first(Constellation::Quintuplets), [5, 7, 11, 13, 17]);
        assert_eq!(first(Constellation::Sextuplets), [7, 11, 13, 17, 19, 23]);
    }

    #[test]
    fn every_short_range_is_right() {
        for &kind in Constellation::ALL {
            for low in 0..40 {
                for last in low..130 {
                    let slow = slowly(kind, low, last);
                    let count = slow.len() as u64;
                    assert_eq!(quickly(kind, low, last, 8), (slow, count), "{kind:?} {low} {last}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn ranges_anywhere_are_right(low in 0u64..1 << 30, length in 0u64..30_000, part in 1usize..4000, kind in 0usize..7) {
            let kind = Constellation::ALL[kind];
            let slow = slowly(kind, low, low + length);
            let count = slow.len() as u64;
            prop_assert_eq!(quickly(kind, low, low + length, part), (slow, count));
        }
    }
}
