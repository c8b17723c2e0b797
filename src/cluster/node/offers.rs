//! The parts of this node's plans that other nodes may work on: offered as many as they can begin, done again when
//! nothing is heard of them, and absorbed once. Knows no job.

use super::messages::{RECALLED_SUBJECT, recalled_to_bytes};
use super::{Node, NodeEvent, now};
use crate::cluster::entry::{NodeEntry, PartNews, digest, read_part_news};
use crate::cluster::links::{Links, PART_SILENT};
use crate::cluster::part_worker::{DIGEST, NUMBER, OWNER, PartWorker, QUESTION, WORK};
use crate::engine::{ClusterEvent, Part, PartId, Scheduler};
use crate::job::PART_SLICES;
use crate::metrics::Metrics;
use actix::prelude::*;
use async_nats::{Client, HeaderMap, HeaderValue, Subject};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A part that nobody has begun for this long is done again.
const PART_UNTAKEN: Duration = Duration::from_secs(20);

/// After a part that could not be sent none is offered for this long: NATS may be full, or take no message as large as
/// it.
const PARTS_HELD: Duration = Duration::from_secs(2);

/// Workers of others that are counted on at the most, whatever they say.
const MAX_FREE: usize = 10_000;

/// Parts offered for each worker of another node that is free: one that is worked on, and those that are next.
const PARTS_A_WORKER: usize = 3;

/// What is offered, and what became of it.
pub(super) struct Offers {
    /// This process of this node: parts of an earlier one are of no use.
    owner: String,
    client: Client,
    scheduler: Addr<Scheduler>,
    metrics: Arc<Metrics>,
    /// Does parts again to check them.
    worker: Arc<PartWorker>,
    /// The share of results that is checked.
    checked: f64,
    sent: BTreeMap<PartId, SentPart>,
    /// Nodes whose results are not taken.
    erred: BTreeSet<String>,
    /// Parts and workers, as the engine was last informed.
    wanted: (usize, usize),
    /// Until when no parts are offered.
    held: Option<Instant>,
}

/// A part that other nodes may work on.
struct SentPart {
    part: Part,
    since: Instant,
    /// When a node last said that it works on it.
    begun: Option<Instant>,
}

/// What came of checking a result.
pub(super) enum Verdict {
    /// It is to be absorbed.
    Right(Box<ClusterEvent>),
    /// This node errs.
    Wrong(String),
    /// Nobody knows.
    Unsure,
}

impl Offers {
    /// Nothing is offered yet. `owner` is this process of this node, `checked` the share of results that is checked.
    pub(super) fn new(
        owner: String,
        client: Client,
        scheduler: Addr<Scheduler>,
        metrics: Arc<Metrics>,
        worker: Arc<PartWorker>,
        checked: f64,
    ) -> Self {
        Self {
            owner,
            client,
            scheduler,
            metrics,
            worker,
            checked,
            sent: BTreeMap::new(),
            erred: BTreeSet::new(),
            wanted: (0, 0),
            held: None,
        }
    }

    /// This process of this node: parts of an earlier one are of no use.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Whether a node has erred.
    pub(super) fn errs(&self, node: &str) -> bool {
        self.erred.contains(node)
    }

    /// Sends a part to the nodes: one that is free takes it.
    pub(super) fn offer(&mut self, part: Part, links: Option<Links>, me: Addr<Node>) {
        let links = links.filter(|_| !self.is_held());
        // The words of a question may be any of a plan of somebody's own; a header is a line.
        let (Some(links), Ok(question)) = (links, part.question.parse::<HeaderValue>()) else {
            self.scheduler.do_send(ClusterEvent::PartLost(part.id));
            return self.hold();
        };
        let mut headers = HeaderMap::new();
        headers.insert(OWNER, self.owner.as_str());
        headers.insert(WORK, part.id.work.to_string().as_str());
        headers.insert(NUMBER, part.id.number.to_string().as_str());
        headers.insert(QUESTION, question);
        headers.insert(DIGEST, digest(&part.bytes).to_string().as_str());
        let (id, bytes) = (part.id, Bytes::copy_from_slice(&part.bytes));
        let cluster = &self.metrics.cluster;
        cluster.parts_sent.fetch_add(1, Relaxed);
        cluster.bytes_sent.fetch_add(bytes.len() as u64, Relaxed);
        self.sent.insert(
            id,
            SentPart {
                part,
                since: now(),
                begun: None,
            },
        );
        tokio::spawn(async move {
            if !links.send_part(headers, bytes).await {
                me.do_send(NodeEvent::NotSent(id));
            }
        });
    }

    /// No parts are offered for a while: those that come are lost at once, and the engine is to make no more.
    fn hold(&mut self) {
        if !self.is_held() {
            self.held = Some(now() + PARTS_HELD);
            self.want(0, 0);
        }
    }

    fn is_held(&self) -> bool {
        self.held.is_some_and(|until| now() < until)
    }

    /// Says to all nodes that a part is of no use any more.
    pub(super) fn recall(&mut self, id: PartId) {
        self.sent.remove(&id);
        let (client, message) = (self.client.clone(), recalled_to_bytes(&self.owner, id));
        tokio::spawn(async move { client.publish(RECALLED_SUBJECT, message.into()).await });
    }

