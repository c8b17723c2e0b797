//! Where a daemon's data lives: the flag, else what systemd names, else the user's directory for state. Knows nothing
//! of what is in it.

use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The flag that names the directory.
pub(super) const FLAG: &str = "--data";

/// The word for no directory at all.
const NONE: &str = "none";

/// Where data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Nothing is kept.
    None,
    /// In this directory.
    Directory(PathBuf),
}

/// Reads the name of a directory, or `none`. An empty text, as of a variable that is not set, is neither: it would be
/// the current directory.
pub(super) fn name() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|name| match name.is_empty() {
        true => Err("write a directory, or none"),
        false => Ok(name),
    })
}

impl Data {
    /// What a flag comes to in this environment.
    ///
    /// # Errors
    /// If nothing names a directory.
    pub(super) fn resolve(flag: Option<&OsStr>) -> Result<Self, &'static str> {
        Self::from(flag, |name| std::env::var_os(name))
    }

    fn from(flag: Option<&OsStr>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, &'static str> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        match flag {
            Some(flag) if flag == NONE => return Ok(Self::None),
            Some(flag) => return Ok(Self::Directory(flag.into())),
            None => {}
        }
        // systemd names several, with colons between them, if the unit has several.
        let of_unit = variable("STATE_DIRECTORY");
        let of_unit = of_unit.and_then(|paths| std::env::split_paths(&paths).next());
        if let Some(path) = of_unit {
            return Ok(Self::Directory(path));
        }
        // The XDG base directory specification 0.8: a relative path is invalid, and is to be ignored.
        let of_user = variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let of_home = || Some(Path::new(&variable("HOME")?).join(".local/state"));
        let state = of_user.or_else(of_home);
        state
            .map(|state| Self::Directory(state.join("primed")))
            .ok_or("there is no HOME to keep data in; name a directory with --data, or keep nothing with '--data none'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Data, &'static str> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Data::from(flag.map(OsStr::new), variable)
    }

    fn directory(path: &str) -> Result<Data, &'static str> {
        Ok(Data::Directory(path.into()))
    }

    #[test]
    fn the_flag_wins_over_systemd_and_that_over_the_user() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/primed:/var/lib/other"),
            ("XDG_STATE_HOME", "/home/emmy/state"),
            ("HOME", "/home/emmy"),
        ];
        assert_eq!(resolve(Some("/data"), &all), directory("/data"));
        assert_eq!(resolve(Some("none"), &all), Ok(Data::None));
        assert_eq!(resolve(None, &all), directory("/var/lib/primed"));
        assert_eq!(resolve(None, &all[1..]), directory("/home/emmy/state/primed"));
        assert_eq!(resolve(None, &all[2..]), directory("/home/emmy/.local/state/primed"));
    }

    #[test]
    fn empty_and_relative_variables_count_for_nothing() {
        let home = ("HOME", "/home/emmy");
        let expected = directory("/home/emmy/.local/state/primed");
        assert_eq!(resolve(None, &[("STATE_DIRECTORY", ""), home]), expected);
        assert_eq!(resolve(None, &[("XDG_STATE_HOME", "state"), home]), expected);
        assert!(resolve(None, &[]).expect_err("no home").contains("--data none"));
    }
}
