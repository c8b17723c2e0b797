//! `pi(n)` by one load: a count and a bitmap of odd numbers packed into one word for every 64 numbers.
//!
//! Knows where it begins, and counts from there; a table of `[0, sqrt x)` is cut into pieces of this kind.

use crate::primes::known;
use crate::primes::sieve::{Sieve, Step};
use crate::primes::wheel::RESIDUES;

/// Tables begin at multiples of this: there words of the table and words of the sieve begin together.
pub(crate) const ALIGNMENT: u64 = 960;

/// How many numbers one word stands for.
pub(crate) const SPAN: u64 = 64;

/// `pi(n)` for the `n` of one range, less what lies before the range.
#[derive(Debug, Clone)]
pub(crate) struct PiTable {
    low: u64,
    /// Low half: how many primes from `low` on lie before the end of these 64 numbers. High half: a bit for each odd
    /// number that is prime; those shifted out to the right stay counted, the others are to be taken away. One word
    /// more than there are numbers for, so that `pi(n)` may be looked up as the primes before `n + 1`.
    words: Vec<u64>,
    /// How many primes there are.
    count: u64,
}

/// For each byte of a sieve, 30 numbers, the bits of its odd numbers.
static ODD_BITS: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte] |= 1 << (RESIDUES[bit] / 2);
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// The making of a [`PiTable`].
#[derive(Debug)]
pub(crate) struct Filling {
    /// None where the table of known primes has them all.
    sieve: Option<Sieve>,
    table: PiTable,
    /// Bits that do not fill a word yet, and how many.
    pending: u64,
    pending_bits: u32,
    /// How many words the table will have.
    words: usize,
}

impl Filling {
    /// Begins a table of `low..high`, whole words of it; `low` is a multiple of [`ALIGNMENT`].
    pub(crate) fn new(low: u64, high: u64) -> Self {
        debug_assert!(low.is_multiple_of(ALIGNMENT));
        let words = (high - low).div_ceil(SPAN);
        let end = low + words * SPAN;
        Self {
            sieve: (end > known::LIMIT).then(|| Sieve::new(low, end - 1)),
            table: PiTable {
                low,
                words: Vec::with_capacity(words as usize + 1),
                count: 0,
            },
            pending: 0,
            pending_bits: 0,
            words: words as usize,
        }
    }

    /// Works for some 10 to 200 microseconds; true when all is done.
    pub(crate) fn step(&mut self) -> bool {
        let Self {
            sieve,
            table,
            pending,
            pending_bits,
            words,
        } = self;
        let add = |bits: u64, table: &mut PiTable| {
            table.count += u64::from(bits.count_ones());
            table.words.push(bits << 32 | table.count);
        };
        let Some(sieve) = sieve else {
            const HALVES: u64 = known::SPAN as u64 / SPAN;
            let first = table.low / SPAN;
            for word in first..first + *words as u64 {
                let bits = known::BITS[(word / HALVES) as usize] >> (word % HALVES * SPAN / 2);
                add(bits & u64::from(u32::MAX), table);
            }
            table.words.push(table.count);
            return true;
        };
        match sieve.step() {
            Step::Busy => false,
            Step::Segment(segment) => {
                if segment.low() == 0 {
                    // 3 and 5; and the bit of 1 stands for 2, so that even numbers need no thought: only pi(1) would be
                    // wrong.
                    *pending = 0b111;
                }
                for &byte in segment.bytes() {
                    *pending |= u64::from(ODD_BITS[usize::from(byte)]) << *pending_bits;
                    *pending_bits += 15;
                    if *pending_bits >= 32 {
                        add(*pending & u64::from(u32::MAX), table);
                        *pending >>= 32;
                        *pending_bits -= 32;
                    }
                }
                false
            }
            Step::Done => {
                // The sieve goes on to the end of its own final word.
                if table.words.len() < *words {
                    add(*pending, table);
                }
                table.words.truncate(*words);
                table.words.push(table.count);
                true
            }
        }
    }

    /// The table, once all is done.
    pub(crate) fn finish(self) -> PiTable {
        self.table
    }
}

impl PiTable {
    /// The table of `low..high` at once, see [`Filling::new`].
    #[cfg(test)]
    pub(crate) fn new(low: u64, high: u64) -> Self {
        let mut filling = Filling::new(low, high);
        while !filling.step() {}
        filling.finish()
    }

    /// The same table for a range that begins elsewhere: to try kernels at places that nobody can sieve.
    #[cfg(test)]
    pub(crate) fn moved_to(mut self, low: u64) -> Self {
        self.low = low;
        self
    }

    /// The first number of the range.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// The end of the range.
    pub(crate) fn high(&self) -> u64 {
        self.low + self.words.len().saturating_sub(1) as u64 * SPAN
    }

    /// How many primes the range has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The packed words.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// `pi(n)` for an `n` of the range, less what lies before the range.
    ///
    /// # Panics
    /// If `n` lies outside.
    #[inline]
    pub(crate) fn pi(&self, n: u64) -> u64 {
        if n < 2 { 0 } else { self.rank(n - self.low) }
    }

    /// How many primes there are from `low` up to `low + at`, which is at least 2.
    #[inline]
    pub(crate) fn rank(&self, at: u64) -> u64 {
        let word = self.words[(at / SPAN) as usize];
        let after = word >> 32 >> (at % SPAN).div_ceil(2);
        u64::from(word as u32 - after.count_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::naive;

    #[test]
    fn every_entry_is_that_of_trial_division() {
        let table = PiTable::new(0, 20_000);
        let mut count = 0;
        assert_eq!(table.high(), 20_032);
        for n in 0..table.high() {
            count += u64::from(naive::is_prime(n));
            assert_eq!(table.pi(n), count, "n = {n}");
        }
        let (piece, before) = (PiTable::new(6720, 20_000), table.pi(6719));
        assert!((6720..20_000).all(|n| before + piece.pi(n) == table.pi(n)));
        assert_eq!(before + piece.count(), table.count());
    }
}
