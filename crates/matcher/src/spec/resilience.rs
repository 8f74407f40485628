//! What is done about backends that fail: checks, breaker, ejection, retries.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::Violations;

use super::{check_host, check_path};
use crate::draft::{
    BackendProtocol, CircuitBreakerDraft, HealthCheckDraft, HealthCheckKindDraft, OutlierEjectionDraft,
    RetryDraft,
};

/// What a pool does about backends that fail; each part may be off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resilience {
    /// Active checks.
    pub health_check: Option<HealthCheck>,
    /// The breaker of each backend.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Takes out what fails requests.
    pub outlier_ejection: Option<OutlierEjection>,
}

/// Active checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// How.
    pub probe: Probe,
    /// Between two checks.
    pub interval: Duration,
    /// How far it strays from that, in percent.
    pub jitter_percent: u32,
    /// For one check.
    pub timeout: Duration,
    /// Consecutive failures that make a backend unhealthy.
    pub unhealthy_threshold: u32,
    /// Consecutive successes that make it healthy.
    pub healthy_threshold: u32,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Opens a connection.
    Tcp,
    /// Asks for a path.
    Http {
        /// The path.
        path: String,
        /// The Host header; `None`: the address.
        host: Option<String>,
        /// Statuses that are a success; none: 200 to 299.
        expected: Vec<u16>,
    },
    /// Calls grpc.health.v1.Health/Check.
    Grpc {
        /// The service that is asked about; empty: the server as a whole.
        service: String,
        /// The authority; `None`: the address.
        host: Option<String>,
    },
}

/// A breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Consecutive failures that open it.
    pub failure_threshold: u32,
    /// From open to half-open.
    pub open: Duration,
    /// Trials at once, and successes that close it.
    pub half_open_requests: u32,
    /// A rate of failures that opens it too.
    pub rate: Option<FailureRate>,
}

/// A rate of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// In percent.
    pub percent: u32,
    /// Within this time.
    pub window: Duration,
    /// Of so many requests at least.
    pub min_requests: u32,
}

/// When a backend is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierEjection {
    /// Consecutive failures.
    pub consecutive_failures: u32,
    /// The first time.
    pub base: Duration,
    /// The longest time.
    pub max: Duration,
    /// The most at once, in percent of the pool.
    pub max_ejected_percent: u32,
}

/// When a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first.
    pub max_retries: u32,
    /// For one try.
    pub per_try: Option<Duration>,
    /// The first pause at most.
    pub base_backoff: Duration,
    /// Any pause at most.
    pub max_backoff: Duration,
    /// Retries in percent of the pool's requests.
    pub budget_percent: u32,
    /// The largest body that is kept, in bytes.
    pub max_body_bytes: usize,
    /// Calls of gRPC are tried again, too.
    pub grpc_unavailable: bool,
}

/// Numbers of a message, 0 standing for the default of each.
pub(super) struct Numbers<'a>(pub(super) &'a mut Violations);

impl Numbers<'_> {
    pub(super) fn take(&mut self, field: &str, given: u32, default: u32, range: RangeInclusive<u32>) -> u32 {
        if given != 0 && !range.contains(&given) {
            let (from, to) = (thousands(*range.start()), thousands(*range.end()));
            self.0.add(field, format!("must be {from} to {to}, or 0 for the default"));
        }
        if given == 0 { default } else { given }
    }

    pub(super) fn ms(
        &mut self,
        field: &str,
        given: u32,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Duration {
        Duration::from_millis(u64::from(self.take(field, given, default, range)))
    }
}

/// As the contract writes numbers: "600,000".
fn thousands(n: u32) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", thousands(n / 1_000), n % 1_000) }
}

impl Resilience {
    pub(super) fn parse(
        v: &mut Violations,
        health_check: Option<&HealthCheckDraft>,
        circuit_breaker: Option<&CircuitBreakerDraft>,
        outlier_ejection: Option<&OutlierEjectionDraft>,
        protocol: BackendProtocol,
    ) -> Arc<Self> {
        let by_grpc = health_check.is_some_and(|check| check.kind == HealthCheckKindDraft::Grpc);
        if by_grpc && protocol != BackendProtocol::Http2 {
            v.add("health_check.kind", "GRPC needs `protocol` to be BACKEND_PROTOCOL_HTTP2");
        }
        let health_check = health_check.map(HealthCheck::parse).transpose();
        let circuit_breaker = circuit_breaker.map(CircuitBreaker::parse).transpose();
        let outlier_ejection = outlier_ejection.map(OutlierEjection::parse).transpose();
        Arc::new(Self {
            health_check: health_check.map_err(|e| v.nest("health_check", e)).ok().flatten(),
            circuit_breaker: circuit_breaker.map_err(|e| v.nest("circuit_breaker", e)).ok().flatten(),
            outlier_ejection: outlier_ejection.map_err(|e| v.nest("outlier_ejection", e)).ok().flatten(),
        })
    }
}

