//! Square roots of prime discriminants modulo a probable prime: the root of a discriminant is the product of those of
//! its parts, and most parts are shared by many.
//!
//! Source: the algorithm of A. Tonelli and D. Shanks (Cohen, "A Course in Computational Algebraic Number Theory",
//! algorithm 1.5.1); F. Morain, "Implementing the asymptotically fast version of the elliptic curve primality proving
//! algorithm", Math. Comp. 76 (2007), for the roots that are shared.

use super::modulus::{Modulus, jacobi};
use crate::primes::Natural;
use crate::primes::primality::large::{Large, Residues, Work};
use dashu_int::IBig;
use dashu_int::ops::BitTest;
use std::collections::BTreeMap;

/// Bits of an exponent that are taken at once.
const WINDOW: usize = 4;

/// The integers modulo a probable prime above 2^64, and what roots there need.
#[derive(Debug)]
pub(crate) struct Field {
    modulus: Modulus,
    large: Large,
    /// `n - 1` is `odd` times this power of 2.
    twos: usize,
    odd: Natural,
}

impl Field {
    pub(crate) fn new(n: Natural) -> Self {
        let below = &n - 1u8;
        let twos = below.trailing_zeros().unwrap_or(0);
        Self {
            odd: below >> twos,
            twos,
            large: Large::new(n.clone()),
            modulus: Modulus::new(n),
        }
    }

    pub(crate) fn n(&self) -> &Natural {
        self.modulus.n()
    }

    /// Whether a small number has a root, if the modulus is prime.
    pub(crate) fn has_root(&self, a: i64) -> bool {
        jacobi(a, self.n()) == 1
    }

    pub(super) fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    pub(super) fn large(&self) -> &Large {
        &self.large
    }
}

/// The roots that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots {
    of: BTreeMap<i64, Natural>,
    /// A number of order `2^twos`.
    generator: Option<Natural>,
}

impl Roots {
    /// Those that the root of a product of these needs.
    pub(crate) fn for_parts(&self, parts: &[i64]) -> Self {
        let known = |part: &i64| Some((*part, self.of.get(part)?.clone()));
        Self {
            of: parts.iter().filter_map(known).collect(),
            generator: self.generator.clone(),
        }
    }

    /// Takes in what another search has found.
    pub(crate) fn add(&mut self, other: Self) {
        self.of.extend(other.of);
        self.generator = self.generator.take().or(other.generator);
    }

    /// Takes the other root of one of them.
    #[cfg(test)]
    pub(super) fn negate(&mut self, field: &Field, part: i64) {
        if let Some(root) = self.of.get_mut(&part) {
            *root = field.modulus.negative(root);
        }
    }

    /// The root of the product of these; `None` if one is not known.
    pub(super) fn of_product(&self, field: &Field, parts: &[i64]) -> Option<Natural> {
        let roots = parts.iter().map(|part| self.of.get(part));
        roots
            .into_iter()
            .try_fold(Natural::ONE, |product, root| Some(field.modulus.mul(&product, root?)))
    }
}

/// The search for the root of one number, under way.
#[derive(Debug)]
pub(super) struct RootSearch {
    part: i64,
    a: Natural,
    /// That of the generator, or that of `a`.
    power: Option<Power>,
}

impl RootSearch {
    /// Begins with a small number that is a square, if the modulus is prime.
    fn new(field: &Field, part: i64) -> Self {
        Self {
            part,
            a: field.modulus.residue(&IBig::from(part)),
            power: None,
        }
    }

    /// Finds the roots of all these that are not known; false if one has none, as the modulus is not prime. `None`
    /// after `over`, which is asked every few multiplications.
    pub(super) fn all(
        under_way: &mut Option<Self>,
        field: &Field,
        roots: &mut Roots,
        parts: &[i64],
        mut over: impl FnMut() -> bool,
    ) -> Option<bool> {
        for part in parts {
            if roots.of.contains_key(part) {
                continue;
            }
            let search = under_way.get_or_insert_with(|| Self::new(field, *part));
            let found = search.advance(field, roots, &mut over)?;
            let part = search.part;
            *under_way = None;
            match found {
                Some(root) => roots.of.insert(part, root),
                None => return Some(false),
            };
        }
        Some(true)
    }

    fn advance(&mut self, field: &Field, roots: &mut Roots, mut over: impl FnMut() -> bool) -> Option<Option<Natural>> {
        if field.twos > 1 && roots.generator.is_none() {
            let Some(other) = (2..1000u64).find(|k| jacobi(*k as i64, field.n()) == -1) else {
                return Some(None);
            };
            let begin = || Power::new(other.into(), field.odd.clone());
            let power = self.power.get_or_insert_with(begin);
            roots.generator = Some(power.advance(&field.large, &mut over)?);
            self.power = None;
        }
        let begin = || Power::new(self.a.clone(), &field.odd >> 1);
        let power = self.power.get_or_insert_with(begin).advance(&field.large, over)?;
        Some(root_by(field, &self.a, &power, roots.generator.as_ref()))
    }
}

