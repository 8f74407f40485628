//! The way in of those who are not served at once: the header of the PROXY protocol and the handshake of TLS come before
//! the first request. Who speaks HTTP without TLS is told so in words.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls::server::ServerConnection;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::client;
use super::core::Core;
use super::secure::Secure;
use super::socket::Socket;
use crate::engine::EntryKind;
use crate::engine::entry::{Entered, Instead};
use crate::proxy_header;
use crate::reason::Reason;
use crate::tls::{ClientTls, ShownCertificate};

/// What is looked at at once of a header of the PROXY protocol, in bytes.
const LOOK: usize = 512;

/// A connection that is no client's yet. At a drain it is waited for.
pub(super) struct Entering(Rc<Core>);

impl Entering {
    /// One more, from its accept on: its task may run late.
    pub(super) fn new(core: &Rc<Core>) -> Self {
        core.entering();
        Self(Rc::clone(core))
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// Serves a connection to its end, with what comes before its first request; `behind`: with a header of the PROXY
/// protocol.
pub(super) async fn serve(
    entering: Entering,
    mut tcp: TcpStream,
    peer: SocketAddr,
    (kind, behind): (EntryKind, bool),
) {
    let core = Rc::clone(&entering.0);
    let mut source = None;
    if behind {
        let limit = Duration::from_millis(core.limits.client_head_ms);
        let Ok(Ok(told)) = tokio::time::timeout(limit, proxied(&mut tcp)).await else {
            core.metrics.proxy_headers_refused.add(1);
            tracing::debug!(%peer, "no header of the PROXY protocol");
            return;
        };
        source = told;
    }
    let entered = match kind {
        EntryKind::Plain { to_https } => Some((Socket::Plain(tcp), Entered::plain(to_https))),
        EntryKind::Tls(tls) => secured(&core, tcp, peer, &tls).await,
    };
    if let Some((socket, entered)) = entered {
        let client = client::serve(Rc::clone(&core), socket, peer, Entered { source, ..entered });
        drop(entering);
        client.await;
    }
}

/// Reads the header of the PROXY protocol, and not a byte behind it: where the client is.
async fn proxied(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut came = Vec::new();
    loop {
        let had = came.len();
        came.resize(had + LOOK, 0);
        let n = tcp.peek(came.get_mut(had..).unwrap_or_default()).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        came.truncate(had + n);
        let header = proxy_header::read(&came).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let end = header.map_or(came.len(), |header| header.len);
        // What was looked at of it is taken.
        tcp.read_exact(came.get_mut(had..end).unwrap_or_default()).await?;
        if let Some(header) = header {
            return Ok(header.source);
        }
    }
}

/// The handshake, under its limit; `None`: it came to nothing.
async fn secured(
    core: &Core,
    tcp: TcpStream,
    peer: SocketAddr,
    tls: &ClientTls,
) -> Option<(Socket, Entered)> {
    let counts = &core.metrics;
    match tokio::time::timeout(tls.handshake(), enter(tcp, tls)).await {
        Ok(Ok((socket, entered, kind))) => {
            match kind {
                Some(HandshakeKind::Resumed) => counts.tls_resumed.add(1),
                Some(_) => counts.tls_full.add(1),
                None => counts.tls_failed.add(1),
            }
            Some((socket, entered))
        }
        Ok(Err(error)) => {
            counts.tls_failed.add(1);
            tracing::debug!(%peer, %error, "no handshake");
            None
        }
        Err(_) => {
            counts.tls_timed_out.add(1);
            tracing::debug!(%peer, "a handshake took too long");
            None
        }
    }
}

async fn enter(tcp: TcpStream, tls: &ClientTls) -> io::Result<(Socket, Entered, Option<HandshakeKind>)> {
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first[0].is_ascii_uppercase() {
        // The method of a request. No record of TLS begins so.
        let instead = Some(Instead::Failure(Reason::TlsRequired));
        return Ok((Socket::Plain(tcp), Entered { instead, ..Entered::default() }, None));
    }
    let session = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
    let mut secure = Secure::new(tcp, session.into());
    poll_fn(|cx| secure.poll_handshake(cx)).await?;
    let session = secure.session();
    let kind = session.handshake_kind();
    let first = session.peer_certificates().and_then(|chain| chain.first());
    let shown = first.map(|cert| Rc::new(ShownCertificate::of(cert)));
    let tls = Some(session.protocol_version().map_or("unknown", version));
    let entered = Entered { tls, shown, ..Entered::default() };
    Ok((Socket::Tls(Box::new(secure)), entered, kind))
}

/// A version of TLS, without its name.
fn version(of: ProtocolVersion) -> &'static str {
    match of {
        ProtocolVersion::TLSv1_2 => "1.2",
        ProtocolVersion::TLSv1_3 => "1.3",
        _ => "unknown",
    }
}
