//! Does the parts of other nodes' jobs that come from the queue: as many at once as there are workers, while this
//! daemon has no long job of its own. Each becomes a job of the engine, which has its share of the CPU as any other.

use super::entry::{PartNews, is_node_name, part_news_to_bytes};
use super::links::{LIMIT, Links, PART_SILENT};
use super::part_tables::KnownTables;
use crate::caught::caught_in;
use crate::engine::{Part, PartId, Subject, Work};
use crate::job::{Job, PartResult, PartTables, Spent};
use crate::proto::Interim;
use crate::verb::{DaemonView, Engine, Registry};
use async_nats::HeaderMap;
use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a free worker waits for a part before it asks again.
const ASK: Duration = Duration::from_secs(2);

/// Parts that are remembered because they need not be begun.
const MAX_RECALLED: usize = 10_000;

/// A part that does not come further for this long, or waits for its tables, is given back.
const STALLED: Duration = Duration::from_secs(60);

/// A worker that could not do a part, or has one of its own node, takes the next one after this: others may be able to.
const REFUSED: Duration = Duration::from_secs(1);

/// Headers of a part.
pub(super) const OWNER: &str = "Primed-Owner";
pub(super) const WORK: &str = "Primed-Work";
pub(super) const NUMBER: &str = "Primed-Number";
pub(super) const QUESTION: &str = "Primed-Question";
pub(super) const DIGEST: &str = "Primed-Digest";

/// Does parts.
pub(super) struct PartWorker {
    engine: Engine,
    registry: Registry,
    daemon: DaemonView,
    name: String,
    tables: Arc<KnownTables>,
    /// Parts that are of no use any more, by owner.
    recalled: Mutex<VecDeque<(String, PartId)>>,
    changed: Notify,
    running: AtomicUsize,
    done: AtomicU64,
    is_draining: AtomicBool,
}

/// Counts a part, or the making of tables, as running for as long as it lives: as no job of this node's own clients.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A part that was taken from the queue.
struct Taken {
    owner: String,
    id: PartId,
    question: String,
}

/// A part that this node keeps: it says so often enough that neither the queue gives it to another nor its owner does
/// it again.
struct Kept<'a> {
    links: &'a Links,
    message: &'a Message,
    subject: String,
    begun: Bytes,
    said: Instant,
}

impl<'a> Kept<'a> {
    async fn begin(links: &'a Links, message: &'a Message, subject: String, begun: Bytes) -> Self {
        let _ = links.client.publish(subject.clone(), begun.clone()).await;
        Self {
            links,
            message,
            subject,
            begun,
            said: Instant::now(),
        }
    }

    /// Says it again, if it is time.
    async fn keep(&mut self) {
        if self.said.elapsed() > PART_SILENT / 3 {
            self.said = Instant::now();
            let _ = self.message.ack_with(AckKind::Progress).await;
            let _ = self
                .links
                .client
                .publish(self.subject.clone(), self.begun.clone())
                .await;
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.as_str())
}

impl Taken {
    fn read(message: &Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let digest: u64 = header(headers, DIGEST)?.parse().ok()?;
        if super::entry::digest(&message.payload) != digest {
            return None;
        }
        let owner = header(headers, OWNER)?;
        let (name, incarnation) = owner.split_once('.')?;
        if !is_node_name(name) || u64::from_str_radix(incarnation, 16).is_err() {
            return None;
        }
        Some(Self {
            owner: owner.to_owned(),
            id: PartId {
                work: header(headers, WORK)?.parse().ok()?,
                number: header(headers, NUMBER)?.parse().ok()?,
            },
            question: header(headers, QUESTION)?.to_owned(),
        })
    }
}

impl PartWorker {
    pub(super) fn new(engine: Engine, registry: Registry, daemon: DaemonView, name: String) -> Self {
        Self {
            engine,
            registry,
            daemon,
            name,
            tables: Arc::default(),
            recalled: Mutex::default(),
            changed: Notify::new(),
            running: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
        }
    }

    /// Parts done since the start.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Long jobs of this daemon's own clients that are worked on.
    pub(super) fn own_jobs(&self) -> u64 {
        let running = self.daemon.metrics.states.running.load(Relaxed);
        running.saturating_sub(self.running.load(Relaxed) as u64)
    }

    /// Workers that are free for parts.
    pub(super) fn free(&self) -> usize {
        match self.own_jobs() == 0 && !self.is_draining.load(Relaxed) {
            true => self.daemon.workers,
            false => 0,
        }
    }

    /// Lets go of the tables of questions whose parts come no more.
    pub(super) fn forget_old_tables(&self) {
        self.tables.forget_old(Instant::now());
    }

    /// No more parts are taken, and those under way are given back.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
        self.changed.notify_waiters();
    }

