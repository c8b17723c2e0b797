//! `POST /v1/ask`: what a line of the built-in protocol asks. Knows no session.

use super::answer::{failed, json_reply, value_json, wrong};
use super::body::{read_object, texts};
use super::counted::Counted;
use super::events::{Format, stream};
use super::guard::Caller;
use crate::engine::{Event, Events};
use crate::metrics::Outcome;
use crate::proto::{Code, DEADLINES, Failure, INTERVALS, Interim, ParsedLine, Request, parse_line};
use crate::verb::{Question, Terms};
use axum::Extension;
use axum::extract;
use axum::http::StatusCode;
use axum::http::header::ACCEPT;
use axum::response::Response;
use serde_json::json;
use std::time::Duration;

/// Bytes of rows that one JSON reply may have; more are to be asked for as a stream.
const MAX_ROW_BYTES: usize = 1 << 20;
/// How often a stream says how far it is, unless it is asked for more or less often.
const PROGRESS: Duration = Duration::from_secs(1);

/// The question of these words.
pub(super) fn question(caller: &Caller, words: &str) -> (Question, Counted) {
    (caller.engine.request(words), Counted::of(caller, words))
}

/// The question of these words, to be answered within this time if there is one, with progress at this interval. A
/// wrong time is counted as the failure of the request.
///
/// # Errors
/// `bad-arg` if a time is none, or is in the words too.
pub(super) fn question_within(
    caller: &Caller,
    words: &str,
    wait: Option<&str>,
    progress: Option<&str>,
) -> Result<(Question, Counted), Failure> {
    let (mut question, counted) = question(caller, words);
    let terms = || {
        let wait = wait.map(|wait| deadline(once("deadline", wait, words)?)).transpose()?;
        let progress = progress
            .map(|every| interval(once("progress", every, words)?))
            .transpose()?;
        Ok((wait, progress))
    };
    let (wait, progress) = match terms() {
        Ok(terms) => terms,
        Err(failure) => return Err(counted.fail(failure)),
    };
    if let Some(wait) = wait {
        question = question.deadline(wait);
    }
    if let Some(every) = progress {
        question = question.progress(every);
    }
    Ok((question, counted))
}

/// The value of a field that is an option of requests too, unless the words have it as well.
fn once<'a>(key: &str, value: &'a str, words: &str) -> Result<&'a str, Failure> {
    let has_it = |request: &Request<'_>| request.options.iter().any(|(other, _)| other.eq_ignore_ascii_case(key));
    match parse_line(words.as_bytes()) {
        Ok(ParsedLine::Request(request)) if has_it(&request) => {
            Err(wrong(&format!("{key} is given twice, in the request and beside it")))
        }
        _ => Ok(value),
    }
}

/// How long a client waits, as the wire has it.
fn deadline(text: &str) -> Result<Duration, Failure> {
    Terms::time("deadline", text, &DEADLINES).map_err(|what| wrong(&what))
}

/// How often it wants progress.
fn interval(text: &str) -> Result<Duration, Failure> {
    Terms::time("progress", text, &INTERVALS).map_err(|what| wrong(&what))
}

pub(super) async fn ask(Extension(caller): Extension<Caller>, request: extract::Request) -> Response {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let object = match read_object(&caller.owed, request).await {
        Ok(object) => object,
        Err(refusal) => return refusal,
    };
    let asked = texts(&object, ["request", "deadline", "progress"]).and_then(|[words, wait, progress]| {
        question_within(
            &caller,
            &words.unwrap_or_default(),
            wait.as_deref(),
            progress.as_deref(),
        )
    });
    match (asked, format) {
        (Err(failure), _) => failed(&failure),
        (Ok((question, counted)), Some(format)) => {
            stream(format, question.progress_unless_set(PROGRESS).events(), counted)
        }
        (Ok((question, counted)), None) => whole(question.events(), counted).await,
    }
}

/// Rows and value in one reply.
pub(super) async fn whole(events: Events, counted: Counted) -> Response {
    match collect(events, counted).await {
        Ok((rows, value)) if rows.is_empty() => json_reply(StatusCode::OK, &json!({"value": value})),
        Ok((rows, value)) => json_reply(StatusCode::OK, &json!({"rows": rows, "value": value})),
        Err(failure) => failed(&failure),
    }
}

/// All rows, and the value, of a request that is counted.
///
/// # Errors
/// As those of [`rows_and_value`].
pub(super) async fn collect(events: Events, counted: Counted) -> Result<(Vec<String>, serde_json::Value), Failure> {
    let reply = rows_and_value(events).await;
    let outcome = reply
        .as_ref()
        .map_or_else(|failure| Outcome::failed(failure.code as u8), |_| Outcome::OK);
    counted.end(outcome);
    reply
}

/// All rows, and the value.
///
/// # Errors
/// The failure that ends it, or `too-big` if the rows are more than one reply may have.
pub(super) async fn rows_and_value(mut events: Events) -> Result<(Vec<String>, serde_json::Value), Failure> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        match events.next().await {
            Some(Event::Interim(Interim::Rows(more))) => {
                bytes += more.iter().map(String::len).sum::<usize>();
                if bytes > MAX_ROW_BYTES {
                    let text = "these rows take more than 1 MiB: ask with 'Accept: application/x-ndjson' or 'text/event-stream'";
                    return Err(Failure::new(Code::TooBig, text));
                }
                rows.extend(more);
            }
            Some(Event::Interim(_)) => {}
            Some(Event::Final(reply)) => return reply.map(|value| (rows, value_json(value))),
            None => return Err(Failure::new(Code::Draining, "the daemon has stopped")),
        }
    }
}
