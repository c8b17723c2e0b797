//! How `serve` ends by its own faults: failpoints in a process of its own. And how errors are printed.

use super::{run, with_causes};
use crate::engine::failpoint;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// Set in the process that serves.
const SERVES: &str = "SERVES_FOR_A_TEST";

#[test]
fn serve_ends_with_status_1_after_five_panics_of_its_scheduler() {
    if std::env::var_os(SERVES).is_some() {
        failpoint::arm(1, 0);
        let arguments = "primed serve --listen 127.0.0.1:0 --data none --log off --workers 1";
        let code = run(arguments.split(' ').map(OsString::from));
        std::process::exit(if code == ExitCode::from(1) { 1 } else { 70 });
    }
    let name = "cli::tests::serve_ends_with_status_1_after_five_panics_of_its_scheduler";
    let mut child = Command::new(std::env::current_exe().expect("a test has a program"))
        .args(["--exact", name, "--nocapture"])
        .env(SERVES, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a program can start itself");
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut lines = out.lines().map(|line| line.expect("it writes text"));
    let line = lines.find(|line| line.contains(" listens on ")).expect("it listens");
    let address = line
        .split(" listens on ")
        .nth(1)
        .and_then(|rest| rest.split(';').next())
        .expect("it says where");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket takes options");
    let mut replies = BufReader::new(stream.try_clone().expect("a socket can be shared")).lines();
    for question in 0..5 {
        // Once it has given up it answers what was asked, and closes.
        let asked = writeln!(stream, "isprime {}", 10_u128.pow(30) + question);
        let Some(Ok(reply)) = replies.next().filter(|_| asked.is_ok()) else {
            break;
        };
        let is_refused = reply.starts_with("ERR internal") || question > 0 && reply.starts_with("ERR draining");
        assert!(is_refused, "{reply}");
    }
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_cause_is_printed_once() {
    let cause = || anyhow::anyhow!("no such file");
    assert_eq!(with_causes(&cause()), "no such file");
    assert_eq!(
        with_causes(&cause().context("cannot read")),
        "cannot read: no such file"
    );
    let whole = cause().context("cannot read: no such file");
    assert_eq!(with_causes(&whole), "cannot read: no such file");
    assert_eq!(
        with_causes(&whole.context("cannot start")),
        "cannot start: cannot read: no such file"
    );
}