impl HealthCheck {
    fn parse(draft: &HealthCheckDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let mut n = Numbers(&mut v);
        let interval = n.ms("interval_ms", draft.interval_ms, 10_000, 100..=600_000);
        let timeout = n.ms("timeout_ms", draft.timeout_ms, 2_000, 1..=60_000);
        let unhealthy_threshold = n.take("unhealthy_threshold", draft.unhealthy_threshold, 3, 1..=100);
        let healthy_threshold = n.take("healthy_threshold", draft.healthy_threshold, 2, 1..=100);
        let jitter_percent = draft.jitter_percent.unwrap_or(10);
        if jitter_percent > 50 {
            v.add("jitter_percent", "must be 0 to 50");
        }
        let probe = match draft.kind {
            HealthCheckKindDraft::Tcp => Probe::Tcp,
            HealthCheckKindDraft::Grpc => Probe::grpc(&mut v, draft),
            HealthCheckKindDraft::Http => Probe::parse(&mut v, draft),
        };
        v.into_result()?;
        Ok(Self { probe, interval, jitter_percent, timeout, unhealthy_threshold, healthy_threshold })
    }
}

impl Probe {
    fn parse(v: &mut Violations, draft: &HealthCheckDraft) -> Self {
        let path = if draft.path.is_empty() { "/" } else { &draft.path };
        // The query is the user's business; the rest follows the rules of paths.
        v.take("path", check_path(path.split('?').next().unwrap_or_default()));
        if path.bytes().any(|b| !b.is_ascii_graphic() || b == b'#') {
            v.add("path", "must be printable ASCII without spaces and \"#\"");
        }
        let host = Self::host(v, draft);
        if draft.expected_statuses.len() > 32 {
            v.add("expected_statuses", "must have at most 32 entries");
        }
        let mut expected = Vec::with_capacity(draft.expected_statuses.len());
        for (i, status) in draft.expected_statuses.iter().enumerate() {
            match u16::try_from(*status) {
                Ok(status @ 100..=599) => expected.push(status),
                _ => v.add(format!("expected_statuses[{i}]"), "must be 100 to 599"),
            }
        }
        Self::Http { path: path.to_owned(), host, expected }
    }

    fn grpc(v: &mut Violations, draft: &HealthCheckDraft) -> Self {
        let service = draft.service.clone();
        if service.len() > 253 || service.bytes().any(|b| !b.is_ascii_graphic()) {
            v.add("service", "must be at most 253 characters of printable ASCII, without spaces");
        }
        Self::Grpc { service, host: Self::host(v, draft) }
    }

    fn host(v: &mut Violations, draft: &HealthCheckDraft) -> Option<String> {
        let host = (!draft.host.is_empty()).then(|| draft.host.clone())?;
        let name = host.rsplit_once(':').filter(|(_, p)| p.parse::<u16>().is_ok());
        v.take("host", check_host(name.map_or(host.as_str(), |(h, _)| h)));
        Some(host)
    }
}

impl CircuitBreaker {
    fn parse(draft: &CircuitBreakerDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let mut n = Numbers(&mut v);
        let failure_threshold = n.take("failure_threshold", draft.failure_threshold, 5, 1..=1_000);
        let open = n.ms("open_ms", draft.open_ms, 30_000, 100..=3_600_000);
        let half_open_requests = n.take("half_open_requests", draft.half_open_requests, 1, 1..=100);
        let window = n.ms("window_ms", draft.window_ms, 10_000, 1_000..=600_000);
        let min_requests = n.take("min_requests", draft.min_requests, 20, 1..=1_000_000);
        let percent = draft.failure_rate_percent.unwrap_or(50);
        if percent > 100 {
            v.add("failure_rate_percent", "must be 0 to 100");
        }
        v.into_result()?;
        let rate = (percent > 0).then_some(FailureRate { percent, window, min_requests });
        Ok(Self { failure_threshold, open, half_open_requests, rate })
    }
}

impl OutlierEjection {
    fn parse(draft: &OutlierEjectionDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let mut n = Numbers(&mut v);
        let consecutive_failures = n.take("consecutive_failures", draft.consecutive_failures, 5, 1..=1_000);
        let base = n.ms("base_ms", draft.base_ms, 30_000, 100..=3_600_000);
        let max = n.ms("max_ms", draft.max_ms, 300_000, 100..=86_400_000);
        let max_ejected_percent = n.take("max_ejected_percent", draft.max_ejected_percent, 10, 1..=100);
        if draft.max_ms != 0 && max < base {
            v.add("max_ms", "must not be less than base_ms");
        }
        v.into_result()?;
        Ok(Self { consecutive_failures, base, max: max.max(base), max_ejected_percent })
    }
}

