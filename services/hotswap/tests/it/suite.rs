//! The suite as a whole: control plane, gateway and traffic.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{Browser, Said, Server, UP, backend, eventually, folder, hotswap, shop};

#[test]
fn the_demo_moves_a_route_without_a_failed_request_and_tells_good_canaries_from_bad_ones() {
    let folder = folder();
    let said: Said =
        hotswap(folder.path()).args(UP).args(["--demo", "--exit"]).output().expect("runs").into();
    let story = said.ok();
    let number = |name: &str| {
        let line = story.lines().find(|line| line.trim_start().starts_with(name)).expect("told");
        line.trim_start()[name.len()..].trim().replace(',', "")
    };
    assert_eq!(number("failed"), "0", "{story}");
    let [blue, green, all] =
        ["by blue", "by green", "requests  "].map(|n| number(n).parse::<u64>().expect("a number"));
    assert!(blue >= 2_000 && green >= 2_000 && blue + green == all, "{story}");
    assert!(number("from call to live").ends_with(" ms"), "{story}");
    for (candidate, ending) in [
        ("pools/demo-good, a good one", "promoted itself"),
        ("pools/demo-failing, one with errors", "took itself back"),
        ("pools/demo-slow, a slow one", "took itself back"),
        ("pools/demo-dying, one whose backend dies", "took itself back"),
    ] {
        let line = story.lines().find(|line| line.contains(candidate)).unwrap_or_else(|| panic!("{story}"));
        assert!(line.contains(ending), "{story}");
    }
}

#[test]
fn a_change_reaches_the_gateway_and_a_stop_ends_everything() {
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let mut suite = Server::suite(folder.path());
    let gateway = suite.address("gateway");
    suite.apply("control plane", &shop(blue), &[]).ok();
    eventually("blue", || Browser::open(gateway).get("shop.example").as_ref().is_ok_and(|a| a.1 == "blue"));
    let mut browser = Browser::open(gateway);
    suite.apply("control plane", &shop(green), &[]).ok();
    eventually("green", || browser.get("shop.example").expect("an answer").1 == "green");
    drop(browser);
    assert!(suite.terminate().success());
    assert!(TcpStream::connect(gateway).is_err(), "the gateway has ended too");

    // On the same folder it goes on where it was.
    let suite = Server::suite(folder.path());
    let gateway = suite.address("gateway");
    eventually("green", || Browser::open(gateway).get("shop.example").as_ref().is_ok_and(|a| a.1 == "green"));
}

#[test]
fn a_gateway_that_dies_is_started_again_on_the_same_port() {
    let folder = folder();
    let blue = backend("blue");
    let suite = Server::suite(folder.path());
    let gateway = suite.address("gateway");
    suite.apply("control plane", &shop(blue), &[]).ok();
    let answers = || {
        TcpStream::connect(gateway).is_ok()
            && Browser::open(gateway).get("shop.example").is_ok_and(|a| a.1 == "blue")
    };
    eventually("blue", answers);
    let pid = suite.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let first = children_of(pid);
    assert_eq!(first.len(), 1, "{children:?}");
    let killed = std::process::Command::new("kill").args(["-KILL", &first[0]]).status().expect("kill runs");
    assert!(killed.success());
    eventually("another gateway", || children_of(pid).first().is_some_and(|pid| *pid != first[0]));
    eventually("blue again", answers);
}

#[test]
fn a_gateway_that_the_suite_keeps_is_not_taken_over_from_and_no_signal_ends_it() {
    let folder = folder();
    let suite = Server::suite(folder.path());
    let gateway = suite.address("gateway");
    let kept = children_of(suite.pid());
    let signalled = std::process::Command::new("kill").args(["-USR2", &kept[0]]).status().expect("kill runs");
    assert!(signalled.success());
    let asked = ["gateway", "--take-over", "--gateway-data-dir", "data/gateway"];
    let said: Said = hotswap(folder.path()).args(asked).output().expect("runs").into();
    assert!(said.fails(1).contains("it is kept by another process, as by hotswap up"));
    assert!(TcpStream::connect(gateway).is_ok());
    assert_eq!(children_of(suite.pid()), kept);
}

/// Processes that any thread of a process started.
fn children_of(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("runs");
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn a_killed_suite_leaves_no_gateway_behind() {
    let folder = folder();
    let mut suite = Server::suite(folder.path());
    let gateway = suite.address("gateway");
    suite.kill();
    eventually("the gateway's end", || TcpStream::connect(gateway).is_err());
    // Its folder and its lock are free again.
    drop(Server::suite(folder.path()));
}

#[test]
fn traffic_flows_while_the_control_plane_is_killed_and_comes_back() {
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let plane = ["serve", "route", "--data-dir", "data", "--admin-listen", "127.0.0.1:0", "--log", "warn"];
    let mut first =
        Server::start(folder.path(), &[&plane[..], &["--listen", "127.0.0.1:0"]].concat(), "token");
    let address = first.address("listening").to_string();
    first.apply("listening", &shop(blue), &[]).ok();
    let ready = folder.path().join("ready");
    let control_plane = format!("http://{address}");
    let gateway = ["gateway", "--control-plane", &control_plane, "--token-file", "data/gateway.token"];
    let listen = ["--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0"];
    let _gateway = Server::spawn(
        folder.path(),
        &[&gateway[..], &listen, &["--ready-file", ready.to_str().expect("UTF-8")]].concat(),
    );
    eventually("the gateway", || ready.exists());
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(ready).expect("read")).expect("JSON");
    let gateway = told["listen"].as_str().and_then(|a| a.parse().ok()).expect("an address");
    eventually("blue", || Browser::open(gateway).get("shop.example").as_ref().is_ok_and(|a| a.1 == "blue"));

    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..4).map(|_| client(gateway, Arc::clone(&stop), Arc::clone(&seen))).collect();
    let so_far = || seen.lock().expect("sound").len();
    let more = |n: usize| {
        let from = so_far();
        eventually("requests", || so_far() >= from + n);
    };
    more(200);
    first.kill();
    more(200);
    let second = Server::start(folder.path(), &[&plane[..], &["--listen", &address]].concat(), "token");
    more(200);
    second.apply("listening", &shop(green), &[]).ok();
    eventually("green", || seen.lock().expect("sound").last().is_some_and(|a: &String| a == "green"));
    more(200);
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no request failed");
    }
}

/// A client that asks until it is told to stop, and panics at the first failure.
fn client(
    gateway: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut browser = Browser::open(gateway);
        while !stop.load(Ordering::SeqCst) {
            let (status, who) = browser.get("shop.example").expect("an answer");
            assert_eq!(status, 200);
            seen.lock().expect("sound").push(who);
        }
    })
}
