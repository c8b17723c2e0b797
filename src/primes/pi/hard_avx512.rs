//! The inner loops of D with AVX-512: see `hard_kernels`, whose functions they follow.
//!
//! Unsafe: loads and stores through pointers; before each loop the lengths are checked that make this sound.
#![allow(unsafe_code)]

use super::factor::{ENTRIES, LEAST_FACTOR_BITS, RESIDUES};
use super::groups::{Group, groups};
/// As with AVX2: counts at hand are less work than a count of half a block.
pub(super) use super::hard_avx2::ranks;
use super::hard_kernels::{BLOCK, GROUP, GROUPS, Word, accumulate_portable, divide_far_portable, multiply_portable};
use super::quotient::Dividend;
use super::wheel::KEEPS;
use crate::primes::wheel::UP_TO;
use std::arch::x86_64::*;
use std::ops::Range;

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,popcnt")]
pub(super) fn count(words: &[Word], counts: &mut [u8]) {
    let blocks = words.as_chunks::<BLOCK>().0;
    for (block, counts) in blocks.iter().zip(counts.as_chunks_mut::<BLOCK>().0) {
        // SAFETY: a block is 64 bytes.
        let ones = _mm512_popcnt_epi64(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) });
        // SAFETY: there are eight counts.
        unsafe { _mm_storel_epi64(counts.as_mut_ptr().cast(), _mm512_cvtepi64_epi8(ones)) };
    }
}

