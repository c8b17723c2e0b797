//! The integers modulo an odd `n`, as the primality tests and the factoring see them: words and double words in
//! Montgomery form.
//!
//! Knows no test. [`Ring`] is the entry point for moduli of any size: [`super::large`] implements it for naturals.
//!
//! Source: P. L. Montgomery, "Modular multiplication without trial division", Math. Comp. 44 (1985), section 2, with
//! `R = 2^64` or `2^128` and the inverse taken positive, so that a reduction is one subtraction of the high halves.

/// Arithmetic modulo an odd `n > 2`.
pub(crate) trait Ring {
    /// A residue, in the ring's own representation.
    type Element: Clone;

    /// The residue of 0.
    fn zero(&self) -> Self::Element;
    /// The residue of 1.
    fn one(&self) -> Self::Element;
    /// Whether `a` and `b` are the same residue.
    fn equal(&self, a: &Self::Element, b: &Self::Element) -> bool;
    /// `a + b`
    fn add(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;
    /// `a - b`
    fn sub(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;
    /// `a * b`
    fn mul(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;
    /// `a * a`
    fn square(&self, a: &Self::Element) -> Self::Element;
    /// `a * b` and `b * b`
    #[inline]
    fn mul_and_square(&self, a: &Self::Element, b: &Self::Element) -> [Self::Element; 2] {
        [self.mul(a, b), self.square(b)]
    }
    /// `1 / k` for a small `k` that is not 0; `None` if it has a factor in common with `n`.
    fn inverse(&self, k: i32) -> Option<Self::Element>;

    /// `a * k` for a small `k`, by doublings.
    #[inline]
    fn scale(&self, a: &Self::Element, k: i32) -> Self::Element {
        let size = k.unsigned_abs();
        let mut product = self.zero();
        for i in (0..u32::BITS - size.leading_zeros()).rev() {
            product = self.add(&product, &product);
            if size >> i & 1 == 1 {
                product = self.add(&product, a);
            }
        }
        if k < 0 {
            self.sub(&self.zero(), &product)
        } else {
            product
        }
    }

    /// `n mod k`
    fn modulus_mod(&self, k: u32) -> u32;
    /// Bit `i` of `n`.
    fn modulus_bit(&self, i: u32) -> bool;
    /// How many bits `n` has.
    fn modulus_bits(&self) -> u32;
    /// Whether `n` is a perfect square.
    fn modulus_is_square(&self) -> bool;
}

/// An unsigned machine integer that can be a Montgomery modulus.
pub(crate) trait Word: Copy + Ord + std::fmt::Debug {
    /// How many bits it has.
    const BITS: u32;
    /// 0
    const ZERO: Self;
    /// The low and the high half of `a * b`.
    fn mul_wide(self, b: Self) -> (Self, Self);
    /// `a * b` modulo the word.
    fn wrapping_mul(self, b: Self) -> Self;
    /// `a - b` modulo the word, and whether it went below zero.
    fn overflowing_sub(self, b: Self) -> (Self, bool);
    /// `a + b` modulo the word, and whether it went over the top.
    fn overflowing_add(self, b: Self) -> (Self, bool);
    /// `a / k`
    fn div_small(self, k: u32) -> Self;
    /// The word of a small number.
    fn of(small: u32) -> Self;
    /// `2^BITS mod self`
    fn radix_mod(self) -> Self;
    /// `self mod k`
    fn mod_small(self, k: u32) -> u32;
    /// Bit `i`.
    fn bit(self, i: u32) -> bool;
    /// Leading zero bits.
    fn leading_zeros(self) -> u32;
    /// Whether it is a perfect square.
    fn is_square(self) -> bool;
}

macro_rules! word {
    ($word:ty, $mul_wide:expr) => {
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;
            const ZERO: Self = 0;
            #[inline(always)]
            fn mul_wide(self, b: Self) -> (Self, Self) {
                $mul_wide(self, b)
            }
            #[inline(always)]
            fn wrapping_mul(self, b: Self) -> Self {
                <$word>::wrapping_mul(self, b)
            }
            #[inline(always)]
            fn overflowing_sub(self, b: Self) -> (Self, bool) {
                <$word>::overflowing_sub(self, b)
            }
            #[inline(always)]
            fn overflowing_add(self, b: Self) -> (Self, bool) {
                <$word>::overflowing_add(self, b)
            }
            #[inline]
            fn div_small(self, k: u32) -> Self {
                self / Self::from(k)
            }
            #[inline(always)]
            fn of(small: u32) -> Self {
                Self::from(small)
            }
            #[inline]
            fn radix_mod(self) -> Self {
                self.wrapping_neg() % self
            }
            #[inline]
            fn mod_small(self, k: u32) -> u32 {
                // The remainder is below k, so it fits.
                (self % Self::from(k)) as u32
            }
            #[inline(always)]
            fn bit(self, i: u32) -> bool {
                self >> i & 1 == 1
            }
            #[inline(always)]
            fn leading_zeros(self) -> u32 {
                <$word>::leading_zeros(self)
            }
            #[inline]
            fn is_square(self) -> bool {
                let root = self.isqrt();
                root * root == self
            }
        }
    };
}

word!(u64, |a: u64, b: u64| {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64, (wide >> 64) as u64)
});
word!(u128, mul_wide_u128);

#[inline(always)]
fn mul_wide_u128(a: u128, b: u128) -> (u128, u128) {
    let (a0, a1) = (u128::from(a as u64), a >> 64);
    let (b0, b1) = (u128::from(b as u64), b >> 64);
    let low = a0 * b0;
    // Each sum below is at most (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1.
    let middle = a1 * b0 + (low >> 64);
    let cross = a0 * b1 + u128::from(middle as u64);
    (
        cross << 64 | u128::from(low as u64),
        a1 * b1 + (middle >> 64) + (cross >> 64),
    )
}

/// `n^-1 mod R`; `n` must be odd.
#[inline(always)]
pub(crate) fn radix_inverse<W: Word>(n: W) -> W {
    // n n = 1 mod 8, and each Newton step doubles the correct bits: 3, 6, 12, 24, 48, 96, 192.
    let mut inverse = n;
    let mut correct = 3;
    while correct < W::BITS {
        let error = W::of(2).overflowing_sub(n.wrapping_mul(inverse)).0;
        inverse = inverse.wrapping_mul(error);
        correct *= 2;
    }
    inverse
}

/// The integers modulo an odd word; an element `a` is kept as `a R mod n`, below `n`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Montgomery<W> {
    modulus: W,
    /// `n^-1 mod R`
    inverse: W,
    /// `R mod n`
    one: W,
}

