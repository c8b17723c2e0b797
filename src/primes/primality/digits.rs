//! The integers modulo an odd number of up to some seventeen thousand digits, as polynomials of signed digits that
//! [`transform`](super::transform) multiplies.
//!
//! Montgomery's reduction with `R = B^w - 1` in place of a power of two: with `m = -a b / n mod R`, the sum `a b + m n`
//! is a multiple of `R`. It is computed modulo `Q = B^w + 1` only, where `R` is -2: what comes out is
//! `-2 (a b + m n) / R`, which is short enough to be known from its residue modulo `Q`. Products modulo `R` and `Q` are
//! products of polynomials modulo `X^w - 1` and `X^w + 1`, of `w` coefficients each.
//!
//! A digit is at most half of the base in size, and a little more; `n` has eight bits fewer than `w` digits. So `m`
//! is at most `.52 R` in size, and for factors of at most `1.1 n` what comes out is at most `2 (.52 + 1.21 / 2^8) n`,
//! below `1.1 n` again and below `Q / 2`. A residue has many forms.
//!
//! Source: P. B. McLaughlin Jr., "New frameworks for Montgomery's modular multiplication method", Math. Comp. 73
//! (2004).
//!
//! Unsafe: calls of the functions of `transform`, for which a modulus exists only where the processor has the
//! instructions; and lanes as the four numbers that they are.
#![allow(unsafe_code)]

use super::field::PRIME;
use super::large::{Residue, Residues, about_the_modulus};
use super::ring::Ring;
use super::transform::{self, Shape, Transform};
use super::vector::{Lanes, Vector};
use crate::primes::Natural;
use crate::primes::features::has;
use dashu_int::fast_div::ConstDivisor;
use dashu_int::ops::{BitTest, SquareRoot};
use std::cell::RefCell;

/// How much shorter the modulus is than all digits.
const SPARE_BITS: usize = 8;

/// A residue: its digits, coefficient `i` in lane `i / (w / 4)`.
type Element = Vec<Lanes>;

/// What the arithmetic modulo an odd number needs.
#[derive(Debug)]
pub(super) struct Prepared {
    base: Base,
    cyclic: Transform,
    negacyclic: Transform,
    /// The modulus.
    n: Element,
    /// The same modulo the leaves of `X^w + 1`.
    n_leaves: Vec<Lanes>,
    /// `-1 / n mod R`, modulo the leaves of `X^w - 1`.
    inverse_leaves: Vec<Lanes>,
    /// The square of what 1 is.
    square: Element,
    one: Element,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
struct Base {
    shape: Shape,
    /// Bits of a digit.
    bits: u32,
}

impl Base {
    /// The fewest digits that have room for `n_bits` and those to spare; `None` if that is too many.
    fn of(n_bits: usize) -> Option<Self> {
        let shapes = (2..9).flat_map(|levels| [2, 3].map(|leaf| Shape { leaf, levels }));
        shapes
            .filter_map(|shape| {
                let bits = longest_digits(4 * shape.registers())?;
                Some(Self { shape, bits })
            })
            .find(|base| base.total_bits() >= n_bits + SPARE_BITS)
    }

    fn digits(self) -> usize {
        4 * self.shape.registers()
    }

    fn total_bits(self) -> usize {
        self.digits() * self.bits as usize
    }

    /// The digits of a number that they have room for, and for the sign; what comes out of the last one is added to the
    /// first, which is right modulo `R`.
    fn write(self, number: &Natural) -> Element {
        let words = number.as_words();
        let registers = self.shape.registers();
        let mut digits = vec![[0.0; 4]; registers];
        let half = 1i64 << (self.bits - 1);
        let mut carry = 0;
        for i in 0..self.digits() {
            let (word, shift) = (i * self.bits as usize / 64, i * self.bits as usize % 64);
            let at = |word| u128::from(words.get(word).copied().unwrap_or(0));
            let bits = ((at(word) | at(word + 1) << 64) >> shift) as i64 & (2 * half - 1);
            let digit = bits + carry;
            carry = i64::from(digit >= half);
            digits[i % registers][i / registers] = (digit - carry * 2 * half) as f64;
        }
        digits[0][0] += carry as f64;
        // SAFETY: a register is four doubles, in the order of its lanes.
        digits
            .into_iter()
            .map(|lanes| unsafe { std::mem::transmute(lanes) })
            .collect()
    }

