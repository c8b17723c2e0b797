//! A family of polynomials with one leading coefficient: sieved one after the other for relations.
//!
//! Knows nothing of other families. Start at [`Choice::next`] and [`Family::advance`].

use super::base::{Base, SMALLEST_SIEVED, SPECIAL};
use std::collections::HashSet;
use std::sync::Arc;

/// `x` goes from `-HALF` to `HALF - 1`: bytes that stay in a first-level cache of 32 KiB.
const HALF: usize = 1 << 14;

/// A value all of whose factors are known: `root^2 = product of the columns' primes * large^parity mod n`.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// `a x + b`, as an element of the base's ring.
    pub(super) root: u128,
    /// The columns of its prime factors, with repetition.
    pub(super) columns: Vec<u16>,
    /// The prime beyond the base, or 1.
    pub(super) large: u64,
}

/// Chooses leading coefficients: products of primes of the base close to `sqrt(2 k n) / HALF`, no two the same.
#[derive(Debug)]
pub(crate) struct Choice {
    base: Arc<Base>,
    target: f64,
    /// How many primes a coefficient has.
    factors: usize,
    /// The part of the base they come from.
    pool: std::ops::Range<usize>,
    chosen: HashSet<Vec<usize>>,
    random: u64,
}

impl Choice {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        let target = ((base.log_multiple + 1.0) / 2.0).exp2() / HALF as f64;
        let largest = f64::from(base.primes[base.primes.len() - 1]);
        // Few and large primes would leave few polynomials to a coefficient, small ones take themselves out of the sieving.
        let mut factors = 2;
        while target.powf(1.0 / factors as f64) > largest / 2.5 {
            factors += 1;
        }
        let mean = target.powf(1.0 / factors as f64);
        let middle = base.primes.partition_point(|p| f64::from(*p) < mean);
        let width = (base.primes.len() / 5).clamp(8, 40);
        let low = middle.saturating_sub(width).max(2);
        let pool = low..(middle + width).min(base.primes.len()).max(low + 2);
        Self {
            base,
            target,
            factors,
            pool,
            chosen: HashSet::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The next family. `None` if no other coefficient is near: then the number is too small for this method. Some microseconds.
    pub(crate) fn next(&mut self) -> Option<Family> {
        let mut best: Option<(f64, Vec<usize>)> = None;
        // More tries the more coefficients of good size are taken already.
        for attempt in 0..400 {
            let Some((error, indices)) = self.attempt() else {
                continue;
            };
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, indices));
            }
            if attempt >= 7 && best.is_some() {
                break;
            }
        }
        let (_, indices) = best?;
        self.chosen.insert(indices.clone());
        Some(Family {
            base: Arc::clone(&self.base),
            indices,
            started: None,
        })
    }

    /// Random primes but for the last, which is the one that brings the product closest to the target.
    fn attempt(&mut self) -> Option<(f64, Vec<usize>)> {
        let primes = &self.base.primes;
        let mut indices = Vec::with_capacity(self.factors);
        let mut left = self.target;
        while indices.len() + 1 < self.factors {
            // Xorshift (G. Marsaglia, 2003).
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let index = self.pool.start + (self.random % self.pool.len() as u64) as usize;
            if !indices.contains(&index) {
                indices.push(index);
                left /= f64::from(primes[index]);
            }
        }
        let last = primes.partition_point(|p| f64::from(*p) < left);
        let last = [last, last.saturating_sub(1)]
            .into_iter()
            .find(|i| (2..primes.len()).contains(i) && !indices.contains(i))?;
        indices.push(last);
        indices.sort_unstable();
        let error = (f64::from(primes[last]) / left).ln().abs();
        (error < 1.5 && !self.chosen.contains(&indices)).then_some((error, indices))
    }
}

/// The polynomials of one leading coefficient, those sieved already behind it.
#[derive(Debug)]
pub(crate) struct Family {
    base: Arc<Base>,
    /// Which primes of the base make up the coefficient.
    indices: Vec<usize>,
    started: Option<Box<Started>>,
}

/// A family whose sieve is set up.
#[derive(Debug)]
struct Started {
    a: i64,
    b: i64,
    /// Changing the sign of a summand `B` changes `b` by `2 B`.
    summands: Vec<i64>,
    /// By how much `2 B` moves the zeros modulo each prime.
    moves: Vec<Vec<u32>>,
    /// The zeros of the polynomial modulo each prime, counted from `x = -HALF`.
    first: Vec<u32>,
    second: Vec<u32>,
    /// Polynomials sieved.
    done: u32,
    bytes: Vec<u8>,
}

