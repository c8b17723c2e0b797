//! The verb `config`: what the settings are, and changing those that can change while the daemon runs. Its requests go
//! to the loop that handles signals too, so that one place changes settings.

use crate::verb::Registry;
use crate::{Asked, Call, Code, Failure, Host, Responder, Role, Verb, define};
use actix::prelude::*;
use tokio::sync::mpsc;

/// The settings that change while the daemon runs; `max-line` holds for connections accepted from then on. The others
/// need a restart.
pub(super) const LIVE: [&str; 8] = [
    "drain-limit",
    "idle-timeout",
    "log",
    "max-connections",
    "max-in-flight",
    "max-line",
    "max-unsent",
    "stall-timeout",
];

/// Requests that may wait for the loop.
const MAX_WAITING: usize = 64;

/// What a request of the verb wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConfigRequest {
    /// The settings whose names match one of these, or all.
    Get(Vec<String>),
    /// This value for this setting.
    Set(String, String),
}

/// Where requests arrive.
pub(super) type ConfigRequests = mpsc::Receiver<(ConfigRequest, Responder)>;

/// The verb, and where its requests arrive.
pub(super) fn verb() -> (impl Verb, ConfigRequests) {
    let (sender, requests) = mpsc::channel(MAX_WAITING);
    let forward = Host::new("config", move || Forward(sender.clone()));
    let verb = define(
        "config get|set ...",
        "settings, and changing some of them",
        move |call| Ok(forward.ask(call, read(call)?)),
    );
    let verb = verb.details(&[
        "config get [PATTERN ...]: all settings, or those whose names match; a PATTERN",
        "has * and ?. config set NAME VALUE holds until the next SIGHUP, and changes",
        "drain-limit, idle-timeout, log, max-connections, max-in-flight, max-line (for",
        "new connections), max-unsent and stall-timeout; the others need a restart.",
        "config set idle-timeout none takes that limit back.",
        "config get max-* -> = max-connections=20000 ...",
        "config set log debug -> OK",
    ]);
    (verb.role(Role::Operate), requests)
}

/// The verbs of the daemon that `serve` runs, by their names and usage.
pub(super) fn verbs() -> Registry {
    let mut verbs = Registry::default();
    verbs.add(verb().0);
    verbs
}

fn read(call: &Call<'_>) -> Result<ConfigRequest, Failure> {
    let what = call.required(0, "get or set")?.to_ascii_lowercase();
    let (words, _) = call.words_and_terms();
    match (what.as_str(), &words[1..]) {
        ("get", patterns) => Ok(ConfigRequest::Get(
            patterns.iter().map(|word| word.to_ascii_lowercase()).collect(),
        )),
        ("set", [name, value]) => Ok(ConfigRequest::Set(name.to_ascii_lowercase(), value.clone())),
        ("set", _) => Err(call.bad_arg("NAME and VALUE are two words")),
        _ => Err(call.bad_arg("it can get and set")),
    }
}

/// Why a setting cannot be changed now.
pub(super) fn needs_restart(name: &str) -> Failure {
    let live = LIVE.join(", ");
    let text =
        format!("config: '{name}' needs a restart: set it in the configuration file; what can change now: {live}");
    Failure::new(Code::Denied, text)
}

/// Whether a name matches a pattern in which `*` stands for any characters and `?` for one.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on if what follows the latest `*` does not match: it then stands for one more character.
    let (mut at, mut seen, mut again) = (0, 0, None);
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match &mut again {
                None => return false,
                Some((star, begins)) => {
                    *begins += 1;
                    (at, seen) = (*star + 1, *begins);
                }
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Hands requests on.
struct Forward(mpsc::Sender<(ConfigRequest, Responder)>);

impl Actor for Forward {
    type Context = Context<Self>;
}

impl Handler<Asked<ConfigRequest>> for Forward {
    type Result = ();

    fn handle(&mut self, Asked { question, responder }: Asked<ConfigRequest>, _: &mut Self::Context) {
        use mpsc::error::TrySendError::{Closed, Full};
        match self.0.try_send((question, responder)) {
            Ok(()) => {}
            Err(Full((_, responder))) => {
                let text = "too many changes of settings wait already; retry-ms=100";
                responder.fail(Failure::new(Code::Busy, text));
            }
            Err(Closed((_, responder))) => responder.fail(Failure::draining()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, verbs};

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, is_match) in [
            ("*", "", true),
            ("*", "log", true),
            ("log", "log", true),
            ("log", "log-format", false),
            ("max-*", "max-jobs", true),
            ("max-*", "min-jobs", false),
            ("*-limit", "drain-limit", true),
            ("*i*i*", "drain-limit", true),
            ("m?x-*s", "max-connections", true),
            ("?", "", false),
            ("", "log", false),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                is_match,
                "{pattern} {name}"
            );
        }
        // Backtracks to the latest star only, whatever a pattern has.
        assert!(!matches("*a".repeat(5_000).as_bytes(), &[b'a'; 4_000]));
    }

    #[test]
    fn every_verb_is_documented_as_help_says_it() {
        let page = include_str!("../../docs/protocol.md");
        let (_, table) = page
            .split_once("| verb | answer | largest argument | time |\n|---|---|---|---|\n")
            .expect("there is a table");
        let documented = table.lines().take_while(|line| line.starts_with('|'));
        let verbs = verbs();
        let said = verbs.verbs().map(|verb| {
            let usage = verb.usage().replace('|', "\\|");
            format!("| `{usage}` | {} |", verb.about())
        });
        for (row, expected) in documented.clone().zip(said) {
            assert!(row.starts_with(&expected), "{row}\n{expected}");
        }
        assert_eq!(documented.count(), verbs.verbs().count());
    }
}
