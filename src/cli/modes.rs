//! The signals that end a command, and the modes of the terminal, which are as before then if the command has changed
//! them. Knows neither prompts nor passwords.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A terminal, and the modes that it gets back.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Whether a thread waits for signals.
static IS_WAITED_FOR: AtomicBool = AtomicBool::new(false);

/// Whether the command acts on signals itself.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// While this lives, SIGTERM, SIGHUP and SIGQUIT end the process with the terminal as it was when this was made. Later
/// they end it too, for a handler cannot be removed. SIGINT stays as it is: at a changed terminal Ctrl-C is a key.
pub(super) struct KeptModes {
    outer: Option<(OwnedFd, Termios)>,
}

impl KeptModes {
    pub(super) fn of(terminal: impl AsFd) -> io::Result<Self> {
        // What is no terminal has none.
        let modes = tcgetattr(&terminal).ok();
        let modes = modes.map(|modes| Ok::<_, io::Error>((terminal.as_fd().try_clone_to_owned()?, modes)));
        let outer = std::mem::replace(&mut *before(), modes.transpose()?);
        let kept = Self { outer };
        if !IS_WAITED_FOR.swap(true, SeqCst) {
            wait()?;
        }
        Ok(kept)
    }
}

impl Drop for KeptModes {
    fn drop(&mut self) {
        *before() = self.outer.take();
    }
}

fn before() -> MutexGuard<'static, Option<(OwnedFd, Termios)>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a signal, on a thread of its own: the first waits for keys.
fn wait() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let context = runtime.enter();
    let mut signals = EndSignals::listen(&[SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()])?;
    drop(context);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let kind = loop {
            let kind = runtime.block_on(signals.next());
            if !IS_TAKEN.load(SeqCst) {
                break kind;
            }
        };
        if let Some((terminal, modes)) = &*before() {
            let _ = tcsetattr(terminal, OptionalActions::Now, modes);
        }
        // As a shell says that a signal has ended a program.
        std::process::exit(128 + kind.as_raw_value())
    })?;
    Ok(())
}

/// Signals that end a command.
pub(super) struct EndSignals(Vec<(SignalKind, Signal)>);

impl EndSignals {
    /// SIGTERM, SIGHUP, SIGQUIT and SIGINT, for a command that ends itself in good order. It is to be called in a
    /// runtime.
    pub(super) fn take() -> io::Result<Self> {
        let signals = Self::listen(&[
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::interrupt(),
        ])?;
        IS_TAKEN.store(true, SeqCst);
        Ok(signals)
    }

    fn listen(kinds: &[SignalKind]) -> io::Result<Self> {
        let is_kept = is_hangup_ignored();
        let heeded = kinds.iter().filter(|kind| !(is_kept && **kind == SignalKind::hangup()));
        let signals = heeded.map(|&kind| Ok((kind, signal(kind)?)));
        signals.collect::<io::Result<_>>().map(Self)
    }

    /// The next that arrives.
    pub(super) async fn next(&mut self) -> SignalKind {
        poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            let arrived = signals.find_map(|(kind, signal)| signal.poll_recv(context).is_ready().then_some(*kind));
            arrived.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Whether this process ignores SIGHUP, as `nohup` has it for the command that it starts: it goes on doing so. That a
/// shell ignores SIGINT and SIGQUIT for what it starts in the background is for keys, and not for `kill`.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> (SignalKind::hangup().as_raw_value() - 1) & 1 == 1)
}
