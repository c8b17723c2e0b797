//! The signals that end a daemon. Knows no job.

use super::{Drained, Running};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the signals no longer end the process.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for a signal, or until a part of the daemon fails, and [drains](Running::drain) the daemon, until that is done or another signal
    /// arrives.
    pub async fn drain(mut self, mut running: Running, limit: Duration) -> Drained {
        tokio::select! {
            () = self.wait() => {}
            part = running.broken() => tracing::error!(part, "a part of the daemon failed; the daemon ends"),
        }
        tracing::info!(limit = %humantime::format_duration(limit), "finishing what was accepted; a second signal ends at once");
        tokio::select! {
            drained = running.drain(limit) => drained,
            () = self.wait() => Drained::Interrupted,
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
