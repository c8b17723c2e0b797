//! What the clients of Redis speak, on the port of the lines.

use crate::support::{self, Client, daemon, exchange, start};
use primed::{Daemon, Limits};

/// Requests as arrays of bulk strings, a line each.
fn resp(lines: &str) -> String {
    let request = |line: &str| support::resp(&line.split(' ').collect::<Vec<_>>());
    lines.lines().map(request).collect()
}

#[test]
fn a_verb_and_a_number_are_answered_like_any_other_way_to_write_them() {
    let daemon = daemon();
    for greeting in ["", "HELLO 3\n"] {
        let short: String = [
            "isprime", "next", "prev", "nth", "pi", "factor", "divisors", "moebius", "echo", "select", "nothing",
        ]
        .into_iter()
        .flat_map(|verb| ["0", "1", "2", "007", "91", "82026", "1299709"].map(|number| format!("{verb} {number}\n")))
        .collect();
        let other = short
            .replace("prime", "PRIME")
            .replace("n", "N")
            .replace("p", "P")
            .replace("f", "F")
            .replace("div", "DIV");
        let reply = |lines: &str| {
            let text = exchange(&daemon, resp(&format!("{greeting}{lines}")));
            // The connection has another number each time, and what is no verb is quoted.
            text.split_once("id\r\n")
                .map_or(text.clone(), |(_, rest)| {
                    rest.split_once("\r\n").expect("it goes on").1.to_owned()
                })
                .to_lowercase()
        };
        assert_eq!(reply(&short), reply(&other));
    }
}

#[test]
fn every_verb_answers_in_resp2_and_resp3() {
    let daemon = daemon();
    for (request, resp2, resp3) in [
        ("100000", ":1299709\r\n", ":1299709\r\n"),
        ("NTH 1e6", ":15485863\r\n", ":15485863\r\n"),
        ("pi 1e9 deadline=60s", ":50847534\r\n", ":50847534\r\n"),
        ("count 100 110", ":4\r\n", ":4\r\n"),
        ("isprime 2^127-1", ":1\r\n", "#t\r\n"),
        ("isprime 91", ":0\r\n", "#f\r\n"),
        ("divisors 97#", ":33554432\r\n", ":33554432\r\n"),
        (
            "prev 2^64",
            "$20\r\n18446744073709551557\r\n",
            "(18446744073709551557\r\n",
        ),
        (
            "factor 360",
            "*6\r\n:2\r\n:2\r\n:2\r\n:3\r\n:3\r\n:5\r\n",
            "*6\r\n:2\r\n:2\r\n:2\r\n:3\r\n:3\r\n:5\r\n",
        ),
        ("factor 1", "*0\r\n", "*0\r\n"),
        (
            "primes 100 110",
            "*4\r\n:101\r\n:103\r\n:107\r\n:109\r\n",
            "*4\r\n:101\r\n:103\r\n:107\r\n:109\r\n",
        ),
        ("primes 90 97", "*0\r\n", "*0\r\n"),
        ("jobs", "*0\r\n", "*0\r\n"),
        ("PING", "+PONG\r\n", "+PONG\r\n"),
        (
            "nht 5",
            "-UNKNOWN-VERB no verb 'nht'; did you mean 'nth'?\r\n",
            "-UNKNOWN-VERB no verb 'nht'; did you mean 'nth'?\r\n",
        ),
        (
            "GET /x",
            "-UNKNOWN-VERB no verb 'GET'; no keys are stored here; 'help' lists the verbs\r\n",
            "-UNKNOWN-VERB no verb 'GET'; no keys are stored here; 'help' lists the verbs\r\n",
        ),
        (
            "cancel @absent",
            "-NO-JOB no request @absent is under way here\r\n",
            "-NO-JOB no request @absent is under way here\r\n",
        ),
        ("QUIT", "+OK\r\n", "+OK\r\n"),
    ] {
        assert_eq!(exchange(&daemon, resp(request)), resp2, "{request}");
        let said = exchange(&daemon, resp(&format!("HELLO 3\n{request}")));
        assert!(
            said.starts_with("%7\r\n") && said.ends_with(&format!("*0\r\n{resp3}")),
            "{request}: {said}"
        );
    }
    let help = exchange(&daemon, resp("help nth"));
    assert!(help.starts_with("*6\r\n$"), "{help}");
    let info = exchange(&daemon, resp("info"));
    assert!(
        info.starts_with('$')
            && info.contains("\r\nversion:")
            && info.contains("\r\nconnected_clients:1\r\n")
            && info.contains("\r\nworkers:2\r\n"),
        "{info}"
    );
}

