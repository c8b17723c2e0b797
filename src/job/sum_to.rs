//! The sum of the primes up to `x`, by a formula: tables first, then units of four kinds on all workers.
//!
//! Knows nothing of what a unit adds up; see [`crate::primes::sum`].

use super::by_ends::UpTo;
use super::plan::LONG;
use super::reorder::{Join, Reorder};
use super::sum_part::{Share, Which};
use super::{Budget, Damaged, Plan, Reader, Shared, Writer};
use crate::primes::known;
use crate::primes::sum::{Block, BlockSum, Preparing, Shape, Stretch, StretchSum, Stretching, Tables};
use crate::primes::wheel::NUMBERS_PER_BYTE;
use crate::proto::Value;
use std::ops::Range;
use std::sync::Arc;

const KIND: [u8; 4] = *b"SUMF";
const VERSION: u32 = 2;

/// Ordinary leaves and constants of a unit: half a millisecond.
const LEAVES: u64 = 1 << 15;
const CONSTANTS: u64 = 1 << 12;

/// Bytes of a block at least and at most.
const BLOCK: Range<u64> = 4 << 10..64 << 10;

/// The sum of the primes up to a number.
#[derive(Debug)]
pub struct SumTo {
    pub(super) shape: Shape,
    pub(super) stage: Stage,
    sums: Sums,
    progress: f64,
    /// All that is done here, if this is a part of another machine's sum.
    share: Option<Share>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Making the tables; `None` while a slice does so.
    Preparing(Option<Box<Preparing>>),
    Summing(Box<Summing>),
    Done(u128),
}

/// What is put together so far: all that a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    /// How many units of each kind are in it.
    done: [u64; 4],
    sum: u128,
    /// The sum of the primes before the next stretch, and of those above y, and of their squares.
    primes: u128,
    middle: u128,
    squares: u128,
    /// For each prime of the hard leaves the sum of the numbers before the next block of which no smaller prime is a
    /// factor.
    bases: Vec<u128>,
}

#[derive(Debug)]
pub(super) struct Summing {
    pub(super) tables: Arc<Tables>,
    /// Bytes of a block.
    block: u64,
    /// The first unit of each kind that was never cut, and how many there are.
    pub(super) next: [u64; 4],
    pub(super) limits: [u64; 4],
    pub(super) blocks: Reorder<u64, BlockSum>,
    pub(super) stretches: Reorder<u64, StretchSum>,
    ordinary: Reorder<u64, Residue>,
    constants: Reorder<u64, Residue>,
    /// Units that were interrupted.
    again: Vec<Work>,
    lengths: [u64; 2],
}

/// A sum modulo `2^128`.
#[derive(Debug)]
struct Residue(u128);

impl Join for Residue {
    fn join(&mut self, next: Self) {
        self.0 = self.0.wrapping_add(next.0);
    }
}

impl Join for BlockSum {
    fn join(&mut self, next: Self) {
        self.value = self.value.wrapping_add(next.value);
        // Of later blocks fewer primes have leaves: those that are not there need no sum of what lies before.
        for ((weight, total), (next_weight, next_total)) in self.primes.iter_mut().zip(next.primes) {
            self.value = self.value.wrapping_add(next_weight.wrapping_mul(*total));
            *weight = weight.wrapping_add(next_weight);
            *total = total.wrapping_add(next_total);
        }
    }
}

impl Join for StretchSum {
    fn join(&mut self, next: Self) {
        let add = |sum: &mut u128, more: u128| *sum = sum.wrapping_add(more);
        add(
            &mut self.value,
            next.value.wrapping_add(next.weight.wrapping_mul(self.total)),
        );
        add(&mut self.weight, next.weight);
        add(&mut self.total, next.total);
        add(&mut self.middle, next.middle);
        add(&mut self.squares, next.squares);
    }
}

/// A bout of one unit.
#[derive(Debug)]
pub struct Slice(Work);

