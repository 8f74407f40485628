//! Who calls too often, in processes as they are run.

use std::fs;
use std::path::Path;

use hotswap_testkit::{Redis, TestDatabase, http_get, required};

use crate::harness::{Said, Server, eventually, folder, hotswap};

const SERVE: [&str; 8] =
    ["serve", "route", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "warn"];

/// A listing as somebody.
fn list(folder: &Path, server: &Server, subject: &str) -> Said {
    let file = format!("{subject}.token");
    if !folder.join(&file).exists() {
        let mint = ["token", "--role", "viewer", "--subject", subject, "--data-dir", "data"];
        let token = Said::from(hotswap(folder).args(mint).output().expect("runs")).ok();
        fs::write(folder.join(&file), token).expect("written");
    }
    let address = format!("http://{}", server.address("listening"));
    let args = ["get", "routes", "--server", &address, "--token-file", &file];
    hotswap(folder).args(args).output().expect("runs").into()
}

#[test]
fn who_calls_too_often_is_told_when_to_come_back_and_others_are_served() {
    let folder = folder();
    let limits = ["--data-dir", "data", "--limit-method", "RouteService/ListRoutes=2/h"];
    let server = Server::start(folder.path(), &[&SERVE[..], &limits].concat(), "token");
    for _ in 0..2 {
        list(folder.path(), &server, "ann").ok();
    }
    let refused = list(folder.path(), &server, "ann");
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.err.contains("you call this method more often than 2/h; come back in"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("RATE_LIMITED"), "{}", refused.err);
    list(folder.path(), &server, "ben").ok();
    let metrics = http_get(server.address("admin"), "/metrics").expect("metrics");
    let line =
        r#"hotswap_rpc_limited_total{limit="method",method="hotswap.route.v1.RouteService/ListRoutes"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(!metrics.contains("ann"), "who it was is not for metrics");
}

#[test]
fn replicas_share_limits_in_redis_and_go_on_alone_when_it_is_away() {
    let (Some(database), Some(mut redis)) = (required(TestDatabase::create()), required(Redis::start()))
    else {
        return;
    };
    let folder = folder();
    let (database, url) = (database.url(), redis.url());
    let start = |data: &str| {
        let parts = ["--data-dir", data, "--database-url", &database, "--redis-url", &url];
        let args = [&SERVE[..], &parts, &["--limit-principal", "4/h"]].concat();
        let server = Server::start(folder.path(), &args, "token");
        let page = server.address("admin");
        let metrics = || http_get(page, "/metrics").expect("metrics");
        eventually("redis", || metrics().contains("limits_redis_connected 1\n"));
        server
    };
    let first = start("data");
    fs::create_dir(folder.path().join("other")).expect("a folder");
    fs::copy(folder.path().join("data/signing-key.pem"), folder.path().join("other/signing-key.pem"))
        .expect("copied");
    let second = start("other");
    for server in [&first, &second, &first, &second] {
        list(folder.path(), server, "ann").ok();
    }
    for server in [&first, &second] {
        let refused = list(folder.path(), server, "ann");
        assert!(refused.err.contains("RATE_LIMITED"), "{}", refused.err);
    }
    redis.kill().expect("killed");
    for server in [&first, &second] {
        eventually("its own limit", || list(folder.path(), server, "ben").code == Some(0));
        list(folder.path(), server, "dan").ok();
    }
}
