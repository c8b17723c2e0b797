//! The plan that counts primes: Gourdon's sums, each cut into pieces that know nothing of each other.
//!
//! Start at [`Pi::cut`] for the order of the work and at [`Unit`] for its kinds. Pieces whose order matters are put together in order
//! by a [`Lane`]; a checkpoint is what has been put together, so it is a few tens of KB whatever `x` is.

use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan};
use crate::primes::pi::level::Level;
use crate::primes::pi::shape::Shape;
use crate::primes::pi::table::PiTable;
use crate::primes::pi::tables::{Making, Tables};
use crate::primes::pi::{easy, hard, ordinary, semiprimes, sigma, small};
use crate::primes::sieve::primes_up_to;
use crate::proto::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Below this the plan is played alone, many units to a slice: what it takes altogether is a slice or two.
const SOLO: u64 = 20_000_000_000;

/// How many numbers a piece of the table of `pi` up to `sqrt x` covers: 1 MB of table.
const TABLE_STEP: u64 = 960 << 13;

/// How many entries of the factor table a unit of Phi0 takes.
const ORDINARY_STEP: usize = 1 << 16;

/// How many leaves a unit of A + C is to look up, about.
const EASY_LEAVES: u64 = 1 << 20;

/// How many numbers B sieves at once: 32 KB of bits.
const SIEVE_STEP: u64 = 30 << 15;

/// How many of those a unit of B takes.
const SIEVE_STEPS: u64 = 8;

/// How many numbers the first segment of D has.
const HARD_LEAST: u64 = 30_720;

/// How many numbers a segment of D has at most: 128 KB of bits.
const HARD_MOST: u64 = 30 << 17;

/// How far units may be ahead of the first one that is missing.
const WINDOW: u64 = 256;

/// Counts the primes up to `x`.
pub struct Pi {
    x: u64,
    play: Play,
}

enum Play {
    /// The answer is known.
    Over(u64),
    /// `x` is small: the whole computation travels as one slice.
    Solo(Solo),
    /// Many slices at once.
    Together(Box<Together>),
}

enum Solo {
    Fresh,
    Here(Box<Together>),
    Away,
}

/// A slice: a unit of work of one of the sums.
pub struct Slice(Unit);

/// What a slice brings back: the unit, finished or not.
pub struct Partial {
    unit: Unit,
    finished: bool,
}

enum Unit {
    Small { x: u64, count: u64 },
    Solo(Option<Box<Together>>, u64),
    Base { shape: Shape, primes: Vec<u32> },
    Make(Box<Making>),
    Ordinary(OrdinaryUnit),
    Table(TableUnit),
    Easy(EasyUnit),
    Semiprimes(SemiprimesUnit),
    Hard(HardUnit),
    Closed(ClosedUnit),
}

struct OrdinaryUnit {
    index: u64,
    tables: Arc<Tables>,
    at: usize,
    end: usize,
    sum: u64,
}

struct TableUnit {
    tables: Arc<Tables>,
    low: u64,
    high: u64,
    before: u64,
    table: PiTable,
}

struct EasyUnit {
    index: u64,
    tables: Arc<Tables>,
    segment: Arc<PiTable>,
    number: u64,
    at: usize,
    end: usize,
    sum: u64,
}

struct SemiprimesUnit {
    index: u64,
    shape: Shape,
    primes: Arc<Vec<u32>>,
    room: Box<semiprimes::Room>,
    at: u64,
    end: u64,
    piece: semiprimes::Piece,
}

struct HardUnit {
    index: u64,
    tables: Arc<Tables>,
    work: Box<hard::Work>,
    low: u64,
    high: u64,
    begun: bool,
}

struct ClosedUnit {
    tables: Arc<Tables>,
    pi_sqrt_x: u64,
    sum: u64,
}

