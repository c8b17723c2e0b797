//! The plan of `primes A B`: streams the primes of a range, or its constellations, as rows of text, in order, and then
//! says how many there were. Knows nothing of the wire the rows go to.
//!
//! There are two kinds of slices. One sieves the next segment; there is only one sieve, so only one such slice is under
//! way. The others each format a piece of a sieved segment, many at once and in any order; `absorb` puts their rows in
//! order again. A row holds up to 64 primes; the last one of each piece may be shorter. A constellation belongs to the
//! piece in which it ends. Pieces depend on the range alone, so rows are always the same.
//!
//! A checkpoint is where the rows that were taken end: what is sieved or formatted and not taken is made again.

use super::{Budget, Damaged, Plan, Reader, Writer};
use crate::primes::constellation::{Constellation, Finder};
use crate::primes::primality::is_prime_u64;
use crate::primes::sieve::{OwnedSegment, Segment, Sieve, Step};
use crate::primes::wheel::{NUMBERS_PER_BYTE, RESIDUES};
use crate::proto::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const KIND: [u8; 4] = *b"ROWS";
const VERSION: u32 = 2;

/// Primes in a row.
const ROW: usize = 64;

/// Bytes of a segment in a piece: at most about 130 KiB of text and 200 microseconds of work.
const PIECE: usize = 8 << 10;

/// Bytes of text that may be held or be under way before nothing more is formatted until rows are taken.
const MOST_HELD: usize = 192 << 10;

/// Numbers that are passed in a day at the most, at 10^9 a second. What a sieve holds grows with the root of where it
/// is: for a range that takes longer, room is made for the first day, as what comes after grows slower than anybody
/// notices.
const A_DAY: u64 = 100_000_000_000_000;

/// Bytes of a segment at most. A stream that nobody reads holds one in its sieve and one in pieces, for as long as its
/// client stays.
const SEGMENT: usize = 128 << 10;

/// With fewer pieces than this waiting to be formatted the next segment is sieved.
const FEW_PIECES: usize = 4;

/// Streams the primes of `low..=last`.
#[derive(Debug)]
pub struct Rows {
    /// The constellations that are wanted, if it is not the primes.
    kind: Option<Constellation>,
    low: u64,
    last: u64,
    /// Not here while a slice works with it; `None` for good once it is done.
    source: Option<Box<Source>>,
    is_sieved: bool,
    /// Sieved and waiting to be formatted.
    pieces: VecDeque<Piece>,
    /// How many pieces there have been.
    pieces_made: u64,
    /// Formatted, by the piece's number, after one that is not.
    early: BTreeMap<u64, (Vec<String>, Merged)>,
    /// The number of the piece whose rows come next.
    next_piece: u64,
    /// Rows to be taken.
    rows: VecDeque<String>,
    /// The pieces that these are of.
    merged: VecDeque<Merged>,
    /// What has been taken.
    taken: Taken,
    /// Rows of the first piece that were taken before this plan was restored.
    skip: usize,
    /// Bytes of text in pieces under way, in `early` and in `rows`.
    held: usize,
    count: u64,
    /// How many numbers were sieved and formatted.
    numbers_done: u64,
    /// How many there are after the first: all 2^64 would not fit.
    numbers: u64,
    /// What finding the sieving primes costs in terms of sieved numbers, and which share of it is done.
    start: f64,
    prepared: f64,
    /// What the progress was before this plan was restored: it is no less until what was lost is made up for.
    progress_before: f64,
    memory: u64,
}

/// A piece whose rows can be taken.
#[derive(Debug)]
struct Merged {
    last: u64,
    /// Its rows, those that were skipped included, and its primes.
    rows: usize,
    count: u64,
}

/// Where the rows that were taken end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    /// The first number of the piece whose rows are not all taken; after the last piece the number after the range,
    /// 2^64 too.
    next: u128,
    /// How many of its rows are taken.
    rows: usize,
    /// The primes of the pieces before it.
    count: u64,
}

/// Where pieces come from.
#[derive(Debug)]
struct Source {
    sieve: Sieve,
    /// The constellations that are wanted, if it is not the primes.
    wanted: Option<Wanted>,
    /// The last byte of the segment before.
    before: u8,
}

#[derive(Clone, Debug)]
struct Wanted {
    kind: Constellation,
    finder: Arc<Finder>,
}

impl Wanted {
    fn new(kind: Constellation) -> Self {
        let finder = Arc::new(Finder::new(kind));
        Self { kind, finder }
    }
}

/// A part of a sieved segment.
#[derive(Debug)]
struct Piece {
    number: u64,
    segment: OwnedSegment,
    wanted: Option<Wanted>,
    /// The byte before the segment.
    before: u8,
    /// Upper bound of the bytes of its text.
    text: usize,
}

