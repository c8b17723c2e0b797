//! Tests of the framing, the encoding and the handshake commands of RESP.

use super::*;
use crate::proto::codec::ServerCodec;
use crate::proto::reply::{Final, Interim};
use crate::proto::{Tag, Value};
use bytes::BytesMut;
use proptest::prelude::*;
use std::time::Duration;

const LIMIT: usize = 40;

/// The frames of these pieces: the words of requests, and replies as they are encoded.
fn said(pieces: &[&[u8]]) -> Vec<String> {
    let mut codec = ServerCodec::new(LIMIT).with_id(7);
    let (mut held, mut said) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        held.extend_from_slice(piece);
        loop {
            let (used, frame) = codec.next(&held, index + 1 == pieces.len());
            let is_over = frame.is_none();
            match frame {
                None => {}
                Some(Frame::Request(request)) => {
                    let ReplyFormat { dialect, tag, .. } = request.format;
                    let (verb, args, options) = (request.verb, request.args, request.options);
                    said.push(format!("{dialect:?} {tag:?} {verb} {args:?} {options:?}"));
                }
                Some(Frame::Answer {
                    format, reply, is_last, ..
                }) => {
                    said.push(encoded(&format, None, &reply));
                    if is_last {
                        said.push("closed".into());
                        return said;
                    }
                }
            }
            held.drain(..used);
            if is_over {
                break;
            }
        }
        // The words, 64 headers, and the CR of a line.
        assert!(held.len() <= LIMIT + 65 * 24, "{} bytes held", held.len());
    }
    said
}

fn encoded(format: &ReplyFormat, rows: Option<&[String]>, reply: &Final) -> String {
    let mut out = BytesMut::new();
    format.dialect.write_final(&mut out, format, rows, reply);
    String::from_utf8(out.to_vec()).expect("replies are ASCII")
}

/// An array of bulk strings.
fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    bytes.into_bytes()
}

fn asked(words: &[&str]) -> String {
    let said = said(&[&request(words)]);
    assert_eq!(said.len(), 1, "{said:?}");
    said[0].clone()
}

#[test]
fn a_request_is_the_same_words_as_in_a_line() {
    let line = |text: &[u8]| said(&[text]).join("").replace("lines", "RESP2");
    for words in [
        &["pi", "1e12", "deadline=5s"][..],
        &["100000"],
        &["@a", "factor", "360"],
        &["jobs"],
    ] {
        assert_eq!(asked(words), line(format!("{}\n", words.join(" ")).as_bytes()));
    }
}

#[test]
fn both_dialects_are_spoken_on_one_connection() {
    let bytes = [
        b"\r\npi 5\n".to_vec(),
        request(&["pi", "5"]),
        b"*0\r\npi 5\r\n".to_vec(),
    ]
    .concat();
    let said = said(&[&bytes]);
    assert_eq!(said.len(), 3);
    assert_eq!(said[0], said[2]);
    assert_eq!(said[0].replace("lines", "RESP2"), said[1]);
}

#[test]
fn what_breaks_the_form_is_answered_once_and_closes() {
    for bytes in [
        &b"*x\r\n"[..],
        b"*01\r\n",
        b"*+1\r\n",
        b"*-0\r\n",
        b"*-\r\n",
        b"*-01\r\n",
        b"*--1\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$04\r\nping\r\n",
        b"*1\r\n$00\r\n\r\n",
        b"*1\r\n$+4\r\nping\r\n",
        b"*1\r\n$-0\r\n",
        b"*1\r\n$-10\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$2000000000\r\n",
        b"*\r\n",
        b"*1 \r\n",
        b"*1\rx",
        b"*9223372036854775808\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n:5\r\n",
        b"*1\r\n*1\r\n$4\r\nping\r\n",
        b"*1\r\nping\r\n",
        b"*1\r\n$4\r\npingXX",
        b"*100\r\nping\r\n",
    ] {
        let said = said(&[bytes, b"*1\r\n$4\r\nPING\r\n"]);
        let last: Vec<&str> = said.iter().rev().take(2).map(String::as_str).collect();
        assert_eq!(last[0], "closed", "{bytes:?} gave {said:?}");
        assert!(
            last[1].starts_with("-SYNTAX protocol error: "),
            "{bytes:?} gave {said:?}"
        );
    }
}

