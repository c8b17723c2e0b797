//! A and C, the easy leaves: sums of `pi(x / (p q))` that a table of `pi` up to `sqrt x` answers.
//!
//! Gourdon 2001, page 4. For each prime `p` there are runs of primes `q` with one weight; what does not depend on `pi(x / (p q))`
//! is summed in closed form apart ([`constants`]). The range of `x / (p q)` is cut into segments, so that the piece of the table in use
//! stays in the cache.
//!
//! A, for `x* < p <= x^(1/3)`: the `q` of `p < q <= sqrt(x / p)`, with weight 2 if `x / (p q) < y` and 1 if not.
//!
//! C, for `19 < p <= x*`: `-mu(m) (pi(x / (p m)) - b + 2)` for the `m` of `max(y / p, x / p^3) < m <= y` whose prime factors are all
//! above `p`. Such an `m` is a prime or, if `p < sqrt y`, the product of two. For primes `m = q` above `s = sqrt(x / p)` the sum of
//! `pi(x / (p q))` counts the lattice points `q r <= x / p` by columns; counted by rows it is a sum over fewer `r <= s`.

use super::easy_sum;
use super::shape::Shape;
use super::table::PiTable;
use super::tables::Tables;
use std::ops::Range;

/// The primes `p` (as indices) that have easy leaves.
pub(crate) fn all(tables: &Tables) -> Range<usize> {
    Shape::K + 1..tables.index(tables.shape.cbrt_x) + 1
}

/// Where the primes of C for one `p` begin and end, and where columns turn into rows.
struct Columns {
    /// `x / p`.
    xp: u64,
    /// Leaves have `m > low`.
    low: u64,
    /// Primes up to this one are counted by columns.
    turn: u64,
}

impl Columns {
    fn new(shape: &Shape, prime: u64) -> Option<Self> {
        let xp = shape.x / prime;
        let low = prime.max(shape.y / prime).max(xp / (prime * prime));
        let turn = xp.isqrt().clamp(low, shape.y.max(low));
        (low < shape.y).then_some(Self { xp, low, turn })
    }

    /// The rows above the turn: all `r` up to the first have all columns, the `r` up to the second reach behind the turn.
    fn rows(&self, y: u64) -> (u64, u64) {
        (self.xp / y, self.xp / (self.turn + 1))
    }
}

