//! Pieces of bodies, which go on as they came where they can: small and large, one at a time and many in a row, through
//! windows of every size.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::http2_support::*;

/// Sends back what comes, piece by piece, as soon as there is room for it.
async fn in_turns(mut asked: Asked) {
    let mut out = begin(&mut asked.respond);
    let mut request = asked.request.into_body();
    while let Some(Ok(data)) = request.data().await {
        request.flow_control().release_capacity(data.len()).expect("open");
        if !push(&mut out, data, false).await {
            return;
        }
    }
    end(&mut out, &[("x-end", "1")]);
}

/// Sends a piece as far and as soon as there is room for it, `is_last`: with the end; false: nobody wants it.
async fn push(out: &mut SendStream<Bytes>, mut data: Bytes, is_last: bool) -> bool {
    while !data.is_empty() {
        out.reserve_capacity(data.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| out.poll_capacity(cx)).await else { return false };
        let piece = data.split_to(room.min(data.len()));
        if out.send_data(piece, is_last && data.is_empty()).is_err() {
            return false;
        }
    }
    true
}

/// A client whose streams have such a window, in bytes.
async fn with_window(gateway: &Gateway, window: u32) -> Http2 {
    let stream = TcpStream::connect(gateway.address()).await.expect("connects");
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(window);
    let (send, connection) = in_time("handshake", settings.handshake(stream)).await.expect("HTTP/2");
    Http2 { send, ended: spawn(connection) }
}

#[tokio::test]
async fn pieces_of_every_size_pass_in_order_both_ways() {
    let sizes = [1_usize, 133, 9, 4_095, 70, 4_096, 300, 16_384, 2, 20_000, 1_000, 133, 133, 50_000, 5];
    let all = usize::MAX;
    // The client's window and the backend's, the largest piece, how often, and whether its end comes with the last.
    for (window, window_back, most, rounds, at_once) in [
        (65_535, 65_535, all, 8, false),
        (65_535, 5_000, all, 2, true),
        (1_000, 65_535, 20_000, 2, true),
        (100, 200, 1_000, 3, false),
        (1, 1, 70, 1, false),
    ] {
        let mut settings = Builder::new();
        settings.initial_window_size(window_back);
        let backend = Backend2::with(settings, in_turns).await;
        let gateway = before(backend.address);
        let client = with_window(&gateway, window).await;
        let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
        let mut back = in_time("a head", response).await.expect("at once").into_body();
        let (came, mut all) = watch::channel(0);
        let reading = spawn(async move {
            let mut text = Vec::new();
            while let Some(data) = back.data().await {
                let data = data.expect("sound");
                back.flow_control().release_capacity(data.len()).expect("open");
                text.extend_from_slice(&data);
                came.send_replace(text.len());
            }
            (text, back.trailers().await.expect("sound").expect("some"))
        });
        let mut sent = Vec::new();
        for (n, size) in (0..rounds).flat_map(|_| sizes).enumerate() {
            let piece: Vec<u8> = (0..size.min(most)).map(|at| (at + 31 * n) as u8).collect();
            sent.extend_from_slice(&piece);
            let is_last = at_once && n + 1 == rounds * sizes.len();
            assert!(in_time("room", push(&mut stream, piece.into(), is_last)).await, "open");
            if n % 3 == 0 {
                in_time("an answer", all.wait_for(|n| *n == sent.len())).await.expect("it reads");
            }
        }
        if !at_once {
            stream.send_data(Bytes::new(), true).expect("open");
        }
        let (text, trailers) = in_time("the end", reading).await.expect("ended");
        assert!(text == sent, "{} of {} bytes came with a window of {window}", text.len(), sent.len());
        assert_eq!(trailers["x-end"], "1");
        assert_eq!(backend.connections(), 1);
    }
}

#[tokio::test]
async fn small_pieces_for_a_client_without_room_wait_and_then_arrive_before_the_end() {
    let backend = Backend2::each(|mut asked| async move {
        let mut out = begin(&mut asked.respond);
        for n in 0..100_u8 {
            out.send_data(Bytes::from(vec![n; 100]), false).expect("open");
            // Some of them come by themselves.
            tokio::task::yield_now().await;
        }
        end(&mut out, &[("x-end", "1")]);
    })
    .await;
    let gateway = before(backend.address);
    let mut raw = Frames::open(gateway.address()).await;
    let no_room = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    raw.send(&[no_room, frame(HEADERS, BOTH, 1, &get("/"))].concat()).await;
    let head = raw.next_of(HEADERS).await.expect("a head, which needs no room");
    assert_eq!(head.stream, 1);
    // Whatever has come to the gateway by now: nothing of it may go on.
    raw.send(&frame(PING, 0, 0, &[7; 8])).await;
    while let Some(next) = raw.next().await {
        assert_ne!(next.kind, DATA, "beyond the window");
        if next.kind == PING {
            break;
        }
    }
    let mut came = Vec::new();
    while came.len() < 10_000 {
        raw.send(&frame(WINDOW_UPDATE, 0, 1, &700_u32.to_be_bytes())).await;
        let until = (came.len() + 700).min(10_000);
        while came.len() < until {
            let next = raw.next().await.expect("open");
            assert_ne!(next.kind, HEADERS, "the end stands behind the body, of which {} came", came.len());
            if next.kind == DATA {
                came.extend_from_slice(&next.payload);
            }
        }
        assert_eq!(came.len(), until, "as much as there is room for");
    }
    assert!(came.chunks(100).enumerate().all(|(n, piece)| piece.iter().all(|byte| usize::from(*byte) == n)));
    assert_eq!(raw.next_of(HEADERS).await.expect("trailers").stream, 1);
}

