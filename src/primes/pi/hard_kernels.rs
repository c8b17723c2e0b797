//! The inner loops of D, for bits in words and running counts of blocks of eight words.
//!
//! Each is a portable function, the same compiled for AVX2, and an AVX-512 version; the tests compare them.
//!
//! `xp / m` is computed in f64 as in [`easy_sum`](super::easy_sum): `(xp + 1/2) / m` is at least `1 / (2 m)` away from any integer, so it
//! may be rounded by less than that, which holds for `xp < 2^51`, or `2^50` if `1 / m` was rounded too. Above, what lies before the
//! segment is taken from `xp` first.
//!
//! Unsafe: the AVX-512 versions load and store through pointers; before each loop the lengths are checked that make this sound.
#![allow(unsafe_code)]

use super::easy_sum::TO_INTEGER;
use super::factor::{ENTRIES, RESIDUES, WHEEL};
use super::level::Level;
use super::quotient::Dividend;
use super::wheel::UP_TO;
use crate::primes::wheel::NUMBERS_PER_WORD;
use std::ops::Range;

/// 240 numbers: a word of bits, the first byte lowest. Bytes, so that they can be crossed off as such on every machine.
pub(crate) type Word = [u8; 8];

/// Words of a block, whose bits have one running count.
pub(crate) const BLOCK: usize = 8;

/// The leaves that a list takes.
pub(super) const LIST: usize = 2048;

/// How many more numbers may be written after the end of a list.
pub(super) const FILTER_ROOM: usize = 64;

/// Marks a cofactor `m` with `mu(m) = -1`.
pub(super) const SIGN: u32 = 1 << 31;

/// Cofactors that are divided at once, so that it is done with vectors.
const GROUP: usize = 64;

/// Lists of leaves on their way through the kernels.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Numbers `m`, with the highest bit set if `mu(m) = -1`.
    cofactors: Box<[u32]>,
    /// Where leaves that count positive look: `x / (p m) - low`.
    plus: Box<[u32]>,
    /// Where leaves that count negative look.
    minus: Box<[u32]>,
}

impl Default for Lists {
    fn default() -> Self {
        let list = || vec![0; LIST + FILTER_ROOM].into_boxed_slice();
        Self {
            cofactors: list(),
            plus: list(),
            minus: list(),
        }
    }
}

/// What leaves come to: the sum of their counts, and how many more of them are positive than negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub(crate) sum: i64,
    pub(crate) weight: i64,
}

/// The sieve leaves look into.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The bits, 240 numbers to a word, whole blocks.
    pub(crate) words: &'a [Word],
    /// For each block, how many bits are set before it.
    pub(crate) before: &'a [u32],
    /// The number at which the bits begin.
    pub(crate) low: u64,
}

/// The leaves `p m` for the entries of the factor table with these indices that are above the threshold; below `near` no more than `xp`
/// itself is divided.
#[allow(clippy::too_many_arguments)] // Whatever the one caller knows.
pub(crate) fn composite_leaves(
    level: Level,
    view: View<'_>,
    lists: &mut Lists,
    xp: Dividend,
    near: u64,
    entries: &[u16],
    range: Range<usize>,
    threshold: u16,
) -> Leaves {
    let mut leaves = Leaves::default();
    let mut from = range.start;
    while from < range.end {
        // Whole groups of 32 entries after the first, so that the vector kernel meets each group once.
        let to = range.end.min((from + LIST) / 32 * 32);
        let found = filter(level, entries, from..to, threshold, &mut lists.cofactors);
        let Lists {
            cofactors, plus, minus, ..
        } = lists;
        let (plus, minus) = if xp.value < near.into() {
            divide(level, xp.word(), view.low, &cofactors[..found], plus, minus)
        } else {
            divide_far(level, xp, view, &cofactors[..found], plus, minus)
        };
        let sums = (
            ranks(level, view, &lists.plus[..plus]),
            ranks(level, view, &lists.minus[..minus]),
        );
        leaves.sum += sums.0 as i64 - sums.1 as i64;
        leaves.weight += plus as i64 - minus as i64;
        from = to;
    }
    leaves
}

