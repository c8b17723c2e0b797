//! A and C, the easy leaves: sums of `pi(x / (p q))` that a table of `pi` up to `sqrt x` answers.
//!
//! Gourdon 2001, page 4. For each prime `p` there are runs of primes `q` with one weight; what does not depend on
//! `pi(x / (p q))` is summed in closed form apart ([`constants`]). The range of `x / (p q)` is cut into segments, so
//! that the piece of the table in use stays in the cache.
//!
//! A, for `x* < p <= x^(1/3)`: the `q` of `p < q <= sqrt(x / p)`, with weight 2 if `x / (p q) < y` and 1 if not.
//!
//! C, for `19 < p <= x*`: `-mu(m) (pi(x / (p m)) - b + 2)` for the `m` of `max(y / p, x / p^3) < m <= y` whose prime
//! factors are all above `p`. Such an `m` is a prime or, if `p < sqrt y`, the product of two. For primes `m = q` above
//! `s = sqrt(x / p)` the sum of `pi(x / (p q))` counts the lattice points `q r <= x / p` by columns; counted by rows it
//! is a sum over fewer `r <= s`.

use super::easy_sum::{far, near};
use super::quotient::{Dividend, divide, quotient, square_root};
use super::shape::Shape;
use super::table::PiTable;
use super::tables::Tables;
use std::ops::Range;

/// What leaves come to: the sum of their `pi(x / (p m))`, counted from the beginning of a segment, or of what stands
/// beside those.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub(crate) sum: i128,
    /// How often the primes before the segment have to be added.
    pub(crate) weight: i128,
    /// How many leaves there are.
    pub(crate) count: u64,
}

impl Leaves {
    /// Adds more leaves.
    pub(crate) fn add(&mut self, more: Self) {
        self.add_times(1, more);
    }

    /// Adds more leaves with a weight.
    fn add_times(&mut self, weight: i128, more: Self) {
        self.sum += weight * more.sum;
        self.weight += weight * more.weight;
        self.count += more.count;
    }
}

/// What the leaves of neighbouring places bring, in order: primes in a segment, and segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The leaves, counted from the beginning of the first segment.
    pub(crate) leaves: Leaves,
    /// How many primes there are from there to the segment after the last place.
    pub(crate) primes: u64,
}

impl Piece {
    /// Appends the next piece to this one.
    pub(crate) fn append(&mut self, next: Self) {
        self.leaves.sum += next.leaves.weight * i128::from(self.primes);
        self.leaves.add(next.leaves);
        self.primes += next.primes;
    }
}

/// The primes `p` (as indices) that have easy leaves.
pub(crate) fn all(tables: &Tables) -> Range<usize> {
    Shape::K + 1..tables.index(tables.shape.cbrt_x) + 1
}

/// Where the primes of C for one `p` begin and end, and where columns turn into rows.
struct Columns {
    /// `x / p`.
    xp: u128,
    /// Leaves have `m > low`.
    low: u64,
    /// Primes up to this one are counted by columns.
    turn: u64,
}

impl Columns {
    fn new(shape: &Shape, prime: u64) -> Option<Self> {
        let xp = divide(shape.x, prime);
        let low = prime.max(shape.y / prime).max(quotient(xp, prime * prime));
        let turn = square_root(xp).clamp(low, shape.y.max(low));
        (low < shape.y).then_some(Self { xp, low, turn })
    }

    /// The rows above the turn: all `r` up to the first have all columns, the `r` up to the second reach beyond the
    /// turn.
    fn rows(&self, y: u64) -> (u64, u64) {
        (quotient(self.xp, y), quotient(self.xp, self.turn + 1))
    }
}

/// The part of C that does not depend on any `pi(x / (p m))`, from these primes; and how many leaves A and C look up
/// for them.
pub(crate) fn constants(tables: &Tables, primes: Range<usize>) -> Leaves {
    let shape = &tables.shape;
    let index = |n: u64| tables.index(n) as u64;
    let product = |a: u64, b: u64| i128::from(a) * i128::from(b);
    let pi_y = index(shape.y);
    let mut all = Leaves::default();
    for b in primes {
        let prime = tables.prime(b);
        if prime > shape.x_star {
            all.count += index(square_root(divide(shape.x, prime))) - b as u64;
            continue;
        }
        let Some(columns) = Columns::new(shape, prime) else {
            continue;
        };
        let before = b as u64 - 2;
        all.sum -= product(before, pi_y - index(columns.low));
        all.count += index(columns.turn) - index(columns.low);
        if columns.turn < shape.y {
            let (full, reach) = columns.rows(shape.y);
            let (full, reach) = (index(full), index(reach));
            all.sum += product(full, pi_y) - product(index(columns.turn), reach);
            all.count += reach - full;
        }
        for_each_second(tables, b, &columns, |_, run| {
            all.sum += product(before, run.len() as u64);
            all.count += run.len() as u64;
        });
    }
    all
}

