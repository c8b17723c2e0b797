//! How many instructions the ways of a request take, for `instructions.sh` under callgrind: `instructions WAY TIMES`.
//!
//! Instructions are the same in every run, on a busy machine too; times are not. Without arguments it lists the ways.

use bytes::BytesMut;
use primed::codec::ServerCodec;
use primed::internals::{Conversation, DaemonView, Final, Frame, Metrics, Registry};
use primed::{Daemon, Step};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

/// Requests in one read.
const DEPTH: usize = 16;

/// A name, and the work that is repeated.
type Way = (&'static str, fn(usize));

const WAYS: [Way; 12] = [
    ("read-and-answer-nth", |times| answer("nth 7\n", times)),
    ("read-and-answer-ping", |times| answer("ping\n", times)),
    ("read-and-refuse", |times| answer("nht 7\n", times)),
    ("read-and-answer-resp", |times| {
        answer("*2\r\n$3\r\nnth\r\n$1\r\n7\r\n", times)
    }),
    ("round-trip-known", |times| round_trips("nth 7\n", times)),
    ("round-trip-brief", |times| {
        round_trips("isprime 1000000000000000003\n", times)
    }),
    ("round-trip-several", |times| {
        round_trips("isprime 1000000000000000003 1000000000000000009\n", times)
    }),
    ("round-trip-search", |times| {
        round_trips("next 1000000000000000000\n", times)
    }),
    // A job with next to no work: what is counted is the way.
    ("round-trip-job", |times| {
        round_trips("isprime 18446744073709551616\n", times)
    }),
    ("round-trip-plain", |times| {
        round_trips("isprime 18446744073709551629\n", times)
    }),
    ("round-trip-deadline", |times| {
        round_trips("isprime 18446744073709551629 deadline=60s\n", times)
    }),
    ("round-trip-submit", |times| {
        round_trips("submit isprime 18446744073709551629\n", times)
    }),
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
    let daemon = DaemonView {
        metrics: Arc::new(Metrics::default()),
        clients: Arc::default(),
        started: Instant::now(),
        workers: 1,
    };
    let registry = Registry::default();
    let mut codec = ServerCodec::new(16 << 10);
    let mut conversation = Conversation::default();
    let input = question.repeat(DEPTH);
    let mut out = BytesMut::with_capacity(4 << 10);
    for _ in 0..times / DEPTH {
        let mut left = input.as_bytes();
        while let (used @ 1.., Some(frame)) = codec.next(left, false) {
            let Frame::Request(request) = frame else {
                panic!("{question} is a request");
            };
            let reply = match registry.call(&request, &daemon, None) {
                Ok((Step::Answer(value) | Step::Constant(value), _)) => Ok(value),
                Ok((step, _)) => panic!("{question} is not known: {step:?}"),
                Err(failure) => Err(failure),
            };
            conversation.answer(&request.format, Final::Reply(reply), &mut out);
            left = &left[used..];
        }
        out.clear();
    }
}

/// Requests over a socket: the session, its actor, its runtime.
fn round_trips(question: &str, times: usize) {
    let daemon = Daemon::new()
        .policy(primed::Policy {
            max_answers: 0,
            ..primed::Policy::default()
        })
        .workers(1)
        .listen(([127, 0, 0, 1], 0).into())
        .spawn();
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
