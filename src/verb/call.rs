//! A call: a request on its way to its verb, with helpers that read arguments and name what is wrong with them.

use super::{Engine, Registry, Step, Verb};
use crate::clients::Clients;
use crate::metrics::Metrics;
use crate::primes::Natural;
use crate::proto::{
    Code, DEADLINES, Failure, INTERVALS, NumberError, Options, Request, parse_short_number, parse_word,
};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// The state of the daemon that verbs can read.
#[derive(Clone, Debug)]
pub struct DaemonView {
    /// Its counters.
    pub metrics: std::sync::Arc<Metrics>,
    /// Who is connected.
    pub clients: std::sync::Arc<Clients>,
    /// When it started.
    pub started: Instant,
    /// Workers in each lane.
    pub workers: usize,
}

/// A request for a verb.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    verb: &'a dyn Verb,
    request: &'a Request<'a>,
    /// All verbs there are.
    pub(super) registry: &'a Registry,
    /// The daemon that was asked.
    pub(super) daemon: &'a DaemonView,
    /// The client; there is none for a job, which outlives its client.
    caller: Option<&'a dyn Caller>,
}

/// Who calls a verb.
pub trait Caller {
    /// The engine, asked on behalf of the caller: with the caller's share, limits and rights.
    ///
    /// # Errors
    /// `unauthenticated` if the caller has yet to say who it is.
    fn engine(&self) -> Result<Engine, Failure>;
}

/// The options that every request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the client waits for the answer.
    pub deadline: Option<Duration>,
    /// How often it wants progress.
    pub progress: Option<Duration>,
}

/// The verb of a daemon with settings, one of whose words may look like an option.
const CONFIG: &str = "config";

impl Terms {
    /// Their keys.
    const KEYS: [&'static str; 2] = ["deadline", "progress"];

    /// Whether an option of this key is one of them.
    fn has(key: &str) -> bool {
        Self::KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))
    }

    /// Reads a time within these bounds.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn time(key: &str, text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
        let duration = humantime::parse_duration(text)
            .map_err(|_| format!("{key} is '{}': write it like 500ms, 5s or 2min", shortened(text)))?;
        if !bounds.contains(&duration) {
            let least = humantime::format_duration(*bounds.start());
            return Err(format!("{key} may be from {least} to 1year"));
        }
        Ok(duration)
    }
}

impl<'a> Call<'a> {
    pub(super) const fn new(
        verb: &'a dyn Verb,
        request: &'a Request<'a>,
        registry: &'a Registry,
        daemon: &'a DaemonView,
        caller: Option<&'a dyn Caller>,
    ) -> Self {
        Self {
            verb,
            request,
            registry,
            daemon,
            caller,
        }
    }

    /// The engine, for a verb that asks questions itself: they use the caller's share of the CPU and limits, and may be
    /// what the caller may request. For [`Blocking`](super::Blocking) code, which [waits](crate::Token::wait)
    /// for its answers, and for actors, which drop a question that is not wanted any more; a plan's slice that waited
    /// would keep its own worker.
    ///
    /// It refuses verbs of blocking code and of actors, `monitor` and `config` among them, and waiting for submitted
    /// jobs (`denied`): that might wait for the very thread that waits for it. Once the daemon ends, it refuses every
    /// new question (`draining`).
    ///
    /// # Errors
    /// `bad-arg` if the request is submitted: such a job outlives its caller. `unauthenticated` for a verb that may be
    /// asked without a password, before there was one.
    pub fn engine(&self) -> Result<Engine, Failure> {
        let caller = self
            .caller
            .ok_or_else(|| self.refused("it asks the engine for its client, and a submitted job has none"))?;
        caller.engine()
    }

