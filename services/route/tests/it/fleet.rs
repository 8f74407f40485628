//! What the fleet service knows of proxies.

use hotswap_api::gateway::v1 as wire;
use tonic::Code;

use crate::harness::{Server, create_route, fields, with_route};
use crate::watch::{FakeProxy, hello};

async fn get(server: &Server) -> wire::Proxy {
    let request = wire::GetProxyRequest { name: "proxies/edge-1".into() };
    server.fleet().await.get_proxy(request).await.expect("known").into_inner().proxy.expect("proxy")
}

fn wait(revision: i64, seconds: i64) -> wire::WaitForRevisionRequest {
    let timeout = Some(prost_types::Duration { seconds, nanos: 0 });
    wire::WaitForRevisionRequest { revision, quorum: 0, timeout }
}

#[tokio::test]
async fn waiting_ends_when_the_proxy_serves_the_revision() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    assert_eq!(get(&server).await.sync(), wire::proxy::Sync::Pending);
    let mut fleet = server.fleet().await;
    let early = fleet.wait_for_revision(wait(2, 0)).await.expect("answers").into_inner();
    assert_eq!(
        (early.reached, early.connected, early.lagging),
        (false, 1, vec!["proxies/edge-1".to_owned()])
    );
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let reached = fleet.wait_for_revision(wait(2, 30)).await.expect("answers").into_inner();
    assert_eq!((reached.reached, reached.serving), (true, 1));
    assert_eq!(get(&server).await.sync(), wire::proxy::Sync::Synced);
}

#[tokio::test]
async fn a_refusal_shows_until_the_resource_changes() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, route) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    let fault = wire::ResourceError {
        name: route.name.clone(),
        version: 2,
        field: "matches[0].path.regex".into(),
        reason: "INVALID_INPUT".into(),
        message: "no".into(),
    };
    proxy.refuse(wire::Refusal { nonce: nonce.clone(), errors: vec![fault], whole: false }).await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let mut fleet = server.fleet().await;
    assert!(fleet.wait_for_revision(wait(2, 30)).await.expect("answers").into_inner().reached);
    let seen = get(&server).await;
    assert_eq!((seen.sync(), seen.refusals.len()), (wire::proxy::Sync::Refusing, 1));
    let delete = hotswap_api::route::v1::DeleteRouteRequest { name: route.name, ..Default::default() };
    server.routes().await.delete_route(delete).await.expect("delete");
    let (nonce, delta) = proxy.delta().await;
    proxy.ack(&nonce, &delta.to.expect("to")).await;
    assert!(fleet.wait_for_revision(wait(3, 30)).await.expect("answers").into_inner().reached);
    assert_eq!(get(&server).await.refusals, []);
}

#[tokio::test]
async fn what_a_proxy_says_of_its_backends_shows_until_it_says_otherwise() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    let condition = wire::BackendCondition {
        pool: "pools/p".into(),
        address: "a:80".into(),
        unhealthy: true,
        breaker: wire::backend_condition::Breaker::HalfOpen.into(),
        ..Default::default()
    };
    let report = wire::BackendReport { total: 1, backends: vec![condition] };
    proxy.report(report.clone()).await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let mut fleet = server.fleet().await;
    assert!(fleet.wait_for_revision(wait(2, 30)).await.expect("answers").into_inner().reached);
    assert_eq!(get(&server).await.backends, Some(report));
    proxy.report(wire::BackendReport::default()).await;
    while get(&server).await.backends != Some(wire::BackendReport::default()) {}
}

#[tokio::test]
async fn a_proxy_that_left_is_listed_as_disconnected_and_waited_for_no_more() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    proxy.snapshot().await;
    drop(proxy);
    let mut fleet = server.fleet().await;
    // Gone: nobody is connected, so nothing is reached, and nothing lags.
    loop {
        let seen = fleet.wait_for_revision(wait(1, 0)).await.expect("answers").into_inner();
        if seen.connected == 0 {
            assert!(!seen.reached);
            break;
        }
    }
    let listed = fleet.list_proxies(wire::ListProxiesRequest::default()).await.expect("list").into_inner();
    assert_eq!(
        listed.proxies.iter().map(|p| p.sync()).collect::<Vec<_>>(),
        [wire::proxy::Sync::Disconnected]
    );
}

#[tokio::test]
async fn unknown_proxies_and_bad_waits_are_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut fleet = server.fleet().await;
    let none = wire::GetProxyRequest { name: "proxies/none".into() };
    assert_eq!(fleet.get_proxy(none).await.expect_err("none").code(), Code::NotFound);
    let bad = wire::WaitForRevisionRequest { revision: 0, quorum: -1, ..wait(0, 301) };
    assert_eq!(
        fields(&fleet.wait_for_revision(bad).await.expect_err("bad")),
        ["revision", "quorum", "timeout"]
    );
    server.routes().await.create_route(create_route("x", "pools/p", "/x")).await.expect("still works");
}
