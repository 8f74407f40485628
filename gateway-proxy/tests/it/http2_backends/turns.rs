//! Messages that wait for each other, as those of a call that both sides keep open: each goes the short way, and all that holds
//! for a body holds for them.

use std::io::Read as _;
use std::sync::atomic::AtomicBool;

use h2::Reason as Code;
use hotswap_matcher::{CompressionDraft, MirrorDraft, TimeoutsDraft, TrafficDraft};
use tokio::sync::watch;

use super::*;
use crate::http2_support::*;
use crate::shadows::that_keeps;
use crate::traffic::logs::lines;

const MESSAGE: usize = 133;

/// A call with a message under way.
struct Call {
    out: SendStream<Bytes>,
    back: RecvStream,
    client: Http2,
}

impl Call {
    async fn begin(gateway: &Gateway) -> Self {
        let client = Http2::connect(gateway).await;
        let (response, mut out) = client.begin("POST /a HTTP/1.1\r\n", false).await;
        // Before anything is answered no message goes this way.
        out.send_data(Bytes::from_static(b"first"), false).expect("open");
        let back = in_time("a head", response).await.expect("at once").into_body();
        let mut call = Self { out, back, client };
        assert_eq!(call.came().await.as_deref(), Some(&b"first"[..]));
        call
    }

    /// What comes next; `None`: the stream is cut.
    async fn came(&mut self) -> Option<Bytes> {
        let data = in_time("an answer", self.back.data()).await?.ok()?;
        self.back.flow_control().release_capacity(data.len()).expect("open");
        Some(data)
    }

    /// A message there and back. Whether it came.
    async fn turn(&mut self, n: usize) -> bool {
        let message = Bytes::from(vec![n as u8; MESSAGE]);
        if self.out.send_data(message.clone(), false).is_err() {
            return false;
        }
        let mut came = Vec::new();
        while came.len() < MESSAGE {
            match self.came().await {
                Some(data) => came.extend_from_slice(&data),
                None => return false,
            }
        }
        assert_eq!(came, message, "message {n}");
        true
    }

    /// Ends in order; the last fields.
    async fn end(mut self) -> HeaderMap {
        self.out.send_data(Bytes::new(), true).expect("open");
        assert!(in_time("the end", self.back.data()).await.is_none());
        in_time("trailers", self.back.trailers()).await.expect("sound").expect("some")
    }
}

/// Sends back what comes; and how often a request was cut.
async fn echo() -> (Backend2, Arc<AtomicUsize>) {
    echo_with(Builder::new()).await
}

async fn echo_with(settings: Builder) -> (Backend2, Arc<AtomicUsize>) {
    let cut = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&cut);
    let backend = Backend2::with(settings, move |mut asked| {
        let count = Arc::clone(&count);
        async move {
            let mut out = begin(&mut asked.respond);
            let mut request = asked.request.into_body();
            while let Some(data) = request.data().await {
                let Ok(data) = data else {
                    count.fetch_add(1, Ordering::SeqCst);
                    return;
                };
                request.flow_control().release_capacity(data.len()).expect("open");
                if out.send_data(data, false).is_err() {
                    return;
                }
            }
            end(&mut out, &[("x-end", "1")]);
        }
    })
    .await;
    (backend, cut)
}

/// A gateway that takes no larger bodies.
fn limited(backend: &Backend2, most: usize) -> Gateway {
    let mut gateway = Gateway::start(&[&OWN[..], &["--max-body-bytes", &most.to_string()]].concat());
    gateway.pool_of("p", &pool_of(&[backend.address]));
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    gateway
}

#[tokio::test]
async fn far_more_messages_than_a_window_holds_pass_and_the_log_has_their_bytes() {
    const TURNS: usize = 3_000;
    let (backend, _) = echo().await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("log");
    let path = file.to_str().expect("text");
    let mut gateway =
        Gateway::start(&[&OWN[..], &["--access-log", "all", "--access-log-file", path]].concat());
    gateway.pool_of("p", &pool_of(&[backend.address]));
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    let mut call = Call::begin(&gateway).await;
    for n in 0..TURNS {
        assert!(call.turn(n).await, "message {n}");
    }
    assert_eq!(call.end().await["x-end"], "1");
    let lines = lines(&file, |lines| lines.len() == 1).await;
    let bytes = Some((5 + TURNS * MESSAGE) as u64);
    assert_eq!((lines[0]["bytes_in"].as_u64(), lines[0]["bytes"].as_u64()), (bytes, bytes));
}

