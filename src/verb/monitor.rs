//! `monitor`: requests as they come. An actor on a thread of its own sends each watcher what it has seen, as fast as
//! that one reads.

use super::auth::AUTH;
use super::{Call, Registry, Step, define};
use crate::auth::Role;
use crate::clients::{MAX_WATCHERS, Seen, Watch};
use crate::engine::{self, Asked, ExternalLane, ExternalTask};
use crate::proto::{Code, Failure, Request};
use actix::prelude::*;
use std::sync::Arc;

/// Watchers that the actor serves at once: more than there may be, for one that has just left may still be counted.
const AT_ONCE: usize = 64;
/// Characters of a request that a row shows.
const MAX_SHOWN: usize = 1_000;
/// What stands for words that may be secret.
const HIDDEN: &str = "(hidden)";

pub(super) fn register(registry: &mut Registry) {
    let lane = Arc::new(ExternalLane::of_actor("monitor", AT_ONCE, AT_ONCE, || Reporter));
    let monitor = define("monitor", "requests as they come, a row each", move |call| {
        watch(call, &lane)
    });
    let details = monitor.details(&[
        "The row 'OK' says that it has begun. It ends with 'cancel' of its tag, its",
        "deadline, or the connection. A client that reads too slowly loses rows; a row",
        "'lost=N' counts them. Arguments of auth and of unknown verbs are hidden, and",
        "those of clients that have not said who they are.",
    ]);
    registry.add(details.role(Role::Operate));
}

/// A request as a row shows it. `is_known`: there is such a verb; `is_trusted`: the client has said who it is, where
/// there are users. Words that may be a password are hidden: those after `auth`, those of a verb that may be `auth`
/// misspelt, and those of a client that may have forgotten it.
pub fn shown(request: &Request<'_>, is_known: bool, is_trusted: bool) -> String {
    let mut text = request.format.tag().map_or_else(String::new, |tag| format!("@{tag} "));
    text.push_str(if is_known || is_trusted { request.verb } else { HIDDEN });
    let words: Vec<String> = request.words_and_options().collect();
    let may_be_secret = !is_known || !is_trusted || Registry::is_secret(request);
    let is_inner_secret = words.iter().any(|word| word.eq_ignore_ascii_case(AUTH));
    if may_be_secret || is_inner_secret {
        if !words.is_empty() {
            text.extend([" ", HIDDEN]);
        }
    } else {
        for word in &words {
            text.extend([" ", word]);
        }
    }
    shortened(&text)
}

/// As much of a request as a row shows.
pub fn shortened(text: &str) -> String {
    engine::shortened(text, MAX_SHOWN)
}

fn watch(call: &Call<'_>, lane: &Arc<ExternalLane>) -> Result<Step, Failure> {
    call.only(0, &[])?;
    let watch = Watch::begin(&call.daemon.clients).ok_or_else(|| {
        let text = format!("{MAX_WATCHERS} monitor already, which is the limit; retry-ms=1000");
        Failure::new(Code::Busy, text)
    })?;
    Ok(Step::External(ExternalTask::ask::<Reporter, _>(
        lane.clone(),
        call.title(),
        true,
        watch,
    )))
}

/// Sends rows to those who watch.
struct Reporter;

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<Asked<Watch>> for Reporter {
    type Result = ();

    fn handle(&mut self, asked: Asked<Watch>, context: &mut Self::Context) {
        let Asked {
            question: mut watch,
            responder,
        } = asked;
        let cancelled = responder.cancelled();
        let report = async move {
            let mut row = "OK".to_owned();
            // A row waits for room: meanwhile the queue of the watcher fills, and then loses its oldest.
            while responder.row(row).await.is_ok() {
                row = match watch.next().await {
                    Seen::Row(row) => row.as_ref().to_owned(),
                    Seen::Lost(count) => format!("lost={count}"),
                    Seen::Changed => {
                        let text = "the users have changed; ask again";
                        return responder.fail(Failure::new(Code::Denied, text));
                    }
                    Seen::End => return responder.fail(Failure::draining()),
                };
            }
        };
        let until_cancelled = async move {
            tokio::select! {
                () = report => {}
                () = cancelled => {}
            }
        };
        context.spawn(until_cancelled.into_actor(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ParsedLine, parse_line};

    fn shown_as(line: &str, is_known: bool, is_trusted: bool) -> String {
        let Ok(ParsedLine::Request(request)) = parse_line(line.as_bytes()) else {
            panic!("{line} is a request");
        };
        shown(&request, is_known, is_trusted)
    }

    #[test]
    fn words_that_may_be_a_password_are_hidden() {
        for (line, is_known, is_trusted, text) in [
            ("@a pi 1e9 deadline=5s", true, true, "@a pi 1e9 deadline=5s"),
            ("auth ann secret=x", true, true, "auth (hidden)"),
            ("AUTH secret", true, false, "AUTH (hidden)"),
            ("submit auth ann secret", true, true, "submit (hidden)"),
            ("auht ann secret", false, true, "auht (hidden)"),
            ("secret", false, false, "(hidden)"),
            ("secret word", false, false, "(hidden) (hidden)"),
            ("nth secret", true, false, "nth (hidden)"),
            ("info", true, false, "info"),
        ] {
            assert_eq!(shown_as(line, is_known, is_trusted), text, "{line}");
        }
        let long = shown_as(&format!("isprime {}", "7".repeat(5_000)), true, true);
        assert_eq!(long.len(), MAX_SHOWN + "...".len());
    }
}
