//! The engine for callers without a session of the built-in protocol: a protocol of your own, a verb that asks, or the
//! program that embeds the daemon. Knows the verbs, and no socket.

use super::{Caller, DaemonView, Registry, Step, Terms, monitor};
use crate::auth::{Authenticate, Identity};
use crate::engine::{Account, Answers, Ask, ClientId, Events, LocalClient, ReplyFuture, Work, system_here};
use crate::job::{Job, Query};
use crate::proto::{Code, DEADLINES, Failure, INTERVALS, ParsedLine, Reply, Request, Value, parse_line, within};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Asks the engine: typed questions, jobs of your own, and verbs by their words.
///
/// Clones are one client: they share its bounds and its part of the CPU. A session has its own; [`Running::engine`]
/// gives one to the program around the daemon.
///
/// ```
/// use primed::{Daemon, Query};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # actix::System::new().block_on(async {
/// let daemon = Daemon::new().start().await?;
/// let engine = daemon.engine();
/// let prime: u64 = engine.ask(Query::Nth(1_000_000)).await?.try_into()?;
/// assert_eq!(prime, 15_485_863);
/// assert_eq!(engine.request("isprime 2^127-1").await?, true.into());
/// # daemon.drain(std::time::Duration::ZERO).await;
/// # Ok(())
/// # })
/// # }
/// ```
///
/// [`Running::engine`]: crate::daemon::Running::engine
#[derive(Clone)]
pub struct Engine {
    client: LocalClient,
    verbs: Arc<(Registry, DaemonView)>,
    answers: Arc<Answers>,
    /// The system of actix that the daemon runs in.
    system: Option<usize>,
    /// The connection it asks for, as those who monitor see it; 0 is the program around the daemon.
    connection: u64,
    /// The user it asks for, whose role says which verbs he may request.
    user: Option<Arc<User>>,
    /// A verb asks by it, which may hold a thread meanwhile.
    is_of_verb: bool,
}

/// A user, as he was when he was last looked up.
struct User {
    identity: Identity,
    auth: Arc<dyn Authenticate>,
}

impl Engine {
    /// The engine for this client, with the verbs it may request.
    pub(crate) fn new(client: LocalClient, registry: Registry, daemon: DaemonView, answers: Arc<Answers>) -> Self {
        let verbs = Arc::new((registry, daemon));
        Self {
            connection: client.id().0,
            client,
            verbs,
            answers,
            system: system_here(),
            user: None,
            is_of_verb: false,
        }
    }

    /// The same engine for another client.
    pub(crate) fn for_client(&self, client: ClientId, account: Account) -> Self {
        Self {
            client: self.client.another(client, account),
            connection: client.0,
            verbs: self.verbs.clone(),
            answers: self.answers.clone(),
            system: self.system,
            user: None,
            is_of_verb: false,
        }
    }

    /// The same engine for the verbs of a connection that asks the scheduler itself: as its user, or else from its
    /// address.
    pub(crate) fn for_verbs(
        &self,
        connection: ClientId,
        user: Option<(Identity, Arc<dyn Authenticate>)>,
        address: Account,
    ) -> Self {
        let identity = user.as_ref().map(|(identity, _)| identity);
        Self {
            client: self.client.beside(connection, identity, address),
            connection: connection.0,
            verbs: self.verbs.clone(),
            answers: self.answers.clone(),
            system: self.system,
            user: user.map(|(identity, auth)| Arc::new(User { identity, auth })),
            is_of_verb: true,
        }
    }

    /// The same engine for a user: with his limits, his role and his jobs.
    #[cfg(feature = "http")]
    pub(crate) fn for_user(&self, identity: Identity, auth: Arc<dyn Authenticate>) -> Self {
        Self {
            client: self.client.of_user(&identity),
            connection: self.connection,
            verbs: self.verbs.clone(),
            answers: self.answers.clone(),
            system: self.system,
            user: Some(Arc::new(User { identity, auth })),
            is_of_verb: false,
        }
    }

