//! Factoring numbers of any size.
//!
//! Small primes go by trial division ([`Trial`]), powers by taking roots ([`Powers`]), and two factors close to each
//! other by Fermat's method ([`close_factors`]); composites of a word are split by [`word`], longer ones by [`curves`]
//! and the [`quadratic`] sieve, by a [`schedule`]. None of these knows a slice: each goes on until it is to pause.

mod close;
pub(crate) mod curves;
pub(crate) mod quadratic;
pub(crate) mod rho;
pub(crate) mod schedule;
pub(crate) mod word;

pub(crate) use close::close_factors;

use super::primality::is_prime_u64;
use super::{Natural, known};
use dashu_int::ops::{BitTest, SquareRoot};

/// Trial division of numbers up to 128 bits goes by the primes below this.
pub(crate) const TRIAL_LIMIT: u64 = 1000;

/// Trial division of longer numbers.
const LONG_TRIAL_LIMIT: u64 = 1 << 16;

/// The prime factors of `n` below [`TRIAL_LIMIT`] with multiplicity, ascending, and what is left of `n`. `n` must not
/// be 0.
pub(crate) fn small_factors(mut n: u128) -> (Vec<u64>, u128) {
    let mut factors = vec![2; n.trailing_zeros() as usize];
    n >>= n.trailing_zeros();
    let mut p = 2;
    while p < TRIAL_LIMIT && n > 1 {
        let (first, product) = next_product(&mut p);
        // The remainder is below the product, a word.
        let remainder = (n % u128::from(product)) as u64;
        for q in primes_between(first, p).filter(|q| remainder.is_multiple_of(*q)) {
            while n.is_multiple_of(q.into()) {
                factors.push(q);
                n /= u128::from(q);
            }
        }
    }
    (factors, n)
}

/// As many primes above `p` as a word holds the product of, since dividing a long number is slow: where they begin, and
/// the product. `p` is then the last.
fn next_product(p: &mut u64) -> (u64, u64) {
    let first = *p;
    let mut product = 1u64;
    while let Some((next, longer)) = known::next(*p).and_then(|next| Some((next, product.checked_mul(next)?))) {
        (*p, product) = (next, longer);
    }
    (first, product)
}

/// The primes above `first` up to `last`, which is one.
fn primes_between(first: u64, last: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(known::next(first), |p| known::next(*p)).take_while(move |p| *p <= last)
}

/// Trial division of a long number.
#[derive(Debug)]
pub(crate) struct Trial {
    /// What is left of the number.
    pub(crate) rest: Natural,
    /// The prime factors so far.
    pub(crate) factors: Vec<Natural>,
    p: u64,
}

impl Trial {
    /// Begins with a number that is not 0.
    pub(crate) fn new(n: Natural) -> Self {
        let twos = n.trailing_zeros().unwrap_or(0);
        Self {
            rest: n >> twos,
            factors: vec![Natural::from(2u8); twos],
            p: 2,
        }
    }

    /// Goes on until all small primes are tried or until `over`, asked after every few primes and every factor (a few
    /// microseconds at most).
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        while self.p < LONG_TRIAL_LIMIT && self.rest > Natural::ONE {
            let (first, product) = next_product(&mut self.p);
            let remainder = &self.rest % product;
            for q in primes_between(first, self.p).filter(|q| remainder.is_multiple_of(*q)) {
                while &self.rest % q == 0 {
                    self.factors.push(Natural::from(q));
                    self.rest /= q;
                    if over() {
                        // The same primes are tried once more.
                        self.p = first;
                        return false;
                    }
                }
            }
            if over() {
                return false;
            }
        }
        true
    }
}

/// The search for a root of a number without factors below [`TRIAL_LIMIT`], so of an odd one.
#[derive(Debug)]
pub(crate) struct Powers {
    n: Natural,
    exponent: u64,
}

impl Powers {
    pub(crate) fn new(n: Natural) -> Self {
        Self { n, exponent: 1 }
    }

    /// Goes on until a root is found, or none, or until `over`, asked after every exponent: the root and its prime
    /// exponent.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<(Natural, usize)>> {
        let bits = self.n.bit_len() as u64;
        loop {
            let exponent = known::next(self.exponent).unwrap_or(bits);
            // Trial division has left primes of 10 bits, or 17: a power has a multiple of these bits, less one for each
            // prime.
            if exponent * if bits <= 128 { 9 } else { 16 } > bits {
                return Some(None);
            }
            self.exponent = exponent;
            if may_be_power(&self.n, exponent) {
                let root = possible_root(&self.n, exponent);
                if root.pow(exponent as usize) == self.n {
                    return Some(Some((root, exponent as usize)));
                }
            }
            if over() {
                return None;
            }
        }
    }
}

/// Primes by which most numbers are seen to be no powers: of those that are none, one in `exponent` passes each.
const WITNESSES: usize = 6;

/// False if a number is no power of this prime exponent e, as a prime q = 2 k e + 1 shows: modulo q a power is 0, or of
/// an order that divides (q - 1) / e.
fn may_be_power(n: &Natural, exponent: u64) -> bool {
    let step = if exponent == 2 { 2 } else { 2 * exponent };
    let witnesses = (1..).map(|k| k * step + 1).filter(|q| is_prime_u64(*q));
    witnesses.take(WITNESSES).all(|q| {
        let rest = n % q;
        rest == 0 || power_modulo(rest, (q - 1) / exponent, q) == 1
    })
}

