//! Tags: a client's names for its requests. Knows which names are tags, and no request.

use std::fmt;
use std::hash::{Hash, Hasher};

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

    /// The tag that a line begins with, whatever follows it: the error reply to a line that cannot be read bears the
    /// tag too.
    pub(super) fn before(line: &[u8]) -> Option<Self> {
        let word = line.trim_ascii_start().strip_prefix(b"@")?;
        let end = word.iter().take(Self::MAX + 1).position(u8::is_ascii_whitespace)?;
        Self::parse(std::str::from_utf8(&word[..end]).ok()?)
    }

    /// The tag without its `@`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The tag without its `@`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a tag is ASCII")
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
        f.write_str(self.as_str())
    }
}
