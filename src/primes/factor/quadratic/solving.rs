//! From enough relations to a factor: the matrix, its dependencies, and what each of them comes to.
//!
//! Goes on until it is to pause. A dependency is a product of relations that is a square on both sides,
//! `X^2 = Y^2 mod n`.

use super::base::Base;
use super::collector::Collector;
use super::family::{Coefficients, Relation};
use super::matrix::Matrix;
use crate::primes::Natural;
use dashu_int::fast_div::ConstDivisor;
use dashu_int::ops::Gcd;
use std::sync::Arc;

/// How often the matrix is tried before more relations are wanted.
const TRIES: u64 = 5;

/// A factor being worked out.
#[derive(Debug)]
pub(crate) struct Solving {
    collector: Arc<Collector>,
    /// The primes of each family's leading coefficient.
    families: Arc<Vec<Vec<u32>>>,
    state: State,
    tries: u64,
}

#[derive(Debug)]
enum State {
    /// These columns of the matrix are made.
    Columns(Vec<Vec<u32>>),
    Matrix(Matrix),
    Dependency {
        words: Vec<u64>,
        bit: u32,
        product: Option<Product>,
    },
}

/// The two roots of a square, being multiplied.
#[derive(Debug)]
struct Product {
    /// The relations, those of a family after one another.
    relations: Vec<Relation>,
    next: usize,
    exponents: Vec<u32>,
    large: Vec<u32>,
    x: Natural,
}

/// What solving came to.
#[derive(Debug)]
pub(crate) enum Solved {
    /// A proper factor.
    Factor(Natural),
    /// More relations are needed.
    Nothing,
}

impl Solving {
    /// Begins. `families` holds the choice of each family that gave a relation.
    pub(crate) fn new(collector: Arc<Collector>, families: Arc<Vec<Vec<u32>>>) -> Self {
        Self {
            state: State::Columns(Vec::with_capacity(collector.sets())),
            collector,
            families,
            tries: 0,
        }
    }

    /// The share of the work that is done, about.
    pub(crate) fn progress(&self) -> f64 {
        match &self.state {
            State::Columns(columns) => 0.1 * columns.len() as f64 / self.collector.sets() as f64,
            State::Matrix(matrix) => 0.1 + 0.8 * matrix.progress(),
            State::Dependency { .. } => 0.9,
        }
    }

    /// Goes on until it is over or until `over`, asked about every 50 microseconds.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Solved> {
        loop {
            match &mut self.state {
                State::Columns(columns) => {
                    while columns.len() < self.collector.sets() {
                        columns.push(parities(&self.collector, columns.len()));
                        if columns.len() % 8 == 0 && over() {
                            return None;
                        }
                    }
                    self.tries += 1;
                    let matrix = Matrix::new(self.collector.base.columns(), std::mem::take(columns), self.tries);
                    self.state = State::Matrix(matrix);
                }
                State::Matrix(matrix) => {
                    let words = matrix.advance(&mut over)?;
                    let has_any = words.iter().any(|word| *word != 0);
                    self.state = if has_any {
                        State::Dependency {
                            words,
                            bit: 0,
                            product: None,
                        }
                    } else if self.tries < TRIES {
                        State::Columns(Vec::with_capacity(self.collector.sets()))
                    } else {
                        return Some(Solved::Nothing);
                    };
                }
                State::Dependency { words, bit, product } => {
                    let base = &self.collector.base;
                    if let Some(under_way) = product {
                        if under_way.advance(base, &self.families, &mut over) {
                            let factor = under_way.factor(base);
                            *product = None;
                            *bit += 1;
                            if factor > Natural::ONE && factor < base.n {
                                return Some(Solved::Factor(factor));
                            }
                        }
                    } else {
                        while *bit < 64 && words.iter().all(|word| word >> *bit & 1 == 0) {
                            *bit += 1;
                        }
                        if *bit == 64 {
                            return Some(Solved::Nothing);
                        }
                        *product = Some(Product::new(&self.collector, words, *bit));
                    }
                }
            }
            if over() {
                return None;
            }
        }
    }
}

/// The columns of odd exponent in the product of a set.
fn parities(collector: &Collector, index: usize) -> Vec<u32> {
    let set = collector.set(index);
    let mut all: Vec<u32> = set.iter().flat_map(|id| collector.relation(*id).columns).collect();
    all.sort_unstable();
    odd(&all)
}

/// What stands in an ascending list an odd number of times.
fn odd(all: &[u32]) -> Vec<u32> {
    all.chunk_by(|a, b| a == b)
        .filter(|run| run.len() % 2 == 1)
        .map(|run| run[0])
        .collect()
}

impl Product {
    fn new(collector: &Collector, words: &[u64], bit: u32) -> Self {
        let members = words.iter().enumerate().filter(|(_, word)| *word >> bit & 1 == 1);
        let mut ids: Vec<u32> = members.flat_map(|(set, _)| collector.set(set)).collect();
        ids.sort_unstable();
        let mut relations: Vec<Relation> = odd(&ids).into_iter().map(|id| collector.relation(id)).collect();
        relations.sort_by_key(|relation| relation.family);
        Self {
            next: 0,
            exponents: vec![0; collector.base.columns()],
            large: Vec::new(),
            x: Natural::ONE,
            relations,
        }
    }

    /// Multiplies the roots of the left sides, and adds up the exponents of the right sides.
    fn advance(&mut self, base: &Base, families: &[Vec<u32>], mut over: impl FnMut() -> bool) -> bool {
        let modulus = ConstDivisor::new(base.n.clone());
        let mut coefficients: Option<(u32, Coefficients)> = None;
        while let Some(relation) = self.relations.get(self.next) {
            let family = relation.family;
            if coefficients.as_ref().is_none_or(|(id, _)| *id != family) {
                coefficients = Some((family, Coefficients::new(base, &families[family as usize])));
            }
            if let Some((_, coefficients)) = &coefficients {
                let b = coefficients.b(relation.polynomial);
                let root = coefficients.root(&b, relation.offset).abs().to_natural();
                self.x = &self.x * root % &modulus;
            }
            for column in &relation.columns {
                self.exponents[*column as usize] += 1;
            }
            self.large.extend(relation.large);
            self.next += 1;
            if self.next.is_multiple_of(16) && over() {
                return false;
            }
        }
        true
    }

    /// `gcd (X - Y, n)`
    fn factor(&mut self, base: &Base) -> Natural {
        let modulus = ConstDivisor::new(base.n.clone());
        self.large.sort_unstable();
        let mut y = Natural::ONE;
        let halves = self.large.chunks_exact(2).map(|pair| (pair[0], 1));
        let columns = self.exponents.iter().enumerate().skip(1);
        let primes = columns.map(|(column, exponent)| (base.prime_of(column), exponent / 2));
        // As many factors as fit a word are multiplied first.
        let mut word = 1u64;
        for (factor, exponent) in halves.chain(primes) {
            for _ in 0..exponent {
                match word.checked_mul(factor.into()) {
                    Some(longer) => word = longer,
                    None => {
                        y = y * word % &modulus;
                        word = factor.into();
                    }
                }
            }
        }
        y = y * word % &modulus;
        // X and Y are below n.
        let difference = &self.x + &base.n - y;
        difference.gcd(&base.n)
    }
}