/// What can be done next for a stream of rows.
#[derive(Debug)]
pub struct RowsSlice(Work);

#[derive(Debug)]
enum Work {
    Sieve(Box<Source>),
    Format(Piece),
}

/// What came of it.
#[derive(Debug)]
pub struct RowsPartial(Done);

#[derive(Debug)]
enum Done {
    /// The source, unless it is done, and the pieces of a finished segment, not numbered yet.
    Sieved {
        source: Option<Box<Source>>,
        pieces: Vec<Piece>,
    },
    Formatted {
        number: u64,
        rows: Vec<String>,
        merged: Merged,
        numbers: u64,
        text: usize,
    },
}

impl Rows {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u64, last: u64) -> Self {
        Self::of(None, low, last)
    }

    /// The constellations with all members in `low..=last`, ascending by their first members.
    pub fn of_kind(kind: Constellation, low: u64, last: u64) -> Self {
        Self::of(Some(kind), low, last)
    }

    fn of(kind: Option<Constellation>, low: u64, last: u64) -> Self {
        let sieve = Sieve::with_segments(low, last, SEGMENT);
        let cost = sieve.cost();
        Self {
            kind,
            low,
            last,
            is_sieved: low > last,
            pieces: VecDeque::new(),
            pieces_made: 0,
            early: BTreeMap::new(),
            next_piece: 0,
            rows: VecDeque::new(),
            merged: VecDeque::new(),
            taken: Taken {
                next: low.into(),
                rows: 0,
                count: 0,
            },
            skip: 0,
            held: 0,
            count: 0,
            numbers_done: 0,
            numbers: last.saturating_sub(low),
            start: cost.start / cost.per_number,
            prepared: 0.0,
            progress_before: 0.0,
            memory: Sieve::with_segments(low, last.min(low.saturating_add(A_DAY)), SEGMENT).memory_bound(),
            source: Some(Box::new(Source {
                sieve,
                wanted: kind.map(Wanted::new),
                before: 0,
            })),
        }
    }

    fn is_all_taken(&self) -> bool {
        self.is_sieved && self.next_piece == self.pieces_made && self.rows.is_empty()
    }

    /// Moves what is taken past the pieces that have no rows left.
    fn pass_taken(&mut self) {
        while let Some(piece) = self.merged.pop_front_if(|piece| piece.rows <= self.taken.rows) {
            self.taken = Taken {
                next: u128::from(piece.last) + 1,
                rows: 0,
                count: self.taken.count + piece.count,
            };
        }
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
            return self.source.take().map(|source| RowsSlice(Work::Sieve(source)));
        }
        None
    }

    fn run(slice: RowsSlice, budget: Budget<'_>) -> RowsPartial {
        RowsPartial(match slice.0 {
            Work::Sieve(source) => sieve_segment(source, budget),
            Work::Format(piece) => format_piece(&piece),
        })
    }

    fn absorb(&mut self, partial: RowsPartial) {
        match partial.0 {
            Done::Sieved { source, pieces } => {
                let prepared = |source: &Source| self.prepared.max(source.sieve.prepared());
                self.prepared = source.as_deref().map_or(1.0, prepared);
                self.is_sieved = source.is_none();
                self.source = source;
                for mut piece in pieces {
                    piece.number = self.pieces_made;
                    self.pieces_made += 1;
                    self.pieces.push_back(piece);
                }
            }
            Done::Formatted {
                number,
                mut rows,
                merged,
                numbers,
                text,
            } => {
                if number == 0 {
                    rows.drain(..self.skip.min(rows.len()));
                }
                self.held = self.held - text + rows.iter().map(String::len).sum::<usize>();
                self.count += merged.count;
                self.numbers_done += numbers;
                self.early.insert(number, (rows, merged));
                while let Some((rows, merged)) = self.early.remove(&self.next_piece) {
                    self.rows.extend(rows);
                    self.merged.push_back(merged);
                    self.next_piece += 1;
                }
                self.pass_taken();
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
        let progress = done / (self.numbers as f64 + self.start).max(1.0);
        progress.max(self.progress_before).min(1.0)
    }

    fn memory(&self, _workers: usize) -> u64 {
        // Two segments wait at most; strings have headers and rounded capacities.
        self.memory + (2 << 20) + 2 * MOST_HELD as u64
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        let mut rows = Vec::with_capacity(most.min(self.rows.len()));
        while rows.len() < most
            && let Some(row) = self.rows.pop_front()
        {
            self.held -= row.len();
            rows.push(row);
            self.taken.rows += 1;
            self.pass_taken();
        }
        rows
    }

    fn save(&self) -> Option<Vec<u8>> {
        let Taken { next, rows, count } = self.taken;
        let mut writer = Writer::new(KIND, VERSION);
        writer
            .u64(self.low)
            .u64(self.last)
            .u128(next)
            .u64(rows as u64)
            .u64(count)
            .u64(self.progress().to_bits())
            .u64(self.kind.map_or(0, |kind| 1 + kind.index()));
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (low, last, next) = (reader.u64()?, reader.u64()?, reader.u128()?);
        let (rows, count) = (reader.u64()?, reader.u64()?);
        let progress_before = reader.share()?;
        let kind = match reader.u64()? {
            0 => None,
            number => Some(Constellation::of_index(number - 1).ok_or(Damaged::Impossible("kind"))?),
        };
        reader.finish()?;
        let mut plan = Self::of(kind, low, last);
        plan.progress_before = progress_before;
        let skip = usize::try_from(rows).ok().filter(|rows| *rows <= PIECE);
        let skip = skip.ok_or(Damaged::Impossible("number of rows"))?;
        plan.count = count;
        plan.taken = Taken {
            next,
            rows: skip,
            count,
        };
        match u64::try_from(next) {
            Ok(next) if next <= last => {
                let is_start = next == low || next > low && next == Sieve::align(next);
                let source = plan.source.take().filter(|_| is_start);
                let mut source = source.ok_or(Damaged::Impossible("number to go on from"))?;
                source.sieve = source.sieve.beginning_at(next);
                source.before = byte_before(low, next);
                plan.source = Some(source);
                plan.numbers_done = next - low;
                plan.skip = skip;
            }
            _ if next == (u128::from(last) + 1).max(low.into()) && skip == 0 => {
                plan.source = None;
                plan.is_sieved = true;
            }
            _ => return Err(Damaged::Impossible("number to go on from")),
        }
        Ok(plan)
    }
}

/// The byte of a sieve before the one that begins at `next`, if numbers from `low` on are sieved.
fn byte_before(low: u64, next: u64) -> u8 {
    let Some(first) = next.checked_sub(NUMBERS_PER_BYTE) else {
        return 0;
    };
    let is_prime = |residue: &u8| {
        let n = first + u64::from(*residue);
        n >= low && is_prime_u64(n)
    };
    let bits = RESIDUES.iter().enumerate();
    bits.fold(0, |byte, (bit, residue)| byte | u8::from(is_prime(residue)) << bit)
}

/// Sieves until a segment is finished or the budget is over.
fn sieve_segment(mut source: Box<Source>, budget: Budget<'_>) -> Done {
    let pieces = loop {
        match source.sieve.step() {
            Step::Busy => {}
            Step::Segment(segment) => {
                let pieces = pieces_of(segment, source.wanted.as_ref(), source.before);
                source.before = last_byte(&segment);
                break pieces;
            }
            Step::Done => {
                return Done::Sieved {
                    source: None,
                    pieces: Vec::new(),
                };
            }
        }
        if budget.over() {
            break Vec::new();
        }
    };
    Done::Sieved {
        source: Some(source),
        pieces,
    }
}

fn last_byte(segment: &Segment<'_>) -> u8 {
    segment.bytes().last().copied().unwrap_or(0)
}

fn pieces_of(segment: Segment<'_>, wanted: Option<&Wanted>, mut before: u8) -> Vec<Piece> {
    let longest = longest(&segment);
    let piece = |part: Segment<'_>| {
        let text = match wanted {
            None => part.count() as usize * longest,
            Some(Wanted { kind, finder }) => {
                let across = finder.count_across(before, part.bytes().first().copied().unwrap_or(0));
                (finder.count(&part) + across) as usize * kind.members() * longest
            }
        };
        let piece = Piece {
            number: 0,
            segment: part.to_owned(),
            wanted: wanted.cloned(),
            before,
            text,
        };
        before = last_byte(&part);
        piece
    };
    segment.parts(PIECE).map(piece).collect()
}