#[test]
fn what_asks_for_too_much_is_skipped_and_the_next_request_is_read() {
    let ping = request(&["PING"]);
    let long = "x".repeat(LIMIT + 1);
    let many = vec!["x"; 1000];
    for (words, code) in [
        (&["pi", &long][..], "LINE-TOO-LONG"),
        (&["pi", &long[..LIMIT], "5"], "LINE-TOO-LONG"),
        (&[&long, &long, "pi"], "LINE-TOO-LONG"),
        (&many, "SYNTAX"),
        (&["pi", "1 0"], "SYNTAX"),
        (&["pi", "1\n0"], "SYNTAX"),
        (&["pi", "\0"], "SYNTAX"),
        (&["pi", ""], "SYNTAX"),
        (&["pi", "é"], "SYNTAX"),
        (&["@/", "pi", "5"], "SYNTAX"),
    ] {
        let said = said(&[&request(words), &ping]);
        assert_eq!(said.len(), 2, "{words:?} gave {said:?}");
        assert!(said[0].starts_with(&format!("-{code} ")), "{words:?} gave {said:?}");
        assert_eq!(said[1], "+PONG\r\n");
    }
}

#[test]
fn an_array_without_words_is_passed_over_whatever_its_length_says() {
    for head in ["*0\r\n", "*-1\r\n", "*-10\r\n", "*-1\r\n*0\r\n*-2147483648\r\n"] {
        assert_eq!(said(&[head.as_bytes(), &request(&["PING"])]), ["+PONG\r\n"], "{head:?}");
    }
}

#[test]
fn a_request_that_stalls_gets_an_error_in_its_dialect() {
    let stalled = |input: &[u8]| {
        let mut codec = ServerCodec::new(LIMIT);
        let (mut used, mut left) = (0, input);
        while let (more @ 1.., _) = codec.next(left, false) {
            used += more;
            left = &input[used..];
        }
        let frame = codec.stalled(left, Duration::from_secs(30))?;
        let Frame::Answer {
            format,
            reply,
            is_last: true,
            logs_out: false,
        } = frame
        else {
            panic!("{frame:?}");
        };
        Some(encoded(&format, None, &reply))
    };
    let text = "the rest of the request did not arrive within 30s; closing the connection";
    let long = [b"@a ".as_slice(), &[b'x'; 90]].concat();
    for input in [b"pi 1".as_slice(), b"@", b"pi 5\n\nx", &long] {
        assert_eq!(stalled(input), Some(format!("ERR truncated :{text}\n")), "{input:?}");
    }
    assert_eq!(stalled(b"@a pi 1"), Some(format!("@a ERR truncated :{text}\n")));
    for input in [b"*".as_slice(), b"*2\r\n$3\r\nnth\r\n", b"*2\r\n$1000\r\nx"] {
        assert_eq!(stalled(input), Some(format!("-TRUNCATED {text}\r\n")), "{input:?}");
    }
    for input in [b"".as_slice(), b"pi 5\n", b"*1\r\n$4\r\nPING\r\n", b"\n"] {
        assert_eq!(stalled(input), None, "{input:?}");
    }
}

#[test]
fn half_a_gigabyte_is_refused_when_it_is_announced_and_skipped_as_it_comes() {
    let mut codec = ServerCodec::new(LIMIT).with_id(7);
    let (used, frame) = codec.next(b"*2\r\n$2\r\npi\r\n$536870912\r\n", false);
    assert_eq!(used, 24);
    assert!(matches!(frame, Some(Frame::Answer { is_last: false, .. })));
    assert!(codec.is_skipping());
    let piece = [b'x'; 65_536];
    for _ in 0..(512 << 20) / piece.len() {
        assert_eq!(codec.next(&piece, false), (piece.len(), None));
    }
    assert_eq!(codec.next(b"\r", false), (1, None));
    assert_eq!(codec.next(b"\n", false), (1, None));
    assert!(!codec.is_skipping());
}

#[test]
fn input_that_ends_within_a_request_is_truncated() {
    let whole = request(&["pi", "5"]);
    for cut in 1..whole.len() {
        let said = said(&[&whole[..cut]]);
        assert_eq!(said, ["-TRUNCATED the input ended within a request\r\n"], "{cut}");
    }
}

