//! `pi(n)` for all small `n`, in twelve bytes for every 240 numbers: the index of the largest prime up to `n`.

use crate::primes::wheel::{NUMBERS_PER_BYTE, NUMBERS_PER_WORD, UP_TO, bit};

/// How many primes the wheel leaves out: 2, 3 and 5.
const SKIPPED: usize = 3;

/// For each word of 240 numbers which of them are prime, and how many primes come before.
#[derive(Debug)]
pub(crate) struct Index {
    words: Vec<u64>,
    before: Vec<u32>,
}

impl Index {
    /// An index of the numbers up to a limit that has none of the primes yet.
    pub(crate) fn up_to(limit: u64) -> Self {
        let words = (limit / NUMBERS_PER_WORD) as usize + 1;
        Self {
            words: vec![0; words],
            before: Vec::with_capacity(words),
        }
    }

    /// Adds the next primes, which are the `first`-th and following, none above the limit.
    pub(crate) fn extend(&mut self, first: usize, primes: &[u32]) {
        for (index, &prime) in (first..).zip(primes) {
            let (word, offset) = (u64::from(prime) / NUMBERS_PER_WORD, u64::from(prime) % NUMBERS_PER_WORD);
            self.count_up_to(word as usize + 1, index - 1);
            if index > SKIPPED {
                let byte = offset / NUMBERS_PER_BYTE;
                self.words[word as usize] |= 1 << (8 * byte as usize + bit((offset % NUMBERS_PER_BYTE) as usize));
            }
        }
    }

    /// All primes are there, this many.
    pub(crate) fn finish(&mut self, primes: usize) {
        self.count_up_to(self.words.len(), primes);
    }

    /// This many primes come before each of the first `words` words that has no count yet.
    fn count_up_to(&mut self, words: usize, primes: usize) {
        let before = primes.max(SKIPPED) as u32;
        self.before.resize(self.before.len().max(words), before);
    }

    /// `pi(n)`.
    ///
    /// # Panics
    /// If `n` is so far above the limit that another word would have it.
    #[inline]
    pub(crate) fn pi(&self, n: u64) -> usize {
        if n < 7 {
            return [0, 0, 1, 2, 2, 3, 3][n as usize];
        }
        let word = (n / NUMBERS_PER_WORD) as usize;
        let inside = self.words[word] & UP_TO[(n % NUMBERS_PER_WORD) as usize];
        self.before[word] as usize + inside.count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::{naive, primes_up_to};

    #[test]
    fn every_index_is_that_of_trial_division() {
        for limit in [2, 6, 7, 239, 240, 20_000] {
            let primes = primes_up_to(limit);
            let mut index = Index::up_to(limit.into());
            let (first, second) = primes.split_at(primes.len() / 2);
            index.extend(1, first);
            index.extend(first.len() + 1, second);
            index.finish(primes.len());
            let mut count = 0;
            for n in 0..=u64::from(limit) {
                count += usize::from(naive::is_prime(n));
                assert_eq!(index.pi(n), count, "n = {n}");
            }
        }
    }
}
