//! Explanations of requests.

use hotswap_api::route::v1 as wire;
use tonic::Code;

use crate::harness::{Server, create_route, error, fields, with_route};

fn describe(host: &str, path: &str) -> wire::ExplainRequestRequest {
    wire::ExplainRequestRequest { host: host.into(), path: path.into(), ..Default::default() }
}

async fn explain(server: &Server, request: wire::ExplainRequestRequest) -> wire::ExplainRequestResponse {
    server.routes().await.explain_request(request).await.expect("explained").into_inner()
}

#[tokio::test]
async fn a_request_is_explained_by_route_pool_backend_rule_and_near_misses() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    client.create_route(create_route("longer", "pools/p", "/r/long")).await.expect("route");
    let mut post = create_route("post", "pools/p", "/r/long");
    post.route.as_mut().expect("route").matches[0].methods = vec!["POST".into()];
    client.create_route(post).await.expect("route");
    server.route.distributed(hotswap_core::Revision(4)).await;

    let told = explain(&server, describe("Shop.example:8080", "/r/long/x?a=b")).await;
    assert_eq!((told.route.as_str(), told.pool.as_str()), ("routes/longer", "pools/p"));
    assert_eq!((told.backend_address.as_str(), told.revision), ("127.0.0.1:9001", 4));
    assert_eq!(told.decided_by, "path: its prefix is longer than routes/r's");
    let misses: Vec<_> = told.near_misses.iter().map(|m| (m.route.as_str(), m.field.as_str())).collect();
    assert_eq!(misses, [("routes/r", ""), ("routes/post", "matches[0].methods")]);

    let none = explain(&server, describe("", "/elsewhere")).await;
    assert_eq!((none.route.as_str(), none.decided_by.as_str()), ("", ""));
    assert_eq!(none.near_misses.len(), 3);
}

#[tokio::test]
async fn a_description_that_is_no_request_is_refused_by_field() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let bad = wire::ExplainRequestRequest {
        method: "G E T".into(),
        path: "shop".into(),
        headers: vec![wire::Header { name: "a b".into(), value: "c".into() }],
        ..Default::default()
    };
    let refused = server.routes().await.explain_request(bad).await.expect_err("bad");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fields(&refused), ["path", "method", "headers[0].name"]);
    let live = wire::ExplainRequestRequest { proxy: "proxies/p".into(), ..describe("", "/") };
    let later = server.routes().await.explain_request(live).await.expect_err("later");
    assert_eq!(error(&later).reason, "FEATURE_NOT_BUILT");
}
