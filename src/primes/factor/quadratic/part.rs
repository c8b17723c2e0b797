//! Polynomials that another machine sieves, and the relations that come back.
//!
//! Knows no machine. Relations from elsewhere are not believed: some are computed again before any is taken, the others
//! when they are taken.

use super::base::Base;
use super::family::{Choice, Coefficients, Family, Relation, polynomials};
use super::{MOST_FACTORS, store};
use std::ops::Range;
use std::sync::Arc;

/// How many relations are computed again before any is taken.
const SAMPLE: usize = 32;

/// Polynomials of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    id: u32,
    polynomials: Range<u32>,
    indices: Vec<u32>,
}

impl Piece {
    /// As words: the ordinal of the family, the first polynomial, the end of the polynomials, the indices of the
    /// primes.
    pub(crate) fn words(&self) -> Vec<u64> {
        let head = [self.id, self.polynomials.start, self.polynomials.end];
        head.iter().chain(&self.indices).map(|word| u64::from(*word)).collect()
    }

    /// What [`words`](Self::words) gave. `None` if it did not give these.
    pub(crate) fn read(words: &[u64]) -> Option<Self> {
        let words: Vec<u32> = words
            .iter()
            .map(|word| u32::try_from(*word).ok())
            .collect::<Option<_>>()?;
        let ([id, start, end], indices) = words.split_first_chunk()?;
        let is_possible = (2..=MOST_FACTORS).contains(&indices.len()) && start < end && *end <= polynomials(indices);
        is_possible.then(|| Self {
            id: *id,
            polynomials: *start..*end,
            indices: indices.to_vec(),
        })
    }

    const fn start(&self) -> (u32, u32) {
        (self.id, self.polynomials.start)
    }

    /// How many polynomials there are.
    pub(crate) const fn count(&self) -> u32 {
        self.polynomials.end - self.polynomials.start
    }

    /// The polynomials, to be sieved. `None` if the base has no such family.
    pub(crate) fn family(&self, base: &Arc<Base>) -> Option<Family> {
        Family::new(
            Arc::clone(base),
            self.id,
            self.indices.clone(),
            self.polynomials.clone(),
        )
    }
}

/// Cuts off about `count` polynomials, at least one: first of the families that wait, of which only those that are not
/// begun are taken. Empty if no family is left.
pub(crate) fn cut(waiting: &mut Vec<Family>, choice: &mut Choice, count: u32) -> Vec<Piece> {
    let (mut pieces, mut left) = (Vec::new(), count.max(1));
    while left > 0 {
        let fresh = waiting.iter().rposition(Family::is_fresh);
        let Some(mut family) = fresh.map(|at| waiting.swap_remove(at)).or_else(|| choice.next()) else {
            break;
        };
        let family = match family.split(left) {
            Some(head) => {
                waiting.push(family);
                head
            }
            None => family,
        };
        left = left.saturating_sub(family.left());
        pieces.push(Piece {
            id: family.id,
            polynomials: family.polynomials,
            indices: family.indices,
        });
    }
    pieces
}

/// Relations that another machine has found, and that are still to be computed again.
#[derive(Debug)]
pub(crate) struct Returned {
    /// Ascending.
    pieces: Vec<Piece>,
    bytes: Vec<u8>,
    /// Those before are taken.
    at: usize,
}

impl Returned {
    /// The relations that these polynomials are said to have. `None` if they cannot be: bytes that are none, another
    /// polynomial, or one of a sample that does not hold. Some 50 ns for each, and some microseconds for each of the
    /// sample.
    pub(crate) fn new(base: &Base, mut pieces: Vec<Piece>, count: usize, bytes: Vec<u8>) -> Option<Self> {
        pieces.sort_unstable_by_key(Piece::start);
        let returned = Self { pieces, bytes, at: 0 };
        let mut rest = returned.bytes.as_slice();
        for i in 0..count {
            let (relation, after) = store::read(rest)?;
            rest = after;
            let piece = returned.piece(base, &relation)?;
            if i % count.div_ceil(SAMPLE) == 0 && !relation.holds(base, &Coefficients::new(base, &piece.indices)) {
                return None;
            }
        }
        rest.is_empty().then_some(returned)
    }

    /// The piece that has the polynomial of a relation.
    fn piece(&self, base: &Base, relation: &Relation) -> Option<&Piece> {
        let after = (self.pieces).partition_point(|piece| piece.start() <= (relation.family, relation.polynomial));
        let piece = after
            .checked_sub(1)
            .map(|at| &self.pieces[at])
            .filter(|piece| piece.id == relation.family)?;
        (relation.is_within(base) && piece.polynomials.contains(&relation.polynomial)).then_some(piece)
    }

