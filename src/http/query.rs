//! The words of an address after its `?`. Knows no route.

use super::answer::{failed, wrong};
use crate::proto::Failure;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;

/// The values of these keys in the query of an address. Other words are refused, as other fields of a body are.
///
/// # Errors
/// `bad-arg` naming the word that is not known, or given twice.
pub(super) fn query<'a, const N: usize>(uri: &'a Uri, keys: [&str; N]) -> Result<[Option<&'a str>; N], Failure> {
    let mut values = [None; N];
    let words = uri.query().unwrap_or_default().split('&');
    for word in words.filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let Some(at) = keys.iter().position(|known| *known == key) else {
            let word = crate::engine::shortened(word, 24);
            let known = match keys.join("=' and '") {
                known if known.is_empty() => "here it has no words".to_owned(),
                known => format!("there is '{known}='"),
            };
            return Err(wrong(&format!("the query has no '{word}'; {known}")));
        };
        if values[at].replace(value).is_some() {
            return Err(wrong(&format!("{key} is given twice")));
        }
    }
    Ok(values)
}

/// That the address has no query.
pub(super) struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        query(&parts.uri, []).map(|[]| Self).map_err(|failure| failed(&failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_the_words_that_are_known_and_no_others() {
        let read = |path: &'static str| match query(&Uri::from_static(path), ["deadline", "progress"]) {
            Ok(values) => values.map(|value| value.unwrap_or("none")).join(" "),
            Err(failure) => failure.text.into_owned(),
        };
        assert_eq!(read("/v1/jobs/1/events"), "none none");
        assert_eq!(read("/v1/jobs/1/events?"), "none none");
        assert_eq!(read("/v1/jobs/1/events?deadline=5s"), "5s none");
        assert_eq!(read("/v1/jobs/1/events?progress=1s&deadline=5s"), "5s 1s");
        assert_eq!(
            read("/v1/jobs/1/events?dead=1s"),
            "the query has no 'dead=1s'; there is 'deadline=' and 'progress='"
        );
        assert_eq!(
            read("/v1/jobs/1/events?deadline=5s&deadline=1s"),
            "deadline is given twice"
        );
        let uri = Uri::from_static("/v1/jobs?x=1");
        let none = query(&uri, []).map_err(|failure| failure.text);
        assert_eq!(none, Err("the query has no 'x=1'; here it has no words".into()));
    }
}
