//! HTTP over real sockets: health, metrics, the JSON interface, and clients that mean no good.

mod support;

use primed::internals::store::{ErrorKind as StoreErrorKind, MemoryStore};
use primed::{Daemon, Handle, Limits};
use serde_json::{Value as Json, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::{Client, PATIENCE, Probe, ROWS_UNREAD, exchange, info, start};

const JSON: &str = "Content-Type: application/json";

fn with_http(daemon: Daemon) -> Handle {
    let any = ([127, 0, 0, 1], 0).into();
    start(daemon.listen(any).http(any, vec!["primed.example".into()]))
}

fn connect(daemon: &Handle) -> TcpStream {
    let stream = TcpStream::connect(daemon.addresses()[1]).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
    stream
}

fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// The status, the head and the body of the reply to these bytes; the daemon closes the connection.
fn send(daemon: &Handle, bytes: &str) -> (u16, String, String) {
    let mut stream = connect(daemon);
    stream.write_all(bytes.as_bytes()).expect("the daemon reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the daemon answers in time");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no reply: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (
        status.unwrap_or_else(|| panic!("no status: {head}")),
        head.to_owned(),
        body.to_owned(),
    )
}

fn get(daemon: &Handle, path: &str) -> (u16, String) {
    let (status, _, body) = send(daemon, &request("GET", path, &[], ""));
    (status, body)
}

fn post(daemon: &Handle, path: &str, body: &Json) -> (u16, Json) {
    let (status, _, body) = send(daemon, &request("POST", path, &[JSON], &body.to_string()));
    (
        status,
        serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")),
    )
}

#[test]
fn questions_are_answered_as_on_the_wire() {
    let daemon = with_http(Daemon::new());
    for (asked, answer) in [
        ("100000", "1299709"),
        ("pi 1e9", "50847534"),
        ("isprime 2^127-1", "yes"),
        ("factor 91", "7 13"),
    ] {
        assert_eq!(
            post(&daemon, "/v1/ask", &json!({"request": asked})),
            (200, json!({"value": answer})),
            "{asked}"
        );
    }
    let rows = post(&daemon, "/v1/ask", &json!({"request": "primes 0 10"}));
    assert_eq!(rows, (200, json!({"rows": ["2 3 5 7"], "value": "4"})));
    let (status, failure) = post(&daemon, "/v1/ask", &json!({"request": "pi 1e18", "deadline": "20ms"}));
    assert_eq!((status, &failure["error"]), (504, &json!("deadline")));
    for wrong in [
        json!({"request": "pj 7"}),
        json!({"request": ""}),
        json!({"request": "nth 7\nnth 8"}),
        json!({"x": 1}),
        json!([]),
    ] {
        assert_eq!(post(&daemon, "/v1/ask", &wrong).0, 400, "{wrong}");
    }
    assert_eq!(post(&daemon, "/v1/ask", &json!({"request": "quit"})).0, 403);
    let (status, failure) = post(&daemon, "/v1/ask", &json!({"request": "GET / HTTP/1.1"}));
    let text = failure["text"].as_str().unwrap_or_default();
    assert!(status == 400 && text.contains("a line of HTTP"), "{failure}");
    let none = post(&daemon, "/v1/ask", &json!({"request": "factor 1"}));
    assert_eq!(none, (200, json!({"value": null})));
    let (status, _) = post(&daemon, "/v1/ask", &json!({"request": "primes 0 1e8"}));
    assert_eq!(status, 422, "rows beyond a megabyte are for a stream");
}

#[test]
fn an_answer_that_was_found_before_is_given_again() {
    let daemon = with_http(Daemon::new());
    let asked = json!({"request": "pi 20000000021"});
    let (first, hits) = (post(&daemon, "/v1/ask", &asked), info(&daemon, "cache_hits_total"));
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(post(&daemon, "/v1/ask", &asked), first);
    assert_eq!(info(&daemon, "cache_hits_total"), hits + 1);
    let (_, job) = post(&daemon, "/v1/jobs", &asked);
    assert_eq!(info(&daemon, "cache_hits_total"), hits + 2);
    let id = job["job"].as_str().expect("it has an ID");
    let (_, shown) = get(&daemon, &format!("/v1/jobs/{id}"));
    assert!(shown.contains("\"state\":\"done\""), "{shown}");
}

#[test]
fn a_json_number_is_what_was_sent_or_refused() {
    let daemon = with_http(Daemon::new());
    let send = |path: &str, body: &str| {
        let (status, _, body) = send(&daemon, &request("POST", path, &[JSON], body));
        (status, serde_json::from_str::<Json>(&body).expect("JSON"))
    };
    assert_eq!(send("/v1/ask", r#"{"request": 4}"#), (200, json!({"value": "7"})));
    for (path, body) in [
        ("/v1/ask", r#"{"request": 0.99999999999999999999}"#),
        ("/v1/ask", r#"{"request": 4.0000000000000000001}"#),
        ("/v1/jobs", r#"{"request": 18446744073709551617}"#),
        ("/v1/jobs", r#"{"request": "pi 1e9", "id": 123456789012345678901}"#),
    ] {
        let (status, failure) = send(path, body);
        assert_eq!((status, &failure["error"]), (400, &json!("bad-arg")), "{body}");
        let text = failure["text"].as_str().expect("a text");
        assert!(text.contains("write it as a text"), "{text}");
    }
    let jobs = get(&daemon, "/v1/jobs");
    assert_eq!(jobs, (200, "{\"jobs\":[]}\n".into()), "nothing was submitted");
}

#[test]
fn times_have_the_bounds_and_the_words_of_the_wire() {
    let daemon = with_http(Daemon::new());
    for (field, time, text) in [
        ("deadline", "0s", "deadline may be from 1ms to 1year"),
        ("deadline", "500000y", "deadline may be from 1ms to 1year"),
        ("progress", "99ms", "progress may be from 100ms to 1year"),
        ("progress", "5 x", "progress is '5 x': write it like 500ms, 5s or 2min"),
    ] {
        let (status, failure) = post(&daemon, "/v1/ask", &json!({"request": "nth 7", field: time}));
        assert_eq!(
            (status, &failure["error"], &failure["text"]),
            (400, &json!("bad-arg"), &json!(text))
        );
        if !time.contains(' ') {
            let line = Client::connect(&daemon).ask(&format!("nth 7 {field}={time}"));
            assert!(line.contains(text), "{line}");
        }
    }
    assert_eq!(get(&daemon, "/v1/jobs/1/result?deadline=0s").0, 400);
    for within in ["1ms", "1year"] {
        let asked = json!({"request": "nth 7", "deadline": within, "progress": "100ms"});
        assert_eq!(post(&daemon, "/v1/ask", &asked), (200, json!({"value": "17"})));
    }
}

#[test]
fn what_the_dashboard_asks_is_not_counted() {
    let daemon = with_http(Daemon::new());
    assert_eq!(post(&daemon, "/v1/jobs", &json!({"request": "pi 1e18"})).0, 201);
    let before = info(&daemon, "requests_total");
    let mut shown = Json::Null;
    for _ in 0..5 {
        let (status, body) = get(&daemon, "/v1/info");
        assert_eq!(status, 200, "{body}");
        shown = serde_json::from_str(&body).expect("JSON");
    }
    // The requests by which this is read are.
    assert!(info(&daemon, "requests_total") <= before + 2);
    let lists = &shown["lists"];
    assert_eq!(
        (&lists["jobs"][0]["id"], &lists["nodes"]),
        (&json!("1"), &Json::Null),
        "{lists}"
    );
    assert!(
        lists["clients"][0].as_str().is_some_and(|row| row.starts_with("id=")),
        "{lists}"
    );
}

#[test]
fn a_job_is_submitted_watched_cancelled_and_read() {
    let daemon = with_http(Daemon::new());
    let (status, head, body) = send(
        &daemon,
        &request(
            "POST",
            "/v1/jobs",
            &[JSON],
            r#"{"request":"pi 1e18","id":"mine","priority":"low"}"#,
        ),
    );
    assert_eq!((status, body.as_str()), (201, "{\"job\":\"1\"}\n"));
    let (status, body) = get(&daemon, "/v1/jobs/99");
    assert!(status == 404 && body.contains("there is no job 99"), "{status} {body}");
    assert!(head.contains("\r\nlocation: /v1/jobs/1\r\n"), "{head}");
    let again = json!({"request": "pi 1e18", "id": "mine"});
    assert_eq!(post(&daemon, "/v1/jobs", &again), (201, json!({"job": "1"})));
    let (status, job) = get(&daemon, "/v1/jobs/1");
    let job: Json = serde_json::from_str(&job).expect("JSON");
    assert_eq!(
        (status, &job["request"], &job["priority"]),
        (200, &json!("pi 1000000000000000000"), &json!("low"))
    );
    let (status, _) = get(&daemon, "/v1/jobs/1/result?deadline=20ms");
    assert_eq!(status, 504);
    let mut watcher = connect(&daemon);
    watcher
        .write_all(request("GET", "/v1/jobs/1/events", &[], "").as_bytes())
        .expect("the daemon reads");
    let mut seen = String::new();
    while !seen.contains("event: progress") {
        let mut some = [0; 1024];
        let count = watcher.read(&mut some).expect("progress comes");
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    let (status, _, _) = send(&daemon, &request("DELETE", "/v1/jobs/1", &[], ""));
    assert_eq!(status, 200);
    watcher.read_to_string(&mut seen).expect("the stream ends");
    assert!(
        seen.contains("event: failure\ndata: {\"error\":\"cancelled\""),
        "{seen}"
    );
    assert_eq!(get(&daemon, "/v1/jobs/1/result").0, 409);
    assert_eq!(
        post(&daemon, "/v1/jobs", &json!({"request": "pi 1e9"})),
        (201, json!({"job": "2"}))
    );
    assert_eq!(
        get(&daemon, "/v1/jobs/2/result"),
        (200, "{\"value\":\"50847534\"}\n".into())
    );
    for (path, status) in [
        ("/v1/jobs/9", 404),
        ("/v1/jobs/9/result", 404),
        ("/v1/jobs/all/result", 400),
        ("/v1/jobs/%ff", 400),
        ("/v1/jobs/%ff/events", 400),
        ("/v1/nothing", 404),
    ] {
        let (replied, body) = get(&daemon, path);
        let failure: Json = serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"));
        assert!(
            replied == status && failure["error"].is_string(),
            "{path}: {replied} {body}"
        );
    }
    assert_eq!(
        post(&daemon, "/v1/jobs", &json!({"request": "pi 1e9", "id": "two words"})).0,
        400
    );
    let (_, document) = get(&daemon, "/openapi.json");
    let document: Json = serde_json::from_str(&document).expect("JSON");
    let described = &document["components"]["schemas"]["Job"]["properties"];
    for key in job.as_object().expect("an object").keys() {
        assert!(described[key].is_object(), "{key} is not in the document");
    }
    for path in [
        "/v1/jobs/2/result?dead=1s",
        "/v1/jobs/2/result?progress=1s",
        "/v1/jobs/2/events?x=1",
        "/v1/jobs/2/events?progress=1",
        "/v1/jobs?x=1",
        "/v1/jobs/2?x=1",
        "/v1/jobs/+2",
    ] {
        assert_eq!(get(&daemon, path).0, 400, "{path}");
    }
    let (status, events) = get(&daemon, "/v1/jobs/2/events?deadline=5s&progress=1s");
    assert!(status == 200 && events.contains("50847534"), "{events}");
    assert_eq!(
        post(&daemon, "/v1/ask?deadline=1ms", &json!({"request": "pi 5"})).0,
        400
    );
    assert_eq!(post(&daemon, "/v1/jobs?id=x", &json!({"request": "pi 5"})).0, 400);
    assert_eq!(post(&daemon, "/v1/jobs", &json!({"request": "@a pi 5"})).0, 400);
    for (key, request) in [("deadline", "pi 1e9 Deadline=9s"), ("progress", "pi 1e9 progress=9s")] {
        let (status, reply) = post(&daemon, "/v1/ask", &json!({"request": request, key: "5s"}));
        let text = format!("{key} is given twice, in the request and beside it");
        assert_eq!((status, reply), (400, json!({"error": "bad-arg", "text": text})));
    }
}

#[test]
fn a_stream_sends_progress_as_often_as_its_request_says() {
    let daemon = with_http(Daemon::new());
    let headers = [JSON, "Accept: application/x-ndjson"];
    let streamed = |body: &str| send(&daemon, &request("POST", "/v1/ask", &headers, body)).2;
    let rare = streamed(r#"{"request":"pi 1e22 progress=1h deadline=1500ms"}"#);
    assert!(!rare.contains("progress") && rare.contains("deadline"), "{rare}");
    let usual = streamed(r#"{"request":"pi 1e22 deadline=5s"}"#);
    assert!(usual.contains("progress"), "{usual}");
}

#[test]
fn a_client_that_goes_away_cancels_its_question() {
    let daemon = with_http(Daemon::new());
    let mut stream = connect(&daemon);
    let body = r#"{"request":"pi 1e18"}"#;
    stream
        .write_all(request("POST", "/v1/ask", &[JSON, "Accept: text/event-stream"], body).as_bytes())
        .expect("the daemon reads");
    let mut some = [0; 64];
    assert!(stream.read(&mut some).expect("the head comes") > 0);
    drop(stream);
    support::until("its job is gone", || info(&daemon, "jobs") == 0);
}

#[test]
fn a_client_that_goes_away_with_bytes_unread_cancels_its_question_too() {
    let daemon = with_http(Daemon::new());
    let question = request("POST", "/v1/ask", &[JSON], &json!({"request": "pi 1e18"}).to_string());
    let mut stream = connect(&daemon);
    // The first byte of a next request, which is not read before this one is answered.
    stream
        .write_all(format!("{question}G").as_bytes())
        .expect("the daemon reads");
    support::until("its job is there", || info(&daemon, "jobs") == 1);
    drop(stream);
    support::until("its job is gone", || info(&daemon, "jobs") == 0);
}

/// Reads until the daemon has closed the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_connection_that_is_killed_ends_at_once_whatever_it_does() {
    let daemon = with_http(Daemon::new());
    assert_eq!(post(&daemon, "/v1/jobs", &json!({"request": "pi 1e18"})).0, 201);
    let question = json!({"request": "pi 2e18"}).to_string();
    let mut operator = Client::connect(&daemon);
    for (sent, begins) in [
        (request("POST", "/v1/ask", &[JSON], &question), ""),
        (
            request("POST", "/v1/ask", &[JSON, "Accept: application/x-ndjson"], &question),
            "HTTP/1.1 200 OK",
        ),
        (request("GET", "/v1/jobs/1/events", &[], ""), "HTTP/1.1 200 OK"),
        ("GET /healthz HTTP/1.1\r\nHost: loc".to_owned(), ""),
        (String::new(), ""),
    ] {
        let mut stream = connect(&daemon);
        stream.write_all(sent.as_bytes()).expect("the daemon reads");
        if sent.starts_with("POST") {
            support::until("its job is there", || info(&daemon, "jobs") == 2);
        }
        let mut begun = vec![0; begins.len()];
        stream.read_exact(&mut begun).expect("the reply begins");
        assert_eq!(String::from_utf8_lossy(&begun), begins, "{sent}");
        let kill = format!("kill {}", stream.local_addr().expect("it has an address"));
        support::until("it is killed", || operator.ask(&kill).starts_with("OK"));
        let rest = rest(stream);
        assert!(!rest.contains("\"error\""), "{sent}: {rest}");
        support::until("its question is cancelled", || info(&daemon, "jobs") == 1);
        support::until("it is not listed", || operator.ask(&kill).starts_with("ERR bad-arg"));
    }
}

#[test]
fn rows_stream_without_end_and_a_client_that_does_not_read_holds_no_cpu() {
    let slices = Arc::new(AtomicU64::new(0));
    let daemon = with_http(Daemon::new().verb(Probe { slices: slices.clone() }));
    let mut stream = connect(&daemon);
    let body = r#"{"request":"probe rows 1000000"}"#;
    stream
        .write_all(request("POST", "/v1/ask", &[JSON, "Accept: application/x-ndjson"], body).as_bytes())
        .expect("the daemon reads");
    let mut text = [0; 100_000];
    stream.read_exact(&mut text).expect("rows come");
    assert!(String::from_utf8_lossy(&text).contains("{\"row\":\"7777"));
    // It reads no more, and the engine is granted none: a stream that is read, and takes turns with it, passes it by.
    let read = 4 * ROWS_UNREAD;
    let mut other = Client::connect(&daemon);
    assert_eq!(other.ask(&format!("probe rows {read}")), format!("OK {read}"));
    let unread = slices.load(SeqCst) - read;
    assert!(unread <= ROWS_UNREAD, "{unread} rows for a client that does not read");
}

#[test]
fn a_page_of_another_site_can_do_nothing() {
    let daemon = with_http(Daemon::new());
    let body = r#"{"request":"pi 1e18"}"#;
    for (headers, expected) in [
        (vec!["Content-Type: text/plain"], 415),
        (vec![], 415),
        (vec![JSON, "Origin: http://evil.example"], 403),
        (vec![JSON, "Sec-Fetch-Site: cross-site"], 403),
    ] {
        let (status, head, _) = send(&daemon, &request("POST", "/v1/jobs", &headers, body));
        assert_eq!(status, expected, "{headers:?}");
        assert!(!head.contains("access-control-allow"), "{head}");
    }
    let rebound = "GET /v1/jobs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(send(&daemon, rebound).0, 421);
    let twice = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(send(&daemon, twice).0, 400);
    let named = "GET /v1/jobs HTTP/1.1\r\nHost: primed.example:80\r\nConnection: close\r\n\r\n";
    let (status, _, body) = send(&daemon, named);
    assert_eq!((status, body.as_str()), (200, "{\"jobs\":[]}\n"));
    let preflight = request("OPTIONS", "/v1/jobs", &["Origin: http://evil.example", JSON], "");
    assert_eq!(send(&daemon, &preflight).0, 403);
    let (_, head, _) = send(&daemon, &request("GET", "/", &[], ""));
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
}

#[test]
fn a_refusal_before_the_body_says_that_it_closes_the_connection() {
    let daemon = with_http(Daemon::new());
    let post = |path: &str, headers: &[&str]| {
        let head = request("POST", path, headers, "{}").replace("Connection: close\r\n", "");
        // The body is sent once the reply is there.
        send(&daemon, head.strip_suffix("{}").expect("it ends with its body"))
    };
    for (path, headers, status) in [
        ("/v1/ask", &[][..], 415),
        ("/v1/ask", &[JSON, "Origin: http://evil.example"], 403),
        ("/v1/nothing", &[JSON], 404),
        ("/healthz", &[JSON], 405),
    ] {
        let (replied, head, _) = post(path, headers);
        assert_eq!(replied, status, "{path}");
        assert!(head.contains("\r\nconnection: close"), "{path}: {head}");
    }
    // What has no body leaves nothing unread.
    let two = "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned() + &request("GET", "/healthz", &[], "");
    let (status, head, rest) = send(&daemon, &two);
    assert!(status == 404 && !head.contains("connection: close"), "{head}");
    assert!(rest.contains("HTTP/1.1 200 OK"), "{rest}");
}

#[test]
fn bodies_and_heads_that_are_too_long_or_too_slow_are_refused() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let daemon = with_http(Daemon::new().limits(limits));
    let long = format!("{{\"request\":\"{}\"}}", "7".repeat(40_000));
    assert_eq!(send(&daemon, &request("POST", "/v1/ask", &[JSON], &long)).0, 413);
    let chunked = format!(
        "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    assert_eq!(send(&daemon, &chunked).0, 413);
    let head = format!("POST /v1/ask HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for body in ["rubbish\r\n", "-1\r\n{}\r\n0\r\n\r\n", "2\r\n{}3\r\n0\r\n\r\n"] {
        let (status, _, reply) = send(&daemon, &format!("{head}{body}"));
        let failure: Json = serde_json::from_str(&reply).expect("JSON");
        assert_eq!((status, &failure["error"]), (400, &json!("bad-arg")), "{body:?}");
        let text = failure["text"].as_str().unwrap_or_default();
        assert!(text.contains("cut short"), "{text}");
    }
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    assert_eq!(send(&daemon, &head).0, 431);
    let many: Vec<String> = (0..100).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(send(&daemon, &request("GET", "/healthz", &many, "")).0, 431);
    // A head that never ends, a byte at a time, and a connection that says nothing: both are closed.
    for beginning in ["GET /healthz HTTP/1.1\r\nHost: loc", ""] {
        let mut stream = connect(&daemon);
        stream.write_all(beginning.as_bytes()).expect("the daemon reads");
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(get(&daemon, "/healthz"), (200, "ok\n".into()));
    let rubbish = "\u{1}\u{2}rubbish\r\n\r\n";
    assert_eq!(send(&daemon, rubbish).0, 400);
}

#[test]
fn an_idle_connection_is_closed_and_one_that_has_begun_a_request_is_not() {
    let limits = Limits {
        idle_timeout: Some(Duration::from_millis(500)),
        stall_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let daemon = with_http(Daemon::new().limits(limits));
    let mut begun = connect(&daemon);
    begun.write_all(b"GET /healthz HT").expect("the daemon reads");
    assert_eq!(rest(connect(&daemon)), "", "nothing was sent");
    let mut asked = connect(&daemon);
    asked
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("the daemon reads");
    assert!(rest(asked).ends_with("\r\n\r\nok\n"), "it is answered, and closed");
    begun
        .write_all(b"TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it is open");
    assert!(rest(begun).ends_with("\r\n\r\nok\n"));
}

#[test]
fn a_change_of_the_stall_timeout_reaches_connections_that_are_open() {
    let any = ([127, 0, 0, 1], 0).into();
    let patient = Limits {
        stall_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let hasty = Limits {
        stall_timeout: Duration::from_millis(300),
        ..patient
    };
    actix::System::new().block_on(async {
        let daemon = Daemon::new().workers(1).limits(patient).http(any, Vec::new());
        let running = daemon.start().await.expect("it starts");
        let address = running.addresses()[0];
        let begin = move |beginning: &str| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
            stream.write_all(beginning.as_bytes()).expect("the daemon reads");
            stream
        };
        let begun = tokio::task::spawn_blocking(move || {
            let mut stream = begin("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGE");
            // It answers, and then waits for the rest of the second request.
            stream.read_exact(&mut [0; 16]).expect("it answers");
            stream
        });
        let begun = begun.await.expect("the old limit is an hour");
        running.set_limits(hasty).expect("none is 0");
        let ended = tokio::task::spawn_blocking(move || [begun, begin("GE")].map(rest));
        ended.await.expect("both end by the new limit");
        running.drain(PATIENCE).await;
    });
}

#[test]
fn a_client_that_takes_nothing_of_a_reply_is_dropped() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let daemon = with_http(Daemon::new().limits(limits));
    let mut stream = connect(&daemon);
    let body = r#"{"request":"primes 0 2^64"}"#;
    let headers = [JSON, "Accept: application/x-ndjson"];
    stream
        .write_all(request("POST", "/v1/ask", &headers, body).as_bytes())
        .expect("the daemon reads");
    stream.read_exact(&mut [0; 16]).expect("the reply begins");
    support::until("it is dropped, and its job", || {
        // The one that asks is a connection too.
        (info(&daemon, "connections"), info(&daemon, "jobs")) == (1, 0)
    });
}

#[test]
fn a_connection_beyond_the_limit_is_answered_503() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let daemon = with_http(Daemon::new().limits(limits));
    let mut first = connect(&daemon);
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("the daemon reads");
    let mut some = [0; 16];
    first.read_exact(&mut some).expect("it answers");
    let mut second = String::new();
    connect(&daemon).read_to_string(&mut second).expect("it answers");
    let (head, body) = second.split_once("\r\n\r\n").expect("a whole reply");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    assert_eq!(body, "{\"error\":\"busy\",\"text\":\"too many connections\"}\n");
}

#[test]
fn a_panic_costs_one_request_and_it_is_counted() {
    let daemon = with_http(Daemon::new().verb(Probe { slices: Arc::default() }));
    assert_eq!(post(&daemon, "/v1/ask", &json!({"request": "probe panic 1"})).0, 500);
    assert_eq!(
        post(&daemon, "/v1/ask", &json!({"request": "nth 7"})),
        (200, json!({"value": "17"}))
    );
    let (_, text) = get(&daemon, "/metrics");
    assert!(
        text.contains("primed_requests_total{verb=\"probe\",code=\"internal\"} 1\n"),
        "{text}"
    );
}

#[test]
fn metrics_count_every_request_once_and_have_as_many_series_as_there_are_verbs() {
    let daemon = with_http(Daemon::new());
    let mut client = Client::connect(&daemon);
    for n in 0..300 {
        client.send(format!("nth 7\nrubbish{n} 1\nisprime 91\n"));
        assert_eq!(client.line().as_deref(), Some("OK 17"));
        assert!(client.line().is_some_and(|line| line.starts_with("ERR unknown-verb")));
        assert_eq!(client.line().as_deref(), Some("OK no"));
    }
    assert_eq!(post(&daemon, "/v1/ask", &json!({"request": "@a nth 7"})).0, 200);
    assert_eq!(client.ask("pi 1e9"), "OK 50847534");
    let (_, text) = get(&daemon, "/metrics");
    for (series, count) in [
        ("primed_requests_total{verb=\"nth\",code=\"ok\"}", 301),
        ("primed_requests_total{verb=\"unknown\",code=\"unknown-verb\"}", 300),
        ("primed_requests_total{verb=\"isprime\",code=\"ok\"}", 300),
        ("primed_request_duration_seconds_count{verb=\"isprime\"}", 300),
        ("primed_request_duration_seconds_bucket{verb=\"nth\",le=\"+Inf\"}", 301),
        ("primed_first_slice_duration_seconds_count{verb=\"pi\"}", 1),
    ] {
        assert!(text.contains(&format!("{series} {count}\n")), "{series}: {text}");
    }
    let verbs: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("primed_requests_total{verb=\"")?.split('"').next())
        .collect();
    assert_eq!(
        verbs.into_iter().collect::<Vec<_>>(),
        ["isprime", "nth", "pi", "unknown"]
    );
    // The example of a slow request leads to its row in slowlog.
    let mut slow = Client::connect(&daemon);
    assert!(slow.ask("pi 1e18 deadline=300ms").starts_with("ERR deadline"));
    let (_, _, text) = send(
        &daemon,
        &request("GET", "/metrics", &["Accept: application/openmetrics-text"], ""),
    );
    let example = text
        .lines()
        .find(|line| line.contains("verb=\"pi\"") && line.contains(" # {"))
        .expect("an example");
    let (_, example) = example.split_once(" # {client=\"").expect("a client");
    let (client_number, example) = example.split_once("\",request=\"").expect("a request");
    let (request_number, _) = example.split_once('"').expect("its number");
    let rows = exchange(&daemon, "slowlog\n");
    let row = format!(" client={client_number} request={request_number} ");
    assert!(rows.contains(&row), "{row} {rows}");
}

#[test]
fn what_is_refused_is_counted_as_that_and_a_head_of_events_asks_nothing() {
    let daemon = with_http(Daemon::new());
    assert_eq!(post(&daemon, "/v1/jobs", &json!({"request": "pi 1e18"})).0, 201);
    for field in ["deadline", "progress"] {
        let asked = json!({"request": "totient 12", field: "never"});
        assert_eq!(post(&daemon, "/v1/ask", &asked).0, 400);
    }
    assert_eq!(get(&daemon, "/v1/jobs/1/result?deadline=never").0, 400);
    let (status, head, body) = send(&daemon, &request("HEAD", "/v1/jobs/1/events", &[], ""));
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("\r\ncontent-type: text/event-stream\r\n"), "{head}");
    assert!(!head.contains("\r\ncontent-length:"), "{head}");
    let (_, text) = get(&daemon, "/metrics");
    let mut counted: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("primed_requests_total"))
        .collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            "{verb=\"result\",code=\"bad-arg\"} 1",
            "{verb=\"submit\",code=\"ok\"} 1",
            "{verb=\"totient\",code=\"bad-arg\"} 2",
        ]
    );
}

#[test]
fn ready_says_whether_to_send_work_here_and_the_drain_answers_what_is_under_way() {
    let daemon = with_http(Daemon::new());
    assert_eq!(get(&daemon, "/readyz"), (200, "ready\n".into()));
    let mut kept = connect(&daemon);
    kept.write_all(request("POST", "/v1/ask", &[JSON], r#"{"request":"pi 1e18","deadline":"1s"}"#).as_bytes())
        .expect("the daemon reads");
    support::until("its job runs", || info(&daemon, "jobs") == 1);
    assert_eq!(daemon.stop(PATIENCE), primed::Drained::InTime);
    let mut text = String::new();
    kept.read_to_string(&mut text).expect("the reply comes");
    assert!(text.starts_with("HTTP/1.1 504 "), "{text}");
}

#[test]
fn a_drain_does_not_wait_for_requests_that_do_not_come() {
    let daemon = with_http(Daemon::new());
    let body = format!("POST /v1/ask HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 10\r\n\r\n");
    let served = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let beginnings = ["", "G", "GET / HTTP/1.1\r\n", &body, served, &format!("{served}GET")];
    let open: Vec<TcpStream> = beginnings
        .into_iter()
        .map(|beginning| {
            let mut stream = connect(&daemon);
            stream.write_all(beginning.as_bytes()).expect("the daemon reads");
            stream
        })
        .collect();
    support::until("all is read", || {
        let rows = exchange(&daemon, "clients\n");
        let is_read = |(stream, sent): (&TcpStream, &str)| {
            let address = format!(" address={} ", stream.local_addr().expect("it has an address"));
            let count = format!(" bytes_in={} ", sent.len());
            rows.lines().any(|row| row.contains(&address) && row.contains(&count))
        };
        open.iter().zip(beginnings).all(is_read)
    });
    // Less than the patience with heads and bodies.
    assert_eq!(daemon.stop(Duration::from_secs(8)), primed::Drained::InTime);
    open.into_iter().for_each(|stream| drop(rest(stream)));
}

#[test]
fn it_is_not_ready_while_its_store_fails() {
    let disk = MemoryStore::new();
    let daemon = with_http(Daemon::new().store(disk.clone()));
    assert_eq!(post(&daemon, "/v1/jobs", &json!({"request": "pi 1e9"})).0, 201);
    disk.set_broken(Some(StoreErrorKind::Full));
    let (status, failure) = post(&daemon, "/v1/jobs", &json!({"request": "pi 1e10"}));
    assert_eq!((status, &failure["error"]), (503, &json!("store")));
    assert_eq!(get(&daemon, "/readyz"), (503, "the store cannot be written\n".into()));
    assert_eq!(get(&daemon, "/healthz").0, 200);
    assert!(get(&daemon, "/metrics").1.contains("primed_store_ok 0"));
    disk.set_broken(None);
    support::until("it is written again", || get(&daemon, "/readyz").0 == 200);
}

#[test]
fn the_document_says_which_methods_there_are() {
    let daemon = with_http(Daemon::new());
    let document: Json = serde_json::from_str(&get(&daemon, "/openapi.json").1).expect("JSON");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{id}", "7");
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let is_described = methods.get(method.to_lowercase()).is_some();
            let (status, _, _) = send(&daemon, &request(method, &path, &[JSON], "{}"));
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
        }
    }
}
