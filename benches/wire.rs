//! The way of a request: framing, reading, answering what is known; and whole round trips over loopback.

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use primed::codec::ServerCodec;
use primed::internals::{Conversation, DaemonView, Final, Metrics, ParsedLine, Registry, Request, parse_line};
use primed::{Daemon, Policy, Step};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

const LINES: u64 = 1000;

fn daemon() -> DaemonView {
    DaemonView {
        metrics: Arc::new(Metrics::default()),
        clients: Arc::default(),
        started: Instant::now(),
        workers: 1,
    }
}

fn request(line: &str) -> Request<'_> {
    match parse_line(line.as_bytes()) {
        Ok(ParsedLine::Request(request)) => request,
        other => panic!("{line} is no request: {other:?}"),
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing and reading");
    group.throughput(Throughput::Elements(LINES));
    let input = "nth 100000\n".repeat(LINES as usize);
    group.bench_function("1000 short lines", |bencher| {
        bencher.iter(|| {
            let mut codec = ServerCodec::new(16 << 10);
            let mut left = black_box(input.as_bytes());
            while let (used @ 1.., Some(frame)) = codec.next(left, false) {
                black_box(frame);
                left = &left[used..];
            }
        });
    });
}

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    for line in ["100000", "nth 100000", "@a pi 1e16 deadline=60s progress=1s"] {
        group.bench_function(line, |bencher| bencher.iter(|| request(black_box(line))));
    }
}

fn calling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call and reply");
    let (registry, daemon) = (Registry::default(), daemon());
    let mut out = BytesMut::with_capacity(1 << 10);
    for line in ["nth 16", "ping", "isprime 1000003", "nth 0"] {
        group.bench_function(line, |bencher| {
            bencher.iter(|| {
                let request = request(black_box(line));
                let reply = match registry.call(&request, &daemon, None) {
                    Ok((Step::Answer(value) | Step::Constant(value), _)) => Ok(value),
                    Ok((step, _)) => panic!("{line} is not known: {step:?}"),
                    Err(failure) => Err(failure),
                };
                out.clear();
                Conversation::default().answer(&request.format, Final::Reply(reply), &mut out);
            });
        });
    }
}

fn round_trips(criterion: &mut Criterion) {
    let policy = Policy {
        // A job each time.
        max_answers: 0,
        ..Policy::default()
    };
    let daemon = Daemon::new().policy(policy).listen(([127, 0, 0, 1], 0).into()).spawn();
    let daemon = daemon.expect("a free port can be had");
    let mut stream = TcpStream::connect(daemon.addresses()[0]).expect("it listens");
    stream.set_nodelay(true).expect("a socket takes options");
    let mut group = criterion.benchmark_group("round trip");
    let questions = [
        ("nth 5\n", "OK 11\n"),
        ("isprime 2305843009213693951\n", "OK yes\n"),
        ("isprime 18446744073709551629\n", "OK yes\n"),
    ];
    for (question, reply) in questions {
        for depth in [1, 16, 100] {
            let requests = question.repeat(depth);
            let mut replies = vec![0; reply.len() * depth];
            group.throughput(Throughput::Elements(depth as u64));
            group.bench_function(format!("{} x {depth}", question.trim_end()), |bencher| {
                bencher.iter(|| {
                    stream.write_all(requests.as_bytes()).expect("the daemon reads");
                    stream.read_exact(&mut replies).expect("the daemon answers");
                });
            });
            assert!(replies.starts_with(reply.as_bytes()));
        }
    }
}

criterion_group!(benches, codec, parsing, calling, round_trips);
criterion_main!(benches);
