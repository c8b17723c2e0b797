//! Counts and n-th primes below 2^24, by rank and select in a bitmap: tens of nanoseconds each, after 3 ms to make the
//! bitmap.
//!
//! Knows no larger number: `None` means "not in here". [`known`](super::known) answers below 2^20 without such a
//! beginning.

use super::sieve::{Sieve, Step};
use super::wheel::{NUMBERS_PER_WORD, RESIDUES};
use std::sync::OnceLock;

/// The numbers below this are in the table.
pub const LIMIT: u64 = 1 << 24;

/// How many primes the table holds: pi(2^24), A007053.
pub const COUNT: u64 = 1_077_871;

/// A block is counted in words.
const WORDS: usize = 4;
const SPAN: u64 = WORDS as u64 * NUMBERS_PER_WORD;

/// Primes from one signpost to the next.
const STRIDE: u64 = 256;

/// The primes that the wheel leaves out.
const WHEEL_PRIMES: [u64; 3] = [2, 3, 5];

/// 560 KB of bits, 70 KB of counts and 8 KB of signposts.
struct Table {
    /// Bit `8 k + j` of word `w`: whether `240 w + 30 k + RESIDUES[j]` is prime.
    blocks: Box<[[u64; WORDS]]>,
    /// How many primes are in the blocks before, and 2, 3 and 5.
    before: Box<[u32]>,
    /// In which block the primes number `STRIDE k + 1` are, for k = 0, 1, ...
    signposts: Box<[u16]>,
}

static TABLE: OnceLock<Table> = OnceLock::new();

fn table() -> &'static Table {
    TABLE.get_or_init(make)
}

/// True once the table is made: an answer takes no more than its tens of nanoseconds.
pub fn is_made() -> bool {
    TABLE.get().is_some()
}

fn make() -> Table {
    let mut words = Vec::with_capacity((LIMIT / NUMBERS_PER_WORD) as usize + WORDS);
    let mut sieve = Sieve::new(0, LIMIT - 1);
    loop {
        match sieve.step() {
            Step::Busy => {}
            Step::Segment(segment) => words.extend(segment.words()),
            Step::Done => break,
        }
    }
    words.resize(words.len().next_multiple_of(WORDS), 0);
    let (mut before, mut signposts) = (Vec::new(), Vec::new());
    let mut sum = WHEEL_PRIMES.len() as u32;
    let blocks: Box<[[u64; WORDS]]> = words.as_chunks().0.into();
    for (index, block) in blocks.iter().enumerate() {
        before.push(sum);
        sum += ones(block);
        let index = u16::try_from(index).expect("there are fewer than 2^16 blocks");
        while u64::from(sum) > STRIDE * signposts.len() as u64 {
            signposts.push(index);
        }
    }
    Table {
        blocks,
        before: before.into(),
        signposts: signposts.into(),
    }
}

fn ones(words: &[u64]) -> u32 {
    words.iter().map(|word| word.count_ones()).sum()
}

/// The `n`-th prime, `1 <= n <=` [`COUNT`].
pub fn nth(n: u64) -> Option<u64> {
    let index = n.checked_sub(1)?;
    if let Some(prime) = WHEEL_PRIMES.get(index as usize) {
        return Some(*prime);
    }
    let table = table();
    let first = usize::from(*table.signposts.get((index / STRIDE) as usize)?);
    // The last block with at most `index` primes before it.
    let further = table.before[first + 1..]
        .iter()
        .take_while(|before| u64::from(**before) < n);
    let block = first + further.count();
    let mut left = u32::try_from(index).ok()?.checked_sub(table.before[block])?;
    for (word, bits) in table.blocks[block].iter().enumerate() {
        let count = bits.count_ones();
        if left < count {
            let rest = (0..left).fold(*bits, |bits, _| bits & (bits - 1));
            let bit = rest.trailing_zeros() as usize;
            let word = block as u64 * SPAN + word as u64 * NUMBERS_PER_WORD;
            return Some(word + 30 * (bit as u64 / 8) + u64::from(RESIDUES[bit % 8]));
        }
        left -= count;
    }
    None
}

/// How many primes are `<= x`, for `x <` [`LIMIT`].
pub fn pi(x: u64) -> Option<u64> {
    if x >= LIMIT {
        return None;
    }
    if x < 7 {
        return Some(WHEEL_PRIMES.iter().filter(|prime| **prime <= x).count() as u64);
    }
    let table = table();
    let (block, within) = ((x / SPAN) as usize, x % SPAN);
    let (word, within) = ((within / NUMBERS_PER_WORD) as usize, within % NUMBERS_PER_WORD);
    let words = &table.blocks[block];
    let residues = RESIDUES
        .iter()
        .filter(|residue| u64::from(**residue) <= within % 30)
        .count() as u64;
    // Bits of numbers up to x: at least none, and all but those from x's residue on.
    let up_to = within / 30 * 8 + residues;
    let last = words[word] & !(!0u64).checked_shl(up_to as u32).unwrap_or(0);
    Some(u64::from(
        table.before[block] + ones(&words[..word]) + last.count_ones(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_in_the_table_agrees_with_a_plain_sieve() {
        let mut is_prime = vec![true; LIMIT as usize];
        is_prime[..2].fill(false);
        for p in 2..1 << 12 {
            if is_prime[p] {
                (p * p..LIMIT as usize)
                    .step_by(p)
                    .for_each(|multiple| is_prime[multiple] = false);
            }
        }
        let mut count = 0;
        for (n, is_prime) in (0..LIMIT).zip(is_prime) {
            if is_prime {
                count += 1;
                assert_eq!(nth(count), Some(n), "nth {count}");
            }
            assert_eq!(pi(n), Some(count), "pi {n}");
        }
        assert_eq!(count, COUNT);
    }

    #[test]
    fn beyond_the_table_it_does_not_know() {
        assert_eq!((nth(0), nth(COUNT + 1), nth(u64::MAX)), (None, None, None));
        assert_eq!((pi(LIMIT), pi(u64::MAX)), (None, None));
    }
}
