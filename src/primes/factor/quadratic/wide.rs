//! Integers of 384 bits, as the sieve's polynomials need them: values, coefficients and the multiple of the number.
//!
//! Arithmetic is modulo 2^384, in two's complement where a sign matters. Exact divisions are multiplications by an
//! inverse, so that an intermediate result may be longer than 384 bits as long as the final one is not.

// Several integers are walked side by side.
#![allow(clippy::needless_range_loop)]

use crate::primes::Natural;
use dashu_int::ops::BitTest;

/// Words of an integer.
const LIMBS: usize = 6;

/// The most bits of a multiple `k n`: `4 k n` then stays clear of the sign.
pub(super) const MAX_BITS: usize = 64 * LIMBS - 4;

/// An integer modulo 2^384; negative if its highest bit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide([u64; LIMBS]);

impl Wide {
    pub(super) const ZERO: Self = Self([0; LIMBS]);

    pub(super) const fn of(word: u64) -> Self {
        let mut limbs = [0; LIMBS];
        limbs[0] = word;
        Self(limbs)
    }

    /// A small integer with its sign.
    pub(super) fn signed(value: i64) -> Self {
        let size = Self::of(value.unsigned_abs());
        if value < 0 { size.neg() } else { size }
    }

    /// `None` beyond [`MAX_BITS`].
    pub(super) fn from_natural(natural: &Natural) -> Option<Self> {
        if natural.bit_len() > MAX_BITS {
            return None;
        }
        let mut limbs = [0; LIMBS];
        for (limb, word) in limbs.iter_mut().zip(natural.to_le_bytes().chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            *limb = u64::from_le_bytes(bytes);
        }
        Some(Self(limbs))
    }

    /// The natural number; the highest bit is no sign here.
    pub(super) fn to_natural(self) -> Natural {
        let bytes: Vec<u8> = self.0.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        Natural::from_le_bytes(&bytes)
    }

    /// The last 128 bits.
    pub(super) fn low(&self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; LIMBS]
    }

    pub(super) const fn is_negative(&self) -> bool {
        self.0[LIMBS - 1] >> 63 == 1
    }

    #[inline]
    pub(super) fn add(&self, other: &Self) -> Self {
        let mut sum = [0; LIMBS];
        let mut carry = false;
        for i in 0..LIMBS {
            (sum[i], carry) = self.0[i].carrying_add(other.0[i], carry);
        }
        Self(sum)
    }

    #[inline]
    pub(super) fn sub(&self, other: &Self) -> Self {
        let mut difference = [0; LIMBS];
        let mut borrow = false;
        for i in 0..LIMBS {
            (difference[i], borrow) = self.0[i].borrowing_sub(other.0[i], borrow);
        }
        Self(difference)
    }

    pub(super) fn neg(&self) -> Self {
        Self::ZERO.sub(self)
    }

    pub(super) fn abs(&self) -> Self {
        if self.is_negative() { self.neg() } else { *self }
    }

    #[inline]
    pub(super) fn mul(&self, other: &Self) -> Self {
        let mut product = [0u64; LIMBS];
        for i in 0..LIMBS {
            let mut carry = 0u64;
            for j in 0..LIMBS - i {
                let wide =
                    u128::from(self.0[i]) * u128::from(other.0[j]) + u128::from(product[i + j]) + u128::from(carry);
                product[i + j] = wide as u64;
                carry = (wide >> 64) as u64;
            }
        }
        Self(product)
    }

    /// `1 / self` of an odd integer, by Newton's method: `a a = 1 mod 8`, and each step doubles the correct bits.
    pub(super) fn inverse(&self) -> Self {
        (0..7).fold(*self, |inverse, _| inverse.mul(&Self::of(2).sub(&self.mul(&inverse))))
    }

    /// How many bits it has, the sign not seen as one.
    pub(super) fn bits(&self) -> u32 {
        let top = self.0.iter().rposition(|limb| *limb != 0);
        top.map_or(0, |i| 64 * (i as u32 + 1) - self.0[i].leading_zeros())
    }

    pub(super) fn trailing_zeros(&self) -> u32 {
        let low = self.0.iter().position(|limb| *limb != 0);
        low.map_or(0, |i| 64 * i as u32 + self.0[i].trailing_zeros())
    }

    pub(super) fn shr(&self, bits: u32) -> Self {
        let (words, bits) = ((bits / 64) as usize, bits % 64);
        let mut shifted = [0; LIMBS];
        for i in 0..LIMBS.saturating_sub(words) {
            let low = self.0[i + words] >> bits;
            let high = self.0.get(i + words + 1).copied().unwrap_or(0);
            shifted[i] = if bits == 0 { low } else { low | high << (64 - bits) };
        }
        Self(shifted)
    }

    /// The quotient and the remainder of a natural number by a small one.
    #[inline]
    pub(super) fn div_rem(&self, divisor: u32) -> (Self, u32) {
        let mut quotient = *self;
        let divisor = u64::from(divisor);
        let mut remainder = 0u64;
        let used = self.0.iter().rposition(|limb| *limb != 0).map_or(0, |i| i + 1);
        for limb in quotient.0[..used].iter_mut().rev() {
            // Halves of a word: the hardware divides words faster than double words.
            let high = remainder << 32 | *limb >> 32;
            let low = (high % divisor) << 32 | *limb & 0xffff_ffff;
            *limb = ((high / divisor) << 32) | (low / divisor);
            remainder = low % divisor;
        }
        (quotient, remainder as u32)
    }

    /// The word, if it is one.
    pub(super) fn to_u64(self) -> Option<u64> {
        (self.0[1..] == [0; LIMBS - 1]).then_some(self.0[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn natural(words: &[u64; 5]) -> Natural {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Natural::from_le_bytes(&bytes)
    }

    proptest! {
        #[test]
        fn agrees_with_naturals(a: [u64; 5], b: [u64; 5], p in 1u32.., bits in 0u32..384) {
            let (x, y) = (natural(&a), natural(&b));
            let (wide, other) = (Wide::from_natural(&x).expect("320 bits"), Wide::from_natural(&y).expect("320 bits"));
            let modulus = Natural::ONE << 384;
            prop_assert_eq!(wide.to_natural(), x.clone());
            prop_assert_eq!(wide.add(&other).to_natural(), &x + &y);
            prop_assert_eq!(wide.mul(&other).to_natural(), &x * &y % &modulus);
            prop_assert_eq!(wide.sub(&other).add(&other), wide);
            prop_assert_eq!(wide.sub(&other).is_negative(), x < y);
            prop_assert_eq!(wide.bits() as usize, x.bit_len());
            prop_assert_eq!(wide.shr(bits).to_natural(), &x >> bits as usize);
            let (quotient, remainder) = wide.div_rem(p);
            prop_assert_eq!(quotient.to_natural(), &x / p);
            prop_assert_eq!(remainder, &x % p);
            let odd = wide.add(&Wide::of(1 - (a[0] & 1)));
            prop_assert_eq!(odd.mul(&odd.inverse()), Wide::of(1));
        }
    }
}
