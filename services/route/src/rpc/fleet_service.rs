//! FleetService on the wire.

use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::fleet_service_server::FleetService;
use hotswap_core::{PageSize, PageToken, ProxyName, ResourceName as _, Violations};
use hotswap_rpc::WireError;
use tonic::{Code, Request, Response, Status};

use super::fleet::Fleet;
use super::watch::Feed;

const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_secs(300);
const MAX_LAGGING: usize = 100;

/// The service.
pub(crate) struct FleetRpc {
    pub(crate) fleet: Fleet,
    pub(crate) feed: Feed,
}

#[tonic::async_trait]
impl FleetService for FleetRpc {
    async fn list_proxies(
        &self,
        request: Request<wire::ListProxiesRequest>,
    ) -> Result<Response<wire::ListProxiesResponse>, Status> {
        let m = request.into_inner();
        let size = PageSize::parse(m.page_size).map_err(WireError::invalid)?;
        let token = PageToken::decode(&m.page_token, &["proxies"], 1).map_err(WireError::invalid)?;
        let after = token.and_then(|k| k.into_iter().next()).unwrap_or_default();
        let mut proxies = self.fleet.list(self.feed.head().0);
        proxies.retain(|p| p.name > after);
        let more = proxies.len() > size.get();
        proxies.truncate(size.get());
        let next = proxies.last().filter(|_| more);
        let next_page_token = next.map(|p| PageToken::new(&["proxies"], vec![p.name.clone()]).encode());
        Ok(Response::new(wire::ListProxiesResponse {
            proxies,
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn get_proxy(
        &self,
        request: Request<wire::GetProxyRequest>,
    ) -> Result<Response<wire::GetProxyResponse>, Status> {
        let name = request.into_inner().name;
        let parsed = ProxyName::parse(&name)
            .map_err(|e| WireError::invalid(Violations::one("name", e.to_string())))?;
        let proxy = self.fleet.get(parsed.id(), self.feed.head().0).ok_or_else(|| {
            WireError::new(Code::NotFound, "NOT_FOUND", format!("{name} has never connected"))
                .with("name", &name)
        })?;
        Ok(Response::new(wire::GetProxyResponse { proxy: Some(proxy) }))
    }

    async fn wait_for_revision(
        &self,
        request: Request<wire::WaitForRevisionRequest>,
    ) -> Result<Response<wire::WaitForRevisionResponse>, Status> {
        let m = request.into_inner();
        let timeout = checked(&m)?;
        let quorum = usize::try_from(m.quorum).unwrap_or(0);
        let mut changes = self.fleet.watch();
        let reached = tokio::time::timeout(timeout, async {
            loop {
                changes.mark_unchanged();
                let (serving, lagging) = self.fleet.standing(m.revision);
                let enough = match quorum {
                    0 => lagging.is_empty() && !serving.is_empty(),
                    n => serving.len() >= n,
                };
                if enough || changes.changed().await.is_err() {
                    return enough;
                }
            }
        });
        let reached = reached.await.unwrap_or(false);
        let (serving, mut lagging) = self.fleet.standing(m.revision);
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let connected = count(serving.len() + lagging.len());
        lagging.truncate(MAX_LAGGING);
        Ok(Response::new(wire::WaitForRevisionResponse {
            reached,
            serving: count(serving.len()),
            connected,
            lagging,
        }))
    }
}

/// The time to wait of a request that is valid.
fn checked(m: &wire::WaitForRevisionRequest) -> Result<Duration, Status> {
    let mut v = Violations::new();
    if m.revision < 1 {
        v.add("revision", "must be 1 or more");
    }
    if m.quorum < 0 {
        v.add("quorum", "must not be negative");
    }
    let timeout = match m.timeout {
        None => Some(DEFAULT_WAIT),
        Some(d) => Duration::try_from(d).ok().filter(|d| *d <= MAX_WAIT),
    };
    if timeout.is_none() {
        v.add("timeout", "must be 0 s to 300 s");
    }
    v.into_result().map_err(WireError::invalid)?;
    Ok(timeout.unwrap_or(DEFAULT_WAIT))
}
