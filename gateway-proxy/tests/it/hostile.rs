//! Hostile bytes, on the gateway's own engine: it refuses more than the other one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotswap_matcher::TimeoutsDraft;

use crate::support::*;

const OWN: [&str; 2] = ["--gateway-engine", "own"];
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

fn own(backend: &Backend) -> Gateway {
    Gateway::before_with(backend.address, &OWN, |_| {})
}

/// A backend that counts the whole requests that reach it.
async fn counting() -> (Backend, Arc<AtomicUsize>) {
    let whole = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&whole);
    let backend = Backend::each(move |_, mut wire| {
        let count = Arc::clone(&count);
        async move {
            while wire.request().await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (backend, whole)
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_reaches_no_backend() {
    let (backend, _) = counting().await;
    let gateway = own(&backend);
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 05\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        " Content-Length: 5\r\n",
        "X: 1\r\n Content-Length: 5\r\n",
        "X: 1\nContent-Length: 5\r\n",
        "X: 1\rContent-Length: 5\r\n",
        "Content-Length: 5\n",
        "Content-\0Length: 5\r\n",
        "Content-Length: 5\0\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\r\n : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Host: h\r\n",
        "Host: other\r\n",
        ": 1\r\n",
    ] {
        let mut client = gateway.connect().await;
        let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.reason()), (400, Some("BAD_REQUEST")), "{fields:?}");
        assert!(!client.ended().await, "{fields:?}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_body_whose_chunks_are_broken_never_becomes_a_whole_request() {
    let (backend, whole) = counting().await;
    let gateway = own(&backend);
    for body in [
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n-1\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n10000000000000000\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nx : 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nx\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        let at_once = gateway.ask(&format!("{head}{body}{GET}")).await;
        assert_eq!((at_once.status, at_once.reason()), (400, Some("BAD_REQUEST")), "{body:?}");
        let mut client = gateway.connect().await;
        client.send(head).await;
        for byte in body.bytes() {
            client.send([byte]).await;
        }
        client.send(GET).await;
        let dripped = client.response().await;
        assert_eq!((dripped.status, dripped.reason()), (400, Some("BAD_REQUEST")), "{body:?}");
    }
    assert_eq!(whole.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_backend_says_unasked_reaches_nobody() {
    // Each response has another one behind it.
    let backend = Backend::each(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen")
                .await;
        }
    })
    .await;
    let gateway = own(&backend);
    let mut client = gateway.connect().await;
    for n in 1..=5 {
        client.send(GET).await;
        assert_eq!(client.response().await.text(), "ok");
        assert_eq!(backend.connections(), n, "what carried it is not used again");
    }
}

#[tokio::test]
async fn interim_responses_pass_to_those_who_know_them_and_a_flood_does_not() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
    let backend = Backend::each(move |_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let times = if request.head.starts_with("GET /flood") { 200 } else { 2 };
            wire.send(hints.repeat(times) + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let gateway = own(&backend);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    for _ in 0..2 {
        let interim = client.response_to("GET").await.expect("interim");
        assert_eq!((interim.status, interim.header("link")), (103, Some("</a>")));
        assert_eq!(interim.header("x-hop"), None);
    }
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(gateway.ask("GET / HTTP/1.0\r\n\r\n").await.status, 200, "HTTP/1.0 knows none of them");
    client.send("GET /flood HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let mut last = client.response().await;
    while last.status == 103 {
        last = client.response().await;
    }
    assert_eq!((last.status, last.reason()), (502, Some("BACKEND_PROTOCOL")));
}

#[tokio::test]
async fn a_client_of_which_nothing_comes_holds_nothing_for_long() {
    let (backend, _) = counting().await;
    let limits = TimeoutsDraft { idle_ms: 150, ..TimeoutsDraft::default() };
    let args = [&OWN[..], &["--client-idle-ms", "150", "--client-head-ms", "150"]].concat();
    let gateway = Gateway::before_with(backend.address, &args, |draft| timeouts(draft, limits));
    let mut all = Vec::new();
    for opening in [
        "",
        "G",
        "GET / HTTP/1.1\r\nhost: h\r\n",
        "\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5;aa",
    ] {
        for _ in 0..20 {
            let mut client = gateway.connect().await;
            client.send(opening).await;
            all.push(client);
        }
    }
    for client in &mut all {
        let _ = client.ended().await;
    }
    gateway.counts("gateway_active_connections 0").await;
    assert_eq!(gateway.ask(GET).await.status, 200);
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_a_request() {
    let backend = Backend::echo().await;
    let gateway = own(&backend);
    let mut client = gateway.connect().await;
    let _ = client.stream.set_nodelay(true);
    let request = "\r\nPOST /a HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    for _ in 0..3 {
        for byte in request.bytes() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let echoed = client.response().await.text();
        assert!(echoed.starts_with("POST /a HTTP/1.1\r\n") && echoed.ends_with("\nhello"), "{echoed}");
    }
    assert_eq!(backend.connections(), 1);
}
