//! Proofs that a number is prime by factors of the number below it, in the form that PARI/GP prints and checks.
//!
//! The theorem is that of H. C. Pocklington (1914) with the bound of J. Brillhart, D. H. Lehmer and J. L. Selfridge, "New primality criteria and
//! factorizations of 2^m +- 1", Math. Comp. 29 (1975), in the shape of R. Crandall, C. Pomerance, *Prime Numbers*, theorems 4.1.3 and 4.1.5:
//! let `F` divide `n - 1`, of known primes, and for each of them let there be an `a` with `a^(n-1) = 1` and `gcd(a^((n-1)/p) - 1, n) = 1`. Then
//! `n` is prime if `F^2 >= n`; or if `F^3 >= n` and, with `n = c F^2 + b F + 1`, `b^2 - 4c` is not a square.
//!
//! Knows no slice: a [`Witness`] is looked for until it is there or the caller has enough.

use super::primality::is_prime_u64;
use super::{Natural, known};
use dashu_int::fast_div::ConstDivisor;
use dashu_int::ops::{BitTest, Gcd, SquareRoot};
use std::fmt::Write;
use std::sync::Arc;

/// Bases that are tried as witnesses: for a prime `n` a base fails once in p times.
const MOST_BASE: u64 = 10_000;

/// Certificates within certificates: each is for a number of at most half the length or so; no proof is deeper.
const DEEPEST: usize = 64;

/// One number of a proof: that it is prime if the primes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) n: Natural,
    /// Primes that divide `n - 1`, and a witness for each, if it is known.
    pub(crate) primes: Vec<(Natural, Option<u64>)>,
}

/// True for numbers that need no proof but a test that is one.
pub(crate) fn is_small(n: &Natural) -> bool {
    n.bit_len() <= 64
}

/// The part of `n - 1` that is made of these primes.
fn known_part(n: &Natural, primes: impl IntoIterator<Item = Natural>) -> Natural {
    let mut rest = n - 1u8;
    let mut part = Natural::ONE;
    for p in primes {
        while p > Natural::ONE && (&rest % &p) == Natural::ZERO {
            rest /= &p;
            part *= &p;
        }
    }
    part
}

/// True if witnesses for these primes prove that `n` is prime.
pub(crate) fn suffices<'a>(n: &Natural, primes: impl IntoIterator<Item = &'a Natural>) -> bool {
    let part = known_part(n, primes.into_iter().cloned());
    let square = &part * &part;
    if square >= *n {
        return true;
    }
    if &square * &part < *n {
        return false;
    }
    let quotient = (n - 1u8) / &part;
    let (c, b) = (&quotient / &part, &quotient % &part);
    let (left, right) = (&b * &b, c * 4u8);
    left < right || {
        let difference = left - right;
        let root = difference.sqrt();
        &root * &root != difference
    }
}

/// Looks for a witness of one prime.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    n: Arc<Natural>,
    prime: Natural,
    base: u64,
    /// No other base is tried.
    is_fixed: bool,
    /// The base to the power of the bits of the exponent from `next` up; then that to the power of the prime.
    power: Natural,
    next: usize,
    last: Option<(Natural, usize)>,
}

impl Witness {
    /// For a prime that divides `n - 1`; `base` is the only one that is tried, if it is given.
    pub(crate) fn new(n: Arc<Natural>, prime: Natural, base: Option<u64>) -> Self {
        let mut witness = Self {
            n,
            prime,
            base: base.unwrap_or(2),
            is_fixed: base.is_some(),
            power: Natural::ONE,
            next: 0,
            last: None,
        };
        witness.begin();
        witness
    }

    fn begin(&mut self) {
        self.power = Natural::ONE;
        self.next = self.exponent().bit_len();
        self.last = None;
    }

    fn exponent(&self) -> Natural {
        (&*self.n - 1u8) / &self.prime
    }

    /// The witness; or that there is none, so that `n` is composite. `None` after `over`, which is asked after every multiplication.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<u64>> {
        let ring = ConstDivisor::new(Natural::clone(&self.n));
        let exponent = self.exponent();
        loop {
            if self.last.is_none() {
                let base = ring.reduce(self.base);
                let mut power = ring.reduce(std::mem::take(&mut self.power));
                while self.next > 0 {
                    self.next -= 1;
                    power = power.sqr();
                    if exponent.bit(self.next) {
                        power *= &base;
                    }
                    if over() {
                        self.power = power.residue();
                        return None;
                    }
                }
                self.power = power.residue();
                if self.power == Natural::ONE {
                    // This base is a power of the prime's exponent. Another one may not be.
                    match known::next(self.base).filter(|base| !self.is_fixed && *base < MOST_BASE) {
                        None => return Some(None),
                        Some(base) => self.base = base,
                    }
                    self.begin();
                    continue;
                }
                if self.power.is_zero() || (&self.power - 1u8).gcd(&*self.n) != Natural::ONE {
                    return Some(None);
                }
                self.last = Some((Natural::ONE, self.prime.bit_len()));
            }
            let (power, next) = self.last.take()?;
            let (base, mut power, mut next) = (ring.reduce(self.power.clone()), ring.reduce(power), next);
            while next > 0 {
                next -= 1;
                power = power.sqr();
                if self.prime.bit(next) {
                    power *= &base;
                }
                if next > 0 && over() {
                    self.last = Some((power.residue(), next));
                    return None;
                }
            }
            return Some((power.residue() == Natural::ONE).then_some(self.base));
        }
    }
}