#[test]
fn lines_and_resp_share_a_connection_and_keep_their_order() {
    let daemon = daemon();
    let requests = [
        &resp("next 10000000000\nPING"),
        "pi 5\n",
        &resp("next 20000000000\n5"),
        "5\n",
    ]
    .concat();
    assert_eq!(
        exchange(&daemon, requests),
        ":10000000019\r\n+PONG\r\nOK 3\n:20000000089\r\n:11\r\n11\n"
    );
}

#[test]
fn a_tag_names_a_request_of_resp_and_does_not_let_its_reply_overtake() {
    let said = exchange(&daemon(), resp("@long pi 1e18\n@long ping\nnth 5\ncancel @long"));
    let replies: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(
        replies,
        [
            "-CANCELLED cancelled as asked",
            "-DUP-TAG a request with this tag is under way; use another",
            ":11",
            "+OK"
        ]
    );
}

#[test]
fn progress_is_pushed_in_resp3() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send(resp("HELLO 3\n@a pi 1e18 progress=100ms"));
    let pushed = loop {
        let line = client.line().expect("it goes on");
        if line.starts_with('>') {
            break [(); 6].map(|()| client.line().expect("a push has three words"));
        }
    };
    assert_eq!(pushed[..4].join("\n"), "$8\r\nprogress\r\n$1\r\na\r");
    assert!(pushed[5].starts_with("pct="), "{pushed:?}");
    client.send(resp("cancel @a"));
    assert!(client.finish().ends_with("-CANCELLED cancelled as asked\r\n+OK\r\n"));
}

#[test]
fn more_rows_than_an_array_may_have_are_refused_and_the_session_goes_on() {
    let daemon = daemon();
    let said = exchange(&daemon, resp("primes 0 1e12\nnth 5\nprimes 0 10000\nnth 6"));
    let (refused, rest) = said.split_once("\r\n").expect("there are replies");
    assert!(
        refused.starts_with("-TOO-BIG these rows take more than 65536 bytes"),
        "{refused}"
    );
    assert!(rest.starts_with(":11\r\n*1229\r\n:2\r\n:3\r\n:5\r\n"), "{rest}");
    assert!(rest.ends_with(":9973\r\n:13\r\n"), "{rest}");
}

#[test]
fn what_breaks_resp_is_answered_once_and_ends_the_connection() {
    let daemon = daemon();
    for rubbish in [
        "*x\r\n",
        "*1\r\n$-1\r\n",
        "*01\r\n",
        "*1\r\n$04\r\nping\r\n",
        "*1\r\n$2000000000\r\n",
        "*1\r\n*1\r\n",
        "*1\r\nping\r\n",
        "*1\r\n$4\r\npingping",
    ] {
        let mut client = Client::connect(&daemon);
        client.send(resp("next 10000000000") + rubbish + &resp("PING"));
        assert_eq!(client.line().as_deref(), Some(":10000000019\r"), "{rubbish:?}");
        let reply = client.line().expect("it is answered");
        assert!(
            reply.starts_with("-SYNTAX protocol error: "),
            "{rubbish:?} gave {reply}"
        );
        assert_eq!(client.line(), None, "{rubbish:?}");
    }
}

#[test]
fn an_array_of_a_negative_length_is_passed_over() {
    let said = exchange(&daemon(), "*-1\r\n*-10\r\n".to_owned() + &resp("PING"));
    assert_eq!(said, "+PONG\r\n");
}

