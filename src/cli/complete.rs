//! Completion at the prompt: verbs, options and their values, from the usage of the built-in verbs. Knows no terminal.

use super::screen::Screen;
use crate::verb::{Registry, Verb};
use rustyline::completion::Completer;
use rustyline::hint::Hinter;
use rustyline::{Helper, Highlighter, Validator};

/// The options that every question takes.
const OPTIONS: [&str; 2] = ["deadline=", "progress="];

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
    words.next_if(|word| word.eq_ignore_ascii_case("submit"));
    let registry = Registry::default();
    let all: Vec<String> = match words.next() {
        None if is_help => registry
            .verbs()
            .map(Verb::name)
            .chain(["errors"])
            .map(String::from)
            .collect(),
        None => registry.verbs().map(|verb| format!("{} ", verb.name())).collect(),
        Some(_) if is_help => Vec::new(),
        Some(verb) => registry.find(verb).map(options).unwrap_or_default(),
    };
    let begun = begun.to_ascii_lowercase();
    (start, all.into_iter().filter(|word| word.starts_with(&begun)).collect())
}

/// The options of a verb: for `[method=auto|sieve]` with each value, for `[kind=KIND]` without one.
fn options(verb: &dyn Verb) -> Vec<String> {
    let words = verb.usage().split_whitespace();
    let own = words.filter_map(|word| word.trim_matches(['[', ']']).split_once('='));
    let own = own.flat_map(|(key, values)| {
        values.split('|').map(
            move |value| match value.starts_with(|first: char| first.is_ascii_uppercase()) {
                true => format!("{key}="),
                false => format!("{key}={value}"),
            },
        )
    });
    own.chain(OPTIONS.map(String::from)).collect()
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
        assert!(completed("").len() > 10);
    }

    #[test]
    fn options_are_completed_after_a_verb() {
        assert_eq!(completed("pi 1e12 d"), ["deadline="]);
        assert_eq!(completed("pi 1e12 "), ["deadline=", "progress="]);
        assert!(completed("count 1 2 m").contains(&"method=sieve".to_owned()));
        assert_eq!(completed("count 1 2 k"), ["kind="]);
        assert_eq!(completed("submit count 1 2 method=s"), ["method=sieve"]);
        assert!(completed("help pi ").is_empty());
        assert!(completed("nothing-like-it ").is_empty());
    }
}