#[tokio::test]
async fn a_client_without_room_holds_back_who_sends_small_pieces() {
    for window in [0, 20_000] {
        holds_back(window).await;
    }
}

async fn holds_back(window: u32) {
    let (large, sent) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&sent);
    let backend = Backend2::each(move |mut asked| {
        let (large, count) = (Arc::clone(&large), Arc::clone(&count));
        async move {
            let mut out = begin(&mut asked.respond);
            if asked.request.uri().path() == "/large" {
                *large.lock().expect("sound") = Some(out);
                return std::future::pending().await;
            }
            if let Some(large) = &mut *large.lock().expect("sound") {
                // It comes to the gateway by itself, before the small answer.
                large.reserve_capacity(500);
                if large.capacity() >= 500 {
                    large.send_data(Bytes::from_static(&[b'x'; 500]), false).expect("open");
                    count.fetch_add(500, Ordering::SeqCst);
                }
            }
            out.send_data(Bytes::from("ok"), true).expect("open");
        }
    })
    .await;
    let gateway = before(backend.address);
    let client = with_window(&gateway, window).await;
    let (response, _stream) = client.begin("GET /large HTTP/1.1\r\n", true).await;
    let unread = in_time("a head", response).await.expect("a head").into_body();
    let other = Http2::connect(&gateway).await;
    for _ in 0..340 {
        let small = other.ask("GET /small HTTP/1.1\r\n\r\n").await;
        assert_eq!((small.status, small.text().as_str()), (200, "ok"));
    }
    // What the client has room for, and the gateway.
    let (sent, most) = (sent.load(Ordering::SeqCst), 128 * 1024 + window as usize);
    assert!((100_000..=most + 1_000).contains(&sent), "{sent} bytes with a window of {window}");
    assert_eq!(backend.connections(), 1);
    drop(unread);
}

/// The end of the body is told apart from it, and the connection is lost right behind that.
#[tokio::test]
async fn a_request_whose_connection_fails_with_its_end_does_not_reach_a_backend_whole() {
    let (heads, mut began) = mpsc::unbounded_channel();
    let (ends, mut ended) = mpsc::unbounded_channel();
    let backend = Backend2::each(move |mut asked| {
        let (heads, ends) = (heads.clone(), ends.clone());
        async move {
            let _out = begin(&mut asked.respond);
            heads.send(()).expect("the test waits");
            let (_, whole, _) = body(asked.request.into_body()).await;
            ends.send(whole).expect("the test waits");
        }
    })
    .await;
    let gateway = before(backend.address);
    let mut raw = Frames::open(gateway.address()).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("POST", "/order", &[("content-length", "5")]))).await;
    in_time("the head", began.recv()).await.expect("a request");
    assert!(raw.next_of(HEADERS).await.is_some(), "the answer has begun");
    let broken = [frame(DATA, 0, 1, b"hello"), frame(DATA, END_STREAM, 1, b""), frame(DATA, 0, 0, b"x")];
    raw.send(&broken.concat()).await;
    assert!(raw.goodbye().await.is_some());
    assert_eq!(in_time("the end", ended.recv()).await, Some(false));
}

/// Its end is told later than the last piece of it, which others have left no room for.
#[tokio::test]
async fn what_waits_for_the_window_of_all_is_not_cut_at_a_stop() {
    let talk = Arc::new(Mutex::new(None));
    let backend = Backend2::each(move |mut asked| {
        let talk = Arc::clone(&talk);
        async move {
            let mut out = begin(&mut asked.respond);
            match asked.request.uri().path() {
                "/talk" => {
                    out.send_data(Bytes::from_static(&[b'a'; 100]), false).expect("open");
                    *talk.lock().expect("sound") = Some(out);
                    return std::future::pending().await;
                }
                "/large" => while push(&mut out, Bytes::from_static(&[b'x'; 10_000]), false).await {},
                "/more" => {
                    let mut talk = talk.lock().expect("sound");
                    let talk = talk.as_mut().expect("it has begun");
                    talk.send_data(Bytes::from_static(&[b'b'; 100]), false).expect("open");
                }
                _ => end(talk.lock().expect("sound").as_mut().expect("it has begun"), &[("x-end", "1")]),
            }
            let _ = out.send_data(Bytes::from("ok"), true);
        }
    })
    .await;
    let gateway = before(backend.address);
    let other = Http2::connect(&gateway).await;
    let mut raw = Frames::open(gateway.address()).await;
    // Wide windows for each stream, and the usual one for all of them.
    let wide = frame(SETTINGS, 0, 0, &[&[0, 4][..], &1_000_000_u32.to_be_bytes()].concat());
    raw.send(&[wide, frame(HEADERS, BOTH, 1, &get("/talk"))].concat()).await;
    let mut came = raw.next_of(DATA).await.expect("the first piece").payload.len();
    raw.send(&frame(HEADERS, BOTH, 3, &get("/large"))).await;
    while came < 65_535 {
        came += raw.next_of(DATA).await.expect("open").payload.len();
    }
    raw.send(&frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes())).await;
    for path in ["/more", "/end"] {
        assert_eq!(other.ask(&format!("GET {path} HTTP/1.1\r\n\r\n")).await.text(), "ok");
    }
    gateway.counts("gateway_active_connections 2").await;
    gateway.plane.stop();
    // Longer than a connection has that has nothing to do but to end.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &1_000_u32.to_be_bytes())).await;
    let rest = raw.next_of(DATA).await.expect("not cut");
    assert_eq!((rest.stream, rest.payload), (1, vec![b'b'; 100]));
    assert_eq!(raw.next_of(HEADERS).await.map(|trailers| trailers.stream), Some(1));
}