    /// A part is not done elsewhere.
    fn lose(&mut self, id: PartId) {
        if self.sent.remove(&id).is_some() {
            self.metrics.cluster.parts_lost.fetch_add(1, Relaxed);
            self.scheduler.do_send(ClusterEvent::PartLost(id));
        }
    }

    /// Nothing is done elsewhere any more.
    pub(super) fn lose_all(&mut self) {
        let all: Vec<PartId> = self.sent.keys().copied().collect();
        all.into_iter().for_each(|id| self.lose(id));
        self.want(0, 0);
    }

    /// Informs the engine how many parts are wanted, if that has changed.
    fn want(&mut self, parts: usize, workers: usize) {
        if self.wanted != (parts, workers) {
            self.wanted = (parts, workers);
            self.scheduler.do_send(ClusterEvent::Wanted { parts, workers });
        }
    }

    /// A node says that it has begun a part, or done it.
    pub(super) fn receive(&mut self, bytes: &[u8], reply: Option<Subject>, me: Addr<Node>) {
        if let Some(reply) = reply {
            let client = self.client.clone();
            tokio::spawn(async move { client.publish(reply, Bytes::new()).await });
        }
        let Some((work, number, node, news)) = read_part_news(bytes) else {
            return tracing::warn!("a node sent a result that was changed on its way");
        };
        let id = PartId { work, number };
        let Some(sent) = self.sent.get_mut(&id) else { return };
        match news {
            PartNews::Begun => {
                if sent.begun.replace(now()).is_none() {
                    self.scheduler.do_send(ClusterEvent::PartBegun(id));
                }
            }
            PartNews::Refused => self.lose(id),
            PartNews::Done(..) if self.erred.contains(&node) => self.lose(id),
            PartNews::Done(result, cpu) => {
                let Some(SentPart { part, since, .. }) = self.sent.remove(&id) else {
                    return;
                };
                // Two of its slices run at once at the most, so it took at most twice the time it was away.
                let cpu = cpu.min(now().saturating_duration_since(since) * PART_SLICES as u32);
                let cluster = &self.metrics.cluster;
                cluster.parts_absorbed.fetch_add(1, Relaxed);
                cluster.bytes_received.fetch_add(result.len() as u64, Relaxed);
                let done = ClusterEvent::PartDone {
                    id,
                    result: result.clone(),
                    cpu,
                    node: node.clone(),
                };
                if fastrand::f64() < self.checked {
                    self.check(part, result, node, done, me);
                } else {
                    self.scheduler.do_send(done);
                }
            }
        }
    }

    /// Does a part again here, before its result is absorbed. If that is another result, and so once more, then the
    /// node errs; if the two differ, it is this one.
    fn check(&self, part: Part, result: Vec<u8>, node: String, done: ClusterEvent, me: Addr<Node>) {
        let parts = self.worker.clone();
        self.metrics.cluster.parts_checked.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            let again = parts.check(&part).await;
            let verdict = if again.as_ref() == Some(&result) {
                Verdict::Right(Box::new(done))
            } else if again.is_some() && parts.check(&part).await == again {
                Verdict::Wrong(node)
            } else {
                Verdict::Unsure
            };
            me.do_send(NodeEvent::Checked(part.id, verdict));
        });
    }

    /// A part could not be sent.
    pub(super) fn not_sent(&mut self, id: PartId) {
        self.lose(id);
        self.hold();
    }

    /// A result was checked.
    pub(super) fn decided(&mut self, part: PartId, verdict: Verdict) {
        match verdict {
            Verdict::Right(done) => self.scheduler.do_send(*done),
            Verdict::Wrong(node) => {
                self.scheduler.do_send(ClusterEvent::PartLost(part));
                if self.erred.insert(node.clone()) {
                    tracing::error!(
                        node,
                        work = part.work,
                        part = part.number,
                        "a node errs: its result of a part is another one than this node's, twice; nothing of it is taken any more, and jobs \
                         with parts of it start over"
                    );
                    self.scheduler.do_send(ClusterEvent::Erred { node });
                }
            }
            Verdict::Unsure => {
                tracing::error!(
                    work = part.work,
                    part = part.number,
                    "this node comes to no result of a part, or to two: it is done again; check its memory if this is said again"
                );
                self.scheduler.do_send(ClusterEvent::PartLost(part));
            }
        }
    }

    /// Parts that come too late are lost, and as many are wanted as these other nodes can do.
    pub(super) fn tick<'a>(&mut self, others: impl Iterator<Item = &'a NodeEntry>, is_connected: bool) {
        let now = now();
        let late = self.sent.iter().filter(|(_, sent)| match sent.begun {
            Some(heard) => now.saturating_duration_since(heard) > PART_SILENT,
            None => now.saturating_duration_since(sent.since) > PART_UNTAKEN,
        });
        let late: Vec<PartId> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.lose(id);
            // It may be why the node died that had it: no other is to begin it.
            self.recall(id);
        }
        if is_connected && !self.is_held() {
            let free = others
                .filter(|node| node.version == env!("CARGO_PKG_VERSION") && !self.errs(&node.name))
                .fold(0, |free: usize, node| free.saturating_add(node.free))
                .min(MAX_FREE);
            self.want(PARTS_A_WORKER * free, free);
        }
    }
}
