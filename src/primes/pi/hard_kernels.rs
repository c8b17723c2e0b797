//! The inner loops of D, for bits in words, a count of each word, and running counts of blocks of eight words.
//!
//! Each is a portable function with an AVX2 and an AVX-512 version; the tests compare them.
//!
//! `xp / m` is computed in f64 as in [`easy_sum`](super::easy_sum): `(xp + 1/2) / m` is at least `1 / (2 m)` away from
//! any integer, so it may be rounded by less than that, which holds for `xp < 2^51`, or `2^50` if `1 / m` was rounded
//! too. Above, what lies before the segment is taken from `xp` first.
//!
//! Unsafe: calling a function that was compiled for more instructions than the crate.
#![allow(unsafe_code)]

use super::easy_sum::TO_INTEGER;
use super::factor::{ENTRIES, LEAST_FACTOR_BITS, RESIDUES, WHEEL, number};
use super::instructions::Instructions;
use super::quotient::Dividend;
use super::wheel::KEEPS;
#[cfg(target_arch = "x86_64")]
use super::{hard_avx2, hard_avx512};
use crate::primes::wheel::{NUMBERS_PER_BYTE, NUMBERS_PER_WORD, UP_TO};
use std::ops::Range;

/// 240 numbers: a word of bits, the first byte lowest. Bytes, so that they can be crossed off as such on every machine.
pub(crate) type Word = [u8; 8];

/// Words of a block, whose bits have one running count.
pub(crate) const BLOCK: usize = 8;

/// Words of a group.
pub(crate) const GROUP: usize = 256;

/// How many groups the longest segment has.
pub(crate) const GROUPS: usize = 64;

/// The leaves that a list takes.
pub(super) const LIST: usize = 2048;

/// How many more numbers may be written after the end of a list.
pub(super) const FILTER_ROOM: usize = 64;

/// Lists of leaves on their way through the kernels.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Numbers `m` with `mu(m) = -1`: their leaves count positive.
    plus: Box<[u32]>,
    /// Numbers `m` with `mu(m) = 1`.
    minus: Box<[u32]>,
    /// Where leaves look: see [`pack`]; where multiples stand: see [`mark`].
    pub(super) places: Box<[u32]>,
}

impl Default for Lists {
    fn default() -> Self {
        let list = || vec![0; LIST + FILTER_ROOM].into_boxed_slice();
        Self {
            plus: list(),
            minus: list(),
            places: list(),
        }
    }
}

/// What leaves come to: the sum of their counts, and how many more of them are positive than negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub(crate) sum: i64,
    pub(crate) weight: i64,
}

/// Where a number stands in a segment: the index of its byte, and in the lowest byte the bits of the others.
pub(super) fn mark(place: u32) -> u32 {
    place / NUMBERS_PER_BYTE as u32 * 256 + u32::from(KEEPS[(place % NUMBERS_PER_BYTE as u32) as usize])
}

/// How many bits are set in stretches of the words of a segment: the one for many leaves, which is made anew for each
/// prime, or the other for few.
#[derive(Clone, Copy)]
pub(crate) enum Sums<'a> {
    /// For each block, those before it.
    Before(&'a [u32]),
    /// For each of the [`GROUPS`] groups, those in it.
    Groups(&'a [u32; GROUPS]),
}

/// The sieve leaves look into.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The bits, 240 numbers to a word, whole blocks.
    pub(crate) words: &'a [Word],
    /// For each word, how many of its bits are set.
    pub(crate) counts: &'a [u8],
    /// How many bits are set in stretches of the words.
    pub(crate) sums: Sums<'a>,
    /// The number at which the bits begin.
    pub(crate) low: u64,
}

/// `x / (p m) - low` as the index of a word, and in the lowest byte how far into the word: `240 w + o` becomes
/// `256 w + o`.
pub(super) fn pack(place: u32) -> u32 {
    place + place / NUMBERS_PER_WORD as u32 * 16
}

