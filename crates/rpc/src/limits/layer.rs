//! The layer that counts calls.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hotswap_auth::{OpContext, row};
use hotswap_core::Reason;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::table::Table;
use super::{LimitMetrics, Limits, Rate, SharedBuckets};
use crate::WireError;

/// Refuses calls of those who call too often; cheap to clone. It stands behind [`AuthLayer`](crate::AuthLayer), which
/// tells who calls.
#[derive(Clone)]
pub struct LimitLayer {
    state: Arc<State>,
}

struct State {
    limits: Limits,
    table: Table,
    metrics: LimitMetrics,
}

/// A bucket that a call takes from.
struct Rule {
    limit: &'static str,
    name: String,
    rate: Rate,
}

impl std::fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitLayer").field("limits", &self.state.limits).finish_non_exhaustive()
    }
}

impl LimitLayer {
    /// A layer with these limits; `shared`: the buckets of several processes.
    pub fn new(limits: Limits, shared: Option<Arc<dyn SharedBuckets>>, metrics: LimitMetrics) -> Self {
        Self { state: Arc::new(State { limits, table: Table::new(shared), metrics }) }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, state: Arc::clone(&self.state) }
    }
}

/// A service behind [`LimitLayer`].
#[derive(Clone)]
pub struct LimitService<S> {
    inner: S,
    state: Arc<State>,
}

impl<S> Service<Request<Body>> for LimitService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.state);
        let clone = self.inner.clone();
        // The service that was polled ready is the one to call; its clone takes its place.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            // Without a context the method is open to all, and says no more than that a process lives.
            if let Some(context) = request.extensions().get::<OpContext>()
                && let Err(refused) = state.take(context).await
            {
                return Ok(Status::from(refused).into_http());
            }
            inner.call(request).await
        })
    }
}

