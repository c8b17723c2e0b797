//! Questions from inside the process, each a future that waits for its answer.
//!
//! A [`LocalClient`] is one client to the scheduler: it has its share of the CPU, and its bounds. The [`Local`] actor
//! stands between all of them and the scheduler: it routes events to the futures, so that a client needs no actor of
//! its own. What is dropped unanswered is cancelled. Knows no verb and no socket.

use super::health::Health;
use super::message::{Account, Ask, ClientId, Event, Order, ROWS_GRANTED, RequestId};
use super::scheduler::{Cancel, Grant, Leave, News, Requests, Scheduler, Shutdown};
use super::text::lost;
use crate::auth::{Identity, Role, UserLimits};
use crate::caught::{Panicked, caught};
use crate::proto::{Code, Failure, Interim, Reply};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "http")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Events that may be under way: a row may be an event of its own, and there is one more for the final reply.
const MAX_EVENTS: usize = ROWS_GRANTED + 2;

/// Further clients of a connection have names from here; connections are counted from 1.
const FIRST_OF_FURTHER: u64 = 1 << 62;

/// Routes events to the futures that wait for them.
pub struct Local {
    scheduler: Addr<Scheduler>,
    me: Option<Arc<Recipient<News>>>,
    /// The names of requests are never used twice, by any of the clients.
    waiting: BTreeMap<RequestId, (ClientId, ReplySink)>,
    /// Notified when nobody waits any more.
    drained: Option<oneshot::Sender<()>>,
    /// What it was at when it panicked, until it is rebuilt.
    panicked_in: Option<&'static str>,
    health: Health,
}

/// Where the events of a question go.
enum ReplySink {
    Final(oneshot::Sender<Reply>),
    All(mpsc::Sender<Event>),
}

impl ReplySink {
    /// The client may have stopped waiting, which is no fault.
    fn finish(self, reply: Reply) {
        match self {
            Self::Final(sink) => drop(sink.send(reply)),
            Self::All(sink) => drop(sink.try_send(Event::Final(reply))),
        }
    }
}

impl Local {
    /// Asks this scheduler.
    pub fn new(scheduler: Addr<Scheduler>, health: Health) -> Self {
        Self {
            scheduler,
            me: None,
            waiting: BTreeMap::new(),
            drained: None,
            panicked_in: None,
            health,
        }
    }

    /// Starts the actor, which is started again after a panic.
    pub fn supervised(self) -> Addr<Self> {
        Supervisor::start(|_| self)
    }

    /// Does what a message asks for. A panic in it stops the actor, to be rebuilt as the scheduler is.
    fn handle_by(&mut self, work: &'static str, context: &mut Context<Self>, act: impl FnOnce(&mut Self)) {
        if let Err(Panicked) = caught(|| act(self)) {
            self.panicked_in = Some(work);
            context.stop();
        }
    }

    /// Gives up the requests of a client up to this one. Two threads that ask as one client at once may send their
    /// requests in another order than that of the IDs: then a request that was not sent yet is given up too, and its
    /// late reply is dropped.
    fn lose(&mut self, client: ClientId, last: RequestId, failure: &Failure) {
        let until_then = self.waiting.range(..=last);
        let lost = until_then.filter(|(_, (owner, _))| *owner == client);
        let lost: Vec<RequestId> = lost.map(|(request, _)| *request).collect();
        for request in lost {
            if let Some((_, sink)) = self.waiting.remove(&request) {
                sink.finish(Err(failure.clone()));
            }
        }
        self.notify_if_drained();
    }

    fn notify_if_drained(&mut self) {
        if self.waiting.is_empty()
            && let Some(drained) = self.drained.take()
        {
            // The one that drains may have stopped waiting.
            let _ = drained.send(());
        }
    }
}

impl Actor for Local {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.me = Some(Arc::new(context.address().recipient()));
    }
}

