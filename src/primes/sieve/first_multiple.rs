//! Finds where each of many sieving primes crosses off first. Knows nothing of segments and lists.
//!
//! Starting a sieve at 1e18 does this for 51 million primes, and as many integer divisions would take longer than
//! sieving the next billion numbers. So it is done in floating point and with small tables, which the compiler turns
//! into vectors.
#![allow(unsafe_code)] // Calling a function that was compiled for more instructions than the crate.

#[cfg(target_arch = "x86_64")]
use crate::primes::features::has;
use crate::primes::wheel::{NEXT_COPRIME_30, NEXT_COPRIME_210, bit};

/// The smallest primes this is good for: with smaller ones the quotients are too large to be exact.
pub(super) const MIN_PRIME: u32 = 1 << 14;

/// Where a batch of primes crosses off first.
#[derive(Debug, Default)]
pub(super) struct FirstMultiples {
    /// For each prime `prime / 30` in the high half, the state of the wheel for its multiple in the low half.
    pub(super) tags: Vec<u64>,
    /// For each prime the byte of its multiple, relative to the bound.
    pub(super) bytes: Vec<u32>,
}

/// The wheel that multiples are to be on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wheel {
    Modulo30,
    Modulo210,
}

impl FirstMultiples {
    /// Finds for each of these primes, between [`MIN_PRIME`] and 2^32, its smallest multiple `q p >= low` with `q >= p`
    /// and `q` coprime to the wheel, where `low` is a multiple of 30. No square may lie 2^36 or more above `low`.
    pub(super) fn find(&mut self, primes: &[u32], low: u64, wheel: Wheel) {
        self.tags.resize(primes.len(), 0);
        self.bytes.resize(primes.len(), 0);
        let find = match wheel {
            Wheel::Modulo30 => find::<30>,
            Wheel::Modulo210 => find::<210>,
        };
        find(primes, low, &mut self.tags, &mut self.bytes);
    }
}

fn find<const M: usize>(primes: &[u32], low: u64, tags: &mut [u64], bytes: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            // SAFETY: both features were just detected.
            return unsafe { find_avx512::<M>(primes, low, tags, bytes) };
        }
        if has!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { find_avx2::<M>(primes, low, tags, bytes) };
        }
    }
    find_portable::<M>(primes, low, tags, bytes);
}

