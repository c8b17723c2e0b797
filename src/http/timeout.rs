//! How long a client may keep its connection waiting, by the limit in force: it may change meanwhile. Knows no route.

use crate::server::{Limits, Overdue, Shared};
use futures_util::future::Shared as ForAll;
use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// A moment further ahead may be none that the clock has.
const LONGEST: Duration = Duration::from_secs(10 * 31_557_600);

/// The end of the patience with a client that keeps the connection waiting since this was made.
pub(super) struct Deadline {
    shared: Arc<Shared>,
    since: Instant,
    sleep: Pin<Box<tokio::time::Sleep>>,
    overdue: Overdue,
}

impl Deadline {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let since = Instant::now();
        let sleep = Box::pin(sleep_until(since + LONGEST));
        let overdue = Overdue::default();
        Self {
            shared,
            since,
            sleep,
            overdue,
        }
    }

    /// Ready once the client has taken longer than its limit, which may be another one at each call.
    fn poll_limit(&mut self, limit: impl FnOnce(&Limits) -> Duration, task: &mut Context<'_>) -> Poll<()> {
        let end = self.since + limit(&self.shared.limits.get()).min(LONGEST);
        if self.sleep.deadline() != end && !self.overdue.is_postponed(end) {
            self.sleep.as_mut().reset(end);
        }
        ready!(self.sleep.as_mut().poll(task));
        match self.overdue.postpone(end, Instant::now()) {
            Some(later) => {
                self.sleep.as_mut().reset(later);
                self.sleep.as_mut().poll(task)
            }
            None => Poll::Ready(()),
        }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.poll_limit(|limits| limits.stall_timeout, task)
    }
}

/// Ends when the connection is to finish: the order was dropped.
pub(super) type Finishing = ForAll<oneshot::Receiver<()>>;

/// Whether the client owes a request, or the rest of one: its head, or its body.
#[derive(Clone, Default)]
pub(super) struct Owed(Arc<State>);

#[derive(Default)]
struct State {
    owing: AtomicUsize,
    /// Bytes have come since a head is waited for.
    has_head_begun: AtomicBool,
}

impl Owed {
    pub(super) fn holds(&self) -> bool {
        self.0.owing.load(Relaxed) > 0
    }

    /// It does until the guard is dropped.
    pub(super) fn begin(&self) -> Owing {
        self.0.owing.fetch_add(1, Relaxed);
        Owing(self.clone())
    }

    /// Bytes have come.
    pub(super) fn has_read(&self) {
        self.0.has_head_begun.store(true, Relaxed);
    }
}

/// A head or a body that is waited for.
pub(super) struct Owing(Owed);

impl Drop for Owing {
    fn drop(&mut self) {
        let Self(Owed(state)) = self;
        state.owing.fetch_sub(1, Relaxed);
    }
}

/// The timer of hyper, which uses it for heads only: it is set when one is waited for, and dropped when that is
/// complete.
pub(super) struct HeadTimer {
    shared: Arc<Shared>,
    owed: Owed,
    /// The head that was waited for before hyper was started.
    first: Mutex<Option<Pin<Box<Head>>>>,
}

impl HeadTimer {
    pub(super) const fn new(shared: Arc<Shared>, owed: Owed, first: Pin<Box<Head>>) -> Self {
        let first = Mutex::new(Some(first));
        Self { shared, owed, first }
    }

    fn head(&self) -> Pin<Box<dyn Sleep>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| Head::new(self.shared.clone(), &self.owed))
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.head()
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.head()
    }
}

/// A head that is waited for: until its first bytes come the connection is idle, and from then on it is to be
/// completed.
pub(super) struct Head {
    deadline: Deadline,
    owing: Owing,
}

impl Head {
    /// Waited for from now on.
    pub(super) fn new(shared: Arc<Shared>, owed: &Owed) -> Pin<Box<Self>> {
        owed.0.has_head_begun.store(false, Relaxed);
        let (deadline, owing) = (Deadline::new(shared), owed.begin());
        Box::pin(Self { deadline, owing })
    }
}

impl Future for Head {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let Self { deadline, owing } = &mut *self;
        let Owing(Owed(state)) = owing;
        let has_begun = state.has_head_begun.load(Relaxed);
        let limit = |limits: &Limits| match limits.idle_timeout {
            Some(idle) if !has_begun => idle.min(limits.stall_timeout),
            _ => limits.stall_timeout,
        };
        deadline.poll_limit(limit, task)
    }
}

impl Sleep for Head {}