/// Pieces that come back in any order and are put together in order.
struct Lane<T> {
    cut: u64,
    done: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> Lane<T> {
    fn from(done: u64) -> Self {
        Self {
            cut: done,
            done,
            waiting: BTreeMap::new(),
        }
    }

    /// The index of the next unit, if the lane is not too far ahead.
    fn take(&mut self) -> Option<u64> {
        let index = self.cut;
        (index < self.done + WINDOW).then(|| {
            self.cut += 1;
            index
        })
    }

    /// Takes in a piece, and gives those whose turn it is to `put`.
    fn absorb(&mut self, index: u64, piece: T, mut put: impl FnMut(T)) {
        self.waiting.insert(index, piece);
        while let Some(piece) = self.waiting.remove(&self.done) {
            self.done += 1;
            put(piece);
        }
    }

    fn is_empty(&self) -> bool {
        self.cut == self.done
    }
}

/// Where the tables stand.
enum Preparation {
    Missing,
    Away,
    Making(Box<Making>),
    Done(Arc<Tables>),
}

/// What is put together so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    ordinary: u64,
    easy: u64,
    semiprimes: semiprimes::Piece,
    hard: u64,
    /// For each prime of D, how many numbers of the segments so far no prime before it divides.
    hard_base: Vec<u64>,
}

/// How far the sums have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cursors {
    ordinary: u64,
    /// The segment of the table up to `sqrt x`, and the prime.
    easy: (u64, usize),
    semiprimes: u64,
    hard: u64,
}

struct Together {
    shape: Shape,
    preparation: Preparation,
    base: Option<Arc<Vec<u32>>>,
    base_away: bool,
    again: Vec<Unit>,
    ordinary: Lane<u64>,
    easy: Lane<(u64, usize, u64)>,
    semiprimes: Lane<(u64, semiprimes::Piece)>,
    hard: Lane<(u64, hard::Segment)>,
    /// What the next unit begins with.
    next: Cursors,
    /// Where what is put together ends.
    done: Cursors,
    sums: Sums,
    /// `table_counts[i]`: how many primes lie below segment `i` of the table up to `sqrt x`.
    table_counts: Vec<u64>,
    table_now: Option<Arc<PiTable>>,
    table_next: Option<Arc<PiTable>>,
    table_away: bool,
    pi_sqrt_x: u64,
    /// How many primes lie before the first piece of B.
    pi_sieve_start: u64,
    closed_away: bool,
    closed: Option<u64>,
    hard_rooms: Vec<Box<hard::Work>>,
    sieve_rooms: Vec<Box<semiprimes::Room>>,
}

impl Pi {
    const KIND: [u8; 4] = *b"pi_x";
    const VERSION: u32 = 1;

    /// Counts the primes `<= x`, for any `x`.
    pub fn new(x: u64) -> Self {
        let play = if x < Shape::LEAST || x < SOLO {
            Play::Solo(Solo::Fresh)
        } else {
            Play::Together(Box::new(Together::new(Shape::new(x))))
        };
        Self { x, play }
    }

    /// Resumes from what [`Plan::save`] wrote.
    ///
    /// # Errors
    /// If the bytes are not a checkpoint of this plan.
    pub fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, Self::KIND, Self::VERSION)?;
        let x = reader.u64()?;
        let mut plan = Self::new(x);
        let started = reader.u64()? != 0;
        if started {
            let Play::Together(together) = &mut plan.play else {
                return Err(Damaged::Impossible("small count"));
            };
            together.load(&mut reader)?;
        }
        reader.finish()?;
        Ok(plan)
    }

    /// The count, once every slice is absorbed.
    pub fn count(&self) -> Option<u64> {
        match self.play {
            Play::Over(count) => Some(count),
            _ => None,
        }
    }
}

impl Slice {
    #[doc(hidden)]
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            Unit::Small { .. } => "small",
            Unit::Solo(..) => "solo",
            Unit::Base { .. } => "base",
            Unit::Make(_) => "make",
            Unit::Ordinary(_) => "ordinary",
            Unit::Table(_) => "table",
            Unit::Easy(_) => "easy",
            Unit::Semiprimes(_) => "semiprimes",
            Unit::Hard(_) => "hard",
            Unit::Closed(_) => "closed",
        }
    }
}

