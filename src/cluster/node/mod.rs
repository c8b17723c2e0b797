//! The actor of a node: between the engine, the rules about jobs, and the connection. Knows no plan.

use super::entry::{
    JobEntry, MAX_NAME, NodeEntry, OwnerEntry, PartNews, answer_to_bytes, digest, read_answer, read_part_news,
};
use super::links::{ACK_WAIT, LIMIT, Links, name_subject};
use super::member::{Command, Entry, Input, Member, Notice};
use super::part_worker::{DIGEST, NUMBER, OWNER, PartWorker, QUESTION, WORK, node_subject};
use super::{ClusterError, ClusterSettings};
use crate::engine::{
    AskProgress, ClusterEvent, EngineEvent, EngineEvents, JobProgress, Part, PartId, Scheduler, caught,
};
use crate::metrics::NodeView;
use crate::store::JobId;
use crate::verb::Facts;
use actix::prelude::*;
use async_nats::jetstream::kv;
use async_nats::{Client, HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How often a node looks at its jobs and parts.
const TICK: Duration = Duration::from_millis(250);

/// How often it says what it is.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How often it says how far its jobs are.
const PROGRESS: Duration = Duration::from_secs(1);

/// A part that was begun and of which nothing is heard for this long is done again.
const PART_SILENT: Duration = ACK_WAIT;

/// A part that nobody has begun for this long is done again.
const PART_UNTAKEN: Duration = Duration::from_secs(20);

/// After a part that could not be sent none is offered for this long: NATS may be full, or take no message as large as it.
const PARTS_HELD: Duration = Duration::from_secs(2);

/// Workers of others that are counted on at the most, whatever they say.
const MAX_FREE: usize = 10_000;

/// Parts offered for each worker of another node that is free: one that is worked on, and those that are next.
const PARTS_A_WORKER: usize = 3;

/// Characters that are kept of what a job elsewhere is at.
const MAX_STAGE: usize = 200;

/// Where nodes say how far their jobs are.
const PROGRESS_SUBJECT: &str = "primed.progress";

/// Where they say that a part is of no use any more.
const RECALLED_SUBJECT: &str = "primed.recalled";

/// A node of a cluster.
pub(crate) struct Node {
    settings: ClusterSettings,
    /// Its number, and the mark of its data directory.
    number: Option<(u64, String)>,
    /// Of this process: parts of an earlier one of the same name are others.
    incarnation: u64,
    member: Member,
    client: Client,
    connected: watch::Receiver<bool>,
    links: Option<Links>,
    /// Counts the attempts to open what is shared: what came of an earlier one is of no use.
    opening: u64,
    /// Tasks of the present connection.
    session: Vec<tokio::task::AbortHandle>,
    scheduler: Addr<Scheduler>,
    parts: Arc<PartWorker>,
    facts: Facts,
    sent: BTreeMap<PartId, SentPart>,
    /// Nodes whose results are not taken.
    erred: BTreeSet<String>,
    spoken: Option<Instant>,
    reported: Instant,
    wanted: (usize, usize),
    /// Until when no parts are offered.
    held: Option<Instant>,
    is_draining: bool,
    settled: Option<oneshot::Sender<()>>,
}

/// A part that other nodes may work on.
struct SentPart {
    part: Part,
    since: Instant,
    /// When a node last said that it works on it.
    begun: Option<Instant>,
}

/// Something has happened to the connection, or came over it.
#[derive(Message)]
#[rtype(result = "()")]
enum Happened {
    Opened(u64, Box<Links>),
    NotOpened(u64, String),
    /// What is shared is to be opened again, unless that was begun since.
    Open(u64),
    Connection(bool),
    Member(Input),
    Part(Bytes, Option<async_nats::Subject>),
    Progress(Bytes),
    Recalled(Bytes),
    NotSent(PartId),
    Checked(PartId, Verdict),
}

/// What came of checking a result.
enum Verdict {
    /// It is to be absorbed.
    Right(Box<ClusterEvent>),
    /// This node errs.
    Wrong(String),
    /// Nobody knows.
    Unsure,
}

/// No job is taken over from now on, and no part is taken.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// Lets go of all jobs; answered once that is written.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Node {
    pub(super) fn new(
        settings: ClusterSettings,
        number: Option<(u64, String)>,
        client: Client,
        connected: watch::Receiver<bool>,
        scheduler: Addr<Scheduler>,
        parts: Arc<PartWorker>,
        facts: Facts,
    ) -> Self {
        Self {
            member: Member::new(settings.name.clone(), number.as_ref().map(|(number, _)| *number), now()),
            settings,
            number,
            incarnation: fastrand::u64(..),
            client,
            connected,
            links: None,
            opening: 0,
            session: Vec::new(),
            scheduler,
            parts,
            facts,
            sent: BTreeMap::new(),
            erred: BTreeSet::new(),
            spoken: None,
            reported: now(),
            wanted: (0, 0),
            held: None,
            is_draining: false,
            settled: None,
        }
    }

    /// Opens what is shared, after each connection; again, if that fails.
    fn open(&mut self, context: &Context<Self>) {
        self.opening += 1;
        let (client, me, opening) = (self.client.clone(), context.address(), self.opening);
        let (name, incarnation, number) = (self.settings.name.clone(), self.incarnation, self.number.clone());
        tokio::spawn(async move {
            let opened = async {
                let links = Links::open(client).await?;
                links.check_name(&name, Some(incarnation)).await?;
                // NATS may have lost it, and give it to the next new node.
                if let Some((number, mark)) = number {
                    links.number_of(&name, &mark, Some(number)).await?;
                }
                Ok::<_, ClusterError>(links)
            };
            me.do_send(match opened.await {
                Ok(links) => Happened::Opened(opening, Box::new(links)),
                Err(error) => Happened::NotOpened(opening, error.to_string()),
            });
        });
    }

    /// After a panic: everything that was known is learned again, from the engine and from the others.
    fn begin_again(&mut self, context: &Context<Self>) {
        tracing::error!(
            node = self.settings.name,
            "a fault in what this node does about its cluster: it begins again"
        );
        self.stop_session();
        self.links = None;
        self.opening += 1;
        let number = self.number.as_ref().map(|(number, _)| *number);
        self.member = Member::new(self.settings.name.clone(), number, now());
        if self.is_draining {
            self.member.handle(Input::Leave, now());
        }
        self.lose_all();
        self.scheduler.do_send(ClusterEvent::Joined {
            to: context.address().recipient(),
        });
        open_later(context.address(), self.opening);
    }

    /// Does what a message asks for. A panic in it, which is no part of any plan, costs the connection and not the cluster.
    fn safely(&mut self, context: &mut Context<Self>, act: impl FnOnce(&mut Self, &mut Context<Self>)) {
        if caught(|| act(self, context)).is_err() {
            self.begin_again(context);
        }
    }

    /// Begins to hear and to work, over a connection that is there.
    fn begin(&mut self, links: Links, context: &Context<Self>) {
        self.stop_session();
        self.member.handle(Input::Connected, now());
        tracing::info!(node = self.settings.name, "the cluster is there");
        let mut tasks = vec![tokio::spawn(watch_entries(
            links.clone(),
            context.address(),
            self.opening,
        ))];
        tasks.push(tokio::spawn(hear(
            links.client.clone(),
            self.owner(),
            name_subject(&self.settings.name),
            context.address(),
        )));
        for _ in 0..self.facts.workers {
            tasks.push(tokio::spawn(self.parts.clone().run(links.clone())));
        }
        self.session = tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        self.links = Some(links);
        self.spoken = None;
    }

    fn stop_session(&mut self) {
        self.session.drain(..).for_each(|task| task.abort());
    }

    /// Does what the rules say.
    fn act(&mut self, context: &Context<Self>) {
        for command in self.member.take_commands() {
            if let Command::Notify(notice) = command {
                self.notify(*notice);
                continue;
            }
            let Some(links) = self.links.clone() else { continue };
            let me = context.address();
            match command {
                Command::Put {
                    serial,
                    job,
                    entry,
                    revision,
                    bytes,
                } => {
                    tokio::spawn(async move {
                        let store = match entry {
                            Entry::Job => &links.jobs,
                            Entry::Owner => &links.owners,
                        };
                        let written = Links::put(store, &job.to_string(), revision, bytes).await;
                        me.do_send(Happened::Member(Input::Written(job, serial, written)));
                    });
                }
                Command::Forget(job) => {
                    tokio::spawn(async move { tokio::time::timeout(LIMIT, links.jobs.purge(job.to_string())).await });
                }
                Command::Clear(job) => {
                    tokio::spawn(async move { links.clear(job).await });
                }
                Command::Save(checkpoint) => {
                    tokio::spawn(async move {
                        let is_saved = links.save(&checkpoint).await;
                        me.do_send(Happened::Member(Input::Saved(checkpoint.job, is_saved)));
                    });
                }
                Command::Load(job) => {
                    tokio::spawn(async move {
                        let loaded = links.load(job).await;
                        me.do_send(Happened::Member(Input::Loaded(job, loaded)));
                    });
                }
                Command::Share(answer) => {
                    let key = format!("{:016x}", digest(answer.title.as_bytes()));
                    let bytes = answer_to_bytes(&answer);
                    tokio::spawn(
                        async move { tokio::time::timeout(LIMIT, links.answers.put(key, bytes.into())).await },
                    );
                }
                Command::Notify(_) => {}
            }
        }
        if let Some(settled) = self.settled.take() {
            match self.member.is_settled() || !self.member.is_connected() {
                true => drop(settled.send(())),
                false => self.settled = Some(settled),
            }
        }
    }

    fn notify(&self, notice: Notice) {
        let event = match notice {
            Notice::Away(job, node) => {
                tracing::debug!(job = %job.submission.job, node, "another node works on a job");
                ClusterEvent::Away {
                    job: Box::new(job),
                    node,
                }
            }
            Notice::Ended(job, end) => ClusterEvent::Ended(Box::new((job, end))),
            Notice::TakenOver(job) => {
                let done = job.checkpoint.as_ref().map_or(0.0, |checkpoint| checkpoint.progress);
                tracing::info!(job = %job.submission.job, done, "goes on with a job of another node");
                ClusterEvent::TakenOver(Box::new(job))
            }
            Notice::Forgotten(job) => ClusterEvent::Forgotten(job),
            Notice::Answer(answer) => ClusterEvent::Answer(Box::new(answer)),
        };
        self.scheduler.do_send(event);
    }

    fn happened(&mut self, happened: Happened, context: &Context<Self>) {
        match happened {
            Happened::Connection(true) => self.open(context),
            Happened::Open(opening) if opening == self.opening && *self.connected.borrow() => self.open(context),
            Happened::Open(_) => {}
            Happened::Connection(false) if self.links.is_none() => self.opening += 1,
            Happened::Connection(false) => {
                self.opening += 1;
                tracing::warn!(
                    node = self.settings.name,
                    "NATS is gone: this node goes on alone until it is back"
                );
                self.stop_session();
                self.links = None;
                self.member.handle(Input::Disconnected, now());
                self.lose_all();
                self.show();
            }
            Happened::Opened(opening, links) if opening == self.opening => self.begin(*links, context),
            Happened::NotOpened(opening, error) if opening == self.opening => {
                tracing::error!(error, "the cluster cannot be used; trying again");
                open_later(context.address(), opening);
            }
            Happened::Opened(..) | Happened::NotOpened(..) => {}
            Happened::Member(input) => self.member.handle(input, now()),
            Happened::Part(bytes, reply) => self.heard_part(&bytes, reply, context),
            Happened::Progress(bytes) => self.heard_progress(&bytes),
            Happened::Recalled(bytes) => {
                if let Some((owner, id)) = read_recalled(&bytes)
                    && owner != self.owner()
                {
                    self.parts.recalled(owner, id);
                }
            }
            Happened::NotSent(id) => {
                self.lose(id);
                self.hold();
            }
            Happened::Checked(_, Verdict::Right(done)) => self.scheduler.do_send(*done),
            Happened::Checked(part, Verdict::Wrong(node)) => {
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
            Happened::Checked(part, Verdict::Unsure) => {
                tracing::error!(
                    work = part.work,
                    part = part.number,
                    "this node comes to no result of a part, or to two: it is done again; check its memory if this is said again"
                );
                self.scheduler.do_send(ClusterEvent::PartLost(part));
            }
        }
        self.act(context);
    }

    /// This process of this node: parts of an earlier one are of no use.
    fn owner(&self) -> String {
        format!("{}.{:x}", self.settings.name, self.incarnation)
    }

    fn offer(&mut self, part: Part, context: &Context<Self>) {
        let links = self.links.clone().filter(|_| !self.is_held());
        // The words of a question may be any of a plan of somebody's own; a header is a line.
        let (Some(links), Ok(question)) = (links, part.question.parse::<HeaderValue>()) else {
            self.scheduler.do_send(ClusterEvent::PartLost(part.id));
            return self.hold();
        };
        let mut headers = HeaderMap::new();
        headers.insert(OWNER, self.owner().as_str());
        headers.insert(WORK, part.id.work.to_string().as_str());
        headers.insert(NUMBER, part.id.number.to_string().as_str());
        headers.insert(QUESTION, question);
        headers.insert(DIGEST, digest(&part.bytes).to_string().as_str());
        let (id, bytes, me) = (part.id, Bytes::copy_from_slice(&part.bytes), context.address());
        let cluster = &self.facts.metrics.cluster;
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
                me.do_send(Happened::NotSent(id));
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
    fn recall(&mut self, id: PartId) {
        self.sent.remove(&id);
        let (client, message) = (
            self.client.clone(),
            format!("{} {} {}", self.owner(), id.work, id.number),
        );
        tokio::spawn(async move { client.publish(RECALLED_SUBJECT, message.into()).await });
    }

    fn lose(&mut self, id: PartId) {
        if self.sent.remove(&id).is_some() {
            self.facts.metrics.cluster.parts_lost.fetch_add(1, Relaxed);
            self.scheduler.do_send(ClusterEvent::PartLost(id));
        }
    }

    fn lose_all(&mut self) {
        let all: Vec<PartId> = self.sent.keys().copied().collect();
        all.into_iter().for_each(|id| self.lose(id));
        self.want(0, 0);
    }

    fn want(&mut self, parts: usize, workers: usize) {
        if self.wanted != (parts, workers) {
            self.wanted = (parts, workers);
            self.scheduler.do_send(ClusterEvent::Wanted { parts, workers });
        }
    }

    fn heard_part(&mut self, bytes: &[u8], reply: Option<async_nats::Subject>, context: &Context<Self>) {
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
            PartNews::Begun => sent.begun = Some(now()),
            PartNews::Refused => self.lose(id),
            PartNews::Done(..) if self.erred.contains(&node) => self.lose(id),
            PartNews::Done(result, cpu) => {
                let Some(SentPart { part, since, .. }) = self.sent.remove(&id) else {
                    return;
                };
                // It cannot have taken longer than it was away.
                let cpu = cpu.min(now().saturating_duration_since(since));
                let cluster = &self.facts.metrics.cluster;
                cluster.parts_absorbed.fetch_add(1, Relaxed);
                cluster.bytes_received.fetch_add(result.len() as u64, Relaxed);
                let done = ClusterEvent::PartDone {
                    id,
                    result: result.clone(),
                    cpu,
                    node: node.clone(),
                };
                if fastrand::f64() < self.settings.check {
                    self.check(part, result, node, done, context);
                } else {
                    self.scheduler.do_send(done);
                }
            }
        }
    }

    /// Does a part again here, before its result is absorbed. If that is another result, and so once more, then the node errs; if the two
    /// differ, it is this one.
    fn check(&self, part: Part, result: Vec<u8>, node: String, done: ClusterEvent, context: &Context<Self>) {
        let (parts, me) = (self.parts.clone(), context.address());
        self.facts.metrics.cluster.parts_checked.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            let again = parts.check(&part).await;
            let verdict = if again.as_ref() == Some(&result) {
                Verdict::Right(Box::new(done))
            } else if again.is_some() && parts.check(&part).await == again {
                Verdict::Wrong(node)
            } else {
                Verdict::Unsure
            };
            me.do_send(Happened::Checked(part.id, verdict));
        });
    }

    fn heard_progress(&self, bytes: &[u8]) {
        let Some((node, progress)) = read_progress(bytes) else {
            return;
        };
        if node != self.settings.name {
            self.scheduler.do_send(ClusterEvent::Advanced(progress));
        }
    }

    /// Says what this node is.
    fn speak(&mut self) {
        let entry = self.entry();
        self.spoken = Some(now());
        if let Some(links) = self.links.clone() {
            tokio::spawn(async move {
                let bytes = entry.to_bytes();
                tokio::time::timeout(LIMIT, links.nodes.put(&entry.name, bytes.into())).await
            });
        }
    }

    fn entry(&self) -> NodeEntry {
        NodeEntry {
            name: self.settings.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            workers: self.facts.workers,
            free: self.parts.free(),
            running: self.parts.own_jobs(),
            owned: self.member.owned(),
            parts_done: self.parts.done(),
            is_worker_only: self.settings.is_worker_only,
        }
    }

    /// Shows the nodes to those who ask.
    fn show(&self) {
        let now = now();
        let view = |entry: &NodeEntry, heard: Duration| NodeView {
            name: entry.name.clone(),
            version: entry.version.clone(),
            workers: entry.workers,
            free: entry.free,
            running: entry.running,
            owned: entry.owned,
            parts_done: entry.parts_done,
            is_worker_only: entry.is_worker_only,
            errs: self.erred.contains(&entry.name),
            heard,
        };
        let me = view(&self.entry(), Duration::ZERO);
        let others = self
            .member
            .neighbours()
            .map(|node| view(&node.entry, now.saturating_duration_since(node.heard)));
        let nodes: Vec<NodeView> = std::iter::once(me).chain(others).collect();
        self.facts.metrics.cluster.set_nodes(nodes, self.member.is_connected());
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        let now = now();
        self.member.tick(now);
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
        if self.links.is_some() && !self.is_held() {
            let others = self
                .member
                .neighbours()
                .filter(|node| node.entry.version == env!("CARGO_PKG_VERSION"));
            let free = others
                .filter(|node| !self.erred.contains(&node.entry.name))
                .fold(0, |free: usize, node| free.saturating_add(node.entry.free))
                .min(MAX_FREE);
            self.want(PARTS_A_WORKER * free, free);
        }
        if !self.is_draining
            && self
                .spoken
                .is_none_or(|at| now.saturating_duration_since(at) >= HEARTBEAT)
        {
            self.speak();
        }
        if self.links.is_some() && now.saturating_duration_since(self.reported) >= PROGRESS {
            self.reported = now;
            self.say_progress(context);
        }
        self.show();
        self.act(context);
    }

    /// Says how far the jobs are that this node works on.
    fn say_progress(&self, context: &mut Context<Self>) {
        let (client, name) = (self.client.clone(), self.settings.name.clone());
        let asked = self.scheduler.send(AskProgress).into_actor(self);
        context.spawn(asked.map(move |jobs, _, _| {
            let Ok(jobs) = jobs else { return };
            tokio::spawn(async move {
                for progress in jobs {
                    let _ = client
                        .publish(PROGRESS_SUBJECT, progress_to_bytes(&name, &progress).into())
                        .await;
                }
            });
        }));
    }
}

