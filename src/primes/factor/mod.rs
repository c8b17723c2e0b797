//! Factoring numbers of up to 128 bits.
//!
//! Small primes go by trial division ([`small_factors`]), powers by taking roots ([`power`]), factors of up to some 32 bits by Pollard's
//! method in [`rho`], what is left by the quadratic sieve in [`quadratic`]. None of these knows a slice: each goes on until it is told to pause.

pub(crate) mod quadratic;
pub(crate) mod rho;

use super::known;

/// Trial division goes by the primes below this.
pub(crate) const TRIAL_LIMIT: u64 = 1000;

/// The prime factors of `n` below [`TRIAL_LIMIT`] with multiplicity, ascending, and what is left of `n`. `n` must not be 0.
pub(crate) fn small_factors(mut n: u128) -> (Vec<u128>, u128) {
    let mut factors = vec![2; n.trailing_zeros() as usize];
    n >>= n.trailing_zeros();
    let mut p = 2;
    while p < TRIAL_LIMIT && n > 1 {
        // As many primes at once as a word holds: dividing a double word is slow.
        let before = p;
        let mut product = 1u64;
        while let Some((next, longer)) = known::next(p).and_then(|next| Some((next, product.checked_mul(next)?))) {
            (p, product) = (next, longer);
        }
        // The remainder is below the product, a word.
        let remainder = (n % u128::from(product)) as u64;
        let mut q = before;
        while q < p {
            q = known::next(q).expect("the table holds every prime up to p");
            if remainder.is_multiple_of(q) {
                while n.is_multiple_of(q.into()) {
                    factors.push(q.into());
                    n /= u128::from(q);
                }
            }
        }
    }
    (factors, n)
}

/// The root and the exponent, if `n` without factors below [`TRIAL_LIMIT`] is a perfect power; the exponent is prime.
pub(crate) fn power(n: u128) -> Option<(u128, u32)> {
    // 1000^13 is beyond 128 bits.
    [2, 3, 5, 7, 11].into_iter().find_map(|exponent| {
        let guess = (n as f64).powf(1.0 / f64::from(exponent)).round() as u128;
        let root = if exponent == 2 { n.isqrt() } else { guess };
        (root > 1 && root.checked_pow(exponent) == Some(n)).then_some((root, exponent))
    })
}

/// The greatest common divisor, by Stein's algorithm, of an odd `m` and `n`.
pub(crate) fn gcd(n: u128, m: u128) -> u128 {
    let (mut a, mut b) = (n, m);
    while a != 0 {
        a >>= a.trailing_zeros();
        if a < b {
            (a, b) = (b, a);
        }
        a -= b;
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_factors_are_taken_out() {
        assert_eq!(small_factors(1), (vec![], 1));
        assert_eq!(small_factors(1 << 127), (vec![2; 127], 1));
        assert_eq!(small_factors(720), (vec![2, 2, 2, 2, 3, 3, 5], 1));
        assert_eq!(small_factors(997 * 997 * 10_007), (vec![997, 997], 10_007));
        assert_eq!(
            small_factors(u128::MAX),
            (
                vec![3, 5, 17, 257, 641],
                65_537 * 6_700_417 * 274_177 * 67_280_421_310_721
            )
        );
    }

    #[test]
    fn powers_are_seen_up_to_the_top() {
        for (root, exponent) in [
            ((1u128 << 64) - 59, 2),
            (6_981_463_658_279, 3),
            (1009, 11),
            (319_557, 7),
            (50_859_001, 5),
        ] {
            assert_eq!(power(root.pow(exponent)), Some((root, exponent)));
            assert_eq!(power(root.pow(exponent) - 1), None);
        }
        assert_eq!(power(1013u128.pow(6)), Some((1013u128.pow(3), 2)));
    }
}
