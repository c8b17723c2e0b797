//! What the kernels of several sums share with AVX2.
//!
//! Unsafe: loads and stores through pointers.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// Adding this to an integer below it leaves that in the lowest bits.
pub(super) const INTEGER: f64 = (1_u64 << 52) as f64;

/// Four words of 32 bits as doubles.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn doubles(words: __m128i) -> __m256d {
    let integer = _mm256_set1_pd(INTEGER);
    let bits = _mm256_or_si256(_mm256_cvtepu32_epi64(words), _mm256_castpd_si256(integer));
    _mm256_sub_pd(_mm256_castsi256_pd(bits), integer)
}

/// How many bits are set in each byte: those of half bytes come from a table (Mula, Kurz, Lemire 2018).
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn bits_of_bytes(words: __m256i) -> __m256i {
    let table = _mm256_setr_epi8(
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
    );
    let nibble = _mm256_set1_epi8(15);
    let low = _mm256_shuffle_epi8(table, _mm256_and_si256(words, nibble));
    let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(words), nibble));
    _mm256_add_epi8(low, high)
}

/// The sum of four words, modulo `2^64`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn lane_sum(lanes: __m256i) -> u64 {
    let mut four = [0_u64; 4];
    // SAFETY: four lanes of 64 bits.
    unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), lanes) };
    four.into_iter().fold(0, u64::wrapping_add)
}

/// The words at two places, given as the halves of one number.
///
/// # Safety
/// There are words at both.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn two_words(words: &[u64], places: i64) -> __m128i {
    let word = |place: u32| words.as_ptr().wrapping_add(place as usize).cast();
    // SAFETY: both places are below `words.len()`, as the caller ensures.
    unsafe {
        let first = _mm_load_sd(word(places as u32));
        _mm_castpd_si128(_mm_loadh_pd(first, word((places as u64 >> 32) as u32)))
    }
}
