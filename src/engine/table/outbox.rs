//! What a turn has come to: events for clients, in the order in which they happened, and answers that may be kept.
//! Knows no address.

use crate::engine::message::{ClientId, Event, RequestId};
use crate::proto::{Interim, Reply, Value};
use std::time::Duration;

/// An answer that may be kept.
pub(in crate::engine) struct Found {
    pub(in crate::engine) title: String,
    pub(in crate::engine) value: Value,
    /// The CPU time that it took.
    pub(in crate::engine) cost: Duration,
}

/// The events of a client, in order.
pub(in crate::engine) type Events = Vec<(RequestId, Event)>;

/// Events that wait to be sent; those that follow one another to the same client go together.
#[derive(Default)]
pub(super) struct Outbox {
    events: Vec<(ClientId, Events)>,
    found: Vec<Found>,
    verified: Vec<(String, bool)>,
}

impl Outbox {
    pub(super) fn push(&mut self, client: ClientId, request: RequestId, event: Event) {
        match self.events.last_mut() {
            Some((last, events)) if *last == client => events.push((request, event)),
            _ => self.events.push((client, vec![(request, event)])),
        }
    }

    pub(super) fn push_all(&mut self, client: ClientId, events: Events) {
        match self.events.last_mut() {
            _ if events.is_empty() => {}
            Some((last, earlier)) if *last == client => earlier.extend(events),
            _ => self.events.push((client, events)),
        }
    }

    pub(super) fn reply(&mut self, client: ClientId, request: RequestId, reply: Reply) {
        self.push(client, request, Event::Final(reply));
    }

    pub(super) fn rows(&mut self, client: ClientId, request: RequestId, rows: Vec<String>) {
        self.push(client, request, Event::Interim(Interim::Rows(rows)));
    }

    /// An answer that may be kept.
    pub(super) fn keep(&mut self, title: &str, value: &Value, cost: Duration) {
        self.found.push(Found {
            title: title.to_owned(),
            value: value.clone(),
            cost,
        });
    }

    /// Whether the answer to the question of this title has passed its verification.
    pub(super) fn verify(&mut self, title: &str, has_passed: bool) {
        self.verified.push((title.to_owned(), has_passed));
    }

    pub(super) fn take_verified(&mut self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.verified)
    }

    /// Answers that took a slice or less.
    pub(super) fn keep_all(&mut self, found: Vec<(String, Value)>) {
        self.found.extend(found.into_iter().map(|(title, value)| Found {
            title,
            value,
            cost: Duration::ZERO,
        }));
    }

    /// The client is gone: nothing is sent to it any more.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.events.retain(|(to, _)| *to != client);
    }

    pub(super) fn take_events(&mut self) -> Vec<(ClientId, Events)> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_a_client_that_follow_one_another_go_together() {
        let mut outbox = Outbox::default();
        let (one, two) = (ClientId(1), ClientId(2));
        outbox.reply(one, RequestId(1), Ok(Value::Nothing));
        outbox.push_all(one, vec![(RequestId(2), Event::Final(Ok(Value::Nothing)))]);
        outbox.reply(two, RequestId(1), Ok(Value::Nothing));
        outbox.rows(one, RequestId(3), vec!["2".into()]);
        let sent: Vec<_> = outbox
            .take_events()
            .iter()
            .map(|(client, events)| (*client, events.len()))
            .collect();
        assert_eq!(sent, [(one, 2), (two, 1), (one, 1)]);
        outbox.reply(one, RequestId(4), Ok(Value::Nothing));
        outbox.forget(one);
        assert!(outbox.take_events().is_empty());
    }
}
