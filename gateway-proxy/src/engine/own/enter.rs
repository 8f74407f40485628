//! The way in with TLS: the handshake comes before the first request. Who speaks HTTP without TLS is told so in words.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use rustls::server::ServerConnection;
use rustls::HandshakeKind;
use tokio::net::TcpStream;

use super::client;
use super::core::Core;
use super::secure::Secure;
use super::socket::Socket;
use crate::engine::entry::{Entered, Instead};
use crate::reason::Reason;
use crate::tls::{ClientTls, ShownCertificate};

/// A connection that is no client's yet. At a drain it is waited for.
struct Entering(Rc<Core>);

impl Drop for Entering {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// Serves a connection to its end, the handshake included.
pub(super) async fn serve(core: Rc<Core>, tcp: TcpStream, peer: SocketAddr, tls: ClientTls) {
    core.entering();
    let entering = Entering(Rc::clone(&core));
    let entered = tokio::time::timeout(tls.handshake(), enter(tcp, &tls)).await;
    let counts = &core.metrics;
    match entered {
        Ok(Ok((socket, entered, kind))) => {
            match kind {
                Some(HandshakeKind::Resumed) => counts.tls_resumed.add(1),
                Some(_) => counts.tls_full.add(1),
                None => counts.tls_failed.add(1),
            }
            let client = client::serve(Rc::clone(&core), socket, peer, entered);
            drop(entering);
            client.await;
        }
        Ok(Err(error)) => {
            counts.tls_failed.add(1);
            tracing::debug!(%peer, %error, "no handshake");
        }
        Err(_) => {
            counts.tls_timed_out.add(1);
            tracing::debug!(%peer, "a handshake took too long");
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
    let entered = Entered { secure: true, shown, instead: None };
    Ok((Socket::Tls(Box::new(secure)), entered, kind))
}
