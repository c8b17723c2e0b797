//! The actor of a node: between the engine, the rules about jobs, and the connection. Knows no plan.
//!
//! `offers` is about the parts that other nodes do, `commands` carries out what the rules say, `subscriptions` brings
//! what others write and say, `messages` is what they say to all, `refused` is what NATS does not take.

mod commands;
mod messages;
mod offers;
mod refused;
mod subscriptions;

use self::commands::{carry_out, notify};
use self::messages::{PROGRESS_SUBJECT, progress_to_bytes, read_progress, read_recalled};
use self::offers::{Offers, Verdict};
use self::refused::{Change, Refused};
use self::subscriptions::{PAUSE, open_later, pause_after, receive, watch_entries};
use super::entry::NodeEntry;
use super::links::{LIMIT, Links, name_subject};
use super::member::{Command, Input, Member, NatsError, Written};
use super::number::Number;
use super::part_worker::PartWorker;
use super::{ClusterError, ClusterSettings};
use crate::caught::caught;
use crate::engine::{AskProgress, ClusterEvent, EngineEvent, EngineEvents, PartId, Scheduler};
use crate::metrics::NodeView;
use crate::verb::DaemonView;
use actix::prelude::*;
use async_nats::{Client, Subject};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{oneshot, watch};

/// How often a node looks at its jobs and parts.
const TICK: Duration = Duration::from_millis(250);

/// How often it says what it is.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// What to do about NATS that takes no entries.
const ROOM: &str = "make room in NATS, or raise its limits (max_file, or those of the account)";

/// How often it says how far its jobs are.
const PROGRESS: Duration = Duration::from_secs(1);

/// A node of a cluster.
pub(crate) struct Node {
    settings: ClusterSettings,
    /// `None`: it only works.
    number: Option<Number>,
    /// Of this process: parts of an earlier one of the same name are others.
    incarnation: u64,
    member: Member,
    client: Client,
    connected: watch::Receiver<bool>,
    links: Option<Links>,
    /// Counts the attempts to open what is shared: what came of an earlier one is of no use.
    opening: u64,
    /// Why it could not be opened the last time, and how often one after another.
    refusals: (String, u32),
    /// Tasks of the present connection.
    tasks: Vec<tokio::task::AbortHandle>,
    scheduler: Addr<Scheduler>,
    parts: Arc<PartWorker>,
    daemon: DaemonView,
    offers: Offers,
    last_heartbeat: Option<Instant>,
    /// Free workers, as this node said last.
    announced_free: usize,
    refused: Refused,
    reported: Instant,
    is_draining: bool,
    settled: Option<oneshot::Sender<()>>,
}

/// Something has happened to the connection, or came over it.
#[derive(Message)]
#[rtype(result = "()")]
enum NodeEvent {
    Opened(u64, Box<Links>),
    NotOpened(u64, String),
    /// What is shared is to be opened again, unless that was begun since.
    Open(u64),
    Connection(bool),
    Member(Input),
    Part(Bytes, Option<Subject>),
    Progress(Bytes),
    Recalled(Bytes),
    NotSent(PartId),
    Checked(PartId, Verdict),
}

/// No job is taken over from now on, and no part is taken.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// Lets go of all jobs; answered once that is written.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CloseNode;

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The rules, which know nothing yet.
fn member(settings: &ClusterSettings, number: Option<&Number>) -> Member {
    let is_new = number.is_some_and(|number| number.is_new);
    let number = number.map(|number| number.number);
    let mut member = Member::new(settings.name.clone(), number, now()).new_to_the_cluster(is_new);
    member.set_wall(SystemTime::now().into());
    member
}

