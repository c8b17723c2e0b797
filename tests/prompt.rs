//! The prompt of `primed ask` at a terminal, which `script` of util-linux provides.

mod support;

use rustix::process::{Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use support::terminal::Terminal;

const CTRL_C: &str = "\x03";

fn start(address: SocketAddr) -> Terminal {
    let command = format!("exec {} ask --connect {address}", env!("CARGO_BIN_EXE_primed"));
    let home = std::env::temp_dir().join(format!("primed-prompt-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a temporary folder can be made");
    let home = home.to_str().expect("the path is text");
    let mut prompt = Terminal::start(&command, &[("HOME", home), ("NO_COLOR", "1")]);
    prompt.until("primed> ");
    prompt
}

#[test]
fn a_question_with_a_tag_is_not_waited_for() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("@big pi 1e18\r");
    prompt.until("primed> ");
    prompt.press("nth 7\r");
    prompt.until("\n17\r\n");
    prompt.until("primed> ");
    prompt.press("cancel @big\r");
    prompt.until("@big cancelled: ");
    prompt.press("isprime 2^61-1\r");
    prompt.until("\nyes\r\n");
}

#[test]
fn lines_typed_meanwhile_are_neither_shown_in_the_progress_nor_lost_by_ctrl_c() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("pi 1e18\r");
    prompt.until(" %");
    prompt.press("nth 8\rnth 9\r");
    let progress = prompt.until(" %");
    assert!(!progress.contains("nth"), "{}", progress.escape_debug());
    prompt.press(CTRL_C);
    let shown = prompt.until("cancelled: ");
    assert!(!shown.contains("nth"), "{}", shown.escape_debug());
    prompt.until("\n19\r\n");
    prompt.until("\n23\r\n");
}

/// A server that answers nothing; what it is asked.
fn silent_server() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound");
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(&stream).lines();
                lines.map_while(Result::ok).all(|line| sender.send(line).is_ok())
            });
        }
    });
    (address, asked)
}

/// A server that takes in a line and closes the connection without a reply; what it is asked.
fn server_that_closes() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound");
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let line = BufReader::new(&stream).lines().next();
            if let Some(Ok(line)) = line
                && sender.send(line).is_err()
            {
                return;
            }
        }
    });
    (address, asked)
}

#[test]
fn a_submit_that_was_sent_is_not_sent_again_and_a_question_that_was_not_is() {
    let (address, asked) = server_that_closes();
    let mut prompt = start(address);
    prompt.press("submit pi 1e18\r");
    prompt.until("the daemon closed the connection before it answered");
    prompt.until("primed> ");
    // The connection has ended before it is asked.
    prompt.press("pi 100\r");
    prompt.until("the daemon closed the connection before it answered");
    prompt.until("primed> ");
    prompt.press("bye\r");
    assert_eq!(prompt.end().code(), Some(0));
    let asked: Vec<String> = asked.try_iter().collect();
    assert_eq!(
        asked,
        ["@-1 submit pi 1e18 progress=500ms", "@-1 pi 100 progress=500ms"],
        "each is asked once"
    );
}

#[test]
fn ctrl_c_gives_the_prompt_back_also_if_the_daemon_does_not_answer() {
    let (address, asked) = silent_server();
    let heard = || asked.recv_timeout(support::PATIENCE).expect("it is asked");
    let mut prompt = start(address);
    // A second Ctrl-C, and then none.
    for presses in [2, 1] {
        prompt.press("pi 100\r");
        assert_eq!(heard(), "@-1 pi 100 progress=500ms");
        prompt.press(CTRL_C);
        assert_eq!(heard(), "@-stop1 cancel @-1");
        if presses == 2 {
            prompt.press(CTRL_C);
        }
        prompt.until("the daemon does not answer: the connection was closed; the next question opens another");
        prompt.until("primed> ");
    }
    prompt.press("bye\r");
    assert_eq!(prompt.end().code(), Some(0));
}

#[test]
fn the_echo_is_back_when_a_signal_ends_the_prompt() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let (address, asked) = silent_server();
        let command = format!("{} ask --connect {address}", env!("CARGO_BIN_EXE_primed"));
        let home = std::env::temp_dir().join(format!("primed-signal-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a temporary folder can be made");
        let variables = [("HOME", home.to_str().expect("the path is text")), ("NO_COLOR", "1")];
        let (mut prompt, id) = Terminal::start_to_kill(&command, &variables);
        prompt.until("primed> ");
        prompt.press("pi 100\r");
        asked.recv_timeout(support::PATIENCE).expect("it is asked");
        kill_process(id, signal).expect("it lives");
        prompt.until("\nisig icanon iexten echo ");
        let history = std::fs::read_to_string(home.join(".primed_history")).expect("there is a history");
        assert!(history.contains("pi 100"), "{history}");
        std::fs::remove_dir_all(home).expect("it is there");
    }
}

#[test]
fn output_that_cannot_be_written_ends_the_prompt() {
    let daemon = support::daemon();
    let ask = format!(
        "{} ask --connect {}",
        env!("CARGO_BIN_EXE_primed"),
        daemon.addresses()[0]
    );
    let variables = [("HOME", "/nowhere"), ("NO_COLOR", "1")];
    let mut full = Terminal::start(&format!("{ask} > /dev/full; echo status=$?"), &variables);
    let shown = full.until("status=1");
    assert!(shown.starts_with("primed: No space left"), "{shown}");
    let command = format!("{{ {ask}; echo status=$? >&2; }} | true");
    let mut closed = Terminal::start(&command, &variables);
    closed.press("nth 5\r");
    let shown = closed.until("status=0");
    assert!(!shown.contains("panicked") && !shown.contains("pipe"), "{shown}");
}

#[test]
fn ctrl_c_stops_watching_a_job_and_not_the_job() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("submit pi 1e18\r");
    prompt.until("job=1");
    prompt.press("watch 1\r");
    prompt.until(" %");
    prompt.press(CTRL_C);
    prompt.until("no longer watching job 1, which goes on; 'cancel 1' stops it");
    prompt.press("jobs\r");
    prompt.until("id=1 state=running");
    prompt.press("cancel 1\r");
}

#[test]
fn tab_lists_options_and_help_explains_the_prompt() {
    let daemon = support::daemon();
    let mut prompt = start(daemon.addresses()[0]);
    prompt.press("isp\t97 \t\t");
    prompt.until("deadline=");
    prompt.until("progress=");
    prompt.press("\rhelp\r");
    let help = prompt.until("the error codes.");
    assert!(help.contains("nth N") && !help.contains("OK"), "{help}");
    prompt.press("bye\r");
    assert_eq!(prompt.end().code(), Some(0));
}
