//! The registry of verbs. Finds a verb by its name, or the nearest one to a name that is none.

use super::call::{nearest, shortened};
use super::{
    Call, Caller, DaemonView, Step, Terms, Verb, arithmetic, auth, clients, doctor, functions, jobs, monitor, nodes,
    random, service, slowlog,
};
use crate::auth::{Role, UserName};
use crate::caught::{Panicked, caught};
use crate::engine::{self, Subject};
use crate::metrics::VerbLabel;
use crate::proto::{Code, Failure, NumberRequest, Request};
use std::fmt;
use std::sync::Arc;

/// Other words for verbs, unless a verb has that name.
const ALIASES: [(&str, &str); 2] = [("exit", "quit"), ("bye", "quit")];

/// The verb that this is another word for, in any case of letters.
pub(crate) fn of_alias(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    alias.map(|(_, known)| *known)
}

/// What a client of Redis tries first.
const KEY_COMMANDS: [&str; 8] = ["get", "set", "del", "exists", "keys", "scan", "incr", "mget"];

/// What PARI, sympy, Mathematica and FLINT call a verb here: by its letters such a name may be like another verb's.
const ELSEWHERE: [(&str, &[&str]); 13] = [
    ("certify", &["prove", "primecert", "isprimeproof"]),
    ("count A B kind=twins", &["twins", "twinprimes"]),
    ("divisors", &["tau", "numdiv", "divisorcount", "divisor_count"]),
    (
        "factor",
        &[
            "factorize",
            "factorise",
            "factorint",
            "ifactor",
            "factorinteger",
            "primefactors",
        ],
    ),
    (
        "isprime",
        &["ispseudoprime", "is_prime", "primeq", "is_probable_prime", "prime?"],
    ),
    ("moebius", &["mu", "mobius", "moebiusmu"]),
    ("next", &["nextprime", "next_prime"]),
    ("nth", &["prime", "ithprime", "nthprime", "nth_prime"]),
    ("pi", &["primepi", "prime_pi", "primecount"]),
    ("prev", &["prevprime", "precprime", "prev_prime", "previousprime"]),
    ("radical", &["rad"]),
    ("root", &["znprimroot", "primitiveroot", "primitive_root"]),
    ("totient", &["phi", "eulerphi", "euler_phi"]),
];

/// The verb that other programs call this.
fn meant_by(name: &str) -> Option<&'static str> {
    ELSEWHERE
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(meant, _)| *meant)
}

/// All verbs, in the order in which `help` shows them.
#[derive(Clone)]
pub struct Registry {
    /// Each with its name: every request compares names, and asking the verbs for theirs would cost a call each.
    verbs: Vec<(&'static str, Arc<dyn Verb>)>,
}

impl Default for Registry {
    /// The built-in verbs.
    fn default() -> Self {
        let mut registry = Self { verbs: Vec::new() };
        arithmetic::register(&mut registry);
        functions::register(&mut registry);
        random::register(&mut registry);
        jobs::register(&mut registry);
        auth::register(&mut registry);
        service::register(&mut registry);
        nodes::register(&mut registry);
        slowlog::register(&mut registry);
        clients::register(&mut registry);
        monitor::register(&mut registry);
        doctor::register(&mut registry);
        registry
    }
}

impl Registry {
    /// Adds a verb. One of the same name, in any case of letters, is replaced.
    ///
    /// # Panics
    /// If the name is no word that a request can begin with: a letter, and then letters, digits, `-` and `_`. If a line
    /// of `help` about it has control characters.
    pub fn add(&mut self, verb: impl Verb) {
        let name = verb.name();
        let mut lines = [verb.usage(), verb.about()]
            .into_iter()
            .chain(verb.details().iter().copied());
        assert!(
            lines.all(|line| !line.contains(char::is_control)),
            "usage, description or details of the verb {name:?} have control characters, and are lines"
        );
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(
            name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(is_inner),
            "a verb has the name {name:?}, which no request can begin with: write a letter, and then letters, digits, '-' and '_'"
        );
        let entry: (_, Arc<dyn Verb>) = (name, Arc::new(verb));
        match self
            .verbs
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some(other) => *other = entry,
            None => self.verbs.push(entry),
        }
    }

    /// Removes the verb of this name, if there is one.
    pub fn remove(&mut self, name: &str) {
        self.verbs.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// All verbs.
    pub fn verbs(&self) -> impl Iterator<Item = &dyn Verb> {
        self.verbs.iter().map(|(_, verb)| verb.as_ref())
    }

    /// The names of all verbs.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.verbs.iter().map(|(name, _)| *name)
    }

    /// The verb of this name, in any case of letters.
    pub fn find(&self, name: &str) -> Option<&dyn Verb> {
        let (_, verb) = &self.verbs[self.position(name)?];
        Some(verb.as_ref())
    }

    /// Where the verb of this name stands among all, in any case of letters.
    pub fn position(&self, name: &str) -> Option<usize> {
        let exactly = |name: &str| self.verbs.iter().position(|(known, _)| *known == name);
        let in_any_case = || {
            let is_it = |(known, _): &(&str, _)| known.eq_ignore_ascii_case(name);
            self.verbs.iter().position(is_it)
        };
        let by_alias = || exactly(of_alias(name)?);
        // Nearly all names are written as they are known, and equality is the cheaper comparison.
        exactly(name).or_else(in_any_case).or_else(by_alias)
    }

