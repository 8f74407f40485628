//! Calls that end well, and those that the server ends.

use hotswap_matcher::TimeoutsDraft;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

#[tokio::test]
async fn one_message_goes_there_and_one_back_with_metadata() {
    let server = Running::start("a").await;
    let gateway = before(&[server.address]);
    let mut client = client(&gateway).await;
    for _ in 0..20 {
        let answer = unary(&mut client, "/t.T/Echo", "hello", |request| {
            request.metadata_mut().insert("x-sent", MetadataValue::from_static("meta"));
        });
        let answer = answer.await.expect("answers");
        assert_eq!(answer.get_ref(), "re: hello");
        assert_eq!(answer.metadata().get("x-seen").map(|v| v.as_bytes()), Some(&b"meta"[..]));
    }
}

#[tokio::test]
async fn messages_stream_from_the_server_to_it_and_both_ways() {
    let server = Running::start("a").await;
    let gateway = before(&[server.address]);
    let mut client = client(&gateway).await;
    let answers = stream(&mut client, "/t.T/Many").await;
    let many: Vec<_> = in_time("all", answers.collect::<Vec<_>>()).await;
    assert!(
        many.len() == 1_000 && many.iter().enumerate().all(|(n, m)| *m.as_ref().unwrap() == n.to_string())
    );

    client.ready().await.expect("ready");
    let parts = tokio_stream::iter((0..100).map(|n| format!("{n},")));
    let joined = client.client_streaming(Request::new(parts), path("/t.T/Join"), Codec::default()).await;
    assert_eq!(joined.expect("answers").into_inner().split(',').count(), 101);

    client.ready().await.expect("ready");
    let (send, messages) = mpsc::channel(1);
    let messages = Request::new(ReceiverStream::new(messages));
    let answer = in_time("a head", client.streaming(messages, path("/t.T/Echo"), Codec::default())).await;
    let mut answers = answer.expect("answers").into_inner();
    for n in 0..50 {
        send.send(n.to_string()).await.expect("open");
        let back = in_time("an answer", answers.message()).await.expect("sound");
        assert_eq!(back, Some(format!("re: {n}")));
    }
    drop(send);
    assert_eq!(in_time("the end", answers.message()).await.expect("sound"), None);
}

#[tokio::test]
async fn a_call_outlives_the_pool_that_it_began_with() {
    let (old, new) = (Running::start("old").await, Running::start("new").await);
    let mut gateway = before(&[old.address]);
    let mut client = client(&gateway).await;
    let (send, messages) = mpsc::channel(1);
    let messages = Request::new(ReceiverStream::new(messages));
    let answer = in_time("a head", client.streaming(messages, path("/t.T/Echo"), Codec::default())).await;
    let mut answers = answer.expect("answers").into_inner();
    for round in 0..20 {
        // Each leads elsewhere than the one before, and takes the pool before it away.
        let (id, gone) = if round % 2 == 0 { ("q", "p") } else { ("p", "q") };
        gateway.pool_of(id, &pool_of(&[new.address]));
        gateway.route("r", &to_pool(id));
        gateway.catalog.remove_pool(&hotswap_core::ResourceName::from_id(gone).expect("id"));
        gateway.swap();
        send.send(round.to_string()).await.expect("open");
        let back = in_time("an answer", answers.message()).await.expect("sound");
        assert_eq!(back, Some(format!("re: {round}")));
        assert_eq!(unary(&mut client, "/t.T/Name", "", |_| {}).await.expect("answers").get_ref(), "new");
    }
    drop(send);
    assert_eq!(in_time("the end", answers.message()).await.expect("sound"), None);
}

#[tokio::test]
async fn large_messages_pass() {
    let server = Running::start("a").await;
    let gateway = before(&[server.address]);
    let mut client = client(&gateway).await;
    let large = "0123456789abcdef".repeat(512 * 1024);
    let answer = unary(&mut client, "/t.T/Echo", &large, |_| {}).await.expect("answers");
    assert!(answer.into_inner().strip_prefix("re: ").is_some_and(|back| back == large));
}

#[tokio::test]
async fn a_status_passes_with_message_details_and_metadata() {
    let server = Running::start("a").await;
    let gateway = before(&[server.address]);
    let mut client = client(&gateway).await;
    for code in [Code::NotFound, Code::FailedPrecondition, Code::Unavailable, Code::Internal] {
        let status = coded(&mut client, code).await;
        assert_eq!((status.code(), status.message()), (code, "as asked"));
        assert_eq!(status.details(), b"\0details\xff");
        assert_eq!(status.metadata().get("x-more").map(|v| v.as_bytes()), Some(&b"1"[..]));
    }
    let mut answers = stream(&mut client, "/t.T/Late").await;
    assert_eq!(in_time("a message", answers.message()).await.expect("one"), Some("one".to_owned()));
    let status = in_time("a status", answers.message()).await.expect_err("lost");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "then lost"));
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_at_the_server() {
    let mut server = Running::start("a").await;
    let gateway = before(&[server.address]);
    let mut client = client(&gateway).await;
    let mut answers = stream(&mut client, "/t.T/One").await;
    assert_eq!(in_time("a message", answers.message()).await.expect("one"), Some("one".to_owned()));
    drop(answers);
    in_time("its end", server.over.recv()).await.expect("told");
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
}

#[tokio::test]
async fn a_deadline_goes_on_lowered_to_what_the_route_allows() {
    let server = Running::start("a").await;
    let mut route = to_pool("p");
    timeouts(&mut route, TimeoutsDraft { total_ms: 5_000, ..TimeoutsDraft::default() });
    let gateway = with_route(&pool_of(&[server.address]), &route);
    let mut client = client(&gateway).await;
    for (said, goes_on) in [("2S", "2000m"), ("1H", "5000m"), ("3000000u", "3000m"), ("bad", "5000m")] {
        let answer = unary(&mut client, "/t.T/Timeout", "", |request| {
            request.metadata_mut().insert("grpc-timeout", said.parse().expect("text"));
        });
        assert_eq!(answer.await.expect("answers").into_inner(), goes_on, "{said}");
    }
    let answer = unary(&mut client, "/t.T/Timeout", "", |_| {}).await;
    assert_eq!(answer.expect("answers").into_inner(), "5000m", "the route's own");
}
