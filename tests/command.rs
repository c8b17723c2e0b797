//! The command for a new user: every mistake is one line with a hint.

use std::net::TcpListener;
use std::process::{Command, Output};

fn primed(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command.args(arguments);
    command.output().expect("the binary was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistake_is_one_line_that_says_what_to_do_next() {
    for (arguments, expected) in [
        (&["serv"][..], "did you mean 'serve'?"),
        (&["serve", "--wrkers", "3"], "did you mean '--workers'?"),
        (&["serve", "--nothing-like-it"], "try 'primed serve --help'"),
        (&["nothing-like-it"], "try 'primed --help'"),
        (&["serve", "--workers", "0"], "write a whole number from 1 to 1024"),
        (
            &["serve", "--io-threads", "5000"],
            "write a whole number from 1 to 1024",
        ),
        (&["bench", "--connections", "x"], "write a whole number from 1"),
        (&["bench", "--requests", "0"], "0 asks nothing"),
        (&["bench", "--mix", "# nothing"], "a request is missing"),
        (&["serve", "--max-line", "10"], "write a whole number from 64"),
        (&["serve", "--idle-timeout", "0s"], "write a time above 0, such as 30s"),
        (&["serve", "--drain-limit", "soon"], "write a time, such as 30s or 5min"),
        (
            &["serve", "--log", "debg"],
            "write off, error, warn, info, debug or trace",
        ),
        (&["serve", "--log", "info,primed==x"], "like primed=trace"),
        (&["serve", "--listen", "7919"], "like 127.0.0.1:7919"),
        (&["ask", "--connect", "localhost"], "like 127.0.0.1:7919"),
    ] {
        let output = primed(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_negative_number_is_a_wrong_argument_of_the_verb_and_not_a_flag() {
    let output = primed(&["eval", "factor", "-5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).starts_with("bad-arg: factor: N is '-5'"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_port_in_use_is_told_with_its_cause_and_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = primed(&["serve", "--log", "off", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.starts_with(&format!("primed: cannot listen on {address}: ")),
        "{said}"
    );
    assert!(
        said.trim_end().ends_with("choose another address with --listen"),
        "{said}"
    );
}

#[test]
fn help_fits_the_width_it_is_given() {
    for subcommand in ["", "serve", "ask", "eval", "demo", "bench"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let arguments = subcommand.split_whitespace().chain(["--help"]);
        let output = command.args(arguments).env("COLUMNS", "80").output();
        let help = output.expect("the binary was built").stdout;
        for line in String::from_utf8_lossy(&help).lines() {
            assert!(line.len() <= 80, "{} characters: {line}", line.len());
        }
    }
}
