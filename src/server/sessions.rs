//! The sessions of one thread: an actor that gives each its turn when its socket, its timer or news has woken it, and
//! brings it what others say.
//!
//! A task and a mailbox of its own for each session would double what an idle connection takes in memory. Knows no
//! protocol and no socket.

use super::session::{Checked, ReplyTo, RunSession};
use crate::auth::Verdict;
use crate::caught::caught;
use crate::engine::{ClientId, News};
use actix::prelude::*;
use futures_util::task::{ArcWake, waker_ref};
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;
use tokio::task::coop::has_budget_remaining;

/// Turns in one go before the sockets are looked at again and other work of the thread is done.
const MAX_TURNS: usize = 64;

/// The sessions of a thread.
pub(super) struct Sessions {
    table: SessionTable,
    /// Where they are written to; made when it starts.
    to: Option<ReplyTo>,
    /// Refusals whose time has not come, each with its timer. A session has one password checked at a time.
    delayed: BTreeMap<ClientId, (Verdict, SpawnHandle)>,
    /// It ends with the last of them.
    is_finishing: bool,
}

/// A thread that sessions live on.
pub(super) enum IoThread {
    /// That of the listener.
    Here(SessionTable, Addr<Sessions>),
    /// Another one.
    There(ArbiterHandle, Addr<Sessions>),
}

impl IoThread {
    /// This thread.
    pub(super) fn here() -> Self {
        let table = SessionTable::default();
        Self::Here(table.clone(), Sessions::new(table).start())
    }

    /// That of an arbiter.
    pub(super) fn there(arbiter: ArbiterHandle) -> Self {
        let sessions = Sessions::start_in_arbiter(&arbiter, |_| Sessions::new(SessionTable::default()));
        Self::There(arbiter, sessions)
    }

    /// The actor that has its sessions.
    pub(super) const fn sessions(&self) -> &Addr<Sessions> {
        match self {
            Self::Here(_, sessions) | Self::There(_, sessions) => sessions,
        }
    }
}

/// The sessions of a thread, for those that add some on that thread.
#[derive(Clone, Default)]
pub(super) struct SessionTable(Rc<RefCell<Slots>>);

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    by_client: BTreeMap<ClientId, u32>,
    /// Whose turn it is, in that order. None is in it twice.
    due: VecDeque<u32>,
    woken: Arc<Woken>,
}

/// The place of a session, which another one has after it.
struct Slot {
    session: Option<Box<dyn RunSession>>,
    wake: Arc<Wake>,
}

/// Wakes the session in a slot.
struct Wake {
    slot: u32,
    /// It has been woken, and its turn is still to come.
    is_due: AtomicBool,
    woken: Arc<Woken>,
}

/// Those that were woken since the actor last looked, on any thread.
#[derive(Default)]
struct Woken(Mutex<WokenSlots>);

#[derive(Default)]
struct WokenSlots {
    slots: Vec<u32>,
    actor: Option<Waker>,
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, WokenSlots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_actor(&self) {
        if let Some(actor) = &self.lock().actor {
            actor.wake_by_ref();
        }
    }

    /// Appends those that were woken, and has the task woken when there are more.
    fn take(&self, due: &mut VecDeque<u32>, task: &Task<'_>) {
        let mut woken = self.lock();
        due.extend(woken.slots.drain(..));
        if !woken.actor.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
            woken.actor = Some(task.waker().clone());
        }
    }
}

impl ArcWake for Wake {
    fn wake_by_ref(this: &Arc<Self>) {
        if this.is_due.swap(true, AcqRel) {
            return;
        }
        let mut woken = this.woken.lock();
        // With others in the list the actor is awake already.
        if woken.slots.is_empty()
            && let Some(actor) = &woken.actor
        {
            actor.wake_by_ref();
        }
        woken.slots.push(this.slot);
    }
}

impl SessionTable {
    /// One more session; its first turn comes soon.
    pub(super) fn add(&self, session: Box<dyn RunSession>) {
        self.borrow().add(session);
    }

    /// Only the actor and those that add sessions use the table, and a turn does neither.
    fn borrow(&self) -> RefMut<'_, Slots> {
        self.0.borrow_mut()
    }
}

