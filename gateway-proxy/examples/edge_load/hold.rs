//! Connections that are idle: each has asked once.

use std::future::poll_fn;
use std::io::Read as _;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::line::{client, connect, exchange};
use crate::{Outcome, To};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Keeps them until standard input ends.
pub async fn hold(to: &To, kind: Kind, count: usize) -> Outcome<()> {
    let protocol: &[u8] = if kind == Kind::Http2 { b"h2" } else { b"http/1.1" };
    let tls = client(to, false, protocol)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (mut lines, mut open, mut connections) = (Vec::new(), Vec::new(), JoinSet::new());
            let mut buffer = vec![0; 64 * 1024];
            for _ in 0..count {
                let (mut line, _) = connect(to, tls.as_ref()).await?;
                if kind == Kind::Http1 {
                    let request = format!("GET {} HTTP/1.1\r\nhost: bench\r\n\r\n", to.path);
                    exchange(&mut *line, &request, &mut buffer).await?;
                    lines.push(line);
                    continue;
                }
                let (mut send, connection) = h2::client::handshake(line).await?;
                connections.spawn_local(connection);
                poll_fn(|cx| send.poll_ready(cx)).await?;
                let request = http::Request::get(format!("{scheme}://bench{}", to.path)).body(())?;
                let (response, _) = send.send_request(request, true)?;
                let mut body = response.await?.into_body();
                while let Some(data) = body.data().await {
                    let data: Bytes = data?;
                    body.flow_control().release_capacity(data.len())?;
                }
                open.push(send);
            }
            println!("ready");
            // On a thread: what is open must go on meanwhile.
            tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
            drop((lines, open));
            Ok(())
        })
        .await
}
