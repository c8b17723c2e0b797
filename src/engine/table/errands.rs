//! Errands in the table: lanes of their own, each with so many slots and a queue with a limit, clients taking turns.
//!
//! A slot is free again when whoever works on the errand has let go of it, not when nobody waits any more: so what is cancelled
//! and goes on regardless is bounded by its lane.

use super::waiters::Holder;
use super::{Entry, Event, Stage, Table};
use crate::engine::errand::{Errand, ErrandLoad, Line, OwnLane, row_size};
use crate::engine::fairness::{ClientId, Fair};
use crate::engine::order::JobId;
use crate::engine::responder::Saying;
use crate::metrics::LaneMetrics;
use crate::proto::{Code, Failure, Interim, Reply};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Names a lane of errands among those of this table.
pub(in crate::engine) type LaneId = usize;

/// A slot is charged this much when it is taken, and what it really took when it is free again.
const CHARGE_US: i64 = 2_000;

/// A lane, and who waits for it.
pub(super) struct LaneState {
    spec: Arc<OwnLane>,
    pub(super) waiting: Fair<JobId>,
    under_way: usize,
    metrics: Arc<LaneMetrics>,
}

/// A slot that is taken. It outlives its job, if that is cancelled.
pub(super) struct Slot {
    lane: LaneId,
    client: ClientId,
    since: Instant,
}

/// The errand of a job.
pub(super) struct ErrandState {
    pub(super) lane: LaneId,
    /// What is to be done, until it is handed out.
    load: Option<ErrandLoad>,
    line: Arc<Line>,
    /// Rows that the client has not granted yet.
    rows: VecDeque<String>,
    /// The answer, once it is there and rows before it are not gone.
    reply: Option<Reply>,
    pub(super) advanced: Instant,
}

impl ErrandState {
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.load.is_some()
    }
}

/// An errand that is handed out.
pub(in crate::engine) struct HandedOut {
    pub(in crate::engine) job: JobId,
    pub(in crate::engine) lane: LaneId,
    pub(in crate::engine) client: ClientId,
    pub(in crate::engine) line: Arc<Line>,
    pub(in crate::engine) load: ErrandLoad,
}

impl Table {
    /// The lane of this description; a new one if it is met for the first time.
    fn lane(&mut self, spec: &Arc<OwnLane>) -> LaneId {
        let known = self.lanes.iter().position(|lane| Arc::ptr_eq(&lane.spec, spec));
        known.unwrap_or_else(|| {
            self.lanes.push(LaneState {
                spec: spec.clone(),
                waiting: Fair::default(),
                under_way: 0,
                metrics: Arc::new(LaneMetrics::new(spec.name)),
            });
            self.lanes.len() - 1
        })
    }

    /// Whether one more errand may wait for its lane.
    pub(super) fn admit_errand(&mut self, errand: &Errand) -> Result<(), Failure> {
        let lane = self.lane(&errand.lane);
        let waiting = self.lanes[lane].waiting.len();
        if waiting >= errand.lane.max_waiting {
            let text = format!(
                "{waiting} calls are waiting for '{}' already; retry-ms=1000",
                errand.lane.name
            );
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }

    /// Puts an errand into the queue of its lane.
    pub(super) fn enqueue_errand(&mut self, id: JobId, client: ClientId, errand: Errand) -> Stage {
        let lane = self.lane(&errand.lane);
        self.lanes[lane].waiting.push(client, id, 0);
        Stage::Errand(ErrandState {
            lane,
            line: Arc::new(Line::new(errand.streams)),
            load: Some(errand.load),
            rows: VecDeque::new(),
            reply: None,
            advanced: self.now,
        })
    }

    /// Hands out an errand for which there is a slot, if there is one.
    pub(in crate::engine) fn next_errand(&mut self) -> Option<HandedOut> {
        let now = self.now;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            while lane.under_way < lane.spec.slots
                && let Some((client, job, _)) = lane.waiting.next()
            {
                let Some(Entry {
                    stage: Stage::Errand(errand),
                    ..
                }) = self.jobs.get_mut(&job)
                else {
                    continue;
                };
                let Some(load) = errand.load.take() else {
                    continue;
                };
                errand.advanced = now;
                lane.under_way += 1;
                lane.waiting.charge(client, CHARGE_US);
                lane.metrics.calls.fetch_add(1, Relaxed);
                let slot = Slot {
                    lane: index,
                    client,
                    since: now,
                };
                self.slots.insert(job, slot);
                return Some(HandedOut {
                    job,
                    lane: index,
                    client,
                    line: errand.line.clone(),
                    load,
                });
            }
        }
        None
    }

    /// Who works on an errand has let go of it.
    pub(in crate::engine) fn free_slot(&mut self, job: JobId, now: Instant) {
        if let Some(slot) = self.slots.remove(&job) {
            let lane = &mut self.lanes[slot.lane];
            lane.under_way -= 1;
            let took = i64::try_from((now - slot.since).as_micros()).unwrap_or(i64::MAX);
            lane.waiting.charge(slot.client, took - CHARGE_US);
        }
    }

    /// Takes in what an actor says of a call.
    pub(in crate::engine) fn said(&mut self, job: JobId, what: Saying, now: Instant) {
        self.now = now;
        match what {
            Saying::Row(row) => {
                if let Some(Entry {
                    stage: Stage::Errand(errand),
                    ..
                }) = self.jobs.get_mut(&job)
                {
                    errand.advanced = now;
                    errand.rows.push_back(row);
                    self.deliver(job);
                }
            }
            Saying::Reply(reply) => {
                self.free_slot(job, now);
                self.replied(job, reply);
            }
            Saying::Dropped => {
                self.free_slot(job, now);
                if self.jobs.contains_key(&job) {
                    self.end_by_fault(job);
                }
            }
        }
    }

    /// Takes in the answer of an errand; it waits for the rows before it.
    pub(super) fn replied(&mut self, job: JobId, reply: Reply) {
        if let Some(Entry {
            stage: Stage::Errand(errand),
            ..
        }) = self.jobs.get_mut(&job)
        {
            errand.reply = Some(reply);
            self.deliver(job);
        }
    }

    /// Sends as many rows of an errand as its client has granted, and then its answer.
    pub(super) fn deliver(&mut self, job: JobId) {
        let Some(Entry {
            stage: Stage::Errand(errand),
            waiters,
            ..
        }) = self.jobs.get_mut(&job)
        else {
            return;
        };
        if let Some(waiter) = waiters.first_mut() {
            let count = errand.rows.len().min(waiter.rows);
            let rows: Vec<String> = errand.rows.drain(..count).collect();
            waiter.rows -= count;
            let freed = rows.iter().map(|row| row_size(row) as usize).sum();
            errand.line.room().add_permits(freed);
            if let Holder::Client(client, place) = waiter.holder
                && count > 0
            {
                self.outbox.push(client, place, Event::Interim(Interim::Rows(rows)));
            }
        }
        if errand.rows.is_empty()
            && let Some(reply) = errand.reply.take()
        {
            self.end(job, reply);
        }
    }

    /// A description of a lane.
    pub(in crate::engine) fn lane_spec(&self, lane: LaneId) -> &OwnLane {
        &self.lanes[lane].spec
    }

    /// What each lane is doing.
    pub(in crate::engine) fn lane_metrics(&self) -> impl Iterator<Item = &Arc<LaneMetrics>> {
        self.lanes.iter().map(|lane| {
            lane.metrics.running.store(lane.under_way as u64, Relaxed);
            lane.metrics.waiting.store(lane.waiting.len() as u64, Relaxed);
            &lane.metrics
        })
    }
}