/// As `mask_and_count` there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,popcnt")]
pub(super) fn mask(words: &mut [Word], pattern: &[u8], offset: usize, counts: &mut [u8]) {
    let period = pattern.len() - 64;
    let stride = 64 % period;
    assert!(offset < period);
    let mut at = offset;
    let blocks = words.as_chunks_mut::<BLOCK>().0;
    for (block, counts) in blocks.iter_mut().zip(counts.as_chunks_mut::<BLOCK>().0) {
        // SAFETY: a block is 64 bytes, with eight counts; the pattern has 64 bytes from every place below its period
        // on.
        unsafe {
            let mask = _mm512_loadu_si512(pattern.as_ptr().add(at).cast());
            let bits = _mm512_and_si512(_mm512_loadu_si512(block.as_ptr().cast()), mask);
            _mm512_storeu_si512(block.as_mut_ptr().cast(), bits);
            let ones = _mm512_popcnt_epi64(bits);
            _mm_storel_epi64(counts.as_mut_ptr().cast(), _mm512_cvtepi64_epi8(ones));
        }
        at += stride;
        at = if at >= period { at - period } else { at };
    }
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn accumulate(counts: &[u8], before: &mut [u32]) {
    let zero = _mm512_setzero_si512();
    let last = _mm512_set1_epi32(15);
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let mut total = zero;
    let (groups, rest) = counts.as_chunks::<{ 16 * BLOCK }>();
    let (group_before, rest_before) = before.as_chunks_mut::<16>();
    for (group, before) in groups.iter().zip(group_before) {
        let blocks = |at: usize| {
            // SAFETY: eight blocks have 64 counts.
            _mm512_sad_epu8(unsafe { _mm512_loadu_si512(group[at..at + 64].as_ptr().cast()) }, zero)
        };
        let own = _mm512_permutex2var_epi32(blocks(0), even, blocks(64));
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

/// The entries and residues of a group that begins there.
///
/// # Safety
/// The entries have a whole group of 32 at `start`, which is a multiple of 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load(entries: &[i16], start: usize) -> (__m512i, __m512i) {
    // SAFETY: 32 entries begin at `start`, a multiple of 32, as the caller ensures; the residues are whole groups.
    unsafe {
        (
            _mm512_loadu_si512(entries.as_ptr().add(start).cast()),
            _mm512_loadu_si512(RESIDUES.as_ptr().add(start % ENTRIES).cast()),
        )
    }
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,popcnt")]
pub(super) fn filter(
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    plus: &mut [u32],
    minus: &mut [u32],
) -> (usize, usize) {
    let room = plus.len().min(minus.len());
    let limit = _mm512_set1_epi16(threshold);
    let one = _mm512_set1_epi16(1);
    let (mut pluses, mut minuses) = (0, 0);
    for Group { start, base, inside } in groups::<32>(entries, range, room) {
        let base = _mm512_set1_epi32(base as i32);
        // SAFETY: `groups` has seen that the entries have it.
        let (entry, residue) = unsafe { load(entries, start) };
        let above = _mm512_mask_cmpgt_epi16_mask(inside, entry, limit);
        let odd = _mm512_mask_test_epi16_mask(above, entry, one);
        let append = |list: &mut [u32], count: &mut usize, mask: u32| {
            let packed = _mm512_maskz_compress_epi16(mask, residue);
            let spread = |half: __m256i| _mm512_add_epi32(base, _mm512_cvtepu16_epi32(half));
            // SAFETY: `count` is at most the entries passed so far, and 32 words more were checked to have room.
            unsafe {
                let to = list.as_mut_ptr().add(*count);
                _mm512_storeu_si512(to.cast(), spread(_mm512_castsi512_si256(packed)));
                _mm512_storeu_si512(to.add(16).cast(), spread(_mm512_extracti64x4_epi64::<1>(packed)));
            }
            *count += mask.count_ones() as usize;
        };
        append(plus, &mut pluses, odd);
        append(minus, &mut minuses, above & !odd);
    }
    (pluses, minuses)
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,popcnt")]
pub(super) fn multiples(
    entries: &[i16],
    range: Range<usize>,
    threshold: i16,
    prime: u32,
    low: u32,
    marks: &mut [u32],
) -> usize {
    let limit = _mm512_set1_epi16(threshold);
    let least = _mm512_set1_epi16(LEAST_FACTOR_BITS);
    let prime = _mm512_set1_epi32(prime as i32);
    // SAFETY: thirty and two bytes.
    let keeps = unsafe { _mm256_loadu_si256(KEEPS.as_ptr().cast()) };
    let keeps = [
        _mm512_cvtepu8_epi32(_mm256_castsi256_si128(keeps)),
        _mm512_cvtepu8_epi32(_mm256_extracti128_si256::<1>(keeps)),
    ];
    let mut found = 0;
    for Group { start, base, inside } in groups::<32>(entries, range, marks.len()) {
        // SAFETY: `groups` has seen that the entries have it.
        let (entry, residue) = unsafe { load(entries, start) };
        let above = _mm512_mask_cmpgt_epi16_mask(inside, _mm512_and_si512(entry, least), limit);
        let packed = _mm512_maskz_compress_epi16(above, residue);
        let base = _mm512_set1_epi32(base as i32);
        let offset = _mm512_set1_epi32(low as i32);
        let mark = |half: __m256i| {
            let number = _mm512_add_epi32(base, _mm512_cvtepu16_epi32(half));
            let place = _mm512_sub_epi32(_mm512_mullo_epi32(number, prime), offset);
            // 2^36 / 30, rounded up: the product beyond its lowest 36 bits is the quotient of any word by 30.
            let magic = _mm512_set1_epi32(0x8888_8889_u32 as i32);
            let even = _mm512_srli_epi64::<36>(_mm512_mul_epu32(place, magic));
            let odd = _mm512_srli_epi64::<4>(_mm512_mul_epu32(_mm512_srli_epi64::<32>(place), magic));
            let byte = _mm512_mask_blend_epi32(0xAAAA, even, odd);
            let thirty = _mm512_sub_epi32(_mm512_slli_epi32::<5>(byte), _mm512_slli_epi32::<1>(byte));
            let keep = _mm512_permutex2var_epi32(keeps[0], _mm512_sub_epi32(place, thirty), keeps[1]);
            _mm512_or_si512(_mm512_slli_epi32::<8>(byte), keep)
        };
        // SAFETY: `found` is at most the entries passed so far, and 32 words more were checked to have room.
        unsafe {
            let to = marks.as_mut_ptr().add(found);
            _mm512_storeu_si512(to.cast(), mark(_mm512_castsi512_si256(packed)));
            if above.count_ones() > 16 {
                _mm512_storeu_si512(to.add(16).cast(), mark(_mm512_extracti64x4_epi64::<1>(packed)));
            }
        }
        found += above.count_ones() as usize;
    }
    found
}

/// Eight places, given with a fraction to be cut off.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn pack(place: __m512d) -> __m256i {
    const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    let (one, half) = (_mm512_set1_pd(1.0 / 240.0), _mm512_set1_pd(0.5 / 240.0));
    let place = _mm512_roundscale_pd::<DOWN>(place);
    let word = _mm512_roundscale_pd::<DOWN>(_mm512_fmadd_pd(place, one, half));
    _mm512_cvttpd_epu32(_mm512_fmadd_pd(word, _mm512_set1_pd(16.0), place))
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
pub(super) fn divide(xp: Dividend, low: u64, numbers: &[u32], places: &mut [u32]) {
    let (high, rest) = (_mm512_set1_pd(xp.high), _mm512_set1_pd(xp.low));
    let offset = _mm512_set1_pd(low as f64);
    let (groups, few) = numbers.as_chunks::<8>();
    let (group_places, few_places) = places.split_at_mut(8 * groups.len());
    for (group, places) in groups.iter().zip(group_places.as_chunks_mut::<8>().0) {
        // SAFETY: a group is eight words of 32 bits.
        let by = _mm512_cvtepu32_pd(unsafe { _mm256_loadu_si256(group.as_ptr().cast()) });
        let quotient = _mm512_div_pd(_mm512_add_pd(_mm512_fnmadd_pd(offset, by, high), rest), by);
        // SAFETY: there are eight places.
        unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), pack(quotient)) };
    }
    divide_far_portable(xp, low, few, few_places);
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn multiply(xp: u64, low: u64, reciprocals: &[f64], places: &mut [u32]) {
    let (numerator, offset) = (_mm512_set1_pd(xp as f64 + 0.5), _mm512_set1_pd(low as f64));
    let (groups, few) = reciprocals.as_chunks::<8>();
    let (group_places, few_places) = places.split_at_mut(8 * groups.len());
    for (group, places) in groups.iter().zip(group_places.as_chunks_mut::<8>().0) {
        // SAFETY: a group is eight doubles.
        let reciprocal = unsafe { _mm512_loadu_pd(group.as_ptr()) };
        let quotient = _mm512_fmsub_pd(numerator, reciprocal, offset);
        // SAFETY: there are eight places.
        unsafe { _mm256_storeu_si256(places.as_mut_ptr().cast(), pack(quotient)) };
    }
    multiply_portable(xp, low, few, few_places);
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt,bmi1,bmi2")]
pub(super) fn few_ranks(words: &[Word], counts: &[u8], groups: &[u32; GROUPS], places: &[u32]) -> u64 {
    const LANES: usize = 16;
    let zero = _mm512_setzero_si512();
    let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let vectors = groups.as_chunks::<LANES>().0;
    let (mut of_groups, mut of_words, mut parts) = (zero, zero, 0);
    for &place in places {
        let word = (place >> 8) as usize;
        let (group, inside) = (word / GROUP, word % GROUP);
        let end = _mm512_set1_epi32(group as i32);
        for (at, vector) in vectors.iter().enumerate() {
            let before = _mm512_cmplt_epi32_mask(_mm512_add_epi32(lane, _mm512_set1_epi32((at * LANES) as i32)), end);
            // SAFETY: sixteen lanes of 32 bits.
            let sums = unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) };
            of_groups = _mm512_mask_add_epi32(of_groups, before, of_groups, sums);
        }
        let counts = &counts[group * GROUP..word];
        for at in (0..GROUP).step_by(64) {
            let before = _bzhi_u64(u64::MAX, inside.saturating_sub(at).min(64) as u32);
            // SAFETY: only counts before the word are read, which are there.
            let bytes = unsafe { _mm512_maskz_loadu_epi8(before, counts.as_ptr().wrapping_add(at).cast()) };
            of_words = _mm512_add_epi64(of_words, _mm512_sad_epu8(bytes, zero));
        }
        let part = u64::from_le_bytes(words[word]) & UP_TO[usize::from(place as u8)];
        parts += u64::from(part.count_ones());
    }
    parts + _mm512_reduce_add_epi64(of_words) as u64 + u64::from(_mm512_reduce_add_epi32(of_groups) as u32)
}
