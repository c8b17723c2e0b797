//! How every command that asks a running daemon reaches it, or what to do if there is none. The one place that opens
//! connections to daemons; only `demo` opens those to the daemon that it runs itself.

use super::address::{self, Endpoint, UNIX};
use super::print::printable;
use super::secret::Secret;
use super::tls_client::TlsFlags;
use super::with_causes;
use crate::client::ReplyLine;
use crate::{Client, Connector};
use anyhow::Context;
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use std::io;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A server whose backlog is full does not answer at all; the system would try for minutes.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The longest reply to `auth`.
const MAX_REPLY: usize = 1_024;

/// The variable that may hold the password, for there is no flag: `ps` shows flags to everybody.
pub(super) const PASSWORD: &str = "PRIMED_PASSWORD";

/// Which daemon is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connect {
    /// Where the daemon listens, or unix:PATH
    #[arg(long = "connect", value_name = "ADDR:PORT", env = "PRIMED_CONNECT", value_parser = address::read_endpoint, default_value_t = Endpoint::from(super::DEFAULT_ADDRESS))]
    address: Endpoint,
    #[command(flatten)]
    login: Login,
    #[command(flatten)]
    tls: TlsFlags,
    #[arg(skip)]
    reason: Reason,
}

/// Why the latest connection was closed, once that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Reason(Arc<Mutex<Option<String>>>);

impl Reason {
    pub(super) fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// A new connection begins.
    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The reason, or else this text.
    pub(super) fn or(&self, text: impl Into<String>) -> anyhow::Error {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        anyhow::Error::msg(known.unwrap_or_else(|| text.into()))
    }
}

/// What to do about a server that answers in TLS.
pub(super) const SPEAKS_TLS: &str = "what answers there speaks TLS: add --tls";

/// The server answers in TLS.
#[derive(Debug, thiserror::Error)]
#[error("{SPEAKS_TLS}")]
pub(super) struct SpeaksTls;

/// Whether bytes begin an alert or a handshake of TLS (RFC 8446, section 5.1). No line begins like that.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, ..])
}

/// An error reply to `auth`.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {text}")]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) text: String,
}

/// As whom it is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Login {
    /// Who you are, where the daemon has users; the password comes from --password-file, $PRIMED_PASSWORD or the
    /// terminal
    #[arg(long, value_name = "NAME", env = "PRIMED_USER")]
    user: Option<String>,
    /// File whose first line is the password of --user
    #[arg(long, value_name = "FILE", env = "PRIMED_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// Read once, however often a command connects.
    #[arg(skip)]
    password: std::sync::OnceLock<Secret>,
}

/// Refuses a file with a password that was given without a user. The variable may stay set.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let has_user = matches!(matches.try_contains_id("user"), Ok(true));
    let has_file = matches!(matches.try_contains_id("password_file"), Ok(true));
    if has_file && !has_user && matches.value_source("password_file") == Some(ValueSource::CommandLine) {
        let what = "--password-file has no effect without a user: add --user NAME";
        return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, what));
    }
    Ok(())
}

impl Connect {
    /// Where the daemon listens, as it was written.
    pub(super) const fn address(&self) -> &Endpoint {
        &self.address
    }

    /// Why the latest connection was closed.
    pub(super) const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether it says who the user is.
    pub(super) const fn has_user(&self) -> bool {
        self.login.user.is_some()
    }

    /// Connects, over TLS if it is asked for, and says who the user is.
    ///
    /// # Errors
    /// Says how to start a daemon if none can be reached, and why the daemon refuses the user: [`Refused`], if it
    /// replied.
    pub(super) fn open(&self) -> anyhow::Result<TcpStream> {
        self.reason.clear();
        let mut stream = match &self.address {
            Endpoint::Unix(path) => connect_unix(path)?,
            Endpoint::Tcp(address) => match (connect(address.resolve()?)?, self.tls.is_on()) {
                (stream, true) => self.tls.wrap(stream, address.host(), &self.reason)?,
                (stream, false) => stream,
            },
        };
        match self.login.say(&mut stream) {
            Err(error) if !error.is::<Refused>() => Err(self.reason.or(with_causes(&error))),
            said => said.map(|()| stream),
        }
    }

