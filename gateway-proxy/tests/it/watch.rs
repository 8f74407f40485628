//! The watch, against a control plane that says what a test wants.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hotswap_api::gateway::v1::backend_condition::Breaker;
use hotswap_api::gateway::v1::reset::Why;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Bookmark, Draining, Reset, Resource, ResumeToken, SnapshotChunk};
use hotswap_core::SequentialIds;
use hotswap_gateway::discover::Discovery;
use hotswap_runtime::CancellationToken;
use hotswap_runtime::admin::Readiness;
use tonic::Status;

use crate::control::*;
use crate::gateway_process::two_backends;
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A gateway that watches.
pub struct Watching {
    pub gateway: Gateway,
    pub readiness: Readiness,
    stop: CancellationToken,
}

impl Watching {
    pub fn start(control_plane: SocketAddr, args: &[&str]) -> Self {
        let gateway = Gateway::start(args);
        let url = format!("http://{control_plane}");
        let all: Vec<&str> = args.iter().copied().chain(["--control-plane", &url]).collect();
        let readiness = Readiness::default();
        let (plane, stop) = (&gateway.plane, CancellationToken::new());
        let (config, metrics) = (plane.config().clone(), plane.metrics().control.clone());
        let ids = SequentialIds::default();
        let discovery = Discovery::new(&options(&all), &ids, config, metrics, readiness.clone());
        let run = discovery.expect("valid").run(stop.clone(), stop.clone());
        spawn(run);
        Self { gateway, readiness, stop }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn the_control_plane_hears_of_backends_that_are_not_in_order() {
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr();
    let nobody = nobody.expect("address");
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let mut broken = pool(1, nobody);
    if let Some(Spec::Pool(pool)) = &mut broken.spec {
        pool.circuit_breaker = Some(Default::default());
    }
    let nonce = stream.say(whole(1, vec![broken, to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    for _ in 0..5 {
        assert_eq!(watching.gateway.ask(GET).await.status, 502);
    }
    let FromProxy::Backends(report) = stream.hear().await else { panic!("a report") };
    let seen: Vec<_> = report.backends.iter().map(|b| (b.pool.as_str(), b.address.clone())).collect();
    assert_eq!((report.total, seen), (1, vec![("pools/p", nobody.to_string())]));
    assert_eq!(report.backends[0].breaker(), Breaker::Open);
}

#[tokio::test]
async fn a_change_is_served_before_it_is_said_to_be_active() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &["--proxy-name", "edge", "--label", "zone=x"]);
    let (mut stream, hello) = control.stream().await;
    assert_eq!((hello.proxy.as_str(), hello.labels["zone"].as_str()), ("edge", "x"));
    assert_eq!((hello.have, hello.build_version.as_str()), (None, env!("CARGO_PKG_VERSION")));
    assert_eq!(watching.readiness.waiting().len(), 1);
    assert_eq!(watching.gateway.ask(GET).await.reason(), Some("NO_CONFIG"));

    // A snapshot in two parts.
    let part = SnapshotChunk { at: token(1), resources: vec![pool(1, a.address)], ..Default::default() };
    stream.say(ToProxy::Snapshot(part)).await;
    let last = SnapshotChunk {
        at: token(1),
        resources: vec![to_the_pool(1)],
        last: true,
        digest: digest(&[("pools/p", 1), ("routes/r", 1)]),
        ..Default::default()
    };
    let nonce = stream.say(ToProxy::Snapshot(last)).await;
    let ack = stream.acknowledged(&nonce).await;
    assert_eq!((ack.at, ack.digest), (token(1), digest(&[("pools/p", 1), ("routes/r", 1)])));
    assert!(watching.readiness.waiting().is_empty());
    let mut client = watching.gateway.connect().await;
    client.send(GET).await;
    assert_eq!(client.response().await.text(), "a");

    for revision in 2..50 {
        let (backend, want) = if revision % 2 == 0 { (&b, "b") } else { (&a, "a") };
        let nonce = stream.say(moved(revision - 1, revision, backend.address)).await;
        assert_eq!(stream.acknowledged(&nonce).await.at, token(revision));
        client.send(GET).await;
        assert_eq!(client.response().await.text(), want, "from the moment it is active");
    }
    watching.gateway.counts("gateway_config_revision 49").await;
    watching.gateway.counts("gateway_config_applied_total 49").await;
    watching.gateway.counts("gateway_control_plane_connected 1").await;
}

#[tokio::test]
async fn traffic_goes_on_when_the_control_plane_is_killed_and_the_stream_resumes() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(both(7, 7, a.address)).await;
    stream.acknowledged(&nonce).await;
    let (stop, address) = (Arc::new(AtomicBool::new(false)), watching.gateway.address());
    let stopped = Arc::clone(&stop);
    let traffic = spawn(async move {
        let mut client = Client::connect(address).await;
        let mut answers = Vec::new();
        while !stopped.load(Ordering::SeqCst) {
            client.send(GET).await;
            let response = client.response().await;
            assert_eq!((response.status, response.whole), (200, true), "{response:?}");
            answers.push(response.text());
        }
        answers
    });
    let address = control.kill();
    watching.gateway.counts("gateway_control_plane_connected 0").await;
    let mut control = ControlPlane::start(&address.to_string()).await;
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(7), "it goes on from where it stood");
    assert_eq!(hello.have_digest, digest(&[("pools/p", 7), ("routes/r", 1)]));
    let nonce = stream.say(moved(7, 9, b.address)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(watching.gateway.ask(GET).await.text(), "b");
    stop.store(true, Ordering::SeqCst);
    let answers = traffic.await.expect("no request failed");
    let (old, new) = answers.split_at(answers.iter().position(|a| a == "b").unwrap_or(answers.len()));
    assert!(!old.is_empty() && old.iter().all(|a| a == "a") && new.iter().all(|a| a == "b"));
    watching.gateway.counts("gateway_config_applied_total 2").await;
}

#[tokio::test]
async fn a_refused_resource_is_named_and_the_rest_is_served() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    let after = [("pools/p", 2), ("routes/r", 2)];
    let nonce = stream.say(step(1, 2, vec![pool(2, b.address), bad_route(2)], &after)).await;
    let refusal = stream.refusal().await;
    assert_eq!((refusal.nonce.as_str(), refusal.whole), (nonce.as_str(), false));
    let error = &refusal.errors[0];
    assert_eq!((error.name.as_str(), error.version, error.field.as_str()), ("routes/r", 2, "hosts[0]"));
    let ack = stream.acknowledged(&nonce).await;
    assert_eq!((ack.at, ack.digest), (token(2), digest(&[("pools/p", 2), ("routes/r", 1)])));
    assert_eq!(watching.gateway.ask(GET).await.text(), "b", "the route as it was, the pool as it is");
    watching.gateway.counts("gateway_config_refused_total 1").await;
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_refused_whole_and_a_snapshot_mends_it() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    // A bookmark that says the gateway lacks something.
    let nonce = stream.say(bookmark(1, &[("pools/q", 1)])).await;
    let refusal = stream.refusal().await;
    assert_eq!((refusal.nonce, refusal.whole), (nonce, true));
    assert_eq!(refusal.errors[0].reason, "DIGEST_MISMATCH");
    assert_eq!(watching.gateway.ask(GET).await.text(), "a", "what there is is served");
    stream.say(ToProxy::Reset(Reset { why: Why::DigestMismatch.into() })).await;
    let nonce = stream.say(both(2, 2, b.address)).await;
    assert_eq!(stream.acknowledged(&nonce).await.at, token(2));
    assert_eq!(watching.gateway.ask(GET).await.text(), "b");
    // A control plane that does not mend it is left, and met without a token.
    stream.say(moved(1, 3, a.address)).await;
    assert!(stream.refusal().await.whole);
    stream.say(moved(2, 3, a.address)).await;
    let (_stream, hello) = control.stream().await;
    assert_eq!(hello.have, None);
    assert_eq!(watching.gateway.ask(GET).await.text(), "b");
}

#[tokio::test]
async fn a_gateway_is_not_emptied_without_leave_and_goes_on_with_what_it_has() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let mut all = vec![pool(1, a.address), to_the_pool(1)];
    all.extend((0..20).map(|n| Resource { name: format!("pools/more{n}"), ..pool(1, a.address) }));
    let nonce = stream.say(whole(1, all)).await;
    stream.acknowledged(&nonce).await;

