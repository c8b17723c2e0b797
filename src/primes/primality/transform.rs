//! Products of polynomials modulo `X^w - 1` and `X^w + 1` by number theoretic transforms, and their coefficients
//! carried as digits of a number.
//!
//! `X^w - 1` is split into factors `X^h - c`, each into the two with the square roots of `c`, until a *leaf* of two or
//! three coefficients is left, where products are made as they are written. The nodes of this tree have numbers: 0 is
//! `X^w - 1` and 1 is `X^w + 1` if both are seen as factors of `X^(2 w) - 1`, and the halves of node `j` are `2 j` and
//! `2 j + 1`. The roots depend on the number alone: `root(2 j + 1) = i root(2 j)` and `root(2 j)^2 = root(j)`.
//!
//! Coefficient `i` is in lane `i / (w / 4)`, at `i mod (w / 4)`: so the lanes are those of four nodes from the second
//! level on, and a carry goes to the register after its own.
//!
//! The bounds of [`field`](super::field) hold: between the levels forth a residue is at most 2.2 times the prime in
//! size, so that none is above 3 of them when it is multiplied; between those back it is at most the prime, so that
//! none is above 4; and a sum of products of leaves is at most 5.3.
//!
//! Source: D. J. Bernstein, "Multidigit multiplication for mathematicians" (2001), for the tree.

use super::field::{
    Factor, Lanes, PRIME, add, all, lanes, mul, mul_by, mul_word, power, reduced, root, rounded, signed, sub,
};
use std::arch::x86_64::*;

/// What transforms modulo `X^w - 1` or `X^w + 1` need.
#[derive(Debug)]
pub(super) struct Transform {
    shape: Shape,
    /// Whether it is `X^w + 1`.
    is_negacyclic: bool,
    forth: Roots,
    /// The inverses of those.
    back: Roots,
    /// `1 / 2^(levels + 2)`, with which the inverse of the first root is multiplied, too.
    scale: Factor,
    /// What the powers of `X` above those of a leaf are, for every second leaf; the next one has the negative.
    leaves: Vec<Lanes>,
}

/// How many coefficients there are: four lanes of `leaf 2^levels`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    /// 2 or 3
    pub(super) leaf: usize,
    /// 2 at least.
    pub(super) levels: u32,
}

impl Shape {
    /// Registers of a polynomial.
    pub(super) fn registers(self) -> usize {
        self.leaf << self.levels
    }
}

/// The roots of a node and of its two halves.
type Triple = [Factor; 3];

/// The roots of the nodes from the whole polynomial down, or their inverses.
#[derive(Debug)]
struct Roots {
    /// Those of the whole polynomial, in all lanes.
    whole: Triple,
    /// Those of the nodes of the lanes, if an odd number of levels is below them.
    odd: Option<Factor>,
    /// Those of two levels at a time, from the upper ones on.
    pairs: Vec<Triple>,
}

impl Roots {
    /// By the roots of all nodes; `of_whole` is multiplied into those of the whole polynomial.
    #[target_feature(enable = "avx2,fma")]
    fn new(roots: &[u64], whole: usize, levels: u32, of_whole: u64) -> Self {
        let triple = |nodes: [usize; 4]| {
            [
                Factor::new(nodes.map(|node| roots[node])),
                Factor::new(nodes.map(|node| roots[2 * node])),
                Factor::new(nodes.map(|node| roots[2 * node + 1])),
            ]
        };
        let mut of_all = triple([whole; 4]);
        of_all[0] = Factor::new([mul_word(roots[whole], of_whole); 4]);
        let odd = (levels % 2 == 1).then(|| Factor::new(nodes_of_lanes(whole, 0, 0).map(|node| roots[node])));
        let pairs = (levels % 2..levels)
            .step_by(2)
            .flat_map(|level| (0..1 << level).map(move |i| nodes_of_lanes(whole, level, i)))
            .map(triple)
            .collect();
        Self {
            whole: of_all,
            odd,
            pairs,
        }
    }
}

/// The nodes `i` of the lanes, `level` levels below theirs.
fn nodes_of_lanes(whole: usize, level: u32, i: usize) -> [usize; 4] {
    std::array::from_fn(|lane| (4 * whole + lane) << level | i)
}

/// The roots of the nodes `0..count` or of some more; `inverse` for their inverses.
fn roots(count: usize, inverse: bool) -> Vec<u64> {
    let mut roots = vec![1];
    for bits in 2.. {
        if roots.len() >= count {
            break;
        }
        let next = root(bits);
        let next = if inverse { power(next, PRIME - 2) } else { next };
        for node in 0..roots.len() {
            roots.push(mul_word(roots[node], next));
        }
    }
    roots
}

