//! The dashboard: one page with its style and its script, all of them in the program. Knows nothing of what they show.

use super::answer::reply;
use axum::http::StatusCode;
use axum::response::Response;

pub(super) async fn page() -> Response {
    reply(
        StatusCode::OK,
        "text/html; charset=utf-8",
        include_str!("assets/index.html"),
    )
}

pub(super) async fn style() -> Response {
    reply(
        StatusCode::OK,
        "text/css; charset=utf-8",
        include_str!("assets/style.css"),
    )
}

pub(super) async fn script() -> Response {
    reply(
        StatusCode::OK,
        "text/javascript; charset=utf-8",
        include_str!("assets/script.js"),
    )
}

pub(super) async fn icon() -> Response {
    reply(StatusCode::OK, "image/svg+xml", include_str!("assets/icon.svg"))
}
