//! Envoy: one worker, a static configuration, no access log, nothing traced.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::process::{Group, free_address};
use super::super::tools;
use super::{Contestant, Peer, Scenario, ready, version};

/// Starts it.
pub(super) async fn start(scenario: &Scenario<'_>) -> Result<Contestant> {
    let envoy = tools::envoy(&scenario.tools.cache).await.context("it can't be installed")?;
    // It prints "<commit>/<number>/<state>/<build>/<TLS>".
    let printed = version(&envoy, "--version", "version: ").await?;
    let version = printed.split('/').nth(1).unwrap_or(&printed).to_owned();
    let address = free_address()?;
    let file = scenario.dir.join("envoy.json");
    fs::write(&file, serde_json::to_vec_pretty(&config(address, scenario))?)?;
    let mut command = Command::new(envoy);
    command.arg("-c").arg(&file);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    let group = Group::spawn(&mut command, scenario.cores.proxy, scenario.dir, "envoy")?;
    let contestant = ready(Peer::Envoy, version, address, scenario, group).await?;
    Ok(Contestant { http2: Some(address), ..contestant })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// Request ids are off, since no other contestant makes any; x-forwarded-for and -proto come with
/// `use_remote_address`, and all others send them too.
fn config(address: SocketAddr, scenario: &Scenario<'_>) -> Value {
    let mut route = json!({"cluster": "bench"});
    if scenario.grpc {
        // Streams have no end.
        route["timeout"] = json!("0s");
    }
    let routes: Vec<_> = scenario
        .table
        .routes()
        .map(|r| json!({"match": {"prefix": format!("{}/", r.request())}, "route": route}))
        .collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "AUTO",
        "use_remote_address": true,
        "generate_request_id": false,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let filter = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    let endpoint = json!({"endpoint": {"address": socket(scenario.upstream)}});
    let mut cluster = json!({
        "name": "bench",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "bench", "endpoints": [{"lb_endpoints": [endpoint]}]},
    });
    if scenario.grpc {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        });
    }
    json!({"static_resources": {
        "listeners": [{"name": "in", "address": socket(address), "filter_chains": [{"filters": [filter]}]}],
        "clusters": [cluster],
    }})
}
