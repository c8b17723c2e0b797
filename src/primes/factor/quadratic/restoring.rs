//! Relations of a checkpoint on their way back into a [`Collector`], one after the other until it is to pause: there
//! may be a million.
//!
//! Knows no checkpoint but as families and bytes.

use super::base::Base;
use super::collector::Collector;
use super::family::polynomials;
use super::store;
use std::sync::Arc;

/// What a checkpoint held: families, and relations as [`Collector::bytes`] gives them.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) families: Vec<Vec<u32>>,
    pub(crate) relations: Vec<u8>,
}

/// A collector that takes in saved relations.
#[derive(Debug)]
pub(crate) struct Restoring {
    collector: Collector,
    saved: Arc<Saved>,
    /// How many bytes are taken in.
    at: usize,
}

impl Restoring {
    pub(crate) fn new(base: Arc<Base>, saved: Arc<Saved>) -> Self {
        Self {
            collector: Collector::new(base),
            saved,
            at: 0,
        }
    }

    /// Goes on until all relations are taken in or until `over`, asked after each (a microsecond): true once they are.
    /// Of bytes that are none, what makes no sense is left out.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        let Saved { families, relations } = &*self.saved;
        while let Some((relation, rest)) = store::read(&relations[self.at..]) {
            self.at = relations.len() - rest.len();
            let base = &self.collector.base;
            let is_possible = families.get(relation.family as usize).is_some_and(|factors| {
                relation.polynomial < polynomials(factors) && factors.iter().all(|i| (*i as usize) < base.primes.len())
            });
            if is_possible && relation.is_within(base) {
                self.collector.extend([relation]);
            }
            if over() {
                return false;
            }
        }
        true
    }

    /// The collector of what was taken in.
    pub(crate) fn finish(self) -> Collector {
        self.collector
    }
}
