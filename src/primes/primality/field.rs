//! Arithmetic modulo the prime `p = 63 2^44 + 1` in doubles, some residues at once.
//!
//! A residue is an integer in a double, of either sign and at most `8 p < 2^53` in size, so that sums are exact. A
//! product `a b` is `high + low` exactly, `high` its double and `low` the error of that. The quotient of `high` by `p`
//! is found with three roundings, and with two for a [`Factor`]; so for `|a| = k p` and `|b| <= p / 2` what is left
//! without that many `p` is an integer of at most `(1/2 + 3 k / 16) p`, or `(1/2 + k / 8) p`, and exact too.
//!
//! Source: J. van der Hoeven, G. Lecerf, G. Quintin, "Modular SIMD arithmetic in Mathemagix", ACM Trans. Math. Software
//! 43 (2016), section 3.

use super::vector::{Lanes, Vector, lanes};

/// The prime; `2^44` and `9` and `7` divide `p - 1`.
pub(super) const PRIME: u64 = 63 << 44 | 1;

/// A root of unity of order `2^44`: 11 is no square, and this is its 63rd power.
const ROOT: u64 = 194_751_219_211_145;
const ROOT_BITS: u32 = 44;

const P: f64 = PRIME as f64;
const INVERSE: f64 = 1.0 / P;

/// A factor of many products, with its quotient by `p`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    value: Lanes,
    quotient: Lanes,
}

impl Factor {
    /// A factor for each lane, all below `p`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new(factors: [u64; 4]) -> Self {
        let factors = factors.map(signed);
        Self {
            value: lanes(factors),
            quotient: lanes(factors.map(|factor| factor / P)),
        }
    }
}

/// `a b`
#[inline(always)]
pub(super) fn mul<V: Vector>(a: V, b: V) -> V {
    let high = a.times(b);
    let low = a.times_less(b, high);
    let quotient = high.times(V::all(INVERSE)).rounded();
    quotient.times_from(V::all(P), high).add(low)
}

/// `a b`, in less time.
#[inline(always)]
pub(super) fn mul_by<V: Vector>(a: V, b: Factor) -> V {
    let (value, quotient) = (V::each(b.value), V::each(b.quotient));
    let quotient = a.times(quotient).rounded();
    let high = a.times(value);
    let low = a.times_less(value, high);
    quotient.times_from(V::all(P), high).add(low)
}

/// `a`, of at most `p / 2` and next to nothing.
#[inline(always)]
pub(super) fn reduced<V: Vector>(a: V) -> V {
    a.times(V::all(INVERSE)).rounded().times_from(V::all(P), a)
}

/// The residue of a number below `p`, of at most `p / 2`.
pub(super) fn signed(a: u64) -> f64 {
    if a > PRIME / 2 { -((PRIME - a) as f64) } else { a as f64 }
}

/// `a b mod p`
pub(super) fn mul_word(a: u64, b: u64) -> u64 {
    // The remainder is below p, so it fits.
    (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64
}

/// `a^exponent mod p`
pub(super) fn power(mut a: u64, mut exponent: u64) -> u64 {
    let mut power = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = mul_word(power, a);
        }
        a = mul_word(a, a);
        exponent >>= 1;
    }
    power
}

/// A root of unity of order `2^bits`, whose square is that of order `2^(bits - 1)`.
pub(super) fn root(bits: u32) -> u64 {
    power(ROOT, 1 << (ROOT_BITS - bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_its_order() {
        assert_eq!(root(1), PRIME - 1);
        assert_eq!(mul_word(root(2), root(2)), root(1));
        assert_eq!(power(11, 63), ROOT);
        assert_eq!(power(11, PRIME - 1), 1);
    }
}
