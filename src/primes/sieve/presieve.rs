//! Starts a segment with the multiples of the primes 7 to 163 already crossed off. Knows the layout of [`wheel`] and no
//! sieving state: where a pattern begins follows from the position alone.
//!
//! The multiples of `p` repeat every `p` bytes, those of several primes every product of them. Sixteen patterns, each
//! about 6 to 10 KB long, cover 35 primes; their conjunction is the segment (primesieve's doc/ALGORITHMS.md,
//! "Pre-sieving", has the idea and the grouping by products of similar size). Each pattern is repeated for one more
//! block after its end, so that a block can be read from anywhere in it without wrapping around.
#![allow(unsafe_code)] // Calling a function that was compiled for more instructions than the crate.

#[cfg(target_arch = "x86_64")]
use crate::primes::features::has;
use crate::primes::wheel::{RESIDUES, bit};

/// The largest prime whose multiples are already crossed off.
pub(super) const MAX_PRIME: u32 = 163;

/// Bytes of the blocks in which segments are started.
pub(super) const BLOCK: usize = 1024;

/// Which primes share a pattern. The products lie between 5,957 and 9,797.
const GROUPS: [&[usize]; 16] = [
    &[7, 23, 37],
    &[11, 19, 31],
    &[13, 17, 29],
    &[41, 163],
    &[43, 157],
    &[47, 151],
    &[53, 149],
    &[59, 139],
    &[61, 137],
    &[67, 131],
    &[71, 127],
    &[73, 113],
    &[79, 109],
    &[83, 107],
    &[89, 103],
    &[97, 101],
];

/// How many bytes each pattern has before it repeats.
const PERIODS: [usize; 16] = {
    let mut periods = [1; 16];
    let mut i = 0;
    while i < 16 {
        let mut j = 0;
        while j < GROUPS[i].len() {
            periods[i] *= GROUPS[i][j];
            j += 1;
        }
        i += 1;
    }
    periods
};

/// Where each pattern begins in [`PATTERNS`], and where the last one ends.
const STARTS: [usize; 17] = {
    let mut starts = [0; 17];
    let mut i = 0;
    while i < 16 {
        starts[i + 1] = starts[i] + PERIODS[i] + BLOCK;
        i += 1;
    }
    starts
};

/// All patterns, each with its first [`BLOCK`] bytes once more at its end. Made by the compiler: a process that sieves
/// little would spend more time on them than on its sieve.
static PATTERNS: [u8; STARTS[16]] = {
    let mut bytes = [0xff; STARTS[16]];
    let mut i = 0;
    while i < 16 {
        let mut j = 0;
        while j < GROUPS[i].len() {
            let p = GROUPS[i][j];
            let mut k = 0;
            while k < RESIDUES.len() {
                let multiple = p * RESIDUES[k] as usize;
                let keep = !(1 << bit(multiple % 30));
                let mut at = STARTS[i] + multiple / 30;
                while at < STARTS[i + 1] {
                    bytes[at] &= keep;
                    at += p;
                }
                k += 1;
            }
            j += 1;
        }
        i += 1;
    }
    bytes
};

/// Fills `bytes` with the numbers from `30 * first_byte` on, less the multiples of 7 to 163 (these primes among them).
///
/// # Panics
/// If the length is not a multiple of [`BLOCK`].
pub(super) fn fill(bytes: &mut [u8], first_byte: u64) {
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
    assert!(rest.is_empty(), "segments are started in whole blocks");
    let mut at: [usize; 16] = std::array::from_fn(|i| (first_byte % PERIODS[i] as u64) as usize);
    for block in blocks {
        let read = |i: usize| -> &[u8; BLOCK] {
            let bytes = PATTERNS[STARTS[i] + at[i]..].first_chunk();
            bytes.expect("a pattern goes on for one more block")
        };
        and_all(block, std::array::from_fn(read));
        for (at, period) in at.iter_mut().zip(PERIODS) {
            *at = (*at + BLOCK) % period;
        }
    }
}

/// The conjunction of sixteen blocks.
fn and_all(out: &mut [u8; BLOCK], blocks: [&[u8; BLOCK]; 16]) {
    #[cfg(target_arch = "x86_64")]
    {
        if has!("avx512f", "avx512bw") {
            // SAFETY: both features were just detected.
            return unsafe { and_all_avx512(out, blocks) };
        }
        if has!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { and_all_avx2(out, blocks) };
        }
    }
    and_all_portable(out, blocks);
}

#[inline(always)]
fn and_all_portable(out: &mut [u8; BLOCK], blocks: [&[u8; BLOCK]; 16]) {
    let [a, b, c, d, e, f, g, h, rest @ ..] = blocks;
    for i in 0..BLOCK {
        out[i] = a[i] & b[i] & c[i] & d[i] & e[i] & f[i] & g[i] & h[i];
    }
    let [a, b, c, d, e, f, g, h] = rest;
    for i in 0..BLOCK {
        out[i] &= a[i] & b[i] & c[i] & d[i] & e[i] & f[i] & g[i] & h[i];
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn and_all_avx512(out: &mut [u8; BLOCK], blocks: [&[u8; BLOCK]; 16]) {
    and_all_portable(out, blocks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn and_all_avx2(out: &mut [u8; BLOCK], blocks: [&[u8; BLOCK]; 16]) {
    and_all_portable(out, blocks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::wheel::NUMBERS_PER_BYTE;

    #[test]
    fn every_way_to_combine_patterns_gives_the_same() {
        let blocks: [[u8; BLOCK]; 16] =
            std::array::from_fn(|i| std::array::from_fn(|k| !(1 << ((i * 7 + k * k) % 29 % 8))));
        let blocks: [&[u8; BLOCK]; 16] = std::array::from_fn(|i| &blocks[i]);
        let expected: [u8; BLOCK] = std::array::from_fn(|k| blocks.iter().fold(!0, |all, block| all & block[k]));
        let check = |and_all: fn(&mut [u8; BLOCK], [&[u8; BLOCK]; 16])| {
            let mut out = [0; BLOCK];
            and_all(&mut out, blocks);
            assert_eq!(out, expected);
        };
        check(and_all);
        check(and_all_portable);
        #[cfg(target_arch = "x86_64")]
        if has!("avx2") {
            // SAFETY: the feature was just detected.
            check(|out, blocks| unsafe { and_all_avx2(out, blocks) });
        }
    }

    #[test]
    fn multiples_of_the_small_primes_are_gone_and_no_others() {
        for first_byte in [0, 1, 5_956, 123_456_789, u64::MAX / 30 - 4095] {
            let mut bytes = [0; 4 * BLOCK];
            fill(&mut bytes, first_byte);
            for (byte, k) in bytes.iter().zip(0..) {
                for (j, residue) in RESIDUES.iter().enumerate() {
                    let n = u128::from(first_byte + k) * u128::from(NUMBERS_PER_BYTE) + u128::from(*residue);
                    let expected = GROUPS.iter().copied().flatten().all(|&p| n % p as u128 != 0);
                    assert_eq!(byte >> j & 1 == 1, expected, "{n}");
                }
            }
        }
    }
}
