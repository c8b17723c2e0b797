//! The innermost loop of A and C with AVX-512: see `easy_sum`, whose functions they follow.
//!
//! Unsafe: words of the table are loaded without a check of each index; all are limited before.
#![allow(unsafe_code)]

use super::avx2::two_words;
use super::easy_sum::{far_portable, near_portable};
use super::quotient::Dividend;
use super::table::PiTable;
use crate::primes::features::gathers_slowly;
use std::arch::x86_64::*;

/// Leaves that are looked up at once.
const GROUP: usize = 16;

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
pub(super) fn near(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    let numerator = _mm512_set1_pd((xp as f64 + 0.5) / 2.0);
    // The integer is cut off, so a half is added before.
    let offset = _mm512_set1_pd(0.5 - (table.low() / 2) as f64);
    let (groups, rest) = reciprocals.as_chunks::<GROUP>();
    let sum = look_up(table, groups, |group| {
        let half = |at: usize| {
            // SAFETY: half a group is eight doubles.
            let reciprocal = unsafe { _mm512_loadu_pd(group[at..at + 8].as_ptr()) };
            _mm512_cvttpd_epu32(_mm512_fmadd_pd(numerator, reciprocal, offset))
        };
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(0)), half(8))
    });
    sum + near_portable(table, xp, rest)
}

/// As the function of the same name there.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
pub(super) fn far(table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    let (high, rest) = (_mm512_set1_pd(xp.high), _mm512_set1_pd(xp.low));
    let low = _mm512_set1_pd(table.low() as f64);
    let (groups, few) = primes.as_chunks::<GROUP>();
    let sum = look_up(table, groups, |group| {
        let half = |at: usize| {
            // SAFETY: half a group is eight words of 32 bits.
            let q = _mm512_cvtepu32_pd(unsafe { _mm256_loadu_si256(group[at..at + 8].as_ptr().cast()) });
            let left = _mm512_add_pd(_mm512_fnmadd_pd(low, q, high), rest);
            _mm512_cvttpd_epu32(_mm512_div_pd(left, q))
        };
        let place = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(0)), half(8));
        _mm512_srli_epi32::<1>(_mm512_add_epi32(place, _mm512_set1_epi32(1)))
    });
    sum + far_portable(table, xp, few)
}

/// The sum of what the words say for all groups; `odd` gives sixteen `(n + 1) / 2`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn look_up<T>(table: &PiTable, groups: &[[T; GROUP]], odd: impl Fn(&[T; GROUP]) -> __m512i) -> u64 {
    if gathers_slowly() {
        look_up_by::<false, T>(table, groups, odd)
    } else {
        look_up_by::<true, T>(table, groups, odd)
    }
}

/// The low halves of the words are added as they are, the high ones above them, until that could overflow.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn look_up_by<const GATHER: bool, T>(
    table: &PiTable,
    groups: &[[T; GROUP]],
    odd: impl Fn(&[T; GROUP]) -> __m512i,
) -> u64 {
    let words = table.words();
    let last = _mm512_set1_epi32((words.len() - 1) as i32);
    let high_halves = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    let most = (u64::from(u32::MAX) / GROUP as u64 / table.count().max(1)).max(1) as usize;
    let zero = _mm512_setzero_si512();
    let mut total = 0;
    for groups in groups.chunks(most) {
        let (mut sum, mut after) = (zero, zero);
        for group in groups {
            let odd = odd(group);
            // Unsigned minimum: whatever the caller passes, the places stay inside the table.
            let at = _mm512_min_epu32(_mm512_srli_epi32::<5>(odd), last);
            // SAFETY: every place is at most that of the final word.
            let (first, second) = unsafe {
                (
                    eight::<GATHER>(words, _mm512_castsi512_si256(at)),
                    eight::<GATHER>(words, _mm512_extracti64x4_epi64::<1>(at)),
                )
            };
            sum = _mm512_add_epi64(sum, _mm512_add_epi64(first, second));
            // A shift takes the lowest five bits of the amount.
            let bits = _mm512_permutex2var_epi32(first, high_halves, second);
            after = _mm512_add_epi32(after, _mm512_popcnt_epi32(_mm512_shrdv_epi32(bits, zero, odd)));
        }
        let after = _mm512_reduce_add_epi32(after) as u32;
        total += u64::from((_mm512_reduce_add_epi64(sum) as u32).wrapping_sub(after));
    }
    total
}

/// The words at these places: gathered, or by eight loads.
///
/// # Safety
/// There are words at all of them.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn eight<const GATHER: bool>(words: &[u64], at: __m256i) -> __m512i {
    if GATHER {
        // SAFETY: every place is below `words.len()`, as the caller ensures.
        return unsafe { _mm512_i32gather_epi64::<8>(at, words.as_ptr().cast()) };
    }
    // SAFETY: every place is below `words.len()`, as the caller ensures.
    let two = |at: i64| unsafe { two_words(words, at) };
    let four = |at: __m128i| {
        let first = _mm256_castsi128_si256(two(_mm_cvtsi128_si64(at)));
        _mm256_inserti128_si256::<1>(first, two(_mm_extract_epi64::<1>(at)))
    };
    let first = _mm512_castsi256_si512(four(_mm256_castsi256_si128(at)));
    _mm512_inserti64x4::<1>(first, four(_mm256_extracti128_si256::<1>(at)))
}

#[cfg(test)]
mod tests {
    use super::super::instructions::Instructions;
    use super::*;

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
    fn both_ways(table: &PiTable, groups: &[[u32; GROUP]]) -> [u64; 2] {
        // SAFETY: sixteen words of 32 bits.
        let odd = |group: &[u32; GROUP]| unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
        [
            look_up_by::<true, u32>(table, groups, odd),
            look_up_by::<false, u32>(table, groups, odd),
        ]
    }

    #[test]
    fn gathers_and_loads_give_the_same() {
        if !Instructions::all().contains(&Instructions::Avx512) {
            return;
        }
        let table = PiTable::new(0, 1 << 20);
        let places: Vec<u32> = (0..1 << 16).map(|i: u32| i.wrapping_mul(0x9E37_79B1) >> 13).collect();
        let expected: u64 = places
            .iter()
            .map(|&odd| table.pi((2 * u64::from(odd)).saturating_sub(1)))
            .sum();
        // SAFETY: the processor has the instructions.
        let found = unsafe { both_ways(&table, places.as_chunks().0) };
        assert_eq!(found, [expected; 2]);
    }
}