impl Plan for Pi {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let unit = match &mut self.play {
            Play::Over(_) => return None,
            Play::Solo(solo) => match std::mem::replace(solo, Solo::Away) {
                Solo::Fresh if self.x < Shape::LEAST => Unit::Small { x: self.x, count: 0 },
                Solo::Fresh => Unit::Solo(None, self.x),
                Solo::Here(together) => Unit::Solo(Some(together), self.x),
                Solo::Away => return None,
            },
            Play::Together(together) => together.cut()?,
        };
        Some(Slice(unit))
    }

    fn run(slice: Slice, budget: Budget<'_>) -> Partial {
        let mut unit = slice.0;
        let finished = unit.run(budget);
        Partial { unit, finished }
    }

    fn absorb(&mut self, partial: Partial) {
        match (partial.unit, &mut self.play) {
            (Unit::Small { count, .. }, _) => self.play = Play::Over(count),
            (Unit::Solo(Some(together), _), Play::Solo(solo)) => match together.answer() {
                Some(count) => self.play = Play::Over(count),
                None => *solo = Solo::Here(together),
            },
            (unit, Play::Together(together)) => {
                together.absorb(unit, partial.finished);
                if let Some(count) = together.answer() {
                    self.play = Play::Over(count);
                }
            }
            _ => unreachable!("a unit comes back to the plan that cut it, which waits for it"),
        }
    }

    fn answer(&mut self) -> Option<Value> {
        self.count().map(Value::from)
    }

    fn progress(&self) -> f64 {
        match &self.play {
            Play::Over(_) => 1.0,
            Play::Solo(Solo::Here(together)) => together.progress(),
            Play::Solo(_) => 0.0,
            Play::Together(together) => together.progress(),
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        let _ = workers;
        64 << 20
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(Self::KIND, Self::VERSION);
        writer.u64(self.x);
        match &self.play {
            Play::Together(together) => together.save(writer.u64(1)),
            _ => {
                writer.u64(0);
            }
        }
        Some(writer.finish())
    }
}

impl Together {
    fn new(shape: Shape) -> Self {
        let cursors = Cursors {
            semiprimes: sieve_start(&shape),
            easy: (0, Shape::K + 1),
            ..Cursors::default()
        };
        Self {
            shape,
            preparation: Preparation::Missing,
            base: None,
            base_away: false,
            again: Vec::new(),
            ordinary: Lane::from(0),
            easy: Lane::from(0),
            semiprimes: Lane::from(0),
            hard: Lane::from(0),
            next: cursors.clone(),
            done: cursors,
            sums: Sums::default(),
            table_counts: vec![0],
            table_now: None,
            table_next: None,
            table_away: false,
            pi_sqrt_x: 0,
            pi_sieve_start: 0,
            closed_away: false,
            closed: None,
            hard_rooms: Vec::new(),
            sieve_rooms: Vec::new(),
        }
    }

    fn cut(&mut self) -> Option<Unit> {
        if let Some(unit) = self.again.pop() {
            return Some(unit);
        }
        let Some(base) = self.base.clone() else {
            let first = !std::mem::replace(&mut self.base_away, true);
            return first.then(|| Unit::Base {
                shape: self.shape,
                primes: Vec::new(),
            });
        };
        let tables = match std::mem::replace(&mut self.preparation, Preparation::Away) {
            Preparation::Missing => return Some(Unit::Make(Box::new(Making::new(self.shape, Level::best())))),
            Preparation::Making(making) => return Some(Unit::Make(making)),
            Preparation::Away => return self.cut_semiprimes(&base),
            Preparation::Done(tables) => tables,
        };
        self.preparation = Preparation::Done(Arc::clone(&tables));
        self.cut_ordinary(&tables)
            .or_else(|| self.cut_table(&tables))
            .or_else(|| self.cut_easy(&tables))
            .or_else(|| self.cut_hard(&tables))
            .or_else(|| self.cut_semiprimes(&base))
            .or_else(|| self.cut_closed(&tables))
    }

    fn cut_ordinary(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        let all = ordinary::indices(tables);
        let at = all.start + self.next.ordinary as usize * ORDINARY_STEP;
        if at >= all.end {
            return None;
        }
        let index = self.ordinary.take()?;
        self.next.ordinary += 1;
        Some(Unit::Ordinary(OrdinaryUnit {
            index,
            tables: Arc::clone(tables),
            at,
            end: all.end.min(at + ORDINARY_STEP),
            sum: 0,
        }))
    }

    /// How many segments the table up to `sqrt x` has.
    fn table_segments(&self) -> u64 {
        self.shape.sqrt_x / TABLE_STEP + 1
    }

    fn cut_table(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        if self.table_away || self.table_next.is_some() || self.pi_sqrt_x != 0 {
            return None;
        }
        let number = self.next.easy.0 + u64::from(self.table_now.is_some());
        if number >= self.table_segments() {
            return None;
        }
        self.table_away = true;
        let low = number * TABLE_STEP;
        Some(Unit::Table(TableUnit {
            tables: Arc::clone(tables),
            low,
            high: (low + TABLE_STEP).min(self.shape.sqrt_x + 1),
            before: self.table_counts[number as usize],
            table: PiTable::default(),
        }))
    }