impl State {
    /// Takes the call out of each of its buckets, or out of none.
    async fn take(&self, context: &OpContext) -> Result<(), WireError> {
        let mut taken = Vec::new();
        for rule in self.limits.rules(context) {
            match self.table.take(&rule.name, rule.rate).await {
                Ok(one) => taken.push(one),
                Err(wait) => {
                    taken.into_iter().for_each(super::table::Taken::put_back);
                    return Err(self.refuse(context, &rule, wait));
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, context: &OpContext, rule: &Rule, wait: Duration) -> WireError {
        let method = row(context.method).map_or("/unknown", |row| row.path);
        self.metrics.refused(method, rule.limit);
        tracing::debug!(method, limit = rule.limit, actor = context.actor(), "call over its limit");
        let whose = match rule.limit {
            "tenant" => "your tenant calls",
            "method" => "you call this method",
            _ => "you call",
        };
        // In whole milliseconds, and not before it is there.
        let wait =
            Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
        let message = format!("{whose} more often than {}; come back in {} ms", rule.rate, wait.as_millis());
        WireError::new(Reason::RateLimited, message)
            .with("limit", rule.limit)
            .with("rate", rule.rate.to_string())
            .retry_after(wait)
    }
}

impl Limits {
    fn rules(&self, context: &OpContext) -> impl Iterator<Item = Rule> {
        let who = &context.principal;
        let tenant = who.tenant.as_deref().unwrap_or_default();
        // With a length, so that no two have one name.
        let principal = format!("{}:{tenant}{}", tenant.len(), who.subject);
        let of_method = self.methods.iter().find(|m| m.path == context.method);
        let of_method = of_method.map(|m| Rule {
            limit: "method",
            name: format!("method:{}:{principal}", m.path),
            rate: m.rate,
        });
        let of_tenant = self.tenant.filter(|_| !tenant.is_empty());
        let of_tenant =
            of_tenant.map(|rate| Rule { limit: "tenant", name: format!("tenant:{tenant}"), rate });
        let of_principal = self.principal.map(|rate| Rule {
            limit: "principal",
            name: format!("principal:{principal}"),
            rate,
        });
        // The narrowest first: what it refuses does not even ask the others.
        of_method.into_iter().chain(of_principal).chain(of_tenant)
    }
}

#[cfg(test)]
mod tests {
    use hotswap_auth::Principal;
    use hotswap_core::Timestamp;
    use hotswap_telemetry::Metrics;
    use tonic::Code;
    use uuid::Uuid;

    use super::*;
    use crate::ClientError;

    fn context(subject: &str, tenant: Option<&str>, method: &'static str) -> OpContext {
        let tenant = tenant.map(str::to_owned);
        let principal = Principal { subject: subject.into(), roles: vec![], tenant, expires: Timestamp(0) };
        OpContext::new(principal, Uuid::nil(), method, None)
    }

    fn state(limits: Limits) -> (State, Metrics) {
        let metrics = Metrics::new();
        let counted = LimitMetrics::register(&metrics).expect("registers");
        (State { limits, table: Table::new(None), metrics: counted }, metrics)
    }

    const LIST: &str = "/hotswap.route.v1.RouteService/ListRoutes";
    const CREATE: &str = "/hotswap.route.v1.RouteService/CreateRoute";

    async fn refused(state: &State, context: &OpContext) -> Option<String> {
        let error = Status::from(state.take(context).await.err()?);
        let error = ClientError::from(&error);
        assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
        assert!(error.retry_after.is_some_and(|wait| !wait.is_zero()), "{error:?}");
        error.metadata.get("limit").cloned()
    }

    #[tokio::test(start_paused = true)]
    async fn each_principal_has_its_own_bucket_and_a_tenants_share_one() {
        let rate = |text: &str| Some(text.parse().expect("a rate"));
        let (state, metrics) = state(Limits { principal: rate("2/h"), tenant: rate("3/h"), methods: vec![] });
        let (ann, ben) = (context("ann", Some("acme"), LIST), context("ben", Some("acme"), LIST));
        assert_eq!(refused(&state, &ann).await, None);
        assert_eq!(refused(&state, &ann).await, None);
        assert_eq!(refused(&state, &ann).await.as_deref(), Some("principal"));
        assert_eq!(refused(&state, &ben).await, None, "what was refused took nothing from the tenant");
        assert_eq!(refused(&state, &ben).await.as_deref(), Some("tenant"));
        tokio::time::advance(Duration::from_secs(20 * 60)).await;
        assert_eq!(refused(&state, &ben).await, None, "what the tenant refused took nothing from ben");
        assert_eq!(refused(&state, &context("ann", None, LIST)).await, None, "another ann");
        let text = metrics.encode().expect("encodes");
        let method = "hotswap.route.v1.RouteService/ListRoutes";
        for limit in ["principal", "tenant"] {
            let line = format!("hotswap_rpc_limited_total{{limit=\"{limit}\",method=\"{method}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_method_has_a_limit_of_its_own_for_each_principal() {
        let methods = vec!["RouteService/CreateRoute=1/s".parse().expect("a rate")];
        let (state, _) = state(Limits { methods, ..Limits::default() });
        let (ann, ben) = (context("ann", None, CREATE), context("ben", None, CREATE));
        assert_eq!(refused(&state, &ann).await, None);
        assert_eq!(refused(&state, &ann).await.as_deref(), Some("method"));
        assert_eq!(refused(&state, &ben).await, None);
        assert_eq!(refused(&state, &context("ann", None, LIST)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_the_time_that_was_told_succeeds() {
        let (state, _) = state(Limits {
            principal: Some("7/s:1".parse().expect("a rate")),
            tenant: None,
            methods: vec![],
        });
        let ann = context("ann", None, LIST);
        assert!(state.take(&ann).await.is_ok());
        let error = Status::from(state.take(&ann).await.expect_err("too soon"));
        let wait = ClientError::from(&error).retry_after.expect("told");
        assert_eq!(error.message(), "you call more often than 7/s:1; come back in 143 ms");
        tokio::time::advance(wait).await;
        assert!(state.take(&ann).await.is_ok());
    }

    #[tokio::test]
    async fn without_limits_nothing_is_counted() {
        let (state, _) = state(Limits { principal: None, tenant: None, methods: vec![] });
        let ann = context("ann", Some("acme"), LIST);
        for _ in 0..1_000 {
            assert!(state.take(&ann).await.is_ok());
        }
        assert!(Limits::default().rules(&ann).count() == 2);
    }
}
