//! A part of the work at a composite for another machine: curves of a level, or polynomials of the sieve, as a plan of
//! its own.
//!
//! Knows nothing of the plan that it was cut from. Its bytes are the composite and which curves or polynomials they
//! are. What it needs beside is made of these: the bounds of the curves, the factor base. Its result is a divisor or
//! none, or relations: the same whichever slice comes back first, for that is how a machine which errs is found.

use super::searching::Searching;
use super::task::{self, Task};
use super::work::{Found, Work};
use crate::job::checkpoint::Damaged;
use crate::job::plan::Shared;
use crate::primes::Natural;
use crate::primes::factor::curves::{self, Bounds};
use crate::primes::factor::quadratic::{self, Base, Building, Family, Piece};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A part at work.
#[derive(Debug)]
pub(super) struct Part {
    n: Natural,
    bytes: Vec<u8>,
    doing: Doing,
    result: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Doing {
    Curves {
        searching: Box<Searching>,
        /// The parameters of the batches that are begun and not finished.
        open: BTreeSet<u32>,
        /// The divisor that the batch with the lowest parameter found, and that parameter.
        found: Option<(u32, Natural)>,
        /// Of the batches and of what is done of those that are paused.
        progress: f64,
    },
    Polynomials(Box<Polynomials>),
}

#[derive(Debug)]
struct Polynomials {
    /// Until they can be sieved.
    pieces: Vec<Piece>,
    /// Not yet made; `None` if a slice is at it, or it is made.
    making: Option<Box<Building>>,
    base: Option<Arc<Base>>,
    waiting: Vec<Family>,
    /// How many polynomials there are, and how many are not sieved yet.
    all: u64,
    left: u64,
    count: u64,
    /// Of consecutive polynomials each, by the first that has any.
    relations: BTreeMap<(u32, u32), Vec<u8>>,
}

impl Part {
    pub(super) fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let (n, task) = task::read(bytes)?;
        let doing = match task {
            Task::Curves { level, parameter } => {
                let searching = Box::new(Searching::of_part(n.clone(), level, parameter));
                Doing::Curves {
                    searching,
                    open: BTreeSet::new(),
                    found: None,
                    progress: 0.0,
                }
            }
            Task::Polynomials(pieces) => {
                let all = pieces.iter().map(|piece| u64::from(piece.count())).sum();
                Doing::Polynomials(Box::new(Polynomials {
                    pieces,
                    making: Some(Box::new(Building::new(n.clone()))),
                    base: None,
                    waiting: Vec::new(),
                    all,
                    left: all,
                    count: 0,
                    relations: BTreeMap::new(),
                }))
            }
        };
        let bytes = bytes.to_vec();
        Ok(Self {
            n,
            bytes,
            doing,
            result: None,
        })
    }

