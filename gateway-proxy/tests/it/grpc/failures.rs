//! Failures, the gateway's own and those that it counts.

use bytes::Bytes;
use hotswap_gateway::rollout::Total;
use hotswap_matcher::{
    AccessDraft, CircuitBreakerDraft, ExposureDraft, FaultAbortDraft, FaultDraft, RateLimitDraft, RetryDraft,
    TrafficDraft,
};

use super::*;
use crate::http2_backends::{Backend2, begin, end};
use crate::http2_support::{Http2, whole};
use crate::rollouts::{counted, who};

fn reason(status: &Status) -> Option<&str> {
    status.metadata().get("x-hotswap-reason").and_then(|v| v.to_str().ok())
}

#[tokio::test]
async fn what_the_gateway_says_itself_is_a_status() {
    let gone = Running::start("a").await;
    let address = gone.address;
    drop(gone);
    let traffic = |traffic: TrafficDraft| {
        let mut route = to_pool("p");
        route.traffic = Some(Box::new(traffic));
        route
    };
    let denied = AccessDraft { deny: vec!["127.0.0.0/8".into()], ..AccessDraft::default() };
    let limit = RateLimitDraft { requests: 1, ..RateLimitDraft::default() };
    for (route, code, why) in [
        (to_pool("p"), Code::Unavailable, "CONNECT_FAILED"),
        (to_pool("missing"), Code::Unavailable, "POOL_MISSING"),
        (RouteDraft { matches: at_prefix("/other"), ..to_pool("p") }, Code::Unimplemented, "NO_ROUTE"),
        (
            traffic(TrafficDraft { access: Some(denied), ..TrafficDraft::default() }),
            Code::PermissionDenied,
            "ADDRESS_DENIED",
        ),
        (
            traffic(TrafficDraft { rate_limit: Some(limit), ..TrafficDraft::default() }),
            Code::ResourceExhausted,
            "RATE_LIMITED",
        ),
    ] {
        let gateway = with_route(&pool_of(&[address]), &route);
        let mut client = client(&gateway).await;
        if why == "RATE_LIMITED" {
            unary(&mut client, "/t.T/Echo", "", |_| {}).await.expect_err("takes the one that is allowed");
        }
        let status = unary(&mut client, "/t.T/Echo", "", |_| {}).await.expect_err("a failure");
        assert_eq!((status.code(), reason(&status)), (code, Some(why)), "{status:?}");
        gateway.counts(&format!("gateway_requests_failed_total{{reason=\"{why}\"}} 1")).await;
    }
}

#[tokio::test]
async fn it_has_no_body_and_others_get_what_they_always_got() {
    let gateway = with_route(&pool_of(&[]), &to_pool("p"));
    let client = Http2::connect(&gateway).await;
    let call = client.ask("POST / HTTP/1.1\r\ncontent-type: application/grpc+proto\r\n\r\nabc").await;
    assert_eq!(
        (call.status, call.header("grpc-status"), call.reason()),
        (200, Some("14"), Some("NO_BACKEND"))
    );
    assert_eq!(call.header("grpc-message"), Some("no backend takes requests"));
    assert_eq!((call.header("content-type"), call.body.len()), (Some("application/grpc"), 0));
    for other in ["application/json", "application/grpc-web"] {
        let response = client.ask(&format!("POST / HTTP/1.1\r\ncontent-type: {other}\r\n\r\nabc")).await;
        assert_eq!((response.status, response.header("grpc-status")), (503, None));
    }
}

