//! The bodies of requests: JSON objects, read within bounds of size and time, and the texts and whole numbers in them.
//! Knows no route.

use super::answer::{closing, failed, refused, wrong};
use super::query::query;
use super::timeout::Owed;
use crate::proto::{Code, Failure};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Number, Value as Json};
use std::time::Duration;

/// The longest body of a request.
const MAX_BODY: usize = 32 << 10;
/// How long a client may take to send it.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// The object that a request has for a body, within the bounds of size and time. Its address has no query.
///
/// # Errors
/// The reply that says what is wrong with it.
pub(super) async fn read_object(owed: &Owed, request: Request<Body>) -> Result<Map<String, Json>, Response> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect();
    let owing = owed.begin();
    let body = tokio::time::timeout(BODY_PATIENCE, body).await;
    drop(owing);
    let bytes: Bytes = match body {
        Err(_) => {
            let text = "the body did not arrive within 10 s";
            return Err(closing(refused(StatusCode::REQUEST_TIMEOUT, &wrong(text))));
        }
        Ok(Err(error)) if !error.is::<LengthLimitError>() => {
            let text = "the body was cut short, or is not chunked as it should be";
            return Err(closing(failed(&wrong(text))));
        }
        Ok(Err(_)) => {
            let text = format!("the body has more than {MAX_BODY} bytes");
            let failure = Failure::new(Code::TooBig, text);
            return Err(closing(refused(StatusCode::PAYLOAD_TOO_LARGE, &failure)));
        }
        Ok(Ok(body)) => body.to_bytes(),
    };
    query(&parts.uri, []).map_err(|failure| failed(&failure))?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(failed(&wrong("the body is no JSON object"))),
        Err(error) => Err(failed(&wrong(&format!("the body is no JSON: {error}")))),
    }
}

/// A number as it was sent. Beyond 64 bits, or with a fraction or an exponent, all that is left of it is the nearest
/// float, which is another number.
fn exact(key: &str, number: &Number) -> Result<String, Failure> {
    if number.is_u64() || number.is_i64() {
        return Ok(number.to_string());
    }
    Err(wrong(&format!(
        "'{key}' is a JSON number that is not a whole number of 64 bits: write it as a text, like \"2^64+1\""
    )))
}

/// The texts of an object under these keys, of which the first must be there. Other keys are refused, and numbers that
/// would be rounded.
///
/// # Errors
/// Says which field is wrong.
pub(super) fn texts<const N: usize>(
    object: &Map<String, Json>,
    keys: [&str; N],
) -> Result<[Option<String>; N], Failure> {
    if let Some(unknown) = object.keys().find(|key| !keys.contains(&key.as_str())) {
        let known = keys.join("', '");
        return Err(wrong(&format!(
            "there is no field '{}'; there are '{known}'",
            crate::engine::shortened(unknown, 24)
        )));
    }
    let mut texts = [const { None }; N];
    for (text, key) in texts.iter_mut().zip(keys) {
        *text = match object.get(key) {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(Json::Number(number)) => Some(exact(key, number)?),
            Some(_) => return Err(wrong(&format!("'{key}' is no text"))),
        };
    }
    if let (Some(None), Some(key)) = (texts.first(), keys.first()) {
        return Err(wrong(&format!("'{key}' is missing")));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_missing_or_unknown_are_named() {
        let object = |text: &str| serde_json::from_str::<Map<String, Json>>(text).expect("an object");
        let read = |text: &str| texts(&object(text), ["request", "deadline"]).map_err(|failure| failure.text);
        assert_eq!(read(r#"{"request":"nth 7"}"#), Ok([Some("nth 7".into()), None]));
        assert_eq!(read(r#"{"request":7,"deadline":null}"#), Ok([Some("7".into()), None]));
        assert_eq!(read("{}"), Err("'request' is missing".into()));
        assert_eq!(read(r#"{"request":[]}"#), Err("'request' is no text".into()));
        assert!(read(r#"{"request":"1","x":1}"#).is_err_and(|text| text.starts_with("there is no field 'x'")));
    }

    #[test]
    fn a_number_is_taken_as_it_was_sent_or_not_at_all() {
        let read = |number: &str| {
            let object = serde_json::from_str(&format!("{{\"request\":{number}}}")).expect("an object");
            texts(&object, ["request"]).map_err(|failure| failure.code)
        };
        for number in ["0", "7", "-7", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(read(number), Ok([Some(number.to_owned())]));
        }
        for number in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901",
            "0.99999999999999999999",
            "4.0000000000000000001",
            "4.0",
            "1e3",
            "-0",
        ] {
            assert_eq!(read(number), Err(Code::BadArg), "{number}");
        }
    }
}
