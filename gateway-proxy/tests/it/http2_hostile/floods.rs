//! Many of something: frames, resets, streams.

use super::*;

#[tokio::test]
async fn frames_that_bring_nothing_end_the_connection_that_floods_with_them() {
    let update = 1u32.to_be_bytes();
    let floods: [(&str, Vec<u8>); 7] = [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("answers to no ping", frame(PING, 1, 0, &[0; 8])),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("updates of the window", frame(WINDOW_UPDATE, 0, 0, &update)),
        ("unknown frames", frame(0xee, 0, 0, &[])),
        ("data without data", frame(DATA, 0, 1, &[])),
    ];
    for (what, one) in floods {
        let besieged = Besieged::start(&[]).await;
        let mut raw = besieged.raw().await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[]))).await;
        raw.send(&one.repeat(5_000)).await;
        assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM), "{what}");
        besieged.stands("flood").await;
    }
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let besieged = Besieged::start(&[]).await;
    let mut raw = besieged.raw().await;
    let both = |n| {
        let reset = frame(RST_STREAM, 0, stream(n), &8u32.to_be_bytes());
        [frame(HEADERS, BOTH, stream(n), &get("/")), reset].concat()
    };
    raw.send(&(0..5_000).flat_map(both).collect::<Vec<_>>()).await;
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    besieged.stands("flood").await;
    let reached = besieged.reached.load(Ordering::SeqCst);
    assert!(reached < 1_000, "{reached} of them reached a backend");
}

#[tokio::test]
async fn requests_that_are_reset_once_they_are_under_way_end_the_connection_too() {
    let besieged = Besieged::start(&["--http2-resets", "10"]).await;
    let mut raw = besieged.raw().await;
    for n in 0..1_000 {
        if !raw.send(&frame(HEADERS, BOTH, stream(n), &get("/hang"))).await {
            break;
        }
        // It has reached the backend, so that nothing of it is merely waiting.
        let before = besieged.reached.load(Ordering::SeqCst);
        for _ in 0..100 {
            if besieged.reached.load(Ordering::SeqCst) > before {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        if !raw.send(&frame(RST_STREAM, 0, stream(n), &8u32.to_be_bytes())).await {
            break;
        }
    }
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    besieged.stands("flood").await;
    let reached = besieged.reached.load(Ordering::SeqCst);
    assert!(reached < 500, "{reached} of them reached a backend");
}

#[tokio::test]
async fn resets_that_a_client_has_the_gateway_send_count_as_its_own() {
    let besieged = Besieged::start(&["--http2-resets", "10"]).await;
    let mut raw = besieged.raw().await;
    // CVE-2025-8671: an update beyond what a window can be makes the gateway reset the stream.
    let most = 0x7fff_ffffu32.to_be_bytes();
    let both = |n| {
        [frame(HEADERS, BOTH, stream(n), &get("/hang")), frame(WINDOW_UPDATE, 0, stream(n), &most)].concat()
    };
    raw.send(&(0..100).flat_map(both).collect::<Vec<_>>()).await;
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    besieged.stands("flood").await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_those_within_it_go_on() {
    let besieged = Besieged::start(&["--http2-streams", "10"]).await;
    let mut raw = besieged.raw().await;
    let post = asked("POST", "/", &[]);
    let open = (0..11).flat_map(|n| frame(HEADERS, END_HEADERS, stream(n), &post));
    raw.send(&open.collect::<Vec<_>>()).await;
    let refused = raw.next_of(RST_STREAM).await.expect("a refusal");
    assert_eq!((refused.stream, refused.number(0)), (stream(10), REFUSED_STREAM));
    for n in 0..10 {
        raw.send(&frame(DATA, END_STREAM, stream(n), b"x")).await;
    }
    for _ in 0..10 {
        raw.next_of(HEADERS).await.expect("a response");
    }
    drop(raw);
    besieged.stands("").await;
}

#[tokio::test]
async fn one_who_goes_on_opening_streams_beyond_the_limit_is_ended() {
    let besieged = Besieged::start(&["--http2-streams", "10"]).await;
    let mut raw = besieged.raw().await;
    let post = asked("POST", "/", &[]);
    let open = (0..20_000).flat_map(|n| frame(HEADERS, END_HEADERS, stream(n), &post));
    raw.send(&open.collect::<Vec<_>>()).await;
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    besieged.stands("flood").await;
}