    pub(super) fn save(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The composite.
    pub(super) const fn number(&self) -> &Natural {
        &self.n
    }

    pub(super) fn cut(&mut self) -> Option<Work> {
        match &mut self.doing {
            _ if self.result.is_some() => None,
            Doing::Curves { searching, open, .. } => {
                let work = searching.cut()?;
                if let Work::Open { parameter, .. } = &work {
                    open.extend(*parameter);
                }
                Some(work)
            }
            Doing::Polynomials(polynomials) => match polynomials.making.take() {
                Some(building) => Some(Work::Build(building)),
                None => polynomials.waiting.pop().map(Work::Sieve),
            },
        }
    }

    pub(super) fn absorb(&mut self, found: Found) {
        // Another slice may have found a divisor.
        if self.result.is_some() {
            return;
        }
        self.result = match (&mut self.doing, found) {
            (Doing::Curves { searching, .. }, Found::Next(Work::Bounds(bounds))) => {
                searching.put_back(bounds);
                None
            }
            (Doing::Curves { searching, .. }, Found::Bounds(bounds)) => {
                searching.bounded(bounds);
                None
            }
            (
                Doing::Curves {
                    searching,
                    open,
                    found,
                    progress,
                },
                Found::Searched(Some(parameter), searched),
            ) => {
                let mut is_last = false;
                match searched {
                    Err(batch) => searching.pause(Some(parameter), batch),
                    Ok(divisors) => {
                        is_last = searching.finished_of_part();
                        open.remove(&parameter);
                        if let Some(divisor) = curves::proper(&self.n, &divisors)
                            && found.as_ref().is_none_or(|(before, _)| parameter < *before)
                        {
                            *found = Some((parameter, divisor));
                        }
                    }
                }
                *progress = progress.max(searching.share_of_part());
                // A batch that began before may still find another.
                if let Some((first, _)) = found {
                    searching.keep_before(*first);
                    is_last = open.range(..*first).next().is_none();
                }
                let divisor = found.as_ref().map(|(_, divisor)| divisor.to_le_bytes());
                is_last.then(|| task::divisor_to_bytes(&divisor.unwrap_or_default()))
            }
            (Doing::Polynomials(polynomials), found) => polynomials.absorb(found),
            _ => None,
        };
    }

    pub(super) const fn is_done(&self) -> bool {
        self.result.is_some()
    }

    /// See [`crate::job::Plan::result`].
    pub(super) fn result(&self) -> Option<Vec<u8>> {
        self.result.clone()
    }

    /// The share of its curves or polynomials that is done.
    pub(super) fn progress(&self) -> f64 {
        match &self.doing {
            _ if self.result.is_some() => 1.0,
            Doing::Curves { progress, .. } => *progress,
            Doing::Polynomials(polynomials) => 1.0 - polynomials.left as f64 / polynomials.all.max(1) as f64,
        }
    }

    pub(super) fn shared(&self) -> Option<Shared> {
        match &self.doing {
            Doing::Curves { searching, .. } => Some(Arc::clone(searching.bounds()?) as Shared),
            Doing::Polynomials(polynomials) => Some(Arc::clone(polynomials.base.as_ref()?) as Shared),
        }
    }

    /// Uses bounds or a base that another part has made.
    pub(super) fn use_shared(&mut self, shared: &Shared) {
        match &mut self.doing {
            Doing::Curves { searching, .. } => {
                if let Ok(bounds) = Arc::clone(shared).downcast::<Bounds>() {
                    searching.use_bounds(bounds);
                }
            }
            Doing::Polynomials(polynomials) => {
                let base = Arc::clone(shared).downcast::<Base>().ok();
                if let Some(base) = base.filter(|base| base.is_of(&self.n)) {
                    polynomials.making = None;
                    self.result = polynomials.absorb(Found::Base(base));
                }
            }
        }
    }
}

impl Polynomials {
    /// The result, once it is complete.
    fn absorb(&mut self, found: Found) -> Option<Vec<u8>> {
        match found {
            Found::Next(Work::Build(building)) => self.making = Some(building),
            Found::Base(base) => {
                let pieces = std::mem::take(&mut self.pieces);
                self.waiting = pieces.iter().filter_map(|piece| piece.family(&base)).collect();
                // What no base has takes no time.
                self.left = self.waiting.iter().map(|family| u64::from(family.left())).sum();
                self.base = Some(base);
            }
            Found::Sieved {
                relations,
                polynomials,
                rest,
            } => {
                self.left -= u64::from(polynomials);
                self.waiting.extend(rest);
                let most = self.base.as_ref().map_or(0, |base| base.most_relations());
                if let Some(first) = relations.first()
                    && self.count + relations.len() as u64 <= most
                {
                    self.count += relations.len() as u64;
                    quadratic::write(&relations, self.relations.entry(first.polynomial()).or_default());
                }
            }
            _ => {}
        }
        let is_done = self.left == 0 && self.base.is_some();
        is_done.then(|| {
            let relations: Vec<&[u8]> = self.relations.values().map(Vec::as_slice).collect();
            task::relations_to_bytes(self.count, &relations.concat())
        })
    }
}
