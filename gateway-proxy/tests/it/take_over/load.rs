//! Take-overs under load: no request fails, whatever it comes and goes by, and what lasts longer goes on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hotswap_api::gateway::v1::Resource;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as route;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::lasting::Lasting;
use super::signals::Stranger;
use super::{confirmed_all, generation, serving_all};
use crate::certificates::Authority;
use crate::control::*;
use crate::http2_backends::{Backend2, begin, end};
use crate::http2_support::body;
use crate::support::*;

/// Take-overs in a row.
pub const TIMES: u64 = 5;
/// Requests that each client has answered at least, between any two of them.
const ENOUGH: usize = 10;

/// The other end of a connection.
pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Where and how a client connects, and what it asks for.
#[derive(Clone)]
pub struct Way {
    at: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    path: &'static str,
}

impl Way {
    /// The same, to the backend of HTTP/2.
    fn to_http2(&self) -> Self {
        Self { path: "/h2", ..self.clone() }
    }

    /// A client without TLS, read by hand.
    pub async fn client(&self) -> Client {
        Client::connect(self.at).await
    }

    pub async fn connect(&self) -> Box<dyn Line> {
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
                let lasts = exchange(on, way.path, keeps).await.expect("no request fails");
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
                    let uri = format!("http://shop.example{}", way.path);
                    let request = http::Request::get(uri).body(()).expect("a request");
                    let Ok((response, _)) = send.send_request(request, true) else { break };
                    let response = match in_time("response", response).await {
                        // It went out behind the answer to the goodbye: h2 says so only of streams that the last goodbye
                        // names as not done, and they may go elsewhere (RFC 9113 section 6.8).
                        Err(error)
                            if error.is_go_away()
                                && error.is_remote()
                                && error.reason() == Some(h2::Reason::NO_ERROR) =>
                        {
                            break;
                        }
                        response => response.expect("no request fails"),
                    };
                    let status = response.status();
                    let (_, is_whole, _) = body(response.into_body()).await;
                    assert_eq!((status.as_u16(), is_whole), (200, true), "no request fails");
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
async fn exchange(line: &mut Box<dyn Line>, path: &str, keeps: bool) -> io::Result<bool> {
    let connection = if keeps { "keep-alive" } else { "close" };
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: {connection}\r\n\r\n");
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

/// A backend that answers at once, at `/long` a byte for each permit, that switches at `/chat` and sends back what it
/// gets, and that sends back what is posted.
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
                let body = if request.body.is_empty() { b"a".to_vec() } else { request.body };
                wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())).await;
                wire.send(body).await;
            }
        }
    })
    .await
}

/// A backend of HTTP/2 that answers at once, and sends back what is posted as it comes.
async fn backend2() -> Backend2 {
    Backend2::each(|mut asked| async move {
        if asked.request.method() == http::Method::GET {
            let head = http::Response::builder().header("content-length", "1").body(()).expect("a response");
            let mut out = asked.respond.send_response(head, false).expect("open");
            return out.send_data("a".into(), true).expect("open");
        }
        let mut out = begin(&mut asked.respond);
        let mut request = asked.request.into_body();
        while let Some(data) = request.data().await {
            let data = data.expect("nothing is cut");
            request.flow_control().release_capacity(data.len()).expect("open");
            out.send_data(data, false).expect("open");
        }
        end(&mut out, &[("x-end", "1")]);
    })
    .await
}