impl Supervised for Local {
    /// After a panic all that wait get a failure, and what they asked is cancelled.
    fn restarting(&mut self, _: &mut Self::Context) {
        let work = self.panicked_in.take().unwrap_or("an unknown message");
        self.health
            .panicked("local clients", work, tokio::time::Instant::now().into_std());
        for (request, (client, sink)) in std::mem::take(&mut self.waiting) {
            sink.finish(Err(lost()));
            self.scheduler.do_send(Cancel { client, request });
        }
        self.notify_if_drained();
    }
}

/// A request of a client.
#[derive(Message)]
#[rtype(result = "()")]
struct LocalRequest {
    client: ClientId,
    connection: ClientId,
    account: Account,
    limits: UserLimits,
    order: Order,
    sink: ReplySink,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.health.ended();
    }
}

impl Handler<LocalRequest> for Local {
    type Result = ();

    fn handle(&mut self, request: LocalRequest, context: &mut Self::Context) {
        let Some(to) = self.me.clone() else {
            return;
        };
        // First of all: if what follows panics, it waits with the others.
        self.waiting
            .insert(request.order.request, (request.client, request.sink));
        self.handle_by("a request", context, |this| {
            this.scheduler.do_send(Requests {
                client: request.client,
                connection: request.connection,
                account: request.account,
                limits: request.limits,
                questions: Vec::new(),
                orders: vec![request.order],
                to,
            });
        });
    }
}

impl Handler<News> for Local {
    type Result = ();

    fn handle(&mut self, news: News, context: &mut Self::Context) {
        self.handle_by("news of requests", context, |this| match news {
            News::Events { events, .. } => this.take_events(events),
            News::Lost { client, last, failure } => this.lose(client, last, &failure),
        });
    }
}

impl Local {
    fn take_events(&mut self, events: Vec<(RequestId, Event)>) {
        #[cfg(test)]
        super::failpoint::hit_local();
        for (request, event) in events {
            match event {
                Event::Final(reply) => {
                    if let Some((_, sink)) = self.waiting.remove(&request) {
                        sink.finish(reply);
                    }
                }
                Event::Interim(interim) => match (self.waiting.get(&request), interim) {
                    // Rows are counted, so that there is always room for them; progress that nobody takes is dropped.
                    (Some((_, ReplySink::All(sink))), interim)
                        if matches!(interim, Interim::Rows(_)) || sink.capacity() > ROWS_GRANTED + 1 =>
                    {
                        let _ = sink.try_send(Event::Interim(interim));
                    }
                    // A client that waits for the reply only must not keep it waiting for its rows to be taken.
                    (Some((client, ReplySink::Final(_))), Interim::Rows(rows)) => {
                        let (client, rows) = (*client, rows.len());
                        self.scheduler.do_send(Grant { client, request, rows });
                    }
                    _ => {}
                },
            }
        }
        self.notify_if_drained();
    }
}

/// The order to take in nothing new: here and at the scheduler. What was asked before it is answered.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close {
    /// Notified when every question asked here is answered or dropped.
    pub drained: oneshot::Sender<()>,
}

impl Handler<Close> for Local {
    type Result = ();

    fn handle(&mut self, Close { drained }: Close, context: &mut Self::Context) {
        self.drained = Some(drained);
        self.handle_by("the shutdown", context, |this| {
            // From here, so that it does not overtake a question.
            this.scheduler.do_send(Shutdown::Drain);
            this.notify_if_drained();
        });
    }
}

impl Handler<Cancel> for Local {
    type Result = ();

    fn handle(&mut self, cancel: Cancel, context: &mut Self::Context) {
        self.handle_by("a cancel", context, |this| {
            this.waiting.remove(&cancel.request);
            // Also one that is answered: a submitted job whose ID nobody has read is cancelled too.
            this.scheduler.do_send(cancel);
            this.notify_if_drained();
        });
    }
}

impl Handler<Leave> for Local {
    type Result = ();

    fn handle(&mut self, leave: Leave, context: &mut Self::Context) {
        self.handle_by("a client that leaves", context, |this| this.scheduler.do_send(leave));
    }
}