/// The leaves `p m` for the entries of the factor table with these indices that are above the threshold; below `near`
/// no more than `xp` itself is divided.
#[allow(clippy::too_many_arguments)] // Whatever the one caller knows.
pub(crate) fn composite_leaves(
    instructions: Instructions,
    view: View<'_>,
    lists: &mut Lists,
    xp: Dividend,
    near: u64,
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
) -> Leaves {
    let mut leaves = Leaves::default();
    let mut from = range.start;
    while from < range.end {
        // Whole groups of 32 entries after the first, so that the vector kernel meets each group once.
        let to = range.end.min((from + LIST) / 32 * 32);
        let Lists { plus, minus, places } = lists;
        let (pluses, minuses) = filter(instructions, entries, from..to, threshold, plus, minus);
        let mut sum = |cofactors: &[u32]| {
            divide(instructions, xp, near, view, cofactors, places);
            ranks(instructions, view, &places[..cofactors.len()]) as i64
        };
        leaves.sum += sum(&plus[..pluses]) - sum(&minus[..minuses]);
        leaves.weight += pluses as i64 - minuses as i64;
        from = to;
    }
    leaves
}

/// The leaves `p q` for these primes `q`; given with their reciprocals if that is how they are to be divided by.
pub(crate) fn prime_leaves(
    instructions: Instructions,
    view: View<'_>,
    lists: &mut Lists,
    xp: Dividend,
    primes: &[u32],
    reciprocals: Option<&[f64]>,
) -> Leaves {
    let mut leaves = Leaves::default();
    let places = &mut lists.places;
    for (index, primes) in primes.chunks(LIST).enumerate() {
        match reciprocals {
            Some(all) => {
                let reciprocals = &all[index * LIST..][..primes.len()];
                multiply(instructions, xp.word(), view.low, reciprocals, places);
            }
            None => divide(instructions, xp, 0, view, primes, places),
        }
        leaves.sum += ranks(instructions, view, &places[..primes.len()]) as i64;
        leaves.weight += primes.len() as i64;
    }
    leaves
}

