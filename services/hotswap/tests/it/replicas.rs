//! Several control planes on one PostgreSQL, and stores that were put back.

use std::fs;
use std::process::Command;

use hotswap_testkit::{TestDatabase, required};

use crate::harness::{Browser, Server, backend, eventually, folder, shop};

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// `hotswap serve route` on a database, with a data folder of its own.
fn replica(folder: &std::path::Path, data: &str, database: &TestDatabase) -> Server {
    let url = database.url();
    let args = ["serve", "route", "--data-dir", data, "--database-url", &url, "--log", "warn"];
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Server::start(folder, &[&args[..], &listen].concat(), "token")
}

/// A gateway of a control plane, and where it listens.
pub(crate) fn gateway(folder: &std::path::Path, of: &[&Server]) -> (Server, std::net::SocketAddr) {
    let urls: Vec<_> = of.iter().map(|plane| format!("http://{}", plane.address("listening"))).collect();
    let control_plane = urls.join(",");
    let ready = folder.join("ready");
    let args = ["gateway", "--control-plane", &control_plane, "--token-file", "data/gateway.token"];
    let listen = ["--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0"];
    let file = ["--ready-file", ready.to_str().expect("UTF-8")];
    let server = Server::spawn(folder, &[&args[..], &listen, &file].concat());
    eventually("the gateway", || ready.exists());
    let told: serde_json::Value = serde_json::from_slice(&fs::read(ready).expect("read")).expect("JSON");
    (server, told["listen"].as_str().and_then(|a| a.parse().ok()).expect("an address"))
}

#[test]
fn a_replica_that_was_frozen_passes_on_what_it_missed() {
    let Some(database) = required(TestDatabase::create()) else { return };
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let frozen = replica(folder.path(), "data", &database);
    // Replicas share the key, so that a token is good at all of them.
    fs::create_dir(folder.path().join("other")).expect("a folder");
    let key = |data: &str| folder.path().join(data).join("signing-key.pem");
    fs::copy(key("data"), key("other")).expect("copied");
    let other = replica(folder.path(), "other", &database);
    let (_gateway, address) = gateway(folder.path(), &[&frozen]);
    other.apply("listening", &shop(blue), &[]).ok();
    eventually("blue", || Browser::open(address).get("shop.example").as_ref().is_ok_and(|a| a.1 == "blue"));

    signal("-STOP", frozen.pid());
    other.apply("listening", &shop(green), &[]).ok();
    // Traffic flows on what there is.
    let mut browser = Browser::open(address);
    for _ in 0..100 {
        assert_eq!(browser.get("shop.example").expect("an answer").0, 200);
    }
    signal("-CONT", frozen.pid());
    eventually("green", || browser.get("shop.example").expect("an answer").1 == "green");
    // Both write, and see each other's writes.
    frozen.apply("listening", &shop(blue), &[]).ok();
    eventually("blue", || browser.get("shop.example").expect("an answer").1 == "blue");
    let etag = |server: &Server| server.client("listening", &["get", "routes/shop", "-o", "json"]).ok();
    assert_eq!(etag(&frozen), etag(&other));
}

#[test]
fn a_gateway_goes_on_with_another_replica_when_its_own_is_killed() {
    let Some(database) = required(TestDatabase::create()) else { return };
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let mut first = replica(folder.path(), "data", &database);
    fs::create_dir(folder.path().join("other")).expect("a folder");
    let key = |data: &str| folder.path().join(data).join("signing-key.pem");
    fs::copy(key("data"), key("other")).expect("copied");
    let mut second = replica(folder.path(), "other", &database);
    let (_gateway, address) = gateway(folder.path(), &[&first, &second]);
    first.apply("listening", &shop(blue), &[]).ok();
    eventually("blue", || Browser::open(address).get("shop.example").as_ref().is_ok_and(|a| a.1 == "blue"));
    let mut browser = Browser::open(address);
    // Whichever it was on: it is on the other one after one of the two kills, and back after a start.
    first.kill();
    second.apply("listening", &shop(green), &[]).ok();
    eventually("green", || browser.get("shop.example").expect("an answer").1 == "green");
    second.kill();
    let listen = ["--listen", &first.address("listening").to_string(), "--admin-listen", "127.0.0.1:0"];
    let url = database.url();
    let args = ["serve", "route", "--data-dir", "data", "--database-url", &url, "--log", "warn"];
    let first = Server::start(folder.path(), &[&args[..], &listen].concat(), "token");
    first.apply("listening", &shop(blue), &[]).ok();
    eventually("blue", || browser.get("shop.example").expect("an answer").1 == "blue");
}

