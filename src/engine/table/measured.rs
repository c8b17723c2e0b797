//! What requests took, until the scheduler reports it to the metrics at the end of its turn. Plain data; knows no
//! counter that others share.

use super::express::BatchOutcome;
use super::jobs::Entry;
use super::spans::{self, Name, Span};
use super::waiters::{Waiter, WaiterId};
use crate::engine::message::Event;
use crate::metrics::{Metrics, SLOW, Slow, VerbLabel};
use crate::proto;
use std::time::{Duration, Instant, SystemTime};

/// The title of questions whose own is gone with their answers: only those that are kept come back with them.
const UNNAMED: &str = "-";

/// What requests took since the last report.
#[derive(Default)]
pub(in crate::engine) struct Measured {
    /// How long it was until the end of a first slice, for how many questions of a verb.
    first: Vec<(VerbLabel, Duration, u64)>,
    slow: Vec<Slow>,
    /// Only if a subscriber wants them.
    spans: Vec<Span>,
}

impl Measured {
    /// Questions of these verbs had their first slice this long after they arrived together.
    pub(super) fn first_slices(&mut self, verbs: &[VerbLabel], wall: Duration) {
        for run in verbs.chunk_by(|one, next| one == next) {
            self.first.push((run[0], wall, run.len() as u64));
        }
    }

    /// A batch is back. If it took long, its last question is named for all of them: they arrived together and leave
    /// together.
    pub(super) fn batch(
        &mut self,
        BatchOutcome {
            payer,
            queued_at,
            events,
            found,
            last_found,
            verbs,
            ..
        }: &BatchOutcome,
        cpu: Duration,
        now: Instant,
    ) {
        let (client, wall) = (payer.client, now - *queued_at);
        if spans::are_wanted()
            && let Some((request, event)) = events.last()
        {
            self.spans.push(Span {
                name: Name::of_all(verbs),
                client: client.0,
                request: Some(request.0),
                job: None,
                questions: events.len() as u64,
                class: "express",
                queue: wall.saturating_sub(cpu),
                cpu,
                wall,
                outcome: outcome(event),
            });
        }
        if wall >= SLOW
            && let Some((request, event)) = events.last()
        {
            let title = found.last().filter(|_| *last_found == Some(*request));
            self.slow.push(Slow {
                at: SystemTime::now(),
                client: client.0,
                request: Some(request.0),
                job: None,
                title: title.map_or(UNNAMED, |(title, _)| title).to_owned(),
                queue: wall.saturating_sub(cpu),
                cpu,
                wall,
                outcome: outcome(event),
            });
        }
    }

    /// One waits for a job no more.
    pub(super) fn ended(&mut self, waiter: &Waiter, entry: &Entry, outcome: &'static str, now: Instant) {
        let wall = now - waiter.since();
        let (is_slow, is_traced) = (wall >= SLOW, spans::are_wanted());
        if !is_slow && !is_traced {
            return;
        }
        let (client, request, job) = match waiter.id() {
            WaiterId::Request(client, request) => (client.0, Some(request.0), waiter.watched()),
            WaiterId::Submitted(job) => (waiter.payer().client.0, None, Some(job)),
        };
        let (job, queue, cpu) = (job.map(|job| job.0), entry.queue(), entry.cpu());
        if is_traced {
            self.spans.push(Span {
                name: Name::of_title(entry.title()),
                client,
                request,
                job,
                questions: 1,
                class: spans::class(entry.state()),
                queue,
                cpu,
                wall,
                outcome,
            });
        }
        if is_slow {
            self.slow.push(Slow {
                at: SystemTime::now(),
                client,
                request,
                job,
                title: entry.title().to_owned(),
                queue,
                cpu,
                wall,
                outcome,
            });
        }
    }

    /// Adds everything to the metrics.
    pub(in crate::engine) fn report(&mut self, metrics: &Metrics) {
        for (verb, wall, questions) in self.first.drain(..) {
            if let Some(verbs) = metrics.verbs() {
                verbs.first_slice(verb, wall, questions);
            }
        }
        self.slow.drain(..).for_each(|slow| metrics.slow.push(slow));
        self.spans.drain(..).for_each(|span| span.emit(metrics));
    }
}

/// How a request ended, in a word.
fn outcome(event: &Event) -> &'static str {
    match event {
        Event::Final(reply) => proto::outcome(reply),
        Event::Interim(_) => "ok",
    }
}
