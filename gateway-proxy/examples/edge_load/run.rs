//! One thing, again and again.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::grpc::{self, Calls, STREAMS};
use crate::line::{Line, client, connect, exchange};
use crate::{Outcome, To};

/// A message of a WebSocket, as it is on the wire: nobody on the way reads it.
const MESSAGE: usize = 128;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A new connection, a new session of TLS, one request.
    Full,
    /// The same with a session of before.
    Resumed,
    /// A request on the same connection.
    Bulk,
    /// A message in each direction.
    Chat,
    /// A call of gRPC.
    Unary,
    /// A message in each direction, in a stream of gRPC.
    Stream,
    /// The same with many of them under way.
    Flow,
}

/// How often, and how often in vain, as JSON.
pub async fn run(to: &To, kind: Kind, connections: usize, seconds: u64) -> Outcome<serde_json::Value> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let local = tokio::task::LocalSet::new();
    let mut clients = JoinSet::new();
    let calls = match kind {
        Kind::Unary => Some(Calls::Unary),
        Kind::Stream => Some(Calls::Stream { ahead: 1 }),
        Kind::Flow => Some(Calls::Stream { ahead: 32 }),
        _ => None,
    };
    for _ in 0..calls.map_or(connections, |_| connections.div_ceil(STREAMS)) {
        let to = to.clone();
        let work = async move {
            match calls {
                Some(calls) => grpc::called(&to, calls, until).await,
                None => repeated(&to, kind, until).await,
            }
        };
        clients.spawn_local_on(async move { work.await.map_err(|e| e.to_string()) }, &local);
    }
    let (mut done, mut failed) = (0_u64, 0_u64);
    local
        .run_until(async {
            while let Some(ended) = clients.join_next().await {
                let (more, in_vain) = ended??;
                (done, failed) = (done + more, failed + in_vain);
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        })
        .await?;
    Ok(serde_json::json!({ "done": done, "failed": failed }))
}

async fn repeated(to: &To, kind: Kind, until: Instant) -> Outcome<(u64, u64)> {
    let tls = client(to, kind == Kind::Resumed, b"http/1.1")?;
    let (mut done, mut failed) = (0, 0);
    let mut buffer = vec![0; 64 * 1024];
    match kind {
        Kind::Full | Kind::Resumed => {
            let request = request(to, "connection: close\r\n");
            // The first one has nothing to take up.
            let mut first = kind == Kind::Resumed;
            while Instant::now() < until {
                let (mut line, resumed) = connect(to, tls.as_ref()).await?;
                exchange(&mut *line, &request, &mut buffer).await?;
                match (first, resumed == (kind == Kind::Resumed)) {
                    (true, _) => first = false,
                    (false, true) => done += 1,
                    (false, false) => failed += 1,
                }
            }
        }
        Kind::Bulk => {
            let (mut line, _) = connect(to, tls.as_ref()).await?;
            let request = request(to, "");
            while Instant::now() < until {
                exchange(&mut *line, &request, &mut buffer).await?;
                done += 1;
            }
        }
        Kind::Chat => {
            let (mut line, _) = connect(to, tls.as_ref()).await?;
            switch(&mut *line, to).await?;
            let mut message = [b'x'; MESSAGE];
            while Instant::now() < until {
                line.write_all(&message).await?;
                line.read_exact(&mut message).await?;
                done += 1;
            }
        }
        Kind::Unary | Kind::Stream | Kind::Flow => return Err("it has connections of its own".into()),
    }
    Ok((done, failed))
}

fn request(to: &To, more: &str) -> String {
    format!("GET {} HTTP/1.1\r\nhost: bench\r\n{more}\r\n", to.path)
}

async fn switch(line: &mut dyn Line, to: &To) -> Outcome<()> {
    let ask = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
               sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    line.write_all(request(to, ask).as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(line.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err("no switch".into()) }
}
