//! Eight residues as naturals of any length. Of long ones a product takes less time than in lanes, for naturals are
//! multiplied in parts (A. Karatsuba's method and better), unless the processor multiplies words of 52 bits.

use super::ring::{LANES, Ring};
use crate::primes::Natural;
use dashu_int::fast_div::ConstDivisor;

/// Eight rings of integers modulo odd numbers. Residues are below their modulus.
#[derive(Debug)]
pub(super) struct Naturals {
    n: [Natural; LANES],
    divisors: [ConstDivisor; LANES],
}

impl Naturals {
    fn each(&self, residue: impl Fn(usize, &Natural) -> Natural) -> [Natural; LANES] {
        std::array::from_fn(|lane| residue(lane, &self.n[lane]))
    }
}

impl Ring for Naturals {
    type Element = [Natural; LANES];

    /// As of long ones.
    const WORDS: usize = 128;
    const IS_LONG: bool = true;

    fn modulo(n: [Natural; LANES]) -> Self {
        Self {
            divisors: n.each_ref().map(|n| ConstDivisor::new(n.clone())),
            n,
        }
    }

    fn moduli(&self) -> &[Natural; LANES] {
        &self.n
    }

    fn load(&self, values: &[Natural; LANES]) -> [Natural; LANES] {
        self.each(|lane, n| &values[lane] % n)
    }

    fn constant(&self, value: u32) -> [Natural; LANES] {
        self.each(|_, n| Natural::from(value) % n)
    }

    fn store(&self, a: &[Natural; LANES]) -> [Natural; LANES] {
        a.clone()
    }

    fn mul(&self, a: &[Natural; LANES], b: &[Natural; LANES]) -> [Natural; LANES] {
        self.each(|lane, _| &a[lane] * &b[lane] % &self.divisors[lane])
    }

    fn add(&self, a: &[Natural; LANES], b: &[Natural; LANES]) -> [Natural; LANES] {
        self.each(|lane, n| {
            let sum = &a[lane] + &b[lane];
            if sum < *n { sum } else { sum - n }
        })
    }

    fn sub(&self, a: &[Natural; LANES], b: &[Natural; LANES]) -> [Natural; LANES] {
        self.each(|lane, n| {
            let (a, b) = (&a[lane], &b[lane]);
            if a < b { a + n - b } else { a - b }
        })
    }

    fn minus(&self, a: &[Natural; LANES], b: &[Natural; LANES]) -> [Natural; LANES] {
        self.sub(a, b)
    }
}
