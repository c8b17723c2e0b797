//! All primes up to a 32-bit bound as a list: for tables and for the primes that sieve others. Knows nothing of the
//! fast segmented sieve, so that the latter can start from here.

use crate::primes::estimate::most_primes;

/// Odd numbers in one block: 32 KiB of bytes stay in the first-level cache.
const BLOCK: usize = 32 << 10;

/// The primes `<= last`, ascending. Takes about 3 ns a prime and memory for the list alone.
///
/// ```
/// assert_eq!(primed::internals::sieve::primes_up_to(20), [2, 3, 5, 7, 11, 13, 17, 19]);
/// ```
pub fn primes_up_to(last: u32) -> Vec<u32> {
    let mut primes = Vec::with_capacity(most_primes(last.into()) as usize + 1);
    if last >= 2 {
        primes.push(2);
    }
    let base = odd_primes_by_marking(last.isqrt());
    // The odd number at index i is 2 i + 1; the next multiple of each base prime is kept relative to the block.
    let mut next: Vec<usize> = base.iter().map(|&p| (p as usize * p as usize) / 2).collect();
    let count = (last as usize).div_ceil(2);
    let mut composite = vec![false; BLOCK];
    for start in (0..count).step_by(BLOCK) {
        let block = &mut composite[..BLOCK.min(count - start)];
        block.fill(false);
        if start == 0 {
            block[0] = true;
        }
        for (&prime, next) in base.iter().zip(&mut next) {
            let mut at = *next;
            while at < block.len() {
                block[at] = true;
                at += prime as usize;
            }
            *next = at - block.len();
        }
        let found = block.iter().zip(start..).filter(|(composite, _)| !**composite);
        primes.extend(found.map(|(_, index)| 2 * index as u32 + 1));
    }
    primes
}

/// The odd primes `<= last`, by marking all multiples at once; for the square root of a 32-bit bound.
fn odd_primes_by_marking(last: u32) -> Vec<u32> {
    let mut composite = vec![false; last as usize + 1];
    let mut primes = Vec::new();
    for n in (3..=last).step_by(2) {
        if !composite[n as usize] {
            primes.push(n);
            let square = u64::from(n) * u64::from(n);
            (square..=u64::from(last))
                .step_by(2 * n as usize)
                .for_each(|multiple| composite[multiple as usize] = true);
        }
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::naive;

    #[test]
    fn lists_are_those_of_trial_division_for_every_small_bound() {
        let all: Vec<u32> = naive::primes(0, 3000).iter().map(|&p| p as u32).collect();
        for last in 0..=3000 {
            let expected = all.partition_point(|&p| p <= last);
            assert_eq!(primes_up_to(last), all[..expected], "last = {last}");
        }
    }

    #[test]
    fn counts_agree_with_oeis_a006880() {
        for (last, count) in [
            (10_000, 1229),
            (100_000, 9592),
            (1_000_000, 78_498),
            (10_000_000, 664_579),
        ] {
            assert_eq!(primes_up_to(last).len(), count);
        }
    }
}