    /// The engine with the rights and limits that its user has by now, if a verb asks by it: some keep it for long.
    /// Sessions look for themselves.
    ///
    /// # Errors
    /// `unauthenticated` if the user is gone, or has another password.
    fn as_of_now(&self) -> Result<Cow<'_, Self>, Failure> {
        let Some(user) = self.user.as_deref().filter(|_| self.is_of_verb) else {
            return Ok(Cow::Borrowed(self));
        };
        let gone = || Failure::new(Code::Unauthenticated, "the user is gone, or has another password");
        let identity = user.auth.refresh(&user.identity).ok_or_else(gone)?;
        if identity == user.identity {
            return Ok(Cow::Borrowed(self));
        }
        let account = Account::User(identity.name);
        let user = (identity, user.auth.clone());
        Ok(Cow::Owned(self.for_verbs(
            ClientId(self.connection),
            Some(user),
            account,
        )))
    }

    /// Whether the user may request this.
    ///
    /// # Errors
    /// `denied`, with the role that it takes.
    fn check(&self, request: &Request<'_>) -> Result<(), Failure> {
        match &self.user {
            Some(user) => self.verbs.0.check(user.identity.name, user.identity.role, request),
            None => Ok(()),
        }
    }

    /// Asks a [`Query`], or orders a [`Job`] with a plan of your own. No work is done until the question is awaited.
    pub fn ask(&self, question: impl Into<Step>) -> Question {
        let step = question.into();
        if self.is_monitored()
            && let Step::Job(job) = &step
        {
            self.show(&monitor::shortened(&job.title()));
        }
        self.question(Ok((step, Terms::default())))
    }

    /// Asks what a line of the built-in protocol asks, e.g. `pi 1e12 deadline=5s`: any verb there is, also one of
    /// yours. The verb reads its arguments at once; what it orders is not begun until the question is awaited.
    pub fn request(&self, words: &str) -> Question {
        match self.as_of_now() {
            Ok(engine) => engine.request_now(words),
            Err(failure) => self.question(Err(failure)),
        }
    }

    fn request_now(&self, words: &str) -> Question {
        let step = match parse_line(words.as_bytes()) {
            Ok(ParsedLine::Request(request)) => {
                let (registry, daemon) = &*self.verbs;
                if self.is_monitored() {
                    let is_known = registry.position(request.verb).is_some();
                    self.show(&monitor::shown(&request, is_known, true));
                }
                let called = self
                    .check(&request)
                    .and_then(|()| registry.call(&request, daemon, Some(self)));
                called.inspect_err(|failure| self.client.log_fault(failure))
            }
            Ok(ParsedLine::Blank) => Err(Failure::new(Code::Syntax, "nothing is asked")),
            Ok(ParsedLine::Http) => Err(Failure::new(
                Code::Syntax,
                "this is a line of HTTP; a request is a verb and its arguments, like 'pi 1e12'",
            )),
            Err((_, malformed)) => Err(Failure::new(Code::Syntax, malformed.to_string())),
        };
        self.question(step)
    }

    fn is_monitored(&self) -> bool {
        self.verbs.1.clients.monitor.is_on()
    }

    /// Shows a question to those who monitor.
    fn show(&self, words: &str) {
        let clients = &self.verbs.1.clients;
        let state = clients.get(self.connection);
        let user = self.user.as_ref().map(|user| &user.identity.name as &dyn fmt::Display);
        clients.monitor.show(self.connection, state.as_deref(), user, words);
    }

    fn question(&self, step: Result<(Step, Terms), Failure>) -> Question {
        let step = step.and_then(|(step, terms)| match self.is_of_verb && may_wait_for_a_lane(&step) {
            // It might wait for the very thread that waits for it.
            true => Err(Failure::new(
                Code::Denied,
                "a verb cannot wait for a submitted job, nor for a verb that has threads or an actor of its own",
            )),
            false => Ok((step, terms)),
        });
        let engine = self.clone();
        Question { engine, step }
    }
}

impl Caller for Engine {
    fn engine(&self) -> Result<Self, Failure> {
        Ok(Self {
            is_of_verb: true,
            ..self.clone()
        })
    }
}

