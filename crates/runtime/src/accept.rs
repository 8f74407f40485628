//! Connections of a listener, with TLS or without, from other machines or through a socket in a folder.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::tls::{Protocol, ServerTls};

/// How long nothing is accepted after the process ran out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most handshakes at a time. Past it nothing is accepted until one has ended, which the time above sees to.
const HANDSHAKES: usize = 1_024;

/// A socket that listens, and what is done with those who connect before they are served.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<(ServerTls, Protocol)>,
    closed: CancellationToken,
    handshakes: FuturesUnordered<BoxFuture<'static, Option<Accepted>>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

type Accepted = (Connection, SocketAddr);

/// Those who come through a socket in a folder have no address.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl From<TcpListener> for Listener {
    /// Without TLS.
    fn from(listener: TcpListener) -> Self {
        Self::of(Socket::Tcp(listener))
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::of(Socket::Unix(listener))
    }
}

impl Listener {
    fn of(socket: Socket) -> Self {
        let (closed, handshakes) = (CancellationToken::new(), FuturesUnordered::new());
        Self { socket, tls: None, closed, handshakes }
    }

    /// Accepts nobody any more once this is cancelled, since another process does at the same socket. Who is connected is
    /// served on.
    pub fn until(self, closed: CancellationToken) -> Self {
        Self { closed, ..self }
    }

    /// With TLS where there is some.
    pub fn new(listener: TcpListener, tls: Option<&ServerTls>, protocol: Protocol) -> Self {
        Self { tls: tls.map(|tls| (tls.clone(), protocol)), ..Self::from(listener) }
    }

    /// The next connection that is ready to be served. Who is slow in its handshake does not keep others waiting.
    async fn next(&mut self) -> Accepted {
        loop {
            let (stream, peer) = tokio::select! {
                Some(ended) = self.handshakes.next() => match ended {
                    Some(connection) => return connection,
                    None => continue,
                },
                accepted = self.socket.accept(), if self.handshakes.len() < HANDSHAKES => accepted,
            };
            match (stream, &self.tls) {
                (Connection::Plain(stream), Some((tls, protocol))) => {
                    self.handshakes.push(Box::pin(handshake(stream, peer, tls.config(*protocol))));
                }
                (stream, _) => return (stream, peer),
            }
        }
    }

    /// The connections, for a server of gRPC.
    pub(crate) fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, |mut listener| async {
            let (connection, _) = listener.next().await;
            Some((Ok(connection), listener))
        })
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        let closed = self.closed.clone();
        tokio::select! {
            biased;
            () = closed.cancelled() => std::future::pending().await,
            accepted = self.next() => accepted,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr(),
            Socket::Unix(_) => Ok(NO_ADDRESS),
        }
    }
}

async fn handshake(stream: TcpStream, peer: SocketAddr, config: Arc<ServerConfig>) -> Option<Accepted> {
    match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some((Connection::Tls(Box::new(stream)), peer)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "no handshake");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "a handshake took too long");
            None
        }
    }
}

impl Socket {
    async fn accept(&self) -> Accepted {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    // tonic and axum leave it as it is: small frames would wait for the peer's acknowledgement. It
                    // fails only where the peer has gone already, which the first read tells.
                    let _ = stream.set_nodelay(true);
                    (Connection::Plain(stream), peer)
                }),
                Self::Unix(listener) => {
                    listener.accept().await.map(|(stream, _)| (Connection::Unix(stream), NO_ADDRESS))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    // A process without file descriptors would spin.
                    tracing::warn!(%error, "cannot accept connections for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether an accept failed by its peer alone, so that the next one may be tried at once.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// A connection.
#[derive(Debug)]
pub enum Connection {
    /// Over TCP as it is.
    Plain(TcpStream),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Through a socket in a folder.
    Unix(UnixStream),
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match self {
            Self::Plain(stream) => stream.connect_info(),
            Self::Tls(stream) => stream.get_ref().0.connect_info(),
            Self::Unix(_) => TcpConnectInfo { local_addr: None, remote_addr: None },
        }
    }
}

/// The same call on whatever it is.
macro_rules! on_each {
    ($connection:expr, $stream:ident => $call:expr) => {
        match $connection.get_mut() {
            Connection::Plain($stream) => $call,
            Connection::Tls($stream) => $call,
            Connection::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_frames_do_not_wait_for_acknowledgements() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = crate::listen::bind(any, "test", "--listen").expect("binds");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connects");
        let (connection, _) = Listener::from(listener).next().await;
        let Connection::Plain(stream) = connection else { panic!("no TLS was asked for") };
        assert!(stream.nodelay().expect("read"));
    }
}