    /// An argument as it was typed.
    pub fn arg(&self, index: usize) -> Option<&'a str> {
        self.request.args.get(index).copied()
    }

    /// The arguments as they were typed, one by one.
    pub(super) fn args(&self) -> &'a [&'a str] {
        &self.request.args
    }

    /// The arguments, and after them the options as they were typed.
    pub(super) fn words_and_options(&self) -> Vec<String> {
        self.request.words_and_options().collect()
    }

    /// The words of `config` and its options. VALUE of `config set NAME VALUE` is a word, whatever it looks like: a
    /// filter of the log has '=' in it.
    pub(crate) fn words_and_terms(&self) -> (Vec<String>, Options<'a>) {
        let (mut terms, mut words): (Vec<_>, Vec<_>) = self
            .request
            .options
            .iter()
            .copied()
            .partition(|(key, _)| Terms::has(key));
        let is_set = |args: &[&str]| matches!(args, [what, _] if what.eq_ignore_ascii_case("set"));
        if is_set(&self.request.args) && words.is_empty() && !terms.is_empty() {
            words.push(terms.remove(0));
        }
        let args = self.request.args.iter().map(|arg| (*arg).to_owned());
        let words = words.iter().map(|(key, value)| format!("{key}={value}"));
        (args.chain(words).collect(), terms.into_iter().collect())
    }

    /// The question as `jobs` shows it: the verb and its arguments. The title of a job whose answer is kept, and
    /// depends on an option, has to have that option too.
    pub fn title(&self) -> String {
        [self.verb.name(), &self.words()].join(" ").trim_end().to_owned()
    }

    /// The same with the options that are the verb's own: two that differ in one are two questions.
    pub(super) fn question(&self) -> String {
        let mut text = self.title();
        for (key, value) in self.request.options.iter().filter(|(key, _)| !Terms::has(key)) {
            text.extend([" ", key, "=", value]);
        }
        text
    }

    /// The arguments as they were typed.
    pub fn words(&self) -> String {
        self.request.args.join(" ")
    }

    /// An argument as it was typed, if it is there.
    ///
    /// # Errors
    /// `bad-arg` if it is missing.
    pub fn required(&self, index: usize, name: &str) -> Result<&'a str, Failure> {
        self.arg(index)
            .ok_or_else(|| self.bad_arg(format_args!("{name} is missing")))
    }

    /// A number below 2^64.
    ///
    /// # Errors
    /// As [`at_most`](Self::at_most).
    pub fn number(&self, index: usize, name: &str) -> Result<u64, Failure> {
        self.at_most(index, name, u64::MAX, "2^64-1")
    }

    /// A number of at most `max`; `limit` says so in words.
    ///
    /// # Errors
    /// `bad-arg` if it is missing or no number, `too-big` beyond `max`.
    pub fn at_most<N: Copy + TryFrom<u64> + TryFrom<Natural> + PartialOrd>(
        &self,
        index: usize,
        name: &str,
        max: N,
        limit: &str,
    ) -> Result<N, Failure> {
        let text = self.required(index, name)?;
        let too_big = || {
            // A difference of large numbers may be small.
            let on_the_way = match text.contains('-') {
                true => ", and a number on the way to it may have at most 100 digits",
                false => "",
            };
            let name_of_verb = self.verb.name();
            Failure::new(
                Code::TooBig,
                format!("{name_of_verb}: {name} may be at most {limit}{on_the_way}"),
            )
        };
        let number = match parse_word(text) {
            // Nearly all are so short that they need not pass through a number of any size.
            Some(word) => N::try_from(word).ok(),
            None => match parse_short_number(text) {
                Ok(number) => N::try_from(number).ok(),
                Err(NumberError::TooBig) => None,
                Err(error) => return Err(self.usage().bad_number(name, text, error)),
            },
        };
        number.filter(|number| *number <= max).ok_or_else(too_big)
    }

    /// Checks that there are no more arguments than these, and no options but these and the ones every request takes.
    ///
    /// # Errors
    /// `bad-arg` naming the first one too many.
    pub fn only(&self, args: usize, options: &[&str]) -> Result<(), Failure> {
        if let Some(extra) = self.arg(args) {
            return Err(self.bad_arg(format_args!("'{}' is one argument too many", shortened(extra))));
        }
        let known = || options.iter().chain(&Terms::KEYS).copied();
        let is_known = |key: &str| known().any(|known| known.eq_ignore_ascii_case(key));
        let Some((key, _)) = self.request.options.iter().find(|(key, _)| !is_known(key)) else {
            return Ok(());
        };
        let what = format!("there is no option '{}='", shortened(key));
        Err(match nearest(&key.to_ascii_lowercase(), known()) {
            Some(known) => Failure::new(
                Code::BadArg,
                format!("{}: {what}; did you mean '{known}='?", self.verb.name()),
            ),
            None => self.bad_arg(what),
        })
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.request.option(key)
    }

    /// The step of the request after the verb, for verbs that take a whole request.
    ///
    /// # Errors
    /// The failure of that request, or `bad-arg` if there is none.
    pub(crate) fn inner(&self) -> Result<Step, Failure> {
        let (verb, args) = self
            .request
            .args
            .split_first()
            .ok_or_else(|| self.bad_arg("REQUEST is missing"))?;
        let mut request = Request {
            verb,
            args: args.iter().copied().collect(),
            options: self.request.options.clone(),
            ..Request::default()
        };
        request.mean_nth();
        if self.registry.role_of(&request) > self.verb.role() {
            return Err(self.bad_arg("this verb cannot stand here"));
        }
        self.registry
            .call(&request, self.daemon, self.caller)
            .map(|(step, _)| step)
    }

    /// The request after the verb as a line, without these options, from which it can be read again.
    ///
    /// # Errors
    /// `bad-arg` if there is none, or a word of it cannot stand in a line.
    pub(crate) fn inner_request(&self, without: &[&str]) -> Result<String, Failure> {
        if self.request.args.is_empty() {
            return Err(self.bad_arg("REQUEST is missing"));
        }
        let mut line = self.words();
        let mut words = self.request.args.len();
        for (key, value) in self.request.options.iter() {
            if !without.iter().any(|other| other.eq_ignore_ascii_case(key)) {
                line.extend([" ", key, "=", value]);
                words += 1;
            }
        }
        let is_plain = line.split(' ').filter(|word| !word.is_empty()).count() == words
            && !line.contains(|c: char| c.is_control());
        is_plain
            .then_some(line)
            .ok_or_else(|| self.bad_arg("a word of REQUEST has blanks or control characters in it"))
    }

    /// The options that every request takes.
    ///
    /// # Errors
    /// `bad-arg` if one is no duration, or out of its bounds, or any option is given twice.
    pub(crate) fn terms(&self) -> Result<Terms, Failure> {
        match self.verb.name() {
            _ if self.request.options.is_empty() => Ok(Terms::default()),
            super::auth::AUTH => Ok(Terms::default()),
            CONFIG => {
                let options = self.words_and_terms().1;
                let request = Request {
                    options,
                    ..Request::default()
                };
                Call {
                    request: &request,
                    ..*self
                }
                .read_terms()
            }
            _ => self.read_terms(),
        }
    }

    fn read_terms(&self) -> Result<Terms, Failure> {
        if let Some(key) = self.request.option_given_twice() {
            return Err(self.bad_arg(format_args!("{} is given twice", shortened(&key.to_ascii_lowercase()))));
        }
        Ok(Terms {
            deadline: self.duration("deadline", DEADLINES)?,
            progress: self.duration("progress", INTERVALS)?,
        })
    }

    pub(super) fn duration(&self, key: &str, bounds: RangeInclusive<Duration>) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.option(key) else {
            return Ok(None);
        };
        Terms::time(key, text, &bounds)
            .map(Some)
            .map_err(|what| self.bad_arg(what))
    }

    /// The failure that says what is wrong with an argument, and how the verb is written.
    pub fn bad_arg(&self, what: impl std::fmt::Display) -> Failure {
        self.usage().bad_arg(what)
    }

    /// The failure of a request that is written as it should be.
    pub(super) fn refused(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(Code::BadArg, format!("{}: {what}", self.verb.name()))
    }

    /// How its verb is written, to be kept for later.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.verb)
    }
}

