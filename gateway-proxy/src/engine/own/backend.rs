//! Connections to backends: opened here, kept by `upstream` between exchanges. Of those of HTTP/2 an exchange gets a
//! stream.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hotswap_matcher::BackendProtocol;
use rustls::HandshakeKind;

use super::core::{Backend, Core};
use super::link::Link;
use super::multiplex;
use super::socket::Socket;
use crate::engine::dial;
use crate::reason::Reason;

/// A connection, or a stream of one, that is waited for.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Link, Reason>>>>;

/// Whether exchanges share the backend's connections.
pub(super) fn is_shared(backend: &Backend) -> bool {
    backend.address().protocol() == BackendProtocol::Http2
}

/// Opens a connection, or waits for a stream of one, under a limit of its own.
pub(super) fn open(backend: &Backend, core: &Rc<Core>, timeout: Duration) -> Opening {
    let (backend, core) = (Rc::clone(backend), Rc::clone(core));
    if is_shared(&backend) {
        return Box::pin(multiplex::wait(backend, core, timeout));
    }
    Box::pin(async move { dial(&backend, &core, timeout).await.map(Link::Line) })
}

/// Opens a connection, under a limit of its own.
pub(super) async fn dial(backend: &Backend, core: &Core, timeout: Duration) -> Result<Socket, Reason> {
    let reached = dial::reach(backend.address(), &core.backend_tls);
    let opened = match tokio::time::timeout(timeout, reached).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => {
            tracing::debug!(backend = %backend.text(), %error, "connect failed");
            Err(error.reason())
        }
        Err(_) => Err(Reason::ConnectTimeout),
    };
    match &opened {
        Ok(_) => core.metrics.connects.add(1),
        Err(_) => core.metrics.connect_failures.add(1),
    }
    match &opened {
        Ok(Socket::Tls(secure)) => match secure.session().handshake_kind() {
            Some(HandshakeKind::Resumed) => core.metrics.backend_tls_resumed.add(1),
            _ => core.metrics.backend_tls_full.add(1),
        },
        Err(Reason::BackendTls) => core.metrics.backend_tls_failed.add(1),
        Ok(Socket::Plain(_)) | Err(_) => {}
    }
    opened
}