impl Transform {
    /// Prepares those modulo `X^w + 1` if `is_negacyclic`, `X^w - 1` if not.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new(shape: Shape, is_negacyclic: bool) -> Self {
        let levels = shape.levels;
        let whole = usize::from(is_negacyclic);
        // Those of the nodes above the leaves are the last ones.
        let count = (4 * whole + 4) << (levels - 1);
        let (forth, back) = (roots(count, false), roots(count, true));
        let scale = power(1 << (levels + 2), PRIME - 2);
        let leaves = (0..1 << (levels - 1))
            .map(|i| lanes(nodes_of_lanes(whole, levels - 1, i).map(|node| signed(forth[node]))))
            .collect();
        Self {
            shape,
            is_negacyclic,
            forth: Roots::new(&forth, whole, levels, 1),
            back: Roots::new(&back, whole, levels, scale),
            scale: Factor::new([scale; 4]),
            leaves,
        }
    }

    /// The polynomial of the digits modulo all leaves.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn forth(&self, digits: &[Lanes], to: &mut [Lanes]) {
        let roots = &self.forth;
        for (digits, to) in digits.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
            let quarters = transposed(*digits);
            *to = transposed(if self.is_negacyclic {
                split(quarters.map(|quarter| [quarter]), roots.whole).map(|[node]| node)
            } else {
                split_cyclic(quarters, roots.whole)
            });
        }
        let mut length = to.len();
        if let Some(root) = roots.odd {
            length /= 2;
            let (low, high) = to.split_at_mut(length);
            for (low, high) in low.iter_mut().zip(high) {
                let (a, b) = (reduced(*low), mul_by(*high, root));
                (*low, *high) = (add(a, b), sub(a, b));
            }
        }
        let mut pairs = &roots.pairs[..];
        while length > self.shape.leaf {
            let (now, below) = pairs.split_at(to.len() / length);
            for (node, roots) in to.chunks_exact_mut(length).zip(now) {
                split_node(node, *roots);
            }
            (pairs, length) = (below, length / 4);
        }
    }

    /// The polynomial that [`forth`](Self::forth) made this of, its coefficients carried as digits of `bits` bits. The
    /// numbers that they stand for are at most .49 of the prime in size.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn back(&self, from: &mut [Lanes], digits: &mut [Lanes], bits: u32) {
        let roots = &self.back;
        let mut pairs = &roots.pairs[..];
        let mut length = 4 * self.shape.leaf;
        while length <= from.len() {
            let (above, now) = pairs.split_at(pairs.len() - from.len() / length);
            for (node, roots) in from.chunks_exact_mut(length).zip(now) {
                join_node(node, *roots);
            }
            (pairs, length) = (above, 4 * length);
        }
        if let Some(root) = roots.odd {
            let (low, high) = from.split_at_mut(length / 4);
            for (low, high) in low.iter_mut().zip(high) {
                let (a, b) = (*low, *high);
                (*low, *high) = (reduced(add(a, b)), mul_by(sub(a, b), root));
            }
        }
        let mut carries = Carries::new(bits);
        for (from, digits) in from.as_chunks().0.iter().zip(digits.as_chunks_mut().0) {
            let nodes = transposed(*from);
            let [a, b, c, d] = if self.is_negacyclic {
                join(nodes.map(|node| [node]), roots.whole).map(|[quarter]| quarter)
            } else {
                join_cyclic(nodes, roots.whole)
            };
            let quarters = [mul_by(a, self.scale), mul_by(b, self.scale), c, d].map(|quarter| reduced(quarter));
            *digits = transposed(quarters).map(|coefficients| carries.digits(coefficients));
        }
        carries.end(digits, self.is_negacyclic);
    }
}

/// The four quarters of a polynomial, in the order of their coefficients.
#[inline]
fn quarters(node: &mut [Lanes]) -> [&mut [Lanes]; 4] {
    let (low, high) = node.split_at_mut(node.len() / 2);
    let (first, second) = low.split_at_mut(low.len() / 2);
    let (third, fourth) = high.split_at_mut(high.len() / 2);
    [first, second, third, fourth]
}

/// Makes of a polynomial those of the four nodes two levels below. Two registers of each at a time, for a product has
/// to wait for its parts.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn split_node(node: &mut [Lanes], roots: Triple) {
    let [(a, a_last), (b, b_last), (c, c_last), (d, d_last)] =
        quarters(node).map(|quarter| quarter.as_chunks_mut::<2>());
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        [*a, *b, *c, *d] = split([a.map(|a| reduced(a)), *b, *c, *d], roots);
    }
    if let ([a], [b], [c], [d]) = (a_last, b_last, c_last, d_last) {
        [[*a], [*b], [*c], [*d]] = split([[reduced(*a)], [*b], [*c], [*d]], roots);
    }
}