/// The most bytes that a prime of the segment takes with what parts it from the next.
fn longest(segment: &Segment<'_>) -> usize {
    segment.last().max(1).ilog10() as usize + 2
}

/// Rows of `a_row` words each.
struct Words {
    a_row: usize,
    longest: usize,
    rows: Vec<String>,
    row: String,
    count: usize,
}

impl Words {
    /// The row that takes the next word; it is parted from the words before.
    fn next(&mut self) -> &mut String {
        if self.count.is_multiple_of(self.a_row) {
            if self.count > 0 {
                self.rows.push(std::mem::take(&mut self.row));
            }
            self.row.reserve_exact(ROW * self.longest);
        } else {
            self.row.push(' ');
        }
        self.count += 1;
        &mut self.row
    }
}

fn format_piece(piece: &Piece) -> Done {
    let segment = piece.segment.segment();
    let mut digits = itoa::Buffer::new();
    let mut words = Words {
        a_row: piece.wanted.as_ref().map_or(ROW, |wanted| ROW / wanted.kind.members()),
        longest: longest(&segment),
        rows: Vec::with_capacity(piece.text / (ROW * longest(&segment)) + 1),
        row: String::new(),
        count: 0,
    };
    match &piece.wanted {
        None => segment.for_each(|prime| words.next().push_str(digits.format(prime))),
        Some(wanted) => wanted.finder.for_each(&segment, piece.before, |first, pattern| {
            let word = words.next();
            word.push_str(digits.format(first));
            for distance in pattern {
                word.push(',');
                word.push_str(digits.format(first + u64::from(*distance)));
            }
        }),
    }
    let Words {
        mut rows, row, count, ..
    } = words;
    if count > 0 {
        rows.push(row);
    }
    let numbers = segment.last() - segment.low() + 1;
    let merged = Merged {
        last: segment.last(),
        rows: rows.len(),
        count: count as u64,
    };
    Done::Formatted {
        number: piece.number,
        rows,
        merged,
        numbers,
        text: piece.text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise;
    use crate::primes::sieve::naive;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn number(value: Value) -> u64 {
        match value {
            Value::Number(n) => u64::try_from(n).expect("a count of words fits a word"),
            other => panic!("a count is a number, not {other:?}"),
        }
    }

    /// Plays a plan with several slices out at once, tiny budgets and partials in random order; gives its rows and
    /// answer.
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
            if dice.is_multiple_of(97) {
                plan = Rows::restore(&plan.save().expect("saves")).expect("restores what was saved");
                out.clear();
            }
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
    fn constellations_are_words_of_their_members() {
        let rows = |kind, last| {
            let mut plan = Rows::of_kind(kind, 0, last);
            let mut rows = Vec::new();
            while plan.answer().is_none() {
                if let Some(slice) = plan.cut() {
                    plan.absorb(Rows::run(slice, Budget::unlimited()));
                }
                rows.extend(plan.rows(64));
            }
            (rows, plan.answer())
        };
        let (twins, count) = rows(Constellation::Twins, 43);
        assert_eq!(twins, ["3,5 5,7 11,13 17,19 29,31 41,43"]);
        assert_eq!(count, Some(6.into()));
        let (triplets, _) = rows(Constellation::Triplets, 22);
        assert_eq!(triplets, ["5,7,11 7,11,13 11,13,17 13,17,19"]);
        // Many pieces and segments; A007508 counts them.
        let (twins, count) = rows(Constellation::Twins, 10_000_000);
        let words: Vec<&str> = twins.iter().flat_map(|row| row.split(' ')).collect();
        assert_eq!((words.len(), count), (58_980, Some(58_980.into())));
        assert!(words.iter().all(|word| {
            let (first, second) = word.split_once(',').expect("a pair");
            first.parse::<u64>().ok().map(|first| first + 2) == second.parse().ok()
        }));
        assert_eq!(twins[0].split([' ', ',']).count(), ROW);
        // However they are made and from whatever checkpoint, they are the same.
        assert_eq!(
            exercise(|| Rows::of_kind(Constellation::Twins, 5_000_000, 9_000_000)),
            21_404.into()
        );
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

    #[test]
    fn damaged_checkpoints_are_refused() {
        let good = Rows::new(5, 1 << 40).save().expect("saves");
        for length in 0..good.len() {
            assert!(Rows::restore(&good[..length]).is_err());
        }
        for next in [4, 6, 239, 241, 1 << 41, 1 << 64] {
            let mut writer = Writer::new(KIND, VERSION);
            writer.u64(5).u64(1 << 40).u128(next).u64(0).u64(3).u64(0);
            assert!(Rows::restore(&writer.finish()).is_err(), "{next}");
        }
    }

    #[test]
    fn a_stream_whose_rest_is_short_goes_on_in_the_same_rows() {
        // So few numbers are left that a sieve of them alone would have other segments.
        let (low, last) = ((1 << 62) + 7, (1 << 62) + 40_000_000);
        let mut plan = Rows::new(low, last);
        let (mut rows, mut resumed) = (Vec::new(), None);
        while plan.answer().is_none() {
            if let Some(slice) = plan.cut() {
                plan.absorb(Rows::run(slice, Budget::unlimited()));
            }
            rows.extend(plan.rows(7));
            if resumed.is_none() && plan.taken.next > u128::from(last) - 3_000_000 {
                resumed = plan.save().map(|bytes| (bytes, rows.len()));
            }
        }
        let (bytes, given) = resumed.expect("it was saved near the end");
        let mut plan = Rows::restore(&bytes).expect("restores what was saved");
        let mut rest = Vec::new();
        while plan.answer().is_none() {
            if let Some(slice) = plan.cut() {
                plan.absorb(Rows::run(slice, Budget::unlimited()));
            }
            rest.extend(plan.rows(7));
        }
        assert!(!rest.is_empty() && rest == rows[given..]);
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