/// After a second it is opened again.
fn open_later(me: Addr<Node>, opening: u64) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        me.do_send(Happened::Open(opening));
    });
}

fn progress_to_bytes(node: &str, progress: &JobProgress) -> Vec<u8> {
    let json = serde_json::json!({
        "node": node,
        "job": progress.job.0,
        "done": progress.done,
        "cpu_us": u64::try_from(progress.cpu.as_micros()).unwrap_or(u64::MAX),
        "stage": progress.stage,
    });
    json.to_string().into_bytes()
}

fn read_progress(bytes: &[u8]) -> Option<(String, JobProgress)> {
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let progress = JobProgress {
        job: JobId(json.get("job")?.as_u64()?),
        done: json.get("done")?.as_f64()?,
        cpu: Duration::from_micros(json.get("cpu_us")?.as_u64()?),
        stage: json
            .get("stage")
            .and_then(|stage| Some(stage.as_str()?.chars().take(MAX_STAGE).collect())),
    };
    Some((json.get("node")?.as_str()?.to_owned(), progress))
}

fn read_recalled(bytes: &[u8]) -> Option<(String, PartId)> {
    let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
    // The name of a node, and 16 digits.
    let owner = words.next().filter(|owner| owner.len() <= MAX_NAME + 17)?;
    let (work, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((owner.to_owned(), PartId { work, number }))
}

/// Brings what other nodes say of parts, and how far their jobs are.
async fn hear(client: Client, owner: String, name: String, me: Addr<Node>) {
    let parts = client.subscribe(node_subject(&owner)).await;
    let (Ok(mut parts), Ok(mut asked), Ok(mut progress), Ok(mut recalled)) = (
        parts,
        client.subscribe(name).await,
        client.subscribe(PROGRESS_SUBJECT).await,
        client.subscribe(RECALLED_SUBJECT).await,
    ) else {
        return;
    };
    loop {
        let happened = tokio::select! {
            Some(message) = parts.next() => Happened::Part(message.payload, message.reply),
            Some(message) = progress.next() => Happened::Progress(message.payload),
            Some(message) = recalled.next() => Happened::Recalled(message.payload),
            Some(message) = asked.next() => {
                if let Some(reply) = message.reply {
                    let _ = client.publish(reply, owner.clone().into()).await;
                }
                continue;
            }
            else => return,
        };
        // Not more than it can take: what comes too fast waits at the connection, which lets go of it.
        let _ = me.send(happened).await;
    }
}

/// Brings the entries of all nodes, first those that are there and then each that is written. If that ends, what is shared is opened
/// again: it may have been removed.
async fn watch_entries(links: Links, me: Addr<Node>, opening: u64) {
    let watched = watch_once(&links, &me).await;
    tracing::warn!(
        ?watched,
        "the entries of the cluster are not seen any more; opening them again"
    );
    open_later(me, opening);
}

async fn watch_once(links: &Links, me: &Addr<Node>) -> Result<(), ClusterError> {
    let refused = |error: &dyn std::error::Error| ClusterError::Refused(error.to_string());
    let stores = [&links.jobs, &links.owners, &links.nodes, &links.answers];
    let mut watches = Vec::new();
    let mut missing = BTreeSet::new();
    for (index, store) in stores.into_iter().enumerate() {
        let values = store.status().await.map_err(|error| refused(&error))?.values();
        if values > 0 {
            missing.insert(index);
        }
        let watch = store.watch_with_history(">").await.map_err(|error| refused(&error))?;
        watches.push(watch.map(move |entry| (index, entry)));
    }
    if missing.is_empty() {
        me.do_send(Happened::Member(Input::Current));
    }
    let mut all = futures_util::stream::select_all(watches);
    while let Some((index, entry)) = all.next().await {
        let entry = entry.map_err(|error| refused(&error))?;
        let is_current = entry.seen_current;
        if let Some(input) = seen(index, &entry) {
            me.do_send(Happened::Member(input));
        }
        if is_current && missing.remove(&index) && missing.is_empty() {
            me.do_send(Happened::Member(Input::Current));
        }
    }
    Ok(())
}

/// What an entry says. `None`: it is of another version, or nobody needs to know.
fn seen(index: usize, entry: &kv::Entry) -> Option<Input> {
    let is_there = entry.operation == kv::Operation::Put;
    let job = || entry.key.parse::<JobId>().ok();
    match index {
        0 if is_there => {
            let read = JobEntry::read(&entry.value)?;
            (read.submission.job == job()?).then_some(Input::JobSeen(job()?, entry.revision, Some(read)))
        }
        0 => Some(Input::JobSeen(job()?, entry.revision, None)),
        1 if is_there => Some(Input::OwnerSeen(
            job()?,
            entry.revision,
            Some(OwnerEntry::read(&entry.value)?),
        )),
        1 => Some(Input::OwnerSeen(job()?, entry.revision, None)),
        2 if is_there => {
            let read = NodeEntry::read(&entry.value)?;
            (read.name == entry.key).then_some(Input::NodeSeen(read))
        }
        3 if is_there => Some(Input::AnswerSeen(read_answer(&entry.value)?)),
        _ => None,
    }
}

impl Actor for Node {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (mut connected, me) = (self.connected.clone(), context.address());
        tokio::spawn(async move {
            loop {
                let is_connected = *connected.borrow_and_update();
                me.do_send(Happened::Connection(is_connected));
                if connected.changed().await.is_err() {
                    return;
                }
            }
        });
        context.run_interval(TICK, |this, context| this.safely(context, Self::tick));
    }
}

