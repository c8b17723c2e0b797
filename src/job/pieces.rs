//! A range of numbers that a plan works through in pieces: most plans of one's own are this, and a sum.
//!
//! Knows which numbers are cut, absorbed and left; not what is done with them.

use super::{Damaged, Reader, Writer};
use std::collections::BTreeMap;
use std::ops::Range;

/// The numbers of a range, cut into pieces of at most `size`. What a slice did not get to before its budget was over is
/// cut again.
///
/// ```
/// use primed::Pieces;
/// let mut pieces = Pieces::new(0..100, 40);
/// let (first, second) = (pieces.cut().unwrap(), pieces.cut().unwrap());
/// assert_eq!((first.clone(), second.clone()), (0..40, 40..80));
/// pieces.absorb(second, 80);
/// pieces.absorb(first, 10);
/// assert_eq!(pieces.progress(), 0.5);
/// assert_eq!(pieces.cut(), Some(10..40));
/// ```
#[derive(Clone, Debug)]
pub struct Pieces {
    size: u64,
    /// How many numbers there are in all, and how many of them are done.
    total: u64,
    done: u64,
    /// What has not been cut, or was cut and not done.
    left: Vec<Range<u64>>,
    /// What is cut, by its first number.
    under_way: BTreeMap<u64, u64>,
    /// What other machines do, likewise.
    parts: BTreeMap<u64, u64>,
}

impl Pieces {
    /// All numbers of a half-open range. A piece should take some milliseconds, so that cutting it costs nothing beside
    /// it; it may take longer: the budget ends it.
    pub fn new(range: Range<u64>, size: u64) -> Self {
        Self {
            size: size.max(1),
            total: range.end.saturating_sub(range.start),
            done: 0,
            left: if range.is_empty() { Vec::new() } else { vec![range] },
            under_way: BTreeMap::new(),
            parts: BTreeMap::new(),
        }
    }

    /// The next piece. `None`: all is cut.
    pub fn cut(&mut self) -> Option<Range<u64>> {
        let piece = self.next(self.size)?;
        self.under_way.insert(piece.start, piece.end);
        Some(piece)
    }

    fn next(&mut self, size: u64) -> Option<Range<u64>> {
        loop {
            let range = self.left.last_mut()?;
            let piece = range.start..range.end.min(range.start.saturating_add(size));
            range.start = piece.end;
            if range.is_empty() {
                self.left.pop();
            }
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }

    /// Numbers for another machine, at most `most` but at least one, for [`Plan::cut_part`](super::Plan::cut_part).
    /// `None`: all is cut.
    pub fn cut_part(&mut self, most: u64) -> Option<Range<u64>> {
        let part = self.next(most.max(1))?;
        self.parts.insert(part.start, part.end);
        Some(part)
    }

    /// Takes in a part, all of which was done elsewhere.
    ///
    /// # Errors
    /// [`Damaged`] if no such part is under way.
    pub fn absorb_part(&mut self, part: Range<u64>) -> Result<(), Damaged> {
        self.end_part(&part)?;
        self.done += part.end - part.start;
        Ok(())
    }

    /// Takes back a part that will not be done elsewhere: it is cut again.
    ///
    /// # Errors
    /// [`Damaged`] if no such part is under way.
    pub fn take_back(&mut self, part: Range<u64>) -> Result<(), Damaged> {
        self.end_part(&part)?;
        self.left.push(part);
        Ok(())
    }

    fn end_part(&mut self, part: &Range<u64>) -> Result<(), Damaged> {
        if self.parts.get(&part.start) != Some(&part.end) {
            return Err(Damaged::Impossible("part"));
        }
        self.parts.remove(&part.start);
        Ok(())
    }

    /// Takes back a piece of which the numbers below `reached` are done.
    ///
    /// # Panics
    /// If it was not cut here, or nothing of it is done: such a plan would never end.
    pub fn absorb(&mut self, piece: Range<u64>, reached: u64) {
        let end = self.under_way.remove(&piece.start);
        assert!(end == Some(piece.end), "{piece:?} was not cut here");
        assert!(
            piece.start < reached && reached <= piece.end,
            "{reached} is no end for {piece:?}: a slice does some of it, even if its budget is over from the start"
        );
        self.done += reached - piece.start;
        if reached < piece.end {
            self.left.push(reached..piece.end);
        }
    }

    /// True once all numbers are done.
    pub const fn is_done(&self) -> bool {
        self.done == self.total
    }

    /// The share of the numbers that are done, 0.0..=1.0.
    pub fn progress(&self) -> f64 {
        match self.total {
            0 => 1.0,
            total => self.done as f64 / total as f64,
        }
    }

    /// All numbers there are, if this is in one run and none of it is cut or done: what a part is made of.
    pub fn whole(&self) -> Option<Range<u64>> {
        match self.left.as_slice() {
            [range] if range.end - range.start == self.total => Some(range.clone()),
            _ => None,
        }
    }

    /// Adds to a checkpoint which numbers are done. Pieces and parts under way are not.
    pub fn save(&self, writer: &mut Writer) {
        let under_way = self.under_way.iter().chain(&self.parts).map(|(low, high)| *low..*high);
        let todo: Vec<u64> = self
            .left
            .iter()
            .cloned()
            .chain(under_way)
            .flat_map(|range| [range.start, range.end])
            .collect();
        writer.u64(self.size).u64(self.total).words(&todo);
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Damaged`] if it cannot have written that.
    pub fn restore(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (size, total) = (reader.u64()?, reader.u64()?);
        let words = reader.words()?;
        let left: Vec<Range<u64>> = words.chunks_exact(2).map(|ends| ends[0]..ends[1]).collect();
        let todo = left.iter().try_fold(0u64, |sum, range| {
            let length = range.end.checked_sub(range.start)?;
            sum.checked_add(length).filter(|sum| *sum <= total)
        });
        let mut ascending: Vec<&Range<u64>> = left.iter().collect();
        ascending.sort_unstable_by_key(|range| range.start);
        let overlaps = ascending.windows(2).any(|pair| pair[0].end > pair[1].start);
        match todo {
            Some(todo) if size > 0 && words.len() % 2 == 0 && !overlaps => Ok(Self {
                size,
                total,
                done: total - todo,
                left,
                under_way: BTreeMap::new(),
                parts: BTreeMap::new(),
            }),
            _ => Err(Damaged::Impossible("range of numbers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(words: &[u64]) -> Result<Pieces, Damaged> {
        let mut writer = Writer::new(*b"TEST", 1);
        writer.u64(8).u64(16).words(words);
        let bytes = writer.finish();
        Pieces::restore(&mut Reader::new(&bytes, *b"TEST", 1)?)
    }

    #[test]
    fn numbers_that_are_to_be_done_twice_are_damage() {
        assert!(restored(&[0, 8, 8, 16]).is_ok());
        assert!(restored(&[8, 16, 0, 8]).is_ok());
        assert!(restored(&[0, 8, 0, 8]).is_err());
        assert!(restored(&[0, 9, 8, 12]).is_err());
    }

    #[test]
    fn no_numbers_are_done_from_the_start() {
        let mut pieces = Pieces::new(std::ops::Range { start: 5, end: 1 }, 8);
        assert!(pieces.is_done() && pieces.whole().is_none() && pieces.cut().is_none());
    }
}
