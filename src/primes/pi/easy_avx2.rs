//! The innermost loop of A and C with AVX2: see `easy_sum`, whose functions they follow.
//!
//! Unsafe: words of the table are loaded without a check of each index; all are limited before.
#![allow(unsafe_code)]

use super::avx2::{INTEGER, bits_of_bytes, doubles, lane_sum, two_words};
use super::easy_sum::{TO_INTEGER, far_portable, near_portable};
use super::quotient::Dividend;
use super::table::PiTable;
use std::arch::x86_64::*;

/// Leaves that are looked up at once.
const GROUP: usize = 8;

/// As the function of the same name there, with one rounding less.
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
pub(super) fn near(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    let numerator = _mm256_set1_pd((xp as f64 + 0.5) / 2.0);
    let offset = _mm256_set1_pd(TO_INTEGER - (table.low() / 2) as f64);
    let (groups, rest) = reciprocals.as_chunks::<GROUP>();
    let sum = look_up(table, groups, |group| {
        let half = |at: usize| {
            // SAFETY: half a group is four doubles.
            let reciprocal = unsafe { _mm256_loadu_pd(group[at..at + 4].as_ptr()) };
            _mm256_castpd_ps(_mm256_fmadd_pd(numerator, reciprocal, offset))
        };
        _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(half(0), half(4)))
    });
    sum + near_portable(table, xp, rest)
}

/// As the function of the same name there.
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
pub(super) fn far(table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    let (high, rest) = (_mm256_set1_pd(xp.high), _mm256_set1_pd(xp.low));
    let low = _mm256_set1_pd(table.low() as f64);
    let integer = _mm256_set1_pd(INTEGER);
    let (groups, few) = primes.as_chunks::<GROUP>();
    let sum = look_up(table, groups, |group| {
        let half = |at: usize| {
            // SAFETY: half a group is four words of 32 bits.
            let q = doubles(unsafe { _mm_loadu_si128(group[at..at + 4].as_ptr().cast()) });
            let left = _mm256_add_pd(_mm256_fnmadd_pd(low, q, high), rest);
            let place = _mm256_floor_pd(_mm256_div_pd(left, q));
            _mm256_castpd_ps(_mm256_add_pd(place, integer))
        };
        let place = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(half(0), half(4)));
        _mm256_srli_epi32::<1>(_mm256_add_epi32(place, _mm256_set1_epi32(1)))
    });
    sum + far_portable(table, xp, few)
}

/// The sum of what the words say for all groups; `odd` gives eight `(n + 1) / 2` in any order.
///
/// The low halves of the words are added as they are, the high ones above them, until that could overflow.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
fn look_up<T>(table: &PiTable, groups: &[[T; GROUP]], odd: impl Fn(&[T; GROUP]) -> __m256i) -> u64 {
    let words = table.words();
    let last = _mm256_set1_epi32((words.len() - 1) as i32);
    let most = (u64::from(u32::MAX) / GROUP as u64 / table.count().max(1)).max(1) as usize;
    let zero = _mm256_setzero_si256();
    // SAFETY: the places are limited before.
    let two = |at: i64| unsafe { two_words(words, at) };
    let mut total = 0;
    for groups in groups.chunks(most) {
        let (mut sum, mut after) = (zero, zero);
        for group in groups {
            let odd = odd(group);
            // Unsigned minimum: whatever the caller passes, the places stay inside the table.
            let at = _mm256_min_epu32(_mm256_srli_epi32::<5>(odd), last);
            let halves = [_mm256_castsi256_si128(at), _mm256_extracti128_si256::<1>(at)];
            let join =
                |[low, high]: [i64; 2]| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(two(low)), two(high));
            // Of each half of eight leaves two, so that their high halves come to stand as `odd` does.
            let first = join(halves.map(|half| _mm_cvtsi128_si64(half)));
            let second = join(halves.map(|half| _mm_extract_epi64::<1>(half)));
            sum = _mm256_add_epi64(sum, _mm256_add_epi64(first, second));
            let bits = _mm256_shuffle_ps::<0xDD>(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second));
            let shift = _mm256_and_si256(odd, _mm256_set1_epi32(31));
            let left = bits_of_bytes(_mm256_srlv_epi32(_mm256_castps_si256(bits), shift));
            after = _mm256_add_epi64(after, _mm256_sad_epu8(left, zero));
        }
        total += u64::from((lane_sum(sum) as u32).wrapping_sub(lane_sum(after) as u32));
    }
    total
}
