//! The side of the client: encodes requests, decodes replies.

use super::{Request, Response};
use crate::proto::dialect::lines::{self, ParsedLine, parse_line};
use crate::proto::dialect::resp::{self, write_bulk, write_length};
use bytes::BytesMut;
use std::io;
use tokio_util::codec::{Decoder, Encoder};

/// The longest line, or reply in RESP, that is accepted of a server by default.
const LIMIT: usize = 1 << 20;

/// The codec of a client, for lines or for RESP2 (RESP3 after a request `HELLO 3`).
///
/// As a [`Decoder`] it yields [`Response`]; an error means that the server speaks another protocol, or sends more than
/// the limit.
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use primed::Daemon;
/// use primed::codec::{ClientCodec, Part, Request};
/// use tokio::net::TcpStream;
/// use tokio_util::codec::Framed;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let daemon = Daemon::new().listen(([127, 0, 0, 1], 0).into()).spawn()?;
/// let socket = TcpStream::connect(daemon.addresses()[0]).await?;
/// let mut framed = Framed::new(socket, ClientCodec::lines());
/// framed.send(Request::new("@a pi 1e12")?).await?;
/// framed.send(Request::new("@b isprime 91")?).await?;
/// for _ in 0..2 {
///     let response = framed.next().await.ok_or("it is closed")??;
///     let Part::Final(reply) = response.part else { continue };
///     match response.tag.as_ref().map(|tag| tag.as_str()) {
///         Some("a") => assert_eq!(reply?.to_string(), "37607912018"),
///         _ => assert_eq!(reply?.to_string(), "no"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ClientCodec {
    dialect: ReplyFraming,
    limit: usize,
}

#[derive(Debug)]
enum ReplyFraming {
    Lines(lines::ReplyFraming),
    Resp(resp::ReplyFraming),
}

impl ClientCodec {
    /// A codec for lines.
    pub fn lines() -> Self {
        Self {
            dialect: ReplyFraming::Lines(lines::ReplyFraming::default()),
            limit: LIMIT,
        }
    }

    /// A codec for RESP.
    pub fn resp() -> Self {
        Self {
            dialect: ReplyFraming::Resp(resp::ReplyFraming::default()),
            limit: LIMIT,
        }
    }

    /// The same codec for lines, or replies in RESP, of at most `limit` bytes; 1 MiB by default.
    pub const fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

impl Decoder for ClientCodec {
    type Item = Response;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Response>> {
        match &mut self.dialect {
            ReplyFraming::Lines(lines) => lines.next(input, self.limit),
            ReplyFraming::Resp(resp) => resp.next(input, self.limit),
        }
    }
}

impl Encoder<Request> for ClientCodec {
    type Error = io::Error;

    /// # Errors
    /// `InvalidInput` for a request that cannot be a line: one that was decoded from RESP, and whose verb would begin a
    /// comment.
    fn encode(&mut self, request: Request, out: &mut BytesMut) -> io::Result<()> {
        let tag = request.tag().map(|tag| format!("@{tag}"));
        match self.dialect {
            ReplyFraming::Lines(_) => {
                let begins = out.len();
                if let Some(tag) = tag {
                    out.extend_from_slice(tag.as_bytes());
                    out.extend_from_slice(b" ");
                }
                out.extend_from_slice(request.words().as_bytes());
                let line = &out[begins..];
                if line.starts_with(b"*") || !matches!(parse_line(line), Ok(ParsedLine::Request(_))) {
                    out.truncate(begins);
                    let text = format!("'{}' cannot be sent as a line", request.words());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                }
                out.extend_from_slice(b"\n");
            }
            ReplyFraming::Resp(_) => {
                let words = request.words().split(' ');
                let count = words.clone().count() + usize::from(tag.is_some());
                write_length(out, b'*', count);
                for word in tag.as_deref().into_iter().chain(words) {
                    write_bulk(out, word.as_bytes());
                }
            }
        }
        Ok(())
    }
}
