//! The Baillie-PSW test over any [`Ring`]: a strong probable prime test to base 2, then a strong Lucas test. One
//! squaring or one doubling of the index at a time, so that a number of thousands of digits can be tested in slices.
//!
//! Does not know how large its modulus is, nor how the ring multiplies. Start at [`Test::advance`].
//!
//! Sources: R. Baillie and S. S. Wagstaff, "Lucas pseudoprimes", Math. Comp. 35 (1980), sections 3 (strong Lucas
//! pseudoprimes) and 6 (the combination), with Selfridge's parameters (method A); R. Baillie, A. Fiori, S. S. Wagstaff,
//! "Strengthening the Baillie-PSW primality test", Math. Comp. 90 (2021). No composite below 2^64 passes: J. Feitsma's
//! list of all base-2 pseudoprimes below 2^64 (2013) holds no strong Lucas pseudoprime. Above 2^64 none is known,
//! though some must be expected to exist.

use super::ring::Ring;

/// A test of one number under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test<E> {
    /// Raising 2 to `n - 1`.
    Power(Power<E>),
    /// The same, and the verdict is that of the first stage: another test, from [`LucasFirst`](Self::LucasFirst) on,
    /// has that of the second.
    PowerAlone(Power<E>),
    /// The second stage is next.
    LucasFirst,
    /// Climbing the Lucas sequence to `n + 1`.
    Lucas(Lucas<E>),
    /// The verdict: `false` is certain, `true` is certain below 2^64 and without a known exception above.
    Done(bool),
}

/// `2^(n - 1)` by squarings, its last ones looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Power<E> {
    /// 2 to the power of the bits of `n - 1` from `next` up.
    pub(crate) power: E,
    /// The bits of `n - 1` that are still to come.
    pub(crate) next: u32,
}

/// The strong Lucas test for `P = 1`, `Q = (1 - D) / 4`, on the powers of `r = alpha / beta`, the quotient of the zeros
/// of `x^2 - P x + Q`.
///
/// `U_d = 0` means `r^d = 1` and `V_d = 0` means `r^d = -1`; and `V_2k = Q^k W_k` for `W_k = r^k + r^-k`. These `W` are
/// a Lucas sequence with `Q = 1`, `W_1 = P^2 / Q - 2`, which needs no powers of `Q`: two multiplications a bit and not
/// three (R. Crandall, C. Pomerance, "Prime Numbers", section 3.6.3, take the same way to the test without "strong").
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lucas<E> {
    /// `W_1`
    pub(crate) first: E,
    /// `W_k` and `W_(k+1)`, where `k` has the bits of `n + 1` from `next` up.
    pub(crate) w: E,
    pub(crate) w_after: E,
    /// The bits of `n + 1` that are still to come.
    pub(crate) next: u32,
}

/// The share of the whole cost that is the first stage's: a step costs one squaring, against a squaring and a
/// multiplication.
pub(crate) const POWER_SHARE: f64 = 0.3;

impl<E: Clone> Test<E> {
    /// The start of the test of the ring's modulus.
    #[inline]
    pub(crate) fn new<R: Ring<Element = E>>(ring: &R) -> Self {
        let one = ring.one();
        Self::Power(Power {
            power: ring.add(&one, &one),
            next: ring.modulus_bits() - 1,
        })
    }

    /// Goes on until the verdict or until `over`, which is asked after every step (a few multiplications). Makes at
    /// least one step.
    #[inline]
    pub(crate) fn advance<R: Ring<Element = E>>(&mut self, ring: &R, mut over: impl FnMut() -> bool) {
        loop {
            let after = match self {
                Self::Power(power) => match power.advance(ring, &mut over) {
                    Some(true) => Self::lucas(ring),
                    Some(false) => Self::Done(false),
                    None => return,
                },
                Self::PowerAlone(power) => match power.advance(ring, &mut over) {
                    Some(verdict) => Self::Done(verdict),
                    None => return,
                },
                Self::LucasFirst => Self::lucas(ring),
                Self::Lucas(lucas) => match lucas.advance(ring, &mut over) {
                    Some(verdict) => Self::Done(verdict),
                    None => return,
                },
                Self::Done(_) => return,
            };
            *self = after;
        }
    }

    /// The Lucas stage, or the verdict if the search for its discriminant meets a factor.
    fn lucas<R: Ring<Element = E>>(ring: &R) -> Self {
        // A square has no discriminant with symbol -1. Only squares of Wieferich primes come this far.
        if ring.modulus_is_square() {
            return Self::Done(false);
        }
        let mut discriminant = 5i32;
        loop {
            let size = discriminant.unsigned_abs();
            // Every D of the sequence 5, -7, 9, -11, ... is 1 mod 4, so reciprocity has no sign: (D/n) = (n/|D|).
            match jacobi(ring.modulus_mod(size), size) {
                -1 => {
                    // Without an inverse of Q there is a common factor.
                    let inverse = ring.inverse((1 - discriminant) / 4);
                    return inverse.map_or(Self::Done(false), |inverse| Self::Lucas(Lucas::new(ring, &inverse)));
                }
                // A common factor; n itself may be that factor's size only if n is a small prime.
                0 if ring.modulus_bits() > 32 - size.leading_zeros() => return Self::Done(false),
                _ => {
                    discriminant = if discriminant > 0 {
                        -discriminant - 2
                    } else {
                        2 - discriminant
                    }
                }
            }
        }
    }