/// What the gateways are told: `/h2` goes to the one, all else to the other.
fn resources(backend: SocketAddr, of_http2: SocketAddr) -> Vec<Resource> {
    let mut there = Resource { name: "pools/q".into(), ..pool(1, of_http2) };
    if let Some(Spec::Pool(pool)) = &mut there.spec {
        pool.protocol = route::BackendProtocol::Http2.into();
    }
    let mut leads = Resource { name: "routes/s".into(), ..to_the_pool(1) };
    if let Some(Spec::Route(route)) = &mut leads.spec {
        let kind = Some(route::path_match::Kind::Prefix("/h2".into()));
        let path = Some(route::PathMatch { kind });
        route.matches = vec![route::RouteMatch { path, ..Default::default() }];
        let target = Some(route::forward::Target::Pool("pools/q".into()));
        let forward = route::Forward { target, ..Default::default() };
        route.action = Some(route::route::Action::Forward(forward));
    }
    vec![pool(1, backend), there, to_the_pool(1), leads]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_over_take_overs_in_a_row_and_what_lasts_longer_goes_on() {
    let go = Arc::new(Semaphore::new(0));
    let (backend, of_http2) = (backend(&go).await, backend2().await);
    let resources = resources(backend.address, of_http2.address);
    let of: Vec<_> = resources.iter().map(|r| (r.name.clone(), r.version)).collect();
    let of: Vec<_> = of.iter().map(|(name, version)| (name.as_str(), *version)).collect();
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]).option();
    let args = ["--gateway-workers", "2", "--gateway-tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--gateway-tls-certificate", &files]].concat();
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, stream) = serving_all(&mut control, resources.clone(), &args).await;
    let told = first.told().await;
    let (at, admin) = first.ready().await;
    let tls_at: SocketAddr = told["tls_listen"].as_str().and_then(|at| at.parse().ok()).expect("an address");

    let plain = Way { at, tls: None, path: "/" };
    let http1 = Way { at: tls_at, tls: Some(Arc::new(authority.client())), path: "/" };
    let mut h2 = authority.client();
    h2.alpn_protocols = vec![b"h2".to_vec()];
    let http2 = Way { at: tls_at, tls: Some(Arc::new(h2)), path: "/" };
    let mut lasting = Lasting::begin(&plain, &http1, &http2.to_http2(), &go).await;
    let mut load = Load::new();
    load.http1(plain.to_http2(), true);
    load.http1(plain.clone(), false);
    load.http1(http1.clone(), true);
    load.http1(http1, false);
    load.http2(plain.to_http2());
    load.http2(http2);

    let (mut gateways, mut streams) = (vec![first], vec![stream]);
    for time in 1..=TIMES {
        load.goes_on().await;
        let last = gateways.last().expect("one");
        let next = last.successor(control.address, &args);
        assert_eq!(next.ready().await, (at, admin));
        assert_eq!(generation(admin).await, (time + 1, next.id().into()));
        gateways.push(next);
        streams.push(confirmed_all(&mut control, &of).await);
        lasting.goes_on().await;
    }
    load.goes_on().await;
    load.end().await;
    lasting.ends().await;
    let mut last = gateways.pop().expect("one");
    for mut gateway in gateways {
        assert!(gateway.ended().await.success());
    }
    last.signal("TERM");
    assert!(last.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_a_signal_starts_the_program_again() {
    let go = Arc::new(Semaphore::new(0));
    let (backend, of_http2) = (backend(&go).await, backend2().await);
    let resources = resources(backend.address, of_http2.address);
    let of: Vec<_> = resources.iter().map(|r| (r.name.clone(), r.version)).collect();
    let of: Vec<_> = of.iter().map(|(name, version)| (name.as_str(), *version)).collect();
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut first, _stream) = serving_all(&mut control, resources, &["--gateway-workers", "2"]).await;
    let (at, admin) = first.ready().await;
    let plain = Way { at, tls: None, path: "/" };
    let mut load = Load::new();
    load.http1(plain.clone(), true);
    load.http1(plain.to_http2(), false);
    load.http2(plain);

    load.goes_on().await;
    std::fs::remove_file(first.file("ready.json")).expect("removed");
    first.signal("USR2");
    let second = Stranger(first.told().await["pid"].as_u64().expect("an id"));
    assert_eq!(generation(admin).await, (2, second.0));
    let _stream = confirmed_all(&mut control, &of).await;
    load.goes_on().await;
    assert!(first.ended().await.success());
    load.goes_on().await;
    load.end().await;
}
