//! Who is at the other end of a connection, and whether a request may come from a web page of somebody else. Knows no
//! route and no password.
//!
//! A browser lets every page send requests to this machine. It cannot read the replies, for none allows other origins;
//! and it must not start or stop work. So every POST needs `Content-Type: application/json`, which a form cannot send,
//! and what changes anything no foreign `Origin`; a form cannot send DELETE. A page may also call itself by a name that
//! leads to this machine (DNS rebinding); then its requests bear that name as their `Host`. So `Host` has to be an
//! address, `localhost`, or a name that the operator has given.

use super::answer::{refused, unread};
use super::login::Login;
use super::timeout::{Finishing, Owed};
use crate::auth::Role;
use crate::clients::ClientState;
use crate::engine::Account;
use crate::proto::{Code, Failure};
use crate::server::{Accepted, Shared};
use crate::verb::Engine;
use axum::extract::Request;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;

/// What is open to all names: it changes nothing and says nothing of a question.
const PLAIN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Sent with every reply: nothing comes from elsewhere, nothing is shown inside another page, and nothing is kept.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Who is at the other end of a connection, and what he may use; [`login`](super::login) makes it a user's.
#[derive(Clone)]
pub(super) struct Caller {
    /// The engine on the account of the user, or of the peer's address where there are none.
    pub(super) engine: Engine,
    /// What the user may do; `None` where there are none.
    pub(super) role: Option<Role>,
    /// Where the connection comes from, as accounts have it.
    pub(super) from: IpAddr,
    pub(super) login: Arc<Login>,
    pub(super) shared: Arc<Shared>,
    /// The connection, as `clients` shows it.
    pub(super) state: Arc<ClientState>,
    /// Whether the client owes the rest of a request.
    pub(super) owed: Owed,
    /// Ends when the connection is to finish.
    pub(super) finishing: Finishing,
    hosts: Arc<Hosts>,
}

impl Caller {
    pub(super) fn of(accepted: &Accepted, hosts: Arc<Hosts>, owed: Owed, finishing: Finishing) -> Self {
        let peer = accepted.peer();
        let from = match peer.into() {
            Account::Address(address) => address,
            Account::Process | Account::Unix | Account::User(_) => peer.ip(),
        };
        Self {
            role: None,
            from,
            login: Arc::default(),
            engine: accepted.engine().clone(),
            shared: accepted.shared().clone(),
            state: accepted.state().clone(),
            owed,
            finishing,
            hosts,
        }
    }
}

/// The names by which the daemon may be called, besides addresses and `localhost`.
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(mut names: Vec<String>) -> Self {
        for name in &mut names {
            name.truncate(without_dot(name).len());
        }
        Self(names)
    }

    /// Whether a request with this `Host` is meant for this daemon.
    fn knows(&self, host: &str) -> bool {
        let name = without_dot(without_port(host));
        let address = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|known| name.eq_ignore_ascii_case(known))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A name without the dot that says it is complete (RFC 1034, 3.1): a browser sends it if it was typed.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Passes a request on unless a foreign page may have sent it, and adds the headers of every reply.
pub(super) async fn guard(caller: axum::Extension<Caller>, request: Request, next: Next) -> Response {
    let mut response = match check(&caller.hosts, &request) {
        Ok(()) => next.run(request).await,
        Err((status, text)) => unread(request.body(), refused(status, &Failure::new(code(status), text))),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    response
}

/// What a request is refused for, beside its status.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST => Code::Syntax,
        _ => Code::Denied,
    }
}