/// A client inside the process. Clones are the same client: they share its bounds and its part of the CPU.
#[derive(Clone)]
pub struct LocalClient(Arc<Client>);

struct Client {
    id: ClientId,
    /// The connection that it asks over: itself, unless it is a user's.
    connection: ClientId,
    account: Account,
    limits: UserLimits,
    /// It sees no jobs but its account's.
    is_confined: bool,
    local: Addr<Local>,
    scheduler: Addr<Scheduler>,
    next: Arc<AtomicU64>,
    /// A user asks by its name.
    #[cfg(feature = "http")]
    has_user: AtomicBool,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.local.do_send(Leave(self.id));
    }
}

impl LocalClient {
    /// The first client of this actor: the process itself.
    pub fn new(id: ClientId, local: Addr<Local>, scheduler: Addr<Scheduler>) -> Self {
        let next = Arc::default();
        Self(Arc::new(Client {
            id,
            connection: id,
            account: Account::Process,
            limits: UserLimits::default(),
            is_confined: false,
            local,
            scheduler,
            next,
            #[cfg(feature = "http")]
            has_user: AtomicBool::default(),
        }))
    }

    /// The client.
    pub fn id(&self) -> ClientId {
        self.0.id
    }

    /// Another one, which uses the shares and the limits of this account.
    pub fn another(&self, id: ClientId, account: Account) -> Self {
        self.with(id, id, account, UserLimits::default(), false)
    }

    /// Another one beside the client of a connection, which has the connection's name: of this user, or else of the
    /// account.
    pub fn beside(&self, connection: ClientId, user: Option<&Identity>, account: Account) -> Self {
        let (account, limits) = match user {
            Some(identity) => (Account::User(identity.name), identity.limits),
            None => (account, UserLimits::default()),
        };
        let is_confined = user.is_some_and(|identity| identity.role < Role::Operate);
        self.with(self.further(), connection, account, limits, is_confined)
    }

    /// A name for a further client of a connection.
    fn further(&self) -> ClientId {
        ClientId(FIRST_OF_FURTHER + self.0.next.fetch_add(1, Relaxed))
    }

    /// Another one on the same connection, of this user. The first has the name of the connection, which itself asks
    /// nothing where there are users; further ones, as of a proxy, have names of their own, and the log says of which
    /// connection they are.
    #[cfg(feature = "http")]
    pub fn of_user(&self, identity: &Identity) -> Self {
        let id = match self.0.has_user.swap(true, Relaxed) {
            false => self.0.id,
            true => self.further(),
        };
        let connection = self.0.connection.0;
        tracing::debug!(
            client = id.0,
            connection,
            user = identity.name.as_str(),
            "authenticated"
        );
        let is_confined = identity.role < Role::Operate;
        self.with(
            id,
            self.0.connection,
            Account::User(identity.name),
            identity.limits,
            is_confined,
        )
    }

    fn with(
        &self,
        id: ClientId,
        connection: ClientId,
        account: Account,
        limits: UserLimits,
        is_confined: bool,
    ) -> Self {
        let Client {
            local, scheduler, next, ..
        } = &*self.0;
        Self(Arc::new(Client {
            id,
            connection,
            account,
            limits,
            is_confined,
            local: local.clone(),
            scheduler: scheduler.clone(),
            next: next.clone(),
            #[cfg(feature = "http")]
            has_user: AtomicBool::default(),
        }))
    }

    /// Logs a failure of a request that did not reach the scheduler, if it is a fault of the daemon.
    pub fn log_fault(&self, failure: &Failure) {
        if failure.code == Code::Internal {
            tracing::error!(client = self.0.id.0, %failure, "a request failed by a fault");
        }
    }

    /// Asks, and waits for nothing but the reply.
    pub fn ask(&self, ask: Ask, deadline: Option<Duration>) -> ReplyFuture {
        let (sender, reply) = oneshot::channel();
        let question = self.send(ask, deadline, None, ReplySink::Final(sender));
        ReplyFuture { reply, question }
    }

