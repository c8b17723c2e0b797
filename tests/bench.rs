//! `primed bench` against daemons and against servers that misbehave: what it counts is what happened.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command.arg("bench").args(arguments).arg("--json");
    command
}

fn run(arguments: &[&str]) -> Output {
    bench(arguments).output().expect("the binary was built")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server on a free port; each connection is served by `serve` on a thread of its own.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers lines with `answer`, which gets their number on this connection, until it gives nothing.
fn answer_lines(stream: TcpStream, answer: impl Fn(usize) -> Option<&'static str>) {
    stream.set_nodelay(true).expect("a socket takes options");
    let mut replies = stream.try_clone().expect("a socket can be shared");
    for (number, _) in BufReader::new(stream).lines().map_while(Result::ok).enumerate() {
        let Some(reply) = answer(number) else {
            return;
        };
        if replies.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn every_request_of_a_closed_loop_is_answered_and_counted() {
    let output = run(&[
        "--requests",
        "1000",
        "--connections",
        "7",
        "--depth",
        "3",
        "--threads",
        "2",
    ]);
    assert!(output.status.success(), "{output:?}");
    let json = json(&output);
    assert_eq!(json["replies"], 1000);
    assert_eq!(json["unanswered"], 0);
    assert_eq!(json["errors_total"], 0);
    assert_eq!(json["connections"], 7);
    assert!(json["replies_per_second"].as_f64().is_some_and(|rate| rate > 0.0));
    assert!(json["daemon_cpu_seconds"].as_f64().is_some_and(|cpu| cpu >= 0.0));
    let latency = |name: &str| json["latency_us"][name].as_f64().expect("a number");
    assert!(latency("p50") > 0.0 && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
}

#[test]
fn an_open_loop_asks_at_its_rate() {
    let output = run(&[
        "--rate",
        "500/s",
        "--requests",
        "250",
        "--mix",
        "nth 1..16=3,isprime 1e18..2e18=1",
    ]);
    assert!(output.status.success(), "{output:?}");
    let json = json(&output);
    assert_eq!(json["replies"], 250);
    // The last of 250 requests is due after 498 ms: none may be sent before its time.
    assert!(
        json["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.498),
        "{json}"
    );
}

#[test]
fn error_replies_are_counted_by_their_code() {
    let output = run(&["--requests", "400", "--mix", "nth 0,nht 5,ping"]);
    assert!(output.status.success(), "{output:?}");
    let json = json(&output);
    let count = |code: &str| json["errors"][code].as_u64().expect("a count");
    assert_eq!(json["replies"], 400);
    assert!(count("bad-arg") > 50 && count("unknown-verb") > 50, "{json}");
    assert_eq!(json["errors_total"], count("bad-arg") + count("unknown-verb"));
    assert!(
        json["first_error"]
            .as_str()
            .is_some_and(|line| line.starts_with("ERR "))
    );
}

#[test]
fn a_server_that_is_not_ours_is_understood() {
    let address = server(|stream| {
        answer_lines(stream, |number| {
            Some(if number % 10 == 9 {
                "-LOADING wait\r\n"
            } else {
                "+PONG\r\n"
            })
        });
    });
    let output = run(&[
        "--connect",
        &address.to_string(),
        "-c",
        "1",
        "-p",
        "4",
        "-n",
        "100",
        "--mix",
        "PING",
    ]);
    assert!(output.status.success(), "{output:?}");
    let json = json(&output);
    assert_eq!(
        (&json["replies"], &json["errors"]["LOADING"]),
        (&100.into(), &10.into())
    );
    assert!(json["daemon_cpu_seconds"].is_null());
}

#[test]
fn a_stall_of_the_server_shows_in_every_request_that_was_due_meanwhile() {
    let address = server(|stream| {
        answer_lines(stream, |number| {
            if number == 200 {
                std::thread::sleep(Duration::from_millis(800));
            }
            Some("OK\n")
        });
    });
    let address = address.to_string();
    let p90 = |pace: &[&str]| {
        let output = run(&[&["--connect", &address, "-c", "1", "-n", "1000"], pace].concat());
        assert!(output.status.success(), "{output:?}");
        json(&output)["latency_us"]["p90"].as_f64().expect("a number")
    };
    // 800 of 1000 requests are due within the stall; a tenth of all waits for more than 500 ms.
    let open = p90(&["--rate", "1000/s", "-p", "1000"]);
    assert!(open > 300_000.0, "{open}");
    // The same, after one request at a time.
    let queued = p90(&["--rate", "1000/s"]);
    assert!(queued > 300_000.0, "{queued}");
    // A closed loop sees one slow request.
    let closed = p90(&[]);
    assert!(closed < 300_000.0, "{closed}");
}

#[test]
fn what_is_not_answered_counts_with_the_time_it_waited() {
    let address = server(|stream| answer_lines(stream, |_| Some("")));
    let output = run(&[
        "--connect",
        &address.to_string(),
        "-c",
        "2",
        "--rate",
        "100/s",
        "-d",
        "500ms",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("no request was answered"), "{output:?}");
    let json = json(&output);
    assert_eq!(json["replies"], 0);
    assert_eq!(json["unanswered"], 50);
    // Its last request was due at 490 ms; then a second is waited for replies.
    assert!(
        json["latency_us"]["p50"].as_f64().is_some_and(|p50| p50 > 1_000_000.0),
        "{json}"
    );
}

#[test]
fn a_server_that_hangs_up_ends_the_run_with_what_was_measured() {
    let address = server(|stream| {
        answer_lines(stream, |number| {
            (number < 10).then_some(if number < 9 { "OK\n" } else { "ERR busy :go away\n" })
        });
    });
    let output = run(&["--connect", &address.to_string(), "-c", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["replies"], 10);
    let errors = errors(&output);
    assert!(
        errors.contains("the run ended early") && errors.contains("ERR busy :go away"),
        "{errors}"
    );
}

#[test]
fn a_server_that_hangs_up_with_its_last_word_ends_the_run_at_once() {
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
        let address = listener.local_addr().expect("it is bound");
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("bench connects");
            // Both are there before anything else is read.
            let mut first = [0; 1];
            stream.peek(&mut first).expect("bench asks");
            stream.write_all(b"OK 1\n").expect("bench reads");
            stream.shutdown(Shutdown::Write).expect("it is connected");
            std::io::copy(&mut stream, &mut std::io::sink())
        });
        let output = run(&["--connect", &address.to_string(), "-c", "1", "-p", "2", "-d", "1min"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors(&output).contains("closed"), "{output:?}");
        served.join().expect("the server ends").expect("it reads to the end");
    }
}

#[test]
fn a_rate_beyond_everything_ends_in_time_too() {
    let output = run(&["--rate", "1e18", "-d", "100ms"]);
    assert!(output.status.success(), "{output:?}");
    assert!(json(&output)["unanswered"].as_u64() > Some(1_000_000_000_000));
}

#[test]
fn a_server_that_says_more_than_it_was_asked_is_no_server_to_measure() {
    let address = server(|stream| answer_lines(stream, |_| Some("one\ntwo\n")));
    let output = run(&["--connect", &address.to_string(), "-c", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("more replies than it was asked for"),
        "{output:?}"
    );
}

#[test]
fn a_closed_port_is_a_clear_error() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = address.expect("a free port can be had").to_string();
    let output = run(&["--connect", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains(&format!("cannot reach a daemon at {address}")),
        "{output:?}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn too_few_descriptors_are_reported_before_anything_is_sent() {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "ulimit -n 100; exec \"$0\" bench --connections 50",
        env!("CARGO_BIN_EXE_primed"),
    ]);
    let output = shell.output().expect("there is a shell");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("100 files open"), "{output:?}");
}

#[test]
fn ctrl_c_ends_the_run_early_with_its_summary() {
    let mut child = bench(&["--duration", "10min"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let first_second = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.trim_start().starts_with("1 "));
    assert!(first_second.is_some());
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    // Its standard error is read on, so that it is never without one.
    lines.for_each(drop);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let json = json(&output);
    assert!(
        json["seconds"]
            .as_f64()
            .is_some_and(|seconds| (1.0..60.0).contains(&seconds)),
        "{json}"
    );
    assert_eq!(json["unanswered"], 0);
}
