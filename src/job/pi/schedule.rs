//! Which unit of a count comes next, and what its result does to the sums. Start at [`Schedule::cut`].
//!
//! First come the tables; while one worker makes them the others sieve for B. Then the sums that need a table of `pi`
//! up to `sqrt x`, of which two pieces exist at a time, then D, then what is left of B: so no worker waits for another,
//! and the last units are short.

use super::kept_tables::{self, KeptTables};
use super::share::Done;
use super::unit::{ClosedUnit, EasyUnit, HardUnit, OrdinaryUnit, SemiprimesUnit, TableUnit, Unit};
use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::job::plan::Budget;
use crate::job::reorder::{Join, Reorder, WINDOW};
use crate::primes::estimate::most_primes;
use crate::primes::pi::instructions::Instructions;
use crate::primes::pi::shape::Shape;
use crate::primes::pi::tables::{Making, Tables};
use crate::primes::pi::{easy, hard, ordinary, semiprimes, sigma};
use std::ops::Range;
use std::sync::Arc;

/// How many entries of the factor table a unit of Phi0 takes.
const ORDINARY_UNIT: usize = 1 << 17;

/// How many leaves a unit of A + C looks up, about.
const EASY_LEAVES: u64 = 1 << 22;

/// A prime without leaves takes about as long as this many leaves.
pub(super) const LEAVES_A_PRIME: u64 = 100;

/// How many primes may pass between two guesses of how many leaves they have.
const EASY_STRIDE: u64 = 256;

/// No sum of a count or of a part comes near this: none is much larger than `x`.
pub(super) const MOST_SUM: u128 = 1 << 110;

/// A place in A + C: a piece of the table up to `sqrt x`, and the index of a prime.
pub(super) type EasyPlace = (u64, usize);

/// A count under way.
pub(super) struct Schedule {
    pub(super) shape: Shape,
    instructions: Instructions,
    near: u64,
    pub(super) preparation: Preparation,
    /// Units that were interrupted.
    pub(super) again: Vec<Unit>,
    ordinary: Reorder<u64, i128>,
    pub(super) easy: Reorder<EasyPlace, easy::Piece>,
    pub(super) semiprimes: Reorder<u64, semiprimes::Piece>,
    pub(super) hard: Reorder<u64, hard::Segment>,
    /// Where the next unit of each sum begins.
    pub(super) next: Cursors,
    /// Where those that other machines may do parts of end.
    pub(super) limits: Limits,
    /// Up to where each sum is put together.
    done: Cursors,
    sums: Sums,
    table: KeptTables,
    closed: Closed,
    /// Buffers for segments of D that nobody uses now.
    spare: Vec<hard::Work>,
    spent: f64,
    progress: f64,
}

/// The tables.
pub(super) enum Preparation {
    Missing,
    UnderWay,
    Interrupted(Box<Making>),
    Done(Arc<Tables>),
}

/// What is known without sieving.
enum Closed {
    Missing,
    UnderWay,
    Done { sum: i128, cost: f64 },
}

/// How far the sums have come.
#[derive(Debug, Clone)]
pub(super) struct Cursors {
    /// How many indices of the factor table.
    ordinary: u64,
    pub(super) easy: EasyPlace,
    pub(super) semiprimes: u64,
    pub(super) hard: u64,
}

/// Where sums end.
pub(super) struct Limits {
    pub(super) easy: EasyPlace,
    pub(super) semiprimes: u64,
    pub(super) hard: u64,
}

/// What is put together so far.
#[derive(Debug, Clone, Default)]
struct Sums {
    ordinary: i128,
    easy: easy::Piece,
    semiprimes: semiprimes::Piece,
    hard: i128,
    /// For each prime of D, how many numbers of the segments so far no prime before it divides.
    hard_base: Vec<u64>,
}

/// What units cost, in nanoseconds on the machine where they were measured. Only their proportions count.
pub(super) struct Costs {
    /// Tables, for each number up to `y`.
    make: f64,
    ordinary: f64,
    pub(super) table: f64,
    pub(super) easy: f64,
    semiprime: f64,
}

