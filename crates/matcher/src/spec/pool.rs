//! Pools and their backends.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::Violations;

use super::balancing::Balancing;
use super::condition::parse_each;
use super::resilience::Resilience;
use super::tls::{BackendTls, bare};
use super::{check_host, check_meta};
use crate::draft::{
    BackendDraft, BackendProtocol, BackendState, BackendTlsDraft, BackendsDraft, BalancingDraft,
    LoadBalancingDraft, PoolDraft,
};

const DEFAULT_CONNECT_TIMEOUT_MS: u32 = 2_000;
/// The largest weight, of a backend and of a pool.
pub(super) const MAX_WEIGHT: u32 = 1_000_000;

/// "host:port", the host a name or an address, in lower case; and how it is reached: what is reached otherwise is
/// another backend, with connections and health of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: String,
    tls: Option<Arc<BackendTls>>,
    protocol: BackendProtocol,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bad = "must be \"host:port\", as \"10.0.0.7:8080\", \"shop.internal:80\" or \"[::1]:8080\"";
        let (host, port) = text.rsplit_once(':').ok_or(bad)?;
        let port_ok = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
        if !port_ok || check_host(host).is_err() {
            return Err(bad.into());
        }
        Ok(Self { text: text.to_ascii_lowercase(), protocol: BackendProtocol::default(), tls: None })
    }

    /// The text, as "10.0.0.7:8080".
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        bare(self.text.rsplit_once(':').map_or(&*self.text, |(host, _)| host))
    }

    /// How it is reached with TLS; `None`: without.
    pub fn tls(&self) -> Option<&Arc<BackendTls>> {
        self.tls.as_ref()
    }

    /// What is spoken there.
    pub fn protocol(&self) -> BackendProtocol {
        self.protocol
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One place that answers requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where.
    pub address: Address,
    /// Relative share; 0 takes no requests.
    pub weight: u32,
    /// 0 comes first.
    pub priority: u8,
    /// What an operator lets it do.
    pub state: BackendState,
}

impl Backend {
    /// Whether it may take requests, as far as the configuration decides.
    pub fn is_enabled(&self) -> bool {
        self.weight > 0 && matches!(self.state, BackendState::Enabled | BackendState::ForcedClosed)
    }
}

/// Backends and the way to choose among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends {
    /// Where requests go; addresses are unique.
    pub backends: Vec<Backend>,
    /// How one is chosen.
    pub balancing: Balancing,
    /// Limit for opening a connection.
    pub connect_timeout: Duration,
    /// What is done about those that fail.
    pub resilience: Arc<Resilience>,
}

impl Backends {
    pub(super) fn parse(draft: &BackendsDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.backends.is_empty() {
            v.add("backends", "must have at least one backend");
        }
        let resilience = Resilience::parse(
            &mut v,
            draft.health_check.as_ref(),
            draft.circuit_breaker.as_ref(),
            draft.outlier_ejection.as_ref(),
            draft.protocol,
        );
        let strategy = (draft.load_balancing, draft.balancing.as_ref());
        let tls = tls(&mut v, draft.tls.as_ref());
        let backends = parse_backends(v, &draft.backends, strategy, draft.connect_timeout_ms)?;
        Ok(Self { resilience, ..backends }.reached_by(tls, draft.protocol))
    }

    fn reached_by(mut self, tls: Option<Arc<BackendTls>>, protocol: BackendProtocol) -> Self {
        for Backend { address, .. } in &mut self.backends {
            address.tls.clone_from(&tls);
            address.protocol = protocol;
        }
        self
    }
}

fn tls(v: &mut Violations, draft: Option<&BackendTlsDraft>) -> Option<Arc<BackendTls>> {
    let parsed = draft.map(BackendTls::parse).transpose();
    parsed.map_err(|e| v.nest("tls", e)).ok().flatten().map(Arc::new)
}

/// A validated pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    backends: Backends,
}

impl PoolSpec {
    /// Checks a draft. The faults name its fields, as "backends[2].address".
    pub fn parse(draft: &PoolDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        check_meta(&mut v, &draft.display_name, &draft.labels);
        let resilience = Resilience::parse(
            &mut v,
            draft.health_check.as_ref(),
            draft.circuit_breaker.as_ref(),
            draft.outlier_ejection.as_ref(),
            draft.protocol,
        );
        let strategy = (draft.load_balancing, draft.balancing.as_ref());
        let tls = tls(&mut v, draft.tls.as_ref());
        let backends = parse_backends(v, &draft.backends, strategy, draft.connect_timeout_ms)?;
        Ok(Self { backends: Backends { resilience, ..backends }.reached_by(tls, draft.protocol) })
    }

    /// Its backends; there may be none.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }
}

fn parse_backends(
    mut v: Violations,
    drafts: &[BackendDraft],
    (strategy, options): (LoadBalancingDraft, Option<&BalancingDraft>),
    connect_timeout_ms: u32,
) -> Result<Backends, Violations> {
    if drafts.len() > 1_000 {
        v.add("backends", "must have at most 1,000 entries");
    }
    let backends = parse_each(&mut v, "backends", drafts, backend);
    let mut seen = HashSet::new();
    for (i, b) in backends.iter().enumerate() {
        if !seen.insert(&b.address) {
            v.add(format!("backends[{i}].address"), format!("{} stands in the pool already", b.address));
        }
    }
    if connect_timeout_ms > 60_000 {
        v.add("connect_timeout_ms", "must be 1 to 60,000, or 0 for the default");
    }
    let parsed = Balancing::parse(strategy, options, &backends);
    let balancing = parsed.map_err(|e| v.nest("", e)).ok();
    let Some(balancing) = balancing.filter(|_| v.is_empty()) else { return Err(v) };
    let ms = if connect_timeout_ms == 0 { DEFAULT_CONNECT_TIMEOUT_MS } else { connect_timeout_ms };
    let connect_timeout = Duration::from_millis(u64::from(ms));
    Ok(Backends { backends, balancing, connect_timeout, resilience: Arc::default() })
}

fn backend(draft: &BackendDraft) -> Result<Backend, Violations> {
    let mut v = Violations::new();
    let address = v.take("address", Address::parse(&draft.address));
    let weight = draft.weight.unwrap_or(1);
    if weight > MAX_WEIGHT {
        v.add("weight", "must be 0 to 1,000,000");
    }
    let priority = u8::try_from(draft.priority).ok().filter(|p| *p <= 15);
    let priority = v.take("priority", priority.ok_or("must be 0 to 15"));
    match (address, priority) {
        (Some(address), Some(priority)) if v.is_empty() => {
            Ok(Backend { address, weight, priority, state: draft.state })
        }
        _ => Err(v),
    }
}
