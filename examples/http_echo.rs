//! Any HTTP/1 request is answered `200 OK`, and its own bytes are the body.
//!
//!     cargo run --example http_echo                # or with an address: -- 127.0.0.1:9000
//!     curl -i 127.0.0.1:8082/hello -d 'a body'
//!
//! Connections stay open until the client closes them, requests may be pipelined, and none blocks another. Input that
//! is not HTTP gets one `400`. `httparse` reads the head; the body ends by `Content-Length` or by its chunks.
//!
//! Dependencies beside those of every example: `bytes = "1"` and `httparse = "1"`.

use bytes::{Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Status};
use primed::{Answer, Daemon, Engine, Limits, Protocol};
use std::io;
use tokio_util::codec::{Decoder, Encoder};

const MAX_REQUEST: usize = 1 << 20;

struct Http;

struct Request {
    bytes: Bytes,
    is_head: bool,
    stays: bool,
}

struct Reply {
    status: &'static str,
    stays: bool,
    length: usize,
    body: Bytes,
}

impl Decoder for Http {
    type Item = Request;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Request>> {
        let mut headers = [EMPTY_HEADER; 100];
        let mut head = httparse::Request::new(&mut headers);
        let Status::Complete(head_length) = head.parse(buffer).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let header = |name: &str| {
            let found = head
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| str::from_utf8(header.value).unwrap_or_default().trim())
        };
        let body = &buffer[head_length..];
        let body_length = match (header("transfer-encoding"), header("content-length")) {
            (None, None) => Some(0),
            (None, Some(length)) => Some(length.parse().map_err(io::Error::other)?),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => chunks_length(body)?,
            _ => return Err(io::Error::other("the length of the body is given twice, or not at all")),
        };
        let connection = header("connection").unwrap_or_default();
        let stays = match head.version {
            Some(0) => connection.eq_ignore_ascii_case("keep-alive"),
            _ => !connection.eq_ignore_ascii_case("close"),
        };
        let is_head = head.method == Some("HEAD");
        match body_length.and_then(|length| length.checked_add(head_length)) {
            Some(length) if length > MAX_REQUEST => Err(io::Error::other("too long")),
            Some(length) if length <= buffer.len() => {
                let bytes = buffer.split_to(length).freeze();
                Ok(Some(Request { bytes, is_head, stays }))
            }
            _ => Ok(None),
        }
    }
}

/// The length of a body in chunks, once all of it is there (RFC 9112, section 7.1).
fn chunks_length(body: &[u8]) -> io::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let Status::Complete((line, size)) =
            httparse::parse_chunk_size(rest).map_err(|_| io::Error::other("no chunk"))?
        else {
            return Ok(None);
        };
        if size == 0 {
            let mut trailers = [EMPTY_HEADER; 20];
            let end = httparse::parse_headers(&rest[line..], &mut trailers).map_err(io::Error::other)?;
            return Ok(match end {
                Status::Complete((length, _)) => Some(at + line + length),
                Status::Partial => None,
            });
        }
        let size = usize::try_from(size).unwrap_or(MAX_REQUEST).min(MAX_REQUEST);
        at += line + size + b"\r\n".len();
    }
}

impl Encoder<Reply> for Http {
    type Error = io::Error;

    fn encode(&mut self, reply: Reply, out: &mut BytesMut) -> io::Result<()> {
        let Reply { status, length, .. } = reply;
        let connection = if reply.stays { "keep-alive" } else { "close" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&reply.body);
        Ok(())
    }
}

struct HttpEcho;

impl Protocol for HttpEcho {
    type Codec = Http;
    type Reply = Reply;

    fn codec(&self) -> Http {
        Http
    }

    async fn answer(&self, request: Request, _: &Engine) -> Answer<Reply> {
        let reply = Reply {
            status: "200 OK",
            stays: request.stays,
            length: request.bytes.len(),
            // The answer to HEAD has the head only.
            body: if request.is_head { Bytes::new() } else { request.bytes },
        };
        match reply.stays {
            true => Answer::Reply(reply),
            false => Answer::Last(reply),
        }
    }

    fn malformed(&self, _: io::Error) -> Answer<Reply> {
        Answer::Last(Reply {
            status: "400 Bad Request",
            stays: false,
            length: 0,
            body: Bytes::new(),
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8082".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: http_echo [ADDRESS:PORT]");
        std::process::exit(2);
    };
    let limits = Limits {
        max_line_bytes: MAX_REQUEST,
        ..Limits::default()
    };
    Daemon::new()
        .limits(limits)
        .serve(address, || HttpEcho)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