/// The leaves `p q` for these primes `q`; given with their reciprocals if that is how they are to be divided by.
pub(crate) fn prime_leaves(
    level: Level,
    view: View<'_>,
    lists: &mut Lists,
    xp: Dividend,
    primes: &[u32],
    reciprocals: Option<&[f64]>,
) -> Leaves {
    let mut leaves = Leaves::default();
    for (index, primes) in primes.chunks(LIST).enumerate() {
        match reciprocals {
            Some(all) => {
                let reciprocals = &all[index * LIST..][..primes.len()];
                multiply(level, xp.word(), view.low, reciprocals, &mut lists.plus);
            }
            None => divide_primes(level, xp, view, primes, &mut lists.plus),
        }
        leaves.sum += ranks(level, view, &lists.plus[..primes.len()]) as i64;
        leaves.weight += primes.len() as i64;
    }
    leaves
}

/// Runs the version of a kernel that the level allows.
macro_rules! dispatch {
    ($level:expr, $portable:ident, $avx2:ident, $avx512:ident, ($($argument:expr),*)) => {
        match $level {
            Level::Portable => $portable($($argument),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a level is only used if the processor has its instructions.
            Level::Avx2 => unsafe { $avx2($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a level is only used if the processor has its instructions.
            Level::Avx512 => unsafe { $avx512($($argument),*) },
        }
    };
}

/// Counts the bits of each block; gives their total.
pub(crate) fn count(level: Level, words: &[Word], counts: &mut [u32]) -> u32 {
    dispatch!(level, count_portable, count_avx2, count_avx512, (words, counts))
}

/// Clears what the pattern clears, and counts the bits that are left. The pattern repeats after `period` bytes, is 64 bytes longer than
/// that, and begins at byte `offset`.
pub(crate) fn mask_and_count(
    level: Level,
    words: &mut [Word],
    pattern: &[u8],
    offset: usize,
    counts: &mut [u32],
) -> u32 {
    dispatch!(
        level,
        mask_portable,
        mask_avx2,
        mask_avx512,
        (words, pattern, offset, counts)
    )
}

/// Turns the counts of blocks into the counts of all blocks before.
pub(crate) fn accumulate(level: Level, counts: &[u32], before: &mut [u32]) {
    dispatch!(
        level,
        accumulate_portable,
        accumulate_avx2,
        accumulate_avx512,
        (counts, before)
    );
}

/// Lists the numbers of the entries with these indices that are above the threshold; gives how many, at most [`LIST`] that have room for
/// [`FILTER_ROOM`] more.
pub(super) fn filter(level: Level, entries: &[u16], range: Range<usize>, threshold: u16, found: &mut [u32]) -> usize {
    dispatch!(
        level,
        filter_portable,
        filter_avx2,
        filter_avx512,
        (entries, range, threshold, found)
    )
}

fn divide(level: Level, xp: u64, low: u64, cofactors: &[u32], plus: &mut [u32], minus: &mut [u32]) -> (usize, usize) {
    dispatch!(
        level,
        divide_portable,
        divide_avx2,
        divide_avx512,
        (xp, low, cofactors, plus, minus)
    )
}

/// Whether doubles divide what lies in the view rightly by numbers up to this one.
fn is_exact(view: View<'_>, most: u32) -> bool {
    let numbers = view.words.len() as u64 * NUMBERS_PER_WORD;
    numbers.saturating_mul(most.into()) <= Dividend::EXACT
}

/// As [`divide`], for any `xp`; the cofactors ascend.
fn divide_far(
    level: Level,
    xp: Dividend,
    view: View<'_>,
    cofactors: &[u32],
    plus: &mut [u32],
    minus: &mut [u32],
) -> (usize, usize) {
    let level = match cofactors.last() {
        Some(&last) if is_exact(view, last & !SIGN) => level,
        _ => Level::Portable,
    };
    dispatch!(
        level,
        divide_far_portable,
        divide_far_avx2,
        divide_far_avx512,
        (xp, view.low, cofactors, plus, minus)
    )
}

fn multiply(level: Level, xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
    dispatch!(
        level,
        multiply_portable,
        multiply_avx2,
        multiply_avx512,
        (xp, low, reciprocals, places)
    );
}

/// As [`multiply`], for any `xp`; the primes ascend.
fn divide_primes(level: Level, xp: Dividend, view: View<'_>, primes: &[u32], places: &mut [u32]) {
    let level = match primes.last() {
        Some(&last) if is_exact(view, last) => level,
        _ => Level::Portable,
    };
    dispatch!(
        level,
        divide_primes_portable,
        divide_primes_avx2,
        divide_primes_avx512,
        (xp, view.low, primes, places)
    );
}

fn ranks(level: Level, view: View<'_>, places: &[u32]) -> u64 {
    dispatch!(level, ranks_portable, ranks_avx2, ranks_avx512, (view, places))
}

#[inline(always)]
fn count_portable(words: &[Word], counts: &mut [u32]) -> u32 {
    let mut total = 0;
    for (block, count) in words.chunks_exact(BLOCK).zip(counts) {
        *count = block.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
        total += *count;
    }
    total
}

#[inline(always)]
fn mask_portable(words: &mut [Word], pattern: &[u8], offset: usize, counts: &mut [u32]) -> u32 {
    let period = pattern.len() - 64;
    let mut at = offset;
    let mut total = 0;
    for (block, count) in words.chunks_exact_mut(BLOCK).zip(counts) {
        *count = 0;
        for (word, mask) in block.iter_mut().zip(pattern[at..at + 64].as_chunks::<8>().0) {
            let bits = u64::from_le_bytes(*word) & u64::from_le_bytes(*mask);
            *word = bits.to_le_bytes();
            *count += bits.count_ones();
        }
        total += *count;
        at = (at + 64) % period;
    }
    total
}

#[inline(always)]
fn accumulate_portable(counts: &[u32], before: &mut [u32]) {
    let mut total = 0;
    for (&count, before) in counts.iter().zip(before) {
        *before = total;
        total += count;
    }
}

#[inline(always)]
fn filter_portable(entries: &[u16], range: Range<usize>, threshold: u16, found: &mut [u32]) -> usize {
    let mut count = 0;
    let mut at = range.start;
    while at < range.end {
        let (turn, first) = (at / ENTRIES, at % ENTRIES);
        let length = (ENTRIES - first).min(range.end - at);
        let base = turn as u32 * WHEEL as u32;
        for (&entry, &residue) in entries[at..at + length].iter().zip(&RESIDUES[first..]) {
            found[count] = (base + u32::from(residue)) | u32::from(entry) << 31;
            count += usize::from(entry > threshold);
        }
        at += length;
    }
    count
}

#[inline(always)]
fn divide_portable(xp: u64, low: u64, cofactors: &[u32], plus: &mut [u32], minus: &mut [u32]) -> (usize, usize) {
    let (numerator, offset) = (xp as f64 + 0.5, low as f64 + 0.5);
    let mut lengths = (0, 0);
    for group in cofactors.chunks(GROUP) {
        // Apart from what follows, so that it is done with vectors.
        let mut places = [0; GROUP];
        for (place, &cofactor) in places.iter_mut().zip(group) {
            let quotient = numerator / f64::from((cofactor & !SIGN) as i32);
            *place = (quotient - offset + TO_INTEGER).to_bits() as u32;
        }
        lengths = split(&places, group, plus, minus, lengths);
    }
    lengths
}

/// Appends each place to the list that the sign of its cofactor says; gives the new lengths.
#[inline(always)]
fn split(
    places: &[u32],
    cofactors: &[u32],
    plus: &mut [u32],
    minus: &mut [u32],
    (mut pluses, mut minuses): (usize, usize),
) -> (usize, usize) {
    for (&place, &cofactor) in places.iter().zip(cofactors) {
        plus[pluses] = place;
        minus[minuses] = place;
        pluses += (cofactor >> 31) as usize;
        minuses += (cofactor >> 31 ^ 1) as usize;
    }
    (pluses, minuses)
}

/// In integers: what is left of `xp` is a word, though `xp` is not.
#[inline(always)]
fn divide_one(xp: Dividend, low: u64, by: u32) -> u32 {
    let by = u64::from(by);
    (xp.word().wrapping_sub(low.wrapping_mul(by)) / by) as u32
}

/// The same in doubles, for the compiler to use vectors of what only [`Level::Avx2`] has.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
fn divide_one_in_doubles(xp: Dividend, low: f64, by: u32) -> u32 {
    /// Adding this to an integer below it leaves that in the lowest bits.
    const INTEGER: f64 = (1_u64 << 52) as f64;
    let by = f64::from(by);
    ((((-low).mul_add(by, xp.high) + xp.low) / by).floor() + INTEGER).to_bits() as u32
}

#[inline(always)]
fn divide_far_portable(
    xp: Dividend,
    low: u64,
    cofactors: &[u32],
    plus: &mut [u32],
    minus: &mut [u32],
) -> (usize, usize) {
    let mut lengths = (0, 0);
    for cofactor in cofactors {
        let place = divide_one(xp, low, cofactor & !SIGN);
        lengths = split(&[place], &[*cofactor], plus, minus, lengths);
    }
    lengths
}

#[inline(always)]
fn divide_primes_portable(xp: Dividend, low: u64, primes: &[u32], places: &mut [u32]) {
    for (place, &prime) in places.iter_mut().zip(primes) {
        *place = divide_one(xp, low, prime);
    }
}

#[inline(always)]
fn multiply_portable(xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
    let (numerator, offset) = (xp as f64 + 0.5, low as f64 + 0.5);
    for (place, reciprocal) in places.iter_mut().zip(reciprocals) {
        *place = (numerator * reciprocal - offset + TO_INTEGER).to_bits() as u32;
    }
}

#[inline(always)]
fn ranks_portable(view: View<'_>, places: &[u32]) -> u64 {
    let mut sum = 0;
    for &place in places {
        let word = place as usize / NUMBERS_PER_WORD as usize;
        let block = word / BLOCK;
        let whole = &view.words[block * BLOCK..word];
        let part = u64::from_le_bytes(view.words[word]) & UP_TO[place as usize % NUMBERS_PER_WORD as usize];
        let inside: u32 = whole.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
        sum += u64::from(view.before[block] + inside + part.count_ones());
    }
    sum
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::*;
    use std::arch::x86_64::*;

    macro_rules! compile_for_avx2 {
        ($($name:ident = $portable:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
            $(
                #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
                pub(super) fn $name($($argument: $type),*) $(-> $result)? {
                    $portable($($argument),*)
                }
            )*
        };
    }

    compile_for_avx2! {
        count_avx2 = count_portable(words: &[Word], counts: &mut [u32]) -> u32;
        mask_avx2 = mask_portable(words: &mut [Word], pattern: &[u8], offset: usize, counts: &mut [u32]) -> u32;
        accumulate_avx2 = accumulate_portable(counts: &[u32], before: &mut [u32]);
        filter_avx2 = filter_portable(entries: &[u16], range: Range<usize>, threshold: u16, found: &mut [u32]) -> usize;
        divide_avx2 = divide_portable(xp: u64, low: u64, cofactors: &[u32], plus: &mut [u32], minus: &mut [u32]) -> (usize, usize);
        multiply_avx2 = multiply_portable(xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]);
    }

    #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn divide_far_avx2(
        xp: Dividend,
        low: u64,
        cofactors: &[u32],
        plus: &mut [u32],
        minus: &mut [u32],
    ) -> (usize, usize) {
        let mut lengths = (0, 0);
        for group in cofactors.chunks(GROUP) {
            let mut places = [0; GROUP];
            for (place, &cofactor) in places.iter_mut().zip(group) {
                *place = divide_one_in_doubles(xp, low as f64, cofactor & !SIGN);
            }
            lengths = split(&places, group, plus, minus, lengths);
        }
        lengths
    }

    #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn divide_primes_avx2(xp: Dividend, low: u64, primes: &[u32], places: &mut [u32]) {
        for (place, &prime) in places.iter_mut().zip(primes) {
            *place = divide_one_in_doubles(xp, low as f64, prime);
        }
    }

    /// Counts of eight blocks, each given as the counts of its eight words: four blocks share the 16-bit quarters of a word, so that
    /// one sum over the words of a vector is one over four blocks.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn eight_counts(counts: [__m512i; 8]) -> __m256i {
        let quarters = |four: [__m512i; 4]| {
            let low = _mm512_or_si512(four[0], _mm512_slli_epi64::<16>(four[1]));
            let high = _mm512_or_si512(four[2], _mm512_slli_epi64::<16>(four[3]));
            _mm512_or_si512(low, _mm512_slli_epi64::<32>(high))
        };
        let [a, b, c, d, e, f, g, h] = counts;
        let (first, second) = (quarters([a, b, c, d]), quarters([e, f, g, h]));
        let pairs = _mm512_add_epi16(
            _mm512_unpacklo_epi64(first, second),
            _mm512_unpackhi_epi64(first, second),
        );
        let half = _mm256_add_epi16(_mm512_castsi512_si256(pairs), _mm512_extracti64x4_epi64::<1>(pairs));
        let whole = _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
        _mm256_cvtepu16_epi32(whole)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,popcnt")]
    pub(super) fn count_avx512(words: &[Word], counts: &mut [u32]) -> u32 {
        let mut total = _mm256_setzero_si256();
        let (groups, rest) = words.as_chunks::<{ 8 * BLOCK }>();
        let (group_counts, rest_counts) = counts.as_chunks_mut::<8>();
        for (group, counts) in groups.iter().zip(group_counts) {
            let mut ones = [_mm512_setzero_si512(); 8];
            for (ones, block) in ones.iter_mut().zip(group.as_chunks::<BLOCK>().0) {
                // SAFETY: a block is 64 bytes.
                *ones = _mm512_popcnt_epi64(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) });
            }
            let eight = eight_counts(ones);
            total = _mm256_add_epi32(total, eight);
            // SAFETY: there are eight counts.
            unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast(), eight) };
        }
        let mut lanes = [0_u32; 8];
        // SAFETY: eight lanes of 32 bits.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), total) };
        lanes.iter().sum::<u32>() + count_portable(rest, rest_counts)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,popcnt")]
    pub(super) fn mask_avx512(words: &mut [Word], pattern: &[u8], offset: usize, counts: &mut [u32]) -> u32 {
        let period = pattern.len() - 64;
        let stride = 64 % period;
        assert!(offset < period);
        let mut at = offset;
        let mut total = _mm256_setzero_si256();
        let (groups, rest) = words.as_chunks_mut::<{ 8 * BLOCK }>();
        let (group_counts, rest_counts) = counts.as_chunks_mut::<8>();
        for (group, counts) in groups.iter_mut().zip(group_counts) {
            let mut ones = [_mm512_setzero_si512(); 8];
            for (ones, block) in ones.iter_mut().zip(group.as_chunks_mut::<BLOCK>().0) {
                // SAFETY: a block is 64 bytes; the pattern has 64 bytes from every place below its period on.
                let (bits, mask) = unsafe {
                    let mask = _mm512_loadu_si512(pattern.as_ptr().add(at).cast());
                    (_mm512_loadu_si512(block.as_ptr().cast()), mask)
                };
                let bits = _mm512_and_si512(bits, mask);
                // SAFETY: a block is 64 bytes.
                unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), bits) };
                *ones = _mm512_popcnt_epi64(bits);
                at += stride;
                at = if at >= period { at - period } else { at };
            }
            let eight = eight_counts(ones);
            total = _mm256_add_epi32(total, eight);
            // SAFETY: there are eight counts.
            unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast(), eight) };
        }
        let mut lanes = [0_u32; 8];
        // SAFETY: eight lanes of 32 bits.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), total) };
        lanes.iter().sum::<u32>() + mask_portable(rest, pattern, at, rest_counts)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn accumulate_avx512(counts: &[u32], before: &mut [u32]) {
        let zero = _mm512_setzero_si512();
        let last = _mm512_set1_epi32(15);
        let mut total = zero;
        let (groups, rest) = counts.as_chunks::<16>();
        let (group_before, rest_before) = before.as_chunks_mut::<16>();
        for (group, before) in groups.iter().zip(group_before) {
            // SAFETY: a group is 16 words of 32 bits.
            let own = unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
            let sums = _mm512_add_epi32(own, _mm512_alignr_epi32::<15>(own, zero));
            let sums = _mm512_add_epi32(sums, _mm512_alignr_epi32::<14>(sums, zero));
            let sums = _mm512_add_epi32(sums, _mm512_alignr_epi32::<12>(sums, zero));
            let sums = _mm512_add_epi32(sums, _mm512_alignr_epi32::<8>(sums, zero));
            let exclusive = _mm512_add_epi32(total, _mm512_sub_epi32(sums, own));
            // SAFETY: a group is 16 words of 32 bits.
            unsafe { _mm512_storeu_si512(before.as_mut_ptr().cast(), exclusive) };
            total = _mm512_add_epi32(total, _mm512_permutexvar_epi32(last, sums));
        }
        let total = _mm_cvtsi128_si32(_mm512_castsi512_si128(total)) as u32;
        accumulate_portable(rest, rest_before);
        rest_before.iter_mut().for_each(|before| *before += total);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,popcnt")]
    pub(super) fn filter_avx512(entries: &[u16], range: Range<usize>, threshold: u16, found: &mut [u32]) -> usize {
        const GROUP: usize = 32;
        assert!(
            range.end <= entries.len() && entries.len().is_multiple_of(GROUP) && found.len() >= range.len() + GROUP
        );
        let limit = _mm512_set1_epi16(threshold as i16);
        let seven_fff = _mm512_set1_epi32(0x7fff);
        let mut count = 0;
        for group in range.start / GROUP..range.end.div_ceil(GROUP) {
            let start = group * GROUP;
            let base = _mm512_set1_epi32((start / ENTRIES * WHEEL as usize) as i32);
            // SAFETY: whole groups lie within the entries, and the residues are whole groups too.
            let (entry, residue) = unsafe {
                let residue = RESIDUES.as_ptr().add(start % ENTRIES);
                (
                    _mm512_loadu_si512(entries.as_ptr().add(start).cast()),
                    _mm512_loadu_si512(residue.cast()),
                )
            };
            let inside = (u32::MAX << range.start.saturating_sub(start))
                & (u64::from(u32::MAX) >> (start + GROUP).saturating_sub(range.end)) as u32;
            let mask = _mm512_mask_cmpgt_epu16_mask(inside, entry, limit);
            let signed = _mm512_or_si512(residue, _mm512_slli_epi16::<15>(entry));
            let packed = _mm512_maskz_compress_epi16(mask, signed);
            let spread = |half: __m256i| {
                let wide = _mm512_cvtepu16_epi32(half);
                let sign = _mm512_slli_epi32::<16>(_mm512_andnot_si512(seven_fff, wide));
                _mm512_or_si512(sign, _mm512_add_epi32(base, _mm512_and_si512(wide, seven_fff)))
            };
            let halves = (
                spread(_mm512_castsi512_si256(packed)),
                spread(_mm512_extracti64x4_epi64::<1>(packed)),
            );
            // SAFETY: `count` is at most the entries passed so far, and 32 words more were checked to have room.
            unsafe {
                let to = found.as_mut_ptr().add(count);
                _mm512_storeu_si512(to.cast(), halves.0);
                _mm512_storeu_si512(to.add(16).cast(), halves.1);
            }
            count += mask.count_ones() as usize;
        }
        count
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
    pub(super) fn divide_avx512(
        xp: u64,
        low: u64,
        cofactors: &[u32],
        plus: &mut [u32],
        minus: &mut [u32],
    ) -> (usize, usize) {
        let (numerator, offset) = (_mm512_set1_pd(xp as f64 + 0.5), _mm512_set1_pd(low as f64));
        let place = |cofactor| _mm512_sub_pd(_mm512_div_pd(numerator, cofactor), offset);
        let (rest, (pluses, minuses)) = split_avx512(cofactors, plus, minus, place);
        let (more, less) = divide_portable(xp, low, rest, &mut plus[pluses..], &mut minus[minuses..]);
        (pluses + more, minuses + less)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
    pub(super) fn divide_far_avx512(
        xp: Dividend,
        low: u64,
        cofactors: &[u32],
        plus: &mut [u32],
        minus: &mut [u32],
    ) -> (usize, usize) {
        let place = quotients_avx512(xp, low);
        let (rest, (pluses, minuses)) = split_avx512(cofactors, plus, minus, place);
        let (more, less) = divide_far_portable(xp, low, rest, &mut plus[pluses..], &mut minus[minuses..]);
        (pluses + more, minuses + less)
    }

    /// Gives, for eight numbers at once, `xp` divided by them, less `low`, to be cut off.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
    fn quotients_avx512(xp: Dividend, low: u64) -> impl Fn(__m512d) -> __m512d {
        let (high, rest, low) = (
            _mm512_set1_pd(xp.high),
            _mm512_set1_pd(xp.low),
            _mm512_set1_pd(low as f64),
        );
        move |by| _mm512_div_pd(_mm512_add_pd(_mm512_fnmadd_pd(low, by, high), rest), by)
    }

    /// Divides whole groups of cofactors and splits the places by sign; gives the cofactors left over, and how long the lists are.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
    fn split_avx512<'a>(
        cofactors: &'a [u32],
        plus: &mut [u32],
        minus: &mut [u32],
        place: impl Fn(__m512d) -> __m512d,
    ) -> (&'a [u32], (usize, usize)) {
        let without_sign = _mm256_set1_epi32(!SIGN as i32);
        assert!(plus.len() >= cofactors.len() + 8 && minus.len() >= cofactors.len() + 8);
        let (groups, rest) = cofactors.as_chunks::<8>();
        let (mut pluses, mut minuses) = (0, 0);
        for group in groups {
            // SAFETY: a group is eight words of 32 bits.
            let signed = unsafe { _mm256_loadu_si256(group.as_ptr().cast()) };
            let cofactor = _mm512_cvtepu32_pd(_mm256_and_si256(signed, without_sign));
            let place = _mm512_cvttpd_epu32(place(cofactor));
            let mask = _mm256_movepi32_mask(signed);
            // SAFETY: at most as many were written as there are cofactors, and there is room for eight more.
            unsafe {
                _mm256_storeu_si256(
                    plus.as_mut_ptr().add(pluses).cast(),
                    _mm256_maskz_compress_epi32(mask, place),
                );
                _mm256_storeu_si256(
                    minus.as_mut_ptr().add(minuses).cast(),
                    _mm256_maskz_compress_epi32(!mask, place),
                );
            }
            pluses += mask.count_ones() as usize;
            minuses += mask.count_zeros() as usize;
        }
        (rest, (pluses, minuses))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
    pub(super) fn divide_primes_avx512(xp: Dividend, low: u64, primes: &[u32], places: &mut [u32]) {
        let quotients = quotients_avx512(xp, low);
        let (groups, rest) = primes.as_chunks::<8>();
        for (group, places) in groups.iter().zip(places.as_chunks_mut::<8>().0) {
            // SAFETY: a group is eight words of 32 bits.
            let prime = _mm512_cvtepu32_pd(unsafe { _mm256_loadu_si256(group.as_ptr().cast()) });
            let place = _mm512_cvttpd_epu32(quotients(prime));
            // SAFETY: there are eight places.
            unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), place) };
        }
        divide_primes_portable(xp, low, rest, &mut places[8 * groups.len()..]);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn multiply_avx512(xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
        let (numerator, offset) = (_mm512_set1_pd(xp as f64 + 0.5), _mm512_set1_pd(low as f64));
        let (groups, rest) = reciprocals.as_chunks::<8>();
        for (group, places) in groups.iter().zip(places.as_chunks_mut::<8>().0) {
            // SAFETY: a group is eight doubles.
            let reciprocal = unsafe { _mm512_loadu_pd(group.as_ptr()) };
            let place = _mm512_cvttpd_epu32(_mm512_fmsub_pd(numerator, reciprocal, offset));
            // SAFETY: there are eight places.
            unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), place) };
        }
        multiply_portable(xp, low, rest, &mut places[8 * groups.len()..]);
    }

    /// For each word of a block, a mask of the words before it.
    static BEFORE: [[u64; BLOCK]; BLOCK] = {
        let mut masks = [[0; BLOCK]; BLOCK];
        let mut word = 0;
        while word < BLOCK {
            let mut other = 0;
            while other < word {
                masks[word][other] = u64::MAX;
                other += 1;
            }
            word += 1;
        }
        masks
    };

    /// The bits of each byte come from a table of half bytes (Mula, Kurz, Lemire 2018), the sums of bytes stay in their lanes.
    #[target_feature(enable = "avx2,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn ranks_avx2(view: View<'_>, places: &[u32]) -> u64 {
        let View { words, before, .. } = view;
        let table = _mm256_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
        );
        let nibble = _mm256_set1_epi8(15);
        let (mut vector, mut sum) = (_mm256_setzero_si256(), 0);
        for &place in places {
            let word = place as usize / NUMBERS_PER_WORD as usize;
            let block = word / BLOCK;
            let part = u64::from_le_bytes(words[word]) & UP_TO[place as usize % NUMBERS_PER_WORD as usize];
            sum += u64::from(before[block]) + u64::from(part.count_ones());
            let whole: &[Word; BLOCK] = words[block * BLOCK..]
                .first_chunk()
                .expect("words come in whole blocks");
            let mask = &BEFORE[word % BLOCK];
            let ones = |half: usize| {
                // SAFETY: half a block is 32 bytes, as is half a mask.
                let bits = unsafe {
                    let bits = _mm256_loadu_si256(whole[4 * half..][..4].as_ptr().cast());
                    _mm256_and_si256(bits, _mm256_loadu_si256(mask[4 * half..][..4].as_ptr().cast()))
                };
                let low = _mm256_shuffle_epi8(table, _mm256_and_si256(bits, nibble));
                let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(bits), nibble));
                _mm256_add_epi8(low, high)
            };
            let bytes = _mm256_add_epi8(ones(0), ones(1));
            vector = _mm256_add_epi64(vector, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
        }
        let mut lanes = [0_u64; 4];
        // SAFETY: four lanes of 64 bits.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) };
        sum + lanes.iter().sum::<u64>()
    }

    /// Only the sum over all leaves is wanted, so the counts of words stay in their lanes until the end.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,popcnt,bmi2")]
    pub(super) fn ranks_avx512(view: View<'_>, places: &[u32]) -> u64 {
        let View { words, before, .. } = view;
        let (mut vector, mut sum) = (_mm512_setzero_si512(), 0);
        for &place in places {
            let word = place as usize / NUMBERS_PER_WORD as usize;
            let block = word / BLOCK;
            let part = u64::from_le_bytes(words[word]) & UP_TO[place as usize % NUMBERS_PER_WORD as usize];
            sum += u64::from(before[block]) + u64::from(part.count_ones());
            let whole: &[Word; BLOCK] = words[block * BLOCK..]
                .first_chunk()
                .expect("words come in whole blocks");
            // SAFETY: a block is 64 bytes, as is each mask.
            let (bits, mask) = unsafe {
                let mask = BEFORE[word % BLOCK].as_ptr();
                (
                    _mm512_loadu_si512(whole.as_ptr().cast()),
                    _mm512_loadu_si512(mask.cast()),
                )
            };
            vector = _mm512_add_epi64(vector, _mm512_popcnt_epi64(_mm512_and_si512(bits, mask)));
        }
        sum + _mm512_reduce_add_epi64(vector) as u64
    }
}

