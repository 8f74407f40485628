//! What clients that leave, and answers that come late, cost others on the same connection to a backend: nothing.

use std::time::Duration;

use hotswap_matcher::TimeoutsDraft;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;
use crate::http2_support::*;

/// A backend whose frames the test writes, and a gateway before it.
async fn by_hand() -> (TcpListener, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let gateway = before(listener.local_addr().expect("addr"));
    (listener, gateway)
}

/// From now on the gateway waits that long for answers, in ms; 0: as long as it usually does.
fn waits(gateway: &mut Gateway, first_byte_ms: u32) {
    let mut route = to_pool("p");
    timeouts(&mut route, TimeoutsDraft { first_byte_ms, ..TimeoutsDraft::default() });
    gateway.route("r", &route);
    gateway.swap();
}

async fn accept(listener: &TcpListener) -> Frames {
    let (stream, _) = in_time("a connection", listener.accept()).await.expect("accepts");
    Frames::accepted(stream).await
}

/// Waits until the gateway has read all that was sent before; no question of its own came meanwhile.
async fn is_asked_nothing(backend: &mut Frames) {
    backend.send(&frame(PING, 0, 0, &[7; 8])).await;
    assert_eq!(backend.next_of(PING).await.expect("an answer").payload, [7; 8]);
}

