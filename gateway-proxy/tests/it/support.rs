//! Real sockets on both sides: a gateway with a configuration of its own, backends that do what a test says,
//! and a client that sends bytes and reads responses.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use hotswap_core::{PoolName, ResourceName, RouteName};
use hotswap_gateway::config::Catalog;
use hotswap_gateway::options::GatewayOptions;
use hotswap_gateway::plane::DataPlane;
use hotswap_matcher::{
    BackendDraft, CandidateDraft, CandidateSpec, ForwardDraft, MatchDraft, PathMatchDraft, PoolDraft,
    PoolSpec, RouteDraft, RouteSpec, TimeoutsDraft,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Long enough that only a hang reaches it.
pub const HANG: Duration = Duration::from_secs(30);

/// Fails a test that hangs.
pub async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(HANG, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: hangs"),
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    gateway: GatewayOptions,
}

/// Options of a gateway on a free port, with one core.
pub fn options(args: &[&str]) -> GatewayOptions {
    let fixed = ["gateway", "--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0"];
    let log = if args.contains(&"--access-log") { &[][..] } else { &["--access-log", "off"][..] };
    let workers = if args.contains(&"--gateway-workers") { &[][..] } else { &["--gateway-workers", "1"][..] };
    Cli::parse_from(fixed.iter().chain(log).chain(workers).chain(args)).gateway
}

/// A gateway and what it is configured from.
pub struct Gateway {
    pub plane: DataPlane,
    pub catalog: Catalog,
    revision: i64,
}

impl Gateway {
    pub fn start(args: &[&str]) -> Self {
        let plane = DataPlane::start(&options(args)).expect("starts");
        Self { plane, catalog: Catalog::default(), revision: 0 }
    }

    /// A gateway whose only route sends everything to one backend.
    pub fn before(backend: SocketAddr) -> Self {
        Self::before_with(backend, &[], |_| {})
    }

    /// The same, with options and with a change to the route.
    pub fn before_with(backend: SocketAddr, args: &[&str], change: impl FnOnce(&mut RouteDraft)) -> Self {
        let mut gateway = Self::start(args);
        gateway.pool("p", &[backend]);
        let mut draft = to_pool("p");
        change(&mut draft);
        gateway.route("r", &draft);
        gateway.swap();
        gateway
    }

    pub fn route(&mut self, id: &str, draft: &RouteDraft) {
        let spec = RouteSpec::parse(draft).expect("valid");
        self.catalog.put_route(&RouteName::from_id(id).expect("id"), Arc::new(spec));
    }

    /// A route and its candidate.
    pub fn route_with(&mut self, id: &str, draft: &RouteDraft, other: &RouteDraft, who: &CandidateDraft) {
        let spec = |draft| Arc::new(RouteSpec::parse(draft).expect("valid"));
        let who = CandidateSpec::parse(who).expect("valid");
        let name = RouteName::from_id(id).expect("id");
        self.catalog.put_route_with(&name, spec(draft), Some((spec(other), who)));
    }

    /// A pool of one backend, and its candidate of another.
    pub fn pool_with(&mut self, id: &str, backend: SocketAddr, other: SocketAddr, who: &CandidateDraft) {
        let spec = |at| PoolSpec::parse(&of_backends(&[at])).expect("valid");
        let who = CandidateSpec::parse(who).expect("valid");
        let name = PoolName::from_id(id).expect("id");
        self.catalog.put_pool_with(&name, &spec(backend), Some((&spec(other), who)));
    }

    pub fn pool(&mut self, id: &str, backends: &[SocketAddr]) {
        self.pool_of(id, &of_backends(backends));
    }

    pub fn pool_of(&mut self, id: &str, draft: &PoolDraft) {
        let spec = PoolSpec::parse(draft).expect("valid");
        self.catalog.put_pool(&PoolName::from_id(id).expect("id"), &spec);
    }

    /// Puts the catalog in force.
    pub fn swap(&mut self) {
        self.revision += 1;
        self.plane.config().replace(self.catalog.compile(self.revision));
    }

    pub fn address(&self) -> SocketAddr {
        self.plane.listen()
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &str) -> Response {
        let mut client = self.connect().await;
        client.send(request).await;
        client.response().await
    }

    /// Every metric, as text.
    pub fn metrics(&self) -> String {
        let registry = hotswap_telemetry::Metrics::new();
        let collected = hotswap_gateway::metrics::Collected::new(self.plane.metrics().clone());
        registry.register(collected.expect("valid")).expect("free");
        let backends = hotswap_gateway::metrics::CollectedBackends::new(self.plane.config());
        registry.register(backends.expect("valid")).expect("free");
        let traffic = hotswap_gateway::metrics::CollectedTraffic::new(self.plane.config());
        registry.register(traffic.expect("valid")).expect("free");
        if let Some(fleet) = self.plane.fleet_metrics() {
            registry.register(fleet).expect("free");
        }
        registry.encode().expect("text")
    }

    /// Waits until a line stands among the metrics: what ends an exchange may come after its response.
    pub async fn counts(&self, line: &str) {
        in_time(line, async {
            while !self.metrics().lines().any(|l| l == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

pub fn of_backends(backends: &[SocketAddr]) -> PoolDraft {
    let backends = backends
        .iter()
        .map(|a| BackendDraft { address: a.to_string(), weight: None, ..BackendDraft::default() })
        .collect();
    PoolDraft { backends, ..PoolDraft::default() }
}

pub fn to_pool(pool: &str) -> RouteDraft {
    RouteDraft {
        forward: Some(ForwardDraft { pool: Some(format!("pools/{pool}")), ..ForwardDraft::default() }),
        ..RouteDraft::default()
    }
}

pub fn at_prefix(prefix: &str) -> Vec<MatchDraft> {
    vec![MatchDraft { path: Some(PathMatchDraft::Prefix(prefix.into())), ..MatchDraft::default() }]
}

pub fn timeouts(draft: &mut RouteDraft, timeouts: TimeoutsDraft) {
    draft.forward.as_mut().expect("forwards").timeouts = Some(timeouts);
}

/// A backend that does with each connection what the test says. `connections` counts them.
pub struct Backend {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    pub async fn each<F, Fut>(serve: F) -> Self
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("binds"), serve)
    }

    /// The same, on a socket of the test's.
    pub fn on<F, Fut>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("addr");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                let number = count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(number, Wire::new(stream)));
            }
        });
        Self { address, connections, task }
    }

    /// Answers every request with the same bytes, keeping the connection.
    pub async fn always(response: &'static str) -> Self {
        Self::each(move |_, mut wire| async move {
            while wire.request().await.is_some() {
                wire.send(response).await;
            }
        })
        .await
    }

    /// Answers every request with its head and body, as text.
    pub async fn echo() -> Self {
        Self::each(|_, mut wire| async move {
            while let Some(request) = wire.request().await {
                let text = format!("{}\n{}", request.head, String::from_utf8_lossy(&request.body));
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
                wire.send(&(head + &text)).await;
            }
        })
        .await
    }

    /// Ends, and with it all its connections: when this returns nobody listens.
    pub async fn end(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own task, which ends with it")]
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    tokio::spawn(future)
}