#[tokio::test]
async fn several_that_come_at_once_pass_between_those_that_come_alone() {
    let (backend, _) = echo().await;
    let gateway = before(backend.address);
    let mut call = Call::begin(&gateway).await;
    for n in 0..200 {
        let all: Vec<u8> = (0..n % 5 + 1).flat_map(|at| vec![(n + at) as u8; 40]).collect();
        for piece in all.chunks(40) {
            call.out.send_data(Bytes::copy_from_slice(piece), false).expect("open");
        }
        let mut came = Vec::new();
        while came.len() < all.len() {
            came.extend_from_slice(&call.came().await.expect("open"));
        }
        assert_eq!(came, all, "turn {n}");
        assert!(call.turn(n).await);
    }
    assert_eq!(call.end().await["x-end"], "1");
}

#[tokio::test]
async fn what_comes_from_both_sides_at_once_passes_whole() {
    const TURNS: usize = 1_000;
    // What the client has sent so far, and the backend's part of it: it waits for neither.
    let (begins, begun) = watch::channel(0_usize);
    let backend = Backend2::each(move |mut asked| {
        let mut begun = begun.clone();
        async move {
            let mut out = begin(&mut asked.respond);
            let mut request = asked.request.into_body();
            let first = request.data().await.expect("more").expect("sound");
            out.send_data(first, false).expect("open");
            for n in 0..TURNS {
                begun.wait_for(|turn| *turn > n).await.expect("it goes on");
                for _ in 0..2 {
                    out.send_data(Bytes::from(vec![n as u8; 20]), false).expect("open");
                }
                let data = request.data().await.expect("more").expect("sound");
                assert_eq!(data, vec![n as u8; 30], "turn {n}");
                request.flow_control().release_capacity(data.len()).expect("open");
            }
            // One that is answered whole before its end is not asked for the rest (RFC 9113 section 8.1).
            while let Some(rest) = request.data().await {
                assert!(rest.expect("sound").is_empty());
            }
            end(&mut out, &[("x-end", "1")]);
        }
    })
    .await;
    let gateway = before(backend.address);
    let mut call = Call::begin(&gateway).await;
    for n in 0..TURNS {
        call.out.send_data(Bytes::from(vec![n as u8; 30]), false).expect("open");
        begins.send_replace(n + 1);
        let mut came = Vec::new();
        while came.len() < 40 {
            came.extend_from_slice(&call.came().await.expect("open"));
        }
        assert_eq!(came, vec![n as u8; 40], "turn {n}");
    }
    assert_eq!(call.end().await["x-end"], "1");
}

