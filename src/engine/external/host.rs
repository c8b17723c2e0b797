//! A host: the thread of a plugged-in actor, where a new actor is started when the old one panics. Knows no job and no
//! client.
//!
//! actix's own supervisor restarts an actor that stops, not one that panics. So a host polls its actor itself, catches
//! the panic where it happens, and makes a new one by the factory. It gives the actor one call at a time and polls it
//! before the next: so a call that waits its turn does not pay for the call before.

use super::responder::Responder;
use super::task::{Call, ExternalLane, ExternalTask};
use crate::caught::{Guarded, caught};
use crate::engine::threads::start_arbiter;
use actix::prelude::*;
use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// An actor that fails before it has had a call, again and again, is started anew after pauses between these.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After failing for this long without a call, calls that wait are not kept for the next actor: it may never have one.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an actor of yours is sent: a question of your own type, and how to answer it.
#[derive(Debug)]
pub struct Asked<M> {
    /// What the verb made of its arguments.
    pub question: M,
    /// How to answer.
    pub responder: Responder,
}

impl<M> Message for Asked<M> {
    type Result = ();
}

impl ExternalLane {
    /// A lane of calls to an actor on a thread of its own, made by `factory`, and again whenever it panics or stops.
    pub fn of_actor<A>(
        name: &'static str,
        at_once: usize,
        max_waiting: usize,
        factory: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self
    where
        A: Actor<Context = Context<A>>,
    {
        let factory = Arc::new(factory);
        let start = move || {
            let (sender, calls) = unbounded_channel();
            let factory = factory.clone();
            let arbiter = start_arbiter()?;
            arbiter.spawn_fn(move || {
                actix_rt::spawn(async move {
                    supervise(name, &*factory, calls).await;
                    Arbiter::current().stop();
                });
            });
            Ok(sender)
        };
        Self {
            name,
            slots: at_once.max(1),
            max_waiting,
            actor: Some(Box::new(start)),
        }
    }
}

impl ExternalTask {
    /// A call of the actor `A` that this lane was made for.
    ///
    /// # Panics
    /// When it is delivered, if the lane is of another actor.
    pub fn ask<A, M>(lane: Arc<ExternalLane>, title: String, streams: bool, question: M) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Asked<M>>,
        M: Send + 'static,
    {
        let deliver = move |address: &dyn Any, responder| {
            let address: &Addr<A> = address
                .downcast_ref()
                .expect("a lane of an actor has calls of that actor");
            address.do_send(Asked { question, responder });
        };
        Self::call(lane, title, streams, Guarded::new(Box::new(deliver)))
    }
}

/// Keeps an actor alive until there are no more calls.
async fn supervise<A>(name: &str, factory: &impl Fn() -> A, mut calls: UnboundedReceiver<Call>)
where
    A: Actor<Context = Context<A>>,
{
    let (mut pause, mut failing_since) = (SHORTEST_PAUSE, None);
    while let Ended::Failed { was_called } = live(factory, &mut calls).await {
        tracing::error!(actor = name, "the actor panicked or stopped; a new one is made");
        if was_called {
            // One call, one failure: the next call need not wait for it.
            (pause, failing_since) = (SHORTEST_PAUSE, None);
            continue;
        }
        if failing_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            refuse_waiting(name, &mut calls);
            if calls.is_closed() {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Fails the calls that wait: their responders are dropped.
fn refuse_waiting(name: &str, calls: &mut UnboundedReceiver<Call>) {
    let refused = std::iter::from_fn(|| calls.try_recv().ok()).count();
    if refused > 0 {
        tracing::error!(
            actor = name,
            refused,
            "the actor fails again and again before it has had a call; calls that waited for it are refused"
        );
    }
}

enum Ended {
    /// The daemon is gone.
    NoMoreCalls,
    /// It panicked, or stopped by itself.
    Failed { was_called: bool },
}

/// The life of one actor.
async fn live<A>(factory: &impl Fn() -> A, calls: &mut UnboundedReceiver<Call>) -> Ended
where
    A: Actor<Context = Context<A>>,
{
    let mut was_called = false;
    let Ok((address, mut actor)) = caught(|| {
        let context = Context::<A>::new();
        (context.address(), Box::pin(context.into_future(factory())))
    }) else {
        return Ended::Failed { was_called };
    };
    let ended = poll_fn(|task| {
        loop {
            match caught(|| Pin::new(&mut actor).poll(task)) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) | Err(_) => return Poll::Ready(Ended::Failed { was_called }),
            }
            match calls.poll_recv(task) {
                Poll::Ready(Some((deliver, responder))) => {
                    was_called = true;
                    // A call that is meant for another actor panics. It drops its responder, which fails it, and costs
                    // this actor nothing.
                    let _ = caught(|| deliver.into_inner()(&address, responder));
                }
                Poll::Ready(None) => return Poll::Ready(Ended::NoMoreCalls),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    let ended = ended.await;
    // An actor that is dropped is polled once more by its context, to stop; it may panic then, too.
    let _ = caught(|| drop(actor));
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::external::{ActorReply, Calls, Channel, ExternalPayload};
    use std::sync::mpsc::{Receiver, channel};

    /// Answers with how many calls it has had.
    struct Counter(u64);

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    impl Handler<Asked<()>> for Counter {
        type Result = ();

        fn handle(&mut self, asked: Asked<()>, _: &mut Self::Context) {
            self.0 += 1;
            asked.responder.answer(self.0);
        }
    }

    /// The same calls, of which this lane has no actor.
    struct Other;

    impl Actor for Other {
        type Context = Context<Self>;
    }

    impl Handler<Asked<()>> for Other {
        type Result = ();

        fn handle(&mut self, _: Asked<()>, _: &mut Self::Context) {}
    }

    /// Sends the host a call, and gives what comes back of it.
    fn ask(host: &Calls, task: ExternalTask) -> Receiver<ActorReply> {
        let ExternalPayload::Call(deliver) = task.payload else {
            panic!("{task:?} is no call");
        };
        let (responder, said) = responder();
        assert!(host.send((deliver, responder)).is_ok(), "the host is there");
        said
    }

    #[test]
    fn calls_of_an_actor_that_can_never_be_made_fail() {
        let broken = || -> Counter { panic!("as asked") };
        let lane = Arc::new(ExternalLane::of_actor("broken", 1, 8, broken));
        System::new().block_on(async {
            let start = lane.actor.as_ref().expect("a lane of an actor");
            let host = start().expect("a thread for it");
            let call = || ExternalTask::ask::<Counter, ()>(lane.clone(), "counter".into(), false, ());
            for _ in 0..2 {
                let said = ask(&host, call());
                let patience = Duration::from_secs(30);
                assert!(matches!(said.recv_timeout(patience), Ok(ActorReply::Dropped)));
            }
        });
    }

    fn responder() -> (Responder, Receiver<ActorReply>) {
        let (sender, said) = channel();
        let back = Box::new(move |saying| drop(sender.send(saying)));
        (Responder::new(1, Arc::new(Channel::new(false)), back), said)
    }

    #[test]
    fn a_call_of_another_actor_fails_and_the_host_goes_on() {
        let lane = Arc::new(ExternalLane::of_actor("counter", 1, 8, || Counter(0)));
        System::new().block_on(async {
            let start = lane.actor.as_ref().expect("a lane of an actor");
            let host = start().expect("a thread for it");
            let mistaken = ExternalTask::ask::<Other, ()>(lane.clone(), "other".into(), false, ());
            let mistaken = ask(&host, mistaken);
            let meant = ExternalTask::ask::<Counter, ()>(lane.clone(), "counter".into(), false, ());
            let meant = ask(&host, meant);
            assert!(matches!(mistaken.recv(), Ok(ActorReply::Dropped)));
            assert!(matches!(meant.recv(), Ok(ActorReply::Reply(Ok(value))) if value == 1.into()));
        });
    }
}
