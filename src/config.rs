//! The configuration file: its settings and their lines, so that a wrong setting can be reported with its line.
//!
//! A file is TOML without sections: `max-jobs = 5000`. Values stay text: they are read like the flag of the same name.
//! Knows no setting, no flag and no file system.

use std::ops::Range;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// A setting that a file makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, one of those that are known.
    pub name: String,
    /// The value as text; several if the file has a list.
    pub values: Vec<String>,
    /// Where it stands, from 1.
    pub line: usize,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}: {what}")]
pub struct Mistake {
    /// Where it stands, from 1.
    pub line: usize,
    /// What it is, and what would be right.
    pub what: String,
}

/// The settings of a file, in the order of their lines.
///
/// ```
/// let settings = primed::internals::read_config("# few\nmax-jobs = 5_000\n", &["max-jobs"]).unwrap();
/// assert_eq!((settings[0].values[0].as_str(), settings[0].line), ("5000", 2));
/// let mistake = primed::internals::read_config("max-job = 5\n", &["max-jobs"]).unwrap_err();
/// assert_eq!(mistake.to_string(), "1: there is no setting 'max-job'; did you mean 'max-jobs'?");
/// ```
///
/// # Errors
/// The first `Mistake`: invalid TOML, a setting that is not `known`, or a value that is not a string, a number or a
/// list of them.
pub fn read(text: &str, known: &[&str]) -> Result<Vec<Setting>, Mistake> {
    let mistake = |at: Range<usize>, what: String| Mistake {
        line: line_of(text, at.start),
        what,
    };
    let table = DeTable::parse(text).map_err(|error| {
        let what = error.message().replace('\n', "; ");
        mistake(error.span().unwrap_or_default(), format!("invalid TOML: {what}"))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut settings = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let (name, at) = (name.get_ref().as_ref(), name.span());
        if let DeValue::Table(_) = value.get_ref() {
            return Err(mistake(at, format!("sections are not allowed, and '{name}' is one")));
        }
        if !known.contains(&name) {
            return Err(mistake(at, unknown(name, known)));
        }
        let values = match value.get_ref() {
            DeValue::Array(list) if list.is_empty() => Err("is an empty list: name a value, or leave the line out"),
            DeValue::Array(list) => list.iter().map(|value| text_of(value.get_ref())).collect(),
            one => text_of(one).map(|one| vec![one]),
        };
        let values = values.map_err(|what| mistake(at.clone(), format!("'{name}' {what}")))?;
        let (name, line) = (name.to_owned(), line_of(text, at.start));
        settings.push(Setting { name, values, line });
    }
    Ok(settings)
}

/// A value as text, or what is wrong with it.
fn text_of(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().to_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err("is too large a number"),
        },
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Float(_) => Err("is no whole number: write one, or a string"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            Err("must be a string, a number, or a list of them")
        }
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("there is no setting '{name}'; did you mean '{nearest}'?"),
        None => format!("there is no setting '{name}'; 'primed serve --show-config' lists them all"),
    }
}

/// The known name that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    known
        .iter()
        .copied()
        .min_by_key(distance)
        // A third of its letters may differ: 'otlp' is not meant to be 'http'.
        .filter(|known| distance(known) <= (known.len() / 3).min(3))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["http", "listen", "max-jobs", "drain-limit"];

    fn refused(text: &str) -> String {
        read(text, &KNOWN).expect_err("it is wrong").to_string()
    }

    #[test]
    fn texts_numbers_and_lists_keep_their_lines() {
        let text = "# a comment\nmax-jobs = 0x10\n\ndrain-limit = \"5s\"\nlisten = [\"a:1\",\n 'b:2']\n";
        let settings = read(text, &KNOWN).expect("it is right");
        let settings: Vec<_> = settings
            .iter()
            .map(|Setting { name, values, line }| (name.as_str(), values.join(" "), *line))
            .collect();
        assert_eq!(
            settings,
            [
                ("max-jobs", "16".into(), 2),
                ("drain-limit", "5s".into(), 4),
                ("listen", "a:1 b:2".into(), 5)
            ]
        );
        assert_eq!(read("", &KNOWN), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(
            refused("\nmax_jobs = 1"),
            "2: there is no setting 'max_jobs'; did you mean 'max-jobs'?"
        );
        assert_eq!(
            refused("colour = 1"),
            "1: there is no setting 'colour'; 'primed serve --show-config' lists them all"
        );
        assert_eq!(
            refused("otlp = 'x'"),
            "1: there is no setting 'otlp'; 'primed serve --show-config' lists them all"
        );
        assert_eq!(
            refused("[limits]\nmax-jobs = 1"),
            "1: sections are not allowed, and 'limits' is one"
        );
        assert_eq!(
            refused("max-jobs = 1.5"),
            "1: 'max-jobs' is no whole number: write one, or a string"
        );
        assert_eq!(
            refused("max-jobs = 2001-01-01"),
            "1: 'max-jobs' must be a string, a number, or a list of them"
        );
        assert_eq!(
            refused("listen = []"),
            "1: 'listen' is an empty list: name a value, or leave the line out"
        );
        for text in [
            "max-jobs = 1\nmax-jobs = 2",
            "#\nmax-jobs =",
            "#\n= 3",
            "#\n\u{0}",
            "#\nlisten = [",
        ] {
            assert!(
                refused(text).starts_with("2: invalid TOML: "),
                "{text}: {}",
                refused(text)
            );
        }
    }
}