    /// The number that digits stand for, and `negative` if it is not below 0.
    fn read(self, element: &[Lanes], negative: &Natural) -> Natural {
        let mut words = vec![0u64; self.total_bits().div_ceil(64) + 1];
        let mut carry = 0;
        for i in 0..self.digits() {
            let digit = digit(element, i) as i64 + carry;
            carry = digit >> self.bits;
            let (word, shift) = (i * self.bits as usize / 64, i * self.bits as usize % 64);
            let bits = u128::from((digit - (carry << self.bits)) as u64) << shift;
            words[word] |= bits as u64;
            words[word + 1] |= (bits >> 64) as u64;
        }
        let number = Natural::from_words(&words);
        if carry < 0 {
            // The number is this less as much as the digits have room for.
            number + negative - (Natural::ONE << self.total_bits())
        } else {
            number
        }
    }

    /// The digits around `top` as one number, by which a number is compared with the modulus that has its first digit
    /// there.
    fn leading(self, element: &[Lanes], top: usize) -> f64 {
        let base = f64::from(1u32 << self.bits);
        let digits = top.saturating_sub(3)..(top + 3).min(self.digits());
        digits.rev().fold(0.0, |number, i| number * base + digit(element, i))
    }
}

/// The bits of a digit for which the coefficients of a sum of two products, of as many digits each, are at most .49 of
/// the prime.
fn longest_digits(digits: usize) -> Option<u32> {
    let fits = |bits: &u32| {
        // Half of the base, and the second carries, twice where those of the last register come in.
        let most = f64::from(1u32 << (bits - 1)) + f64::from(1u32 << (51 - 2 * bits)) + 4.0;
        2.0 * digits as f64 * most * most <= 0.49 * PRIME as f64
    };
    (19..=22).rfind(fits)
}

#[inline]
fn digit(element: &[Lanes], i: usize) -> f64 {
    // SAFETY: a register is four doubles, in the order of its lanes.
    let lanes: [f64; 4] = unsafe { std::mem::transmute(element[i % element.len()]) };
    lanes[i / element.len()]
}

impl Prepared {
    /// Prepares the arithmetic modulo `n`, which must be odd; `None` if the processor lacks the instructions, if `n` is
    /// too long, or if it has a factor in common with `R`.
    pub(super) fn new(n: &Natural) -> Option<Self> {
        Self::of_width(n, transform::can_be_wide())
    }

    /// The same, with eight residues at once or with four.
    fn of_width(n: &Natural, is_wide: bool) -> Option<Self> {
        if !has!("avx2", "fma") || is_wide && !transform::can_be_wide() {
            return None;
        }
        let base = Base::of(n.bit_len())?;
        let r = Natural::ones(base.total_bits());
        let inverse = inverse(n, &r)?;
        // -R / 2 modulo n.
        let one = n - &r % n;
        let one = if one.bit(0) { (one + n) >> 1 } else { one >> 1 };
        let digits = base.write(n);
        // SAFETY: the processor has the instructions.
        unsafe {
            let [cyclic, negacyclic] =
                [false, true].map(|is_negacyclic| Transform::new(base.shape, is_negacyclic, is_wide));
            Some(Self {
                n_leaves: leaves(&negacyclic, &digits),
                inverse_leaves: leaves(&cyclic, &base.write(&(r - inverse))),
                n: digits,
                square: base.write(&(&one * &one % n)),
                one: base.write(&one),
                base,
                cyclic,
                negacyclic,
            })
        }
    }
}

/// `1 / n` modulo `r`; `None` if they have a factor in common.
fn inverse(n: &Natural, r: &Natural) -> Option<Natural> {
    let divisor = ConstDivisor::new(r.clone());
    // dashu 0.6.2 gives wrong inverses of some numbers that repeat a pattern, so it gets a multiple that has
    // none: 2 is of order 23 modulo 47, which does not divide the exponent of r.
    let factor = divisor.reduce(Natural::from(47u8).pow(r.bit_len() / 6));
    let n = divisor.reduce(n.clone());
    let inverse = (&n * &factor).inv()? * factor;
    ((&inverse * n).residue() == Natural::ONE).then(|| inverse.residue())
}

#[target_feature(enable = "avx2,fma")]
fn leaves(transform: &Transform, digits: &[Lanes]) -> Vec<Lanes> {
    let mut leaves = digits.to_vec();
    transform.forth(digits, &mut leaves);
    leaves
}

/// A residue modulo the leaves of both polynomials.
#[derive(Clone)]
struct Leaves {
    cyclic: Vec<Lanes>,
    negacyclic: Vec<Lanes>,
}

/// The ring, with room for the factors of a product.
pub(super) struct Digits<'a> {
    modulus: &'a Natural,
    prepared: &'a Prepared,
    /// The digit that the bit above the modulus is in: none above it is other than 0.
    top: usize,
    /// The digits of the modulus around that one.
    leading: f64,
    rooms: RefCell<[Leaves; 2]>,
}

