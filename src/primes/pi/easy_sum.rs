//! The innermost loop of A and C: the sum of `pi(xp / q)` over a run of primes `q`, counted from the beginning of the table.
//!
//! `xp / q` is computed in doubles. A *near* `xp`, below `2^50`, is multiplied by the reciprocal of `q`: `trunc((xp + 1/2) * (1 / q))`.
//! `(xp + 1/2) / q` is at least `1 / (2 q)` away from any integer, and rounding the reciprocal and the product is wrong by less than
//! that as long as `xp < 2^51`; half of that leaves room for one more rounding.
//!
//! Of a *far* `xp` the beginning `low` of the table is taken first: `xp - low q` is at most the length of the table times `q`, and below
//! `2^53` its quotient by `q` is cut off rightly; docs/numbers.md ("Why doubles are exact") has the proof.
//!
//! Unsafe: calling a function that was compiled for more instructions than the crate; the AVX2 kernels load words of the table without a check of
//! each index, which they limit before. The safe twins of all kernels are [`near_portable`] and [`far_portable`], and what they give is compared
//! with those in the tests.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use super::easy_avx512;
use super::level::Level;
use super::quotient::Dividend;
use super::table::PiTable;

/// Below this `xp` the reciprocal is exact enough.
pub(crate) const EXACT_BY_RECIPROCAL: u64 = 1 << 50;

/// Adding this to a number well below `2^51` rounds it to an integer, which then stands in the lowest bits. Unlike a cast of Rust this is a
/// single vector instruction. Not `2^52`: a number just below zero is to be rounded to an integer too.
pub(super) const TO_INTEGER: f64 = (3_u64 << 51) as f64;

/// Adding this to an integer below it leaves that in the lowest bits.
#[cfg(target_arch = "x86_64")]
pub(super) const INTEGER: f64 = (1_u64 << 52) as f64;

/// Four words of 32 bits as doubles.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn doubles_avx2(words: std::arch::x86_64::__m128i) -> std::arch::x86_64::__m256d {
    use std::arch::x86_64::*;
    let integer = _mm256_set1_pd(INTEGER);
    let bits = _mm256_or_si256(_mm256_cvtepu32_epi64(words), _mm256_castpd_si256(integer));
    _mm256_sub_pd(_mm256_castsi256_pd(bits), integer)
}

/// Numbers that are worked on at once, so that the arithmetic is done with vectors.
const GROUP: usize = 16;

/// The sum of `pi(xp / q)`, less what lies before the table, over primes given by their reciprocals; `xp` is below
/// [`EXACT_BY_RECIPROCAL`], and every `xp / q` lies in the table's range.
pub(crate) fn near(level: Level, table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    debug_assert!(xp < EXACT_BY_RECIPROCAL);
    match level {
        Level::Portable => near_portable(table, xp, reciprocals),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only used if the processor has its instructions.
        Level::Avx2 => unsafe { near_avx2(table, xp, reciprocals) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only used if the processor has its instructions.
        Level::Avx512 => unsafe { easy_avx512::near(table, xp, reciprocals) },
    }
}

/// The same for any `xp`, and ascending primes.
pub(crate) fn far(level: Level, table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    let longest = (table.high() - table.low()).saturating_mul(primes.last().copied().unwrap_or(0).into());
    match level {
        _ if longest > Dividend::EXACT => far_portable(table, xp, primes),
        Level::Portable => far_portable(table, xp, primes),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only used if the processor has its instructions.
        Level::Avx2 => unsafe { far_avx2(table, xp, primes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only used if the processor has its instructions.
        Level::Avx512 => unsafe { easy_avx512::far(table, xp, primes) },
    }
}

/// With `n = xp / q - low` the word is `(n + 1) / 64` and of its bits all but the lowest `(n + 1) / 2 mod 32` are taken away. `(n + 1) / 2` is
/// `(xp + 1/2) / q - low`, halved and rounded to the nearest integer.
#[inline(always)]
pub(super) fn near_portable(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
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
            let after = (word >> 32) as u32 >> (odd % 32);
            sum += u64::from(word as u32 - after.count_ones());
        }
    }
    sum
}

/// The same with one rounding less.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
fn near_avx2(table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    use std::arch::x86_64::*;
    let numerator = _mm256_set1_pd((xp as f64 + 0.5) / 2.0);
    let offset = _mm256_set1_pd(TO_INTEGER - (table.low() / 2) as f64);
    let (groups, rest) = reciprocals.as_chunks::<8>();
    let sum = look_up_avx2(table, groups, |group| {
        let half = |at: usize| {
            // SAFETY: half a group is four doubles.
            let reciprocal = unsafe { _mm256_loadu_pd(group[at..at + 4].as_ptr()) };
            _mm256_castpd_ps(_mm256_fmadd_pd(numerator, reciprocal, offset))
        };
        _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(half(0), half(4)))
    });
    sum + near_portable(table, xp, rest)
}

