//! Settings that change while the daemon runs: SIGHUP reads the configuration again and `config set` changes one of
//! them. Both put into force what can change, and log what changed.
//!
//! Flags and environment still win over the file, so at SIGHUP it is the file that can change; it takes the place of
//! what `config set` has changed before. Knows no single limit.

use super::Serve;
use super::logging::SetFilter;
use crate::cli::configure::{ConfigRequest, LIVE, matches, needs_restart};
use crate::cli::security::Security;
use crate::cli::settings::{Refusal, Settings, in_one_line};
use crate::cli::{Cli, Command};
use crate::daemon::Running;
use crate::{Code, Failure, Value};
use clap::FromArgMatches;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::pending;
use std::time::Duration;
use tokio::sync::oneshot;

/// What reading the configuration gave.
type Read = Result<Settings, Refusal>;

/// What is needed to read the configuration again.
pub(super) struct Reload {
    arguments: Vec<OsString>,
    /// The settings in force.
    values: BTreeMap<String, String>,
    /// As the configuration was read last.
    settings: Settings,
    /// What `config set` has changed of that.
    set: BTreeMap<String, String>,
    /// What it has changed since the last SIGHUP: reading the files may take long, and this holds after that.
    set_since: BTreeMap<String, String>,
    set_filter: SetFilter,
    security: Security,
    /// What a thread reads.
    reading: Option<oneshot::Receiver<Read>>,
    /// Whether it is to be read once more after that.
    is_due: bool,
    /// How long accepted work may go on after the first signal.
    pub(super) drain_limit: Duration,
}

impl Reload {
    pub(super) fn new(
        arguments: Vec<OsString>,
        settings: Settings,
        set_filter: SetFilter,
        serve: &Serve,
        security: Security,
    ) -> Self {
        Self {
            arguments,
            values: in_force(&settings, serve),
            settings,
            set: BTreeMap::new(),
            set_since: BTreeMap::new(),
            set_filter,
            security,
            reading: None,
            is_due: false,
            drain_limit: serve.drain_limit(),
        }
    }

    /// Begins to read certificates, users and the configuration again. A mistake in one of them changes nothing of it.
    ///
    /// A read may block for as long as a file system likes, so it has a thread: this one serves connections and takes
    /// signals. The thread is none of the runtime, whose end would wait for it.
    pub(super) fn begin(&mut self) {
        self.set_since.clear();
        if self.reading.is_some() {
            self.is_due = true;
            return tracing::warn!(
                "SIGHUP: the files are still being read since the last one; then they are read again"
            );
        }
        self.read_files();
    }

    fn read_files(&mut self) {
        let (sender, reading) = oneshot::channel();
        let (security, arguments) = (self.security.clone(), self.arguments.clone());
        let read = move || {
            security.reload();
            // The daemon may have ended.
            let _ = sender.send(Cli::read(&arguments).map(|(_, settings)| settings));
        };
        match std::thread::Builder::new().name("reload".into()).spawn(read) {
            Ok(_) => self.reading = Some(reading),
            Err(error) => tracing::error!(%error, "SIGHUP: there is no thread to read the files: nothing changes"),
        }
    }

    /// Waits until what was begun is read; for ever, if nothing is.
    pub(super) async fn read(&mut self) -> Option<Read> {
        match &mut self.reading {
            Some(reading) => reading.await.ok(),
            None => pending().await,
        }
    }

    /// Puts into force what was read, and begins again if that was asked for meanwhile.
    pub(super) fn end(&mut self, read: Option<Read>, running: &Running) {
        self.reading = None;
        match read.map(|read| read.and_then(|settings| self.put_into_force(settings, running))) {
            Some(Ok(())) => {}
            Some(Err(Refusal::Setting(mistake))) => tracing::error!(%mistake, "SIGHUP: nothing changes"),
            Some(Err(Refusal::Arguments(error))) => {
                tracing::error!(mistake = in_one_line(&error), "SIGHUP: nothing changes");
            }
            None => tracing::error!("SIGHUP: reading the files panicked: nothing changes"),
        }
        if std::mem::take(&mut self.is_due) {
            self.read_files();
        }
    }

    fn put_into_force(&mut self, settings: Settings, running: &Running) -> Result<(), Refusal> {
        let (serve, set) = self.with_set(&settings, &self.set_since)?;
        let applied = self.apply(&serve, running);
        applied.map_err(|error| Refusal::Setting(error.to_string()))?;
        let mut values = in_force(&settings, &serve);
        values.extend(set);
        self.set.clone_from(&self.set_since);
        self.settings = settings;
        let changes = changes(&self.values, &values);
        if changes.is_empty() {
            tracing::info!("SIGHUP: no setting has changed");
        }
        for Change { setting, before, now } in changes {
            if LIVE.contains(&setting) {
                tracing::info!(setting, before, now, "SIGHUP: a setting has changed");
            } else {
                tracing::warn!(
                    setting,
                    before,
                    now,
                    "SIGHUP: a setting has changed that needs a restart"
                );
            }
        }
        let is_live = |setting: &str| LIVE.contains(&setting);
        self.values.retain(|setting, _| !is_live(setting));
        self.values
            .extend(values.into_iter().filter(|(setting, _)| is_live(setting)));
        Ok(())
    }

