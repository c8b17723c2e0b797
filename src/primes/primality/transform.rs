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
//!
//! Unsafe: calls of what works on eight residues at once, where the processor has the instructions.
#![allow(unsafe_code)]

use super::field::{Factor, PRIME, mul, mul_by, mul_word, power, reduced, root, signed};
use super::vector::{Lanes, Vector, in_next_lane, lanes};
use crate::primes::features::has;
use std::arch::x86_64::__m512d;

/// What transforms modulo `X^w - 1` or `X^w + 1` need.
#[derive(Debug)]
pub(super) struct Transform {
    shape: Shape,
    /// Whether it is `X^w + 1`.
    is_negacyclic: bool,
    /// Whether eight residues are calculated with at once.
    is_wide: bool,
    forth: Roots,
    /// The inverses of those.
    back: Roots,
    /// `1 / 2^(levels + 2)`, with which the inverse of the first root is multiplied, too.
    scale: Factor,
    /// What the powers of `X` above those of a leaf are, for every second leaf; the next one has the negative.
    leaves: Vec<Lanes>,
}

/// Whether the processor has the instructions for eight residues at once.
pub(super) fn can_be_wide() -> bool {
    has!("avx512f", "avx512dq")
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
    ///
    /// # Safety
    ///
    /// With `is_wide`, what [`can_be_wide`] says.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn new(shape: Shape, is_negacyclic: bool, is_wide: bool) -> Self {
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
            // The first two levels take eight registers at a time, and the shapes of two levels may have twelve.
            is_wide: is_wide && levels > 2,
            forth: Roots::new(&forth, whole, levels, 1),
            back: Roots::new(&back, whole, levels, scale),
            scale: Factor::new([scale; 4]),
            leaves,
        }
    }

    /// The polynomial of the digits modulo all leaves.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn forth(&self, digits: &[Lanes], to: &mut [Lanes]) {
        #[target_feature(enable = "avx512f,avx512dq")]
        fn wide(transform: &Transform, digits: &[Lanes], to: &mut [Lanes]) {
            transform.forth_by::<__m512d>(digits, to);
        }

        if self.is_wide {
            // SAFETY: as `new` says.
            unsafe { wide(self, digits, to) }
        } else {
            self.forth_by::<Lanes>(digits, to);
        }
    }

    #[inline(always)]
    fn forth_by<V: Vector>(&self, digits: &[Lanes], to: &mut [Lanes]) {
        let roots = &self.forth;
        for (digits, to) in V::chunks(digits).as_chunks().0.iter().zip(fours::<V>(to)) {
            let [a, b, c, d] = V::lanes_apart(loaded::<V, 4>(digits));
            let nodes = if self.is_negacyclic {
                let [[a], [b], [c], [d]] = split([[a], [b], [c], [d]], roots.whole);
                [a, b, c, d]
            } else {
                split_cyclic([a, b, c, d], roots.whole)
            };
            store(V::lanes_together(nodes), to);
        }
        let mut length = to.len();
        if let Some(root) = roots.odd {
            length /= 2;
            let (low, high) = to.split_at_mut(length);
            for (low, high) in V::chunks_mut(low).0.iter_mut().zip(V::chunks_mut(high).0) {
                let (a, b) = (reduced(V::load(low)), mul_by(V::load(high), root));
                a.add(b).store(low);
                a.sub(b).store(high);
            }
        }
        let mut pairs = &roots.pairs[..];
        while length > self.shape.leaf {
            let (now, below) = pairs.split_at(to.len() / length);
            for (node, roots) in to.chunks_exact_mut(length).zip(now) {
                two_levels::<V, true>(node, *roots);
            }
            (pairs, length) = (below, length / 4);
        }
    }

    /// The polynomial that [`forth`](Self::forth) made this of, its coefficients carried as digits of `bits` bits. The
    /// numbers that they stand for are at most .49 of the prime in size.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn back(&self, from: &mut [Lanes], digits: &mut [Lanes], bits: u32) {
        #[target_feature(enable = "avx512f,avx512dq")]
        fn wide(transform: &Transform, from: &mut [Lanes], digits: &mut [Lanes], bits: u32) {
            transform.back_by::<__m512d>(from, digits, bits);
        }

        if self.is_wide {
            // SAFETY: as `new` says.
            unsafe { wide(self, from, digits, bits) }
        } else {
            self.back_by::<Lanes>(from, digits, bits);
        }
    }

    #[inline(always)]
    fn back_by<V: Vector>(&self, from: &mut [Lanes], digits: &mut [Lanes], bits: u32) {
        let roots = &self.back;
        let mut pairs = &roots.pairs[..];
        let mut length = 4 * self.shape.leaf;
        while length <= from.len() {
            let (above, now) = pairs.split_at(pairs.len() - from.len() / length);
            for (node, roots) in from.chunks_exact_mut(length).zip(now) {
                two_levels::<V, false>(node, *roots);
            }
            (pairs, length) = (above, 4 * length);
        }
        if let Some(root) = roots.odd {
            let (low, high) = from.split_at_mut(length / 4);
            for (low, high) in V::chunks_mut(low).0.iter_mut().zip(V::chunks_mut(high).0) {
                let (a, b) = (V::load(low), V::load(high));
                reduced(a.add(b)).store(low);
                mul_by(a.sub(b), root).store(high);
            }
        }
        let mut carries = Carries::<V>::new(bits);
        for (from, digits) in V::chunks(from).as_chunks().0.iter().zip(fours::<V>(digits)) {
            let [a, b, c, d] = V::lanes_apart(loaded::<V, 4>(from));
            let [a, b, c, d] = if self.is_negacyclic {
                let [[a], [b], [c], [d]] = join([[a], [b], [c], [d]], roots.whole);
                [a, b, c, d]
            } else {
                join_cyclic([a, b, c, d], roots.whole)
            };
            let quarters = [mul_by(a, self.scale), mul_by(b, self.scale), c, d];
            let coefficients = V::lanes_together(each_reduced(quarters));
            for (digits, coefficients) in digits.iter_mut().zip(coefficients) {
                carries.digits(coefficients).store(digits);
            }
        }
        carries.end(digits, bits, self.is_negacyclic);
    }
}

