//! The sum of the primes up to `x`, by a formula: tables first, then units of four kinds on all workers.
//!
//! Knows nothing of what a unit adds up; see [`crate::primes::sum`].

use super::units::Units;
use super::{Budget, Damaged, Reader, Writer};
use crate::primes::sum::{Block, BlockSum, Preparing, Shape, Stretch, StretchSum, Tables};
use crate::primes::wheel::{NUMBERS_PER_BYTE, NUMBERS_PER_WORD};
use std::ops::Range;
use std::sync::Arc;

const KIND: [u8; 4] = *b"SUMF";
const VERSION: u32 = 1;

/// Ordinary leaves and constants of a unit: half a millisecond.
const LEAVES: u64 = 1 << 15;
const CONSTANTS: u64 = 1 << 12;

/// Numbers of a stretch up to the root of x, where all easy leaves are: one segment. And beyond.
const LEAFY: u64 = 64 * 1024 * NUMBERS_PER_BYTE;
const STRETCH: Range<u64> = 1 << 20..1 << 25;
/// Bytes of a block at least and at most.
const BLOCK: Range<u64> = 4 << 10..64 << 10;

/// The sum of the primes up to a number.
#[derive(Debug)]
pub(super) struct SumTo {
    shape: Shape,
    stage: Stage,
    sums: Sums,
    progress: f64,
}

#[derive(Debug)]
enum Stage {
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
    /// For each prime of the hard leaves the sum of the numbers before the next block of which no smaller prime is a factor.
    bases: Vec<u128>,
}

#[derive(Debug)]
struct Summing {
    tables: Arc<Tables>,
    stretching: Stretching,
    /// Bytes of a block.
    block: u64,
    blocks: Units<Box<Block>, BlockSum>,
    stretches: Units<Box<Stretch>, StretchSum>,
    ordinary: Units<Range<u64>, u128>,
    constants: Units<Range<u64>, u128>,
    lengths: [u64; 2],
}

/// Where stretches begin.
#[derive(Clone, Copy, Debug)]
struct Stretching {
    /// How many of them have leaves, and the numbers of each of these and of each of the others.
    leafy: u64,
    short: u64,
    long: u64,
    last: u64,
}

impl Stretching {
    fn new(shape: Shape) -> Self {
        let long = (shape.last / 64)
            .clamp(STRETCH.start, STRETCH.end)
            .next_multiple_of(NUMBERS_PER_WORD);
        let short = long.min(LEAFY);
        Self {
            leafy: shape.root2 / short + 1,
            short,
            long,
            last: shape.last,
        }
    }

    /// The first number of a stretch.
    fn low(&self, index: u64) -> u64 {
        self.short * index.min(self.leafy) + self.long * index.saturating_sub(self.leafy)
    }

    fn count(&self) -> u64 {
        let numbers = self.last + 1;
        match numbers.checked_sub(self.low(self.leafy)) {
            Some(rest) => self.leafy + rest.div_ceil(self.long),
            None => numbers.div_ceil(self.short),
        }
    }

    fn last(&self, index: u64) -> u64 {
        self.last.min(self.low(index + 1) - 1)
    }
}

