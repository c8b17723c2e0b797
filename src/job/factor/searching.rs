//! The searches for factors of a composite: level after level, batches of sequences and curves, several of them under
//! way at once.
//!
//! Knows not how a batch is done. A share of a level for another machine is searched in the same way there.

use super::task::{FIRST_PARAMETER, Task};
use super::work::Work;
use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::primes::Natural;
use crate::primes::factor::curves::{self, Batch, Bounds, LANES};
use crate::primes::factor::quadratic;
use crate::primes::factor::schedule::{self, Level};
use dashu_int::ops::BitTest;
use std::sync::Arc;

/// What is left of a stage must take this many nanoseconds to be worth the way to another machine.
pub(super) const WORTH_SENDING: f64 = 5e6;

/// The searches of a part under way.
#[derive(Debug)]
pub(super) struct Searching {
    n: Arc<Natural>,
    levels: Vec<Level>,
    level: usize,
    bounds: Option<Arc<Bounds>>,
    /// Bounds that are not yet finished; `None` if a slice is at them, or they are made.
    making: Option<Bounds>,
    /// Batches begun, and finished, of the level.
    begun: u32,
    done: u32,
    parameter: u32,
    /// Each with the parameter of its first curve if it is not of sequences.
    paused: Vec<(Option<u32>, Box<dyn Batch>)>,
}

/// The parameter of the first of eight curves: this one, or the first of all if there are none after it.
fn following(parameter: u64) -> u32 {
    match u32::try_from(parameter) {
        Ok(parameter @ FIRST_PARAMETER..) if parameter <= u32::MAX - LANES as u32 => parameter,
        _ => FIRST_PARAMETER,
    }
}

impl Searching {
    pub(super) fn new(n: Natural, levels: Vec<Level>, level: usize) -> Self {
        let mut searching = Self {
            n: Arc::new(n),
            levels,
            level,
            bounds: None,
            making: None,
            begun: 0,
            done: 0,
            parameter: FIRST_PARAMETER,
            paused: Vec::new(),
        };
        searching.begin_level();
        searching
    }

    /// A share of one level, from a parameter on: see [`Task::Curves`].
    pub(super) fn of_part(n: Natural, level: Level, parameter: u32) -> Self {
        // The first batch would be of sequences.
        let batches = level.batches + 1;
        let mut searching = Self::new(n, vec![Level { batches, ..level }], 0);
        (searching.begun, searching.done, searching.parameter) = (1, 1, parameter);
        searching
    }

    /// As [`save`](Self::save) has written it; `None` if that was further than searches go here, so that the sieve is
    /// next: a machine whose curves are faster searches longer. Batches that were under way are begun anew.
    pub(super) fn restore(n: Natural, reader: &mut Reader<'_>) -> Result<Option<Self>, Damaged> {
        let bits = n.bit_len();
        let can_sieve = bits <= quadratic::LONGEST;
        let levels = schedule::levels(bits, can_sieve);
        let (level, done, parameter) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let level = usize::try_from(level)
            .ok()
            .filter(|level| *level < schedule::LEVELS.len());
        let mut level = level.ok_or(Damaged::Impossible("level"))?;
        let mut done = u32::try_from(done).map_err(|_| Damaged::Impossible("count of curves"))?;
        if levels.get(level).is_some_and(|here| done >= here.batches) {
            (level, done) = (level + 1, 0);
        }
        if level >= levels.len() {
            return if can_sieve {
                Ok(None)
            } else {
                Err(Damaged::Impossible("level"))
            };
        }
        let mut searching = Self::new(n, levels, level);
        (searching.begun, searching.done) = (done, done);
        searching.parameter = following(parameter);
        Ok(Some(searching))
    }

    pub(super) fn save(&self, writer: &mut Writer) {
        let (level, done) = (self.level as u64, u64::from(self.done));
        writer.u64(level).u64(done).u64(self.parameter.into());
    }

    /// The composite.
    pub(super) fn number(&self) -> &Natural {
        &self.n
    }

    fn begin_level(&mut self) {
        let level = self.levels.get(self.level);
        self.bounds = level.and_then(Level::kept);
        let is_long = self.n.bit_len() > curves::LONG;
        self.making = match (level, &self.bounds) {
            (Some(level), None) => Some(Bounds::new(level.first, level.second, is_long)),
            _ => None,
        };
        (self.begun, self.done) = (0, 0);
    }

    pub(super) fn cut(&mut self) -> Option<Work> {
        let level = self.levels.get(self.level)?;
        let Some(bounds) = &self.bounds else {
            return self.making.take().map(Work::Bounds);
        };
        let work = match self.paused.pop() {
            Some((parameter, batch)) => Work::Search(parameter, batch),
            None if self.begun < level.batches => {
                // Sequences are cheap beside curves; a short number is not worth them.
                let parameter = (self.begun > 0 || self.n.bit_len() <= 128).then_some(self.parameter);
                if parameter.is_some() {
                    self.parameter = following(u64::from(self.parameter) + LANES as u64);
                }
                self.begun += 1;
                Work::Open {
                    n: Arc::clone(&self.n),
                    bounds: Arc::clone(bounds),
                    parameter,
                }
            }
            None => return None,
        };
        Some(work)
    }

