//! Responses that are compressed on their way, on real sockets, for clients and backends of both versions.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use hotswap_matcher::{CompressionDraft, TrafficDraft};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use crate::http2_alike::Either;
use crate::http2_support::Http2;
use crate::support::*;
use crate::ways::TO_BOTH;

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// Gateways whose only route compresses: one reaches the backend by HTTP/1.1, one by HTTP/2.
async fn gateways(backend: &Backend, rules: CompressionDraft) -> [Gateway; 2] {
    let traffic = TrafficDraft { compression: Some(rules), ..TrafficDraft::default() };
    let [one, two] = TO_BOTH.map(|way| {
        let traffic = Some(Box::new(traffic.clone()));
        way.before(backend.address, &[], |route| route.traffic = traffic)
    });
    [one.await, two.await]
}

/// What can be read of a body so far.
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    // Of one that has not ended the rest is an error, behind what could be read.
    let _ = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(bytes, 4_096).read_to_end(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(bytes).expect("a decoder").read_to_end(&mut plain),
        other => panic!("no coding: {other}"),
    };
    plain
}

/// Text that does not repeat too soon.
fn text(len: usize) -> String {
    (0..)
        .flat_map(|n: u64| format!("{} ", n.wrapping_mul(2_654_435_761) % 100_003).into_bytes())
        .take(len)
        .map(char::from)
        .collect()
}

fn get(coding: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\naccept-encoding: {coding}\r\n\r\n")
}

