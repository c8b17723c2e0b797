//! The thread that checks passwords: at the lowest priority, one at a time, with a bounded queue.

use super::delays::Delays;
use super::password::Scratch;
use super::{Credentials, Identity, Notify, Verdict};
use crate::caught::{Panicked, caught};
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
            None => match caught(|| verify(&credentials, &mut scratch)) {
                Ok(Some(identity)) => Verdict::Granted(identity),
                Err(Panicked) => {
                    tracing::error!("the check of a password panicked");
                    scratch = Scratch::default();
                    Verdict::Later(RETRY)
                }
                Ok(None) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    type Said = (u8, Verdict);

    /// A checker that finds all wrong, each once the sender has sent or is gone; and where it says that it has begun
    /// one.
    fn checker() -> (Checker, Sender<()>, Receiver<()>) {
        let (release, gate) = channel();
        let (started, begun) = channel();
        let verify: Verify = Box::new(move |_, _| {
            let _ = started.send(());
            let _ = gate.recv();
            None
        });
        (Checker::start(verify).expect("there is a thread"), release, begun)
    }

    fn check(checker: &Checker, address: u8, name: u8, said: &Sender<Said>) {
        let (credentials, said) = (
            Credentials {
                user: "ann".into(),
                password: "guess".into(),
            },
            said.clone(),
        );
        let notify = move |verdict| said.send((name, verdict)).expect("the test waits");
        checker.check([10, 0, 0, address].into(), credentials, Box::new(notify));
    }

    #[test]
    fn one_that_finds_no_room_in_the_line_is_answered_at_once() {
        let (checker, release, begun) = checker();
        let (said, verdicts) = channel();
        check(&checker, 0, 0, &said);
        begun.recv().expect("it is being checked");
        let waiting = u8::try_from(MAX_WAITING).expect("there are few");
        for name in 1..=waiting + 1 {
            check(&checker, name, name, &said);
        }
        assert_eq!(
            verdicts.try_iter().collect::<Vec<_>>(),
            [(waiting + 1, Verdict::Later(RETRY))]
        );
        drop(release);
        drop(said);
        let order = verdicts.iter().take(usize::from(waiting) + 1).map(|(name, verdict)| {
            assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
            name
        });
        assert!(order.eq(0..=waiting));
        assert_eq!(checker.wrong().load(Relaxed), u64::from(waiting) + 1);
    }

    #[test]
    fn after_a_wrong_one_the_others_in_line_of_its_address_are_not_looked_at() {
        let (checker, release, begun) = checker();
        let (said, verdicts) = channel();
        for name in 0..3 {
            check(&checker, 7, name, &said);
        }
        drop(release);
        let verdicts: Vec<Said> = verdicts.iter().take(3).collect();
        assert!(
            matches!(
                verdicts[..],
                [(0, Verdict::Refused(_)), (1, Verdict::Later(_)), (2, Verdict::Later(_))]
            ),
            "{verdicts:?}"
        );
        assert_eq!((begun.try_iter().count(), checker.wrong().load(Relaxed)), (1, 1));
    }

    #[test]
    fn one_whose_check_panics_is_answered_and_so_is_the_next() {
        let verify: Verify = Box::new(|_, _| panic!("as asked"));
        let checker = Checker::start(verify).expect("there is a thread");
        let (said, verdicts) = channel();
        for name in 0..2 {
            check(&checker, name, name, &said);
        }
        let verdicts: Vec<Said> = verdicts.iter().take(2).collect();
        assert_eq!(verdicts, [(0, Verdict::Later(RETRY)), (1, Verdict::Later(RETRY))]);
        assert_eq!(checker.wrong().load(Relaxed), 0);
    }
}