/// Whether this is work for a lane of its own, or may be, as that of a submitted job.
const fn may_wait_for_a_lane(step: &Step) -> bool {
    matches!(
        step,
        Step::External(_) | Step::Ask(Ask::Watch(_) | Ask::Result(_) | Ask::Answer(Work::External(_)))
    )
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// A question that has not been asked yet: awaiting it asks. Dropped while it is awaited, it is cancelled.
#[must_use = "nothing is asked until the question is awaited"]
pub struct Question {
    engine: Engine,
    step: Result<(Step, Terms), Failure>,
}

/// What a question comes to once it is asked.
enum Started {
    Known(Vec<String>, Reply),
    Asked(Engine, Ask, Terms),
}

impl Question {
    /// Stops the work after this time; the reply is `deadline` then. From 1 ms to a year, as on the wire: what is
    /// below or beyond is taken as the bound.
    pub fn deadline(self, wait: Duration) -> Self {
        self.on_terms(|terms| terms.deadline = Some(within(wait, &DEADLINES)))
    }

    /// Sends progress at this interval: see [`events`](Self::events). From 100 ms to a year, as on the wire: what is
    /// below or beyond is taken as the bound.
    pub fn progress(self, every: Duration) -> Self {
        self.on_terms(|terms| terms.progress = Some(within(every, &INTERVALS)))
    }

    /// Sends progress at this interval, unless the words of the request say at which.
    #[cfg(any(feature = "cli", feature = "http"))]
    pub(crate) fn progress_unless_set(self, every: Duration) -> Self {
        self.on_terms(|terms| {
            terms.progress.get_or_insert(every);
        })
    }

    /// Asks, and returns all events: rows and progress, and then the reply.
    pub fn events(self) -> Events {
        match self.start() {
            Started::Known(rows, reply) => Events::known(rows, reply),
            Started::Asked(engine, ask, terms) => engine.client.events(ask, terms.deadline, terms.progress),
        }
    }

    /// Blocks this thread until the reply is there: for programs without async. In [`Blocking`](super::Blocking) code
    /// [`Token::wait`](crate::Token::wait) is better, which ends with its request.
    ///
    /// Not in a verb's closure, in [`Protocol::answer`](crate::Protocol::answer), or elsewhere on a thread that runs
    /// actors of the daemon's system: all of them would stand still, and some of them answer, so nothing is asked, and
    /// the reply is `denied`. Nor in a slice of a plan, which would keep its worker waiting.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use primed::{Daemon, Query};
    /// let daemon = Daemon::new().spawn()?;
    /// let prime: u64 = daemon.engine().ask(Query::Nth(1_000_000)).wait()?.try_into()?;
    /// assert_eq!(prime, 15_485_863);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(self) -> Reply {
        if self.engine.system.is_some() && self.engine.system == system_here() {
            let text = "this thread runs sessions or actors, which would stand still while it waits: await the question, or ask in code of its own threads";
            return Err(Failure::new(Code::Denied, text));
        }
        futures_executor::block_on(self.into_future())
    }

    /// What is known already, or what is to be asked: by the engine as it is now, whose user may have changed since.
    fn start(self) -> Started {
        let known = |reply| Started::Known(Vec::new(), reply);
        let (step, terms) = match self.step {
            Ok(called) => called,
            Err(failure) => return known(Err(failure)),
        };
        let ask = match step {
            Step::Answer(value) | Step::Constant(value) => return known(Ok(value)),
            Step::Rows(rows) => return Started::Known(rows, Ok(Value::Nothing)),
            Step::Job(job) => Ask::Answer(job.into()),
            Step::External(task) => Ask::Answer(task.into()),
            Step::Ask(ask) => ask,
            Step::Cancel(_) | Step::Login(_) | Step::Name(_) | Step::Quit => {
                let text =
                    "only a connection has tags, a name and a user, and can quit; drop the question to cancel it";
                return known(Err(Failure::new(Code::Denied, text)));
            }
        };
        let engine = match self.engine.as_of_now() {
            Err(failure) => return known(Err(failure)),
            Ok(Cow::Owned(changed)) => changed,
            Ok(Cow::Borrowed(_)) => self.engine,
        };
        match ask {
            Ask::Answer(Work::Plan(job)) => match engine.answers.find(&job) {
                Some(value) => known(Ok(value)),
                None => Started::Asked(engine, Ask::Answer(Work::Plan(job)), terms),
            },
            Ask::Submit(mut submit) => {
                engine.answers.substitute(&mut submit);
                Started::Asked(engine, Ask::Submit(submit), terms)
            }
            ask => Started::Asked(engine, ask, terms),
        }
    }

    fn on_terms(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        if let Ok((_, terms)) = &mut self.step {
            change(terms);
        }
        self
    }
}

impl IntoFuture for Question {
    type Output = Reply;
    type IntoFuture = ReplyFuture;

    fn into_future(self) -> ReplyFuture {
        match self.start() {
            Started::Known(_, reply) => ReplyFuture::known(reply),
            Started::Asked(engine, ask, terms) => engine.client.ask(ask, terms.deadline),
        }
    }
}

impl From<Query> for Step {
    /// The answer, if it stands in a table, or else the job.
    fn from(query: Query) -> Self {
        query.known().map_or_else(|| Self::Job(query.into()), Self::Constant)
    }
}

impl From<Job> for Step {
    fn from(job: Job) -> Self {
        Self::Job(job)
    }
}
