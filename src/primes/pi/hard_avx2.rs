//! The inner loops of D with AVX2: see `hard_kernels`, whose functions they follow.
//!
//! Unsafe: loads and stores through pointers, and places that are not checked one by one; before each loop that is
//! checked which makes this sound.
#![allow(unsafe_code)]

use super::avx2::{INTEGER, bits_of_bytes, doubles, lane_sum};
use super::factor::{ENTRIES, LEAST_FACTOR_BITS, RESIDUES};
use super::groups::{Group, groups};
use super::hard_kernels::{
    BLOCK, GROUPS, Word, accumulate_portable, count_portable, divide_far_portable, few_ranks_portable, mark,
    mask_portable, multiply_portable,
};
use super::quotient::Dividend;
use crate::primes::wheel::UP_TO;
use std::arch::x86_64::*;
use std::ops::Range;

/// Words whose counts are made at once.
const GROUP: usize = 2 * BLOCK;

/// Leaves whose counts are set aside at once.
const PARTS: usize = 64;

/// How many bits are set in each word.
#[inline]
#[target_feature(enable = "avx2")]
fn ones(words: __m256i) -> __m256i {
    _mm256_sad_epu8(bits_of_bytes(words), _mm256_setzero_si256())
}

/// The counts of sixteen words as bytes in the order of the words.
#[inline]
#[target_feature(enable = "avx2")]
fn sixteen([a, b, c, d]: [__m256i; 4]) -> __m128i {
    let low = _mm256_or_si256(a, _mm256_slli_epi64::<8>(b));
    let high = _mm256_or_si256(c, _mm256_slli_epi64::<8>(d));
    let four = _mm256_or_si256(low, _mm256_slli_epi64::<16>(high));
    let packed = _mm256_permutevar8x32_epi32(four, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    let turned = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm_shuffle_epi8(_mm256_castsi256_si128(packed), turned)
}

/// As the function of the same name there.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn count(words: &[Word], counts: &mut [u8]) {
    let (groups, rest) = words.as_chunks::<GROUP>();
    let (group_counts, rest_counts) = counts.as_chunks_mut::<GROUP>();
    for (group, counts) in groups.iter().zip(group_counts) {
        let mut four = [_mm256_setzero_si256(); 4];
        for (four, words) in four.iter_mut().zip(group.as_chunks::<4>().0) {
            // SAFETY: four words are 32 bytes.
            *four = ones(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) });
        }
        // SAFETY: there are sixteen counts.
        unsafe { _mm_storeu_si128(counts.as_mut_ptr().cast(), sixteen(four)) };
    }
    count_portable(rest, rest_counts);
}

/// As `mask_and_count` there.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn mask(words: &mut [Word], pattern: &[u8], offset: usize, counts: &mut [u8]) {
    let period = pattern.len() - 64;
    let stride = 64 % period;
    assert!(offset < period);
    let mut at = offset;
    let (groups, rest) = words.as_chunks_mut::<GROUP>();
    let (group_counts, rest_counts) = counts.as_chunks_mut::<GROUP>();
    for (group, counts) in groups.iter_mut().zip(group_counts) {
        let mut four = [_mm256_setzero_si256(); 4];
        for (number, (four, words)) in four.iter_mut().zip(group.as_chunks_mut::<4>().0).enumerate() {
            // SAFETY: four words are 32 bytes; the pattern has 64 bytes from every place below its period on.
            unsafe {
                let mask = _mm256_loadu_si256(pattern.as_ptr().add(at + number % 2 * 32).cast());
                let bits = _mm256_and_si256(_mm256_loadu_si256(words.as_ptr().cast()), mask);
                _mm256_storeu_si256(words.as_mut_ptr().cast(), bits);
                *four = ones(bits);
            }
            if number % 2 == 1 {
                at += stride;
                at = if at >= period { at - period } else { at };
            }
        }
        // SAFETY: there are sixteen counts.
        unsafe { _mm_storeu_si128(counts.as_mut_ptr().cast(), sixteen(four)) };
    }
    mask_portable(rest, pattern, at, rest_counts);
}

/// For eight blocks, what comes before each of them, and the total in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn accumulate_eight(counts: &[[u8; BLOCK]]) -> (__m256i, __m256i) {
    let zero = _mm256_setzero_si256();
    let blocks = |at: usize| {
        // SAFETY: four blocks have 32 counts.
        let bytes = unsafe { _mm256_loadu_si256(counts[at..at + 4].as_ptr().cast()) };
        _mm256_castsi256_ps(_mm256_sad_epu8(bytes, zero))
    };
    let own = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(blocks(0), blocks(4)));
    let own = _mm256_permute4x64_epi64::<0xD8>(own);
    let sums = _mm256_add_epi32(own, _mm256_slli_si256::<4>(own));
    let sums = _mm256_add_epi32(sums, _mm256_slli_si256::<8>(sums));
    let low = _mm256_permutevar8x32_epi32(sums, _mm256_set1_epi32(3));
    let sums = _mm256_add_epi32(sums, _mm256_blend_epi32::<0xF0>(zero, low));
    let total = _mm256_permutevar8x32_epi32(sums, _mm256_set1_epi32(7));
    (_mm256_sub_epi32(sums, own), total)
}