/// A request of a client of its own.
fn asks(gateway: &Gateway, path: &str) -> tokio::task::JoinHandle<crate::support::Response> {
    let (address, request) = (gateway.address(), format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
    spawn(async move {
        let mut client = Client::connect(address).await;
        client.send(request).await;
        client.response().await
    })
}

#[tokio::test]
async fn requests_that_are_given_up_at_once_do_not_reach_the_backend() {
    let (came, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held = (Arc::clone(&came), Arc::clone(&open));
    // It ends a connection of which more than 20 requests are reset before it has looked at them, as h2 does.
    let backend = Backend2::each(move |mut asked| {
        let (came, open) = held.clone();
        async move {
            assert_eq!(asked.request.uri().path(), "/held");
            came.add_permits(1);
            drop(open.acquire().await);
            let _ = asked.respond.send_response(Response::new(()), true);
        }
    })
    .await;
    let gateway = before(backend.address);
    let patient = asks(&gateway, "/held");
    in_time("reach the backend", came.acquire()).await.expect("open").forget();
    let mut raw = Frames::open(gateway.address()).await;
    let burst = (0..50).flat_map(|n| {
        let reset = frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes());
        [frame(HEADERS, BOTH, 2 * n + 1, &get("/gone")), reset].concat()
    });
    raw.send(&burst.collect::<Vec<_>>()).await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 50").await;
    open.add_permits(1);
    assert_eq!(in_time("the answer", patient).await.expect("no panic").status, 200);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn what_a_backend_sends_on_streams_that_were_given_up_costs_nobody_the_connection() {
    let (listener, gateway) = by_hand().await;
    let patient = asks(&gateway, "/held");
    let mut backend = accept(&listener).await;
    let held = backend.next_of(HEADERS).await.expect("a request").stream;
    // More than the 1,024 that h2 bears of a connection by itself.
    const ROUNDS: usize = 25;
    const EACH: usize = 99;
    for _ in 0..ROUNDS {
        let client = Http2::connect(&gateway).await;
        let mut open = Vec::new();
        for _ in 0..EACH {
            open.push(client.begin("GET / HTTP/1.1\r\n", true).await);
        }
        for _ in 0..EACH {
            let asked = backend.next_of(HEADERS).await.expect("a request");
            backend.send(&frame(HEADERS, END_HEADERS, asked.stream, &OK)).await;
        }
        client.ended.abort();
        drop((open, client));
        for _ in 0..EACH {
            let reset = backend.next_of(RST_STREAM).await.expect("a reset");
            // As if it had been on its way.
            backend.send(&frame(DATA, 0, reset.stream, b"late")).await;
        }
    }
    backend.send(&frame(HEADERS, BOTH, held, &OK)).await;
    assert_eq!(in_time("the answer", patient).await.expect("no panic").status, 200);
}

#[tokio::test]
async fn a_backend_that_answers_late_whether_it_is_there_gets_requests_again() {
    let (listener, mut gateway) = by_hand().await;
    let first = asks(&gateway, "/");
    let mut backend = accept(&listener).await;
    let asked = backend.next_of(HEADERS).await.expect("a request");
    backend.send(&frame(HEADERS, BOTH, asked.stream, &OK)).await;
    assert_eq!(in_time("the answer", first).await.expect("no panic").status, 200);
    // Nothing that the backend said is on its way any more: it would be a sign that it is there.
    waits(&mut gateway, 50);
    let late = asks(&gateway, "/");
    assert!(backend.next_of(HEADERS).await.is_some());
    assert_eq!(in_time("the limit", late).await.expect("no panic").status, 504);
    let asked = backend.next_of(PING).await.expect("a question");
    // Something comes all the time, and the answer not within the 5 s that it may take.
    for n in 0..30_u64 {
        backend.send(&frame(PING, 0, 0, &n.to_be_bytes())).await;
        assert_eq!(backend.next_of(PING).await.expect("an answer").payload, n.to_be_bytes());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Doubted once more, while the first question is open.
    let late = asks(&gateway, "/");
    assert!(backend.next_of(HEADERS).await.is_some());
    assert_eq!(in_time("the limit", late).await.expect("no panic").status, 504);
    backend.send(&frame(PING, ACK, 0, &asked.payload)).await;
    // Behind the answer: when this one is answered, that has been read.
    backend.send(&frame(PING, 0, 0, &[7; 8])).await;
    while backend.next_of(PING).await.expect("an answer").payload != [7; 8] {}
    waits(&mut gateway, 0);
    let answered = asks(&gateway, "/");
    let asked = backend.next_of(HEADERS).await.expect("it is asked on the same connection");
    backend.send(&frame(HEADERS, BOTH, asked.stream, &OK)).await;
    assert_eq!(in_time("the answer", answered).await.expect("no panic").status, 200);
}

#[tokio::test]
async fn deadlines_of_callers_cast_no_doubt_on_a_connection() {
    let (listener, gateway) = by_hand().await;
    let client = Http2::connect(&gateway).await;
    let call = "POST /s/m HTTP/1.1\r\ncontent-type: application/grpc\r\nte: trailers\r\n";
    let (watch, _stream) = client.begin(call, true).await;
    let mut backend = accept(&listener).await;
    let watched = backend.next_of(HEADERS).await.expect("a call").stream;
    backend.send(&frame(HEADERS, END_HEADERS, watched, &OK)).await;
    let watch = in_time("a head", watch).await.expect("a head");
    for _ in 0..10 {
        let late = client.ask(&format!("{call}grpc-timeout: 20m\r\n\r\n")).await;
        assert_eq!(late.header("grpc-status"), Some("4"), "DEADLINE_EXCEEDED");
    }
    is_asked_nothing(&mut backend).await;
    backend.send(&frame(DATA, END_STREAM, watched, b"on")).await;
    assert_eq!(body(watch.into_body()).await.0, b"on");
}

#[tokio::test]
async fn a_backend_that_answers_nothing_is_asked_twice_and_then_left() {
    let (listener, mut gateway) = by_hand().await;
    let watch = asks(&gateway, "/watch");
    let mut backend = accept(&listener).await;
    let watched = backend.next_of(HEADERS).await.expect("a request").stream;
    backend.send(&frame(HEADERS, END_HEADERS, watched, &OK)).await;
    is_asked_nothing(&mut backend).await;
    waits(&mut gateway, 50);
    for round in 0..3 {
        let late = asks(&gateway, "/");
        assert!(backend.next_of(HEADERS).await.is_some());
        assert_eq!(in_time("the limit", late).await.expect("no panic").status, 504);
        if round < 2 {
            let asked = backend.next_of(PING).await.expect("a question");
            backend.send(&frame(PING, ACK, 0, &asked.payload)).await;
        }
        is_asked_nothing(&mut backend).await;
    }
    waits(&mut gateway, 0);
    let answered = asks(&gateway, "/");
    let mut other = accept(&listener).await;
    let asked = other.next_of(HEADERS).await.expect("a request");
    other.send(&frame(HEADERS, BOTH, asked.stream, &OK)).await;
    assert_eq!(in_time("the answer", answered).await.expect("no panic").status, 200);
    backend.send(&frame(DATA, END_STREAM, watched, b"on")).await;
    let watched = in_time("the rest", watch).await.expect("no panic");
    assert_eq!((watched.text().as_str(), watched.whole), ("on", true));
}
