//! The gateway as a process: what it says, what it serves beside traffic, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Waits until the gateway says that it stops, and until its cores know of it: then they take nobody any more.
async fn drains(admin: SocketAddr, listen: SocketAddr) {
    in_time("not ready", async {
        while page(admin, "/readyz").await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while tokio::net::TcpStream::connect(listen).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_gateway_is_ready_with_its_first_configuration_and_ends_in_order_on_sigterm() {
    let go = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = std::sync::Arc::clone(&go);
    let backend = Backend::each(move |_, mut wire| {
        let go = std::sync::Arc::clone(&waiting);
        async move {
            while wire.request().await.is_some() {
                go.acquire().await.expect("open").forget();
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let mut process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    assert_eq!(page(admin, "/healthz").await.0, 200);
    let (status, why) = page(admin, "/readyz").await;
    assert_eq!((status, why.contains("configuration")), (503, true), "{why}");

    let nonce = stream.say(both(1, 1, backend.address)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(page(admin, "/readyz").await.0, 200);
    go.add_permits(1);
    let mut client = Client::connect(listen).await;
    client.send(GET).await;
    assert_eq!(client.response().await.text(), "ok");
    let (_, metrics) = page(admin, "/metrics").await;
    assert!(metrics.contains("gateway_config_revision 1\n"), "{metrics}");

    let mut odd = Client::connect(listen).await;
    odd.send("nonsense\r\n\r\n").await;
    assert_eq!(odd.response().await.reason(), Some("BAD_REQUEST"));

    // A request is under way when the signal comes.
    client.send("GET /late?q=1 HTTP/1.1\r\nhost: Shop\r\n\r\n").await;
    in_time("the request", async {
        while !page(admin, "/metrics").await.1.contains("gateway_upstream_reuses_total 1\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    process.signal("TERM");
    drains(admin, listen).await;
    go.add_permits(1);
    let late = client.response().await;
    assert_eq!((late.status, late.header("connection")), (200, Some("close")));
    assert!(process.ended().await.success());

    let log = std::fs::read_to_string(process.file("access.log")).expect("log");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    let text = |key: &str| last[key].as_str().unwrap_or_default().to_owned();
    let backend = backend.address.to_string();
    assert_eq!([text("method"), text("host"), text("path")], ["GET", "Shop", "/late"]);
    assert_eq!([text("route"), text("backend")], ["routes/r", backend.as_str()]);
    assert_eq!((last["status"].as_u64(), last["bytes"].as_u64()), (Some(200), Some(2)));
    let odd: serde_json::Value = serde_json::from_str(log.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!((odd["method"].as_str(), odd["reason"].as_str()), (Some("-"), Some("BAD_REQUEST")));
    assert_eq!(log.lines().count(), 3);
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line_and_a_failure() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = taken.local_addr().expect("addr").to_string();
    for flag in ["--gateway-listen", "--gateway-admin-listen"] {
        let mut process = Process::start(taken.local_addr().expect("addr"), &[flag, &address]);
        assert_eq!(process.ended().await.code(), Some(1));
        let said = process.said();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("error: cannot listen on {address}")), "{said}");
        assert!(said.contains(flag), "{said}");
    }
}
