//! The plan of `primes A B`: streams the primes of a range as rows of text, in order, and then says how many there were. Knows
//! nothing of the wire the rows go to.
//!
//! There are two kinds of slices. One sieves the next segment; there is only one sieve, so only one such slice is under way. The
//! others each format a piece of a sieved segment, many at once and in any order; `absorb` puts their rows in order again. A row
//! holds 64 primes; the last one of each piece may be shorter. Pieces depend on the range alone, so rows are always the same.

use super::{Budget, Plan};
use crate::primes::sieve::{OwnedSegment, Segment, Sieve, Step};
use crate::proto::Value;
use std::collections::{BTreeMap, VecDeque};

/// Primes in a row.
const ROW: usize = 64;

/// Bytes of a segment in a piece: at most about 130 KiB of text and 200 microseconds of work.
const PIECE: usize = 8 << 10;

/// Bytes of text that may be held or be under way before nothing more is formatted until rows are taken.
const MOST_HELD: usize = 192 << 10;

/// Numbers that are passed in a day at the most, at 10^9 a second. What a sieve holds grows with the root of where it is: for a range that
/// takes longer, room is made for the first day, as what comes after grows slower than anybody notices.
const A_DAY: u64 = 100_000_000_000_000;

/// Bytes of a segment at most. A stream that nobody reads holds one in its sieve and one in pieces, for as long as its client stays.
const SEGMENT: usize = 128 << 10;

/// With fewer pieces than this waiting to be formatted the next segment is sieved.
const FEW_PIECES: usize = 4;

/// Streams the primes of `low..=last`.
#[derive(Debug)]
pub struct Rows {
    /// Not here while a slice works with it; `None` for good once it is done.
    sieve: Option<Box<Sieve>>,
    is_sieved: bool,
    /// Sieved and waiting to be formatted.
    pieces: VecDeque<Piece>,
    /// How many pieces there have been.
    pieces_made: u64,
    /// Formatted, by the piece's number, behind one that is not.
    early: BTreeMap<u64, Vec<String>>,
    /// The number of the piece whose rows come next.
    next_piece: u64,
    /// Rows to be taken.
    rows: VecDeque<String>,
    /// Bytes of text in pieces under way, in `early` and in `rows`.
    held: usize,
    count: u64,
    /// How many numbers were sieved and formatted, and how many there are.
    numbers_done: u64,
    numbers: u64,
    /// What finding the sieving primes costs in terms of sieved numbers, and which share of it is done.
    start: f64,
    prepared: f64,
    memory: u64,
}

/// A part of a sieved segment.
#[derive(Debug)]
struct Piece {
    number: u64,
    segment: OwnedSegment,
    /// Upper bound of the bytes of its text.
    text: usize,
}

/// What can be done next for a stream of rows.
#[derive(Debug)]
pub struct RowsSlice(Work);

#[derive(Debug)]
enum Work {
    Sieve(Box<Sieve>),
    Format(Piece),
}

/// What came of it.
#[derive(Debug)]
pub struct RowsPartial(Done);

#[derive(Debug)]
enum Done {
    /// The sieve, unless it is done, and the pieces of a finished segment, not numbered yet.
    Sieved {
        sieve: Option<Box<Sieve>>,
        pieces: Vec<Piece>,
    },
    Formatted {
        number: u64,
        rows: Vec<String>,
        count: u64,
        numbers: u64,
        text: usize,
    },
}

impl Rows {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u64, last: u64) -> Self {
        let sieve = Sieve::with_segments(low, last, SEGMENT);
        let cost = sieve.cost();
        Self {
            is_sieved: low > last,
            pieces: VecDeque::new(),
            pieces_made: 0,
            early: BTreeMap::new(),
            next_piece: 0,
            rows: VecDeque::new(),
            held: 0,
            count: 0,
            numbers_done: 0,
            numbers: last.saturating_sub(low),
            start: cost.start / cost.per_number,
            prepared: 0.0,
            memory: Sieve::with_segments(low, last.min(low.saturating_add(A_DAY)), SEGMENT).memory_bound(),
            sieve: Some(Box::new(sieve)),
        }
    }

    fn is_all_taken(&self) -> bool {
        self.is_sieved && self.next_piece == self.pieces_made && self.rows.is_empty()
    }
}

