//! The service as a process embeds it.

use std::path::Path;
use std::sync::Arc;

use hotswap_api::audit::v1::audit_service_server::AuditServiceServer;
use hotswap_api::gateway::v1::config_distribution_service_server::ConfigDistributionServiceServer;
use hotswap_api::gateway::v1::fleet_service_server::FleetServiceServer;
use hotswap_api::rollout::v1::rollout_service_server::RolloutServiceServer;
use hotswap_api::route::v1::route_service_server::RouteServiceServer;
use hotswap_core::{Clock, Ids, Revision};
use hotswap_runtime::{StartError, Supervisor};
use hotswap_store::Db;
use tonic::service::Routes;

use crate::app::App;
use crate::rpc::{Feed, Fleet, FleetRpc, NotBuiltRpc, RouteRpc, WatchRpc};

/// The largest message that a caller may send, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// RouteService with the watch and the fleet, on an open store.
pub struct RouteServer {
    app: App,
    feed: Feed,
    fleet: Fleet,
    supervisor: Supervisor,
}

impl std::fmt::Debug for RouteServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteServer").field("head", &self.feed.head()).finish_non_exhaustive()
    }
}

impl RouteServer {
    /// Opens the database file in `data_dir`, whose lock the caller holds, and starts to follow it.
    ///
    /// # Errors
    /// [`StartError::Failed`] where the database can't be opened or read.
    pub async fn open(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        let db = Db::open(&data_dir.join("hotswap.db"), &clock, &ids).await;
        let db = db.map_err(|e| StartError::failed("opening the store")(e.into()))?;
        let app = App { db, clock: Arc::clone(&clock), ids };
        let feed = Feed::start(app.clone(), supervisor).await;
        let feed = feed.map_err(|e| StartError::failed("reading the gateway configuration")(e.into()))?;
        Ok(Self { app, feed, fleet: Fleet::new(clock), supervisor: supervisor.clone() })
    }

    /// The services: RouteService, ConfigDistributionService, FleetService, and those of the contract that
    /// only say that they are not built.
    pub fn routes(&self) -> Routes {
        let watch = WatchRpc {
            feed: self.feed.clone(),
            fleet: self.fleet.clone(),
            supervisor: self.supervisor.clone(),
        };
        let fleet = FleetRpc { fleet: self.fleet.clone(), feed: self.feed.clone() };
        let route = RouteRpc { app: self.app.clone() };
        Routes::new(RouteServiceServer::new(route).max_decoding_message_size(MAX_MESSAGE))
            .add_service(ConfigDistributionServiceServer::new(watch).max_decoding_message_size(MAX_MESSAGE))
            .add_service(FleetServiceServer::new(fleet))
            .add_service(RolloutServiceServer::new(NotBuiltRpc))
            .add_service(AuditServiceServer::new(NotBuiltRpc))
    }

    /// Waits until the watch distributes `revision` or a later one.
    pub async fn distributed(&self, revision: Revision) {
        self.feed.reached(revision).await;
    }

    /// Closes the database. Called last, when no call is under way.
    pub async fn close(&self) {
        self.app.db.close().await;
    }
}
