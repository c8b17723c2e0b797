//! The text of a proof: that of PARI's `primecert(n, 1)` if it stands on `n - 1` alone, with two more components if it
//! does not.

use super::plus::is_discriminant;
use super::{DEEPEST, Natural, Parts, Proof, Witnessed, is_small, part_of};
use crate::primes::primality::is_prime_u64;
use dashu_int::ops::BitTest;
use std::fmt::Write;

/// The certificate of `n`, given the proofs of it and of all primes in them that are not small: `[n,[p,..]]`, where `p`
/// is a prime below 2^64, or `[p,a,certificate of p]`. With primes of `n + 1`: `[n,[p,..],d,[q,..]]`, where the first
/// list may be empty, and `q` is written as `p`.
pub(crate) fn written(n: &Natural, proofs: &[Proof]) -> String {
    let mut text = String::new();
    write_number(&mut text, n, proofs);
    text
}

fn write_number(text: &mut String, n: &Natural, proofs: &[Proof]) {
    let Some(proof) = proofs.iter().find(|proof| proof.n == *n && !is_small(n)) else {
        let _ = write!(text, "{n}");
        return;
    };
    let _ = write!(text, "[{n},");
    write_primes(text, &proof.minus, proofs);
    if !proof.plus.is_empty() {
        let _ = write!(text, ",{},", proof.d);
        write_primes(text, &proof.plus, proofs);
    }
    text.push(']');
}

fn write_primes(text: &mut String, primes: &[Witnessed], proofs: &[Proof]) {
    for (index, (p, witness)) in primes.iter().enumerate() {
        text.push(if index > 0 { ',' } else { '[' });
        if is_small(p) {
            let _ = write!(text, "{p}");
        } else {
            let _ = write!(text, "[{p},{},", witness.unwrap_or_default());
            write_number(text, p, proofs);
            text.push(']');
        }
    }
    text.push_str(if primes.is_empty() { "[]" } else { "]" });
}

/// Reads a certificate: the number, and what has to be shown. `None` if it is none, or if it is plain from the text
/// that it proves nothing.
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

    fn word(&mut self) -> Option<u64> {
        u64::try_from(self.number()?).ok()
    }

    /// The number that is certified. A number alone is its own certificate, if it is small.
    fn certificate(&mut self, depth: usize) -> Option<Natural> {
        if self.rest.first() != Some(&b'[') {
            let n = self.word()?;
            return is_prime_u64(n).then(|| n.into());
        }
        self.take(b'[')?;
        let n = self.number().filter(|n| n.bit(0) && *n > Natural::ONE)?;
        self.take(b',')?;
        let (minus, minus_part) = self.primes(depth, &n - 1u8)?;
        let (mut d, mut plus, mut plus_part) = (0, Vec::new(), Natural::ONE);
        if self.take(b',').is_some() {
            d = u32::try_from(self.number()?).ok()?;
            self.take(b',')?;
            (plus, plus_part) = self.primes(depth, &n + 1u8)?;
            if plus.is_empty() || !is_discriminant(d, &n) {
                return None;
            }
        }
        self.take(b']')?;
        let parts = Parts {
            minus: minus_part,
            plus: plus_part,
        };
        parts.suffice(&n).then(|| {
            self.proofs.push(Proof {
                n: n.clone(),
                minus,
                d,
                plus,
            });
            n
        })
    }

    /// A list of different primes, in brackets, that divide a number; and the part of it that is made of them.
    ///
    /// Each has to divide what those before it leave: so none is there twice, and there are no more of them than the
    /// number has bits, however long the text is.
    fn primes(&mut self, depth: usize, number: Natural) -> Option<(Vec<Witnessed>, Natural)> {
        self.take(b'[')?;
        let (mut primes, mut part, mut rest) = (Vec::new(), Natural::ONE, number);
        if self.take(b']').is_some() {
            return Some((primes, part));
        }
        loop {
            let prime = match self.rest.first() {
                Some(b'[') if depth < DEEPEST => {
                    self.take(b'[')?;
                    let p = self.number()?;
                    self.take(b',')?;
                    let witness = self.word()?;
                    self.take(b',')?;
                    let certified = self.certificate(depth + 1)?;
                    self.take(b']')?;
                    (certified == p).then_some((p, Some(witness)))?
                }
                _ => {
                    let p = self.word()?;
                    is_prime_u64(p).then_some((p.into(), None))?
                }
            };
            let power = part_of(rest.clone(), [prime.0.clone()]);
            if power == Natural::ONE {
                return None;
            }
            rest /= &power;
            part *= power;
            primes.push(prime);
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some((primes, part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Whether each is another one than those before it takes a time that grows with the square of their number.
    #[test]
    fn primes_that_divide_nothing_are_refused_before_the_next_one_is_read() {
        let n = Natural::from(10u8).pow(200) + 1u8;
        let mut reader = Reader {
            rest: b"[2,5,3,7,11]",
            longest: 300,
            proofs: Vec::new(),
        };
        assert_eq!(reader.primes(0, n - 1u8), None);
        assert_eq!(reader.rest, b",7,11]");
    }

    #[test]
    fn two_more_components_are_for_primes_of_the_number_above() {
        // 2^89 - 1: (3/n) = -1, (7/n) = 1. 3 divides n - 1, and not n + 1.
        let good = "[618970019642690137449562111,[],3,[2]]";
        let (n, proofs) = read(good, 100).expect("it is one");
        assert_eq!((written(&n, &proofs).as_str(), proofs.len()), (good, 1));
        assert!(read("[618970019642690137449562111,[3,2],3,[2]]", 100).is_some());
        for bad in [
            "[618970019642690137449562111,[],7,[2]]",
            "[618970019642690137449562111,[],2,[2]]",
            "[618970019642690137449562111,[],1,[2]]",
            "[618970019642690137449562111,[],0,[2]]",
            "[618970019642690137449562111,[],-3,[2]]",
            "[618970019642690137449562111,[],4294967299,[2]]",
            "[618970019642690137449562111,[],3,[]]",
            "[618970019642690137449562111,[],3,[2,2]]",
            "[618970019642690137449562111,[],3,[2,3]]",
            "[618970019642690137449562111,[],3,[4]]",
            "[618970019642690137449562111,[2,3],3,[]]",
            "[618970019642690137449562111,[],3]",
            "[618970019642690137449562111,3,[2]]",
            "[618970019642690137449562111,[],3,[2],5,[2]]",
            "[618970019642690137449562113,[],3,[2]]",
            "[618970019642690137449562112,[],3,[2]]",
        ] {
            assert_eq!(read(bad, 100), None, "{bad}");
        }
    }
}