#[test]
fn values_are_encoded_as_documented() {
    let encoded = |resp3, rows: Option<&[&str]>, reply: Result<Value, Failure>| {
        let dialect: &'static dyn Dialect = if resp3 { &Resp3 } else { &Resp2 };
        let format = ReplyFormat {
            dialect,
            ..ReplyFormat::default()
        };
        let rows: Option<Vec<String>> = rows.map(|rows| rows.iter().map(|row| (*row).to_owned()).collect());
        super::tests::encoded(&format, rows.as_deref(), &Final::Reply(reply))
    };
    let both = |rows: Option<&[&str]>, value: Value| {
        let two = encoded(false, rows, Ok(value.clone()));
        assert_eq!(two, encoded(true, rows, Ok(value)));
        two
    };
    assert_eq!(both(None, Value::Nothing), "+OK\r\n");
    assert_eq!(both(None, Value::from(7919)), ":7919\r\n");
    assert_eq!(both(None, Value::from(i64::MAX as u64)), ":9223372036854775807\r\n");
    assert_eq!(both(None, Value::Text("job=7".into())), "$5\r\njob=7\r\n");
    assert_eq!(both(None, Value::Text("\n\u{e9}".into())), "$2\r\n??\r\n");
    assert_eq!(both(None, Value::Numbers(vec![])), "*0\r\n");
    let facts = vec![("jobs".into(), "3".to_owned()), ("workers".into(), "2".to_owned())];
    assert_eq!(both(None, Value::Facts(facts)), "$19\r\njobs:3\r\nworkers:2\r\n\r\n");
    assert_eq!(both(Some(&[]), Value::from(0)), "*0\r\n");
    assert_eq!(both(Some(&[]), Value::Nothing), "*0\r\n");
    // As 'divisors' answers that only counts them.
    assert_eq!(both(Some(&[]), Value::from(1 << 25)), ":33554432\r\n");
    assert_eq!(both(Some(&[]), Value::Text("none".into())), "$4\r\nnone\r\n");
    assert_eq!(
        both(Some(&["101 103", "107"]), Value::from(3)),
        "*3\r\n:101\r\n:103\r\n:107\r\n"
    );
    assert_eq!(
        both(Some(&["nth N", "", "7x"]), Value::Nothing),
        "*3\r\n$5\r\nnth N\r\n$0\r\n\r\n$2\r\n7x\r\n"
    );
    // A row with a number that is none here is text, and loses nothing.
    let wide = both(Some(&["5 99999999999999999999", "+5"]), Value::Nothing);
    assert_eq!(wide, "*2\r\n$22\r\n5 99999999999999999999\r\n$2\r\n+5\r\n");
    let last = || Ok(Value::from(1));
    assert_eq!(
        encoded(true, Some(&["18446744073709551557"]), last()),
        "*1\r\n(18446744073709551557\r\n"
    );
    assert_eq!(
        encoded(false, Some(&["18446744073709551557"]), last()),
        "*1\r\n$20\r\n18446744073709551557\r\n"
    );
    let large = || Ok(Value::from(1 << 63));
    assert_eq!(encoded(false, None, large()), "$19\r\n9223372036854775808\r\n");
    assert_eq!(encoded(true, None, large()), "(9223372036854775808\r\n");
    let factors = || Ok(Value::Numbers(vec![3u8.into(), u64::MAX.into()]));
    assert_eq!(
        encoded(false, None, factors()),
        "*2\r\n:3\r\n$20\r\n18446744073709551615\r\n"
    );
    assert_eq!(encoded(true, None, factors()), "*2\r\n:3\r\n(18446744073709551615\r\n");
    assert_eq!(encoded(false, None, Ok(Value::Truth(true))), ":1\r\n");
    assert_eq!(encoded(true, None, Ok(Value::Truth(true))), "#t\r\n");
    assert_eq!(encoded(true, None, Ok(Value::Truth(false))), "#f\r\n");
    let failure = || Err(Failure::new(Code::UnknownVerb, "no verb 'x'\r\n+OK"));
    assert_eq!(
        encoded(true, Some(&["x"]), failure()),
        "-UNKNOWN-VERB no verb 'x'??+OK\r\n"
    );
}