impl Node {
    pub(super) fn new(
        settings: ClusterSettings,
        number: Option<Number>,
        client: Client,
        connected: watch::Receiver<bool>,
        scheduler: Addr<Scheduler>,
        parts: Arc<PartWorker>,
        daemon: DaemonView,
    ) -> Self {
        let incarnation = fastrand::u64(..);
        let offers = Offers::new(
            format!("{}.{incarnation:x}", settings.name),
            client.clone(),
            scheduler.clone(),
            daemon.metrics.clone(),
            parts.clone(),
            settings.check,
        );
        Self {
            member: member(&settings, number.as_ref()),
            settings,
            number,
            incarnation,
            client,
            connected,
            links: None,
            opening: 0,
            refusals: (String::new(), 0),
            tasks: Vec::new(),
            scheduler,
            parts,
            daemon,
            offers,
            last_heartbeat: None,
            announced_free: 0,
            refused: Refused::default(),
            reported: now(),
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
                links.check_name_is_free(&name, Some(incarnation)).await?;
                // NATS may have lost it, and give it to the next new node.
                if let Some(Number { number, mark, .. }) = number {
                    links.number_of(&name, &mark, Some(number)).await?;
                }
                Ok::<_, ClusterError>(links)
            };
            me.do_send(match opened.await {
                Ok(links) => NodeEvent::Opened(opening, Box::new(links)),
                Err(error) => NodeEvent::NotOpened(opening, error.to_string()),
            });
        });
    }

    /// After a panic: everything that was known is learned again, from the engine and from the others.
    fn begin_again(&mut self, context: &Context<Self>) {
        tracing::error!(
            node = self.settings.name,
            "a fault in what this node does about its cluster: it begins again"
        );
        self.stop_tasks();
        self.links = None;
        self.opening += 1;
        self.member = member(&self.settings, self.number.as_ref());
        if self.is_draining {
            self.member.handle(Input::Drain, now());
        }
        self.offers.lose_all();
        self.scheduler.do_send(ClusterEvent::Joined {
            to: context.address().recipient(),
        });
        open_later(context.address(), self.opening, PAUSE);
    }

    /// Does what a message asks for. A panic in it, which is no part of any plan, costs the connection and not the
    /// cluster.
    fn safely(&mut self, context: &mut Context<Self>, act: impl FnOnce(&mut Self, &mut Context<Self>)) {
        if caught(|| act(self, context)).is_err() {
            self.begin_again(context);
        }
    }

    /// Begins to receive and to work, over a connection that is there.
    fn begin(&mut self, links: Links, context: &Context<Self>) {
        self.stop_tasks();
        self.member.handle(Input::Connected, now());
        tracing::info!(node = self.settings.name, "the cluster is there");
        let cluster = &self.daemon.metrics.cluster;
        cluster.set_trouble(String::new(), "");
        cluster.max_message.store(links.client.max_payload(), Relaxed);
        self.refused = Refused::default();
        self.refusals = (String::new(), 0);
        let mut tasks = vec![tokio::spawn(watch_entries(
            links.clone(),
            self.number.as_ref().map(|number| number.number),
            context.address(),
            self.opening,
        ))];
        tasks.push(tokio::spawn(receive(
            links.client.clone(),
            self.offers.owner().to_owned(),
            name_subject(&self.settings.name),
            context.address(),
            self.opening,
        )));
        for _ in 0..self.daemon.workers {
            tasks.push(tokio::spawn(self.parts.clone().run(links.clone())));
        }
        self.tasks = tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        self.links = Some(links);
        // Before it owns a job: the others may think that it is dead, and take that over.
        self.last_heartbeat = None;
        if !self.is_draining {
            self.send_heartbeat();
        }
    }

    fn stop_tasks(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }

    /// Does what the rules say.
    fn act(&mut self, context: &Context<Self>) {
        for command in self.member.take_commands() {
            if let Command::Notify(notice) = command {
                notify(&self.scheduler, *notice);
            } else if let Some(links) = self.links.clone() {
                carry_out(command, links, context.address());
            }
        }
        if let Some(settled) = self.settled.take() {
            match self.member.is_settled() || !self.member.is_connected() {
                true => drop(settled.send(())),
                false => self.settled = Some(settled),
            }
        }
    }

    fn happened(&mut self, happened: NodeEvent, context: &Context<Self>) {
        match happened {
            NodeEvent::Connection(true) => {
                self.refusals = (String::new(), 0);
                self.open(context);
            }
            NodeEvent::Open(opening) if opening == self.opening && *self.connected.borrow() => self.open(context),
            NodeEvent::Open(_) => {}
            NodeEvent::Connection(false) if self.links.is_none() => self.opening += 1,
            NodeEvent::Connection(false) => {
                self.opening += 1;
                tracing::warn!(
                    node = self.settings.name,
                    "NATS is gone: this node goes on alone until it is back"
                );
                self.stop_tasks();
                self.links = None;
                self.member.handle(Input::Disconnected, now());
                self.offers.lose_all();
                self.show();
            }
            NodeEvent::Opened(opening, links) if opening == self.opening => self.begin(*links, context),
            NodeEvent::NotOpened(opening, error) if opening == self.opening => {
                let (last, refusals) = &mut self.refusals;
                if *last != error {
                    tracing::error!(error, "the cluster cannot be used; trying again");
                    last.clone_from(&error);
                }
                let pause = pause_after(*refusals);
                *refusals = refusals.saturating_add(1);
                let remedy = "this node goes on alone until that is mended";
                self.daemon.metrics.cluster.set_trouble(error, remedy);
                open_later(context.address(), opening, pause);
            }
            NodeEvent::Opened(..) | NodeEvent::NotOpened(..) => {}
            NodeEvent::Member(input) => {
                if let Some((what, outcome)) = input.outcome() {
                    self.note_refusal(what, outcome);
                }
                self.member.handle(input, now());
            }
            NodeEvent::Part(bytes, reply) => self.offers.receive(&bytes, reply, context.address()),
            NodeEvent::Progress(bytes) => self.note_progress(&bytes),
            NodeEvent::Recalled(bytes) => {
                // Those of this node are in the queue, too.
                if let Some((owner, id)) = read_recalled(&bytes) {
                    self.parts.recalled(owner, id);
                }
            }
            NodeEvent::NotSent(id) => self.offers.not_sent(id),
            NodeEvent::Checked(part, verdict) => self.offers.decided(part, verdict),
        }
        self.act(context);
    }

    /// Says once that NATS does not take everything, and that it does again.
    fn note_refusal(&mut self, what: Written, outcome: Result<(), NatsError>) {
        let cluster = &self.daemon.metrics.cluster;
        match self.refused.note(what, outcome) {
            Some(Change::Begins) => {
                tracing::warn!(
                    remedy = ROOM,
                    "NATS refuses what this node writes: it may be full; trying again"
                );
                cluster.set_trouble("NATS refuses what this node writes: it may be full".to_owned(), ROOM);
            }
            Some(Change::Ends) => {
                tracing::info!("NATS takes what this node writes again");
                cluster.set_trouble(String::new(), "");
            }
            None => {}
        }
    }

    fn note_progress(&self, bytes: &[u8]) {
        let Some((node, progress)) = read_progress(bytes) else {
            return;
        };
        // Only the node that works on a job knows.
        if node != self.settings.name && self.member.is_worked_on_by(progress.job, &node) {
            self.scheduler.do_send(ClusterEvent::Advanced(progress));
        }
    }

    /// Says what this node is.
    fn send_heartbeat(&mut self) {
        let entry = self.entry();
        self.last_heartbeat = Some(now());
        self.announced_free = entry.free;
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
            workers: self.daemon.workers,
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
            errs: self.offers.errs(&entry.name),
            heard,
        };
        let me = view(&self.entry(), Duration::ZERO);
        let others = self
            .member
            .neighbours()
            .map(|node| view(&node.entry, now.saturating_duration_since(node.heard)));
        let nodes: Vec<NodeView> = std::iter::once(me).chain(others).collect();
        self.daemon.metrics.cluster.set_nodes(nodes, self.member.is_connected());
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        let now = now();
        self.member.set_wall(SystemTime::now().into());
        self.member.tick(now);
        let others = self.member.neighbours().map(|node| &node.entry);
        self.offers.tick(others, self.links.is_some());
        let is_due = |at| now.saturating_duration_since(at) >= HEARTBEAT;
        // Others count on workers that were free.
        let is_less_free = self.parts.free() < self.announced_free;
        if !self.is_draining && (is_less_free || self.last_heartbeat.is_none_or(is_due)) {
            self.send_heartbeat();
        }
        if self.links.is_some() && now.saturating_duration_since(self.reported) >= PROGRESS {
            self.reported = now;
            self.say_progress(context);
        }
        self.parts.forget_old_tables();
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

