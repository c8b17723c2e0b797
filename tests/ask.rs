//! `primed ask` against a daemon, and against servers that misbehave: what is not answered is never taken for an
//! answer.

mod support;

use primed::{Daemon, Limits};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

/// Asks with these arguments and this standard input: standard output, standard error, exit status.
fn ask(address: SocketAddr, arguments: &[&str], input: &str) -> (String, String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_primed"))
        .args(["ask", "--connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    // With a question among its arguments it does not read.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    (text(stdout), text(stderr), status.code())
}

/// A server that reads a number of lines, then sends this and closes.
fn server(lines: usize, says: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound");
    let serve = move |mut stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        for _ in 0..lines {
            reader.read_line(&mut String::new())?;
        }
        stream.write_all(says.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        std::io::copy(&mut reader, &mut std::io::sink())
    };
    std::thread::spawn(move || listener.accept().map(|(stream, _)| serve(stream)));
    address
}

/// A server that answers each line at once, by all that it has read.
fn answering(says: impl Fn(&[String]) -> String + Send + 'static) -> SocketAddr {
    answering_until(usize::MAX, says)
}

/// The same, and it closes after this number of lines.
fn answering_until(most: usize, says: impl Fn(&[String]) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound");
    let serve = move |mut stream: TcpStream| {
        let mut seen = Vec::new();
        for line in BufReader::new(stream.try_clone()?).lines().take(most) {
            seen.push(line?);
            stream.write_all(says(&seen).as_bytes())?;
        }
        stream.shutdown(Shutdown::Write)
    };
    std::thread::spawn(move || listener.accept().map(|(stream, _)| serve(stream)));
    address
}

#[test]
fn a_password_file_in_the_environment_may_stay_set_without_a_user() {
    let daemon = support::daemon();
    let output = Command::new(env!("CARGO_BIN_EXE_primed"))
        .args(["ask", "--connect", &daemon.addresses()[0].to_string(), "nth", "5"])
        .env("PRIMED_PASSWORD_FILE", "/nowhere")
        .output()
        .expect("the binary was built");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "11\n");
}

#[test]
fn answers_go_to_standard_output_and_errors_to_standard_error() {
    let daemon = support::daemon();
    let address = daemon.addresses()[0];
    assert_eq!(ask(address, &["nth", "5"], ""), ("11\n".into(), String::new(), Some(0)));
    let input = "nth 5\n# a comment\n\nnth 0\n@a pi 100\nnth 7";
    let (answers, errors, status) = ask(address, &[], input);
    assert_eq!(answers, "11\n@a 25\n17\n", "the last line needs no line feed");
    assert!(errors.starts_with("line 4: bad-arg: nth: "), "{errors}");
    assert_eq!(status, Some(1));
    let (answers, errors, status) = ask(address, &["--json"], "nth 5\n@a pi 100\nnth 0\n");
    assert!(
        answers.starts_with(concat!(
            "{\"line\":\"1\",\"value\":\"11\"}\n{\"line\":\"2\",\"tag\":\"a\",\"value\":\"25\"}\n",
            "{\"error\":\"bad-arg\",\"line\":\"3\",\"text\":"
        )),
        "{answers}"
    );
    assert_eq!((errors.as_str(), status), ("", Some(1)));
}

#[test]
fn a_question_that_is_none_and_an_input_that_cannot_be_read_are_errors() {
    let daemon = support::daemon();
    let address = daemon.addresses()[0];
    for nothing in ["", " ", "# nothing"] {
        let (answers, errors, status) = ask(address, &[nothing], "");
        assert!(errors.contains("there is no question"), "{errors}");
        assert_eq!((answers.as_str(), status), ("", Some(1)), "{nothing:?}");
    }
    let directory = std::fs::File::open("/").expect("it is there");
    let output = Command::new(env!("CARGO_BIN_EXE_primed"))
        .args(["ask", "--connect", &address.to_string()])
        .stdin(directory)
        .output()
        .expect("the binary was built");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("cannot read standard input"), "{errors}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_daemon_that_closes_before_it_has_answered_is_an_error() {
    let (answers, errors, status) = ask(server(1, ""), &["nth", "5"], "");
    assert_eq!((answers.as_str(), status), ("", Some(1)));
    assert_eq!(
        errors,
        "primed: the daemon closed the connection before it answered; ask again\n"
    );
    let (answers, errors, status) = ask(server(3, "OK 11\n= 2\n"), &[], "nth 5\nnth 6\n# no question\nnth 7\n");
    assert_eq!((answers.as_str(), status), ("11\n2\n", Some(1)));
    let expected =
        "primed: the daemon closed the connection with 2 questions unanswered, from line 2 on; ask them again\n";
    assert_eq!(errors, expected);
}

#[test]
fn a_line_that_finds_the_daemon_busy_is_sent_again_and_answers_keep_the_order_of_the_lines() {
    let busy = "ERR busy :overload; retry-ms=1\n";
    // The lines after it are answered before it is sent again.
    let says = move |seen: &[String]| match seen.last().map(String::as_str) {
        Some("nth 1") if seen.len() == 1 => busy.to_owned(),
        Some("nth 1") => "OK 2\n".to_owned(),
        Some("primes 0 5") => "= 2 3\nOK 2\n".to_owned(),
        Some("@a pi 5") => "@a OK 3\n".to_owned(),
        _ => "OK 5\n".to_owned(),
    };
    let input = "nth 1\nprimes 0 5\n@a pi 5\nnth 3\n";
    let (answers, errors, status) = ask(answering(says), &[], input);
    let untagged: String = answers
        .lines()
        .filter(|line| !line.starts_with('@'))
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!((untagged.as_str(), errors.as_str(), status), ("2 2 3 2 5", "", Some(0)));
    assert!(answers.contains("@a 3\n"), "{answers}");
}

#[test]
fn a_line_that_stays_refused_is_named() {
    let says = |_: &[String]| "ERR busy :overload; retry-ms=1\n".to_owned();
    let input = "# a comment\nnth 1 deadline=20ms\n";
    let (answers, errors, status) = ask(answering(says), &[], input);
    assert_eq!((answers.as_str(), status), ("", Some(1)));
    assert_eq!(errors, "line 2: busy: overload; retry-ms=1\n");
    let (answers, _, _) = ask(answering(says), &["--json"], input);
    assert_eq!(
        answers,
        "{\"error\":\"busy\",\"line\":\"2\",\"text\":\"overload; retry-ms=1\"}\n"
    );
}

#[test]
fn each_line_is_sent_again_at_its_own_time() {
    // The first would be sent again in a minute. Once the second is answered, the daemon closes.
    let says = |seen: &[String]| match (seen.len(), seen.last().map(String::as_str)) {
        (_, Some("@a nth 1")) => "@a ERR busy :overload; retry-ms=59000\n".to_owned(),
        (2, _) => "@b ERR busy :overload; retry-ms=1\n".to_owned(),
        _ => "@b OK 3\n".to_owned(),
    };
    let (answers, _, _) = ask(answering_until(3, says), &[], "@a nth 1\n@b pi 5\n");
    assert_eq!(answers, "@b 3\n");
}

#[test]
fn a_line_that_begins_as_resp_does_is_refused() {
    let daemon = support::daemon();
    let (answers, errors, status) = ask(daemon.addresses()[0], &[], "nth 5\n*0\n*5\nnth 6\n");
    assert_eq!((answers.as_str(), status), ("11\n13\n", Some(1)));
    let refused: Vec<_> = errors
        .lines()
        .map(|error| error.split_once(": ").map(|(line, _)| line))
        .collect();
    assert_eq!(refused, [Some("line 2"), Some("line 3")], "{errors}");
}

#[test]
fn a_long_input_is_answered_line_by_line() {
    let daemon = support::daemon();
    let input: String = (1..=20_000).map(|n| format!("isprime {n}\n")).collect();
    let (answers, errors, status) = ask(daemon.addresses()[0], &[], &input);
    assert_eq!((errors.as_str(), status), ("", Some(0)));
    let primes: Vec<_> = answers
        .lines()
        .zip(1..)
        .filter(|(answer, _)| *answer == "yes")
        .collect();
    assert_eq!((answers.lines().count(), primes.len()), (20_000, 2_262));
    assert_eq!(primes.last(), Some(&("yes", 19_997)));
}

#[test]
fn half_a_line_is_no_answer() {
    let (answers, errors, status) = ask(server(1, "OK 3"), &["pi", "1e12"], "");
    assert_eq!((answers.as_str(), status), ("", Some(1)));
    assert!(errors.contains("before it answered"), "{errors}");
}

#[test]
fn what_is_no_prime_daemon_is_reported_with_what_it_says() {
    let (answers, errors, status) = ask(server(1, "HTTP/1.1 400 Bad Request\n"), &["nth", "5"], "");
    assert_eq!((answers.as_str(), status), ("", Some(1)));
    assert!(
        errors.contains("is not a prime daemon") && errors.contains("'HTTP/1.1 400 Bad Request'"),
        "{errors}"
    );
}

#[test]
fn a_server_cannot_drive_the_terminal() {
    let (answers, errors, status) = ask(server(1, "OK 13\x1b]0;x\x07\n"), &["nth", "6"], "");
    assert_eq!(
        (answers.as_str(), status),
        ("13\\u{1b}]0;x\\u{7}\n", Some(0)),
        "{errors}"
    );
    let (answers, errors, status) = ask(
        server(1, "ERR busy\x1b[2J :later\r\x1b[1A\u{9b}2J\n"),
        &["nth", "6"],
        "",
    );
    assert_eq!((answers.as_str(), status), ("", Some(1)));
    assert_eq!(errors, "busy\\u{1b}[2J: later\\r\\u{1b}[1A\\u{9b}2J\n");
    let (_, errors, _) = ask(server(1, "\x1b[2J\n"), &["nth", "6"], "");
    assert!(errors.ends_with("it sent '\\u{1b}[2J'\n"), "{errors}");
}

#[test]
fn a_full_daemon_is_heard_also_by_who_asks_one_question() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let daemon = support::start(Daemon::new().limits(limits));
    let mut first = support::Client::connect(&daemon);
    assert_eq!(first.ask("ping"), "OK pong");
    for _ in 0..10 {
        let (answers, errors, status) = ask(daemon.addresses()[0], &["nth", "5"], "");
        assert_eq!((answers.as_str(), status), ("", Some(1)));
        assert!(errors.starts_with("busy: too many connections"), "{errors}");
    }
}
