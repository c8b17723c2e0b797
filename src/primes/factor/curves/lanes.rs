//! Eight residues at once, each in a lane of its own, modulo one odd number or eight.
//!
//! A residue is a row of words of 52 bits, as the instructions AVX-512 IFMA multiply them, in Montgomery form with
//! `R = 2^(52 k)`. There are at least six bits to spare, so that no sum or product is compared with the modulus: a
//! product of residues below `4 n` is below `2 n`, and sums and differences of two such are below `4 n` (P. L.
//! Montgomery, "Modular multiplication without trial division" (1985), section 2, with `R > 16 n`).
//!
//! Unsafe: the vector versions load and store through references to aligned vectors, and are called where the processor
//! has the instructions.
#![allow(unsafe_code)]
// Several arrays are walked side by side.
#![allow(clippy::needless_range_loop)]

use super::ring::{LANES, Ring};
#[cfg(target_arch = "x86_64")]
use super::ring::{added, doubled};
use crate::primes::Natural;
#[cfg(target_arch = "x86_64")]
use crate::primes::features::has;
use crate::primes::primality::ring::radix_inverse;
use dashu_int::ops::BitTest;

/// Bits of a word.
const BITS: usize = 52;
const MASK: u64 = (1 << BITS) - 1;

/// One word of each of eight residues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Vector(pub(super) [u64; LANES]);

impl Vector {
    const ZERO: Self = Self([0; LANES]);
}

/// Eight residues. `W` is how many words each has.
pub(crate) type Element<const W: usize> = [Vector; W];

/// Eight rings of integers modulo odd numbers of the same number of words.
#[derive(Clone, Debug)]
pub(crate) struct Rings<const W: usize> {
    n: [Natural; LANES],
    words: Element<W>,
    twice: Element<W>,
    /// `R^2 mod n`
    square: Element<W>,
    /// `-1 / n mod 2^52`
    inverse: Vector,
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "there is one way to calculate")
    )]
    is_vector: bool,
}

/// The same rings with residues on the heap: of long numbers one would take a good part of a thread's stack.
#[derive(Debug)]
pub(super) struct Boxed<const W: usize>(Box<Rings<W>>);

/// How many words residues modulo a number of `bits` bits have.
pub(crate) const fn words_for(bits: usize) -> usize {
    (bits + 6).div_ceil(BITS)
}

fn split<const W: usize>(values: &[Natural; LANES]) -> Element<W> {
    let mut words = [Vector::ZERO; W];
    for (lane, value) in values.iter().enumerate() {
        if let Ok(short) = u128::try_from(value) {
            for (i, word) in words.iter_mut().enumerate().take(3) {
                word.0[lane] = (short >> (BITS * i)) as u64 & MASK;
            }
            continue;
        }
        let limbs = value.to_le_bytes();
        for (i, word) in words.iter_mut().enumerate() {
            // Bit 52 i is in byte 13 i / 2.
            let (byte, shift) = (BITS * i / 8, BITS * i % 8);
            let mut window = [0; 8];
            let tail = limbs.get(byte..).unwrap_or_default();
            let count = tail.len().min(8);
            window[..count].copy_from_slice(&tail[..count]);
            word.0[lane] = u64::from_le_bytes(window) >> shift & MASK;
        }
    }
    words
}

fn join<const W: usize>(words: &Element<W>, lane: usize) -> Natural {
    if W <= 2 {
        let words = words.iter().rev();
        return Natural::from(words.fold(0u128, |value, word| value << BITS | u128::from(word.0[lane])));
    }
    let mut bytes = vec![0u8; (W * BITS).div_ceil(8) + 8];
    for (i, word) in words.iter().enumerate() {
        let (byte, shift) = (BITS * i / 8, BITS * i % 8);
        let shifted = word.0[lane] << shift;
        for (to, from) in bytes[byte..].iter_mut().zip(shifted.to_le_bytes()) {
            *to |= from;
        }
    }
    Natural::from_le_bytes(&bytes)
}