/// The same back.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn join_node(node: &mut [Lanes], roots: Triple) {
    let [(a, a_last), (b, b_last), (c, c_last), (d, d_last)] =
        quarters(node).map(|quarter| quarter.as_chunks_mut::<2>());
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        [*a, *b, *c, *d] = join([*a, *b, *c, *d], roots);
        (*a, *b) = (a.map(|a| reduced(a)), b.map(|b| reduced(b)));
    }
    if let ([a], [b], [c], [d]) = (a_last, b_last, c_last, d_last) {
        [[*a], [*b], [*c], [*d]] = join([[*a], [*b], [*c], [*d]], roots);
        (*a, *b) = (reduced(*a), reduced(*b));
    }
}

/// Two levels forth.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn split<const N: usize>([a, b, c, d]: [[Lanes; N]; 4], [upper, first, second]: Triple) -> [[Lanes; N]; 4] {
    let (c, d) = (each_by(c, upper), each_by(d, upper));
    let (b, d) = (each_by(each_add(b, d), first), each_by(each_sub(b, d), second));
    let (a, c) = (each_add(a, c), each_sub(a, c));
    [each_add(a, b), each_sub(a, b), each_add(c, d), each_sub(c, d)]
}

/// The same for `X^w - 1`, whose roots are 1, 1 and `i`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn split_cyclic([a, b, c, d]: [Lanes; 4], [_, _, i]: Triple) -> [Lanes; 4] {
    let (a, b, c, d) = (add(a, c), add(b, d), sub(a, c), mul_by(sub(b, d), i));
    [add(a, b), sub(a, b), add(c, d), sub(c, d)]
}

/// Two levels back, without the factor 1/4. The first two may be four times as large as what comes in.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn join<const N: usize>([a, b, c, d]: [[Lanes; N]; 4], [upper, first, second]: Triple) -> [[Lanes; N]; 4] {
    let (a, b) = (each_add(a, b), each_by(each_sub(a, b), first));
    let (c, d) = (each_add(c, d), each_by(each_sub(c, d), second));
    [
        each_add(a, c),
        each_add(b, d),
        each_by(each_sub(a, c), upper),
        each_by(each_sub(b, d), upper),
    ]
}

/// The same for `X^w - 1`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn join_cyclic([a, b, c, d]: [Lanes; 4], [upper, _, i]: Triple) -> [Lanes; 4] {
    let (a, b, c, d) = (add(a, b), sub(a, b), add(c, d), mul_by(sub(c, d), i));
    [add(a, c), add(b, d), mul_by(sub(a, c), upper), mul_by(sub(b, d), upper)]
}

impl Transform {
    /// `a = a b + c d`, all of them polynomials modulo all leaves; `a^2` without a `b`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply(&self, a: &mut [Lanes], b: Option<&[Lanes]>, plus: Option<[&[Lanes]; 2]>) {
        match self.shape.leaf {
            2 => self.multiply_leaves::<2>(a, b, plus),
            _ => self.multiply_leaves::<3>(a, b, plus),
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn multiply_leaves<const LEAF: usize>(&self, a: &mut [Lanes], b: Option<&[Lanes]>, plus: Option<[&[Lanes]; 2]>) {
        let leaf = |of: &[Lanes], i: usize| of.as_chunks::<LEAF>().0[i].map(|coefficient| reduced(coefficient));
        let negative = all(-0.0);
        for (i, a) in a.as_chunks_mut::<LEAF>().0.iter_mut().enumerate() {
            let mut power = self.leaves[i / 2];
            if i % 2 == 1 {
                power = _mm256_xor_pd(power, negative);
            }
            let mut sums = [all(0.0); 6];
            let reduced = a.map(|coefficient| reduced(coefficient));
            match b {
                None => add_square(&mut sums, &reduced),
                Some(b) => add_product(&mut sums, &reduced, &leaf(b, i)),
            }
            if let Some([c, d]) = plus {
                add_product(&mut sums, &leaf(c, i), &leaf(d, i));
            }
            *a = folded(&sums, power);
        }
    }
}

/// Adds the coefficients of a product of two leaves. Those of two pairs of coefficients are a product of sums less the
/// products that are there anyway.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_product<const LEAF: usize>(sums: &mut [Lanes; 6], a: &[Lanes; LEAF], b: &[Lanes; LEAF]) {
    let squares: [Lanes; LEAF] = std::array::from_fn(|i| mul(a[i], b[i]));
    for (i, square) in squares.iter().enumerate() {
        sums[2 * i] = add(sums[2 * i], *square);
        for (j, before) in squares.iter().enumerate().take(i) {
            let both = mul(add(a[i], a[j]), add(b[i], b[j]));
            sums[i + j] = add(sums[i + j], sub(sub(both, *square), *before));
        }
    }
}

