//! Gathers relations until there are enough, making whole ones of two halves with the same large prime.

use super::base::Base;
use super::family::Relation;
use crate::primes::primality::ring::Ring;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// More relations than columns: each one over gives another chance of a half.
const SPARE: usize = 12;

/// A set of relations that together have no large prime left, as one: `root^2 = product of the columns' primes * (product of large)^2`.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(super) root: u128,
    pub(super) columns: Vec<u16>,
    /// The large prime that two halves share, or 1.
    pub(super) large: u64,
}

/// What has been found so far.
#[derive(Debug)]
pub(crate) struct Collector {
    base: Arc<Base>,
    whole: Vec<Whole>,
    /// How many of those are of two halves.
    paired: usize,
    /// The first half for each large prime.
    halves: HashMap<u64, Relation>,
    seen: HashSet<u128>,
    needed: usize,
}

impl Collector {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        let needed = base.columns() + SPARE;
        Self {
            base,
            whole: Vec::new(),
            paired: 0,
            halves: HashMap::new(),
            seen: HashSet::new(),
            needed,
        }
    }

    /// Takes in relations. Different families may find the same one: it counts once.
    pub(crate) fn extend(&mut self, found: Vec<Relation>) {
        for relation in found {
            let same = relation.root.min(self.base.n - relation.root);
            if !self.seen.insert(same) {
                continue;
            }
            if relation.large == 1 {
                self.whole.push(Whole {
                    root: relation.root,
                    columns: relation.columns,
                    large: 1,
                });
                continue;
            }
            if let Some(half) = self.halves.get(&relation.large) {
                let root = self.base.ring.mul(&half.root, &relation.root);
                let columns = [half.columns.as_slice(), &relation.columns].concat();
                self.whole.push(Whole {
                    root,
                    columns,
                    large: relation.large,
                });
                self.paired += 1;
            } else {
                self.halves.insert(relation.large, relation);
            }
        }
    }

    /// All whole relations, if they are enough for the linear algebra.
    pub(crate) fn take_enough(&mut self) -> Option<Vec<Whole>> {
        (self.whole.len() >= self.needed).then(|| std::mem::take(&mut self.whole))
    }

    /// Takes relations back that did not split the number; more are needed now.
    pub(crate) fn give_back(&mut self, relations: Vec<Whole>) {
        self.needed = relations.len() + SPARE;
        self.whole.extend(relations);
    }

    /// The share of the sieving that is done, 0.0..=1.0. With time, whole relations grow linearly and paired ones quadratically.
    pub(crate) fn progress(&self) -> f64 {
        let needed = self.needed as f64;
        let (paired, direct) = (self.paired as f64, self.whole.len().saturating_sub(self.paired) as f64);
        ((direct + (direct * direct + 4.0 * needed * paired).sqrt()) / (2.0 * needed)).min(1.0)
    }
}
