//! Serving gRPC: the services, health (`grpc.health.v1`) and reflection (v1 and v1alpha).

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use futures_util::Stream;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::Server;
use tower::{Layer, Service};

use crate::StartError;
use crate::gather::Gathered;

/// How long nothing is accepted after the process ran out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server answers.
#[derive(Debug)]
pub struct GrpcServer {
    routes: Routes,
    health: tonic_health::server::HealthReporter,
}

impl GrpcServer {
    /// The services of `routes`, with health and reflection of the contract in `descriptors`, an encoded
    /// `FileDescriptorSet`.
    ///
    /// # Errors
    /// [`StartError::Failed`] where the descriptors do not decode.
    pub fn new(routes: Routes, descriptors: &'static [u8]) -> Result<Self, StartError> {
        let broken = |e: tonic_reflection::server::Error| StartError::Failed {
            what: "reading the contract's descriptors",
            source: e.into(),
        };
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that tools can show the details of an error.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let (health, health_service) = tonic_health::server::health_reporter();
        let routes = routes
            .add_service(health_service)
            .add_service(builder().build_v1().map_err(broken)?)
            .add_service(builder().build_v1alpha().map_err(broken)?);
        Ok(Self { routes, health })
    }

    /// Says which services are serving.
    pub fn health(&self) -> tonic_health::server::HealthReporter {
        self.health.clone()
    }

    /// Serves until `shutdown`, with `layer` around every call; ends when the last call has.
    ///
    /// # Errors
    /// Where the transport fails.
    pub async fn serve<L, S>(
        self,
        listener: TcpListener,
        layer: L,
        shutdown: CancellationToken,
    ) -> Result<(), tonic::transport::Error>
    where
        L: Layer<Routes, Service = S> + Clone + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .serve_with_incoming_shutdown(
                layer.named_layer(self.routes),
                accepted(listener),
                shutdown.cancelled_owned(),
            )
            .await
    }
}

/// The connections of a listener. tonic leaves a listener that it is handed as it is: small frames would wait
/// for the peer's acknowledgement, and a process without file descriptors would spin on its accepts.
fn accepted(listener: TcpListener) -> impl Stream<Item = io::Result<Gathered<TcpStream>>> {
    futures_util::stream::unfold(listener, |listener| async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // It fails only where the peer has gone already, which the first read tells.
                    let _ = stream.set_nodelay(true);
                    return Some((Ok(Gathered::new(stream)), listener));
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// Whether an accept failed by its peer alone, so that the next one may be tried at once.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[tokio::test]
    async fn small_frames_do_not_wait_for_acknowledgements() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = crate::listen::bind(any, "test", "--listen").expect("binds");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connects");
        let mut connections = std::pin::pin!(accepted(listener));
        let next = futures_util::StreamExt::next(&mut connections).await;
        let stream = next.expect("open").expect("accepted").into_inner();
        assert!(stream.nodelay().expect("read"));
    }
}