    /// Whether a user of this role may ask this.
    ///
    /// # Errors
    /// `denied`, with the role that it takes.
    pub(crate) fn check(&self, name: UserName, role: Role, request: &Request<'_>) -> Result<(), Failure> {
        let needed = self.role_of(request);
        if role >= needed {
            return Ok(());
        }
        let text = format!("this needs the role {needed}; {name} has the role {role}");
        Err(Failure::new(Code::Denied, text))
    }

    /// The least role of a user who may ask this.
    pub fn role_of(&self, request: &Request<'_>) -> Role {
        self.find(request.verb).map_or(Role::Ask, Verb::role)
    }

    /// True if a client may ask this before it has said who it is.
    pub(crate) fn is_free(&self, request: &Request<'_>) -> bool {
        self.find(request.verb).is_some_and(Verb::is_free)
    }

    /// True if its arguments are secret: nothing may show them.
    pub fn is_secret(request: &Request<'_>) -> bool {
        request.verb.eq_ignore_ascii_case(auth::AUTH)
    }

    /// Calls the verb that the request names, for this caller. A panic there costs this request, and not the session
    /// with all its requests under way.
    ///
    /// # Errors
    /// `unknown-verb` with the nearest one, the verb's failure, or `internal` if it panics: the caller, which knows the
    /// request, logs it.
    #[inline]
    pub fn call(
        &self,
        request: &Request<'_>,
        daemon: &DaemonView,
        caller: Option<&dyn Caller>,
    ) -> Result<(Step, Terms), Failure> {
        self.call_at(self.position(request.verb), request, daemon, caller)
    }

    /// The same if it is known where the verb stands.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_at(
        &self,
        position: Option<usize>,
        request: &Request<'_>,
        daemon: &DaemonView,
        caller: Option<&dyn Caller>,
    ) -> Result<(Step, Terms), Failure> {
        let verb = position.and_then(|position| Some((position, self.verbs.get(position)?)));
        let (position, (_, verb)) = verb.ok_or_else(|| self.unknown(request.verb))?;
        let call = Call::new(verb.as_ref(), request, self, daemon, caller);
        let terms = call.terms()?;
        let mut called = caught(|| verb.call(&call).map(|step| (step, terms)));
        // In place: a step is large, and to move it once more is measurable.
        if let Ok(Ok((Step::Job(job), _))) = &mut called {
            job.verb = VerbLabel::at(position);
        }
        called.unwrap_or_else(|Panicked| Err(engine::fault(&call.title())))
    }

    /// The step that [`call`](Self::call) would give, if the request asks a built-in question that everybody may ask.
    #[inline]
    pub(crate) fn step_of(&self, request: &NumberRequest<'_>) -> Option<(VerbLabel, Step)> {
        let is_it = |(known, _): &(&str, _)| known.as_bytes() == request.verb;
        let position = self.verbs.iter().position(is_it)?;
        let verb = &self.verbs[position].1;
        // Where it panics, the call says so.
        let query = caught(|| verb.question_about(request.number)).ok().flatten();
        let mut step = Step::from(query.filter(|_| verb.role() == Role::Ask)?);
        let label = VerbLabel::at(position);
        if let Step::Job(job) = &mut step {
            job.verb = label;
        }
        Some((label, step))
    }

    /// What the words of a request ask, as a submitted job.
    ///
    /// # Errors
    /// Why they cannot be submitted.
    pub(super) fn subject(&self, words: &str, daemon: &DaemonView) -> Result<Subject, jobs::Refused> {
        jobs::read_subject(self, daemon, words)
    }

    /// What a job of an earlier process asks.
    ///
    /// # Errors
    /// Why that cannot be asked any more: its verb may be gone.
    pub(crate) fn read_again(&self, words: &str, daemon: &DaemonView) -> Result<Subject, Failure> {
        self.subject(words, daemon).map_err(jobs::Refused::into_failure)
    }

    /// True if the request is to stop another, and is therefore read even if there is no room for more. Calls no verb:
    /// a request that is not accepted must have no effects.
    pub fn stops_another(request: &Request<'_>) -> bool {
        request.verb.eq_ignore_ascii_case(jobs::CANCEL)
    }

    /// The failure for an unknown verb.
    pub(super) fn unknown(&self, name: &str) -> Failure {
        let lower = name.to_ascii_lowercase();
        let is_like_a_number = name.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        let hint = if is_like_a_number {
            "a number that asks for a prime stands alone, like 1000000, 1e6 or 2^61-1".to_owned()
        } else if KEY_COMMANDS.contains(&lower.as_str()) {
            "no keys are stored here; 'help' lists the verbs".to_owned()
        } else if lower == "primorial" {
            "a number may be written 97#, the product of the primes up to 97".to_owned()
        } else {
            let nearest = || nearest(&lower, self.verbs.iter().map(|(known, _)| *known));
            match meant_by(&lower).or_else(nearest) {
                Some(known) => format!("did you mean '{known}'?"),
                None => "'help' lists them all".to_owned(),
            }
        };
        Failure::new(Code::UnknownVerb, format!("no verb '{}'; {hint}", shortened(name)))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.verbs.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verb::define;

    #[test]
    #[should_panic(expected = "control characters")]
    fn a_description_that_is_no_line_is_refused() {
        Registry::default().add(define("wide N", "one\ntwo", |call| Err(call.bad_arg("never called"))));
    }
}