/// The root of `a`, given `a^((odd - 1) / 2)` and a number of order `2^twos`.
fn root_by(field: &Field, a: &Natural, power: &Natural, generator: Option<&Natural>) -> Option<Natural> {
    let modulus = &field.modulus;
    let mut root = modulus.mul(a, power);
    // The root's square is `a` times this, whose order is a power of 2 that falls.
    let mut rest = modulus.mul(&root, power);
    let (mut step, mut order) = (generator.cloned(), field.twos);
    while rest != Natural::ONE {
        let mut step_now = step.take()?;
        let (mut square, mut exponent) = (rest.clone(), 0);
        while square != Natural::ONE {
            square = modulus.square(&square);
            exponent += 1;
            if exponent >= order {
                return None;
            }
        }
        for _ in exponent + 1..order {
            step_now = modulus.square(&step_now);
        }
        root = modulus.mul(&root, &step_now);
        step_now = modulus.square(&step_now);
        rest = modulus.mul(&rest, &step_now);
        order = exponent;
        step = Some(step_now);
    }
    (modulus.square(&root) == *a).then_some(root)
}

/// A power modulo a number, under way.
#[derive(Debug)]
struct Power {
    base: Natural,
    exponent: Natural,
    /// The base to the power of the bits of the exponent from `next` up.
    power: Natural,
    next: usize,
}

impl Power {
    fn new(base: Natural, exponent: Natural) -> Self {
        Self {
            base,
            next: exponent.bit_len(),
            exponent,
            power: Natural::ONE,
        }
    }

    /// The power. `None` after `over`, which is asked every few multiplications.
    fn advance(&mut self, large: &Large, over: impl FnMut() -> bool) -> Option<Natural> {
        large.run(Bout(self, over));
        (self.next == 0).then(|| self.power.clone())
    }
}

struct Bout<'a, F>(&'a mut Power, F);

impl<F: FnMut() -> bool> Work for Bout<'_, F> {
    type Output = ();

    fn work<R: Residues>(self, ring: &R) {
        let Self(of, mut over) = self;
        let base = ring.enter(of.base.clone());
        let square = ring.square(&base);
        let next_odd = |power: &R::Element| Some(ring.mul(power, &square));
        let odd_powers: Vec<_> = std::iter::successors(Some(base), next_odd)
            .take(1 << (WINDOW - 1))
            .collect();
        let mut power = ring.enter(std::mem::take(&mut of.power));
        while of.next > 0 {
            let mut low = of.next - 1;
            let mut window = usize::from(of.exponent.bit(low));
            if window == 1 {
                low = of.next.saturating_sub(WINDOW);
                while !of.exponent.bit(low) {
                    low += 1;
                }
                window = (low..of.next)
                    .rev()
                    .fold(0, |bits, i| 2 * bits + usize::from(of.exponent.bit(i)));
            }
            for _ in low..of.next {
                power = ring.square(&power);
            }
            if window > 0 {
                power = ring.mul(&power, &odd_powers[window / 2]);
            }
            of.next = low;
            if over() {
                break;
            }
        }
        of.power = ring.leave(power);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(field: &Field, roots: &mut Roots, part: i64) -> Option<Natural> {
        let mut search = None;
        let parts = [part];
        while RootSearch::all(&mut search, field, roots, &parts, || true).is_none() {}
        roots.of_product(field, &parts)
    }

    #[test]
    fn roots_are_roots_and_symbols_agree_with_them() {
        // 2^89 - 1 is 3 modulo 4, 2^64 + 13 is 5 modulo 8; 1 has roots of many orders that are powers of 2 modulo 3
        // 2^189 + 1.
        for n in [
            "618970019642690137449562111",
            "18446744073709551629",
            "2353913150770005286438421033702874906038383291674012942337",
        ] {
            let field = Field::new(n.parse().expect("a number"));
            let mut roots = Roots::default();
            for a in (-40i64..40).filter(|a| *a != 0) {
                let found = root(&field, &mut roots, a);
                assert_eq!(found.is_some(), jacobi(a, field.n()) == 1, "{a} {n}");
                if let Some(root) = found {
                    assert_eq!(field.modulus.square(&root), field.modulus.residue(&a.into()), "{a} {n}");
                }
            }
            let product = roots.of_product(&field, &[4, 9]).expect("both are squares");
            assert_eq!(field.modulus.square(&product), 36u8.into());
            assert_eq!(roots.for_parts(&[4, 9]).of.len(), 2);
        }
    }

    #[test]
    fn a_power_is_the_same_however_it_is_cut() {
        let n: Natural = Natural::from(10u8).pow(120) + 79u8;
        let large = Large::new(n.clone());
        for exponent in [0u64, 1, 2, 15, 16, 17, 12_345_678, u64::MAX] {
            let mut cut = Power::new(7u8.into(), exponent.into());
            while cut.advance(&large, || true).is_none() {}
            let mut expected = Natural::ONE;
            for i in (0..64).rev() {
                expected = expected.sqr() % &n;
                if exponent >> i & 1 == 1 {
                    expected = expected * 7u8 % &n;
                }
            }
            let whole = Power::new(7u8.into(), exponent.into()).advance(&large, || false);
            assert_eq!((Some(&expected), &cut.power), (whole.as_ref(), &expected), "{exponent}");
        }
    }
}
