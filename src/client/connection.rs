//! The connection of a client: many requests under way at once, told apart by their tags. Knows no verb.
//!
//! One task moves the bytes. What waits to be sent is bounded by the permits of the requests under way, which are fewer than a
//! daemon takes at once: so it goes on reading, and a cancel gets through. Not so if its `--max-in-flight` is lower, as [`Client`](super::Client)
//! says: a cancel cannot overtake the requests that are in the socket before it.

use super::Error;
use super::line::{Heard, Progress, failure, split_tag};
use super::reply::Reply;
use bytes::BytesMut;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::codec::{Decoder, LinesCodec};

/// Requests under way at once. A daemon takes 1024 before it stops reading, unless it is told otherwise.
const MAX_IN_FLIGHT: usize = 512;
/// The longest line that is accepted of a daemon.
const MAX_LINE: usize = 1 << 20;
/// Bytes of rows that a reply may have. What has more is a stream.
const MAX_ROW_BYTES: usize = 4 << 20;
/// Bytes written at once.
const WRITE_BYTES: usize = 64 << 10;
/// The tag of cancels. They are answered before the next request is read, so that one will do.
const CANCEL_TAG: &str = "c";

/// Who is told of progress.
pub(super) type Listener = Box<dyn Fn(Progress) + Send>;

/// A connection whose requests are told apart.
pub(super) struct Connection {
    lines: mpsc::UnboundedSender<String>,
    waiting: Arc<Mutex<Waiting>>,
    permits: Arc<Semaphore>,
}

/// Who waits for what.
#[derive(Default)]
struct Waiting {
    next: u64,
    requests: HashMap<u64, Entry>,
    is_closed: bool,
    /// What was said to nobody in particular, whereupon the connection was closed.
    last_word: Option<String>,
}

impl Waiting {
    /// Why there is no answer any more.
    fn error(&self) -> Error {
        match self.last_word.as_deref().map(|line| (line, Heard::parse(line))) {
            None => Error::Closed,
            Some((_, Heard::Error { code, text })) => Error::Failure(failure(code, text)),
            Some((line, _)) => Error::Unexpected(line.to_owned()),
        }
    }
}

struct Entry {
    reply: oneshot::Sender<Result<Reply, Error>>,
    listener: Option<Listener>,
    rows: Vec<String>,
    row_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let (lines, to_write) = mpsc::unbounded_channel();
        let waiting = Arc::<Mutex<Waiting>>::default();
        let ending = Ending(waiting.clone());
        tokio::spawn(async move {
            let result = tokio::select! {
                result = read(reader, &ending.0) => result,
                // Where writing fails, reading goes on to the end: who hung up may have said why.
                Ok(()) = write(writer, to_write) => Ok(()),
            };
            if let Err(error) = result {
                tracing::debug!(%error, "the connection to the daemon is lost");
            }
        });
        Ok(Self {
            lines,
            waiting,
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
        })
    }

    /// Sends a request as soon as few enough are under way.
    pub(super) async fn send(self: Arc<Self>, words: &str, listener: Option<Listener>) -> Result<Pending, Error> {
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
                listener,
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

/// Belongs to the task that moves the bytes, and tells whoever waits that it has ended: by itself, with its runtime, or by a panic.
struct Ending(Arc<Mutex<Waiting>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0);
        waiting.is_closed = true;
        let requests = std::mem::take(&mut waiting.requests);
        // Listeners may do anything as they are dropped.
        drop(waiting);
        // Whoever waits hears of it, because its sender is dropped.
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

async fn write(mut writer: OwnedWriteHalf, mut lines: mpsc::UnboundedReceiver<String>) -> io::Result<()> {
    let mut out = BytesMut::new();
    while let Some(line) = lines.recv().await {
        out.extend_from_slice(line.as_bytes());
        while out.len() < WRITE_BYTES
            && let Ok(line) = lines.try_recv()
        {
            out.extend_from_slice(line.as_bytes());
        }
        writer.write_all_buf(&mut out).await?;
    }
    Ok(())
}

/// Reads until what is read is to nobody: every request has a tag, so that this is said to the connection as a whole.
async fn read(reader: OwnedReadHalf, waiting: &Mutex<Waiting>) -> io::Result<()> {
    let mut lines = Lines::new(reader);
    loop {
        lines.fill().await?;
        while let Some(line) = lines.next()? {
            let (Some(tag), rest) = split_tag(&line) else {
                lock(waiting).last_word = Some(line);
                return Ok(());
            };
            hear(tag, rest, waiting);
        }
    }
}

fn hear(tag: &str, rest: &str, waiting: &Mutex<Waiting>) {
    // Nobody waits to hear that a cancel came too late.
    let Ok(tag) = tag.parse::<u64>() else {
        return;
    };
    let mut locked = lock(waiting);
    let Some(entry) = locked.requests.get_mut(&tag) else {
        return;
    };
    let reply = match Heard::parse(rest) {
        Heard::Progress(text) => {
            if let Some(listener) = entry.listener.take() {
                drop(locked);
                tell(listener, Progress::parse(text), tag, waiting);
            }
            return;
        }
        Heard::Row(row) => {
            entry.row_bytes += row.len() + size_of::<String>();
            if entry.row_bytes <= MAX_ROW_BYTES {
                entry.rows.push(row.to_owned());
            } else {
                entry.rows = Vec::new();
            }
            return;
        }
        Heard::Value(_) if entry.row_bytes > MAX_ROW_BYTES => Err(Error::TooManyRows),
        Heard::Value(value) => Ok(Reply {
            rows: std::mem::take(&mut entry.rows),
            value: value.to_owned(),
        }),
        Heard::Error { code, text } => Err(Error::Failure(failure(code, text))),
    };
    let entry = locked.requests.remove(&tag);
    drop(locked);
    if let Some(entry) = entry {
        // Whoever asked may have stopped waiting.
        let _ = entry.reply.send(reply);
    }
}

/// Tells a listener, whose code is somebody else's: it may ask the same client, so the lock is free meanwhile; and if it panics, it is not
/// told again, and all calls go on.
fn tell(listener: Listener, progress: Progress, tag: u64, waiting: &Mutex<Waiting>) {
    match catch_unwind(AssertUnwindSafe(|| listener(progress))) {
        Ok(()) => {
            if let Some(entry) = lock(waiting).requests.get_mut(&tag) {
                entry.listener = Some(listener);
            }
        }
        // Dropping a payload may panic again, outside of the catch.
        Err(payload) => std::mem::forget(payload),
    }
}

/// Lines of a daemon, of bounded length.
pub(super) struct Lines {
    reader: OwnedReadHalf,
    codec: LinesCodec,
    buffer: BytesMut,
}

impl Lines {
    pub(super) fn new(reader: OwnedReadHalf) -> Self {
        Self {
            reader,
            codec: LinesCodec::new_with_max_length(MAX_LINE),
            buffer: BytesMut::new(),
        }
    }

    /// Reads what there is.
    ///
    /// # Errors
    /// At the end of input too: a daemon does not close while something is under way.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(8 << 10);
        match self.reader.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next line, if it has been read.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let line = self.codec.decode(&mut self.buffer);
        line.map_err(|error| io::Error::other(format!("this is no daemon: {error}")))
    }
}
