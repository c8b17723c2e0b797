//! Numbers of any size: trial division, and the [`Test`] with its elements kept as they are between two bouts of steps.
//!
//! Knows no slice and no clock: the caller that advances a test decides when to pause. Start at [`Large::advance`].
//!
//! The reduction is chosen by size, as measured on a Zen 5 (microseconds a squaring with its reduction; Montgomery and
//! division are dashu's, [`digits`](super::digits) calculate with four or eight residues at once, and limbs are those
//! of [`long`](super::long)):
//!
//! | bits | Montgomery | division | fold, for `2^k - c` | words | four digits | eight digits | limbs |
//! |---|---|---|---|---|---|---|---|
//! | 512 | .11 | .15 | .16 | .10 | .32 | .32 | .17 |
//! | 1024 | .31 | .46 | .23 | .27 | .43 | .43 | .24 |
//! | 4423 | 4.1 | 5.6 | 1.6 | 2.6 | 2.1 | 1.3 | 1.0 |
//! | 9941 | 18 | 20 | 5.7 | 11 | 4.4 | 2.7 | 3.2 |
//! | 20000 | 70 | 65 | 19 | 43 | 15 | 8.5 | 10 |
//! | 33219 | 180 | 144 | 38 | 112 | 20 | 11 | 25 |

use super::bpsw::Test;
#[cfg(target_arch = "x86_64")]
use super::digits::{self, Digits};
#[cfg(target_arch = "x86_64")]
use super::limbs;
#[cfg(target_arch = "x86_64")]
use super::long::{self, Long};
use super::now_and_then;
use super::ring::Ring;
#[cfg(target_arch = "x86_64")]
use super::words::{self, Words};
use crate::primes::{Natural, known};
use dashu_int::fast_div::ConstDivisor;
use dashu_int::modular::Reduced;
use dashu_int::monty::{Montgomery, MontgomeryRepr};
use dashu_int::ops::{BitTest, SquareRoot};
#[cfg(target_arch = "x86_64")]
use std::ops::Range;

/// From this many bits on, dividing is faster than a Montgomery reduction, which is quadratic.
const DIVISION_BITS: usize = 12_000;

/// From this many bits on, limbs of 52 bits are the fastest where the processor multiplies them: at 662 bits they take
/// the same time as words.
#[cfg(target_arch = "x86_64")]
const LIMBS_BITS: usize = 660;

/// From how many bits on digits are faster than limbs, which take 1.1 to 1.3 of the time up to 10,600 bits, .95 up to
/// 11,600 and more than 1.04 beyond; or than words, which take .94 at 5,614 bits and 1.03 at 5,813.
#[cfg(target_arch = "x86_64")]
fn digits_bits() -> usize {
    if limbs::available() { 9_000 } else { 5_750 }
}

/// Of how many bits a number `2^bits - fold` is if a fold is the fastest.
///
/// A test of a Mersenne number, whose first stage is shifts then, takes as long as with words at 600 bits. Eight digits
/// at a time take .86 of the time of both stages at 21,701 bits, but some twenty times that of the first, which is all
/// that a composite needs. For other numbers limbs are faster throughout; where there are none, the fold takes 1.25 of
/// the time of words at 801 bits and .88 at 1,501, and of that of digits .94 at 8,001, 1.23 at 9,689, .98 at 11,213 and
/// 1.44 at 14,001.
#[cfg(target_arch = "x86_64")]
fn fold_bits(fold: u64) -> Range<usize> {
    match (fold, limbs::available()) {
        (1, _) => 600..usize::MAX,
        (_, true) => 0..0,
        (_, false) => 1_400..9_000,
    }
}

/// An odd number that is to be tested, with what the arithmetic modulo it needs.
#[derive(Debug)]
pub(crate) struct Large {
    modulus: Natural,
    reduction: Reduction,
}

