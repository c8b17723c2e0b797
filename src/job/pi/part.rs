//! A part of a count for another machine: a stretch of A + C, B or D, as a plan of its own. Knows nothing of the
//! machine that it came from.
//!
//! Its bytes are the number, the parameter `y` and the places where the part begins and ends. What it needs beside is
//! made of these: tables, for A + C and D. Its result is what its pieces come to together. That of D has a weight and a
//! count for each prime, most of them small: a weight takes a byte or two, and so does the difference between two
//! counts.

use super::kept_tables;
use super::schedule::{EasyPlace, MOST_SUM, Schedule};
use super::share::{Done, MOST_PIECES, MOST_UNITS, Share};
use super::unit::Unit;
use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::primes::pi::easy_sum::EXACT_BY_RECIPROCAL;
use crate::primes::pi::instructions::Instructions;
use crate::primes::pi::shape::Shape;
use crate::primes::pi::tables::Tables;
use crate::primes::pi::{easy, hard, semiprimes};
use crate::primes::zigzag;
use std::ops::Range;

const KIND: [u8; 4] = *b"pi_p";
const VERSION: u32 = 2;

/// No part has as many leaves.
const MOST_LEAVES: u64 = 1 << 56;

/// A part at work.
pub(super) struct Part {
    shape: Shape,
    share: Share,
    schedule: Box<Schedule>,
}

impl Part {
    /// The part that is this share of the count of this shape.
    fn new(shape: Shape, share: Share) -> Self {
        let mut schedule = Box::new(Schedule::new(shape, Instructions::best(), EXACT_BY_RECIPROCAL));
        schedule.begin_at(&share);
        Self { shape, share, schedule }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn cut(&mut self) -> Option<Unit> {
        self.schedule.cut_alone(&self.share)
    }

    pub(super) fn absorb(&mut self, unit: Unit, is_finished: bool) {
        self.schedule.absorb(unit, is_finished);
    }

    pub(super) fn is_done(&self) -> bool {
        match &self.share {
            Share::Easy(range) => self.schedule.easy.whole(range).is_some(),
            Share::Semiprimes(range) => self.schedule.semiprimes.whole(range).is_some(),
            Share::Hard(range) => self.schedule.hard.whole(range).is_some(),
        }
    }

    pub(super) const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(super) const fn schedule_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// Of tables that were made for another part, that has counted the bytes.
    pub(super) fn memory(&self, workers: usize) -> u64 {
        let tables = if self.needs_tables() {
            Schedule::tables_memory(&self.shape)
        } else {
            0
        };
        tables + Schedule::memory(&self.shape, workers)
    }

    /// B sieves without tables.
    pub(super) fn needs_tables(&self) -> bool {
        !matches!(self.share, Share::Semiprimes(_)) && self.schedule.tables().is_none()
    }

    /// The share of its numbers, or of its primes, that is done.
    pub(super) fn progress(&self) -> f64 {
        let length = |range: Range<u64>| (range.end - range.start) as f64;
        let (done, all) = match &self.share {
            Share::Easy(range) => {
                let primes = self.shape.cbrt_x as f64 / (self.shape.cbrt_x as f64).ln();
                let at = |(piece, at): EasyPlace| piece as f64 + (at as f64 / primes).min(1.0);
                let length = |range: Range<EasyPlace>| at(range.end) - at(range.start);
                (self.schedule.easy.waiting().map(length).sum(), length(range.clone()))
            }
            Share::Semiprimes(range) => (
                self.schedule.semiprimes.waiting().map(length).sum(),
                length(range.clone()),
            ),
            Share::Hard(range) => (
                self.schedule.hard.waiting().map(length).sum::<f64>(),
                length(range.clone()),
            ),
        };
        if all > 0.0 { (done / all).min(1.0) } else { 0.0 }
    }

    pub(super) fn save(&self) -> Vec<u8> {
        bytes(&self.shape, &self.share)
    }

    pub(super) fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let (shape, share) = read(bytes)?;
        Ok(Self::new(shape, share))
    }

    /// See [`crate::job::Plan::result`].
    pub(super) fn result(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        match &self.share {
            Share::Easy(range) => {
                let easy::Piece { leaves, primes } = self.schedule.easy.whole(range)?;
                writer
                    .u128(leaves.sum as u128)
                    .u128(leaves.weight as u128)
                    .u64(leaves.count)
                    .u64(*primes);
            }
            Share::Semiprimes(range) => {
                let piece = self.schedule.semiprimes.whole(range)?;
                writer.u128(piece.sum).u64(piece.queries).u64(piece.count);
            }
            Share::Hard(range) => {
                let segment = self.schedule.hard.whole(range)?;
                writer
                    .u128(segment.sum as u128)
                    .u64(segment.weights.len() as u64)
                    .u64(segment.counts.len() as u64);
                let weights = segment.weights.iter().map(|weight| zigzag::fold(*weight));
                // A prime has no more numbers than the one before it, so differences are short; the first count is as
                // long as it is.
                let before = std::iter::once(&0).chain(&segment.counts);
                let counts = segment.counts.iter().zip(before);
                let counts = counts.map(|(count, before)| zigzag::fold(count.wrapping_sub(*before) as i64));
                let mut packed = Vec::new();
                weights.chain(counts).for_each(|word| pack(word, &mut packed));
                writer.bytes(&packed);
            }
        }
        Some(writer.finish())
    }
}

