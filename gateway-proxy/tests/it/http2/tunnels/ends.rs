//! How they end: by either side, by a limit, by a stop, by what is gone.

use tokio::sync::{Semaphore, mpsc};

use super::*;

#[tokio::test]
async fn each_side_may_end_by_itself() {
    let backend = switching().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    tunnel.say("first", false);
    tunnel.hears("first").await;
    tunnel.say("last", true);
    tunnel.hears("lastbye").await;
    assert!(tunnel.heard().await.is_none(), "in order");
    gateway.counts("gateway_upgraded_bytes_total{direction=\"in\"} 9").await;
    gateway.counts("gateway_upgraded_bytes_total{direction=\"out\"} 12").await;
    gateway.counts("gateway_upgraded_connections 0").await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_known_whether_it_had_ended_its_side_or_not() {
    let backend = patient().await;
    for had_ended in [false, true] {
        let gateway = before(&backend);
        let client = Http2::connect(&gateway).await;
        let mut tunnel = Tunnel::open(&client).await;
        tunnel.hears("hello").await;
        if had_ended {
            tunnel.say("last", true);
            gateway.counts("gateway_upgraded_bytes_total{direction=\"in\"} 4").await;
        }
        tunnel.send.send_reset(Reason::CANCEL);
        gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
        gateway.counts("gateway_upgraded_connections 0").await;
    }
}

/// A backend that says hello, and nothing more.
async fn patient() -> Backend {
    Backend::each(|_, mut wire| async move {
        let head = wire.request_head().await.expect("a head");
        wire.send(accepted(&head) + "hello").await;
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn an_end_and_a_reset_at_once_are_a_client_that_is_gone() {
    let backend = patient().await;
    let gateway = before(&backend);
    let mut raw = Frames::open(gateway.address()).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("CONNECT", "/", &[(":protocol", "websocket")]))).await;
    assert_eq!(raw.next_of(DATA).await.expect("data").payload, b"hello");
    let reset = frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    raw.send(&[frame(DATA, END_STREAM, 1, b"last"), reset].concat()).await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    gateway.counts("gateway_upgraded_connections 0").await;
}

#[tokio::test]
async fn a_connection_that_ends_takes_its_tunnels_with_it() {
    let backend = patient().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut tunnels = [Tunnel::open(&client).await, Tunnel::open(&client).await];
    tunnels[0].say("last", true);
    gateway.counts("gateway_upgraded_bytes_total{direction=\"in\"} 4").await;
    client.ended.abort();
    drop((client, tunnels));
    gateway.counts("gateway_upgraded_connections 0").await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 2").await;
}

#[tokio::test]
async fn a_client_that_gives_up_before_the_answer_gives_up_at_the_backend() {
    let seen = Arc::new(Semaphore::new(0));
    let tells = Arc::clone(&seen);
    let backend = Backend::each(move |_, mut wire| {
        let tells = Arc::clone(&tells);
        async move {
            wire.request_head().await.expect("a head");
            tells.add_permits(1);
            wire.ended().await;
            tells.add_permits(1);
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let (response, mut send) = ask(&client, wish("websocket", &[])).await;
    send.send_data("ahead".into(), false).expect("takes it");
    in_time("the wish", seen.acquire()).await.expect("open").forget();
    send.send_reset(Reason::CANCEL);
    in_time("its end", seen.acquire()).await.expect("open").forget();
    assert!(response.await.is_err());
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
}

#[tokio::test]
async fn an_end_comes_with_the_wish_or_with_trailers_as_well() {
    let backend = switching().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut send = in_time("ready", client.send.clone().ready()).await.expect("open");
    let (response, _send) = send.send_request(wish("websocket", &[]), true).expect("takes it");
    let response = in_time("an answer", response).await.expect("an answer");
    assert_eq!(body(response.into_body()).await, (b"bye".to_vec(), true, String::new()));
    let mut tunnel = Tunnel::open(&client).await;
    tunnel.say("first", false);
    tunnel
        .send
        .send_trailers([(http::header::ETAG, http::HeaderValue::from_static("1"))].into_iter().collect())
        .expect("sent");
    tunnel.hears("firstbye").await;
    assert!(tunnel.heard().await.is_none(), "in order");
}

#[tokio::test]
async fn what_a_backend_does_not_take_for_long_ends_its_stream_whatever_it_sends() {
    let backend = Backend::each(|_, mut wire| async move {
        let head = wire.request_head().await.expect("a head");
        wire.send(accepted(&head)).await;
        while wire.stream.write_all(b"on").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let limits = TimeoutsDraft { idle_ms: 300, ..TimeoutsDraft::default() };
    let gateway = Gateway::before_with(backend.address, &OWN, |draft| timeouts(draft, limits));
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    tunnel.send.send_data(vec![7; 30_000_000].into(), false).expect("takes it");
    ends_soon(tunnel).await;
    gateway.counts("gateway_requests_failed_total{reason=\"UPGRADE_IDLE\"} 1").await;
}

/// Reads what comes, until it ends.
pub async fn ends_soon(mut tunnel: Tunnel) {
    let mut pieces = 0;
    while tunnel.heard().await.is_some() {
        pieces += 1;
        assert!(pieces < 2_000, "goes on");
    }
}

/// Waits until the gateway takes no more of what comes in.
pub async fn takes_no_more(gateway: &Gateway) {
    let taken = || {
        let metrics = gateway.metrics();
        let line = metrics.lines().find(|l| l.starts_with("gateway_upgraded_bytes_total{direction=\"in\"}"));
        line.expect("a count").rsplit(' ').next().expect("a number").parse::<u64>().expect("a number")
    };
    let settled = async {
        let mut had = 0;
        while had == 0 || had != taken() {
            had = taken();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    in_time("no more", settled).await;
}

/// A backend that reads when it may; and how its connection ended then: what came, if that was in order.
async fn reading_late() -> (Backend, Arc<Semaphore>, mpsc::UnboundedReceiver<Option<usize>>) {
    let go = Arc::new(Semaphore::new(0));
    let (may, (tell, told)) = (Arc::clone(&go), mpsc::unbounded_channel());
    let backend = Backend::each(move |_, mut wire| {
        let (tell, may) = (tell.clone(), Arc::clone(&may));
        async move {
            let head = wire.request_head().await.expect("a head");
            wire.send(accepted(&head)).await;
            drop(may.acquire().await);
            let mut rest = Vec::new();
            let read = wire.stream.read_to_end(&mut rest).await;
            let _ = tell.send(read.ok());
        }
    })
    .await;
    (backend, go, told)
}

#[tokio::test]
async fn a_client_that_is_gone_is_known_while_its_backend_takes_nothing() {
    let (backend, go, mut told) = reading_late().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    tunnel.send.send_data(vec![7; 30_000_000].into(), false).expect("takes it");
    takes_no_more(&gateway).await;
    tunnel.send.send_reset(Reason::CANCEL);
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    gateway.counts("gateway_upgraded_connections 0").await;
    go.add_permits(1);
    assert_eq!(in_time("its end", told.recv()).await, Some(None), "cut, and not as if it were whole");
}

#[tokio::test]
async fn what_a_client_had_said_whole_reaches_a_backend_whole() {
    let (backend, go, mut told) = reading_late().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    // More than the backend's socket holds, so that some is still the gateway's.
    tunnel.send.send_data(vec![7; 400_000].into(), true).expect("takes it");
    gateway.counts("gateway_upgraded_bytes_total{direction=\"in\"} 400000").await;
    tunnel.send.send_reset(Reason::CANCEL);
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    go.add_permits(1);
    assert_eq!(in_time("its end", told.recv()).await, Some(Some(400_000)));
}

#[tokio::test]
async fn what_a_limit_cuts_does_not_look_whole_to_either_side() {
    let limits = TimeoutsDraft { idle_ms: 500, ..TimeoutsDraft::default() };
    let (backend, go, mut told) = reading_late().await;
    let gateway = Gateway::before_with(backend.address, &OWN, |draft| timeouts(draft, limits.clone()));
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    tunnel.send.send_data(vec![7; 30_000_000].into(), false).expect("takes it");
    gateway.counts("gateway_requests_failed_total{reason=\"UPGRADE_IDLE\"} 1").await;
    go.add_permits(1);
    assert_eq!(in_time("its end", told.recv()).await, Some(None));
    let flood = Backend::each(|_, mut wire| async move {
        let head = wire.request_head().await.expect("a head");
        wire.send(accepted(&head)).await;
        while wire.stream.write_all(&[7; 100_000]).await.is_ok() {}
    })
    .await;
    let gateway = Gateway::before_with(flood.address, &OWN, |draft| timeouts(draft, limits));
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    gateway.counts("gateway_requests_failed_total{reason=\"UPGRADE_IDLE\"} 1").await;
    let error = loop {
        match tunnel.heard().await.expect("no end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_backend_that_is_gone_resets_its_stream_alone() {
    let backend = Backend::each(|n, mut wire| async move {
        let head = wire.request_head().await.expect("a head");
        wire.send(accepted(&head)).await;
        if n == 0 {
            let _ = wire.stream.read_exact(&mut [0; 3]).await;
            let _ = socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO));
            return;
        }
        let (mut read, mut write) = wire.stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let mut first = Tunnel::open(&client).await;
    let mut second = Tunnel::open(&client).await;
    first.say("cut", false);
    let error = first.heard().await.expect("an end").expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_CUT\"} 1").await;
    second.say("on", false);
    second.hears("on").await;
}

#[tokio::test]
async fn one_that_stands_still_and_one_at_a_stop_end_in_order() {
    let backend = switching().await;
    let limits = TimeoutsDraft { idle_ms: 1_500, total_ms: 200, ..TimeoutsDraft::default() };
    let gateway = Gateway::before_with(backend.address, &OWN, |draft| timeouts(draft, limits));
    let client = Http2::connect(&gateway).await;
    let mut tunnel = Tunnel::open(&client).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tunnel.say("ping", false);
        tunnel.hears("ping").await;
    }
    assert!(tunnel.heard().await.is_none(), "in order");
    gateway.counts("gateway_requests_failed_total{reason=\"UPGRADE_IDLE\"} 1").await;
    let gateway = with(&backend, &["--drain-deadline-ms", "3000"]);
    let client = Http2::connect(&gateway).await;
    let (mut tunnel, mut silent) = (Tunnel::open(&client).await, Tunnel::open(&client).await);
    gateway.plane.stop();
    tunnel.say("still", false);
    tunnel.hears("still").await;
    assert!(tunnel.heard().await.is_none() && silent.heard().await.is_none(), "in order");
    gateway.counts("gateway_requests_failed_total{reason=\"GATEWAY_STOPPING\"} 2").await;
}
