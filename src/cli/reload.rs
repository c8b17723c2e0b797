//! SIGHUP: reads the configuration again, puts into force what can change while the daemon runs, and logs what changed.
//!
//! Flags and environment still win over the file, so it is the file that can change. Knows no single limit.

use super::security::Security;
use super::serve::{Serve, SetFilter};
use super::settings::{Refusal, in_one_line};
use super::{Cli, Command};
use crate::daemon::Running;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

/// The settings that change while the daemon runs; `max-line` holds for connections accepted from then on. The others need a restart.
const LIVE: [&str; 8] = [
    "drain-limit",
    "idle-timeout",
    "log",
    "max-connections",
    "max-in-flight",
    "max-line",
    "max-unsent",
    "stall-timeout",
];

/// What is needed to read the configuration again.
pub(super) struct Reload {
    arguments: Vec<OsString>,
    /// The settings in force.
    values: BTreeMap<String, String>,
    set_filter: SetFilter,
    security: Security,
    /// How long accepted work may go on after the first signal.
    pub(super) drain_limit: Duration,
}

impl Reload {
    pub(super) fn new(
        arguments: Vec<OsString>,
        values: BTreeMap<String, String>,
        set_filter: SetFilter,
        drain_limit: Duration,
        security: Security,
    ) -> Self {
        Self {
            arguments,
            values,
            set_filter,
            security,
            drain_limit,
        }
    }

    /// Reads certificates, users and the configuration again. A mistake in one of them changes nothing of it.
    pub(super) fn again(&mut self, running: &Running) {
        self.security.reload();
        let (serve, values) = match Cli::read(&self.arguments) {
            Ok((
                Cli {
                    command: Command::Serve(serve),
                    ..
                },
                settings,
            )) => (serve, settings.values()),
            Ok(_) => return,
            Err(Refusal::Setting(mistake)) => return tracing::error!(%mistake, "SIGHUP: nothing changes"),
            Err(Refusal::Arguments(error)) => {
                return tracing::error!(mistake = in_one_line(&error), "SIGHUP: nothing changes");
            }
        };
        if let Err(error) = self.apply(&serve, running) {
            return tracing::error!(%error, "SIGHUP: nothing changes");
        }
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
    }

    fn apply(&mut self, serve: &Serve, running: &Running) -> anyhow::Result<()> {
        running.set_limits(serve.limits())?;
        (self.set_filter)(serve.log_filter())?;
        self.drain_limit = serve.drain_limit();
        Ok(())
    }
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
