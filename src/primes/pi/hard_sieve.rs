//! How D crosses off a prime and keeps count: by a mask, by a pass over all multiples and a new count, or by counting multiple by multiple.

use super::hard_kernels::{Word, count, mask_and_count};
use super::level::Level;
use super::wheel::{cross_off, runs};

/// The masks of small primes and the bounds between the ways to cross off.
#[derive(Debug)]
pub(crate) struct Sieves {
    /// `7 * 11 * 13` and `17 * 19`.
    start: [Pattern; 2],
    /// One for each prime from 23 up to the bound of the level.
    small: Vec<(u64, Pattern)>,
    /// Below this prime all words are counted anew.
    recount: u64,
}

/// The bits of all multiples of some primes cleared, in a period and 64 bytes.
#[derive(Debug)]
struct Pattern(Vec<u8>);

impl Pattern {
    fn new(primes: &[u64]) -> Self {
        let period = primes.iter().product::<u64>() as usize;
        let mut bytes = vec![u8::MAX; period + 64];
        for &prime in primes {
            cross_off(&mut bytes, prime, 0);
        }
        Self(bytes)
    }

    fn period(&self) -> u64 {
        self.0.len() as u64 - 64
    }

    fn offset(&self, low: u64) -> usize {
        (low / 30 % self.period()) as usize
    }
}

impl Sieves {
    /// The masks for this level.
    pub(crate) fn new(level: Level) -> Self {
        let (masked, recount) = match level {
            Level::Portable => (30, 40),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => (60, 120),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => (256, 1000),
        };
        let primes = crate::primes::sieve::primes_up_to(masked);
        let small = primes.iter().map(|&p| u64::from(p)).filter(|&p| p > 19);
        Self {
            start: [Pattern::new(&[7, 11, 13]), Pattern::new(&[17, 19])],
            small: small.map(|p| (p, Pattern::new(&[p]))).collect(),
            recount,
        }
    }

    /// Fills a segment with the numbers that no prime up to 19 divides, and counts them.
    pub(crate) fn start(&self, level: Level, words: &mut [Word], counts: &mut [u8], low: u64) -> u32 {
        let [first, second] = &self.start;
        let mut at = first.offset(low);
        for word in words.iter_mut() {
            word.copy_from_slice(&first.0[at..at + 8]);
            at += 8;
            at = if at >= first.period() as usize {
                at - first.period() as usize
            } else {
                at
            };
        }
        mask_and_count(level, words, &second.0, second.offset(low), counts)
    }

    /// Crosses off the multiples of a prime, the prime itself among them; gives how many numbers are left of `total`.
    pub(crate) fn cross_off(
        &self,
        level: Level,
        words: &mut [Word],
        counts: &mut [u8],
        low: u64,
        total: u32,
        prime: u64,
    ) -> u32 {
        if let Ok(at) = self.small.binary_search_by_key(&prime, |small| small.0) {
            let pattern = &self.small[at].1;
            return mask_and_count(level, words, &pattern.0, pattern.offset(low), counts);
        }
        if prime < self.recount {
            cross_off(words.as_flattened_mut(), prime, low);
            return count(level, words, counts);
        }
        total - cross_off_and_count(words.as_flattened_mut(), counts, prime, low)
    }
}

/// Crosses off bit by bit, and takes what was set from the counts of the words; gives how many were set.
fn cross_off_and_count(bytes: &mut [u8], counts: &mut [u8], prime: u64, low: u64) -> u32 {
    let mut removed = 0;
    for (first, bit) in runs(prime, low) {
        let mut at = first;
        while let Some(byte) = bytes.get_mut(at) {
            let was = *byte >> bit & 1;
            *byte &= !(1 << bit);
            counts[at / 8] -= was;
            removed += u32::from(was);
            at += prime as usize;
        }
    }
    removed
}
