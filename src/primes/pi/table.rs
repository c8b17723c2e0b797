//! `pi(n)` by one load: a count and a bitmap of odd numbers packed into one word for every 64 numbers.
//!
//! Knows where it begins and how many primes lie before; a table of `[0, sqrt x)` is cut into pieces of this kind.

/// How many numbers one word stands for.
pub(crate) const SPAN: u64 = 64;

/// `pi(n)` for the `n` of one range.
#[derive(Debug, Clone, Default)]
pub(crate) struct PiTable {
    low: u64,
    /// High half: how many primes lie before these 64 numbers. Low half: a bit for each odd number that is prime. One word more than
    /// there are numbers for, so that `pi(n)` may be looked up as the primes before `n + 1`.
    words: Vec<u64>,
    count: u64,
}

impl PiTable {
    /// Sieves `low..high` with `primes`, which reach the square root of `high`; `before` primes lie below `low`. `low` is a multiple of
    /// [`SPAN`], and all primes below `high` can be counted in 32 bits.
    pub(crate) fn sieve(low: u64, high: u64, before: u64, primes: &[u32]) -> Self {
        debug_assert!(low.is_multiple_of(SPAN));
        let mut table = Self {
            low,
            words: vec![u64::from(u32::MAX); (high - low).div_ceil(SPAN) as usize],
            count: before,
        };
        let end = low + table.words.len() as u64 * SPAN;
        for &prime in primes.iter().skip_while(|&&p| p < 3) {
            let prime = u64::from(prime);
            if prime * prime >= end {
                break;
            }
            let first = (low.div_ceil(prime) | 1).max(prime) * prime;
            for multiple in (first..end).step_by(2 * prime as usize) {
                let at = multiple - low;
                table.words[(at / SPAN) as usize] &= !(1 << (at % SPAN / 2));
            }
        }
        // The bit of 1 stands for 2, so that even numbers need no thought; only pi(1) would be wrong.
        for word in &mut table.words {
            let here = u64::from(word.count_ones());
            *word |= table.count << 32;
            table.count += here;
        }
        table.words.push(table.count << 32);
        table
    }

    /// The first number of the range.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// The end of the range.
    pub(crate) fn high(&self) -> u64 {
        self.low + self.words.len().saturating_sub(1) as u64 * SPAN
    }

    /// How many primes lie below the end of the range.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The packed words.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// `pi(n)` for an `n` of the range.
    ///
    /// # Panics
    /// If `n` lies outside.
    #[inline]
    pub(crate) fn pi(&self, n: u64) -> u64 {
        if n < 2 { 0 } else { self.pi_at(n) }
    }

    /// The same for an `n` of at least 2.
    #[inline]
    pub(crate) fn pi_at(&self, n: u64) -> u64 {
        let at = n - self.low;
        let word = self.words[(at / SPAN) as usize];
        let mask = (1_u64 << (at % SPAN).div_ceil(2)) - 1;
        (word >> 32) + u64::from((word & mask).count_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::{naive, primes_up_to};

    #[test]
    fn every_entry_is_that_of_trial_division() {
        let primes = primes_up_to(1000);
        let table = PiTable::sieve(0, 20_000, 0, &primes);
        let mut count = 0;
        assert_eq!(table.high(), 20_032);
        for n in 0..table.high() {
            count += u64::from(naive::is_prime(n));
            assert_eq!(table.pi(n), count, "n = {n}");
        }
        let piece = PiTable::sieve(6400, 20_000, table.pi(6399), &primes);
        assert!((6400..20_000).all(|n| piece.pi(n) == table.pi(n)));
        assert_eq!(piece.count(), table.count());
    }
}
