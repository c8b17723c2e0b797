//! Requests: words, taken apart. Borrows from the input; knows which forms exist, not which verbs.

use super::dialect::{Dialect, Lines};
use super::few::Few;
use std::fmt;
use std::hash::{Hash, Hasher};
use thiserror::Error;

/// A client's name for a request, 1 to 32 of `A-Z a-z 0-9 . _ -`. Replies to tagged requests may overtake each other.
#[derive(Clone, Copy)]
pub struct Tag {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Tag {
    /// The longest tag, in bytes.
    pub const MAX: usize = 32;

    /// Reads a tag, without its `@`.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::MAX || !text.as_bytes().iter().all(allowed) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).ok()?;
        Some(Self { bytes, len })
    }

    /// The tag that a line begins with, whatever stands behind it: a line that cannot be read is answered to who asked.
    pub(super) fn before(line: &[u8]) -> Option<Self> {
        let word = line.trim_ascii_start().strip_prefix(b"@")?;
        let end = word.iter().take(Self::MAX + 1).position(u8::is_ascii_whitespace)?;
        Self::parse(std::str::from_utf8(&word[..end]).ok()?)
    }

    /// The tag without its `@`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Tag {}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{self}")
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// What a line is.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    /// Blank, or a `#` comment: nothing is asked and nothing answered.
    Nothing,
    /// A request.
    Request(Request<'a>),
    /// The first lines of an HTTP request: some web page wants to drive the daemon, and must not.
    Http,
}

/// How a request wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Manner {
    /// How the reply is spelt.
    pub dialect: &'static dyn Dialect,
    /// The client's name for the request.
    pub tag: Option<Tag>,
    /// The request was only a number: it means `nth`, and wants a bare number back.
    pub is_bare: bool,
}

/// A request, borrowed from the input.
#[derive(Debug, PartialEq, Default)]
pub struct Request<'a> {
    /// How it wants to be answered.
    pub manner: Manner,
    /// The first word, as it was typed.
    pub verb: &'a str,
    /// The words behind the verb that are not options.
    pub args: Args<'a>,
    /// The `key=value` words.
    pub options: Options<'a>,
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
    #[error("nothing is asked behind the tag; try 'help'")]
    OnlyTag,
    /// Too many words.
    #[error("a request has at most {max} words", max = Request::MAX_WORDS)]
    TooManyWords,
}

impl<'a> Request<'a> {
    /// The most words a request may have. No verb needs as many; the bound keeps a hostile line cheap.
    pub const MAX_WORDS: usize = 64;

    /// Takes a line apart.
    ///
    /// # Errors
    /// `Malformed`, beside the tag if one could be read, so that the reply can bear it.
    pub fn parse(line: &'a [u8]) -> Result<Line<'a>, (Option<Tag>, Malformed)> {
        let Some(text) = printable(line) else {
            return match is_comment(line) {
                true => Ok(Line::Nothing),
                false => Err((Tag::before(line), Malformed::NotText)),
            };
        };
        let words = text.split_ascii_whitespace();
        if words.clone().next().is_none_or(|word| word.starts_with('#')) {
            return Ok(Line::Nothing);
        }
        let request = Self::from_words(&Lines, words)?;
        Ok(match looks_like_http(&request) {
            true => Line::Http,
            false => Line::Request(request),
        })
    }

    /// Makes a request of words that are printable and not empty.
    ///
    /// # Errors
    /// [`Malformed`], beside the tag if one could be read, so that the reply can bear it.
    pub(super) fn from_words(
        dialect: &'static dyn Dialect,
        words: impl Iterator<Item = &'a str>,
    ) -> Result<Self, (Option<Tag>, Malformed)> {
        let mut words = words.peekable();
        let mut request = Request::default();
        request.manner.dialect = dialect;
        if let Some(tag) = words.peek().and_then(|word| word.strip_prefix('@')) {
            request.manner.tag = Some(Tag::parse(tag).ok_or((None, Malformed::Tag))?);
            words.next();
        }
        let tag = request.manner.tag;
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
        request.manner.is_bare = request.is_number() && tag.is_none() && request.options.is_empty();
        Ok(request.or_nth())
    }

    fn is_number(&self) -> bool {
        self.args.is_empty() && self.verb.as_bytes().first().is_some_and(u8::is_ascii_digit)
    }

    /// The same request; if it is only a number, the one it means.
    pub fn or_nth(mut self) -> Self {
        if self.is_number() {
            self.args.push(std::mem::replace(&mut self.verb, "nth"));
        }
        self
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| *value)
    }

