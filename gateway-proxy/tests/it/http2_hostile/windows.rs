//! Flow control: windows that are played with, and clients that take nothing.

use hotswap_matcher::TimeoutsDraft;

use super::*;

#[tokio::test]
async fn windows_are_no_toys() {
    let besieged = Besieged::start(&[]).await;
    let most = 0x7fff_ffffu32.to_be_bytes();
    let opened = frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[]));
    let initial = |n: u32| frame(SETTINGS, 0, 0, &[&[0, 4][..], &n.to_be_bytes()].concat());
    let too_much = frame(DATA, 0, 1, &[0; 16_384]).repeat(20);
    let games: [(&str, Vec<u8>, u32); 6] = [
        ("nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        ("more than there is", frame(WINDOW_UPDATE, 0, 0, &most), FLOW_CONTROL_ERROR),
        ("no number", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), PROTOCOL_ERROR),
        ("a window larger than any", initial(0x8000_0000), PROTOCOL_ERROR),
        ("an update before the stream", frame(WINDOW_UPDATE, 0, 99, &[0, 0, 0, 1]), PROTOCOL_ERROR),
        (
            "a frame larger than any",
            [&[1, 0, 0, DATA, 0, 0, 0, 0, 1][..], &[0; 65_536]].concat(),
            FRAME_SIZE_ERROR,
        ),
    ];
    for (what, bytes, code) in games {
        let mut raw = besieged.raw().await;
        raw.send(&[&opened[..], &bytes].concat()).await;
        assert_eq!(raw.goodbye().await, Some(code), "{what}");
    }
    // The backend takes nothing until it is asked; the client sends more than the window has.
    let held = Backend::each(|_, mut wire| async move {
        let _ = wire.request_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::before_with(held.address, &OWN, |_| {});
    let mut raw = Frames::open(gateway.address()).await;
    raw.send(&opened).await;
    let mut last = None;
    for _ in 0..2_000 {
        if !raw.send(&too_much).await {
            break;
        }
    }
    while let Some(frame) = raw.next().await {
        if matches!(frame.kind, GOAWAY | RST_STREAM) {
            last = Some(frame.number(if frame.kind == GOAWAY { 4 } else { 0 }));
            break;
        }
    }
    assert_eq!(last, Some(FLOW_CONTROL_ERROR));
    drop(raw);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_the_backend_back_and_is_cut() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let backend = Backend::each(move |_, mut wire| {
        let count = Arc::clone(&count);
        async move {
            let _ = wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
            let piece = vec![0; 100_000];
            while tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &piece).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let limits = TimeoutsDraft { idle_ms: 500, ..Default::default() };
    let gateway = Gateway::before_with(backend.address, &OWN, |draft| timeouts(draft, limits));
    let mut raw = Frames::open(gateway.address()).await;
    let open = (0..50).flat_map(|n| frame(HEADERS, BOTH, stream(n), &get("/")));
    // Windows as large as can be: only the socket is in the way.
    let wide = frame(SETTINGS, 0, 0, &[&[0, 4][..], &0x7fff_ffffu32.to_be_bytes()].concat());
    let more = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes());
    raw.send(&[wide, more, open.collect()].concat()).await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_STALLED\"} 50").await;
    let all = sent.load(Ordering::SeqCst);
    assert!(all < 50 * 12_000_000, "{all} bytes were taken from the backend for a client that reads none");
}
