//! The sources of the settings of `serve`: flags win over the environment, the environment over the file, the file over
//! the defaults.
//!
//! The flags are the one list of settings: a name in the file is a flag's, and what the file says becomes its default.
//! So all three are read alike, and help, file and `--show-config` cannot disagree. Knows no individual setting.

use super::{connect, cpu};
use crate::cluster::without_users;
use crate::config::{self, Setting};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// The value that is shown of a setting that has none.
const NONE: &str = "none";

/// The subcommand that has settings.
const SERVE: &str = "serve";

/// How the variables of settings begin.
const PREFIX: &str = "PRIMED_";

/// The text above the settings.
const INTRODUCTION: &str = "\
# The settings of 'primed serve'. Each is a flag too (--max-jobs) and an environment variable (PRIMED_MAX_JOBS):
# flags win over the environment, the environment over the file, the file over the defaults.
";

/// Why the arguments are refused.
pub(super) enum Refusal {
    /// They are wrong, or ask for help.
    Arguments(clap::Error),
    /// The file or the environment is wrong.
    Setting(String),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

/// A configuration file.
struct File {
    path: PathBuf,
    settings: Vec<Setting>,
}

/// The arguments, with the settings of the environment and the file.
pub(super) struct Settings {
    command: Command,
    file: Option<File>,
    /// All arguments.
    pub(super) matches: ArgMatches,
}

impl Settings {
    /// Reads arguments, environment and, if they name one, the file.
    pub(super) fn read(command: Command, arguments: &[OsString]) -> Result<Self, Refusal> {
        let find = |command: &Command, arguments: &[OsString]| {
            let found = command.clone().try_get_matches_from(arguments);
            found.map_err(|error| blame(error, command, arguments))
        };
        let mut matches = find(&command, arguments)?;
        let file = match matches.subcommand() {
            Some((SERVE, matches)) => matches
                .get_one::<PathBuf>("config")
                .map(|path| File::read(path, &command)),
            _ => None,
        };
        let file = file.transpose()?;
        if let Some(File { settings, .. }) = &file {
            let with_file = settings.iter().fold(command.clone(), with_default);
            matches = find(&with_file, arguments)?;
        }
        Ok(Self { command, file, matches })
    }

    /// The same settings, without a look at the file, and with these flags after all others. A flag given twice has its
    /// last value.
    pub(super) fn with_flags(
        &self,
        arguments: &[OsString],
        flags: impl Iterator<Item = OsString>,
    ) -> Result<ArgMatches, Refusal> {
        let file = self.file.iter().flat_map(|file| &file.settings);
        let command = file.fold(self.command.clone(), with_default);
        let command = command.mut_subcommand(SERVE, |serve| serve.args_override_self(true));
        let arguments = arguments.iter().cloned().chain(flags);
        Ok(command.try_get_matches_from(arguments)?)
    }

    /// What to say about variables of the environment that look like settings and are none.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let arguments = self.command.get_subcommands().flat_map(Command::get_arguments);
        let known = arguments.filter_map(|arg| arg.get_env()?.to_str());
        let known: Vec<&str> = known.chain([cpu::VARIABLE, connect::PASSWORD]).collect();
        let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let unknown = set.filter(|name| name.starts_with(PREFIX) && !known.contains(&name.as_str()));
        let bare: Vec<&str> = known.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
        let warning = |name: String| match config::nearest(name.strip_prefix(PREFIX).unwrap_or(&name), &bare) {
            Some(nearest) => format!("${name} is not a setting; did you mean ${PREFIX}{nearest}?"),
            None => format!("${name} is not a setting; 'primed serve --help' lists them all"),
        };
        unknown.map(warning).collect()
    }

