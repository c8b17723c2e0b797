//! The responder: how an actor answers a call. Knows what it may say, and neither the way it takes nor the client.

use super::channel::{Channel, row_size};
use crate::proto::{Failure, Reply, Value};
use std::sync::Arc;
use thiserror::Error;

/// What an actor says of a call.
pub(in crate::engine) enum ActorReply {
    /// A row before the answer.
    Row(String),
    /// The answer.
    Reply(Reply),
    /// There will be none.
    Dropped,
}

/// Why a row was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RowError {
    /// The client reads too slowly: as many rows as there is room for are on their way to it.
    #[error("the client has not taken the rows before this one")]
    Full,
    /// Nobody waits any more, or the call was not made to stream.
    #[error("nobody takes rows of this call")]
    Gone,
}

/// Answers one call, now or later: keep it as long as you like. Dropped without an answer, as by a panic, it costs that
/// request an `ERR internal` and nothing else.
///
/// Drop it once [`cancelled`](Self::cancelled): a host bounds how many there are, and counts those that you hold.
pub struct Responder {
    client: u64,
    channel: Arc<Channel>,
    back: Option<Back>,
}

/// The way back to the scheduler.
type Back = Box<dyn Fn(ActorReply) + Send + Sync>;

impl Responder {
    /// The responder of a call for this client, whose news take the way `back`.
    pub(in crate::engine) fn new(client: u64, channel: Arc<Channel>, back: Back) -> Self {
        Self {
            client,
            channel,
            back: Some(back),
        }
    }

    /// The final answer: `OK value`.
    pub fn answer(self, value: impl Into<Value>) {
        self.finish(Ok(value.into()));
    }

    /// The final answer: `ERR code :text`.
    pub fn fail(self, failure: Failure) {
        self.finish(Err(failure));
    }

    /// The final answer, whichever it is.
    pub fn finish(mut self, reply: Reply) {
        self.say(ActorReply::Reply(reply));
        self.back = None;
    }

    /// Sends a row before the answer, if there is room: 64 KiB of rows may be on their way to a client that does not
    /// read. A row is one line of printable ASCII; in the line protocol any other character becomes `?`.
    ///
    /// # Errors
    /// [`RowError`]: the row is lost.
    pub fn try_row(&self, row: impl Into<String>) -> Result<(), RowError> {
        let row = row.into();
        let permit = self.channel.room().try_acquire_many(row_size(&row));
        permit
            .map_err(|error| match error {
                tokio::sync::TryAcquireError::NoPermits => RowError::Full,
                tokio::sync::TryAcquireError::Closed => RowError::Gone,
            })?
            .forget();
        self.say(ActorReply::Row(row));
        Ok(())
    }

    /// Sends a row, as [`try_row`](Self::try_row) does, as soon as there is room.
    ///
    /// # Errors
    /// [`RowError::Gone`] once nobody waits.
    pub async fn row(&self, row: impl Into<String>) -> Result<(), RowError> {
        let row = row.into();
        let permit = self.channel.room().acquire_many(row_size(&row)).await;
        permit.map_err(|_| RowError::Gone)?.forget();
        self.say(ActorReply::Row(row));
        Ok(())
    }

    /// Says how far the work is, 0.0..=1.0, for clients that asked with `progress=`. What is below the last time is
    /// ignored.
    pub fn progress(&self, done: f64) {
        self.channel.set_progress(done);
    }

    /// True once nobody waits for the answer any more: cancelled, past its deadline, or its client is gone.
    pub fn is_cancelled(&self) -> bool {
        self.channel.cancelled().is_cancelled()
    }

    /// Waits until nobody waits for the answer any more. Does not borrow the responder.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.channel.cancelled().clone().cancelled_owned()
    }

    /// The client: a number that no other connection of this daemon has or will have.
    pub const fn client(&self) -> u64 {
        self.client
    }

    fn say(&self, what: ActorReply) {
        if let Some(back) = &self.back {
            back(what);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.say(ActorReply::Dropped);
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
