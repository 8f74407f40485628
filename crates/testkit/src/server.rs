//! A gRPC server as the suite runs it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotswap_audit::Attempts;
use hotswap_auth::{LocalKey, Role, TokenRequest, Verifier};
use hotswap_core::{Clock as _, SystemClock, SystemIds};
use hotswap_rpc::{AuthLayer, BearerToken};
use hotswap_runtime::grpc::GrpcServer;
use hotswap_runtime::{Supervisor, TaskKind, listen};
use hotswap_telemetry::{GrpcMetrics, Metrics};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// A channel that sends a token with each call.
pub type Authed = InterceptedService<Channel, BearerToken>;

/// A server on a free port of loopback.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    key: Arc<LocalKey>,
    supervisor: Supervisor,
}

impl TestServer {
    /// Serves `routes`; the signing key lies in `dir`. It must run in a tokio runtime.
    ///
    /// # Panics
    /// Where anything fails.
    pub fn start(dir: &Path, routes: Routes, supervisor: Supervisor) -> Self {
        Self::serve(dir, routes, |layer| layer, supervisor)
    }

    /// The same, which tells the audit log of calls that are denied.
    ///
    /// # Panics
    /// Where anything fails.
    pub fn recording(dir: &Path, routes: Routes, attempts: Attempts, supervisor: Supervisor) -> Self {
        Self::serve(dir, routes, |layer| layer.recording(attempts), supervisor)
    }

    fn serve(
        dir: &Path,
        routes: Routes,
        with: impl FnOnce(AuthLayer) -> AuthLayer,
        supervisor: Supervisor,
    ) -> Self {
        let key = Arc::new(LocalKey::load_or_create(dir).expect("key"));
        let metrics = GrpcMetrics::register(&Metrics::new()).expect("metrics");
        let verifier = Verifier::new(Arc::clone(&key));
        let layer = with(AuthLayer::new(verifier, Arc::new(SystemClock), Arc::new(SystemIds), metrics));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = listen::bind(any, "test", "--listen").expect("binds");
        let address = listener.local_addr().expect("address");
        let server = GrpcServer::new(routes, hotswap_api::FILE_DESCRIPTOR_SET).expect("descriptors");
        let shutdown = supervisor.shutdown();
        supervisor.spawn("grpc", TaskKind::Essential, async move {
            server.serve(listener, layer, shutdown).await.expect("serves");
        });
        Self { address, key, supervisor }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it in good order, as SIGTERM would.
    ///
    /// # Panics
    /// Where a task does not end in 10 s.
    pub async fn stop(self) {
        let report = self.supervisor.drain(Duration::from_secs(10)).await;
        assert_eq!(report.aborted, Vec::<String>::new(), "everything ends in time");
    }

    /// A token of the subject "tester".
    ///
    /// # Panics
    /// Where signing fails.
    pub fn token(&self, roles: &[Role], ttl: Duration) -> String {
        let request = TokenRequest { subject: "tester".into(), roles: roles.to_vec(), tenant: None, ttl };
        self.key.mint(&request, SystemClock.now(), &SystemIds).expect("token")
    }

    /// A channel without a token.
    ///
    /// # Panics
    /// Where it does not connect.
    pub async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).expect("uri").connect().await.expect("connects")
    }

    /// A channel with a token of one role.
    ///
    /// # Panics
    /// Where it does not connect.
    pub async fn authed(&self, role: Role) -> Authed {
        let token = self.token(&[role], Duration::from_secs(600));
        InterceptedService::new(self.channel().await, BearerToken::new(&token).expect("token"))
    }
}
