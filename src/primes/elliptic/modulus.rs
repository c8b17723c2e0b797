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

    /// The residue of a number that others need too.
    pub(super) fn reduce_long(&self, a: &Natural) -> Natural {
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

    pub(super) fn power(&self, a: &Natural, exponent: &Natural) -> Natural {
        self.divisor.reduce(a.clone()).pow(exponent).residue()
    }

    /// A root of `a`, which is not 0, by the algorithm of A. Tonelli and D. Shanks (Cohen, algorithm 1.5.1). `None` if
    /// there is none, or if the modulus shows that it is not prime.
    pub(super) fn square_root(&self, a: &Natural) -> Option<Natural> {
        let below = &self.n - 1u8;
        let twos = below.trailing_zeros()?;
        let odd = &below >> twos;
        let mut root = self.power(a, &((&odd + 1u8) >> 1));
        if twos > 1 {
            let non_residue = (2..1000u64).find(|k| jacobi(*k as i64, &self.n) == -1)?;
            let mut step = self.power(&non_residue.into(), &odd);
            // The root's square is `a` times this, whose order is a power of 2 that falls.
            let mut rest = self.power(a, &odd);
            let mut order = twos;
            while rest != Natural::ONE {
                let (mut square, mut exponent) = (rest.clone(), 0);
                while square != Natural::ONE {
                    square = self.square(&square);
                    exponent += 1;
                    if exponent >= order {
                        return None;
                    }
                }
                for _ in exponent + 1..order {
                    step = self.square(&step);
                }
                root = self.mul(&root, &step);
                step = self.square(&step);
                rest = self.mul(&rest, &step);
                order = exponent;
            }
        }
        (self.square(&root) == *a).then_some(root)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_roots_and_symbols_agree_with_them() {
        // 2^89 - 1 is 3 modulo 4, 2^64 + 13 is 5 modulo 8; 1 has roots of many orders that are powers of 2 modulo 3
        // 2^189 + 1.
        for n in [
            "618970019642690137449562111",
            "18446744073709551629",
            "2353913150770005286438421033702874906038383291674012942337",
        ] {
            let n: Natural = n.parse().expect("a number");
            let modulus = Modulus::new(n.clone());
            for a in (-40i64..40).filter(|a| *a != 0) {
                let residue = modulus.residue(&a.into());
                let root = modulus.square_root(&residue);
                assert_eq!(root.is_some(), jacobi(a, &n) == 1, "{a} {n}");
            }
        }
        assert_eq!(jacobi(21, &Natural::from(15u8)), 0);
        assert_eq!(jacobi(-7, &Natural::from(15u8)), 1);
    }
}
