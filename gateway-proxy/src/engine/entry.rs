//! Where clients come in: a listener, and what is done with those who connect before their first request.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use crate::balance::client::TrustedProxies;
use crate::reason::Reason;
use crate::tls::{ClientTls, ShownCertificate};

/// A listener of one core.
#[derive(Debug)]
pub struct Entry {
    /// Its socket, which no other core has.
    pub listener: TcpListener,
    /// What is done with those who connect.
    pub way: WayIn,
}

/// What is done with those who connect.
#[derive(Clone, Debug)]
pub struct WayIn {
    /// With TLS or without.
    pub kind: EntryKind,
    /// Who begins with a header of the PROXY protocol; nobody else does.
    pub behind: Option<Arc<TrustedProxies>>,
}

/// With TLS or without.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// They are served as they are; with a port here they are sent there, to come with TLS.
    Plain {
        /// The port for TLS that clients see.
        to_https: Option<u16>,
    },
    /// They come with TLS.
    Tls(ClientTls),
}

/// How a connection came in.
#[derive(Clone, Debug, Default)]
pub(super) struct Entered {
    /// The version of TLS that it has, as "1.3".
    pub(super) tls: Option<&'static str>,
    /// The certificate that the client showed.
    pub(super) shown: Option<Rc<ShownCertificate>>,
    /// What is answered instead of serving it.
    pub(super) instead: Option<Instead>,
    /// Where the client is, as a load balancer before the gateway says.
    pub(super) source: Option<SocketAddr>,
}

/// Who sends the requests of a connection, as the access log tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Its other end, or where a load balancer before the gateway says that the client is.
    pub(super) ip: IpAddr,
    /// The version of TLS that it has.
    pub(super) tls: Option<&'static str>,
}

/// An answer for every request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// A redirect to the same address with TLS, at this port.
    ToHttps(u16),
    /// A failure.
    Failure(Reason),
}

impl Entered {
    /// Without TLS; with a port, to be sent there.
    pub(super) fn plain(to_https: Option<u16>) -> Self {
        Self { instead: to_https.map(Instead::ToHttps), ..Self::default() }
    }

    /// With TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The scheme that the client used.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }
}

/// The same address with TLS.
pub(super) fn with_tls(host: &str, port: u16, target: &str) -> String {
    match port {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    }
}
