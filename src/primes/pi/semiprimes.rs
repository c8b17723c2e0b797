//! B: the sum of `pi(x / p)` over the primes `p` of `y < p <= sqrt x`, by sieving up to `x / y`.
//!
//! Gourdon 2001, page 4. A piece `low..high` answers the `p` with `x / p` in it, counting from `low`; put together in order the pieces
//! give the sum.

use super::wheel::{SPAN, UP_TO, cross_off};

/// What a piece of B brings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The sum over the piece's `p` of the primes in `low..=x / p`.
    pub(crate) sum: u64,
    /// How many `p` there are.
    pub(crate) queries: u64,
    /// How many primes there are in the piece.
    pub(crate) count: u64,
}

impl Piece {
    /// Puts the next piece behind this one.
    pub(crate) fn append(&mut self, next: Self) {
        self.sum = self
            .sum
            .wrapping_add(next.sum)
            .wrapping_add(next.queries.wrapping_mul(self.count));
        self.queries += next.queries;
        self.count += next.count;
    }
}

/// Room for the bitmaps of a piece, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Room {
    numbers: Vec<u8>,
    primes: Vec<u8>,
}

/// Sieves `low..high` (`low` a multiple of 240) and answers the primes `p` of `y < p <= sqrt x` with `x / p` there.
/// `primes` (without 2, 3, 5) reach the square roots of `high` and of `sqrt x`.
pub(crate) fn piece(room: &mut Room, primes: &[u32], x: u64, y: u64, low: u64, high: u64) -> Piece {
    sieve(&mut room.numbers, primes, low, high);
    let first = (x / high + 1).max(y + 1);
    let last = (x / low.max(1)).min(x.isqrt());
    let mut piece = Piece::default();
    let words = room
        .numbers
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let words: Vec<u64> = words.collect();
    let (mut word, mut before) = (0, 0);
    if first <= last {
        let start = first / SPAN * SPAN;
        sieve(&mut room.primes, primes, start, last + 1);
        let found = room.primes.chunks_exact(8).enumerate().rev();
        for (index, bits) in found {
            let mut bits = u64::from_le_bytes(bits.try_into().unwrap());
            while bits != 0 {
                let bit = 63 - bits.leading_zeros();
                bits ^= 1 << bit;
                let p =
                    start + index as u64 * SPAN + u64::from(bit / 8) * 30 + super::wheel::RESIDUES[bit as usize % 8];
                if p < first || p > last {
                    continue;
                }
                let at = x / p - low;
                while word < (at / SPAN) as usize {
                    before += u64::from(words[word].count_ones());
                    word += 1;
                }
                let here = words[word] & UP_TO[(at % SPAN) as usize];
                piece.sum += before + u64::from(here.count_ones());
                piece.queries += 1;
            }
        }
    }
    piece.count = words.iter().map(|word| u64::from(word.count_ones())).sum();
    piece
}

/// The primes of `low..high` as bits.
fn sieve(bytes: &mut Vec<u8>, primes: &[u32], low: u64, high: u64) {
    bytes.clear();
    bytes.resize((high - low).div_ceil(SPAN) as usize * 8, u8::MAX);
    let end = low + bytes.len() as u64 * 30;
    for &prime in primes {
        let prime = u64::from(prime);
        if prime * prime >= end {
            break;
        }
        cross_off(bytes, prime, low, prime);
    }
    let over = (end - high) as usize;
    if over > 0
        && let Some(last) = bytes.last_chunk_mut::<8>()
    {
        let word = u64::from_le_bytes(*last) & UP_TO[SPAN as usize - 1 - over];
        *last = word.to_le_bytes();
    }
}