impl Family {
    /// Sieves polynomial after polynomial until none are left or `over`, asked after each (some 30 microseconds). True if none are left.
    pub(crate) fn advance(&mut self, found: &mut Vec<Relation>, mut over: impl FnMut() -> bool) -> bool {
        let base = Arc::clone(&self.base);
        let mut started = self
            .started
            .take()
            .unwrap_or_else(|| Box::new(Started::new(&base, &self.indices)));
        let count = 1 << (self.indices.len() - 1);
        loop {
            started.sieve(&base);
            started.harvest(&base, &self.indices, found);
            started.done += 1;
            if started.done == count {
                return true;
            }
            started.next_polynomial(&base, &self.indices);
            if over() {
                self.started = Some(started);
                return false;
            }
        }
    }
}

/// `a^-1 mod p` for a prime `p` that does not divide `a`.
fn inverse(a: u32, p: u32) -> u32 {
    let (mut r0, mut r1) = (i64::from(p), i64::from(a));
    let (mut t0, mut t1) = (0, 1);
    while r1 != 0 {
        let quotient = r0 / r1;
        (r0, r1) = (r1, r0 - quotient * r1);
        (t0, t1) = (t1, t0 - quotient * t1);
    }
    t0.rem_euclid(i64::from(p)) as u32
}

fn residue(a: i64, p: u32) -> u64 {
    a.rem_euclid(i64::from(p)) as u64
}

impl Started {
    fn new(base: &Base, indices: &[usize]) -> Self {
        let a: i64 = indices.iter().map(|i| i64::from(base.primes[*i])).product();
        // B = (a / q) (root (a / q)^-1 mod q): its square is k n modulo q and 0 modulo the others.
        let summand = |i: &usize| {
            let q = base.primes[*i];
            let cofactor = a / i64::from(q);
            let inverse = u64::from(inverse(residue(cofactor, q) as u32, q));
            cofactor * (u64::from(base.roots[*i]) * inverse % u64::from(q)) as i64
        };
        let summands: Vec<i64> = indices.iter().map(summand).collect();
        let b = summands.iter().sum();
        let count = base.primes.len();
        let mut moves = vec![vec![0; count]; summands.len()];
        let (mut first, mut second) = (vec![0; count], vec![0; count]);
        for (i, p) in base.primes.iter().copied().enumerate() {
            if indices.contains(&i) {
                continue;
            }
            let a_inverse = u64::from(inverse(residue(a, p) as u32, p));
            let modulus = u64::from(p);
            for (moves, summand) in moves.iter_mut().zip(&summands) {
                moves[i] = (2 * residue(*summand, p) % modulus * a_inverse % modulus) as u32;
            }
            // a x + b = +-root mod p.
            let (b, root) = (residue(b, p), u64::from(base.roots[i]));
            let zero = |root: u64| ((root + modulus - b) * a_inverse + HALF as u64) % modulus;
            first[i] = zero(root) as u32;
            second[i] = zero(modulus - root) as u32;
        }
        let mut started = Self {
            a,
            b,
            summands,
            moves,
            first,
            second,
            done: 0,
            bytes: vec![0; 2 * HALF],
        };
        started.silence(indices);
        started
    }

    /// The primes of `a` have one zero or none; they are not sieved by.
    fn silence(&mut self, indices: &[usize]) {
        for i in indices {
            (self.first[*i], self.second[*i]) = (u32::MAX, u32::MAX);
        }
    }

    /// The next `b` in the order of a Gray code: one summand changes its sign (Contini, section 3.2).
    fn next_polynomial(&mut self, base: &Base, indices: &[usize]) {
        let which = self.done.trailing_zeros() as usize;
        // Bit `which + 1` of the counter alternates between taking the summand away and bringing it back.
        let away = self.done >> (which + 1) & 1 == 0;
        let change = 2 * self.summands[which];
        self.b += if away { -change } else { change };
        let zeros = self.first.iter_mut().zip(&mut self.second);
        for (((first, second), p), step) in zeros.zip(&base.primes).zip(&self.moves[which]) {
            // x = (+-root - b) / a moves against b. Of a sum and the sum less p, the one in range is the smaller as unsigned numbers.
            let step = if away { *step } else { p - step };
            let moved = |zero: u32| {
                let sum = zero.wrapping_add(step);
                sum.min(sum.wrapping_sub(*p))
            };
            (*first, *second) = (moved(*first), moved(*second));
        }
        self.silence(indices);
    }

    fn sieve(&mut self, base: &Base) {
        // Bytes start so that those that reach 128 are worth a closer look: what may be missing is a large prime and the primes that are not
        // sieved by, whose mean part of a value is some bits.
        let size = base.log_multiple / 2.0 - 0.5 + (HALF as f64).log2();
        let missing = (base.large_limit as f64).log2() + SLACK_BITS;
        let start = 128 - (size - missing).clamp(1.0, 127.0) as u8;
        let bytes = self.bytes.as_mut_slice();
        bytes.fill(start);
        let zeros = self.first.iter().zip(&self.second);
        for (((first, second), p), log) in zeros.zip(&base.primes).zip(&base.logs).skip(base.first_sieved) {
            let (mut near, mut far) = ((*first).min(*second) as usize, (*first).max(*second) as usize);
            let p = *p as usize;
            while far < bytes.len() {
                bytes[near] = bytes[near].wrapping_add(*log);
                bytes[far] = bytes[far].wrapping_add(*log);
                near += p;
                far += p;
            }
            if near < bytes.len() {
                bytes[near] = bytes[near].wrapping_add(*log);
            }
        }
    }