    fn cut_easy(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        if self.table_now.is_none() {
            self.table_now = self.table_next.take();
        }
        let segment = Arc::clone(self.table_now.as_ref()?);
        let index = self.easy.take()?;
        let (number, at) = self.next.easy;
        let all = easy::in_segment(tables, segment.low(), segment.high());
        let at = at.max(all.start);
        let most = easy::most_leaves(tables, &segment, at).max(1);
        let end = all.end.min(at + (EASY_LEAVES / most).max(1) as usize).max(at);
        self.next.easy = if end == all.end {
            self.table_now = None;
            (number + 1, Shape::K + 1)
        } else {
            (number, end)
        };
        Some(Unit::Easy(EasyUnit {
            index,
            tables: Arc::clone(tables),
            segment,
            number,
            at,
            end,
            sum: 0,
        }))
    }

    fn cut_semiprimes(&mut self, primes: &Arc<Vec<u32>>) -> Option<Unit> {
        let limit = self.shape.sieve_limit() + 1;
        let at = self.next.semiprimes;
        if at >= limit {
            return None;
        }
        let index = self.semiprimes.take()?;
        let end = limit.min(at + SIEVE_STEP * SIEVE_STEPS);
        self.next.semiprimes = end;
        Some(Unit::Semiprimes(SemiprimesUnit {
            index,
            shape: self.shape,
            primes: Arc::clone(primes),
            room: self.sieve_rooms.pop().unwrap_or_default(),
            at,
            end,
            piece: semiprimes::Piece::default(),
        }))
    }

    fn cut_hard(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        let limit = self.shape.sieve_limit() + 1;
        let low = self.next.hard;
        if low >= limit {
            return None;
        }
        let index = self.hard.take()?;
        let high = limit.min(low + hard_length(low));
        self.next.hard = high;
        Some(Unit::Hard(HardUnit {
            index,
            tables: Arc::clone(tables),
            work: self.hard_rooms.pop().unwrap_or_default(),
            low,
            high,
            begun: false,
        }))
    }

    fn cut_closed(&mut self, tables: &Arc<Tables>) -> Option<Unit> {
        if self.pi_sqrt_x == 0 || std::mem::replace(&mut self.closed_away, true) {
            return None;
        }
        Some(Unit::Closed(ClosedUnit {
            tables: Arc::clone(tables),
            pi_sqrt_x: self.pi_sqrt_x,
            sum: 0,
        }))
    }

    fn absorb(&mut self, unit: Unit, finished: bool) {
        let (sums, done) = (&mut self.sums, &mut self.done);
        match unit {
            Unit::Make(making) if !finished => self.preparation = Preparation::Making(making),
            unit if !finished => self.again.push(unit),
            Unit::Base { primes, .. } => self.base = Some(Arc::new(primes)),
            Unit::Make(making) => self.preparation = Preparation::Done(Arc::new(making.finish())),
            Unit::Ordinary(unit) => self.ordinary.absorb(unit.index, unit.sum, |sum| {
                done.ordinary += 1;
                sums.ordinary = sums.ordinary.wrapping_add(sum);
            }),
            Unit::Table(unit) => {
                self.table_away = false;
                self.table_counts.push(unit.table.count());
                let start = sieve_start(&self.shape);
                if unit.low <= start && start < unit.high {
                    self.pi_sieve_start = unit.table.pi(start);
                }
                if unit.high > self.shape.sqrt_x {
                    self.pi_sqrt_x = unit.table.pi(self.shape.sqrt_x);
                }
                self.table_next = Some(Arc::new(unit.table));
            }
            Unit::Easy(unit) => {
                let last = easy::in_segment(&unit.tables, unit.segment.low(), unit.segment.high()).end;
                let next = if unit.end == last {
                    (unit.number + 1, Shape::K + 1)
                } else {
                    (unit.number, unit.end)
                };
                self.easy
                    .absorb(unit.index, (next.0, next.1, unit.sum), |(number, at, sum)| {
                        done.easy = (number, at);
                        sums.easy = sums.easy.wrapping_add(sum);
                    });
            }
            Unit::Semiprimes(unit) => {
                self.sieve_rooms.push(unit.room);
                self.semiprimes
                    .absorb(unit.index, (unit.end, unit.piece), |(end, piece)| {
                        done.semiprimes = end;
                        sums.semiprimes.append(piece);
                    });
            }
            Unit::Hard(mut unit) => {
                let segment = unit.work.finish();
                self.hard_rooms.push(unit.work);
                self.hard.absorb(unit.index, (unit.high, segment), |(high, segment)| {
                    done.hard = high;
                    sums.add_hard(&segment);
                });
            }
            Unit::Closed(unit) => self.closed = Some(unit.sum),
            Unit::Small { .. } | Unit::Solo(..) => unreachable!("these are not cut here"),
        }
    }

