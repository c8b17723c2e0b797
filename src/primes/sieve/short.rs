//! The primes of a few ten thousand numbers, at once: for the last steps to a prime whose neighbourhood is known. Knows
//! no segments.
//!
//! In so short an interval most sieving primes have one multiple or none, and finding where it is takes all the time.
//! So there is a byte for each odd number, where each multiple is one store; the distances are computed in vectors; and
//! the primes are grouped by how many multiples they can have, so that none needs a branch: what lies beyond the end
//! goes to one byte there.
#![allow(unsafe_code)] // Calling a function that was compiled for more instructions than the crate.

use super::list::primes_up_to;
#[cfg(target_arch = "x86_64")]
use crate::primes::features::has;
use std::sync::OnceLock;

/// The numbers are below this.
const LIMIT: u64 = 1 << 35;

/// And above this: all sieving primes are smaller.
const LEAST: u64 = 1 << 20;

/// At most this many numbers: a byte for each odd one stays in the second-level cache.
const LONGEST: u64 = 1 << 18;

/// Bytes that are counted together: the sum fits in one.
const BLOCK: usize = 128;

/// Up to this many multiples, all primes of a group get the same number of stores.
const MOST_STORES: usize = 16;

/// The multiples of these are crossed off by copying patterns.
const PATTERNS: [&[u32]; 2] = [&[3, 5, 7, 11, 13], &[17, 19, 23]];

struct Tables {
    /// Byte `i` is 1 where `2 i + 1` has none of the divisors, and 0 elsewhere; one period.
    patterns: [Box<[u8]>; 2],
    /// The sieving primes beyond those of the patterns.
    primes: Box<[u32]>,
}

/// 90 KB, made on the first question that needs it in some 30 microseconds.
fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| {
        let patterns = PATTERNS.map(pattern);
        let primes = sieving_primes(&patterns);
        Tables { patterns, primes }
    })
}

fn pattern(divisors: &[u32]) -> Box<[u8]> {
    let mut pattern = vec![1; divisors.iter().product::<u32>() as usize];
    for p in divisors.iter().map(|p| *p as usize) {
        pattern.iter_mut().skip(p / 2).step_by(p).for_each(|byte| *byte = 0);
    }
    pattern.into()
}

/// Those up to the root of the limit, by sieving with those up to its root in turn.
fn sieving_primes(patterns: &[Box<[u8]>; 2]) -> Box<[u32]> {
    let last = LIMIT.isqrt() as u32;
    let root = last.isqrt();
    let mut primes: Vec<u32> = primes_up_to(root).into_iter().filter(|p| *p > 23).collect();
    let mut flags = Vec::new();
    copy(&mut flags, &patterns[0], 0, last.div_ceil(2) as usize + 1);
    sieve(&mut flags, &patterns[1], &primes, 0);
    // The last flag is of no number; those of the primes up to the root are crossed off as well, and that of 1 is not.
    let beyond = (root.div_ceil(2)..last.div_ceil(2)).filter(|i| flags[*i as usize] != 0);
    primes.extend(beyond.map(|i| 2 * i + 1));
    primes.into()
}

/// A short interval with its primes.
#[derive(Debug)]
pub(crate) struct ShortSieve {
    /// Half of the first odd number, rounded down.
    half: u64,
    /// Whether `2 (half + i) + 1` is prime, as 1 or 0; zeros up to a whole number of blocks.
    flags: Vec<u8>,
}

impl ShortSieve {
    /// Sieves `low..=last`, if they are at least 2^20, below 2^35, and at most 2^18 numbers. Takes 10 to 40
    /// microseconds.
    pub(crate) fn new(low: u64, last: u64) -> Option<Self> {
        if low < LEAST || last >= LIMIT || last < low || last - low >= LONGEST {
            return None;
        }
        let half = low / 2;
        let odds = (last.div_ceil(2) - half) as usize;
        let tables = tables();
        let to = tables.primes.partition_point(|p| u64::from(*p) <= last.isqrt());
        let mut flags = Vec::with_capacity((odds + 1).next_multiple_of(BLOCK));
        let [first, second] = &tables.patterns;
        copy(&mut flags, first, half, odds + 1);
        sieve(&mut flags, second, &tables.primes[..to], half);
        flags[odds] = 0;
        flags.resize((odds + 1).next_multiple_of(BLOCK), 0);
        Some(Self { half, flags })
    }

