//! The demo's backends: HTTP servers in this process that say who they are.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hotswap_runtime::{CancellationToken, StartError, Supervisor, TaskKind, listen};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// The header that says which backend answered.
pub(super) const BACKEND: &str = "x-demo-backend";

/// How a backend answers.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// Well.
    Well,
    /// Every third request with an error.
    Fails,
    /// Late.
    Dawdles,
    /// Well, until it is cancelled; then its port is closed.
    Dies(CancellationToken),
}

/// How late a slow backend answers: some two hundred times what the others need.
const DELAY: Duration = Duration::from_millis(40);

/// Starts a backend on a free port; gives its address.
pub(super) fn start(
    name: &'static str,
    manner: Manner,
    supervisor: &Supervisor,
) -> Result<SocketAddr, StartError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind(any, "demo backend", "--demo")?;
    let address = listener
        .local_addr()
        .map_err(|e| StartError::Failed { what: "starting a demo backend", source: e.into() })?;
    let backend = Backend { name, manner, supervisor: supervisor.clone(), asked: Arc::default() };
    supervisor.spawn(name, TaskKind::Background, backend.accept(listener));
    Ok(address)
}

/// A backend at work; cheap to clone.
#[derive(Clone)]
struct Backend {
    name: &'static str,
    manner: Manner,
    supervisor: Supervisor,
    /// Requests that it had.
    asked: Arc<AtomicU64>,
}

impl Backend {
    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ended() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    self.supervisor.spawn(self.name, TaskKind::Background, self.clone().serve(stream));
                }
                // A connection that is gone before it is taken, or no file left: the next may do better.
                Err(error) => {
                    tracing::warn!(%error, backend = self.name, "connection not accepted");
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Its death, or the end of the process.
    async fn ended(&self) {
        let shutdown = self.supervisor.shutdown();
        match &self.manner {
            Manner::Dies(death) => tokio::select! {
                () = death.cancelled() => {}
                () = shutdown.cancelled() => {}
            },
            Manner::Well | Manner::Fails | Manner::Dawdles => shutdown.cancelled().await,
        }
    }

    async fn serve(self, stream: TcpStream) {
        let backend = self.clone();
        let answers = service_fn(move |request| {
            let backend = backend.clone();
            async move { Ok::<_, Infallible>(backend.answer(&request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.ended() => {
                if matches!(self.manner, Manner::Dies(_)) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, backend = self.name, "connection ended");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if matches!(self.manner, Manner::Dawdles) {
            tokio::time::sleep(DELAY).await;
        }
        let text = format!("{} answers {} {}\n", self.name, request.method(), request.uri().path());
        let mut response = Response::new(Full::new(Bytes::from(text)));
        if matches!(self.manner, Manner::Fails) && number.is_multiple_of(3) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response.headers_mut().insert(BACKEND, HeaderValue::from_static(self.name));
        response
    }
}