/// A request, as a backend got it.
#[derive(Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// A response, as a client got it.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
    pub trailers: String,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The reason code.
    pub fn reason(&self) -> Option<&str> {
        self.header("x-hotswap-reason")
    }
}

/// The value of a header in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim())
    })
}

/// A connection that is read by hand, so that a test sees every byte.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// A client is such a connection too.
pub type Client = Wire;

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(in_time("connect", TcpStream::connect(address)).await.expect("connects"))
    }

    /// What came and was not looked at.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that has closed shows when it is read from.
        let _ = in_time("send", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads more; false at the end or at a reset.
    pub async fn more(&mut self) -> bool {
        let read = in_time("read", self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(n) if n > 0)
    }

    /// Whether the peer has ended the connection: `Some(true)` by a reset.
    pub async fn ended(&mut self) -> bool {
        loop {
            match in_time("end", self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, n: usize) -> (Vec<u8>, bool) {
        while self.buffer.len() < n {
            if !self.more().await {
                return (std::mem::take(&mut self.buffer), false);
            }
        }
        (self.buffer.drain(..n).collect(), true)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The chunks, whether the last one came, and the trailers.
    async fn chunked(&mut self) -> (Vec<u8>, bool, String) {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line().await else { return (body, false, String::new()) };
            let n = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
            if n == 0 {
                break;
            }
            let (chunk, whole) = self.exactly(n + 2).await;
            body.extend_from_slice(&chunk[..chunk.len().min(n)]);
            if !whole {
                return (body, false, String::new());
            }
        }
        let mut trailers = String::new();
        loop {
            match self.line().await {
                Some(line) if line.is_empty() => return (body, true, trailers),
                Some(line) => trailers += &(line + "\n"),
                None => return (body, false, trailers),
            }
        }
    }

    async fn body(&mut self, head: &str) -> (Vec<u8>, bool, String) {
        if header(head, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return self.chunked().await;
        }
        // The engine on hyper passes a list of equal lengths on.
        let length = |v: &str| v.split(',').next().unwrap_or_default().parse().expect("length");
        let n = header(head, "content-length").map_or(0, length);
        let (body, whole) = self.exactly(n).await;
        (body, whole, String::new())
    }

    /// A backend's next request; `None`: the gateway closed.
    pub async fn request(&mut self) -> Option<Request> {
        self.request_and_trailers().await.map(|(request, _)| request)
    }

    /// The same, with the trailers.
    pub async fn request_and_trailers(&mut self) -> Option<(Request, String)> {
        let head = self.head().await?;
        let (body, whole, trailers) = self.body(&head).await;
        whole.then_some((Request { head, body }, trailers))
    }

    /// A backend's next head, without the body.
    pub async fn request_head(&mut self) -> Option<String> {
        self.head().await
    }

    /// A client's next response.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await.expect("a response")
    }

    /// A client's next response to a method; `None`: the gateway closed before it.
    pub async fn response_to(&mut self, method: &str) -> Option<Response> {
        let head = self.head().await?;
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("status");
        let bodiless = method == "HEAD" || status == 204 || status == 304 || status < 200;
        let framed = header(&head, "content-length").or(header(&head, "transfer-encoding")).is_some();
        let (body, whole, trailers) = if bodiless {
            (Vec::new(), true, String::new())
        } else if framed {
            self.body(&head).await
        } else {
            let reset = self.ended().await;
            (std::mem::take(&mut self.buffer), !reset, String::new())
        };
        Some(Response { status, head, body, whole, trailers })
    }
}
