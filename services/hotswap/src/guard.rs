//! What stands between callers and the control plane: limits of how often they may call, with the buckets that replicas
//! share in Redis.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use hotswap_cache::{Buckets, RedisOptions, Taken};
use hotswap_core::StoreId;
use hotswap_rpc::limits::{
    Grant, Granting, LimitLayer, LimitMetrics, Limits, MethodRate, Rate, SharedBuckets,
};
use hotswap_runtime::{StartError, Supervisor, TaskKind};
use hotswap_telemetry::Metrics;

/// How often somebody may call.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// How often one principal may call: 100/s, 600/m or 10/h, with :BURST behind it for how many at once; or off
    #[arg(long, env = "HOTSWAP_LIMIT_PRINCIPAL", value_name = "RATE", default_value = "10000/s")]
    limit_principal: Limit,
    /// How often all principals of one tenant may call together
    #[arg(long, env = "HOTSWAP_LIMIT_TENANT", value_name = "RATE", default_value = "20000/s")]
    limit_tenant: Limit,
    /// How often one principal may call one method, as RouteService/CreateRoute=10/s. May be given several times
    #[arg(
        long = "limit-method",
        env = "HOTSWAP_LIMIT_METHOD",
        value_name = "METHOD=RATE",
        value_delimiter = ','
    )]
    limit_method: Vec<MethodRate>,
}

impl LimitArgs {
    /// What they say.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            principal: self.limit_principal.0,
            tenant: self.limit_tenant.0,
            methods: self.limit_method.clone(),
        }
    }
}

/// A rate, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(Option<Rate>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|rate| Self(Some(rate))) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("off"),
            Some(rate) => rate.fmt(f),
        }
    }
}

/// The layer with these limits. Replicas of one store share them where there is a Redis.
///
/// # Errors
/// Where its URL is none, or metrics are declared already.
pub(crate) fn limit_layer(
    limits: Limits,
    redis_url: Option<&str>,
    store: StoreId,
    metrics: &Metrics,
    supervisor: &Supervisor,
) -> Result<LimitLayer, StartError> {
    let undeclared =
        |e: Box<dyn std::error::Error + Send + Sync>| StartError::failed("registering metrics")(e);
    let counted = LimitMetrics::register(metrics).map_err(|e| undeclared(e.into()))?;
    let Some(url) = redis_url else { return Ok(LimitLayer::new(limits, None, counted)) };
    let redis = RedisOptions::new(url, store.to_string());
    let redis = redis.map_err(|e| StartError::Option(format!("--redis-url: {e}")))?;
    let (buckets, link) = Buckets::new(redis, metrics.registry()).map_err(|e| undeclared(e.into()))?;
    let shutdown = supervisor.shutdown();
    supervisor.spawn("limits", TaskKind::Background, link.run(shutdown.cancelled_owned()));
    Ok(LimitLayer::new(limits, Some(Arc::new(InRedis(buckets))), counted))
}

/// Buckets in Redis, as limits see them.
struct InRedis(Buckets);

impl SharedBuckets for InRedis {
    fn take<'a>(&'a self, name: &'a str, rate: Rate, want: u32) -> Granting<'a> {
        Box::pin(async move {
            match self.0.take(name, rate.interval(), rate.burst(), want).await? {
                Taken::Some(calls) => Some(Grant::Taken(calls)),
                Taken::Nothing(wait) => Some(Grant::Empty(wait)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn limits(args: &[&str]) -> Result<Limits, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"x").chain(args)).map(|cli| cli.limits.limits())
    }

    #[test]
    fn the_defaults_are_those_of_the_layer() {
        assert_eq!(limits(&[]).expect("parses"), Limits::default());
    }

    #[test]
    fn limits_are_set_and_switched_off() {
        let method = "RouteService/CreateRoute=1/s:5,RouteService/DeleteRoute=2/m";
        let set = limits(&["--limit-principal", "off", "--limit-tenant", "5/s", "--limit-method", method]);
        let set = set.expect("parses");
        assert_eq!((set.principal, set.tenant), (None, Some(Rate::per_second(5))));
        assert_eq!(set.methods.len(), 2);
        assert!(limits(&["--limit-principal", "many"]).is_err());
        assert!(limits(&["--limit-method", "RouteService/Nothing=1/s"]).is_err());
    }
}