#[test]
fn a_bulk_string_beyond_the_limit_is_refused_when_it_is_announced_and_skipped() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("*2\r\n$2\r\npi\r\n$536870912\r\n");
    let reply = client.line().expect("it is answered before the bytes come");
    assert_eq!(
        reply,
        "-LINE-TOO-LONG the request is longer than 16384 bytes and was skipped\r"
    );
    let mut client = Client::connect(&daemon);
    client.send("*3\r\n$2\r\npi\r\n$8388608\r\n");
    client.send(vec![b'*'; 8 << 20]);
    client.send(["\r\n$1\r\n*\r\n", &resp("nth 5")].concat());
    client.line();
    assert_eq!(client.line().as_deref(), Some(":11\r"));
}

#[test]
fn lines_within_a_bulk_string_that_is_skipped_are_not_answered() {
    let daemon = daemon();
    let known = "nth 5\n".repeat(4);
    assert_eq!(exchange(&daemon, &known), "OK 11\n".repeat(4));
    let bulk = "nth 5\n".repeat(5_000);
    let requests = format!("*2\r\n$2\r\npi\r\n${}\r\n{bulk}\r\nnth 5\n", bulk.len());
    let said = exchange(&daemon, requests);
    let (refused, rest) = said.split_once("\r\n").expect("it is refused");
    assert!(refused.starts_with("-LINE-TOO-LONG"), "{refused}");
    assert_eq!(rest, "OK 11\n");
}

#[test]
fn an_array_of_a_million_words_is_one_mistake() {
    let words = "$1\r\na\r\n".repeat(1_000_000);
    let said = exchange(&daemon(), format!("*1000000\r\n{words}") + &resp("nth 5"));
    assert_eq!(said, "-SYNTAX a request has at most 64 words\r\n:11\r\n");
}

#[test]
fn a_pipeline_of_a_hundred_thousand_is_answered_in_order() {
    let daemon = daemon();
    let requests: String = (1..=100_000).map(|n| format!("nth {}\n", 1 + n % 25)).collect();
    let lines = exchange(&daemon, &requests);
    let expected = lines.replace("OK ", ":").replace('\n', "\r\n");
    let mut client = Client::connect(&daemon);
    let mut other = client.stream().try_clone().expect("a socket can be shared");
    let pipeline = resp(&requests);
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut other, pipeline.as_bytes()));
    for (index, reply) in expected.lines().enumerate() {
        assert_eq!(
            client.line().as_deref(),
            Some(format!("{reply}\r").as_str()),
            "reply {index}"
        );
    }
    sending.join().expect("it does not panic").expect("the daemon reads");
}

#[test]
fn a_request_in_any_two_pieces_is_the_same_request() {
    let daemon = daemon();
    let bytes = resp("isprime 97\npi 10");
    let mut client = Client::connect(&daemon);
    for cut in 1..bytes.len() {
        client.send(&bytes[..cut]);
        assert_eq!(Client::connect(&daemon).ask("ping"), "OK pong");
        client.send(&bytes[cut..]);
        assert_eq!(client.line().as_deref(), Some(":1\r"), "cut at {cut}");
        assert_eq!(client.line().as_deref(), Some(":4\r"), "cut at {cut}");
    }
}

#[test]
fn a_request_that_is_not_completed_is_not_waited_for_for_ever() {
    let limits = Limits {
        stall_timeout: std::time::Duration::from_millis(100),
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    for (beginning, first) in [
        ("*2\r\n$3\r\nnth\r\n", "-TRUNCATED "),
        ("*2\r\n$536870912\r\nx", "-LINE-TOO-LONG "),
        ("*", "-TRUNCATED "),
    ] {
        let mut client = Client::connect(&daemon);
        client.send(beginning);
        let lines: Vec<String> = std::iter::from_fn(|| client.line_if_any()).collect();
        assert!(
            lines.first().is_some_and(|line| line.starts_with(first)),
            "{beginning:?} gave {lines:?}"
        );
    }
}
