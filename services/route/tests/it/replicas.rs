//! Several processes on one PostgreSQL.

use std::path::Path;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::route::v1 as route;
use hotswap_core::{Revision, SetDigest};
use hotswap_route::RouteOptions;
use hotswap_testkit::{TestDatabase, required};
use tonic::Code;

use crate::explain::{answer, ask, asked};
use crate::harness::{Server, create_pool, create_route, error, postgres};
use crate::watch::{FakeProxy, named};

/// Two replicas on one database.
pub(crate) struct Pair {
    pub(crate) database: TestDatabase,
    pub(crate) a: Server,
    pub(crate) b: Server,
}

/// `None`: there is no PostgreSQL on this machine, and none is required.
async fn pair(dir: &Path) -> Option<Pair> {
    let database = required(TestDatabase::create())?;
    let (a, b) = (replica(dir, &database).await, replica(dir, &database).await);
    Some(Pair { database, a, b })
}

async fn replica(dir: &Path, database: &TestDatabase) -> Server {
    Server::on(dir, &postgres(&database.url()), RouteOptions::default()).await
}

/// Follows a stream until `revision`, and gives the names and versions that it holds then; panics where a step does
/// not begin where the one before ended.
async fn follow(proxy: &mut FakeProxy, until: i64) -> (Vec<String>, SetDigest) {
    let (nonce, chunk) = proxy.snapshot().await;
    let at = chunk.at.expect("at");
    let mut held: std::collections::BTreeMap<String, i64> =
        chunk.resources.into_iter().map(|r| (r.name, r.version)).collect();
    proxy.ack(&nonce, &at).await;
    let mut reached = at.revision;
    let mut told = chunk.digest;
    while reached < until {
        let (nonce, delta) = proxy.delta().await;
        assert_eq!(delta.from, reached, "no gap, nothing twice");
        let to = delta.to.expect("to");
        assert!(to.revision > reached);
        reached = to.revision;
        for r in delta.upserts {
            let before = held.insert(r.name, r.version);
            assert!(before.is_none_or(|v| v < r.version), "nothing is sent twice");
        }
        for name in delta.removes {
            held.remove(&name).expect("it was there");
        }
        told = delta.digest;
        proxy.ack(&nonce, &to).await;
    }
    let mut digest = SetDigest::default();
    held.iter().for_each(|(name, version)| digest.insert(name, *version));
    assert_eq!(*told, digest.to_bytes());
    (held.into_keys().collect(), digest)
}

#[tokio::test]
async fn a_proxy_of_another_replica_answers_through_the_store_and_nothing_is_left_there() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database }) = pair(dir.path()).await else { return };
    let mut proxy = FakeProxy::connect(&b, asked("at-b")).await;
    proxy.snapshot().await;
    let mut old = FakeProxy::connect(&b, named("old")).await;
    old.snapshot().await;
    // The first replica hears of both through the store.
    let mut fleet = a.fleet().await;
    while fleet
        .list_proxies(wire::ListProxiesRequest::default())
        .await
        .expect("list")
        .into_inner()
        .proxies
        .len()
        < 2
    {}
    let (told, ()) = tokio::join!(ask(&a, "proxies/at-b"), async {
        let (nonce, _) = proxy.explain().await;
        proxy.explained(answer(nonce, "routes/told")).await;
    });
    assert_eq!(told.expect("told").route, "routes/told");
    // What the other replica says of it comes back, too.
    let too_old = error(&ask(&a, "proxies/old").await.expect_err("too old"));
    assert_eq!(too_old.reason, "PROXY_TOO_OLD");
    let left = database.sql("SELECT COUNT(*) FROM gateway_questions").expect("asked");
    assert_eq!(left.trim(), "0");
}

#[tokio::test]
async fn what_any_replica_writes_reaches_the_watchers_of_all_in_order_and_once() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database: _database }) = pair(dir.path()).await else { return };
    a.routes().await.create_pool(create_pool("p")).await.expect("pool");
    let mut at_a = FakeProxy::connect(&a, named("at-a")).await;
    let mut at_b = FakeProxy::connect(&b, named("at-b")).await;
    let write = async |server: &Server, of: &str| {
        let mut client = server.routes().await;
        for i in 0..25 {
            let create = create_route(&format!("{of}{i}"), "pools/p", &format!("/{of}{i}"));
            client.create_route(create).await.expect("route");
        }
        for i in 0..5 {
            let name = format!("routes/{of}{i}");
            client
                .delete_route(route::DeleteRouteRequest { name, ..Default::default() })
                .await
                .expect("gone");
        }
    };
    let (_, _, from_a, from_b) =
        tokio::join!(write(&a, "a"), write(&b, "b"), follow(&mut at_a, 61), follow(&mut at_b, 61));
    assert_eq!(from_a, from_b);
    assert_eq!(from_a.0.len(), 41);
}

#[tokio::test]
async fn of_two_writers_of_one_route_the_second_is_told_that_its_etag_is_stale() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database: _database }) = pair(dir.path()).await else { return };
    let mut at_a = a.routes().await;
    at_a.create_pool(create_pool("p")).await.expect("pool");
    let made = at_a.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
    let made = made.into_inner().route.expect("route");
    let mut at_b = b.routes().await;
    let write = |priority| {
        let route = route::Route { priority, ..made.clone() };
        route::UpdateRouteRequest { route: Some(route), ..Default::default() }
    };
    let (one, other) = tokio::join!(at_a.update_route(write(1)), at_b.update_route(write(2)));
    let outcomes = [one.map(drop), other.map(drop)];
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    let refused = outcomes.into_iter().find_map(Result::err).expect("one is refused");
    assert_eq!(refused.code(), Code::Aborted);
}

