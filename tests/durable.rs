//! What outlives the daemon, over real sockets and real kills: submitted jobs, their checkpoints and ends, and expensive answers.

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use support::Client;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        Self(std::env::temp_dir().join(format!("primed-durable-{}-{number}", std::process::id())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A `primed serve` on a directory.
struct Served {
    child: Child,
    address: SocketAddr,
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "2",
            "--log",
            "warn",
            "--data",
        ])
        .arg(directory)
        .stdout(Stdio::piped());
    command
}

impl Served {
    fn start(directory: &Path) -> Self {
        let mut child = command(directory).spawn().expect("the binary was built");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line
            .split(" listens on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        let address = address
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self { child, address }
    }

    fn client(&self) -> Client {
        Client::connect_to(self.address)
    }

    fn rows(&self, request: &str) -> Vec<String> {
        let mut client = self.client();
        client.send(format!("{request}\n"));
        let text = client.finish();
        text.lines()
            .filter_map(|line| line.strip_prefix("= "))
            .map(str::to_owned)
            .collect()
    }

    /// What a row of `jobs` says of a job.
    fn field(&self, job: &str, name: &str) -> String {
        let rows = self.rows("jobs");
        let row = rows.iter().find(|row| row.starts_with(&format!("id={job} ")));
        let field = row.and_then(|row| row.split(' ').find_map(|field| field.strip_prefix(&format!("{name}="))));
        field
            .unwrap_or_else(|| panic!("no {name} of job {job} in {rows:?}"))
            .to_owned()
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it is our child");
    }

    fn terminate(mut self) {
        let id = i32::try_from(self.child.id()).expect("an id is a number");
        let id = rustix::process::Pid::from_raw(id).expect("a process has an id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it lives");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn submit(client: &mut Client, words: &str) -> String {
    let reply = client.ask(&format!("submit {words}"));
    let job = reply.strip_prefix("OK job=");
    job.unwrap_or_else(|| panic!("submit {words}: {reply}")).to_owned()
}

#[test]
fn a_job_that_was_acknowledged_is_answered_after_kill_9() {
    let directory = Directory::new();
    let served = Served::start(directory.path());
    let mut client = served.client();
    let done = submit(&mut client, "pi 1000000");
    assert_eq!(client.ask(&format!("result {done}")), "OK 78498");
    let long = submit(&mut client, "id=long priority=high pi 1e15");
    let later = submit(&mut client, "after=1h pi 1e9");
    served.kill();

    let served = Served::start(directory.path());
    let mut client = served.client();
    assert_eq!(client.ask(&format!("result {done}")), "OK 78498");
    assert_eq!(served.field(&long, "resumed"), "1");
    assert_eq!(served.field(&long, "priority"), "high");
    assert_eq!(served.field(&later, "state"), "queued");
    assert_eq!(
        submit(&mut client, "id=long pi 1e15"),
        long,
        "the same key and question"
    );
    let reply = client.ask("submit id=long pi 1e14");
    assert!(reply.starts_with("ERR bad-arg"), "{reply}");
    let next: u64 = submit(&mut client, "pi 10").parse().expect("a number");
    assert!(next > later.parse().expect("a number"), "no ID is given twice");
    // pi(10^15): OEIS A006880.
    assert_eq!(client.ask(&format!("result {long}")), "OK 29844570422669");
}
