//! B: the sum of `pi(x / p)` over the primes `p` of `y < p <= sqrt x`, by sieving up to `x / y`.
//!
//! Gourdon 2001, page 4. A piece `low..high` answers the `p` with `x / p` in it, counting from `low`; put together in
//! order the pieces give the sum. A piece sieves twice: its `p`, which are few, and then itself.

use super::quotient::{divide, quotient};
use super::shape::Shape;
use crate::primes::sieve::{Cost, Sieve, Step};

/// How many numbers a piece may have at most: a few milliseconds of sieving.
const MOST: u64 = 40_000_000;

/// How many numbers the `p` of a piece may lie apart: what keeps their list below a megabyte.
const MOST_APART: u64 = 4_000_000;

/// What a piece of B brings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The sum over the piece's `p` of the primes in `low..=x / p`.
    pub(crate) sum: u128,
    /// How many `p` there are.
    pub(crate) queries: u64,
    /// How many primes there are in the piece.
    pub(crate) count: u64,
}

impl Piece {
    /// Appends the next piece to this one.
    pub(crate) fn append(&mut self, next: Self) {
        self.sum += next.sum + u128::from(next.queries) * u128::from(self.count);
        self.queries += next.queries;
        self.count += next.count;
    }

    /// The sum of `pi(x / p)` itself, where `before` primes lie before the first piece.
    pub(crate) fn counted_from(&self, before: u64) -> u128 {
        self.sum + u128::from(self.queries) * u128::from(before)
    }
}

/// Upper bound of the bytes of a piece at work: the last one has the largest sieving primes.
pub(crate) fn memory(shape: &Shape) -> u64 {
    let last = shape.sieve_limit();
    let places = 4 * MOST_APART / 8;
    let sieve = Sieve::new(last.saturating_sub(MOST), last).memory_bound();
    places + sieve + Sieve::new(shape.sqrt_x / 2, shape.sqrt_x).memory_bound()
}

/// What sieving costs for each number, in nanoseconds.
pub(crate) fn cost_per_number(shape: &Shape) -> f64 {
    1.8 * Cost::of_a_number(shape.sieve_limit().isqrt() as f64)
}

/// Where B begins: a multiple of 240, so that `pi` is the same there and right before.
pub(crate) fn start(shape: &Shape) -> u64 {
    Sieve::align(shape.sqrt_x)
}

/// Where the piece that begins at `low` ends.
pub(crate) fn end(shape: &Shape, low: u64) -> u64 {
    // At most (x / y)^2 times 4 million: 2^125 for the largest x with the y of this program; a part from elsewhere may
    // have a smaller one.
    let apart = (u128::from(low) * u128::from(low)).saturating_mul(MOST_APART.into()) / shape.x;
    let length = (apart.min(MOST.into()) as u64).clamp(MOST_APART, MOST) / 240 * 240;
    (low + length).min(shape.sieve_limit() + 1)
}

/// `x / p - low`, at least 0: what is left of `x` is a word, unless `x` is far above `10^23`.
#[inline]
fn place(x: u128, p: u64, low: u64) -> u32 {
    divide(x - u128::from(low) * u128::from(p), p) as u32
}

/// A piece at work.
#[derive(Debug)]
pub(crate) struct Work {
    shape: Shape,
    low: u64,
    /// Finds the `p`, ascending; then is gone.
    finder: Option<Sieve>,
    /// `x / p - low` for the `p` that wait, the smallest last.
    places: Vec<u32>,
    sieve: Sieve,
    piece: Piece,
}

impl Work {
    /// Begins the piece at `low`.
    pub(crate) fn new(shape: &Shape, low: u64) -> Self {
        let end = end(shape, low);
        let first = (quotient(shape.x, end) + 1).max(shape.y + 1);
        let last = quotient(shape.x, low).min(shape.sqrt_x);
        Self {
            shape: *shape,
            low,
            finder: Some(Sieve::new(first, last)),
            places: Vec::new(),
            sieve: Sieve::new(low, end - 1),
            piece: Piece::default(),
        }
    }

    /// Works for some 10 to 200 microseconds; true when all is done.
    pub(crate) fn step(&mut self) -> bool {
        let Self {
            shape,
            low,
            finder,
            places,
            sieve,
            piece,
        } = self;
        if let Some(sieve) = finder {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => segment.for_each(|p| places.push(place(shape.x, p, *low))),
                Step::Done => *finder = None,
            }
            return false;
        }
        match sieve.step() {
            Step::Busy => false,
            Step::Segment(segment) => {
                let rest = places.partition_point(|&place| *low + u64::from(place) > segment.last());
                let queries = (places.len() - rest) as u64;
                piece.sum += u128::from(queries) * u128::from(piece.count);
                piece.sum += u128::from(segment.sum_of_ranks(*low, &places[rest..]));
                piece.queries += queries;
                places.truncate(rest);
                piece.count += segment.count();
                false
            }
            Step::Done => true,
        }
    }

    /// What the piece brings, once all is done.
    pub(crate) fn piece(&self) -> Piece {
        self.piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_for_every_piece() {
        for exponent in 60..=250 {
            let x = 10_f64.powf(f64::from(exponent) / 10.0) as u128;
            let shape = Shape::new(x.clamp(Shape::LEAST.into(), Shape::MOST));
            let (start, limit) = (start(&shape), shape.sieve_limit());
            let places = |from: u64| (start + (limit - start) / 8 * from) / 240 * 240;
            let lows = (0..8)
                .map(places)
                .chain([limit.saturating_sub(MOST).max(start) / 240 * 240]);
            for low in lows.filter(|low| (start..=limit).contains(low)) {
                let work = Work::new(&shape, low);
                let finder = work.finder.map_or(0, |finder| finder.memory_bound());
                assert!(work.sieve.memory_bound() + finder <= memory(&shape), "{shape:?} {low}");
            }
        }
    }
}
