//! The prompt of `primed ask` at a terminal, which `script` of util-linux provides.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No reply takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
const CTRL_C: &str = "\x03";

struct Prompt {
    program: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What was printed and not yet looked for.
    seen: String,
}

impl Prompt {
    fn start(address: SocketAddr) -> Self {
        let command = format!("{} ask --connect {address}", env!("CARGO_BIN_EXE_primed"));
        let home = std::env::temp_dir().join(format!("primed-prompt-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a temporary folder can be made");
        let mut program = Command::new("script")
            .args(["-qfec", &command, "/dev/null"])
            .env("HOME", home)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
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
        let mut prompt = Self {
            program,
            keys,
            output,
            seen: String::new(),
        };
        prompt.until("primed> ");
        prompt
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the prompt reads");
    }

    /// Waits for a text on the screen; returns what was printed up to its end.
    fn until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no '{text}' in: {}", self.seen.escape_debug()),
            }
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn a_question_with_a_tag_is_not_waited_for() {
    let daemon = support::daemon();
    let mut prompt = Prompt::start(daemon.addresses()[0]);
    prompt.type_in("@big pi 1e18\r");
    prompt.until("primed> ");
    prompt.type_in("nth 7\r");
    prompt.until("\n17\r\n");
    prompt.until("primed> ");
    prompt.type_in("cancel @big\r");
    prompt.until("@big cancelled: ");
    prompt.type_in("isprime 2^61-1\r");
    prompt.until("\nyes\r\n");
}

#[test]
fn lines_typed_meanwhile_are_neither_shown_in_the_progress_nor_lost_by_ctrl_c() {
    let daemon = support::daemon();
    let mut prompt = Prompt::start(daemon.addresses()[0]);
    prompt.type_in("pi 1e18\r");
    prompt.until(" %");
    prompt.type_in("nth 8\rnth 9\r");
    let progress = prompt.until(" %");
    assert!(!progress.contains("nth"), "{}", progress.escape_debug());
    prompt.type_in(CTRL_C);
    let shown = prompt.until("cancelled: ");
    assert!(!shown.contains("nth"), "{}", shown.escape_debug());
    prompt.until("\n19\r\n");
    prompt.until("\n23\r\n");
}

#[test]
fn ctrl_c_stops_watching_a_job_and_not_the_job() {
    let daemon = support::daemon();
    let mut prompt = Prompt::start(daemon.addresses()[0]);
    prompt.type_in("submit pi 1e18\r");
    prompt.until("job=1");
    prompt.type_in("watch 1\r");
    prompt.until(" %");
    prompt.type_in(CTRL_C);
    prompt.until("no longer watching job 1, which goes on; 'cancel 1' stops it");
    prompt.type_in("jobs\r");
    prompt.until("id=1 state=running");
    prompt.type_in("cancel 1\r");
}

#[test]
fn tab_lists_options_and_help_explains_the_prompt() {
    let daemon = support::daemon();
    let mut prompt = Prompt::start(daemon.addresses()[0]);
    prompt.type_in("isp\t97 \t\t");
    prompt.until("deadline=");
    prompt.until("progress=");
    prompt.type_in("\rhelp\r");
    let help = prompt.until("the error codes.");
    assert!(help.contains("nth N") && !help.contains("OK"), "{help}");
    prompt.type_in("bye\r");
    assert!(prompt.program.wait().expect("it was started here").success());
}
