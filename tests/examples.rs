//! The examples as their users meet them: each is started as a program, read for the address it announces, talked to
//! over plain sockets, byte for byte, and stopped by SIGTERM.
//!
//! `cargo test` builds the examples; with `--test examples` alone, build them first: `cargo build --examples`.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// No reply takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the program of an example lies.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test is a program");
    let built = test.ancestors().nth(2).expect("it lies in target/PROFILE/deps");
    built.join("examples").join(name)
}

/// An example that runs.
struct Example {
    program: Child,
    address: String,
}

impl Example {
    fn start(name: &str) -> Self {
        let mut program = Command::new(program(name))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; build it with 'cargo build --examples'"));
        let mut line = String::new();
        let output = program.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it says a line");
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.expect("it says where it listens").to_owned();
        Self { program, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the example listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        stream
    }

    /// Everything that comes back for these bytes and the end of input.
    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the example reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the example answers in time");
        reply
    }

    /// Asks it to end, and sees that it does so in good order.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.program), Signal::TERM).expect("it runs");
        assert!(self.program.wait().expect("it was started here").success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // A test that fails leaves no process running.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What the seeds' clients do: send, and take what one read brings.
fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("the example reads");
    let mut reply = [0; 4096];
    let count = stream.read(&mut reply).expect("the example answers in time");
    String::from_utf8(reply[..count].to_vec()).expect("replies are text")
}

fn end(stream: &mut TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the example closes in time");
    rest
}

#[test]
fn hello_greets_whatever_comes_and_closes() {
    let hello = Example::start("hello");
    for whatever in ["Hello, Server!", "\n", "\0\u{7f}é"] {
        let mut client = hello.connect();
        assert_eq!(ask(&mut client, whatever), "Hello, Client!");
        assert_eq!(end(&mut client), "");
    }
    // A client that sends nothing delays no other.
    let _silent = hello.connect();
    assert_eq!(hello.exchange(b"x"), "Hello, Client!");
    hello.stop();
}

#[test]
fn doubler_and_squarer_answer_many_clients_line_by_line() {
    for (name, answer) in [("doubler", (|n| 2 * n) as fn(u64) -> u64), ("squarer", |n| n * n)] {
        let example = Example::start(name);
        let mut clients: Vec<TcpStream> = (0..8).map(|_| example.connect()).collect();
        for number in 0..10 {
            for client in &mut clients {
                assert_eq!(ask(client, &format!("{number}\n")), format!("{}\n", answer(number)));
            }
        }
        example.stop();
    }
}

#[test]
fn doubler_and_squarer_know_numbers_from_words() {
    let doubler = Example::start("doubler");
    assert_eq!(
        doubler.exchange(b"21\n-4\r\n9223372036854775807\n"),
        "42\n-8\n18446744073709551614\n"
    );
    assert_eq!(doubler.exchange(b"21\nbanana\n22\n"), "42\n");
    doubler.stop();
    let squarer = Example::start("squarer");
    assert_eq!(squarer.exchange(b"12\n-3\n"), "144\n9\n");
    assert_eq!(squarer.exchange(b"12\nbanana\n13\n"), "144\n");
    let nines = "9".repeat(1000);
    let square = format!("{}8{}1\n", "9".repeat(999), "0".repeat(999));
    assert_eq!(squarer.exchange(format!("{nines}\n").as_bytes()), square);
    squarer.stop();
}

#[test]
fn prime_service_answers_bare_primes_and_goes_on_beside_long_questions() {
    let service = Example::start("prime_service");
    let mut simple = service.connect();
    assert_eq!(ask(&mut simple, "1"), "2");
    let mut long = service.connect();
    assert_eq!(ask(&mut long, "100000"), "1299709");
    // This one takes a minute; the simple client must not notice.
    long.write_all(b"1000000000000000").expect("the example reads");
    for _ in 0..10_000 {
        assert_eq!(ask(&mut simple, "1"), "2");
    }
    assert_eq!(ask(&mut simple, "banana"), "", "it is closed");
    drop(long);
    service.stop();
}

#[test]
fn http_echo_echoes_any_request_on_connections_that_stay_open() {
    fn reply(body: &str, connection: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}")
    }
    let echo = Example::start("http_echo");
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /a HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello";
    let chunked = "PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\n\r\n";
    let old = "GET / HTTP/1.0\r\n\r\n";
    // A client in the middle of a request delays no other.
    let mut slow = echo.connect();
    slow.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na")
        .expect("the example reads");
    let mut client = echo.connect();
    for request in [get, post, chunked] {
        assert_eq!(ask(&mut client, request), reply(request, "keep-alive"));
    }
    let bodiless = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n",
        head.len()
    );
    assert_eq!(ask(&mut client, head), bodiless);
    assert_eq!(
        ask(&mut slow, "bc"),
        reply("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "keep-alive")
    );
    let pipelined = format!("{get}{post}{chunked}{old}");
    let replies = [get, post, chunked]
        .map(|request| reply(request, "keep-alive"))
        .concat()
        + &reply(old, "close");
    assert_eq!(echo.exchange(pipelined.as_bytes()), replies);
    for wrong in [
        "banana\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1099511627776\r\n\r\n",
    ] {
        let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(echo.exchange(wrong.as_bytes()), refused, "{wrong}");
    }
    echo.stop();
}