impl<W: Word> Montgomery<W> {
    /// The ring modulo `n`, which must be odd and above 2.
    #[inline]
    pub(crate) fn new(modulus: W) -> Self {
        debug_assert!(modulus.bit(0) && modulus > W::of(2));
        Self {
            modulus,
            inverse: radix_inverse(modulus),
            one: modulus.radix_mod(),
        }
    }

    /// `n`
    #[inline(always)]
    pub(crate) fn modulus(&self) -> W {
        self.modulus
    }

    #[inline(always)]
    fn plus(&self, a: W, b: W) -> W {
        let (sum, carry) = a.overflowing_add(b);
        let (less, borrow) = sum.overflowing_sub(self.modulus);
        if carry || !borrow { less } else { sum }
    }

    #[inline(always)]
    fn minus(&self, a: W, b: W) -> W {
        let (difference, borrow) = a.overflowing_sub(b);
        if borrow {
            difference.overflowing_add(self.modulus).0
        } else {
            difference
        }
    }

    #[inline(always)]
    fn times(&self, a: W, b: W) -> W {
        let (low, high) = a.mul_wide(b);
        let (_, subtract) = low.wrapping_mul(self.inverse).mul_wide(self.modulus);
        // low - m n is 0 in its low half, so the quotient by R is the difference of the high halves, above -n.
        self.minus(high, subtract)
    }
}

impl<W: Word> Ring for Montgomery<W> {
    type Element = W;