    // As by a control plane on an empty store.
    let empty = SnapshotChunk {
        at: Some(ResumeToken { store_id: "empty".into(), revision: 0 }),
        last: true,
        digest: digest(&[]),
        ..Default::default()
    };
    stream.say(ToProxy::Reset(Reset { why: Why::Foreign.into() })).await;
    let nonce = stream.say(ToProxy::Snapshot(empty.clone())).await;
    let refusal = stream.refusal().await;
    assert_eq!((refusal.nonce, refusal.whole), (nonce, true));
    assert_eq!(refusal.errors[0].reason, "MASS_DELETE");
    // Its bookmarks neither move the gateway nor begin it all over again.
    stream.say(ToProxy::Bookmark(Bookmark { at: empty.at.clone(), digest: digest(&[]) })).await;
    assert_eq!(watching.gateway.ask(GET).await.text(), "a");
    drop(stream);
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(1), "it still stands where it stood");

    // The same store, without most of it: only with leave to.
    stream.say(both(2, 2, b.address)).await;
    assert_eq!(stream.refusal().await.errors[0].reason, "MASS_DELETE");
    let ToProxy::Snapshot(both) = both(2, 2, b.address) else { panic!("a snapshot") };
    let nonce = stream.say(ToProxy::Snapshot(SnapshotChunk { allow_mass_delete: true, ..both })).await;
    assert_eq!(stream.acknowledged(&nonce).await.at, token(2));
    assert_eq!(watching.gateway.ask(GET).await.text(), "b");
}

