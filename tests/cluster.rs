//! Daemons as nodes of a cluster, in processes of their own, over a real NATS server; each may be killed or stopped at
//! any moment.
//!
//! `cargo test --test cluster -- --ignored` runs them, if `nats-server` is in the path or `NATS_SERVER` names it;
//! `.ci/run` installs it.

mod support;

use primed::internals::store::{KeptAnswer, Record, SqliteStore, Store, Timestamp};
use primed::{Daemon, Handle};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Client, Directory, spawn, until};

// The counts are differences of what primecount 8.7 says; pi(10^15) and pi(10^16) are in OEIS A006880.

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("it lives");
}

/// A NATS server with JetStream, on a port of its own.
struct Nats {
    child: Child,
    port: u16,
    directory: Directory,
    more: &'static [&'static str],
}

impl Nats {
    fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Nats::start`], with these arguments too.
    fn with(more: &'static [&'static str]) -> Self {
        // Free a moment ago: the server is given its port, so that it takes the same after it was killed.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.expect("there is a free port").port();
        let directory = Directory::new();
        let child = Self::spawn(port, &directory.0, more);
        let nats = Self {
            child,
            port,
            directory,
            more,
        };
        nats.wait();
        nats
    }

    fn spawn(port: u16, directory: &Path, more: &[&str]) -> Child {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let mut command = Command::new(&program);
        command
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(directory)
            .args(more);
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        spawned.unwrap_or_else(|error| panic!("{program}: {error}; NATS_SERVER says where nats-server is"))
    }

    fn wait(&self) {
        until("NATS listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it is our child");
    }

    fn restart(&mut self) {
        self.child = Self::spawn(self.port, &self.directory.0, self.more);
        self.wait();
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `primed serve` that is a node.
struct Node {
    child: Child,
    address: SocketAddr,
}

fn command(nats: &str, name: &str, data: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--data",
            data,
            "--cluster",
            nats,
        ])
        .args(["--node-name", name, "--log", "warn"])
        .args(more)
        .env_remove("PRIMED_CLUSTER_KILLS");
    command
}

impl Node {
    fn start(nats: &Nats, name: &str, data: &Directory, more: &[&str]) -> Self {
        let data = data.0.to_str().expect("a path of the test is text");
        Self::run(&mut command(&nats.url(), name, data, more))
    }

    fn worker(nats: &Nats, name: &str, more: &[&str]) -> Self {
        Self::run(command(&nats.url(), name, "none", more).arg("--workers-only"))
    }

    fn run(command: &mut Command) -> Self {
        let (child, address) = spawn(command);
        Self { child, address }
    }

    fn client(&self) -> Client {
        Client::connect_to(self.address)
    }

    fn ask(&self, request: &str) -> String {
        self.client().ask(request)
    }

    fn rows(&self, request: &str) -> Vec<String> {
        rows(self.client(), request)
    }

    fn knows(&self, nodes: usize) -> bool {
        let rows = self.rows("nodes");
        rows.len() == nodes && rows.iter().all(|row| row.contains(" state=up "))
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rows(mut client: Client, request: &str) -> Vec<String> {
    client.send(format!("{request}\n"));
    let text = client.finish();
    let rows = text.lines().filter_map(|line| line.strip_prefix("= "));
    rows.map(str::to_owned).collect()
}

fn submit(node: &Node, words: &str) -> String {
    let reply = node.ask(&format!("submit {words}"));
    let job = reply.strip_prefix("OK job=");
    job.unwrap_or_else(|| panic!("submit {words}: {reply}")).to_owned()
}

fn field<'a>(row: &'a str, name: &str) -> &'a str {
    let mut words = row.split(' ');
    let found = words.find_map(|word| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')));
    found.unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// Three nodes that know each other.
fn three(nats: &Nats) -> ([Node; 3], [Directory; 3]) {
    let data = [Directory::new(), Directory::new(), Directory::new()];
    let nodes = ["a", "b", "c"].map(|name| {
        let index = usize::from(name.as_bytes()[0] - b'a');
        Node::start(nats, name, &data[index], &[])
    });
    until("all nodes know each other", || nodes.iter().all(|node| node.knows(3)));
    (nodes, data)
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_job_is_seen_waited_for_and_cancelled_from_any_node() {
    let nats = Nats::start();
    let ([a, b, c], _data) = three(&nats);
    let long = submit(&a, "pi 1e19");
    assert!(long.len() >= 4, "its last three digits are the node's number: {long}");
    until("b shows the job of a", || {
        b.rows("jobs")
            .iter()
            .any(|row| row.starts_with(&format!("id={long} ")) && row.contains(" node=a "))
    });
    let mut watcher = c.client();
    until("c knows the job", || {
        c.rows("jobs").iter().any(|row| row.starts_with(&format!("id={long} ")))
    });
    watcher.send(format!("watch {long}\n"));
    assert!(
        watcher.line().is_some_and(|line| line.starts_with("* ")),
        "it hears how far the job is"
    );
    let short = submit(&b, "count 1e12 1e12+1e7 method=sieve");
    until("a knows the job of b", || {
        !a.ask(&format!("result {short}")).contains("no-job")
    });
    assert_eq!(a.ask(&format!("result {short}")), "OK 361726");
    assert_eq!(c.ask(&format!("cancel {long}")), "OK");
    until("a has stopped", || {
        a.rows("jobs")
            .iter()
            .any(|row| row.starts_with(&format!("id={long} state=cancelled")))
    });
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn parts_of_a_long_question_are_done_by_another_node() {
    let nats = Nats::start();
    let data = Directory::new();
    let a = Node::start(&nats, "a", &data, &["--check", "50%"]);
    let worker = Node::worker(&nats, "w", &[]);
    until("they know each other", || a.knows(2) && worker.knows(2));
    assert_eq!(a.ask("count 1e15 1e15+2e10 method=sieve"), "OK 579059434");
    assert_eq!(a.ask("pi 1e15"), "OK 29844570422669");
    let rows = a.rows("nodes");
    let parts: u64 = field(&rows[1], "parts").parse().expect("a number");
    assert!(parts > 0, "{rows:?}");
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_node_that_errs_is_named_and_its_parts_are_done_again() {
    let nats = Nats::start();
    let data = Directory::new();
    let a = Node::start(&nats, "a", &data, &["--check", "100%"]);
    let bad = Node::run(command(&nats.url(), "bad", "none", &["--workers-only"]).env("PLANT_WRONG_PARTS", "1"));
    until("they know each other", || a.knows(2) && bad.knows(2));
    assert!(
        bad.ask("submit pi 1e9")
            .starts_with("ERR denied :this node of the cluster only works")
    );
    assert_eq!(a.ask("count 1e15 1e15+2e10 method=sieve"), "OK 579059434");
    let rows = a.rows("nodes");
    assert!(rows[1].starts_with("name=bad state=errs "), "{rows:?}");
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn an_answer_that_one_node_refutes_is_given_by_none() {
    let nats = Nats::start();
    let data = [Directory::new(), Directory::new()];
    for directory in &data {
        let mut store = SqliteStore::open(&directory.0).expect("a new store");
        let wrong = KeptAnswer {
            title: "pi 100000000000000".to_owned(),
            value: 3_204_941_750_801_u64.into(),
            cost: Duration::from_secs(9),
            found_at: Timestamp::from_millis(1_700_000_000_000),
            version: "0".to_owned(),
            method: "computed".to_owned(),
            is_refuted: false,
        };
        store.commit(&[Record::Answer(wrong)]).expect("it is written");
    }
    let [a, b] = [("a", &data[0]), ("b", &data[1])].map(|(name, data)| Node::start(&nats, name, data, &[]));
    until("they know each other", || a.knows(2) && b.knows(2));
    assert_eq!(b.ask("pi 1e14"), "OK 3204941750801");
    let refuted = a.ask("verify pi 1e14");
    assert!(refuted.contains("refuted"), "{refuted}");
    until("b counts again", || b.ask("pi 1e14") == "OK 3204941750802");
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_job_of_a_node_that_is_killed_or_stopped_goes_on_elsewhere() {
    let nats = Nats::start();
    let ([a, b, c], data) = three(&nats);
    let job = submit(&a, "pi 1e16");
    until("b and c know it", || {
        [&b, &c].iter().all(|node| !node.rows("jobs").is_empty())
    });
    let watchers = [&b, &c].map(|node| {
        let mut client = node.client();
        client.send(format!("watch {job}\n"));
        client
    });
    a.kill();
    let killed = Instant::now();
    until("another node goes on", || {
        let owned = |node: &Node| field(&node.rows("nodes")[0], "jobs") != "0";
        owned(&b) || owned(&c)
    });
    let taken = killed.elapsed();
    assert!(taken < Duration::from_secs(15), "{taken:?}");
    let a = Node::start(&nats, "a", &data[0], &[]);
    let (first, second) = match field(&b.rows("nodes")[0], "jobs") {
        "0" => (c, b),
        _ => (b, c),
    };
    signal(&first.child, rustix::process::Signal::STOP);
    until("a third one goes on", || {
        [&a, &second]
            .iter()
            .any(|node| field(&node.rows("nodes")[0], "jobs") != "0")
    });
    signal(&first.child, rustix::process::Signal::CONT);
    for node in [&a, &second, &first] {
        assert_eq!(node.ask(&format!("result {job}")), "OK 279238341033925");
    }
    for watcher in watchers {
        let text = watcher.finish();
        assert!(text.ends_with("OK 279238341033925\n"), "{text}");
    }
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_cancel_that_is_confirmed_stays_where_its_node_is_killed_at_once() {
    let nats = Nats::start();
    let ([a, b, _c], _data) = three(&nats);
    let jobs = ["pi 1e19", "pi 1e19+1"].map(|words| submit(&a, words));
    until("b knows the jobs", || b.rows("jobs").len() == 2);
    assert_eq!(a.ask(&format!("cancel {}", jobs[0])), "OK");
    assert_eq!(a.ask("cancel all"), "OK cancelled=1");
    a.kill();
    for job in jobs {
        let reply = b.ask(&format!("result {job} deadline=20s"));
        assert!(reply.starts_with("ERR cancelled"), "{reply}");
    }
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_node_that_ends_in_good_order_hands_its_jobs_over_at_once() {
    let nats = Nats::start();
    let ([a, b, c], _data) = three(&nats);
    let job = submit(&a, "pi 1e16");
    until("b and c know it", || {
        [&b, &c].iter().all(|node| !node.rows("jobs").is_empty())
    });
    signal(&a.child, rustix::process::Signal::TERM);
    let ended = Instant::now();
    until("another node goes on", || {
        [&b, &c].iter().any(|node| field(&node.rows("nodes")[0], "jobs") != "0")
    });
    until("a is no node any more", || b.knows(2) && c.knows(2));
    assert!(ended.elapsed() < Duration::from_secs(6), "{:?}", ended.elapsed());
    assert_eq!(b.ask(&format!("result {job}")), "OK 279238341033925");
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn without_nats_a_node_goes_on_and_what_it_took_in_is_shared_later() {
    let mut nats = Nats::start();
    let ([a, b, _c], data) = three(&nats);
    nats.kill();
    until("a knows that it is alone", || {
        a.rows("nodes")[0].contains(" state=alone ")
    });
    assert_eq!(a.ask("nth 1000000"), "OK 15485863");
    assert_eq!(a.ask("pi 1e13"), "OK 346065536839");
    let job = submit(&a, "count 1e12 1e12+1e7 method=sieve");
    assert_eq!(a.ask(&format!("result {job}")), "OK 361726");
    // A node that is known starts without NATS too.
    b.kill();
    let b = Node::start(&nats, "b", &data[1], &[]);
    assert_eq!(b.ask("nth 1000000"), "OK 15485863");
    nats.restart();
    until("b hears of the job of a", || {
        b.ask(&format!("result {job}")) == "OK 361726"
    });
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_name_that_another_node_has_is_refused_and_so_is_a_silent_server() {
    let nats = Nats::start();
    let data = [Directory::new(), Directory::new()];
    let _a = Node::start(&nats, "a", &data[0], &[]);
    let refused = |mut command: Command| {
        let output = command.stderr(Stdio::piped()).output().expect("the binary was built");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("it writes text")
    };
    let path = data[1].0.to_str().expect("a path of the test is text");
    let text = refused(command(&nats.url(), "a", path, &[]));
    assert!(
        text.contains("another node of the cluster is called a: choose another --node-name"),
        "{text}"
    );
    let text = refused(command("nats://127.0.0.1:1", "z", path, &[]));
    assert!(
        text.contains("Connection refused") && text.contains("and that NATS runs and this machine can reach it"),
        "{text}"
    );
    let text = refused(command(&nats.url(), "z", "none", &[]));
    assert!(
        text.contains("needs a store (--data), unless it only works (--workers-only)"),
        "{text}"
    );
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn nodes_reach_nats_over_tls_with_credentials_and_not_without() {
    macro_rules! file {
        ($name:literal) => {
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/", $name)
        };
    }
    let nats = Nats::with(&[
        "-c",
        file!("cluster/nats.conf"),
        "--tls",
        "--tlscert",
        file!("security/certs/server.pem"),
        "--tlskey",
        file!("security/certs/server.key"),
    ]);
    let ca = ["--cluster-ca", file!("security/certs/ca.pem")];
    let all = [&ca[..], &["--cluster-credentials", file!("cluster/user.creds")]].concat();
    let data = [Directory::new(), Directory::new()];
    let path = data[0].0.to_str().expect("a path of the test is text");
    for (more, reason) in [(&all[2..], "certificate"), (&ca[..], "authorization")] {
        let output = command(&nats.url(), "a", path, more).stderr(Stdio::piped()).output();
        let output = output.expect("the binary was built");
        let text = String::from_utf8(output.stderr).expect("it writes text");
        assert!(
            !output.status.success() && text.to_lowercase().contains(reason),
            "{text}"
        );
    }
    let [a, b] = [("a", &data[0]), ("b", &data[1])].map(|(name, data)| Node::start(&nats, name, data, &all));
    until("they know each other", || a.knows(2) && b.knows(2));
    let job = submit(&a, "count 1e12 1e12+1e7 method=sieve");
    until("b knows the job", || b.ask(&format!("result {job}")) == "OK 361726");
}

#[path = "../examples/squarefree.rs"]
#[allow(dead_code, reason = "its main is not run")]
mod squarefree;

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn parts_of_a_plan_of_ones_own_are_done_by_another_node() {
    let nats = Nats::start();
    let data = [Directory::new(), Directory::new()];
    let [a, b] = [("a", &data[0]), ("b", &data[1])].map(|(name, data)| {
        let settings = squarefree::settings(name, &nats.url());
        let daemon = Daemon::new()
            .verb(squarefree::squarefree())
            .data(&data.0)
            .cluster(settings);
        support::start(daemon)
    });
    let knows = |daemon: &Handle| rows(Client::connect(daemon), "nodes").len() == 2;
    until("they know each other", || knows(&a) && knows(&b));
    // As a sieve of squares counts them.
    assert_eq!(Client::connect(&a).ask("squarefree 4e6"), "OK 2431736");
    until("b says that it has done parts", || {
        field(&rows(Client::connect(&a), "nodes")[1], "parts") != "0"
    });
    b.stop(support::PATIENCE);
    a.stop(support::PATIENCE);
}

/// A client of NATS that sends what it likes: the protocol is lines of text.
struct Publisher(TcpStream);

impl Publisher {
    fn new(nats: &Nats) -> Self {
        use std::io::Write;
        let mut stream = TcpStream::connect(("127.0.0.1", nats.port)).expect("NATS listens");
        let hello = b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
        stream.write_all(hello).expect("NATS takes it");
        Self(stream)
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.send(&format!("PUB {subject} {}\r\n", payload.len()), payload);
    }

    fn publish_part(&mut self, headers: &[(&str, &str)], payload: &[u8]) {
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!("NATS/1.0\r\n{lines}\r\n");
        let subject = format!("primed.parts.{}", env!("CARGO_PKG_VERSION").replace('.', "_"));
        let (size, all) = (head.len(), head.len() + payload.len());
        let mut message = head.into_bytes();
        message.extend_from_slice(payload);
        self.send(&format!("HPUB {subject} {size} {all}\r\n"), &message);
    }

    fn send(&mut self, head: &str, payload: &[u8]) {
        use std::io::Write;
        let message = [head.as_bytes(), payload, b"\r\n"].concat();
        self.0.write_all(&message).expect("NATS takes it");
    }

    /// Waits until NATS has taken in everything.
    fn flush(&mut self) {
        use std::io::{BufRead, BufReader, Write};
        self.0.write_all(b"PING\r\n").expect("NATS takes it");
        let mut lines = BufReader::new(&self.0).lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "PONG"), "NATS answers");
    }
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn whatever_is_published_the_nodes_go_on() {
    let nats = Nats::start();
    let ([a, b, c], _data) = three(&nats);
    let mut publisher = Publisher::new(&nats);
    let job = |id: u64, name: &str, value: &str| {
        let mut fields = vec![
            ("form", "1".to_owned()),
            ("job", id.to_string()),
            ("request", "\"pi 1e6\"".to_owned()),
            ("title", "\"pi 1000000\"".to_owned()),
            ("owner", "\"127.0.0.1\"".to_owned()),
            ("origin", "\"gone\"".to_owned()),
            ("priority", "\"normal\"".to_owned()),
            ("submitted_at", "7".to_owned()),
            ("end", "null".to_owned()),
        ];
        if name == "title" {
            // It has parts.
            fields[2].1 = "\"pi 1e17\"".to_owned();
        }
        fields.retain(|(known, _)| *known != name);
        fields.push((name, value.to_owned()));
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    };
    let huge = u64::MAX.to_string();
    let long = format!("\"pi {}\"", "9".repeat(500_000));
    for (id, name, value) in [
        // Words that no client can have written: they would be headers of a part, and rows of lists.
        (8_777, "title", "\"pi 7\\n= id=9 state=done\""),
        (9_777, "request", "\"pi 7\\r\\nquit\""),
        (10_777, "request", "\"drain\""),
        (11_777, "request", "\"submit pi 1e17\""),
        (12_777, "request", long.as_str()),
        (13_777, "origin", "\"x\\n= name=y\""),
        (14_777, "deadline", &huge),
        (15_777, "not_before", &huge),
        (16_777, "form", "2"),
        (17_777, "job", "18777"),
        (
            18_777,
            "end",
            "{\"ended_at\":1,\"cpu_us\":1,\"kind\":\"number\",\"value\":\"seven\"}",
        ),
        (u64::MAX, "form", "1"),
        (u64::MAX - 614, "form", "1"),
    ] {
        publisher.publish(&format!("$KV.primed_jobs.{id}"), &job(id, name, value));
    }
    for bytes in [
        &b""[..],
        b"{}",
        b"\xff\xff",
        b"{\"form\":2,\"node\":\"a\",\"starts\":0}",
    ] {
        for bucket in ["jobs", "owners", "nodes", "answers", "numbers"] {
            publisher.publish(&format!("$KV.primed_{bucket}.x"), bytes);
            publisher.publish(&format!("$KV.primed_{bucket}.19777"), bytes);
        }
        for subject in ["primed.progress", "primed.recalled", "primed.name.a"] {
            publisher.publish(subject, bytes);
        }
        publisher.publish_part(&[("Primed-Owner", "a.1")], bytes);
    }
    let boasts = format!(
        "{{\"form\":1,\"name\":\"boaster\",\"version\":\"{}\",\"workers\":{huge},\"free\":{huge},\"running\":{huge},\"owned\":{huge},\
         \"parts_done\":{huge},\"worker_only\":true}}",
        env!("CARGO_PKG_VERSION")
    );
    publisher.publish("$KV.primed_nodes.boaster", boasts.as_bytes());
    for index in 0..100 {
        let owner = "x".repeat(500_000);
        publisher.publish("primed.recalled", format!("{owner} 1 {index}").as_bytes());
    }
    publisher.flush();
    // Each of them takes in a job, and all know it and its end.
    for (node, words, answer) in [
        (&a, "count 1e12 1e12+1e7 method=sieve", "OK 361726"),
        (&b, "pi 1e13", "OK 346065536839"),
        (&c, "count 1e12 1e12+3e7 method=sieve", "OK 1085227"),
    ] {
        let job = submit(node, words);
        for other in [&a, &b, &c] {
            until("it knows the job", || {
                !other.ask(&format!("result {job} deadline=1ms")).contains("no-job")
            });
            assert_eq!(other.ask(&format!("result {job}")), answer);
        }
    }
    for node in [&a, &b, &c] {
        let rows = node.rows("nodes");
        assert!(rows.iter().all(|row| row.contains(" state=")), "{rows:?}");
        let rows = node.rows("jobs");
        assert!(rows.iter().all(|row| row.starts_with("id=")), "{rows:?}");
        assert!(
            !rows.iter().any(|row| row.starts_with("id=18446744073709551")),
            "{rows:?}"
        );
    }
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn what_nats_lost_is_written_again() {
    let mut nats = Nats::start();
    let ([a, b, c], _data) = three(&nats);
    let ended = submit(&a, "count 1e12 1e12+1e7 method=sieve");
    assert_eq!(a.ask(&format!("result {ended}")), "OK 361726");
    let goes_on = submit(&b, "pi 1e19");
    until("c knows both", || {
        let rows = c.rows("jobs");
        let has = |job: &String| rows.iter().any(|row| row.starts_with(&format!("id={job} ")));
        has(&ended) && has(&goes_on)
    });
    nats.kill();
    std::fs::remove_dir_all(&nats.directory.0).expect("it is there");
    nats.restart();
    until("they know each other again", || {
        [&a, &b, &c].iter().all(|node| node.knows(3))
    });
    // One that has never heard of either.
    let data = Directory::new();
    let d = Node::start(&nats, "d", &data, &[]);
    until("d knows both", || {
        let rows = d.rows("jobs");
        let has = |job: &str, state: &str| {
            rows.iter()
                .any(|row| row.starts_with(&format!("id={job} state={state}")))
        };
        has(&ended, "done") && has(&goes_on, "running")
    });
    assert_eq!(d.ask(&format!("cancel {goes_on}")), "OK");
    until("b has stopped", || {
        b.rows("jobs")
            .iter()
            .any(|row| row.starts_with(&format!("id={goes_on} state=cancelled")))
    });
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn a_copy_of_a_nodes_directory_does_not_run_beside_it() {
    let nats = Nats::start();
    let data = [Directory::new(), Directory::new()];
    let a = Node::start(&nats, "a", &data[0], &[]);
    until("a is in the cluster", || a.knows(1));
    std::fs::copy(data[0].0.join("node"), data[1].0.join("node")).expect("it is there");
    let path = data[1].0.to_str().expect("a path of the test is text");
    let mut copy = command(&nats.url(), "a", path, &[]);
    let output = copy.stderr(Stdio::piped()).output().expect("the binary was built");
    let text = String::from_utf8(output.stderr).expect("it writes text");
    assert!(
        !output.status.success() && text.contains("another node of the cluster is called a"),
        "{text}"
    );
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn the_name_of_a_lost_directory_is_refused_with_the_number_that_has_it() {
    let nats = Nats::start();
    let data = [Directory::new(), Directory::new()];
    let a = Node::start(&nats, "a", &data[0], &[]);
    until("a is in the cluster", || a.knows(1));
    a.kill();
    let number = std::fs::read_to_string(data[0].0.join("node")).expect("it is there");
    let (number, mark) = number.trim().split_once(' ').expect("it has a number and a mark");
    let path = data[1].0.to_str().expect("a path of the test is text");
    let mut other = command(&nats.url(), "a", path, &[]);
    let output = other.stderr(Stdio::piped()).output().expect("the binary was built");
    let text = String::from_utf8(output.stderr).expect("it writes text");
    let advice = format!("remove key {number} of primed_numbers (nats kv del primed_numbers {number})");
    assert!(!output.status.success() && text.contains(&advice), "{text}");
    assert!(!text.contains(mark), "{text}");
}

/// How often nodes and NATS are killed: `PRIMED_CLUSTER_KILLS=200` for the long form.
fn kills() -> usize {
    std::env::var("PRIMED_CLUSTER_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12)
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn kills_at_random_lose_no_acknowledged_job() {
    let mut nats = Nats::start();
    let (nodes, data) = three(&nats);
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut random = fastrand::Rng::with_seed(5);
    let questions = [
        ("count 1e12 1e12+3e7 method=sieve", "OK 1085227"),
        ("pi 1e14", "OK 3204941750802"),
        ("count 1e15 1e15+2e9 method=sieve", "OK 57901748"),
    ];
    let mut acknowledged: Vec<(String, &str)> = Vec::new();
    for round in 0..kills() {
        let index = random.usize(..3);
        if let Some(node) = &nodes[random.usize(..3)] {
            for _ in 0..5 {
                let (words, answer) = questions[random.usize(..questions.len())];
                let reply = node.ask(&format!("submit {words}"));
                if let Some(job) = reply.strip_prefix("OK job=") {
                    acknowledged.push((job.to_owned(), answer));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(random.u64(..1_500)));
        match random.u8(..8) {
            0 => {
                nats.kill();
                std::thread::sleep(Duration::from_millis(random.u64(..1_000)));
                nats.restart();
            }
            1 if round % 4 == 0 => nodes.iter_mut().filter_map(Option::take).for_each(Node::kill),
            2..=5 => nodes[index].take().into_iter().for_each(Node::kill),
            _ => {}
        }
        for (index, node) in nodes.iter_mut().enumerate() {
            if node.is_none() && random.bool() {
                let name = ["a", "b", "c"][index];
                *node = Some(Node::start(&nats, name, &data[index], &[]));
            }
        }
    }
    for (index, node) in nodes.iter_mut().enumerate() {
        node.get_or_insert_with(|| Node::start(&nats, ["a", "b", "c"][index], &data[index], &[]));
    }
    let node = nodes[0].as_ref().expect("all run again");
    assert!(!acknowledged.is_empty());
    for (job, answer) in &acknowledged {
        until("the job is known to a", || {
            !node.ask(&format!("result {job} deadline=60s")).contains("no-job")
        });
        assert_eq!(node.ask(&format!("result {job} deadline=10m")), *answer, "job {job}");
    }
    println!("{} acknowledged, none lost", acknowledged.len());
}

#[test]
#[ignore = "needs nats-server; .ci/run installs it"]
fn kills_at_random_do_no_harm_to_long_jobs_whose_parts_travel() {
    let mut nats = Nats::start();
    let (nodes, data) = three(&nats);
    let worker = Node::worker(&nats, "w", &[]);
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut random = fastrand::Rng::with_seed(7);
    // By primesieve 11; the factors are primes by PARI.
    let questions = [
        ("pi 1e16", "OK 279238341033925"),
        ("count 1e15 1e15+1.5e10 method=sieve", "OK 434299318"),
        ("count 2e15 2e15+1.5e10 method=sieve", "OK 425743815"),
        ("count 3e15 3e15+1.5e10 method=sieve", "OK 420895238"),
    ];
    let mut acknowledged: Vec<(String, &str)> = Vec::new();
    for (index, (words, answer)) in questions.into_iter().enumerate() {
        let node = nodes[index % 3].as_ref().expect("nobody was killed yet");
        acknowledged.push((submit(node, words), answer));
    }
    for round in 0..6 {
        std::thread::sleep(Duration::from_millis(random.u64(500..2_000)));
        match round {
            2 => nodes.iter_mut().filter_map(Option::take).for_each(Node::kill),
            4 => {
                nats.kill();
                nats.restart();
            }
            _ => nodes[random.usize(..3)].take().into_iter().for_each(Node::kill),
        }
        for (index, node) in nodes.iter_mut().enumerate() {
            if node.is_none() && random.bool() {
                *node = Some(Node::start(&nats, ["a", "b", "c"][index], &data[index], &[]));
            }
        }
    }
    for (index, node) in nodes.iter_mut().enumerate() {
        node.get_or_insert_with(|| Node::start(&nats, ["a", "b", "c"][index], &data[index], &[]));
    }
    for (job, answer) in &acknowledged {
        for node in nodes.iter().flatten() {
            until("the job is known", || {
                !node.ask(&format!("result {job} deadline=1ms")).contains("no-job")
            });
            assert_eq!(node.ask(&format!("result {job} deadline=10m")), *answer, "job {job}");
        }
    }
    let parts: u64 = field(&worker.rows("nodes")[0], "parts").parse().expect("a number");
    assert!(parts > 0, "no part travelled");
}

/// Two network namespaces with a link between them, which can be cut.
struct Link {
    names: [String; 2],
}

impl Link {
    /// `None` if namespaces may not be made here.
    fn new() -> Option<Self> {
        let names = [0, 1].map(|index| format!("primed-test-{}-{index}", std::process::id()));
        let link = Self { names };
        let [one, other] = &link.names;
        let ends = [format!("v{}a", std::process::id()), format!("v{}b", std::process::id())];
        let is_made = link.ip(&["netns", "add", one])
            && link.ip(&["netns", "add", other])
            && link.ip(&[
                "-n", one, "link", "add", &ends[0], "type", "veth", "peer", "name", &ends[1], "netns", other,
            ])
            && link.ip(&["-n", one, "link", "set", &ends[0], "name", "cable"])
            && link.ip(&["-n", other, "link", "set", &ends[1], "name", "cable"])
            && link.ip(&["-n", one, "address", "add", "192.0.2.1/24", "dev", "cable"])
            && link.ip(&["-n", other, "address", "add", "192.0.2.2/24", "dev", "cable"])
            && [one, other].into_iter().all(|name| {
                link.ip(&["-n", name, "link", "set", "lo", "up"])
                    && link.ip(&["-n", name, "link", "set", "cable", "up"])
            });
        is_made.then_some(link)
    }

    fn ip(&self, words: &[&str]) -> bool {
        let done = Command::new("ip").args(words).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    }

    fn set(&self, state: &str) {
        assert!(self.ip(&["-n", &self.names[1], "link", "set", "cable", state]));
    }

    /// The same command in one of the two namespaces.
    fn inside(&self, index: usize, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.names[index]]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for name in &self.names {
            self.ip(&["netns", "delete", name]);
        }
    }
}

/// A node in a namespace, which is reached over a socket in its directory.
struct FarNode {
    _node: Node,
    socket: PathBuf,
}

impl FarNode {
    fn start(link: &Link, index: usize, name: &str, data: &Directory) -> Self {
        let socket = data.0.join("socket");
        let listen = format!("unix:{}", socket.display());
        let path = data.0.to_str().expect("a path of the test is text");
        let command = command("nats://192.0.2.1:4222", name, path, &["--listen", &listen]);
        let node = Node::run(&mut link.inside(index, &command));
        Self { _node: node, socket }
    }

    fn ask(&self, request: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).expect("it listens");
        stream.write_all(format!("{request}\n").as_bytes()).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text.trim_end().to_owned()
    }
}

#[test]
#[ignore = "needs nats-server, and the right to make network namespaces; .ci/run installs it"]
fn a_cut_link_harms_no_short_question_and_all_is_well_soon_after() {
    let Some(link) = Link::new() else {
        return println!("skipped: network namespaces may not be made here (ip netns add)");
    };
    let directory = Directory::new();
    let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
    let mut server = Command::new(program);
    server
        .args(["-js", "-a", "192.0.2.1", "-p", "4222", "-sd"])
        .arg(&directory.0);
    let mut server = link.inside(0, &server);
    let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _nats = Nats {
        child: child.expect("ip runs it"),
        port: 4222,
        directory,
        more: &[],
    };
    let data = [Directory::new(), Directory::new()];
    let near = FarNode::start(&link, 0, "near", &data[0]);
    let far = FarNode::start(&link, 1, "far", &data[1]);
    let know = || {
        [&near, &far]
            .iter()
            .all(|node| node.ask("nodes").matches(" state=up ").count() == 2)
    };
    until("they know each other", know);
    link.set("down");
    let cut = Instant::now();
    let submitted = |node: &FarNode, words: &str| {
        let reply = node.ask(&format!("submit {words}"));
        reply
            .strip_prefix("OK job=")
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("{reply}"))
    };
    let jobs = [
        submitted(&far, "count 1e12 1e12+1e7 method=sieve"),
        submitted(&near, "count 1e12 1e12+3e7 method=sieve"),
    ];
    // Before it is known that the link is cut, and after.
    while cut.elapsed() < Duration::from_secs(1) || !far.ask("nodes").contains(" state=alone ") {
        for node in [&near, &far] {
            let asked = Instant::now();
            assert_eq!(node.ask("1000000"), "15485863");
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        }
        assert!(cut.elapsed() < Duration::from_secs(30), "it does not notice");
    }
    assert_eq!(far.ask("pi 1e13"), "OK 346065536839");
    link.set("up");
    let up = Instant::now();
    until("all is well", || {
        know()
            && near.ask(&format!("result {} deadline=100ms", jobs[0])) == "OK 361726"
            && far.ask(&format!("result {} deadline=100ms", jobs[1])) == "OK 1085227"
    });
    assert!(up.elapsed() < Duration::from_secs(10), "{:?}", up.elapsed());
}