pub(super) const COSTS: Costs = Costs {
    make: 1.0,
    ordinary: 8.0,
    table: 0.15,
    easy: 0.4,
    semiprime: 10.0,
};

impl Schedule {
    /// Begins the count for this shape; see [`Making::new`].
    pub(super) fn new(shape: Shape, instructions: Instructions, near: u64) -> Self {
        let cursors = Cursors {
            ordinary: 0,
            easy: (0, 0),
            semiprimes: semiprimes::start(&shape),
            hard: 0,
        };
        Self {
            shape,
            instructions,
            near,
            preparation: Preparation::Missing,
            again: Vec::new(),
            ordinary: Reorder::new(cursors.ordinary),
            easy: Reorder::new(cursors.easy),
            semiprimes: Reorder::new(cursors.semiprimes),
            hard: Reorder::new(cursors.hard),
            next: cursors.clone(),
            limits: Limits {
                easy: (kept_tables::pieces(&shape), 0),
                semiprimes: shape.sieve_limit() + 1,
                hard: shape.sieve_limit() + 1,
            },
            done: cursors,
            sums: Sums::default(),
            table: KeptTables::default(),
            closed: Closed::Missing,
            spare: Vec::new(),
            spent: 0.0,
            progress: 0.0,
        }
    }

    /// The next unit, see [`crate::job::Plan::cut`].
    pub(super) fn cut(&mut self) -> Option<Unit> {
        if let Some(unit) = self.again.pop() {
            return Some(unit);
        }
        match self.prepare() {
            Ok(tables) => self
                .cut_closed(&tables)
                .or_else(|| self.cut_table())
                .or_else(|| self.cut_ordinary(&tables))
                .or_else(|| self.cut_easy(&tables))
                .or_else(|| self.cut_hard(&tables))
                .or_else(|| self.cut_semiprimes()),
            Err(making) => making.or_else(|| self.cut_semiprimes()),
        }
    }

    /// The tables, or else the unit that makes them, unless it is under way.
    pub(super) fn prepare(&mut self) -> Result<Arc<Tables>, Option<Unit>> {
        match std::mem::replace(&mut self.preparation, Preparation::UnderWay) {
            Preparation::Missing => {
                let making = Making::new(self.shape, self.instructions, self.near);
                Err(Some(Unit::Make(Box::new(making))))
            }
            Preparation::Interrupted(making) => Err(Some(Unit::Make(making))),
            Preparation::UnderWay => Err(None),
            Preparation::Done(tables) => {
                self.preparation = Preparation::Done(Arc::clone(&tables));
                Ok(tables)
            }
        }
    }

    /// Cuts and absorbs on this thread until the answer is there or the budget is over.
    pub(super) fn play(&mut self, budget: Budget<'_>) {
        while let Some(mut unit) = self.cut() {
            let is_finished = unit.run(budget);
            self.absorb(unit, is_finished);
            if budget.over() {
                break;
            }
        }
    }

    fn cut_closed(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        matches!(self.closed, Closed::Missing).then(|| {
            self.closed = Closed::UnderWay;
            Unit::Closed(Box::new(ClosedUnit::new(Arc::clone(tables), self.done.hard)))
        })
    }

    fn cut_ordinary(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        let all = ordinary::indices(tables);
        let start = self.next.ordinary;
        let at = all.start + start as usize;
        if at >= all.end || !self.ordinary.begin() {
            return None;
        }
        let end = all.end.min(at + ORDINARY_UNIT);
        self.next.ordinary = (end - all.start) as u64;
        Some(Unit::Ordinary(OrdinaryUnit {
            start,
            tables: Arc::clone(tables),
            at,
            end,
            sum: 0,
        }))
    }

    /// The pieces of the table that the next units of A + C need.
    fn wanted_pieces(&self) -> Range<u64> {
        let Some((first, _)) = self.easy.next(self.next.easy, self.limits.easy) else {
            return 0..0;
        };
        let (last, at) = self.easy.returned_end().unwrap_or(self.limits.easy);
        first..(first + 2).min(last + u64::from(at > 0))
    }

