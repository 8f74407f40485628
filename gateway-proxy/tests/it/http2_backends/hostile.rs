//! Backends that are hostile: what they send costs their own requests at most, and no memory.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::http2_support::*;

/// More than a gateway may need for any of this, in bytes; what is sent to it would take several times as much.
const MOST: usize = 128 << 20;

/// A gateway before a backend whose frames the test writes, for `/evil`, and a good one of each version. Its one core
/// serves all of them.
struct Besieged {
    gateway: Gateway,
    listener: TcpListener,
    other: Http2,
    memory: usize,
    _good: (Backend, Backend2),
}

impl Besieged {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let good = (Backend::echo().await, Backend2::echo().await);
        let mut gateway = Gateway::start(&OWN);
        gateway.pool_of("evil", &pool_of(&[listener.local_addr().expect("addr")]));
        gateway.pool("one", &[good.0.address]);
        gateway.pool_of("two", &pool_of(&[good.1.address]));
        for name in ["evil", "one", "two"] {
            let matches = at_prefix(&format!("/{name}"));
            gateway.route(name, &RouteDraft { matches, ..to_pool(name) });
        }
        gateway.swap();
        let other = Http2::connect(&gateway).await;
        Self { memory: memory(), gateway, listener, other, _good: good }
    }

    /// A request to the hostile backend, and what that sees of it: its connection, and the stream.
    async fn asks(&self) -> (tokio::task::JoinHandle<Option<crate::support::Response>>, Frames, u32) {
        let address = self.gateway.address();
        let asking = spawn(async move {
            let mut client = Client::connect(address).await;
            client.send("GET /evil HTTP/1.1\r\nhost: h\r\n\r\n").await;
            loop {
                let answer = client.response_to("GET").await;
                if answer.as_ref().is_none_or(|answer| answer.status >= 200) {
                    return answer;
                }
            }
        });
        let (stream, _) = in_time("a connection", self.listener.accept()).await.expect("accepts");
        let mut backend = Frames::accepted(stream).await;
        let stream = backend.next_of(HEADERS).await.expect("a request").stream;
        (asking, backend, stream)
    }

    /// Others are served, on connections that are there and on new ones, and nothing is kept of what came.
    async fn stands(&self, what: &str) {
        for _ in 0..4 {
            for path in ["/one", "/two"] {
                let asked = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
                assert_eq!(self.other.ask(&asked).await.status, 200, "{what}");
                assert_eq!(self.gateway.ask(&asked).await.status, 200, "{what}");
            }
        }
        let more = memory().saturating_sub(self.memory);
        assert!(more < MOST, "{what}: {more} bytes");
    }
}

/// Of this process, and the gateway with it, in bytes.
fn memory() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    told.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4_096
}

/// The fields of an answer that unpack to 40 MB: one goes into the table of the connection, and each byte behind it
/// stands for that one.
fn bomb(first: &[u8]) -> Vec<u8> {
    let mut block = first.to_vec();
    block.extend_from_slice(&[0x40, 1, b'x']);
    integer(4_000, &mut block);
    block.extend_from_slice(&[b'a'; 4_000]);
    block.extend_from_slice(&[0xbe; 10_000]);
    block
}

#[tokio::test]
async fn a_backend_that_floods_holds_up_nobody_else() {
    let floods: [(&str, Vec<u8>); 4] = [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("unknown frames", frame(0xee, 0, 0, &[])),
        ("data without data", frame(DATA, 0, 1, &[])),
    ];
    for (what, one) in floods {
        let besieged = Besieged::start().await;
        let (asking, mut backend, stream) = besieged.asks().await;
        backend.send(&frame(HEADERS, END_HEADERS, stream, &OK)).await;
        // As long as the gateway takes it: it reads none of the answers.
        let flood = spawn(async move {
            let many = one.repeat(1_000);
            while backend.stream.write_all(&many).await.is_ok() {}
        });
        besieged.stands(what).await;
        flood.abort();
        drop(in_time("its end", asking).await.expect("no panic"));
        besieged.stands(what).await;
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_or_unpacks_to_a_large_one_is_no_answer() {
    let besieged = Besieged::start().await;
    let piece = frame(CONTINUATION, 0, 1, &fields([(&b"x-a"[..], &[b'a'; 16_000][..])]));
    let interim = frame(HEADERS, END_HEADERS, 1, &[0x08, 3, b'1', b'0', b'3']);
    for (what, first, more) in [
        ("a head without an end", frame(HEADERS, 0, 1, &OK), &piece),
        ("a head of nothing", frame(HEADERS, 0, 1, &OK), &frame(CONTINUATION, 0, 1, &[])),
        ("a bomb", frame(HEADERS, END_HEADERS, 1, &bomb(&OK)), &Vec::new()),
        ("interim answers", Vec::new(), &interim),
    ] {
        let (asking, mut backend, stream) = besieged.asks().await;
        assert_eq!(stream, 1, "the first of its connection");
        let more = more.repeat(20);
        let flood = spawn(async move {
            let _ = backend.stream.write_all(&first).await;
            for _ in 0..10_000 {
                if backend.stream.write_all(&more).await.is_err() {
                    break;
                }
            }
            backend
        });
        let answer = in_time("its answer", asking).await.expect("no panic").expect("an answer");
        assert_eq!(answer.status, 502, "{what}");
        besieged.stands(what).await;
        flood.abort();
        let _ = flood.await;
    }
}

#[tokio::test]
async fn trailers_that_unpack_to_large_ones_cut_their_own_answer() {
    let besieged = Besieged::start().await;
    let (asking, mut backend, stream) = besieged.asks().await;
    backend.send(&frame(HEADERS, END_HEADERS, stream, &OK)).await;
    backend.send(&frame(DATA, 0, stream, b"some")).await;
    backend.send(&frame(HEADERS, BOTH, stream, &bomb(&[]))).await;
    let answer = in_time("its answer", asking).await.expect("no panic").expect("an answer");
    assert_eq!((answer.status, answer.whole), (200, false));
    besieged.stands("trailers").await;
}