#[tokio::test]
async fn every_replica_knows_what_each_proxy_has_and_waits_for_it() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database: _database }) = pair(dir.path()).await else { return };
    a.routes().await.create_pool(create_pool("p")).await.expect("pool");
    a.route.distributed(Revision(1)).await;
    let mut proxy = FakeProxy::connect(&a, named("edge-1")).await;
    let (nonce, chunk) = proxy.snapshot().await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let wait = wire::WaitForRevisionRequest { revision: 1, ..Default::default() };
    let reached = b.fleet().await.wait_for_revision(wait).await.expect("answers").into_inner();
    assert_eq!((reached.reached, reached.serving, reached.connected), (true, 1, 1));
    let get = wire::GetProxyRequest { name: "proxies/edge-1".into() };
    let seen = b.fleet().await.get_proxy(get).await.expect("known").into_inner().proxy.expect("proxy");
    assert_eq!((seen.sync(), seen.active.expect("active").revision), (wire::proxy::Sync::Synced, 1));
}

#[tokio::test]
async fn a_refusal_that_one_replica_heard_shows_on_the_route_at_every_other() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database: _database }) = pair(dir.path()).await else { return };
    a.routes().await.create_pool(create_pool("p")).await.expect("pool");
    a.route.distributed(Revision(1)).await;
    let mut proxy = FakeProxy::connect(&a, named("edge-1")).await;
    let (nonce, chunk) = proxy.snapshot().await;
    let fault = wire::ResourceError {
        name: "pools/p".into(),
        version: 1,
        field: "backends[0].address".into(),
        reason: "INVALID_INPUT".into(),
        message: "no".into(),
    };
    proxy.refuse(wire::Refusal { nonce: nonce.clone(), errors: vec![fault], whole: false }).await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let wait = wire::WaitForRevisionRequest { revision: 1, ..Default::default() };
    assert!(b.fleet().await.wait_for_revision(wait).await.expect("answers").into_inner().reached);
    let get = route::GetPoolRequest { name: "pools/p".into() };
    let pool = b.routes().await.get_pool(get).await.expect("pool").into_inner().pool.expect("pool");
    let shown: Vec<_> =
        pool.refusals.iter().map(|r| (r.proxy.as_str(), r.revision, r.field.as_str())).collect();
    assert_eq!(shown, [("proxies/edge-1", 1, "backends[0].address")]);
}

#[tokio::test]
async fn a_proxy_that_moves_to_another_replica_is_told_of_as_that_one_sees_it() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database: _database }) = pair(dir.path()).await else { return };
    a.routes().await.create_pool(create_pool("p")).await.expect("pool");
    b.route.distributed(Revision(1)).await;
    let mut first = FakeProxy::connect(&a, named("edge-1")).await;
    first.snapshot().await;
    drop(first);
    let mut moved = FakeProxy::connect(&b, named("edge-1")).await;
    let (nonce, chunk) = moved.snapshot().await;
    moved.ack(&nonce, &chunk.at.expect("at")).await;
    let wait = wire::WaitForRevisionRequest { revision: 1, ..Default::default() };
    for server in [&b, &a] {
        let seen = server.fleet().await.wait_for_revision(wait).await.expect("answers").into_inner();
        assert_eq!((seen.reached, seen.connected), (true, 1));
    }
}

#[tokio::test]
async fn the_proxies_of_a_replica_that_died_count_as_disconnected_when_its_lease_is_up() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(Pair { a, b, database }) = pair(dir.path()).await else { return };
    a.routes().await.create_pool(create_pool("p")).await.expect("pool");
    a.route.distributed(Revision(1)).await;
    // A row as `a` would leave it behind: it says that the proxy is connected.
    let mut proxy = FakeProxy::connect(&a, named("lost")).await;
    let (nonce, chunk) = proxy.snapshot().await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let wait = wire::WaitForRevisionRequest { revision: 1, ..Default::default() };
    assert!(b.fleet().await.wait_for_revision(wait).await.expect("answers").into_inner().reached);
    let sql = "UPDATE gateway_proxies SET replica = 'dead', revision = revision + 100 WHERE name = 'lost'; \
               UPDATE scope_counters SET revision = revision + 100 WHERE scope = 'fleet'";
    drop(a);
    database.sql(sql).expect("written");
    let mut other = FakeProxy::connect(&b, named("there")).await;
    other.snapshot().await;
    let get = wire::GetProxyRequest { name: "proxies/lost".into() };
    let mut fleet = b.fleet().await;
    loop {
        let seen = fleet.get_proxy(get.clone()).await.expect("known").into_inner().proxy.expect("proxy");
        if seen.sync() == wire::proxy::Sync::Disconnected {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn replicas_that_start_at_once_on_an_empty_database_bring_it_up_together() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(database) = required(TestDatabase::create()) else { return };
    let (a, b, c) = tokio::join!(
        replica(dir.path(), &database),
        replica(dir.path(), &database),
        replica(dir.path(), &database)
    );
    a.routes().await.create_pool(create_pool("p")).await.expect("pool");
    for server in [&b, &c] {
        server.route.distributed(Revision(1)).await;
    }
}