/// The vectors of a row, four at a time: a row has no others.
#[inline(always)]
fn fours<V: Vector>(row: &mut [Lanes]) -> &mut [[V::Registers; 4]] {
    let (vectors, register) = V::chunks_mut(row);
    let (fours, left) = vectors.as_chunks_mut();
    debug_assert!(register.is_empty() && left.is_empty());
    fours
}

/// The four quarters of a polynomial, in the order of their coefficients.
#[inline]
fn quarters(node: &mut [Lanes]) -> [&mut [Lanes]; 4] {
    let (low, high) = node.split_at_mut(node.len() / 2);
    let (first, second) = low.split_at_mut(low.len() / 2);
    let (third, fourth) = high.split_at_mut(high.len() / 2);
    [first, second, third, fourth]
}

/// `N` places of each quarter at a time, and what is left.
#[inline(always)]
fn places<T, const N: usize>(quarters: [&mut [T]; 4]) -> (impl Iterator<Item = [&mut [T; N]; 4]>, [&mut [T]; 4]) {
    let [(a, a_left), (b, b_left), (c, c_left), (d, d_left)] = quarters.map(|quarter| quarter.as_chunks_mut());
    let together = a.iter_mut().zip(b).zip(c).zip(d);
    (
        together.map(|(((a, b), c), d)| [a, b, c, d]),
        [a_left, b_left, c_left, d_left],
    )
}

