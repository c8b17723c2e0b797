//! D, the hard leaves: `-mu(m) phi(x / (p m), b - 1)` for `19 < p <= x*` and `m <= y`, where `phi` has to be counted in a sieve.
//!
//! Gourdon 2001, page 4. A segment `low..high` of `[0, x / y]` counts from `low`: its leaves give a sum, and for each prime `p_b` how
//! often the count below `low` has to be added. With the counts of the segments before it that makes the whole.

use super::factor::{index_after, number, threshold};
use super::shape::Shape;
use super::tables::Tables;
use super::wheel::{SPAN, UP_TO, cross_off, runs};

/// What a segment brings; for the primes behind the first [`Shape::K`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The sum of the leaves, counted from `low`.
    pub(crate) sum: u64,
    /// For each prime, how many leaves there are with sign: how often what lies below `low` has to be added.
    pub(crate) weights: Vec<i32>,
    /// For each prime, how many numbers of the segment no prime before it divides.
    pub(crate) counts: Vec<u32>,
}

/// Room for the bitmap of a segment, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    words: Vec<u64>,
    before: Vec<u32>,
}

/// How many primes, behind the first [`Shape::K`], have leaves at `low` or above.
pub(crate) fn width(tables: &Tables, low: u64) -> usize {
    let shape = &tables.shape;
    let last = shape.x_star.min((shape.x / low.max(1)).isqrt());
    tables.index(last).saturating_sub(Shape::K)
}

/// Sieves a segment and counts its leaves.
pub(crate) fn segment(room: &mut Room, tables: &Tables, low: u64, high: u64) -> Segment {
    let shape = &tables.shape;
    let width = width(tables, low);
    let mut result = Segment {
        sum: 0,
        weights: vec![0; width],
        counts: vec![0; width],
    };
    room.bytes.clear();
    room.bytes.resize((high - low).div_ceil(SPAN) as usize * 8, u8::MAX);
    for &prime in &tables.primes[4..=Shape::K] {
        cross_off(&mut room.bytes, u64::from(prime), low, 1);
    }
    for (at, b) in (Shape::K + 1..).take(width).enumerate() {
        let prime = tables.prime(b);
        let total = index(room);
        result.counts[at] = total;
        let xp = shape.x / prime;
        let last = shape.y.min(xp / low.max(1)).min(xp / (prime * prime));
        let first = (shape.y / prime).max(xp / high).max(prime);
        if first < last {
            let (from, to) = (index_after(first), index_after(last));
            let least = threshold(b);
            let entries = &tables.factors.entries()[from..to];
            for (&entry, index) in entries.iter().zip(from..) {
                if entry > least {
                    let n = xp / number(index) - low;
                    let word = (n / SPAN) as usize;
                    let count = room.before[word] + (room.words[word] & UP_TO[(n % SPAN) as usize]).count_ones();
                    let sign = if entry & 1 == 0 { -1 } else { 1 };
                    result.weights[at] += sign;
                    result.sum = result.sum.wrapping_add_signed(i64::from(sign) * i64::from(count));
                }
            }
        }
        for (first, bit) in runs(prime, low, 1) {
            let mask = !(1_u8 << bit);
            if let Some(run) = room.bytes.get_mut(first..) {
                run.iter_mut().step_by(prime as usize).for_each(|byte| *byte &= mask);
            }
        }
    }
    result
}

/// Makes the running counts; gives their total.
fn index(room: &mut Room) -> u32 {
    room.words.clear();
    room.before.clear();
    let mut total = 0;
    for bytes in room.bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(bytes.try_into().unwrap());
        room.words.push(word);
        room.before.push(total);
        total += word.count_ones();
    }
    total
}
