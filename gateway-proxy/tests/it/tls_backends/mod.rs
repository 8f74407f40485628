//! TLS to backends, by real handshakes.

mod candidates;
mod exchanges;
mod failures;
mod files;
mod handshakes;
mod http2;
mod rollouts;
mod told;
mod tunnels;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotswap_gateway::tls::BackendFiles;
use hotswap_matcher::{BackendTlsDraft, PoolDraft};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{Authority, Files};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const CLOSING: &str = "GET /closing HTTP/1.1\r\nhost: h\r\n\r\n";

/// A backend with TLS.
struct Secured {
    address: SocketAddr,
    /// Handshakes that were agreed on.
    full: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Secured {
    /// One that serves each connection so.
    async fn each<F, Fut>(config: ServerConfig, serve: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let (full, resumed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = [Arc::clone(&full), Arc::clone(&resumed)];
        let task = spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.expect("accepts");
                let Ok(stream) = acceptor.accept(tcp).await else { continue };
                let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                counts[usize::from(resumed)].fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream));
            }
        });
        Self { address, full, resumed, task }
    }

    /// One that says what it was asked for: its name, how many certificates it was shown, what is spoken, the head.
    async fn telling(config: ServerConfig) -> Self {
        Self::each(config, tell).await
    }

    fn full(&self) -> usize {
        self.full.load(Ordering::SeqCst)
    }

    fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }
}

async fn tell(mut stream: TlsStream<TcpStream>) {
    let session = stream.get_ref().1;
    let name = session.server_name().unwrap_or("-").to_owned();
    let spoken = String::from_utf8_lossy(session.alpn_protocol().unwrap_or(b"-")).into_owned();
    let shown = session.peer_certificates().map_or(0, <[_]>::len);
    let mut came = Vec::new();
    loop {
        while let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
            let head: Vec<_> = came.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            let text = format!("{name} {shown} {spoken}");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            if stream.write_all(answer.as_bytes()).await.is_err() || head.starts_with("GET /closing") {
                let _ = stream.shutdown().await;
                return;
            }
        }
        if !matches!(stream.read_buf(&mut came).await, Ok(1..)) {
            return;
        }
    }
}

/// How a backend presents itself.
fn server(files: &Files) -> ServerConfig {
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![files.certificate()], files.private_key()).expect("fits");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The same, and it wants a certificate of somebody for whom the authority vouches.
fn server_that_asks(
    files: &Files,
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder(Arc::new(authority.roots())).build().expect("a verifier");
    let builder = ServerConfig::builder_with_protocol_versions(versions).with_client_cert_verifier(verifier);
    builder.with_single_cert(vec![files.certificate()], files.private_key()).expect("fits")
}

/// By whom a pool's backends are vouched for, and their name.
fn by(ca: &str, server_name: &str) -> BackendTlsDraft {
    BackendTlsDraft { ca: ca.into(), server_name: server_name.into(), ..BackendTlsDraft::default() }
}

fn folder_of(folder: &Path) -> String {
    folder.display().to_string()
}

/// A folder for the option, in which the authority is "corp".
fn folder_with(authority: &Authority) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(authority.ca(), folder.path().join("corp.pem")).expect("copied");
    folder
}

/// A gateway with this folder, whose pool has these backends.
fn gateway(
    folder: &Path,
    backends: &[SocketAddr],
    tls: BackendTlsDraft,
    change: impl FnOnce(&mut PoolDraft),
) -> Gateway {
    let mut gateway =
        Gateway::start(&["--gateway-engine", "own", "--backend-tls-dir", folder_of(folder).as_str()]);
    let mut pool = PoolDraft { tls: Some(tls), ..of_backends(backends) };
    change(&mut pool);
    gateway.pool_of("p", &pool);
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    gateway
}

fn files_of(gateway: &Gateway) -> &BackendFiles {
    gateway.plane.backend_tls()
}

/// What is wrong with the pool's first backend.
fn trouble(gateway: &Gateway) -> Option<String> {
    let config = gateway.plane.config().now();
    let pool = config.pools().find(|pool| pool.name() == "pools/p").expect("the pool");
    files_of(gateway).trouble_with(&pool.backends().backends[0].address)
}

/// A refusal with the reason, and what is wrong.
async fn refused(gateway: &Gateway, why: &str) {
    let response = gateway.ask(GET).await;
    assert_eq!(
        (response.status, response.reason()),
        (502, Some("BACKEND_TLS")),
        "{why}: {}",
        response.text()
    );
    let told = trouble(gateway).expect("something is wrong");
    assert!(told.contains(why), "{told}, not {why}");
}