    pub(super) fn cut_table(&mut self) -> Option<Unit> {
        let filling = self.table.cut(&self.shape, self.wanted_pieces())?;
        Some(Unit::Table(Box::new(TableUnit { filling })))
    }

    pub(super) fn cut_easy(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        let start = self.easy.next(self.next.easy, self.limits.easy)?;
        let segment = self.table.get(start.0)?;
        if !self.easy.begin() {
            return None;
        }
        let bound = self.easy.returned_end().unwrap_or(self.limits.easy);
        let all = primes_at(tables, segment.low(), start, bound);
        // The first primes of a segment may have no leaves, and those after them many.
        let numbers = segment.low()..segment.high();
        let most_leaves = |at| easy::most_leaves(tables, &numbers, at).max(LEAVES_A_PRIME);
        let (mut end, mut leaves) = (all.start, 0);
        while end < all.end && leaves < EASY_LEAVES {
            let primes = (EASY_LEAVES / most_leaves(end)).clamp(1, EASY_STRIDE);
            let next = all.end.min(end + primes as usize);
            leaves += (next - end) as u64 * most_leaves(end).max(most_leaves(next));
            end = next;
        }
        let next = after(start.0, end, all.end, bound);
        self.easy.cut(&mut self.next.easy, next);
        Some(Unit::Easy(Box::new(EasyUnit {
            start,
            tables: Arc::clone(tables),
            segment,
            at: all.start,
            end,
            next,
            leaves: easy::Leaves::default(),
        })))
    }

    pub(super) fn cut_semiprimes(&mut self) -> Option<Unit> {
        let start = self.semiprimes.next(self.next.semiprimes, self.limits.semiprimes)?;
        if !self.semiprimes.begin() {
            return None;
        }
        let end = semiprimes::end(&self.shape, start);
        self.semiprimes.cut(&mut self.next.semiprimes, end);
        Some(Unit::Semiprimes(Box::new(SemiprimesUnit {
            start,
            end,
            work: semiprimes::Work::new(&self.shape, start),
        })))
    }

    pub(super) fn cut_hard(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        let low = self.hard.next(self.next.hard, self.limits.hard)?;
        if !self.hard.begin() {
            return None;
        }
        let high = hard::end(&self.shape, low);
        self.hard.cut(&mut self.next.hard, high);
        Some(Unit::Hard(Box::new(HardUnit {
            tables: Arc::clone(tables),
            low,
            high,
            work: self.spare.pop().unwrap_or_default(),
            is_begun: false,
        })))
    }

    /// Takes in a unit that ran.
    pub(super) fn absorb(&mut self, unit: Unit, is_finished: bool) {
        match unit {
            Unit::Make(making) if !is_finished => self.preparation = Preparation::Interrupted(making),
            unit if !is_finished => self.again.push(unit),
            unit => self.finish(unit),
        }
        self.update_progress();
    }

    fn update_progress(&mut self) {
        self.progress = self.progress.max((self.spent / self.total_cost()).min(1.0));
    }

    fn finish(&mut self, unit: Unit) {
        let (shape, sums, done, spent) = (&self.shape, &mut self.sums, &mut self.done, &mut self.spent);
        match unit {
            Unit::Make(making) => {
                *spent += make_cost(shape);
                self.preparation = Preparation::Done(Arc::new(making.finish()));
            }
            Unit::Closed(unit) => {
                *spent += unit.hard_cost_over;
                let cost = unit.hard_cost + unit.easy_leaves as f64 * COSTS.easy;
                self.closed = Closed::Done { sum: unit.sum, cost };
            }
            Unit::Ordinary(unit) => {
                let end = (unit.end - ordinary::indices(&unit.tables).start) as u64;
                self.ordinary.absorb(unit.start..end, unit.sum, |end, sum| {
                    *spent += (end - done.ordinary) as f64 * COSTS.ordinary;
                    done.ordinary = end;
                    sums.ordinary += sum;
                });
            }
            Unit::Table(unit) => {
                let wanted = self.wanted_pieces();
                self.table.add(unit.filling.finish(), &self.shape, &wanted);
            }
            Unit::Easy(unit) => {
                let (range, piece) = (unit.start..unit.next, unit.piece());
                let merge = |end, piece| add_easy(sums, done, spent, end, piece);
                self.easy.absorb(range, piece, merge);
            }
            Unit::Semiprimes(unit) => {
                let (range, piece) = (unit.start..unit.end, unit.work.piece());
                let merge = |end, piece| add_semiprimes(shape, sums, done, spent, end, piece);
                self.semiprimes.absorb(range, piece, merge);
            }
            Unit::Hard(mut unit) => {
                let segment = unit.work.finish();
                self.spare.push(unit.work);
                let merge = |high, segment| add_hard(&unit.tables, sums, done, spent, high, &segment);
                self.hard.absorb(unit.low..unit.high, segment, merge);
            }
            Unit::Small { .. } | Unit::Solo(_) => unreachable!("a schedule cuts no such unit"),
        }
    }