/// As the function of the same name there. Sixteen blocks at once, so that the sums of one seldom wait for those of
/// another.
#[target_feature(enable = "avx2")]
pub(super) fn accumulate(counts: &[u8], before: &mut [u32]) {
    let mut total = _mm256_setzero_si256();
    let (groups, rest) = counts.as_chunks::<BLOCK>().0.as_chunks::<16>();
    let (group_before, rest_before) = before.as_chunks_mut::<16>();
    for (group, before) in groups.iter().zip(group_before) {
        let (first, first_total) = accumulate_eight(&group[..8]);
        let (second, second_total) = accumulate_eight(&group[8..]);
        let middle = _mm256_add_epi32(total, first_total);
        // SAFETY: a group is twice eight words of 32 bits.
        unsafe {
            _mm256_storeu_si256(before.as_mut_ptr().cast(), _mm256_add_epi32(total, first));
            _mm256_storeu_si256(before.as_mut_ptr().add(8).cast(), _mm256_add_epi32(middle, second));
        }
        total = _mm256_add_epi32(total, _mm256_add_epi32(first_total, second_total));
    }
    let total = _mm256_extract_epi32::<0>(total) as u32;
    accumulate_portable(rest.as_flattened(), rest_before);
    rest_before.iter_mut().for_each(|before| *before += total);
}

/// For each mask of eight lanes, those it has, in order.
static CHOSEN: [[u8; 8]; 256] = {
    let mut lists = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut found) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                lists[mask][found] = lane as u8;
                found += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    lists
};

/// As the function of the same name there.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn filter(
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    plus: &mut [u32],
    minus: &mut [u32],
) -> (usize, usize) {
    let room = plus.len().min(minus.len());
    let limit = _mm256_set1_epi16(threshold);
    let (mut pluses, mut minuses) = (0, 0);
    let append = |list: &mut [u32], count: &mut usize, numbers: __m256i, mask: u32| {
        let mask = mask as u8;
        // SAFETY: a list has eight bytes; `count` is at most the entries passed so far, and there is room for eight
        // words more.
        unsafe {
            let lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(CHOSEN[usize::from(mask)].as_ptr().cast()));
            let chosen = _mm256_permutevar8x32_epi32(numbers, lanes);
            _mm256_storeu_si256(list.as_mut_ptr().add(*count).cast(), chosen);
        }
        *count += mask.count_ones() as usize;
    };
    for Group { start, base, inside } in groups::<16>(entries, range, room) {
        let base = _mm256_set1_epi32(base as i32);
        // SAFETY: whole groups lie within the entries, and the residues are whole groups too.
        let (entry, residues) = unsafe {
            let residues = RESIDUES.as_ptr().add(start % ENTRIES);
            (
                _mm256_loadu_si256(entries.as_ptr().add(start).cast()),
                [
                    _mm_loadu_si128(residues.cast()),
                    _mm_loadu_si128(residues.add(8).cast()),
                ],
            )
        };
        // Above the threshold, and the sign of mu in the highest bit.
        let above = _mm256_cmpgt_epi16(entry, limit);
        let sign = _mm256_slli_epi16::<15>(entry);
        let both = _mm256_packs_epi16(_mm256_and_si256(above, sign), _mm256_andnot_si256(sign, above));
        let mask = _mm256_movemask_epi8(both) as u32;
        for (half, residues) in residues.into_iter().enumerate() {
            let numbers = _mm256_add_epi32(base, _mm256_cvtepu16_epi32(residues));
            let (mask, inside) = (mask >> (16 * half), inside >> (8 * half));
            append(plus, &mut pluses, numbers, mask & inside);
            append(minus, &mut minuses, numbers, (mask >> 8) & inside);
        }
    }
    (pluses, minuses)
}

/// As the function of the same name there.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn multiples(
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    prime: u32,
    low: u32,
    marks: &mut [u32],
) -> usize {
    let limit = _mm256_set1_epi16(threshold);
    let least = _mm256_set1_epi16(LEAST_FACTOR_BITS);
    let mut found = 0;
    for Group { start, base, inside } in groups::<16>(entries, range, marks.len()) {
        // SAFETY: whole groups lie within the entries.
        let entry = unsafe { _mm256_loadu_si256(entries.as_ptr().add(start).cast()) };
        let above = _mm256_cmpgt_epi16(_mm256_and_si256(entry, least), limit);
        let above = _mm256_packs_epi16(above, _mm256_setzero_si256());
        let lanes = _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0xD8>(above)) as u32 & inside;
        let mut left = lanes;
        while left > 0 {
            let residue = RESIDUES[start % ENTRIES + left.trailing_zeros() as usize];
            let number = base + u32::from(residue);
            marks[found] = mark(number.wrapping_mul(prime).wrapping_sub(low));
            found += 1;
            left &= left - 1;
        }
    }
    found
}

