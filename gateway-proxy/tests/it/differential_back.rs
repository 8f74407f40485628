//! The other direction: backends of both engines answer with the same bytes in the same pieces, and what a client
//! sees of them is compared. Where the gateway's own engine passes a response on, the other does, and it is the same;
//! where it answers by itself or cuts, anything may be.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

use hotswap_matcher::TimeoutsDraft;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::support::*;

type Pieces = Vec<Vec<u8>>;

/// What a client sees of a response, as far as it must be the same.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    status: u16,
    lines: Vec<String>,
    body: Vec<u8>,
    whole: bool,
    /// The gateway answered by itself, or not at all.
    refused: bool,
}

struct Side {
    gateway: Gateway,
    /// What the backend sends next.
    script: Arc<Mutex<Pieces>>,
    _backend: Backend,
}

impl Side {
    async fn start(engine: &str) -> Self {
        let script = Arc::<Mutex<Pieces>>::default();
        let lent = Arc::clone(&script);
        let backend = Backend::each(move |_, mut wire| {
            let lent = Arc::clone(&lent);
            async move {
                if wire.request().await.is_none() {
                    return;
                }
                let pieces = lent.lock().expect("lock").clone();
                let _ = wire.stream.set_nodelay(true);
                for piece in pieces {
                    wire.send(piece).await;
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        let limits = TimeoutsDraft { idle_ms: 2_000, ..TimeoutsDraft::default() };
        let args = ["--gateway-engine", engine];
        let gateway = Gateway::before_with(backend.address, &args, |draft| timeouts(draft, limits));
        Self { gateway, script, _backend: backend }
    }

    async fn ask(&self, method: &str, pieces: &Pieces) -> Seen {
        self.script.lock().expect("lock").clone_from(pieces);
        let mut client = self.gateway.connect().await;
        client.send(format!("{method} / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await;
        loop {
            match client.response_to(method).await {
                // Interim responses are passed on by the own engine alone.
                Some(response) if response.status < 200 => {}
                Some(response) => return seen(response),
                None => return Seen { refused: true, ..Seen::default() },
            }
        }
    }
}

fn seen(response: Response) -> Seen {
    // Not Trailer: the other engine takes it out where it frames no chunks.
    let framing = ["date", "connection", "content-length", "transfer-encoding", "trailer"];
    let is_framing = |l: &&str| framing.iter().any(|f| l.split(':').next() == Some(f));
    let lines = response.head.lines().skip(1).filter(|l| !is_framing(l));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort_unstable();
    let refused = response.reason().is_some();
    Seen { status: response.status, lines, body: response.body, whole: response.whole, refused }
}

/// Whether a client behind ours sees nothing that it would not see behind the other.
fn agrees(ours: &Seen, theirs: &Seen) -> bool {
    if ours.refused {
        return true;
    }
    // The other engine may cut before the head of the response is out.
    if theirs.status == 0 {
        return !ours.whole;
    }
    let head = !theirs.refused && (ours.status, &ours.lines) == (theirs.status, &theirs.lines);
    if ours.whole {
        return head && theirs.whole && ours.body == theirs.body;
    }
    head && (ours.body.starts_with(&theirs.body) || theirs.body.starts_with(&ours.body))
}

fn of(texts: &[&str]) -> impl Strategy<Value = String> + use<> {
    prop::sample::select(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
}

fn response() -> impl Strategy<Value = String> {
    let usual = of(&["HTTP/1.1 200 OK\r\n", "HTTP/1.1 404 Not Found\r\n"]);
    let odd = of(&[
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 101 Switching\r\n",
        "HTTP/1.1 200 \u{e9}\r\n",
        "HTTP/1.1 999 Odd\r\n",
        "HTTP/1.1  200 OK\r\n",
        "HTTP/2.0 200 OK\r\n",
        "\r\nHTTP/1.1 200 OK\r\n",
    ]);
    let line = of(&[
        "Content-Length: 5\r\n",
        "content-length: 0\r\n",
        "Content-Length: 05\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 6\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Connection: close, x-hop\r\n",
        "X-Hop: 1\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Trailer: x-sum\r\n",
        "X-A: \u{e9}\r\n",
        "X-A: 1\n",
        "X-A: 1\r\n folded\r\n",
        "Upgrade: websocket\r\n",
    ]);
    let body = of(&[
        "",
        "hello",
        "helloHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "3\r\nhel\r\n2;x\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhe",
    ]);
    let lines = prop::collection::vec(line, 0..4);
    (prop_oneof![3 => usual, 2 => odd], lines, body)
        .prop_map(|(first, lines, body)| format!("{first}{}\r\n{body}", lines.concat()))
}

fn case() -> impl Strategy<Value = (bool, Pieces)> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let flip =
        prop::option::weighted(0.3, (any::<prop::sample::Index>(), prop::sample::select(&b"\r\n :\x80"[..])));
    (any::<bool>(), response(), flip, cuts).prop_map(|(head, response, flip, cuts)| {
        let mut bytes = response.into_bytes();
        if let Some((at, byte)) = flip {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        (head, cuts.windows(2).map(|w| bytes[w[0]..w[1]].to_vec()).filter(|p| !p.is_empty()).collect())
    })
}

#[test]
fn a_client_behind_our_engine_sees_nothing_that_it_would_not_see_behind_the_other() {
    let cases = std::env::var("HOTSWAP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let sides = runtime.block_on(async { (Side::start("own").await, Side::start("hyper").await) });
    let sides = RefCell::new(sides);
    let passed_on = Cell::new(0);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&case(), |(head, pieces)| {
        let (own, hyper) = &*sides.borrow();
        let method = if head { "HEAD" } else { "GET" };
        let (ours, mut theirs) =
            runtime.block_on(async { tokio::join!(own.ask(method, &pieces), hyper.ask(method, &pieces)) });
        // Where more came than the response, hyper gives it up if it sees that before the response is taken: one
        // time in thousands.
        for _ in 0..5 {
            if theirs.refused && !agrees(&ours, &theirs) {
                theirs = runtime.block_on(hyper.ask(method, &pieces));
            }
        }
        let shown = pieces.iter().map(|p| p.escape_ascii().to_string()).collect::<Vec<_>>();
        prop_assert!(agrees(&ours, &theirs), "{method} {shown:#?}\nours {ours:#?}\ntheirs {theirs:#?}");
        passed_on.set(passed_on.get() + u32::from(!ours.refused));
        Ok(())
    });
    if let Err(TestError::Fail(reason, _) | TestError::Abort(reason)) = tried {
        panic!("{reason}");
    }
    // Else it would be no comparison.
    assert!(passed_on.get() > cases / 4, "only {} of {cases} were passed on", passed_on.get());
}
