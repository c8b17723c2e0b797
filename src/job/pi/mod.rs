//! The plan that counts primes: Gourdon's sums (see `primes::pi`), each cut into pieces that know nothing of each
//! other.
//!
//! Start at `schedule` for the order of the work and at `unit` for its kinds. Pieces whose order matters are put
//! together in order by a [`Reorder`](super::reorder::Reorder); a checkpoint is what has been put together, so it has a
//! few tens of KB whatever `x` is, and what is under way is lost.

mod kept_tables;
mod part;
mod schedule;
mod share;
#[cfg(test)]
mod tests;
mod unit;

use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan, Shared};
use crate::primes::pi::easy_sum::EXACT_BY_RECIPROCAL;
use crate::primes::pi::instructions::Instructions;
use crate::primes::pi::shape::Shape;
use crate::primes::pi::tables::Tables;
use crate::proto::Value;
use part::Part;
use schedule::Schedule;
use std::sync::Arc;
use unit::Unit;

/// Below this a count takes less than a millisecond or so and is played alone, many units to a slice.
const SOLO: u128 = 20_000_000_000;

/// From here a count takes 5 ms and more.
const LONG: u128 = 1_000_000_000_000;

/// Counts the primes up to `x`.
pub struct Pi {
    x: u128,
    play: Play,
}

enum Play {
    /// The answer is known.
    Over(u128),
    /// The whole count travels as one slice. `None` while it is under way.
    Solo(Option<Unit>),
    /// Many slices at once.
    Together(Box<Schedule>),
    /// A part of another machine's count.
    Part(Part),
}

/// A slice of a count.
pub struct Slice(Unit);

/// What a slice brings back.
pub struct Partial {
    unit: Unit,
    is_finished: bool,
}

impl Pi {
    const KIND: [u8; 4] = *b"pi_x";
    /// To be raised whenever another version would cut or sum differently.
    const VERSION: u32 = 4;

    /// The largest `x` whose primes can be counted: 10^25.
    pub const MOST: u128 = Shape::MOST;

    /// Counts the primes `<= x`, for any `x` up to [`Pi::MOST`]: in 0.2 ms up to 10^9, 0.2 s at 10^15, a minute at
    /// 10^19 and some five times as long for each further power of ten.
    pub fn new(x: u128) -> Self {
        Self::of(x, Shape::new)
    }

    /// The same count with other parameters.
    pub(super) fn second(x: u128) -> Self {
        Self::of(x, Shape::second)
    }

    fn of(x: u128, shape: fn(u128) -> Shape) -> Self {
        debug_assert!(x <= Self::MOST);
        match u64::try_from(x) {
            Ok(small) if small < Shape::LEAST => Self {
                x,
                play: Play::Solo(Some(Unit::Small { x: small, count: 0 })),
            },
            _ => Self::with_shape(shape(x), Instructions::best(), EXACT_BY_RECIPROCAL),
        }
    }

    fn with_shape(shape: Shape, instructions: Instructions, near: u64) -> Self {
        let schedule = Box::new(Schedule::new(shape, instructions, near));
        let play = if shape.x < SOLO {
            Play::Solo(Some(Unit::Solo(schedule)))
        } else {
            Play::Together(schedule)
        };
        Self { x: shape.x, play }
    }

    /// The plan of a checkpoint of the count up to `x`.
    ///
    /// # Errors
    /// [`Damaged`] if it is none, that of another count, or a share of one for another machine.
    pub(super) fn restore_of(x: u128, bytes: &[u8]) -> Result<Self, Damaged> {
        let pi = Self::restore(bytes)?;
        if pi.x != x || matches!(pi.play, Play::Part(_)) {
            return Err(Damaged::Impossible("count"));
        }
        Ok(pi)
    }

    /// The count, once every slice is absorbed.
    pub fn count(&self) -> Option<u128> {
        match self.play {
            Play::Over(count) => Some(count),
            _ => None,
        }
    }
}

