//! Completion at the prompt: verbs, options and their values, from the usage of the built-in verbs. Knows no terminal.

use super::screen::Screen;
use crate::cli::{Cli, configure, settings};
use crate::job::PrimeKind;
use crate::primes::constellation::Constellation;
use crate::verb::{TOPICS, Verb};
use clap::CommandFactory;
use rustyline::completion::Completer;
use rustyline::hint::Hinter;
use rustyline::{Helper, Highlighter, Validator};

/// The options that every question takes.
const OPTIONS: [&str; 2] = ["deadline=", "progress="];

/// Those of `submit`, as a usage has them.
const SUBMIT: &str = "[id=KEY] [priority=low|normal|high] [after=TIME]";

/// Completes the word before the cursor.
#[derive(Helper, Highlighter, Validator)]
pub(super) struct Words {
    screen: Screen,
}

impl Words {
    pub(super) const fn new(screen: Screen) -> Self {
        Self { screen }
    }
}

/// Gives no hints: the editor asks for one whenever the line changes, and so the screen learns of it.
impl Hinter for Words {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &rustyline::Context<'_>) -> Option<String> {
        self.screen.edited(line, position);
        None
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(&line[..position]))
    }
}

/// Where the word at the end of `line` begins, and what it may become.
fn candidates(line: &str) -> (usize, Vec<String>) {
    let start = line.rfind(' ').map_or(0, |space| space + 1);
    let (before, begun) = line.split_at(start);
    let mut words = before.split_whitespace().peekable();
    words.next_if(|word| word.starts_with('@'));
    let is_help = words.next_if(|word| word.eq_ignore_ascii_case("help")).is_some();
    let is_submitted = words.next_if(|word| word.eq_ignore_ascii_case("submit")).is_some();
    let verbs = configure::verbs();
    let all: Vec<String> = match words.next() {
        None if is_help => verbs.names().chain(TOPICS).map(String::from).collect(),
        None => verbs.names().map(|name| format!("{name} ")).collect(),
        Some(_) if is_help => Vec::new(),
        Some(verb) if verb.eq_ignore_ascii_case("config") => of_config(words.next(), words.next()),
        Some(verb) => {
            let of_submit = if is_submitted { SUBMIT } else { "" };
            let found = verbs.find(verb);
            found.map(|verb| options(verb, of_submit)).unwrap_or_default()
        }
    };
    let begun = begun.to_ascii_lowercase();
    (start, all.into_iter().filter(|word| word.starts_with(&begun)).collect())
}

/// What may follow these words of `config`.
fn of_config(what: Option<&str>, name: Option<&str>) -> Vec<String> {
    match (what, name) {
        (None, _) => ["get ", "set "].map(String::from).to_vec(),
        (Some(what), None) if what.eq_ignore_ascii_case("set") => {
            configure::LIVE.iter().map(|name| format!("{name} ")).collect()
        }
        (Some(_), None) => settings::names(&Cli::command())
            .map(|name| format!("{name} "))
            .collect(),
        _ => Vec::new(),
    }
}

/// The options of a verb and `more`: for `[method=auto|sieve]` with each value, for `[after=TIME]` or `all|owner=OWNER`
/// without one.
fn options(verb: &dyn Verb, more: &str) -> Vec<String> {
    let usage = format!("{} {more}", verb.usage().replace("]|", "] "));
    let options = usage
        .split_whitespace()
        .filter_map(|word| word.trim_matches(['[', ']']).split_once('='));
    let with_values = options.flat_map(|(key, values)| match values {
        "KIND" => written(key, &kinds(verb)),
        values if values.starts_with(|first: char| first.is_ascii_uppercase()) => {
            let key = key.rsplit('|').next().unwrap_or(key);
            vec![format!("{key}=")]
        }
        values => written(key, &values.split('|').collect::<Vec<_>>()),
    });
    with_values.chain(OPTIONS.map(String::from)).collect()
}

fn written(key: &str, values: &[&str]) -> Vec<String> {
    values.iter().map(|value| format!("{key}={value}")).collect()
}

/// The values of the `kind=` of a verb.
fn kinds(verb: &dyn Verb) -> Vec<&'static str> {
    match verb.name() {
        "random" => PrimeKind::ALL.map(PrimeKind::name).to_vec(),
        _ => Constellation::ALL.iter().map(|kind| kind.name()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> Vec<String> {
        candidates(line).1
    }

    #[test]
    fn verbs_are_completed_where_a_verb_may_stand() {
        assert_eq!(completed("isp"), ["isprime "]);
        assert_eq!(candidates("@big isp"), (5, vec!["isprime ".to_owned()]));
        assert_eq!(completed("submit isp"), ["isprime "]);
        assert_eq!(completed("help isp"), ["isprime"]);
        assert_eq!(completed("help err"), ["errors"]);
        assert_eq!(completed("help num"), ["numbers"]);
        assert!(completed("").len() > 10);
    }

    #[test]
    fn options_are_completed_after_a_verb() {
        assert_eq!(completed("pi 1e12 d"), ["deadline="]);
        assert_eq!(completed("pi 1e12 "), ["deadline=", "progress="]);
        assert!(completed("count 1 2 m").contains(&"method=sieve".to_owned()));
        assert_eq!(completed("count 1 2 kind=t"), ["kind=twins", "kind=triplets"]);
        assert_eq!(completed("random 99 kind=s"), ["kind=safe", "kind=strong"]);
        assert_eq!(completed("certify 7 f"), ["form=pari"]);
        assert_eq!(completed("certify c"), ["check="]);
        assert_eq!(completed("cancel o"), ["owner="]);
        assert_eq!(completed("submit count 1 2 method=s"), ["method=sieve"]);
        assert_eq!(completed("submit pi 5 i"), ["id="]);
        assert_eq!(completed("submit pi 5 priority=h"), ["priority=high"]);
        assert!(completed("pi 5 i").is_empty());
        assert!(completed("help pi ").is_empty());
        assert!(completed("nothing-like-it ").is_empty());
    }

    #[test]
    fn settings_are_completed_after_config() {
        assert_eq!(completed("conf"), ["config "]);
        assert_eq!(completed("config "), ["get ", "set "]);
        assert_eq!(completed("config set idle"), ["idle-timeout "]);
        assert_eq!(completed("config set max-un"), ["max-unsent "]);
        assert_eq!(completed("config get workers"), ["workers ", "workers-only "]);
        assert!(completed("config set workers").is_empty());
        assert!(completed("config set log ").is_empty());
    }
}
