//! Composites of up to 64 bits: curves with small bounds, and Pollard's method for what is too short for them or
//! escapes them.

use super::curves::{self, LANES};
use super::rho::Rho;
use super::schedule::short_bounds;
use crate::primes::Natural;
use crate::primes::primality::ring::{Montgomery, Ring};
use std::sync::Arc;

/// Numbers of fewer bits are left to Pollard's method: a few microseconds.
const CURVE_BITS: u32 = 44;

/// Batches of curves for one number. Each finds two of three factors of 32 bits.
const BATCHES: u32 = 8;

/// A proper divisor of an odd composite without small factors.
pub(crate) fn split(n: u64) -> u64 {
    let root = n.isqrt();
    if root * root == n {
        return root;
    }
    let number = Natural::from(n);
    let bounds = short_bounds();
    let batches = if u64::BITS - n.leading_zeros() < CURVE_BITS {
        0
    } else {
        BATCHES
    };
    (0..batches)
        .find_map(|batch| {
            let parameters = std::array::from_fn(|lane| 6 + batch * LANES as u32 + lane as u32);
            let moduli = std::array::from_fn(|_| number.clone());
            let divisors = match curves::on_curves(moduli, parameters, Arc::clone(&bounds)) {
                Ok(mut curves) => curves.advance(&mut || false)?,
                Err(divisors) => divisors,
            };
            let found = curves::proper(&number, &divisors)?;
            u64::try_from(&found).ok()
        })
        .unwrap_or_else(|| rho(n))
}

fn rho(n: u64) -> u64 {
    let factor = Rho::new(n).advance(u64::MAX, || false);
    let factor = factor.and_then(|factor| u64::try_from(factor).ok());
    factor.expect("Pollard's method goes on until it has a factor, which is below n")
}

/// Whether an odd number above 2 passes Fermat's test to base 2: all primes do, and hardly any composite.
pub(crate) fn is_probable_prime(n: u64) -> bool {
    let ring = Montgomery::new(n);
    let one = ring.one();
    let power = (0..u64::BITS - (n - 1).leading_zeros()).rev().fold(one, |power, bit| {
        let square = ring.square(&power);
        if (n - 1) >> bit & 1 == 1 {
            ring.add(&square, &square)
        } else {
            square
        }
    });
    power == one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::{is_prime_u64, search};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn semiprimes_of_all_shapes_are_split(a: u64, b: u64, bits in 11u32..=32, other in 11u32..=32) {
            let prime = |seed: u64, bits: u32| {
                let start = u128::from(seed >> (64 - bits) | 1 << (bits - 1));
                search::prev(start + 1).expect("above 2") as u64
            };
            let (p, q) = (prime(a, bits), prime(b, other));
            prop_assert!([p, q].contains(&split(p * q)));
        }

        #[test]
        fn primes_are_probable_primes(n: u64) {
            let n = n | 3;
            prop_assert!(is_probable_prime(n) || !is_prime_u64(n));
            prop_assert!(!is_probable_prime(n) || is_prime_u64(n), "{} is a pseudoprime: no fault, but unlikely", n);
        }
    }
}