/// The certificate of `n`, given the proofs of it and of all primes in them that are not small: `[n,[p,..]]`, where `p` is a prime below 2^64,
/// or `[p,a,certificate of p]`.
pub(crate) fn written(n: &Natural, proofs: &[Proof]) -> String {
    let mut text = String::new();
    write_number(&mut text, n, proofs);
    text
}

fn write_number(text: &mut String, n: &Natural, proofs: &[Proof]) {
    let proof = proofs.iter().find(|proof| proof.n == *n && !is_small(n));
    let _ = match proof {
        None => write!(text, "{n}"),
        Some(_) => write!(text, "[{n},["),
    };
    for (index, (p, witness)) in proof.iter().flat_map(|proof| &proof.primes).enumerate() {
        if index > 0 {
            text.push(',');
        }
        if is_small(p) {
            let _ = write!(text, "{p}");
        } else {
            let _ = write!(text, "[{p},{},", witness.unwrap_or_default());
            write_number(text, p, proofs);
            text.push(']');
        }
    }
    if proof.is_some() {
        text.push_str("]]");
    }
}

/// Reads a certificate: the number, and what has to be shown. `None` if it is none, or if it is plain from the text that it proves nothing.
pub(crate) fn read(text: &str, longest: usize) -> Option<(Natural, Vec<Proof>)> {
    let mut reader = Reader {
        rest: text.as_bytes(),
        longest,
        proofs: Vec::new(),
    };
    let n = reader.certificate(0)?;
    reader.rest.is_empty().then_some((n, reader.proofs))
}

struct Reader<'a> {
    rest: &'a [u8],
    /// The most digits of a number.
    longest: usize,
    proofs: Vec<Proof>,
}

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn number(&mut self) -> Option<Natural> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|_| (1..=self.longest).contains(&length))?;
        Natural::from_str_radix(digits, 10).ok()
    }

    /// The number that is certified. A number alone is its own certificate, if it is small.
    fn certificate(&mut self, depth: usize) -> Option<Natural> {
        if self.rest.first() != Some(&b'[') {
            let n = self.number()?;
            return u64::try_from(&n).is_ok_and(is_prime_u64).then_some(n);
        }
        self.take(b'[')?;
        let n = self.number()?;
        self.take(b',')?;
        self.take(b'[')?;
        let mut primes: Vec<(Natural, Option<u64>)> = Vec::new();
        loop {
            let prime = match self.rest.first() {
                Some(b'[') if depth < DEEPEST => {
                    self.take(b'[')?;
                    let p = self.number()?;
                    self.take(b',')?;
                    let witness = u64::try_from(self.number()?).ok()?;
                    self.take(b',')?;
                    let certified = self.certificate(depth + 1)?;
                    self.take(b']')?;
                    (certified == p).then_some((p, Some(witness)))?
                }
                _ => {
                    let p = self.number()?;
                    u64::try_from(&p).is_ok_and(is_prime_u64).then_some((p, None))?
                }
            };
            if primes.iter().any(|(p, _)| *p == prime.0) {
                return None;
            }
            primes.push(prime);
            match self.take(b',') {
                Some(()) => {}
                None => break,
            }
        }
        self.take(b']')?;
        self.take(b']')?;
        let is_odd = n.bit(0) && n > Natural::ONE;
        let divides = |(p, _): &(Natural, Option<u64>)| ((&n - 1u8) % p).is_zero();
        if !is_odd || !primes.iter().all(divides) || !suffices(&n, primes.iter().map(|(p, _)| p)) {
            return None;
        }
        self.proofs.push(Proof { n: n.clone(), primes });
        Some(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(n: u64, p: u64) -> Option<u64> {
        let mut witness = Witness::new(Arc::new(n.into()), p.into(), None);
        loop {
            if let Some(found) = witness.advance(|| true) {
                return found;
            }
        }
    }

    /// Proves small numbers by the theorem alone, with all or some of the primes of `n - 1`.
    #[test]
    fn exactly_the_primes_are_proved() {
        for n in (5..6000u64).step_by(2) {
            let primes: Vec<u64> = (2..n)
                .filter(|p| (n - 1).is_multiple_of(*p) && is_prime_u64(*p))
                .collect();
            for skip in 0..primes.len() {
                let used = &primes[skip..];
                let naturals: Vec<Natural> = used.iter().map(|p| Natural::from(*p)).collect();
                if suffices(&n.into(), &naturals) {
                    let has_all = used.iter().all(|p| witness(n, *p).is_some());
                    assert_eq!(has_all, is_prime_u64(n), "{n} {used:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let longest = 100;
        let good = "[84179922671405858693140447097,[2,17,[618970019642690137449562111,2,[618970019642690137449562111,[2,3,5,17,23,89,353,397,683,2113,2931542417]]]]]";
        let (n, proofs) = read(good, longest).expect("PARI wrote it");
        assert_eq!(
            (n.to_string().as_str(), proofs.len()),
            ("84179922671405858693140447097", 2)
        );
        assert_eq!(read("1000003", longest).map(|(n, _)| n), Some(1_000_003u32.into()));
        for bad in [
            "",
            "1000001",
            "[7,[2,3]",
            "[7,[2,3]]]",
            "[7,[2,4]]",
            "[7,[2,2]]",
            "[7,[]]",
            "[8,[7]]",
            "[91,[2,3]] ",
            "618970019642690137449562111",
            "[618970019642690137449562111,[2,3]]",
            &good.replace("2931542417", "2931542419"),
            &"[7,[2,[".repeat(10_000),
        ] {
            assert_eq!(read(bad, longest), None, "{bad:.80}");
        }
    }
}
