//! Progress and colours at a terminal, which `script` of util-linux provides, and in a pipe, where there are none.

mod support;

use rustix::process::{Signal, kill_process};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use support::terminal::Terminal;

/// What a terminal shows of a command, with these variables.
fn at_terminal(arguments: &str, variables: &[(&str, &str)]) -> String {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_primed"));
    let output = Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("util-linux is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A question that takes longer than the interval of progress and than a test has: its deadline ends it.
const LONG: &str = "pi 1e22 deadline=3s";

#[test]
fn eval_and_ask_have_a_bar_at_a_terminal() {
    let daemon = support::daemon();
    let ask = format!("ask --connect {} {LONG}", daemon.addresses()[0]);
    for command in [format!("eval {LONG}"), ask] {
        let shown = at_terminal(&command, &[]);
        assert!(shown.contains("] ") && shown.contains(" %"), "{}", shown.escape_debug());
        let last = shown.rsplit(" %").next().unwrap_or_default();
        assert!(last.contains("deadline\u{1b}[0m: "), "{}", shown.escape_debug());
    }
}

#[test]
fn watch_has_a_bar_at_a_terminal() {
    let daemon = support::daemon();
    let mut client = support::Client::connect(&daemon);
    assert_eq!(client.ask("submit pi 1e22 deadline=3s"), "OK job=1");
    let shown = at_terminal(&format!("watch 1 --connect {}", daemon.addresses()[0]), &[]);
    assert!(shown.contains("] ") && shown.contains(" %"), "{}", shown.escape_debug());
}

/// What a terminal shows of a command after this prompt, at which this is typed.
fn typed_at(command: &str, prompt: &[u8], keys: &[u8]) -> String {
    let mut script = Command::new("script")
        .args(["-qefc", command, "/dev/null"])
        .env_remove("PRIMED_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux is installed");
    let mut output = script.stdout.take().expect("it is piped");
    let mut shown = Vec::new();
    while !shown.ends_with(prompt) {
        let mut byte = [0];
        output.read_exact(&mut byte).expect("it asks for a password");
        shown.extend(byte);
    }
    let mut input = script.stdin.take().expect("it is piped");
    input.write_all(keys).expect("it is read");
    let mut after = String::new();
    output.read_to_string(&mut after).expect("it ends");
    script.wait().expect("it ends");
    after
}

#[test]
fn the_echo_is_back_after_ctrl_c_at_a_password() {
    let file = std::env::temp_dir().join(format!("primed-echo-{}", std::process::id()));
    // The shell goes on after the interrupt, if it is one.
    let command = format!(
        "trap : INT; {} user add {} ann; stty -a",
        env!("CARGO_BIN_EXE_primed"),
        file.display()
    );
    let after = typed_at(&command, b"new password: ", b"secret\x03");
    assert!(after.contains("cancelled") && after.contains(" echo "), "{after}");
    assert!(!after.contains("secret") && !file.exists(), "{after}");
}

#[test]
fn the_echo_is_back_when_a_signal_ends_a_command_that_asks_for_a_password() {
    let daemon = support::daemon();
    let binary = env!("CARGO_BIN_EXE_primed");
    let ask = format!("{binary} ask --connect {} --user ann nth 5", daemon.addresses()[0]);
    let file = std::env::temp_dir().join(format!("primed-killed-{}", std::process::id()));
    let add = format!("{binary} user add {} ann", file.display());
    for (command, prompt) in [(add, "new password: "), (ask, "password of ann: ")] {
        for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
            let (mut terminal, id) = Terminal::start_to_kill(&command, &[]);
            terminal.until(prompt);
            kill_process(id, signal).expect("it lives");
            terminal.until("\nisig icanon iexten echo ");
        }
    }
    assert!(!file.exists());
}

#[test]
fn a_password_that_is_not_typed_is_not_said_to_have_no_terminal() {
    let daemon = support::daemon();
    let command = format!(
        "{} ask --connect {} --user ann nth 5",
        env!("CARGO_BIN_EXE_primed"),
        daemon.addresses()[0]
    );
    for (keys, said) in [
        (&b"\n"[..], "there is no password: an empty line was typed"),
        (b"\x03", "cancelled"),
    ] {
        let after = typed_at(&command, b"password of ann: ", keys);
        assert!(after.contains(said) && !after.contains("is missing"), "{after}");
    }
}

#[test]
fn no_colour_is_no_colour() {
    let shown = at_terminal(&format!("eval {LONG}"), &[("NO_COLOR", "1")]);
    assert!(shown.contains(" %"), "{}", shown.escape_debug());
    // Only colours end in `m`; the bar still moves the cursor.
    let escapes = shown.split("\u{1b}[").skip(1);
    for escape in escapes {
        let end = escape.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        assert!(!end.starts_with('m'), "{}", shown.escape_debug());
    }
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let shown = at_terminal(&format!("eval {LONG}"), &[("TERM", "dumb")]);
    assert!(!shown.contains('\u{1b}'), "{}", shown.escape_debug());
    assert!(
        shown.contains(" %") && shown.contains("deadline: "),
        "{}",
        shown.escape_debug()
    );
}

#[test]
fn a_pipe_gets_neither_bars_nor_colours_unless_they_are_wanted() {
    let errors = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let output = command.args(arguments).output().expect("the binary was built");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let plain = errors(&["eval", "pi 1e22", "deadline=1200ms"]);
    assert!(plain.starts_with("deadline: "), "{plain}");
    assert!(errors(&["--color", "always", "eval", "nth 0"]).starts_with("\u{1b}[31mbad-arg\u{1b}[0m: "));
    assert!(errors(&["eval", "--color=never", "nth 0"]).starts_with("bad-arg: "));
    let shown = at_terminal("eval --color never nth 0", &[]);
    assert!(shown.starts_with("bad-arg: "), "{}", shown.escape_debug());
}
