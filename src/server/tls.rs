//! TLS: certificates, which can be read again, and connections that are encrypted. Knows no session.
//!
//! The handshake is driven by the session that the connection belongs to: it takes a permit as any other, has a
//! deadline, and holds up nobody.

use super::connection::{Accept, Connection, Detached, accept_now};
use super::limits::LiveLimits;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, CertificateError, InconsistentKeys, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept as Handshake, TlsAcceptor};

/// Plain bytes that are encrypted at once: a record holds as many.
const MAX_RECORD: usize = 16 << 10;

/// Why certificates cannot be used.
#[derive(Debug, Error)]
#[error("{path}: {what}", path = path.display())]
pub struct TlsError {
    /// The file.
    path: PathBuf,
    /// What is wrong with it.
    what: String,
}

/// The certificate of a daemon, its key, and perhaps the authority that must have signed those of its clients.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<PathBuf>,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads PEM files: the certificate with its chain, its key, and for client certificates, which are required then,
    /// those of the authorities that sign them.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be used, and why.
    pub fn open(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        clients: Option<PathBuf>,
    ) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let config = RwLock::new(Arc::new(read(&certificate, &key, clients.as_deref())?));
        Ok(Self(Arc::new(Inner {
            certificate,
            key,
            clients,
            config,
        })))
    }

    /// Reads the files again, for connections that are accepted from now on.
    ///
    /// # Errors
    /// [`TlsError`]; the certificates stay as they were then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Inner {
            certificate,
            key,
            clients,
            config,
        } = &*self.0;
        let new = Arc::new(read(certificate, key, clients.as_deref())?);
        *config.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// [`TlsError`] if there is none.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |what: String| TlsError {
        path: path.to_owned(),
        what,
    };
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(error("there is no certificate in it".to_owned())),
        found => found.map_err(|source| error(unreadable(source))),
    }
}

/// The first private key of a PEM file.
///
/// # Errors
/// [`TlsError`] if there is none. It never quotes the file.
pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError {
        path: path.to_owned(),
        what: match source {
            pem::Error::NoItemsFound => "there is no private key in it".to_owned(),
            source => unreadable(source),
        },
    })
}

/// What is wrong with a PEM file. It never quotes the file, which may hold a key.
fn unreadable(error: pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it is cut off: a line '-----BEGIN ...' has no line '-----END ...' after it".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => "a line '-----BEGIN ...' of it is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "it is damaged: a line between BEGIN and END is not base64".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Why a certificate and its key cannot be used together; names the file that is wrong.
pub(crate) fn unusable(error: rustls::Error, certificate: &Path, key: &Path) -> TlsError {
    let (path, what) = match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let of = certificate.display();
            (key, format!("it is not the key of the certificate in {of}"))
        }
        rustls::Error::InvalidCertificate(bad) if is_of_old_version(&bad) => {
            let what = "its certificate is of version 1 of X.509, and TLS takes version 3: make one with extensions, such as subjectAltName";
            (certificate, what.to_owned())
        }
        rustls::Error::InvalidCertificate(bad) => (certificate, bad.to_string()),
        other => (key, other.to_string()),
    };
    TlsError {
        path: path.to_owned(),
        what,
    }
}

/// Whether a certificate is refused because it has no version 3 of X.509.
pub(crate) fn is_of_old_version(bad: &CertificateError) -> bool {
    // rustls has no variant for it.
    format!("{bad:?}").contains("UnsupportedCertVersion")
}

/// The authorities of a PEM file.
///
/// # Errors
/// [`TlsError`] if there are none that can be used.
pub(crate) fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (used, _) = roots.add_parsable_certificates(read_certificates(path)?);
    match used {
        0 => Err(TlsError {
            path: path.to_owned(),
            what: "there is no certificate of an authority in it".to_owned(),
        }),
        _ => Ok(roots),
    }
}

fn read(certificate: &Path, key: &Path, clients: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let error = |path: &Path, what: String| TlsError {
        path: path.to_owned(),
        what,
    };
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|source| error(certificate, source.to_string()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(read_authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|source| error(path, source.to_string()))?)
        }
    };
    let chain = read_certificates(certificate)?;
    let mut config = builder
        .with_single_cert(chain, read_key(key)?)
        .map_err(|source| unusable(source, certificate, key))?;
    // One is enough for a client to come back with; each costs a record and its keys.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Encrypted connections to a listening socket.
pub(crate) struct TlsListener {
    socket: TcpListener,
    tls: Tls,
    limits: Arc<LiveLimits>,
}

impl TlsListener {
    /// Connections to this socket; each has to finish its handshake within the `stall_timeout` in force when it is
    /// accepted.
    pub(crate) const fn new(socket: TcpListener, tls: Tls, limits: Arc<LiveLimits>) -> Self {
        Self { socket, tls, limits }
    }

