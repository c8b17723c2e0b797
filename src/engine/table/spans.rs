//! Spans for traces: one for each request that the engine took, one for each submitted job, and one for plain
//! questions that went to a worker together and were answered by their first slices. Each is one event at its end, with
//! its duration, and `cli/serve/otlp.rs` sends it. Nothing is noted unless a subscriber wants them. Knows no collector.

use super::jobs::WorkState;
use crate::metrics::{Metrics, VerbLabel, micros};
use std::time::Duration;
use tracing::Level;

/// What ended, from its arrival in the engine to its reply.
pub(super) struct Span {
    pub(super) name: Name,
    pub(super) client: u64,
    /// Which of the client's requests, the last of several; none if it is a submitted job itself.
    pub(super) request: Option<u64>,
    /// The submitted job that it is or waited for.
    pub(super) job: Option<u64>,
    /// How many questions it stands for.
    pub(super) questions: u64,
    /// The class of workers that had it in the end.
    pub(super) class: &'static str,
    pub(super) queue: Duration,
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
    /// `ok`, or the code of the error.
    pub(super) outcome: &'static str,
}

/// The verb of a span.
pub(super) enum Name {
    Verb(String),
    Label(VerbLabel),
    /// Questions with different verbs.
    Several,
}

impl Name {
    /// The first word of a title.
    pub(super) fn of_title(title: &str) -> Self {
        Self::Verb(title.split(' ').next().unwrap_or_default().to_owned())
    }

    /// That of questions with these verbs.
    pub(super) fn of_all(verbs: &[VerbLabel]) -> Self {
        match verbs.first() {
            Some(first) if verbs.iter().all(|verb| verb == first) => Self::Label(*first),
            _ => Self::Several,
        }
    }
}

/// Whether anybody wants spans.
#[inline]
pub(super) fn are_wanted() -> bool {
    tracing::enabled!(target: "primed::spans", Level::TRACE)
}

/// The class of workers that a job is with, if with any.
pub(super) const fn class(state: &WorkState) -> &'static str {
    match state {
        WorkState::Express => "express",
        WorkState::Parked | WorkState::Bulk => "bulk",
        WorkState::External => "external",
        WorkState::Held(_) | WorkState::List | WorkState::Away => "none",
    }
}

impl Span {
    /// Gives it to the subscriber.
    pub(super) fn emit(&self, metrics: &Metrics) {
        let verb = match &self.name {
            Name::Verb(verb) => verb,
            Name::Label(label) => metrics.verbs().map_or("unknown", |verbs| verbs.name(*label)),
            Name::Several => "several",
        };
        tracing::trace!(
            target: "primed::spans",
            verb,
            client = self.client,
            request = self.request,
            job = self.job,
            questions = self.questions,
            class = self.class,
            queue_us = micros(self.queue),
            cpu_us = micros(self.cpu),
            wall_us = micros(self.wall),
            outcome = self.outcome,
            "span"
        );
    }
}