/// A backend that answers every request so, and ends the connection where `ends`.
async fn that_says(answer: String, ends: bool) -> Backend {
    let answer = Arc::new(answer);
    Backend::each(move |_, mut wire| {
        let answer = Arc::clone(&answer);
        async move {
            while wire.request().await.is_some() {
                wire.send(&*answer).await;
                if ends {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_body_comes_compressed_however_it_was_framed_and_is_the_same() {
    let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\netag: \"a\"\r\n";
    for len in [5_000, 100_000] {
        let body = text(len);
        let (a, b) = body.split_at(len / 3);
        let chunks = [a, b].map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).concat();
        for (answer, ends) in [
            (format!("{html}content-length: {len}\r\n\r\n{body}"), false),
            (format!("{html}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"), false),
            (format!("{html}connection: close\r\n\r\n{body}"), true),
        ] {
            let backend = that_says(answer, ends).await;
            for gateway in gateways(&backend, CompressionDraft::default()).await {
                for mut client in Either::both(&gateway).await {
                    for coding in CODINGS {
                        let response = client.ask(&get(coding)).await;
                        assert_eq!((response.status, response.whole), (200, true));
                        assert_eq!(response.header("content-encoding"), Some(coding), "{}", response.head);
                        assert_eq!(response.header("etag"), Some("W/\"a\""));
                        assert_eq!(response.header("vary"), Some("Accept-Encoding"));
                        assert_eq!(response.header("content-length"), None);
                        assert!(response.body.len() < len, "{}", response.body.len());
                        assert!(decoded(coding, &response.body) == body.as_bytes(), "{coding} {len}");
                    }
                    let plain = client.ask(&get("identity")).await;
                    assert_eq!(
                        (plain.header("content-encoding"), plain.header("etag")),
                        (None, Some("\"a\""))
                    );
                    assert!(plain.text() == body && plain.header("vary") == Some("Accept-Encoding"));
                }
                gateway.counts("gateway_compressed_responses_total{coding=\"br\"} 2").await;
            }
        }
    }
}

#[tokio::test]
async fn what_must_stay_as_it_is_does_for_both_versions() {
    let body = text(2_000);
    let length = "content-length: 2000\r\n";
    for (status, fields, request) in [
        ("200 OK", "content-type: text/html\r\ncontent-encoding: br\r\n", get("gzip")),
        ("200 OK", "content-type: text/html\r\ncache-control: no-transform\r\n", get("gzip")),
        ("200 OK", "content-type: image/png\r\n", get("gzip")),
        ("200 OK", "content-type: application/grpc\r\n", get("gzip")),
        ("206 Partial", "content-type: text/html\r\ncontent-range: bytes 0-1999/9000\r\n", get("gzip")),
        ("200 OK", "content-type: text/html\r\n", get("deflate, gzip;q=0")),
    ] {
        let backend = that_says(format!("HTTP/1.1 {status}\r\n{fields}{length}\r\n{body}"), false).await;
        for gateway in gateways(&backend, CompressionDraft::default()).await {
            for mut client in Either::both(&gateway).await {
                let response = client.ask(&request).await;
                let told = (response.header("content-length"), response.header("content-encoding"));
                assert_eq!(told, (Some("2000"), fields.contains("br\r\n").then_some("br")), "{fields}");
                assert_eq!(response.text(), body, "{status} {fields}");
            }
        }
    }
}

#[tokio::test]
async fn heads_without_bodies_say_what_a_body_would_have() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2000\r\netag: \"a\"\r\n\r\n";
    let same = "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n";
    let none = "HTTP/1.1 204 No Content\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip\r\n\r\n";
    let get = get("gzip");
    for (answer, request, encoding, tag) in [
        (whole, head, Some("gzip"), Some("W/\"a\"")),
        (same, get.as_str(), None, Some("W/\"a\"")),
        (none, get.as_str(), None, None),
    ] {
        let backend = that_says(answer.to_owned(), false).await;
        for gateway in gateways(&backend, CompressionDraft::default()).await {
            for mut client in Either::both(&gateway).await {
                // Twice: the connection is where it should be.
                for _ in 0..2 {
                    let response = client.ask(request).await;
                    let told = (response.header("content-encoding"), response.header("etag"));
                    assert_eq!(
                        (told, response.header("content-length")),
                        ((encoding, tag), None),
                        "{answer}"
                    );
                    assert!(response.body.is_empty());
                }
            }
        }
    }
}

/// Sends events one by one, when it is told to.
async fn that_streams(go: &Arc<Notify>) -> Backend {
    let go = Arc::clone(go);
    Backend::each(move |_, mut wire| {
        let go = Arc::clone(&go);
        async move {
            while wire.request().await.is_some() {
                wire.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await;
                for event in ["data: 1\n\n", "data: 2\n\n"] {
                    wire.send(&format!("{:x}\r\n{event}\r\n", event.len())).await;
                    go.notified().await;
                }
                wire.send("0\r\n\r\n").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_event_reaches_its_reader_before_the_next_is_sent() {
    for coding in CODINGS {
        let go = Arc::new(Notify::new());
        let backend = that_streams(&go).await;
        for gateway in gateways(&backend, CompressionDraft::default()).await {
            let mut client = gateway.connect().await;
            client.send(get(coding)).await;
            for (i, want) in ["data: 1\n\n", "data: 1\n\ndata: 2\n\n"].into_iter().enumerate() {
                while decoded(coding, &chunks(client.buffered())) != want.as_bytes() {
                    assert!(client.more().await, "{coding} {i}");
                }
                go.notify_one();
            }
            assert!(client.response().await.whole);

            let client = Http2::connect(&gateway).await;
            let (response, _) = client.begin(get(coding).trim_end(), true).await;
            let mut body = in_time("a response", response).await.expect("a response").into_body();
            let mut came = Vec::new();
            for want in ["data: 1\n\n", "data: 1\n\ndata: 2\n\n"] {
                while decoded(coding, &came) != want.as_bytes() {
                    came.extend(in_time("an event", body.data()).await.expect("more").expect("data"));
                }
                go.notify_one();
            }
            while let Some(rest) = in_time("the end", body.data()).await {
                rest.expect("data");
            }
        }
    }
}

/// Bytes that no coding makes fewer.
fn noise(len: usize) -> Vec<u8> {
    let mut at = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        at ^= at << 13;
        at ^= at >> 7;
        at ^= at << 17;
        at as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A client whose connection holds little that it has not read: some 30 KB, however long it waits.
async fn with_little_room(gateway: &Gateway) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("sets");
    // The kernel gives a sender as much room as some segments need.
    socket2::SockRef::from(&socket).set_tcp_mss(536).expect("sets");
    Client::new(in_time("connect", socket.connect(gateway.address())).await.expect("connects"))
}

/// All of it is in the encoder when the backend pauses, and goes out then: more than the client's connection takes.
#[tokio::test]
async fn what_came_before_a_pause_reaches_one_who_reads_late() {
    let whole = Arc::new(noise(120 * 1024));
    let go = Arc::new(Notify::new());
    let (sent, gate) = (Arc::clone(&whole), Arc::clone(&go));
    let backend = Backend::each(move |_, mut wire| {
        let (sent, gate) = (Arc::clone(&sent), Arc::clone(&gate));
        async move {
            wire.request_head().await.expect("a request");
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
            wire.send(answer).await;
            wire.send(sent.as_slice()).await;
            // The pause.
            gate.notified().await;
        }
    })
    .await;
    for (way, gateway) in gateways(&backend, CompressionDraft::default()).await.iter().enumerate() {
        let mut client = with_little_room(gateway).await;
        client.send(get("zstd")).await;
        let line = format!("gateway_compressed_bytes_total{{direction=\"in\"}} {}", whole.len());
        // Where the backend is kept from its core in between, that is a pause, too. What goes out then may fill the
        // connection, and the rest is read when there is room.
        let _all_or_full = tokio::time::timeout(Duration::from_secs(2), gateway.counts(&line)).await;
        while decoded("zstd", &chunks(client.buffered())).len() < whole.len() {
            assert!(client.more().await, "{way}: {} have come", client.buffered().len());
        }
        assert!(decoded("zstd", &chunks(client.buffered())) == *whole, "{way}");
        go.notify_one();
        assert!(client.response().await.whole, "{way}");
    }
}

/// What stands in the chunks that have come.
fn chunks(bytes: &[u8]) -> Vec<u8> {
    let Some(start) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Vec::new() };
    let (mut rest, mut data) = (&bytes[start + 4..], Vec::new());
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let len =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).expect("text"), 16).expect("a size");
        let Some(chunk) = rest.get(end + 2..end + 2 + len) else { break };
        data.extend_from_slice(chunk);
        rest = rest.get(end + 4 + len..).unwrap_or_default();
    }
    data
}

#[tokio::test]
async fn trailers_stay_behind_a_body_that_is_compressed() {
    let body = text(3_000);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         bb8\r\n{body}\r\n0\r\nx-sum: 7\r\n\r\n"
    );
    let backend = that_says(answer, false).await;
    for gateway in gateways(&backend, CompressionDraft::default()).await {
        for mut client in Either::both(&gateway).await {
            let request = "GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\naccept-encoding: gzip\r\n\r\n";
            let response = client.ask(request).await;
            assert!(decoded("gzip", &response.body) == body.as_bytes());
            assert_eq!(response.trailers.trim(), "x-sum: 7");
        }
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_it_until_the_end_and_a_body_that_is_cut_does_not_pass_for_whole() {
    let body = text(50_000);
    let answer =
        |len| format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len}\r\n\r\n{body}");
    let backend = that_says(answer(50_000), false).await;
    for whole in gateways(&backend, CompressionDraft::default()).await {
        let response = whole.ask("GET / HTTP/1.0\r\nhost: h\r\naccept-encoding: gzip\r\n\r\n").await;
        assert!(response.whole && decoded("gzip", &response.body) == body.as_bytes());
    }

    let backend = that_says(answer(60_000), true).await;
    for cut in gateways(&backend, CompressionDraft::default()).await {
        assert!(!cut.ask(&get("gzip")).await.whole);
        let client = Http2::connect(&cut).await;
        let (response, _) = client.begin(get("gzip").trim_end(), true).await;
        // The reset may come before the head has.
        if let Ok(response) = in_time("a response", response).await {
            assert!(!crate::http2_support::body(response.into_body()).await.1);
        }
    }
}

#[tokio::test]
async fn a_slow_reader_of_a_large_body_gets_it_whole() {
    let body = text(4_000_000);
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4000000\r\n\r\n{body}");
    let backend = that_says(answer, false).await;
    let rules = CompressionDraft { quality: 1, codings: vec!["gzip".into()], ..CompressionDraft::default() };
    for gateway in gateways(&backend, rules).await {
        let mut slow = gateway.connect().await;
        slow.send(get("gzip")).await;
        // While its answer waits for it, others are served.
        let quick = gateway.ask(&get("gzip")).await;
        assert!(decoded("gzip", &quick.body) == body.as_bytes());
        let response = slow.response().await;
        assert!(response.whole && decoded("gzip", &response.body) == body.as_bytes());
    }
}