/// The root of an odd number, if it is a power of this prime exponent; else any number. The library takes 15 s for
/// that of `1000003^401`.
fn possible_root(n: &Natural, exponent: u64) -> Natural {
    if exponent == 2 {
        return n.sqrt();
    }
    // Modulo a power of 2 every odd number has exactly one root of an odd exponent e, and the root looked for is below
    // 2^bits. With y^-e = n modulo 2^j, y (1 + (1 - n y^e) / e) is such a number modulo 2^(2 j) (Newton); modulo 8,
    // where squares are 1, it is n.
    let bits = n.bit_len().div_ceil(exponent as usize) + 1;
    let (mut y, mut known) = (low_bits(n.clone(), 3), 3);
    // The inverse of e in the same way; modulo 8 it is e.
    let e = Natural::from(exponent);
    let mut inverse = low_bits(e.clone(), 3);
    while known < bits {
        known = (2 * known).min(bits);
        let two = (Natural::ONE << known) + 2u8;
        inverse = low_bits(&inverse * (two - low_bits(&inverse * &e, known)), known);
        let power = power_of_low_bits(&y, exponent, known);
        let one = (Natural::ONE << known) + 1u8;
        let error = one - low_bits(low_bits(n.clone(), known) * power, known);
        y = low_bits(&y * (Natural::ONE + error * &inverse), known);
    }
    low_bits(
        low_bits(n.clone(), bits) * power_of_low_bits(&y, exponent - 1, bits),
        bits,
    )
}

/// `n` modulo `2^bits`.
fn low_bits(mut n: Natural, bits: usize) -> Natural {
    n.clear_high_bits(bits);
    n
}

/// `base ^ exponent` modulo `2^bits`.
fn power_of_low_bits(base: &Natural, mut exponent: u64, bits: usize) -> Natural {
    let (mut power, mut base) = (Natural::ONE, base.clone());
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = low_bits(power * &base, bits);
        }
        base = low_bits(base.sqr(), bits);
        exponent >>= 1;
    }
    power
}

/// `base ^ exponent` modulo a number below 2^32.
fn power_modulo(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let mut power = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    power
}

/// The greatest common divisor, by Stein's algorithm, of an odd `m` and `n`.
pub(crate) fn gcd(n: u128, m: u128) -> u128 {
    let (mut a, mut b) = (n, m);
    while a != 0 {
        a >>= a.trailing_zeros();
        if a < b {
            (a, b) = (b, a);
        }
        a -= b;
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_factors_are_taken_out() {
        assert_eq!(small_factors(1), (vec![], 1));
        assert_eq!(small_factors(1 << 127), (vec![2; 127], 1));
        assert_eq!(small_factors(720), (vec![2, 2, 2, 2, 3, 3, 5], 1));
        assert_eq!(small_factors(997 * 997 * 10_007), (vec![997, 997], 10_007));
        assert_eq!(
            small_factors(u128::MAX),
            (
                vec![3, 5, 17, 257, 641],
                65_537 * 6_700_417 * 274_177 * 67_280_421_310_721
            )
        );
    }

    #[test]
    fn trial_division_pauses_and_goes_on() {
        let rest = Natural::from(700_001u32).pow(20);
        let mut trial = Trial::new(Natural::from(720u16) * Natural::from(65_521u32) * &rest);
        while !trial.advance(|| true) {}
        let expected: Vec<Natural> = [2u32, 2, 2, 2, 3, 3, 5, 65_521].map(Natural::from).into();
        assert_eq!((trial.factors, trial.rest), (expected, rest));
    }

    #[test]
    fn trial_division_pauses_after_every_factor() {
        let rest = Natural::from(700_001u32);
        let mut trial = Trial::new(Natural::from(3u8).pow(100) * &rest);
        let mut pauses = 0;
        while !trial.advance(|| true) {
            pauses += 1;
        }
        assert_eq!((trial.factors.len(), trial.rest), (100, rest));
        assert!(pauses > 100);
    }

    #[test]
    fn every_root_modulo_a_power_of_two_is_found() {
        for exponent in [3, 5, 7, 61, 1_009] {
            for root in (1..400u128).step_by(2).chain([(1 << 80) + 13, u128::MAX]) {
                let n = Natural::from(root).pow(exponent);
                assert_eq!(possible_root(&n, exponent as u64), Natural::from(root), "{exponent}");
            }
        }
    }

    fn power(n: Natural) -> Option<(Natural, usize)> {
        let mut powers = Powers::new(n);
        loop {
            if let Some(power) = powers.advance(|| true) {
                return power;
            }
        }
    }

    #[test]
    fn no_power_is_taken_for_none_and_hardly_any_other_number_for_one() {
        for exponent in [2, 3, 5, 7, 11, 13, 31, 61, 97, 1_009, 2_003] {
            let (mut passed, mut tried) = (0, 0);
            for base in (2..200_u32).chain([65_537, 4_294_967_291]) {
                let power = Natural::from(base).pow(exponent);
                assert!(may_be_power(&power, exponent as u64), "{base}^{exponent}");
                passed += usize::from(may_be_power(&(power + 2u8), exponent as u64));
                tried += 1;
            }
            assert!(passed <= 1 + tried / 30, "{passed} of {tried} pass for {exponent}");
        }
    }

    #[test]
    fn powers_are_seen() {
        for (root, exponent) in [
            ((1u128 << 64) - 59, 2),
            (6_981_463_658_279, 3),
            (1009, 11),
            (319_557, 7),
            (50_859_001, 5),
            ((1 << 89) - 1, 31),
            // Almost the longest number that can be asked for.
            (1_000_003, 1_657),
            ((1 << 127) - 1, 257),
        ] {
            let n = Natural::from(root).pow(exponent);
            assert_eq!(power(n.clone()), Some((Natural::from(root), exponent)));
            assert_eq!(power(n - 1u8), None);
        }
        assert_eq!(
            power(Natural::from(1013u16).pow(6)),
            Some((Natural::from(1013u16).pow(3), 2))
        );
    }
}