impl<'a> Digits<'a> {
    pub(super) fn new(modulus: &'a Natural, prepared: &'a Prepared) -> Self {
        let Prepared { base, n, .. } = prepared;
        let top = modulus.bit_len() / base.bits as usize;
        let room = Leaves {
            cyclic: n.clone(),
            negacyclic: n.clone(),
        };
        Self {
            modulus,
            prepared,
            top,
            leading: base.leading(n, top),
            rooms: RefCell::new([room.clone(), room]),
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn forth(&self, a: &Element, to: &mut Leaves) {
        self.prepared.cyclic.forth(a, &mut to.cyclic);
        self.prepared.negacyclic.forth(a, &mut to.negacyclic);
    }

    /// `-2 (a b + m n) / R`, or that of `a^2` without a `b`. Uses up `a`.
    #[target_feature(enable = "avx2,fma")]
    fn product(&self, a: &mut Leaves, b: Option<&Leaves>) -> Element {
        let Prepared {
            base,
            cyclic,
            negacyclic,
            n_leaves,
            inverse_leaves,
            ..
        } = self.prepared;
        let mut digits = vec![Lanes::all(0.0); base.shape.registers()];
        let leaves = &mut a.cyclic;
        cyclic.multiply(leaves, b.map(|b| &*b.cyclic), None);
        cyclic.back(leaves, &mut digits, base.bits);
        cyclic.forth(&digits, leaves);
        cyclic.multiply(leaves, Some(inverse_leaves), None);
        cyclic.back(leaves, &mut digits, base.bits);
        negacyclic.forth(&digits, leaves);
        let multiple = Some([&**leaves, n_leaves]);
        negacyclic.multiply(&mut a.negacyclic, b.map(|b| &*b.negacyclic), multiple);
        negacyclic.back(&mut a.negacyclic, &mut digits, base.bits);
        digits
    }

    /// `a + b` or, by the sign -1, `a - b`: of at most some half of the modulus.
    fn sum(&self, a: &Element, sign: f64, b: &Element) -> Element {
        let Prepared {
            base, n, negacyclic, ..
        } = self.prepared;
        let leading = base.leading(a, self.top) + sign * base.leading(b, self.top);
        let quotient = (leading / self.leading).round();
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        unsafe { negacyclic.sum(a, (sign, b), (-quotient, n), base.bits) }
    }

    /// The number below the modulus that digits stand for.
    fn number(&self, element: &Element) -> Natural {
        self.prepared.base.read(element, &(self.modulus * 2u8)) % self.modulus
    }
}

impl Residues for Digits<'_> {
    fn enter(&self, natural: Natural) -> Element {
        self.mul(&self.prepared.base.write(&natural), &self.prepared.square)
    }
    fn leave(&self, element: Element) -> Natural {
        self.number(&self.mul(&element, &self.prepared.base.write(&Natural::ONE)))
    }
    fn keep(&self, element: Element) -> Residue {
        // SAFETY: a register is four doubles, and a double 64 bits.
        let words = element
            .into_iter()
            .flat_map(|lanes| unsafe { std::mem::transmute::<Lanes, [u64; 4]>(lanes) });
        Residue(words.collect())
    }
    fn take(&self, residue: Residue) -> Element {
        let registers = residue.0.as_chunks::<4>().0;
        // SAFETY: as above.
        registers
            .iter()
            .map(|words| unsafe { std::mem::transmute::<[u64; 4], Lanes>(*words) })
            .collect()
    }
}

impl Ring for Digits<'_> {
    type Element = Element;

    fn zero(&self) -> Element {
        self.prepared.base.write(&Natural::ZERO)
    }
    fn one(&self) -> Element {
        self.prepared.one.clone()
    }
    fn equal(&self, a: &Element, b: &Element) -> bool {
        // Of at most half of the modulus a multiple of it is 0, and 0 has no other form: its lowest digit would be a
        // multiple of the base.
        let difference = self.sub(a, b);
        (0..self.prepared.base.digits()).all(|i| digit(&difference, i) == 0.0)
    }
    fn add(&self, a: &Element, b: &Element) -> Element {
        self.sum(a, 1.0, b)
    }
    fn sub(&self, a: &Element, b: &Element) -> Element {
        self.sum(a, -1.0, b)
    }
    fn mul(&self, a: &Element, b: &Element) -> Element {
        let [left, right] = &mut *self.rooms.borrow_mut();
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        unsafe {
            self.forth(a, left);
            self.forth(b, right);
            self.product(left, Some(right))
        }
    }
    fn square(&self, a: &Element) -> Element {
        let [room, _] = &mut *self.rooms.borrow_mut();
        // SAFETY: as above.
        unsafe {
            self.forth(a, room);
            self.product(room, None)
        }
    }
    fn mul_and_square(&self, a: &Element, b: &Element) -> [Element; 2] {
        let [left, right] = &mut *self.rooms.borrow_mut();
        // SAFETY: as above.
        unsafe {
            self.forth(a, left);
            self.forth(b, right);
            [self.product(left, Some(right)), self.product(right, None)]
        }
    }
    about_the_modulus!();
}