#[test]
fn prime_time_judges_numbers_and_refuses_what_is_malformed_once() {
    let prime_time = Example::start("prime_time");
    let judged = |number: &str, prime: bool| {
        let request = format!("{{\"number\":{number},\"method\":\"isPrime\",\"extra\":[1]}}\n");
        let reply = format!("{{\"method\":\"isPrime\",\"prime\":{prime}}}\n");
        assert_eq!(prime_time.exchange(request.as_bytes()), reply, "{number}");
    };
    for prime in [
        "2",
        "97",
        "18446744073709551557",
        "170141183460469231731687303715884105727",
        "7.0",
        "7e0",
        "1.3e1",
    ] {
        judged(prime, true);
    }
    for composite in [
        "0",
        "1",
        "91",
        "-7",
        "9.0",
        "7.5",
        "7e-1",
        "-7.0",
        "1e300",
        "170141183460469231731687303715884105729",
    ] {
        judged(composite, false);
    }
    for malformed in [
        "",
        "banana",
        "[]",
        "{}",
        r#"{"method":"isPrime"}"#,
        r#"{"method":"isprime","number":7}"#,
        r#"{"method":"isPrime","number":"7"}"#,
        r#"{"method":"isPrime","number":null}"#,
        r#"{"method":"isPrime","number":7"#,
    ] {
        let good = r#"{"method":"isPrime","number":7}"#;
        let replies = prime_time.exchange(format!("{good}\n{malformed}\n{good}\n").as_bytes());
        let expected = "{\"method\":\"isPrime\",\"prime\":true}\n{\"error\":\"malformed\"}\n";
        assert_eq!(replies, expected, "{malformed}");
    }
    prime_time.stop();
}

/// Reads whole lines of a connection that stays open.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn connect(example: &Example) -> Self {
        Self(BufReader::new(example.connect()))
    }

    fn send(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").expect("the example reads");
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the example answers in time");
        line.trim_end().to_owned()
    }
}

