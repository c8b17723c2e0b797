//! Bad input: a clear error, exactly one final line, and the session goes on.

use crate::support::{Client, daemon, exchange, start};
use primed::{Daemon, Limits};

#[test]
fn every_kind_of_mistake_gets_its_code_and_the_session_goes_on() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for (request, code) in [
        ("nht 5", "unknown-verb"),
        ("nth", "bad-arg"),
        ("nth x", "bad-arg"),
        ("nth 0", "bad-arg"),
        ("nth -1", "bad-arg"),
        ("nth 1.5", "bad-arg"),
        ("nth 1 2 3", "bad-arg"),
        ("pi 5 colour=red", "bad-arg"),
        ("pi 5 deadline=never", "bad-arg"),
        ("count 5 4", "bad-arg"),
        ("count 4 5 method=magic", "bad-arg"),
        ("prev 2", "bad-arg"),
        ("factor 0", "bad-arg"),
        ("cancel me", "bad-arg"),
        ("cancel @absent", "no-job"),
        ("help nht", "unknown-verb"),
        ("nth 1e25", "too-big"),
        ("pi 10^25+1", "too-big"),
        // More memory than the daemon may take.
        ("pi 10^25", "too-big"),
        ("factor 10^10000", "too-big"),
        ("isprime 10^10000", "too-big"),
        ("isprime 9^9^9", "bad-arg"),
        ("@ pi 5", "syntax"),
        ("@lonely", "syntax"),
        ("@way-too-long-a-tag-for-anybody-to-want ping", "syntax"),
        ("ping \u{1}", "syntax"),
        ("5 6 7", "unknown-verb"),
    ] {
        let reply = client.ask(request);
        let reply = reply.strip_prefix("@lonely ").unwrap_or(&reply);
        assert!(
            reply.starts_with(&format!("ERR {code} :")),
            "{request:?} gave {reply:?}"
        );
    }
    assert_eq!(client.ask("ping"), "OK pong");
}

#[test]
fn an_unknown_verb_is_answered_with_the_nearest_one() {
    let reply = Client::connect(&daemon()).ask("nht 5");
    assert_eq!(reply, "ERR unknown-verb :no verb 'nht'; did you mean 'nth'?");
}

#[test]
fn what_is_skipped_asks_nothing_while_there_is_no_room_for_more() {
    let daemon = start(Daemon::new().limits(Limits {
        max_in_flight: 1,
        max_line_bytes: 64,
        ..Limits::default()
    }));
    let mut client = Client::connect(&daemon);
    client.send(format!("@a pi 1e19 deadline=500ms\n{}", "x".repeat(200)));
    let reply = client.line().expect("the limit is passed");
    assert!(reply.starts_with("ERR line-too-long "), "{reply}");
    client.send(" junk junk\n# a comment\n\nnth 7\n");
    let replies = client.finish();
    let replies: Vec<&str> = replies.lines().collect();
    assert!(
        replies[0].starts_with("@a ERR deadline ") && replies[1..] == ["OK 17"],
        "{replies:?}"
    );

    let bulk = format!("{}\r\n", "\nnth 5\n".repeat(30));
    let text = exchange(
        &daemon,
        format!(
            "*3\r\n$2\r\npi\r\n$4\r\n1e19\r\n$14\r\ndeadline=500ms\r\n*1\r\n${}\r\n{bulk}*2\r\n$3\r\nnth\r\n$1\r\n7\r\n",
            bulk.len() - 2
        ),
    );
    let replies: Vec<&str> = text.lines().collect();
    assert!(replies.len() == 3 && replies[2] == ":17", "{replies:?}");
}

#[test]
fn a_line_that_is_too_long_is_skipped_whole() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send(vec![b'7'; 1 << 20]);
    client.send("\nping\n");
    assert!(
        client
            .line()
            .is_some_and(|line| line.starts_with("ERR line-too-long :"))
    );
    assert_eq!(client.line().as_deref(), Some("OK pong"));
}

#[test]
fn bytes_that_are_no_text_are_not_skipped_without_end() {
    let daemon = daemon();
    for beginning in ["", "$"] {
        let mut client = Client::connect(&daemon);
        client.send(beginning);
        client.send_if_possible(vec![0; 1 << 20]);
        let line = client.line().expect("it is answered, though there is no line feed");
        assert!(
            line.starts_with("ERR syntax :16384 bytes without a line feed"),
            "{line}"
        );
        assert_eq!(client.line(), None);
    }
}