#[derive(Debug)]
enum Reduction {
    /// The modulus is `2^bits - fold`.
    Fold {
        fold: u64,
    },
    #[cfg(target_arch = "x86_64")]
    Limbs(long::Prepared),
    #[cfg(target_arch = "x86_64")]
    Digits(Box<digits::Prepared>),
    #[cfg(target_arch = "x86_64")]
    Words(words::Prepared),
    Montgomery(MontgomeryRepr),
    Division(ConstDivisor),
}

#[cfg(target_arch = "x86_64")]
impl Reduction {
    /// That of the kernels which is the fastest, if the processor has the instructions of one.
    fn by_kernels(modulus: &Natural) -> Option<Self> {
        let bits = modulus.bit_len();
        let digits = (bits >= digits_bits()).then(|| digits::Prepared::new(modulus));
        let limbs = || (bits >= LIMBS_BITS).then(|| long::Prepared::new(modulus));
        let words = || (bits < DIVISION_BITS).then(|| words::Prepared::new(modulus));
        let digits = digits.flatten().map(|digits| Self::Digits(Box::new(digits)));
        let limbs = || limbs().flatten().map(Self::Limbs);
        let words = || words().flatten().map(Self::Words);
        digits.or_else(limbs).or_else(words)
    }
}

impl Large {
    /// Prepares the arithmetic modulo `n`, which must be odd.
    pub(crate) fn new(modulus: Natural) -> Self {
        let bits = modulus.bit_len();
        debug_assert!(modulus.bit(0));
        let fold = u64::try_from((Natural::ONE << bits) - &modulus)
            .ok()
            .filter(|_| bits > 64);
        #[cfg(target_arch = "x86_64")]
        if !fold.is_some_and(|fold| fold_bits(fold).contains(&bits))
            && let Some(reduction) = Reduction::by_kernels(&modulus)
        {
            return Self { modulus, reduction };
        }
        let reduction = match fold {
            Some(fold) => Reduction::Fold { fold },
            None if bits < DIVISION_BITS => Reduction::Montgomery(MontgomeryRepr::new(modulus.clone())),
            None => Reduction::Division(ConstDivisor::new(modulus.clone())),
        };
        Self { modulus, reduction }
    }

    /// The start of the test of a number above 2^64.
    pub(crate) fn start(&self) -> Test<Residue> {
        self.resume(Test::new(&Fold {
            modulus: &self.modulus,
            bits: self.modulus.bit_len(),
            fold: 0,
        }))
    }

    /// Goes on with the test until the verdict or until `over`, asked after every few multiplications.
    pub(crate) fn advance(&self, test: Test<Residue>, over: impl FnMut() -> bool) -> Test<Residue> {
        struct Bout<F>(Test<Residue>, F);

        impl<F: FnMut() -> bool> Work for Bout<F> {
            type Output = Test<Residue>;

            fn work<R: Residues>(self, ring: &R) -> Test<Residue> {
                let Self(test, over) = self;
                let over = now_and_then(ring.modulus_bits() as usize, over);
                let mut test = test.map(|residue| ring.take(residue));
                test.advance(ring, over);
                test.map(|element| ring.keep(element))
            }
        }

        self.run(Bout(test, over))
    }

    /// The test with the numbers below the modulus, as it is saved.
    pub(crate) fn numbers(&self, test: Test<Residue>) -> Test<Natural> {
        struct Numbers(Test<Residue>);

        impl Work for Numbers {
            type Output = Test<Natural>;

            fn work<R: Residues>(self, ring: &R) -> Test<Natural> {
                self.0.map(|residue| ring.leave(ring.take(residue)))
            }
        }

        self.run(Numbers(test))
    }

    /// The test that has these [`numbers`](Self::numbers).
    pub(crate) fn resume(&self, test: Test<Natural>) -> Test<Residue> {
        struct Resume(Test<Natural>);

        impl Work for Resume {
            type Output = Test<Residue>;

            fn work<R: Residues>(self, ring: &R) -> Test<Residue> {
                self.0.map(|number| ring.keep(ring.enter(number)))
            }
        }

        self.run(Resume(test))
    }

