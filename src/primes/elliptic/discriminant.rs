//! Fundamental discriminants of imaginary quadratic fields, their class numbers, and the reduced forms that represent
//! the classes.
//!
//! Source: Cohen, "A Course in Computational Algebraic Number Theory", section 5.3.

/// Discriminants are above `-LIMIT`.
const LIMIT: u32 = 50_000;

/// The prime discriminants that others above `-LIMIT` may be products of: an odd prime has one, and there are -4, 8 and
/// -8.
pub(crate) const MOST_PARTS: u64 = 5_135;

/// Classes of a discriminant that is used: the degree of its polynomial.
const MOST_CLASSES: u16 = 100;

/// A fundamental discriminant `-d` with its class number `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Discriminant {
    pub(crate) d: u32,
    pub(crate) h: u16,
}

/// The discriminants in the order in which they are tried: by the work that one takes until it serves. A prime that is
/// a square modulo all parts is a norm with the chance of one in the classes of a genus, and each attempt takes a root;
/// the zero of the class polynomial takes the square of the classes, but once a step. The proportion is as measured.
/// Takes some milliseconds.
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
    let mut table: Vec<Discriminant> = (3..LIMIT)
        .filter(is_fundamental)
        .map(|d| Discriminant {
            d,
            h: classes[d as usize],
        })
        .filter(|discriminant| discriminant.h <= MOST_CLASSES)
        .collect();
    let work = |Discriminant { d, h }: &Discriminant| {
        let (h, genera) = (u32::from(*h), 1 << (prime_discriminants(*d).len() - 1));
        (32 * h / genera + h * h, *d)
    };
    table.sort_by_cached_key(work);
    table
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

/// The reduced forms `(a, b)` of the discriminant `-d` with `b >= 0`; and whether `(a, -b)` is another one.
pub(super) fn forms(d: u32) -> Vec<(u32, u32, bool)> {
    let mut forms = Vec::new();
    for b in (d % 2..).step_by(2).take_while(|b| 3 * b * b <= d) {
        let product = (b * b + d) / 4;
        let first = b.max(1);
        for a in (first..).take_while(|a| a * a <= product) {
            if product.is_multiple_of(a) {
                forms.push((a, b, b != 0 && b != a && a * a != product));
            }
        }
    }
    forms
}

/// The prime discriminants whose product is `-d`: a prime that splits in the field is a square modulo each.
pub(super) fn prime_discriminants(d: u32) -> Vec<i64> {
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
            let classes: u16 = forms(one.d)
                .iter()
                .map(|(_, _, is_double)| 1 + u16::from(*is_double))
                .sum();
            assert_eq!(classes, one.h, "{one:?}");
            assert_eq!(prime_discriminants(one.d).iter().product::<i64>(), -i64::from(one.d));
        }
    }
}