/// Eight places, given as two vectors of numbers with a fraction to be cut off; in any order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn pack(places: [__m256d; 2]) -> __m256i {
    let (one, half) = (_mm256_set1_pd(1.0 / 240.0), _mm256_set1_pd(0.5 / 240.0));
    let four = |place: __m256d| {
        let place = _mm256_floor_pd(place);
        let word = _mm256_floor_pd(_mm256_fmadd_pd(place, one, half));
        let packed = _mm256_fmadd_pd(word, _mm256_set1_pd(16.0), place);
        _mm256_castpd_ps(_mm256_add_pd(packed, _mm256_set1_pd(INTEGER)))
    };
    _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(four(places[0]), four(places[1])))
}

/// As the function of the same name there.
#[target_feature(enable = "avx2,fma")]
pub(super) fn divide(xp: Dividend, low: u64, numbers: &[u32], places: &mut [u32]) {
    let (high, rest) = (_mm256_set1_pd(xp.high), _mm256_set1_pd(xp.low));
    let offset = _mm256_set1_pd(low as f64);
    let (groups, few) = numbers.as_chunks::<8>();
    let (group_places, few_places) = places.split_at_mut(8 * groups.len());
    for (group, places) in groups.iter().zip(group_places.as_chunks_mut::<8>().0) {
        let quotients = [0, 4].map(|at| {
            // SAFETY: half a group is four words of 32 bits.
            let by = doubles(unsafe { _mm_loadu_si128(group[at..at + 4].as_ptr().cast()) });
            _mm256_div_pd(_mm256_add_pd(_mm256_fnmadd_pd(offset, by, high), rest), by)
        });
        // SAFETY: there are eight places.
        unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), pack(quotients)) };
    }
    divide_far_portable(xp, low, few, few_places);
}

/// As the function of the same name there.
#[target_feature(enable = "avx2,fma")]
pub(super) fn multiply(xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
    let (numerator, offset) = (_mm256_set1_pd(xp as f64 + 0.5), _mm256_set1_pd(low as f64));
    let (groups, few) = reciprocals.as_chunks::<8>();
    let (group_places, few_places) = places.split_at_mut(8 * groups.len());
    for (group, places) in groups.iter().zip(group_places.as_chunks_mut::<8>().0) {
        let quotients = [0, 4].map(|at| {
            // SAFETY: half a group is four doubles.
            let reciprocal = unsafe { _mm256_loadu_pd(group[at..at + 4].as_ptr()) };
            _mm256_fmsub_pd(numerator, reciprocal, offset)
        });
        // SAFETY: there are eight places.
        unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), pack(quotients)) };
    }
    multiply_portable(xp, low, few, few_places);
}

/// As the function of the same name there. The counts of the words before each in its block are set aside and added by
/// vectors.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn ranks(words: &[Word], counts: &[u8], before: &[u32], places: &[u32]) -> u64 {
    let last = places.iter().copied().max().unwrap_or(0) as usize / 256;
    assert!(last < words.len() && words.len().is_multiple_of(BLOCK));
    assert!(counts.len() >= words.len() && before.len() >= words.len() / BLOCK);
    let mut parts = [0_u64; PARTS];
    let (mut vector, mut sum_of_words) = (_mm256_setzero_si256(), 0);
    for places in places.chunks(PARTS) {
        for (&place, part) in places.iter().zip(&mut parts) {
            let (word, block) = ((place >> 8) as usize, (place >> 8) as usize / BLOCK);
            // SAFETY: no word is after the last, which the view was seen to have with its whole block.
            let (bits, before, counts) = unsafe {
                let counts = counts.as_ptr().add(block * BLOCK).cast::<u64>().read_unaligned();
                (*words.get_unchecked(word), *before.get_unchecked(block), counts)
            };
            let bits = u64::from_le_bytes(bits) & UP_TO[usize::from(place as u8)];
            sum_of_words += u64::from(before) + u64::from(bits.count_ones());
            *part = _bzhi_u64(counts, place >> 5 & 56);
        }
        let (groups, rest) = parts[..places.len()].as_chunks::<4>();
        for group in groups {
            // SAFETY: a group is 32 bytes.
            let bytes = unsafe { _mm256_loadu_si256(group.as_ptr().cast()) };
            vector = _mm256_add_epi64(vector, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
        }
        let bytes = rest.iter().flat_map(|part| part.to_le_bytes());
        sum_of_words += bytes.map(u64::from).sum::<u64>();
    }
    sum_of_words + lane_sum(vector)
}

/// As the function of the same name there.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn few_ranks(words: &[Word], counts: &[u8], groups: &[u32; GROUPS], places: &[u32]) -> u64 {
    few_ranks_portable(words, counts, groups, places)
}