/// Makes of a polynomial those of the four nodes two levels below, or the same back. Two vectors of each at a time, for
/// a product has to wait for its parts.
#[inline(always)]
fn two_levels<V: Vector, const FORTH: bool>(node: &mut [Lanes], roots: Triple) {
    let [(a, a_left), (b, b_left), (c, c_left), (d, d_left)] = quarters(node).map(V::chunks_mut);
    let (twos, left) = places([a, b, c, d]);
    for quarters in twos {
        two_levels_of::<V, 2, FORTH>(quarters, roots);
    }
    for quarters in places(left).0 {
        two_levels_of::<V, 1, FORTH>(quarters, roots);
    }
    for quarters in places([a_left, b_left, c_left, d_left]).0 {
        two_levels_of::<Lanes, 1, FORTH>(quarters, roots);
    }
}

#[inline(always)]
fn two_levels_of<V: Vector, const N: usize, const FORTH: bool>(
    [a, b, c, d]: [&mut [V::Registers; N]; 4],
    roots: Triple,
) {
    let [x, y, z, w] = [loaded::<V, N>(a), loaded(b), loaded(c), loaded(d)];
    let [x, y, z, w] = if FORTH {
        split([each_reduced(x), y, z, w], roots)
    } else {
        let [x, y, z, w] = join([x, y, z, w], roots);
        [each_reduced(x), each_reduced(y), z, w]
    };
    store(x, a);
    store(y, b);
    store(z, c);
    store(w, d);
}

#[inline(always)]
fn loaded<V: Vector, const N: usize>(from: &[V::Registers; N]) -> [V; N] {
    let mut values = [V::all(0.0); N];
    for (value, from) in values.iter_mut().zip(from) {
        *value = V::load(from);
    }
    values
}

#[inline(always)]
fn store<V: Vector, const N: usize>(values: [V; N], to: &mut [V::Registers; N]) {
    for (value, to) in values.into_iter().zip(to) {
        value.store(to);
    }
}

/// Two levels forth.
#[inline(always)]
fn split<V: Vector, const N: usize>([a, b, c, d]: [[V; N]; 4], [upper, first, second]: Triple) -> [[V; N]; 4] {
    let (c, d) = (each_by(c, upper), each_by(d, upper));
    let (b, d) = (each_by(each_add(b, d), first), each_by(each_sub(b, d), second));
    let (a, c) = (each_add(a, c), each_sub(a, c));
    [each_add(a, b), each_sub(a, b), each_add(c, d), each_sub(c, d)]
}

/// The same for `X^w - 1`, whose roots are 1, 1 and `i`.
#[inline(always)]
fn split_cyclic<V: Vector>([a, b, c, d]: [V; 4], [_, _, i]: Triple) -> [V; 4] {
    let (a, b, c, d) = (a.add(c), b.add(d), a.sub(c), mul_by(b.sub(d), i));
    [a.add(b), a.sub(b), c.add(d), c.sub(d)]
}

