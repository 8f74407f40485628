//! What routes, pools and certificates have in common: content that is named, validated, stored and compared alike.

use hotswap_certificate::{CertificateDraft, PrivateKey};
use hotswap_core::{Comparison, PoolName, ResourceName, RouteName, Timestamp, Violations};
use hotswap_matcher::{
    AccessDraft, AccessLogDraft, BackendProtocol, BackendState, BackendTlsDraft, BackendsDraft,
    BalancingDraft, CircuitBreakerDraft, CompressionDraft, ConcurrencyDraft, CorsDraft, FaultAbortDraft,
    FaultDelayDraft, FaultDraft, ForwardDraft, HashKeyDraft, HeaderEditsDraft, HeaderRulesDraft,
    HealthCheckDraft, JwtDraft, MirrorDraft, OutlierEjectionDraft, PoolDraft, PoolSpec, RateFallbackDraft,
    RateLimitDraft, RedirectDraft, RequestLimitsDraft, RetryDraft, RewriteDraft, RouteDraft, RouteSpec,
    StickyCookieDraft, TimeoutsDraft, TrafficDraft,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The content of a resource. The drafts are kept, not the specs: they are what the user wrote.
pub trait Content:
    Serialize + DeserializeOwned + Clone + Default + PartialEq + Send + Sync + 'static
{
    /// The name of such a resource.
    type Name: ResourceName + Send + Sync + 'static;

    /// The field of a request that holds it, as "route".
    const FIELD: &'static str;

    /// Fields that a filter may name.
    const FILTER_FIELDS: &'static [&'static str];

    /// Members of oneofs, by the path of the message that holds them: setting one clears the others.
    const ONEOFS: &'static [(&'static str, &'static [&'static str])];

    /// The field that is a secret. It has no JSON form, so that it stands in no row, cache, difference or event; what keeps
    /// it seals it and keeps it apart.
    const SECRET: Option<&'static str> = None;

    /// Every fault, each with its field, of what takes the place of `before`; `None`: it is new.
    fn validate(&self, before: Option<&Self>, now: Timestamp) -> Result<(), Violations>;

    /// The secret, where it is known.
    fn secret(&self) -> Option<&PrivateKey> {
        None
    }

    /// Gives it another secret, or takes it away.
    fn set_secret(&mut self, _secret: Option<PrivateKey>) {}

    /// The pool that it sends requests to.
    fn pool(&self) -> Option<&str>;

    /// The pool that it sends copies of them to.
    fn mirror_pool(&self) -> Option<&str> {
        None
    }

    /// The pools that it splits requests between, in its order.
    fn split_pools(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// An instance with every optional message set, so that field masks can be checked against it.
    fn shape() -> Self;

    /// Whether a condition of a filter holds.
    fn satisfies(&self, name: &str, condition: &Comparison) -> bool;

    /// What is not for writers of the content to say becomes what it was before; `None`: it is new.
    fn settle(&mut self, _before: Option<&Self>) {}
}

impl Content for RouteDraft {
    type Name = RouteName;
    const FIELD: &'static str = "route";
    const FILTER_FIELDS: &'static [&'static str] = &["name", "display_name", "labels.*", "hosts", "pool"];
    const ONEOFS: &'static [(&'static str, &'static [&'static str])] = &[
        ("", &["forward", "redirect"]),
        ("forward", &["pool", "inline", "split"]),
        ("forward.inline.balancing.hash", &["header", "cookie"]),
        ("forward.rewrite", &["full_path", "replace_prefix"]),
        ("redirect", &["full_path", "replace_prefix"]),
        ("traffic.rate_limit", &["client_address", "header"]),
        ("traffic.mirror", &["pool", "inline"]),
        ("traffic.mirror.inline.balancing.hash", &["header", "cookie"]),
    ];

    fn validate(&self, _before: Option<&Self>, _now: Timestamp) -> Result<(), Violations> {
        RouteSpec::parse(self).map(drop)
    }

    fn pool(&self) -> Option<&str> {
        self.forward.as_ref()?.pool.as_deref()
    }

    fn mirror_pool(&self) -> Option<&str> {
        self.traffic.as_ref()?.mirror.as_ref()?.pool.as_deref()
    }

    fn split_pools(&self) -> impl Iterator<Item = &str> {
        let split = self.forward.as_ref().and_then(|forward| forward.split.as_ref());
        split.into_iter().flatten().map(|weighted| weighted.pool.as_str())
    }

    fn shape() -> Self {
        let text = || Some(String::new());
        Self {
            forward: Some(ForwardDraft {
                pool: text(),
                inline: Some(inline_shape()),
                split: Some(Vec::new()),
                rewrite: Some(RewriteDraft {
                    full_path: text(),
                    replace_prefix: text(),
                    ..RewriteDraft::default()
                }),
                timeouts: Some(TimeoutsDraft::default()),
                retry: Some(RetryDraft::default()),
                ..ForwardDraft::default()
            }),
            redirect: Some(RedirectDraft {
                full_path: text(),
                replace_prefix: text(),
                ..RedirectDraft::default()
            }),
            request_headers: Some(HeaderEditsDraft::default()),
            response_headers: Some(HeaderEditsDraft::default()),
            traffic: Some(Box::new(traffic_shape())),
            ..Self::default()
        }
    }

    fn satisfies(&self, name: &str, condition: &Comparison) -> bool {
        match condition.field.as_str() {
            "name" => condition.holds([name]),
            "display_name" => condition.holds([self.display_name.as_str()]),
            "hosts" => condition.holds(self.hosts.iter().map(String::as_str)),
            "pool" => condition.holds(self.pool().into_iter().chain(self.split_pools())),
            field => condition.holds(label(&self.labels, field)),
        }
    }
}