/// How a verb is written: what failures about its arguments say.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The verb.
    pub name: &'static str,
    line: &'static str,
}

impl Usage {
    pub(super) fn of(verb: &dyn Verb) -> Self {
        Self {
            name: verb.name(),
            line: verb.usage(),
        }
    }

    /// The failure that says what is wrong with an argument, and how the verb is written.
    pub fn bad_arg(&self, what: impl std::fmt::Display) -> Failure {
        let Self { name, line } = self;
        Failure::new(Code::BadArg, format!("{name}: {what}; usage: {line}"))
    }

    /// The failure for the argument `name`, typed as `text`, that is no number we take.
    pub fn bad_number(&self, name: &str, text: &str, error: NumberError) -> Failure {
        match error {
            NumberError::TooBig => Failure::new(Code::TooBig, format!("{}: {name} is too long: {error}", self.name)),
            _ => self.bad_arg(format_args!("{name} is '{}': {error}", shortened(text))),
        }
    }
}

/// The known word that `word`, in lower case, probably means: one typing error away, or two if it has five letters or
/// more.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = |known: &str| if known.len() < 5 { 1 } else { 2 };
    let letters_of_word = letters(word);
    known
        // Most need not be compared letter by letter, so a flood of unknown words costs little.
        .filter(|known| known.len().abs_diff(word.len()) <= most(known))
        .filter(|known| (letters(known) ^ letters_of_word).count_ones() as usize <= 2 * most(known))
        .map(|known| (strsim::osa_distance(word, known), known))
        .filter(|(distance, known)| *distance <= most(known))
        .min()
        .map(|(_, known)| known)
}

/// The letters of a word, about a bit each. An edit changes at most two of them.
fn letters(word: &str) -> u64 {
    word.bytes().fold(0, |letters, byte| letters | 1 << (byte % 64))
}

/// What a peer typed, short enough to be quoted.
pub(super) fn shortened(text: &str) -> String {
    crate::engine::shortened(text, 40)
}
