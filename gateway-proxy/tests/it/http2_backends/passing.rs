//! What of a message passes, and how it looks behind.

use bytes::Bytes;
use hotswap_matcher::{HeaderDraft, HeaderEditsDraft, RewriteDraft};
use http::Response;

use super::*;
use crate::http2_alike::Either;
use crate::http2_support::*;

#[tokio::test]
async fn a_request_of_either_version_arrives_as_one_of_http_2() {
    let backend = Backend2::echo().await;
    let gateway = before(backend.address);
    let [mut one, mut two] = Either::both(&gateway).await;
    for request in [
        "GET /a/b?c=d&e HTTP/1.1\r\nhost: Shop:81\r\naccept: */*\r\nx-a: 1\r\nx-a: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-type: text/plain\r\n\r\nabc",
        "OPTIONS /x HTTP/1.1\r\nhost: h\r\nte: trailers\r\nx-forwarded-for: 1.2.3.4\r\n\r\n",
    ] {
        let (one, two) = (one.ask(request).await, two.ask(request).await);
        assert_eq!(one.text().replace("via: 1.1 hotswap", "via: 2.0 hotswap"), two.text());
        assert_eq!((one.status, one.whole, two.whole), (200, true, true));
        assert_eq!(one.header("via"), Some("2.0 hotswap"), "the backend's version");
    }
    let text =
        gateway.ask("GET /a?b HTTP/1.1\r\nhost: Shop:81\r\nte: trailers, x\r\nx-a: 1\r\n\r\n").await.text();
    assert!(text.starts_with("GET http://Shop:81/a?b HTTP/2.0\n"), "{text}");
    assert!(text.contains("te: trailers\n") && !text.contains("\nhost:"), "{text}");
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn bodies_of_every_kind_arrive() {
    let backend = Backend2::echo().await;
    let gateway = before(backend.address);
    let chunked = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   3\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 7\r\nx-other: 8\r\n\r\n";
    let text = gateway.ask(chunked).await.text();
    assert!(text.ends_with("\nhello|x-sum: 7\n") && !text.contains("transfer-encoding"), "{text}");
    let empty = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n";
    assert!(gateway.ask(empty).await.text().ends_with("\n|"));
    let client = Http2::connect(&gateway).await;
    for length in ["", "content-length: 5\r\n"] {
        let (response, mut stream) = client.begin(&format!("POST / HTTP/1.1\r\n{length}"), false).await;
        stream.send_data(Bytes::from("hello"), false).expect("sent");
        end(&mut stream, &[("x-any", "1")]);
        let text = whole(response).await.text();
        assert!(text.ends_with("\nhello|x-any: 1\n"), "HTTP/2 does not announce trailers: {text}");
        assert!(text.contains(&length.replace('\r', "")), "{text}");
    }
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let backend = Backend2::each(|mut asked| async move {
        let mut out = begin(&mut asked.respond);
        let mut request = asked.request.into_body();
        while let Some(Ok(mut data)) = request.data().await {
            request.flow_control().release_capacity(data.len()).expect("open");
            while !data.is_empty() {
                out.reserve_capacity(data.len());
                let room = std::future::poll_fn(|cx| out.poll_capacity(cx)).await.expect("open");
                out.send_data(data.split_to(room.expect("open").min(data.len())), false).expect("open");
            }
        }
        out.send_data(Bytes::new(), true).expect("open");
    })
    .await;
    let gateway = before(backend.address);
    let sent: String = (0..2_000_000u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    for head in ["content-length: 2000000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n1e8480\r\n"] {
        let mut client = gateway.connect().await;
        let end = if head.starts_with('t') { "\r\n0\r\n\r\n" } else { "" };
        let (mut read, mut write) = {
            client.send(format!("POST / HTTP/1.1\r\nhost: h\r\n{head}")).await;
            client.stream.into_split()
        };
        let sending = async {
            use tokio::io::AsyncWriteExt as _;
            write.write_all(format!("{sent}{end}").as_bytes()).await.expect("sent");
        };
        let receiving = async {
            use tokio::io::AsyncReadExt as _;
            let mut came = Vec::new();
            while !came.ends_with(b"\r\n0\r\n\r\n") {
                assert!(read.read_buf(&mut came).await.expect("open") > 0);
            }
            came.len()
        };
        let ((), came) = in_time("both ways", async { tokio::join!(sending, receiving) }).await;
        assert!(came > sent.len());
    }
    let client = Http2::connect(&gateway).await;
    let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
    let sending = async {
        let mut left = Bytes::from(sent.clone());
        while !left.is_empty() {
            stream.reserve_capacity(left.len());
            let room = in_time("room", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
            let n = room.expect("open").expect("open").min(left.len());
            stream.send_data(left.split_to(n), left.is_empty()).expect("sent");
        }
    };
    let ((), response) = tokio::join!(sending, whole(response));
    assert!(response.whole && response.text() == sent);
}

#[tokio::test]
async fn trailers_of_a_response_reach_who_takes_them() {
    let backend = Backend2::each(|mut asked| async move {
        let mut out = begin(&mut asked.respond);
        out.send_data(Bytes::from("ok"), false).expect("open");
        end(&mut out, &[("x-sum", "7"), ("content-type", "no")]);
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    let response = client.ask("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!((response.text().as_str(), response.trailers.as_str()), ("ok", "x-sum: 7\n"));
    let taken = gateway.ask("GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n").await;
    assert_eq!((taken.text().as_str(), taken.trailers.as_str()), ("ok", "x-sum: 7\n"));
    let not_taken = gateway.ask(GET).await;
    assert_eq!((not_taken.text().as_str(), not_taken.trailers.as_str()), ("ok", ""));
}

#[tokio::test]
async fn responses_without_a_body_are_framed_for_both() {
    let backend = Backend2::each(|mut asked| async move {
        let status = asked.request.uri().path()[1..].parse().expect("a status");
        let mut response = Response::new(());
        *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        if asked.request.method() == "HEAD" {
            response.headers_mut().insert("content-length", "5".parse().expect("a value"));
        }
        let _ = asked.respond.send_response(response, true);
    })
    .await;
    let gateway = before(backend.address);
    let [mut one, mut two] = Either::both(&gateway).await;
    for status in [200, 204, 304, 404] {
        let request = format!("GET /{status} HTTP/1.1\r\nhost: h\r\n\r\n");
        let (one, two) = (one.ask(&request).await, two.ask(&request).await);
        assert_eq!((one.status, two.status), (status, status));
        assert!(one.whole && one.body.is_empty() && two.whole && two.body.is_empty());
    }
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send("HEAD /200 HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let response = client.response_to("HEAD").await.expect("a response");
        assert_eq!((response.status, response.header("content-length")), (200, Some("5")));
    }
}

#[tokio::test]
async fn interim_responses_pass_and_a_body_waits_for_100() {
    let backend = Backend2::each(|mut asked| async move {
        let code = if asked.request.headers().contains_key("expect") { 100 } else { 103 };
        let interim = Response::builder().status(code).header("x-early", "1").body(()).expect("a response");
        asked.respond.send_informational(interim).expect("open");
        let (sent, ..) = body(asked.request.into_body()).await;
        begin(&mut asked.respond).send_data(Bytes::from(sent), true).expect("open");
    })
    .await;
    let gateway = before(backend.address);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let interim = client.response_to("GET").await.expect("an interim one");
    assert_eq!((interim.status, interim.header("x-early")), (103, Some("1")));
    assert_eq!(client.response().await.status, 200);
    client.send("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert_eq!(client.response_to("POST").await.expect("an interim one").status, 100);
    client.send("ok").await;
    assert_eq!(client.response().await.text(), "ok");
    let client = Http2::connect(&gateway).await;
    let (mut response, _) = client.begin("GET / HTTP/1.1\r\n", true).await;
    let interim = in_time("interim", std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    assert_eq!(interim.expect("one").expect("sound").status(), 103);
    assert_eq!(whole(response).await.status, 200);
}

#[tokio::test]
async fn heads_and_targets_are_edited() {
    let backend = Backend2::echo().await;
    let header = |name: &str| HeaderDraft { name: name.into(), value: "1".into() };
    let mut route = to_pool("p");
    route.request_headers = Some(HeaderEditsDraft { set: vec![header("x-in")], ..Default::default() });
    route.response_headers = Some(HeaderEditsDraft { set: vec![header("x-out")], ..Default::default() });
    if let Some(forward) = &mut route.forward {
        let full_path = Some("/other".into());
        forward.rewrite = Some(RewriteDraft { full_path, host: "inner".into(), ..RewriteDraft::default() });
    }
    let gateway = with_route(&pool_of(&[backend.address]), &route);
    for mut client in Either::both(&gateway).await {
        let response = client.ask("GET /a?q HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!(response.header("x-out"), Some("1"));
        let text = response.text();
        assert!(
            text.starts_with("GET http://inner/other?q HTTP/2.0\n") && text.contains("x-in: 1\n"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_wish_for_another_protocol_does_not_reach_the_backend() {
    let backend = Backend2::echo().await;
    let gateway = before(backend.address);
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\n\r\n";
    let response = gateway.ask(request).await;
    assert_eq!(response.status, 200);
    assert!(!response.text().contains("upgrade"), "{}", response.text());
    // No library of HTTP/2 writes such a target.
    let odd = gateway.ask("GET /a<b HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((odd.status, odd.reason()), (400, Some("BAD_REQUEST")));
}
