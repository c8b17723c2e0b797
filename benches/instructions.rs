//! How many instructions the ways of a request take, for `instructions.sh` under callgrind: `instructions WAY TIMES`.
//!
//! Instructions are the same in every run, on a busy machine too; times are not. Without arguments it lists the ways.

use bytes::BytesMut;
use primed::Daemon;
use primed::metrics::Metrics;
use primed::proto::{Conversation, Frame, Line, LineCodec, Request};
use primed::verb::{Facts, Registry, Step};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::codec::Decoder;

/// Requests in one read.
const DEPTH: usize = 16;

const WAYS: [(&str, fn(usize)); 4] = [
    ("read-and-answer-nth", |times| answer("nth 7\n", times)),
    ("read-and-answer-ping", |times| answer("ping\n", times)),
    ("read-and-refuse", |times| answer("nht 7\n", times)),
    ("round-trip-known", |times| round_trips("nth 7\n", times)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let way = arguments
        .get(1)
        .and_then(|name| WAYS.iter().find(|(way, _)| way == name));
    let times = arguments.get(2).and_then(|times| times.parse().ok());
    match (way, times) {
        (Some((_, run)), Some(times)) => run(times),
        _ => WAYS.iter().for_each(|(name, _)| println!("{name}")),
    }
}

/// Requests from bytes to bytes, without a session.
fn answer(question: &str, times: usize) {
    let facts = Facts {
        metrics: Arc::new(Metrics::default()),
        started: Instant::now(),
        workers: 1,
    };
    let registry = Registry::default();
    let mut codec = LineCodec::new(16 << 10);
    let mut conversation = Conversation::default();
    let mut input = BytesMut::new();
    let mut out = BytesMut::with_capacity(4 << 10);
    for _ in 0..times / DEPTH {
        input.extend_from_slice(question.repeat(DEPTH).as_bytes());
        while let Ok(Some(Frame::Line(line))) = codec.decode(&mut input) {
            let Ok(Line::Request(request)) = Request::parse(&line) else {
                panic!("{question} is a request");
            };
            let reply = match registry.call(&request, &facts) {
                Ok((Step::Answer(value), _)) => Ok(value),
                Ok((step, _)) => panic!("{question} is not known: {step:?}"),
                Err(failure) => Err(failure),
            };
            conversation.answer(None, false, reply, &mut out);
        }
        out.clear();
    }
}

/// Requests over a socket: the session, its actor, its runtime.
fn round_trips(question: &str, times: usize) {
    let daemon = Daemon::new().workers(1).listen(([127, 0, 0, 1], 0).into()).spawn();
    let daemon = daemon.expect("a free port can be had");
    let mut stream = TcpStream::connect(daemon.addresses()[0]).expect("it listens");
    stream.set_nodelay(true).expect("a socket takes options");
    let requests = question.repeat(DEPTH);
    let mut replies = [0; 4 << 10];
    for _ in 0..times / DEPTH {
        stream.write_all(requests.as_bytes()).expect("the daemon reads");
        let mut lines = 0;
        while lines < DEPTH {
            let count = stream.read(&mut replies).expect("the daemon answers");
            lines += replies[..count].iter().filter(|byte| **byte == b'\n').count();
        }
    }
}