impl Actor for Node {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (mut connected, me) = (self.connected.clone(), context.address());
        tokio::spawn(async move {
            loop {
                let is_connected = *connected.borrow_and_update();
                me.do_send(NodeEvent::Connection(is_connected));
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
                    EngineEvent::Offered(part) => this.offers.offer(part, this.links.clone(), context.address()),
                    EngineEvent::Recalled(id) => this.offers.recall(id),
                    EngineEvent::Cancelled(end) => this.member.handle(Input::Cancelled(end), now()),
                    EngineEvent::Committed(records) => this.member.handle(Input::Committed(records), now()),
                    EngineEvent::Began(jobs) => this.member.handle(Input::Began(jobs), now()),
                }
            }
            this.act(context);
        });
    }
}

impl Handler<NodeEvent> for Node {
    type Result = ();

    fn handle(&mut self, happened: NodeEvent, context: &mut Self::Context) {
        self.safely(context, |this, context| this.happened(happened, context));
    }
}

impl Handler<Drain> for Node {
    type Result = ();

    fn handle(&mut self, _: Drain, context: &mut Self::Context) {
        self.is_draining = true;
        self.parts.drain();
        self.safely(context, |this, _| {
            this.member.handle(Input::Drain, now());
            // The last time: from now on its jobs are for others.
            this.send_heartbeat();
        });
    }
}

impl Handler<CloseNode> for Node {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CloseNode, context: &mut Self::Context) -> Self::Result {
        self.is_draining = true;
        let (settled, all_settled) = oneshot::channel();
        self.settled = Some(settled);
        self.safely(context, |this, context| {
            this.member.handle(Input::Close, now());
            this.act(context);
        });
        // Without a connection there is nothing that could leave.
        let (links, name) = (self.links.clone(), self.settings.name.clone());
        Box::pin(async move {
            let _ = all_settled.await;
            if let Some(links) = links {
                let _ = tokio::time::timeout(LIMIT, links.nodes.delete(&name)).await;
                let _ = links.client.flush().await;
            }
        })
    }
}