/// Two levels back, without the factor 1/4. The first two may be four times as large as what comes in.
#[inline(always)]
fn join<V: Vector, const N: usize>([a, b, c, d]: [[V; N]; 4], [upper, first, second]: Triple) -> [[V; N]; 4] {
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
#[inline(always)]
fn join_cyclic<V: Vector>([a, b, c, d]: [V; 4], [upper, _, i]: Triple) -> [V; 4] {
    let (a, b, c, d) = (a.add(b), a.sub(b), c.add(d), mul_by(c.sub(d), i));
    [a.add(c), b.add(d), mul_by(a.sub(c), upper), mul_by(b.sub(d), upper)]
}

impl Transform {
    /// `a = a b + c d`, all of them polynomials modulo all leaves; `a^2` without a `b`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply(&self, a: &mut [Lanes], b: Option<&[Lanes]>, plus: Option<[&[Lanes]; 2]>) {
        #[target_feature(enable = "avx512f,avx512dq")]
        fn wide(transform: &Transform, a: &mut [Lanes], b: Option<&[Lanes]>, plus: Option<[&[Lanes]; 2]>) {
            transform.multiply_by::<__m512d>(a, b, plus);
        }

        if self.is_wide {
            // SAFETY: as `new` says.
            unsafe { wide(self, a, b, plus) }
        } else {
            self.multiply_by::<Lanes>(a, b, plus);
        }
    }

    #[inline(always)]
    fn multiply_by<V: Vector>(&self, a: &mut [Lanes], b: Option<&[Lanes]>, plus: Option<[&[Lanes]; 2]>) {
        match self.shape.leaf {
            2 => self.multiply_leaves::<V, 2>(a, b, plus),
            _ => self.multiply_leaves::<V, 3>(a, b, plus),
        }
    }

    #[inline(always)]
    fn multiply_leaves<V: Vector, const LEAF: usize>(
        &self,
        a: &mut [Lanes],
        b: Option<&[Lanes]>,
        plus: Option<[&[Lanes]; 2]>,
    ) {
        let pairs = |of| -> &[[[Lanes; LEAF]; 2]] { <[Lanes]>::as_chunks(of).0.as_chunks().0 };
        let (b, plus) = (b.map(pairs), plus.map(|plus| plus.map(pairs)));
        let a: &mut [[[Lanes; LEAF]; 2]] = a.as_chunks_mut().0.as_chunks_mut().0;
        for (i, (a, power)) in a.iter_mut().zip(&self.leaves).enumerate() {
            for part in 0..size_of::<[Lanes; 2]>() / size_of::<V>() {
                let mut sums = [V::all(0.0); 6];
                let factor: [V; LEAF] = leaf(a, part);
                match b {
                    None => add_square(&mut sums, &factor),
                    Some(b) => add_product(&mut sums, &factor, &leaf(&b[i], part)),
                }
                if let Some([c, d]) = plus {
                    add_product(&mut sums, &leaf::<V, LEAF>(&c[i], part), &leaf(&d[i], part));
                }
                let power = V::of_leaf_pair(*power, part);
                for j in 0..LEAF {
                    let mut sum = sums[j];
                    if j + 1 < LEAF {
                        sum = sum.add(mul(sums[j + LEAF], power));
                    }
                    reduced(sum).to_leaves(a, part, j);
                }
            }
        }
    }

    /// The digits of `a + factor b + multiple n`, which are a few numbers together, modulo `X^w + 1`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn sum(&self, a: &[Lanes], b: (f64, &[Lanes]), n: (f64, &[Lanes]), bits: u32) -> Vec<Lanes> {
        #[target_feature(enable = "avx512f,avx512dq")]
        fn wide(a: &[Lanes], b: (f64, &[Lanes]), n: (f64, &[Lanes]), bits: u32) -> Vec<Lanes> {
            sum_by::<__m512d>(a, b, n, bits)
        }

        if self.is_wide {
            // SAFETY: as `new` says.
            unsafe { wide(a, b, n, bits) }
        } else {
            sum_by::<Lanes>(a, b, n, bits)
        }
    }
}

#[inline(always)]
fn sum_by<V: Vector>(
    a: &[Lanes],
    (factor, b): (f64, &[Lanes]),
    (multiple, n): (f64, &[Lanes]),
    bits: u32,
) -> Vec<Lanes> {
    let mut digits = vec![Lanes::all(0.0); a.len()];
    let mut carries = Carries::<V>::new(bits);
    let (factor, multiple) = (V::all(-factor), V::all(-multiple));
    let terms = V::chunks(a).iter().zip(V::chunks(b)).zip(V::chunks(n));
    for (to, ((a, b), n)) in V::chunks_mut(&mut digits).0.iter_mut().zip(terms) {
        let sum = factor.times_from(V::load(b), V::load(a));
        carries.short_digits(multiple.times_from(V::load(n), sum)).store(to);
    }
    carries.end(&mut digits, bits, true);
    digits
}

#[inline(always)]
fn leaf<V: Vector, const LEAF: usize>(of: &[[Lanes; LEAF]; 2], part: usize) -> [V; LEAF] {
    let mut leaf = [V::all(0.0); LEAF];
    for (j, value) in leaf.iter_mut().enumerate() {
        *value = reduced(V::of_leaves(of, part, j));
    }
    leaf
}

