//! Requests: words, taken apart. Borrows from the input; knows which forms exist, and that a number
//! alone means `nth`; no other verb, and no dialect.

use super::few::Few;
use super::format::{Dialect, ReplyFormat};
use super::tag::Tag;
use std::ops::RangeInclusive;
use std::time::Duration;
use thiserror::Error;

/// As humantime has it: 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// How long a client may wait for a reply.
pub(crate) const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(1)..=YEAR;
/// How often it may want progress.
pub(crate) const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=YEAR;

/// The longest name of a connection, in bytes.
pub(crate) const MAX_CLIENT_NAME: usize = 128;

/// A duration, or the bound that is next to it.
pub(crate) fn within(duration: Duration, bounds: &RangeInclusive<Duration>) -> Duration {
    duration.clamp(*bounds.start(), *bounds.end())
}

/// A request, borrowed from the input.
#[derive(Debug, PartialEq, Default)]
pub struct Request<'a> {
    /// How its reply is encoded.
    pub format: ReplyFormat,
    /// The first word, as it was typed.
    pub verb: &'a str,
    /// The words after the verb that are not options.
    pub args: Args<'a>,
    /// The `key=value` words.
    pub options: Options<'a>,
}

/// A request of a verb in lower case and one number of up to 19 digits, which most requests are: found without taking
/// apart its words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberRequest<'a> {
    /// How its reply is encoded.
    pub format: ReplyFormat,
    /// The verb.
    pub verb: &'a [u8],
    /// The number.
    pub number: u64,
    /// Bytes of it in the input.
    pub used: usize,
}

/// Arguments. Most requests have one or two: no allocation.
pub type Args<'a> = Few<&'a str, 2>;

/// Options. Most requests have none.
pub type Options<'a> = Few<(&'a str, &'a str), 1>;

/// Why a line is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It holds a byte that is no printable ASCII character.
    #[error("a request is printable ASCII; try 'help'")]
    NotText,
    /// It begins with `@`, but no tag follows.
    #[error("a tag is '@' and 1 to 32 of A-Z a-z 0-9 . _ - before the verb")]
    Tag,
    /// Nothing but a tag.
    #[error("nothing is asked after the tag; try 'help'")]
    OnlyTag,
    /// Too many words.
    #[error("a request has at most {max} words", max = Request::MAX_WORDS)]
    TooManyWords,
}

impl<'a> Request<'a> {
    /// The most words a request may have. No verb needs as many; the bound keeps a hostile line cheap.
    pub const MAX_WORDS: usize = 64;

    /// Makes a request of words that are printable and not empty.
    ///
    /// # Errors
    /// `Malformed`, with the tag if one could be read, so that the error reply can bear it.
    #[inline]
    pub(super) fn from_words(
        dialect: &'static dyn Dialect,
        words: impl Iterator<Item = &'a str>,
    ) -> Result<Self, (Option<Tag>, Malformed)> {
        let mut words = words.peekable();
        let mut request = Request::default();
        request.format.dialect = dialect;
        if let Some(tag) = words.peek().and_then(|word| word.strip_prefix('@')) {
            request.format.tag = Some(Tag::parse(tag).ok_or((None, Malformed::Tag))?);
            words.next();
        }
        let tag = request.format.tag;
        request.verb = words.next().ok_or((tag, Malformed::OnlyTag))?;
        for (index, word) in words.enumerate() {
            if index + 2 > Self::MAX_WORDS {
                return Err((tag, Malformed::TooManyWords));
            }
            match split_option(word) {
                Some(option) => request.options.push(option),
                None => request.args.push(word),
            }
        }
        request.format.is_bare = request.is_number() && tag.is_none() && request.options.is_empty();
        request.mean_nth();
        Ok(request)
    }

    fn is_number(&self) -> bool {
        self.args.is_empty() && self.verb.as_bytes().first().is_some_and(u8::is_ascii_digit)
    }

    /// If it is only a number, it becomes the request that this means.
    pub fn mean_nth(&mut self) {
        if self.is_number() {
            self.args.push(std::mem::replace(&mut self.verb, "nth"));
        }
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| *value)
    }

    /// The arguments, and after them the options as they were typed.
    pub fn words_and_options(&self) -> impl Iterator<Item = String> {
        let args = self.args.iter().map(|arg| (*arg).to_owned());
        args.chain(self.options.iter().map(|(key, value)| format!("{key}={value}")))
    }

    /// The key of an option that is given more than once: which of the values is meant cannot be known.
    pub fn option_given_twice(&self) -> Option<&'a str> {
        let mut keys = self.options.iter().map(|(key, _)| *key).enumerate();
        let earlier = |index| self.options.iter().take(index);
        keys.find(|(index, key)| earlier(*index).any(|(other, _)| other.eq_ignore_ascii_case(key)))
            .map(|(_, key)| key)
    }
}

/// As `split_once('=')`, which takes three times as long for words that are this short.
fn split_option(word: &str) -> Option<(&str, &str)> {
    let at = word.bytes().position(|byte| byte == b'=')?;
    Some((&word[..at], &word[at + 1..]))
}
