//! Configurations that change under traffic, and the end of the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hotswap_matcher::RouteDraft;

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Requests on `n` connections that stay open, until told to stop; then how many there were.
async fn traffic(gateway: &Gateway, n: usize) -> (Arc<AtomicBool>, Vec<tokio::task::JoinHandle<usize>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut all = Vec::new();
    for number in 0..n {
        let (stop, address) = (Arc::clone(&stop), gateway.address());
        all.push(spawn(async move {
            let mut client = Client::connect(address).await;
            let mut done = 0;
            while !stop.load(Ordering::SeqCst) {
                let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
                client.send(if number % 2 == 0 { GET } else { post }).await;
                let response = client.response().await;
                assert_eq!((response.status, response.whole), (200, true), "{response:?}");
                done += 1;
            }
            done
        }));
    }
    (stop, all)
}

#[tokio::test]
async fn a_swap_fails_no_request() {
    let (a, b) = (Backend::echo().await, Backend::echo().await);
    for workers in ["1", "2"] {
        let mut gateway = Gateway::before_with(a.address, &["--gateway-workers", workers], |_| {});
        let (stop, clients) = traffic(&gateway, 6).await;
        for round in 0..300 {
            // The pool changes, the route changes to another pool, and the pool that it left goes away.
            let backend = if round % 2 == 0 { &b } else { &a };
            let (pool, other) = if round % 4 < 2 { ("p", "q") } else { ("q", "p") };
            gateway.pool(pool, &[backend.address]);
            gateway.route("r", &to_pool(pool));
            gateway.swap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let name = hotswap_core::ResourceName::from_id(other).expect("id");
            gateway.catalog.remove_pool(&name);
            gateway.swap();
        }
        stop.store(true, Ordering::SeqCst);
        let mut done = 0;
        for client in clients {
            done += client.await.expect("no request failed");
        }
        assert!(done > 100, "{done} requests saw 600 swaps");
        gateway.counts(&format!("gateway_requests_total{{class=\"2xx\"}} {done}")).await;
        let metrics = gateway.metrics();
        let failed = |l: &&str| l.starts_with("gateway_requests_failed_total") && !l.ends_with(" 0");
        assert_eq!(metrics.lines().find(failed), None);
    }
    assert!(a.connections() > 1 && b.connections() > 1, "both had their share");
}

#[tokio::test]
async fn a_request_keeps_the_configuration_that_it_began_with() {
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = Arc::clone(&go);
    let backend = Backend::each(move |_, mut wire| {
        let go = Arc::clone(&waiting);
        async move {
            let _ = wire.request().await;
            go.acquire().await.expect("open").forget();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let edits = |value: &str| {
        let set = vec![hotswap_matcher::HeaderDraft { name: "x-by".into(), value: value.into() }];
        Some(hotswap_matcher::HeaderEditsDraft { set, ..Default::default() })
    };
    let mut gateway =
        Gateway::before_with(backend.address, &[], |draft| draft.response_headers = edits("old"));
    let mut client = gateway.connect().await;
    client.send(GET).await;
    in_time("reach the backend", async {
        while backend.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    gateway.route("r", &RouteDraft { response_headers: edits("new"), ..to_pool("p") });
    gateway.swap();
    go.add_permits(2);
    assert_eq!(client.response().await.header("x-by"), Some("old"));
    client.send(GET).await;
    assert_eq!(client.response().await.header("x-by"), Some("new"));
}

#[tokio::test]
async fn a_backend_that_left_the_configuration_loses_its_connections() {
    let gone = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gone);
    let old = Backend::each(move |_, mut wire| {
        let count = Arc::clone(&count);
        async move {
            let _ = wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let _ = wire.ended().await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let new = Backend::echo().await;
    let mut gateway = Gateway::before(old.address);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);
    gateway.pool("p", &[new.address]);
    gateway.swap();
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);
    in_time("close", async {
        while gone.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_takes_no_new_ones() {
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = Arc::clone(&go);
    let backend = Backend::each(move |_, mut wire| {
        let go = Arc::clone(&waiting);
        async move {
            let _ = wire.request().await;
            go.acquire().await.expect("open").forget();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut idle = gateway.connect().await;
    let mut busy = gateway.connect().await;
    busy.send(GET).await;
    in_time("reach the backend", async {
        while backend.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    gateway.plane.stop();
    assert!(!idle.ended().await, "an idle connection closes at once");
    in_time("the listener's end", async {
        while tokio::net::TcpStream::connect(gateway.address()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    go.add_permits(1);
    let response = busy.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert_eq!(response.header("connection"), Some("close"));
    assert!(!busy.ended().await);
    let Gateway { plane, .. } = gateway;
    in_time("join", tokio::task::spawn_blocking(move || plane.join())).await.expect("ends");
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        let _ = wire.ended().await;
    })
    .await;
    let gateway = Gateway::before_with(backend.address, &["--drain-deadline-ms", "200"], |_| {});
    let mut client = gateway.connect().await;
    client.send(GET).await;
    in_time("reach the backend", async {
        while backend.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let Gateway { plane, .. } = gateway;
    in_time("join", tokio::task::spawn_blocking(move || plane.join())).await.expect("ends");
    let _ = client.ended().await;
}