    /// A part is of no use any more.
    pub(super) fn recalled(&self, owner: String, id: PartId) {
        let mut recalled = self.recalled.lock().unwrap_or_else(PoisonError::into_inner);
        if recalled.len() >= MAX_RECALLED {
            recalled.pop_front();
        }
        recalled.push_back((owner, id));
        drop(recalled);
        self.changed.notify_waiters();
    }

    fn is_own(&self, taken: &Taken) -> bool {
        taken.owner.split_once('.').is_some_and(|(name, _)| name == self.name)
    }

    /// Whether a part need not be done here: it is of no use any more, or this node ends.
    fn is_needless(&self, taken: &Taken) -> bool {
        let recalled = self.recalled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = |(owner, id): &(String, PartId)| *id == taken.id && *owner == taken.owner;
        self.is_draining.load(Relaxed) || recalled.iter().any(is_this)
    }

    /// How a part leaves the queue that need not be begun here: for another node if this one ends, else for good.
    fn needless_ack(&self) -> AckKind {
        match self.is_draining.load(Relaxed) {
            true => AckKind::Nak(None),
            false => AckKind::Ack,
        }
    }

    /// Takes parts and does them, for as long as the connection is there: the loop of one worker.
    pub(super) async fn run(self: Arc<Self>, links: Links) {
        while !self.is_draining.load(Relaxed) {
            if self.free() == 0 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            let Some(queue) = links.parts().await else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let Ok(mut messages) = queue.fetch().max_messages(1).expires(ASK).messages().await else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            while let Some(Ok(message)) = messages.next().await {
                self.take(&links, &message).await;
            }
        }
    }

