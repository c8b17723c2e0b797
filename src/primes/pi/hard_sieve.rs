//! How D crosses off a prime and keeps count: by a mask, by a pass over all multiples and a new count, or by counting
//! multiple by multiple.
//!
//! Unsafe: bytes are crossed off without a check of each index; those of the first and the last are checked before. The
//! tests compare it with [`cross_off`], which is safe.
#![allow(unsafe_code)]

use super::hard_kernels::{Word, count, mask_and_count};
use super::instructions::Instructions;
use super::wheel::{bits, cross_off};
use crate::primes::wheel::{NUMBERS_PER_BYTE, RESIDUES};
use std::ops::Range;

/// The masks of small primes and the bounds between the ways to cross off.
#[derive(Debug)]
pub(crate) struct Sieves {
    /// `7 * 11 * 13` and `17 * 19`.
    start: [Pattern; 2],
    /// One for each prime from 23 up to the bound of these instructions.
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
    /// The masks for these instructions.
    pub(crate) fn new(instructions: Instructions) -> Self {
        let (masked, recount) = match instructions {
            Instructions::Portable => (30, 40),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => (150, 300),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => (256, 1000),
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
    pub(crate) fn start(&self, instructions: Instructions, words: &mut [Word], counts: &mut [u8], low: u64) {
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
        mask_and_count(instructions, words, &second.0, second.offset(low), counts);
    }

    /// Crosses off the multiples of a prime, the prime itself among them, and keeps the counts of the words.
    pub(crate) fn cross_off(
        &self,
        instructions: Instructions,
        words: &mut [Word],
        counts: &mut [u8],
        low: u64,
        prime: u64,
    ) {
        if let Ok(at) = self.small.binary_search_by_key(&prime, |small| small.0) {
            let pattern = &self.small[at].1;
            mask_and_count(instructions, words, &pattern.0, pattern.offset(low), counts);
        } else if prime < self.recount {
            cross_off(words.as_flattened_mut(), prime, low);
            count(instructions, words, counts);
        } else {
            cross_off_and_count(words.as_flattened_mut(), counts, prime, low);
        }
    }
}

/// Crosses off bit by bit, and takes what was set from the counts of the words.
///
/// A turn are the eight multiples by cofactors of `30 t..30 t + 30`. Their bytes and bits are the same in every turn.
fn cross_off_and_count(bytes: &mut [u8], counts: &mut [u8], prime: u64, low: u64) {
    assert!(bytes.len() <= 8 * counts.len());
    let offsets = RESIDUES.map(|residue| (prime * u64::from(residue) / NUMBERS_PER_BYTE) as usize);
    let bits = bits(prime as usize % NUMBERS_PER_BYTE as usize);
    let skipped = low / NUMBERS_PER_BYTE % prime;
    let (prime, skipped) = (prime as usize, skipped as usize);
    // The turn that begins before the bytes, and the one that ends after them.
    for (offset, bit) in offsets.iter().zip(bits) {
        if let Some(at) = offset.checked_sub(skipped).filter(|&at| at < bytes.len()) {
            // SAFETY: the byte was just seen to be there, and the words have counts.
            unsafe { take(bytes, counts, at, bit) };
        }
    }
    let start = prime - skipped;
    let turns = bytes.len().saturating_sub(start + offsets[7]).div_ceil(prime);
    let end = start + turns * prime;
    // SAFETY: the last turn ends before the bytes do.
    unsafe {
        match prime % NUMBERS_PER_BYTE as usize {
            1 => whole_turns::<1>(bytes, counts, prime, start..end, &offsets),
            7 => whole_turns::<7>(bytes, counts, prime, start..end, &offsets),
            11 => whole_turns::<11>(bytes, counts, prime, start..end, &offsets),
            13 => whole_turns::<13>(bytes, counts, prime, start..end, &offsets),
            17 => whole_turns::<17>(bytes, counts, prime, start..end, &offsets),
            19 => whole_turns::<19>(bytes, counts, prime, start..end, &offsets),
            23 => whole_turns::<23>(bytes, counts, prime, start..end, &offsets),
            _ => whole_turns::<29>(bytes, counts, prime, start..end, &offsets),
        }
    }
    for (offset, bit) in offsets.iter().zip(bits) {
        if end + offset >= bytes.len() {
            break;
        }
        // SAFETY: the byte was just seen to be there, and the words have counts.
        unsafe { take(bytes, counts, end + offset, bit) };
    }
}

/// The turns that begin at these bytes, of a prime that leaves the residue `R`.
///
/// # Safety
/// `bytes` reach beyond the last offset from the last beginning, and `counts` has a count for every eight.
#[inline]
unsafe fn whole_turns<const R: usize>(
    bytes: &mut [u8],
    counts: &mut [u8],
    prime: usize,
    turns: Range<usize>,
    offsets: &[usize; 8],
) {
    let bits = const { bits(R) };
    let mut at = turns.start;
    while at < turns.end {
        for (offset, bit) in offsets.iter().zip(bits) {
            // SAFETY: every byte is below `bytes.len()` and has a count, as the caller ensures.
            unsafe { take(bytes, counts, at + offset, bit) };
        }
        at += prime;
    }
}

/// Clears a bit, and takes it from the count of its word.
///
/// # Safety
/// `bytes` has this byte and `counts` a count for it.
#[inline(always)]
unsafe fn take(bytes: &mut [u8], counts: &mut [u8], at: usize, bit: u8) {
    // SAFETY: `at` is below `bytes.len()`, and `at / 8` below `counts.len()`, as the caller ensures.
    let (byte, count) = unsafe { (bytes.get_unchecked_mut(at), counts.get_unchecked_mut(at / 8)) };
    let was = *byte >> bit & 1;
    *byte &= !(1 << bit);
    *count -= was;
}

#[cfg(test)]
mod tests {
    use super::super::hard_kernels::BLOCK;
    use super::*;
    use crate::primes::sieve::primes_up_to;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn counts(words: &[Word]) -> Vec<u8> {
        let count = |word: &Word| u64::from_le_bytes(*word).count_ones() as u8;
        words.iter().map(count).collect()
    }

    proptest! {
        #[test]
        fn multiples_are_crossed_off_and_counted_as_by_the_safe_loop(
            blocks in vec(any::<[u64; BLOCK]>(), 1..90),
            primes in vec(any::<prop::sample::Index>(), 8),
            most in prop::sample::select(vec![40, 300, 3_000, 30_000, 300_000]),
            turns in prop_oneof![Just(0), 0_u64..1 << 20, 0_u64..1 << 50],
        ) {
            let words: Vec<Word> = blocks.as_flattened().iter().map(|word| word.to_le_bytes()).collect();
            let all = primes_up_to(most);
            for prime in primes.iter().map(|prime| u64::from(*prime.get(&all[8..]))) {
                let low = 30 * turns;
                let mut expected = words.clone();
                cross_off(expected.as_flattened_mut(), prime, low);
                let mut crossed = (words.clone(), counts(&words));
                cross_off_and_count(crossed.0.as_flattened_mut(), &mut crossed.1, prime, low);
                prop_assert_eq!(&crossed, &(expected.clone(), counts(&expected)), "{} from {}", prime, low);
                for &instructions in Instructions::all() {
                    let (mut words, mut kept) = (words.clone(), counts(&words));
                    Sieves::new(instructions).cross_off(instructions, &mut words, &mut kept, low, prime);
                    prop_assert_eq!(&(words, kept), &crossed, "{:?}: {} from {}", instructions, prime, low);
                }
            }
        }
    }
}