impl Plan for Rows {
    type Slice = RowsSlice;
    type Partial = RowsPartial;

    fn cut(&mut self) -> Option<RowsSlice> {
        let has_room = |piece: &&Piece| self.held == 0 || self.held + piece.text <= MOST_HELD;
        if self.pieces.front().as_ref().is_some_and(has_room) {
            let piece = self.pieces.pop_front()?;
            self.held += piece.text;
            return Some(RowsSlice(Work::Format(piece)));
        }
        if self.pieces.len() < FEW_PIECES && !self.is_sieved {
            return self.sieve.take().map(|sieve| RowsSlice(Work::Sieve(sieve)));
        }
        None
    }

    fn run(slice: RowsSlice, budget: Budget<'_>) -> RowsPartial {
        RowsPartial(match slice.0 {
            Work::Sieve(sieve) => sieve_segment(sieve, budget),
            Work::Format(piece) => format_piece(&piece),
        })
    }

    fn absorb(&mut self, partial: RowsPartial) {
        match partial.0 {
            Done::Sieved { sieve, pieces } => {
                self.prepared = sieve.as_ref().map_or(1.0, |sieve| self.prepared.max(sieve.prepared()));
                self.is_sieved = sieve.is_none();
                self.sieve = sieve;
                for mut piece in pieces {
                    piece.number = self.pieces_made;
                    self.pieces_made += 1;
                    self.pieces.push_back(piece);
                }
            }
            Done::Formatted {
                number,
                rows,
                count,
                numbers,
                text,
            } => {
                self.held = self.held - text + rows.iter().map(String::len).sum::<usize>();
                self.count += count;
                self.numbers_done += numbers;
                self.early.insert(number, rows);
                while let Some(rows) = self.early.remove(&self.next_piece) {
                    self.rows.extend(rows);
                    self.next_piece += 1;
                }
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        self.is_all_taken().then(|| self.count.into())
    }

    fn progress(&self) -> f64 {
        if self.is_all_taken() {
            return 1.0;
        }
        let done = self.numbers_done as f64 + self.start * self.prepared;
        (done / (self.numbers as f64 + self.start).max(1.0)).min(1.0)
    }

    fn memory(&self, _workers: usize) -> u64 {
        // Two segments wait at most; strings have headers and rounded capacities.
        self.memory + (2 << 20) + 2 * MOST_HELD as u64
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        let rows: Vec<String> = self.rows.drain(..most.min(self.rows.len())).collect();
        self.held -= rows.iter().map(String::len).sum::<usize>();
        rows
    }
}

/// Sieves until a segment is finished or the budget is over.
fn sieve_segment(mut sieve: Box<Sieve>, budget: Budget<'_>) -> Done {
    loop {
        match sieve.step() {
            Step::Busy => {}
            Step::Segment(segment) => {
                let pieces = pieces_of(segment);
                return Done::Sieved {
                    sieve: Some(sieve),
                    pieces,
                };
            }
            Step::Done => {
                return Done::Sieved {
                    sieve: None,
                    pieces: Vec::new(),
                };
            }
        }
        if budget.over() {
            return Done::Sieved {
                sieve: Some(sieve),
                pieces: Vec::new(),
            };
        }
    }
}

fn pieces_of(segment: Segment<'_>) -> Vec<Piece> {
    let longest = segment.last().max(1).ilog10() as usize + 2;
    let piece = |part: Segment<'_>| {
        let text = part.count() as usize * longest;
        Piece {
            number: 0,
            segment: part.to_owned(),
            text,
        }
    };
    segment.parts(PIECE).map(piece).collect()
}

fn format_piece(piece: &Piece) -> Done {
    let segment = piece.segment.segment();
    let longest = segment.last().max(1).ilog10() as usize + 2;
    let mut rows = Vec::with_capacity(segment.count() as usize / ROW + 1);
    let mut row = String::new();
    let mut digits = itoa::Buffer::new();
    let mut count = 0;
    segment.for_each(|prime| {
        if count % ROW == 0 {
            if count > 0 {
                rows.push(std::mem::take(&mut row));
            }
            row.reserve_exact(ROW * longest);
        } else {
            row.push(' ');
        }
        row.push_str(digits.format(prime));
        count += 1;
    });
    if count > 0 {
        rows.push(row);
    }
    let numbers = segment.last() - segment.low() + 1;
    Done::Formatted {
        number: piece.number,
        rows,
        count: count as u64,
        numbers,
        text: piece.text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::naive;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn number(value: Value) -> u64 {
        match value {
            Value::Number(n) => u64::try_from(n).expect("a count of words fits a word"),
            other => panic!("a count is a number, not {other:?}"),
        }
    }

    /// Plays a plan with several slices out at once, tiny budgets and partials in random order; gives its rows and answer.
    fn play(low: u64, last: u64, mut dice: impl FnMut() -> usize) -> (Vec<String>, u64) {
        let mut plan = Rows::new(low, last);
        let mut out = Vec::new();
        let mut rows = Vec::new();
        let mut progress = 0.0;
        loop {
            if let Some(value) = plan.answer() {
                assert!(plan.cut().is_none());
                return (rows, number(value));
            }
            let dice = dice();
            for _ in 0..dice % 4 {
                out.extend(plan.cut());
            }
            if out.is_empty() {
                out.extend(plan.cut());
            }
            if out.is_empty() || dice.is_multiple_of(7) {
                rows.extend(plan.rows(dice % 5 + 1));
            }
            if !out.is_empty() {
                let slice = out.swap_remove(dice % out.len());
                let polls = Cell::new(dice % 50);
                let over = || polls.replace(polls.get().saturating_sub(1)) == 0;
                plan.absorb(Rows::run(slice, Budget::new(&over)));
            }
            assert!(plan.held <= 2 * MOST_HELD && plan.pieces.len() < 100);
            assert!(plan.progress() >= progress && plan.progress() <= 1.0);
            progress = plan.progress();
        }
    }

    fn primes(rows: &[String]) -> Vec<u64> {
        let words = rows.iter().flat_map(|row| row.split(' '));
        words.map(|word| word.parse().expect("a number")).collect()
    }

    #[test]
    fn a_short_range_is_a_row() {
        assert_eq!(play(0, 30, || 3), (vec!["2 3 5 7 11 13 17 19 23 29".to_owned()], 10));
        assert_eq!(play(24, 28, || 3), (vec![], 0));
        assert_eq!(play(10, 9, || 3), (vec![], 0));
        let last = 18_446_744_073_709_551_557;
        assert_eq!(play(last, u64::MAX, || 3), (vec![last.to_string()], 1));
    }

    #[test]
    fn rows_hold_64_primes() {
        let (rows, count) = play(0, 200_000, || 3);
        assert_eq!(count, 17_984);
        let lengths: Vec<usize> = rows.iter().map(|row| row.split(' ').count()).collect();
        assert!(lengths[..lengths.len() - 1].iter().all(|&length| length == ROW));
        assert_eq!(primes(&rows), naive::primes(0, 200_000));
    }

    #[test]
    fn nothing_more_is_made_while_nobody_takes_rows() {
        let mut plan = Rows::new(0, u64::MAX);
        while let Some(slice) = plan.cut() {
            plan.absorb(Rows::run(slice, Budget::unlimited()));
        }
        assert!(plan.held > 0 && plan.held <= MOST_HELD);
        assert!(!plan.rows(1).is_empty());
        assert!(plan.answer().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn rows_are_the_same_however_they_are_made(
            low in 0_u64..1 << 44,
            length in 0_u64..5_000_000,
            seed in 0_u64..,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let dice = || random.usize(..);
            let (rows, count) = play(low, low + length, dice);
            prop_assert_eq!(primes(&rows).len() as u64, count);
            prop_assert!(primes(&rows).is_sorted());
            prop_assert_eq!((rows, count), play(low, low + length, || 1));
        }
    }
}