    /// Takes those that hold, until none are left or `over`, asked every few microseconds, or there are `most`. True if
    /// none are left.
    pub(crate) fn advance(
        &mut self,
        base: &Base,
        most: usize,
        found: &mut Vec<Relation>,
        mut over: impl FnMut() -> bool,
    ) -> bool {
        let mut coefficients: Option<(u32, Coefficients)> = None;
        while let Some((relation, after)) = store::read(&self.bytes[self.at..]) {
            self.at = self.bytes.len() - after.len();
            if let Some(piece) = self.piece(base, &relation) {
                let (_, coefficients) = match coefficients.take() {
                    Some(known) if known.0 == piece.id => coefficients.insert(known),
                    _ => coefficients.insert((piece.id, Coefficients::new(base, &piece.indices))),
                };
                if relation.holds(base, coefficients) {
                    found.push(relation);
                }
            }
            if found.len() >= most || over() {
                return self.at == self.bytes.len();
            }
        }
        true
    }
}

/// Adds relations to the bytes that [`Returned`] takes.
pub(crate) fn write(relations: &[Relation], bytes: &mut Vec<u8>) {
    for relation in relations {
        store::write(relation, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::Natural;
    use crate::primes::factor::quadratic::Building;
    use crate::primes::primality::search::prev;

    fn base() -> Arc<Base> {
        let prime = |bits: u32| Natural::from(prev(1 << bits).expect("above 2"));
        let mut building = Building::new(prime(63) * prime(64));
        assert!(building.advance(|| false));
        Arc::new(building.finish())
    }

    fn sieved(mut family: Family) -> Vec<Relation> {
        let mut relations = Vec::new();
        while !family.advance(&mut relations, || true) {}
        relations
    }

    #[test]
    fn pieces_of_a_family_have_its_relations() {
        let base = base();
        let mut choice = Choice::resume(Arc::clone(&base), Vec::new());
        let family = choice.next().expect("there are families");
        let words = |polynomials: Range<u32>| {
            Piece {
                id: 0,
                polynomials,
                indices: family.indices.clone(),
            }
            .words()
        };
        let piece = |range| {
            Piece::read(&words(range))
                .and_then(|piece| piece.family(&base))
                .expect("a piece")
        };
        let end = family.left();
        let whole = sieved(piece(0..end));
        assert!(whole.len() > 10);
        for middle in 1..end {
            let mut both = sieved(piece(0..middle));
            both.extend(sieved(piece(middle..end)));
            assert_eq!(both, whole, "{middle}");
        }
        assert_eq!(Piece::read(&words(0..end + 1)), None);
    }

    #[test]
    fn what_is_cut_is_all_there_is() {
        let base = base();
        let mut choice = Choice::resume(Arc::clone(&base), Vec::new());
        let mut waiting = Vec::new();
        let each = polynomials(&choice.next().expect("there are families").indices);
        for count in [1, each - 1, each, 2 * each + 1, each - 1] {
            let pieces = cut(&mut waiting, &mut choice, count);
            assert_eq!(pieces.iter().map(Piece::count).sum::<u32>(), count);
        }
        assert!(waiting.is_empty());
        assert_eq!(choice.chosen().len(), 1 + 5);
    }

    #[test]
    fn relations_that_do_not_hold_are_not_taken() {
        let base = base();
        let mut choice = Choice::resume(Arc::clone(&base), Vec::new());
        let pieces = cut(&mut Vec::new(), &mut choice, 100);
        let relations: Vec<Relation> = (pieces.iter())
            .flat_map(|piece| sieved(piece.family(&base).expect("it was cut")))
            .collect();
        let count = relations.len();
        assert!(count > 2 * SAMPLE);
        let returned = |relations: &[Relation]| {
            let mut bytes = Vec::new();
            write(relations, &mut bytes);
            Returned::new(&base, pieces.clone(), relations.len(), bytes)
        };
        let taken = |mut returned: Returned| {
            let mut found = Vec::new();
            while !returned.advance(&base, 7, &mut found, || true) {}
            found
        };
        assert_eq!(returned(&relations).map(taken).as_deref(), Some(relations.as_slice()));
        // The first one is in the sample, the second is not.
        let altered = |at: usize| {
            let mut relations = relations.clone();
            relations[at].columns.pop();
            relations
        };
        assert!(returned(&altered(0)).is_none());
        let rest: Vec<Relation> = relations
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != 1)
            .map(|(_, it)| it.clone())
            .collect();
        assert_eq!(returned(&altered(1)).map(taken), Some(rest));
        let mut other = relations.clone();
        other[1].family += pieces.len() as u32;
        assert!(returned(&other).is_none());
    }
}
