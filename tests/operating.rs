//! The commands beside `ask`: `jobs watch result cancel submit info`, against a daemon in this process.

mod support;

use serde_json::Value;
use std::process::{Command, Output};

fn primed(daemon: &primed::Handle, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().expect("there is a subcommand");
    Command::new(env!("CARGO_BIN_EXE_primed"))
        .args([command, "--connect", &daemon.addresses()[0].to_string()])
        .args(rest)
        .output()
        .expect("the binary was built")
}

/// Standard output, standard error, exit status.
fn run(daemon: &primed::Handle, arguments: &[&str]) -> (String, String, Option<i32>) {
    let Output { status, stdout, stderr } = primed(daemon, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    (text(stdout), text(stderr), status.code())
}

fn json(daemon: &primed::Handle, arguments: &[&str]) -> Vec<Value> {
    let (out, errors, _) = run(daemon, arguments);
    assert_eq!(errors, "", "{arguments:?}");
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    out.lines().map(object).collect()
}

#[test]
fn a_job_is_submitted_listed_and_cancelled_by_its_number() {
    let daemon = support::daemon();
    assert_eq!(run(&daemon, &["jobs"]), (String::new(), String::new(), Some(0)));
    assert_eq!(
        run(&daemon, &["submit", "pi", "1e20", "priority=low"]),
        ("1\n".into(), String::new(), Some(0))
    );
    let (list, _, status) = run(&daemon, &["jobs"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!((lines.len(), status), (2, Some(0)), "{list}");
    assert!(lines[0].starts_with("     ID STATE"), "{list}");
    assert!(
        lines[1].starts_with("      1 ") && lines[1].ends_with(" pi 100000000000000000000"),
        "{list}"
    );
    let listed = json(&daemon, &["jobs", "--json"]);
    assert_eq!(listed[0]["id"], "1");
    assert_eq!(listed[0]["priority"], "low");
    assert_eq!(listed[0]["request"], "pi 100000000000000000000");
    assert_eq!(
        run(&daemon, &["cancel", "1"]),
        ("1 cancelled\n".into(), String::new(), Some(0))
    );
    let (out, errors, status) = run(&daemon, &["result", "1"]);
    assert_eq!((out.as_str(), status), ("", Some(1)));
    assert!(errors.starts_with("cancelled: "), "{errors}");
    assert_eq!(json(&daemon, &["jobs", "--json"])[0]["state"], "cancelled");
}

#[test]
fn an_argument_with_a_line_feed_is_no_second_request() {
    let daemon = support::daemon();
    for command in [&["ask"][..], &["submit"], &["submit", "--json"]] {
        let (out, errors, status) = run(&daemon, &[command, &["pi 5\nsubmit nth 7"]].concat());
        assert_eq!((out.as_str(), status), ("", Some(1)), "{command:?}");
        assert!(errors.starts_with("primed: a request is one line"), "{errors}");
    }
    assert_eq!(run(&daemon, &["jobs"]).0, "");
}

#[test]
fn several_jobs_are_cancelled_at_once() {
    let daemon = support::daemon();
    for n in ["1e20", "1e21", "1e22"] {
        run(&daemon, &["submit", "pi", n]);
    }
    assert_eq!(json(&daemon, &["cancel", "--json", "1", "job=2"])[0]["cancelled"], "2");
    assert_eq!(run(&daemon, &["cancel", "all"]).0, "1 cancelled\n");
    run(&daemon, &["submit", "pi", "1e23"]);
    assert_eq!(run(&daemon, &["cancel", "owner=127.0.0.1"]).0, "1 cancelled\n");
}

#[test]
fn watch_and_result_give_the_answer_of_a_job() {
    let daemon = support::daemon();
    assert_eq!(json(&daemon, &["submit", "--json", "pi", "1e9"])[0]["job"], "1");
    for command in ["watch", "result"] {
        assert_eq!(
            run(&daemon, &[command, "1"]),
            ("50847534\n".into(), String::new(), Some(0))
        );
        assert_eq!(run(&daemon, &[command, "job=1"]).0, "50847534\n");
        let said = json(&daemon, &[command, "--json", "1"]);
        assert_eq!(said.last().expect("it has an answer")["value"], "50847534");
    }
}

#[test]
fn an_error_has_the_status_and_the_form_that_ask_gives_it() {
    let daemon = support::daemon();
    for command in ["watch", "result", "cancel"] {
        let (out, errors, status) = run(&daemon, &[command, "7"]);
        assert_eq!((out.as_str(), status), ("", Some(1)));
        assert!(errors.starts_with("no-job: "), "{errors}");
        assert_eq!(json(&daemon, &[command, "--json", "7"])[0]["error"], "no-job");
        for job in ["seven", "+7", "job=+7", "@a"] {
            let (_, errors, status) = run(&daemon, &[command, job]);
            assert_eq!(status, Some(2));
            assert!(errors.contains("write the number of a job"), "{errors}");
        }
    }
    let (_, errors, status) = run(&daemon, &["submit", "nht", "5"]);
    assert_eq!(status, Some(1));
    assert!(errors.starts_with("unknown-verb: "), "{errors}");
    // What is not one request is not sent as two.
    assert_eq!(run(&daemon, &["cancel", "1\ninfo"]).2, Some(2));
}

#[test]
fn info_is_rows_or_one_object() {
    let daemon = support::daemon();
    let (rows, _, status) = run(&daemon, &["info"]);
    assert_eq!(status, Some(0));
    assert!(rows.contains("\nworkers=2\n"), "{rows}");
    let objects = json(&daemon, &["info", "--json"]);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["workers"], "2");
}

#[test]
fn without_a_daemon_each_says_how_to_start_one() {
    let daemon = support::daemon();
    let address = daemon.addresses()[0].to_string();
    daemon.stop(std::time::Duration::ZERO);
    for arguments in [
        &["jobs"][..],
        &["info"],
        &["watch", "1"],
        &["result", "1"],
        &["cancel", "1"],
        &["submit", "nth", "5"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_primed"))
            .args(arguments)
            .args(["--connect", &address])
            .output()
            .expect("the binary was built");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said.contains("start one with 'primed serve'"), "{said}");
    }
}
