//! The watch, from the proxy's side: it keeps the configuration in step with the control plane's, and goes on
//! serving what it has when that is away.
//!
//! ```text
//!   follow ──► connect ──► Hello (place, digest) ──► Reset · Snapshot · Delta · Bookmark
//!     ▲           │                                        │
//!     │        backoff, 50 ms to 5 s, with jitter          ▼
//!     └───────────┴── the stream ends ◄────────── Holdings: check place and digest, parse, compile
//!                                                          │  Ack VALIDATED, swap, Ack ACTIVE
//!                                                          ▼  Refusal: resource, field, reason
//!                                                     ArcSwap<Compiled> ──► cores
//! ```
//! It runs on the control thread. The token moves only by what arrived in the stream.

mod backoff;
mod holdings;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use hotswap_api::gateway::v1::Hello;
use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_core::Ids;
use hotswap_runtime::CancellationToken;
use hotswap_runtime::admin::Readiness;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::config::Compiled;
use crate::metrics::ControlMetrics;
use crate::options::GatewayOptions;
use backoff::Backoff;
use holdings::Holdings;
use session::Session;

/// The part of the process that is not ready before there is a configuration.
pub const READY_PART: &str = "configuration";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The largest message that the control plane may send, in bytes.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Keeps a configuration in step with the control plane.
#[derive(Debug)]
pub struct Follower {
    endpoint: Endpoint,
    token_file: Option<PathBuf>,
    identity: Hello,
    sink: Sink,
    holdings: Holdings,
    backoff: Backoff,
}

/// Where an applied configuration goes, and who is told.
#[derive(Clone, Debug)]
pub struct Sink {
    /// What the cores serve.
    pub config: Arc<ArcSwap<Compiled>>,
    /// What is counted.
    pub metrics: Arc<ControlMetrics>,
    /// Ready once there is a configuration.
    pub readiness: Readiness,
}

impl Follower {
    /// A follower with nothing yet.
    ///
    /// # Errors
    /// Where the address of the control plane is no URL.
    pub fn new(options: &GatewayOptions, ids: &dyn Ids, sink: Sink) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(options.control_plane.clone())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let instance = ids.uuid();
        let identity = Hello {
            proxy: options.proxy_name.clone(),
            instance_id: instance.to_string(),
            labels: options.labels.iter().map(|l| (l.key.clone(), l.value.clone())).collect(),
            build_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Hello::default()
        };
        sink.readiness.not_ready(READY_PART, "none has come from the control plane yet");
        Ok(Self {
            endpoint,
            token_file: options.token_file.clone(),
            identity,
            sink,
            holdings: Holdings::default(),
            backoff: Backoff::new(instance.as_u128()),
        })
    }

    /// Follows until `shutdown`.
    pub async fn follow(mut self, shutdown: CancellationToken) {
        loop {
            let ended = tokio::select! {
                ended = self.once() => ended,
                () = shutdown.cancelled() => return,
            };
            self.sink.metrics.connected.store(0, Ordering::Relaxed);
            let wait = self.backoff.next();
            match ended {
                Ok(()) => tracing::info!("the control plane ended the watch"),
                Err(status) => tracing::warn!(
                    code = ?status.code(),
                    message = status.message(),
                    retry_in_ms = wait.as_millis(),
                    "the watch is down; the gateway goes on with what it has"
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// One connection, from its hello to its end.
    async fn once(&mut self) -> Result<(), Status> {
        let authorization = self.authorization()?;
        let unreachable = |e: tonic::transport::Error| Status::unavailable(words(&e));
        let channel: Channel = self.endpoint.connect().await.map_err(unreachable)?;
        let mut client = ConfigDistributionServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let hello = Hello {
            have: self.holdings.place().cloned(),
            have_digest: self.holdings.digest().to_bytes().to_vec().into(),
            ..self.identity.clone()
        };
        let (mut session, outbound) = Session::open(hello, self.sink.clone()).await;
        let mut request = Request::new(outbound);
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value);
        }
        let inbound = client.watch_config(request).await?.into_inner();
        self.sink.metrics.connected.store(1, Ordering::Relaxed);
        tracing::info!(control_plane = %self.endpoint.uri(), "watching the configuration");
        session.run(inbound, &mut self.holdings, &mut self.backoff).await
    }

    /// The token, read anew: it may have been renewed since the last connection.
    fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Status> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|e| Status::unauthenticated(format!("cannot read the token {}: {e}", path.display())))?;
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", text.trim())
            .parse()
            .map_err(|_| Status::unauthenticated(format!("{} holds no token", path.display())))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// An error of the transport with its causes, which say more than itself.
fn words(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