    /// The two stages of a test that has not begun, each a test of its own: a number passes if it passes both.
    pub(crate) fn split(self) -> [Self; 2] {
        let first = match self {
            Self::Power(power) => Self::PowerAlone(power),
            other => other,
        };
        [first, Self::LucasFirst]
    }

    /// The same test with its elements in another representation.
    pub(crate) fn map<F>(self, mut to: impl FnMut(E) -> F) -> Test<F> {
        match self {
            Self::Power(Power { power, next }) => Test::Power(Power { power: to(power), next }),
            Self::PowerAlone(Power { power, next }) => Test::PowerAlone(Power { power: to(power), next }),
            Self::LucasFirst => Test::LucasFirst,
            Self::Lucas(Lucas {
                first,
                w,
                w_after,
                next,
            }) => Test::Lucas(Lucas {
                first: to(first),
                w: to(w),
                w_after: to(w_after),
                next,
            }),
            Self::Done(verdict) => Test::Done(verdict),
        }
    }

    /// The share of the whole cost that is done, 0.0..=1.0, if the number turns out to be prime; the second stage
    /// counts the first as done.
    pub(crate) fn progress(&self, modulus_bits: u32) -> f64 {
        let bits = f64::from(modulus_bits);
        match self {
            Self::LucasFirst => POWER_SHARE,
            Self::Power(power) | Self::PowerAlone(power) => POWER_SHARE * (1.0 - f64::from(power.next) / bits),
            Self::Lucas(lucas) => POWER_SHARE + (1.0 - POWER_SHARE) * (1.0 - f64::from(lucas.next) / (bits + 1.0)),
            Self::Done(_) => 1.0,
        }
    }
}

/// The tests of moduli of as many bits, as far as no verdict can be there yet. A step of a word waits for its product,
/// and those of the others are made meanwhile.
#[inline]
pub(crate) fn begin_together<R: Ring, const N: usize>(rings: &[R; N]) -> [Test<R::Element>; N] {
    let mut powers = rings.each_ref().map(|ring| ring.add(&ring.one(), &ring.one()));
    let twos = |ring: &R| (1..ring.modulus_bits()).find(|i| ring.modulus_bit(*i)).unwrap_or(1);
    let last = rings.iter().map(twos).max().unwrap_or(1) + 1;
    let mut next = rings.first().map_or(0, Ring::modulus_bits).saturating_sub(1);
    while next > last {
        next -= 1;
        for (power, ring) in powers.iter_mut().zip(rings) {
            let square = ring.square(power);
            let double = ring.add(&square, &square);
            *power = if ring.modulus_bit(next) { double } else { square };
        }
    }
    powers.map(|power| Test::Power(Power { power, next }))
}

impl<E: Clone> Power<E> {
    #[inline]
    fn advance<R: Ring<Element = E>>(&mut self, ring: &R, over: &mut impl FnMut() -> bool) -> Option<bool> {
        let one = ring.one();
        let minus_one = ring.sub(&ring.zero(), &one);
        // n - 1 = odd * 2^twos, and its bits above the lowest are those of n.
        let mut twos = 1;
        while !ring.modulus_bit(twos) {
            twos += 1;
        }
        loop {
            if self.next <= twos {
                let is_one = ring.equal(&self.power, &one);
                if ring.equal(&self.power, &minus_one) || (self.next == twos && is_one) {
                    return Some(true);
                }
                if self.next <= 1 || is_one {
                    return Some(false);
                }
            }
            self.next -= 1;
            self.power = ring.square(&self.power);
            if self.next > 0 && ring.modulus_bit(self.next) {
                self.power = ring.add(&self.power, &self.power);
            }
            if over() {
                return None;
            }
        }
    }
}

impl<E: Clone> Lucas<E> {
    fn new<R: Ring<Element = E>>(ring: &R, q_inverse: &E) -> Self {
        let two = ring.add(&ring.one(), &ring.one());
        let first = ring.sub(q_inverse, &two);
        let w_after = ring.sub(&ring.square(&first), &two);
        let next = match ring.modulus_bits() {
            bits if (0..bits).all(|i| ring.modulus_bit(i)) => bits,
            bits => bits - 1,
        };
        Self {
            w: first.clone(),
            first,
            w_after,
            next,
        }
    }

