//! How streams and connections end, in order and in the middle.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use super::{GET, before, with};
use crate::http2_support::*;
use crate::support::*;

#[tokio::test]
async fn an_early_answer_is_whole_and_the_rest_of_the_request_is_declined() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request_head().await;
        wire.send("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno").await;
        let _ = wire.ended().await;
    })
    .await;
    let gateway = before(&backend);
    let mut raw = Frames::open(gateway.address()).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[]))).await;
    let data = raw.next_of(DATA).await.expect("the answer");
    assert_eq!(data.payload, b"no");
    let reset = raw.next_of(RST_STREAM).await.expect("a reset");
    assert_eq!((reset.stream, reset.number(0)), (1, 0), "NO_ERROR");
    raw.send(&frame(HEADERS, BOTH, 3, &get("/"))).await;
    assert_eq!(raw.next_of(HEADERS).await.map(|f| f.stream), Some(3), "the connection goes on");
}

/// All of it stands in one piece: a gateway that passed the body on would ask the backend for what nobody wants any more.
#[tokio::test]
async fn a_request_that_is_given_up_with_its_body_does_not_reach_a_backend_whole() {
    let (count, asked_for) = channel();
    let backend = Backend::each(move |_, mut wire| {
        let count = count.clone();
        async move {
            while let Some(request) = wire.request().await {
                let _ = count.send(request.head.lines().next().unwrap_or_default().to_owned());
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let gateway = before(&backend);
    // A connection to the backend is there.
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    let mut raw = Frames::open(gateway.address()).await;
    let given_up = [
        frame(HEADERS, END_HEADERS, 1, &asked("POST", "/order", &[("content-length", "5")])),
        frame(DATA, 0, 1, b"hello"),
        frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
        frame(HEADERS, BOTH, 3, &get("/after")),
    ];
    raw.send(&given_up.concat()).await;
    assert_eq!(raw.next_of(HEADERS).await.map(|f| f.stream), Some(3));
    let came: Vec<_> = asked_for.try_iter().collect();
    assert_eq!(came, ["GET / HTTP/1.1", "GET /after HTTP/1.1"]);
}

#[tokio::test]
async fn a_client_that_resets_a_stream_ends_its_exchange_alone() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin";
    for (over, response) in [(true, ""), (true, half), (false, ""), (false, half)] {
        let cut = Arc::new(Semaphore::new(0));
        let told = Arc::clone(&cut);
        let backend = Backend::each(move |_, mut wire| {
            let cut = Arc::clone(&told);
            async move {
                let head = wire.request_head().await.unwrap_or_default();
                if head.contains("/other") {
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                wire.send(response).await;
                let _ = wire.ended().await;
                cut.add_permits(1);
            }
        })
        .await;
        let gateway = before(&backend);
        let client = Http2::connect(&gateway).await;
        let head = if over { "GET / HTTP/1.1\r\n" } else { "POST / HTTP/1.1\r\n" };
        let (waiting, mut stream) = client.begin(head, over).await;
        in_time("reach the backend", async {
            while backend.connections() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(waiting);
        in_time("the cut", cut.acquire()).await.expect("open").forget();
        gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
        assert_eq!(client.ask("GET /other HTTP/1.1\r\n\r\n").await.text(), "ok");
        gateway.counts("gateway_active_connections 1").await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_all_its_exchanges() {
    let cut = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&cut);
    let backend = Backend::each(move |_, mut wire| {
        let cut = Arc::clone(&told);
        async move {
            let _ = wire.request_head().await;
            let _ = wire.ended().await;
            cut.add_permits(1);
        }
    })
    .await;
    let gateway = before(&backend);
    let mut raw = Frames::open(gateway.address()).await;
    let open = (0..10).flat_map(|n| frame(HEADERS, BOTH, 2 * n + 1, &get("/")));
    raw.send(&open.collect::<Vec<_>>()).await;
    in_time("reach the backend", async {
        while backend.connections() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(raw);
    in_time("the cuts", cut.acquire_many(10)).await.expect("open").forget();
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 10").await;
    gateway.counts("gateway_active_connections 0").await;
}

#[tokio::test]
async fn a_response_that_is_cut_is_reset() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin").await;
    })
    .await;
    let gateway = before(&backend);
    let mut raw = Frames::open(gateway.address()).await;
    raw.send(&frame(HEADERS, BOTH, 1, &get("/"))).await;
    let reset = raw.next_of(RST_STREAM).await.expect("a reset");
    assert_eq!((reset.stream, reset.number(0)), (1, 2), "INTERNAL_ERROR");
    gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_CUT\"} 1").await;
}

#[tokio::test]
async fn a_connection_without_requests_is_ended_in_order() {
    let backend = Backend::echo().await;
    let gateway = with(&backend, &["--client-idle-ms", "200"]);
    let client = Http2::connect(&gateway).await;
    assert_eq!(client.ask(GET).await.status, 200);
    let ended = in_time("the end", client.ended).await.expect("no panic");
    assert!(ended.is_ok(), "{ended:?}");
    gateway.counts("gateway_active_connections 0").await;
    let mut raw = Frames::open(gateway.address()).await;
    assert_eq!(raw.goodbye().await, Some(0), "also where the client says nothing");
    gateway.counts("gateway_active_connections 0").await;
}

#[tokio::test]
async fn one_who_pings_on_after_the_goodbye_is_ended_all_the_same() {
    let backend = Backend::echo().await;
    let gateway = with(&backend, &["--client-idle-ms", "100"]);
    let mut raw = Frames::open(gateway.address()).await;
    assert!(raw.next_of(GOAWAY).await.is_some());
    // The gateway's own ping is never answered.
    let pings = async {
        while raw.send(&frame(PING, 0, 0, &[7; 8])).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    in_time("the end", pings).await;
    gateway.counts("gateway_active_connections 0").await;
}

/// The answer to the ping behind a goodbye says that the client knows of it. What it asks behind that answer is not done, and
/// it learns so: the last goodbye names the last request that was taken.
#[tokio::test]
async fn a_request_behind_the_answer_to_the_goodbye_is_not_done_and_is_known_not_to_be() {
    let backend = Backend::echo().await;
    let gateway = with(&backend, &["--client-idle-ms", "200"]);
    let mut raw = Frames::open(gateway.address()).await;
    assert!(raw.next_of(GOAWAY).await.is_some());
    let ping = raw.next_of(PING).await.expect("a ping");
    raw.send(&[frame(PING, 1, 0, &ping.payload), frame(HEADERS, BOTH, 1, &get("/"))].concat()).await;
    let last = raw.next_of(GOAWAY).await.expect("the last goodbye");
    assert_eq!((last.number(0), last.number(4)), (0, 0), "none was taken, and nothing is wrong");
    assert!(raw.next_of(HEADERS).await.is_none());
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_request_that_crosses_the_goodbye_is_served_however_long_it_takes() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        // Longer than a connection has that has nothing to do but to end.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let gateway = with(&backend, &["--client-idle-ms", "400"]);
    let mut raw = Frames::open(gateway.address()).await;
    assert_eq!(raw.next_of(GOAWAY).await.expect("a goodbye").number(4), 0);
    // The client has not read it yet.
    raw.send(&frame(HEADERS, BOTH, 1, &get("/"))).await;
    loop {
        let next = raw.next().await.expect("the answer before the end");
        match next.kind {
            PING => {
                raw.send(&frame(PING, 1, 0, &next.payload)).await;
            }
            DATA => {
                assert_eq!(next.payload, b"ok");
                break;
            }
            _ => {}
        }
    }
    gateway.counts("gateway_active_connections 0").await;
}

#[tokio::test]
async fn a_client_with_open_requests_is_asked_whether_it_is_there() {
    let silent = Backend::each(|_, mut wire| async move { drop((wire.request().await, wire.ended().await)) });
    let silent = silent.await;
    let gateway = with(&silent, &["--client-idle-ms", "150"]);
    let open = frame(HEADERS, BOTH, 1, &get("/"));
    let (mut there, mut gone) =
        (Frames::open(gateway.address()).await, Frames::open(gateway.address()).await);
    there.send(&open).await;
    gone.send(&open).await;
    for _ in 0..3 {
        let ping = there.next_of(PING).await.expect("a question");
        there.send(&frame(PING, 1, 0, &ping.payload)).await;
    }
    assert!(gone.next_of(PING).await.is_some());
    assert!(gone.next().await.is_none(), "nothing was answered");
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    gateway.counts("gateway_active_connections 1").await;
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_no_more() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let backend = Backend::each(move |_, mut wire| {
        let gate = Arc::clone(&waits);
        async move {
            while wire.request().await.is_some() {
                gate.acquire().await.expect("open").forget();
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let idle = Http2::connect(&gateway).await;
    let (response, _) = client.begin(GET.trim_end(), true).await;
    gateway.counts("gateway_http2_streams_total 1").await;
    gateway.plane.stop();
    assert!(in_time("the idle one", idle.ended).await.expect("no panic").is_ok());
    let mut send = client.send.clone();
    in_time("no more requests", async {
        while send.clone().ready().await.is_ok()
            && send.send_request(http::Request::new(()), true).is_ok_and(|_| true)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    gate.add_permits(1_000);
    assert_eq!(whole(response).await.text(), "ok");
    drop((send, client.send));
    assert!(in_time("the end", client.ended).await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_client_that_takes_its_time_to_read_is_not_cut() {
    let piece = "x".repeat(64 * 1024);
    let backend = Backend::each(move |_, mut wire| {
        let piece = piece.clone();
        async move {
            let _ = wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\n\r\n").await;
            while wire.stream.write_all(piece.as_bytes()).await.is_ok() {}
        }
    })
    .await;
    let gateway = with(&backend, &["--client-idle-ms", "1500"]);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 * 1024).expect("set");
    let mut stream = in_time("connect", socket.connect(gateway.address())).await.expect("connects");
    // Windows that it need not renew for as long as this takes, and no word more.
    let most = 0x7fff_ffff_u32;
    let settings = frame(SETTINGS, 0, 0, &[&[0, 4][..], &most.to_be_bytes()].concat());
    let room = frame(WINDOW_UPDATE, 0, 0, &(most - 65_535).to_be_bytes());
    let asked = frame(HEADERS, BOTH, 1, &get("/"));
    stream.write_all(&[PREFACE, &settings, &room, &asked].concat()).await.expect("sent");
    let mut some = vec![0; 64 * 1024];
    // Three times as long as it takes to be asked, and not to answer.
    for _ in 0..450 {
        let n = in_time("read", stream.read(&mut some)).await.expect("it is there");
        assert!(n > 0, "the gateway has ended it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