#[test]
fn collatz_finds_the_longest_chain_reports_progress_and_can_be_cancelled() {
    let example = Example::start("collatz");
    assert_eq!(example.exchange(b"collatz 2\ncollatz 1e6\n"), "OK 1 0\nOK 837799 524\n");
    assert!(example.exchange(b"collatz 1\n").starts_with("ERR bad-arg :"));
    let mut lines = Lines::connect(&example);
    lines.send("@big collatz 1e12 progress=100ms");
    assert!(lines.next().starts_with("@big * "));
    lines.send("@c cancel @big");
    let mut last: Vec<String> = std::iter::repeat_with(|| lines.next())
        .filter(|line| !line.contains(" * "))
        .take(2)
        .collect();
    last.sort();
    assert_eq!(last, ["@big ERR cancelled :cancelled as asked", "@c OK"]);
    assert!(
        example
            .exchange(b"collatz 1e12 deadline=30ms\n")
            .starts_with("ERR deadline :")
    );
    example.stop();
}

#[test]
fn digest_hashes_beside_other_questions_and_stops_when_nobody_waits() {
    let example = Example::start("digest");
    // By sha256sum of coreutils.
    let empty = "OK e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    let million = "OK d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025\n";
    assert_eq!(example.exchange(b"digest 0\ndigest 1e6\n"), [empty, million].concat());
    let mut lines = Lines::connect(&example);
    for tag in ["a", "b", "c"] {
        lines.send(&format!("@{tag} digest 1e12"));
    }
    assert_eq!(
        example.exchange(b"nth 1e9\n"),
        "OK 22801763489\n",
        "others are not delayed"
    );
    drop(lines);
    assert_eq!(example.exchange(b"digest 1e6\n"), million, "the threads are free again");
    example.stop();
}

#[test]
fn chat_keeps_who_is_there_and_sends_them_what_is_said() {
    let example = Example::start("chat");
    let (mut ann, mut bob) = (Lines::connect(&example), Lines::connect(&example));
    ann.send("say is anybody here?");
    assert_eq!(ann.next(), "ERR denied :join first: '@room join NAME'");
    ann.send("@room join ann");
    ann.send("say first");
    assert_eq!(
        [ann.next(), ann.next()],
        ["@room = ann: first", "OK 1"].map(String::from)
    );
    bob.send("@room join bob");
    assert_eq!(bob.next(), "@room = ann is here");
    assert_eq!(bob.next(), "@room = ann: first");
    assert_eq!(ann.next(), "@room = bob is here");
    bob.send("@s say hello to you all");
    let mut heard = [bob.next(), bob.next()];
    heard.sort();
    assert_eq!(heard, ["@room = bob: hello to you all", "@s OK 2"]);
    assert_eq!(ann.next(), "@room = bob: hello to you all");
    ann.send("@c cancel @room");
    let mut heard = [ann.next(), ann.next()];
    heard.sort();
    assert_eq!(heard, ["@c OK", "@room ERR cancelled :cancelled as asked"]);
    assert_eq!(bob.next(), "@room = ann has left");
    drop(bob);
    ann.send("@room join ann");
    while ann.next() != "@room = bob has left" {}
    drop(ann);
    example.stop();
}

#[test]
fn pipeline_prints_the_replies_of_a_daemon_as_they_come() {
    let daemon = primed::Daemon::new().listen(([127, 0, 0, 1], 0).into()).spawn();
    let daemon = daemon.expect("a free port can be had");
    let asked = |requests: &[&str]| {
        let output = Command::new(program("pipeline"))
            .arg(daemon.addresses()[0].to_string())
            .args(requests)
            .output()
            .expect("it was built");
        let mut lines: Vec<String> = String::from_utf8(output.stdout)
            .expect("it prints text")
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        (lines.join("\n"), output.status.success())
    };
    let answers = "isprime 2^61 = no\nnth 1000000 = 15485863\npi 10^13 = 346065536839\nprimes 90 110 = 5\n\
                   primes 90 110: 97 101 103 107 109";
    assert_eq!(asked(&[]), (answers.to_owned(), true));
    let (reply, ended_well) = asked(&["nht 5"]);
    assert!(
        reply.starts_with("nht 5 failed: unknown-verb :no verb 'nht'"),
        "{reply}"
    );
    assert!(ended_well);
    assert_eq!(asked(&["@"]), (String::new(), false));
}
