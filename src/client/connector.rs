//! How a client reaches its daemon: any stream of bytes will do, and a user may be said first.

use super::connection::Connection;
use super::line::check;
use super::{Client, Error};
use crate::proto::{Code, Failure};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, ToSocketAddrs};

/// Bytes both ways, of whatever kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(super) type Reader = ReadHalf<Box<dyn Stream>>;
pub(super) type Writer = WriteHalf<Box<dyn Stream>>;

type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens connections to a daemon: one for the calls of a [`Client`], and one for each stream of rows.
///
/// [`Client::connect`] is enough for a daemon on a plain address without users. Over TLS, with the connector of
/// tokio-rustls:
///
/// ```no_run
/// use primed::Connector;
/// use std::sync::Arc;
/// use tokio::net::TcpStream;
/// use tokio_rustls::TlsConnector;
/// use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
///
/// # async fn client(roots: RootCertStore) -> Result<(), Box<dyn std::error::Error>> {
/// let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
/// let tls = TlsConnector::from(Arc::new(config));
/// let connector = Connector::new(move || {
///     let tls = tls.clone();
///     async move {
///         let stream = TcpStream::connect("primed.example:7920").await?;
///         tls.connect(ServerName::try_from("primed.example").expect("a name"), stream).await
///     }
/// });
/// let client = connector.user("ann", "correct-horse")?.connect().await?;
/// assert_eq!(client.nth(5).await?, 11);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connector {
    open: Arc<dyn Fn() -> Opening + Send + Sync>,
    /// The request that says who the user is.
    login: Option<Arc<str>>,
}

impl Connector {
    /// Connections that `open` opens: over TLS, a unix socket, a proxy. It is called once for each.
    pub fn new<F, S>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let open = move || -> Opening {
            let opening = open();
            Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Stream>) })
        };
        Self {
            open: Arc::new(open),
            login: None,
        }
    }

    /// Plain connections to an address, `HOST:PORT`.
    pub fn tcp(address: impl ToString) -> Self {
        let address = address.to_string();
        Self::new(move || connect(address.clone()))
    }

    /// Says who the user is, on each connection.
    ///
    /// # Errors
    /// `bad-arg` if the name or the password is empty, or has a character that is blank or not of ASCII.
    pub fn user(mut self, name: &str, password: &str) -> Result<Self, Error> {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word(name) || !is_word(password) {
            let text = "a user and a password are printable ASCII without blanks";
            return Err(Failure::new(Code::BadArg, text).into());
        }
        self.login = Some(format!("auth {name} {password}").into());
        Ok(self)
    }

    /// Connects. Must be called within a tokio runtime, which moves the bytes from then on.
    ///
    /// # Errors
    /// If no daemon can be reached, or it refuses the user.
    pub async fn connect(self) -> Result<Client, Error> {
        let (reader, writer) = self.open().await?;
        let connection = Arc::new(Connection::new(reader, writer));
        if let Some(login) = &self.login {
            let sent = connection.clone().send(login, None).await?;
            sent.await?;
        }
        Ok(Client {
            connector: self,
            connection,
        })
    }

    /// The two directions of one more connection.
    pub(super) async fn open(&self) -> io::Result<(Reader, Writer)> {
        Ok(tokio::io::split((self.open)().await?))
    }

    /// The lines to send first on it.
    pub(super) fn request(&self, words: &str) -> Result<String, Error> {
        check(words)?;
        Ok(match &self.login {
            Some(login) => format!("@{LOGIN_TAG} {login}\n@r {words}\n"),
            None => format!("@r {words}\n"),
        })
    }
}

/// The tag of the request that says who the user is.
pub(super) const LOGIN_TAG: &str = "login";

/// Connects to the first of the addresses that can be reached.
pub(super) async fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl fmt::Debug for Connector {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
