//! `primed top` at a terminal, which `script` of util-linux provides. What it draws of what it knows is tested beside the code.

mod support;

use primed::Daemon;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::PATIENCE;

struct Top {
    program: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What was drawn and not yet looked for.
    seen: String,
}

impl Top {
    fn start(address: SocketAddr) -> Self {
        let binary = env!("CARGO_BIN_EXE_primed");
        let command = format!("stty cols 120 rows 30; exec {binary} top --connect {address} --interval 100ms");
        let mut program = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is installed");
        let keys = program.stdin.take().expect("it is piped");
        let mut screen = program.stdout.take().expect("it is piped");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            program,
            keys,
            output,
            seen: String::new(),
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads keys");
    }

    /// Waits for a word that is drawn: blanks that are there already are skipped.
    fn until(&mut self, word: &str) {
        let begun = Instant::now();
        while !self.seen.contains(word) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no '{word}' is drawn"),
            }
        }
        let at = self.seen.find(word).unwrap_or_default();
        self.seen.drain(..at + word.len());
    }

    /// Waits for the end; the terminal is as it was before.
    fn end(mut self) -> ExitStatus {
        self.until("\u{1b}[?1049l");
        self.program.wait().expect("it was started")
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn a_job_is_seen_and_cancelled_and_q_restores_the_terminal() {
    let daemon = support::daemon();
    let mut client = support::Client::connect(&daemon);
    let mut top = Top::start(daemon.addresses()[0]);
    top.until("\u{1b}[?1049h");
    top.until("quit");
    assert_eq!(client.ask("submit pi 123456789012345678901"), "OK job=1");
    top.until("123456789012345678901");
    top.press("c");
    top.until("cancels");
    top.press("y");
    let answer = client.ask("result 1");
    assert!(answer.starts_with("ERR cancelled"), "{answer}");
    top.press("q");
    assert!(top.end().success());
}

#[test]
fn a_daemon_that_comes_back_is_shown_again() {
    let daemon = support::daemon();
    let address = daemon.addresses()[0];
    let mut top = Top::start(address);
    top.until("quit");
    daemon.stop(Duration::ZERO);
    let again = Daemon::new()
        .workers(1)
        .listen(address)
        .spawn()
        .expect("the port is free again");
    let mut client = support::Client::connect(&again);
    assert_eq!(client.ask("submit pi 123456789012345678901"), "OK job=1");
    top.until("123456789012345678901");
    // Ctrl-C is a key here.
    top.press("\u{3}");
    assert!(top.end().success());
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let output = Command::new(env!("CARGO_BIN_EXE_primed"))
        .arg("top")
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the binary was built");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("top needs a terminal"));
}