impl Slots {
    fn add(&mut self, session: Box<dyn RunSession>) {
        let client = session.client();
        let index = self.vacant.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).expect("a process has fewer descriptors");
            let woken = self.woken.clone();
            let is_due = AtomicBool::new(false);
            let wake = Arc::new(Wake { slot, is_due, woken });
            self.slots.push(Slot { session: None, wake });
            slot
        });
        self.by_client.insert(client, index);
        let slot = &mut self.slots[index as usize];
        slot.session = Some(session);
        Wake::wake_by_ref(&slot.wake);
    }

    /// Runs the sessions that are due.
    fn run(&mut self, to: &ReplyTo, task: &mut Task<'_>) {
        self.woken.take(&mut self.due, task);
        let mut left = MAX_TURNS;
        // Turns share what tokio lets a task do before it must wait.
        while left > 0 && has_budget_remaining() {
            let Some(index) = self.due.pop_front() else {
                return;
            };
            left -= 1;
            let Slot { session, wake } = &mut self.slots[index as usize];
            // One that wakes it before this leaves the news to this turn. A store does not see to it that the turn sees
            // them, and a swap takes some 25 ns more. All that sessions poll does: sockets, timers and sets of futures
            // register the waker by a lock or an atomic exchange, and look again after that.
            wake.is_due.store(false, Release);
            if let Some(session) = session
                && !session.turn(to, &mut Task::from_waker(&waker_ref(wake)))
            {
                self.remove(index);
            }
        }
        if !self.due.is_empty() {
            // Once the sockets have been looked at: the runtime has the waker from the first poll.
            let _ = pin!(tokio::task::yield_now()).poll(task);
        }
    }

    /// Brings something to a session, which has its turn then. It is dropped if the result is false.
    fn bring(&mut self, client: ClientId, bring: impl FnOnce(&mut dyn RunSession) -> bool) {
        let Some(&index) = self.by_client.get(&client) else {
            return;
        };
        self.bring_to(index, bring);
    }

    fn bring_to(&mut self, index: u32, bring: impl FnOnce(&mut dyn RunSession) -> bool) {
        let Slot { session, wake } = &mut self.slots[index as usize];
        let Some(session) = session else {
            return;
        };
        if !bring(&mut **session) {
            self.remove(index);
        } else if !wake.is_due.swap(true, AcqRel) {
            self.due.push_back(index);
        }
    }

    /// Brings something to every session.
    fn bring_to_all(&mut self, bring: impl Fn(&mut dyn RunSession)) {
        let indices: Vec<u32> = self.by_client.values().copied().collect();
        for index in indices {
            self.bring_to(index, |session| {
                bring(session);
                true
            });
        }
    }

    /// Dropping a session closes its socket and cancels what is under way.
    fn remove(&mut self, index: u32) {
        if let Some(session) = self.slots[index as usize].session.take() {
            self.by_client.remove(&session.client());
            // A custom protocol may panic here too, which costs no other session.
            let _ = caught(|| drop(session));
            self.vacant.push(index);
        }
    }
}

impl Sessions {
    /// The actor for a table of this thread.
    pub(super) const fn new(table: SessionTable) -> Self {
        Self {
            table,
            to: None,
            delayed: BTreeMap::new(),
            is_finishing: false,
        }
    }

    fn bring_verdict(&self, client: ClientId, verdict: Verdict) {
        let mut table = self.table.borrow();
        table.bring(client, |session| session.take_verdict(verdict));
    }
}

impl Actor for Sessions {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let sessions = context.address();
        let news = Arc::new(sessions.clone().recipient());
        self.to = Some(ReplyTo {
            news,
            verdicts: sessions.recipient(),
        });
        context.spawn(Turns);
    }
}

/// Gives turns until all have finished.
struct Turns;

impl ActorFuture<Sessions> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        sessions: &mut Sessions,
        context: &mut Context<Sessions>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        let mut table = sessions.table.borrow();
        if let Some(to) = &sessions.to {
            table.run(to, task);
        }
        if !sessions.is_finishing || !table.by_client.is_empty() {
            return Poll::Pending;
        }
        context.stop();
        Poll::Ready(())
    }
}

/// A connection accepted on another thread: called on this one, it gives the session.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Begin(pub(super) Box<dyn FnOnce() -> Box<dyn RunSession> + Send>);

/// The order to every session to finish what it has accepted.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct FinishAll;

/// The order to give every session a turn, in which it takes up the limits in force.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WakeAll;

/// The order to drop the session of a client that was killed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CloseSession(pub(super) ClientId);

impl Handler<Begin> for Sessions {
    type Result = ();

    fn handle(&mut self, Begin(begin): Begin, _: &mut Self::Context) {
        // What a custom protocol does when it is made may panic, which costs its connection.
        if let Ok(session) = caught(begin) {
            self.table.borrow().add(session);
        }
    }
}

impl Handler<News> for Sessions {
    type Result = ();

    fn handle(&mut self, news: News, _: &mut Self::Context) {
        if let Some(to) = &self.to {
            let client = news.client();
            self.table.borrow().bring(client, |session| session.take_news(news, to));
        }
    }
}

impl Handler<Checked> for Sessions {
    type Result = ();

    fn handle(&mut self, Checked(client, verdict): Checked, context: &mut Self::Context) {
        let delay = verdict.refusal().map_or(Duration::ZERO, |(_, delay)| delay);
        // A drain waits for no refusal: the delay is against further guesses, and there are none.
        if delay.is_zero() || self.is_finishing {
            return self.bring_verdict(client, verdict);
        }
        let timer = context.run_later(delay, move |sessions, _| {
            sessions.delayed.remove(&client);
            sessions.bring_verdict(client, verdict);
            // Timers are looked at after the turns.
            sessions.table.borrow().woken.wake_actor();
        });
        self.delayed.insert(client, (verdict, timer));
    }
}

impl Handler<FinishAll> for Sessions {
    type Result = ();

    fn handle(&mut self, _: FinishAll, context: &mut Self::Context) {
        self.is_finishing = true;
        for (client, (verdict, timer)) in mem::take(&mut self.delayed) {
            context.cancel_future(timer);
            self.bring_verdict(client, verdict);
        }
        self.table.borrow().bring_to_all(|session| session.finish());
    }
}

impl Handler<WakeAll> for Sessions {
    type Result = ();

    fn handle(&mut self, _: WakeAll, _: &mut Self::Context) {
        self.table.borrow().bring_to_all(|_| {});
    }
}

impl Handler<CloseSession> for Sessions {
    type Result = ();

    fn handle(&mut self, CloseSession(client): CloseSession, _: &mut Self::Context) {
        self.table.borrow().bring(client, |_| false);
    }
}
