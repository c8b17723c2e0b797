//! Everything the engine sends to a question, as it comes: server-sent events, or a JSON object a line. A row leaves
//! when the client takes it: until then the engine is granted no more. A client that goes away cancels its question.
//! Knows no route.

use super::answer::{failure_json, progress_json, reply, value_json};
use super::counted::Counted;
use crate::engine::{Event, Events};
use crate::metrics::Outcome;
use crate::proto::Interim;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value as Json, json};
use std::convert::Infallible;
use std::time::Duration;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Server-sent events: `event:` and `data:`.
    Sse,
    /// An object a line.
    Lines,
}

/// After so long without an event a comment is sent, which shows the client, and proxies, that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Format {
    /// What the client accepts, if that is a stream.
    pub(super) fn accepted(accept: &str) -> Option<Self> {
        if accept.contains("text/event-stream") {
            Some(Self::Sse)
        } else if accept.contains("application/x-ndjson") {
            Some(Self::Lines)
        } else {
            None
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }

    fn write(self, out: &mut String, name: &str, data: &Json) {
        match self {
            Self::Sse => out.push_str(&format!("event: {name}\ndata: {data}\n\n")),
            Self::Lines => out.push_str(&format!("{data}\n")),
        }
    }

    fn keep_alive(self) -> String {
        match self {
            Self::Sse => ":\n\n".to_owned(),
            Self::Lines => "\n".to_owned(),
        }
    }
}

/// The head of a stream, for `HEAD`. The body is not empty but of no known length, as that of a stream is.
pub(super) fn no_events(format: Format) -> Response {
    let none = stream::empty::<Result<String, Infallible>>();
    reply(StatusCode::OK, format.kind(), Body::from_stream(none))
}

/// A reply that goes on until the last event.
pub(super) fn stream(format: Format, events: Events, counted: Counted) -> Response {
    let chunks = stream::unfold(Some((events, counted)), move |state| async move {
        let (mut events, counted) = state?;
        let Ok(event) = tokio::time::timeout(KEEP_ALIVE, events.next()).await else {
            return Some((Ok::<_, Infallible>(format.keep_alive()), Some((events, counted))));
        };
        let mut out = String::new();
        match event? {
            Event::Interim(Interim::Rows(rows)) => {
                rows.iter()
                    .for_each(|row| format.write(&mut out, "row", &json!({"row": row})));
            }
            Event::Interim(interim) => {
                format.write(&mut out, "progress", &json!({"progress": progress_json(&interim)}))
            }
            Event::Final(Ok(value)) => {
                counted.end(Outcome::OK);
                format.write(&mut out, "value", &json!({"value": value_json(value)}));
                return Some((Ok(out), None));
            }
            Event::Final(Err(failure)) => {
                counted.end(Outcome::failed(failure.code as u8));
                format.write(&mut out, "failure", &failure_json(&failure));
                return Some((Ok(out), None));
            }
        }
        Some((Ok(out), Some((events, counted))))
    });
    reply(StatusCode::OK, format.kind(), Body::from_stream(chunks))
}