impl Handler<EngineEvents> for Node {
    type Result = ();

    fn handle(&mut self, EngineEvents(events): EngineEvents, context: &mut Self::Context) {
        self.safely(context, |this, context| {
            for event in events {
                match event {
                    EngineEvent::Offered(part) => this.offer(part, context),
                    EngineEvent::Recalled(id) => this.recall(id),
                    EngineEvent::Committed(records) => this.member.handle(Input::Committed(records), now()),
                    EngineEvent::Began(jobs) => this.member.handle(Input::Began(jobs), now()),
                }
            }
            this.act(context);
        });
    }
}

impl Handler<Happened> for Node {
    type Result = ();

    fn handle(&mut self, happened: Happened, context: &mut Self::Context) {
        self.safely(context, |this, context| this.happened(happened, context));
    }
}

impl Handler<Drain> for Node {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.is_draining = true;
        self.member.handle(Input::Leave, now());
        self.parts.drain();
    }
}

impl Handler<Close> for Node {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Close, context: &mut Self::Context) -> Self::Result {
        self.is_draining = true;
        let (settled, all_settled) = oneshot::channel();
        self.settled = Some(settled);
        self.member.handle(Input::Drain, now());
        self.act(context);
        // Without a connection there is nothing that could leave.
        let client = self.member.is_connected().then(|| self.client.clone());
        Box::pin(async move {
            let _ = all_settled.await;
            if let Some(client) = client {
                let _ = client.flush().await;
            }
        })
    }
}
