//! The quadratic sieve of a composite: its base, relations from families of polynomials that are sieved side by side,
//! and the matrix.
//!
//! Knows not how a family is sieved. Relations from other machines are computed again before they count.

use super::searching::WORTH_SENDING;
use super::task::Task;
use super::work::Work;
use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::primes::Natural;
use crate::primes::factor::quadratic::{
    self, Base, Building, Choice, Collector, Family, Piece, Relation, Restoring, Returned, Saved, Solving,
};
use crate::primes::factor::schedule;
use std::collections::VecDeque;
use std::sync::Arc;

/// A part of the sieve is at most this share of what is left of it, so that little is under way when the relations are
/// enough.
const LARGEST_PART: f64 = 0.1;

/// The most relations from other machines that wait, in lots as they came.
const MOST_RETURNED: usize = 64;

/// The quadratic sieve of a part under way.
#[derive(Debug)]
pub(super) struct Sieving {
    state: Sieve,
    /// What a checkpoint held, until it is taken in.
    saved: Arc<Saved>,
}

#[derive(Debug)]
enum Sieve {
    /// The base is to be made, or being made.
    Base(Option<Box<Building>>),
    /// What a checkpoint held is to be taken in, or being taken in.
    Restoring(Arc<Base>, Option<Box<Restoring>>),
    Collecting(Collecting),
    /// The relations are enough; what is to be done next, if that is not under way.
    Solving {
        collecting: Collecting,
        collector: Arc<Collector>,
        next: Option<Box<Solving>>,
        share: f64,
    },
}

#[derive(Debug)]
struct Collecting {
    base: Arc<Base>,
    choice: Choice,
    /// `None` while a solution holds it.
    collector: Option<Collector>,
    /// Families that were interrupted, or came back.
    paused: Vec<Family>,
    /// What other machines have found.
    returned: VecDeque<Box<Returned>>,
    /// Relations that came when enough had come.
    late: Vec<Relation>,
}

impl Sieving {
    pub(super) fn new(n: Natural) -> Self {
        Self {
            state: Sieve::Base(Some(Box::new(Building::new(n)))),
            saved: Arc::default(),
        }
    }

    /// As [`save`](Self::save) has written it. Families and a matrix under way are begun anew.
    pub(super) fn restore(n: Natural, reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut families = Vec::new();
        for _ in 0..reader.u64()? {
            let family: Vec<u32> = reader.words()?.into_iter().map(|index| index as u32).collect();
            if !(2..=quadratic::MOST_FACTORS).contains(&family.len()) {
                return Err(Damaged::Impossible("family"));
            }
            families.push(family);
        }
        let relations = reader.bytes()?.to_vec();
        let saved = Arc::new(Saved { families, relations });
        Ok(Self { saved, ..Self::new(n) })
    }

    pub(super) fn save(&self, writer: &mut Writer) {
        let (families, bytes) = self.saved();
        writer.u64(families.len() as u64);
        for family in families {
            let words: Vec<u64> = family.iter().map(|index| u64::from(*index)).collect();
            writer.words(&words);
        }
        writer.bytes(bytes);
    }

    /// The families and relations that a checkpoint holds.
    fn saved(&self) -> (&[Vec<u32>], &[u8]) {
        match &self.state {
            Sieve::Base(_) | Sieve::Restoring(..) => (&self.saved.families, &self.saved.relations),
            Sieve::Collecting(collecting) => {
                let bytes = collecting
                    .collector
                    .as_ref()
                    .map_or(&[][..], |collector| collector.bytes());
                (collecting.choice.chosen(), bytes)
            }
            Sieve::Solving {
                collecting, collector, ..
            } => (collecting.choice.chosen(), collector.bytes()),
        }
    }

    pub(super) fn cut(&mut self) -> Option<Work> {
        match &mut self.state {
            Sieve::Base(building) => building.take().map(Work::Build),
            Sieve::Restoring(_, next) => next.take().map(Work::Restore),
            Sieve::Collecting(collecting) => {
                if let Some(returned) = collecting.returned.pop_front() {
                    return Some(Work::Check(Arc::clone(&collecting.base), returned));
                }
                let family = collecting.paused.pop().or_else(|| collecting.choice.next());
                family.map(Work::Sieve)
            }
            Sieve::Solving { next, .. } => next.take().map(Work::Solve),
        }
    }

    /// Polynomials of a number of `bits` bits for another machine.
    pub(super) fn cut_part(&mut self, bits: usize, cost: f64) -> Option<Task> {
        let Sieve::Collecting(collecting) = &mut self.state else {
            return None;
        };
        let left = 1e9 * schedule::sieve_seconds(bits) * (1.0 - collecting.collector.as_ref()?.progress());
        if left < WORTH_SENDING || collecting.returned.len() >= MOST_RETURNED {
            return None;
        }
        let count = cost.min(LARGEST_PART * left) / collecting.base.polynomial_cost();
        let pieces = quadratic::cut(&mut collecting.paused, &mut collecting.choice, count as u32);
        (!pieces.is_empty()).then_some(Task::Polynomials(pieces))
    }

    /// A base that a slice has not finished.
    pub(super) fn put_back(&mut self, building: Box<Building>) {
        self.state = Sieve::Base(Some(building));
    }

    /// The base, once it is made.
    pub(super) const fn base(&self) -> Option<&Arc<Base>> {
        match &self.state {
            Sieve::Base(_) => None,
            Sieve::Restoring(base, _) => Some(base),
            Sieve::Collecting(collecting) | Sieve::Solving { collecting, .. } => Some(&collecting.base),
        }
    }