/// Adds those of the square of a leaf.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_square<const LEAF: usize>(sums: &mut [Lanes; 6], a: &[Lanes; LEAF]) {
    for (i, x) in a.iter().enumerate() {
        sums[2 * i] = add(sums[2 * i], mul(*x, *x));
        let twice = add(*x, *x);
        for (j, y) in a.iter().enumerate().take(i) {
            sums[i + j] = add(sums[i + j], mul(twice, *y));
        }
    }
}

/// The leaf of a product, `power` being what the first power of `X` above those of a leaf is.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn folded<const LEAF: usize>(sums: &[Lanes; 6], power: Lanes) -> [Lanes; LEAF] {
    std::array::from_fn(|i| {
        let beyond = if i + 1 < LEAF {
            mul(sums[i + LEAF], power)
        } else {
            all(0.0)
        };
        reduced(add(sums[i], beyond))
    })
}

/// Digits of signed numbers: each is the nearest integer's distance, and the rest a carry that the next one takes in.
/// Twice over, for a carry out of a coefficient is longer than a digit: so no carry waits for another one.
struct Carries {
    base: Lanes,
    inverse: Lanes,
    /// What comes out of the register before.
    first: Lanes,
    second: Lanes,
}

impl Carries {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(bits: u32) -> Self {
        let base = (1u64 << bits) as f64;
        Self {
            base: all(base),
            inverse: all(1.0 / base),
            first: all(0.0),
            second: all(0.0),
        }
    }

    /// The digit, of at most half of the base, and the carry.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn digit(&self, number: Lanes) -> (Lanes, Lanes) {
        let carry = rounded(_mm256_mul_pd(number, self.inverse));
        (_mm256_fnmadd_pd(carry, self.base, number), carry)
    }

    /// The digits of the next register of coefficients.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn digits(&mut self, coefficients: Lanes) -> Lanes {
        let (digits, first) = self.digit(coefficients);
        let (digits, second) = self.digit(add(digits, self.first));
        let digits = add(digits, self.second);
        (self.first, self.second) = (first, second);
        digits
    }

    /// Takes the carries out of the last register into the first ones.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn end(self, digits: &mut [Lanes], is_negacyclic: bool) {
        let (digit, carry) = self.digit(add(digits[0], in_next_lane(self.first, is_negacyclic)));
        digits[0] = add(digit, in_next_lane(self.second, is_negacyclic));
        digits[1] = add(digits[1], carry);
    }
}

/// The digits of `a + factor b + multiple n`, which are a few numbers together, modulo `X^w + 1`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn sum(a: &[Lanes], (factor, b): (f64, &[Lanes]), (multiple, n): (f64, &[Lanes]), bits: u32) -> Vec<Lanes> {
    let carries = Carries::new(bits);
    let (factor, multiple) = (all(factor), all(multiple));
    let mut before = all(0.0);
    let mut digits = vec![before; a.len()];
    for (((to, a), b), n) in digits.iter_mut().zip(a).zip(b).zip(n) {
        let (digit, carry) = carries.digit(_mm256_fmadd_pd(multiple, *n, _mm256_fmadd_pd(factor, *b, *a)));
        *to = add(digit, before);
        before = carry;
    }
    digits[0] = add(digits[0], in_next_lane(before, true));
    digits
}

/// Carries out of the last register, where they go: those of the last lane come round to the first.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn in_next_lane(carries: Lanes, is_negacyclic: bool) -> Lanes {
    let carries = _mm256_permute4x64_pd::<0b10_01_00_11>(carries);
    let sign = if is_negacyclic { -0.0 } else { 0.0 };
    _mm256_xor_pd(carries, lanes([sign, 0.0, 0.0, 0.0]))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
    let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
    let (low_after, high_after) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
    [
        _mm256_permute2f128_pd::<0x20>(low, low_after),
        _mm256_permute2f128_pd::<0x20>(high, high_after),
        _mm256_permute2f128_pd::<0x31>(low, low_after),
        _mm256_permute2f128_pd::<0x31>(high, high_after),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn each_add<const N: usize>(a: [Lanes; N], b: [Lanes; N]) -> [Lanes; N] {
    std::array::from_fn(|i| add(a[i], b[i]))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn each_sub<const N: usize>(a: [Lanes; N], b: [Lanes; N]) -> [Lanes; N] {
    std::array::from_fn(|i| sub(a[i], b[i]))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn each_by<const N: usize>(a: [Lanes; N], b: Factor) -> [Lanes; N] {
    a.map(|a| mul_by(a, b))
}