#[tokio::test]
async fn a_deadline_that_passes_ends_the_call_and_is_not_the_backends_fault() {
    let (told, mut resets) = mpsc::unbounded_channel();
    let backend = Backend2::each(move |mut asked| {
        let told = told.clone();
        async move {
            if asked.request.uri().path() == "/ok" {
                return end(&mut begin(&mut asked.respond), &[("grpc-status", "0")]);
            }
            let reset = std::future::poll_fn(|cx| asked.respond.poll_reset(cx)).await;
            told.send(reset.expect("a reset")).expect("the test waits");
        }
    })
    .await;
    let breaker = CircuitBreakerDraft { failure_threshold: 1, ..CircuitBreakerDraft::default() };
    let pool = PoolDraft { circuit_breaker: Some(breaker), ..pool_of(&[backend.address]) };
    let gateway = with_route(&pool, &to_pool("p"));
    // By hand: tonic's client would end the call by itself.
    let client = Http2::connect(&gateway).await;
    let call = "HTTP/1.1\r\ncontent-type: application/grpc\r\ngrpc-timeout: 50m\r\n\r\n";
    let (open, mut stream) = client.begin(&format!("POST /open {call}"), false).await;
    stream.send_data(Bytes::from("abc"), false).expect("open");
    for response in [client.ask(&format!("POST / {call}abc")).await, whole(open).await] {
        let told = (response.status, response.header("grpc-status"), response.reason());
        assert_eq!(told, (200, Some("4"), Some("DEADLINE_PASSED")));
        assert_eq!(in_time("its end", resets.recv()).await, Some(h2::Reason::CANCEL));
    }
    let response = client.ask("POST /ok HTTP/1.1\r\ncontent-type: application/grpc\r\n\r\n").await;
    assert_eq!((response.status, response.trailers.as_str()), (200, "grpc-status: 0\n"));
    gateway.counts("gateway_grpc_calls_total{grpc_status=\"DEADLINE_EXCEEDED\"} 2").await;
}

#[tokio::test]
async fn a_server_that_dies_within_a_stream_is_unavailable() {
    let backend = Backend2::each(|mut asked| async move {
        let response = http::Response::builder().header("content-type", "application/grpc").body(());
        let mut out = asked.respond.send_response(response.expect("a response"), false).expect("open");
        out.send_data(Bytes::from_static(b"\0\0\0\0\x05\x0a\x03one"), false).expect("open");
        std::future::pending().await
    })
    .await;
    let gateway = before(&[backend.address]);
    let mut client = client(&gateway).await;
    let mut answers = stream(&mut client, "/t.T/One").await;
    assert_eq!(in_time("a message", answers.message()).await.expect("one"), Some("one".to_owned()));
    backend.end().await;
    let status = in_time("a status", answers.message()).await.expect_err("cut");
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, Some("BACKEND_CUT")), "{status:?}");
    gateway.counts("gateway_grpc_calls_total{grpc_status=\"UNAVAILABLE\"} 1").await;
}

#[tokio::test]
async fn calls_are_tried_again_only_where_the_route_says_so() {
    let good = Running::start("good").await;
    let gone = Running::start("gone").await;
    let address = gone.address;
    drop(gone);
    for grpc_unavailable in [false, true] {
        let mut route = to_pool("p");
        if let Some(forward) = &mut route.forward {
            let retry = RetryDraft { base_backoff_ms: 1, grpc_unavailable, ..RetryDraft::default() };
            forward.retry = Some(retry);
        }
        let gateway = with_route(&pool_of(&[address, good.address]), &route);
        let mut client = client(&gateway).await;
        let mut failed = 0;
        for _ in 0..6 {
            failed += u32::from(unary(&mut client, "/t.T/Name", "x", |_| {}).await.is_err());
        }
        assert_eq!(failed > 0, !grpc_unavailable, "{failed}");
    }
}