    /// These settings with what was set, as flags after those that were given; and the values of what was set.
    fn with_set(
        &self,
        settings: &Settings,
        set: &BTreeMap<String, String>,
    ) -> Result<(Serve, BTreeMap<String, String>), Refusal> {
        let flags = set
            .iter()
            .map(|(name, value)| OsString::from(format!("--{name}={value}")));
        let matches = settings.with_flags(&self.arguments, flags)?;
        let Command::Serve(serve) = Cli::from_arg_matches(&matches)?.command else {
            return Err(Refusal::Setting("the arguments are of another command".to_owned()));
        };
        let mut values = settings.values_in(&matches);
        values.retain(|name, _| set.contains_key(name));
        Ok((*serve, values))
    }

    /// Answers a request of the verb `config`, from this client.
    pub(super) fn answer(&mut self, request: ConfigRequest, client: u64, running: &Running) -> Result<Value, Failure> {
        match request {
            ConfigRequest::Get(patterns) => {
                let is_wanted = |name: &str| {
                    let mut patterns = patterns.iter();
                    patterns.len() == 0 || patterns.any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
                };
                let found = self.values.iter().filter(|(name, _)| is_wanted(name));
                let facts = found.map(|(name, value)| (name.clone().into(), value.clone()));
                Ok(Value::Facts(facts.collect()))
            }
            ConfigRequest::Set(name, value) => self.set(&name, &value, client, running).map(Value::from),
        }
    }

    /// Changes one setting, until the next SIGHUP.
    fn set(&mut self, name: &str, value: &str, client: u64, running: &Running) -> Result<(), Failure> {
        let bad = |what: String| Failure::new(Code::BadArg, format!("config: {what}"));
        if !self.settings.names().any(|known| known == name) {
            let name = crate::engine::shortened(name, 40);
            return Err(bad(format!("there is no setting '{name}'; 'config get' lists them")));
        }
        if !LIVE.contains(&name) {
            return Err(needs_restart(name));
        }
        // Beside what was set before.
        let mut set = self.set.clone();
        set.insert(name.to_owned(), value.to_owned());
        let (serve, values) = self.with_set(&self.settings, &set).map_err(|refusal| match refusal {
            Refusal::Setting(mistake) => bad(mistake),
            Refusal::Arguments(error) => bad(in_one_line(&error)),
        })?;
        self.apply(&serve, running).map_err(|error| bad(error.to_string()))?;
        let shown = |values: &BTreeMap<String, String>| values.get(name).cloned().unwrap_or_default();
        let (before, now) = (shown(&self.values), shown(&values));
        tracing::info!(client, setting = name, before, now, "config set: a setting has changed");
        self.values.insert(name.to_owned(), now);
        self.set = set;
        self.set_since.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn apply(&mut self, serve: &Serve, running: &Running) -> anyhow::Result<()> {
        // The filter first, for it may fail: limits are refused only if one is 0, which no flag takes.
        (self.set_filter)(serve.log_filter())?;
        running.set_limits(serve.limits())?;
        self.drain_limit = serve.drain_limit();
        Ok(())
    }
}

/// Every setting with its value, also where that follows from the machine.
fn in_force(settings: &Settings, serve: &Serve) -> BTreeMap<String, String> {
    let mut values = settings.values();
    let effective = serve.effective();
    values.extend(effective.into_iter().map(|(name, value)| (name.to_owned(), value)));
    values
}

/// A setting that has changed; empty where it has no value.
#[derive(Debug, PartialEq, Eq)]
struct Change<'a> {
    setting: &'a str,
    before: &'a str,
    now: &'a str,
}

fn changes<'a>(before: &'a BTreeMap<String, String>, now: &'a BTreeMap<String, String>) -> Vec<Change<'a>> {
    let mut settings: Vec<&String> = before.keys().chain(now.keys()).collect();
    settings.sort_unstable();
    settings.dedup();
    let value = |values: &'a BTreeMap<String, String>, setting| values.get(setting).map_or("", String::as_str);
    let change = |setting: &'a String| Change {
        setting,
        before: value(before, setting),
        now: value(now, setting),
    };
    settings
        .into_iter()
        .map(change)
        .filter(|change| change.before != change.now)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_appeared_or_vanished_is_listed() {
        let values = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect()
        };
        let before = values(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = values(&[("b", "2"), ("c", "4"), ("d", "5")]);
        let change = |setting, before, now| Change { setting, before, now };
        assert_eq!(
            changes(&before, &now),
            [change("a", "1", ""), change("c", "3", "4"), change("d", "", "5")]
        );
    }
}
