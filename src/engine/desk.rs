//! The desk: where anybody asks the engine who is no session of the built-in protocol, and waits for the answer as a future.
//!
//! An [`Asker`] is one client to the scheduler: it has its share of the CPU, and its bounds. The [`Desk`] actor stands between all
//! askers and the scheduler: it knows which news belongs to whom, so that an asker needs no actor of its own. What is dropped
//! unanswered is cancelled. Knows no verb and no socket.

use super::fairness::ClientId;
use super::order::{Ask, Event, Order, Place};
use super::scheduler::{Cancel, Drain, Grant, Leave, News, Scheduler, Submit};

use crate::proto::{Code, Failure, Interim, Reply};
use actix::prelude::*;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Rows that may be under way to an asker.
const ROWS_GRANTED: usize = 64;
/// Events that may be under way: a row may be an event of its own, and the final reply has a place besides.
const MAX_EVENTS: usize = ROWS_GRANTED + 2;

/// Knows who waits for what.
pub struct Desk {
    scheduler: Addr<Scheduler>,
    me: Option<Arc<Recipient<News>>>,
    /// Places are never used twice, by whatever asker.
    waiting: HashMap<Place, (ClientId, Ear)>,
    /// Who wants to hear when nobody waits any more.
    drained: Option<oneshot::Sender<()>>,
}

/// Where news of a question goes.
enum Ear {
    Final(oneshot::Sender<Reply>),
    All(mpsc::Sender<Event>),
}

impl Desk {
    /// A desk before this scheduler.
    pub fn new(scheduler: Addr<Scheduler>) -> Self {
        Self {
            scheduler,
            me: None,
            waiting: HashMap::new(),
            drained: None,
        }
    }

    fn tell_if_drained(&mut self) {
        if self.waiting.is_empty()
            && let Some(drained) = self.drained.take()
        {
            // Whoever drains may have stopped waiting.
            let _ = drained.send(());
        }
    }
}

impl Actor for Desk {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.me = Some(Arc::new(context.address().recipient()));
    }
}

/// The order to ask.
#[derive(Message)]
#[rtype(result = "()")]
struct Question {
    client: ClientId,
    order: Order,
    ear: Ear,
}

impl Handler<Question> for Desk {
    type Result = ();

    fn handle(&mut self, question: Question, _: &mut Self::Context) {
        let Question { client, order, ear } = question;
        let Some(to) = self.me.clone() else {
            return;
        };
        self.waiting.insert(order.place, (client, ear));
        self.scheduler.do_send(Submit {
            client,
            questions: Vec::new(),
            orders: vec![order],
            to,
        });
    }
}

impl Handler<News> for Desk {
    type Result = ();

    fn handle(&mut self, News(events): News, _: &mut Self::Context) {
        for (place, event) in events {
            match event {
                Event::Final(reply) => match self.waiting.remove(&place) {
                    // Whoever asked may have stopped waiting.
                    Some((_, Ear::Final(ear))) => drop(ear.send(reply)),
                    Some((_, Ear::All(ear))) => drop(ear.try_send(Event::Final(reply))),
                    None => {}
                },
                Event::Interim(interim) => match (self.waiting.get(&place), interim) {
                    // Rows are counted, so that there is always room for them; progress that nobody hears is forgotten.
                    (Some((_, Ear::All(ear))), interim)
                        if matches!(interim, Interim::Rows(_)) || ear.capacity() > ROWS_GRANTED + 1 =>
                    {
                        let _ = ear.try_send(Event::Interim(interim));
                    }
                    // Who waits for the reply only must not keep it waiting for its rows to be taken.
                    (Some((client, Ear::Final(_))), Interim::Rows(rows)) => {
                        let (client, rows) = (*client, rows.len());
                        self.scheduler.do_send(Grant { client, place, rows });
                    }
                    _ => {}
                },
            }
        }
        self.tell_if_drained();
    }
}

/// The order to take in nothing new: here and at the scheduler. What was asked before it is heard of to its end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close {
    /// Told when every question asked here is answered or dropped.
    pub drained: oneshot::Sender<()>,
}

impl Handler<Close> for Desk {
    type Result = ();

    fn handle(&mut self, Close { drained }: Close, _: &mut Self::Context) {
        // From here, so that it does not overtake a question.
        self.scheduler.do_send(Drain::Begin);
        self.drained = Some(drained);
        self.tell_if_drained();
    }
}