    /// The names of all settings.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.command)
    }

    /// Every setting by its name, with its value as it was written, or `none`; users and passwords in addresses are
    /// left out.
    pub(super) fn values(&self) -> BTreeMap<String, String> {
        self.values_in(&self.matches)
    }

    /// The same in other matches of the same command.
    pub(super) fn values_in(&self, matches: &ArgMatches) -> BTreeMap<String, String> {
        let Some((_, matches)) = matches.subcommand() else {
            return BTreeMap::new();
        };
        let value = |arg: &Arg| {
            let Some(values) = matches.get_raw(arg.get_id().as_str()) else {
                return (name(arg).to_owned(), NONE.to_owned());
            };
            let values: Vec<_> = values.map(|value| shown(arg, value)).collect();
            (name(arg).to_owned(), values.join(", "))
        };
        settings(&self.command).map(value).collect()
    }

    /// Prints every setting, its value and its source, as a configuration file.
    pub(super) fn print(&self) -> anyhow::Result<ExitCode> {
        std::io::stdout().write_all(self.show().as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self) -> String {
        let mut text = INTRODUCTION.to_owned();
        let Some((_, matches)) = self.matches.subcommand() else {
            return text;
        };
        let mut heading = None;
        for arg in settings(&self.command) {
            if arg.get_help_heading() != heading {
                heading = arg.get_help_heading();
                let _ = write!(text, "\n# -- {} --\n", heading.unwrap_or_default());
            }
            let _ = writeln!(text, "\n# {}", arg.get_help().cloned().unwrap_or_default());
            let name = name(arg);
            let _ = match matches.get_raw(arg.get_id().as_str()) {
                None => writeln!(
                    text,
                    "# {name} = {}",
                    arg.get_value_names().unwrap_or_default().join(" ")
                ),
                Some(values) => {
                    let values: Vec<String> = values.map(|value| as_toml(arg, &shown(arg, value))).collect();
                    let value = match arg.get_action() {
                        ArgAction::Append => format!("[{}]", values.join(", ")),
                        _ => values.concat(),
                    };
                    writeln!(
                        text,
                        "{:<40} # {}",
                        format!("{name} = {value}"),
                        self.source(arg, matches)
                    )
                }
            };
        }
        text
    }

    fn source(&self, arg: &Arg, matches: &ArgMatches) -> String {
        match matches.value_source(arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => format!("--{}", name(arg)),
            Some(ValueSource::EnvVariable) => format!("${}", arg.get_env().unwrap_or_default().display()),
            _ => self
                .file
                .iter()
                .find_map(|file| file.place(name(arg)))
                .unwrap_or_else(|| "default".to_owned()),
        }
    }
}

impl File {
    fn read(path: &PathBuf, command: &Command) -> Result<Self, Refusal> {
        let shown = path.display();
        let bytes = fs::read(path)
            .map_err(|error| Refusal::Setting(format!("cannot read the configuration {shown}: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            Refusal::Setting(format!(
                "{shown}:{line}: that is not UTF-8: save the file in this encoding"
            ))
        })?;
        let known: Vec<&str> = names(command).collect();
        let settings = config::read(&text, &known).map_err(|mistake| Refusal::Setting(format!("{shown}:{mistake}")))?;
        let file = Self {
            path: path.clone(),
            settings,
        };
        for setting in &file.settings {
            file.check(setting, command)?;
        }
        Ok(file)
    }

    /// Checks that the flag of this name takes the value.
    fn check(&self, setting: &Setting, command: &Command) -> Result<(), Refusal> {
        let Some(arg) = settings(command).find(|arg| name(arg) == setting.name) else {
            return Ok(());
        };
        if setting.values.len() > 1 && !matches!(arg.get_action(), ArgAction::Append) {
            let (path, line) = (self.path.display(), setting.line);
            return Err(Refusal::Setting(format!(
                "{path}:{line}: '{0}' is not a list: write {0} = VALUE",
                setting.name
            )));
        }
        let flags = setting.values.iter().map(|value| format!("--{}={value}", setting.name));
        let alone = Command::new(SERVE).arg(arg.clone().env(None::<&'static str>));
        match alone.try_get_matches_from([SERVE.to_owned()].into_iter().chain(flags)) {
            Ok(_) => Ok(()),
            Err(error) => {
                let what = in_one_line(&error).replace(&as_shown(arg), &setting.name);
                Err(Refusal::Setting(format!(
                    "{}:{}: {what}",
                    self.path.display(),
                    setting.line
                )))
            }
        }
    }

    fn place(&self, name: &str) -> Option<String> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        Some(format!("{}:{}", self.path.display(), setting.line))
    }
}

