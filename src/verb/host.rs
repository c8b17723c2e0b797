//! The entry point for actors: a verb whose calls an actix actor answers. Knows how a call is made, not who keeps the
//! actor alive.

use super::{Call, Step};
use crate::engine::{Asked, ExternalLane, ExternalTask};
use actix::{Actor, Context, Handler};
use std::marker::PhantomData;
use std::sync::Arc;

/// Calls that an actor may hold at once, by default.
const AT_ONCE: usize = 1_024;
/// Calls that may wait for it beyond these.
const MAX_WAITING: usize = 1_024;

/// A home for an actor of yours, which keeps state between calls and may answer any of them later.
///
/// The actor runs on a thread of its own, started by the first call. If it panics, the call that it panicked at is
/// answered `ERR internal`, and so is every call whose [`Responder`](crate::engine::Responder) it held; then a new
/// actor is made by the factory, and those who waited in line are its first callers; if none can be made for 5 s, they
/// get `ERR internal` too. Every daemon has its own actor.
///
/// ```
/// use actix::prelude::*;
/// use primed::{Asked, Daemon, Host, define};
///
/// #[derive(Default)]
/// struct Tally(u64);
///
/// impl Actor for Tally {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<Asked<u64>> for Tally {
///     type Result = ();
///     fn handle(&mut self, asked: Asked<u64>, _: &mut Self::Context) {
///         self.0 = self.0.wrapping_add(asked.question);
///         asked.responder.answer(self.0);
///     }
/// }
///
/// let tally = Host::new("tally", Tally::default);
/// let daemon = Daemon::new().verb(define("add N", "the sum of all that was added", move |call| {
///     Ok(tally.ask(call, call.number(0, "N")?))
/// }));
/// ```
pub struct Host<A> {
    lane: Arc<ExternalLane>,
    actor: PhantomData<fn() -> A>,
}

impl<A> Host<A>
where
    A: Actor<Context = Context<A>>,
{
    /// A home for the actors that `factory` makes. Its name is shown in `info`. Make it once, outside of the closure of
    /// the verb: each is a lane of its own as long as the daemon lives, with an actor and its thread.
    ///
    /// The actor may hold 1,024 calls at once, and as many may wait for it, with as many submitted jobs beside them;
    /// beyond that, clients get `busy`, unless their account has less than an equal share.
    pub fn new(name: &'static str, factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self::with_limit(name, AT_ONCE, factory)
    }

    /// The same for an actor that may hold `at_once` calls at once; 0 is taken as 1.
    pub fn with_limit(name: &'static str, at_once: usize, factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self {
            lane: Arc::new(ExternalLane::of_actor(name, at_once, MAX_WAITING, factory)),
            actor: PhantomData,
        }
    }

    /// Asks the actor. It gets an [`Asked`] with this question.
    pub fn ask<M>(&self, call: &Call<'_>, question: M) -> Step
    where
        A: Handler<Asked<M>>,
        M: Send + 'static,
    {
        self.call(call, false, question)
    }

    /// Asks the actor something to which it may send rows before the answer. A connection may have as many of these
    /// under way as other requests; 64 KiB of the rows of each may be on their way to a client that does not read.
    pub fn stream<M>(&self, call: &Call<'_>, question: M) -> Step
    where
        A: Handler<Asked<M>>,
        M: Send + 'static,
    {
        self.call(call, true, question)
    }

    fn call<M>(&self, call: &Call<'_>, streams: bool, question: M) -> Step
    where
        A: Handler<Asked<M>>,
        M: Send + 'static,
    {
        Step::External(ExternalTask::ask::<A, M>(
            self.lane.clone(),
            call.title(),
            streams,
            question,
        ))
    }
}

impl<A> Clone for Host<A> {
    fn clone(&self) -> Self {
        Self {
            lane: self.lane.clone(),
            actor: PhantomData,
        }
    }
}

impl<A> std::fmt::Debug for Host<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lane.fmt(f)
    }
}