    /// Does some work in the ring of the modulus.
    pub(crate) fn run<W: Work>(&self, work: W) -> W::Output {
        let modulus = &self.modulus;
        match &self.reduction {
            Reduction::Fold { fold } => work.work(&Fold {
                modulus,
                bits: modulus.bit_len(),
                fold: *fold,
            }),
            #[cfg(target_arch = "x86_64")]
            Reduction::Limbs(prepared) => work.work(&Long::new(modulus, prepared)),
            #[cfg(target_arch = "x86_64")]
            Reduction::Digits(prepared) => work.work(&Digits::new(modulus, prepared)),
            #[cfg(target_arch = "x86_64")]
            Reduction::Words(prepared) => work.work(&Words::new(modulus, prepared)),
            Reduction::Montgomery(repr) => work.work(&Kept {
                modulus,
                repr,
                zero: repr.reduce(0u8),
                one: repr.reduce(1u8),
            }),
            Reduction::Division(divisor) => work.work(&Kept {
                modulus,
                repr: divisor,
                zero: divisor.reduce(0u8),
                one: divisor.reduce(1u8),
            }),
        }
    }
}

/// A residue between two bouts, in the form that the ring of its modulus has for it: nothing to any other one, nor on
/// another machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Residue(pub(super) Box<[u64]>);

/// A ring whose residues come from naturals and go back to them.
pub(crate) trait Residues: Ring {
    /// The residue of a number below the modulus.
    fn enter(&self, natural: Natural) -> Self::Element;
    /// The number below the modulus.
    fn leave(&self, element: Self::Element) -> Natural;
    /// The sum of the products of these pairs.
    fn sum_of_products(&self, pairs: &[[&Self::Element; 2]]) -> Self::Element {
        pairs
            .iter()
            .fold(self.zero(), |sum, [a, b]| self.add(&sum, &self.mul(a, b)))
    }
    /// The residue of a number of any length times one that is coprime to the modulus, the same for all numbers of a
    /// length: a factor in common with the modulus stays one. The modulus is above 2^64.
    fn up_to_a_unit(&self, number: &Natural) -> Self::Element {
        let words = (self.modulus_bits() as usize - 1) / 64;
        let radix = self.enter(Natural::ONE << (64 * words));
        let horner = |sum, chunk: &[u64]| self.add(&self.mul(&sum, &radix), &self.enter(Natural::from_words(chunk)));
        number.as_words().chunks(words).rev().fold(self.zero(), horner)
    }
    /// Keeps a residue for the next bout. By default as its number, for rings where that takes next to nothing.
    fn keep(&self, element: Self::Element) -> Residue {
        Residue(self.leave(element).as_words().into())
    }
    /// The residue that was kept.
    fn take(&self, residue: Residue) -> Self::Element {
        self.enter(Natural::from_words(&residue.0))
    }
}

/// Work in the ring of a modulus, whichever suits its length.
pub(crate) trait Work {
    /// What it brings.
    type Output;

    /// Does it.
    fn work<R: Residues>(self, ring: &R) -> Self::Output;
}

