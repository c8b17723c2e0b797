//! The connection of a client: many requests under way at once, each named by its tag. Knows no verb.
//!
//! One task moves the bytes. What waits to be sent is bounded by the permits of the requests under way, which are fewer
//! than a daemon takes at once: so it goes on reading, and a cancel gets through. Not so if its `--max-in-flight` is
//! lower, as [`Client`](super::Client) says: a cancel cannot overtake the requests that are in the socket before it.

use super::Error;
use super::connector::{Reader, Writer};
use super::line::Progress;
use super::reply::Reply;
use crate::caught::caught;
use crate::proto::codec::{ClientCodec, Part, Response};
use bytes::BytesMut;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::codec::FramedRead;

/// Requests under way at once. A daemon takes 1024 by default before it stops reading.
const MAX_IN_FLIGHT: usize = 512;
/// Bytes of rows that a reply may have. What has more is a stream.
const MAX_ROW_BYTES: usize = 4 << 20;
/// Bytes written at once.
const WRITE_BYTES: usize = 64 << 10;
/// The tag of cancels. They are answered before the next request is read, so that one will do.
const CANCEL_TAG: &str = "c";

/// The caller's closure that takes progress.
pub(super) type OnProgress = Box<dyn Fn(Progress) + Send>;

/// A connection whose requests each have a tag.
pub(super) struct Connection {
    lines: mpsc::UnboundedSender<String>,
    waiting: Arc<Mutex<Waiting>>,
    permits: Arc<Semaphore>,
}

/// The requests under way.
#[derive(Default)]
struct Waiting {
    next: u64,
    requests: HashMap<u64, Entry>,
    is_closed: bool,
    /// Why it is closed, if it is not only that the daemon did so.
    error: Option<Cause>,
}

/// What ended a connection.
enum Cause {
    /// The error that the daemon sent for the connection as a whole, before it closed it.
    Response(Response),
    /// What was received is no response, or receiving failed.
    Io(io::ErrorKind, String),
}

impl Waiting {
    /// Why there is no answer any more.
    fn error(&self) -> Error {
        let response = match &self.error {
            None => return Error::Closed,
            Some(Cause::Io(kind, text)) => return Error::Io(io::Error::new(*kind, text.clone())),
            Some(Cause::Response(response)) => response,
        };
        match &response.part {
            Part::Final(Err(failure)) => Error::Failure(failure.clone()),
            Part::Final(Ok(data)) => Error::Unexpected(data.to_string()),
            Part::Row(text) | Part::Progress(text) => Error::Unexpected(text.clone()),
        }
    }
}

struct Entry {
    reply: oneshot::Sender<Result<Reply, Error>>,
    on_progress: Option<OnProgress>,
    rows: Vec<String>,
    row_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(reader: Reader, writer: Writer) -> Self {
        let (lines, to_write) = mpsc::unbounded_channel();
        let waiting = Arc::<Mutex<Waiting>>::default();
        let ending = Ending(waiting.clone());
        tokio::spawn(async move {
            let result = tokio::select! {
                result = read(reader, &ending.0) => result,
                // Where writing fails, reading goes on to the end: the daemon may have sent an error before it closed.
                Ok(()) = write(writer, to_write) => Ok(()),
            };
            if let Err(error) = result {
                tracing::debug!(%error, "the connection to the daemon is lost");
                if !is_closing(error.kind()) {
                    lock(&ending.0).error = Some(Cause::Io(error.kind(), error.to_string()));
                }
            }
        });
        Self {
            lines,
            waiting,
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
        }
    }

    /// Sends a request as soon as few enough are under way.
    pub(super) async fn send(self: Arc<Self>, words: &str, on_progress: Option<OnProgress>) -> Result<Pending, Error> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let (sender, reply) = oneshot::channel();
        let tag = {
            let mut waiting = lock(&self.waiting);
            if waiting.is_closed {
                return Err(waiting.error());
            }
            let tag = waiting.next;
            waiting.next += 1;
            let entry = Entry {
                reply: sender,
                on_progress,
                rows: Vec::new(),
                row_bytes: 0,
                _permit: permit,
            };
            waiting.requests.insert(tag, entry);
            tag
        };
        let line = format!("@{tag} {words}\n");
        // If the connection is lost meanwhile, the reply says so.
        let _ = self.lines.send(line);
        Ok(Pending {
            connection: self,
            tag: Some(tag),
            reply,
        })
    }

    fn cancel(&self, tag: u64) {
        // If the connection is lost, so is the request.
        let _ = self.lines.send(format!("@{CANCEL_TAG} cancel @{tag}\n"));
    }
}