/// Runs the version of a kernel that these instructions allow.
macro_rules! dispatch {
    ($instructions:expr, $portable:ident, $name:ident, ($($argument:expr),*)) => {
        match $instructions {
            Instructions::Portable => $portable($($argument),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has these instructions, as `Instructions::all` has asked it.
            Instructions::Avx2 => unsafe { hard_avx2::$name($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has these instructions, as `Instructions::all` has asked it.
            Instructions::Avx512 => unsafe { hard_avx512::$name($($argument),*) },
        }
    };
}

/// Counts the bits of each word.
pub(crate) fn count(instructions: Instructions, words: &[Word], counts: &mut [u8]) {
    dispatch!(instructions, count_portable, count, (words, counts));
}

/// Clears what the pattern clears, and counts the bits that are left. The pattern repeats after `period` bytes, is 64
/// bytes longer than that, and begins at byte `offset`.
pub(crate) fn mask_and_count(
    instructions: Instructions,
    words: &mut [Word],
    pattern: &[u8],
    offset: usize,
    counts: &mut [u8],
) {
    dispatch!(instructions, mask_portable, mask, (words, pattern, offset, counts));
}

/// Turns the counts of words into the counts of all blocks before; gives the total.
pub(crate) fn accumulate(instructions: Instructions, counts: &[u8], before: &mut [u32]) -> u32 {
    dispatch!(instructions, accumulate_portable, accumulate, (counts, before));
    let last = counts.rchunks(BLOCK).next().unwrap_or_default();
    before.last().copied().unwrap_or(0) + last.iter().map(|&count| u32::from(count)).sum::<u32>()
}

/// Lists the numbers of the entries with these indices that are above the threshold; gives how many have `mu(m) = -1`
/// and how many 1, together at most [`LIST`]; each list has room for [`FILTER_ROOM`] more.
pub(super) fn filter(
    instructions: Instructions,
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    plus: &mut [u32],
    minus: &mut [u32],
) -> (usize, usize) {
    dispatch!(
        instructions,
        filter_portable,
        filter,
        (entries, range, threshold, plus, minus)
    )
}

/// Lists the marks of the multiples `prime * k` in the segment from `low` on, for the `k` of the entries with these
/// indices whose prime factors are all above the threshold, squares or not; gives how many. At most [`LIST`] entries;
/// the list has room for [`FILTER_ROOM`] more.
pub(super) fn multiples(
    instructions: Instructions,
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    prime: u64,
    low: u64,
    marks: &mut [u32],
) -> usize {
    // A place is below 2^32, so that of a multiple is right modulo 2^32.
    let (prime, low) = (prime as u32, low as u32);
    dispatch!(
        instructions,
        multiples_portable,
        multiples,
        (entries, range, threshold, prime, low, marks)
    )
}

/// Clears the bits of these marks, all of them set before, and takes them from the counts of the words and of the
/// groups.
pub(super) fn clear(words: &mut [Word], counts: &mut [u8], groups: &mut [u32; GROUPS], marks: &[u32]) {
    let bytes = words.as_flattened_mut();
    for &mark in marks {
        let at = (mark >> 8) as usize;
        bytes[at] &= mark as u8;
        counts[at / size_of::<Word>()] -= 1;
        groups[at / (size_of::<Word>() * GROUP) % GROUPS] -= 1;
    }
}

/// Counts the bits of the groups.
pub(super) fn count_groups(counts: &[u8]) -> [u32; GROUPS] {
    let mut groups = [0; GROUPS];
    for (group, counts) in groups.iter_mut().zip(counts.chunks(GROUP)) {
        *group = counts.iter().map(|&count| u32::from(count)).sum();
    }
    groups
}

/// Where the leaves of ascending numbers look.
fn divide(instructions: Instructions, xp: Dividend, near: u64, view: View<'_>, numbers: &[u32], places: &mut [u32]) {
    // Whether doubles divide what lies in the view rightly by numbers up to the last.
    let most = numbers.last().copied().unwrap_or(0).into();
    let is_exact = (view.words.len() as u64 * NUMBERS_PER_WORD).saturating_mul(most) <= Dividend::EXACT;
    match instructions {
        _ if is_exact && instructions != Instructions::Portable => {
            dispatch!(
                instructions,
                divide_far_portable,
                divide,
                (xp, view.low, numbers, places)
            );
        }
        _ if xp.value < near.into() => divide_portable(xp.word(), view.low, numbers, places),
        _ => divide_far_portable(xp, view.low, numbers, places),
    }
}

/// As [`divide`], of an `xp` so small that reciprocals are exact enough.
fn multiply(instructions: Instructions, xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
    dispatch!(
        instructions,
        multiply_portable,
        multiply,
        (xp, low, reciprocals, places)
    );
}

/// The sum of how many bits are set from the beginning of the view up to each place.
fn ranks(instructions: Instructions, view: View<'_>, places: &[u32]) -> u64 {
    let View { words, counts, .. } = view;
    match view.sums {
        Sums::Before(before) => dispatch!(instructions, ranks_portable, ranks, (words, counts, before, places)),
        Sums::Groups(groups) => dispatch!(
            instructions,
            few_ranks_portable,
            few_ranks,
            (words, counts, groups, places)
        ),
    }
}

pub(super) fn count_portable(words: &[Word], counts: &mut [u8]) {
    for (word, count) in words.iter().zip(counts) {
        *count = u64::from_le_bytes(*word).count_ones() as u8;
    }
}

pub(super) fn mask_portable(words: &mut [Word], pattern: &[u8], offset: usize, counts: &mut [u8]) {
    let period = pattern.len() - 64;
    let mut at = offset;
    for block in words.chunks_exact_mut(BLOCK) {
        for (word, mask) in block.iter_mut().zip(pattern[at..at + 64].as_chunks::<8>().0) {
            *word = (u64::from_le_bytes(*word) & u64::from_le_bytes(*mask)).to_le_bytes();
        }
        at = (at + 64) % period;
    }
    count_portable(words, counts);
}

pub(super) fn accumulate_portable(counts: &[u8], before: &mut [u32]) {
    let mut total = 0;
    for (block, before) in counts.as_chunks::<BLOCK>().0.iter().zip(before) {
        *before = total;
        total += block.iter().map(|&count| u32::from(count)).sum::<u32>();
    }
}

fn filter_portable(
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    plus: &mut [u32],
    minus: &mut [u32],
) -> (usize, usize) {
    let (mut pluses, mut minuses) = (0, 0);
    let mut at = range.start;
    while at < range.end {
        let (turn, first) = (at / ENTRIES, at % ENTRIES);
        let length = (ENTRIES - first).min(range.end - at);
        let base = turn as u32 * WHEEL as u32;
        for (&entry, &residue) in entries[at..at + length].iter().zip(&RESIDUES[first..]) {
            let number = base + u32::from(residue);
            (plus[pluses], minus[minuses]) = (number, number);
            pluses += usize::from(entry > threshold) & entry as usize;
            minuses += usize::from(entry > threshold) & !(entry as usize);
        }
        at += length;
    }
    (pluses, minuses)
}

fn multiples_portable(
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    prime: u32,
    low: u32,
    marks: &mut [u32],
) -> usize {
    let mut found = 0;
    for index in range {
        if entries[index] & LEAST_FACTOR_BITS > threshold {
            marks[found] = mark((number(index) as u32).wrapping_mul(prime).wrapping_sub(low));
            found += 1;
        }
    }
    found
}

fn divide_portable(xp: u64, low: u64, numbers: &[u32], places: &mut [u32]) {
    let (numerator, offset) = (xp as f64 + 0.5, low as f64 + 0.5);
    for (place, &number) in places.iter_mut().zip(numbers) {
        let quotient = numerator / f64::from(number as i32);
        *place = pack((quotient - offset + TO_INTEGER).to_bits() as u32);
    }
}

/// In integers: what is left of `xp` is a word, though `xp` is not.
pub(super) fn divide_far_portable(xp: Dividend, low: u64, numbers: &[u32], places: &mut [u32]) {
    for (place, &number) in places.iter_mut().zip(numbers) {
        let by = u64::from(number);
        *place = pack((xp.word().wrapping_sub(low.wrapping_mul(by)) / by) as u32);
    }
}

pub(super) fn multiply_portable(xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
    let (numerator, offset) = (xp as f64 + 0.5, low as f64 + 0.5);
    for (place, reciprocal) in places.iter_mut().zip(reciprocals) {
        *place = pack((numerator * reciprocal - offset + TO_INTEGER).to_bits() as u32);
    }
}

fn ranks_portable(words: &[Word], counts: &[u8], before: &[u32], places: &[u32]) -> u64 {
    let mut sum = 0;
    for &place in places {
        let word = place as usize / 256;
        let block = word / BLOCK;
        let inside: u32 = counts[block * BLOCK..word].iter().map(|&count| u32::from(count)).sum();
        let part = u64::from_le_bytes(words[word]) & UP_TO[place as usize % 256];
        sum += u64::from(before[block] + inside + part.count_ones());
    }
    sum
}

#[inline(always)]
pub(super) fn few_ranks_portable(words: &[Word], counts: &[u8], groups: &[u32; GROUPS], places: &[u32]) -> u64 {
    let mut sum = 0;
    for &place in places {
        let word = place as usize / 256;
        let group = word / GROUP;
        let before: u32 = groups[..group].iter().sum();
        let inside: u32 = counts[group * GROUP..word].iter().map(|&count| u32::from(count)).sum();
        let part = u64::from_le_bytes(words[word]) & UP_TO[place as usize % 256];
        sum += u64::from(before + inside + part.count_ones());
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::easy_sum::EXACT_BY_RECIPROCAL;
    use super::super::factor::{FactorTable, index_after};
    use super::*;
    use crate::primes::sieve::primes_up_to;
    use proptest::prelude::*;

    /// Words with about half of their bits set, from a seed.
    fn words(blocks: usize, seed: u64) -> Vec<Word> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..blocks * BLOCK).map(|_| next()).collect()
    }

    proptest! {
        #[test]
        fn all_instructions_count_and_mask_the_same(blocks in 1_usize..70, seed: u64, period in 1_usize..200, offset in 0_usize..200) {
            let words = words(blocks, seed);
            let pattern: Vec<u8> = (0..period + 64).map(|i| (i % period * 37) as u8).collect();
            let run = |instructions| {
                let mut masked = words.clone();
                let (mut counts, mut left, mut before) = (vec![0; words.len()], vec![0; words.len()], vec![0; blocks]);
                count(instructions, &words, &mut counts);
                mask_and_count(instructions, &mut masked, &pattern, offset % period, &mut left);
                let total = accumulate(instructions, &left, &mut before);
                (masked, counts, left, before, total)
            };
            let expected = run(Instructions::Portable);
            prop_assert_eq!(expected.4, expected.2.iter().map(|&count| u32::from(count)).sum::<u32>());
            for &instructions in Instructions::all() {
                prop_assert_eq!(&run(instructions), &expected, "{:?}", instructions);
            }
        }

        #[test]
        fn all_instructions_find_the_leaves_that_division_finds(
            seed: u64,
            bits in 30_u32..72,
            fraction in 0.5_f64..1.0,
            from in 0.0_f64..1.0,
            length in 0_usize..9000,
            b in 9_usize..40,
        ) {
            const BLOCKS: usize = 64;
            const HIGHEST: u64 = 300_000;
            let xp = ((1_u128 << bits) as f64 * fraction) as u128;
            let over = |m: u64| (xp / u128::from(m)) as u64;
            let primes: Vec<u32> = [1].into_iter().chain(primes_up_to(HIGHEST as u32)).collect();
            let mut factors = FactorTable::new(HIGHEST, Instructions::Portable);
            while !factors.extend(&primes) {}
            // Cofactors from some place on whose leaves lie in one segment.
            let start = index_after((from * HIGHEST as f64) as u64);
            let end = (start + length).min(factors.entries().len() - 1);
            let low = over(number(end)) / (NUMBERS_PER_WORD * BLOCK as u64) * (NUMBERS_PER_WORD * BLOCK as u64);
            let high = low + BLOCKS as u64 * BLOCK as u64 * NUMBERS_PER_WORD;
            let range = index_after(over(high)).max(start).max(1)..end;
            prop_assume!(!range.is_empty());
            let words = words(BLOCKS, seed);
            let (mut counts, mut before) = (vec![0; words.len()], vec![0; BLOCKS]);
            count(Instructions::Portable, &words, &mut counts);
            accumulate(Instructions::Portable, &counts, &mut before);
            let groups = count_groups(&counts);
            let views = [Sums::Before(&before), Sums::Groups(&groups)].map(|sums| View { words: &words, counts: &counts, sums, low });
            let rank = |n: u64| {
                let word = ((n - low) / NUMBERS_PER_WORD) as usize;
                let whole: u32 = words[..word].iter().flatten().map(|byte| byte.count_ones()).sum();
                let part = u64::from_le_bytes(words[word]) & UP_TO[((n - low) % NUMBERS_PER_WORD) as usize];
                u64::from(whole + part.count_ones())
            };

            let threshold = 2 * b as i16 + 1;
            let mut expected = Leaves::default();
            for index in range.clone() {
                let entry = factors.entries()[index];
                if entry > threshold {
                    let sign = if entry & 1 == 1 { 1 } else { -1 };
                    expected.weight += sign;
                    expected.sum += sign * rank(over(number(index))) as i64;
                }
            }
            let first = primes.partition_point(|&q| q <= 1 || u64::from(q) <= over(high));
            let last = primes.partition_point(|&q| low == 0 || u64::from(q) <= over(low));
            let primes = &primes[first..last.max(first)];
            let reciprocals: Vec<f64> = primes.iter().map(|&q| 1.0 / f64::from(q)).collect();
            let expected_of_primes = Leaves {
                sum: primes.iter().map(|&q| rank(over(q.into())) as i64).sum(),
                weight: primes.len() as i64,
            };
            let mut lists = Lists::default();
            let dividend = Dividend::new(xp);
            for (&instructions, view) in Instructions::all().iter().flat_map(|instructions| views.map(|view| (instructions, view))) {
                for near in [0, if xp < EXACT_BY_RECIPROCAL.into() { EXACT_BY_RECIPROCAL } else { 0 }] {
                    let entries = factors.entries();
                    let found = composite_leaves(instructions, view, &mut lists, dividend, near, entries, range.clone(), threshold);
                    prop_assert_eq!(found, expected, "{:?} {}", instructions, near);
                    let reciprocals = (near > 0).then_some(reciprocals.as_slice());
                    let found = prime_leaves(instructions, view, &mut lists, dividend, primes, reciprocals);
                    prop_assert_eq!(found, expected_of_primes, "{:?} {}", instructions, near);
                }
            }
        }
    }
}
