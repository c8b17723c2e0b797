//! Gathers relations until there are enough: those without large primes, and those whose large primes close a cycle.
//!
//! A relation is an edge between its two large primes, 1 among them. A forest of edges grows with the relations; each
//! edge between two primes of one tree closes a cycle, in whose product every large prime is squared (A. K. Lenstra, M.
//! S. Manasse, "Factoring with two large primes", Math. Comp. 63 (1994), section 4). The forest keeps the way to the
//! root, so that a cycle is read off when it is wanted.

use super::base::Base;
use super::family::Relation;
use super::store::Store;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// More cycles than columns: each one over gives another chance of a half.
pub(super) const SPARE: usize = 24;

/// No vertex, no relation.
const NONE: u32 = u32::MAX;

/// What has been found so far.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(super) base: Arc<Base>,
    store: Store,
    seen: FxHashSet<u64>,
    vertices: FxHashMap<u32, u32>,
    forest: Vec<Vertex>,
    /// Relations that closed a cycle, or have no large prime, in the order of their coming.
    closing: Vec<u32>,
    /// How many of them have no large prime.
    complete: usize,
    needed: usize,
}

/// A large prime in the forest.
#[derive(Clone, Copy, Debug)]
struct Vertex {
    /// The way to the root: the next vertex and the relation between.
    parent: u32,
    relation: u32,
    /// Towards the representative of the tree, for finding it quickly; of a representative, itself.
    representative: u32,
    /// Of a representative: how many vertices the tree has.
    size: u32,
}

impl Collector {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        let root = Vertex {
            parent: NONE,
            relation: NONE,
            representative: 0,
            size: 1,
        };
        Self {
            needed: base.columns() + SPARE,
            base,
            store: Store::default(),
            seen: FxHashSet::default(),
            vertices: FxHashMap::from_iter([(1, 0)]),
            forest: vec![root],
            closing: Vec::new(),
            complete: 0,
        }
    }

    /// Takes in relations. Different families may find the same one: it counts once.
    pub(crate) fn extend(&mut self, found: impl IntoIterator<Item = Relation>) {
        for relation in found {
            // All factors of a square less k n are that square's name.
            let mut hasher = FxHasher::default();
            (&relation.columns, relation.large).hash(&mut hasher);
            if self.is_welcome(&relation) && self.seen.insert(hasher.finish()) {
                self.add(&relation);
            }
        }
    }

    /// The store is bounded: once it is full, a relation must touch what is known.
    fn is_welcome(&self, relation: &Relation) -> bool {
        self.store.count() < self.base.most_relations() as usize
            || relation.large.iter().any(|large| self.vertices.contains_key(large))
    }

    fn add(&mut self, relation: &Relation) {
        let id = self.store.push(relation);
        let [a, b] = relation.large.map(|large| self.vertex(large));
        let (root_a, root_b) = (self.representative(a), self.representative(b));
        if root_a == root_b {
            self.complete += usize::from(relation.large == [1, 1]);
            self.closing.push(id);
            return;
        }
        let is_first_smaller = self.forest[root_a as usize].size < self.forest[root_b as usize].size;
        let (small, large) = if is_first_smaller {
            (root_a, root_b)
        } else {
            (root_b, root_a)
        };
        let (from, to) = if is_first_smaller { (a, b) } else { (b, a) };
        self.forest[large as usize].size += self.forest[small as usize].size;
        self.forest[small as usize].representative = large;
        self.hang(from, to, id);
    }

    fn vertex(&mut self, large: u32) -> u32 {
        let next = self.forest.len() as u32;
        let vertex = *self.vertices.entry(large).or_insert(next);
        if vertex == next {
            self.forest.push(Vertex {
                parent: NONE,
                relation: NONE,
                representative: next,
                size: 1,
            });
        }
        vertex
    }

    fn representative(&mut self, mut vertex: u32) -> u32 {
        loop {
            let next = self.forest[vertex as usize].representative;
            if next == vertex {
                return vertex;
            }
            let after = self.forest[next as usize].representative;
            self.forest[vertex as usize].representative = after;
            vertex = after;
        }
    }

    /// Makes a vertex the root of its tree, and hangs the tree onto another one.
    fn hang(&mut self, vertex: u32, onto: u32, relation: u32) {
        let (mut at, mut parent, mut relation) = (vertex, onto, relation);
        while at != NONE {
            let old = self.forest[at as usize];
            self.forest[at as usize].parent = parent;
            self.forest[at as usize].relation = relation;
            (at, parent, relation) = (old.parent, at, old.relation);
        }
    }

    /// How many sets of relations there are.
    pub(super) fn sets(&self) -> usize {
        self.closing.len()
    }

    /// The relations of a set: their product has squares of large primes only.
    pub(super) fn set(&self, index: usize) -> Vec<u32> {
        let closing = self.closing[index];
        let [a, b] = self.store.get(closing).large.map(|large| self.vertices[&large]);
        let mut set = vec![closing];
        for start in [a, b] {
            let mut at = start;
            while self.forest[at as usize].parent != NONE {
                set.push(self.forest[at as usize].relation);
                at = self.forest[at as usize].parent;
            }
        }
        // What both ways to the root have in common goes.
        set.sort_unstable();
        let mut odd: Vec<u32> = Vec::with_capacity(set.len());
        for id in set {
            if odd.last() == Some(&id) {
                odd.pop();
            } else {
                odd.push(id);
            }
        }
        odd
    }

    pub(super) fn relation(&self, id: u32) -> Relation {
        self.store.get(id)
    }

    /// True once there are enough for the linear algebra.
    pub(crate) fn is_enough(&self) -> bool {
        self.closing.len() >= self.needed
    }

    /// More are needed: those that there are did not split the number.
    pub(crate) fn want_more(&mut self) {
        self.needed = self.closing.len() + SPARE + self.needed / 50;
    }

    /// The share of the sieving that is done, 0.0..=1.0. With time, complete relations grow linearly and cycles with a
    /// power that two large primes make the higher: 2 is a bound from below, so that the share is none from above.
    pub(crate) fn progress(&self) -> f64 {
        let needed = self.needed as f64;
        let (cycles, direct) = ((self.closing.len() - self.complete) as f64, self.complete as f64);
        let share = (direct + (direct * direct + 4.0 * needed * cycles).sqrt()) / (2.0 * needed);
        share.min(1.0)
    }

    /// All relations in the order of their coming.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.store.bytes()
    }
}
