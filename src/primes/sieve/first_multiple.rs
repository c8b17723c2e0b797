//! Finds where each of many sieving primes crosses off first. Knows nothing of segments and lists.
//!
//! Starting a sieve at 1e18 does this for 51 million primes, and as many integer divisions would take longer than sieving
//! the next billion numbers. So it is done in floating point, which the compiler turns into vectors, and then corrected.
#![allow(unsafe_code)] // Calling a function that was compiled for more instructions than the crate.

/// The smallest multiples `q p >= low` with `q >= p` of a batch of primes.
#[derive(Debug, Default)]
pub(super) struct FirstMultiples {
    /// `q p - low` for each prime.
    pub(super) distances: Vec<u64>,
    /// `q mod 210` for each prime.
    pub(super) residues: Vec<u32>,
}

/// Adding this to a float between 0 and 2^51 rounds it to an integer, which then is in the low bits.
const ROUND: f64 = (1_u64 << 52) as f64;

impl FirstMultiples {
    /// Computes them for these primes, which must lie between 2^14 and 2^32. For each, either `p p` or `low` must be at most the
    /// other plus 2^40, as it is when a segment's sieving primes are added.
    pub(super) fn compute(&mut self, primes: &[u32], low: u64) {
        self.distances.resize(primes.len(), 0);
        self.residues.resize(primes.len(), 0);
        let (distances, residues) = (&mut self.distances[..], &mut self.residues[..]);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                // SAFETY: both features were just detected.
                return unsafe { compute_avx512(primes, low, distances, residues) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature was just detected.
                return unsafe { compute_avx2(primes, low, distances, residues) };
            }
        }
        compute_portable(primes, low, distances, residues);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn compute_avx512(primes: &[u32], low: u64, distances: &mut [u64], residues: &mut [u32]) {
    compute_portable(primes, low, distances, residues);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn compute_avx2(primes: &[u32], low: u64, distances: &mut [u64], residues: &mut [u32]) {
    compute_portable(primes, low, distances, residues);
}

#[inline(always)]
fn compute_portable(primes: &[u32], low: u64, distances: &mut [u64], residues: &mut [u32]) {
    let outs = distances.iter_mut().zip(residues);
    for (&prime, (distance, residue)) in primes.iter().zip(outs) {
        let p = u64::from(prime);
        // The quotient is below 2^50, so it and its rounding are wrong by less than 1.
        let mut q = (low as f64 / f64::from(prime) + ROUND).to_bits() - ROUND.to_bits();
        let mut below = low.wrapping_sub(q.wrapping_mul(p)) as i64;
        // From -2 p < below < 2 p to the multiple at or above low: -p < below <= 0.
        for _ in 0..2 {
            let is_below = below > 0;
            q += u64::from(is_below);
            below -= if is_below { p as i64 } else { 0 };
        }
        let is_far = below <= -(p as i64);
        q -= u64::from(is_far);
        below += if is_far { p as i64 } else { 0 };
        let starts_at_square = q < p;
        *distance = if starts_at_square {
            (p * p).wrapping_sub(low)
        } else {
            -below as u64
        };
        let q = if starts_at_square { p } else { q };
        // Of a number below 2^50 the 210th part, again wrong by less than 1 when rounded.
        let turns = ((q as f64) * (1.0 / 210.0) + ROUND).to_bits() - ROUND.to_bits();
        let rest = q.wrapping_sub(turns.wrapping_mul(210)) as i64;
        *residue = (rest + if rest < 0 { 210 } else { 0 }) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(primes: &[u32], low: u64) -> Result<(), TestCaseError> {
        let mut found = FirstMultiples::default();
        found.compute(primes, low);
        let (mut distances, mut residues) = (vec![0; primes.len()], vec![0; primes.len()]);
        compute_portable(primes, low, &mut distances, &mut residues);
        prop_assert_eq!(&found.distances, &distances);
        prop_assert_eq!(&found.residues, &residues);
        for (i, &p) in primes.iter().enumerate() {
            let (p, low) = (u128::from(p), u128::from(low));
            let q = low.div_ceil(p).max(p);
            prop_assert_eq!(u128::from(distances[i]), q * p - low, "p = {}, low = {}", p, low);
            prop_assert_eq!(u128::from(residues[i]), q % 210, "p = {}, low = {}", p, low);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn floats_find_what_division_finds(
            mut primes in prop::collection::vec(1_u32 << 14.., 1..50),
            low in 0_u64..,
            shift in 0_u32..36,
        ) {
            let low = low >> shift;
            // Not more than the root and a little.
            let bound = low.isqrt().max(1 << 14) as u32;
            primes.iter_mut().for_each(|p| *p = (*p).min(bound));
            check(&primes, low)?;
        }
    }

    #[test]
    fn multiples_next_to_the_bound_are_found() {
        for low in [1 << 40, 1 << 50, u64::MAX - 1, u64::MAX, 999_999_999_989 * 10_000_019] {
            let root = low.isqrt() as u32;
            let primes: Vec<u32> = (1 << 14..1 << 14 | 999).chain(root - 999..=root).collect();
            check(&primes, low).expect("floats find what division finds");
            // Multiples at the bound itself and at its neighbours.
            for &p in &primes {
                let multiple = low - low % u64::from(p);
                for low in [multiple - 1, multiple, multiple.saturating_add(1)] {
                    check(&[p], low).expect("floats find what division finds");
                }
            }
        }
    }
}