#[cfg(test)]
mod tests {
    use super::super::large::assert_agrees;
    use super::*;
    use proptest::prelude::*;

    /// Checks everything modulo `n` against dashu, of each width; nothing where the processor lacks the instructions.
    fn check(n: &Natural, a: &Natural, b: &Natural) {
        for prepared in [false, true]
            .iter()
            .filter_map(|is_wide| Prepared::of_width(n, *is_wide))
        {
            assert_agrees(&Digits::new(n, &prepared), n, [a, b]);
        }
    }

    /// The next odd number that has no factor in common with `R`.
    fn suitable(n: Natural) -> Natural {
        let mut n = n | Natural::ONE;
        while has!("avx2", "fma") && Prepared::new(&n).is_none() {
            n += 2u8;
        }
        n
    }

    #[test]
    fn digits_are_as_long_as_products_allow() {
        for (n_bits, digits, bits) in [(600, 32, 22), (3_000, 192, 21), (33_220, 2048, 19), (58_000, 3072, 19)] {
            let base = Base::of(n_bits).expect("there is room");
            assert_eq!((base.digits(), base.bits), (digits, bits), "{n_bits}");
        }
        assert!(Base::of(60_000).is_none());
    }

    #[test]
    fn edges_of_shapes_and_residues() {
        for n_bits in [100, 690, 830, 3_400, 7_672, 7_673, 12_000, 33_220, 38_904] {
            let top = Natural::ONE << (n_bits - 1);
            // Digits that are half of the base, in size, and those that are 0.
            let bits = Base::of(n_bits).expect("there is room").bits as usize;
            let halves = (0..n_bits / bits).fold(Natural::ZERO, |sum, i| sum + (Natural::ONE << (i * bits + bits - 1)));
            for n in [top.clone(), Natural::ones(n_bits - 1) + &top, &top + &halves] {
                let n = suitable(n);
                let last = &n - 1u8;
                for (a, b) in [
                    (&last, &last),
                    (&Natural::ZERO, &last),
                    (&Natural::ONE, &last),
                    (&halves, &halves),
                ] {
                    check(&n, &(a % &n), &(b % &n));
                }
            }
        }
    }

    #[test]
    fn moduli_that_repeat_themselves() {
        // dashu's own inverse of this one is wrong modulo 2^5120 - 1.
        let n = (0..192).fold(Natural::ONE, |n, i| n | Natural::ONE << (21 * i + 20));
        let r = Natural::ones(5_120);
        let inverse = inverse(&n, &r).expect("they have no factor in common");
        assert_eq!(inverse * &n % r, Natural::ONE);
        check(&n, &(&n - 1u8), &(&n >> 1));
    }

    #[test]
    fn residues_stay_small_in_long_chains() {
        let n = suitable(Natural::ones(3_200));
        let Some(prepared) = Prepared::new(&n) else { return };
        let ring = Digits::new(&n, &prepared);
        let mut element = ring.enter(3u8.into());
        let mut expected = Natural::from(3u8);
        for step in 0..300u32 {
            element = match step % 4 {
                0 => ring.add(&element, &element),
                1 => ring.sub(&ring.zero(), &element),
                2 => ring.mul(&element, &ring.sub(&element, &ring.one())),
                _ => ring.square(&element),
            };
            expected = match step % 4 {
                0 => expected * 2u8 % &n,
                1 => (&n - expected) % &n,
                2 => &expected * (&expected + &n - 1u8) % &n,
                _ => expected.sqr() % &n,
            };
        }
        assert_eq!(ring.leave(element), expected);
    }

    #[test]
    fn moduli_with_a_factor_of_the_radix_are_refused() {
        let base = Base::of(3_000).expect("there is room");
        assert!((base.total_bits() as u32).is_multiple_of(2), "so 3 is one");
        assert!(Prepared::new(&(Natural::from(3u8).pow(1_800))).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arithmetic_is_that_of_dashu(
            n in prop::collection::vec(any::<u64>(), 2..200),
            a in prop::collection::vec(any::<u64>(), 2..200),
            b in prop::collection::vec(any::<u64>(), 2..200),
        ) {
            let n = suitable(Natural::from_words(&n) + 3u8);
            check(&n, &(Natural::from_words(&a) % &n), &(Natural::from_words(&b) % &n));
        }
    }
}
