//! The integers modulo an odd number, as naturals below it. Knows no curve.

use crate::primes::Natural;
use dashu_int::IBig;
use dashu_int::fast_div::ConstDivisor;

/// An odd number above 2^64, with what dividing by it needs.
#[derive(Debug)]
pub(super) struct Modulus {
    n: Natural,
    divisor: ConstDivisor,
}

impl Modulus {
    pub(super) fn new(n: Natural) -> Self {
        let divisor = ConstDivisor::new(n.clone());
        Self { n, divisor }
    }

    pub(super) fn n(&self) -> &Natural {
        &self.n
    }

    /// The residue of any number.
    pub(super) fn reduce(&self, a: Natural) -> Natural {
        a % &self.divisor
    }

    /// The residue of an integer.
    pub(super) fn residue(&self, a: &IBig) -> Natural {
        let (sign, size) = a.clone().into_parts();
        let size = self.reduce(size);
        match sign {
            dashu_int::Sign::Positive => size,
            dashu_int::Sign::Negative => self.negative(&size),
        }
    }

    pub(super) fn mul(&self, a: &Natural, b: &Natural) -> Natural {
        a * b % &self.divisor
    }

    pub(super) fn square(&self, a: &Natural) -> Natural {
        a.sqr() % &self.divisor
    }

    pub(super) fn add(&self, a: &Natural, b: &Natural) -> Natural {
        let sum = a + b;
        if sum >= self.n { sum - &self.n } else { sum }
    }

    pub(super) fn sub(&self, a: &Natural, b: &Natural) -> Natural {
        if a >= b { a - b } else { a + &self.n - b }
    }

    pub(super) fn negative(&self, a: &Natural) -> Natural {
        if a.is_zero() { Natural::ZERO } else { &self.n - a }
    }

    /// `1 / a`; `None` if `a` has a factor in common with the modulus.
    pub(super) fn inverse(&self, a: &Natural) -> Option<Natural> {
        self.divisor.reduce(a.clone()).inv().map(|inverse| inverse.residue())
    }
}

/// The Jacobi symbol of a small number over an odd natural.
pub(super) fn jacobi(a: i64, n: &Natural) -> i32 {
    let (mod_8, mut size) = ((n % 8u8), a.unsigned_abs());
    if size == 0 {
        return i32::from(*n == Natural::ONE);
    }
    let mut sign = if a < 0 && mod_8 % 4 == 3 { -1 } else { 1 };
    if size.trailing_zeros() % 2 == 1 && matches!(mod_8, 3 | 5) {
        sign = -sign;
    }
    size >>= size.trailing_zeros();
    if size % 4 == 3 && mod_8 % 4 == 3 {
        sign = -sign;
    }
    // From here on it is (n / size), of words.
    let (mut top, mut bottom) = (n % size, size);
    while top != 0 {
        if top.trailing_zeros() % 2 == 1 && matches!(bottom % 8, 3 | 5) {
            sign = -sign;
        }
        top >>= top.trailing_zeros();
        if top % 4 == 3 && bottom % 4 == 3 {
            sign = -sign;
        }
        (top, bottom) = (bottom % top, top);
    }
    if bottom == 1 { sign } else { 0 }
}

/// The Jacobi symbol of a number over an odd one, as long.
pub(super) fn jacobi_of_long(mut top: Natural, mut bottom: Natural) -> i32 {
    let mut sign = 1;
    while !top.is_zero() {
        let twos = top.trailing_zeros().unwrap_or(0);
        top >>= twos;
        if twos % 2 == 1 && matches!(&bottom % 8u8, 3 | 5) {
            sign = -sign;
        }
        if &top % 4u8 == 3 && &bottom % 4u8 == 3 {
            sign = -sign;
        }
        (bottom, top) = (top.clone(), bottom % top);
    }
    if bottom == Natural::ONE { sign } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_composite_numbers_are_products() {
        assert_eq!(jacobi(21, &Natural::from(15u8)), 0);
        assert_eq!(jacobi(-7, &Natural::from(15u8)), 1);
    }

    #[test]
    fn symbols_of_long_numbers_are_those_of_small_ones() {
        let prime = (Natural::ONE << 127) - 1u8;
        for a in 0..300u32 {
            for n in (1..300u32).step_by(2) {
                let (a, n) = (Natural::from(a), Natural::from(n));
                assert_eq!(
                    jacobi_of_long(a.clone(), n.clone()),
                    jacobi(i64::try_from(&a).expect("it is small"), &n)
                );
            }
            let square = Natural::from(a).pow(40) % &prime;
            assert_eq!(jacobi_of_long(square, prime.clone()), i32::from(a > 0));
        }
        // -1 is no square modulo a number that is 3 modulo 4.
        assert_eq!(jacobi_of_long(&prime - 1u8, prime), -1);
    }
}
