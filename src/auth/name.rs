//! Names of users: short enough to be copied with every request.

use std::fmt;

/// The name of a user: a letter, and up to 31 more letters, digits, `.`, `_` and `-`. So it is never an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName {
    /// Padded with zeros, which no name has.
    bytes: [u8; Self::MAX],
}

impl UserName {
    /// The longest name, in bytes.
    pub const MAX: usize = 32;

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let begins = text.bytes().next()?.is_ascii_alphabetic();
        if !begins || text.len() > Self::MAX || !text.bytes().all(allowed) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes })
    }

    /// True if a user may have it: `process` and `unix` are the accounts of clients that are neither users nor
    /// addresses.
    pub fn is_free(&self) -> bool {
        !matches!(self.as_str(), "process" | "unix")
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let length = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX);
        std::str::from_utf8(&self.bytes[..length]).unwrap_or_default()
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_address_and_has_no_blank() {
        let longest = "a".repeat(UserName::MAX);
        for name in ["bob", "Al.ice_2-b", longest.as_str()] {
            assert_eq!(
                UserName::parse(name).map(|name| name.to_string()).as_deref(),
                Some(name)
            );
        }
        let too_long = "a".repeat(UserName::MAX + 1);
        for text in ["", "1.2.3.4", "::1", "-a", "a b", "a=b", "é", too_long.as_str()] {
            assert_eq!(UserName::parse(text), None, "{text}");
        }
    }
}