    fn encrypted(&self, socket: TcpStream) -> Box<dyn Connection> {
        let _ = socket.set_nodelay(true);
        let patience = self.limits.get().stall_timeout;
        Box::new(TlsConnection::new(socket, self.tls.config(), patience))
    }
}

impl Accept for TlsListener {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>> {
        let (socket, peer) = ready!(self.socket.poll_accept(context))?;
        Poll::Ready(Ok((self.encrypted(socket), peer)))
    }

    fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
        let (socket, peer) = accept_now(&self.socket)?;
        Some((self.encrypted(socket), peer))
    }
}

/// A connection over TLS.
struct TlsConnection {
    state: State,
    /// Plain bytes that were encrypted by a write that is not over: some of that is not with the kernel yet. A write
    /// says that it is done when its bytes have left, and is called with the same bytes until then; so whatever is
    /// unsent is known as such, and has its deadline.
    encrypted: usize,
    /// The session has closed its half: the news may have to wait.
    is_closing: bool,
}

enum State {
    /// Nothing was read yet: it may still move to another thread.
    New {
        socket: TcpStream,
        config: Arc<ServerConfig>,
        patience: Duration,
    },
    Handshake(Box<Handshake<TcpStream>>, Pin<Box<Sleep>>),
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Closed,
}

impl TlsConnection {
    const fn new(socket: TcpStream, config: Arc<ServerConfig>, patience: Duration) -> Self {
        Self {
            state: State::New {
                socket,
                config,
                patience,
            },
            encrypted: 0,
            is_closing: false,
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match &self.state {
            State::New { socket, .. } => Some(socket),
            State::Handshake(handshake, _) => handshake.get_ref(),
            State::Open(stream) => Some(stream.get_ref().0),
            State::Closed => None,
        }
    }

    /// The stream, once the handshake is over.
    fn poll_open(&mut self, task: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let State::New { .. } = self.state
            && let State::New {
                socket,
                config,
                patience,
            } = std::mem::replace(&mut self.state, State::Closed)
        {
            let handshake = Box::new(TlsAcceptor::from(config).accept(socket));
            self.state = State::Handshake(handshake, Box::pin(sleep(patience)));
        }
        if let State::Handshake(handshake, deadline) = &mut self.state {
            let done = match Pin::new(&mut **handshake).poll(task) {
                Poll::Ready(done) => done,
                Poll::Pending => {
                    ready!(deadline.as_mut().poll(task));
                    let text = "the TLS handshake took too long";
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                }
            };
            self.state = match done {
                Ok(stream) => State::Open(Box::new(stream)),
                Err(error) => {
                    self.state = State::Closed;
                    return Poll::Ready(Err(error));
                }
            };
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let is_closing = this.is_closing;
        let mut stream = ready!(this.poll_open(task))?;
        if is_closing {
            let _ = stream.as_mut().poll_shutdown(task)?;
        }
        match ready!(stream.poll_read(task, buffer)) {
            // Closed without a word of TLS: what came before it was whole requests, or is answered as truncated.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut encrypted = this.encrypted;
        let mut stream = ready!(this.poll_open(task))?;
        if encrypted == 0 {
            let record = &bytes[..bytes.len().min(MAX_RECORD)];
            encrypted = ready!(stream.as_mut().poll_write(task, record))?;
        }
        let flushed = stream.poll_flush(task);
        this.encrypted = if flushed.is_pending() { encrypted } else { 0 };
        ready!(flushed)?;
        Poll::Ready(Ok(encrypted.min(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.get_mut().poll_open(task))?;
        stream.poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_closing = true;
        match &mut this.state {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(task),
            State::New { socket, .. } => Pin::new(socket).poll_shutdown(task),
            // Nothing can be said in the midst of a handshake.
            State::Handshake(..) | State::Closed => {
                this.state = State::Closed;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Connection for TlsConnection {
    fn is_gone(&self) -> bool {
        self.socket().is_none_or(Connection::is_gone)
    }

    fn has_input(&self) -> bool {
        self.socket().is_some_and(Connection::has_input)
    }

    /// A line would be no TLS.
    fn try_write(&self, _: &[u8]) {}

    fn detach(self: Box<Self>) -> io::Result<Detached> {
        let State::New {
            socket,
            config,
            patience,
        } = self.state
        else {
            return Err(io::Error::other("its handshake has begun"));
        };
        let socket = socket.into_std()?;
        Ok(Box::new(move || {
            let socket = TcpStream::from_std(socket).expect("the thread has a reactor, and the socket is nonblocking");
            Box::new(TlsConnection::new(socket, config, patience))
        }))
    }
}