    /// How many primes there are.
    pub(crate) fn count(&self) -> u64 {
        self.flags.as_chunks().0.iter().map(sum).sum()
    }

    /// The `rank`-th prime, counted from 1 upwards.
    pub(crate) fn nth(&self, rank: u64) -> Option<u64> {
        let mut left = rank.checked_sub(1)?;
        for (block, flags) in (0u64..).zip(self.flags.as_chunks::<BLOCK>().0) {
            let primes = sum(flags);
            if left < primes {
                let mut ones = (0u64..).zip(flags).filter(|(_, flag)| **flag != 0);
                let (i, _) = ones.nth(left as usize)?;
                return Some(2 * (self.half + BLOCK as u64 * block + i) + 1);
            }
            left -= primes;
        }
        None
    }
}

/// How many flags of a block are set: words are added as they are, for no byte of the sum exceeds 16, nor that of all
/// its bytes 128.
#[inline(always)]
fn sum(flags: &[u8; BLOCK]) -> u64 {
    let words = flags.as_chunks::<8>().0.iter();
    let bytes: u64 = words.map(|word| u64::from_le_bytes(*word)).sum();
    bytes.wrapping_mul(0x0101_0101_0101_0101) >> 56
}

/// Copies a pattern from where `2 half + 1` is in it, as often as it takes.
fn copy(flags: &mut Vec<u8>, pattern: &[u8], half: u64, length: usize) {
    let mut from = (half % pattern.len() as u64) as usize;
    while flags.len() < length {
        let to = pattern.len().min(from + length - flags.len());
        flags.extend_from_slice(&pattern[from..to]);
        from = 0;
    }
}

