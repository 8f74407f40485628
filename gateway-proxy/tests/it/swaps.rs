//! Configurations that change under traffic, and the end of the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hotswap_matcher::RouteDraft;
use tokio::sync::Semaphore;

use crate::support::*;
use crate::ways::{FROM_HTTP1, WAYS, Way};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Clients that ask one request after the other.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<usize>>,
}

impl Traffic {
    /// On `n` connections that stay open, until told to stop.
    pub fn begin(way: Way, gateway: &Gateway, n: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..n).map(|number| {
            let (stop, address) = (Arc::clone(&stop), gateway.address());
            spawn(async move {
                let mut client = way.connect_to(address).await;
                let mut done = 0;
                while !stop.load(Ordering::SeqCst) {
                    let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
                    let response = client.ask(if number % 2 == 0 { GET } else { post }).await;
                    assert_eq!((response.status, response.whole), (200, true), "{way:?} {response:?}");
                    done += 1;
                }
                done
            })
        });
        Self { clients: clients.collect(), stop }
    }

    /// How many requests there were; none has failed, for the gateway neither.
    pub async fn end(self, gateway: &Gateway) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut done = 0;
        for client in self.clients {
            done += in_time("a client's end", client).await.expect("no request failed");
        }
        gateway.counts(&format!("gateway_requests_total{{class=\"2xx\"}} {done}")).await;
        let metrics = gateway.metrics();
        let failed = |l: &&str| l.starts_with("gateway_requests_failed_total") && !l.ends_with(" 0");
        assert_eq!(metrics.lines().find(failed), None);
        done
    }
}

#[tokio::test]
async fn a_swap_fails_no_request() {
    let (a, b) = (Backend::echo().await, Backend::echo().await);
    let ways = WAYS.map(|way| (way, "2"));
    for (way, workers) in [(WAYS[0], "1")].into_iter().chain(ways) {
        let mut gateway = way.before(a.address, &["--gateway-workers", workers], |_| {}).await;
        let pools = [way.pool(&[b.address]).await, way.pool(&[a.address]).await];
        let traffic = Traffic::begin(way, &gateway, 6);
        for round in 0..200 {
            // The pool changes, the route changes to another pool, and the pool that it left goes away.
            let (pool, other) = if round % 4 < 2 { ("p", "q") } else { ("q", "p") };
            gateway.pool_of(pool, &pools[round % 2]);
            gateway.route("r", &to_pool(pool));
            gateway.swap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let name = hotswap_core::ResourceName::from_id(other).expect("id");
            gateway.catalog.remove_pool(&name);
            gateway.swap();
        }
        let done = traffic.end(&gateway).await;
        assert!(done > 100, "{way:?}: {done} requests saw 400 swaps");
    }
    assert!(a.connections() > 1 && b.connections() > 1, "both had their share");
}

/// A backend that answers as often as the test lets it.
async fn that_waits() -> (Backend, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&go);
    let backend = Backend::each(move |_, mut wire| {
        let go = Arc::clone(&waiting);
        async move {
            let _ = wire.request().await;
            go.acquire().await.expect("open").forget();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    (backend.await, go)
}

async fn reached(backend: &Backend) {
    let reach = async {
        while backend.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("reach the backend", reach).await;
}

#[tokio::test]
async fn a_request_keeps_the_configuration_that_it_began_with() {
    for way in WAYS {
        let (backend, go) = that_waits().await;
        let edits = |value: &str| {
            let set = vec![hotswap_matcher::HeaderDraft { name: "x-by".into(), value: value.into() }];
            Some(hotswap_matcher::HeaderEditsDraft { set, ..Default::default() })
        };
        let mut gateway =
            way.before(backend.address, &[], |draft| draft.response_headers = edits("old")).await;
        let mut client = way.connect(&gateway).await;
        let asking = spawn(async move { (client.ask(GET).await, client) });
        reached(&backend).await;
        // Its pool goes, too.
        gateway.route("r", &RouteDraft { response_headers: edits("new"), ..to_pool("q") });
        gateway.pool_of("q", &way.pool(&[backend.address]).await);
        gateway.catalog.remove_pool(&hotswap_core::ResourceName::from_id("p").expect("id"));
        gateway.swap();
        go.add_permits(2);
        let (first, mut client) = in_time("the first", asking).await.expect("answered");
        assert_eq!((first.text().as_str(), first.header("x-by")), ("ok", Some("old")), "{way:?}");
        assert_eq!(client.ask(GET).await.header("x-by"), Some("new"));
    }
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
    for way in FROM_HTTP1 {
        let (backend, go) = that_waits().await;
        let gateway = way.before(backend.address, &[], |_| {}).await;
        let mut idle = gateway.connect().await;
        let mut busy = gateway.connect().await;
        busy.send(GET).await;
        reached(&backend).await;
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
