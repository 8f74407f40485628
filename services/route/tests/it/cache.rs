//! Look-ups by name from memory, with and without a Redis behind it.

use std::path::Path;

use hotswap_api::route::v1 as wire;
use hotswap_route::RouteOptions;
use hotswap_test_servers::Redis;
use hotswap_testkit::{TestDatabase, required};
use tonic::{Code, Status};

use crate::harness::{Server, create_pool, create_route, postgres, with_route};

async fn get(server: &Server, id: &str) -> Result<wire::Route, Status> {
    let request = wire::GetRouteRequest { name: format!("routes/{id}") };
    Ok(server.routes().await.get_route(request).await?.into_inner().route.expect("route"))
}

async fn set_priority(server: &Server, id: &str, priority: i32) -> wire::Route {
    let route = wire::Route { priority, etag: String::new(), ..get(server, id).await.expect("there") };
    let update = wire::UpdateRouteRequest { route: Some(route), ..Default::default() };
    server.routes().await.update_route(update).await.expect("written").into_inner().route.expect("route")
}

/// A counter of the cache; 0 before it counts.
fn counter(server: &Server, name: &str) -> u64 {
    let text = server.metrics.encode().expect("text");
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

const HITS: &str = r#"cache_hits_total{cache="route",tier="memory"}"#;
const MISSES: &str = r#"cache_misses_total{cache="route"}"#;

#[tokio::test]
async fn a_warm_look_up_is_served_from_memory_and_one_for_nothing_too() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    assert_eq!(get(&server, "r").await.expect("there"), made);
    assert_eq!(get(&server, "none").await.expect_err("not there").code(), Code::NotFound);
    let (hits, misses) = (counter(&server, HITS), counter(&server, MISSES));
    for _ in 0..50 {
        assert_eq!(get(&server, "r").await.expect("there"), made);
        assert_eq!(get(&server, "none").await.expect_err("not there").code(), Code::NotFound);
    }
    assert_eq!((counter(&server, HITS) - hits, counter(&server, MISSES) - misses), (100, 0));
}

#[tokio::test]
async fn who_wrote_reads_what_was_written() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    for priority in 1..=20 {
        let written = set_priority(&server, "r", priority).await;
        assert_eq!(get(&server, "r").await.expect("there"), written);
    }
    let delete = wire::DeleteRouteRequest { name: "routes/r".into(), ..Default::default() };
    server.routes().await.delete_route(delete).await.expect("deleted");
    assert_eq!(get(&server, "r").await.expect_err("gone").code(), Code::NotFound);
    server.routes().await.create_route(create_route("r", "pools/p", "/again")).await.expect("made");
    assert_eq!(get(&server, "r").await.expect("there").priority, 0);
}

async fn replica(dir: &Path, database: &TestDatabase, redis: Option<&Redis>) -> Server {
    let options = RouteOptions { redis_url: redis.map(Redis::url), ..RouteOptions::default() };
    Server::on(dir, &postgres(&database.url()), options).await
}

/// Asks until a replica gives what was written elsewhere.
async fn seen(server: &Server, priority: i32) {
    while get(server, "r").await.expect("there").priority != priority {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_one_replica_wrote_leaves_the_memory_of_the_others() {
    let Some(database) = required(TestDatabase::create()) else { return };
    let Some(mut redis) = required(Redis::start()) else { return };
    let dir = tempfile::tempdir().expect("dir");
    for with in [None, Some(&redis)] {
        let a = replica(dir.path(), &database, with).await;
        let b = replica(dir.path(), &database, with).await;
        if with.is_none() {
            a.routes().await.create_pool(create_pool("p")).await.expect("pool");
            a.routes().await.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
        }
        for priority in 1..=5 {
            let (writer, reader) = if priority % 2 == 0 { (&a, &b) } else { (&b, &a) };
            get(reader, "r").await.expect("there");
            set_priority(writer, "r", priority + 10 * i32::from(with.is_some())).await;
            seen(reader, priority + 10 * i32::from(with.is_some())).await;
        }
    }
    // Without its Redis, and when it is back empty, everything goes on.
    let a = replica(dir.path(), &database, Some(&redis)).await;
    let b = replica(dir.path(), &database, Some(&redis)).await;
    seen(&b, 15).await;
    redis.kill().expect("killed");
    set_priority(&a, "r", 21).await;
    seen(&b, 21).await;
    redis.start_again().expect("started");
    set_priority(&b, "r", 22).await;
    seen(&a, 22).await;
}