    /// The key of an option that stands there more than once: nobody can tell which of them is meant.
    pub fn option_given_twice(&self) -> Option<&'a str> {
        let mut keys = self.options.iter().map(|(key, _)| *key).enumerate();
        let earlier = |index| self.options.iter().take(index);
        keys.find(|(index, key)| earlier(*index).any(|(other, _)| other.eq_ignore_ascii_case(key)))
            .map(|(_, key)| key)
    }
}

fn printable(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    let is_printable = |byte| matches!(byte, b' '..=b'~' | b'\t');
    text.bytes().all(is_printable).then_some(text)
}

/// As `split_once('=')`, which takes three times as long for words that are this short.
fn split_option(word: &str) -> Option<(&str, &str)> {
    let at = word.bytes().position(|byte| byte == b'=')?;
    Some((&word[..at], &word[at + 1..]))
}

/// True if a line asks nothing, whatever stands in it.
pub(super) fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"#")
}

fn looks_like_http(request: &Request<'_>) -> bool {
    const METHODS: [&str; 9] = [
        "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
    ];
    let has_target = request.args.first().is_some_and(|target| target.starts_with('/'));
    let has_version = request.args.last().is_some_and(|version| version.starts_with("HTTP/"));
    let is_head =
        request.verb.eq_ignore_ascii_case("host:") || (has_target || has_version) && METHODS.contains(&request.verb);
    // No browser writes a tag; and whoever does is told which request it was.
    is_head && request.manner.tag.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request<'_> {
        match Request::parse(line.as_bytes()) {
            Ok(Line::Request(request)) => request,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_request_is_tag_verb_args_and_options() {
        let request = request("@a.1 pi  1e16\tdeadline=60s progress=1s ");
        assert_eq!(request.manner.tag, Tag::parse("a.1"));
        assert_eq!(request.verb, "pi");
        assert_eq!(*request.args, ["1e16"]);
        assert_eq!(request.option("DEADLINE"), Some("60s"));
        assert!(!request.manner.is_bare);
    }

    #[test]
    fn a_line_that_is_only_a_number_means_nth() {
        for (line, is_bare) in [
            ("100000", true),
            (" 10**6 ", true),
            ("@t 5", false),
            ("5 deadline=1s", false),
        ] {
            let request = request(line);
            assert_eq!(
                (request.verb, request.args.len(), request.manner.is_bare),
                ("nth", 1, is_bare),
                "{line}"
            );
        }
        assert_eq!(request("5 6").verb, "5");
    }

    #[test]
    fn blank_lines_and_comments_ask_nothing() {
        for line in ["", "   ", "# pi 5", "\t"] {
            assert_eq!(Request::parse(line.as_bytes()), Ok(Line::Nothing));
        }
    }

    #[test]
    fn what_is_no_request_is_malformed() {
        let malformed = |line: &[u8]| Request::parse(line).map(|_| ());
        assert_eq!(malformed(b"pi \0"), Err((None, Malformed::NotText)));
        assert_eq!(malformed("pi é".as_bytes()), Err((None, Malformed::NotText)));
        assert_eq!(
            malformed("@a pi é".as_bytes()),
            Err((Tag::parse("a"), Malformed::NotText))
        );
        assert_eq!(malformed("@é pi 5".as_bytes()), Err((None, Malformed::NotText)));
        assert_eq!(malformed(b"@ pi 5"), Err((None, Malformed::Tag)));
        assert_eq!(malformed(b"@a/b pi 5"), Err((None, Malformed::Tag)));
        assert_eq!(malformed(b"@a"), Err((Tag::parse("a"), Malformed::OnlyTag)));
        assert_eq!(
            malformed("x ".repeat(65).as_bytes()),
            Err((None, Malformed::TooManyWords))
        );
        assert_eq!(
            malformed(format!("@a {}", "x ".repeat(65)).as_bytes()),
            Err((Tag::parse("a"), Malformed::TooManyWords))
        );
        assert_eq!(malformed("x ".repeat(64).as_bytes()), Ok(()));
    }

    #[test]
    fn a_web_page_is_recognised() {
        for line in [
            "POST / HTTP/1.1",
            "GET /x",
            "Host: localhost:7919",
            "OPTIONS * HTTP/1.1",
        ] {
            assert_eq!(Request::parse(line.as_bytes()), Ok(Line::Http), "{line}");
            assert_eq!(request(&format!("@a {line}")).manner.tag, Tag::parse("a"), "{line}");
        }
    }
}
