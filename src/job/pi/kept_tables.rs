//! The table of `pi` up to `sqrt x` for A + C: pieces of it, of which two are kept. Knows no leaves.

use crate::primes::pi::semiprimes;
use crate::primes::pi::shape::Shape;
use crate::primes::pi::table::{ALIGNMENT, Filling, PiTable};
use std::ops::Range;
use std::sync::Arc;

/// How many numbers a piece covers: 512 KB of table, half of a usual second-level cache, of which primes take the rest.
pub(super) const STEP: u64 = ALIGNMENT << 12;

/// The pieces that are kept, and what the last one is needed for.
#[derive(Default)]
pub(super) struct KeptTables {
    kept: Vec<Arc<PiTable>>,
    is_under_way: bool,
    /// How many primes there are above where B begins, and above `sqrt x`, up to the end of the last piece: both lie in
    /// it.
    pub(super) after: [u64; 2],
}

/// How many pieces there are.
pub(super) const fn pieces(shape: &Shape) -> u64 {
    shape.sqrt_x / STEP + 1
}

/// The numbers of a piece; the end of the last one's is rounded up to a whole word.
pub(super) fn numbers(shape: &Shape, number: u64) -> Range<u64> {
    let low = number * STEP;
    low..(low + STEP).min(shape.sqrt_x + 1)
}

fn number(table: &PiTable) -> u64 {
    table.low() / STEP
}

impl KeptTables {
    /// The piece of this number, if it is there.
    pub(super) fn get(&self, wanted: u64) -> Option<Arc<PiTable>> {
        self.kept.iter().find(|table| number(table) == wanted).cloned()
    }

    /// Begins to make the first of two pieces that is not there, unless another is being made.
    pub(super) fn cut(&mut self, shape: &Shape, mut wanted: Range<u64>) -> Option<Filling> {
        if self.is_under_way {
            return None;
        }
        let Range { start, end } = numbers(shape, wanted.find(|number| self.get(*number).is_none())?);
        self.is_under_way = true;
        Some(Filling::new(start, end))
    }

    /// Takes in a piece, and keeps it and the others as far as they are wanted.
    pub(super) fn add(&mut self, table: PiTable, shape: &Shape, wanted: &Range<u64>) {
        self.is_under_way = false;
        if number(&table) + 1 == pieces(shape) {
            self.after = [semiprimes::start(shape), shape.sqrt_x].map(|n| table.count() - table.pi(n));
        }
        self.kept.push(Arc::new(table));
        self.kept.retain(|table| wanted.contains(&number(table)));
    }
}
