//! How a job stands: how far it is, since when it has not advanced, and what a row of `jobs` says of it. Reads the
//! parts, changes nothing.

use super::away::Away;
use super::bulk::Bulk;
use super::external::External;
use super::jobs::{Entry, Jobs, WorkState};
use super::submitted::{MAX_LISTED, Shown};
use super::waiters::{Waiter, Waiters};
use crate::engine::message::WorkId;
use crate::proto::Interim;
use std::time::{Duration, Instant};

/// The parts that know something of a job.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) waiters: &'a Waiters,
    pub(super) bulk: &'a Bulk,
    pub(super) external: &'a External,
    pub(super) away: &'a Away,
    pub(super) now: Instant,
}

/// How far a job is.
pub(super) struct Progress {
    pub(super) done: f64,
    /// For how long it has not advanced; nothing of one that may not begin yet, whose stage says that it waits.
    pub(super) silent: Duration,
    /// How long the rest will take.
    pub(super) eta: Option<Duration>,
    /// What the work is at.
    pub(super) stage: Option<String>,
}

impl<'a> View<'a> {
    /// How far a job is; `None` if its plan panics when it is asked.
    pub(super) fn progress(&self, work: WorkId) -> Option<Progress> {
        let entry = self.jobs.get(work)?;
        let waits = |stage: &str| Progress {
            done: 0.0,
            silent: Duration::ZERO,
            eta: None,
            stage: Some(stage.to_owned()),
        };
        let (done, advanced) = match entry.state() {
            WorkState::Bulk => self.bulk.progress(work)?,
            WorkState::External => match self.external.progress(work, self.now) {
                Some(progress) => progress,
                None => return Some(waits("queued")),
            },
            WorkState::Away => match self.away.get(work)? {
                job if job.is_begun => (job.done, job.advanced),
                job => {
                    let done = job.done;
                    return Some(Progress {
                        done,
                        ..waits("queued")
                    });
                }
            },
            WorkState::Parked => return Some(waits("parked")),
            WorkState::Held(_) => return Some(waits("queued")),
            WorkState::Express | WorkState::List => (0.0, entry.queued_at()),
        };
        Some(Progress {
            done,
            silent: self.now - advanced,
            eta: self.eta(work, entry, done),
            stage: match self.away.get(work) {
                Some(job) => job.stage.clone(),
                None => self.bulk.stage(work),
            },
        })
    }

    /// Jobs that a list shows though nobody submitted them: long ones and external tasks that are worked on.
    pub(super) fn asked(&self) -> Vec<WorkId> {
        let is_asked = |work: &WorkId| self.jobs.get(*work).is_some() && self.waiters.is_only_asked(*work);
        let long = self.jobs.long().filter(is_asked).take(MAX_LISTED);
        let external = self.external.under_way().filter(is_asked).take(MAX_LISTED);
        long.chain(external).collect()
    }

    /// A job as a row shows it.
    pub(super) fn show(&self, work: WorkId) -> Option<Shown<'a>> {
        let entry = self.jobs.get(work)?;
        Some(Shown {
            title: entry.title(),
            payer: self.waiters.of(work).next().map(Waiter::payer)?,
            state: self.state(work, entry),
            cpu: entry.cpu(),
        })
    }

    /// How long the rest will take. The time that a plan was parked for says nothing of its work.
    fn eta(&self, work: WorkId, entry: &Entry, done: f64) -> Option<Duration> {
        let (began, from) = self.bulk.began(work).unwrap_or((entry.queued_at(), 0.0));
        eta(self.now - began, from, done)
    }

    fn state(&self, work: WorkId, entry: &Entry) -> String {
        let (done, eta) = match entry.state() {
            WorkState::Bulk => {
                let done = self.bulk.progress(work).map(|(done, _)| done).unwrap_or_default();
                (done, self.eta(work, entry, done))
            }
            WorkState::External => match self.external.progress(work, self.now) {
                Some((done, _)) => (done, None),
                None => return "queued".to_owned(),
            },
            WorkState::Away => {
                let Some(job) = self.away.get(work) else {
                    return "queued".to_owned();
                };
                if !job.is_begun {
                    return format!("queued node={}", job.node);
                }
                let (done, stage) = (job.done, job.stage.clone());
                let words = Interim::Progress {
                    done,
                    eta: self.eta(work, entry, done),
                    stage,
                }
                .words();
                return format!("running node={} {words}", job.node);
            }
            WorkState::Parked => return "parked".to_owned(),
            WorkState::Held(_) | WorkState::Express | WorkState::List => return "queued".to_owned(),
        };
        let stage = self.bulk.stage(work);
        format!("running {}", Interim::Progress { done, eta, stage }.words())
    }
}

/// How long the rest will take, if it goes on as it went from there.
fn eta(elapsed: Duration, from: f64, done: f64) -> Option<Duration> {
    let left = elapsed.as_secs_f64() * (1.0 - done) / (done - from);
    (done > from).then(|| Duration::try_from_secs_f64(left).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_it_took_so_far_by_share() {
        let second = Duration::from_secs(1);
        assert_eq!(eta(second, 0.0, 0.0), None);
        assert_eq!(eta(second, 0.0, 0.25), Some(3 * second));
        assert_eq!(eta(second, 0.5, 0.75), Some(second), "half was done before");
        assert_eq!(eta(second, 0.5, 0.25), None);
        assert_eq!(eta(second, 0.0, 1e-300), None, "longer than all clocks");
    }
}
