//! What is to be told and to whom, in the order in which it happened. Knows nobody's address.

use super::{Event, Place};
use crate::engine::fairness::ClientId;

/// Events that wait to be told; those that follow one another to the same client go together.
#[derive(Default)]
pub(super) struct Outbox(Vec<(ClientId, Vec<(Place, Event)>)>);

impl Outbox {
    pub(super) fn push(&mut self, client: ClientId, place: Place, event: Event) {
        match self.0.last_mut() {
            Some((last, events)) if *last == client => events.push((place, event)),
            _ => self.0.push((client, vec![(place, event)])),
        }
    }

    pub(super) fn push_all(&mut self, client: ClientId, events: Vec<(Place, Event)>) {
        match self.0.last_mut() {
            _ if events.is_empty() => {}
            Some((last, earlier)) if *last == client => earlier.extend(events),
            _ => self.0.push((client, events)),
        }
    }

    /// Nobody is there any more to be told.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.0.retain(|(to, _)| *to != client);
    }

    pub(super) fn take(&mut self) -> Vec<(ClientId, Vec<(Place, Event)>)> {
        std::mem::take(&mut self.0)
    }
}