    /// The parameters.
    pub(super) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Uses these tables, if they are of this count and none are being made.
    pub(super) fn use_tables(&mut self, tables: Arc<Tables>) {
        let is_same =
            tables.shape == self.shape && tables.instructions == self.instructions && tables.near == self.near;
        if is_same && matches!(self.preparation, Preparation::Missing) {
            self.preparation = Preparation::Done(tables);
        }
    }

    /// The tables, once they are made.
    pub(super) fn tables(&self) -> Option<&Arc<Tables>> {
        match &self.preparation {
            Preparation::Done(tables) => Some(tables),
            _ => None,
        }
    }

    /// Takes in what another machine did.
    pub(super) fn absorb_part(&mut self, brought: Done) {
        let (shape, sums, done, spent) = (&self.shape, &mut self.sums, &mut self.done, &mut self.spent);
        match brought {
            Done::Easy(range, piece) => {
                let merge = |end, piece| add_easy(sums, done, spent, end, piece);
                self.easy.absorb_part(range, piece, merge);
            }
            Done::Semiprimes(range, piece) => {
                let merge = |end, piece| add_semiprimes(shape, sums, done, spent, end, piece);
                self.semiprimes.absorb_part(range, piece, merge);
            }
            Done::Hard(tables, range, segment) => {
                let merge = |high, segment| add_hard(&tables, sums, done, spent, high, &segment);
                self.hard.absorb_part(range, segment, merge);
            }
        }
    }

    /// The count, once all sums are whole.
    pub(super) fn answer(&self) -> Option<u128> {
        let (Closed::Done { sum: closed, .. }, Preparation::Done(tables)) = (&self.closed, &self.preparation) else {
            return None;
        };
        let all = ordinary::indices(tables);
        let limit = self.shape.sieve_limit();
        let is_whole = self.done.ordinary == (all.end - all.start) as u64
            && self.done.easy.0 == self.limits.easy.0
            && self.done.semiprimes > limit
            && self.done.hard > limit;
        if !is_whole {
            return None;
        }
        let easy = &self.sums.easy;
        let [pi_start, pi_sqrt_x] = self.table.after.map(|after| easy.primes - after);
        let b = self.sums.semiprimes.counted_from(pi_start) as i128;
        let sigma = sigma::of_counts(tables, pi_sqrt_x);
        Some((closed + sigma + self.sums.ordinary + easy.leaves.sum + self.sums.hard - b) as u128)
    }

    /// See [`crate::job::Plan::progress`].
    pub(super) fn progress(&self) -> f64 {
        self.progress
    }

    /// What the whole count costs. Until the tables are there, what they hold is guessed: both do most of their work up
    /// to `sqrt x`.
    fn total_cost(&self) -> f64 {
        let shape = &self.shape;
        let entries = shape.y as f64 * 480.0 / 2310.0;
        let sieves = semiprimes_cost(shape, semiprimes::start(shape), shape.sieve_limit() + 1);
        let leaves = match self.closed {
            Closed::Done { cost, .. } => cost,
            _ => 4.0 * sieves,
        };
        make_cost(shape) + entries * COSTS.ordinary + shape.sqrt_x as f64 * COSTS.table + sieves + leaves
    }

