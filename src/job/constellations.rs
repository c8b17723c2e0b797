//! `count A B kind=twins`: how many prime constellations lie in a range, with all their members.
//!
//! Knows nothing of how the range is cut ([`Sieved`]) or of how constellations are found ([`Finder`]).

use super::sieved::{Fold, Sieved};
use super::{Damaged, Reader, Writer};
use crate::primes::constellation::{Constellation, Finder};
use crate::primes::sieve::Segment;
use crate::proto::Value;
use std::sync::Arc;

/// Counts the constellations of a kind.
pub type CountConstellations = Sieved<OfKind>;

/// Constellations of one kind.
#[derive(Clone, Debug)]
pub struct OfKind {
    kind: Constellation,
    finder: Arc<Finder>,
}

impl CountConstellations {
    /// The constellations with all members in `low..=last`; none if `last < low`.
    pub fn new(kind: Constellation, low: u64, last: u64) -> Self {
        Self::by(OfKind::new(kind), low, last)
    }
}

impl OfKind {
    fn new(kind: Constellation) -> Self {
        let finder = Arc::new(Finder::new(kind));
        Self { kind, finder }
    }
}

/// The constellations of a run of numbers, and what is needed to find those that reach into its neighbours.
#[derive(Clone, Debug, Default)]
pub struct Run {
    count: u64,
    /// The first and the last byte of the run's bits; `None` of a run without numbers.
    edges: Option<(u8, u8)>,
}

impl Fold for OfKind {
    const KIND: [u8; 4] = *b"cnst";
    type Run = Run;

    fn of_segment(&self, segment: &Segment<'_>) -> Run {
        let bytes = segment.bytes();
        Run {
            count: self.finder.count(segment),
            edges: bytes.first().copied().zip(bytes.last().copied()),
        }
    }

    fn is_possible(run: &Run, low: u64, last: u64) -> bool {
        run.count <= (last - low).saturating_add(1) && run.edges.is_some()
    }

    fn join(&self, left: Run, right: Run) -> Run {
        let across = match (left.edges, right.edges) {
            (Some((_, byte)), Some((after, _))) => self.finder.count_across(byte, after),
            _ => 0,
        };
        let edges = left.edges.zip(right.edges);
        Run {
            count: left.count.wrapping_add(right.count).wrapping_add(across),
            edges: edges
                .map(|(left, right)| (left.0, right.1))
                .or(left.edges)
                .or(right.edges),
        }
    }

    fn answer(&self, whole: &Run) -> Value {
        Value::from(whole.count)
    }

    fn save(&self, writer: &mut Writer) {
        writer.u64(self.kind.index());
    }

    fn restore(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let kind = Constellation::of_index(reader.u64()?);
        kind.map(Self::new).ok_or(Damaged::Impossible("kind"))
    }

    fn save_run(run: &Run, writer: &mut Writer) {
        let edges = run
            .edges
            .map_or(0, |(first, last)| 1 << 16 | u64::from(first) << 8 | u64::from(last));
        writer.u64(run.count).u64(edges);
    }

    fn restore_run(reader: &mut Reader<'_>) -> Result<Run, Damaged> {
        let count = reader.u64()?;
        let edges = match reader.u64()?.to_le_bytes() {
            [0, 0, 0, ..] => None,
            [last, first, 1, 0, ..] => Some((first, last)),
            _ => return Err(Damaged::Impossible("edge of a run")),
        };
        Ok(Run { count, edges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};

    fn count(kind: Constellation, high: u64) -> u64 {
        let answer = run_to_end(&mut CountConstellations::new(kind, 0, high - 1));
        answer.try_into().expect("a count")
    }

    #[test]
    fn counts_below_powers_of_ten_are_those_on_record() {
        // OEIS A007508 and A050258, below 10^k.
        for (kind, counts) in [
            (Constellation::Twins, [8, 35, 205, 1224, 8169, 58_980]),
            (Constellation::Quadruplets, [2, 5, 12, 38, 166, 899]),
        ] {
            for (exponent, expected) in (2..).zip(counts) {
                assert_eq!(
                    count(kind, 10u64.pow(exponent)),
                    expected,
                    "{kind:?} below 10^{exponent}"
                );
            }
        }
    }

    #[test]
    fn a_run_is_whole_however_it_is_cut() {
        for &kind in Constellation::ALL {
            let answer = exercise(|| CountConstellations::new(kind, 0, 60_000_000));
            assert_eq!(answer, Value::from(count(kind, 60_000_001)), "{kind:?}");
        }
    }
}
