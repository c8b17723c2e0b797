//! A list of whole numbers that move in small steps, in few bits, any of which can be read without those before its
//! block.
//!
//! Knows no primes. A block is [`BLOCK`] numbers. The first stands in the index as it is, as a little-endian `i16`,
//! after the place of the others' codes as a `u32` (in bytes); of each other number the difference from the one before
//! is coded by R. F. Rice's code (1971) with a fixed number of low bits: the difference d as 2 d or -2 d - 1, its high
//! bits as that many ones and a zero, then its low bits; first bits are low bits of bytes. Eight zeros follow the last
//! code.

use crate::primes::zigzag;

/// Numbers in a block: to read one takes under half a microsecond.
pub const BLOCK: usize = 128;

/// Bytes of a block in the index.
const ENTRY: usize = 6;

/// A run of ones as long as this is no code.
const MOST_ONES: u32 = 40;

/// What cannot be coded: a block's first number is no `i16`, a step is too long for the low bits, or there is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number or a step is too long for the code")
    }
}

impl std::error::Error for TooLong {}

/// The numbers as bytes, with `low_bits` low bits a step, at most 15.
pub fn encode(numbers: &[i64], low_bits: u32) -> Result<Vec<u8>, TooLong> {
    let mut index = Vec::new();
    let mut codes = Vec::new();
    let codes_start = numbers.len().div_ceil(BLOCK) * ENTRY;
    for block in numbers.chunks(BLOCK) {
        let place = u32::try_from(codes_start + codes.len()).map_err(|_| TooLong)?;
        let first = i16::try_from(block[0]).map_err(|_| TooLong)?;
        index.extend_from_slice(&place.to_le_bytes());
        index.extend_from_slice(&first.to_le_bytes());
        let (mut window, mut used) = (0u64, 0);
        for pair in block.windows(2) {
            let step = pair[1] - pair[0];
            let folded = zigzag::fold(step);
            let ones = u32::try_from(folded >> low_bits).map_err(|_| TooLong)?;
            if ones >= MOST_ONES {
                return Err(TooLong);
            }
            let low = folded & ((1 << low_bits) - 1);
            window |= (((1 << ones) - 1) | (low << (ones + 1))) << used;
            used += ones + 1 + low_bits;
            while used >= 8 {
                codes.push(window as u8);
                window >>= 8;
                used -= 8;
            }
        }
        if used > 0 {
            codes.push(window as u8);
        }
    }
    index.append(&mut codes);
    index.extend_from_slice(&[0; 8]);
    Ok(index)
}

/// Number `at` of those that [`encode`] made with as many low bits; bytes that it did not make give any number or none.
pub fn decode(bytes: &[u8], low_bits: u32, at: usize) -> Option<i64> {
    let entry = bytes.get(at / BLOCK * ENTRY..)?.first_chunk::<ENTRY>()?;
    let [a, b, c, d, low, high] = *entry;
    let mut bit = 8 * u64::from(u32::from_le_bytes([a, b, c, d]));
    let mut number = i64::from(i16::from_le_bytes([low, high]));
    for _ in 0..at % BLOCK {
        let word = bytes.get((bit / 8) as usize..)?.first_chunk()?;
        let window = u64::from_le_bytes(*word) >> (bit % 8);
        let ones = window.trailing_ones();
        if ones >= MOST_ONES {
            return None;
        }
        let low = (window >> (ones + 1)) & ((1 << low_bits) - 1);
        let folded = (u64::from(ones) << low_bits) | low;
        number += zigzag::unfold(folded);
        bit += u64::from(ones + 1 + low_bits);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums(steps: &[i64]) -> Vec<i64> {
        let mut sum = 0;
        steps
            .iter()
            .map(|step| {
                sum += step;
                sum
            })
            .collect()
    }

    proptest! {
        #[test]
        fn numbers_come_back(steps in prop::collection::vec(-60i64..60, 1..500), low_bits in 2u32..9) {
            let numbers = sums(&steps);
            let bytes = encode(&numbers, low_bits).expect("short steps");
            for (at, number) in numbers.iter().enumerate() {
                prop_assert_eq!(decode(&bytes, low_bits, at), Some(*number));
            }
        }

        #[test]
        fn any_bytes_give_a_number_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400), low_bits in 0u32..16, at in 0usize..1000) {
            let _ = decode(&bytes, low_bits, at);
        }

        #[test]
        fn a_flipped_bit_changes_a_number(steps in prop::collection::vec(-60i64..60, 150..250), place: prop::sample::Index, bit in 0u32..8) {
            let numbers = sums(&steps);
            let mut bytes = encode(&numbers, 5).expect("short steps");
            let codes = bytes.len() - 9;
            // Bits after the last code of a block mean nothing; there are at most seven, in the block's last byte.
            let place = place.index(codes);
            let second = u32::from_le_bytes(*bytes[ENTRY..].first_chunk().expect("two blocks")) as usize;
            prop_assume!(place + 1 != second);
            bytes[place] ^= 1 << bit;
            let read = |at| decode(&bytes, 5, at);
            prop_assert!((0..numbers.len()).any(|at| read(at) != Some(numbers[at])));
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert_eq!(encode(&[1 << 15], 5), Err(TooLong));
        assert_eq!(encode(&[0, 40 << 4], 5), Err(TooLong));
        assert!(encode(&[0, (40 << 4) - 1], 5).is_ok());
        assert_eq!(decode(&[], 5, 0), None);
    }
}