impl Content for PoolDraft {
    type Name = PoolName;
    const FIELD: &'static str = "pool";
    const FILTER_FIELDS: &'static [&'static str] = &["name", "display_name", "labels.*", "address"];
    const ONEOFS: &'static [(&'static str, &'static [&'static str])] =
        &[("balancing.hash", &["header", "cookie"])];

    fn validate(&self, _before: Option<&Self>, _now: Timestamp) -> Result<(), Violations> {
        PoolSpec::parse(self).map(drop)
    }

    fn pool(&self) -> Option<&str> {
        None
    }

    fn shape() -> Self {
        Self {
            health_check: Some(HealthCheckDraft::default()),
            circuit_breaker: Some(CircuitBreakerDraft::default()),
            outlier_ejection: Some(OutlierEjectionDraft::default()),
            protocol: BackendProtocol::Http2,
            balancing: Some(balancing_shape()),
            tls: Some(BackendTlsDraft::default()),
            ..Self::default()
        }
    }

    fn satisfies(&self, name: &str, condition: &Comparison) -> bool {
        match condition.field.as_str() {
            "name" => condition.holds([name]),
            "display_name" => condition.holds([self.display_name.as_str()]),
            "address" => condition.holds(self.backends.iter().map(|b| b.address.as_str())),
            field => condition.holds(label(&self.labels, field)),
        }
    }

    /// The states of backends: a file that is applied again enables none that was drained.
    fn settle(&mut self, before: Option<&Self>) {
        for backend in &mut self.backends {
            let known = before.and_then(|pool| pool.backend(&backend.address));
            backend.state = known.map_or(BackendState::Enabled, |b| b.state);
        }
    }
}

fn traffic_shape() -> TrafficDraft {
    TrafficDraft {
        access: Some(AccessDraft::default()),
        cors: Some(CorsDraft::default()),
        limits: Some(RequestLimitsDraft::default()),
        rate_limit: Some(RateLimitDraft {
            client_address: Some(false),
            header: Some(String::new()),
            fallback: Some(RateFallbackDraft::Local),
            ..RateLimitDraft::default()
        }),
        concurrency: Some(ConcurrencyDraft::default()),
        fault: Some(FaultDraft {
            abort: Some(FaultAbortDraft::default()),
            delay: Some(FaultDelayDraft::default()),
            ..FaultDraft::default()
        }),
        access_log: Some(AccessLogDraft::default()),
        jwt: Some(JwtDraft::default()),
        mirror: Some(MirrorDraft {
            pool: Some(String::new()),
            inline: Some(inline_shape()),
            ..MirrorDraft::default()
        }),
        compression: Some(CompressionDraft::default()),
    }
}

fn inline_shape() -> BackendsDraft {
    BackendsDraft {
        balancing: Some(balancing_shape()),
        health_check: Some(HealthCheckDraft::default()),
        circuit_breaker: Some(CircuitBreakerDraft::default()),
        outlier_ejection: Some(OutlierEjectionDraft::default()),
        tls: Some(BackendTlsDraft::default()),
        protocol: BackendProtocol::Http2,
        ..BackendsDraft::default()
    }
}

fn balancing_shape() -> BalancingDraft {
    let text = || Some(String::new());
    BalancingDraft {
        header_rules: Some(HeaderRulesDraft::default()),
        hash: Some(HashKeyDraft { header: text(), cookie: text(), ..HashKeyDraft::default() }),
        sticky_cookie: Some(StickyCookieDraft::default()),
        ..BalancingDraft::default()
    }
}

pub(super) fn label<'a>(
    labels: &'a std::collections::BTreeMap<String, String>,
    field: &str,
) -> Option<&'a str> {
    labels.get(field.strip_prefix("labels.")?).map(String::as_str)
}

/// Content of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyContent {
    /// A route's.
    Route(Box<RouteDraft>),
    /// A pool's.
    Pool(Box<PoolDraft>),
    /// A certificate's, with its key where that could be opened.
    Certificate(Box<CertificateDraft>),
}

/// Content as JSON; drafts always have a JSON form.
pub fn to_json(content: &impl Serialize) -> Value {
    serde_json::to_value(content).unwrap_or_default()
}
