//! FleetService on the wire.

use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::fleet_service_server::FleetService;
use hotswap_core::{PageSize, PageToken, ProxyName, Reason, ResourceName as _, Violations};
use hotswap_rpc::WireError;
use tonic::{Request, Response, Status};

use super::convert::time;
use super::watch::Feed;
use crate::app::Fleet;
use crate::domain::{Breaker, Condition, Conditions, Place, Proxy, Refusal};

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
        let mut found = self.fleet.list();
        found.retain(|p| p.id > after);
        let more = found.len() > size.get();
        found.truncate(size.get());
        let next = found.last().filter(|_| more);
        let next_page_token = next.map(|p| PageToken::new(&["proxies"], vec![p.id.clone()]).encode());
        let proxies = found.into_iter().map(|p| self.shown(p)).collect();
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
        let proxy = self.fleet.get(parsed.id()).map(|p| self.shown(p)).ok_or_else(|| {
            WireError::new(Reason::NotFound, format!("{name} has never connected")).with("name", &name)
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
        let store = self.feed.store_id().to_string();
        let mut changes = self.fleet.watch();
        let reached = tokio::time::timeout(timeout, async {
            loop {
                changes.mark_unchanged();
                let (serving, lagging) = self.fleet.standing(&store, m.revision);
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
        let (serving, mut lagging) = self.fleet.standing(&store, m.revision);
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let connected = count(serving.len() + lagging.len());
        lagging.truncate(MAX_LAGGING);
        let lagging = lagging.iter().map(|id| full_name(id)).collect();
        Ok(Response::new(wire::WaitForRevisionResponse {
            reached,
            serving: count(serving.len()),
            connected,
            lagging,
        }))
    }
}

impl FleetRpc {
    fn shown(&self, p: Proxy) -> wire::Proxy {
        let at_head = p.serves(&self.feed.store_id().to_string(), self.feed.head().0);
        let sync = match (p.connected, p.refusals.is_empty(), at_head) {
            (false, ..) => wire::proxy::Sync::Disconnected,
            (true, false, _) => wire::proxy::Sync::Refusing,
            (true, true, true) => wire::proxy::Sync::Synced,
            (true, true, false) => wire::proxy::Sync::Pending,
        };
        wire::Proxy {
            name: full_name(&p.id),
            instance_id: p.instance_id,
            labels: p.labels.into_iter().collect(),
            build_version: p.build_version,
            sync: sync.into(),
            active: p.active.map(place),
            sent: p.sent.map(place),
            refusals: p.refusals.into_iter().map(refusal).collect(),
            connect_time: Some(time(p.connected_at)),
            last_seen_time: Some(time(p.last_seen_at)),
            backends: Some(report(p.backends)),
        }
    }
}

pub(super) fn full_name(id: &str) -> String {
    format!("proxies/{id}")
}

fn place(p: Place) -> wire::ResumeToken {
    wire::ResumeToken { store_id: p.store_id, revision: p.revision }
}

fn refusal(r: Refusal) -> wire::ResourceError {
    wire::ResourceError {
        name: r.name,
        version: r.version,
        field: r.field,
        reason: r.reason,
        message: r.message,
    }
}

fn report(c: Conditions) -> wire::BackendReport {
    let backends = c.listed.into_iter().map(condition).collect();
    wire::BackendReport { total: i32::try_from(c.total).unwrap_or(i32::MAX), backends }
}

fn condition(c: Condition) -> wire::BackendCondition {
    use wire::backend_condition::Breaker as Wire;
    let breaker = match c.breaker {
        Breaker::None => Wire::Unspecified,
        Breaker::Closed => Wire::Closed,
        Breaker::Open => Wire::Open,
        Breaker::HalfOpen => Wire::HalfOpen,
    };
    wire::BackendCondition {
        pool: c.pool,
        address: c.address,
        unhealthy: c.unhealthy,
        ejected: c.ejected,
        breaker: breaker.into(),
        held: c.held,
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
