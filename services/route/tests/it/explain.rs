//! Explanations of requests.

use std::time::Duration;

use hotswap_api::gateway::v1::{Explain, Explained, Hello};
use hotswap_api::route::v1 as wire;
use hotswap_route::RouteOptions;
use tonic::{Code, Status};

use crate::harness::{Server, create_route, error, fields, with_route};
use crate::watch::{FakeProxy, named};

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
        client_address: "here".into(),
        ..Default::default()
    };
    let refused = server.routes().await.explain_request(bad).await.expect_err("bad");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fields(&refused), ["path", "method", "headers[0].name", "client_address"]);
    assert_eq!(fields(&ask(&server, "edge-1").await.expect_err("no name")), ["proxy"]);
}

/// Asks a proxy.
pub(crate) async fn ask(server: &Server, proxy: &str) -> Result<wire::ExplainRequestResponse, Status> {
    let request = wire::ExplainRequestRequest { proxy: proxy.into(), ..describe("h", "/r") };
    server.routes().await.explain_request(request).await.map(tonic::Response::into_inner)
}

/// A proxy that can be asked.
pub(crate) fn asked(proxy: &str) -> Hello {
    Hello { features: vec!["explain".into()], ..named(proxy) }
}

/// An answer that shows who gave it.
pub(crate) fn answer(nonce: String, route: &str) -> Explained {
    let explanation = wire::ExplainRequestResponse { route: route.into(), revision: 7, ..Default::default() };
    Explained { nonce, explanation: Some(explanation), problem: String::new() }
}

#[tokio::test]
async fn a_proxy_is_asked_on_its_stream_and_its_answer_is_given() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, asked("edge-1")).await;
    proxy.snapshot().await;
    // Two questions at once, answered the other way round.
    let (first, second, ()) =
        tokio::join!(ask(&server, "proxies/edge-1"), ask(&server, "proxies/edge-1"), async {
            let (one, Explain { request }) = proxy.explain().await;
            assert_eq!(request.map(|r| (r.host, r.path)), Some(("h".into(), "/r".into())));
            let (two, _) = proxy.explain().await;
            proxy.explained(answer("unasked".into(), "routes/c")).await;
            proxy.explained(answer(two, "routes/b")).await;
            proxy.explained(answer(one, "routes/a")).await;
        });
    let mut told = [first.expect("told").route, second.expect("told").route];
    told.sort();
    assert_eq!(told, ["routes/a", "routes/b"]);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_asked_is_named_with_the_reason() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let unknown = ask(&server, "proxies/edge-1").await.expect_err("unknown");
    assert_eq!((unknown.code(), error(&unknown).reason.as_str()), (Code::NotFound, "NOT_FOUND"));

    // One of an older build is not asked, and goes on.
    let mut old = FakeProxy::connect(&server, named("old")).await;
    let (nonce, chunk) = old.snapshot().await;
    let too_old = ask(&server, "proxies/old").await.expect_err("too old");
    assert_eq!(
        (too_old.code(), error(&too_old).reason.as_str()),
        (Code::FailedPrecondition, "PROXY_TOO_OLD")
    );
    old.ack(&nonce, &chunk.at.expect("at")).await;
    server.routes().await.create_route(create_route("new", "pools/p", "/new")).await.expect("route");
    assert_eq!(old.delta().await.1.upserts.len(), 1);

    let mut gone = FakeProxy::connect(&server, asked("gone")).await;
    gone.snapshot().await;
    // It leaves with the question in hand.
    let (left, ()) = tokio::join!(ask(&server, "proxies/gone"), async {
        gone.explain().await;
        drop(gone);
    });
    for told in [left, ask(&server, "proxies/gone").await] {
        let told = told.expect_err("gone");
        assert_eq!(told.code(), Code::FailedPrecondition);
        assert_eq!(error(&told).reason, "PROXY_NOT_CONNECTED");
        assert!(told.message().contains("proxies/gone"), "{told:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_in_time_or_cannot_is_told_of() {
    let dir = tempfile::tempdir().expect("dir");
    let options = RouteOptions { answer_within: Duration::from_millis(50), ..Default::default() };
    let server = Server::with(dir.path(), options).await;
    let mut proxy = FakeProxy::connect(&server, asked("edge-1")).await;
    proxy.snapshot().await;
    let late = ask(&server, "proxies/edge-1").await.expect_err("late");
    assert_eq!((late.code(), error(&late).reason.as_str()), (Code::DeadlineExceeded, "PROXY_SILENT"));
    let (nonce, _) = proxy.explain().await;
    // It comes too late, and does no harm.
    proxy.explained(answer(nonce, "routes/late")).await;
    drop(server);

    let server = Server::start(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, asked("edge-1")).await;
    proxy.snapshot().await;
    let (told, ()) = tokio::join!(ask(&server, "proxies/edge-1"), async {
        let (nonce, _) = proxy.explain().await;
        proxy.explained(Explained { nonce, problem: "busy".into(), ..Default::default() }).await;
    });
    let refused = told.expect_err("refused");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::Unavailable, "PROXY_REFUSED"));
    assert!(refused.message().ends_with("busy"), "{refused:?}");
}