impl Retry {
    pub(super) fn parse(draft: &RetryDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let mut n = Numbers(&mut v);
        let max_retries = n.take("max_retries", draft.max_retries, 2, 1..=10);
        let per_try = n.ms("per_try_ms", draft.per_try_ms, 0, 1..=3_600_000);
        let base_backoff = n.ms("base_backoff_ms", draft.base_backoff_ms, 25, 1..=60_000);
        let max_backoff = n.ms("max_backoff_ms", draft.max_backoff_ms, 250, 1..=60_000);
        let budget_percent = n.take("budget_percent", draft.budget_percent, 20, 1..=100);
        let body = n.take("max_body_bytes", draft.max_body_bytes, 65_536, 1..=1_048_576);
        if draft.max_backoff_ms != 0 && max_backoff < base_backoff {
            v.add("max_backoff_ms", "must not be less than base_backoff_ms");
        }
        v.into_result()?;
        Ok(Self {
            max_retries,
            per_try: (!per_try.is_zero()).then_some(per_try),
            base_backoff,
            max_backoff: max_backoff.max(base_backoff),
            budget_percent,
            max_body_bytes: usize::try_from(body).unwrap_or(usize::MAX),
            grpc_unavailable: draft.grpc_unavailable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults<T>(parsed: Result<T, Violations>) -> String {
        parsed.err().map(|v| v.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_not_said_has_the_defaults_of_the_contract() {
        let check = HealthCheck::parse(&HealthCheckDraft::default()).expect("valid");
        assert_eq!((check.interval.as_millis(), check.timeout.as_millis()), (10_000, 2_000));
        assert_eq!((check.unhealthy_threshold, check.healthy_threshold, check.jitter_percent), (3, 2, 10));
        assert!(matches!(check.probe, Probe::Http { path, host: None, .. } if path == "/"));
        let breaker = CircuitBreaker::parse(&CircuitBreakerDraft::default()).expect("valid");
        assert_eq!(
            (breaker.failure_threshold, breaker.open.as_secs(), breaker.half_open_requests),
            (5, 30, 1)
        );
        assert_eq!(breaker.rate.map(|r| (r.percent, r.min_requests)), Some((50, 20)));
        let retry = Retry::parse(&RetryDraft::default()).expect("valid");
        assert_eq!((retry.max_retries, retry.budget_percent, retry.per_try), (2, 20, None));
    }

    #[test]
    fn every_fault_is_named_by_its_field() {
        let check = HealthCheckDraft {
            path: "x y".into(),
            interval_ms: 99,
            jitter_percent: Some(51),
            expected_statuses: vec![200, 600],
            ..HealthCheckDraft::default()
        };
        let text = faults(HealthCheck::parse(&check));
        for field in ["path", "interval_ms", "jitter_percent", "expected_statuses[1]"] {
            assert!(text.contains(field), "{field}: {text}");
        }
        let kind = HealthCheckKindDraft::Grpc;
        let check = HealthCheckDraft { kind, service: "a b".into(), host: "-".into(), ..check };
        let text = faults(HealthCheck::parse(&check));
        assert!(text.contains("service") && text.contains("host") && !text.contains("path"), "{text}");
        let breaker = CircuitBreakerDraft { failure_rate_percent: Some(101), ..Default::default() };
        assert!(faults(CircuitBreaker::parse(&breaker)).contains("failure_rate_percent"));
        let eject = OutlierEjectionDraft { base_ms: 2_000, max_ms: 1_000, ..Default::default() };
        assert!(faults(OutlierEjection::parse(&eject)).contains("max_ms"));
        let retry = RetryDraft { max_retries: 11, max_backoff_ms: 1, ..RetryDraft::default() };
        let text = faults(Retry::parse(&retry));
        assert!(text.contains("max_retries") && text.contains("max_backoff_ms"), "{text}");
    }

    #[test]
    fn a_rate_of_0_turns_it_off_and_a_larger_base_moves_the_limit() {
        let breaker = CircuitBreakerDraft { failure_rate_percent: Some(0), ..Default::default() };
        assert_eq!(CircuitBreaker::parse(&breaker).expect("valid").rate, None);
        let eject = OutlierEjectionDraft { base_ms: 600_000, ..Default::default() };
        assert_eq!(OutlierEjection::parse(&eject).expect("valid").max.as_secs(), 600);
    }
}
