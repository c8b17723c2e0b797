//! Requests by verb: how many, with which outcome, and how long they took. Bounded: the verbs are named once, when the
//! daemon starts, and what clients ask beyond them counts as `unknown`. Knows no request.

use super::histogram::{Exemplar, Histogram};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The name under which requests without a known verb are counted.
const UNKNOWN: &str = "unknown";

/// Names a verb among the metrics; the default is a verb that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerbLabel(u16);

impl VerbLabel {
    /// A verb that is not known.
    pub const UNKNOWN: Self = Self(0);

    /// The verb at this position of the registry.
    pub fn at(position: usize) -> Self {
        Self(u16::try_from(position + 1).unwrap_or_default())
    }

    /// In one byte, if there is room.
    pub fn to_byte(self) -> Option<u8> {
        self.0.try_into().ok()
    }

    /// What [`to_byte`](Self::to_byte) gave.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte as u16)
    }
}

/// How a request ended: without an error, or with the error code at a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome(u8);

impl Outcome {
    /// No error.
    pub const OK: Self = Self(0);

    /// The error code at this position of the list that the metrics were given.
    pub const fn failed(position: u8) -> Self {
        Self(position + 1)
    }

    /// Whether it is an error.
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 > 0
    }
}

/// Requests of all verbs.
#[derive(Debug)]
pub struct Verbs {
    outcomes: Vec<&'static str>,
    /// The first is for requests without a known verb; then come those of the registry.
    verbs: Vec<VerbMetrics>,
}

/// Requests of one verb.
#[derive(Debug)]
pub struct VerbMetrics {
    /// The verb.
    pub name: &'static str,
    outcomes: Box<[AtomicU64]>,
    latency: Histogram,
    first_slice: Histogram,
}

impl Verbs {
    /// Nothing asked yet: of these verbs, in the order of the registry, with these error codes.
    pub fn new(verbs: impl Iterator<Item = &'static str>, codes: impl Iterator<Item = &'static str>) -> Self {
        let outcomes: Vec<_> = std::iter::once("ok").chain(codes).collect();
        let verb = |name| VerbMetrics {
            name,
            outcomes: outcomes.iter().map(|_| AtomicU64::new(0)).collect(),
            latency: Histogram::default(),
            first_slice: Histogram::default(),
        };
        let verbs = std::iter::once(UNKNOWN).chain(verbs).map(verb).collect();
        Self { outcomes, verbs }
    }

    /// Counts answered requests.
    pub fn count(&self, verb: VerbLabel, outcome: Outcome, count: u64) {
        if let Some(outcomes) = self.verbs.get(usize::from(verb.0)).map(|verb| &verb.outcomes)
            && let Some(counter) = outcomes.get(usize::from(outcome.0))
        {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// Notes how long `count` requests took that were not answered at once.
    pub fn observe(&self, verb: VerbLabel, wall: Duration, count: u64, exemplar: impl FnOnce() -> Exemplar) {
        if let Some(verb) = self.verbs.get(usize::from(verb.0)) {
            verb.latency.observe(wall, count, exemplar);
        }
    }

    /// Notes how long it was from the arrival of questions in the engine to the end of their first slice.
    pub fn first_slice(&self, verb: VerbLabel, wall: Duration, questions: u64) {
        if let Some(verb) = self.verbs.get(usize::from(verb.0)) {
            verb.first_slice.add(wall, questions);
        }
    }

    /// The name of a verb.
    pub fn name(&self, verb: VerbLabel) -> &'static str {
        self.verbs.get(usize::from(verb.0)).map_or(UNKNOWN, |verb| verb.name)
    }

    /// Verbs that were asked since the start.
    pub fn asked(&self) -> impl Iterator<Item = &VerbMetrics> {
        self.verbs.iter().filter(|verb| verb.requests() > 0)
    }

    /// All verbs.
    pub fn all(&self) -> impl Iterator<Item = &VerbMetrics> {
        self.verbs.iter()
    }

    /// Requests of a verb by outcome, those that there were.
    pub fn outcomes<'a>(&'a self, verb: &'a VerbMetrics) -> impl Iterator<Item = (&'static str, u64)> + 'a {
        let counts = verb.outcomes.iter().map(|counter| counter.load(Relaxed));
        let all = self.outcomes.iter().copied().zip(counts);
        all.filter(|(_, count)| *count > 0)
    }
}

impl VerbMetrics {
    fn requests(&self) -> u64 {
        self.outcomes.iter().map(|counter| counter.load(Relaxed)).sum()
    }

    /// How long its requests took, by bucket. Those that were answered in the turn in which they were read, within
    /// microseconds, are not measured one by one: they are in the lowest bucket.
    pub fn latency(&self) -> super::histogram::Snapshot {
        let mut snapshot = self.latency.snapshot();
        let measured = snapshot.count();
        snapshot.buckets[0] += self.requests().saturating_sub(measured);
        snapshot
    }

    /// How long it was until the end of the first slice, of questions that went to the engine.
    pub fn until_first_slice(&self) -> super::histogram::Snapshot {
        self.first_slice.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar() -> Exemplar {
        Exemplar {
            client: 1,
            request: Some(2),
            seconds: 0.0,
        }
    }

    #[test]
    fn requests_are_counted_by_verb_and_outcome_within_bounds() {
        let verbs = Verbs::new(["nth", "pi"].into_iter(), ["syntax"].into_iter());
        verbs.count(VerbLabel::at(1), Outcome::OK, 3);
        verbs.count(VerbLabel::at(1), Outcome::failed(0), 1);
        verbs.count(VerbLabel::default(), Outcome::failed(0), 2);
        // Neither is there, and neither makes a series.
        verbs.count(VerbLabel::at(7), Outcome::OK, 1);
        verbs.count(VerbLabel::at(0), Outcome::failed(9), 1);
        let shown: Vec<_> = verbs
            .asked()
            .flat_map(|verb| verbs.outcomes(verb).map(|(outcome, count)| (verb.name, outcome, count)))
            .collect();
        assert_eq!(shown, [("unknown", "syntax", 2), ("pi", "ok", 3), ("pi", "syntax", 1)]);
    }

    #[test]
    fn what_was_answered_at_once_is_in_the_lowest_bucket() {
        let verbs = Verbs::new(["nth"].into_iter(), [].into_iter());
        verbs.count(VerbLabel::at(0), Outcome::OK, 5);
        verbs.observe(VerbLabel::at(0), Duration::from_secs(2), 1, exemplar);
        let snapshot = verbs.asked().next().map(VerbMetrics::latency).expect("nth was asked");
        assert_eq!((snapshot.count(), snapshot.buckets[0], snapshot.sum), (5, 4, 2.0));
    }
}
