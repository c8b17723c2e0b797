//! A block of numbers `v` up to `x / y`: the hard leaves `x / (p n)` that lie in it, by a sieve that adds up what is
//! left after each prime.
//!
//! Knows the block alone: sums are those from its beginning, and beside what they come to stand, for each prime, the
//! weight of what lies before and the sum that the block adds to it.

use super::{FIRST, Tables, count_in, sum_of_residues, wheel_index, wheel_number};
use crate::primes::wheel::{BITS_BELOW, NUMBERS_PER_BYTE, NUMBERS_PER_WORD, RESIDUES, bit};
use std::sync::Arc;

/// Words whose sums are added up together.
const GROUP: usize = 16;

/// Candidates between two calls of `over`.
const CANDIDATES: usize = 30_000;

/// What a block came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockSum {
    /// The sum over all leaves, with sums from the beginning of the block.
    pub(crate) value: u128,
    /// For each prime from the fourth on what it grows by for each unit that the numbers before the block add up to, of
    /// which no smaller prime is a factor; and what the numbers of the block add up to.
    pub(crate) primes: Vec<(u128, u128)>,
}

/// A block under way.
#[derive(Debug)]
pub(crate) struct Block {
    tables: Arc<Tables>,
    low: u64,
    /// The number after the block.
    high: u64,
    /// A bit for each number coprime to 30, as in a sieve; the sums of the numbers of each word and each group of words
    /// that are left; and of all.
    bytes: Vec<u8>,
    words: Vec<u64>,
    groups: Vec<u64>,
    total: u64,
    /// The primes that have leaves in this block or after it.
    end: usize,
    leaves: Leaves,
    sum: BlockSum,
}

/// How far the leaves of a prime are.
#[derive(Clone, Copy, Debug)]
struct Leaves {
    prime: usize,
    /// Candidates `from..to` are left, the last one next: of the numbers coprime to 30 for primes up to the root of
    /// `y`, of the primes above.
    from: usize,
    to: usize,
    /// The sum of the words before this one.
    word: usize,
    before: u64,
    value: u128,
    weight: u128,
}

impl Block {
    /// How many primes have leaves in the block from `low` on or after it: as many as the [sum](BlockSum) has.
    pub(crate) fn width(tables: &Tables, low: u64) -> usize {
        let shape = tables.shape;
        // A prime above the root of y has leaves up to x / p^2.
        let far = shape.x.checked_div(low).unwrap_or(u64::MAX).isqrt();
        tables.count(shape.root4.min(shape.root_y.max(far))).max(FIRST) - FIRST
    }

    /// The block of `bytes` bytes (a multiple of 8) from `low` on (a multiple of 240).
    pub(crate) fn new(tables: Arc<Tables>, low: u64, bytes: usize) -> Self {
        let end = FIRST + Self::width(&tables, low);
        let mut block = Self {
            low,
            high: low + bytes as u64 * NUMBERS_PER_BYTE,
            bytes: vec![0xff; bytes],
            words: Vec::new(),
            groups: Vec::new(),
            total: 0,
            end,
            leaves: Leaves::of(&tables, FIRST, low, low + bytes as u64 * NUMBERS_PER_BYTE),
            sum: BlockSum::default(),
            tables,
        };
        let words = bytes as u64 / 8;
        // 64 numbers a word, whose distances from its first number add up to this.
        let distances = 8 * 120 + 8 * NUMBERS_PER_BYTE * 28;
        let word = |index| 64 * (low + NUMBERS_PER_WORD * index) + distances;
        block.words = (0..words).map(word).collect();
        block.groups = block.words.chunks(GROUP).map(|group| group.iter().sum()).collect();
        block.total = block.groups.iter().sum();
        block
    }

    /// Goes on until all is added up or until `over`, which is asked every 10 to 200 microseconds.
    pub(crate) fn advance(mut self: Box<Self>, mut over: impl FnMut() -> bool) -> Result<BlockSum, Box<Self>> {
        let mut work = 0;
        while self.leaves.prime < self.end {
            let prime = self.leaves.prime;
            work += self.add_leaves();
            if self.leaves.from == self.leaves.to {
                let p = u128::from(self.tables.primes[prime]);
                let Leaves { value, weight, .. } = self.leaves;
                self.sum.value = self.sum.value.wrapping_add(p.wrapping_mul(value));
                self.sum.primes.push((p.wrapping_mul(weight), u128::from(self.total)));
                if prime + 1 < self.end {
                    work += self.cross_off(u64::from(self.tables.primes[prime]));
                    self.leaves = Leaves::of(&self.tables, prime + 1, self.low, self.high);
                } else {
                    self.leaves.prime += 1;
                }
            }
            if work >= CANDIDATES {
                work = 0;
                if over() {
                    return Err(self);
                }
            }
        }
        Ok(self.sum)
    }

