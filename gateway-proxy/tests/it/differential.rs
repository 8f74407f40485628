//! Both engines get the same bytes in the same pieces, and what a backend sees of them is compared. They may
//! differ in one way only: the gateway's own engine refuses more. So the requests that reach its backend are the
//! first of those that reach the other's.

use hotswap_matcher::TimeoutsDraft;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use tokio::sync::mpsc;

use crate::support::*;

/// A request, as far as it must be the same for both.
type Seen = (String, Vec<String>, Vec<u8>, String);

/// One engine before a backend that tells what it sees.
struct Side {
    gateway: Gateway,
    backend: Backend,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Side {
    async fn start(engine: &str) -> Self {
        let (tell, seen) = mpsc::unbounded_channel();
        let backend = Backend::each(move |_, mut wire| {
            let tell = tell.clone();
            async move {
                while let Some((request, trailers)) = wire.request_and_trailers().await {
                    let mut lines: Vec<String> = request.head.lines().map(str::to_owned).collect();
                    let first = lines.remove(0);
                    lines.sort_unstable();
                    let _ = tell.send((first, lines, request.body, trailers));
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        })
        .await;
        // What never ends is given up soon.
        let args = ["--gateway-engine", engine, "--client-idle-ms", "150", "--client-head-ms", "150"];
        let limits = TimeoutsDraft { idle_ms: 150, ..TimeoutsDraft::default() };
        let gateway = Gateway::before_with(backend.address, &args, |draft| timeouts(draft, limits));
        Self { gateway, backend, seen }
    }

    /// Sends the pieces on a connection, waits for its end, and tells what the backend saw.
    async fn feed(&mut self, pieces: &[Vec<u8>]) -> Vec<Seen> {
        let mut client = self.gateway.connect().await;
        let _ = client.stream.set_nodelay(true);
        for piece in pieces {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = client.ended().await;
        let address = self.backend.address.to_string();
        let mut all = Vec::new();
        while let Ok(mut seen) = self.seen.try_recv() {
            // A client without a Host gives the backend its own address.
            seen.1.iter_mut().for_each(|line| *line = line.replace(&address, "backend"));
            all.push(seen);
        }
        all
    }
}

/// Lines that parties have been known to read differently, and some that concern one connection. Not Expect: the
/// other engine keeps a body back that came unasked, until a time-out.
fn line() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "content-length: 0\r\n",
        "Content-Length: 05\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length : 5\r\n",
        "Content-Length:\t5 \r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive, X-Hop, content-length\r\n",
        "Connection: transfer-encoding\r\n",
        "X-Hop: 1\r\n",
        "TE: trailers\r\n",
        "Trailer: x-sum\r\n",
        "Host: h2\r\n",
        "Via: 1.1 x\r\n",
        "X-Forwarded-For: 9.9.9.9\r\n",
        "X-Forwarded-Host: liar\r\n",
        "X-A: 1\n",
        "X-A: a\rb\r\n",
        "X-A: \u{e9}\r\n",
        "X A: 1\r\n",
        ": 1\r\n",
        "X-A:\r\n",
        " folded\r\n",
        "Upgrade: websocket\r\n",
        "HTTP2-Settings: x\r\n",
        "Client-Cert: :AA:\r\n",
        "X-Forwarded-Client-Cert: Hash=00\r\n",
    ]);
    odd.prop_map(str::to_owned)
}

fn first_line() -> impl Strategy<Value = String> {
    let usual = ["GET / HTTP/1.1\r\n", "POST /a?b=c HTTP/1.1\r\n"];
    let odd = [
        "POST / HTTP/1.0\r\n",
        "HEAD /a HTTP/1.1\r\n",
        "GET http://real/x HTTP/1.1\r\n",
        "GET http://real HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "OPTIONS http://real?q HTTP/1.1\r\n",
        "GET /a\u{e9} HTTP/1.1\r\n",
        "GET /a#b HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /\"{}|?` HTTP/1.1\r\n",
        "get / HTTP/1.1\n",
        "\r\nGET / HTTP/1.1\r\n",
        "\nGET / HTTP/1.1\r\n",
        "PUT /..%2f HTTP/1.1\r\n",
        "FOO-BAR / HTTP/1.1\r\n",
        "GET / HTTP/1.2\r\n",
    ];
    let of = |lines: &[&str]| prop::sample::select(lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
    prop_oneof![3 => of(&usual), 2 => of(&odd)]
}

fn body() -> impl Strategy<Value = String> {
    let bodies = [
        "",
        "hello",
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        "5;x=\"y\"\r\nhello\r\n00\r\nX-Sum: 7\r\nx-other: 8\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        "helloGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
    ];
    prop::sample::select(bodies.map(str::to_owned).to_vec())
}

fn request() -> impl Strategy<Value = String> {
    let host = prop_oneof![8 => Just("Host: h\r\n"), 1 => Just("")];
    let lines = prop::collection::vec(line(), 0..4);
    (first_line(), host, lines, body())
        .prop_map(|(first, host, lines, body)| format!("{first}{host}{}\r\n{body}", lines.concat()))
}

/// A well-formed request, so that many cases go deep.
fn sound() -> impl Strategy<Value = String> {
    let sound = [
        "GET /s HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST /s HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
        "POST /s HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /s HTTP/1.1\r\nhost: h\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n0\r\nx-sum: 1\r\n\r\n",
    ];
    prop::sample::select(sound.map(str::to_owned).to_vec())
}

/// A change of one byte: place, kind, byte.
type Flip = (prop::sample::Index, u8, u8);

fn flips() -> impl Strategy<Value = Vec<Flip>> {
    let byte = prop_oneof![prop::sample::select(b"\r\n :,;\t\0-/h05\x80".to_vec()), any::<u8>()];
    prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec((any::<prop::sample::Index>(), 0u8..3, byte), 1..3),
    ]
}

fn case() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let requests = prop::collection::vec(prop_oneof![sound(), request()], 1..4);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (requests, flips(), cuts).prop_map(|(requests, flips, cuts)| {
        let mut bytes = requests.concat().into_bytes();
        bytes.extend_from_slice(b"GET /end HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        for (at, kind, byte) in flips {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|w| bytes[w[0]..w[1]].to_vec()).filter(|p| !p.is_empty()).collect()
    })
}

/// How many cases; `HOTSWAP_CASES` for a long run.
fn cases() -> u32 {
    std::env::var("HOTSWAP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

#[test]
fn a_backend_behind_our_engine_sees_nothing_that_it_would_not_see_behind_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let sides = runtime.block_on(async { (Side::start("own").await, Side::start("hyper").await) });
    let sides = std::cell::RefCell::new(sides);
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let alike = std::cell::Cell::new(0);
    let tried = TestRunner::new(config).run(&case(), |pieces| {
        let (own, hyper) = &mut *sides.borrow_mut();
        let (ours, theirs) = runtime.block_on(async { tokio::join!(own.feed(&pieces), hyper.feed(&pieces)) });
        let shown = pieces.iter().map(|p| p.escape_ascii().to_string()).collect::<Vec<_>>();
        prop_assert!(theirs.starts_with(&ours), "{shown:#?}\nours {ours:#?}\ntheirs {theirs:#?}");
        alike.set(alike.get() + u32::from(theirs.len() == ours.len()));
        Ok(())
    });
    if let Err(failed) = tried {
        match failed {
            // It has the bytes in it, in a form that can be read.
            TestError::Fail(reason, _) => panic!("{reason}"),
            TestError::Abort(reason) => panic!("{reason}"),
        }
    }
    // Else it would be no comparison.
    assert!(alike.get() > cases() / 3, "only {} of {} cases went alike", alike.get(), cases());
}