#[tokio::test]
async fn the_token_is_read_anew_for_each_stream_and_a_drain_is_heeded() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("token");
    let write = |text: &str| std::fs::write(Path::new(&file), text).expect("writes");
    write("first\n");
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let path = file.to_str().expect("text").to_owned();
    let _watching = Watching::start(control.address, &["--token-file", &path]);
    let (mut stream, _) = control.stream().await;
    assert_eq!(stream.token.as_deref(), Some("Bearer first"));
    write("second");
    let reconnect_after = prost_duration(100);
    stream.say(ToProxy::Draining(Draining { reconnect_after })).await;
    let (stream, _) = control.stream().await;
    assert_eq!(stream.token.as_deref(), Some("Bearer second"));
    // Refused by the control plane: tried again.
    stream.out.send(Err(Status::unauthenticated("expired"))).await.expect("open");
    drop(stream);
    let _again = control.stream().await;
}

fn prost_duration(ms: u64) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(Duration::from_millis(ms)).ok()
}

#[tokio::test]
async fn ten_thousand_routes_come_in_parts_and_one_of_them_changes() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let route = |n: usize, version: i64| {
        let mut route = to_the_pool(version);
        route.name = format!("routes/r{n}");
        if let Some(Spec::Route(spec)) = &mut route.spec {
            spec.hosts = vec![format!("h{}.example", n % 100)];
            let kind = Some(hotswap_api::route::v1::path_match::Kind::Prefix(format!("/p{n}")));
            let path = Some(hotswap_api::route::v1::PathMatch { kind });
            spec.matches = vec![hotswap_api::route::v1::RouteMatch { path, ..Default::default() }];
        }
        route
    };
    let all: Vec<_> = std::iter::once(pool(1, a.address)).chain((0..10_000).map(|n| route(n, 1))).collect();
    let names: Vec<(String, i64)> = all.iter().map(|r| (r.name.clone(), r.version)).collect();
    let of: Vec<(&str, i64)> = names.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let mut nonce = String::new();
    let parts: Vec<_> = all.chunks(500).collect();
    for (i, part) in parts.iter().enumerate() {
        let last = i + 1 == parts.len();
        let digest = if last { digest(&of) } else { Default::default() };
        let chunk =
            SnapshotChunk { at: token(1), resources: part.to_vec(), last, digest, ..Default::default() };
        nonce = stream.say(ToProxy::Snapshot(chunk)).await;
    }
    stream.acknowledged(&nonce).await;
    let ask = |n: usize| format!("GET /p{n}/x HTTP/1.1\r\nhost: h{}.example\r\n\r\n", n % 100);
    for n in [0, 4_711, 9_999] {
        assert_eq!(watching.gateway.ask(&ask(n)).await.text(), "a");
    }
    let wrong_host = "GET /p7/x HTTP/1.1\r\nhost: h8.example\r\n\r\n";
    assert_eq!(watching.gateway.ask(wrong_host).await.reason(), Some("NO_ROUTE"));
    let mut after = of.clone();
    after[0].1 = 2;
    let nonce = stream.say(step(1, 2, vec![pool(2, b.address)], &after)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(watching.gateway.ask(&ask(4_711)).await.text(), "b");
}
