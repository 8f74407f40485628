//! The watch, as a proxy sees it.

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_api::gateway::v1::watch_config_response::Message as Hear;
use hotswap_api::route::v1::{DeleteRouteRequest, route_service_client::RouteServiceClient};
use hotswap_core::{Revision, SetDigest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::harness::{Authed, Server, create_pool, create_route, error, with_route};

/// A proxy that says what a test wants it to say.
pub(crate) struct FakeProxy {
    say: mpsc::Sender<wire::WatchConfigRequest>,
    hear: Streaming<wire::WatchConfigResponse>,
}

impl FakeProxy {
    pub(crate) async fn connect(server: &Server, hello: wire::Hello) -> Self {
        Self::over(server.distribution().await, hello).await
    }

    /// Over a connection that others may share.
    pub(crate) async fn over(
        mut client: ConfigDistributionServiceClient<Authed>,
        hello: wire::Hello,
    ) -> Self {
        let (say, outbound) = mpsc::channel(8);
        let message = Some(Say::Hello(hello));
        say.send(wire::WatchConfigRequest { message }).await.expect("room");
        let hear = client.watch_config(ReceiverStream::new(outbound)).await.expect("opens").into_inner();
        Self { say, hear }
    }

    pub(crate) async fn next(&mut self) -> (String, Hear) {
        let message = self.hear.message().await.expect("stream").expect("open");
        (message.nonce, message.message.expect("message"))
    }

    pub(crate) async fn ack(&self, nonce: &str, at: &wire::ResumeToken) {
        for stage in [wire::ack::Stage::Validated, wire::ack::Stage::Active] {
            let ack = wire::Ack {
                nonce: nonce.to_owned(),
                stage: stage.into(),
                at: Some(at.clone()),
                ..Default::default()
            };
            let message = Some(Say::Ack(ack));
            self.say.send(wire::WatchConfigRequest { message }).await.expect("room");
        }
    }

    pub(crate) async fn refuse(&self, refusal: wire::Refusal) {
        let message = Some(Say::Refusal(refusal));
        self.say.send(wire::WatchConfigRequest { message }).await.expect("room");
    }

    pub(crate) async fn report(&self, report: wire::BackendReport) {
        let message = Some(Say::Backends(report));
        self.say.send(wire::WatchConfigRequest { message }).await.expect("room");
    }

    pub(crate) async fn explained(&self, explained: wire::Explained) {
        let message = Some(Say::Explained(explained));
        self.say.send(wire::WatchConfigRequest { message }).await.expect("room");
    }

    /// The next question. A bookmark may come before it.
    pub(crate) async fn explain(&mut self) -> (String, wire::Explain) {
        loop {
            match self.next().await {
                (nonce, Hear::Explain(explain)) => return (nonce, explain),
                (_, Hear::Bookmark(_)) => {}
                (_, other) => panic!("expected a question: {other:?}"),
            }
        }
    }

    pub(crate) async fn snapshot(&mut self) -> (String, wire::SnapshotChunk) {
        match self.next().await {
            (nonce, Hear::Snapshot(chunk)) => (nonce, chunk),
            (_, other) => panic!("expected a snapshot: {other:?}"),
        }
    }

    /// The next delta. A bookmark may come before it, where the test takes longer than 10 s.
    pub(crate) async fn delta(&mut self) -> (String, wire::Delta) {
        loop {
            match self.next().await {
                (nonce, Hear::Delta(delta)) => return (nonce, delta),
                (_, Hear::Bookmark(_)) => {}
                (_, other) => panic!("expected a delta: {other:?}"),
            }
        }
    }
}

pub(crate) fn hello(have: Option<wire::ResumeToken>, digest: &[u8]) -> wire::Hello {
    wire::Hello {
        proxy: "edge-1".into(),
        instance_id: "i".into(),
        have,
        have_digest: digest.to_vec().into(),
        ..Default::default()
    }
}

/// A proxy that has nothing yet.
pub(crate) fn named(proxy: &str) -> wire::Hello {
    wire::Hello { proxy: proxy.to_owned(), ..hello(None, &[]) }
}

async fn add(client: &mut RouteServiceClient<Authed>, id: &str) {
    client.create_route(create_route(id, "pools/p", &format!("/{id}"))).await.expect("route");
}

#[tokio::test]
async fn a_new_proxy_gets_a_snapshot_then_deltas_and_the_digest_fits_both() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    let at = chunk.at.clone().expect("at");
    assert_eq!((at.revision, chunk.last), (2, true));
    let mut digest = SetDigest::default();
    chunk.resources.iter().for_each(|r| digest.insert(&r.name, r.version));
    assert_eq!(*chunk.digest, digest.to_bytes());
    proxy.ack(&nonce, &at).await;

    add(&mut client, "b").await;
    let (nonce, delta) = proxy.delta().await;
    assert_eq!((delta.from, delta.to.clone().expect("to").revision), (2, 3));
    assert_eq!(delta.upserts.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["routes/b"]);
    digest.insert("routes/b", 3);
    assert_eq!(*delta.digest, digest.to_bytes());
    proxy.ack(&nonce, &delta.to.expect("to")).await;

    let delete = DeleteRouteRequest { name: "routes/b".into(), ..Default::default() };
    client.delete_route(delete).await.expect("delete");
    let (_, delta) = proxy.delta().await;
    assert_eq!((delta.removes, delta.upserts.len()), (vec!["routes/b".to_owned()], 0));
}