    /// Curves for another machine, about `cost` nanoseconds of work and at most a share of what is left, so that no
    /// machine waits long for the last ones.
    pub(super) fn cut_part(&mut self, cost: f64) -> Option<Task> {
        let (level, bits) = (self.levels.get(self.level)?, self.n.bit_len());
        let batch = 1e9 * level.seconds(bits);
        let left = level.batches.saturating_sub(self.begun);
        // Sequences are the first batch.
        if self.begun == 0 && bits > 128 || f64::from(left) * batch < WORTH_SENDING {
            return None;
        }
        let batches = ((cost / batch) as u32).clamp(1, left.div_ceil(4));
        let next = self.parameter.checked_add(batches.checked_mul(LANES as u32)?)?;
        let parameter = std::mem::replace(&mut self.parameter, next);
        self.begun += batches;
        Some(Task::Curves {
            level: Level { batches, ..*level },
            parameter,
        })
    }

    /// Curves that were cut for another machine are done here; any others are as good.
    pub(super) fn take_back(&mut self, batches: u32) {
        self.begun -= batches;
    }

    /// Bounds that a slice has not finished.
    pub(super) fn put_back(&mut self, bounds: Bounds) {
        self.making = Some(bounds);
    }

    /// The bounds of the level are made.
    pub(super) fn bounded(&mut self, bounds: Arc<Bounds>) {
        self.bounds = Some(bounds);
    }

    /// The bounds of the level, once they are made.
    pub(super) const fn bounds(&self) -> Option<&Arc<Bounds>> {
        self.bounds.as_ref()
    }

    /// Uses bounds that were made elsewhere, if they are those of the level.
    pub(super) fn use_bounds(&mut self, bounds: Arc<Bounds>) {
        let is_long = self.n.bit_len() > curves::LONG;
        let level = self.levels.get(self.level);
        if level.is_some_and(|level| bounds.fits(level.first, level.second, is_long)) {
            self.making = None;
            self.bounds = Some(bounds);
        }
    }

    /// A batch that a slice has not finished.
    pub(super) fn pause(&mut self, parameter: Option<u32>, batch: Box<dyn Batch>) {
        self.paused.push((parameter, batch));
    }

    /// Of a part: no batch is begun any more, and of those that are paused only these go on.
    pub(super) fn keep_before(&mut self, parameter: u32) {
        self.begun = u32::MAX;
        self.paused.retain(|(paused, _)| *paused < Some(parameter));
    }

    /// Counts finished batches. True if they were the last of the last level.
    pub(super) fn finished(&mut self, batches: u32) -> bool {
        self.done += batches;
        let Some(level) = self.levels.get(self.level) else {
            return true;
        };
        if self.done >= level.batches {
            self.level += 1;
            self.begin_level();
        }
        self.level >= self.levels.len()
    }

    /// Seconds of all levels and seconds of what is done, by the model of the schedule.
    fn seconds(&self) -> (f64, f64) {
        let bits = self.n.bit_len();
        let cost = |level: &Level| level.seconds(bits) * f64::from(level.batches);
        let all = self.levels.iter().map(cost).sum();
        let before: f64 = self.levels[..self.level].iter().map(cost).sum();
        let now = self.levels.get(self.level).map_or(0.0, |level| level.seconds(bits));
        (all, before + now * f64::from(self.done))
    }

    /// The share of all the work at the part that is done.
    pub(super) fn progress(&self) -> f64 {
        let bits = self.n.bit_len();
        let (all, done) = self.seconds();
        let sieve = if bits <= quadratic::LONGEST {
            schedule::sieve_seconds(bits)
        } else {
            0.0
        };
        (done / (all + sieve)).min(1.0)
    }

    /// Counts a finished batch of a part. True if it was the last.
    pub(super) fn finished_of_part(&mut self) -> bool {
        self.done += 1;
        self.levels.first().is_none_or(|level| self.done >= level.batches)
    }

    /// The share of a part's curves that is done, with what is done of those that are paused.
    pub(super) fn share_of_part(&self) -> f64 {
        let all = self.levels.first().map_or(1, |level| level.batches - 1);
        let paused: f64 = self.paused.iter().map(|(_, batch)| batch.progress()).sum();
        ((f64::from(self.done - 1) + paused) / f64::from(all)).clamp(0.0, 1.0)
    }

    /// The stage in words.
    pub(super) fn stage(&self) -> Option<String> {
        let level = self.levels.get(self.level)?;
        let curves = |batches: u32| u64::from(batches) * LANES as u64;
        Some(format!("ecm curves={}/{}", curves(self.done), curves(level.batches)))
    }
}