#[derive(Debug)]
enum Work {
    Prepare(Box<Preparing>),
    Block(u64, Box<Block>),
    Stretch(u64, Box<Stretch>),
    Ordinary(u64, Arc<Tables>, Range<u64>),
    Constants(u64, Arc<Tables>, Range<u64>),
}

/// What it brought.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    Tables(Result<Tables, Box<Preparing>>),
    Block(u64, Result<BlockSum, Box<Block>>),
    Stretch(u64, Result<StretchSum, Box<Stretch>>),
    Ordinary(u64, u128),
    Constants(u64, u128),
}

impl SumTo {
    /// Asks for the sum up to `x`, which is at least [`Shape::LEAST`].
    pub(super) fn new(x: u64) -> Self {
        Self::of(Shape::new(x), None)
    }

    /// Does this share alone of the sum for these parameters: what its units come to is never put together with what
    /// comes before.
    pub(super) fn part(shape: Shape, share: Share) -> Self {
        Self::of(shape, Some(share))
    }

    fn of(shape: Shape, share: Option<Share>) -> Self {
        Self {
            shape,
            stage: Stage::Preparing(Some(Box::new(Preparing::new(shape)))),
            sums: Sums::default(),
            progress: 0.0,
            share,
        }
    }

    /// Which share this does; `None` if it is a whole sum.
    pub(super) const fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// Up to where.
    pub(super) const fn x(&self) -> u64 {
        self.shape.x
    }

    /// The tables are there. They show whether a checkpoint may be true: one of which more is done than there is starts
    /// over.
    fn begin(&mut self, tables: Arc<Tables>) {
        if !self.sums.are_possible(&tables) {
            self.sums = Sums::default();
        }
        let mut summing = Summing::new(tables, self.shape, &mut self.sums);
        if let Some(share) = &self.share {
            summing.keep_to(share);
        }
        self.stage = Stage::Summing(Box::new(summing));
    }

    /// Takes in what another machine did of the blocks.
    pub(super) fn absorb_blocks(&mut self, range: Range<u64>, piece: BlockSum) {
        let Self { stage, sums, .. } = self;
        if let Stage::Summing(summing) = stage {
            summing
                .blocks
                .absorb_part(range, piece, |end, piece| sums.add_blocks(end, piece));
        }
        self.end();
    }

    /// Takes in what another machine did of the stretches.
    pub(super) fn absorb_stretches(&mut self, range: Range<u64>, piece: StretchSum) {
        let Self { stage, sums, .. } = self;
        if let Stage::Summing(summing) = stage {
            summing
                .stretches
                .absorb_part(range, piece, |end, piece| sums.add_stretches(end, piece));
        }
        self.end();
    }

    /// Goes over to the answer if everything is put together.
    fn end(&mut self) {
        if let Stage::Summing(summing) = &self.stage
            && self.share.is_none()
        {
            let share = |which, done| summing.share(self.shape, which, done);
            let progress = share(Which::Blocks, self.sums.done[0]) + share(Which::Stretches, self.sums.done[1]);
            self.progress = self.progress.max(progress.min(1.0));
            if self
                .sums
                .done
                .iter()
                .zip(&summing.limits)
                .all(|(done, limit)| done >= limit)
            {
                self.stage = Stage::Done(self.sums.whole(&summing.tables));
            }
        }
    }
}