    fn harvest(&self, base: &Base, indices: &[usize], found: &mut Vec<Relation>) {
        const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
        for (word, bytes) in self.bytes.as_chunks::<8>().0.iter().enumerate() {
            let mut marks = u64::from_le_bytes(*bytes) & HIGH_BITS;
            while marks != 0 {
                let offset = 8 * word + marks.trailing_zeros() as usize / 8;
                marks &= marks - 1;
                found.extend(self.relation(base, indices, offset));
            }
        }
    }

    /// The relation at an offset, if there is one: the value is divided by all primes that have a zero there.
    fn relation(&self, base: &Base, indices: &[usize], offset: usize) -> Option<Relation> {
        let x = offset as i64 - HALF as i64;
        let root = i128::from(self.a) * i128::from(x) + i128::from(self.b);
        // a v = root^2 - k n. The division is exact and its result short, so the low 128 bits tell all.
        let square = root.wrapping_mul(root);
        let value = (square as u128)
            .wrapping_sub(base.multiple)
            .wrapping_mul(inverse_mod_2_128(self.a as u128)) as i128;
        let mut left = value.unsigned_abs();
        if left == 0 {
            return None;
        }
        let mut columns: Vec<u16> = Vec::with_capacity(32);
        if value < 0 {
            columns.push(0);
        }
        columns.extend(std::iter::repeat_n(1, left.trailing_zeros() as usize));
        left >>= left.trailing_zeros();
        for (i, divisor) in base.divisors.iter().enumerate() {
            divide(&mut left, *divisor, SPECIAL + i, &mut columns);
        }
        for i in indices {
            columns.push(base.column_of(*i) as u16);
            divide(&mut left, base.primes[*i], base.column_of(*i), &mut columns);
        }
        let offset = offset as u32;
        let zeros = self.first.iter().zip(&self.second);
        for (i, ((first, second), (p, magic))) in zeros.zip(base.primes.iter().zip(&base.magic)).enumerate() {
            let quotient = ((u64::from(offset) * u64::from(*magic)) >> 32) as u32;
            let residue = offset - quotient * p;
            if residue == *first || residue == *second {
                divide(&mut left, *p, base.column_of(i), &mut columns);
            }
        }
        let large = u64::try_from(left).ok().filter(|large| *large < base.large_limit)?;
        let root = super::linear::element(base, root);
        Some(Relation { root, columns, large })
    }
}

/// Bits that the primes below [`SMALLEST_SIEVED`] have in a value that is worth it.
const SLACK_BITS: f64 = 6.0;
const _: () = assert!(SMALLEST_SIEVED < 64);

fn divide(left: &mut u128, p: u32, column: usize, columns: &mut Vec<u16>) {
    // Dividing a word is several times as fast as dividing a double word.
    if let Ok(mut word) = u64::try_from(*left) {
        while word.is_multiple_of(p.into()) {
            word /= u64::from(p);
            columns.push(column as u16);
        }
        *left = word.into();
    } else {
        while left.is_multiple_of(p.into()) {
            *left /= u128::from(p);
            columns.push(column as u16);
        }
    }
}

/// `a^-1 mod 2^128` of an odd `a`, by Newton's method: `a a = 1 mod 8`, and each step doubles the correct bits.
fn inverse_mod_2_128(a: u128) -> u128 {
    (0..6).fold(a, |inverse, _| {
        inverse.wrapping_mul(2u128.wrapping_sub(a.wrapping_mul(inverse)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::factor::quadratic::linear;
    use crate::primes::primality::ring::Ring;

    #[test]
    fn relations_hold_and_coefficients_differ() {
        for n in [
            ((1u128 << 40) + 15) * ((1 << 39) + 23),
            ((1 << 52) + 21) * ((1 << 53) + 5),
            340_282_366_920_938_463_463_374_607_431_768_211_297 / 3,
        ] {
            let base = Arc::new(Base::new(n | 1));
            let mut choice = Choice::new(Arc::clone(&base));
            let mut found = Vec::new();
            for _ in 0..20 {
                let mut family = choice.next().expect("many coefficients");
                while !family.advance(&mut found, || true) {}
            }
            assert_eq!(choice.chosen.len(), 20);
            assert!(found.len() > 20, "{n}: {}", found.len());
            for relation in &found {
                let product = relation.columns.iter().fold(base.ring.one(), |product, column| {
                    base.ring.scale(&product, base.prime_of((*column).into()))
                });
                let product = base.ring.mul(&product, &linear::element(&base, relation.large.into()));
                assert_eq!(base.ring.square(&relation.root), product, "{n}");
            }
        }
    }
}
