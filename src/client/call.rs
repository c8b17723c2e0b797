//! One call: what is asked, on which terms, and what comes back. Knows no verb.

use super::Error;
use super::connection::{Connection, Listener};
use super::line::{Progress, check};
use super::reply::FromReply;
use crate::proto::{DEADLINES, INTERVALS, within};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A question that has not been asked yet: awaiting it asks. Dropped while it is awaited, it is cancelled.
#[must_use = "nothing is asked until the call is awaited"]
pub struct Call<T> {
    connection: Arc<Connection>,
    words: String,
    listener: Option<Listener>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    pub(super) fn new(connection: Arc<Connection>, words: String) -> Self {
        Self {
            connection,
            words,
            listener: None,
            kind: PhantomData,
        }
    }

    /// The daemon stops the work when so much time has passed; the error is [`Code::Deadline`](crate::Code::Deadline)
    /// then. From 1 ms to a year: what is below or beyond is taken as the bound.
    pub fn deadline(mut self, wait: Duration) -> Self {
        let wait = within(wait, &DEADLINES);
        self.words += &format!(" deadline={}ms", wait.as_millis());
        self
    }

    /// Passes the progress of the work to `listener` at this interval. `listener` is called where the connection is
    /// read: it must not block. From 100 ms to a year: what is below or beyond is taken as the bound. A listener that
    /// panics is not called again; the answer comes all the same.
    pub fn progress(mut self, every: Duration, listener: impl Fn(Progress) + Send + 'static) -> Self {
        let every = within(every, &INTERVALS);
        self.words += &format!(" progress={}ms", every.as_millis());
        self.listener = Some(Box::new(listener));
        self
    }
}

impl<T: FromReply + 'static> IntoFuture for Call<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            check(&self.words)?;
            let reply = self.connection.send(&self.words, self.listener).await?;
            T::from_reply(reply.await?)
        })
    }
}