#[test]
fn progress_is_a_push_in_resp3_and_not_sent_in_resp2() {
    let progress = Interim::Progress {
        done: 0.4139,
        eta: Some(Duration::from_secs(18)),
        stage: None,
    };
    let mut out = BytesMut::new();
    Resp2.write_interim(&mut out, None, &progress);
    assert!(out.is_empty());
    Resp3.write_interim(&mut out, None, &progress);
    Resp3.write_interim(
        &mut out,
        Tag::parse("a").as_ref(),
        &Interim::Stalled(Duration::from_secs(9)),
    );
    assert_eq!(
        out,
        ">3\r\n$8\r\nprogress\r\n_\r\n$16\r\npct=41.3 eta=18s\r\n>3\r\n$8\r\nprogress\r\n$1\r\na\r\n$10\r\nstalled=9s\r\n"
    );
}

#[test]
fn the_commands_that_clients_send_on_connecting_are_answered() {
    for (words, reply) in [
        (&["PING"][..], "+PONG\r\n"),
        (&["ping", "a b\n"], "$4\r\na b\n\r\n"),
        (&["ECHO", ""], "$0\r\n\r\n"),
        (&["SELECT", "0"], "+OK\r\n"),
        (&["SELECT", "1"], "-BAD-ARG select: there is one database, 0\r\n"),
        (&["CLIENT", "ID"], ":7\r\n"),
        (&["CLIENT", "GETNAME"], "$-1\r\n"),
        (&["CLIENT", "SETNAME", "web-1"], "+OK\r\n"),
        (&["client", "name=web-1"], "+OK\r\n"),
        (&["CLIENT", "SETINFO", "LIB-NAME", "redis-py"], "+OK\r\n"),
        (&["CONFIG", "GET", "save"], "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        (
            &["CONFIG", "GET", "appendonly"],
            "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
        ),
        (&["COMMAND"], "*0\r\n"),
        (&["COMMAND", "DOCS"], "*0\r\n"),
        (&["COMMAND", "COUNT"], ":0\r\n"),
        (&["INFO", "REPLICATION"], "$13\r\nrole:master\r\n\r\n"),
        (&["RESET"], "+RESET\r\n"),
        (
            &["HELLO", "4"],
            "-NOPROTO unsupported protocol version; RESP2 and RESP3 are supported\r\n",
        ),
    ] {
        assert_eq!(asked(words), reply, "{words:?}");
    }
    for word in ["MULTI", "EXEC", "DISCARD"] {
        assert!(
            asked(&[word]).starts_with("-DENIED there are no transactions"),
            "{word}"
        );
    }
    for words in [&["INFO"][..], &["INFO", "server"]] {
        assert!(asked(words).starts_with("RESP2 None INFO "), "{words:?}");
    }
    assert_eq!(
        asked(&["CLIENT", "LIST"]),
        "RESP clients None clients Few(InPlace([\"\", \"\"], 0)) Few(InPlace([(\"\", \"\")], 0))"
    );
    assert!(asked(&["CLIENT", "KILL", "ID", "7"]).starts_with("RESP2 None kill "));
    assert!(asked(&["CLIENT", "UNPAUSE"]).starts_with("-BAD-ARG"));
    assert!(asked(&["CLIENT", "SETNAME", "a b"]).starts_with("-BAD-ARG"));
    let named = said(&[&request(&["client", "NAME=web-1"]), &request(&["CLIENT", "GETNAME"])]);
    assert_eq!(named, ["+OK\r\n", "$5\r\nweb-1\r\n"]);
    assert!(asked(&["client", "name=a b"]).starts_with("-BAD-ARG"));
    for words in [
        &["CONFIG", "GET", "maxmemory"][..],
        &["CONFIG", "SET", "save", "1"],
        &["config", "get", "save", "log"],
    ] {
        assert!(asked(words).starts_with("RESP pairs None "), "{words:?}");
    }
    assert!(asked(&["monitor"]).starts_with("RESP feed None "));
    assert!(asked(&["@a", "monitor"]).starts_with("RESP2 "));
    assert_eq!(said(&[&request(&["QUIT"])]), ["+OK\r\n", "closed"]);
}

