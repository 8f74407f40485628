//! Requests and responses, as they go through.

use std::sync::Arc;

use bytes::Bytes;
use hotswap_matcher::TimeoutsDraft;
use tokio::sync::Semaphore;

use super::{GET, OWN, before, with};
use crate::http2_support::*;
use crate::support::*;

#[tokio::test]
async fn a_request_arrives_as_one_of_http_1_1_and_its_response_goes_back() {
    let backend = Backend::echo().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let head = "GET /a?b=c HTTP/1.1\r\nhost: Shop:81\r\nx-a: 1\r\nx-a: 2\r\nte: trailers\r\n\
                cookie: a=1\r\ncookie: b=2\r\nx-forwarded-for: 10.0.0.1\r\n\r\n";
    let response = client.ask(head).await;
    assert_eq!((response.status, response.whole), (200, true));
    assert_eq!(response.header("via"), Some("1.1 hotswap"));
    let text = response.text();
    assert!(text.starts_with("GET /a?b=c HTTP/1.1\r\nhost: Shop:81\r\n"), "{text}");
    let of = |name| header(&text, name).unwrap_or_default().to_owned();
    assert_eq!(of("cookie"), "a=1; b=2");
    assert_eq!(of("te"), "trailers");
    assert_eq!(of("via"), "2.0 hotswap");
    assert_eq!(of("x-forwarded-for"), "10.0.0.1, 127.0.0.1");
    assert_eq!((of("x-forwarded-host"), of("x-forwarded-proto")), ("Shop:81".into(), "http".into()));
    assert_eq!(text.matches("x-a: ").count(), 2);
    gateway.counts("gateway_http2_connections_total 1").await;
    gateway.counts("gateway_http2_streams_total 1").await;
    gateway.counts("gateway_requests_total{class=\"2xx\"} 1").await;
}

#[tokio::test]
async fn both_versions_come_to_one_port_and_the_first_bytes_may_come_one_by_one() {
    let backend = Backend::echo().await;
    let gateway = before(&backend);
    assert_eq!(gateway.ask(GET).await.status, 200);
    let mut slow = gateway.connect().await;
    for byte in [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, BOTH, 1, &get("/"))].concat() {
        slow.send([byte]).await;
        tokio::task::yield_now().await;
    }
    gateway.counts("gateway_http2_streams_total 1").await;
    for wrong in ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI / HTTP/2.0\r\n\r\n", "PRI * HTTP/2.1\r\n\r\n"] {
        let response = gateway.ask(wrong).await;
        assert_eq!((response.status, response.reason()), (400, Some("BAD_REQUEST")), "{wrong:?}");
    }
    // Only a connection begins so.
    let mut client = gateway.connect().await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);
    client.send(PREFACE).await;
    assert_eq!(client.response().await.status, 400);
}

#[tokio::test]
async fn bodies_arrive_with_a_length_or_in_chunks() {
    let backend = Backend::echo().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let known = client.ask("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello").await.text();
    assert_eq!(header(&known, "content-length"), Some("5"));
    assert!(header(&known, "transfer-encoding").is_none() && known.ends_with("\nhello"), "{known}");
    let open = client.ask("POST / HTTP/1.1\r\n\r\nhello").await.text();
    assert_eq!(header(&open, "transfer-encoding"), Some("chunked"));
    assert!(header(&open, "content-length").is_none() && open.ends_with("\nhello"), "{open}");
    let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
    stream.send_data(Bytes::new(), true).expect("sent");
    assert!(whole(response).await.text().ends_with("\r\n\r\n\n"), "a body of no bytes");
}

#[tokio::test]
async fn a_large_body_streams_both_ways_without_being_kept() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len())).await;
            wire.send(&request.body).await;
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
    let mut left = Bytes::from(sent.clone());
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let room = in_time("room", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
        let n = room.expect("open").expect("open").min(left.len());
        stream.send_data(left.split_to(n), left.is_empty()).expect("sent");
    }
    let response = whole(response).await;
    assert!(response.whole && response.body == sent);
}

