//! The innermost loop of A and C: the sum of `pi(xp / q)` over a run of primes `q`.
//!
//! `xp / q` is `trunc((xp + 1/2) * (1 / q))` in f64: `(xp + 1/2) / q` is at least `1 / (2 q)` away from any integer, and rounding the
//! reciprocal and the product is wrong by less than that as long as `xp < 2^51`; half of that leaves room for one more rounding. Above,
//! which takes an `x` above 10^18, quotients are rounded once and exact up to `2^53`; beyond that, integers are divided.
//!
//! Unsafe: the AVX-512 kernel gathers words of the table by index, eight at once. Its safe twin is [`portable`], and what it gives is
//! compared with that in the tests; the AVX2 level is the twin compiled with better instructions.
#![allow(unsafe_code)]

use super::level::Level;
use super::table::PiTable;

/// Below this `xp` the reciprocal is exact enough.
pub(super) const EXACT_BY_RECIPROCAL: u64 = 1 << 50;

/// Below this `xp` the quotient of doubles is exact enough: below an integer `k` it is at most `k - 1 / q`, which rounding does not bridge.
const EXACT_BY_QUOTIENT: u64 = 1 << 53;

/// Adding this to a number well below `2^51` rounds it to an integer, which then stands in the lowest bits. Unlike a cast of Rust this is a
/// single vector instruction. Not `2^52`: a number just below zero is to be rounded to an integer too.
pub(super) const TO_INTEGER: f64 = (3_u64 << 51) as f64;

/// The sum of `pi(xp / q)` over these primes, given with their reciprocals; every `xp / q` lies in the table's range.
pub(crate) fn sum(level: Level, table: &PiTable, xp: u64, primes: &[u32], reciprocals: &[f64]) -> u64 {
    if xp >= EXACT_BY_QUOTIENT {
        return primes.iter().map(|&q| table.pi_at(xp / u64::from(q))).sum();
    }
    if xp >= EXACT_BY_RECIPROCAL {
        return primes
            .iter()
            .map(|&q| table.pi_at((xp as f64 / f64::from(q)) as u64))
            .sum();
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

/// With `n = xp / q - low` the word is `(n + 1) / 64` and of its bits the lowest `(n + 1) / 2 mod 32` count. `(n + 1) / 2` is
/// `(xp + 1/2) / q - low`, halved and rounded to the nearest integer.
#[inline(always)]
fn portable(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    const GROUP: usize = 16;
    let words = table.words();
    let numerator = (xp as f64 + 0.5) / 2.0;
    let offset = (table.low() / 2) as f64;
    let mut sum = 0;
    for group in reciprocals.chunks(GROUP) {
        // Apart from what follows, so that it is done with vectors.
        let mut odd = [0; GROUP];
        for (odd, reciprocal) in odd.iter_mut().zip(group) {
            *odd = ((numerator * reciprocal - offset) + TO_INTEGER).to_bits() as u32;
        }
        for &odd in &odd[..group.len()] {
            let word = words[odd as usize / 32];
            let bits = word & ((1 << (odd % 32)) - 1);
            sum += (word >> 32) + u64::from(bits.count_ones());
        }
    }
    sum
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
fn avx2(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    portable(table, xp, reciprocals)
}

/// The same for eight leaves at once; here the integer is cut off, so a half is added before.
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
        fn every_level_gives_what_division_gives(bits in 20_u32..58, fraction in 0.5_f64..1.0, piece in 0_u64..4) {
            let xp = ((1_u64 << bits) as f64 * fraction) as u64;
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