/// Adds the coefficients of a product of two leaves. Those of two pairs of coefficients are a product of sums less the
/// products that are there anyway.
#[inline(always)]
fn add_product<V: Vector, const LEAF: usize>(sums: &mut [V; 6], a: &[V; LEAF], b: &[V; LEAF]) {
    let mut squares = *a;
    for i in 0..LEAF {
        squares[i] = mul(a[i], b[i]);
        sums[2 * i] = sums[2 * i].add(squares[i]);
        for j in 0..i {
            let both = mul(a[i].add(a[j]), b[i].add(b[j]));
            sums[i + j] = sums[i + j].add(both.sub(squares[i]).sub(squares[j]));
        }
    }
}

/// Adds those of the square of a leaf.
#[inline(always)]
fn add_square<V: Vector, const LEAF: usize>(sums: &mut [V; 6], a: &[V; LEAF]) {
    for i in 0..LEAF {
        sums[2 * i] = sums[2 * i].add(mul(a[i], a[i]));
        let twice = a[i].add(a[i]);
        for j in 0..i {
            sums[i + j] = sums[i + j].add(mul(twice, a[j]));
        }
    }
}

/// Digits of signed numbers: each is the nearest integer's distance, and the rest a carry that the next one takes in.
/// Twice over, for a carry out of a coefficient is longer than a digit: so no carry waits for another one.
struct Carries<V> {
    base: V,
    inverse: V,
    /// What comes out of the registers before.
    first: V,
    second: V,
}

impl<V: Vector> Carries<V> {
    #[inline(always)]
    fn new(bits: u32) -> Self {
        let base = (1u64 << bits) as f64;
        Self {
            base: V::all(base),
            inverse: V::all(1.0 / base),
            first: V::all(0.0),
            second: V::all(0.0),
        }
    }

    /// The digits, of at most half of the base, and the carries.
    #[inline(always)]
    fn digit(&self, numbers: V) -> (V, V) {
        let carries = numbers.times(self.inverse).rounded();
        (carries.times_from(self.base, numbers), carries)
    }

    /// The digits of the next coefficients.
    #[inline(always)]
    fn digits(&mut self, coefficients: V) -> V {
        let (digits, carries) = self.digit(coefficients);
        let digits = digits.add(carries.registers_before(self.first));
        self.first = carries;
        self.short_digits(digits)
    }

    /// Those of coefficients that are not much longer than digits.
    #[inline(always)]
    fn short_digits(&mut self, coefficients: V) -> V {
        let (digits, carries) = self.digit(coefficients);
        let digits = digits.add(carries.registers_before(self.second));
        self.second = carries;
        digits
    }

    /// Takes the carries out of the last register into the first ones.
    #[inline(always)]
    fn end(self, digits: &mut [Lanes], bits: u32, is_negacyclic: bool) {
        let (first, second) = (self.first.last_register(), self.second.last_register());
        let (digit, carry) = Carries::new(bits).digit(digits[0].add(in_next_lane(first, is_negacyclic)));
        digits[0] = digit.add(in_next_lane(second, is_negacyclic));
        digits[1] = digits[1].add(carry);
    }
}

#[inline(always)]
fn each_reduced<V: Vector, const N: usize>(mut a: [V; N]) -> [V; N] {
    for a in &mut a {
        *a = reduced(*a);
    }
    a
}

#[inline(always)]
fn each_add<V: Vector, const N: usize>(mut a: [V; N], b: [V; N]) -> [V; N] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = a.add(b);
    }
    a
}

#[inline(always)]
fn each_sub<V: Vector, const N: usize>(mut a: [V; N], b: [V; N]) -> [V; N] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = a.sub(b);
    }
    a
}

#[inline(always)]
fn each_by<V: Vector, const N: usize>(mut a: [V; N], b: Factor) -> [V; N] {
    for a in &mut a {
        *a = mul_by(*a, b);
    }
    a
}
