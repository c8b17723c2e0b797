//! The log of a `primed serve`: a request is followed by its ids from accept to reply, in both formats, and what peers
//! send stays out.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use support::spawn;

struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--data", "none"])
            .args(flags)
            .stderr(Stdio::piped());
        let (child, address) = spawn(&mut command);
        Self { child, address }
    }

    /// Sends the lines, and waits for all replies.
    fn ask(&self, lines: &str) -> String {
        let mut socket = TcpStream::connect(self.address).expect("it listens");
        socket.write_all(lines.as_bytes()).expect("it reads");
        let mut replies = String::new();
        socket.read_to_string(&mut replies).expect("it answers and closes");
        replies
    }

    /// The lines of the log up to the one with these words.
    fn log_until(&mut self, words: &str) -> Vec<String> {
        let errors = self.child.stderr.take().expect("it is piped");
        let mut lines = Vec::new();
        for line in BufReader::new(errors).lines() {
            let line = line.expect("the log is text");
            let is_last = line.contains(words);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
        panic!("no '{words}' in {lines:#?}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The messages of the events that have these ids.
fn messages<'a>(log: &'a [Value], ids: &[(&str, &Value)]) -> Vec<&'a str> {
    let has_ids = |event: &&Value| ids.iter().all(|(name, id)| event.get(name) == Some(id));
    let events = log.iter().filter(has_ids);
    events
        .map(|event| event["message"].as_str().expect("there is a message"))
        .collect()
}

fn find<'a>(log: &'a [Value], message: &str, field: &str, value: &str) -> &'a Value {
    let is_it = |event: &&Value| event["message"] == message && event[field] == value;
    log.iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {message} with {field}={value} in {log:#?}"))
}

#[test]
fn a_request_is_followed_by_its_ids_from_accept_to_reply() {
    let mut daemon = Served::start(&["--log", "primed=trace", "--log-format", "json"]);
    let replies = daemon.ask("nth 5\nisprime 2^89-1\n@t pi 1e12\nsubmit pi 2e10\nresult 1\nnth x\nquit\n");
    assert!(replies.contains("@t OK 37607912018\n"), "{replies}");
    let lines = daemon.log_until("\"closed\"");
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let log: Vec<Value> = lines.iter().map(parse).collect();

    let connected = log.iter().find(|event| event["message"] == "connected");
    let connected = connected.expect("the connection is logged");
    assert!(
        connected["peer"]
            .as_str()
            .is_some_and(|peer| peer.starts_with("127.0.0.1:"))
    );
    let client = &connected["client"];
    assert_eq!(messages(&log, &[("client", client)]).first(), Some(&"connected"));
    assert_eq!(messages(&log, &[("client", client)]).last(), Some(&"closed"));

    // One that needs no work.
    let request = find(&log, "request", "verb", "nth");
    let ids = [("client", client), ("request", &request["request"])];
    assert_eq!(request["dialect"], "lines");
    assert_eq!(messages(&log, &ids), ["request", "reply"]);

    // One that workers compute, by its tag.
    let request = find(&log, "request", "tag", "t");
    let ids = [("client", client), ("request", &request["request"])];
    let followed = messages(&log, &ids);
    assert_eq!(followed[..2], ["request", "work begins"], "{followed:?}");
    assert!(followed.contains(&"slice"), "{followed:?}");
    assert_eq!(followed.last(), Some(&"reply"), "{followed:?}");
    // Its first slice, which it shared with no other, was not enough: the number of its work changes.
    let last = |message: &str| {
        let is_it = |event: &&Value| event["message"] == message && event["request"] == request["request"];
        log.iter().rfind(is_it).expect("it is logged")
    };
    assert_eq!(last("work begins")["work"], last("leaves its batch")["work"]);
    assert_eq!(last("leaves its batch")["next_work"], last("work ends")["work"]);

    // One that its first slice answers.
    let request = find(&log, "request", "verb", "isprime");
    let ids = [("client", client), ("request", &request["request"])];
    let mut followed = messages(&log, &ids);
    // That for a collector of traces, which is no part of the log's story, and comes before the reply or after it.
    followed.retain(|message| *message != "span");
    assert_eq!(followed, ["request", "work begins", "slice", "work ends", "reply"]);
    let request = find(&log, "request", "tag", "t");
    let is_slice = |event: &&Value| event["message"] == "slice" && event["request"] == request["request"];
    let slice = log.iter().find(is_slice).expect("slices are logged");
    assert_eq!(
        (slice["lane"].as_str(), slice["worker"].as_u64()),
        (Some("express"), Some(0))
    );

    // A submitted job, by its ID: from the request that submits it to its end.
    let followed = messages(&log, &[("job", &Value::from(1))]);
    assert_eq!(followed[..2], ["work begins", "submits"], "{followed:?}");
    assert!(
        followed.contains(&"waits for the result") && followed.contains(&"work ends"),
        "{followed:?}"
    );

    // The code of an error.
    let failed = find(&log, "reply", "outcome", "bad-arg");
    assert_eq!(failed["level"], "DEBUG");
}

#[test]
fn one_module_can_be_logged_alone() {
    for module in ["dispatcher", "replies"] {
        let mut daemon = Served::start(&["--log", &format!("off, primed::server::builtin::{module}=debug")]);
        assert_eq!(daemon.ask("isprime 7\nfactor 15\nnth 5\nquit\n").lines().count(), 4);
        daemon.child.kill().expect("it runs");
        let errors = daemon.child.stderr.take().expect("it is piped");
        let lines = BufReader::new(errors).lines().map_while(Result::ok);
        assert_eq!(lines.filter(|line| line.contains("client=")).count(), 4, "{module}");
    }
}

#[test]
fn one_search_in_the_text_follows_a_request() {
    let mut daemon = Served::start(&["--log", "debug"]);
    daemon.ask("ping\n@t pi 1e10\nquit\n");
    let log = daemon.log_until("closed client=1");
    let found: Vec<&String> = log.iter().filter(|line| line.contains("client=1 request=1 ")).collect();
    assert!(
        found[0].contains(r#"request client=1 request=1 tag="t" verb="pi""#),
        "{found:?}"
    );
    assert!(found[1].contains(r#"title="pi 10000000000""#), "{found:?}");
    assert!(
        found[found.len() - 1].contains(r#"reply client=1 request=1 outcome="ok""#),
        "{found:?}"
    );
}

#[test]
fn the_log_leaves_out_arguments_that_are_no_question_and_cuts_long_words() {
    let mut daemon = Served::start(&["--log", "trace", "--log-format", "json"]);
    let long = "x".repeat(9_000);
    daemon.ask(&format!(
        "auth hunter2\n{long}\nfactor {long}\nisprime {}\nquit\n",
        "7".repeat(9_000)
    ));
    for line in daemon.log_until("\"closed\"") {
        assert!(line.len() < 500, "a line of {} bytes", line.len());
        assert!(!line.contains("hunter2"), "{line}");
    }
}