/// The names of all settings of this command.
pub(super) fn names(command: &Command) -> impl Iterator<Item = &str> {
    settings(command).map(name)
}

/// The flags of `serve` that are settings: all that have a value, but for the file's own name.
fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    let flags = command
        .find_subcommand(SERVE)
        .into_iter()
        .flat_map(Command::get_arguments);
    flags.filter(|arg| arg.get_action().takes_values() && arg.get_id() != "config")
}

fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// A value as it may be shown: without the users and passwords of addresses. A setting whose value the help does not
/// show may have one in an address without a scheme too.
fn shown(arg: &Arg, value: &OsStr) -> String {
    let value = value.to_string_lossy();
    match arg.is_hide_env_values_set() || value.contains("://") {
        true => without_users(&value),
        false => value.into_owned(),
    }
}

/// A flag as clap's errors show it.
fn as_shown(arg: &Arg) -> String {
    let (name, value) = (name(arg), arg.get_value_names().unwrap_or_default().join(" "));
    match arg.get_num_args().is_some_and(|count| count.min_values() == 0) {
        true => format!("--{name}[=<{value}>]"),
        false => format!("--{name} <{value}>"),
    }
}

/// The command, with the value in the file as the default of its flag.
fn with_default(command: Command, setting: &Setting) -> Command {
    let id = settings(&command)
        .find(|arg| name(arg) == setting.name)
        .map(|arg| arg.get_id().clone());
    match id {
        Some(id) => command.mut_subcommand(SERVE, |serve| {
            serve.mut_arg(id, |arg| arg.default_values(setting.values.clone()))
        }),
        None => command,
    }
}

/// Attributes a wrong value to the environment if it comes from there, in whatever subcommand.
fn blame(error: clap::Error, command: &Command, arguments: &[OsString]) -> Refusal {
    let named = arguments.iter().skip(1).find_map(|word| command.find_subcommand(word));
    let nested = named.into_iter().flat_map(Command::get_subcommands);
    let mut flags = named.into_iter().chain(nested).flat_map(Command::get_arguments);
    if error.kind() == ErrorKind::InvalidUtf8 {
        // Clap says only that some argument cannot be read.
        let variable = flags.filter_map(Arg::get_env).find(|variable| is_not_utf8(variable));
        return match variable {
            Some(variable) => Refusal::Setting(format!("the variable {} is not UTF-8", variable.display())),
            None => error.into(),
        };
    }
    let Some(ContextValue::String(culprit)) = error.get(ContextKind::InvalidArg) else {
        return error.into();
    };
    let is_typed = |arg: &Arg| {
        let flag = format!("--{}", name(arg));
        // Of many a flag another is the beginning: --max-jobs of --max-jobs-per-account.
        let is_it = |typed: &str| {
            typed
                .strip_prefix(&flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        arguments.iter().any(|typed| is_it(&typed.to_string_lossy()))
    };
    let culprit = flags.find(|arg| as_shown(arg) == *culprit && !is_typed(arg));
    match culprit.and_then(|arg| Some((arg, arg.get_env().filter(|variable| is_set(variable))?))) {
        Some((arg, variable)) => {
            let variable = format!("${}", variable.display());
            Refusal::Setting(in_one_line(&error).replace(&as_shown(arg), &variable))
        }
        None => error.into(),
    }
}

fn is_not_utf8(variable: &OsStr) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.to_str().is_none())
}

fn is_set(variable: &OsStr) -> bool {
    std::env::var_os(variable).is_some()
}

/// The message of clap, without its advice.
pub(super) fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = what.trim_start_matches("error:").split_whitespace().collect();
    words.join(" ")
}

/// A value as TOML: a number, and the value of a switch, as it is, anything else as a text.
fn as_toml(arg: &Arg, value: &str) -> String {
    let is_switch = || arg.get_value_names().is_some_and(|names| names == ["BOOL"]);
    let is_bool = matches!(value, "true" | "false") && is_switch();
    if is_bool || value.parse::<i64>().is_ok_and(|number| number.to_string() == value) {
        return value.to_owned();
    }
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text + "\""
}
