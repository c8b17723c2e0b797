//! A part of a count for another machine: some units of B, or some of D, as a plan of its own. Knows nothing of the machine that it came from.
//!
//! Its bytes are the number, the parameter `y` and the places where the part begins and ends. What it needs beside is made of these: tables, for D.
//! Its result is what its pieces come to together. That of D has a weight and a count for each prime, most of them small: a weight takes a byte or two,
//! and so does the difference between two counts.

use super::schedule::{MOST_UNITS, Schedule, Sum};
use super::unit::Unit;
use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::primes::pi::easy_sum::EXACT_BY_RECIPROCAL;
use crate::primes::pi::level::Level;
use crate::primes::pi::shape::Shape;
use crate::primes::pi::tables::Tables;
use crate::primes::pi::{hard, semiprimes};
use std::ops::Range;

const KIND: [u8; 4] = *b"pi_p";
const VERSION: u32 = 1;

/// No sum of a part comes near this.
const MOST_SUM: u128 = 1 << 110;

/// A part at work.
pub(super) struct Part {
    shape: Shape,
    sum: Sum,
    range: Range<u64>,
    schedule: Box<Schedule>,
    is_done: bool,
}

impl Part {
    /// The part of this sum.
    fn new(shape: Shape, sum: Sum, range: Range<u64>) -> Self {
        let mut schedule = Box::new(Schedule::new(shape, Level::best(), EXACT_BY_RECIPROCAL));
        schedule.begin_at(range.start, range.end);
        Self {
            shape,
            sum,
            range,
            schedule,
            is_done: false,
        }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn cut(&mut self) -> Option<Unit> {
        match self.sum {
            _ if self.is_done => None,
            Sum::Semiprimes => self.schedule.cut_semiprimes_alone(),
            Sum::Hard => self.schedule.cut_hard_alone(),
        }
    }

    pub(super) fn absorb(&mut self, unit: Unit, is_finished: bool) {
        self.schedule.absorb(unit, is_finished);
        self.is_done = match self.sum {
            Sum::Semiprimes => self.schedule.semiprimes.whole(&self.range).is_some(),
            Sum::Hard => self.schedule.hard.whole(&self.range).is_some(),
        };
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(super) const fn schedule_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// The share of its numbers that is done.
    pub(super) fn progress(&self) -> f64 {
        let length = |range: Range<u64>| range.end - range.start;
        let done: u64 = match self.sum {
            Sum::Semiprimes => self.schedule.semiprimes.waiting().map(length).sum(),
            Sum::Hard => self.schedule.hard.waiting().map(length).sum(),
        };
        done as f64 / length(self.range.clone()) as f64
    }

    pub(super) fn save(&self) -> Vec<u8> {
        bytes(&self.shape, self.sum, &self.range)
    }

    pub(super) fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let (shape, sum, range) = read(bytes)?;
        Ok(Self::new(shape, sum, range))
    }

    /// See [`crate::job::Plan::result`].
    pub(super) fn result(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        match self.sum {
            Sum::Semiprimes => {
                let piece = self.schedule.semiprimes.whole(&self.range)?;
                writer.u128(piece.sum).u64(piece.queries).u64(piece.count);
            }
            Sum::Hard => {
                let segment = self.schedule.hard.whole(&self.range)?;
                writer
                    .u128(segment.sum as u128)
                    .u64(segment.weights.len() as u64)
                    .u64(segment.counts.len() as u64);
                let weights = segment.weights.iter().map(|weight| fold_sign(*weight));
                // A prime has no more numbers than the one before it, so differences are short; the first count is as long as it is.
                let before = std::iter::once(&0).chain(&segment.counts);
                let counts = segment.counts.iter().zip(before);
                let counts = counts.map(|(count, before)| fold_sign(count.wrapping_sub(*before) as i64));
                let mut packed = Vec::new();
                weights.chain(counts).for_each(|word| pack(word, &mut packed));
                writer.bytes(&packed);
            }
        }
        Some(writer.finish())
    }
}

/// The bytes of a part.
pub(super) fn bytes(shape: &Shape, sum: Sum, range: &Range<u64>) -> Vec<u8> {
    let mut writer = Writer::new(KIND, VERSION);
    writer
        .u128(shape.x)
        .u64(shape.y)
        .u64(u64::from(sum == Sum::Hard))
        .u64(range.start)
        .u64(range.end);
    writer.finish()
}

/// Reads the bytes of a part.
///
/// # Errors
/// If no count has such a part.
fn read(bytes: &[u8]) -> Result<(Shape, Sum, Range<u64>), Damaged> {
    let mut reader = Reader::new(bytes, KIND, VERSION)?;
    let (x, y) = (reader.u128()?, reader.u64()?);
    let shape = Shape::with_y(x, y).ok_or(Damaged::Impossible("number"))?;
    let sum = match reader.u64()? {
        0 => Sum::Semiprimes,
        1 => Sum::Hard,
        _ => return Err(Damaged::Impossible("sum")),
    };
    let range = reader.u64()?..reader.u64()?;
    reader.finish()?;
    let limit = shape.sieve_limit() + 1;
    let (first, step) = match sum {
        Sum::Semiprimes => (semiprimes::start(&shape), 240),
        Sum::Hard => (0, hard::ALIGNMENT),
    };
    let is_within = first <= range.start && range.start < range.end && range.end <= limit;
    if !is_within || !(range.start - first).is_multiple_of(step) {
        return Err(Damaged::Impossible("part"));
    }
    let mut at = range.start;
    for _ in 0..MOST_UNITS {
        at = match sum {
            Sum::Semiprimes => semiprimes::end(&shape, at),
            Sum::Hard => hard::end(&shape, at),
        };
        if at >= range.end {
            break;
        }
    }
    if at == range.end {
        Ok((shape, sum, range))
    } else {
        Err(Damaged::Impossible("end of a part"))
    }
}

/// The part of this count that these bytes are.
pub(super) fn of(schedule: &Schedule, part: &[u8]) -> Result<(Sum, Range<u64>), Damaged> {
    let (shape, sum, range) = read(part)?;
    let is_under_way = match sum {
        Sum::Semiprimes => schedule.semiprimes.has_part(&range),
        Sum::Hard => schedule.hard.has_part(&range),
    };
    if shape == *schedule.shape() && is_under_way {
        Ok((sum, range))
    } else {
        Err(Damaged::Impossible("part"))
    }
}

/// Takes the result of a part into a count.
pub(super) fn absorb(schedule: &mut Schedule, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
    let (sum, range) = of(schedule, part)?;
    let mut reader = Reader::new(result, KIND, VERSION)?;
    match sum {
        Sum::Semiprimes => {
            let piece = semiprimes::Piece {
                sum: reader.u128()?,
                queries: reader.u64()?,
                count: reader.u64()?,
            };
            reader.finish()?;
            let is_possible = piece.count <= range.end - range.start && piece.queries <= schedule.shape().sqrt_x;
            if !is_possible || piece.sum > MOST_SUM {
                return Err(Damaged::Impossible("piece of B"));
            }
            schedule.absorb_semiprimes(range, piece);
        }
        Sum::Hard => {
            let tables = schedule.tables().cloned().ok_or(Damaged::Impossible("part"))?;
            let segment = read_segment(&mut reader, &tables, &range)?;
            reader.finish()?;
            schedule.absorb_hard(&tables, range, segment);
        }
    }
    Ok(())
}

fn read_segment(reader: &mut Reader<'_>, tables: &Tables, range: &Range<u64>) -> Result<hard::Segment, Damaged> {
    let sum = reader.u128()? as i128;
    let [weights, counts] = [reader.u64()?, reader.u64()?];
    let mut packed = reader.bytes()?;
    // Primes that have no leaves at the end of the part have none after it.
    let is_wide = weights == hard::width(tables, range.start) as u64
        && (hard::width(tables, range.end) as u64..=weights).contains(&counts);
    if !is_wide || sum.unsigned_abs() > MOST_SUM {
        return Err(Damaged::Impossible("segment of D"));
    }
    let mut next = || unpack(&mut packed).map(unfold_sign);
    let most = tables.shape.y as i64;
    let weights: Vec<i64> = (0..weights).map(|_| next()).collect::<Result<_, _>>()?;
    let mut before = 0_u64;
    let counts = (0..counts).map(|_| {
        before = before.wrapping_add(next()? as u64);
        Ok(before)
    });
    let counts: Vec<u64> = counts.collect::<Result<_, Damaged>>()?;
    let is_possible = weights.iter().all(|weight| (-most..=most).contains(weight))
        && counts.iter().all(|count| *count <= range.end - range.start);
    if !packed.is_empty() || !is_possible {
        return Err(Damaged::Impossible("segment of D"));
    }
    Ok(hard::Segment { sum, weights, counts })
}

/// Numbers near zero, of either sign, as numbers near zero.
const fn fold_sign(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

const fn unfold_sign(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Adds a number, seven bits a byte, the lowest first; the last byte is below 128.
fn pack(mut n: u64, bytes: &mut Vec<u8>) {
    while n >= 128 {
        bytes.push(n as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// Takes the next number off.
fn unpack(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Damaged::Short)?;
        *bytes = rest;
        n |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(n);
        }
    }
    Err(Damaged::Impossible("number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_are_unpacked() {
        for n in [0, 1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            pack(fold_sign(n), &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!(unpack(&mut rest).map(unfold_sign), Ok(n));
            assert!(rest.is_empty());
            assert_eq!(unpack(&mut &bytes[..bytes.len() - 1]), Err(Damaged::Short));
        }
        assert!(unpack(&mut [255; 20].as_slice()).is_err());
    }
}
