//! What there is under which path. Each path is in `openapi.json` too, which a test compares. Knows no socket.

use super::answer::{refused, unread};
use super::{ask, guard, health, info, jobs, login, openapi, openmetrics, page};
use crate::proto::{Code, Failure};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

/// Every path, as OpenAPI writes it, and what it does.
fn paths() -> [(&'static str, MethodRouter); 14] {
    [
        ("/", get(page::page)),
        ("/style.css", get(page::style)),
        ("/script.js", get(page::script)),
        ("/icon.svg", get(page::icon)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(openmetrics::metrics)),
        ("/openapi.json", get(openapi::document)),
        ("/v1/info", get(info::info)),
        ("/v1/ask", post(ask::ask)),
        ("/v1/jobs", get(jobs::list).post(jobs::submit)),
        ("/v1/jobs/{id}", get(jobs::show).delete(jobs::cancel)),
        ("/v1/jobs/{id}/result", get(jobs::result)),
        ("/v1/jobs/{id}/events", get(jobs::events)),
    ]
}

/// All routes, with the guard before each, and then the login.
pub(super) fn routes() -> Router {
    let routes = paths()
        .into_iter()
        .fold(Router::new(), |routes, (path, method)| routes.route(path, method));
    let routes = routes.fallback(nothing_here).method_not_allowed_fallback(other_method);
    routes
        .layer(middleware::from_fn(login::identify))
        .layer(middleware::from_fn(guard::guard))
}

async fn nothing_here(request: Request) -> Response {
    let failure = Failure::new(Code::Denied, "there is nothing here; /openapi.json says what there is");
    unread(request.body(), refused(StatusCode::NOT_FOUND, &failure))
}

async fn other_method(request: Request) -> Response {
    let failure = Failure::new(Code::Denied, "not by this method; /openapi.json says by which");
    unread(request.body(), refused(StatusCode::METHOD_NOT_ALLOWED, &failure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    #[test]
    fn the_document_describes_the_routes_and_nothing_else() {
        let document: Json = serde_json::from_str(openapi::DOCUMENT).expect("it is JSON");
        let described: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
        let mut served: Vec<&str> = paths().iter().map(|(path, _)| *path).collect();
        served.sort_unstable();
        assert_eq!(described, served);
    }
}
