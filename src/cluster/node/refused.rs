//! What NATS refuses of what a node writes, as where it is full. Knows no connection, no log and no metrics.

use crate::cluster::member::{NatsError, Written};
use std::collections::BTreeSet;

/// What NATS refused when it was written last.
#[derive(Default)]
pub(super) struct Refused(BTreeSet<Written>);

/// What an outcome changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// NATS refuses the first thing.
    Begins,
    /// It takes everything again.
    Ends,
}

impl Refused {
    /// Notes what became of something that was written. What NATS has not answered says nothing of it.
    pub(super) fn note(&mut self, what: Written, outcome: Result<(), NatsError>) -> Option<Change> {
        let was_refused = !self.0.is_empty();
        match outcome {
            Ok(()) => self.0.remove(&what),
            Err(NatsError::Refused) => self.0.insert(what),
            Err(NatsError::Revision | NatsError::Unreachable) => false,
        };
        match (was_refused, !self.0.is_empty()) {
            (false, true) => Some(Change::Begins),
            (true, false) => Some(Change::Ends),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_said_once_and_again_when_all_is_taken() {
        let mut refused = Refused::default();
        for (what, outcome, change) in [
            (Written::Entry, Ok(()), None),
            (Written::Entry, Err(NatsError::Unreachable), None),
            (Written::Checkpoint, Err(NatsError::Refused), Some(Change::Begins)),
            (Written::Checkpoint, Err(NatsError::Refused), None),
            (Written::Entry, Err(NatsError::Refused), None),
            // There may be room for one and none for another.
            (Written::Entry, Ok(()), None),
            (Written::Checkpoint, Err(NatsError::Unreachable), None),
            (Written::Checkpoint, Err(NatsError::Revision), None),
            (Written::Checkpoint, Ok(()), Some(Change::Ends)),
            (Written::Checkpoint, Ok(()), None),
        ] {
            assert_eq!(refused.note(what, outcome), change, "{what:?} {outcome:?}");
        }
    }
}