/// The part of C that does not depend on any `pi(x / (p m))`, from these primes.
pub(crate) fn constants(tables: &Tables, primes: Range<usize>) -> u64 {
    let shape = &tables.shape;
    let last = tables.index(shape.x_star);
    let pi_y = tables.index(shape.y) as u64;
    let mut sum = 0_u64;
    for b in primes.start..primes.end.min(last + 1) {
        let prime = tables.prime(b);
        let Some(columns) = Columns::new(shape, prime) else {
            continue;
        };
        let index = |n: u64| tables.index(n) as u64;
        let leaves = pi_y - index(columns.low);
        sum = sum.wrapping_sub((b as u64 - 2).wrapping_mul(leaves));
        if columns.turn < shape.y {
            let (full, reach) = columns.rows(shape.y);
            let inside = index(columns.turn).wrapping_mul(index(reach));
            sum = sum.wrapping_add(index(full).wrapping_mul(pi_y)).wrapping_sub(inside);
        }
        for_each_second(tables, b, &columns, |_, run| {
            sum = sum.wrapping_add((b as u64 - 2).wrapping_mul(run.len() as u64));
        });
    }
    sum
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
pub(crate) fn in_segment(tables: &Tables, low: u64, high: u64) -> Range<usize> {
    let shape = &tables.shape;
    let Range { start, end } = all(tables);
    // Every x / (p q) of A and of the primes of C is at least sqrt(x / p), up to rounding; the products of C have p < sqrt y.
    let root = (shape.x / low.max(1)).isqrt() + 1;
    let last = root.max(shape.y.isqrt()).min(shape.cbrt_x);
    // Every one is at most x / p^2, and for p <= x* at most p^2 or y.
    let first = if high > shape.y {
        (shape.x / high).isqrt().min(high.isqrt())
    } else {
        1
    };
    let _ = first;
    start..end.min(tables.index(last) + 1).max(start)
}

/// A bound, up to a small factor, of the leaves each of the primes from `b` on has in this segment.
pub(crate) fn most_leaves(tables: &Tables, segment: &PiTable, b: usize) -> u64 {
    let prime = tables.prime(b.min(tables.primes.len() - 1));
    let xp = tables.shape.x / prime;
    let last = (xp / segment.low().max(1)).min(xp.isqrt()).min(tables.pi.high() - 1);
    let first = xp / segment.high();
    if first < last {
        (tables.index(last) - tables.index(first)) as u64
    } else {
        0
    }
}

/// The sum of the leaves of the `b`-th prime in one segment, and how many were looked up.
pub(crate) fn leaves(tables: &Tables, segment: &PiTable, b: usize) -> (u64, u64) {
    let shape = &tables.shape;
    let prime = tables.prime(b);
    let xp = shape.x / prime;
    let clip = Clip::new(tables, segment, xp);
    if prime > shape.x_star {
        let root = xp.isqrt();
        let light = (xp / shape.y).clamp(prime, root);
        let one = clip.sum(prime, light);
        let two = clip.sum(light, root);
        return (one.0.wrapping_add(two.0.wrapping_mul(2)), one.1 + two.1);
    }
    let Some(columns) = Columns::new(shape, prime) else {
        return (0, 0);
    };
    let (mut sum, mut count) = clip.sum(columns.low, columns.turn);
    if columns.turn < shape.y {
        let (full, reach) = columns.rows(shape.y);
        let rows = clip.sum(full, reach);
        sum = sum.wrapping_add(rows.0);
        count += rows.1;
    }
    for_each_second(tables, b, &columns, |second, run| {
        let clip = Clip::new(tables, segment, xp / second);
        let seconds = clip.indices(run);
        sum = sum.wrapping_sub(seconds.0);
        count += seconds.1;
    });
    (sum, count)
}

/// The primes `q` for which `xp / q` lies in one segment.
struct Clip<'a> {
    tables: &'a Tables,
    segment: &'a PiTable,
    xp: u64,
    /// `q > above`.
    above: u64,
    /// `q <= up_to`.
    up_to: u64,
}

impl<'a> Clip<'a> {
    fn new(tables: &'a Tables, segment: &'a PiTable, xp: u64) -> Self {
        Self {
            tables,
            segment,
            xp,
            above: xp / segment.high(),
            up_to: xp.checked_div(segment.low()).unwrap_or(u64::MAX),
        }
    }

    /// The sum of `pi(xp / q)` over the primes `q` of `above < q <= up_to` in the segment, and how many there are.
    fn sum(&self, above: u64, up_to: u64) -> (u64, u64) {
        let above = above.max(self.above);
        let up_to = up_to.min(self.up_to);
        if above >= up_to {
            return (0, 0);
        }
        self.total(self.tables.index(above) + 1..self.tables.index(up_to) + 1)
    }

    /// The same over primes given by their indices.
    fn indices(&self, run: Range<usize>) -> (u64, u64) {
        let (first, last) = (self.tables.prime(run.start), self.tables.prime(run.end - 1));
        if run.is_empty() || last <= self.above || first > self.up_to {
            return (0, 0);
        }
        let start = if first > self.above {
            run.start
        } else {
            self.tables.index(self.above) + 1
        };
        let end = if last <= self.up_to {
            run.end
        } else {
            self.tables.index(self.up_to) + 1
        };
        self.total(start..end)
    }

    fn total(&self, run: Range<usize>) -> (u64, u64) {
        let tables = self.tables;
        let (primes, reciprocals) = (&tables.primes[run.clone()], &tables.reciprocals[run.clone()]);
        let sum = easy_sum::sum(tables.level, self.segment, self.xp, primes, reciprocals);
        (sum, run.len() as u64)
    }
}