#[test]
fn a_proxy_explains_at_whichever_replica_is_asked() {
    let Some(database) = required(TestDatabase::create()) else { return };
    let folder = folder();
    let asked = replica(folder.path(), "data", &database);
    fs::create_dir(folder.path().join("other")).expect("a folder");
    let key = |data: &str| folder.path().join(data).join("signing-key.pem");
    fs::copy(key("data"), key("other")).expect("copied");
    let other = replica(folder.path(), "other", &database);
    // The gateway's stream is at one of them alone.
    let (_gateway, address) = gateway(folder.path(), &[&other]);
    let blue = backend("blue");
    asked.apply("listening", &shop(blue), &[]).ok();
    eventually("blue", || Browser::open(address).get("shop.example").as_ref().is_ok_and(|a| a.1 == "blue"));
    let explain = ["explain", "http://shop.example/", "--proxy", "gateway"];
    for replica in [&asked, &other] {
        let told = replica.client("listening", &explain).ok();
        assert!(told.contains("routes/shop") && told.contains(&blue.to_string()), "{told}");
    }
    let unknown = ["explain", "http://shop.example/", "--proxy", "nobody"];
    assert!(asked.client("listening", &unknown).fails(4).contains("proxies/nobody"));
}

#[test]
fn gateways_take_what_a_restored_store_has() {
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let answers = |suite: &Server, who: &str| {
        let gateway = suite.address("gateway");
        eventually(who, || Browser::open(gateway).get("shop.example").as_ref().is_ok_and(|a| a.1 == who));
    };
    let mut suite = Server::suite(folder.path());
    suite.apply("control plane", &shop(blue), &[]).ok();
    answers(&suite, "blue");
    let copied = crate::harness::hotswap(folder.path()).args(["store", "backup", "copy"]).args(DATA).output();
    crate::harness::Said::from(copied.expect("runs")).ok();
    suite.apply("control plane", &shop(green), &[]).ok();
    answers(&suite, "green");

    let restore = || {
        let done =
            crate::harness::hotswap(folder.path()).args(["store", "restore", "copy"]).args(DATA).output();
        crate::harness::Said::from(done.expect("runs"))
    };
    let refused = restore().fails(1);
    assert!(refused.contains("in use by another process"), "{refused}");
    assert!(suite.terminate().success());
    restore().ok();
    let suite = Server::suite(folder.path());
    answers(&suite, "blue");
}

const DATA: [&str; 2] = ["--data-dir", "data"];

#[test]
fn a_stop_in_the_midst_of_writes_leaves_those_that_were_told_and_no_other() {
    let folder = folder();
    let plane = ["serve", "route", "--data-dir", "data", "--log", "warn"];
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let start = || Server::start(folder.path(), &[&plane[..], &listen].concat(), "token");
    let mut server = start();
    server.apply("listening", &shop(backend("blue")), &[]).ok();
    let routes: String = (0..2_000)
        .map(|i| format!("---\nkind: Route\nname: routes/w{i:04}\nhosts: [h{i}.example]\nforward: {{ pool: pools/shop }}\n"))
        .collect();
    let pid = server.pid();
    let log = server.folder.join("data/hotswap.db-wal");
    let begun = fs::metadata(&log).map_or(0, |log| log.len());
    let stop = std::thread::spawn(move || {
        // Some are written by then, and most are not.
        let written = || fs::metadata(&log).is_ok_and(|log| log.len() > begun + 1_000_000);
        eventually("the first writes", written);
        signal("-TERM", pid);
    });
    let said = server.apply("listening", &routes, &["--parallel", "16"]);
    stop.join().expect("stopped");
    assert!(server.wait().success());
    assert_ne!(said.code, Some(0), "it was stopped before the last");
    let told: Vec<_> = said.out.lines().filter_map(|line| line.strip_suffix(" created")).collect();

    let server = start();
    let names = server.client("listening", &["get", "routes", "-o", "name", "--filter", "name : \"w\""]).ok();
    let there: Vec<_> = names.lines().collect();
    assert_eq!(told, there);
    assert!(told.len() < 2_000 && !told.is_empty());
}