/// Calls `each` with `q` and the indices of the primes `r > q` for all `m = q r` of C.
fn for_each_second(tables: &Tables, b: usize, columns: &Columns, mut each: impl FnMut(u64, Range<usize>)) {
    let y = tables.shape.y;
    for &second in &tables.primes[b + 1..] {
        let second = u64::from(second);
        if second * second > y {
            break;
        }
        let low = second.max(columns.low / second);
        let high = y / second;
        if low < high {
            each(second, tables.index(low) + 1..tables.index(high) + 1);
        }
    }
}

/// The indices of primes `p` that may have leaves in this segment.
pub(crate) fn in_segment(tables: &Tables, low: u64) -> Range<usize> {
    let shape = &tables.shape;
    let Range { start, end } = all(tables);
    // Every x / (p q) of A and of the primes of C is at least sqrt(x / p), up to rounding; the products of C have p <
    // sqrt y.
    let root = square_root(divide(shape.x, low.max(1))).saturating_add(1);
    let last = root.max(shape.y.isqrt()).min(shape.cbrt_x);
    start..end.min(tables.index(last) + 1).max(start)
}

/// A bound, up to a small factor, of the leaves each of the primes from `b` on has in this segment.
pub(crate) fn most_leaves(tables: &Tables, segment: &Range<u64>, b: usize) -> u64 {
    let prime = tables.prime(b.min(tables.primes.len() - 1));
    let xp = divide(tables.shape.x, prime);
    let last = quotient(xp, segment.start.max(1))
        .min(square_root(xp))
        .min(tables.shape.table_limit());
    let first = quotient(xp, segment.end);
    if first < last {
        (tables.index(last) - tables.index(first)) as u64
    } else {
        0
    }
}

/// The leaves of the `b`-th prime in one segment.
pub(crate) fn leaves(tables: &Tables, segment: &PiTable, b: usize) -> Leaves {
    let shape = &tables.shape;
    let prime = tables.prime(b);
    let xp = divide(shape.x, prime);
    let clip = Clip::new(tables, segment, xp);
    let mut all = Leaves::default();
    if prime > shape.x_star {
        let root = square_root(xp);
        let light = quotient(xp, shape.y).clamp(prime, root);
        all.add(clip.between(prime, light));
        all.add_times(2, clip.between(light, root));
        return all;
    }
    let Some(columns) = Columns::new(shape, prime) else {
        return all;
    };
    all.add(clip.between(columns.low, columns.turn));
    if columns.turn < shape.y {
        let (full, reach) = columns.rows(shape.y);
        all.add(clip.between(full, reach));
    }
    // The products have m > x / p^3, so x / (p m) is below p^2.
    if segment.low() < prime * prime {
        for_each_second(tables, b, &columns, |second, run| {
            all.add_times(-1, Clip::new(tables, segment, divide(xp, second)).among(run));
        });
    }
    all
}

/// How many second primes [`leaves`] goes through for the `b`-th prime in one segment, at most.
#[inline]
pub(crate) fn pairs(tables: &Tables, segment: &PiTable, b: usize) -> u64 {
    let (y, prime) = (tables.shape.y, tables.prime(b));
    if segment.low() < prime * prime && prime * prime <= y {
        (tables.index(y.isqrt()) - b) as u64
    } else {
        0
    }
}

/// The primes `q` for which `xp / q` lies in one segment.
struct Clip<'a> {
    tables: &'a Tables,
    segment: &'a PiTable,
    xp: u128,
    /// `q > above`.
    above: u64,
    /// `q <= up_to`.
    up_to: u64,
}

impl<'a> Clip<'a> {
    fn new(tables: &'a Tables, segment: &'a PiTable, xp: u128) -> Self {
        Self {
            tables,
            segment,
            xp,
            above: quotient(xp, segment.high()),
            up_to: match segment.low() {
                0 => u64::MAX,
                low => quotient(xp, low),
            },
        }
    }

    /// The `pi(xp / q)` in the segment for the primes `q` of `above < q <= up_to`.
    fn between(&self, above: u64, up_to: u64) -> Leaves {
        let above = above.max(self.above);
        let up_to = up_to.min(self.up_to);
        if above >= up_to {
            return Leaves::default();
        }
        self.total(self.tables.index(above) + 1..self.tables.index(up_to) + 1)
    }

    /// The same for primes given by their indices.
    fn among(&self, run: Range<usize>) -> Leaves {
        if run.is_empty() {
            return Leaves::default();
        }
        let (first, last) = (self.tables.prime(run.start), self.tables.prime(run.end - 1));
        self.between(first - 1, last)
    }

    fn total(&self, run: Range<usize>) -> Leaves {
        let Self {
            tables, segment, xp, ..
        } = self;
        let primes = &tables.primes[run.clone()];
        let reciprocals = tables.reciprocals.get(run.clone());
        let inside = match reciprocals.filter(|_| *xp < u128::from(tables.near)) {
            Some(reciprocals) => near(tables.instructions, segment, *xp as u64, reciprocals),
            None => far(tables.instructions, segment, Dividend::new(*xp), primes),
        };
        Leaves {
            sum: inside.into(),
            weight: run.len() as i128,
            count: run.len() as u64,
        }
    }
}