    /// What another machine has found, which is of no use before relations are collected, or if they are enough.
    pub(super) fn take_in(&mut self, pieces: Vec<Piece>, count: usize, relations: &[u8]) -> Result<(), Damaged> {
        if let Sieve::Collecting(collecting) = &mut self.state {
            let returned = Returned::new(&collecting.base, pieces, count, relations.to_vec());
            let returned = returned.ok_or(Damaged::Impossible("relation"))?;
            collecting.returned.push_back(Box::new(returned));
        }
        Ok(())
    }

    /// Polynomials that were cut for another machine are sieved here.
    pub(super) fn take_back(&mut self, pieces: &[Piece]) {
        if let Sieve::Collecting(collecting) | Sieve::Solving { collecting, .. } = &mut self.state {
            let families = pieces.iter().filter_map(|piece| piece.family(&collecting.base));
            collecting.paused.extend(families);
        }
    }

    pub(super) fn based(&mut self, base: Arc<Base>) {
        let restoring = Restoring::new(Arc::clone(&base), Arc::clone(&self.saved));
        self.state = Sieve::Restoring(base, Some(Box::new(restoring)));
    }

    /// A slice has not finished taking in what a checkpoint held.
    pub(super) fn go_on_restoring(&mut self, restoring: Box<Restoring>) {
        if let Sieve::Restoring(_, next) = &mut self.state {
            *next = Some(restoring);
        }
    }

    /// The collector has what a checkpoint held.
    pub(super) fn restored(&mut self, collector: Collector) {
        let Sieve::Restoring(base, _) = &self.state else {
            return;
        };
        let base = Arc::clone(base);
        let families = std::mem::take(&mut self.saved).families.clone();
        self.state = Sieve::Collecting(Collecting {
            choice: Choice::resume(Arc::clone(&base), families),
            base,
            collector: Some(collector),
            paused: Vec::new(),
            returned: VecDeque::new(),
            late: Vec::new(),
        });
        self.solve_if_enough();
    }

    pub(super) fn sieved(&mut self, relations: Vec<Relation>, rest: Option<Family>) {
        match &mut self.state {
            Sieve::Collecting(collecting) => {
                if let Some(collector) = &mut collecting.collector {
                    collector.extend(relations);
                }
                collecting.paused.extend(rest);
                self.solve_if_enough();
            }
            Sieve::Solving { collecting, .. } => {
                collecting.late.extend(relations);
                collecting.paused.extend(rest);
            }
            Sieve::Base(_) | Sieve::Restoring(..) => {}
        }
    }

    /// Relations from another machine have been computed again.
    pub(super) fn checked(&mut self, relations: Vec<Relation>, rest: Option<Box<Returned>>) {
        if let Sieve::Collecting(collecting) | Sieve::Solving { collecting, .. } = &mut self.state {
            collecting.returned.extend(rest);
        }
        self.sieved(relations, None);
    }

    fn solve_if_enough(&mut self) {
        let state = std::mem::replace(&mut self.state, Sieve::Base(None));
        self.state = match state {
            Sieve::Collecting(mut collecting) => match collecting.collector.take_if(|it| it.is_enough()) {
                Some(collector) => {
                    let collector = Arc::new(collector);
                    let families = Arc::new(collecting.choice.chosen().to_vec());
                    Sieve::Solving {
                        next: Some(Box::new(Solving::new(Arc::clone(&collector), families))),
                        collecting,
                        collector,
                        share: 0.0,
                    }
                }
                None => Sieve::Collecting(collecting),
            },
            other => other,
        };
    }

    /// The matrix is not solved yet.
    pub(super) fn solving(&mut self, solving: Box<Solving>) {
        if let Sieve::Solving { next, share, .. } = &mut self.state {
            *share = share.max(solving.progress());
            *next = Some(solving);
        }
    }

    /// The relations did not split the number: more are needed.
    pub(super) fn unsolved(&mut self) {
        let state = std::mem::replace(&mut self.state, Sieve::Base(None));
        self.state = match state {
            Sieve::Solving {
                mut collecting,
                collector,
                ..
            } => {
                let mut collector = Arc::into_inner(collector).expect("the solution that shared it is gone");
                collector.want_more();
                collector.extend(std::mem::take(&mut collecting.late));
                collecting.collector = Some(collector);
                Sieve::Collecting(collecting)
            }
            other => other,
        };
        self.solve_if_enough();
    }

    /// The share of sieving and solving that is done: a twentieth is for the matrix.
    pub(super) fn progress(&self) -> f64 {
        match &self.state {
            Sieve::Base(_) | Sieve::Restoring(..) => 0.0,
            Sieve::Collecting(collecting) => 0.95 * collecting.collector.as_ref().map_or(0.0, Collector::progress),
            Sieve::Solving { share, .. } => 0.95 + 0.05 * share,
        }
    }

    /// The stage in words.
    pub(super) fn stage(&self) -> String {
        match &self.state {
            Sieve::Base(_) | Sieve::Restoring(..) => "sieve relations=0%".to_owned(),
            Sieve::Collecting(collecting) => {
                let share = collecting.collector.as_ref().map_or(0.0, Collector::progress);
                format!("sieve relations={:.0}%", (100.0 * share).floor())
            }
            Sieve::Solving { share, .. } => format!("matrix done={:.0}%", (100.0 * share).floor()),
        }
    }

    /// Relations of other machines wait to be computed again.
    #[cfg(test)]
    pub(super) fn is_checking(&self) -> bool {
        matches!(&self.state, Sieve::Collecting(collecting) if !collecting.returned.is_empty())
    }
}
