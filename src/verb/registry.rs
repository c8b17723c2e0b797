//! The registry: which verbs there are. Finds a verb by its name, or the nearest one to a name there is not.

use super::call::shortened;
use super::{Call, Facts, Step, Terms, Verb, arithmetic, jobs, service};
use crate::engine::{self, Panicked, caught};
use crate::proto::{Code, Failure, Request};
use std::fmt;
use std::sync::Arc;

/// All verbs, in the order in which `help` shows them.
#[derive(Clone)]
pub struct Registry {
    verbs: Vec<Arc<dyn Verb>>,
}

impl Default for Registry {
    /// The built-in verbs.
    fn default() -> Self {
        let mut registry = Self { verbs: Vec::new() };
        arithmetic::register(&mut registry);
        jobs::register(&mut registry);
        service::register(&mut registry);
        registry
    }
}

impl Registry {
    /// Adds a verb. One of the same name is replaced.
    pub fn add(&mut self, verb: impl Verb) {
        let verb: Arc<dyn Verb> = Arc::new(verb);
        match self.verbs.iter_mut().find(|other| other.name() == verb.name()) {
            Some(other) => *other = verb,
            None => self.verbs.push(verb),
        }
    }

    /// All verbs.
    pub fn verbs(&self) -> impl Iterator<Item = &dyn Verb> {
        self.verbs.iter().map(AsRef::as_ref)
    }

    /// The verb of this name, in any case of letters.
    pub fn find(&self, name: &str) -> Option<&dyn Verb> {
        self.verbs().find(|verb| verb.name().eq_ignore_ascii_case(name))
    }

    /// Calls the verb that the request names. A panic there costs this request, and not the session with all that is under way in it.
    ///
    /// # Errors
    /// `unknown-verb` with the nearest one, what the verb says of its arguments, or `internal` if it panics.
    pub fn call(&self, request: &Request<'_>, facts: &Facts) -> Result<(Step, Terms), Failure> {
        let verb = self.find(request.verb).ok_or_else(|| self.unknown(request.verb))?;
        let call = Call::new(verb, request, self, facts);
        let terms = call.terms()?;
        let called = caught(|| verb.call(&call).map(|step| (step, terms)));
        called.unwrap_or_else(|Panicked| Err(fault(&call)))
    }

    /// True if the request is to stop another, and so is heard also where there is no room for more. Calls no verb: a request that is not
    /// taken in must have no effects.
    pub fn stops_another(request: &Request<'_>) -> bool {
        request.verb.eq_ignore_ascii_case(jobs::CANCEL)
    }

    /// The failure for a verb that there is not.
    pub(super) fn unknown(&self, name: &str) -> Failure {
        let lower = name.to_ascii_lowercase();
        let nearest = self
            .verbs()
            // Most need not be compared letter by letter: whoever floods with rubbish should not cost much.
            .filter(|verb| verb.name().len().abs_diff(lower.len()) <= 2)
            .filter(|verb| (letters(verb.name()) ^ letters(&lower)).count_ones() <= 4)
            .map(|verb| (strsim::damerau_levenshtein(&lower, verb.name()), verb.name()))
            .filter(|(distance, known)| *distance <= 2 && *distance < known.len())
            .min();
        let is_like_a_number = name.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        let hint = match nearest {
            _ if is_like_a_number => {
                "a number that asks for a prime stands alone, like 1000000, 1e6 or 2^61-1".to_owned()
            }
            Some((_, known)) => format!("did you mean '{known}'?"),
            None => "'help' lists them all".to_owned(),
        };
        Failure::new(Code::UnknownVerb, format!("no verb '{}'; {hint}", shortened(name)))
    }
}

/// What is answered if a verb panicked.
#[cold]
fn fault(call: &Call<'_>) -> Failure {
    let title = call.title();
    let title = shortened(&title);
    tracing::error!(title, "a verb panicked; its request gets an error");
    engine::fault(&title)
}

/// Which letters a name has, a bit each, more or less. A typing error changes two of them at the most.
fn letters(name: &str) -> u64 {
    name.bytes().fold(0, |letters, byte| letters | 1 << (byte % 64))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.verbs().map(Verb::name)).finish()
    }
}
