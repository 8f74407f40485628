//! gRPC's interoperability tests: the client and the server of grpc-go, with the gateway between.
//! `cargo xtask conformance` makes a part of a page of what they say.

use std::fmt::Write as _;
use std::path::Path;

use hotswap_matcher::{BackendTlsDraft, PoolDraft};
use hotswap_test_servers::{Interop, interop_client_program, required};

use crate::certificates::Authority;
use crate::http2_backends::pool_of;
use crate::support::*;

/// All that grpc-go's own script plays, which are those that need no cloud.
const CASES: [&str; 18] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "orca_per_rpc",
    "orca_oob",
    "rpc_soak",
    "channel_soak",
];

/// The load reports of two cases come to this balancer of the client's. And a slow machine is no failure.
const ARGS: [&str; 4] = [
    "--server_host=127.0.0.1",
    r#"--service_config_json={"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}"#,
    "--soak_per_iteration_max_acceptable_latency_ms=30000",
    "--soak_overall_timeout_seconds=30",
];

/// A gateway, what the client needs to call it, and what it stands before.
struct Way {
    gateway: Gateway,
    args: Vec<String>,
    _server: Interop,
    _files: Option<(Authority, tempfile::TempDir)>,
}

/// Without TLS on either side.
fn plain(server: Interop) -> Way {
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    gateway.pool_of("p", &pool_of(&[server.address()]));
    let args = vec![format!("--server_port={}", gateway.address().port())];
    Way { gateway, args, _server: server, _files: None }
}

/// With TLS on both, and another name on each.
fn secure(start: impl FnOnce(&Path, &Path) -> Interop) -> Way {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(authority.ca(), folder.path().join("corp.pem")).expect("copied");
    let folder_option = folder.path().display().to_string();
    let backend = authority.issue("backend", &["backend.internal"]);
    let server = start(&backend.cert, &backend.key);
    let front = authority.issue("front", &["front.example"]).option();
    let options = ["--gateway-engine", "own", "--gateway-tls-listen", "127.0.0.1:0"];
    let files = ["--gateway-tls-certificate", front.as_str(), "--backend-tls-dir", folder_option.as_str()];
    let mut gateway = Gateway::start(&[options, files].concat());
    let tls = BackendTlsDraft {
        ca: "corp".into(),
        server_name: "backend.internal".into(),
        ..BackendTlsDraft::default()
    };
    gateway.pool_of("p", &PoolDraft { tls: Some(tls), ..pool_of(&[server.address()]) });
    let port = gateway.plane.listen_tls().expect("listens with TLS").port();
    let mut args = vec![format!("--server_port={port}"), format!("--ca_file={}", authority.ca().display())];
    args.extend(["--use_tls", "--use_test_ca", "--server_host_override=front.example"].map(str::to_owned));
    Way { gateway, args, _server: server, _files: Some((authority, folder)) }
}

/// What a case that failed told.
async fn play(client: &Path, way: &Way, case: &str) -> Option<String> {
    let mut command = tokio::process::Command::new(client);
    command.args(ARGS).args(&way.args).arg(format!("--test_case={case}")).kill_on_drop(true);
    let ran = in_time(case, command.output()).await.expect("runs");
    let told = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    (!ran.status.success()).then(|| format!("{case}: {told}"))
}

fn page(client: &Path) -> String {
    // It is named after its version.
    let name = client.file_name().unwrap_or_default().to_string_lossy();
    let version = name.rsplit_once("-v").map_or("", |(_, version)| version);
    let mut page = format!(
        "
## gRPC: the interoperability tests of grpc-go {version}, its client and its server, with the gateway between

| case | cleartext | TLS on both sides |
|---|---|---|
"
    );
    for case in CASES {
        let _ = writeln!(page, "| {case} | passes | passes |");
    }
    page
}

#[tokio::test]
async fn calls_pass_as_the_makers_of_grpc_want_them_with_tls_and_without() {
    let Some(client) = required(interop_client_program()) else { return };
    let Some(server) = required(Interop::start(None)) else { return };
    let secure = secure(|cert, key| Interop::start(Some((cert, key))).expect("starts"));
    let mut failed = Vec::new();
    for mut way in [plain(server), secure] {
        way.gateway.route("r", &to_pool("p"));
        way.gateway.swap();
        for case in CASES {
            failed.extend(play(&client, &way, case).await);
        }
        way.gateway.counts("gateway_active_connections 0").await;
    }
    assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed.join("\n"));
    record("grpc_interop", &page(&client));
}

#[tokio::test]
async fn cases_fail_where_no_route_leads_to_the_server() {
    let Some(client) = required(interop_client_program()) else { return };
    let Some(server) = required(Interop::start(None)) else { return };
    let mut way = plain(server);
    way.gateway.swap();
    // Those that go on sending say that they can't, and not why.
    for case in ["empty_unary", "large_unary", "server_streaming", "custom_metadata"] {
        let told = play(&client, &way, case).await.expect("fails");
        assert!(told.contains("no route"), "{told}");
    }
}