#[test]
fn the_error_to_a_line_with_a_tag_bears_the_tag() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    let (long, wordy) = ("7".repeat(20_000), "x ".repeat(65));
    let long_option = format!("pi 5 x={long}");
    for (request, code) in [
        ("pi \u{e9}", "syntax"),
        ("pi \0", "syntax"),
        ("\u{1b}[A", "syntax"),
        ("", "syntax"),
        (&wordy, "syntax"),
        (&long, "line-too-long"),
        (&long_option, "line-too-long"),
        ("nht 5", "unknown-verb"),
        ("@b ping", "unknown-verb"),
        ("# ping", "unknown-verb"),
        ("*1", "unknown-verb"),
        ("GET / HTTP/1.1", "unknown-verb"),
        ("Host: localhost", "unknown-verb"),
        ("nth x", "bad-arg"),
        ("pi 5 =", "bad-arg"),
        ("pi 5 deadline= deadline=", "bad-arg"),
        ("pi 5 progress=never", "bad-arg"),
        ("nth 1e25", "too-big"),
        ("cancel @b", "no-job"),
        ("result 7", "no-job"),
    ] {
        let reply = client.ask(&format!("@a {request}"));
        let shown = &request[..request.len().min(20)];
        assert!(
            reply.starts_with(&format!("@a ERR {code} :")),
            "{shown:?} gave {reply:?}"
        );
    }
    client.send(b"@a pi \xff\n");
    assert!(client.line().is_some_and(|line| line.starts_with("@a ERR syntax :")));
    assert_eq!(client.ask("@a ping"), "@a OK pong");
}

#[test]
fn a_tag_that_is_under_way_is_refused_and_the_first_keeps_its_reply() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("@a pi 1e18\n@a ping\ncancel @a\n");
    assert!(client.line().is_some_and(|line| line.starts_with("@a ERR dup-tag :")));
    assert_eq!(client.line().as_deref(), Some("OK"));
    assert!(client.line().is_some_and(|line| line.starts_with("@a ERR cancelled :")));
}

#[test]
fn a_last_line_without_line_feed_is_truncated_unless_it_is_a_bare_number() {
    let daemon = daemon();
    assert!(exchange(&daemon, "pi 10").starts_with("ERR truncated :"));
    assert!(exchange(&daemon, "@t pi 10").starts_with("@t ERR truncated :"));
    assert_eq!(exchange(&daemon, "100000"), "1299709\n");
    assert_eq!(exchange(&daemon, "  # nothing"), "");
}

#[test]
fn a_web_page_cannot_drive_the_daemon() {
    let daemon = daemon();
    let text = exchange(&daemon, "POST / HTTP/1.1\r\nHost: localhost:7919\r\n\r\nping\n");
    assert!(
        text.starts_with("ERR denied :") && text.contains("primed serve --http") && text.lines().count() == 1,
        "{text:?}"
    );
    let text = exchange(&daemon, "Host: localhost:7919\r\nping\n");
    assert!(
        text.starts_with("ERR denied :") && text.lines().count() == 1,
        "{text:?}"
    );
}

#[test]
fn a_client_of_tls_reads_at_once_that_this_is_plain_text() {
    let daemon = daemon();
    // The head of a ClientHello (RFC 8446, sections 4.1.2 and 5.1). It has no line feed, or has one anywhere.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00";
    for feed in 2..=hello.len() {
        let mut bytes = hello.to_vec();
        if let Some(byte) = bytes.get_mut(feed) {
            *byte = b'\n';
        }
        for cut in [1, 2, bytes.len()] {
            let mut client = Client::connect(&daemon);
            client.send(&bytes[..cut]);
            client.send_if_possible(&bytes[cut..]);
            let line = client.line().expect("it is answered, though the input has not ended");
            assert!(line.starts_with("ERR denied :") && line.contains("TLS"), "{line}");
            assert_eq!(client.line(), None);
        }
    }
}

#[test]
fn every_byte_there_is_gets_an_error_and_not_a_crash() {
    let daemon = daemon();
    let mut malformed = Vec::new();
    for byte in 0..=255u8 {
        malformed.extend_from_slice(&[b'x', byte, byte, b'\n']);
    }
    let text = exchange(&daemon, &malformed);
    // The line feed itself makes two more lines, of which one is blank.
    assert_eq!(text.lines().filter(|line| line.starts_with("ERR ")).count(), 256);
    assert_eq!(text.lines().count(), 256);
    assert_eq!(exchange(&daemon, "ping\n"), "OK pong\n");
}
