//! Replies as JSON: values, and failures with their status. Numbers are strings, because many readers of JSON round
//! them beyond 2^53. Knows no route.

use crate::proto::{Code, Failure, Interim, Value, progress_fields};
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value as Json, json};

/// A reply of this type.
pub(super) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A JSON reply.
pub(super) fn json_reply(status: StatusCode, body: &Json) -> Response {
    reply(status, "application/json", format!("{body}\n"))
}

/// A failure with the status that goes with its code.
pub(super) fn failed(failure: &Failure) -> Response {
    let status = match failure.code {
        Code::TooBig => StatusCode::UNPROCESSABLE_ENTITY,
        Code::LineTooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Code::DupTag | Code::Cancelled => StatusCode::CONFLICT,
        Code::Busy | Code::Draining | Code::Store => StatusCode::SERVICE_UNAVAILABLE,
        Code::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Code::NoJob => StatusCode::NOT_FOUND,
        Code::Denied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    refused(status, failure)
}

/// A failure with a status of its own.
pub(super) fn refused(status: StatusCode, failure: &Failure) -> Response {
    let mut response = json_reply(status, &failure_json(failure));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The reply to a request whose body is left unread, if it has one: what the client sends of it is no next request, so
/// the connection is closed, and the reply says so.
pub(super) fn unread(body: &Body, response: Response) -> Response {
    match body.is_end_stream() {
        true => response,
        false => closing(response),
    }
}

/// A reply after which the connection is closed.
pub(super) fn closing(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// `{"error":CODE,"text":WHY}`, as `ask --json` prints it.
pub(super) fn failure_json(failure: &Failure) -> Json {
    json!({"error": failure.code.as_str(), "text": failure.text})
}

/// A value: facts as an object, anything else as the text of the wire, or null where that has none.
pub(super) fn value_json(value: Value) -> Json {
    match value {
        Value::Facts(facts) => Json::Object(
            facts
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into()))
                .collect(),
        ),
        value => match value.to_string() {
            text if text.is_empty() => Json::Null,
            text => text.into(),
        },
    }
}

/// Progress: `{"pct":"41.3","eta":"18s"}`.
pub(super) fn progress_json(interim: &Interim) -> Json {
    Json::Object(object(progress_fields(&interim.words())))
}

/// Fields as an object.
pub(super) fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Json> {
    fields.map(|(key, value)| (key.to_owned(), value.into())).collect()
}

/// What is wrong with a request.
pub(super) fn wrong(text: &str) -> Failure {
    Failure::new(Code::BadArg, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_the_wire_says() {
        assert_eq!(value_json(Value::Nothing), Json::Null);
        assert_eq!(value_json(Value::Numbers(vec![])), Json::Null);
        assert_eq!(value_json(Value::Truth(true)), json!("yes"));
        assert_eq!(value_json(Value::Numbers(vec![2u8.into(), 3u8.into()])), json!("2 3"));
        assert_eq!(
            value_json(Value::Facts(vec![("a".into(), "1".into())])),
            json!({"a": "1"})
        );
    }
}
