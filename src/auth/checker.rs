//! The thread that checks passwords: at the lowest priority, one at a time, with a bounded queue.

use super::delays::Delays;
use super::password::Scratch;
use super::{Credentials, Identity, Notify, Verdict};
use crate::clients::UNIX;
use crate::priority;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

/// Checks that may wait: a second of work.
const MAX_WAITING: usize = 64;
/// How long the memory of a check is kept for the next one.
const KEPT: Duration = Duration::from_secs(1);
/// When one that found no room may try again.
const RETRY: Duration = Duration::from_secs(1);

/// Says who has these credentials; slow, as [`password`](super::password) is.
type Verify = Box<dyn Fn(&Credentials, &mut Scratch) -> Option<Identity> + Send>;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Checker {
    queue: SyncSender<Check>,
    delays: Arc<Mutex<Delays>>,
    wrong: Arc<AtomicU64>,
}

struct Check {
    from: IpAddr,
    credentials: Credentials,
    notify: Notify,
}

impl Checker {
    /// Starts the thread; it ends when this is dropped.
    ///
    /// # Errors
    /// If the system has no thread.
    pub(super) fn start(verify: Verify) -> io::Result<Self> {
        let (queue, checks) = sync_channel(MAX_WAITING);
        let delays = Arc::<Mutex<Delays>>::default();
        let wrong = Arc::<AtomicU64>::default();
        let (shared, count) = (delays.clone(), wrong.clone());
        thread::Builder::new().name("primed-auth".into()).spawn(move || {
            // Passwords wait for the work that clients wait for, and not the other way round.
            priority::give_way();
            work(&checks, &verify, &shared, &count);
        })?;
        Ok(Self { queue, delays, wrong })
    }

    /// Queues a check, or answers at once that it has to wait.
    pub(super) fn check(&self, from: IpAddr, credentials: Credentials, notify: Notify) {
        if let Some(left) = left(&self.delays, from) {
            return notify(Verdict::Later(left));
        }
        let check = Check {
            from,
            credentials,
            notify,
        };
        if let Err(TrySendError::Full(check) | TrySendError::Disconnected(check)) = self.queue.try_send(check) {
            (check.notify)(Verdict::Later(RETRY));
        }
    }

    /// The count of wrong passwords since the start.
    pub(super) const fn wrong(&self) -> &Arc<AtomicU64> {
        &self.wrong
    }
}

fn work(checks: &Receiver<Check>, verify: &Verify, delays: &Mutex<Delays>, wrong: &AtomicU64) {
    let mut scratch = Scratch::default();
    loop {
        let check = checks.recv_timeout(KEPT).or_else(|error| {
            scratch = Scratch::default();
            match error {
                RecvTimeoutError::Timeout => checks.recv(),
                RecvTimeoutError::Disconnected => Err(RecvError),
            }
        });
        let Ok(Check {
            from,
            credentials,
            notify,
        }) = check
        else {
            return;
        };
        // It may have been queued before the others of its address were found wrong.
        let verdict = match left(delays, from) {
            Some(left) => Verdict::Later(left),
            None => match verify(&credentials, &mut scratch) {
                Some(identity) => Verdict::Granted(identity),
                None => {
                    wrong.fetch_add(1, Relaxed);
                    let delay = lock(delays).add(from, Instant::now());
                    let from = match from {
                        _ if from == UNIX.ip() => "unix".to_owned(),
                        from => from.to_string(),
                    };
                    tracing::warn!(from, delay_ms = delay.as_millis(), "a wrong user or password");
                    Verdict::Refused(delay)
                }
            },
        };
        notify(verdict);
    }
}

fn left(delays: &Mutex<Delays>, from: IpAddr) -> Option<Duration> {
    lock(delays).left(from, Instant::now())
}

fn lock(delays: &Mutex<Delays>) -> std::sync::MutexGuard<'_, Delays> {
    delays.lock().unwrap_or_else(PoisonError::into_inner)
}
