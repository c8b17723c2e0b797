//! Traces of a `primed serve --otlp`: what a collector gets of requests and jobs, and that one that does not reply
//! holds up nothing.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::spawn;

struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    fn start(collector: &TcpListener) -> Self {
        let collector = collector.local_addr().expect("it is bound");
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--data", "none"])
            .args(["--otlp", &format!("http://{collector}")])
            .stderr(Stdio::piped());
        let (child, address) = spawn(&mut command);
        Self { child, address }
    }

    fn ask(&self, lines: &str) -> String {
        let mut socket = TcpStream::connect(self.address).expect("it listens");
        socket.write_all(lines.as_bytes()).expect("it reads");
        let mut replies = String::new();
        socket.read_to_string(&mut replies).expect("it answers and closes");
        replies
    }

    fn stop(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
    }

    /// Its log, once it has ended well.
    fn log(mut self) -> String {
        let mut log = String::new();
        let mut errors = self.child.stderr.take().expect("it is piped");
        errors.read_to_string(&mut log).expect("the log is text");
        assert!(self.child.wait().expect("it runs").success(), "{log}");
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes one batch: the head and the body of the request.
fn take_batch(collector: &TcpListener) -> (String, Vec<u8>) {
    let (stream, _) = collector.accept().expect("a batch comes");
    let mut reader = BufReader::new(&stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head is text");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length is a number");
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body is as long as it says");
    let mut stream = &stream;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .expect("it reads the reply");
    (head, body)
}

/// A field of protobuf.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order, as the encoding of Protocol Buffers has them.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().expect("a number ends");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 | 5 => {
                let (value, rest) = bytes.split_at(if key & 7 == 1 { 8 } else { 4 });
                bytes = rest;
                let number = value
                    .iter()
                    .rev()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte));
                Wire::Number(number)
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("it is in memory");
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        all.push((key >> 3, value));
    }
    all
}

/// The messages in the field of this number.
fn messages(message: &[u8], number: u64) -> Vec<&[u8]> {
    let all = fields(message).into_iter();
    all.filter_map(|(field, value)| match value {
        Wire::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
    .collect()
}

fn number(message: &[u8], number: u64) -> Option<u64> {
    let mut all = fields(message).into_iter();
    all.find_map(|(field, value)| match value {
        Wire::Number(value) if field == number => Some(value),
        _ => None,
    })
}

fn text(message: &[u8], number: u64) -> String {
    let text = messages(message, number).first().map(|bytes| bytes.to_vec());
    String::from_utf8(text.unwrap_or_default()).expect("it is text")
}

/// Attributes, their numbers as text.
fn attributes(pairs: &[&[u8]]) -> BTreeMap<String, String> {
    let pair = |pair: &&[u8]| {
        let value = messages(pair, 2)[0];
        let value_text = number(value, 3).map_or_else(|| text(value, 1), |number| number.to_string());
        (text(pair, 1), value_text)
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn a_collector_gets_a_span_of_each_request_and_job() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let served = Served::start(&collector);
    let replies = served.ask("isprime 18446744073709551629\npi 1e22 deadline=20ms\nsubmit pi 1e11\nresult 1\nquit\n");
    assert!(replies.contains("4118054813"), "{replies}");
    served.stop();
    // The end of the daemon sends what is left.
    let (head, body) = take_batch(&collector);
    let log = served.log();
    assert!(!log.contains("collector"), "{log}");
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/x-protobuf"),
        "{head}"
    );

    let of_resource = messages(&body, 1);
    let resource = attributes(&messages(messages(of_resource[0], 1)[0], 1));
    assert_eq!(resource["service.name"], "primed");
    let scopes = of_resource.iter().flat_map(|resource| messages(resource, 2));
    let spans: Vec<&[u8]> = scopes.flat_map(|scope| messages(scope, 2)).collect();
    let find = |name: &str, outcome: &str, job: Option<&str>| {
        let is_it = |(span, attributes): &(&[u8], BTreeMap<String, String>)| {
            let found = attributes.get("primed.job").map(String::as_str);
            text(span, 5) == name && attributes["primed.outcome"] == outcome && found == job
        };
        let mut all = spans.iter().map(|span| (*span, attributes(&messages(span, 9))));
        all.find(is_it).unwrap_or_else(|| panic!("no {name} {outcome} {job:?}"))
    };
    let (_, prime) = find("isprime", "ok", None);
    assert_eq!((&*prime["primed.request"], &*prime["primed.class"]), ("0", "express"));
    let (late, deadline) = find("pi", "deadline", None);
    assert_eq!(&*deadline["primed.request"], "1");
    let wall = number(late, 8).expect("it ends") - number(late, 7).expect("it begins");
    assert!(wall >= 20_000_000, "{wall} ns");
    assert_eq!(number(messages(late, 15)[0], 3), Some(2), "its status is an error");
    let (_, job) = find("pi", "ok", Some("1"));
    assert_eq!(&*job["primed.class"], "bulk");
    assert!(job["primed.cpu_us"].parse::<u64>().expect("a number") > 0, "{job:?}");
    // What was asked stays here.
    for secret in ["18446744073709551629", "100000000000"] {
        assert!(
            !body.windows(secret.len()).any(|window| window == secret.as_bytes()),
            "{secret}"
        );
    }
}

#[test]
fn a_collector_that_does_not_reply_holds_up_nothing() {
    // The kernel takes the connection, and nobody reads it.
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let served = Served::start(&collector);
    // More than the queue of spans has room for.
    let questions: String = (0..5_000)
        .map(|n| format!("isprime 1{n:04}0000000000000000007 deadline=1min\n"))
        .collect();
    let replies = served.ask(&(questions + "quit\n"));
    assert_eq!(
        replies.lines().count(),
        5_001,
        "{}",
        replies.lines().last().unwrap_or_default()
    );
    let since = Instant::now();
    served.stop();
    let log = served.log();
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    assert!(log.contains("may not have reached the collector"), "{log}");
}

#[test]
fn a_collector_that_is_down_is_in_the_log() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let served = Served::start(&collector);
    drop(collector);
    assert_eq!(
        served.ask("isprime 18446744073709551629\nquit\n").lines().next(),
        Some("OK yes")
    );
    served.stop();
    let log = served.log();
    assert!(log.contains("the collector does not take spans"), "{log}");
}

#[test]
fn a_collector_is_an_url_without_tls() {
    let read = |url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let output = command.args(["serve", "--show-config", "--otlp", url]).output();
        output.expect("the command runs")
    };
    for url in ["http://127.0.0.1:4318", "http://[::1]:4318/", "http://collector/prefix"] {
        assert!(read(url).status.success(), "{url}");
    }
    for url in ["127.0.0.1:4318", "https://collector:4318", "http:", "", "unix:/tmp/x"] {
        let output = read(url);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {errors}");
        assert!(errors.contains("--otlp"), "{url}: {errors}");
    }
}
