//! Calls of gRPC, and a server for them.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::line::{client as tls, connect};
use crate::{Outcome, To};

/// Calls or streams of a connection at a time.
pub const STREAMS: usize = 16;
/// A message, with the five bytes before it.
const MESSAGE: usize = 5 + 128;

/// Of a connection, in bytes.
const WINDOW: u32 = 16 << 20;
/// What a connection may have of small pieces that nobody has read, by the library's count.
const BUDGET: usize = 1 << 30;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Calls {
    /// A message there and one back, each a call.
    Unary,
    /// Messages in a stream.
    Stream {
        /// So many are under way.
        ahead: usize,
    },
}

/// Sends back what comes, until it is killed.
pub async fn serve(listen: SocketAddr) -> Outcome<()> {
    let listener = TcpListener::bind(listen).await?;
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                // Whatever ends it, the other side sees that, and counts it.
                connections.spawn_local(async move { converse(stream).await.map_err(|e| e.to_string()) });
                while connections.try_join_next().is_some() {}
            }
        })
        .await
}

async fn converse(stream: TcpStream) -> Outcome<()> {
    // Proxies have all streams on one connection: what comes by it is large, in small pieces.
    let mut server = h2::server::Builder::new();
    server.initial_connection_window_size(WINDOW).data_frame_budget(BUDGET);
    let mut connection = server.handshake(stream).await?;
    let mut calls = JoinSet::new();
    while let Some(asked) = connection.accept().await {
        let (request, respond) = asked?;
        calls.spawn_local(async move { echo(request.into_body(), respond).await.map_err(|e| e.to_string()) });
        while calls.try_join_next().is_some() {}
    }
    Ok(())
}

async fn echo(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Outcome<()> {
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut out = respond.send_response(head, false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        // The frame that ends a request may be empty; one that ends nothing would be an offence.
        if !data.is_empty() {
            out.send_data(data, false)?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    out.send_trailers(trailers)?;
    Ok(())
}

/// Calls on a connection until then: how often, and how often in vain.
pub async fn called(to: &To, calls: Calls, until: Instant) -> Outcome<(u64, u64)> {
    let (line, _) = connect(to, tls(to, false, b"h2")?.as_ref()).await?;
    let mut client = h2::client::Builder::new();
    client.initial_connection_window_size(WINDOW).data_frame_budget(BUDGET);
    let (send, connection) = client.handshake(line).await?;
    let mut all = JoinSet::new();
    all.spawn_local(async move { connection.await.map(|()| (0, 0)).map_err(|e| e.to_string()) });
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (to, send) = (to.clone(), send.clone());
        streams.spawn_local(async move {
            match calls {
                Calls::Unary => unary(&to, send, until).await,
                Calls::Stream { ahead } => stream(&to, send, ahead, until).await,
            }
            .map_err(|e| e.to_string())
        });
    }
    let (mut done, mut failed) = (0, 0);
    while let Some(ended) = streams.join_next().await {
        let (more, in_vain) = ended??;
        (done, failed) = (done + more, failed + in_vain);
    }
    Ok((done, failed))
}

fn request(to: &To) -> Outcome<Request<()>> {
    let scheme = if to.cert.is_some() { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://bench{}", to.path));
    Ok(request.header("content-type", "application/grpc").header("te", "trailers").body(())?)
}

fn message() -> Bytes {
    static ZEROS: [u8; MESSAGE - 5] = [0; MESSAGE - 5];
    Bytes::from([&[0, 0, 0, 0, 128][..], &ZEROS].concat())
}

async fn unary(to: &To, mut send: SendRequest<Bytes>, until: Instant) -> Outcome<(u64, u64)> {
    let (mut done, mut failed, message) = (0, 0, message());
    while Instant::now() < until {
        poll_fn(|cx| send.poll_ready(cx)).await?;
        let (response, mut out) = send.send_request(request(to)?, false)?;
        out.send_data(message.clone(), true)?;
        let mut body = response.await?.into_body();
        let came = rest(&mut body).await?;
        match came == MESSAGE && is_ok(&mut body).await? {
            true => done += 1,
            false => failed += 1,
        }
    }
    Ok((done, failed))
}

async fn stream(to: &To, mut send: SendRequest<Bytes>, ahead: usize, until: Instant) -> Outcome<(u64, u64)> {
    let message = message();
    poll_fn(|cx| send.poll_ready(cx)).await?;
    let (response, mut out) = send.send_request(request(to)?, false)?;
    for _ in 0..ahead {
        out.send_data(message.clone(), false)?;
    }
    let mut body = response.await?.into_body();
    let (mut came, mut done) = (0, 0);
    while Instant::now() < until {
        came += more(&mut body).await?.ok_or("the stream ended")?;
        while came >= MESSAGE {
            came -= MESSAGE;
            done += 1;
            out.send_data(message.clone(), false)?;
        }
    }
    end(&mut out)?;
    rest(&mut body).await?;
    let failed = u64::from(!is_ok(&mut body).await?);
    Ok((done, failed))
}

fn end(out: &mut SendStream<Bytes>) -> Outcome<()> {
    Ok(out.send_data(Bytes::new(), true)?)
}

/// The length of what comes next; `None`: nothing does.
async fn more(body: &mut RecvStream) -> Outcome<Option<usize>> {
    let Some(data) = body.data().await else { return Ok(None) };
    let length = data?.len();
    body.flow_control().release_capacity(length)?;
    Ok(Some(length))
}

async fn rest(body: &mut RecvStream) -> Outcome<usize> {
    let mut came = 0;
    while let Some(length) = more(body).await? {
        came += length;
    }
    Ok(came)
}

async fn is_ok(body: &mut RecvStream) -> Outcome<bool> {
    let trailers = body.trailers().await?;
    Ok(trailers.is_some_and(|t| t.get("grpc-status").is_some_and(|status| status == "0")))
}