#[cfg(target_arch = "x86_64")]
use x86_64::*;

#[cfg(test)]
mod tests {
    use super::super::easy_sum::EXACT_BY_RECIPROCAL;
    use super::super::factor::{FactorTable, index_after, number};
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
        fn every_level_counts_and_masks_the_same(blocks in 1_usize..70, seed: u64, period in 1_usize..200, offset in 0_usize..200) {
            let words = words(blocks, seed);
            let pattern: Vec<u8> = (0..period + 64).map(|i| (i % period * 37) as u8).collect();
            let run = |level| {
                let mut masked = words.clone();
                let (mut counts, mut left, mut before) = (vec![0; blocks], vec![0; blocks], vec![0; blocks]);
                let total = count(level, &words, &mut counts);
                let total_left = mask_and_count(level, &mut masked, &pattern, offset % period, &mut left);
                accumulate(level, &left, &mut before);
                (masked, counts, left, before, total, total_left)
            };
            let expected = run(Level::Portable);
            prop_assert_eq!(expected.4, expected.1.iter().sum::<u32>());
            for &level in Level::all() {
                prop_assert_eq!(&run(level), &expected, "{:?}", level);
            }
        }

        #[test]
        fn every_level_finds_the_leaves_that_division_finds(
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
            let mut factors = FactorTable::new(HIGHEST, Level::Portable);
            while !factors.extend(&primes) {}
            // Cofactors from some place on whose leaves lie in one segment.
            let start = index_after((from * HIGHEST as f64) as u64);
            let end = (start + length).min(factors.entries().len() - 1);
            let low = over(number(end)) / (NUMBERS_PER_WORD * BLOCK as u64) * (NUMBERS_PER_WORD * BLOCK as u64);
            let high = low + BLOCKS as u64 * BLOCK as u64 * NUMBERS_PER_WORD;
            let range = index_after(over(high)).max(start).max(1)..end;
            prop_assume!(!range.is_empty());
            let words = words(BLOCKS, seed);
            let (mut counts, mut before) = (vec![0; BLOCKS], vec![0; BLOCKS]);
            count(Level::Portable, &words, &mut counts);
            accumulate(Level::Portable, &counts, &mut before);
            let view = View { words: &words, before: &before, low };
            let rank = |n: u64| {
                let word = ((n - low) / NUMBERS_PER_WORD) as usize;
                let whole: u32 = words[..word].iter().flatten().map(|byte| byte.count_ones()).sum();
                let part = u64::from_le_bytes(words[word]) & UP_TO[((n - low) % NUMBERS_PER_WORD) as usize];
                u64::from(whole + part.count_ones())
            };

            let threshold = 2 * b as u16 + 1;
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
            for &level in Level::all() {
                for near in [0, if xp < EXACT_BY_RECIPROCAL.into() { EXACT_BY_RECIPROCAL } else { 0 }] {
                    let entries = factors.entries();
                    let found = composite_leaves(level, view, &mut lists, dividend, near, entries, range.clone(), threshold);
                    prop_assert_eq!(found, expected, "{:?} {}", level, near);
                    let reciprocals = (near > 0).then_some(reciprocals.as_slice());
                    let found = prime_leaves(level, view, &mut lists, dividend, primes, reciprocals);
                    prop_assert_eq!(found, expected_of_primes, "{:?} {}", level, near);
                }
            }
        }
    }
}
