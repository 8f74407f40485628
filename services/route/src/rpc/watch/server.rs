//! ConfigDistributionService on the wire: as generated, but for the codec.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hotswap_api::gateway::v1::WatchConfigRequest;
use hotswap_api::gateway::v1::config_distribution_service_server::SERVICE_NAME;
use hotswap_core::Reason;
use hotswap_rpc::WireError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use super::WatchRpc;
use super::codec::{Frame, FrameCodec};

const WATCH_CONFIG: &str = "/hotswap.gateway.v1.ConfigDistributionService/WatchConfig";

/// The service; cheap to clone.
#[derive(Clone)]
pub(crate) struct WatchServer {
    rpc: Arc<WatchRpc>,
    max_decoding_message_size: usize,
}

impl WatchServer {
    /// With the size of the largest message that is read, in bytes.
    pub(crate) fn new(rpc: WatchRpc, max_decoding_message_size: usize) -> Self {
        Self { rpc: Arc::new(rpc), max_decoding_message_size }
    }
}

impl NamedService for WatchServer {
    const NAME: &'static str = SERVICE_NAME;
}

type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<http::Request<Body>> for WatchServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != WATCH_CONFIG {
            let unknown = WireError::new(Reason::MethodUnknown, "there is no such method");
            let unknown = Status::from(unknown).into_http();
            return Box::pin(std::future::ready(Ok(unknown)));
        }
        let (method, limit) = (WatchConfig(Arc::clone(&self.rpc)), self.max_decoding_message_size);
        Box::pin(async move {
            let mut grpc = Grpc::new(FrameCodec).max_decoding_message_size(limit);
            Ok(grpc.streaming(method, request).await)
        })
    }
}

struct WatchConfig(Arc<WatchRpc>);

impl StreamingService<WatchConfigRequest> for WatchConfig {
    type Response = Frame;
    type ResponseStream = ReceiverStream<Result<Frame, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<WatchConfigRequest>>) -> Self::Future {
        std::future::ready(Ok(self.0.watch_config(request)))
    }
}