impl Plan for SumTo {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        match &mut self.stage {
            Stage::Preparing(preparing) => preparing.take().map(Work::Prepare),
            Stage::Summing(summing) => summing.cut(),
            Stage::Done(_) => None,
        }
        .map(Slice)
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        let over = || budget.over();
        Partial(match work {
            Work::Prepare(preparing) => Found::Tables(preparing.advance(over)),
            Work::Block(index, block) => Found::Block(index, block.advance(over)),
            Work::Stretch(index, stretch) => Found::Stretch(index, stretch.advance(over)),
            Work::Ordinary(index, tables, leaves) => Found::Ordinary(index, tables.ordinary(leaves)),
            Work::Constants(index, tables, primes) => Found::Constants(index, tables.constants(primes)),
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match (found, &mut self.stage) {
            (Found::Tables(Ok(tables)), _) => self.begin(Arc::new(tables)),
            (Found::Tables(Err(rest)), _) => self.stage = Stage::Preparing(Some(rest)),
            (found, Stage::Summing(summing)) => summing.absorb(found, &mut self.sums),
            _ => {}
        }
        self.end();
    }

    fn answer(&mut self) -> Option<Value> {
        match self.share {
            Some(_) => self.is_share_done().then_some(Value::Nothing),
            None => self.total().map(|sum| Value::Number(sum.into())),
        }
    }

    fn progress(&self) -> f64 {
        match self.stage {
            Stage::Done(_) => 1.0,
            _ => self.share_done().unwrap_or(self.progress),
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        let Shape { y, root4, .. } = self.shape;
        let primes = |n: u64| 1.2 * n as f64 / (n as f64).ln();
        // Primes and their sums twelve bytes each, an entry for 64 numbers, two bytes for each number of the wheel;
        // lists grow in advance.
        let tables = 24.0 * primes(y) + 0.7 * y as f64;
        let waiting = 64.0 * 32.0 * primes(root4);
        // Tables that were made for another part are counted there.
        let is_served = self.share().is_some() && self.tables().is_some();
        let tables = if is_served { 0 } else { tables as u64 };
        tables + waiting as u64 + (3 << 20) * (workers as u64 + 1)
    }

    fn is_long(&self) -> bool {
        Self::cost(self.x().into()) > LONG
    }

    fn save(&self) -> Option<Vec<u8>> {
        if self.share.is_some() {
            // It is about a second of work, and starts over.
            return self.share_bytes();
        }
        if let Stage::Done(_) = self.stage {
            return None;
        }
        let Sums {
            done,
            sum,
            primes,
            middle,
            squares,
            bases,
        } = &self.sums;
        let mut writer = Writer::new(KIND, VERSION);
        writer.u64(self.shape.x).u64(self.progress.to_bits()).words(done);
        for number in [sum, primes, middle, squares] {
            writer.u128(*number);
        }
        let words: Vec<u64> = bases
            .iter()
            .flat_map(|base| [*base as u64, (*base >> 64) as u64])
            .collect();
        writer.words(&words);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        match Self::restore_share(bytes) {
            Err(Damaged::Kind) => {}
            part => return part,
        }
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (x, progress) = (reader.u64()?, reader.share()?);
        if x < Shape::LEAST {
            return Err(Damaged::Impossible("sum"));
        }
        let done = <[u64; 4]>::try_from(reader.words()?).map_err(|_| Damaged::Impossible("number of units"))?;
        let (sum, primes, middle, squares) = (reader.u128()?, reader.u128()?, reader.u128()?, reader.u128()?);
        let words = reader.words()?;
        reader.finish()?;
        let (pairs, []) = words.as_chunks::<2>() else {
            return Err(Damaged::Impossible("list of sums"));
        };
        let bases = pairs
            .iter()
            .map(|[low, high]| u128::from(*high) << 64 | u128::from(*low));
        let mut plan = Self::new(x);
        plan.progress = progress;
        plan.sums = Sums {
            done,
            sum,
            primes,
            middle,
            squares,
            bases: bases.collect(),
        };
        Ok(plan)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        self.cut_share(cost)
    }

    fn result(&self) -> Option<Vec<u8>> {
        self.share_result()
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        self.absorb_share(part, result)
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        self.take_back_share(part)
    }

    fn needs_shared(&self) -> bool {
        matches!(self.stage, Stage::Preparing(_))
    }

    fn shared(&self) -> Option<Shared> {
        let tables = Arc::clone(self.tables()?);
        Some(tables)
    }

    fn use_shared(&mut self, shared: &Shared) {
        let Ok(tables) = Arc::clone(shared).downcast::<Tables>() else {
            return;
        };
        if tables.shape() == self.shape && matches!(self.stage, Stage::Preparing(Some(_))) {
            self.begin(tables);
        }
    }
}

impl UpTo for SumTo {
    const RANGE: ([u8; 4], u32) = (*b"sfo1", 2);
    const MOST: u128 = u64::MAX as u128;

    fn up_to(x: u128) -> Self {
        Self::new(u64::try_from(x).expect("it is no more than the most"))
    }

    fn at_once(x: u128) -> Option<u128> {
        let primes = std::iter::successors(known::next(0), |p| known::next(*p)).map(u128::from);
        (x < Shape::LEAST.into()).then(|| primes.take_while(|p| *p <= x).sum())
    }

    // A line in the logarithms through .14 s at 10^13, 2.2 s at 10^15 and 8.7 s at 10^16.
    fn cost(x: u128) -> f64 {
        0.55e6 * (x as f64 / 1e9).max(1e-3).powf(0.6)
    }

    fn total(&self) -> Option<u128> {
        match self.stage {
            Stage::Done(sum) => Some(sum),
            _ => None,
        }
    }

    fn restore_of(x: u128, bytes: &[u8]) -> Result<Self, Damaged> {
        let sum = Self::restore(bytes)?;
        if u128::from(sum.x()) != x || sum.share.is_some() {
            return Err(Damaged::Impossible("sum"));
        }
        Ok(sum)
    }
}

impl Summing {
    fn new(tables: Arc<Tables>, shape: Shape, sums: &mut Sums) -> Self {
        sums.bases.resize(tables.hard_primes(), 0);
        let lengths = tables.lengths();
        let [blocks, stretches, ordinary, constants] = sums.done;
        Self {
            block: block(shape),
            next: sums.done,
            limits: limits(&tables),
            tables,
            blocks: Reorder::new(blocks),
            stretches: Reorder::new(stretches),
            ordinary: Reorder::new(ordinary),
            constants: Reorder::new(constants),
            again: Vec::new(),
            lengths,
        }
    }

    /// How many primes have leaves in this block or after it.
    pub(super) fn width(&self, block: u64) -> usize {
        Block::width(&self.tables, self.block_low(block))
    }

    /// The first number of a block.
    const fn block_low(&self, index: u64) -> u64 {
        index * self.block * NUMBERS_PER_BYTE
    }

    /// Cuts the units of this share and no others, and puts nothing together with what comes before.
    fn keep_to(&mut self, share: &Share) {
        self.next = self.limits;
        let which = share.which as usize;
        (self.next[which], self.limits[which]) = (share.range.start, share.range.end);
        (self.blocks, self.stretches) = (Reorder::new(u64::MAX), Reorder::new(u64::MAX));
    }

    fn cut(&mut self) -> Option<Work> {
        if let Some(work) = self.again.pop() {
            return Some(work);
        }
        let [block, stretch, ordinary, constant] = &mut self.next;
        if let Some(index) = next(&mut self.blocks, block, self.limits[0]) {
            let (tables, low) = (&self.tables, self.block_low(index));
            let block = Block::new(Arc::clone(tables), low, self.block as usize);
            return Some(Work::Block(index, Box::new(block)));
        }
        let tables = &self.tables;
        if let Some(index) = next(&mut self.stretches, stretch, self.limits[1]) {
            let stretch = Stretch::new(Arc::clone(tables), tables.stretching().unit(index));
            return Some(Work::Stretch(index, Box::new(stretch)));
        }
        let part = |index: u64, size: u64, length: u64| index * size..length.min((index + 1) * size);
        if let Some(index) = next(&mut self.ordinary, ordinary, self.limits[2]) {
            let leaves = part(index, LEAVES, self.lengths[0]);
            return Some(Work::Ordinary(index, Arc::clone(tables), leaves));
        }
        let index = next(&mut self.constants, constant, self.limits[3])?;
        let primes = part(index, CONSTANTS, self.lengths[1]);
        Some(Work::Constants(index, Arc::clone(tables), primes))
    }

    /// Takes in a unit, and puts together what its turn it is.
    fn absorb(&mut self, found: Found, sums: &mut Sums) {
        let of = |index: u64| index..index + 1;
        match found {
            Found::Block(index, Ok(piece)) => {
                self.blocks
                    .absorb(of(index), piece, |end, piece| sums.add_blocks(end, piece));
            }
            Found::Stretch(index, Ok(piece)) => {
                self.stretches
                    .absorb(of(index), piece, |end, piece| sums.add_stretches(end, piece));
            }
            Found::Ordinary(index, sum) => {
                self.ordinary
                    .absorb(of(index), Residue(sum), |end, sum| sums.add(2, end, sum.0));
            }
            Found::Constants(index, sum) => {
                self.constants
                    .absorb(of(index), Residue(sum), |end, sum| sums.add(3, end, sum.0));
            }
            Found::Block(index, Err(rest)) => self.again.push(Work::Block(index, rest)),
            Found::Stretch(index, Err(rest)) => self.again.push(Work::Stretch(index, rest)),
            Found::Tables(_) => {}
        }
    }

    /// The share of the whole cost that the first units of this kind take, as many as are `done`.
    pub(super) fn share(&self, shape: Shape, which: Which, done: u64) -> f64 {
        let numbers = shape.last as f64;
        match which {
            Which::Blocks => {
                let blocks = ((done * self.block * NUMBERS_PER_BYTE) as f64 / numbers).min(1.0);
                // Hard leaves grow thinner as numbers grow: their share is one of the logarithm, from where they begin
                // at about x / (y root y).
                let leaves = 1.0 + blocks.ln() / (shape.y as f64).ln() * 2.0;
                0.1 * blocks + 0.42 * leaves.clamp(0.0, 1.0)
            }
            Which::Stretches => {
                let (leaves, low) = self.tables.stretching().before(done);
                0.43 * leaves / self.tables.stretching().leaves().max(1.0) + 0.05 * (low as f64 / numbers).min(1.0)
            }
        }
    }
}

/// Begins the next unit of one kind.
fn next<T: Join>(units: &mut Reorder<u64, T>, next: &mut u64, limit: u64) -> Option<u64> {
    let index = units.next(*next, limit)?;
    units.begin().then(|| {
        units.cut(next, index + 1);
        index
    })
}

/// Bytes of a block.
fn block(shape: Shape) -> u64 {
    ((shape.last + 1) / NUMBERS_PER_BYTE / 64)
        .clamp(BLOCK.start, BLOCK.end)
        .next_multiple_of(8)
}

/// How many units of this kind there are.
pub(super) fn units(shape: Shape, which: Which) -> u64 {
    match which {
        Which::Blocks => (shape.last + 1).div_ceil(block(shape) * NUMBERS_PER_BYTE),
        Which::Stretches => Stretching::new(shape).units(),
    }
}

/// How many units of each kind there are.
fn limits(tables: &Tables) -> [u64; 4] {
    let [leaves, primes] = tables.lengths();
    [
        units(tables.shape(), Which::Blocks),
        tables.stretching().units(),
        leaves.div_ceil(LEAVES),
        primes.div_ceil(CONSTANTS),
    ]
}

impl Sums {
    /// True if a sum with these tables can have come so far.
    fn are_possible(&self, tables: &Tables) -> bool {
        let is_begun = self.done != [0; 4];
        let is_within = self.done.iter().zip(limits(tables)).all(|(done, limit)| *done <= limit);
        is_within && (self.bases.len() == tables.hard_primes() || !is_begun && self.bases.is_empty())
    }

    /// Adds what the next units come to, up to `end`, where nothing lies beside it.
    fn add(&mut self, kind: usize, end: u64, sum: u128) {
        self.done[kind] = end;
        self.sum = self.sum.wrapping_add(sum);
    }

    fn add_blocks(&mut self, end: u64, BlockSum { value, primes }: BlockSum) {
        let mut sum = value;
        for (base, (weight, total)) in self.bases.iter_mut().zip(primes) {
            sum = sum.wrapping_add(weight.wrapping_mul(*base));
            *base = base.wrapping_add(total);
        }
        self.add(0, end, sum);
    }

    fn add_stretches(&mut self, end: u64, stretch: StretchSum) {
        let before = stretch.weight.wrapping_mul(self.primes);
        self.add(1, end, stretch.value.wrapping_add(before));
        self.primes = self.primes.wrapping_add(stretch.total);
        self.middle = self.middle.wrapping_add(stretch.middle);
        self.squares = self.squares.wrapping_add(stretch.squares);
    }

    /// The sum of the primes, once everything is put together.
    fn whole(&self, tables: &Tables) -> u128 {
        let to_y = tables.sum_to_y();
        // The products of two different primes above y and up to the root of x, and of one of these and one up to y.
        let pairs = self.middle.wrapping_mul(self.middle).wrapping_sub(self.squares) / 2;
        self.sum
            .wrapping_add(to_y)
            .wrapping_sub(1)
            .wrapping_add(to_y.wrapping_mul(self.middle))
            .wrapping_add(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::known;

    fn sum(x: u64) -> u128 {
        let mut plan = SumTo::new(x);
        while plan.total().is_none() {
            let slice = plan.cut().expect("alone there is always a slice");
            plan.absorb(SumTo::run(slice, Budget::unlimited()));
        }
        plan.total().expect("it is there")
    }

    #[test]
    fn the_least_numbers_are_right() {
        let mut expected: u128 = (2..=Shape::LEAST)
            .filter(|n| known::is_prime(*n) == Some(true))
            .map(u128::from)
            .sum();
        for x in Shape::LEAST..Shape::LEAST + 60 {
            if x > Shape::LEAST && known::is_prime(x) == Some(true) {
                expected += u128::from(x);
            }
            assert_eq!(sum(x), expected, "{x}");
        }
    }

    #[test]
    fn no_piece_of_a_stretch_is_a_twentieth_of_the_cost_and_no_block_a_fifth() {
        let shape = Shape::new(10_u64.pow(15));
        let tables = Box::new(Preparing::new(shape)).advance(|| false);
        let tables = Arc::new(tables.expect("nothing stops it"));
        let summing = Summing::new(tables, shape, &mut Sums::default());
        let mut all = 0.0;
        for which in [Which::Blocks, Which::Stretches] {
            let shares = (0..=units(shape, which)).map(|done| summing.share(shape, which, done));
            let shares: Vec<f64> = shares.collect();
            // Most hard leaves are in the first blocks.
            let most = if which == Which::Blocks { 0.2 } else { 0.05 };
            assert!(shares.windows(2).all(|pair| (0.0..most).contains(&(pair[1] - pair[0]))));
            all += shares[shares.len() - 1];
        }
        assert!((0.999..1.001).contains(&all), "{all}");
    }

    #[test]
    fn a_checkpoint_of_which_more_is_done_than_there_is_starts_over() {
        let x = 1_000_000_000;
        let saved = SumTo::new(x).save().expect("it is not over");
        for kind in 0..4 {
            let mut bytes = saved.clone();
            // After the kind, the number, the progress and the length of the list.
            let done = 32 + 8 * kind;
            bytes[done..done + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
            let mut plan = SumTo::restore(&bytes).expect("it can be read");
            while plan.total().is_none() {
                let slice = plan.cut().expect("alone there is always a slice");
                plan.absorb(SumTo::run(slice, Budget::unlimited()));
            }
            assert_eq!(plan.total(), Some(sum(x)), "{kind}");
        }
        let mut odd = saved;
        let length = odd.len() - 8;
        odd[length] = 1;
        odd.extend([0; 8]);
        assert_eq!(SumTo::restore(&odd).err(), Some(Damaged::Impossible("list of sums")));
    }

    #[test]
    fn sums_below_powers_of_ten_are_those_of_a046731() {
        for (exponent, expected) in (6..).zip([
            37_550_402_023u128,
            3_203_324_994_356,
            279_209_790_387_276,
            24_739_512_092_254_535,
            2_220_822_432_581_729_238,
            201_467_077_743_744_681_014,
            18_435_588_552_550_705_911_377,
        ]) {
            assert_eq!(sum(10u64.pow(exponent)), expected, "10^{exponent}");
        }
    }
}
