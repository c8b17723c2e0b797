//! The innermost loop of A and C: the sum of `pi(xp / q)` over a run of primes `q`.
//!
//! `xp / q` is `trunc((xp + 1/2) * (1 / q))` in f64: `(xp + 1/2) / q` is at least `1 / (2 q)` away from any integer, and rounding the
//! reciprocal and the product is wrong by less than that as long as `xp < 2^51`. Above, which takes an `x` above 10^18, it is divided.
//!
//! Unsafe: the AVX-512 kernel gathers words of the table by index, eight at once. Its safe twin is [`portable`], and what it gives is
//! compared with that in the tests; the AVX2 level is the twin compiled with better instructions.
#![allow(unsafe_code)]

use super::level::Level;
use super::table::PiTable;

/// Below this `xp` the reciprocal is exact enough.
const EXACT: u64 = 1 << 51;

/// The sum of `pi(xp / q)` over these primes, given with their reciprocals; every `xp / q` lies in the table's range.
pub(crate) fn sum(level: Level, table: &PiTable, xp: u64, primes: &[u32], reciprocals: &[f64]) -> u64 {
    if xp >= EXACT {
        return primes.iter().map(|&q| table.pi(xp / u64::from(q))).sum();
    }
    match level {
        Level::Portable => portable(table, xp, reciprocals),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only used if the processor has its instructions.
        Level::Avx2 => unsafe { avx2(table, xp, reciprocals) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only used if the processor has its instructions; the words that are gathered are checked there.
        Level::Avx512 => unsafe { avx512(table, xp, reciprocals) },
    }
}

#[inline(always)]
fn portable(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    let numerator = xp as f64 + 0.5;
    reciprocals
        .iter()
        .map(|reciprocal| table.pi_at((numerator * reciprocal) as i64 as u64))
        .sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
fn avx2(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    portable(table, xp, reciprocals)
}

/// Eight leaves at once. With `n = xp / q - low` the word is `(n + 1) / 64` and of its bits the lowest `(n + 1) / 2 mod 32` count; both
/// come from `(n + 1) / 2`, which one fused multiply-add gives because `low` is even.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vpopcntdq,popcnt")]
fn avx512(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    use std::arch::x86_64::*;
    let words = table.words();
    let numerator = _mm512_set1_pd((xp as f64 + 0.5) / 2.0);
    let offset = _mm512_set1_pd(0.5 - (table.low() / 2) as f64);
    let last = _mm512_set1_epi64(words.len() as i64 - 1);
    let chunks = reciprocals.chunks_exact(8);
    let rest = chunks.remainder();
    let mut total = _mm512_setzero_si512();
    for chunk in chunks {
        // SAFETY: the chunk is eight doubles long.
        let reciprocal = unsafe { _mm512_loadu_pd(chunk.as_ptr()) };
        let odd = _mm512_cvttpd_epu64(_mm512_fmadd_pd(numerator, reciprocal, offset));
        // Unsigned minimum: whatever the caller passes, the gather stays inside the table.
        let at = _mm512_min_epu64(_mm512_srli_epi64::<5>(odd), last);
        // SAFETY: every index is at most the index of the last word.
        let word = unsafe { _mm512_i64gather_epi64::<8>(at, words.as_ptr().cast()) };
        let shift = _mm512_sub_epi64(_mm512_set1_epi64(64), _mm512_and_si512(odd, _mm512_set1_epi64(31)));
        let ones = _mm512_popcnt_epi64(_mm512_sllv_epi64(word, shift));
        total = _mm512_add_epi64(total, _mm512_add_epi64(ones, _mm512_srli_epi64::<32>(word)));
    }
    (_mm512_reduce_add_epi64(total) as u64).wrapping_add(portable(table, xp, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::primes_up_to;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_gives_what_division_gives(xp in 1_u64 << 20..1 << 51, piece in 0_u64..4) {
            let base = primes_up_to(100_000);
            let low = piece * (960 << 10);
            let table = PiTable::new(low, low + (960 << 10), 1000);
            let start = base.partition_point(|&q| u64::from(q) <= xp / table.high());
            let end = base.partition_point(|&q| u64::from(q) <= xp.checked_div(low).unwrap_or(u64::MAX));
            let primes = &base[start..end];
            let reciprocals: Vec<f64> = primes.iter().map(|&q| 1.0 / f64::from(q)).collect();
            let expected: u64 = primes.iter().map(|&q| table.pi(xp / u64::from(q))).sum();
            for &level in Level::all() {
                prop_assert_eq!(sum(level, &table, xp, primes, &reciprocals), expected, "{:?}", level);
            }
        }
    }
}