/// Checks that a ring modulo `n` does with two residues what dashu does.
#[cfg(test)]
pub(super) fn assert_agrees<R: Residues>(ring: &R, n: &Natural, [a, b]: [&Natural; 2]) {
    use dashu_int::ops::Gcd;

    let (x, y) = (ring.enter(a.clone()), ring.enter(b.clone()));
    assert_eq!(ring.leave(x.clone()), *a);
    assert!(ring.equal(&ring.take(ring.keep(x.clone())), &x));
    assert_eq!(ring.leave(ring.mul(&x, &y)), a * b % n);
    assert_eq!(ring.leave(ring.square(&x)), a * a % n);
    let pair = ring.mul_and_square(&x, &y).map(|element| ring.leave(element));
    assert_eq!(pair, [a * b % n, b * b % n]);
    assert_eq!(ring.leave(ring.add(&x, &y)), (a + b) % n);
    assert_eq!(ring.leave(ring.sub(&x, &y)), (a + n - b) % n);
    assert!(ring.equal(&ring.sub(&ring.add(&x, &y), &y), &x));
    for count in [0usize, 1, 2, 3, 50, 200] {
        let pairs = [[&x, &x], [&x, &y]].repeat(count);
        assert_eq!(ring.leave(ring.sum_of_products(&pairs)), (a + b) * a * count % n);
    }
    assert!(ring.equal(&ring.sub(&x, &x), &ring.zero()));
    assert_eq!(ring.equal(&x, &y), a == b);
    assert_eq!(ring.leave(ring.one()), Natural::ONE);
    // By the power of 2 that is as long.
    let long = (a << 1000) * b + (Natural::ONE << (n.bit_len() * 5 / 2));
    let power = Natural::ONE << (long.bit_len() - 1);
    let [of_long, of_power] = [&long, &power].map(|number| ring.leave(ring.up_to_a_unit(number)));
    assert_eq!(of_long * &power % n, &of_power * long % n);
    assert_eq!((&of_power).gcd(n), Natural::ONE);
}

/// Whether `n` is a multiple of a prime other than itself that is below `limit` (at most 2^20) or not far above.
pub(crate) fn has_small_factor(n: &Natural, limit: u64) -> bool {
    let is_even = !n.bit(0) && *n != Natural::from(2u8);
    is_even || has_remainder(n, limit, |remainder| remainder == 0)
}

/// Whether an odd prime other than `n` that is below `limit` (at most 2^20) or not far above leaves a remainder that
/// `is_meant`.
pub(crate) fn has_remainder(n: &Natural, limit: u64, is_meant: impl Fn(u64) -> bool) -> bool {
    let mut p = 2;
    while p < limit {
        // As many primes at once as a word holds: one pass over a long n for all of them.
        let (first, mut product) = (p, 1u64);
        while let Some((next, longer)) = known::next(p).and_then(|next| Some((next, product.checked_mul(next)?))) {
            (p, product) = (next, longer);
        }
        if p == first {
            return false;
        }
        let remainder = n % product;
        let mut q = first;
        while q < p {
            q = known::next(q).expect("the table holds every prime up to p");
            if is_meant(remainder % q) && *n != Natural::from(q) {
                return true;
            }
        }
    }
    false
}

macro_rules! about_the_modulus {
    () => {
        fn inverse(&self, k: i32) -> Option<Self::Element> {
            $crate::primes::primality::large::inverse_modulo(self.modulus, k).map(|inverse| self.enter(inverse))
        }
        fn modulus_mod(&self, k: u32) -> u32 {
            self.modulus % k
        }
        fn modulus_bit(&self, i: u32) -> bool {
            self.modulus.bit(i as usize)
        }
        fn modulus_bits(&self) -> u32 {
            u32::try_from(self.modulus.bit_len()).expect("a number in memory has fewer than 2^32 bits")
        }
        fn modulus_is_square(&self) -> bool {
            // Squares are 0, 1, 4 or 9 mod 16: spares most numbers the root.
            matches!(self.modulus % 16u8, 0 | 1 | 4 | 9) && {
                let root = self.modulus.sqrt();
                &root * &root == *self.modulus
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) use about_the_modulus;

/// `1 / k` modulo an odd `n` for a `k` that is not 0; `None` if it has a factor in common with `n`.
pub(super) fn inverse_modulo(n: &Natural, k: i32) -> Option<Natural> {
    // (1 + t n) / k for the t that makes it whole.
    let size = k.unsigned_abs();
    let residue = u64::from(n % size);
    let t = (0..size).find(|t| (1 + u64::from(*t) * residue).is_multiple_of(size.into()))?;
    let inverse = (n * t + 1u8) / size;
    Some(if k < 0 { n - inverse } else { inverse })
}

/// A ring of dashu, its elements in the representation it keeps.
struct Kept<'a, P, E> {
    modulus: &'a Natural,
    repr: &'a P,
    zero: E,
    one: E,
}

macro_rules! kept_ring {
    ($repr:ident, $element:ident) => {
        impl<'a> Residues for Kept<'a, $repr, $element<'a>> {
            fn enter(&self, natural: Natural) -> Self::Element {
                self.repr.reduce(natural)
            }
            fn leave(&self, element: Self::Element) -> Natural {
                element.residue()
            }
        }

        impl<'a> Ring for Kept<'a, $repr, $element<'a>> {
            type Element = $element<'a>;

            fn zero(&self) -> Self::Element {
                self.zero.clone()
            }
            fn one(&self) -> Self::Element {
                self.one.clone()
            }
            fn equal(&self, a: &Self::Element, b: &Self::Element) -> bool {
                a == b
            }
            fn add(&self, a: &Self::Element, b: &Self::Element) -> Self::Element {
                a + b
            }
            fn sub(&self, a: &Self::Element, b: &Self::Element) -> Self::Element {
                a - b
            }
            fn mul(&self, a: &Self::Element, b: &Self::Element) -> Self::Element {
                a * b
            }
            fn square(&self, a: &Self::Element) -> Self::Element {
                a.sqr()
            }
            about_the_modulus!();
        }
    };
}

