//! `/openapi.json`: the interface as a document. A test in `routes` compares its paths, one over the wire its methods.

use super::answer::reply;
use axum::http::StatusCode;
use axum::response::Response;

/// The document, as it is served.
pub(super) const DOCUMENT: &str = include_str!("assets/openapi.json");

pub(super) async fn document() -> Response {
    reply(StatusCode::OK, "application/json", DOCUMENT)
}