    #[inline(always)]
    fn zero(&self) -> W {
        W::ZERO
    }
    #[inline(always)]
    fn one(&self) -> W {
        self.one
    }
    #[inline(always)]
    fn equal(&self, a: &W, b: &W) -> bool {
        a == b
    }
    #[inline(always)]
    fn add(&self, a: &W, b: &W) -> W {
        self.plus(*a, *b)
    }
    #[inline(always)]
    fn sub(&self, a: &W, b: &W) -> W {
        self.minus(*a, *b)
    }
    #[inline(always)]
    fn mul(&self, a: &W, b: &W) -> W {
        self.times(*a, *b)
    }
    #[inline(always)]
    fn square(&self, a: &W) -> W {
        self.times(*a, *a)
    }
    fn inverse(&self, k: i32) -> Option<W> {
        let size = k.unsigned_abs();
        // (1 + t n) / k for the t that makes it whole; Montgomery form is linear, so 1 may be the element.
        let one = u64::from(self.one.mod_small(size));
        let n = u64::from(self.modulus.mod_small(size));
        let t = (0..size).find(|t| (one + u64::from(*t) * n).is_multiple_of(size.into()))?;
        // Quotients and remainders apart, since t n may be longer than a word.
        let carry = (one + u64::from(t) * n) / u64::from(size);
        let quotient = self.modulus.div_small(size).wrapping_mul(W::of(t));
        let inverse = self
            .one
            .div_small(size)
            .overflowing_add(quotient)
            .0
            .overflowing_add(W::of(carry as u32))
            .0;
        Some(if k < 0 { self.minus(W::ZERO, inverse) } else { inverse })
    }

    #[inline]
    fn modulus_mod(&self, k: u32) -> u32 {
        self.modulus.mod_small(k)
    }
    #[inline(always)]
    fn modulus_bit(&self, i: u32) -> bool {
        self.modulus.bit(i)
    }
    #[inline(always)]
    fn modulus_bits(&self) -> u32 {
        W::BITS - self.modulus.leading_zeros()
    }
    #[inline]
    fn modulus_is_square(&self) -> bool {
        self.modulus.is_square()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `a b mod n` by doubling: slow and plain.
    fn product_by_doubling(a: u128, b: u128, n: u128) -> u128 {
        let add = |x: u128, y: u128| if x >= n - y { x - (n - y) } else { x + y };
        let (a, mut sum) = (a % n, 0);
        for i in (0..128).rev() {
            sum = add(sum, sum);
            if b >> i & 1 == 1 {
                sum = add(sum, a);
            }
        }
        sum
    }

    /// The element of `a`, by doubling and adding one.
    fn element(ring: &Montgomery<u128>, a: u128) -> u128 {
        (0..128).rev().fold(0, |e, i| {
            let twice = ring.add(&e, &e);
            if a >> i & 1 == 1 {
                ring.add(&twice, &ring.one())
            } else {
                twice
            }
        })
    }

    proptest! {
        #[test]
        fn double_words_multiply_as_doubling_does(n in 3u128.., a: u128, b: u128, shift in 0u32..125) {
            let n = (n >> shift | 1).max(3);
            let ring = Montgomery::new(n);
            let (a, b) = (a % n, b % n);
            let product = ring.mul(&element(&ring, a), &element(&ring, b));
            prop_assert_eq!(product, element(&ring, product_by_doubling(a, b, n)));
            prop_assert_eq!(ring.sub(&ring.add(&product, &a), &a), product);
        }

        #[test]
        fn words_and_double_words_agree_on_small_factors(n in 3u64.., k: i32, a: u64) {
            let ring = Montgomery::new(n | 1);
            let n = i128::from(n | 1);
            let a = ring.scale(&ring.one(), (a >> 33) as i32);
            let product = ring.scale(&a, k);
            // Multiplying by the plain word 1 takes an element out of Montgomery form.
            let plain = |e: &u64| i128::from(ring.mul(e, &1));
            prop_assert_eq!(plain(&product), (plain(&a) * i128::from(k)).rem_euclid(n));
        }
    }

    proptest! {
        #[test]
        fn inverses_are_inverses(n in 3u128.., shift in 0u32..120, k in -300i32..300) {
            let ring = Montgomery::new((n >> shift | 1).max(3));
            prop_assume!(k != 0);
            match ring.inverse(k) {
                Some(inverse) => prop_assert_eq!(ring.scale(&inverse, k), ring.one()),
                None => prop_assert!((2..=k.unsigned_abs()).any(|d| ring.modulus_mod(d) == 0 && k.unsigned_abs() % d == 0)),
            }
        }
    }

    #[test]
    fn wide_product_of_the_largest_double_words() {
        assert_eq!(u128::MAX.mul_wide(u128::MAX), (1, u128::MAX - 1));
    }
}
