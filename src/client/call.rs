//! One call: what is asked, on which terms, and what comes back. Knows no verb.

use super::Error;
use super::connection::{Connection, OnProgress};
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
    deadline: Option<Duration>,
    progress: Option<Duration>,
    on_progress: Option<OnProgress>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    pub(super) fn new(connection: Arc<Connection>, words: String) -> Self {
        Self {
            connection,
            words,
            deadline: None,
            progress: None,
            on_progress: None,
            kind: PhantomData,
        }
    }

    /// The daemon stops the work when so much time has passed; the error is [`Code::Deadline`](crate::Code::Deadline)
    /// then. From 1 ms to a year: what is below or beyond is taken as the bound. The last one counts, also in place of
    /// a `deadline=` among the words.
    pub fn deadline(mut self, wait: Duration) -> Self {
        self.deadline = Some(within(wait, &DEADLINES));
        self
    }

    /// Passes the progress of the work to `on_progress` at this interval. It is called where the connection is read: it
    /// must not block. From 100 ms to a year: what is below or beyond is taken as the bound. A closure that panics is
    /// not called again; the answer comes all the same. The last one counts, also in place of a `progress=` among the
    /// words.
    pub fn progress(mut self, every: Duration, on_progress: impl Fn(Progress) + Send + 'static) -> Self {
        self.progress = Some(within(every, &INTERVALS));
        self.on_progress = Some(Box::new(on_progress));
        self
    }
}

impl<T: FromReply + 'static> IntoFuture for Call<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            check(&self.words)?;
            let words = with_terms(self.words, [("deadline", self.deadline), ("progress", self.progress)]);
            let reply = self.connection.send(&words, self.on_progress).await?;
            T::from_reply(reply.await?)
        })
    }
}

/// The words with these times, and without what they say of them themselves.
fn with_terms(mut words: String, times: [(&str, Option<Duration>); 2]) -> String {
    for (key, time) in times {
        let Some(time) = time else {
            continue;
        };
        let says = |word: &&str| {
            word.split_once('=')
                .is_some_and(|(other, _)| other.eq_ignore_ascii_case(key))
        };
        if words.split_ascii_whitespace().any(|word| says(&word)) {
            let others: Vec<&str> = words.split_ascii_whitespace().filter(|word| !says(word)).collect();
            words = others.join(" ");
        }
        words += &format!(" {key}={}ms", time.as_millis());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_once_and_in_place_of_what_the_words_say() {
        let (short, long) = (Some(Duration::from_millis(20)), Some(Duration::from_secs(1)));
        let line = |words: &str, deadline, progress| {
            with_terms(words.to_owned(), [("deadline", deadline), ("progress", progress)])
        };
        assert_eq!(line("pi 9 deadline=5s", None, None), "pi 9 deadline=5s");
        assert_eq!(line("pi 9", short, long), "pi 9 deadline=20ms progress=1000ms");
        assert_eq!(line("pi  DEADLINE=5s 9", short, None), "pi 9 deadline=20ms");
        assert_eq!(
            line("pi 9 progress=5s deadline=1h", None, long),
            "pi 9 deadline=1h progress=1000ms"
        );
    }
}