    #[inline]
    fn advance<R: Ring<Element = E>>(&mut self, ring: &R, over: &mut impl FnMut() -> bool) -> Option<bool> {
        let zero = ring.zero();
        let two = ring.add(&ring.one(), &ring.one());
        // n + 1 = odd * 2^twos; above its lowest set bit its bits are those of n (none if n is a Mersenne number).
        let mut twos = 1;
        while twos < ring.modulus_bits() && ring.modulus_bit(twos) {
            twos += 1;
        }
        loop {
            if self.next == twos && self.is_sign(ring, &two) {
                return Some(true);
            }
            if self.next <= twos {
                if self.next > 1 && ring.equal(&self.w, &zero) {
                    return Some(true);
                }
                if self.next <= 2 {
                    return Some(false);
                }
            }
            self.next -= 1;
            let (w, w_after) = (&self.w, &self.w_after);
            // W_(2k+1) of its two, and W_2j of W_j.
            let between_and_twice = |i, j| {
                let [product, square] = ring.mul_and_square(i, j);
                (ring.sub(&product, &self.first), ring.sub(&square, &two))
            };
            if self.next < twos {
                // Past the odd part only W_k is looked at.
                self.w = ring.sub(&ring.square(w), &two);
            } else if self.next == twos || ring.modulus_bit(self.next) {
                (self.w, self.w_after) = between_and_twice(w, w_after);
            } else {
                (self.w_after, self.w) = between_and_twice(w_after, w);
            }
            if over() {
                return None;
            }
        }
    }

    /// Whether `r^k` is 1 or -1: then `W_k = r^k + r^-k` and `W_(k+1)` are those of `k = 0` or their negatives.
    fn is_sign<R: Ring<Element = E>>(&self, ring: &R, two: &E) -> bool {
        let zero = ring.zero();
        let are = |w: &E, w_after: &E| ring.equal(&self.w, w) && ring.equal(&self.w_after, w_after);
        are(two, &self.first) || are(&ring.sub(&zero, two), &ring.sub(&zero, &self.first))
    }
}

/// The Jacobi symbol `(a/n)` for odd `n`.
pub(crate) fn jacobi(a: u32, n: u32) -> i32 {
    let (mut a, mut n, mut sign) = (a % n, n, 1);
    while a != 0 {
        let twos = a.trailing_zeros();
        a >>= twos;
        if twos % 2 == 1 && matches!(n % 8, 3 | 5) {
            sign = -sign;
        }
        if a % 4 == 3 && n % 4 == 3 {
            sign = -sign;
        }
        (a, n) = (n % a, a);
    }
    if n == 1 { sign } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::ring::Montgomery;

    /// Runs the Lucas stage alone.
    fn strong_lucas(n: u64) -> bool {
        let ring = Montgomery::new(n);
        let mut test = Test::lucas(&ring);
        test.advance(&ring, || false);
        test == Test::Done(true)
    }

    fn strong_base_two(n: u64) -> bool {
        let ring = Montgomery::new(n);
        let Test::Power(mut power) = Test::new(&ring) else {
            unreachable!("a test starts with the power")
        };
        power.advance(&ring, &mut || false) == Some(true)
    }

    fn odd_composites_below(limit: u64) -> impl Iterator<Item = u64> {
        (9..limit)
            .step_by(2)
            .filter(|n| (3..=n.isqrt()).step_by(2).any(|d| n % d == 0))
    }

    #[test]
    fn strong_pseudoprimes_to_base_two_are_those_of_a001262() {
        let found: Vec<u64> = odd_composites_below(91_000).filter(|n| strong_base_two(*n)).collect();
        let listed = [
            2047, 3277, 4033, 4681, 8321, 15841, 29341, 42799, 49141, 52633, 65281, 74665, 80581, 85489, 88357, 90751,
        ];
        assert_eq!(found, listed);
    }

    #[test]
    fn strong_lucas_pseudoprimes_are_those_of_a217255() {
        let found: Vec<u64> = odd_composites_below(100_200).filter(|n| strong_lucas(*n)).collect();
        assert_eq!(
            found,
            [
                5459, 5777, 10877, 16109, 18971, 22499, 24569, 25199, 40309, 58519, 75077, 97439, 100127
            ]
        );
    }

    #[test]
    fn interrupted_after_every_step_gives_the_same_verdict() {
        for n in [
            2047u64,
            5459,
            97,
            1_000_003,
            18_446_744_073_709_551_557,
            18_446_744_073_709_551_559,
            (1 << 61) - 1,
        ] {
            let ring = Montgomery::new(n);
            let (mut whole, mut steps, mut before) = (Test::new(&ring), Test::new(&ring), 0.0);
            whole.advance(&ring, || false);
            while !matches!(steps, Test::Done(_)) {
                steps.advance(&ring, || true);
                let progress = steps.progress(64 - n.leading_zeros());
                assert!((before..=1.0).contains(&progress), "{n}");
                before = progress;
            }
            assert_eq!(whole, steps, "{n}");
        }
    }
}
