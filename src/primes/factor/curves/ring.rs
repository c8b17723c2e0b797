//! The arithmetic of eight residues modulo one odd number or eight, wherever their words are.

use crate::primes::Natural;
use std::fmt;

/// Residues that are calculated with at once.
pub(crate) const LANES: usize = 8;

/// Eight rings.
pub(super) trait Ring: fmt::Debug + Send + Sized {
    type Element: Clone + fmt::Debug + Send;

    /// The words of a residue, about: by them go the points that are made affine together.
    const WORDS: usize;
    /// Whether a few products take as long as a slice may.
    const IS_LONG: bool;

    /// The rings modulo these numbers, which are odd.
    fn modulo(n: [Natural; LANES]) -> Self;

    /// The moduli.
    fn moduli(&self) -> &[Natural; LANES];

    /// The residues of eight numbers below `2 n`.
    fn load(&self, values: &[Natural; LANES]) -> Self::Element;

    /// The residue of the same number in every lane.
    fn constant(&self, value: u32) -> Self::Element;

    /// The eight numbers, each below its modulus.
    fn store(&self, a: &Self::Element) -> [Natural; LANES];

    /// `a b`
    fn mul(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;

    /// `a + b`, of products.
    fn add(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;

    /// `a - b`, of products.
    fn sub(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;

    /// `a - b`, of products or such differences: it stays below `2 n`.
    fn minus(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;

    /// Multiplies by `a - b`, of products.
    #[inline(always)]
    fn mul_difference(&self, product: &mut Self::Element, a: &Self::Element, b: &Self::Element) {
        *product = self.mul(product, &self.sub(a, b));
    }

    /// Doubles a point `x : z` of `b y^2 = x^3 + a x^2 + x` with `a24 = (a + 2) / 4` (Montgomery, "Speeding ..",
    /// section 10.3.1).
    #[inline(always)]
    fn double(&self, a24: &Self::Element, p: &[Self::Element; 2]) -> [Self::Element; 2] {
        doubled(self, a24, p)
    }

    /// `p + q` of points of such a curve whose difference is known.
    #[inline(always)]
    fn add_points(
        &self,
        p: &[Self::Element; 2],
        q: &[Self::Element; 2],
        difference: &[Self::Element; 2],
    ) -> [Self::Element; 2] {
        added(self, p, q, difference)
    }
}

#[inline(always)]
pub(super) fn doubled<R: Ring>(ring: &R, a24: &R::Element, [x, z]: &[R::Element; 2]) -> [R::Element; 2] {
    let (sum, difference) = (ring.add(x, z), ring.sub(x, z));
    let (sum, difference) = (ring.mul(&sum, &sum), ring.mul(&difference, &difference));
    let change = ring.sub(&sum, &difference);
    let scaled = ring.mul(a24, &change);
    [
        ring.mul(&sum, &difference),
        ring.mul(&change, &ring.add(&difference, &scaled)),
    ]
}

#[inline(always)]
pub(super) fn added<R: Ring>(
    ring: &R,
    p: &[R::Element; 2],
    q: &[R::Element; 2],
    difference: &[R::Element; 2],
) -> [R::Element; 2] {
    let u = ring.mul(&ring.sub(&p[0], &p[1]), &ring.add(&q[0], &q[1]));
    let v = ring.mul(&ring.add(&p[0], &p[1]), &ring.sub(&q[0], &q[1]));
    let (sum, less) = (ring.add(&u, &v), ring.sub(&u, &v));
    let (sum, less) = (ring.mul(&sum, &sum), ring.mul(&less, &less));
    [ring.mul(&difference[1], &sum), ring.mul(&difference[0], &less)]
}
