//! The scheduler beside a cluster of daemons: parts are offered, and what other daemons did is heard.

use super::{Scheduler, now};
use crate::caught::caught;
use crate::engine::cluster::{AskProgress, ClusterEvent, EngineEvent, EngineEvents};
use crate::engine::text::lost;
use crate::store::{KeptAnswer, StoredJob};
use actix::prelude::*;
use std::mem;
use std::time::Instant;

/// The way to the cluster, and what is to be said to it.
pub(super) struct ClusterLink {
    pub(super) to: Recipient<EngineEvents>,
    pub(super) events: Vec<EngineEvent>,
    /// Parts that may be offered at once.
    pub(super) parts: usize,
    /// Workers of other nodes that are free for them.
    pub(super) workers: usize,
}

impl Scheduler {
    /// Cuts parts for the cluster, as many as it wants.
    pub(super) fn offer_parts(&mut self) {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.parts > 0) else {
            return;
        };
        let wanted = cluster.parts.saturating_sub(self.table.parts());
        for _ in 0..wanted {
            let Some(part) = self.table.next_part(cluster.workers, now()) else {
                break;
            };
            cluster.events.push(EngineEvent::Offered(part));
        }
    }

    /// Reports to the cluster what has happened.
    pub(super) fn share(&mut self) {
        let (recalled, cancels) = (self.table.take_recalled(), self.table.take_cancels());
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.events.extend(recalled.into_iter().map(EngineEvent::Recalled));
        cluster.events.extend(cancels.into_iter().map(EngineEvent::Cancelled));
        if !cluster.events.is_empty() {
            cluster.to.do_send(EngineEvents(mem::take(&mut cluster.events)));
        }
    }

    /// Does what the cluster says.
    fn hear(&mut self, event: ClusterEvent, now: Instant) {
        match event {
            ClusterEvent::Joined { to } => {
                self.table.join(now);
                self.cluster = Some(ClusterLink {
                    to,
                    events: vec![EngineEvent::Began(self.table.submitted_here())],
                    parts: 0,
                    workers: 0,
                });
            }
            ClusterEvent::Numbered(node) => self.table.set_node(node),
            ClusterEvent::Wanted { parts, workers } => {
                if let Some(cluster) = &mut self.cluster {
                    (cluster.parts, cluster.workers) = (parts, workers);
                }
            }
            ClusterEvent::PartDone { id, result, cpu, node } => {
                self.table.absorb_part(id, &result, cpu, &node, now);
            }
            ClusterEvent::PartBegun(id) => self.table.part_begun(id, now),
            ClusterEvent::PartLost(id) => self.table.part_lost(id, now),
            ClusterEvent::Erred { node } => self.start_over(&node, now),
            ClusterEvent::Away { job, node } => self.table.set_away(*job, node, now),
            ClusterEvent::Advanced(progress) => self.table.advance_away(progress, now),
            ClusterEvent::Ended(ended) => self.table.end_away(ended.0, ended.1, now),
            ClusterEvent::EndShared(job) => self.table.end_shared(job, now),
            ClusterEvent::NotCancelled(job) => self.table.not_cancelled(job, now),
            ClusterEvent::TakenOver(stored) => {
                if let Some(link) = &self.store {
                    self.table.take_over((link.rebuild)(*stored), now);
                }
            }
            ClusterEvent::Forgotten(job) => self.table.forget_away(job, now),
            ClusterEvent::Answer(answer) => self.take_answer(*answer),
        }
    }

    /// Jobs with parts that a node has done which errs start over: nothing that was absorbed of them is trusted.
    fn start_over(&mut self, node: &str, now: Instant) {
        for (work, title) in self.table.contributed_to(node) {
            tracing::error!(
                request = title,
                node,
                "starts over: a node that has done parts of it errs"
            );
            let subject = match &self.store {
                Some(link) => (link.rebuild)(StoredJob::of_request(title)).subject,
                None => Err(lost()),
            };
            self.table.start_over(work, subject, now);
        }
    }

    /// Keeps an answer that another node has found, or gives one no more that was refuted there.
    fn take_answer(&mut self, answer: KeptAnswer) {
        if !answer.is_refuted {
            self.answers.keep(answer.title.clone(), answer.value.clone());
            return self.keep_for_good(answer);
        }
        // Nodes of earlier versions do not say when.
        let at = Some(answer.found_at).filter(|at| at.millis() > 0);
        self.table.refute(&answer.title, at);
        if let (Some(link), Some(record)) = (&mut self.store, self.answers.refute(&answer.title, at)) {
            link.journal.push(record);
        }
    }
}

impl Handler<ClusterEvent> for Scheduler {
    type Result = ();

    fn handle(&mut self, event: ClusterEvent, context: &mut Self::Context) {
        self.handle_by("news of the cluster", context, |this| this.hear(event, now()));
    }
}

impl Handler<AskProgress> for Scheduler {
    type Result = MessageResult<AskProgress>;

    fn handle(&mut self, _: AskProgress, _: &mut Self::Context) -> Self::Result {
        MessageResult(caught(|| self.table.progress_here()).unwrap_or_default())
    }
}
