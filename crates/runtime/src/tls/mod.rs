//! TLS of listeners: a certificate and its key from files, which are read again while the process runs; on request
//! also certificates of those who connect (mTLS).
//!
//! ```text
//!   certificate, key, client CA ──► ServerTls ──► Listener ──► handshake ──► gRPC or a page
//!                  every 5 s: changed? ──► connections from now on use the new ones
//! ```
//! A client's certificate decides who may connect; who may do what is the token's to say.

mod files;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::Args;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

pub use files::{TlsError, TlsFiles};

use crate::StartError;
use files::Contents;

/// TLS of the listeners of a control plane.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// The certificate (PEM) of the listeners, with those that lead to its issuer behind it. It is read again when it
    /// changes
    #[arg(long, env = "HOTSWAP_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, env = "HOTSWAP_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates (PEM) of those who may vouch for clients: whoever connects must then show a certificate of theirs
    #[arg(long, env = "HOTSWAP_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Listen without TLS also where other machines can connect: where something else protects the way
    #[arg(long, env = "HOTSWAP_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

impl TlsArgs {
    /// The files that are named; `None`: no TLS.
    ///
    /// # Errors
    /// [`StartError::Option`] where one is missing.
    pub fn files(&self) -> Result<Option<TlsFiles>, StartError> {
        let (cert, key) = (self.tls_cert.as_deref(), self.tls_key.as_deref());
        TlsFiles::named("--tls", cert, key, self.tls_client_ca.as_deref())
    }

    /// Whether an address may be listened on.
    ///
    /// # Errors
    /// As [`may_listen`].
    pub fn allow(&self, address: SocketAddr, flag: &str) -> Result<(), StartError> {
        may_listen(address, flag, "--tls", self.tls_cert.is_some() || self.allow_plaintext)
    }
}

/// What is spoken in a connection; the handshake agrees on it (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Page,
}

/// How a process presents itself to those who connect; cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<TlsFiles>,
    current: Arc<ArcSwap<Current>>,
}

/// What is in force, and what it was made from.
struct Current {
    contents: Contents,
    grpc: Arc<ServerConfig>,
    page: Arc<ServerConfig>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Where one can't be read, or they do not fit each other; the file is named.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let current = Current::new(contents, &files)?;
        Ok(Self { files: Arc::new(files), current: Arc::new(ArcSwap::from_pointee(current)) })
    }

    /// Reads the files again, and takes them for connections from now on where they have changed. Connections that
    /// are open go on. `true`: they have changed.
    ///
    /// # Errors
    /// As [`Self::load`]; what was in force stays so.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let contents = self.files.read()?;
        if contents == self.current.load().contents {
            return Ok(false);
        }
        self.current.store(Arc::new(Current::new(contents, &self.files)?));
        Ok(true)
    }

    /// The files.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// What a handshake that begins now uses.
    pub(crate) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let current = self.current.load();
        match protocol {
            Protocol::Grpc => Arc::clone(&current.grpc),
            Protocol::Page => Arc::clone(&current.page),
        }
    }
}

impl Current {
    fn new(contents: Contents, files: &TlsFiles) -> Result<Self, TlsError> {
        let config = contents.config(files)?;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            // A session that is taken up again skips the look at the client's certificate.
            if files.client_ca.is_some() {
                config.session_storage = Arc::new(NoServerSessionStorage {});
            }
            Arc::new(config)
        };
        let (grpc, page) = (speaking(b"h2"), speaking(b"http/1.1"));
        Ok(Self { contents, grpc, page })
    }
}

/// Whether an address may be listened on. Without TLS it must be one that only this machine reaches; `good`: there is
/// TLS, or it was said that it may do without.
///
/// # Errors
/// [`StartError::Option`], with what to do; the TLS options begin with `prefix`.
pub fn may_listen(address: SocketAddr, flag: &str, prefix: &str, good: bool) -> Result<(), StartError> {
    if good || is_loopback(address.ip()) {
        return Ok(());
    }
    Err(StartError::Option(format!(
        "{flag} {address}: other machines reach it, and without TLS what passes can be read on the way; \
         give {prefix}-cert and {prefix}-key, or --allow-plaintext where something else protects it"
    )))
}

/// Whether only this machine reaches an address.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_may_connect() {
        let allowed = |address: &str, good| {
            let address = address.parse().expect("an address");
            may_listen(address, "--listen", "--tls", good).map_err(|e| e.to_string())
        };
        for here in ["127.0.0.1:7400", "127.9.9.9:1", "[::1]:7400", "[::ffff:127.0.0.1]:7400"] {
            assert_eq!(allowed(here, false), Ok(()), "{here}");
        }
        for there in ["0.0.0.0:7400", "[::]:7400", "192.0.2.1:7400", "[::ffff:192.0.2.1]:7400"] {
            let refused = allowed(there, false).expect_err(there);
            assert!(refused.contains("--tls-cert and --tls-key"), "{refused}");
            assert_eq!(allowed(there, true), Ok(()), "{there}");
        }
    }
}