impl Plan for Pi {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        match &mut self.play {
            Play::Over(_) => None,
            Play::Solo(unit) => unit.take(),
            Play::Together(schedule) => schedule.cut(),
            Play::Part(part) => part.cut(),
        }
        .map(Slice)
    }

    fn run(slice: Slice, budget: Budget<'_>) -> Partial {
        let mut unit = slice.0;
        let is_finished = unit.run(budget);
        Partial { unit, is_finished }
    }

    fn absorb(&mut self, partial: Partial) {
        let Partial { unit, is_finished } = partial;
        let count = match (unit, &mut self.play) {
            (Unit::Small { count, .. }, _) => Some(count.into()),
            (Unit::Solo(schedule), Play::Solo(_)) if is_finished => schedule.answer(),
            (unit, Play::Together(schedule)) => {
                schedule.absorb(unit, is_finished);
                schedule.answer()
            }
            (unit, Play::Part(part)) => {
                part.absorb(unit, is_finished);
                None
            }
            (unit, Play::Solo(waiting)) => {
                *waiting = Some(unit);
                None
            }
            // A unit that comes late, and is of no use.
            (_, Play::Over(_)) => None,
        };
        if let Some(count) = count {
            self.play = Play::Over(count);
        }
    }

    fn answer(&mut self) -> Option<Value> {
        match &self.play {
            Play::Part(part) => part.is_done().then_some(Value::Nothing),
            _ => self.count().map(|count| Value::Number(count.into())),
        }
    }

    fn progress(&self) -> f64 {
        match &self.play {
            Play::Over(_) => 1.0,
            Play::Solo(_) => 0.0,
            Play::Together(schedule) => schedule.progress(),
            Play::Part(part) => part.progress(),
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        if self.x < Shape::LEAST.into() {
            return 256 << 10;
        }
        match &self.play {
            Play::Part(part) => part.memory(workers),
            _ => {
                let shape = Shape::new(self.x);
                Schedule::tables_memory(&shape) + Schedule::memory(&shape, workers)
            }
        }
    }

    fn is_long(&self) -> bool {
        self.x >= LONG
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(Self::KIND, Self::VERSION);
        writer.u128(self.x);
        match &self.play {
            // A count of a millisecond starts over; one that is over is not worth keeping here.
            Play::Solo(_) => {}
            Play::Over(_) => return None,
            Play::Together(schedule) => schedule.save(&mut writer),
            // It is about a second of work, and starts over.
            Play::Part(part) => return Some(part.save()),
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        match Part::restore(bytes) {
            Err(Damaged::Kind) => {}
            Err(damaged) => return Err(damaged),
            Ok(part) => {
                let x = part.shape().x;
                return Ok(Self {
                    x,
                    play: Play::Part(part),
                });
            }
        }
        let mut reader = Reader::new(bytes, Self::KIND, Self::VERSION)?;
        let x = reader.u128()?;
        if x > Self::MOST {
            return Err(Damaged::Impossible("number"));
        }
        let mut plan = Self::new(x);
        if let Play::Together(schedule) = &mut plan.play {
            schedule.load(&mut reader)?;
        }
        reader.finish()?;
        Ok(plan)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        let Play::Together(schedule) = &mut self.play else {
            return None;
        };
        let share = schedule.cut_part(cost)?;
        Some(part::bytes(schedule.shape(), &share))
    }

    fn result(&self) -> Option<Vec<u8>> {
        match &self.play {
            Play::Part(part) => part.result(),
            _ => None,
        }
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let Play::Together(schedule) = &mut self.play else {
            return Err(Damaged::Impossible("part"));
        };
        part::absorb(schedule, part, result)?;
        if let Some(count) = schedule.answer() {
            self.play = Play::Over(count);
        }
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let Play::Together(schedule) = &mut self.play else {
            return Err(Damaged::Impossible("part"));
        };
        let share = part::of(schedule, part)?;
        schedule.take_back(share)
    }

    fn needs_shared(&self) -> bool {
        match &self.play {
            Play::Together(schedule) => schedule.tables().is_none(),
            Play::Part(part) => part.needs_tables(),
            Play::Over(_) | Play::Solo(_) => false,
        }
    }

    fn shared(&self) -> Option<Shared> {
        let schedule = match &self.play {
            Play::Together(schedule) => schedule,
            Play::Part(part) => part.schedule(),
            Play::Over(_) | Play::Solo(_) => return None,
        };
        let tables = Arc::clone(schedule.tables()?);
        Some(tables)
    }

    fn use_shared(&mut self, shared: &Shared) {
        let Ok(tables) = Arc::clone(shared).downcast::<Tables>() else {
            return;
        };
        match &mut self.play {
            Play::Together(schedule) => schedule.use_tables(tables),
            Play::Part(part) => part.schedule_mut().use_tables(tables),
            Play::Over(_) | Play::Solo(_) => {}
        }
    }
}