    /// Upper bound of the bytes of the tables.
    pub(super) fn tables_memory(shape: &Shape) -> u64 {
        let limit = shape.table_limit() as f64;
        // A prime has 4 bytes, the first a reciprocal of 8; 240 numbers have 12, 2310 have 480 entries of 2 bytes.
        let primes = 4.0 * most_primes(limit) + 8.0 * most_primes(shape.inverted() as f64);
        (primes + limit / 20.0 + 0.42 * shape.y as f64) as u64
    }

    /// See [`crate::job::Plan::memory`]; without the tables.
    pub(super) fn memory(shape: &Shape, workers: usize) -> u64 {
        let workers = workers as u64;
        let piece = shape.sqrt_x.min(kept_tables::STEP) / 8;
        // A prime of D has 48 bytes, a count in the sums, and 16 in each segment under way and each that waits between
        // two of these.
        let width = most_primes(shape.x_star as f64);
        let hard = (48.0 + 16.0 * (2 * (workers + 2)).min(2 * WINDOW) as f64) * width;
        let busy = workers * (hard::MEMORY + semiprimes::memory(shape));
        (1 << 20) + (3 + workers) * piece + hard as u64 + busy
    }

    /// Writes what is put together.
    pub(super) fn save(&self, writer: &mut Writer) {
        let Self { done, sums, table, .. } = self;
        writer
            .u64(self.shape.y)
            .u64(done.ordinary)
            .u128(sums.ordinary as u128)
            .u64(done.easy.0)
            .u64(done.easy.1 as u64)
            .u128(sums.easy.leaves.sum as u128)
            .u64(sums.easy.leaves.count)
            .u64(sums.easy.primes)
            .u64(table.after[0])
            .u64(table.after[1])
            .u64(done.semiprimes)
            .u128(sums.semiprimes.sum)
            .u64(sums.semiprimes.queries)
            .u64(sums.semiprimes.count)
            .u64(done.hard)
            .u128(sums.hard as u128)
            .words(&sums.hard_base);
    }

    /// Reads what [`Schedule::save`] wrote into a schedule that has done nothing yet.
    ///
    /// # Errors
    /// If it is not of this count, or no schedule can have come there.
    pub(super) fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), Damaged> {
        if reader.u64()? != self.shape.y {
            return Err(Damaged::Impossible("parameter y"));
        }
        let limit = self.shape.sieve_limit() + 1;
        let sum = |reader: &mut Reader<'_>| {
            let sum = reader.u128()? as i128;
            if sum.unsigned_abs() > MOST_SUM {
                return Err(Damaged::Impossible("sum"));
            }
            Ok(sum)
        };
        let (done, sums) = (&mut self.done, &mut self.sums);
        done.ordinary = reader.u64()?;
        sums.ordinary = sum(reader)?;
        done.easy = (reader.u64()?, reader.u64()? as usize);
        sums.easy.leaves.sum = sum(reader)?;
        sums.easy.leaves.count = reader.u64()?;
        sums.easy.primes = reader.u64()?;
        self.table.after = [reader.u64()?, reader.u64()?];
        done.semiprimes = reader.u64()?;
        sums.semiprimes.sum = sum(reader)?.unsigned_abs();
        sums.semiprimes.queries = reader.u64()?;
        sums.semiprimes.count = reader.u64()?;
        done.hard = reader.u64()?;
        sums.hard = sum(reader)?;
        sums.hard_base = reader.words()?;
        let done = self.done.clone();
        if done.ordinary > self.shape.y {
            return Err(Damaged::Impossible("ordinary leaf"));
        }
        let primes = self.sums.easy.primes;
        // Both places lie in the last piece.
        let is_after_too_large = self.table.after.iter().any(|after| *after > primes);
        if done.easy > self.limits.easy
            || primes > self.shape.sqrt_x
            || done.easy == self.limits.easy && is_after_too_large
        {
            return Err(Damaged::Impossible("piece of the table"));
        }
        if done.semiprimes < semiprimes::start(&self.shape) || done.semiprimes > limit {
            return Err(Damaged::Impossible("place of B"));
        }
        if done.hard > limit || done.hard < limit && !done.hard.is_multiple_of(hard::ALIGNMENT) {
            return Err(Damaged::Impossible("segment of D"));
        }
        self.spent = done.ordinary as f64 * COSTS.ordinary
            + (done.easy.0 * kept_tables::STEP) as f64 * COSTS.table
            + self.sums.easy.leaves.count as f64 * COSTS.easy
            + semiprimes_cost(&self.shape, semiprimes::start(&self.shape), done.semiprimes);
        self.ordinary = Reorder::new(done.ordinary);
        self.easy = Reorder::new(done.easy);
        self.semiprimes = Reorder::new(done.semiprimes);
        self.hard = Reorder::new(done.hard);
        self.next = done;
        self.update_progress();
        Ok(())
    }
}

