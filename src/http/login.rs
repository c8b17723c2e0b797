//! Who a request is from: `Authorization: Basic` (RFC 7617), checked as `auth` is on the other addresses. Knows no
//! route.
//!
//! A password takes some 15 ms to check, so a connection checks it once, and again when another comes: a proxy may pass
//! on the requests of several users.

use super::answer::{refused, unread};
use super::guard::Caller;
use super::timeout::Finishing;
use crate::auth::{Authenticate, Credentials, Identity, Role, Verdict};
use crate::proto::{Code, Failure};
use crate::verb::Engine;
use axum::Extension;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use base64ct::{Base64, Encoding};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Open to everybody: they say no more than whether the daemon takes in work.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// What a browser asks its user for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"primed\", charset=\"UTF-8\"");

/// The user of a connection whose password was right.
#[derive(Default)]
pub(super) struct Login {
    known: Mutex<Option<Known>>,
    /// The key of the digests, another for each connection.
    key: RandomState,
}

#[derive(Clone)]
struct Known {
    /// Of his name and password, which are not kept.
    digest: u64,
    identity: Identity,
    /// The users at the time.
    version: u64,
    engine: Engine,
}

/// Gives a request the engine of its user, where there are users, and refuses one whose user is not known.
pub(super) async fn identify(Extension(mut caller): Extension<Caller>, mut request: Request, next: Next) -> Response {
    let Some(auth) = caller.shared.auth.clone() else {
        return next.run(request).await;
    };
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(credentials) = credentials(request.headers()) else {
        let text = "say who you are: 'Authorization: Basic', as by curl -u USER";
        let refusal = unauthenticated(&Failure::new(Code::Unauthenticated, text));
        return unread(request.body(), refusal);
    };
    match known(&caller, &auth, credentials).await {
        Err(refusal) => unread(request.body(), refusal),
        Ok(Known { identity, engine, .. }) => {
            caller.engine = engine;
            caller.role = Some(identity.role);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

/// The user with these credentials: the one of the request before, if they are the same and he is still there.
async fn known(caller: &Caller, auth: &Arc<dyn Authenticate>, credentials: Credentials) -> Result<Known, Response> {
    let digest = caller.login.key.hash_one((&credentials.user, &credentials.password));
    let before = lock(&caller.login).take();
    if let Some(mut known) = before.filter(|known| known.digest == digest) {
        let version = auth.version();
        let identity = match known.version == version {
            true => Some(known.identity),
            false => auth.refresh(&known.identity),
        };
        if let Some(identity) = identity {
            if identity != known.identity {
                known.engine = caller.engine.for_user(identity, auth.clone());
            }
            (known.identity, known.version) = (identity, version);
            *lock(&caller.login) = Some(known.clone());
            return Ok(known);
        }
    }
    let version = auth.version();
    let (sender, verdict) = oneshot::channel();
    // The client may have gone.
    let notify = move |verdict| {
        let _ = sender.send(verdict);
    };
    auth.check(caller.from, credentials, Box::new(notify));
    match verdict.await {
        Ok(Verdict::Granted(identity)) => {
            let known = Known {
                digest,
                identity,
                version,
                engine: caller.engine.for_user(identity, auth.clone()),
            };
            *lock(&caller.login) = Some(known.clone());
            caller.state.set_user(identity.name.as_str());
            Ok(known)
        }
        Ok(verdict) => Err(refusal(verdict, caller.finishing.clone()).await),
        Err(_) => Err(refused(StatusCode::SERVICE_UNAVAILABLE, &Failure::draining())),
    }
}

fn lock(login: &Login) -> std::sync::MutexGuard<'_, Option<Known>> {
    login.known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the header says; `None` if it says nothing that can be checked.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(Base64::decode_vec(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

fn unauthenticated(failure: &Failure) -> Response {
    let mut response = refused(StatusCode::UNAUTHORIZED, failure);
    response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    response
}

/// The reply to a password that is wrong, once its time has come, or was not looked at. A connection that finishes does
/// not wait: the delay is against further guesses, and there are none.
async fn refusal(verdict: Verdict, finishing: Finishing) -> Response {
    let Some((failure, delay)) = verdict.refusal() else {
        return unauthenticated(&Failure::new(Code::Unauthenticated, "the user is not known"));
    };
    // Late or finishing, the reply is the same.
    let _ = tokio::time::timeout(delay, finishing).await;
    let Verdict::Later(wait) = verdict else {
        return unauthenticated(&failure);
    };
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS, &failure);
    let seconds = HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64);
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

/// Whether a caller of this role sees what others ask.
pub(super) fn sees_others(role: Option<Role>) -> bool {
    role.is_none_or(|role| role >= Role::Operate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).ok()?);
        credentials(&headers).map(|found| (found.user, found.password))
    }

    #[test]
    fn credentials_are_read_as_browsers_send_them() {
        // RFC 7617, sections 2 and 2.1.
        let aladdin = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(read("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(
            read("Basic dGVzdDoxMjPCow=="),
            Some(("test".into(), "123\u{a3}".into()))
        );
        assert_eq!(read("Basic YTpiOmM="), Some(("a".into(), "b:c".into())));
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic ====",
            "Basic QWxhZGRpbg==",
            "Basic /w==",
            "Bearer abc",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
