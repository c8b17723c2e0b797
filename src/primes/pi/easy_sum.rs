//! The innermost loop of A and C: the sum of `pi(xp / q)` over a run of primes `q`, counted from the beginning of the
//! table.
//!
//! `xp / q` is computed in doubles. A *near* `xp`, below `2^50`, is multiplied by the reciprocal of `q`:
//! `trunc((xp + 1/2) * (1 / q))`. `(xp + 1/2) / q` is at least `1 / (2 q)` away from any integer, and rounding the
//! reciprocal and the product is wrong by less than that as long as `xp < 2^51`; half of that leaves room for one more
//! rounding.
//!
//! Of a *far* `xp` the beginning `low` of the table is taken first: `xp - low q` is at most the length of the table
//! times `q`, and below `2^53` its quotient by `q` is cut off rightly; docs/numbers.md ("Why doubles are exact") has
//! the proof.
//!
//! Unsafe: calling a function that was compiled for more instructions than the crate. The safe duplicates of all
//! kernels are [`near_portable`] and [`far_portable`]; the tests compare what each gives with them.
#![allow(unsafe_code)]

use super::instructions::Instructions;
use super::quotient::Dividend;
use super::table::PiTable;
#[cfg(target_arch = "x86_64")]
use super::{easy_avx2, easy_avx512};

/// Below this `xp` the reciprocal is exact enough.
pub(crate) const EXACT_BY_RECIPROCAL: u64 = 1 << 50;

/// Adding this to a number well below `2^51` rounds it to an integer, which then stands in the lowest bits. Unlike a
/// cast of Rust this is a single vector instruction. Not `2^52`: a number just below zero is to be rounded to an
/// integer too.
pub(super) const TO_INTEGER: f64 = (3_u64 << 51) as f64;

/// Numbers that are worked on at once, so that the arithmetic is done with vectors.
const GROUP: usize = 16;

/// The sum of `pi(xp / q)`, less what lies before the table, over primes given by their reciprocals; `xp` is below
/// [`EXACT_BY_RECIPROCAL`], and every `xp / q` lies in the table's range.
pub(crate) fn near(instructions: Instructions, table: &PiTable, xp: u64, reciprocals: &[f64]) -> u64 {
    debug_assert!(xp < EXACT_BY_RECIPROCAL);
    match instructions {
        Instructions::Portable => near_portable(table, xp, reciprocals),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has these instructions, as `Instructions::all` has asked it.
        Instructions::Avx2 => unsafe { easy_avx2::near(table, xp, reciprocals) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has these instructions, as `Instructions::all` has asked it.
        Instructions::Avx512 => unsafe { easy_avx512::near(table, xp, reciprocals) },
    }
}

/// The same for any `xp`, and ascending primes.
pub(crate) fn far(instructions: Instructions, table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    let longest = (table.high() - table.low()).saturating_mul(primes.last().copied().unwrap_or(0).into());
    match instructions {
        _ if longest > Dividend::EXACT => far_portable(table, xp, primes),
        Instructions::Portable => far_portable(table, xp, primes),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has these instructions, as `Instructions::all` has asked it.
        Instructions::Avx2 => unsafe { easy_avx2::far(table, xp, primes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has these instructions, as `Instructions::all` has asked it.
        Instructions::Avx512 => unsafe { easy_avx512::far(table, xp, primes) },
    }
}

/// With `n = xp / q - low` the word is `(n + 1) / 64` and of its bits all but the lowest `(n + 1) / 2 mod 32` are taken
/// away. `(n + 1) / 2` is `(xp + 1/2) / q - low`, halved and rounded to the nearest integer.
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

/// In integers: what is left of `xp` is a word, though `xp` is not.
#[inline(always)]
pub(super) fn far_portable(table: &PiTable, xp: Dividend, primes: &[u32]) -> u64 {
    let rest = |q: u64| xp.word().wrapping_sub(table.low().wrapping_mul(q));
    primes.iter().map(|&q| table.rank(rest(q.into()) / u64::from(q))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::primes_up_to;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_instructions_give_what_division_gives(bits in 20_u32..66, fraction in 0.5_f64..1.0, piece in 0_u64..4) {
            let xp = ((1_u128 << bits) as f64 * fraction) as u128;
            let base = primes_up_to(100_000);
            // A piece that quotients of such primes lie in: one of the first, or one beside the quotient of the
            // largest.
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
            for &instructions in Instructions::all() {
                prop_assert_eq!(far(instructions, &table, Dividend::new(xp), primes), expected, "{:?}", instructions);
                if xp < EXACT_BY_RECIPROCAL.into() {
                    prop_assert_eq!(near(instructions, &table, xp as u64, &reciprocals), expected, "{:?}", instructions);
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
            for &instructions in Instructions::all() {
                prop_assert_eq!(far(instructions, &table, Dividend::new(xp), &[q; 16]), expected, "{:?}", instructions);
            }
        }
    }
}
