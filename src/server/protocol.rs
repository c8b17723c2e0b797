//! Custom protocols: a codec, and the answer to a request. Knows no socket; `protocol_session` does the rest.
//!
//! To add a protocol: 1. take a codec (`tokio_util::codec` has one for lines and one for bytes as they come) or write
//! one;
//! 2. implement [`Protocol`]; 3. give the daemon an address for it with [`Daemon::serve`](crate::Daemon::serve).

use crate::verb::Engine;
use tokio_util::codec::{Decoder, Encoder};

/// A protocol: how bytes become requests, what is answered, and how replies become bytes.
///
/// Each connection has one value of the type, and so a place for what it is to remember. Requests are answered at the
/// same time, as many as the limits allow, and replies leave in the order of the requests. An answer that nobody waits
/// for any more, because the client has hung up, is dropped, and with it the questions it has asked the engine. A panic
/// closes the connection it happened on.
///
/// The codec is given at most [`Limits::max_line_bytes`](crate::Limits::max_line_bytes) bytes at once. If it can do
/// nothing with them, the frame is too long: an error of the kind [`InvalidData`](std::io::ErrorKind::InvalidData) goes
/// to [`malformed`](Self::malformed). A codec may say so earlier; for longer frames, raise the limit.
///
/// ```
/// use primed::{Answer, Daemon, Engine, Protocol};
/// use tokio_util::codec::LinesCodec;
///
/// /// Any verb, without `OK`: `pi 100` is answered by `25`.
/// struct Terse;
///
/// impl Protocol for Terse {
///     type Codec = LinesCodec;
///     type Reply = String;
///
///     fn codec(&self) -> LinesCodec {
///         LinesCodec::new()
///     }
///
///     async fn answer(&self, line: String, engine: &Engine) -> Answer<String> {
///         match engine.request(&line).await {
///             Ok(value) => Answer::Reply(value.to_string()),
///             Err(failure) => Answer::Last(failure.to_string()),
///         }
///     }
/// }
///
/// let daemon = Daemon::new().serve(([127, 0, 0, 1], 0).into(), || Terse).spawn()?;
/// # use std::io::{BufRead, BufReader, Write};
/// # let mut client = std::net::TcpStream::connect(daemon.addresses()[0])?;
/// # client.write_all(b"pi 100\nfactor 2^67-1\n")?;
/// # let lines: Vec<String> = BufReader::new(client).lines().take(2).collect::<Result<_, _>>()?;
/// # assert_eq!(lines, ["25", "193707721 761838257287"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Protocol: 'static {
    /// Decodes requests and encodes replies.
    type Codec: Decoder<Item: 'static> + Encoder<Self::Reply> + Unpin + 'static;

    /// What is sent back.
    type Reply: 'static;

    /// The codec of a new connection.
    fn codec(&self) -> Self::Codec;

    /// Answers a request. Must not block its thread, not by [`Question::wait`](crate::Question::wait) either: work
    /// belongs into the engine, whose questions are awaited.
    fn answer(
        &self,
        request: <Self::Codec as Decoder>::Item,
        engine: &Engine,
    ) -> impl Future<Output = Answer<Self::Reply>>;

    /// Answers what the codec could not read, or what is too long for it; nothing more is read after it. `info` counts
    /// it as a request with an error, as it does a panic.
    fn malformed(&self, error: <Self::Codec as Decoder>::Error) -> Answer<Self::Reply> {
        let _ = error;
        Answer::Close
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<R> {
    /// A reply.
    Reply(R),
    /// A reply; the connection is closed once it is sent.
    Last(R),
    /// No reply is sent.
    Nothing,
    /// No reply is sent, and the connection is closed once all before is sent.
    Close,
}

impl<R> Answer<R> {
    /// The reply, and whether it is the last one.
    pub(super) fn into_parts(self) -> (Option<R>, bool) {
        match self {
            Self::Reply(reply) => (Some(reply), false),
            Self::Last(reply) => (Some(reply), true),
            Self::Nothing => (None, false),
            Self::Close => (None, true),
        }
    }
}