kept_ring!(MontgomeryRepr, Montgomery);
kept_ring!(ConstDivisor, Reduced);

/// The integers modulo `n = 2^bits - fold`: what lies above bit `bits` comes back `fold` times, since
/// `2^bits = fold mod n`.
struct Fold<'a> {
    modulus: &'a Natural,
    bits: usize,
    fold: u64,
}

impl Fold<'_> {
    fn reduce(&self, mut a: Natural) -> Natural {
        while a.bit_len() > self.bits {
            let (low, high) = a.split_bits(self.bits);
            a = low + if self.fold == 1 { high } else { high * self.fold };
        }
        self.below(a)
    }

    fn below(&self, a: Natural) -> Natural {
        if a >= *self.modulus { a - self.modulus } else { a }
    }
}

impl Residues for Fold<'_> {
    fn enter(&self, natural: Natural) -> Natural {
        natural
    }
    fn leave(&self, element: Natural) -> Natural {
        element
    }
}

impl Ring for Fold<'_> {
    type Element = Natural;

    fn zero(&self) -> Natural {
        Natural::ZERO
    }
    fn one(&self) -> Natural {
        Natural::ONE
    }
    fn equal(&self, a: &Natural, b: &Natural) -> bool {
        a == b
    }
    fn add(&self, a: &Natural, b: &Natural) -> Natural {
        self.below(a + b)
    }
    fn sub(&self, a: &Natural, b: &Natural) -> Natural {
        if a >= b { a - b } else { a + self.modulus - b }
    }
    fn mul(&self, a: &Natural, b: &Natural) -> Natural {
        self.reduce(a * b)
    }
    fn square(&self, a: &Natural) -> Natural {
        // Modulo a Mersenne number every power of 2 is a power of 2 again, so the whole first stage is shifts.
        match a.trailing_zeros() {
            Some(twos) if twos + 1 == a.bit_len() => self.reduce(Natural::ONE << (2 * twos)),
            _ => self.reduce(a.sqr()),
        }
    }
    about_the_modulus!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::is_prime_u128;
    use proptest::prelude::*;

    fn is_prime(n: Natural) -> bool {
        let large = Large::new(n);
        large.advance(large.start(), || false) == Test::Done(true)
    }

    fn mersenne(p: usize) -> Natural {
        Natural::ones(p)
    }

    #[test]
    fn mersenne_numbers_are_prime_at_the_exponents_of_a000043() {
        let primes: Vec<usize> = (67..700).step_by(2).filter(|p| is_prime(mersenne(*p))).collect();
        assert_eq!(primes, [89, 107, 127, 521, 607]);
    }

    #[test]
    fn long_primes_by_each_reduction() {
        // 10^999 + 7 is the smallest prime of 1000 digits (A033874 lists 7 for 999); A003617.
        assert!(is_prime(Natural::from(10u8).pow(999) + 7u8));
        assert!(!is_prime(Natural::from(10u8).pow(999) + 9u8));
        let small = Natural::from(10u8).pow(120) + 79u8;
        let by = |reduction| Large {
            reduction,
            modulus: small.clone(),
        };
        let by_division = by(Reduction::Division(ConstDivisor::new(small.clone())));
        let by_montgomery = by(Reduction::Montgomery(MontgomeryRepr::new(small.clone())));
        let chosen = Large::new(small.clone());
        for large in [&by_division, &by_montgomery, &chosen] {
            let mut test = large.start();
            while !matches!(test, Test::Done(_)) {
                test = large.advance(test, || true);
            }
            assert_eq!(test, chosen.advance(chosen.start(), || false));
        }
    }

    #[test]
    fn each_reduction_goes_through_the_same_residues() {
        let n = Natural::from(10u8).pow(1_749) + 1_323u32;
        let by = |reduction| Large {
            reduction,
            modulus: n.clone(),
        };
        let others = [
            Some(by(Reduction::Montgomery(MontgomeryRepr::new(n.clone())))),
            Some(Large::new(n.clone())),
            #[cfg(target_arch = "x86_64")]
            digits::Prepared::new(&n).map(|prepared| by(Reduction::Digits(Box::new(prepared)))),
            #[cfg(target_arch = "x86_64")]
            words::Prepared::new(&n).map(|prepared| by(Reduction::Words(prepared))),
        ];
        let by_division = by(Reduction::Division(ConstDivisor::new(n.clone())));
        for begun in 0..2 {
            for other in others.iter().flatten() {
                let [mut test, mut same] = [&by_division, other].map(|large| large.start().split()[begun].clone());
                for steps in 1..8 {
                    let [mut left, mut left_too] = [steps; 2];
                    let over = |left: &mut u32| {
                        *left -= 1;
                        *left == 0
                    };
                    test = by_division.advance(test, || over(&mut left));
                    same = other.advance(same, || over(&mut left_too));
                    let numbers = by_division.numbers(test.clone());
                    assert_eq!(numbers, other.numbers(same.clone()), "{:?}", other.reduction);
                    assert_eq!(other.numbers(other.resume(numbers.clone())), numbers);
                }
            }
        }
    }

    #[test]
    fn small_factors_are_found_and_only_those() {
        let p = Natural::from(1_000_003u32);
        assert!(has_small_factor(&(&p * 65_521u32), 1 << 16));
        assert!(!has_small_factor(&(&p * &p), 1 << 16));
        assert!(!has_small_factor(&Natural::from(65_521u32), 1 << 16));
        assert!(has_small_factor(&(&p * 3u32), 4));
    }

    proptest! {
        #[test]
        fn agrees_with_double_words(n in 1u128 << 65.., near in 0u64..) {
            for n in [n | 1, u128::MAX - (u128::from(near) & !1)] {
                prop_assert_eq!(is_prime(Natural::from(n)), is_prime_u128(n));
            }
        }

        #[test]
        fn reductions_agree(words in prop::collection::vec(any::<u64>(), 3..12), fold in any::<u64>()) {
            let bits = 64 * words.len() - (fold % 60) as usize;
            let modulus = (Natural::ONE << bits) - (fold | 1);
            let a = Natural::from_words(&words) % &modulus;
            let ring = Fold { modulus: &modulus, bits, fold: fold | 1 };
            assert_agrees(&ring, &modulus, [&a, &Natural::from(fold)]);
            let repr = MontgomeryRepr::new(modulus.clone());
            let ring_of_dashu = Kept { modulus: &modulus, repr: &repr, zero: repr.reduce(0u8), one: repr.reduce(1u8) };
            assert_agrees(&ring_of_dashu, &modulus, [&a, &Natural::from(fold)]);
            prop_assert_eq!(ring.square(&a), a.sqr() % &modulus);
            prop_assert_eq!(ring.sub(&ring.add(&a, &a), &a), a);
        }
    }
}
