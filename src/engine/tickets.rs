//! Submitted jobs: who submitted what, and what came of it. Plain data; knows no plan and no queue.
//!
//! A ticket holds its place at a job as a client does, but does not leave when its client does. Finished ones are kept
//! for a while, bounded in number and age.

use super::fairness::ClientId;
use super::order::{JobId, TicketId};
use crate::proto::Reply;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The characters that a row shows of a question.
const MAX_TITLE: usize = 100;

/// A submitted job.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The question, short enough for a row.
    pub(super) title: String,
    pub(super) owner: ClientId,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// The job that answers it.
    Running(JobId),
    /// What came of it, and the CPU time that took.
    Done {
        reply: Reply,
        cpu: Duration,
        ended: Instant,
    },
}

/// All submitted jobs.
#[derive(Debug)]
pub(super) struct Tickets {
    next: TicketId,
    tickets: BTreeMap<TicketId, Ticket>,
    /// Finished ones, the one that ended first in front.
    finished: VecDeque<TicketId>,
    max_finished: usize,
    max_age: Duration,
}

impl Tickets {
    pub(super) fn new(max_finished: usize, max_age: Duration) -> Self {
        Self {
            next: 1,
            tickets: BTreeMap::new(),
            finished: VecDeque::new(),
            max_finished,
            max_age,
        }
    }

    /// Opens a ticket for a job.
    pub(super) fn open(&mut self, title: &str, owner: ClientId, job: JobId) -> TicketId {
        let id = self.next;
        self.next += 1;
        let title = shortened(title);
        let state = State::Running(job);
        self.tickets.insert(id, Ticket { title, owner, state });
        id
    }

    /// The job that answers a ticket is another one now.
    pub(super) fn join(&mut self, id: TicketId, job: JobId) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.state = State::Running(job);
        }
    }

    /// Notes what came of a ticket.
    pub(super) fn finish(&mut self, id: TicketId, reply: Reply, cpu: Duration, now: Instant) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.state = State::Done { reply, cpu, ended: now };
            self.finished.push_back(id);
        }
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(&oldest) = self.finished.front() {
            let age = match self.tickets.get(&oldest).map(|ticket| &ticket.state) {
                Some(State::Done { ended, .. }) => now - *ended,
                _ => Duration::MAX,
            };
            if self.finished.len() <= self.max_finished && age <= self.max_age {
                break;
            }
            self.finished.pop_front();
            self.tickets.remove(&oldest);
        }
    }

    /// A ticket that is not forgotten.
    pub(super) fn get(&mut self, id: TicketId, now: Instant) -> Option<&Ticket> {
        self.forget_old(now);
        self.tickets.get(&id)
    }

    /// The same, when no time has passed.
    pub(super) fn find(&self, id: TicketId) -> Option<&Ticket> {
        self.tickets.get(&id)
    }

    /// All of them, in the order they were opened.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (TicketId, &Ticket)> {
        self.tickets.iter().map(|(id, ticket)| (*id, ticket))
    }
}

/// A question as a row shows it: one about a number of 10000 digits would fill a screen, and a thousand of these too much memory.
pub(super) fn shortened(title: &str) -> String {
    match title.char_indices().nth(MAX_TITLE) {
        Some(_) => title.chars().take(MAX_TITLE - 3).chain("...".chars()).collect(),
        None => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Value;

    #[test]
    fn finished_jobs_are_forgotten_by_number_and_by_age_and_running_ones_never() {
        let start = Instant::now();
        let mut tickets = Tickets::new(2, Duration::from_secs(60));
        let running = tickets.open("pi 1", 1, 1);
        let done: Vec<TicketId> = (0..3).map(|n| tickets.open(&format!("pi {n}"), 1, n)).collect();
        for id in &done {
            tickets.finish(*id, Ok(Value::from(0)), Duration::ZERO, start);
        }
        assert!(tickets.get(done[0], start).is_none());
        assert!(tickets.get(done[1], start).is_some());
        let later = start + Duration::from_secs(61);
        assert!(tickets.get(done[2], later).is_none());
        assert!(tickets.get(running, later).is_some());
    }
}