/// A bout of one unit.
#[derive(Debug)]
pub(super) struct Slice(Work);

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
pub(super) struct Partial(Found);

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
        let shape = Shape::new(x);
        Self {
            shape,
            stage: Stage::Preparing(Some(Box::new(Preparing::new(shape)))),
            sums: Sums::default(),
            progress: 0.0,
        }
    }

    /// What this takes, in nanoseconds on the machine it was measured on: a line in the logarithms through .14 s at 10^13, 2.2 s at 10^15 and
    /// 8.7 s at 10^16.
    pub(super) fn cost(x: u64) -> f64 {
        0.55e6 * (x as f64 / 1e9).max(1e-3).powf(0.6)
    }

    /// Up to where.
    pub(super) const fn x(&self) -> u64 {
        self.shape.x
    }

    /// The sum, once it is known.
    pub(super) fn sum(&self) -> Option<u128> {
        match self.stage {
            Stage::Done(sum) => Some(sum),
            _ => None,
        }
    }

    pub(super) fn cut(&mut self) -> Option<Slice> {
        match &mut self.stage {
            Stage::Preparing(preparing) => preparing.take().map(Work::Prepare),
            Stage::Summing(summing) => summing.cut(),
            Stage::Done(_) => None,
        }
        .map(Slice)
    }

    pub(super) fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        let over = || budget.over();
        Partial(match work {
            Work::Prepare(preparing) => Found::Tables(preparing.advance(over)),
            Work::Block(index, block) => Found::Block(index, block.advance(over)),
            Work::Stretch(index, stretch) => Found::Stretch(index, stretch.advance(over)),
            Work::Ordinary(index, tables, leaves) => Found::Ordinary(index, tables.ordinary(leaves)),
            Work::Constants(index, tables, primes) => Found::Constants(index, tables.constants(primes)),
        })
    }

    pub(super) fn absorb(&mut self, Partial(found): Partial) {
        match (found, &mut self.stage) {
            (Found::Tables(Ok(tables)), _) => {
                let summing = Summing::new(tables, self.shape, &mut self.sums);
                self.stage = Stage::Summing(Box::new(summing));
            }
            (Found::Tables(Err(rest)), _) => self.stage = Stage::Preparing(Some(rest)),
            (Found::Block(index, result), Stage::Summing(summing)) => summing.blocks.absorb(index, result),
            (Found::Stretch(index, result), Stage::Summing(summing)) => summing.stretches.absorb(index, result),
            (Found::Ordinary(index, sum), Stage::Summing(summing)) => summing.ordinary.absorb(index, Ok(sum)),
            (Found::Constants(index, sum), Stage::Summing(summing)) => summing.constants.absorb(index, Ok(sum)),
            _ => {}
        }
        if let Stage::Summing(summing) = &mut self.stage {
            self.sums.take_from(summing);
            self.progress = self.progress.max(summing.progress(self.shape));
            if summing.is_done() {
                self.stage = Stage::Done(self.sums.whole(&summing.tables));
            }
        }
    }

    pub(super) fn progress(&self) -> f64 {
        match self.stage {
            Stage::Done(_) => 1.0,
            _ => self.progress,
        }
    }

    pub(super) fn memory(&self, workers: usize) -> u64 {
        let Shape { y, root4, .. } = self.shape;
        let primes = |n: u64| 1.2 * n as f64 / (n as f64).ln();
        // Primes and their sums twelve bytes each, an entry for 64 numbers, two bytes for each number of the wheel; lists grow in advance.
        let tables = 24.0 * primes(y) + 0.7 * y as f64;
        let waiting = 64.0 * 32.0 * primes(root4);
        tables as u64 + waiting as u64 + (3 << 20) * (workers as u64 + 1)
    }

    pub(super) fn save(&self) -> Vec<u8> {
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
        writer.finish()
    }

    pub(super) fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (x, progress) = (reader.u64()?, f64::from_bits(reader.u64()?));
        if x < Shape::LEAST || !(0.0..=1.0).contains(&progress) {
            return Err(Damaged::Impossible("sum"));
        }
        let done = <[u64; 4]>::try_from(reader.words()?).map_err(|_| Damaged::Impossible("number of units"))?;
        let (sum, primes, middle, squares) = (reader.u128()?, reader.u128()?, reader.u128()?, reader.u128()?);
        let words = reader.words()?;
        reader.finish()?;
        let bases = words
            .chunks_exact(2)
            .map(|words| u128::from(words[1]) << 64 | u128::from(words[0]));
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
}

