//! The signals that a daemon receives. Knows no job and no configuration.

use super::{Drained, Running};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Signals within this time are one: `timeout` of coreutils sends each twice, to the process and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// Ctrl-C and SIGTERM, which end the daemon, and SIGHUP, which asks it to read its configuration again.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// When the first one came that ends the daemon.
    ended: Option<Instant>,
}

/// From now on SIGHUP does not end the process; the first [`Signals`] give one that has come meanwhile. Service
/// managers take an end by SIGHUP for a clean one, and reading settings and files takes a while before the runtime is
/// there.
///
/// # Errors
/// If the system does not allow it.
#[cfg(feature = "cli")]
pub(crate) fn hold_hang_ups() -> io::Result<()> {
    // A handler is registered for the process, and stays when the runtime has ended.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    signal(SignalKind::hangup()).map(drop)
}

/// What a signal, or the daemon itself, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Read the configuration again.
    Reload,
    /// End: after Ctrl-C or SIGTERM, or because the daemon has given up.
    End,
}

impl Signals {
    /// From now on Ctrl-C, SIGTERM and SIGHUP no longer end the process, nor do SIGUSR1, SIGUSR2 and SIGALRM, which are
    /// ignored, and SIGXFSZ: a file that may not grow is an error where it is written.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn new() -> io::Result<Self> {
        for ignored in [
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::alarm(),
            SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()),
        ] {
            // Once it is listened for, a signal does not end the process any more.
            drop(signal(ignored)?);
        }
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            ended: None,
        })
    }

    /// Waits for Ctrl-C or SIGTERM.
    pub(crate) async fn end(&mut self) {
        end(&mut self.interrupt, &mut self.terminate).await;
    }

    /// Waits for a signal, or until the daemon gives up.
    pub async fn next(&mut self, running: &Running) -> Notice {
        tokio::select! {
            () = end(&mut self.interrupt, &mut self.terminate) => {
                self.ended = Some(Instant::now());
                Notice::End
            }
            _ = self.hang_up.recv() => Notice::Reload,
            () = running.gave_up() => {
                tracing::error!("the daemon panicked too often and gives up");
                Notice::End
            }
        }
    }

    /// [Drains](Running::drain) the daemon, until that is done or another signal arrives that ends it, half a second
    /// after the first or later.
    pub async fn drain(mut self, running: Running, limit: Duration) -> Drained {
        tracing::info!(limit = %humantime::format_duration(limit), "finishing what was accepted; a second signal ends at once");
        tokio::select! {
            drained = running.drain(limit) => drained,
            () = self.second() => Drained::Interrupted,
        }
    }

    /// Waits for a second signal that ends the daemon.
    async fn second(&mut self) {
        loop {
            self.end().await;
            match self.ended {
                Some(first) if first.elapsed() < ONE_SIGNAL => {
                    tracing::info!("another signal within half a second of the first: taken for the same");
                }
                _ => return,
            }
        }
    }
}

async fn end(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
