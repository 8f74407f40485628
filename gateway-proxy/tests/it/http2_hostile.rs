//! Hostile clients of HTTP/2. Each ends its own connection at most; what the others get is not touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotswap_matcher::TimeoutsDraft;

use crate::http2_support::*;
use crate::support::*;

const OWN: [&str; 2] = ["--gateway-engine", "own"];
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A gateway, and a well-behaved client whose requests must get through whatever the others do.
struct Besieged {
    gateway: Gateway,
    other: Http2,
    reached: Arc<AtomicUsize>,
    backend: Backend,
}

impl Besieged {
    async fn start(args: &[&str]) -> Self {
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let backend = Backend::each(move |_, mut wire| {
            let count = Arc::clone(&count);
            async move {
                while let Some(request) = wire.request().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    if request.head.starts_with("GET /hang") {
                        let _ = wire.ended().await;
                        return;
                    }
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        })
        .await;
        let gateway = Gateway::before_with(backend.address, &[&OWN, args].concat(), |_| {});
        let other = Http2::connect(&gateway).await;
        Self { gateway, other, reached, backend }
    }

    async fn raw(&self) -> Frames {
        Frames::open(self.gateway.address()).await
    }

    /// The other client is served, on the connection that it has; new ones are; and nothing is left of the attack.
    async fn stands(&self, ended: &str) {
        assert_eq!(self.other.ask(GET).await.text(), "ok");
        assert_eq!(self.gateway.ask(GET).await.text(), "ok");
        self.gateway.counts("gateway_active_connections 1").await;
        if !ended.is_empty() {
            let line = format!("gateway_http2_connections_ended_total{{cause=\"{ended}\"}} 1");
            self.gateway.counts(&line).await;
        }
    }
}

fn stream(n: usize) -> u32 {
    u32::try_from(2 * n + 1).expect("fits")
}

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
async fn a_head_without_an_end_is_not_waited_for_nor_kept() {
    let besieged = Besieged::start(&[]).await;
    let mut raw = besieged.raw().await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
    let piece = fields([(&b"x-a"[..], &[b'a'; 100][..])]);
    for _ in 0..10_000 {
        if !raw.send(&frame(CONTINUATION, 0, 1, &piece)).await {
            break;
        }
    }
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    // Nor one of pieces with nothing in them.
    let mut raw = besieged.raw().await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
    raw.send(&frame(CONTINUATION, 0, 1, &[]).repeat(5_000)).await;
    assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_head_that_stands_still_ends_the_connection() {
    let besieged = Besieged::start(&["--client-head-ms", "150"]).await;
    for begun in [frame(HEADERS, END_STREAM, 1, &get("/")), frame(HEADERS, BOTH, 1, &get("/"))[..15].to_vec()]
    {
        let mut raw = besieged.raw().await;
        raw.send(&begun).await;
        assert_eq!(raw.goodbye().await, Some(ENHANCE_YOUR_CALM));
    }
    let mut silent = Wire::connect(besieged.gateway.address()).await;
    silent.send(&PREFACE[..20]).await;
    assert!(!silent.ended().await, "a connection that never begins");
    besieged.stands("").await;
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused_and_costs_no_memory() {
    let besieged = Besieged::start(&[]).await;
    let mut raw = besieged.raw().await;
    // One field goes into the table of the connection; each byte behind it stands for that field.
    let mut block = get("/");
    block.extend_from_slice(&[0x40, 1, b'x']);
    integer(4_000, &mut block);
    block.extend_from_slice(&[b'a'; 4_000]);
    block.extend_from_slice(&vec![0xbe; 12_000]);
    assert!(block.len() <= 16_384, "one frame");
    raw.send(&frame(HEADERS, BOTH, 1, &block)).await;
    let code = raw.goodbye().await;
    assert!(matches!(code, Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR | COMPRESSION_ERROR)), "{code:?}");
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_head_beyond_the_limits_gets_431_and_the_connection_goes_on() {
    let besieged = Besieged::start(&["--max-head-bytes", "8192", "--max-headers", "10"]).await;
    let long = "a".repeat(8_192);
    let response = besieged.other.ask(&format!("GET / HTTP/1.1\r\nx-a: {long}\r\n\r\n")).await;
    assert_eq!((response.status, response.reason()), (431, Some("HEAD_TOO_LARGE")));
    let many = "x-a: 1\r\n".repeat(20);
    let response = besieged.other.ask(&format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
    assert_eq!((response.status, response.reason()), (431, Some("HEAD_TOO_LARGE")));
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
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

/// What every request tells.
const START: [(&[u8], &[u8]); 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/")];

/// Values that must not stand in the place of those.
const CHANGED: [(usize, &[u8]); 17] = [
    (0, b"GET / HTTP/1.1\r\nhost: h\r\n\r\nGET"),
    (0, b"G ET"),
    (0, b""),
    (1, b"http://x/ HTTP/1.1\r\n"),
    (2, b"h\r\nx: 1"),
    (2, b"h h"),
    (2, b"u@h"),
    (2, b""),
    (3, b"/ HTTP/1.1\r\nhost: h\r\n\r\nGET /x"),
    (3, b"/a b"),
    (3, b"/\0"),
    (3, b"/\n"),
    (3, b""),
    (3, b"x"),
    (3, b"http://other/"),
    (3, b"*"),
    (3, b"/\xff"),
];

/// Fields that must not stand behind them.
const ADDED: [&[(&[u8], &[u8])]; 27] = [
    &[(b":path", b"/b")],
    &[(b":status", b"200")],
    &[(b":new", b"1")],
    &[(b"host", b"other")],
    &[(b"connection", b"close")],
    &[(b"connection", b"x-a"), (b"x-a", b"1")],
    &[(b"keep-alive", b"1")],
    &[(b"proxy-connection", b"close")],
    &[(b"transfer-encoding", b"chunked")],
    &[(b"transfer-encoding", b"identity")],
    &[(b"upgrade", b"h2c")],
    &[(b"te", b"gzip")],
    &[(b"content-length", b"5")],
    &[(b"content-length", b"-1")],
    &[(b"content-length", b"0x0")],
    &[(b"content-length", b"0"), (b"content-length", b"1")],
    &[(b"X-A", b"1")],
    &[(b"x a", b"1")],
    &[(b"x\r\nhost", b"1")],
    &[(b"x:y", b"1")],
    &[(b"x\0", b"1")],
    &[(b"", b"1")],
    &[(b"x-a", b"1\r\ntransfer-encoding: chunked")],
    &[(b"x-a", b"1\n\nGET /x HTTP/1.1")],
    &[(b"x-a", b"1\0")],
    &[(b"x-a", b" 1")],
    &[(b"x-a", b"1 ")],
];

/// Heads of which nothing may reach a backend.
fn hostile_heads() -> Vec<Vec<(&'static [u8], &'static [u8])>> {
    let changed = CHANGED.iter().map(|(at, value)| {
        let mut fields = START;
        fields[*at].1 = value;
        fields.to_vec()
    });
    let added = ADDED.iter().map(|added| [&START[..], added].concat());
    let missing = (0..START.len()).map(|gone| {
        let mut fields = START.to_vec();
        fields.remove(gone);
        fields
    });
    let late = [&[(&b"x-a"[..], &b"1"[..])][..], &START[..]].concat();
    changed.chain(added).chain(missing).chain([late]).collect()
}

#[tokio::test]
async fn nothing_that_would_be_another_request_in_http_1_1_reaches_a_backend() {
    let besieged = Besieged::start(&[]).await;
    for head in hostile_heads() {
        let mut raw = besieged.raw().await;
        raw.send(&frame(HEADERS, BOTH, 1, &fields(head.iter().copied()))).await;
        let shown: Vec<_> =
            head.iter().map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect();
        // Its stream ends, or the connection; a response is one of the gateway's own, with a status of 4xx.
        loop {
            match raw.next().await {
                Some(f) if f.kind == RST_STREAM || f.kind == GOAWAY => break,
                Some(f) if f.kind == HEADERS => {
                    // 0x8c: the field of the static table that says 400.
                    assert_eq!(f.payload.first(), Some(&0x8c), "{shown:?}");
                    break;
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    assert_eq!(besieged.backend.connections(), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_said_never_becomes_a_whole_request() {
    let besieged = Besieged::start(&[]).await;
    for (length, sent) in [("5", "1234"), ("5", "123456"), ("0", "1")] {
        let mut raw = besieged.raw().await;
        let head = asked("POST", "/", &[("content-length", length)]);
        raw.send(&frame(HEADERS, END_HEADERS, 1, &head)).await;
        raw.send(&frame(DATA, END_STREAM, 1, sent.as_bytes())).await;
        let reset = raw.next_of(RST_STREAM).await.expect("a reset");
        assert_eq!((reset.stream, reset.number(0)), (1, PROTOCOL_ERROR), "{length} {sent}");
    }
    assert_eq!(besieged.reached.load(Ordering::SeqCst), 0);
    besieged.stands("").await;
}

#[tokio::test]
async fn trailers_are_fields_as_others() {
    let besieged = Besieged::start(&[]).await;
    for field in [(&b"x-a"[..], &b"1\r\nx: 1"[..]), (b"transfer-encoding", b"chunked"), (b"X", b"1")] {
        let mut raw = besieged.raw().await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[("trailer", "x-a")]))).await;
        raw.send(&frame(DATA, 0, 1, b"x")).await;
        raw.send(&frame(HEADERS, BOTH, 1, &fields([field]))).await;
        loop {
            match raw.next().await {
                Some(f) if f.kind == RST_STREAM || f.kind == GOAWAY => break,
                Some(f) => assert_ne!(f.kind, HEADERS, "{field:?}: an answer"),
                None => break,
            }
        }
    }
    assert_eq!(besieged.reached.load(Ordering::SeqCst), 0);
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
    gateway.counts("gateway_requests_failed_total{reason=\"IDLE_TIMEOUT\"} 50").await;
    let all = sent.load(Ordering::SeqCst);
    assert!(all < 50 * 12_000_000, "{all} bytes were taken from the backend for a client that reads none");
}

/// Numbers that only look random.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[tokio::test]
async fn frames_with_flipped_bytes_leave_no_trace() {
    let besieged = Besieged::start(&[]).await;
    let post = asked("POST", "/a?b", &[("content-type", "text/plain")]);
    let sound = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        &frame(HEADERS, END_HEADERS, 1, &post),
        &frame(DATA, 0, 1, b"hello"),
        &frame(PING, 0, 0, &[7; 8]),
        &frame(DATA, END_STREAM, 1, b"world"),
        &frame(HEADERS, BOTH, 3, &get("/")),
    ]
    .concat();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..400 {
        let mut bytes = sound.clone();
        for _ in 0..=next(&mut state) % 3 {
            let at = next(&mut state) % bytes.len();
            match next(&mut state) % 3 {
                0 => bytes[at] = next(&mut state) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, next(&mut state) as u8),
            }
        }
        let mut client = besieged.gateway.connect().await;
        client.send(&bytes).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await;
        let _ = client.ended().await;
    }
    besieged.stands("").await;
    let metrics = besieged.gateway.metrics();
    for reason in ["BACKEND_PROTOCOL", "BACKEND_CLOSED", "BACKEND_CUT"] {
        let none = format!("gateway_requests_failed_total{{reason=\"{reason}\"}} 0\n");
        assert!(metrics.contains(&none), "{metrics}");
    }
}
