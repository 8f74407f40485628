//! The limit: a relay that copies bytes both ways and looks at none. What a proxy costs beyond this is its own;
//! what this costs is the kernel's.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

thread_local! {
    // One for all connections: it stays in the core's cache.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// Relays until it is killed.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(relay(stream, upstream));
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::try_join!(pump(client_read, server_write), pump(server_read, client_write))?;
    Ok(())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    while let Some(rest) = poll_fn(|cx| step(&mut from, &to, cx)).await? {
        to.write_all(&rest).await?;
    }
    to.shutdown().await
}

/// Reads once and writes what was read at once, as far as the socket takes it; the rest, mostly nothing, is
/// returned. `None`: the end.
fn step(
    from: &mut OwnedReadHalf,
    to: &OwnedWriteHalf,
    cx: &mut std::task::Context<'_>,
) -> Poll<io::Result<Option<Vec<u8>>>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        let got = buffer.filled();
        if got.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let sent = match to.try_write(got) {
            Ok(sent) => sent,
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(e) => return Poll::Ready(Err(e)),
        };
        Poll::Ready(Ok(Some(got.get(sent..).unwrap_or_default().to_vec())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_the_end_too() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream_address = upstream.local_addr().unwrap();
        let mut client = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = front.accept().await.unwrap();
        let question = vec![7; 300_000];
        let talk = async {
            client.write_all(&question).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"thanks");
        };
        let answer = async {
            let (mut server, _) = upstream.accept().await.unwrap();
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard.len(), 300_000);
            server.write_all(b"thanks").await.unwrap();
        };
        let (done, (), ()) = tokio::join!(relay(accepted, upstream_address), talk, answer);
        done.unwrap();
    }
}
