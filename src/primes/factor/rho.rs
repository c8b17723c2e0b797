//! Pollard's method with Brent's cycle finding: finds a factor `p` in about `sqrt p` steps.
//!
//! Knows no slice: [`Rho::advance`] goes on until its closure ends it.
//!
//! Source: R. P. Brent, "An improved Monte Carlo factorization algorithm", BIT 20 (1980), section 7.

use super::gcd;
use crate::primes::primality::ring::{Montgomery, Ring, Word};

/// Steps between two greatest common divisors: a divisor costs as much as some hundred steps of a double word.
const BATCH: u64 = 256;

/// A search for a factor of an odd composite that is not a perfect power.
#[derive(Clone, Debug)]
pub(crate) struct Rho<W> {
    ring: Montgomery<W>,
    /// The function is `y^2 + constant`.
    constant: i32,
    /// The value that later ones are compared with, and the latest.
    anchor: W,
    latest: W,
    /// The product of the differences not yet looked at.
    product: W,
    /// Steps made since the anchor, which changes when they are `length`.
    done: u64,
    length: u64,
    /// Steps in all.
    steps: u64,
}

impl<W: Word + Into<u128>> Rho<W> {
    /// The search with the first function.
    pub(crate) fn new(n: W) -> Self {
        Self::with_constant(Montgomery::new(n), 1)
    }

    fn with_constant(ring: Montgomery<W>, constant: i32) -> Self {
        let two = ring.add(&ring.one(), &ring.one());
        Self {
            ring,
            constant,
            anchor: two,
            latest: two,
            product: ring.one(),
            done: 0,
            length: 1,
            steps: 0,
        }
    }

    /// Goes on until it has a proper factor, has made `most` steps in all, or until `over`, which is asked after every
    /// batch of steps (1 to 10 microseconds).
    pub(crate) fn advance(&mut self, most: u64, mut over: impl FnMut() -> bool) -> Option<u128> {
        loop {
            if let Some(factor) = self.batch() {
                return Some(factor);
            }
            if self.steps >= most || over() {
                return None;
            }
        }
    }

    fn batch(&mut self) -> Option<u128> {
        let n: u128 = self.ring.modulus().into();
        let ring = self.ring;
        let constant = ring.scale(&ring.one(), self.constant);
        let (anchor, first) = (self.anchor, self.latest);
        let count = BATCH.min(self.length - self.done);
        let (mut latest, mut product) = (first, self.product);
        // Brent: the first half of a stretch repeats differences that the stretch before has covered.
        if self.done + count <= self.length / 2 {
            for _ in 0..count {
                latest = ring.add(&ring.square(&latest), &constant);
            }
        } else {
            for _ in 0..count {
                latest = ring.add(&ring.square(&latest), &constant);
                product = ring.mul(&product, &ring.sub(&anchor, &latest));
            }
        }
        (self.latest, self.product) = (latest, product);
        self.steps += count;
        self.done += count;
        if self.done == self.length {
            (self.anchor, self.length, self.done) = (self.latest, 2 * self.length, 0);
        }
        match gcd(product.into(), n) {
            1 => None,
            factor if factor < n => Some(factor),
            _ => self.retrace(anchor, first, constant, count),
        }
    }

    /// The last batch met all factors at once: one step at a time, and if even then they come together, another
    /// function.
    fn retrace(&mut self, anchor: W, first: W, constant: W, count: u64) -> Option<u128> {
        let ring = self.ring;
        let n: u128 = ring.modulus().into();
        let mut latest = first;
        for _ in 0..count {
            latest = ring.add(&ring.square(&latest), &constant);
            let factor = gcd(ring.sub(&anchor, &latest).into(), n);
            if factor == n {
                break;
            }
            if factor > 1 {
                return Some(factor);
            }
        }
        let steps = self.steps;
        *self = Self {
            steps,
            ..Self::with_constant(ring, self.constant + 1)
        };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::search;
    use proptest::prelude::*;

    fn factor<W: Word + Into<u128>>(n: W) -> u128 {
        Rho::new(n)
            .advance(u64::MAX, || false)
            .expect("goes on until it has one")
    }

    #[test]
    fn every_small_odd_composite_is_split() {
        for n in (9..20_000u64)
            .step_by(2)
            .filter(|n| !crate::primes::primality::is_prime_u64(*n) && n.isqrt().pow(2) != *n)
        {
            let found = factor(n);
            assert!(
                found > 1 && found < n.into() && u128::from(n).is_multiple_of(found),
                "{n}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn semiprimes_are_split_in_both_widths(a in 1u128 << 16..1 << 28, b in 1u128 << 16..1 << 32) {
            let p = search::next(a).expect("small");
            let q = search::next(b + 1).expect("small");
            prop_assume!(p != q);
            let n = u64::try_from(p * q).expect("60 bits");
            prop_assert!([p, q].contains(&factor(n)));
            prop_assert!([p, q].contains(&factor(p * q)));
        }
    }
}