/// The bytes of a part.
pub(super) fn bytes(shape: &Shape, share: &Share) -> Vec<u8> {
    let mut writer = Writer::new(KIND, VERSION);
    writer.u128(shape.x).u64(shape.y);
    match share {
        Share::Semiprimes(range) => writer.u64(0).u64(range.start).u64(range.end),
        Share::Hard(range) => writer.u64(1).u64(range.start).u64(range.end),
        Share::Easy(Range { start, end }) => {
            writer.u64(2);
            for (piece, at) in [start, end] {
                writer.u64(*piece).u64(*at as u64);
            }
            &mut writer
        }
    };
    writer.finish()
}

/// Reads the bytes of a part.
///
/// # Errors
/// If no count has such a part.
fn read(bytes: &[u8]) -> Result<(Shape, Share), Damaged> {
    let mut reader = Reader::new(bytes, KIND, VERSION)?;
    let (x, y) = (reader.u128()?, reader.u64()?);
    let shape = Shape::with_y(x, y).ok_or(Damaged::Impossible("number"))?;
    let share = match reader.u64()? {
        0 => Share::Semiprimes(reader.u64()?..reader.u64()?),
        1 => Share::Hard(reader.u64()?..reader.u64()?),
        2 => {
            let mut place = || -> Result<EasyPlace, Damaged> { Ok((reader.u64()?, reader.u64()? as usize)) };
            Share::Easy(place()?..place()?)
        }
        _ => return Err(Damaged::Impossible("sum")),
    };
    reader.finish()?;
    let limit = shape.sieve_limit() + 1;
    let is_possible = match &share {
        Share::Easy(Range { start, end }) => {
            let is_within = start < end && *end <= (kept_tables::pieces(&shape) - 1, 0);
            is_within && end.0 - start.0 <= MOST_PIECES
        }
        Share::Semiprimes(range) => {
            let first = semiprimes::start(&shape);
            first <= range.start
                && (range.start - first).is_multiple_of(240)
                && is_whole(range, limit, |at| semiprimes::end(&shape, at))
        }
        Share::Hard(range) => {
            range.start.is_multiple_of(hard::ALIGNMENT) && is_whole(range, limit, |at| hard::end(&shape, at))
        }
    };
    if is_possible {
        Ok((shape, share))
    } else {
        Err(Damaged::Impossible("part"))
    }
}

/// True if these are whole units, not too many.
fn is_whole(range: &Range<u64>, limit: u64, end_of: impl Fn(u64) -> u64) -> bool {
    let mut at = range.start;
    for _ in 0..MOST_UNITS {
        if at >= range.end || at >= limit {
            break;
        }
        at = end_of(at);
    }
    range.start < range.end && at == range.end
}

/// The part of this count that these bytes are.
pub(super) fn of(schedule: &Schedule, part: &[u8]) -> Result<Share, Damaged> {
    let (shape, share) = read(part)?;
    if shape == *schedule.shape() && schedule.has_part(&share) {
        Ok(share)
    } else {
        Err(Damaged::Impossible("part"))
    }
}

/// Takes the result of a part into a count.
pub(super) fn absorb(schedule: &mut Schedule, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
    let share = of(schedule, part)?;
    let mut reader = Reader::new(result, KIND, VERSION)?;
    let done = match share {
        Share::Easy(range) => {
            let piece = read_leaves(&mut reader, &range)?;
            Done::Easy(range, piece)
        }
        Share::Semiprimes(range) => {
            let piece = semiprimes::Piece {
                sum: reader.u128()?,
                queries: reader.u64()?,
                count: reader.u64()?,
            };
            let is_possible = piece.count <= range.end - range.start && piece.queries <= schedule.shape().sqrt_x;
            if !is_possible || piece.sum > MOST_SUM {
                return Err(Damaged::Impossible("piece of B"));
            }
            Done::Semiprimes(range, piece)
        }
        Share::Hard(range) => {
            let tables = schedule.tables().cloned().ok_or(Damaged::Impossible("part"))?;
            let segment = read_segment(&mut reader, &tables, &range)?;
            Done::Hard(tables, range, segment)
        }
    };
    reader.finish()?;
    schedule.absorb_part(done);
    Ok(())
}

fn read_leaves(reader: &mut Reader<'_>, range: &Range<EasyPlace>) -> Result<easy::Piece, Damaged> {
    let leaves = easy::Leaves {
        sum: reader.u128()? as i128,
        weight: reader.u128()? as i128,
        count: reader.u64()?,
    };
    let primes = reader.u64()?;
    let is_possible = leaves.sum.unsigned_abs() <= MOST_SUM
        && leaves.count <= MOST_LEAVES
        && leaves.weight.unsigned_abs() <= 2 * u128::from(leaves.count)
        && primes <= (range.end.0 - range.start.0) * kept_tables::STEP;
    if !is_possible {
        return Err(Damaged::Impossible("leaves of A and C"));
    }
    Ok(easy::Piece { leaves, primes })
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
    let mut next = || unpack(&mut packed).map(zigzag::unfold);
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
            pack(zigzag::fold(n), &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!(unpack(&mut rest).map(zigzag::unfold), Ok(n));
            assert!(rest.is_empty());
            assert_eq!(unpack(&mut &bytes[..bytes.len() - 1]), Err(Damaged::Short));
        }
        assert!(unpack(&mut [255; 20].as_slice()).is_err());
    }
}