impl Handler<Cancel> for Desk {
    type Result = ();

    fn handle(&mut self, cancel: Cancel, _: &mut Self::Context) {
        if self.waiting.remove(&cancel.place).is_some() {
            self.scheduler.do_send(cancel);
            self.tell_if_drained();
        }
    }
}

impl Handler<Leave> for Desk {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Self::Context) {
        self.scheduler.do_send(leave);
    }
}

/// One who asks. Clones are the same client: they share its bounds and its part of the CPU.
#[derive(Clone)]
pub struct Asker(Arc<Client>);

struct Client {
    id: ClientId,
    desk: Addr<Desk>,
    scheduler: Addr<Scheduler>,
    places: Arc<AtomicU64>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.desk.do_send(Leave(self.id));
    }
}

impl Asker {
    /// The first asker at a desk.
    pub fn new(id: ClientId, desk: Addr<Desk>, scheduler: Addr<Scheduler>) -> Self {
        let places = Arc::default();
        Self(Arc::new(Client {
            id,
            desk,
            scheduler,
            places,
        }))
    }

    /// Another one, with bounds and a share of its own.
    pub fn another(&self, id: ClientId) -> Self {
        let (desk, scheduler) = (self.0.desk.clone(), self.0.scheduler.clone());
        let places = self.0.places.clone();
        Self(Arc::new(Client {
            id,
            desk,
            scheduler,
            places,
        }))
    }

    /// Asks, and waits for nothing but the reply.
    pub fn ask(&self, ask: Ask, deadline: Option<Duration>) -> Answer {
        let (sender, reply) = oneshot::channel();
        let question = self.send(ask, deadline, None, Ear::Final(sender));
        Answer { reply, question }
    }

    /// Asks, and hears everything that comes before the reply too.
    pub fn events(&self, ask: Ask, deadline: Option<Duration>, progress: Option<Duration>) -> Events {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let question = self.send(ask, deadline, progress, Ear::All(sender));
        Events {
            events,
            question,
            granted: ROWS_GRANTED,
            is_over: false,
        }
    }

    fn send(&self, ask: Ask, deadline: Option<Duration>, progress: Option<Duration>, ear: Ear) -> Open {
        let place = self.0.places.fetch_add(1, Relaxed);
        let order = Order {
            place,
            ask,
            // A moment that is beyond all clocks never comes.
            deadline: deadline.and_then(|wait| tokio::time::Instant::now().into_std().checked_add(wait)),
            progress,
            rows: ROWS_GRANTED,
        };
        let client = self.0.id;
        self.0.desk.do_send(Question { client, order, ear });
        Open(Some((self.clone(), place)))
    }
}

/// A question under way. Dropped before its reply is there, it is cancelled.
struct Open(Option<(Asker, Place)>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((asker, place)) = self.0.take() {
            let client = asker.0.id;
            asker.0.desk.do_send(Cancel { client, place });
        }
    }
}

/// The reply of a question, once it is there. Dropped before, the question is cancelled and its CPU is free within a slice.
#[must_use = "a question is cancelled when its answer is dropped"]
pub struct Answer {
    reply: oneshot::Receiver<Reply>,
    question: Open,
}

impl Answer {
    /// The reply to a question that needs no work.
    pub(crate) fn known(known: Reply) -> Self {
        let (sender, reply) = oneshot::channel();
        let _ = sender.send(known);
        let question = Open(None);
        Self { reply, question }
    }
}

impl Future for Answer {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Reply> {
        let reply = ready!(Pin::new(&mut self.reply).poll(task));
        // There is nothing left to cancel.
        self.question.0 = None;
        Poll::Ready(reply.unwrap_or_else(|_| Err(stopped())))
    }
}

/// Everything the engine says to a question. Dropped before the reply, the question is cancelled.
#[must_use = "a question is cancelled when its events are dropped"]
pub struct Events {
    events: mpsc::Receiver<Event>,
    question: Open,
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
            question: Open(None),
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
        if let (Some((asker, place)), 0) = (&self.question.0, self.granted) {
            self.granted = ROWS_GRANTED;
            asker.0.scheduler.do_send(Grant {
                client: asker.0.id,
                place: *place,
                rows: ROWS_GRANTED,
            });
        }
    }
}

fn stopped() -> Failure {
    Failure::new(Code::Draining, "the daemon has stopped")
}
