//! `primed top` at a terminal, which `script` of util-linux provides. What it draws of what it knows is tested beside
//! the code.

mod support;

use primed::Daemon;
use rustix::process::{Signal, kill_process};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::terminal::Terminal;

fn start(address: SocketAddr) -> Terminal {
    let binary = env!("CARGO_BIN_EXE_primed");
    let command = format!("stty cols 120 rows 30; exec {binary} top --connect {address} --interval 100ms");
    Terminal::start(&command, &[])
}

/// Waits for the end; the terminal is as it was before.
fn ends_well(mut top: Terminal) -> bool {
    top.until("\u{1b}[?1049l");
    top.end().success()
}

#[test]
fn a_job_is_seen_and_cancelled_and_q_restores_the_terminal() {
    let daemon = support::daemon();
    let mut client = support::Client::connect(&daemon);
    let mut top = start(daemon.addresses()[0]);
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
    assert!(ends_well(top));
}

#[test]
fn a_daemon_that_comes_back_is_shown_again() {
    let daemon = support::daemon();
    let address = daemon.addresses()[0];
    let mut top = start(address);
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
    assert!(ends_well(top));
}

#[test]
fn a_signal_restores_the_terminal() {
    let daemon = support::daemon();
    let binary = env!("CARGO_BIN_EXE_primed");
    let command = format!("{binary} top --connect {}", daemon.addresses()[0]);
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::INT] {
        let (mut top, id) = Terminal::start_to_kill(&command, &[]);
        top.until("quit");
        kill_process(id, signal).expect("it lives");
        top.until("\u{1b}[?1049l");
        top.until("\nisig icanon iexten echo ");
    }
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