    /// Adds leaves, the nearest first; how many candidates there were.
    fn add_leaves(&mut self) -> usize {
        let tables = &self.tables;
        let mut leaves = self.leaves;
        let p = u64::from(tables.primes[leaves.prime]);
        let over_p = tables.shape.x / p;
        let from = leaves.from.max(leaves.to.saturating_sub(CANDIDATES));
        let candidates = leaves.to - from;
        if p <= tables.shape.root_y {
            for index in (from..leaves.to).rev() {
                let factors = tables.factors[index];
                if u64::from(factors >> 1) > p {
                    let n = wheel_number(index);
                    let sum = self.sum_to(&mut leaves, over_p / n);
                    let is_odd = factors & 1 == 1;
                    leaves.add(n, sum, is_odd);
                }
            }
        } else {
            for index in (from..leaves.to).rev() {
                let n = u64::from(tables.primes[index]);
                let sum = self.sum_to(&mut leaves, over_p / n);
                leaves.add(n, sum, true);
            }
        }
        leaves.to = from;
        self.leaves = leaves;
        candidates
    }

    /// The sum of the numbers of the block up to `v` that are left; `v` must not descend.
    #[inline]
    fn sum_to(&self, leaves: &mut Leaves, v: u64) -> u64 {
        let distance = v - self.low;
        let word = (distance / NUMBERS_PER_WORD) as usize;
        while leaves.word < word {
            if leaves.word.is_multiple_of(GROUP) && leaves.word + GROUP <= word {
                leaves.before += self.groups[leaves.word / GROUP];
                leaves.word += GROUP;
            } else {
                leaves.before += self.words[leaves.word];
                leaves.word += 1;
            }
        }
        let (last, rest) = ((distance / NUMBERS_PER_BYTE) as usize, distance % NUMBERS_PER_BYTE);
        let mut low = self.low + NUMBERS_PER_WORD * word as u64;
        let mut sum = leaves.before;
        for byte in &self.bytes[8 * word..last] {
            sum += low * count_in(*byte) + sum_of_residues(*byte);
            low += NUMBERS_PER_BYTE;
        }
        let byte = self.bytes[last] & BITS_BELOW[rest as usize + 1];
        sum + low * count_in(byte) + sum_of_residues(byte)
    }

    /// Takes out the multiples of `p`; how many places were looked at.
    fn cross_off(&mut self, p: u64) -> usize {
        let first_cofactor = self.low.div_ceil(p);
        let mut total = 0u64;
        for residue in RESIDUES.map(u64::from) {
            // The first cofactor of this residue; 30 more move the multiple by p bytes.
            let distance = (residue + NUMBERS_PER_BYTE - first_cofactor % NUMBERS_PER_BYTE) % NUMBERS_PER_BYTE;
            let multiple = p * (first_cofactor + distance);
            let bit = bit((multiple % NUMBERS_PER_BYTE) as usize);
            let mut number = multiple;
            let mut index = ((multiple - self.low) / NUMBERS_PER_BYTE) as usize;
            while let Some(byte) = self.bytes.get_mut(index) {
                // Whether the number is left is a guess: it is taken away always, if need be as 0.
                let gone = number * u64::from(*byte >> bit & 1);
                *byte &= !(1 << bit);
                self.words[index / 8] -= gone;
                self.groups[index / 8 / GROUP] -= gone;
                total += gone;
                index += p as usize;
                number += NUMBERS_PER_BYTE * p;
            }
        }
        self.total -= total;
        8 * (self.bytes.len() / p as usize + 1)
    }
}

impl Leaves {
    fn of(tables: &Tables, prime: usize, low: u64, high: u64) -> Self {
        let shape = tables.shape;
        let p = u64::from(tables.primes[prime]);
        let over_p = shape.x / p;
        let most = shape.y.min(over_p.checked_div(low).unwrap_or(u64::MAX));
        let least = over_p / high;
        let (from, to) = if p <= shape.root_y {
            let least = least.max(shape.y / p);
            (wheel_index(least.min(most)), wheel_index(most))
        } else {
            let most = most.min(over_p / p / p);
            let least = least.max(p);
            (tables.count(least.min(most)), tables.count(most))
        };
        Self {
            prime,
            from,
            to,
            word: 0,
            before: 0,
            value: 0,
            weight: 0,
        }
    }

    /// Adds a leaf: minus the sign of the number, times the number.
    #[inline]
    fn add(&mut self, n: u64, sum: u64, is_odd: bool) {
        let value = u128::from(n) * u128::from(sum);
        if is_odd {
            self.value = self.value.wrapping_add(value);
            self.weight = self.weight.wrapping_add(n.into());
        } else {
            self.value = self.value.wrapping_sub(value);
            self.weight = self.weight.wrapping_sub(n.into());
        }
    }
}