/// The primes of A + C from a place on in its piece, which begins at `low`; those before the bound, if that is in the
/// piece.
pub(super) fn primes_at(tables: &Tables, low: u64, (piece, at): EasyPlace, bound: EasyPlace) -> Range<usize> {
    let all = easy::in_segment(tables, low);
    let end = if piece == bound.0 {
        all.end.min(bound.1)
    } else {
        all.end
    };
    let end = end.max(all.start);
    at.clamp(all.start, end)..end
}

/// The place after the primes up to `end` in this piece, where `last` is the end of [`primes_at`].
pub(super) const fn after(piece: u64, end: usize, last: usize, bound: EasyPlace) -> EasyPlace {
    match end < last {
        true => (piece, end),
        false if piece == bound.0 => bound,
        false => (piece + 1, 0),
    }
}

fn add_easy(sums: &mut Sums, done: &mut Cursors, spent: &mut f64, end: EasyPlace, piece: easy::Piece) {
    let tables = (end.0 - done.easy.0) * kept_tables::STEP;
    *spent += piece.leaves.count as f64 * COSTS.easy + tables as f64 * COSTS.table;
    done.easy = end;
    sums.easy.append(piece);
}

fn add_semiprimes(
    shape: &Shape,
    sums: &mut Sums,
    done: &mut Cursors,
    spent: &mut f64,
    end: u64,
    piece: semiprimes::Piece,
) {
    *spent += semiprimes_cost(shape, done.semiprimes, end);
    done.semiprimes = end;
    sums.semiprimes.append(piece);
}

fn add_hard(tables: &Tables, sums: &mut Sums, done: &mut Cursors, spent: &mut f64, high: u64, segment: &hard::Segment) {
    *spent += hard::cost(tables, done.hard, high);
    done.hard = high;
    sums.add_hard(segment);
}

impl Join for i128 {
    fn join(&mut self, next: Self) {
        *self += next;
    }
}

impl Join for easy::Piece {
    fn join(&mut self, next: Self) {
        self.append(next);
    }
}

impl Join for semiprimes::Piece {
    fn join(&mut self, next: Self) {
        self.append(next);
    }
}

impl Join for hard::Segment {
    fn join(&mut self, next: Self) {
        self.append(&next);
    }
}

fn make_cost(shape: &Shape) -> f64 {
    shape.y as f64 * COSTS.make
}

/// What the part `low..high` of B costs.
pub(super) fn semiprimes_cost(shape: &Shape, low: u64, high: u64) -> f64 {
    let x = shape.x as f64;
    let (low, high) = (low as f64, high as f64);
    let queries = (x / low - x / high) / x.sqrt().ln();
    semiprimes::cost_per_number(shape) * (high - low) + COSTS.semiprime * queries
}

impl Sums {
    fn add_hard(&mut self, segment: &hard::Segment) {
        let (width, rest) = (segment.weights.len(), segment.counts.len());
        if self.hard_base.len() < width {
            self.hard_base.resize(width, 0);
        }
        // Of several segments together the last has the fewest primes.
        for (&base, &weight) in self.hard_base[rest..].iter().zip(&segment.weights[rest..]) {
            self.hard += i128::from(base) * i128::from(weight);
        }
        self.hard += segment.sum;
        let both = segment.weights.iter().zip(&segment.counts);
        for (base, (&weight, &count)) in self.hard_base.iter_mut().zip(both) {
            self.hard += i128::from(*base) * i128::from(weight);
            *base += count;
        }
    }
}