impl Summing {
    fn new(tables: Tables, shape: Shape, sums: &mut Sums) -> Self {
        sums.bases.resize(tables.hard_primes(), 0);
        let lengths = tables.lengths();
        let numbers = shape.last + 1;
        let stretching = Stretching::new(shape);
        let block = (numbers / NUMBERS_PER_BYTE / 64)
            .clamp(BLOCK.start, BLOCK.end)
            .next_multiple_of(8);
        let [blocks, stretches, ordinary, constants] = sums.done;
        Self {
            tables: Arc::new(tables),
            stretching,
            block,
            blocks: Units::new(numbers.div_ceil(block * NUMBERS_PER_BYTE), blocks),
            stretches: Units::new(stretching.count(), stretches),
            ordinary: Units::new(lengths[0].div_ceil(LEAVES), ordinary),
            constants: Units::new(lengths[1].div_ceil(CONSTANTS), constants),
            lengths,
        }
    }

    fn cut(&mut self) -> Option<Work> {
        let tables = &self.tables;
        let (block, stretching) = (self.block, self.stretching);
        let new_block = |index| {
            let low = index * block * NUMBERS_PER_BYTE;
            Box::new(Block::new(Arc::clone(tables), low, block as usize))
        };
        if let Some((index, block)) = self.blocks.cut(new_block) {
            return Some(Work::Block(index, block));
        }
        let new_stretch = |index| {
            let (low, last) = (stretching.low(index), stretching.last(index));
            Box::new(Stretch::new(Arc::clone(tables), low, last))
        };
        if let Some((index, stretch)) = self.stretches.cut(new_stretch) {
            return Some(Work::Stretch(index, stretch));
        }
        let part = |index: u64, size: u64, length: u64| index * size..length.min((index + 1) * size);
        if let Some((index, leaves)) = self.ordinary.cut(|index| part(index, LEAVES, self.lengths[0])) {
            return Some(Work::Ordinary(index, Arc::clone(tables), leaves));
        }
        let (index, primes) = self.constants.cut(|index| part(index, CONSTANTS, self.lengths[1]))?;
        Some(Work::Constants(index, Arc::clone(tables), primes))
    }

    const fn is_done(&self) -> bool {
        self.blocks.is_done() && self.stretches.is_done() && self.ordinary.is_done() && self.constants.is_done()
    }

    /// The share of the cost of what is put together.
    fn progress(&self, shape: Shape) -> f64 {
        let numbers = shape.last as f64;
        let blocks = ((self.blocks.done() * self.block * NUMBERS_PER_BYTE) as f64 / numbers).min(1.0);
        let done = self.stretches.done();
        let leafy = done as f64 / self.stretching.leafy as f64;
        let stretches = self.stretching.low(done) as f64 / numbers;
        // Hard leaves grow thinner as numbers grow: their share is one of the logarithm, from where they begin at about x / (y root y).
        let leaves = 1.0 + blocks.ln() / (shape.y as f64).ln() * 2.0;
        0.45 * blocks + 0.25 * leaves.clamp(0.0, 1.0) + 0.2 * leafy.min(1.0) + 0.1 * stretches.min(1.0)
    }
}

impl Sums {
    /// Puts together what is done, in order.
    fn take_from(&mut self, summing: &mut Summing) {
        let add = |sum: &mut u128, more: u128| *sum = sum.wrapping_add(more);
        while let Some(BlockSum { value, primes }) = summing.blocks.take() {
            add(&mut self.sum, value);
            for (base, (weight, total)) in self.bases.iter_mut().zip(primes) {
                add(&mut self.sum, weight.wrapping_mul(*base));
                add(base, total);
            }
        }
        while let Some(stretch) = summing.stretches.take() {
            add(&mut self.sum, stretch.value);
            add(&mut self.sum, stretch.weight.wrapping_mul(self.primes));
            add(&mut self.primes, stretch.total);
            add(&mut self.middle, stretch.middle);
            add(&mut self.squares, stretch.squares);
        }
        for units in [&mut summing.ordinary, &mut summing.constants] {
            while let Some(sum) = units.take() {
                add(&mut self.sum, sum);
            }
        }
        self.done = [
            summing.blocks.done(),
            summing.stretches.done(),
            summing.ordinary.done(),
            summing.constants.done(),
        ];
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
        while plan.sum().is_none() {
            let slice = plan.cut().expect("alone there is always a slice");
            plan.absorb(SumTo::run(slice, Budget::unlimited()));
        }
        plan.sum().expect("it is there")
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
