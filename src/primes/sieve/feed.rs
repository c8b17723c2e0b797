//! Sieving primes, ascending, in batches. Knows nothing of what is done with them.
//!
//! Up to 2^20 they come from the table of known primes; above, from a sieve of their own, whose sieving primes are in
//! the table again. So nothing is kept that grows with the bounds.

use super::segment::OFFSETS;
use super::sieve::{Sieve, Step};
use crate::primes::known::{LIMIT, PRIMES};
use crate::primes::wheel::NUMBERS_PER_WORD;

/// The most primes in a batch: to add 2048 takes some 10 microseconds.
pub(super) const BATCH: usize = 2048;

/// The primes above one bound and up to another, taken in batches.
#[derive(Debug)]
pub(super) struct Feed {
    last: u32,
    /// Primes that were found, and how many of them have been taken.
    batch: Vec<u32>,
    taken: usize,
    /// How many primes of the table have been in a batch.
    in_table: usize,
    nested: Option<Box<Nested>>,
    /// The last prime that was found, or the bound after it.
    reached: u32,
}

#[derive(Debug)]
struct Nested {
    sieve: Sieve,
    /// The word of the sieve's current segment that is found next; `None`: the sieve is at work on the segment.
    word: Option<usize>,
}

impl Feed {
    /// The primes `> above`, which must be below 2^20, and `<= last`.
    pub(super) fn new(above: u32, last: u32) -> Self {
        let in_table = PRIMES.partition_point(|&p| p <= above);
        Self {
            last,
            batch: Vec::new(),
            taken: 0,
            in_table,
            nested: None,
            reached: 0,
        }
    }

    /// The next primes `<= bound`, at most about [`BATCH`]; empty if more work has to be done first, `None` if there
    /// are no more.
    pub(super) fn take(&mut self, bound: u32) -> Option<&[u32]> {
        if self.taken == self.batch.len() && !self.refill(bound.min(self.last)) {
            return None;
        }
        let left = &self.batch[self.taken..];
        let count = match left.last() {
            Some(&prime) if prime > bound => left.partition_point(|&p| p <= bound),
            _ => left.len(),
        };
        if count == 0 && !left.is_empty() {
            return None;
        }
        self.taken += count;
        Some(&left[..count])
    }

    /// The share of all its primes' range that has been passed, 0.0..=1.0.
    pub(super) fn progress(&self) -> f64 {
        f64::from(self.reached.min(self.last)) / f64::from(self.last.max(1))
    }

    /// Finds the next batch, or works towards it; false if there are no primes up to `bound` left.
    fn refill(&mut self, bound: u32) -> bool {
        let in_table = &PRIMES[self.in_table..];
        if let Some(&next) = in_table.first() {
            if next > bound {
                return false;
            }
            self.batch.clear();
            self.batch.extend(in_table.iter().take(BATCH));
            self.in_table += self.batch.len();
            self.taken = 0;
            self.reached = self.batch.last().copied().unwrap_or(0);
            return true;
        }
        if u64::from(bound) < LIMIT {
            return false;
        }
        let nested = self.nested.get_or_insert_with(|| {
            let sieve = Sieve::new(LIMIT, self.last.into());
            Box::new(Nested { sieve, word: None })
        });
        self.batch.clear();
        self.taken = 0;
        let is_found = nested.find(&mut self.batch);
        self.reached = match self.batch.last() {
            Some(prime) => *prime,
            None if is_found => self.reached,
            None => self.last,
        };
        is_found
    }
}

impl Nested {
    fn find(&mut self, batch: &mut Vec<u32>) -> bool {
        let Some(mut word) = self.word else {
            match self.sieve.step() {
                Step::Busy => {}
                Step::Segment(_) => self.word = Some(0),
                Step::Done => return false,
            }
            return true;
        };
        let segment = self.sieve.segment();
        let words = segment.bytes().as_chunks::<8>().0;
        while word < words.len() && batch.len() < BATCH {
            let base = (segment.low() + word as u64 * NUMBERS_PER_WORD) as u32;
            let mut bits = u64::from_le_bytes(words[word]);
            while bits != 0 {
                batch.push(base + u32::from(OFFSETS[bits.trailing_zeros() as usize]));
                bits &= bits - 1;
            }
            word += 1;
        }
        self.word = (word < words.len()).then_some(word);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::primes_up_to;
    use super::*;

    #[test]
    fn batches_are_all_primes_between_the_bounds() {
        let all = primes_up_to(3_000_000);
        let mut feed = Feed::new(8000, 2_999_999);
        let (mut taken, mut progress) = (Vec::new(), 0.0);
        for bound in [
            7000, 8009, 8010, 60_000, 65_535, 65_537, 65_600, 900_000, 2_999_999, 2_999_999,
        ] {
            while let Some(primes) = feed.take(bound) {
                assert!(primes.len() <= BATCH + 64);
                taken.extend_from_slice(primes);
                assert!(feed.progress() >= progress, "{progress}");
                progress = feed.progress();
            }
            let expected = all.iter().filter(|&&p| p > 8000 && p <= bound);
            assert!(taken.iter().eq(expected), "bound {bound}");
        }
        assert_eq!(feed.progress(), 1.0);
    }
}