/// Whether vectors of 512 bits find them.
pub(super) fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        has!("avx512f", "avx512dq")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn find_avx512<const M: usize>(primes: &[u32], low: u64, tags: &mut [u64], bytes: &mut [u32]) {
    find_portable::<M>(primes, low, tags, bytes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn find_avx2<const M: usize>(primes: &[u32], low: u64, tags: &mut [u64], bytes: &mut [u32]) {
    find_portable::<M>(primes, low, tags, bytes);
}

/// For each residue of `q` modulo 30 or 210 the distance up to the next coprime one, and in the higher bits its index.
/// Padded to a power of two, so that no index needs a check.
const fn next_coprime<const M: usize>() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < M {
        let (up, index) = if M == 30 {
            NEXT_COPRIME_30[n]
        } else {
            NEXT_COPRIME_210[n]
        };
        table[n] = up as u32 | (index as u32) << 8;
        n += 1;
    }
    table
}

/// For each residue of a prime modulo 30 its state of the wheel when `q` is 1.
const fn first_states<const M: usize>() -> [u32; 32] {
    let coprimes = if M == 30 { 8 } else { 48 };
    let mut table = [0; 32];
    let mut n = 0;
    while n < 30 {
        table[n] = (bit(n) * coprimes) as u32;
        n += 1;
    }
    table
}

/// Adding this to a float between 0 and 2^51 rounds it to an integer, which then is in the low bits.
const ROUND: f64 = (1_u64 << 52) as f64;

#[inline(always)]
fn round(x: f64) -> u64 {
    (x + ROUND).to_bits() - ROUND.to_bits()
}

#[inline(always)]
fn find_portable<const M: usize>(primes: &[u32], low: u64, tags: &mut [u64], bytes: &mut [u32]) {
    let next_coprime = const { &next_coprime::<M>() };
    let first_states = const { &first_states::<M>() };
    for ((&prime, tag), byte) in primes.iter().zip(tags).zip(bytes) {
        let p = u64::from(prime);
        // The quotient is below 2^50, so it and its rounding are wrong by less than 1.
        let mut q = round(low as f64 / f64::from(prime));
        // How far the multiple is above the bound, from -2 p < distance < 2 p to 0 <= distance < p.
        let mut distance = q.wrapping_mul(p).wrapping_sub(low) as i64;
        for _ in 0..2 {
            let is_below = distance < 0;
            q += u64::from(is_below);
            distance += if is_below { p as i64 } else { 0 };
        }
        let is_far = distance >= p as i64;
        q -= u64::from(is_far);
        distance -= if is_far { p as i64 } else { 0 };
        let starts_at_square = q < p;
        let distance = if starts_at_square {
            (p * p).wrapping_sub(low)
        } else {
            distance as u64
        };
        let q = if starts_at_square { p } else { q };
        // The rest of a number below 2^50, again with a rounding that is wrong by less than 1.
        let rest = q.wrapping_sub(round(q as f64 * (1.0 / M as f64)).wrapping_mul(M as u64)) as i64;
        let rest = rest + if rest < 0 { M as i64 } else { 0 };
        let next = next_coprime[rest as usize & 255];
        let distance = distance + p * u64::from(next & 255);
        // The multiple is coprime to 30, so 1 <= distance % 30 <= 29 and rounding gives distance / 30 + 1.
        *byte = round((distance as f64 + 15.0) * (1.0 / 30.0)) as u32 - 1;
        let state = first_states[prime as usize % 30] + (next >> 8);
        *tag = u64::from(prime / 30) << 32 | u64::from(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compares what is found with integer arithmetic and with the portable version.
    fn check<const M: usize>(primes: &[u32], low: u64, wheel: Wheel) -> Result<(), TestCaseError> {
        let low = low - low % 30;
        let mut found = FirstMultiples::default();
        found.find(primes, low, wheel);
        let (mut tags, mut bytes) = (vec![0; primes.len()], vec![0; primes.len()]);
        find_portable::<M>(primes, low, &mut tags, &mut bytes);
        prop_assert_eq!((&found.tags, &found.bytes), (&tags, &bytes));
        #[cfg(target_arch = "x86_64")]
        if has!("avx2") {
            let (mut tags_avx2, mut bytes_avx2) = (vec![0; primes.len()], vec![0; primes.len()]);
            // SAFETY: the feature was just detected.
            unsafe { find_avx2::<M>(primes, low, &mut tags_avx2, &mut bytes_avx2) };
            prop_assert_eq!((&tags_avx2, &bytes_avx2), (&tags, &bytes));
        }
        let coprimes: Vec<u128> = (0..M as u128)
            .filter(|n| (2..8).all(|d| !(M as u128).is_multiple_of(d) || !n.is_multiple_of(d)))
            .collect();
        for (i, &prime) in primes.iter().enumerate() {
            let (p, low) = (u128::from(prime), u128::from(low));
            let from = low.div_ceil(p).max(p);
            let q = (from..).find(|q| coprimes.contains(&(q % M as u128))).expect("endless");
            prop_assert_eq!(u128::from(bytes[i]), q * p / 30 - low / 30, "p = {}, low = {}", p, low);
            let index = coprimes.iter().position(|&n| n == q % M as u128).expect("coprime");
            let state = bit(prime as usize % 30) * coprimes.len() + index;
            prop_assert_eq!(
                tags[i],
                u64::from(prime / 30) << 32 | state as u64,
                "p = {}, low = {}",
                p,
                low
            );
        }
        Ok(())
    }

    fn coprime_to_30(n: &u32) -> bool {
        [2, 3, 5].iter().all(|d| !n.is_multiple_of(*d))
    }

    proptest! {
        #[test]
        fn floats_find_what_division_finds(
            primes in prop::collection::vec(MIN_PRIME.., 1..200),
            low in 0_u64..,
            shift in 0_u32..36,
        ) {
            let low = low >> shift;
            let bound = low.isqrt().max(u64::from(MIN_PRIME) + 1) as u32;
            let primes: Vec<u32> = primes.into_iter().map(|p| p.min(bound)).filter(coprime_to_30).collect();
            check::<30>(&primes, low, Wheel::Modulo30)?;
            check::<210>(&primes, low, Wheel::Modulo210)?;
        }
    }

    #[test]
    fn multiples_next_to_the_bound_are_found() {
        for low in [1 << 40, 1 << 50, u64::MAX - 1, u64::MAX, 999_999_999_989 * 10_000_019] {
            let root = low.isqrt() as u32;
            let primes: Vec<u32> = (MIN_PRIME..MIN_PRIME + 999)
                .chain(root - 999..=root)
                .filter(coprime_to_30)
                .collect();
            for &p in &primes {
                let multiple = low - low % u64::from(p);
                for low in [multiple - 30, multiple, multiple.saturating_add(30)] {
                    check::<30>(&[p], low, Wheel::Modulo30).expect("floats find what division finds");
                    check::<210>(&[p], low, Wheel::Modulo210).expect("floats find what division finds");
                }
            }
        }
    }
}
