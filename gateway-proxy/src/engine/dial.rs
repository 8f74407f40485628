//! Opening a connection to a backend.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hotswap_matcher::{Address, BackendProtocol, BackendTls};
use http::uri::Scheme;
use rustix::io::Errno;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};

use super::own::{Secure, Socket};
use crate::reason::Reason;
use crate::tls::{self, BackendFiles};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// Nobody took it.
    #[error("{0}")]
    Connect(#[from] io::Error),
    /// The handshake came to nothing, or could not begin.
    #[error("TLS: {0}")]
    Tls(String),
}

impl Unreachable {
    /// What an exchange fails with.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Connect(error) if is_own(error) => Reason::NoSocket,
            Self::Connect(_) => Reason::ConnectFailed,
            Self::Tls(_) => Reason::BackendTls,
        }
    }
}

/// Whether a connection could not be begun for want of something of this machine's, a file descriptor, a local port, memory,
/// which says nothing of the other end.
pub(crate) fn is_own(error: &io::Error) -> bool {
    const OWN: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| OWN.contains(&Errno::from_raw_os_error(code)))
}

/// Opens a connection, with TLS where the pool says so. It has no limit of its own.
pub(crate) async fn reach(address: &Address, files: &BackendFiles) -> Result<Socket, Unreachable> {
    let tcp = open(address.as_str()).await?;
    tcp.set_nodelay(true)?;
    let Some(tls) = address.tls() else { return Ok(Socket::Plain(tcp)) };
    let agreed = agree(tcp, address, tls, files).await;
    files.tell(address, agreed.as_ref().err().map(String::as_str));
    agreed.map_err(Unreachable::Tls)
}

/// As a request of HTTP/2 names it.
pub(crate) fn scheme(address: &Address) -> Scheme {
    if address.tls().is_some() { Scheme::HTTPS } else { Scheme::HTTP }
}

/// The handshake. The error says in words what is wrong.
async fn agree(
    tcp: TcpStream,
    address: &Address,
    wanted: &BackendTls,
    files: &BackendFiles,
) -> Result<Socket, String> {
    if files.needs_system(wanted) {
        let files = files.clone();
        let loaded = tokio::task::spawn_blocking(move || files.load_system()).await;
        loaded.map_err(|_| "the certificates of authorities could not be read")?;
    }
    let made = files.config(address, wanted).map_err(|e| e.to_string())?;
    let name = wanted.server_name.as_deref().unwrap_or(address.host());
    let asked = ServerName::try_from(name.to_owned())
        .map_err(|_| format!("{name} is no name that a certificate could bear: tls.server_name"))?;
    let session = ClientConnection::new(Arc::clone(&made.config), asked).map_err(|e| e.to_string())?;
    let mut secure = Secure::new(tcp, session.into());
    poll_fn(|cx| secure.poll_handshake(cx)).await.map_err(|e| tls::why(&e, name))?;
    if address.protocol() == BackendProtocol::Http2 && secure.session().alpn_protocol() != Some(tls::HTTP2) {
        return Err("it did not agree to speak HTTP/2 (ALPN h2)".to_owned());
    }
    secure.retire_with(made.retired);
    Ok(Socket::Tls(Box::new(secure)))
}

/// Opens a socket; the addresses of a name are tried in turn.
pub(crate) async fn open(address: &str) -> io::Result<TcpStream> {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return TcpStream::connect(address).await;
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let found = tokio::net::lookup_host(address).await;
    // Without a file to ask by, a name is only said to have no address.
    let found = found.map_err(|error| TcpSocket::new_v4().err().unwrap_or(error))?;
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