/// Crosses off the multiples of the second pattern's divisors and of `primes`. The last of the flags is of no number.
fn sieve(flags: &mut [u8], pattern: &[u8], primes: &[u32], half: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        if has!("avx512f", "avx512bw", "avx512dq", "avx512vl") {
            // SAFETY: these features were just detected.
            return unsafe { sieve_avx512(flags, pattern, primes, half) };
        }
        if has!("avx2", "fma") {
            // SAFETY: both features were just detected.
            return unsafe { sieve_avx2(flags, pattern, primes, half) };
        }
    }
    sieve_portable(flags, pattern, primes, half);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn sieve_avx512(flags: &mut [u8], pattern: &[u8], primes: &[u32], half: u64) {
    sieve_portable(flags, pattern, primes, half);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn sieve_avx2(flags: &mut [u8], pattern: &[u8], primes: &[u32], half: u64) {
    sieve_portable(flags, pattern, primes, half);
}

#[inline(always)]
fn sieve_portable(flags: &mut [u8], pattern: &[u8], primes: &[u32], half: u64) {
    let mut from = (half % pattern.len() as u64) as usize;
    let mut start = 0;
    while start < flags.len() {
        let pieces = flags[start..].iter_mut().zip(&pattern[from..]);
        start += pieces.len();
        pieces.for_each(|(flag, keep)| *flag &= keep);
        from = 0;
    }
    let odds = flags.len() - 1;
    let mut from = 0;
    for stores in (1..=MOST_STORES + 1).rev() {
        // Those that do with this number of stores and not with one less; the smallest of all take as many as it needs.
        let to = primes.partition_point(|p| *p as usize * (stores - 1) < odds);
        match stores {
            1 => cross_off(flags, &primes[from..to], half, |_| 1),
            2..=MOST_STORES => cross_off(flags, &primes[from..to], half, |_| stores),
            _ => cross_off(flags, &primes[from..to], half, |p| odds.div_ceil(p)),
        }
        from = to;
    }
}

/// Adding this to a float between 0 and 2^51 rounds it to an integer, which then is in the low bits.
const ROUND: f64 = (1_u64 << 52) as f64;

/// Crosses off a number of multiples of each prime, or all that there are, if the number suffices for them.
#[inline(always)]
fn cross_off(flags: &mut [u8], primes: &[u32], half: u64, stores: impl Fn(usize) -> usize) {
    let end = flags.len() - 1;
    let flags = &mut flags[..=end];
    let mut firsts = [0u32; 64];
    for primes in primes.chunks(firsts.len()) {
        for (first, &prime) in firsts.iter_mut().zip(primes) {
            // p divides 2 (half + i) + 1 where it divides half + i + (p + 1) / 2. The quotient is below 2^35, so no
            // rounding makes the rest wrong.
            let p = f64::from(prime as i32);
            let dividend = half as f64 + (p + 1.0) * 0.5;
            let quotient = (dividend / p + ROUND) - ROUND;
            let rest = quotient * p - dividend;
            let rest = rest + if rest < 0.0 { p } else { 0.0 };
            *first = (rest + ROUND).to_bits() as u32;
        }
        for (&first, &prime) in firsts.iter().zip(primes) {
            let mut i = first as usize;
            for _ in 0..stores(prime as usize) {
                flags[i.min(end)] = 0;
                i += prime as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::naive;
    use crate::primes::sieve::{Sieve, Step};
    use proptest::prelude::*;

    fn primes(sieve: &ShortSieve) -> Vec<u64> {
        (1..=sieve.count())
            .map(|rank| sieve.nth(rank).expect("counted"))
            .collect()
    }

    fn sieved(low: u64, last: u64) -> Vec<u64> {
        let mut sieve = Sieve::new(low, last);
        let mut primes = Vec::new();
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => primes.extend(segment.primes()),
                Step::Done => return primes,
            }
        }
    }

    #[test]
    fn bounds_are_kept_to() {
        for (low, last) in [
            (LEAST - 1, LEAST + 9),
            (LIMIT - 9, LIMIT),
            (LEAST + 1, LEAST),
            (LEAST, LEAST + LONGEST),
            (0, u64::MAX),
        ] {
            assert!(ShortSieve::new(low, last).is_none(), "{low} {last}");
        }
        for (low, last) in [(LEAST, LEAST + LONGEST - 1), (LIMIT - LONGEST, LIMIT - 1)] {
            let sieve = ShortSieve::new(low, last).expect("within bounds");
            assert_eq!(primes(&sieve), sieved(low, last));
            assert_eq!((sieve.nth(0), sieve.nth(sieve.count() + 1)), (None, None));
        }
    }

    #[test]
    fn squares_of_sieving_primes_are_crossed_off_at_any_border() {
        // The last is the largest whose square is below the limit.
        for p in [1031_u64, 16_411, 151_007, 185_363] {
            for (below, above) in [(0, 0), (1, 0), (0, 1), (2, 2), (40, 60)] {
                let (low, last) = (p * p - below, p * p + above);
                let sieve = ShortSieve::new(low, last).expect("within bounds");
                assert_eq!(primes(&sieve), naive::primes(low, last), "{low} {last}");
            }
        }
    }

    #[test]
    fn sieving_primes_are_those_of_the_list() {
        let list = primes_up_to(LIMIT.isqrt() as u32);
        assert_eq!(*tables().primes, list[list.partition_point(|p| *p <= 23)..]);
    }

    #[test]
    fn all_instructions_give_the_same() {
        let tables = tables();
        let half = 11_400_881_744;
        let start = vec![1; 40_001];
        let mut portable = start.clone();
        sieve_portable(&mut portable, &tables.patterns[1], &tables.primes, half);
        let mut chosen = start.clone();
        sieve(&mut chosen, &tables.patterns[1], &tables.primes, half);
        assert_eq!(chosen, portable);
        #[cfg(target_arch = "x86_64")]
        if has!("avx2", "fma") {
            let mut avx2 = start;
            // SAFETY: both features were just detected.
            unsafe { sieve_avx2(&mut avx2, &tables.patterns[1], &tables.primes, half) };
            assert_eq!(avx2, portable);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_interval_has_the_primes_of_the_long_sieve(low in LEAST..LIMIT - LONGEST, shift in 0_u32..17, length in 0..LONGEST) {
            let last = low + (length >> shift);
            let sieve = ShortSieve::new(low, last).expect("within bounds");
            let expected = sieved(low, last);
            prop_assert_eq!(sieve.count(), expected.len() as u64);
            prop_assert_eq!(primes(&sieve), expected);
        }
    }
}