#[test]
fn hello_3_changes_the_dialect_and_reset_changes_it_back() {
    let bytes = [
        request(&["HELLO", "3", "SETNAME", "me"]),
        request(&["nth", "5"]),
        request(&["CLIENT", "GETNAME"]),
        request(&["HELLO", "3", "AUTH", "a", "b"]),
        request(&["COMMAND", "DOCS"]),
        request(&["RESET"]),
        request(&["CLIENT", "GETNAME"]),
        request(&["HELLO"]),
        b"nth 5\n".to_vec(),
    ]
    .concat();
    let said = said(&[&bytes]);
    assert!(
        said[0].starts_with("%7\r\n$6\r\nserver\r\n$6\r\nprimed\r\n"),
        "{}",
        said[0]
    );
    assert!(
        said[0].contains("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:7\r\n"),
        "{}",
        said[0]
    );
    assert!(said[1].starts_with("RESP3 None nth"));
    assert_eq!(said[2], "$2\r\nme\r\n");
    assert!(said[3].starts_with("RESP3 None auth"), "{}", said[3]);
    assert_eq!(said[4], "%0\r\n");
    assert_eq!(said[5], "+RESET\r\n");
    assert_eq!(said[6], "$-1\r\n");
    assert!(said[7].starts_with("*14\r\n"), "{}", said[7]);
    assert!(said[8].starts_with("lines None nth"));
}

#[test]
fn a_verb_and_a_number_are_found_as_the_request_that_they_are() {
    let verbs = [
        "isprime", "nth", "monitor", "ISPRIME", "@a", "", "ping", "echo", "info", "exec", "multi", "discard", "hello",
        "reset", "client", "select", "config", "command", "quit",
    ];
    let mut found = 0;
    for greeting in [request(&[]), request(&["HELLO", "3"])] {
        for (verb, digits) in verbs.iter().flat_map(|verb| {
            [
                "0",
                "007",
                "3",
                "1234567890123456789",
                "1e6",
                "-1",
                "",
                "12345678901234567890",
            ]
            .map(|digits| (verb, digits))
        }) {
            let mut codec = ServerCodec::new(LIMIT);
            codec.next(&greeting, false);
            let input = request(&[verb, digits]);
            let Some(number) = codec.number_request(&input) else {
                continue;
            };
            let (used, Some(Frame::Request(request))) = codec.next(&input, false) else {
                panic!("{verb} {digits} is no request");
            };
            assert_eq!(
                (request.verb.as_bytes(), request.format, used),
                (number.verb, number.format, number.used)
            );
            assert_eq!(
                request.args.iter().map(|arg| arg.parse()).collect::<Vec<_>>(),
                [Ok(number.number)]
            );
            found += 1;
        }
    }
    assert_eq!(found, 2 * 3 * 4, "three verbs and four numbers");
    let mut codec = ServerCodec::new(LIMIT);
    let (_, refused) = codec.next(b"*2\r\n$4\r\nnext\r\n$99\r\n", false);
    assert!(refused.is_some() && codec.is_skipping());
    assert_eq!(codec.number_request(&request(&["nth", "5"])), None, "it is skipped");
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_frames(
        parts in proptest::collection::vec(prop_oneof![
            Just(request(&["nth", "5"])),
            Just(request(&["HELLO", "3"])),
            Just(request(&["pi", "x y"])),
            Just(request(&["pi", &"7".repeat(50)])),
            Just(request(&["a"; 70])),
            Just(b"*0\r\n".to_vec()),
            Just(b"pi 5\r\n\n".to_vec()),
            Just([b'x'; 90].to_vec()),
            Just(b"\n".to_vec()),
            proptest::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'1'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..8),
        ], 0..6),
        cuts in proptest::collection::vec(0usize..400, 0..8),
    ) {
        let input = parts.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&input[from..cut]);
            from = cut;
        }
        pieces.push(&input[from..]);
        prop_assert_eq!(said(&pieces), said(&[&input]));
    }
}

#[test]
fn a_greeting_whose_login_is_refused_greets_nobody() {
    let mut codec = ServerCodec::new(99);
    let is_request = |codec: &mut ServerCodec, words: &[&str]| {
        let input = request(words);
        matches!(codec.next(&input, false).1, Some(Frame::Request(_)))
    };
    assert!(!is_request(&mut codec, &["HELLO", "3", "AUTH", "ann", "two words"]));
    assert!(is_request(&mut codec, &["AUTH", "ann", "secret"]));
    assert!(codec.end_login(true).is_none(), "that was no HELLO");
    assert!(is_request(&mut codec, &["HELLO", "3", "AUTH", "ann", "secret"]));
    assert!(codec.end_login(true).is_some());
}
