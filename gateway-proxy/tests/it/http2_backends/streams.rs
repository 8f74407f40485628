//! Streams that live long, and those that end early.

use std::sync::Mutex;

use bytes::Bytes;
use h2::Reason;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::http2_support::*;

#[tokio::test]
async fn both_sides_talk_in_turns_on_one_stream() {
    let backend = Backend2::each(|mut asked| async move {
        let mut out = begin(&mut asked.respond);
        let mut request = asked.request.into_body();
        while let Some(Ok(data)) = request.data().await {
            request.flow_control().release_capacity(data.len()).expect("open");
            if data.is_empty() {
                continue;
            }
            out.send_data(Bytes::from([b"re: ", &data[..]].concat()), false).expect("open");
        }
        end(&mut out, &[("x-end", "1")]);
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
    let mut back = in_time("a head", response).await.expect("before the request is over").into_body();
    for n in 0..20 {
        stream.send_data(Bytes::from(format!("{n}")), false).expect("open");
        let data = in_time("an answer", back.data()).await.expect("open").expect("sound");
        assert_eq!(data, format!("re: {n}"));
    }
    stream.send_data(Bytes::new(), true).expect("open");
    assert!(in_time("the end", back.data()).await.is_none());
    let trailers = in_time("trailers", back.trailers()).await.expect("sound").expect("some");
    assert_eq!(trailers["x-end"], "1");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_own_backend_back_alone() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let backend = Backend2::each(move |mut asked| {
        let count = Arc::clone(&count);
        async move {
            let mut out = begin(&mut asked.respond);
            if asked.request.uri().path() == "/small" {
                return out.send_data(Bytes::from("ok"), true).expect("open");
            }
            loop {
                out.reserve_capacity(16 * 1024);
                match std::future::poll_fn(|cx| out.poll_capacity(cx)).await {
                    Some(Ok(room)) => {
                        out.send_data(Bytes::from(vec![b'x'; room]), false).expect("open");
                        count.fetch_add(room, Ordering::SeqCst);
                    }
                    _ => return,
                }
            }
        }
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    let (response, _stream) = client.begin("GET /large HTTP/1.1\r\n", true).await;
    let unread = in_time("a head", response).await.expect("a head").into_body();
    for _ in 0..200 {
        let small = gateway.ask("GET /small HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!((small.status, small.text().as_str()), (200, "ok"));
    }
    // The windows of both sides, and what the gateway and the libraries keep.
    assert!(sent.load(Ordering::SeqCst) < 1024 * 1024, "{sent:?}");
    assert_eq!(backend.connections(), 1);
    drop(unread);
}

#[tokio::test]
async fn a_backend_that_does_not_read_holds_its_client_back() {
    let (gate, held) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (open, began) = (Arc::clone(&gate), Arc::clone(&held));
    let backend = Backend2::each(move |mut asked| {
        let (open, began) = (Arc::clone(&open), Arc::clone(&began));
        async move {
            began.add_permits(1);
            drop(open.acquire().await);
            let (sent, whole, _) = body(asked.request.into_body()).await;
            let text = format!("{} {whole}", sent.len());
            begin(&mut asked.respond).send_data(Bytes::from(text), true).expect("open");
        }
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
    let most = 8 * 1024 * 1024;
    let mut sent = 0;
    in_time("the backend", held.acquire()).await.expect("open").forget();
    stream.reserve_capacity(most);
    // Until nobody takes any more: the windows are full.
    while let Ok(room) = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        std::future::poll_fn(|cx| stream.poll_capacity(cx)),
    )
    .await
    {
        let n = room.expect("open").expect("open").min(most - sent);
        stream.send_data(Bytes::from(vec![b'x'; n]), false).expect("open");
        sent += n;
        assert!(sent < most, "nothing holds the client back");
    }
    gate.add_permits(1);
    stream.send_data(Bytes::new(), true).expect("open");
    assert_eq!(whole(response).await.text(), format!("{sent} true"));
}

#[tokio::test]
async fn a_client_that_goes_away_resets_its_stream_and_no_other() {
    let (told, mut resets) = mpsc::unbounded_channel();
    let backend = Backend2::each(move |mut asked| {
        let told = told.clone();
        async move {
            if asked.request.uri().path() == "/ok" {
                return drop(asked.respond.send_response(Response::new(()), true));
            }
            let mut out = begin(&mut asked.respond);
            out.send_data(Bytes::from("a"), false).expect("open");
            let reset = std::future::poll_fn(|cx| out.poll_reset(cx)).await;
            told.send(reset.expect("a reset")).expect("the test waits");
        }
    })
    .await;
    let gateway = before(backend.address);
    let mut one = gateway.connect().await;
    one.send(GET).await;
    while one.buffered().is_empty() {
        assert!(one.more().await);
    }
    drop(one);
    assert_eq!(in_time("a reset", resets.recv()).await, Some(Reason::CANCEL));
    let two = Http2::connect(&gateway).await;
    let (response, mut stream) = two.begin("POST / HTTP/1.1\r\n", false).await;
    in_time("a head", response).await.expect("a head");
    stream.send_reset(Reason::CANCEL);
    assert_eq!(in_time("a reset", resets.recv()).await, Some(Reason::CANCEL));
    assert_eq!(gateway.ask("GET /ok HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_answer_before_the_request_is_over_counts() {
    let backend = Backend2::each(|mut asked| async move {
        let mut out = begin(&mut asked.respond);
        out.send_data(Bytes::from("enough"), false).expect("open");
        end(&mut out, &[("x-end", "1")]);
        // Without a look at the body: h2 resets the stream with NO_ERROR.
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    for _ in 0..20 {
        let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
        let _ = stream.send_data(Bytes::from(vec![b'x'; 10_000]), false);
        let response = whole(response).await;
        assert_eq!((response.text().as_str(), response.trailers.as_str()), ("enough", "x-end: 1\n"));
    }
    let mut one = gateway.connect().await;
    one.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nabc").await;
    let response = one.response().await;
    assert_eq!((response.text().as_str(), response.whole), ("enough", true));
}

#[tokio::test]
async fn many_streams_at_once_each_get_their_own() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let backend = Backend2::each(move |mut asked| {
        let seen = Arc::clone(&seen);
        async move {
            let path = asked.request.uri().path().to_owned();
            let (sent, ..) = body(asked.request.into_body()).await;
            seen.lock().expect("sound").push(path.clone());
            let text = format!("{path} {}", String::from_utf8_lossy(&sent));
            begin(&mut asked.respond).send_data(Bytes::from(text), true).expect("open");
        }
    })
    .await;
    let gateway = before(backend.address);
    let client = Arc::new(Http2::connect(&gateway).await);
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..80 {
        let client = Arc::clone(&client);
        asking.spawn(async move {
            let response = client.ask(&format!("POST /{n} HTTP/1.1\r\n\r\nbody {n}")).await;
            assert_eq!(response.text(), format!("/{n} body {n}"));
        });
    }
    in_time("all of them", async {
        while asking.join_next().await.transpose().expect("passes").is_some() {}
    })
    .await;
    assert_eq!(order.lock().expect("sound").len(), 80);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn small_messages_that_a_backend_does_not_take_wait_and_cost_no_connection() {
    const MESSAGE: [u8; 40] = [b'm'; 40];
    const MESSAGES: usize = 20_000;
    let gate = Arc::new(Semaphore::new(0));
    let opens = Arc::clone(&gate);
    let mut settings = Builder::new();
    // It is not the backend that is looked at.
    settings.data_frame_budget(1 << 30);
    let backend = Backend2::with(settings, move |mut asked| {
        let gate = Arc::clone(&opens);
        async move {
            if asked.request.uri().path() == "/slow" {
                let _open = gate.acquire().await.expect("a gate");
                let (came, ..) = body(asked.request.into_body()).await;
                let mut out = begin(&mut asked.respond);
                return out.send_data(Bytes::from(came.len().to_string()), true).expect("open");
            }
            end(&mut begin(&mut asked.respond), &[]);
        }
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    let (response, mut stream) = client.begin("POST /slow HTTP/1.1\r\n", false).await;
    for _ in 0..MESSAGES {
        stream.send_data(Bytes::from_static(&MESSAGE), false).expect("open");
    }
    stream.send_data(Bytes::new(), true).expect("open");
    // Until the window is full: another stream's answer comes behind what has gone out.
    for _ in 0..3 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").await.status, 200);
    }
    gate.add_permits(1);
    assert_eq!(whole(response).await.text(), (MESSAGES * MESSAGE.len()).to_string());
}