    /// Asks, and gets everything that comes before the reply too.
    pub fn events(&self, ask: Ask, deadline: Option<Duration>, progress: Option<Duration>) -> Events {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let question = self.send(ask, deadline, progress, ReplySink::All(sender));
        Events {
            events,
            question,
            granted: ROWS_GRANTED,
            is_over: false,
        }
    }

    fn send(&self, ask: Ask, deadline: Option<Duration>, progress: Option<Duration>, sink: ReplySink) -> CancelOnDrop {
        let request = RequestId(self.0.next.fetch_add(1, Relaxed));
        let order = Order {
            request,
            ask,
            is_confined: self.0.is_confined,
            // A moment that is beyond all clocks never comes.
            deadline: deadline.and_then(|wait| tokio::time::Instant::now().into_std().checked_add(wait)),
            progress,
            rows: ROWS_GRANTED,
        };
        let client = &*self.0;
        client.local.do_send(LocalRequest {
            client: client.id,
            connection: client.connection,
            account: client.account,
            limits: client.limits,
            order,
            sink,
        });
        CancelOnDrop(Some((self.clone(), request)))
    }
}

/// A question under way. Dropped before its reply is there, it is cancelled.
struct CancelOnDrop(Option<(LocalClient, RequestId)>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some((LocalClient(client), request)) = self.0.take() {
            client.local.do_send(Cancel {
                client: client.id,
                request,
            });
        }
    }
}

/// The reply of a question, once it is there. Dropped before, the question is cancelled and its CPU is free within a
/// slice.
#[must_use = "a question is cancelled when its answer is dropped"]
pub struct ReplyFuture {
    reply: oneshot::Receiver<Reply>,
    question: CancelOnDrop,
}

impl ReplyFuture {
    /// The reply to a question that needs no work.
    pub(crate) fn known(known: Reply) -> Self {
        let (sender, reply) = oneshot::channel();
        let _ = sender.send(known);
        let question = CancelOnDrop(None);
        Self { reply, question }
    }
}

impl Future for ReplyFuture {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Reply> {
        let reply = ready!(Pin::new(&mut self.reply).poll(task));
        // There is nothing left to cancel.
        self.question.0 = None;
        Poll::Ready(reply.unwrap_or_else(|_| Err(stopped())))
    }
}

/// Everything the engine sends to a question. Dropped before the reply, the question is cancelled.
#[must_use = "a question is cancelled when its events are dropped"]
pub struct Events {
    events: mpsc::Receiver<Event>,
    question: CancelOnDrop,
    /// Rows that may still come.
    granted: usize,
    is_over: bool,
}

impl Events {
    /// The rows and the reply to a question that needs no work.
    pub(crate) fn known(rows: Vec<String>, reply: Reply) -> Self {
        let (sender, events) = mpsc::channel(2);
        if !rows.is_empty() {
            let _ = sender.try_send(Event::Interim(Interim::Rows(rows)));
        }
        let _ = sender.try_send(Event::Final(reply));
        Self {
            events,
            question: CancelOnDrop(None),
            granted: 0,
            is_over: false,
        }
    }

    /// The next event; `None` after the reply.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let event = self.events.recv().await.unwrap_or_else(|| Event::Final(Err(stopped())));
        match &event {
            Event::Final(_) => {
                self.is_over = true;
                // There is nothing left to cancel.
                self.question.0 = None;
            }
            Event::Interim(Interim::Rows(rows)) => self.taken(rows.len()),
            Event::Interim(_) => {}
        }
        Some(event)
    }

    /// Rows were taken: once all that were granted have come, more may follow.
    fn taken(&mut self, rows: usize) {
        self.granted = self.granted.saturating_sub(rows);
        if let (Some((LocalClient(client), request)), 0) = (&self.question.0, self.granted) {
            self.granted = ROWS_GRANTED;
            client.scheduler.do_send(Grant {
                client: client.id,
                request: *request,
                rows: ROWS_GRANTED,
            });
        }
    }
}

fn stopped() -> Failure {
    Failure::new(Code::Draining, "the daemon has stopped")
}