/// The sum of what the words say for all groups; `odd` gives eight `(n + 1) / 2` in any order.
///
/// The low halves of the words are added as they are, the high ones above them, until that could overflow.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
fn look_up_avx2<T>(table: &PiTable, groups: &[[T; 8]], odd: impl Fn(&[T; 8]) -> std::arch::x86_64::__m256i) -> u64 {
    use std::arch::x86_64::*;
    let words = table.words();
    let last = _mm256_set1_epi32((words.len() - 1) as i32);
    let most = (u64::from(u32::MAX) / 8 / table.count().max(1)).max(1) as usize;
    let (mut places, mut shifts) = ([0_u32; 8], [0_u32; 8]);
    let (mut total, mut after) = (0, 0);
    for groups in groups.chunks(most) {
        let mut sum = 0_u64;
        for group in groups {
            let odd = odd(group);
            // Unsigned minimum: whatever the caller passes, the places stay inside the table.
            let at = _mm256_min_epu32(_mm256_srli_epi32::<5>(odd), last);
            // SAFETY: there are eight words of 32 bits.
            unsafe {
                _mm256_storeu_si256(places.as_mut_ptr().cast(), at);
                _mm256_storeu_si256(shifts.as_mut_ptr().cast(), odd);
            }
            for (&at, &shift) in places.iter().zip(&shifts) {
                // SAFETY: every place is at most that of the final word.
                let word = unsafe { *words.get_unchecked(at as usize) };
                sum = sum.wrapping_add(word);
                after += u64::from(((word >> 32) as u32).wrapping_shr(shift).count_ones());
            }
        }
        total += sum & u64::from(u32::MAX);
    }
    total - after
}

/// In integers: what is left of `xp` is a word, though `xp` is not.
#[inline(always)]
pub(super) fn far_portable(table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    let rest = |q: u64| xp.word().wrapping_sub(table.low().wrapping_mul(q));
    primes.iter().map(|&q| table.rank(rest(q.into()) / u64::from(q))).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2,lzcnt")]
fn far_avx2(table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    use std::arch::x86_64::*;
    let (high, rest) = (_mm256_set1_pd(xp.high), _mm256_set1_pd(xp.low));
    let low = _mm256_set1_pd(table.low() as f64);
    let integer = _mm256_set1_pd(INTEGER);
    let (groups, few) = primes.as_chunks::<8>();
    let sum = look_up_avx2(table, groups, |group| {
        let half = |at: usize| {
            // SAFETY: half a group is four words of 32 bits.
            let q = doubles_avx2(unsafe { _mm_loadu_si128(group[at..at + 4].as_ptr().cast()) });
            let left = _mm256_add_pd(_mm256_fnmadd_pd(low, q, high), rest);
            let place = _mm256_floor_pd(_mm256_div_pd(left, q));
            _mm256_castpd_ps(_mm256_add_pd(place, integer))
        };
        let place = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(half(0), half(4)));
        _mm256_srli_epi32::<1>(_mm256_add_epi32(place, _mm256_set1_epi32(1)))
    });
    sum + far_portable(table, xp, few)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::primes_up_to;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_gives_what_division_gives(bits in 20_u32..66, fraction in 0.5_f64..1.0, piece in 0_u64..4) {
            let xp = ((1_u128 << bits) as f64 * fraction) as u128;
            let base = primes_up_to(100_000);
            // A piece that quotients of such primes lie in: one of the first, or one beside the quotient of the largest.
            let low = match bits {
                ..50 => piece * (960 << 10),
                _ => (xp / 99_000) as u64 / 960 * 960,
            };
            let sieved = low.min(960 << 30);
            let table = PiTable::new(sieved, sieved + (960 << 10)).moved_to(low);
            let start = base.partition_point(|&q| u128::from(q) <= xp / u128::from(table.high()));
            let end = base.partition_point(|&q| u128::from(q) <= xp.checked_div(low.into()).unwrap_or(u128::MAX));
            let primes = &base[start..end.max(start)];
            let reciprocals: Vec<f64> = primes.iter().map(|&q| 1.0 / f64::from(q)).collect();
            let expected: u64 = primes.iter().map(|&q| table.pi((xp / u128::from(q)) as u64)).sum();
            for &level in Level::all() {
                prop_assert_eq!(far(level, &table, Dividend::new(xp), primes), expected, "{:?}", level);
                if xp < EXACT_BY_RECIPROCAL.into() {
                    prop_assert_eq!(near(level, &table, xp as u64, &reciprocals), expected, "{:?}", level);
                }
            }
        }

        #[test]
        fn quotients_beside_integers_are_cut_off_rightly(
            q in (1_u32 << 20)..1 << 30,
            place in 0_u64..7_860_000,
            low in 0_u64..1 << 45,
            off in 0_u128..3,
        ) {
            let low = low / 960 * 960;
            let table = PiTable::new(0, 7_864_320).moved_to(low);
            let xp = (u128::from(q) * u128::from(low + place.max(3)) + off).saturating_sub(1);
            let expected = 16 * table.rank((xp / u128::from(q)) as u64 - low);
            for &level in Level::all() {
                prop_assert_eq!(far(level, &table, Dividend::new(xp), &[q; 16]), expected, "{:?}", level);
            }
        }
    }
}
