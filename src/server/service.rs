//! What becomes of the connections of a socket: sessions of the actor of a thread, or actors of their own, and the
//! orders that the latter take.
//!
//! Knows no socket.

use super::accepted::Accepted;
use super::builtin;
use super::protocol::Protocol;
use super::protocol_session::ProtocolSession;
use super::session::RunSession;
use super::sessions::{Begin, IoThread};
use actix::prelude::*;
use std::sync::Arc;
use std::{fmt, io};

/// What becomes of the connections of a socket.
#[derive(Clone)]
pub struct Service {
    pub(super) sessions: Arc<dyn Open>,
    /// The line sent to a connection beyond the limit.
    pub(super) refusal: &'static [u8],
}

impl Service {
    /// Sessions of the built-in protocol.
    pub fn built_in() -> Self {
        Self {
            refusal: b"ERR busy :too many connections; retry-ms=1000\n",
            ..Self::of(builtin::session)
        }
    }

    /// Sessions of a custom protocol: `protocol` makes the value for each connection.
    pub fn protocol<P: Protocol>(protocol: impl Fn() -> P + Send + Sync + 'static) -> Self {
        Self::of(move |accepted| ProtocolSession::with(protocol(), accepted))
    }

    /// A custom session actor for each connection. A connection beyond the limit is closed without a reply.
    pub fn new<A>(session: impl Fn(Accepted) -> A + Send + Sync + 'static) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish>,
    {
        Self::actors(session, SessionHandle::finishing)
    }

    /// The same of actors that a `kill` ends at once.
    #[cfg(feature = "http")]
    pub(crate) fn aborting<A>(session: impl Fn(Accepted) -> A + Send + Sync + 'static) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish> + Handler<Abort>,
    {
        Self::actors(session, SessionHandle::aborting)
    }

    fn actors<A>(session: impl Fn(Accepted) -> A + Send + Sync + 'static, handle: fn(Addr<A>) -> SessionHandle) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish>,
    {
        let make = Arc::new(session);
        let sessions = Arc::new(ActorService { make, handle });
        Self { sessions, refusal: b"" }
    }

    fn of<S: RunSession + 'static>(session: impl Fn(Accepted) -> S + Send + Sync + 'static) -> Self {
        let sessions = Arc::new(SessionService(Arc::new(session)));
        Self { sessions, refusal: b"" }
    }

    /// The same, with these bytes for a connection beyond the limit.
    #[cfg(feature = "http")]
    pub(crate) fn refusing(mut self, refusal: &'static [u8]) -> Self {
        self.refusal = refusal;
        self
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// The order to a session to finish: what is accepted is answered, nothing new is taken in, and then it closes.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Finish;

/// The order to a session to end at once: its connection was killed, and what is under way gets no reply.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(crate) struct Abort;

/// The address of a session that is an actor, for the orders to finish and to end at once. It may live only as long as
/// somebody has its address.
pub(super) struct SessionHandle {
    finish: Recipient<Finish>,
    /// `None`: the actor is somebody else's, and only finishes.
    abort: Option<Recipient<Abort>>,
}

impl SessionHandle {
    fn finishing<A>(actor: Addr<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish>,
    {
        let (finish, abort) = (actor.recipient(), None);
        Self { finish, abort }
    }

    #[cfg(feature = "http")]
    fn aborting<A>(actor: Addr<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish> + Handler<Abort>,
    {
        let abort = Some(actor.clone().recipient());
        let finish = actor.recipient();
        Self { finish, abort }
    }

    pub(super) fn finish(&self) {
        self.finish.do_send(Finish);
    }

    /// Ends it at once if it can be, or else as in a drain.
    pub(super) fn kill(&self) {
        match &self.abort {
            Some(actor) => actor.do_send(Abort),
            None => self.finish(),
        }
    }
}

/// What becomes of a connection.
pub(super) trait Open: Send + Sync {
    /// Starts a session on a thread. For one that is an actor its handle is returned.
    fn open(&self, accepted: Accepted, thread: &IoThread) -> io::Result<Option<SessionHandle>>;
}

/// Gives the actor of a thread a session for each connection.
struct SessionService<F>(Arc<F>);

impl<S, F> Open for SessionService<F>
where
    S: RunSession + 'static,
    F: Fn(Accepted) -> S + Send + Sync + 'static,
{
    fn open(&self, accepted: Accepted, thread: &IoThread) -> io::Result<Option<SessionHandle>> {
        let make = self.0.clone();
        match thread {
            IoThread::Here(table, _) => table.add(Box::new(make(accepted))),
            IoThread::There(_, sessions) => {
                let accepted = accepted.detach()?;
                sessions.do_send(Begin(Box::new(move || Box::new(make(accepted())))));
            }
        }
        Ok(None)
    }
}

/// Starts an actor of type `A` for each connection.
struct ActorService<A: Actor, F> {
    make: Arc<F>,
    handle: fn(Addr<A>) -> SessionHandle,
}

impl<A, F> Open for ActorService<A, F>
where
    A: Actor<Context = Context<A>> + Handler<Finish>,
    F: Fn(Accepted) -> A + Send + Sync + 'static,
{
    fn open(&self, accepted: Accepted, thread: &IoThread) -> io::Result<Option<SessionHandle>> {
        let make = self.make.clone();
        let actor = match thread {
            IoThread::Here(..) => make(accepted).start(),
            IoThread::There(arbiter, _) => {
                let accepted = accepted.detach()?;
                A::start_in_arbiter(arbiter, move |_| make(accepted()))
            }
        };
        Ok(Some((self.handle)(actor)))
    }
}