#[tokio::test]
async fn unavailable_and_nothing_else_is_tried_again_elsewhere() {
    let server = Running::start("a").await;
    let mut route = to_pool("p");
    if let Some(forward) = &mut route.forward {
        let retry = RetryDraft { base_backoff_ms: 1, grpc_unavailable: true, ..RetryDraft::default() };
        forward.retry = Some(retry);
    }
    let gateway = with_route(&pool_of(&[server.address]), &route);
    let mut client = client(&gateway).await;
    let metric = |gateway: &Gateway| {
        gateway
            .metrics()
            .lines()
            .find(|l| l.starts_with("gateway_retries_total{outcome=\"sent\"}"))
            .map(str::to_owned)
    };
    let before = metric(&gateway);
    assert_eq!(coded(&mut client, Code::Internal).await.code(), Code::Internal);
    assert_eq!(metric(&gateway), before);
    let status = coded(&mut client, Code::Unavailable).await;
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "as asked"), "the last answer goes on");
    assert_ne!(metric(&gateway), before);
}

#[tokio::test]
async fn a_rollout_counts_the_statuses_of_a_server_that_fails() {
    let (a, b) = (Running::start("a").await, Running::start("b").await);
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("a", &pool_of(&[a.address]));
    gateway.pool_of("b", &pool_of(&[b.address]));
    let all = who(1, Some(ExposureDraft::ShareBps(10_000)), None);
    gateway.route_with("r", &to_pool("a"), &to_pool("b"), &all);
    gateway.swap();
    let mut client = client(&gateway).await;
    for code in [
        Code::NotFound,
        Code::InvalidArgument,
        Code::ResourceExhausted,
        Code::Unknown,
        Code::DeadlineExceeded,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
    ] {
        coded(&mut client, code).await;
    }
    unary(&mut client, "/t.T/Name", "", |_| {}).await.expect("answers");
    let answers = stream(&mut client, "/t.T/Late").await;
    let all: Vec<_> = answers.collect().await;
    assert!(all.last().is_some_and(Result::is_err), "the status stands behind the messages");
    let [_, candidate] = counted(&gateway, 11).await;
    assert_eq!(candidate, Total { requests: 11, errors: 7 });
}

#[tokio::test]
async fn a_rollout_counts_nothing_that_callers_do_wrong_nor_a_fault_that_is_no_failure() {
    let server = Running::start("a").await;
    for (status, errors) in [(404, 0), (503, 1)] {
        let mut gateway = Gateway::start(&OWN);
        gateway.pool_of("a", &pool_of(&[server.address]));
        let abort = FaultAbortDraft { status, share_bps: 10_000 };
        let fault = FaultDraft { abort: Some(abort), ..FaultDraft::default() };
        let mut faulty = to_pool("a");
        faulty.traffic = Some(Box::new(TrafficDraft { fault: Some(fault), ..TrafficDraft::default() }));
        let all = who(1, Some(ExposureDraft::ShareBps(10_000)), None);
        gateway.route_with("r", &to_pool("a"), &faulty, &all);
        gateway.swap();
        let mut client = client(&gateway).await;
        unary(&mut client, "/t.T/Echo", "", |_| {}).await.expect_err("the fault");
        let [_, candidate] = counted(&gateway, 1).await;
        assert_eq!(candidate, Total { requests: 1, errors }, "{status}");
    }
}

#[tokio::test]
async fn a_breaker_opens_by_statuses_of_a_server_that_fails_alone() {
    let server = Running::start("a").await;
    let breaker = CircuitBreakerDraft { failure_threshold: 3, ..CircuitBreakerDraft::default() };
    let pool = PoolDraft { circuit_breaker: Some(breaker), ..pool_of(&[server.address]) };
    let gateway = with_route(&pool, &to_pool("p"));
    let mut client = client(&gateway).await;
    for code in [Code::NotFound, Code::Unimplemented, Code::DeadlineExceeded, Code::PermissionDenied] {
        for _ in 0..3 {
            assert_eq!(coded(&mut client, code).await.code(), code);
        }
    }
    for _ in 0..3 {
        assert_eq!(reason(&coded(&mut client, Code::Internal).await), None);
    }
    let status = coded(&mut client, Code::Internal).await;
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, Some("NO_HEALTHY_BACKEND")));
}
