//! The channel of an external task: a flag that says when to stop, the progress, and room for rows. Knows neither of
//! its ends: the table holds one, a [`Token`] or a [`Responder`](super::Responder) the other.

use crate::proto::{Code, Failure, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bytes of rows that an external task may have sent and its client not yet taken.
const ROOM_FOR_ROWS: usize = 64 << 10;

/// What the table and the code or actor that works on an external task share.
#[derive(Debug)]
pub(in crate::engine) struct Channel {
    cancelled: CancellationToken,
    /// The share that is done, as the bits of an `f64`.
    progress: AtomicU64,
    /// Room for rows, in bytes.
    room: Semaphore,
}

impl Channel {
    pub(in crate::engine) fn new(streams: bool) -> Self {
        let channel = Self {
            cancelled: CancellationToken::new(),
            progress: AtomicU64::new(0),
            room: Semaphore::new(ROOM_FOR_ROWS),
        };
        if !streams {
            channel.room.close();
        }
        channel
    }

    /// Nobody waits for the answer any more.
    pub(in crate::engine) fn close(&self) {
        self.cancelled.cancel();
        self.room.close();
    }

    pub(in crate::engine) const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    pub(in crate::engine) const fn room(&self) -> &Semaphore {
        &self.room
    }

    pub(in crate::engine) fn progress(&self) -> f64 {
        f64::from_bits(self.progress.load(Relaxed))
    }

    /// Several threads may report at once. Of floats that are not negative the larger one has the larger bits; adding
    /// 0.0 makes -0.0, whose bits are larger than those of 1.0, 0.0.
    pub(super) fn set_progress(&self, done: f64) {
        if (0.0..=1.0).contains(&done) {
            self.progress.fetch_max((done + 0.0).to_bits(), Relaxed);
        }
    }
}

/// The bytes of room that a row takes.
pub(in crate::engine) fn row_size(row: &str) -> u32 {
    u32::try_from((row.len() + size_of::<String>()).min(ROOM_FOR_ROWS)).unwrap_or(u32::MAX)
}

/// How blocking code learns that it is cancelled, and reports its progress.
#[derive(Clone, Debug)]
pub struct Token(pub(in crate::engine) Arc<Channel>);

impl Token {
    /// True once nobody waits for the answer any more: cancelled, past its deadline, or its client is gone. Ask every
    /// few milliseconds and return anything; nobody will read it.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Blocks this thread until the reply to a question is there, or until nobody waits for this code's own answer any
    /// more: then the question is cancelled.
    ///
    /// ```
    /// use primed::{Blocking, Daemon, Query, define};
    /// let lane = Blocking::new("between", 2);
    /// let daemon = Daemon::new().verb(define("between A B", "how many primes more are <= B than <= A", move |call| {
    ///     let (a, b) = (call.number(0, "A")?, call.number(1, "B")?);
    ///     let engine = call.engine()?;
    ///     Ok(lane.run(call, move |token| {
    ///         let count = |x: u64| token.wait(engine.ask(Query::Pi(x.into())))?.try_into();
    ///         let (upper, lower): (u64, u64) = (count(b)?, count(a)?);
    ///         Ok(upper.saturating_sub(lower).into())
    ///     }))
    /// }));
    /// ```
    ///
    /// # Errors
    /// The failure of the question; `cancelled` if nobody waits any more.
    pub fn wait(&self, question: impl IntoFuture<Output = Reply>) -> Reply {
        let reply = self.0.cancelled().run_until_cancelled(question.into_future());
        let nobody = || Err(Failure::new(Code::Cancelled, "nobody waits for the answer any more"));
        futures_executor::block_on(reply).unwrap_or_else(nobody)
    }

    /// Says how far the work is, 0.0..=1.0. What is below the last time is ignored.
    pub fn progress(&self, done: f64) {
        self.0.set_progress(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_only_grows_and_stays_within_its_bounds() {
        let token = Token(Arc::new(Channel::new(false)));
        for (said, kept) in [
            (-0.0, 0.0),
            (0.5, 0.5),
            (-0.0, 0.5),
            (0.25, 0.5),
            (2.0, 0.5),
            (f64::NAN, 0.5),
            (1.0, 1.0),
        ] {
            token.progress(said);
            assert_eq!(token.0.progress().to_bits(), f64::to_bits(kept));
        }
    }

    #[test]
    fn a_closed_channel_is_cancelled_and_takes_no_rows() {
        let channel = Channel::new(true);
        assert!(channel.room().try_acquire_many(row_size("a row")).is_ok());
        channel.close();
        assert!(channel.cancelled().is_cancelled());
        assert!(channel.room().try_acquire_many(1).is_err());
    }
}
