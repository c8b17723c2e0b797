//! Where stretches begin, and how the easy leaves of one are cut into pieces by their first prime.
//!
//! Knows no leaf: how many lie where is estimated. Machines that share a sum must cut alike, so estimates are made of
//! operations that IEEE 754 rounds everywhere in the same way, and of no logarithm of the machine's.

use super::Shape;
use crate::primes::wheel::{NUMBERS_PER_BYTE, NUMBERS_PER_WORD};
use std::f64::consts::LN_2;
use std::ops::{Range, RangeInclusive};

/// Numbers of a stretch up to the root of x, where all easy leaves are: one segment. And beyond.
const LEAFY: u64 = 64 * 1024 * NUMBERS_PER_BYTE;
const LONG: Range<u64> = 1 << 20..1 << 25;

/// Easy leaves of a piece: a tenth of a second, of which sieving the stretch anew is a hundredth.
const LEAVES: f64 = (1 << 24) as f64;

/// All stretches of a sum. Those up to the root of `x` are pieces; each of the others is one.
#[derive(Clone, Debug)]
pub(crate) struct Stretching {
    last: u64,
    /// How many stretches have leaves, and the numbers of each of these and of each of the others.
    leafy: u64,
    short: u64,
    long: u64,
    pieces: Vec<Piece>,
    /// How many stretches are cut.
    cut: u64,
    /// Easy leaves of all pieces, about.
    leaves: f64,
}

/// A piece of a stretch that has leaves.
#[derive(Clone, Copy, Debug)]
struct Piece {
    stretch: u64,
    /// The first primes of its leaves are at least this, and below where the next piece of the stretch begins.
    first: u64,
    /// Easy leaves of all pieces before, about.
    before: f64,
}

/// What is added up at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The numbers of the stretch.
    pub(crate) numbers: RangeInclusive<u64>,
    /// The first primes of its easy leaves.
    pub(crate) primes: Range<u64>,
    /// Whether it is the last of its stretch, to which all else belongs that lies there.
    pub(crate) is_last: bool,
}

impl Stretching {
    pub(crate) fn new(shape: Shape) -> Self {
        Self::with_pieces(shape, LEAVES)
    }

    /// With pieces of about `most` easy leaves.
    pub(super) fn with_pieces(shape: Shape, most: f64) -> Self {
        let mut stretching = Self::uncut(shape);
        while stretching.cut < stretching.leafy {
            stretching.cut_next(shape, most);
        }
        stretching
    }

    /// Before any stretch is cut.
    pub(super) fn uncut(shape: Shape) -> Self {
        let long = (shape.last / 64)
            .clamp(LONG.start, LONG.end)
            .next_multiple_of(NUMBERS_PER_WORD);
        let short = long.min(LEAFY);
        Self {
            last: shape.last,
            leafy: shape.root2 / short + 1,
            short,
            long,
            pieces: Vec::new(),
            cut: 0,
            leaves: 0.0,
        }
    }

    /// Cuts stretches until all are, or until `over`, which is asked after each; true if all are.
    pub(super) fn advance(&mut self, shape: Shape, mut over: impl FnMut() -> bool) -> bool {
        while self.cut < self.leafy {
            self.cut_next(shape, LEAVES);
            if over() {
                return false;
            }
        }
        true
    }

    /// Cuts one stretch.
    fn cut_next(&mut self, shape: Shape, most: f64) {
        let stretch = self.cut;
        self.cut += 1;
        let numbers = self.numbers(stretch);
        let mut piece = Piece {
            stretch,
            first: 0,
            before: self.leaves,
        };
        // A leaf is below the square of its first prime.
        let mut first = shape.root_y.max(numbers.start().isqrt());
        while first < shape.root3 {
            let end = first + first / 16 + 1;
            let leaves = leaves_about(shape, first..end, &numbers);
            while self.leaves + leaves - piece.before > most {
                // The leaves between two primes that are near each other lie evenly.
                let share = (piece.before + most - self.leaves) / leaves;
                self.pieces.push(piece);
                piece = Piece {
                    stretch,
                    first: first + (share * (end - first) as f64) as u64,
                    before: piece.before + most,
                };
            }
            self.leaves += leaves;
            first = end;
        }
        self.pieces.push(piece);
    }