#[tokio::test]
async fn the_limit_of_a_body_ends_a_call_among_its_messages() {
    let (backend, cut) = echo().await;
    // What comes first, seven messages, and most of the eighth.
    let gateway = limited(&backend, 5 + 8 * MESSAGE - 1);
    let mut call = Call::begin(&gateway).await;
    for n in 0..7 {
        assert!(call.turn(n).await, "message {n}");
    }
    assert!(!call.turn(7).await, "beyond the limit");
    gateway.counts("gateway_requests_failed_total{reason=\"BODY_TOO_LARGE\"} 1").await;
    in_time("the backend", async {
        while cut.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_room_counts_once_against_the_limit_of_a_body() {
    const TURNS: usize = 30;
    let mut settings = Builder::new();
    // Less than a message.
    settings.initial_window_size(100);
    let (backend, _) = echo_with(settings).await;
    let gateway = limited(&backend, 5 + TURNS * MESSAGE);
    let mut call = Call::begin(&gateway).await;
    for n in 0..TURNS {
        assert!(call.turn(n).await, "message {n}");
    }
    assert_eq!(call.end().await["x-end"], "1");
}

#[tokio::test]
async fn who_goes_among_messages_is_known_to_have_gone() {
    let (backend, cut) = echo().await;
    let gateway = before(backend.address);
    let mut call = Call::begin(&gateway).await;
    assert!(call.turn(0).await);
    call.out.send_reset(Code::CANCEL);
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    in_time("the backend", async {
        while cut.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A message and the end of its stream in one packet: it does not go on as if all were well.
    let mut raw = Frames::open(gateway.address()).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &asked("POST", "/", &[]))).await;
    raw.send(&frame(DATA, 0, 1, b"first")).await;
    assert_eq!(raw.next_of(DATA).await.expect("open").payload, b"first");
    let reset = frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    raw.send(&[frame(DATA, 0, 1, b"second"), reset].concat()).await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 2").await;
    drop(call.client);
}

#[tokio::test]
async fn a_backend_that_ends_or_dies_among_messages_ends_the_call() {
    let dies = Arc::new(AtomicBool::new(false));
    let knows = Arc::clone(&dies);
    let backend = Backend2::each(move |mut asked| {
        let dies = knows.load(Ordering::SeqCst);
        async move {
            let mut out = begin(&mut asked.respond);
            let mut request = asked.request.into_body();
            for n in 0..3 {
                let data = request.data().await.expect("more").expect("sound");
                request.flow_control().release_capacity(data.len()).expect("open");
                // Its last word comes with its last message.
                out.send_data(data, false).expect("open");
                if n == 2 && dies {
                    out.send_reset(Code::INTERNAL_ERROR);
                    return;
                }
            }
            end(&mut out, &[("x-end", "early")]);
        }
    })
    .await;
    let gateway = before(backend.address);
    let mut call = Call::begin(&gateway).await;
    assert!(call.turn(0).await && call.turn(1).await);
    assert!(in_time("the end", call.back.data()).await.is_none(), "in order");
    assert_eq!(call.back.trailers().await.expect("sound").expect("some")["x-end"], "early");
    dies.store(true, Ordering::SeqCst);
    let mut call = Call::begin(&gateway).await;
    assert!(call.turn(0).await);
    call.out.send_data(Bytes::from_static(&[1; MESSAGE]), false).expect("open");
    while let Some(data) = in_time("the end", call.back.data()).await {
        if data.is_err() {
            gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_CUT\"} 1").await;
            return;
        }
    }
    panic!("it looks whole");
}

#[tokio::test]
async fn messages_keep_a_call_from_its_limits_and_their_lack_does_not() {
    let (backend, _) = echo().await;
    let mut route = to_pool("p");
    timeouts(&mut route, TimeoutsDraft { idle_ms: 3_000, ..TimeoutsDraft::default() });
    let gateway = with_route(&pool_of(&[backend.address]), &route);
    let mut call = Call::begin(&gateway).await;
    // More than its limit in all.
    for n in 0..9 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert!(call.turn(n).await, "message {n}");
    }
    assert!(call.came().await.is_none(), "nothing moves any more");
    gateway.counts("gateway_requests_failed_total{reason=\"IDLE_TIMEOUT\"} 1").await;
}

#[tokio::test]
async fn what_is_compressed_or_copied_is_so_among_messages() {
    const TURNS: usize = 30;
    let backend = Backend2::each(|mut asked| async move {
        let text = Response::builder().header("content-type", "text/plain").body(()).expect("a response");
        let mut out = asked.respond.send_response(text, false).expect("open");
        let mut request = asked.request.into_body();
        while let Some(data) = request.data().await {
            let data = data.expect("sound");
            request.flow_control().release_capacity(data.len()).expect("open");
            out.send_data(data, false).expect("open");
        }
        end(&mut out, &[("x-end", "1")]);
    })
    .await;
    let (mirror, kept) = that_keeps("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("p", &pool_of(&[backend.address]));
    gateway.pool("m", &[mirror.address]);
    let compression = Some(CompressionDraft { min_length: 1, ..CompressionDraft::default() });
    let copies = Some(MirrorDraft { pool: Some("pools/m".into()), ..MirrorDraft::default() });
    for (path, traffic) in [
        ("/squeezed/", TrafficDraft { compression, ..TrafficDraft::default() }),
        ("/copied/", TrafficDraft { mirror: copies, ..TrafficDraft::default() }),
    ] {
        let route = RouteDraft { matches: at_prefix(path), traffic: Some(Box::new(traffic)), ..to_pool("p") };
        gateway.route(path.trim_matches('/'), &route);
    }
    gateway.swap();
    let client = Http2::connect(&gateway).await;
    let mut all = Vec::new();
    for path in ["/squeezed/", "/copied/"] {
        let head = format!("POST {path} HTTP/1.1\r\naccept-encoding: gzip\r\n");
        let (response, mut out) = client.begin(&head, false).await;
        let mut bytes = Vec::new();
        out.send_data(Bytes::from_static(b"first"), false).expect("open");
        let mut back = in_time("a head", response).await.expect("at once").into_body();
        for n in 0..TURNS {
            // Whatever it is by then.
            let data = in_time("an answer", back.data()).await.expect("more").expect("sound");
            bytes.extend_from_slice(&data);
            out.send_data(Bytes::from(format!("message {n}\n")), false).expect("open");
        }
        out.send_data(Bytes::new(), true).expect("open");
        let (rest, whole, trailers) = body(back).await;
        assert_eq!((whole, trailers.as_str()), (true, "x-end: 1\n"), "{path}");
        bytes.extend_from_slice(&rest);
        all.push(bytes);
    }
    let want = (0..TURNS).fold("first".to_owned(), |text, n| text + &format!("message {n}\n"));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&*all[0]).read_to_string(&mut plain).expect("compressed to its end");
    assert_eq!(plain, want);
    assert_eq!(String::from_utf8_lossy(&all[1]), want);
    in_time("the copy", async {
        while kept.lock().expect("free").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(kept.lock().expect("free")[0].ends_with(&want));
}
