//! How long a client may keep its connection waiting, by the limit in force: it may change meanwhile. Knows no route.

use crate::server::Shared;
use futures_util::future::Shared as ForAll;
use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
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
}

impl Deadline {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let since = Instant::now();
        let sleep = Box::pin(sleep_until(end(&shared, since)));
        Self { shared, since, sleep }
    }
}

fn end(shared: &Shared, since: Instant) -> Instant {
    since + shared.limits.get().stall_timeout.min(LONGEST)
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let end = end(&self.shared, self.since);
        if self.sleep.deadline() != end {
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(task)
    }
}

/// Ends when the connection is to finish: the order was dropped.
pub(super) type Finishing = ForAll<oneshot::Receiver<()>>;

/// Whether the client owes the rest of a request: its head, or its body.
#[derive(Clone, Default)]
pub(super) struct Owed(Arc<AtomicUsize>);

impl Owed {
    pub(super) fn holds(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    /// It does until the guard is dropped.
    pub(super) fn begin(&self) -> Owing {
        self.0.fetch_add(1, Relaxed);
        Owing(self.clone())
    }
}

/// A head or a body that is waited for.
pub(super) struct Owing(Owed);

impl Drop for Owing {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The timer of hyper, which uses it for heads only: it is set when one is waited for, and dropped when that is
/// complete.
pub(super) struct HeadTimer {
    shared: Arc<Shared>,
    owed: Owed,
}

impl HeadTimer {
    pub(super) const fn new(shared: Arc<Shared>, owed: Owed) -> Self {
        Self { shared, owed }
    }

    fn head(&self) -> Pin<Box<dyn Sleep>> {
        Box::pin(Head {
            deadline: Deadline::new(self.shared.clone()),
            _owing: self.owed.begin(),
        })
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

/// A head that is waited for.
struct Head {
    deadline: Deadline,
    _owing: Owing,
}

impl Future for Head {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.deadline).poll(task)
    }
}

impl Sleep for Head {}