    /// Connects in the same way, with the typed client, for many requests at once.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(super) async fn client(self: Arc<Self>) -> anyhow::Result<Client> {
        let open = move || {
            let connect = self.clone();
            async move {
                // A name is resolved, which may take as long as it likes, and must not stop who draws the screen.
                let opened = tokio::task::spawn_blocking(move || connect.open()).await?;
                let stream = opened.map_err(|error| io::Error::other(with_causes(&error)))?;
                stream.set_nonblocking(true)?;
                tokio::net::TcpStream::from_std(stream)
            }
        };
        Ok(Connector::new(open).connect().await?)
    }
}

impl Login {
    /// Says who the user is, if there is one.
    ///
    /// # Errors
    /// Says why the daemon refuses the user.
    pub(super) fn say(&self, stream: &mut TcpStream) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            stream.set_read_timeout(Some(2 * PATIENCE))?;
            authenticate(stream, user, self.password(user)?)?;
            stream.set_read_timeout(None)?;
        }
        Ok(())
    }

    fn password(&self, user: &str) -> anyhow::Result<&str> {
        if self.password.get().is_none() {
            let secret = match (&self.password_file, std::env::var(PASSWORD)) {
                (Some(file), _) => Secret::of_file(file)?,
                (None, Ok(password)) => Secret::new(password),
                (None, Err(_)) => Secret::ask(&format!("password of {user}: "))?.with_context(|| {
                    format!("the password of {user} is missing: use --password-file FILE, or set ${PASSWORD}")
                })?,
            };
            let _ = self.password.set(secret);
        }
        Ok(self.password.get().map_or("", Secret::expose))
    }
}

/// Connects to an address.
///
/// # Errors
/// Says how to start a daemon if none can be reached.
pub(super) fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("cannot reach a daemon at {address} (start one with 'primed serve')"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to a unix socket. For who reads and writes it, a stream of bytes is like another.
fn connect_unix(path: &Path) -> anyhow::Result<TcpStream> {
    let stream = UnixStream::connect(path).map_err(|error| {
        let socket = format!("{UNIX}{}", path.display());
        let what = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("{socket} is for the user and the group of its daemon: ask as that user, or join the group")
            }
            _ => format!("cannot reach a daemon at {socket} (start one with 'primed serve --listen {socket}')"),
        };
        anyhow::Error::new(error).context(what)
    })?;
    Ok(OwnedFd::from(stream).into())
}

/// Says who the user is, and reads the reply byte by byte: nothing of what follows is taken.
fn authenticate(stream: &mut TcpStream, user: &str, password: &str) -> anyhow::Result<()> {
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    anyhow::ensure!(
        is_word(user) && is_word(password),
        "a user and a password are printable ASCII without blanks"
    );
    stream.write_all(format!("auth {user} {password}\n").as_bytes())?;
    let (mut reply, mut byte) = (Vec::new(), [0]);
    let read = loop {
        match stream.read(&mut byte) {
            Ok(1) if byte != *b"\n" && reply.len() < MAX_REPLY => reply.extend(byte),
            read => break read,
        }
    };
    anyhow::ensure!(!is_tls(&reply), SpeaksTls);
    read.context("no answer to 'auth': is it a prime daemon that listens there?")?;
    let reply = String::from_utf8_lossy(&reply);
    let reply = printable(reply.trim_end());
    match ReplyLine::parse(&reply) {
        ReplyLine::Value(_) if reply == "OK" => Ok(()),
        ReplyLine::Error { code, text } => Err(Refused {
            code: code.to_owned(),
            text: text.to_owned(),
        }
        .into()),
        _ => anyhow::bail!("the daemon closed the connection before it answered 'auth': ask again"),
    }
}