    fn answer(&self) -> Option<u64> {
        let limit = self.shape.sieve_limit() + 1;
        let closed = self.closed?;
        let over = self.done.easy.0 == self.table_segments()
            && self.done.semiprimes == limit
            && self.done.hard == limit
            && self.ordinary.is_empty();
        let b = self
            .sums
            .semiprimes
            .sum
            .wrapping_add(self.sums.semiprimes.queries.wrapping_mul(self.pi_sieve_start));
        over.then(|| {
            closed
                .wrapping_add(self.sums.ordinary)
                .wrapping_add(self.sums.easy)
                .wrapping_add(self.sums.hard)
                .wrapping_sub(b)
        })
    }

    fn progress(&self) -> f64 {
        let limit = self.shape.sieve_limit() as f64;
        let easy = self.done.easy.0 as f64 / self.table_segments() as f64;
        let semiprimes = self.done.semiprimes as f64 / (limit + 1.0);
        let hard = self.done.hard as f64 / (limit + 1.0);
        (easy + semiprimes + 3.0 * hard) / 5.0
    }

    fn save(&self, writer: &mut Writer) {
        let (done, sums) = (&self.done, &self.sums);
        let table_counts = &self.table_counts[..=(done.easy.0 as usize).min(self.table_counts.len() - 1)];
        writer
            .u64(done.ordinary)
            .u64(sums.ordinary)
            .u64(done.easy.0)
            .u64(done.easy.1 as u64)
            .u64(sums.easy)
            .words(table_counts)
            .u64(self.pi_sqrt_x)
            .u64(self.pi_sieve_start)
            .u64(done.semiprimes)
            .u64(sums.semiprimes.sum)
            .u64(sums.semiprimes.queries)
            .u64(sums.semiprimes.count)
            .u64(done.hard)
            .u64(sums.hard)
            .words(&sums.hard_base);
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), Damaged> {
        let limit = self.shape.sieve_limit() + 1;
        self.done.ordinary = reader.u64()?;
        self.sums.ordinary = reader.u64()?;
        self.done.easy = (reader.u64()?, reader.u64()? as usize);
        self.sums.easy = reader.u64()?;
        self.table_counts = reader.words()?;
        self.pi_sqrt_x = reader.u64()?;
        self.pi_sieve_start = reader.u64()?;
        self.done.semiprimes = reader.u64()?;
        self.sums.semiprimes.sum = reader.u64()?;
        self.sums.semiprimes.queries = reader.u64()?;
        self.sums.semiprimes.count = reader.u64()?;
        self.done.hard = reader.u64()?;
        self.sums.hard = reader.u64()?;
        self.sums.hard_base = reader.words()?;
        if self.done.easy.0 > self.table_segments() || self.table_counts.len() as u64 != self.done.easy.0 + 1 {
            return Err(Damaged::Impossible("segment of the table"));
        }
        if self.done.semiprimes > limit || self.done.hard > limit {
            return Err(Damaged::Impossible("place in a sieve"));
        }
        if self.done.easy.0 < self.table_segments() {
            self.pi_sqrt_x = 0;
        }
        self.next = self.done.clone();
        Ok(())
    }
}

/// Where B begins: a multiple of 240, so that `pi` does not change there.
fn sieve_start(shape: &Shape) -> u64 {
    shape.sqrt_x / 240 * 240
}

/// How long the segment of D at `low` is: short where leaves are dense.
fn hard_length(low: u64) -> u64 {
    (low / 6).clamp(HARD_LEAST, HARD_MOST) / hard::ALIGNMENT * hard::ALIGNMENT
}

