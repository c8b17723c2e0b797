//! Roles: what a user may do. Each includes those below it.

use std::fmt;

/// What a user may do, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ask, and wait for the answer.
    #[default]
    Ask,
    /// Also submit jobs, which outlive the connection.
    Submit,
    /// Also see and end what others have asked, and change the daemon.
    Operate,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Ask, Self::Submit, Self::Operate];

    /// The role as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Submit => "submit",
            Self::Operate => "operate",
        }
    }

    /// The role that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
