//! The demo's backends: HTTP servers in this process that say who they are.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use hotswap_runtime::{StartError, Supervisor, TaskKind, listen};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// The header that says which backend answered.
pub(super) const BACKEND: &str = "x-demo-backend";

/// Starts a backend on a free port; gives its address.
pub(super) fn start(name: &'static str, supervisor: &Supervisor) -> Result<SocketAddr, StartError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind(any, "demo backend", "--demo")?;
    let address = listener
        .local_addr()
        .map_err(|e| StartError::Failed { what: "starting a demo backend", source: e.into() })?;
    supervisor.spawn(name, TaskKind::Background, accept(name, listener, supervisor.clone()));
    Ok(address)
}

async fn accept(name: &'static str, listener: TcpListener, supervisor: Supervisor) {
    let shutdown = supervisor.shutdown();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                supervisor.spawn(name, TaskKind::Background, serve(name, stream, supervisor.clone()));
            }
            // A connection that is gone before it is taken, or no file left: the next may do better.
            Err(error) => {
                tracing::warn!(%error, backend = name, "connection not accepted");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve(name: &'static str, stream: TcpStream, supervisor: Supervisor) {
    let shutdown = supervisor.shutdown();
    let answer = service_fn(move |request: Request<Incoming>| async move {
        let text = format!("{name} answers {} {}\n", request.method(), request.uri().path());
        let mut response = Response::new(Full::new(Bytes::from(text)));
        response.headers_mut().insert(BACKEND, hyper::header::HeaderValue::from_static(name));
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, backend = name, "connection ended");
    }
}