impl Sums {
    fn add_hard(&mut self, segment: &hard::Segment) {
        if self.hard_base.len() < segment.counts.len() {
            self.hard_base.resize(segment.counts.len(), 0);
        }
        let both = segment.weights.iter().zip(&segment.counts);
        self.hard = self.hard.wrapping_add(segment.sum);
        for (base, (&weight, &count)) in self.hard_base.iter_mut().zip(both) {
            self.hard = self.hard.wrapping_add(base.wrapping_mul(i64::from(weight) as u64));
            *base += u64::from(count);
        }
    }
}

impl Unit {
    /// Works until the unit is finished or the budget is over; true if it is finished.
    fn run(&mut self, budget: Budget<'_>) -> bool {
        match self {
            Self::Small { x, count } => {
                *count = small::pi(*x);
                true
            }
            Self::Solo(together, x) => {
                let together = together.get_or_insert_with(|| Box::new(Together::new(Shape::new(*x))));
                loop {
                    let Some(mut unit) = together.cut() else {
                        return true;
                    };
                    let finished = unit.run(budget);
                    together.absorb(unit, finished);
                    if budget.over() {
                        return together.answer().is_some();
                    }
                }
            }
            Self::Base { shape, primes } => {
                let bound = shape.sieve_limit().max(shape.sqrt_x).isqrt() as u32 + 1;
                *primes = primes_up_to(bound);
                primes.drain(..3);
                true
            }
            Self::Make(making) => loop {
                if making.step() {
                    return true;
                }
                if budget.over() {
                    return false;
                }
            },
            Self::Ordinary(unit) => unit.run(budget),
            Self::Table(unit) => {
                unit.table = PiTable::sieve(unit.low, unit.high, unit.before, &unit.tables.primes[1..]);
                true
            }
            Self::Easy(unit) => unit.run(budget),
            Self::Semiprimes(unit) => unit.run(budget),
            Self::Hard(unit) => unit.run(budget),
            Self::Closed(unit) => {
                let tables = &unit.tables;
                unit.sum = sigma::sigma(tables, unit.pi_sqrt_x)
                    .wrapping_add(easy::constants(tables, easy::all(tables)))
                    .wrapping_add(ordinary::root(tables));
                true
            }
        }
    }
}

impl OrdinaryUnit {
    fn run(&mut self, budget: Budget<'_>) -> bool {
        const STEP: usize = 1 << 13;
        while self.at < self.end {
            let end = self.end.min(self.at + STEP);
            self.sum = self.sum.wrapping_add(ordinary::sum(&self.tables, self.at..end));
            self.at = end;
            if budget.over() {
                break;
            }
        }
        self.at == self.end
    }
}

impl EasyUnit {
    fn run(&mut self, budget: Budget<'_>) -> bool {
        const STEP: u64 = 1 << 15;
        let mut leaves = 0;
        while self.at < self.end {
            let (sum, count) = easy::leaves(&self.tables, &self.segment, self.at);
            self.sum = self.sum.wrapping_add(sum);
            self.at += 1;
            leaves += count + 32;
            if leaves >= STEP {
                leaves = 0;
                if budget.over() {
                    break;
                }
            }
        }
        self.at == self.end
    }
}

impl HardUnit {
    fn run(&mut self, budget: Budget<'_>) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            self.work.begin(&self.tables, self.low, self.high);
        }
        while self.work.step(&self.tables) {
            if budget.over() {
                return false;
            }
        }
        true
    }
}

impl SemiprimesUnit {
    fn run(&mut self, budget: Budget<'_>) -> bool {
        while self.at < self.end {
            let high = self.end.min(self.at + SIEVE_STEP);
            let piece = semiprimes::piece(&mut self.room, &self.primes, self.shape.x, self.shape.y, self.at, high);
            self.piece.append(piece);
            self.at = high;
            if budget.over() {
                break;
            }
        }
        self.at == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;

    #[test]
    fn powers_of_ten_agree_with_oeis_a006880() {
        let counts = [
            4_u64,
            25,
            168,
            1229,
            9592,
            78_498,
            664_579,
            5_761_455,
            50_847_534,
            455_052_511,
            4_118_054_813,
            37_607_912_018,
            346_065_536_839,
        ];
        for (exponent, count) in (1..).zip(counts) {
            assert_eq!(
                run_to_end(&mut Pi::new(10_u64.pow(exponent))),
                Value::from(count),
                "10^{exponent}"
            );
        }
    }
}