    /// Does one part, says so to its owner, and takes it out of the queue.
    async fn take(self: &Arc<Self>, links: &Links, message: &Message) {
        let Some(taken) = Taken::read(message) else {
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        if self.is_needless(&taken) {
            let _ = message.ack_with(self.needless_ack()).await;
            return;
        }
        if self.is_own(&taken) {
            // It has slices of the same job to do, and stops asking. Where no other node is free, this one gets it
            // again at once.
            let _ = message.ack_with(AckKind::Nak(None)).await;
            tokio::time::sleep(REFUSED).await;
            return;
        }
        let subject = node_subject(&taken.owner);
        let say = |news: PartNews| part_news_to_bytes(taken.id.work, taken.id.number, &self.name, &news);
        let mut kept = Kept::begin(links, message, subject.clone(), say(PartNews::Begun).into()).await;
        let done = {
            let _running = Running::new(&self.running);
            let done = caught_in(self.work(&mut kept, &taken)).await;
            done.unwrap_or_else(|_| Some(Err("its plan panicked".to_owned())))
        };
        let done = done.map(|done| {
            let news = done.map(|(result, cpu)| say(PartNews::Done(result, cpu)))?;
            match news.len() <= links.client.max_payload() {
                true => Ok(news),
                false => Err("its result is larger than NATS takes: raise max_payload there".to_owned()),
            }
        });
        match done {
            Some(Ok(news)) => {
                self.done.fetch_add(1, Relaxed);
                // The owner says that it has it; if it is gone, nobody needs it.
                let heard = tokio::time::timeout(LIMIT, links.client.request(subject, news.into())).await;
                if !matches!(heard, Ok(Ok(_))) {
                    tracing::debug!(
                        owner = taken.owner,
                        work = taken.id.work,
                        part = taken.id.number,
                        "nobody takes the result of a part"
                    );
                }
                let _ = message.ack().await;
            }
            Some(Err(reason)) => {
                tracing::warn!(
                    owner = taken.owner,
                    question = taken.question.get(..100).unwrap_or(&taken.question),
                    reason,
                    "a part cannot be done here"
                );
                let _ = links.client.publish(subject, say(PartNews::Refused).into()).await;
                let _ = message.ack_with(AckKind::Term).await;
                tokio::time::sleep(REFUSED).await;
            }
            // It is of no use any more, or this node ends: its owner does not wait for another to take it.
            None => {
                let _ = links.client.publish(subject, say(PartNews::Refused).into()).await;
                let _ = message.ack().await;
            }
        }
    }

    /// The job of a question, made of its words again.
    fn job(&self, question: &str) -> Result<Job, String> {
        let subject = self
            .registry
            .read_again(question, &self.daemon)
            .map_err(|failure| failure.text.into_owned())?;
        match subject {
            Subject::Work(Work::Plan(job)) => Ok(job),
            _ => Err("this question has no parts".to_owned()),
        }
    }

    /// What a part comes to: done again by the node that it is of.
    pub(super) async fn check(&self, part: &Part) -> Option<Vec<u8>> {
        caught_in(self.do_again(part)).await.ok().flatten()
    }

    async fn do_again(&self, part: &Part) -> Option<Vec<u8>> {
        let result = PartResult::default();
        let (question, PartId { work, number }) = (&part.question, part.id);
        let title = format!("check of part {work}.{number} of {question}");
        let job = self.job(question).ok()?;
        let part = job
            .part(title, part.bytes.clone(), Arc::default(), result.clone())
            .ok()?;
        self.engine.ask(part).await.ok()?;
        result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// `None`: it need not be done any more.
    async fn work(self: &Arc<Self>, kept: &mut Kept<'_>, taken: &Taken) -> Option<Result<(Vec<u8>, Duration), String>> {
        let (result, spent) = (PartResult::default(), Spent::default());
        let part: Arc<[u8]> = kept.message.payload.to_vec().into();
        let job = match self.job(&taken.question) {
            Ok(job) => job,
            Err(reason) => return Some(Err(reason)),
        };
        let begun = Instant::now();
        let (tables, making) = loop {
            if self.is_needless(taken) {
                return None;
            }
            if begun.elapsed() > STALLED {
                return Some(Err("its tables are not made".to_owned()));
            }
            kept.keep().await;
            let made = self.tables.next_made();
            let (tables, is_new) = self.tables.of(&taken.question);
            match job.part_needs_tables(&part, &tables) {
                Ok(true) => {}
                Ok(false) => {
                    if is_new {
                        self.make_tables(&taken.question, &tables);
                    }
                    break (tables, None);
                }
                Err(damaged) => return Some(Err(damaged.to_string())),
            }
            if let Some(making) = self.tables.making(&taken.question) {
                break (tables, Some(making));
            }
            // They may be made long before the part that makes them ends.
            let _ = tokio::time::timeout(Duration::from_millis(100), made).await;
        };
        let title = format!(
            "part {}.{} of {} for node {}",
            taken.id.work, taken.id.number, taken.question, taken.owner
        );
        let done = match job.part(title, part, tables, result.clone()) {
            Ok(part) => self.play(kept, taken, part.counted(spent.clone())).await,
            Err(damaged) => Some(Err(damaged.to_string())),
        };
        // Also if this is given up midway, as when NATS is gone.
        drop(making);
        match done? {
            Ok(()) => match result.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(result) => Some(Ok((planted_fault(result), Duration::from_nanos(spent.load(Relaxed))))),
                None => Some(Err("its plan has no result".to_owned())),
            },
            Err(reason) => Some(Err(reason)),
        }
    }

    /// Runs the job, and keeps the part while it moves.
    async fn play(&self, kept: &mut Kept<'_>, taken: &Taken, job: Job) -> Option<Result<(), String>> {
        let mut events = self.engine.ask(job).progress(Duration::from_secs(1)).events();
        let (mut done, mut moved) = (0.0, Instant::now());
        loop {
            // Made before the look, so that nothing that changes meanwhile is missed.
            let changed = self.changed.notified();
            if self.is_needless(taken) {
                return None;
            }
            kept.keep().await;
            let event = tokio::select! {
                event = tokio::time::timeout(Duration::from_secs(1), events.next()) => event,
                () = changed => continue,
            };
            match event {
                Ok(Some(crate::engine::Event::Final(Ok(_)))) => return Some(Ok(())),
                Ok(Some(crate::engine::Event::Final(Err(failure)))) => return Some(Err(failure.text.into_owned())),
                Ok(Some(crate::engine::Event::Interim(Interim::Progress { done: now, .. }))) => {
                    if now > done {
                        (done, moved) = (now, Instant::now());
                    }
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => return Some(Err("the engine has ended".to_owned())),
            }
            if moved.elapsed() > STALLED {
                return Some(Err("it does not come further".to_owned()));
            }
        }
    }

    /// Makes the tables of a question beside its first part, which needs none: others will.
    fn make_tables(self: &Arc<Self>, question: &str, tables: &Arc<PartTables>) {
        let job = self.job(question).ok();
        let job = job.and_then(|job| job.tables(format!("tables of {question}"), tables.clone()));
        let Some(job) = job.filter(|_| self.daemon.workers > 1) else {
            return;
        };
        let Some(making) = self.tables.making(question) else {
            return;
        };
        let worker = self.clone();
        tokio::spawn(async move {
            let _running = Running::new(&worker.running);
            let _ = worker.engine.ask(job).await;
            drop(making);
        });
    }
}

/// In builds for tests, a result that is wrong if the environment asks for it.
fn planted_fault(mut result: Vec<u8>) -> Vec<u8> {
    if cfg!(debug_assertions)
        && std::env::var_os("PLANT_WRONG_PARTS").is_some()
        && let Some(last) = result.iter_mut().rev().find(|byte| **byte != 0)
    {
        *last ^= 1;
    }
    result
}

/// Where a node hears of its parts.
pub(super) fn node_subject(node: &str) -> String {
    format!("primed.node.{node}")
}
