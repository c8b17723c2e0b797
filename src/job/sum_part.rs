//! Parts of a sum by formula for other machines: some blocks, or some stretches and pieces of them. Knows nothing of
//! how they are added up.
//!
//! A part's bytes are the number, the parameter `y` and the units; tables are made of these. Its result is what its
//! units come to together.

use super::by_ends::UpTo;
use super::sum_to::{Stage, SumTo, Summing, units};
use super::{Damaged, Reader, Writer};
use crate::primes::sum::{BlockSum, Shape, StretchSum, Tables};
use std::ops::Range;
use std::sync::Arc;

const KIND: [u8; 4] = *b"SUMP";
const VERSION: u32 = 2;

/// The most units of a part.
const MOST: u64 = 1 << 13;

/// A kind of units that other machines do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Blocks,
    Stretches,
}

/// Some units of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) which: Which,
    pub(super) range: Range<u64>,
}

impl Share {
    fn bytes(&self, shape: Shape) -> Vec<u8> {
        let mut writer = Writer::new(KIND, VERSION);
        writer
            .u64(shape.x)
            .u64(shape.y)
            .u64(self.which as u64)
            .u64(self.range.start)
            .u64(self.range.end);
        writer.finish()
    }

    /// What the bytes say; whether there are such units is not looked at.
    fn read(bytes: &[u8]) -> Result<(Shape, Self), Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (x, y) = (reader.u64()?, reader.u64()?);
        let shape = Shape::with_y(x, y).ok_or(Damaged::Impossible("number"))?;
        let which = match reader.u64()? {
            0 => Which::Blocks,
            1 => Which::Stretches,
            _ => return Err(Damaged::Impossible("kind of units")),
        };
        let range = reader.u64()?..reader.u64()?;
        reader.finish()?;
        if range.start < range.end && range.end - range.start <= MOST {
            Ok((shape, Self { which, range }))
        } else {
            Err(Damaged::Impossible("part"))
        }
    }
}

impl SumTo {
    /// See [`crate::job::Plan::cut_part`].
    pub(super) fn cut_share(&mut self, wanted: f64) -> Option<Vec<u8>> {
        if self.share().is_some() {
            return None;
        }
        let (shape, cost) = (self.shape, Self::cost(self.x().into()));
        let Stage::Summing(summing) = &mut self.stage else {
            return None;
        };
        let is_less = |summing: &Summing, which, range: Range<u64>| {
            let share = summing.share(shape, which, range.end) - summing.share(shape, which, range.start);
            share * cost < wanted && range.end - range.start < MOST
        };
        for which in [Which::Blocks, Which::Stretches] {
            let (next, limit) = (summing.next[which as usize], summing.limits[which as usize]);
            let (start, bound) = match which {
                Which::Blocks => (summing.blocks.next(next, limit), summing.blocks.returned_end()),
                Which::Stretches => (summing.stretches.next(next, limit), summing.stretches.returned_end()),
            };
            let Some(start) = start else { continue };
            let mut end = start + 1;
            while end < bound.unwrap_or(limit) && is_less(summing, which, start..end) {
                end += 1;
            }
            let next = &mut summing.next[which as usize];
            match which {
                Which::Blocks => {
                    summing.blocks.cut(next, end);
                    summing.blocks.begin_part(start..end);
                }
                Which::Stretches => {
                    summing.stretches.cut(next, end);
                    summing.stretches.begin_part(start..end);
                }
            }
            let range = start..end;
            return Some(Share { which, range }.bytes(shape));
        }
        None
    }

    /// The plan of a part.
    pub(super) fn restore_share(bytes: &[u8]) -> Result<Self, Damaged> {
        let (shape, share) = Share::read(bytes)?;
        if share.range.end > units(shape, share.which) {
            return Err(Damaged::Impossible("part"));
        }
        Ok(Self::part(shape, share))
    }

    /// What the plan of a part was made of.
    pub(super) fn share_bytes(&self) -> Option<Vec<u8>> {
        self.share().map(|share| share.bytes(self.shape))
    }

