//! Fundamental discriminants of imaginary quadratic fields, their class numbers, the reduced forms that represent the
//! classes, and the genera that these are in.
//!
//! Sources: Cohen, "A Course in Computational Algebraic Number Theory", section 5.3; for the genera D. A. Cox, "Primes
//! of the form x^2 + n y^2", sections 3 and 6.

use super::modulus::jacobi;
use crate::primes::Natural;
use std::ops::Range;

/// The discriminants of a level are above minus this, and those of the next one beyond.
const LIMITS: [u32; LEVELS] = [50_000, 200_000, 800_000];

/// Classes in a genus of a discriminant that is used: the degree of the polynomial whose zero is looked for.
const MOST_IN_GENUS: u16 = 50;

/// How many levels there are. By the chances of each discriminant, one of 600 primes of 400 digits has no order for one
/// of the first level, and one of 100 of 616 digits; for one of any level one of 6,000 of 616 digits has none, and one
/// of 600 of 1,000 digits.
pub(crate) const LEVELS: usize = 3;

/// The prime discriminants that others may be products of: an odd prime has one, and there are -4, 8 and -8.
pub(crate) const MOST_PARTS: u64 = 63_953;

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

/// The table of the discriminants of a level, under way.
#[derive(Debug)]
pub(crate) struct Table {
    /// The first one, and the first one beyond.
    range: Range<u32>,
    /// The class numbers from the first one on, of the forms up to `a`.
    classes: Vec<u16>,
    a: u32,
    /// All before it were looked at.
    next: u32,
    /// The discriminants with their work.
    found: Vec<(u32, Discriminant)>,
}

impl Table {
    /// Begins that of a level below [`LEVELS`].
    pub(crate) fn new(level: usize) -> Self {
        let first = level.checked_sub(1).map_or(3, |before| LIMITS[before]);
        let range = first..LIMITS[level];
        Self {
            classes: vec![0; range.len()],
            a: 1,
            next: first,
            found: Vec::new(),
            range,
        }
    }

    /// The discriminants in the order in which they are tried: by the work that one takes until it serves. A prime that
    /// is a square modulo all parts is a norm with the chance of one in the classes of a genus, and each attempt takes
    /// a root; the zero of the polynomial of a genus takes the square of its classes, but once a step. The proportion
    /// is as measured. `None` after `over`, which is asked every few tenths of a millisecond.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Vec<Discriminant>> {
        while 3 * self.a * self.a < self.range.end {
            self.count_forms();
            self.a += 1;
            if over() {
                return None;
            }
        }
        while self.next < self.range.end {
            let end = self.range.end.min(self.next + 500);
            for d in self.next..end {
                self.look_at(d);
            }
            self.next = end;
            if over() {
                return None;
            }
        }
        self.found
            .sort_unstable_by_key(|(work, discriminant)| (*work, discriminant.d));
        Some(self.found.iter().map(|(_, discriminant)| *discriminant).collect())
    }

    /// Counts the reduced forms `(a, b, c)` with `b >= 0` of the discriminants in the range.
    fn count_forms(&mut self) {
        let (a, Range { start, end }) = (self.a, self.range.clone());
        for b in 0..=a {
            for c in a.max((start + b * b).div_ceil(4 * a))..=(end - 1 + b * b) / (4 * a) {
                // (a, b, c) and (a, -b, c) are different classes unless one of these holds.
                let count = if b == 0 || b == a || a == c { 1 } else { 2 };
                self.classes[(4 * a * c - b * b - start) as usize] += count;
            }
        }
    }

    /// Takes `-d` in, if it is fundamental.
    fn look_at(&mut self, d: u32) {
        // An odd one is 1 modulo 4; the quarter of an even one is 2 or 3. No odd square divides it.
        if d % 4 != 3 && !(d.is_multiple_of(4) && matches!(d / 4 % 4, 1 | 2)) {
            return;
        }
        let mut rest = d >> d.trailing_zeros();
        let mut parts = u32::from(d.is_multiple_of(2));
        let mut p = 3;
        while p * p <= rest {
            if rest.is_multiple_of(p) {
                rest /= p;
                parts += 1;
                if rest.is_multiple_of(p) {
                    return;
                }
            }
            p += 2;
        }
        parts += u32::from(rest > 1);
        let h = self.classes[(d - self.range.start) as usize];
        let in_genus = h >> (parts - 1);
        if in_genus <= MOST_IN_GENUS {
            let work = 32 * u32::from(in_genus) + u32::from(in_genus).pow(2);
            self.found.push((work, Discriminant { d, h }));
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
pub(super) fn table(level: usize) -> Vec<Discriminant> {
    Table::new(level).advance(|| false).expect("it does not pause")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_numbers_are_those_on_record() {
        let table = table(0);
        // A014602, the discriminants of class number 1; A014603, the first of class number 2.
        let of = |h: u16| -> Vec<u32> { table.iter().filter(|one| one.h == h).map(|one| one.d).collect() };
        assert_eq!(of(1), [3, 4, 7, 8, 11, 19, 43, 67, 163]);
        assert_eq!(of(2)[..6], [15, 20, 24, 35, 40, 51]);
        assert_eq!(of(2).len(), 18);
        assert_eq!(of(3).len(), 16);
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
    #[test]
    fn levels_go_on_where_the_one_before_ends_however_they_are_cut() {
        // PARI's `qfbclassno`.
        let of = |table: &[Discriminant], d: u32| table.iter().find(|one| one.d == d).map(|one| one.h);
        assert_eq!(of(&table(0), 49_992), Some(56));
        let mut cut = Table::new(1);
        let second = loop {
            if let Some(table) = cut.advance(|| true) {
                break table;
            }
        };
        assert_eq!(second, table(1));
        assert!(second.iter().all(|one| (50_000..200_000).contains(&one.d)));
        assert_eq!(of(&second, 50_003), Some(56));
        let is_prime = |n: u32| crate::primes::primality::is_prime_u64(n.into());
        assert_eq!(
            MOST_PARTS,
            2 + (2..LIMITS[LEVELS - 1]).filter(|n| is_prime(*n)).count() as u64
        );
    }
}
