//! The file of users: a line each, `NAME ROLE HASH [requests=N] [jobs=N] [cpu=N]`. Blank lines and those that begin
//! with `#` are skipped.

use super::password::is_hash;
use super::{Role, UserLimits, UserName};
use std::collections::HashSet;
use std::fmt;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The user.
    pub name: UserName,
    /// What he may do.
    pub role: Role,
    /// The hash of his password.
    pub hash: String,
    /// How much he may use.
    pub limits: UserLimits,
}

/// The users of a file, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFile {
    /// Each name once.
    pub entries: Vec<Entry>,
}

impl UserFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first line that is wrong, and why; never what stands in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut file = Self::default();
        let mut names = HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |what: &str| format!("line {}: {what}", index + 1);
            let entry = Entry::parse(line).map_err(at)?;
            if !names.insert(entry.name) {
                return Err(at("this name stands there twice"));
            }
            file.entries.push(entry);
        }
        Ok(file)
    }

    /// The entry of a user.
    pub fn find(&self, name: UserName) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split_ascii_whitespace();
        let mut next = || words.next().unwrap_or_default();
        let name = UserName::parse(next())
            .filter(UserName::is_free)
            .ok_or("a name is a letter and up to 31 letters, digits, '.', '_' and '-'")?;
        let role = Role::parse(next()).ok_or("a role is ask, submit or operate")?;
        let hash = next();
        if !is_hash(hash) {
            return Err("after the role comes what 'primed user' or 'argon2 -id' makes of a password");
        }
        let mut limits = UserLimits::default();
        for word in words {
            let wrong = "a limit is requests=N, jobs=N or cpu=N, from 1";
            let (key, value) = word.split_once('=').ok_or(wrong)?;
            let value = value.parse().ok().filter(|value| *value > 0).ok_or(wrong)?;
            match key {
                "requests" => limits.requests = Some(value),
                "jobs" => limits.jobs = Some(value),
                "cpu" => limits.cpu = Some(value),
                _ => return Err(wrong),
            }
        }
        let hash = hash.to_owned();
        Ok(Self {
            name,
            role,
            hash,
            limits,
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UserLimits { requests, jobs, cpu } = self.limits;
        write!(f, "{} {} {}", self.name, self.role, self.hash)?;
        for (key, value) in [("requests", requests), ("jobs", jobs), ("cpu", cpu)] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password::hash;

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let hash = hash("x").expect("it is a password");
        let text = format!("# users\n\nbob submit {hash} requests=5 cpu=30\nann operate {hash}\n");
        let file = UserFile::parse(&text).expect("it is right");
        let bob = &file.entries[0];
        assert_eq!(
            (bob.role, bob.limits.requests, bob.limits.jobs),
            (Role::Submit, Some(5), None)
        );
        let again: Vec<String> = file.entries.iter().map(ToString::to_string).collect();
        assert_eq!(UserFile::parse(&again.join("\n")), Ok(file));
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_and_never_quoted() {
        let hash = hash("x").expect("it is a password");
        for line in [
            "bob ask hunter2".to_owned(),
            "bob admin x".to_owned(),
            "1bob ask x".to_owned(),
            "hunter2".to_owned(),
            format!("process ask {hash}"),
            format!("bob ask {hash} hunter2"),
            format!("bob ask {hash} jobs=0"),
            format!("bob ask {hash}\nbob ask {hash}"),
        ] {
            let error = UserFile::parse(&format!("#\n{line}")).expect_err(&line);
            assert!(error.starts_with("line ") && !error.contains("hunter2"), "{error}");
        }
    }
}
