//! Serving gRPC: the services, health (`grpc.health.v1`) and reflection (v1 and v1alpha).

use std::convert::Infallible;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::Server;
use tower::{Layer, Service};

use crate::gather::Gathered;
use crate::{Listener, StartError};

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
        listener: impl Into<Listener>,
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
                listener.into().into_stream().map_ok(Gathered::new),
                shutdown.cancelled_owned(),
            )
            .await
    }
}
