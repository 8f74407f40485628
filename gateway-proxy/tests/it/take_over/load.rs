//! Take-overs under load: no request fails, whatever it comes by, and what lasts longer goes on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::{confirmed, generation, serving};
use crate::certificates::Authority;
use crate::control::*;
use crate::http2_support::whole;
use crate::support::*;

/// Take-overs in a row.
const TIMES: u64 = 5;
/// Requests that each client has answered at least, between any two of them.
const ENOUGH: usize = 20;

/// The other end of a connection.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Where and how a client connects.
#[derive(Clone)]
struct Way {
    at: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Way {
    async fn connect(&self) -> Box<dyn Line> {
        let tcp = in_time("connect", TcpStream::connect(self.at)).await.expect("nobody is turned away");
        let Some(tls) = &self.tls else { return Box::new(tcp) };
        let name = ServerName::try_from("shop.example").expect("a name");
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp);
        Box::new(in_time("handshake", stream).await.expect("no handshake is cut"))
    }
}

/// Clients that ask one request after the other.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Vec<Arc<std::sync::atomic::AtomicUsize>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn new() -> Self {
        Self { stop: Arc::default(), answered: Vec::new(), clients: Vec::new() }
    }

    /// A client that asks by HTTP/1.1, on one connection as long as that lasts, or each time on a new one.
    fn http1(&mut self, way: Way, keeps: bool) {
        let (stop, answered) = self.one_more();
        self.clients.push(spawn(async move {
            let mut line = None;
            while !stop.load(Ordering::SeqCst) {
                let on = match &mut line {
                    Some(on) => on,
                    none => none.insert(way.connect().await),
                };
                let lasts = exchange(on, keeps).await.expect("no request fails");
                answered.fetch_add(1, Ordering::SeqCst);
                if !lasts || !keeps {
                    line = None;
                }
            }
        }));
    }

    /// A client that asks by HTTP/2, on one connection until that takes no more.
    fn http2(&mut self, way: Way) {
        let (stop, answered) = self.one_more();
        self.clients.push(spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let (send, connection) = h2::client::handshake(way.connect().await).await.expect("HTTP/2");
                let connection = spawn(connection);
                while !stop.load(Ordering::SeqCst) {
                    // Told to go elsewhere: nothing has been sent.
                    let Ok(mut send) = in_time("ready", send.clone().ready()).await else { break };
                    let request = http::Request::get("http://shop.example/").body(()).expect("a request");
                    let Ok((response, _)) = send.send_request(request, true) else { break };
                    let response = whole(response).await;
                    assert_eq!((response.status, response.whole), (200, true), "no request fails");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                drop(send);
                // It may have had something to say to one that has gone.
                let _ = in_time("the end", connection).await.expect("ends");
            }
        }));
    }

    fn one_more(&mut self) -> (Arc<AtomicBool>, Arc<std::sync::atomic::AtomicUsize>) {
        let answered = Arc::default();
        self.answered.push(Arc::clone(&answered));
        (Arc::clone(&self.stop), answered)
    }

    /// Waits until each client has had some more answers.
    async fn goes_on(&self) {
        for answered in &self.answered {
            let want = answered.load(Ordering::SeqCst) + ENOUGH;
            in_time("answers", async {
                while answered.load(Ordering::SeqCst) < want {
                    assert!(self.clients.iter().all(|c| !c.is_finished()), "a client has failed");
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            })
            .await;
        }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            in_time("a client's end", client).await.expect("no client has failed");
        }
    }
}

/// One exchange; whether the connection lasts.
async fn exchange(line: &mut Box<dyn Line>, keeps: bool) -> io::Result<bool> {
    let connection = if keeps { "keep-alive" } else { "close" };
    let request = format!("GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: {connection}\r\n\r\n");
    line.write_all(request.as_bytes()).await?;
    let mut came = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&came).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() == 1
        {
            assert!(head.starts_with("HTTP/1.1 200 ") && body == "a", "{text}");
            return Ok(header(head, "connection") != Some("close"));
        }
        if in_time("response", line.read_buf(&mut came)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A backend that answers at once, at `/long` a byte for each permit, and that switches at `/chat` and sends back what it
/// gets.
async fn backend(go: &Arc<Semaphore>) -> Backend {
    let go = Arc::clone(go);
    Backend::each(move |_, mut wire| {
        let go = Arc::clone(&go);
        async move {
            while let Some(request) = wire.request().await {
                if request.head.starts_with("GET /chat") {
                    wire.send("HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
                    let (mut read, mut write) = wire.stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    return;
                }
                if request.head.starts_with("GET /long") {
                    wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TIMES + 1)).await;
                    for _ in 0..=TIMES {
                        go.acquire().await.expect("open").forget();
                        wire.send("x").await;
                    }
                    continue;
                }
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na").await;
            }
        }
    })
    .await
}

async fn echoes(chat: &mut Wire) {
    chat.send("hi").await;
    let mut came = [0; 2];
    in_time("an echo", chat.stream.read_exact(&mut came)).await.expect("comes");
    assert_eq!(&came, b"hi");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_over_take_overs_in_a_row_and_what_lasts_longer_goes_on() {
    let go = Arc::new(Semaphore::new(0));
    let backend = backend(&go).await;
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]).option();
    let args = ["--gateway-workers", "2", "--gateway-tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--gateway-tls-certificate", &files]].concat();
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, stream) = serving(&mut control, backend.address, &args).await;
    let told = first.told().await;
    let (at, admin) = first.ready().await;
    let tls_at: SocketAddr = told["tls_listen"].as_str().and_then(|at| at.parse().ok()).expect("an address");

    let mut chat = Client::connect(at).await;
    chat.send("GET /chat HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(chat.response().await.status, 101);
    let mut long = Client::connect(at).await;
    long.send("GET /long HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let plain = Way { at, tls: None };
    let http1 = Way { at: tls_at, tls: Some(Arc::new(authority.client())) };
    let mut h2 = authority.client();
    h2.alpn_protocols = vec![b"h2".to_vec()];
    let http2 = Way { at: tls_at, tls: Some(Arc::new(h2)) };
    let mut load = Load::new();
    for way in [&plain, &http1] {
        load.http1(way.clone(), true);
        load.http1(way.clone(), false);
    }
    load.http2(plain);
    load.http2(http2);

    let (mut gateways, mut streams) = (vec![first], vec![stream]);
    for time in 1..=TIMES {
        load.goes_on().await;
        let last = gateways.last().expect("one");
        let next = last.successor(control.address, &args);
        assert_eq!(next.ready().await, (at, admin));
        assert_eq!(generation(admin).await, (time + 1, next.id().into()));
        gateways.push(next);
        streams.push(confirmed(&mut control).await);
        echoes(&mut chat).await;
        go.add_permits(1);
    }
    load.goes_on().await;
    load.end().await;
    go.add_permits(1);
    let response = long.response().await;
    assert_eq!((response.status, response.whole, response.body.len()), (200, true, TIMES as usize + 1));
    echoes(&mut chat).await;
    drop((chat, long));
    let mut last = gateways.pop().expect("one");
    for mut gateway in gateways {
        assert!(gateway.ended().await.success());
    }
    last.signal("TERM");
    assert!(last.ended().await.success());
}
