//! A request that owns its words: what a client encodes and a server decodes. Knows no verb.

use crate::proto::dialect::lines::{ParsedLine, parse_line};
use crate::proto::{Code, Failure, Tag, request};

/// A request: a verb, its arguments, its options, and perhaps a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    tag: Option<Tag>,
    /// Its words with a space between them: the verb first, the options last.
    words: String,
}

impl Request {
    /// The request of a line, `@a pi 1e12 deadline=5s` or without the tag. A number alone means `nth`.
    ///
    /// # Errors
    /// `syntax` if the line is no request.
    pub fn new(line: &str) -> Result<Self, Failure> {
        let refused = |text: String| Failure::new(Code::Syntax, text);
        match parse_line(line.as_bytes()) {
            // In the first column, it begins a request of RESP.
            Ok(ParsedLine::Request(request)) if !line.starts_with('*') => Ok(Self::from(&request)),
            Ok(_) => Err(refused("a request begins with a verb or a tag".to_owned())),
            Err((_, malformed)) => Err(refused(malformed.to_string())),
        }
    }

    /// The same request with this tag.
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The tag.
    pub const fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The request as a line without its tag.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// The verb, as it was written.
    pub fn verb(&self) -> &str {
        self.words.split(' ').next().unwrap_or_default()
    }

    /// The words after the verb that are not options.
    pub fn args(&self) -> impl Iterator<Item = &str> {
        self.words.split(' ').skip(1).filter(|word| !word.contains('='))
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&str> {
        let mut options = self.words.split(' ').skip(1).filter_map(|word| word.split_once('='));
        options
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    }
}

impl From<&request::Request<'_>> for Request {
    fn from(request: &request::Request<'_>) -> Self {
        let mut words = request.verb.to_owned();
        for arg in request.args.iter() {
            words.push(' ');
            words.push_str(arg);
        }
        for (key, value) in request.options.iter() {
            words.push(' ');
            words.push_str(key);
            words.push('=');
            words.push_str(value);
        }
        Self {
            tag: request.format.tag,
            words,
        }
    }
}
