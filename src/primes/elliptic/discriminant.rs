//! Fundamental discriminants of imaginary quadratic fields, their class numbers, the reduced forms that represent the
//! classes, and the genera that these are in.
//!
//! Sources: Cohen, "A Course in Computational Algebraic Number Theory", section 5.3; for the genera D. A. Cox, "Primes
//! of the form x^2 + n y^2", sections 3 and 6.

use super::modulus::jacobi;
use crate::primes::Natural;

/// Discriminants are above `-LIMIT`.
const LIMIT: u32 = 50_000;

/// The prime discriminants that others above `-LIMIT` may be products of: an odd prime has one, and there are -4, 8 and
/// -8.
pub(crate) const MOST_PARTS: u64 = 5_135;

/// Classes in a genus of a discriminant that is used: the degree of the polynomial whose zero is looked for.
const MOST_IN_GENUS: u16 = 50;

/// A fundamental discriminant `-d` with its class number `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Discriminant {
    pub(crate) d: u32,
    pub(crate) h: u16,
}

/// A reduced form `a x^2 + b x y + c y^2` with `b >= 0`, or two: `(a, -b, c)` may be of another class, in the same
/// genus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) a: u32,
    pub(super) b: u32,
    /// Whether `(a, -b, c)` is of another class.
    pub(super) is_double: bool,
    /// Bit `i` is set if the character of prime discriminant `i` is -1, for all of them but the last: their product is
    /// 1.
    pub(super) genus: usize,
}

/// The discriminants in the order in which they are tried: by the work that one takes until it serves. A prime that is
/// a square modulo all parts is a norm with the chance of one in the classes of a genus, and each attempt takes a root;
/// the zero of the polynomial of a genus takes the square of its classes, but once a step. The proportion is as
/// measured. Takes some milliseconds.
pub(crate) fn table() -> Vec<Discriminant> {
    let mut classes = vec![0u16; LIMIT as usize];
    for_forms(LIMIT, |a, b, c| {
        // (a, b, c) and (a, -b, c) are different classes unless one of these holds.
        let count = if b == 0 || b == a || a == c { 1 } else { 2 };
        classes[(4 * a * c - b * b) as usize] += count;
    });
    let mut has_square = vec![false; LIMIT as usize];
    for square in (3u32..).step_by(2).map(|p| p * p).take_while(|square| *square < LIMIT) {
        for multiple in (square..LIMIT).step_by(square as usize) {
            has_square[multiple as usize] = true;
        }
    }
    // An odd one is 1 modulo 4; the quarter of an even one is 2 or 3.
    let is_fundamental = |d: &u32| match d % 4 {
        3 => !has_square[*d as usize],
        0 => matches!(d / 4 % 4, 1 | 2) && !has_square[*d as usize],
        _ => false,
    };
    let mut table: Vec<(u32, Discriminant)> = (3..LIMIT)
        .filter(is_fundamental)
        .filter_map(|d| {
            let h = classes[d as usize];
            let in_genus = h >> (prime_discriminants(d).len() - 1);
            let work = 32 * u32::from(in_genus) + u32::from(in_genus).pow(2);
            (in_genus <= MOST_IN_GENUS).then_some((work, Discriminant { d, h }))
        })
        .collect();
    table.sort_by_key(|(work, discriminant)| (*work, discriminant.d));
    table.into_iter().map(|(_, discriminant)| discriminant).collect()
}

/// All reduced forms `(a, b, c)` with `b >= 0` and `4 a c - b^2 < limit`.
fn for_forms(limit: u32, mut f: impl FnMut(u32, u32, u32)) {
    for a in 1.. {
        if 3 * a * a >= limit {
            return;
        }
        for b in 0..=a {
            for c in a..=(limit - 1 + b * b) / (4 * a) {
                f(a, b, c);
            }
        }
    }
}

/// The reduced forms of the discriminant `-d`, which is the product of these prime discriminants.
pub(super) fn forms(d: u32, parts: &[i64]) -> Vec<Form> {
    let mut forms = Vec::new();
    for b in (d % 2..).step_by(2).take_while(|b| 3 * b * b <= d) {
        let product = (b * b + d) / 4;
        let first = b.max(1);
        for a in (first..).take_while(|a| a * a <= product) {
            if product.is_multiple_of(a) {
                let c = product / a;
                forms.push(Form {
                    a,
                    b,
                    is_double: b != 0 && b != a && a != c,
                    genus: genus(parts, [a, c, a + b + c]),
                });
            }
        }
    }
    forms
}

/// The genus of a form that represents these numbers, one of which at least is coprime to any prime.
fn genus(parts: &[i64], numbers: [u32; 3]) -> usize {
    // The symbol of a prime discriminant over a number; for an odd one by the law of reciprocity.
    let symbol = |part: i64, number: u32| match part % 2 {
        0 if number.is_multiple_of(2) => 0,
        0 => jacobi(part, &Natural::from(number)),
        _ => jacobi(number.into(), &Natural::from(part.unsigned_abs())),
    };
    let is_negative = |part: i64| {
        numbers
            .iter()
            .map(|number| symbol(part, *number))
            .find(|symbol| *symbol != 0)
            == Some(-1)
    };
    let characters = parts.split_last().map_or(&[][..], |(_, characters)| characters);
    characters
        .iter()
        .enumerate()
        .map(|(i, part)| usize::from(is_negative(*part)) << i)
        .sum()
}

/// The prime discriminants whose product is `-d`: a prime that splits in the field is a square modulo each.
pub(crate) fn prime_discriminants(d: u32) -> Vec<i64> {
    let mut rest = d >> d.trailing_zeros();
    let mut parts = Vec::new();
    let mut product = 1i64;
    let mut p = 3;
    while rest > 1 {
        if p * p > rest {
            p = rest;
        }
        if rest.is_multiple_of(p) {
            rest /= p;
            parts.push(if p % 4 == 1 { i64::from(p) } else { -i64::from(p) });
            product *= parts[parts.len() - 1];
        }
        p += 2;
    }
    // What is missing is 1, -4, 8 or -8.
    let two = -i64::from(d) / product;
    parts.extend((two != 1).then_some(two));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn class_numbers_are_those_on_record() {
        let table = table();
        // A014602, the discriminants of class number 1; A014603, the first of class number 2.
        let of = |h: u16| -> Vec<u32> { table.iter().filter(|one| one.h == h).map(|one| one.d).collect() };
        assert_eq!(of(1), [3, 4, 7, 8, 11, 19, 43, 67, 163]);
        assert_eq!(of(2)[..6], [15, 20, 24, 35, 40, 51]);
        assert_eq!(of(2).len(), 18);
        assert_eq!(of(3).len(), 16);
        let parts: BTreeSet<i64> = table.iter().flat_map(|one| prime_discriminants(one.d)).collect();
        assert!(parts.len() as u64 <= MOST_PARTS, "{}", parts.len());
        for one in &table {
            let parts = prime_discriminants(one.d);
            assert_eq!(parts.iter().product::<i64>(), -i64::from(one.d));
            // Every genus has as many classes.
            let mut classes = vec![0; 1 << (parts.len() - 1)];
            for form in forms(one.d, &parts) {
                classes[form.genus] += 1 + u16::from(form.is_double);
            }
            assert_eq!(classes, vec![one.h / classes.len() as u16; classes.len()], "{one:?}");
        }
    }
}
