//! The watch: one feed a process, which follows the store, and one session a proxy, which follows the feed.
//!
//! ```text
//!   store ──commit──► Feed: head, every resource in wire form, the log of what each revision touched
//!                       │ wakes
//!                       ▼
//!                     Session (a proxy): Hello ─► Reset + Snapshot | Delta ─► Ack VALIDATED, ACTIVE ─► …
//! ```

mod feed;
mod session;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::config_distribution_service_server::ConfigDistributionService;
use hotswap_runtime::{Supervisor, TaskKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use feed::Feed;
use session::Session;

use crate::app::Fleet;
use crate::metrics::RouteMetrics;

/// Messages that may wait for a proxy that reads slowly.
const BUFFER: usize = 8;

/// The service.
pub(crate) struct WatchRpc {
    pub(crate) feed: Feed,
    pub(crate) fleet: Fleet,
    pub(crate) supervisor: Supervisor,
    pub(crate) metrics: RouteMetrics,
    /// Whether a snapshot may take most of what a proxy has.
    pub(crate) allow_mass_delete: bool,
}

#[tonic::async_trait]
impl ConfigDistributionService for WatchRpc {
    type WatchConfigStream = ReceiverStream<Result<wire::WatchConfigResponse, Status>>;

    async fn watch_config(
        &self,
        request: Request<Streaming<wire::WatchConfigRequest>>,
    ) -> Result<Response<Self::WatchConfigStream>, Status> {
        let (to_proxy, out) = mpsc::channel(BUFFER);
        let session = Session::new(self, to_proxy.clone());
        let inbound = request.into_inner();
        self.supervisor.spawn("watch", TaskKind::Connection, async move {
            if let Err(status) = session.run(inbound).await {
                // Where nothing was read there is no room for it, and nobody to wait for.
                let _ = to_proxy.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(out)))
    }
}