fn check(hosts: &Hosts, request: &Request) -> Result<(), (StatusCode, &'static str)> {
    // RFC 9112, 3.2: a proxy in front may have gone by the other one.
    if request.headers().get_all(header::HOST).iter().nth(1).is_some() {
        return Err((StatusCode::BAD_REQUEST, "there is more than one Host"));
    }
    if PLAIN.contains(&request.uri().path()) {
        return Ok(());
    }
    let headers = request.headers();
    // With an absolute target, as for a proxy, that has the host.
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| text(headers, &header::HOST));
    let Some(host) = host.filter(|host| hosts.knows(host)) else {
        let text = "this Host is not known here: use the address, or start the daemon with --http-name";
        return Err((StatusCode::MISDIRECTED_REQUEST, text));
    };
    let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
    let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    // Opening the page by a link elsewhere is no harm; what it shows it loads itself.
    if is_foreign && request.uri().path() != "/" {
        return Err((StatusCode::FORBIDDEN, "pages of other sites may not ask here"));
    }
    if *request.method() == Method::GET || *request.method() == Method::HEAD {
        return Ok(());
    }
    if let Some(origin) = text(headers, &header::ORIGIN)
        && origin
            .split_once("://")
            .is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host))
    {
        return Err((
            StatusCode::FORBIDDEN,
            "pages of other sites may not change anything here",
        ));
    }
    let json = text(headers, &header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    if !json && *request.method() != Method::DELETE {
        let text = "every POST needs 'Content-Type: application/json'";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn status(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let builder = axum::http::Request::builder().method(method).uri(uri);
        let add = |builder: axum::http::request::Builder, (name, value): &(&str, &str)| builder.header(*name, *value);
        let request = headers
            .iter()
            .fold(builder, add)
            .body(Body::empty())
            .expect("a request");
        let hosts = Hosts::new(vec!["primed.example".into(), "other.example.".into()]);
        check(&hosts, &request).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn a_name_that_nobody_gave_is_refused_and_addresses_are_not() {
        for host in [
            "127.0.0.1:7920",
            "[::1]:7920",
            "localhost",
            "LOCALHOST:1",
            "192.0.2.7:80",
            "primed.example:7920",
            "primed.example.:7920",
            "other.example",
            "other.example.",
            "localhost.",
        ] {
            assert_eq!(status("GET", "/v1/info", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7920",
            "127.0.0.1.evil.example",
            "",
            ".",
            "localhost..",
            "[::1",
        ] {
            assert_eq!(status("GET", "/v1/info", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status("GET", "/v1/info", &[]), 421);
        for path in ["/v1/info", "/healthz"] {
            let hosts = [("host", "localhost"), ("host", "localhost")];
            assert_eq!(status("GET", path, &hosts), 400, "{path}");
        }
        assert_eq!(
            status("GET", "http://evil.example/v1/info", &[("host", "localhost")]),
            421
        );
        assert_eq!(status("GET", "/metrics", &[("host", "evil.example")]), 200);
    }

    #[test]
    fn a_page_elsewhere_can_neither_submit_nor_cancel() {
        let (host, json) = (("host", "localhost:7920"), ("content-type", "application/json"));
        assert_eq!(status("POST", "/v1/jobs", &[host, json]), 200);
        assert_eq!(
            status("POST", "/v1/jobs", &[host, json, ("origin", "http://localhost:7920")]),
            200
        );
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost",
            "http://localhost:7919",
        ] {
            assert_eq!(
                status("POST", "/v1/jobs", &[host, json, ("origin", origin)]),
                403,
                "{origin}"
            );
            assert_eq!(
                status("DELETE", "/v1/jobs/1", &[host, ("origin", origin)]),
                403,
                "{origin}"
            );
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            assert_eq!(
                status("POST", "/v1/jobs", &[host, ("content-type", kind)]),
                415,
                "{kind}"
            );
        }
        assert_eq!(status("POST", "/v1/jobs", &[host]), 415);
        assert_eq!(
            status("GET", "/v1/jobs", &[host, ("sec-fetch-site", "cross-site")]),
            403
        );
        assert_eq!(status("GET", "/", &[host, ("sec-fetch-site", "cross-site")]), 200);
        assert_eq!(status("DELETE", "/v1/jobs/1", &[host]), 200);
    }
}