    /// The share of a part that is done; `None` if this is a whole sum.
    pub(super) fn share_done(&self) -> Option<f64> {
        let Share { which, range } = self.share()?;
        let length = |range: Range<u64>| (range.end - range.start) as f64;
        let done: f64 = match (which, &self.stage) {
            (Which::Blocks, Stage::Summing(summing)) => summing.blocks.waiting().map(length).sum(),
            (Which::Stretches, Stage::Summing(summing)) => summing.stretches.waiting().map(length).sum(),
            _ => 0.0,
        };
        Some(done / length(range.clone()))
    }

    /// True if this is a part, and all of it is done.
    pub(super) fn is_share_done(&self) -> bool {
        match (self.share(), &self.stage) {
            (
                Some(Share {
                    which: Which::Blocks,
                    range,
                }),
                Stage::Summing(summing),
            ) => summing.blocks.whole(range).is_some(),
            (
                Some(Share {
                    which: Which::Stretches,
                    range,
                }),
                Stage::Summing(summing),
            ) => summing.stretches.whole(range).is_some(),
            _ => false,
        }
    }

    /// See [`crate::job::Plan::result`].
    pub(super) fn share_result(&self) -> Option<Vec<u8>> {
        let Share { which, range } = self.share()?;
        let Stage::Summing(summing) = &self.stage else {
            return None;
        };
        let mut writer = Writer::new(KIND, VERSION);
        match which {
            Which::Blocks => {
                let BlockSum { value, primes } = summing.blocks.whole(range)?;
                writer.u128(*value).u64(primes.len() as u64);
                for (weight, total) in primes {
                    writer.u128(*weight).u128(*total);
                }
            }
            Which::Stretches => {
                let piece = summing.stretches.whole(range)?;
                let words = [piece.value, piece.weight, piece.total, piece.middle, piece.squares];
                for word in words {
                    writer.u128(word);
                }
            }
        }
        Some(writer.finish())
    }

    /// The share that these bytes are, if another machine does it.
    fn elsewhere(&self, part: &[u8]) -> Result<Share, Damaged> {
        let (shape, share) = Share::read(part)?;
        let is_elsewhere = match (&share.which, &self.stage) {
            (Which::Blocks, Stage::Summing(summing)) => summing.blocks.has_part(&share.range),
            (Which::Stretches, Stage::Summing(summing)) => summing.stretches.has_part(&share.range),
            _ => false,
        };
        if is_elsewhere && shape == self.shape {
            Ok(share)
        } else {
            Err(Damaged::Impossible("part"))
        }
    }

    /// See [`crate::job::Plan::absorb_part`].
    pub(super) fn absorb_share(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let Share { which, range } = self.elsewhere(part)?;
        let mut reader = Reader::new(result, KIND, VERSION)?;
        match which {
            Which::Blocks => {
                let (value, count) = (reader.u128()?, reader.u64()?);
                // Of several blocks together the first has the most primes.
                if !matches!(&self.stage, Stage::Summing(summing) if summing.width(range.start) as u64 == count) {
                    return Err(Damaged::Impossible("prime of a block"));
                }
                let primes = (0..count).map(|_| Ok((reader.u128()?, reader.u128()?)));
                let primes = primes.collect::<Result<_, Damaged>>()?;
                reader.finish()?;
                self.absorb_blocks(range, BlockSum { value, primes });
            }
            Which::Stretches => {
                let piece = StretchSum {
                    value: reader.u128()?,
                    weight: reader.u128()?,
                    total: reader.u128()?,
                    middle: reader.u128()?,
                    squares: reader.u128()?,
                };
                reader.finish()?;
                self.absorb_stretches(range, piece);
            }
        }
        Ok(())
    }

    /// See [`crate::job::Plan::take_back`].
    pub(super) fn take_back_share(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let Share { which, range } = self.elsewhere(part)?;
        match (which, &mut self.stage) {
            (Which::Blocks, Stage::Summing(summing)) => summing.blocks.take_back(range),
            (Which::Stretches, Stage::Summing(summing)) => summing.stretches.take_back(range),
            _ => Err(Damaged::Impossible("part")),
        }
    }

    /// The tables, once they are made.
    pub(super) fn tables(&self) -> Option<&Arc<Tables>> {
        match &self.stage {
            Stage::Summing(summing) => Some(&summing.tables),
            _ => None,
        }
    }
}
