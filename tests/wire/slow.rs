//! `slowlog` over real sockets.

use crate::support::{Client, daemon, exchange};

/// The value of `key=` in a row.
fn field<'a>(row: &'a str, key: &str) -> &'a str {
    let fields = row
        .split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    fields.unwrap_or_else(|| panic!("no {key} in {row}"))
}

#[test]
fn slowlog_names_what_took_long_and_why() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("nth 7"), "OK 17");
    let reply = client.ask("pi 1e18 deadline=60ms");
    assert!(reply.starts_with("ERR deadline :"), "{reply}");
    let text = exchange(&daemon, "slowlog\n");
    let (row, end) = text.split_once('\n').expect("a row, and the end");
    assert_eq!(end, "OK\n");
    assert!(row.ends_with(" question=pi 1000000000000000000"), "{row}");
    assert_eq!(
        (field(row, "outcome"), field(row, "request"), field(row, "job")),
        ("deadline", "1", "-")
    );
    let ms = |key| {
        field(row, key)
            .trim_end_matches("ms")
            .parse::<f64>()
            .expect("milliseconds")
    };
    assert!(ms("wall") >= 60.0 && ms("queue") <= ms("wall"), "{row}");
}

#[test]
fn slowlog_gives_as_many_rows_as_asked_the_longest_first_and_refuses_what_is_no_number() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for ms in [50, 1000, 400] {
        let reply = client.ask(&format!("pi {} deadline={ms}ms", 1_000_000_000_000_000_000u64 + ms));
        assert!(reply.starts_with("ERR deadline :"), "{reply}");
    }
    let text = exchange(&daemon, "slowlog 2\n");
    let asked: Vec<&str> = text
        .lines()
        .filter_map(|row| row.split_once("question=").map(|(_, asked)| asked))
        .collect();
    assert_eq!(asked, ["pi 1000000000000001000", "pi 1000000000000000400"]);
    assert_eq!(exchange(&daemon, "slowlog 0\n"), "OK\n");
    assert!(exchange(&daemon, "slowlog x\n").starts_with("ERR bad-arg :"));
    let resp = exchange(&daemon, "*2\r\n$7\r\nSLOWLOG\r\n$1\r\n1\r\n");
    assert!(resp.starts_with("*1\r\n$"), "{resp}");
}

#[test]
fn a_submitted_job_is_in_slowlog_by_its_id() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit pi 1e18"), "OK job=1");
    let watched = client.ask("result 1 deadline=50ms");
    assert!(watched.starts_with("ERR deadline :"), "{watched}");
    assert_eq!(client.ask("cancel 1"), "OK");
    let text = exchange(&daemon, "slowlog\n");
    let of_job = |outcome: &str| {
        text.lines()
            .any(|row| row.contains(&format!(" job=1 outcome={outcome} ")))
    };
    assert!(of_job("deadline") && of_job("cancelled"), "{text}");
}