impl<const W: usize> Rings<W> {
    /// The rings modulo these numbers, odd and of at most `52 W - 6` bits.
    pub(crate) fn new(n: [Natural; LANES]) -> Self {
        debug_assert!(n.iter().all(|n| n.bit(0) && words_for(n.bit_len()) <= W));
        let words = split(&n);
        let twice = split(&n.clone().map(|n| n << 1usize));
        let inverse = words[0].0.map(|n| radix_inverse(n).wrapping_neg() & MASK);
        let square = |n: &Natural| (Natural::ONE << (2 * BITS * W)) % n;
        let first = square(&n[0]);
        let square = std::array::from_fn(|i| if n[i] == n[0] { first.clone() } else { square(&n[i]) });
        Self {
            square: split(&square),
            n,
            words,
            twice,
            inverse: Vector(inverse),
            is_vector: has_ifma(),
        }
    }

    /// The same, calculating without the instructions.
    #[cfg(test)]
    fn portable(mut self) -> Self {
        self.is_vector = false;
        self
    }
}

impl<const W: usize> Ring for Rings<W> {
    type Element = Element<W>;

    const WORDS: usize = W;
    const IS_LONG: bool = false;

    fn modulo(n: [Natural; LANES]) -> Self {
        Self::new(n)
    }

    fn moduli(&self) -> &[Natural; LANES] {
        &self.n
    }

    fn load(&self, values: &[Natural; LANES]) -> Element<W> {
        self.mul(&split(values), &self.square)
    }

    fn constant(&self, value: u32) -> Element<W> {
        let mut words = [Vector::ZERO; W];
        words[0] = Vector([value.into(); LANES]);
        self.mul(&words, &self.square)
    }

    fn store(&self, a: &Element<W>) -> [Natural; LANES] {
        let mut one = [Vector::ZERO; W];
        one[0] = Vector([1; LANES]);
        let reduced = self.mul(a, &one);
        std::array::from_fn(|lane| join(&reduced, lane) % &self.n[lane])
    }

    #[inline(always)]
    fn mul(&self, a: &Element<W>, b: &Element<W>) -> Element<W> {
        #[cfg(target_arch = "x86_64")]
        if self.is_vector {
            // SAFETY: the processor has the instructions.
            return unsafe { vector::mul(a, b, &self.words, &self.inverse) };
        }
        portable::mul(a, b, &self.words, &self.inverse)
    }

    #[inline(always)]
    fn add(&self, a: &Element<W>, b: &Element<W>) -> Element<W> {
        #[cfg(target_arch = "x86_64")]
        if self.is_vector {
            // SAFETY: the processor has the instructions.
            return unsafe { vector::add(a, b) };
        }
        portable::add(a, b)
    }

    #[inline(always)]
    fn sub(&self, a: &Element<W>, b: &Element<W>) -> Element<W> {
        #[cfg(target_arch = "x86_64")]
        if self.is_vector {
            // SAFETY: the processor has the instructions.
            return unsafe { vector::sub(a, b, &self.twice) };
        }
        portable::sub(a, b, &self.twice)
    }