/// Belongs to the task that moves the bytes, and ends all requests when it is dropped: by its end, with its runtime, or
/// by a panic.
struct Ending(Arc<Mutex<Waiting>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0);
        waiting.is_closed = true;
        let requests = std::mem::take(&mut waiting.requests);
        // The callers' closures may do anything as they are dropped.
        drop(waiting);
        // Their receivers resolve, because the senders are dropped.
        drop(requests);
    }
}

/// A request under way. Dropped before its reply is there, it is cancelled.
pub(super) struct Pending {
    connection: Arc<Connection>,
    tag: Option<u64>,
    reply: oneshot::Receiver<Result<Reply, Error>>,
}

impl Future for Pending {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.reply).poll(task));
        self.tag = None;
        Poll::Ready(reply.unwrap_or_else(|_| Err(lock(&self.connection.waiting).error())))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(tag) = self.tag {
            self.connection.cancel(tag);
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(mut writer: Writer, mut lines: mpsc::UnboundedReceiver<String>) -> io::Result<()> {
    let mut out = BytesMut::new();
    while let Some(line) = lines.recv().await {
        out.extend_from_slice(line.as_bytes());
        while out.len() < WRITE_BYTES
            && let Ok(line) = lines.try_recv()
        {
            out.extend_from_slice(line.as_bytes());
        }
        writer.write_all_buf(&mut out).await?;
        // What encrypts may keep some back.
        writer.flush().await?;
    }
    Ok(())
}

/// Whether an error means that the other side has closed the connection, and nothing more. One that is closed with
/// bytes unread is reset.
const fn is_closing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// The responses of a daemon.
pub(super) type Responses = FramedRead<Reader, ClientCodec>;

pub(super) fn responses(reader: Reader) -> Responses {
    FramedRead::new(reader, ClientCodec::lines())
}

/// The next response.
///
/// # Errors
/// At the end of input too: a daemon does not close a connection with requests under way.
pub(super) async fn next(responses: &mut Responses) -> io::Result<Response> {
    let response = responses.next().await;
    response.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
}

/// Reads until a response has no tag: every request has one, so that this is an error for the connection as a whole.
async fn read(reader: Reader, waiting: &Mutex<Waiting>) -> io::Result<()> {
    let mut responses = responses(reader);
    loop {
        let response = next(&mut responses).await?;
        let Some(tag) = response.tag else {
            lock(waiting).error = Some(Cause::Response(response));
            return Ok(());
        };
        // The others are cancels, whose replies nothing waits for.
        if let Ok(tag) = tag.as_str().parse() {
            take(tag, response.part, waiting);
        }
    }
}

fn take(tag: u64, part: Part, waiting: &Mutex<Waiting>) {
    let mut locked = lock(waiting);
    let Some(entry) = locked.requests.get_mut(&tag) else {
        return;
    };
    let reply = match part {
        Part::Progress(words) => {
            if let Some(on_progress) = entry.on_progress.take() {
                drop(locked);
                notify(on_progress, Progress::parse(&words), tag, waiting);
            }
            return;
        }
        Part::Row(row) => {
            entry.row_bytes += row.len() + size_of::<String>();
            if entry.row_bytes <= MAX_ROW_BYTES {
                entry.rows.push(row);
            } else {
                entry.rows = Vec::new();
            }
            return;
        }
        Part::Final(Ok(_)) if entry.row_bytes > MAX_ROW_BYTES => Err(Error::TooManyRows),
        Part::Final(Ok(data)) => Ok(Reply {
            rows: std::mem::take(&mut entry.rows),
            value: data.into(),
        }),
        Part::Final(Err(failure)) => Err(Error::Failure(failure)),
    };
    let entry = locked.requests.remove(&tag);
    drop(locked);
    if let Some(entry) = entry {
        // The caller may have stopped waiting.
        let _ = entry.reply.send(reply);
    }
}

/// Calls a closure, which is code of the caller: it may use the same client, so the lock is free meanwhile; and if
/// it panics, it is not called again, and all calls go on.
fn notify(on_progress: OnProgress, progress: Progress, tag: u64, waiting: &Mutex<Waiting>) {
    if caught(|| on_progress(progress)).is_ok()
        && let Some(entry) = lock(waiting).requests.get_mut(&tag)
    {
        entry.on_progress = Some(on_progress);
    }
}
