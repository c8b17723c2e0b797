//! How a reply is to be encoded: the interface of the dialects, and what a request says about its reply. Knows no
//! dialect.

use super::Tag;
use super::reply::{Final, Interim};
use bytes::BytesMut;
use std::fmt;

/// The encoding of replies.
pub trait Dialect: Sync {
    /// Names the dialect in logs and tests.
    fn name(&self) -> &'static str;

    /// True if replies leave in the order of their requests and each in one piece: a tag does not let a reply overtake,
    /// and rows wait for the reply they belong to.
    fn is_strict(&self) -> bool;

    /// Encodes the end of a reply. `rows`: those that waited for it; `None` if such a request has none.
    fn write_final(&self, out: &mut BytesMut, format: &ReplyFormat, rows: Option<&[String]>, reply: &Final);

    /// Encodes what comes before the final reply. A strict dialect is never given rows.
    fn write_interim(&self, out: &mut BytesMut, tag: Option<&Tag>, interim: &Interim);
}

impl fmt::Debug for dyn Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// How the reply to a request is encoded. By default: a line without a tag.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ReplyFormat {
    /// The dialect of the request.
    pub(crate) dialect: &'static dyn Dialect,
    /// The tag of the request.
    pub(crate) tag: Option<Tag>,
    pub(crate) is_bare: bool,
}

impl ReplyFormat {
    /// The tag of the request.
    pub const fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// True if the request was a number alone, which means `nth`: its reply is a number alone.
    pub const fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// True if the reply may leave before those of earlier requests.
    pub(super) fn overtakes(&self) -> bool {
        self.tag.is_some() && !self.dialect.is_strict()
    }
}