    #[inline(always)]
    fn minus(&self, a: &Element<W>, b: &Element<W>) -> Element<W> {
        #[cfg(target_arch = "x86_64")]
        if self.is_vector {
            // SAFETY: the processor has the instructions.
            return unsafe { vector::minus(a, b, &self.twice) };
        }
        portable::minus(a, b, &self.twice)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn mul_difference(&self, product: &mut Element<W>, a: &Element<W>, b: &Element<W>) {
        if self.is_vector {
            // SAFETY: the processor has the instructions.
            return unsafe { vector::mul_difference(self, product, a, b) };
        }
        *product = self.mul(product, &self.sub(a, b));
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn double(&self, a24: &Element<W>, p: &[Element<W>; 2]) -> [Element<W>; 2] {
        if self.is_vector {
            let mut out = [[Vector::ZERO; W]; 2];
            // SAFETY: the processor has the instructions.
            unsafe { vector::double(self, a24, p, &mut out) };
            return out;
        }
        doubled(self, a24, p)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn add_points(&self, p: &[Element<W>; 2], q: &[Element<W>; 2], difference: &[Element<W>; 2]) -> [Element<W>; 2] {
        if self.is_vector {
            let mut out = [[Vector::ZERO; W]; 2];
            // SAFETY: the processor has the instructions.
            unsafe { vector::add_points(self, p, q, difference, &mut out) };
            return out;
        }
        added(self, p, q, difference)
    }
}

impl<const W: usize> Ring for Boxed<W> {
    type Element = Box<Element<W>>;

    const WORDS: usize = W;
    const IS_LONG: bool = true;

    fn modulo(n: [Natural; LANES]) -> Self {
        Self(Box::new(Rings::new(n)))
    }

    fn moduli(&self) -> &[Natural; LANES] {
        self.0.moduli()
    }

    #[inline(never)]
    fn load(&self, values: &[Natural; LANES]) -> Box<Element<W>> {
        Box::new(self.0.load(values))
    }

    #[inline(never)]
    fn constant(&self, value: u32) -> Box<Element<W>> {
        Box::new(self.0.constant(value))
    }

    #[inline(never)]
    fn store(&self, a: &Box<Element<W>>) -> [Natural; LANES] {
        self.0.store(a)
    }

    #[inline(never)]
    fn mul(&self, a: &Box<Element<W>>, b: &Box<Element<W>>) -> Box<Element<W>> {
        Box::new(self.0.mul(a, b))
    }

    #[inline(never)]
    fn add(&self, a: &Box<Element<W>>, b: &Box<Element<W>>) -> Box<Element<W>> {
        Box::new(self.0.add(a, b))
    }

    #[inline(never)]
    fn sub(&self, a: &Box<Element<W>>, b: &Box<Element<W>>) -> Box<Element<W>> {
        Box::new(self.0.sub(a, b))
    }

    #[inline(never)]
    fn minus(&self, a: &Box<Element<W>>, b: &Box<Element<W>>) -> Box<Element<W>> {
        Box::new(self.0.minus(a, b))
    }
}

/// Whether the processor multiplies words of 52 bits.
pub(crate) fn has_ifma() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        has!("avx512f", "avx512ifma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

mod portable {
    use super::{BITS, Element, LANES, MASK, Vector};

    pub(super) fn mul<const W: usize>(a: &Element<W>, b: &Element<W>, n: &Element<W>, inverse: &Vector) -> Element<W> {
        let mut product = [Vector::ZERO; W];
        for lane in 0..LANES {
            let mut sums = [0u128; W];
            let wide = |x: u64, y: u64| u128::from(x) * u128::from(y);
            for b in b {
                let low = sums[0] + wide(a[0].0[lane], b.0[lane]);
                let m = (low as u64).wrapping_mul(inverse.0[lane]) & MASK;
                let mut carry = (low + wide(m, n[0].0[lane])) >> BITS;
                for j in 1..W {
                    let sum = sums[j] + wide(a[j].0[lane], b.0[lane]) + wide(m, n[j].0[lane]) + carry;
                    sums[j - 1] = sum & u128::from(MASK);
                    carry = sum >> BITS;
                }
                sums[W - 1] = carry;
            }
            for (word, sum) in product.iter_mut().zip(sums) {
                word.0[lane] = sum as u64;
            }
        }
        product
    }

    /// Sums word by word, with the carries in their place, and the last carry.
    fn with_carry<const W: usize>(word: impl Fn(usize, usize) -> u64) -> (Element<W>, [i64; LANES]) {
        let mut result = [Vector::ZERO; W];
        let mut last = [0; LANES];
        for lane in 0..LANES {
            let mut carry = 0i64;
            for (i, result) in result.iter_mut().enumerate() {
                let sum = word(i, lane).wrapping_add_signed(carry);
                result.0[lane] = sum & MASK;
                carry = sum as i64 >> BITS;
            }
            last[lane] = carry;
        }
        (result, last)
    }

    fn carried<const W: usize>(word: impl Fn(usize, usize) -> u64) -> Element<W> {
        with_carry(word).0
    }

    pub(super) fn add<const W: usize>(a: &Element<W>, b: &Element<W>) -> Element<W> {
        carried(|i, lane| a[i].0[lane] + b[i].0[lane])
    }

    pub(super) fn sub<const W: usize>(a: &Element<W>, b: &Element<W>, twice: &Element<W>) -> Element<W> {
        carried(|i, lane| (a[i].0[lane] + twice[i].0[lane]).wrapping_sub(b[i].0[lane]))
    }

    pub(super) fn minus<const W: usize>(a: &Element<W>, b: &Element<W>, twice: &Element<W>) -> Element<W> {
        let (difference, carry) = with_carry::<W>(|i, lane| a[i].0[lane].wrapping_sub(b[i].0[lane]));
        // All ones where it is negative.
        carried(|i, lane| difference[i].0[lane] + (twice[i].0[lane] & carry[lane] as u64))
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{BITS, Element, MASK, Rings, Vector};
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn load(vector: &Vector) -> __m512i {
        // SAFETY: a vector is 64 bytes, aligned to 64.
        unsafe { _mm512_load_si512(vector.0.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn store(vector: &mut Vector, words: __m512i) {
        // SAFETY: a vector is 64 bytes, aligned to 64.
        unsafe { _mm512_store_si512(vector.0.as_mut_ptr().cast(), words) }
    }

    const SHIFT: u32 = BITS as u32;

    /// The words with the carries in their place.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn carried<const W: usize>(words: [__m512i; W]) -> Element<W> {
        with_carry(words).0
    }

    /// The same, and the last carry.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn with_carry<const W: usize>(words: [__m512i; W]) -> (Element<W>, __m512i) {
        let mask = _mm512_set1_epi64(MASK as i64);
        let mut result = [Vector::ZERO; W];
        let mut carry = _mm512_setzero_si512();
        for (result, word) in result.iter_mut().zip(words) {
            let sum = _mm512_add_epi64(word, carry);
            store(result, _mm512_and_si512(sum, mask));
            carry = _mm512_srai_epi64::<SHIFT>(sum);
        }
        (result, carry)
    }

    /// `a b` of vectors in registers, word by word of `b`: a word of the product, and the multiple of `n` that takes it
    /// away. What a word gathers stays far below 64 bits. A macro, since a call would pass everything through memory,
    /// which takes as long as a short product.
    macro_rules! product {
        ($a:expr, $b:expr, $n:expr, $inverse:expr) => {{
            let (a, b) = ($a, $b);
            let zero = _mm512_setzero_si512();
            let mut sums = [zero; W];
            for b in b {
                let low = _mm512_madd52lo_epu64(sums[0], a[0], b);
                let m = _mm512_madd52lo_epu64(zero, low, $inverse);
                let low = _mm512_madd52lo_epu64(low, m, load(&$n[0]));
                let carry = _mm512_srli_epi64::<SHIFT>(low);
                for j in 1..W {
                    let sum = if j == 1 {
                        _mm512_add_epi64(sums[j], carry)
                    } else {
                        sums[j]
                    };
                    // Two chains, so that half of the additions need not wait for the others.
                    let sum = _mm512_madd52lo_epu64(sum, a[j], b);
                    let other = _mm512_madd52hi_epu64(zero, a[j - 1], b);
                    let sum = _mm512_madd52lo_epu64(sum, m, load(&$n[j]));
                    let other = _mm512_madd52hi_epu64(other, m, load(&$n[j - 1]));
                    sums[j - 1] = _mm512_add_epi64(sum, other);
                }
                let top = _mm512_madd52hi_epu64(if W == 1 { carry } else { zero }, a[W - 1], b);
                sums[W - 1] = _mm512_madd52hi_epu64(top, m, load(&$n[W - 1]));
            }
            normal!(sums)
        }};
    }

    /// Words with the carries in their place, in registers.
    macro_rules! normal {
        ($words:expr) => {{
            let mut words = $words;
            let mask = _mm512_set1_epi64(MASK as i64);
            for i in 1..W {
                let carry = _mm512_srai_epi64::<SHIFT>(words[i - 1]);
                words[i - 1] = _mm512_and_si512(words[i - 1], mask);
                words[i] = _mm512_add_epi64(words[i], carry);
            }
            words
        }};
    }

    macro_rules! sum {
        ($a:expr, $b:expr) => {{
            let (a, b) = (&$a, &$b);
            let mut sum = *a;
            for i in 0..W {
                sum[i] = _mm512_add_epi64(a[i], b[i]);
            }
            normal!(sum)
        }};
    }

    macro_rules! difference {
        ($a:expr, $b:expr, $twice:expr) => {{
            let (a, b) = (&$a, &$b);
            let mut difference = *a;
            for i in 0..W {
                difference[i] = _mm512_sub_epi64(_mm512_add_epi64(a[i], load(&$twice[i])), b[i]);
            }
            normal!(difference)
        }};
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn loaded<const W: usize>(element: &Element<W>) -> [__m512i; W] {
        std::array::from_fn(|i| load(&element[i]))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn stored<const W: usize>(words: [__m512i; W]) -> Element<W> {
        let mut element = [Vector::ZERO; W];
        for (element, words) in element.iter_mut().zip(words) {
            store(element, words);
        }
        element
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn mul<const W: usize>(a: &Element<W>, b: &Element<W>, n: &Element<W>, inverse: &Vector) -> Element<W> {
        let inverse = load(inverse);
        stored(product!(loaded(a), loaded(b), n, inverse))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn mul_difference<const W: usize>(
        rings: &Rings<W>,
        product: &mut Element<W>,
        a: &Element<W>,
        b: &Element<W>,
    ) {
        let (n, inverse) = (&rings.words, load(&rings.inverse));
        let difference = difference!(loaded(a), loaded(b), rings.twice);
        *product = stored(product!(loaded(product), difference, n, inverse));
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn double<const W: usize>(
        rings: &Rings<W>,
        a24: &Element<W>,
        p: &[Element<W>; 2],
        out: &mut [Element<W>; 2],
    ) {
        let (n, inverse) = (&rings.words, load(&rings.inverse));
        let (x, z) = (loaded(&p[0]), loaded(&p[1]));
        let (sum, less) = (sum!(x, z), difference!(x, z, rings.twice));
        let sum = product!(sum, sum, n, inverse);
        let less = product!(less, less, n, inverse);
        let change = difference!(sum, less, rings.twice);
        let scaled = product!(loaded(a24), change, n, inverse);
        out[0] = stored(product!(sum, less, n, inverse));
        let total = sum!(less, scaled);
        out[1] = stored(product!(change, total, n, inverse));
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn add_points<const W: usize>(
        rings: &Rings<W>,
        p: &[Element<W>; 2],
        q: &[Element<W>; 2],
        difference: &[Element<W>; 2],
        out: &mut [Element<W>; 2],
    ) {
        let (n, inverse) = (&rings.words, load(&rings.inverse));
        let (x, z) = (loaded(&p[0]), loaded(&p[1]));
        let (less, sum) = (difference!(x, z, rings.twice), sum!(x, z));
        let (x, z) = (loaded(&q[0]), loaded(&q[1]));
        let (other_less, other_sum) = (difference!(x, z, rings.twice), sum!(x, z));
        let u = product!(less, other_sum, n, inverse);
        let v = product!(sum, other_less, n, inverse);
        let (sum, less) = (sum!(u, v), difference!(u, v, rings.twice));
        let sum = product!(sum, sum, n, inverse);
        let less = product!(less, less, n, inverse);
        out[0] = stored(product!(loaded(&difference[1]), sum, n, inverse));
        out[1] = stored(product!(loaded(&difference[0]), less, n, inverse));
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn add<const W: usize>(a: &Element<W>, b: &Element<W>) -> Element<W> {
        carried(std::array::from_fn(|i| _mm512_add_epi64(load(&a[i]), load(&b[i]))))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn sub<const W: usize>(a: &Element<W>, b: &Element<W>, twice: &Element<W>) -> Element<W> {
        carried(std::array::from_fn(|i| {
            _mm512_sub_epi64(_mm512_add_epi64(load(&a[i]), load(&twice[i])), load(&b[i]))
        }))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn minus<const W: usize>(a: &Element<W>, b: &Element<W>, twice: &Element<W>) -> Element<W> {
        let (difference, carry) = with_carry::<W>(std::array::from_fn(|i| _mm512_sub_epi64(load(&a[i]), load(&b[i]))));
        // All ones where it is negative.
        carried(std::array::from_fn(|i| {
            _mm512_add_epi64(load(&difference[i]), _mm512_and_si512(load(&twice[i]), carry))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<const W: usize>(moduli: &[Vec<u64>], values: &[Vec<u64>]) -> Result<(), TestCaseError> {
        let natural = |words: &Vec<u64>| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            Natural::from_le_bytes(&bytes)
        };
        let bits = BITS * W - 6;
        let n: [Natural; LANES] =
            std::array::from_fn(|i| (natural(&moduli[i]) % (Natural::ONE << bits)) | Natural::from(0x8001u32));
        let a: [Natural; LANES] = std::array::from_fn(|i| natural(&values[i]) % &n[i]);
        let b: [Natural; LANES] = std::array::from_fn(|i| natural(&values[i + LANES]) % &n[i]);
        let vector = Rings::<W>::new(n.clone());
        let points = [vector.clone(), vector.clone().portable()].map(|rings| {
            let (x, y) = (rings.load(&a), rings.load(&b));
            let (p, q) = ([x, y], rings.double(&y, &[y, x]));
            rings.add_points(&p, &q, &q).map(|element| rings.store(&element))
        });
        prop_assert_eq!(&points[0], &points[1]);
        for rings in [vector.clone(), vector.portable()] {
            let (x, y) = (rings.load(&a), rings.load(&b));
            prop_assert_eq!(rings.store(&x), a.clone());
            let of = |f: &dyn Fn(usize) -> Natural| -> [Natural; LANES] { std::array::from_fn(f) };
            prop_assert_eq!(rings.store(&rings.mul(&x, &y)), of(&|i| &a[i] * &b[i] % &n[i]));
            let (sum, difference) = (rings.add(&x, &y), rings.sub(&x, &y));
            prop_assert_eq!(rings.store(&sum), of(&|i| (&a[i] + &b[i]) % &n[i]));
            prop_assert_eq!(rings.store(&difference), of(&|i| (&a[i] + &n[i] - &b[i]) % &n[i]));
            let mut fused = x;
            rings.mul_difference(&mut fused, &y, &x);
            prop_assert_eq!(rings.store(&fused), of(&|i| &a[i] * (&b[i] + &n[i] - &a[i]) % &n[i]));
            let other = rings.minus(&rings.minus(&x, &y), &x);
            prop_assert_eq!(rings.store(&other), of(&|i| (&n[i] - &b[i]) % &n[i]));
            let product = rings.mul(&rings.add(&x, &x), &rings.sub(&y, &x));
            let expected = of(&|i| (&a[i] + &a[i]) * (&b[i] + &n[i] - &a[i]) % &n[i]);
            prop_assert_eq!(rings.store(&product), expected);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn lanes_calculate_as_naturals_do_with_and_without_the_instructions(
            moduli in prop::collection::vec(prop::collection::vec(any::<u64>(), 16), LANES),
            values in prop::collection::vec(prop::collection::vec(any::<u64>(), 16), 2 * LANES),
        ) {
            check::<1>(&moduli, &values)?;
            check::<2>(&moduli, &values)?;
            check::<3>(&moduli, &values)?;
            check::<5>(&moduli, &values)?;
            check::<16>(&moduli, &values)?;
        }
    }
}