    /// The numbers of a stretch.
    fn numbers(&self, stretch: u64) -> RangeInclusive<u64> {
        let low = |stretch: u64| self.short * stretch.min(self.leafy) + self.long * stretch.saturating_sub(self.leafy);
        low(stretch)..=self.last.min(low(stretch + 1) - 1)
    }

    /// How many units there are.
    pub(crate) fn units(&self) -> u64 {
        let rest = (self.last + 1).saturating_sub(self.short * self.leafy);
        self.pieces.len() as u64 + rest.div_ceil(self.long)
    }

    /// The unit of an index.
    pub(crate) fn unit(&self, index: u64) -> Unit {
        let Some(piece) = self.piece(index) else {
            return Unit {
                numbers: self.numbers(self.leafy + index - self.pieces.len() as u64),
                primes: 0..0,
                is_last: true,
            };
        };
        let next = self.piece(index + 1).filter(|next| next.stretch == piece.stretch);
        Unit {
            numbers: self.numbers(piece.stretch),
            primes: piece.first..next.map_or(u64::MAX, |next| next.first),
            is_last: next.is_none(),
        }
    }

    fn piece(&self, index: u64) -> Option<&Piece> {
        self.pieces.get(usize::try_from(index).ok()?)
    }

    /// About how many easy leaves the units before this one have, and where its stretch begins.
    pub(crate) fn before(&self, index: u64) -> (f64, u64) {
        match self.piece(index) {
            Some(piece) => (piece.before, self.short * piece.stretch),
            None => {
                let beyond = index.saturating_sub(self.pieces.len() as u64);
                (self.leaves, self.short * self.leafy + self.long * beyond)
            }
        }
    }

    /// About how many easy leaves there are.
    pub(crate) const fn leaves(&self) -> f64 {
        self.leaves
    }
}

/// About how many easy leaves among these numbers have their first prime in this range.
fn leaves_about(shape: Shape, primes: Range<u64>, numbers: &RangeInclusive<u64>) -> f64 {
    let p = primes.start.midpoint(primes.end);
    let Some(easy) = shape.easy(p) else { return 0.0 };
    let between = |from: u64, to: u64| to.saturating_sub(from) as f64 / logarithm(to);
    let (above, up_to) = easy.second_primes(numbers);
    let [(low, turn), (from, to)] = easy.ways();
    let leaves = between(low.max(above), turn.min(up_to)) + between(from.max(above), to.min(up_to));
    leaves * between(primes.start, primes.end)
}

/// The natural logarithm of a number, at most .09 below.
fn logarithm(n: u64) -> f64 {
    // The bits of a double are its exponent and then what a linear function takes for the logarithm between two powers.
    let bits = (n.max(2) as f64).to_bits() as f64;
    LN_2 * (bits / (1_u64 << 52) as f64 - 1023.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_all_stretches_one_after_the_other_and_all_primes_of_each() {
        for x in [1_000_000, 123_456_789, 10_u64.pow(13), 10_u64.pow(16), u64::MAX] {
            let stretching = Stretching::new(Shape::new(x));
            let (mut next, mut prime, mut leaves) = (0, 0, 0.0);
            for index in 0..stretching.units() {
                let Unit {
                    numbers,
                    primes,
                    is_last,
                } = stretching.unit(index);
                assert_eq!((*numbers.start(), primes.start), (next, prime), "{x}: {index}");
                assert!(numbers.start() <= numbers.end() && primes.start <= primes.end);
                let (before, low) = stretching.before(index);
                assert!(low == next && before >= leaves && before <= leaves + LEAVES * 1.001);
                leaves = before;
                prime = if is_last { 0 } else { primes.end };
                if is_last {
                    next = numbers.end() + 1;
                }
            }
            assert_eq!((next, prime), (Shape::new(x).last + 1, 0), "{x}");
        }
    }

    #[test]
    fn the_first_stretch_is_cut_where_it_has_most_leaves() {
        let stretching = Stretching::new(Shape::new(10_u64.pow(15)));
        let first = (0..)
            .take_while(|index| stretching.unit(*index).numbers.contains(&0))
            .count();
        // 2 10^8 leaves, 95 of 100 in the first stretch of 17, counted.
        assert!((10..15).contains(&first), "{first}");
        assert!((1.8e8..2.2e8).contains(&stretching.leaves()), "{}", stretching.leaves());
    }
}
