//! The settings of a cluster. Knows no connection.

use crate::cluster::{check_name, check_servers, is_of_name};
use crate::{ClusterSettings, Daemon};
use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use std::ffi::OsStr;
use std::path::PathBuf;

/// How it takes part in a cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterFlags {
    /// Servers of NATS, with JetStream, to join the other daemons there: nats://HOST:4222, several separated by commas
    #[arg(long, value_name = "URL", env = "PRIMED_CLUSTER", hide_env_values = true, value_parser = ServersParser)]
    cluster: Option<String>,
    /// Name of this node, of letters, digits, - and _ [default: the host's name]
    #[arg(long, value_name = "NAME", env = "PRIMED_NODE_NAME", value_parser = read_name)]
    node_name: Option<String>,
    /// Do parts of the others' jobs only, and take in no jobs
    #[arg(long, value_name = "BOOL", env = "PRIMED_WORKERS_ONLY", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    workers_only: bool,
    /// Share of parts to recompute here, such as 1%, to find nodes that return wrong results
    #[arg(long, value_name = "SHARE", env = "PRIMED_CHECK", default_value = "0%", value_parser = read_share)]
    check: Share,
    /// File with credentials for NATS
    #[arg(long, value_name = "FILE", env = "PRIMED_CLUSTER_CREDENTIALS")]
    cluster_credentials: Option<PathBuf>,
    /// Certificates by which those of NATS are checked; demands TLS
    #[arg(long, value_name = "FILE", env = "PRIMED_CLUSTER_CA")]
    cluster_ca: Option<PathBuf>,
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Share(f64);

impl ClusterFlags {
    /// The same daemon as a node, if it is to be one.
    pub(super) fn apply(&self, daemon: Daemon) -> anyhow::Result<Daemon> {
        let Some(url) = &self.cluster else {
            let without_use = [
                ("--workers-only", self.workers_only),
                ("--node-name", self.node_name.is_some()),
                ("--check", self.check != Share(0.0)),
                ("--cluster-credentials", self.cluster_credentials.is_some()),
                ("--cluster-ca", self.cluster_ca.is_some()),
            ];
            return match without_use.iter().find(|(_, is_set)| *is_set) {
                Some((flag, _)) => Err(anyhow::anyhow!(
                    "{flag} needs a cluster: --cluster nats://HOST:4222; 'primed serve --show-config' shows where it is set"
                )),
                None => Ok(daemon),
            };
        };
        let name = self.name().map_err(anyhow::Error::msg)?;
        let mut settings = ClusterSettings::new(url, name);
        settings.credentials.clone_from(&self.cluster_credentials);
        settings.ca.clone_from(&self.cluster_ca);
        settings.is_worker_only = self.workers_only;
        settings.check = self.check.0;
        Ok(daemon.cluster(settings))
    }

    /// Whether it is to be a node.
    pub(super) const fn is_on(&self) -> bool {
        self.cluster.is_some()
    }

    /// The name of this node, if it is to be one.
    pub(super) fn node(&self) -> Option<String> {
        self.cluster.as_ref().and_then(|_| self.name().ok())
    }

    fn name(&self) -> Result<String, String> {
        if let Some(name) = &self.node_name {
            return Ok(name.clone());
        }
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        read_name(&host.replace(|other: char| !is_of_name(other), "-"))
    }
}

/// Reads servers. Errors of clap show the value that is wrong, and this one may have a password: so they are made here.
#[derive(Clone)]
struct ServersParser;

impl TypedValueParser for ServersParser {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let text = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
        text.and_then(|text| check_servers(text).map(|()| text.to_owned()))
            .map_err(|what| {
                let arg = arg.map(Arg::to_string).unwrap_or_default();
                let message = format!("invalid value for '{arg}': {what}");
                let mut error = clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command);
                error.insert(ContextKind::InvalidArg, ContextValue::String(arg));
                error
            })
    }
}

fn read_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn read_share(text: &str) -> Result<Share, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent.map(|percent| percent / 100.0) {
        Some(share) if (0.0..=1.0).contains(&share) => Ok(Share(share)),
        _ => Err("write a share from 0% to 100%".to_owned()),
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_shares_are_percents() {
        assert!(read_name("host-1_a").is_ok());
        for name in ["", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(read_name(name).is_err(), "{name}");
        }
        assert_eq!(read_share("1%"), Ok(Share(0.01)));
        for share in ["1", "-1%", "101%", "%", "NaN%"] {
            assert!(read_share(share).is_err(), "{share}");
        }
    }
}
