//! A control plane that says what a test wants.

use std::net::SocketAddr;
use std::time::Duration;

use hotswap_api::gateway::v1::ack::Stage;
use hotswap_api::gateway::v1::config_distribution_service_server::{
    ConfigDistributionService, ConfigDistributionServiceServer,
};
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{
    Ack, Bookmark, Delta, Hello, Refusal, Resource, ResumeToken, SnapshotChunk, WatchConfigRequest,
    WatchConfigResponse,
};
use hotswap_api::route::v1 as route;
use hotswap_core::SetDigest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::support::in_time;

/// One stream, seen from the control plane.
pub struct Stream {
    inbound: Streaming<WatchConfigRequest>,
    pub out: mpsc::Sender<Result<WatchConfigResponse, Status>>,
    pub token: Option<String>,
    nonce: u64,
}

struct Service(mpsc::Sender<Stream>);

#[tonic::async_trait]
impl ConfigDistributionService for Service {
    type WatchConfigStream = ReceiverStream<Result<WatchConfigResponse, Status>>;

    async fn watch_config(
        &self,
        request: Request<Streaming<WatchConfigRequest>>,
    ) -> Result<Response<Self::WatchConfigStream>, Status> {
        let token = request.metadata().get("authorization").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (out, responses) = mpsc::channel(64);
        let _ = self.0.send(Stream { inbound: request.into_inner(), out, token, nonce: 0 }).await;
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// A control plane that can go away and come back on the same port. It has a runtime of its own: its end cuts
/// every connection in the middle, as the kill of a process does.
pub struct ControlPlane {
    pub address: SocketAddr,
    streams: mpsc::Receiver<Stream>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl ControlPlane {
    pub async fn start(address: &str) -> Self {
        let listener = loop {
            match std::net::TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("addr");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (streams_in, streams) = mpsc::channel(8);
        let service = ConfigDistributionServiceServer::new(Service(streams_in));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("listens");
            let incoming = TcpListenerStream::new(listener);
            let _ =
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await;
        });
        Self { address, streams, runtime: Some(runtime) }
    }

    pub async fn stream(&mut self) -> (Stream, Hello) {
        let mut stream = in_time("a stream", self.streams.recv()).await.expect("open");
        match stream.hear().await {
            FromProxy::Hello(hello) => (stream, hello),
            other => panic!("{other:?}"),
        }
    }

    /// Streams that nobody has looked at.
    pub fn streams_waiting(&self) -> usize {
        self.streams.len()
    }

    /// Ends at once, without a word to anybody.
    pub fn kill(self) -> SocketAddr {
        self.address
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stream {
    pub async fn hear(&mut self) -> FromProxy {
        let message = in_time("a message", self.inbound.message()).await.expect("open").expect("a message");
        message.message.expect("set")
    }

    pub async fn say(&mut self, message: ToProxy) -> String {
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let response = WatchConfigResponse { nonce: nonce.clone(), message: Some(message) };
        self.out.send(Ok(response)).await.expect("open");
        nonce
    }

    /// All that still comes before the end of the stream.
    pub async fn rest(&mut self) -> Vec<FromProxy> {
        let mut rest = Vec::new();
        while let Ok(Some(message)) = in_time("the end", self.inbound.message()).await {
            rest.extend(message.message);
        }
        rest
    }

    /// The acknowledgement of a message: of both stages, in this order.
    pub async fn acknowledged(&mut self, nonce: &str) -> Ack {
        match self.hear().await {
            FromProxy::Ack(ack) => {
                assert_eq!((ack.stage(), ack.nonce.as_str()), (Stage::Active, nonce));
                assert!((0..=ack.elapsed_us).contains(&ack.validated_us), "{ack:?}");
                ack
            }
            other => panic!("{other:?}"),
        }
    }

    pub async fn refusal(&mut self) -> Refusal {
        match self.hear().await {
            FromProxy::Refusal(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

pub fn token(revision: i64) -> Option<ResumeToken> {
    Some(ResumeToken { store_id: "store".into(), revision })
}

pub fn pool(version: i64, backend: SocketAddr) -> Resource {
    let backends = vec![route::Backend { address: backend.to_string(), weight: None, ..Default::default() }];
    let spec = Some(Spec::Pool(route::Pool { backends, ..Default::default() }));
    Resource { name: "pools/p".into(), version, spec, candidate: None }
}

pub fn to_the_pool(version: i64) -> Resource {
    let target = Some(route::forward::Target::Pool("pools/p".into()));
    let action = Some(route::route::Action::Forward(route::Forward { target, ..Default::default() }));
    let spec = Some(Spec::Route(route::Route { action, ..Default::default() }));
    Resource { name: "routes/r".into(), version, spec, candidate: None }
}

/// The same, for those who bring a token by keys that are at this address.
pub fn guarded(version: i64, jwks_url: &str) -> Resource {
    let mut guarded = to_the_pool(version);
    if let Some(Spec::Route(route)) = &mut guarded.spec {
        let (jwks_url, algorithms) = (jwks_url.to_owned(), vec!["EdDSA".to_owned()]);
        let jwt = Some(route::Jwt { jwks_url, algorithms, ..Default::default() });
        route.traffic = Some(route::Traffic { jwt, ..Default::default() });
    }
    guarded
}

pub fn digest(of: &[(&str, i64)]) -> bytes::Bytes {
    let mut digest = SetDigest::default();
    of.iter().for_each(|(name, version)| digest.insert(name, *version));
    digest.to_bytes().to_vec().into()
}

pub fn both(revision: i64, pool_version: i64, backend: SocketAddr) -> ToProxy {
    whole(revision, vec![pool(pool_version, backend), to_the_pool(1)])
}

/// A snapshot in one part.
pub fn whole(revision: i64, resources: Vec<Resource>) -> ToProxy {
    let of: Vec<(&str, i64)> = resources.iter().map(|r| (r.name.as_str(), r.version)).collect();
    let digest = digest(&of);
    drop(of);
    ToProxy::Snapshot(SnapshotChunk {
        at: token(revision),
        resources,
        last: true,
        digest,
        ..Default::default()
    })
}

pub fn moved(from: i64, to: i64, backend: SocketAddr) -> ToProxy {
    step(from, to, vec![pool(to, backend)], &[("pools/p", to), ("routes/r", 1)])
}

/// A delta that takes nothing away.
pub fn step(from: i64, to: i64, upserts: Vec<Resource>, after: &[(&str, i64)]) -> ToProxy {
    ToProxy::Delta(Delta { from, to: token(to), upserts, digest: digest(after), ..Default::default() })
}

pub fn bookmark(revision: i64, of: &[(&str, i64)]) -> ToProxy {
    ToProxy::Bookmark(Bookmark { at: token(revision), digest: digest(of) })
}

/// The route, with a host that no build takes.
pub fn bad_route(version: i64) -> Resource {
    let mut bad = to_the_pool(version);
    if let Some(Spec::Route(route)) = &mut bad.spec {
        route.hosts = vec!["not a host".into()];
    }
    bad
}