#[tokio::test]
async fn changes_behind_an_unacknowledged_one_are_coalesced() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    for id in ["a", "b", "c"] {
        add(&mut client, id).await;
    }
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    // The feed may see the three commits one by one; what is sent leads to where it stands, without gaps.
    let mut reached = 2;
    let mut names = Vec::new();
    while reached < 5 {
        let (nonce, delta) = proxy.delta().await;
        assert_eq!(delta.from, reached);
        let to = delta.to.expect("to");
        reached = to.revision;
        names.extend(delta.upserts.into_iter().map(|r| r.name));
        proxy.ack(&nonce, &to).await;
    }
    assert_eq!(names, ["routes/a", "routes/b", "routes/c"]);
}

#[tokio::test]
async fn a_token_resumes_with_a_delta_also_after_a_restart_of_the_server() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (_, chunk) = proxy.snapshot().await;
    drop(proxy);
    add(&mut server.routes().await, "b").await;
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(chunk.at, &chunk.digest)).await;
    let (_, delta) = proxy.delta().await;
    assert_eq!((delta.from, delta.upserts.len()), (2, 1));
}

#[tokio::test]
async fn a_proxy_that_has_everything_gets_a_bookmark() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (_, chunk) = proxy.snapshot().await;
    let mut again = FakeProxy::connect(&server, hello(chunk.at.clone(), &chunk.digest)).await;
    match again.next().await {
        (_, Hear::Bookmark(bookmark)) => assert_eq!(bookmark.at, chunk.at),
        (_, other) => panic!("expected a bookmark: {other:?}"),
    }
}

#[tokio::test]
async fn tokens_of_no_use_are_reset_with_the_reason() {
    use wire::reset::Why;
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let at = proxy.snapshot().await.1.at.expect("at");
    let foreign = wire::ResumeToken { store_id: "other".into(), ..at.clone() };
    let future = wire::ResumeToken { revision: 99, ..at.clone() };
    for (have, why) in [(foreign, Why::Foreign), (future, Why::Future), (at, Why::DigestMismatch)] {
        let mut proxy = FakeProxy::connect(&server, hello(Some(have), &[1; 32])).await;
        match proxy.next().await {
            (_, Hear::Reset(reset)) => assert_eq!(reset.why(), why),
            (_, other) => panic!("expected a reset: {other:?}"),
        }
        assert_eq!(proxy.snapshot().await.1.resources.len(), 2);
    }
}

#[tokio::test]
async fn a_delta_refused_whole_is_followed_by_a_reset() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, _) = proxy.snapshot().await;
    proxy.refuse(wire::Refusal { nonce, whole: true, ..Default::default() }).await;
    assert!(matches!(proxy.next().await.1, Hear::Reset(_)));
    proxy.snapshot().await;
}

#[tokio::test]
async fn a_snapshot_of_many_comes_in_parts_of_one_place() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let mut client = server.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    for i in 0..600 {
        add(&mut client, &format!("r{i}")).await;
    }
    server.route.distributed(Revision(601)).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (_, first) = proxy.snapshot().await;
    let (_, second) = proxy.snapshot().await;
    assert_eq!((first.resources.len(), first.last), (500, false));
    assert_eq!((second.resources.len(), second.last, first.at), (101, true, second.at));
}

#[tokio::test]
async fn a_bad_hello_is_refused_by_field() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let bad = wire::Hello { proxy: "Not Valid".into(), ..Default::default() };
    let mut proxy = FakeProxy::connect(&server, bad).await;
    let refused = proxy.hear.message().await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(error(&refused).violations.iter().any(|v| v.field == "hello.proxy"));
}

#[tokio::test]
async fn a_draining_server_says_so_and_ends_the_stream() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    proxy.snapshot().await;
    let stopped = tokio::spawn(server.stop());
    assert!(matches!(proxy.next().await.1, Hear::Draining(_)));
    assert!(proxy.hear.message().await.expect("in good order").is_none());
    drop(proxy);
    stopped.await.expect("stops");
}