#[tokio::test]
async fn trailers_go_both_ways_where_they_were_announced() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some((_, trailers)) = wire.request_and_trailers().await {
            let seen = trailers.trim().replace('\n', "|");
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nx-seen: {seen}\r\n\r\n\
                 5\r\nhello\r\n0\r\nx-sum: 7\r\nx-other: 8\r\ncontent-length: 1\r\n\r\n"
            ))
            .await;
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let head = "POST / HTTP/1.1\r\nte: trailers\r\ntrailer: x-up\r\n";
    let (response, mut stream) = client.begin(head, false).await;
    stream.send_data(Bytes::from_static(b"x"), false).expect("sent");
    let mut fields = http::HeaderMap::new();
    fields.insert("x-up", http::HeaderValue::from_static("1"));
    fields.insert("x-silent", http::HeaderValue::from_static("2"));
    stream.send_trailers(fields).expect("sent");
    let response = whole(response).await;
    assert_eq!(response.header("x-seen"), Some("x-up: 1"));
    assert_eq!((response.text().as_str(), response.trailers.as_str()), ("hello", "x-sum: 7\n"));
    assert_eq!(response.header("transfer-encoding"), None);
    let response = client.ask(GET).await;
    assert_eq!((response.whole, response.trailers.as_str()), (true, ""), "nobody asked for trailers");
}

#[tokio::test]
async fn responses_without_a_body_end_with_their_head() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let status = request.head.split(['/', ' ']).nth(2).expect("a status").to_owned();
            let length = if status == "204" { "" } else { "content-length: 5\r\n" };
            wire.send(format!("HTTP/1.1 {status} X\r\n{length}x-a: 1\r\n\r\n")).await;
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    for (method, status, length) in
        [("HEAD", "200", Some("5")), ("GET", "204", None), ("GET", "304", Some("5"))]
    {
        let response = client.ask(&format!("{method} /{status} HTTP/1.1\r\n\r\n")).await;
        assert_eq!((response.status.to_string().as_str(), response.body.len()), (status, 0));
        assert_eq!((response.header("content-length"), response.header("x-a")), (length, Some("1")));
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn streams_go_side_by_side_and_share_the_connections_to_backends() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let backend = Backend::each(move |_, mut wire| {
        let gate = Arc::clone(&waits);
        async move {
            while let Some(request) = wire.request().await {
                if request.head.starts_with("GET /slow") {
                    gate.acquire().await.expect("open").forget();
                }
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(client.begin("GET /slow HTTP/1.1\r\n", true).await.0);
    }
    assert_eq!(client.ask(GET).await.text(), "ok", "it overtakes the others");
    gate.add_permits(50);
    for response in slow {
        assert_eq!(whole(response).await.text(), "ok");
    }
    let opened = backend.connections();
    for _ in 0..50 {
        assert_eq!(client.ask(GET).await.text(), "ok");
    }
    assert_eq!(backend.connections(), opened);
    gateway.counts("gateway_active_connections 1").await;
}

#[tokio::test]
async fn the_expectation_of_a_client_is_the_backends_to_answer() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(head) = wire.request_head().await {
            assert_eq!(header(&head, "expect"), Some("100-continue"));
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = wire.ended().await;
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let head = "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n";
    let (mut response, _body) = client.begin(head, false).await;
    let interim = in_time("100", std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    assert_eq!(interim.expect("one").expect("sound").status(), 100);
    assert_eq!(whole(response).await.text(), "ok");
}

#[tokio::test]
async fn interim_responses_go_through() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
    let backend = Backend::each(move |_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.send(hints.to_owned() + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let (mut response, _) = client.begin(GET.trim_end(), true).await;
    let interim = in_time("103", std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    let interim = interim.expect("one").expect("sound");
    assert_eq!((interim.status().as_u16(), interim.headers().contains_key("x-hop")), (103, false));
    assert_eq!(whole(response).await.text(), "ok");
}

#[tokio::test]
async fn a_request_that_is_refused_has_an_answer_with_the_reason() {
    let backend = Backend::echo().await;
    let gateway = with(&backend, &["--max-body-bytes", "10"]);
    let client = Http2::connect(&gateway).await;
    for (request, status, reason) in [
        ("POST / HTTP/1.1\r\ncontent-length: 11\r\n\r\n01234567890", 413, "BODY_TOO_LARGE"),
        ("POST / HTTP/1.1\r\n\r\n01234567890", 413, "BODY_TOO_LARGE"),
        ("GET /../x HTTP/1.1\r\n\r\n", 400, "BAD_PATH"),
    ] {
        let response = client.ask(request).await;
        assert_eq!((response.status, response.reason()), (status, Some(reason)), "{request}");
    }
    let limits = TimeoutsDraft { first_byte_ms: 100, ..Default::default() };
    let silent =
        Backend::each(|_, mut wire| async move { drop((wire.request().await, wire.ended().await)) }).await;
    let gateway = Gateway::before_with(silent.address, &OWN, |draft| timeouts(draft, limits));
    let client = Http2::connect(&gateway).await;
    let response = client.ask(GET).await;
    assert_eq!((response.status, response.reason()), (504, Some("FIRST_BYTE_TIMEOUT")));
}
