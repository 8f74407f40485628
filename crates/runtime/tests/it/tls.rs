use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::grpc::GrpcServer;
use hotswap_runtime::tls::{Protocol, ServerTls, TlsFiles};
use hotswap_runtime::{Listener, Supervisor, TaskKind, listen};
use hotswap_telemetry::Metrics;
use hotswap_testkit::{Authority, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::layer::util::Identity as NoLayer;

fn files(identity: &Identity, client_ca: Option<&Authority>) -> TlsFiles {
    let client_ca = client_ca.map(|ca| ca.file().to_owned());
    TlsFiles { cert: identity.cert.clone(), key: identity.key.clone(), client_ca }
}

fn bound() -> (TcpListener, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind(any, "test", "--listen").expect("binds");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn serve(listener: Listener, supervisor: &Supervisor) {
    let server = GrpcServer::new(Routes::default(), &[]).expect("descriptors");
    let shutdown = supervisor.shutdown();
    supervisor.spawn("grpc", TaskKind::Essential, async move {
        server.serve(listener, NoLayer::new(), shutdown).await.expect("serves");
    });
}

/// A server of gRPC with this certificate.
fn server(tls: &ServerTls, supervisor: &Supervisor) -> SocketAddr {
    let (listener, address) = bound();
    serve(Listener::new(listener, Some(tls), Protocol::Grpc), supervisor);
    address
}

/// How a client is set up that trusts `ca`.
fn trusting(ca: &Path, own: Option<&Identity>) -> ClientTlsConfig {
    let pem = fs::read(ca).expect("there");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name("localhost");
    match own {
        None => tls,
        Some(own) => tls.identity(tonic::transport::Identity::from_pem(
            fs::read(&own.cert).expect("there"),
            fs::read(&own.key).expect("there"),
        )),
    }
}

fn channel(address: SocketAddr, tls: ClientTlsConfig) -> Channel {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    endpoint.tls_config(tls).expect("a configuration").connect_lazy()
}

async fn answers(channel: &Channel) -> bool {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.is_ok()
}

#[tokio::test]
async fn a_call_passes_over_tls_to_those_who_trust_the_issuer_and_not_without() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, other) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "other"));
    let supervisor = Supervisor::new();
    let tls = ServerTls::load(files(&ours.issue("server", &["localhost"]), None)).expect("loads");
    let address = server(&tls, &supervisor);
    assert!(answers(&channel(address, trusting(ours.file(), None))).await);
    assert!(!answers(&channel(address, trusting(other.file(), None))).await);
    let elsewhere = trusting(ours.file(), None).domain_name("elsewhere");
    assert!(!answers(&channel(address, elsewhere)).await);
    let plain = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    assert!(!answers(&plain.connect_lazy()).await);
}

#[tokio::test]
async fn who_is_slow_in_its_handshake_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(dir.path(), "ours");
    let supervisor = Supervisor::new();
    let tls = ServerTls::load(files(&ours.issue("server", &["localhost"]), None)).expect("loads");
    let address = server(&tls, &supervisor);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.expect("connects"));
    }
    assert!(answers(&channel(address, trusting(ours.file(), None))).await);
}

#[tokio::test]
async fn with_a_client_authority_only_its_clients_connect() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, clients) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "clients"));
    let other = Authority::new(dir.path(), "other");
    let supervisor = Supervisor::new();
    let tls = ServerTls::load(files(&ours.issue("server", &["localhost"]), Some(&clients))).expect("loads");
    let address = server(&tls, &supervisor);
    let (known, stranger) = (clients.issue("known", &["gateway"]), other.issue("stranger", &["gateway"]));
    assert!(answers(&channel(address, trusting(ours.file(), Some(&known)))).await);
    assert!(!answers(&channel(address, trusting(ours.file(), Some(&stranger)))).await);
    assert!(!answers(&channel(address, trusting(ours.file(), None))).await);
}

#[tokio::test]
async fn a_new_certificate_is_taken_for_new_connections_and_open_ones_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (first, second) = (Authority::new(dir.path(), "first"), Authority::new(dir.path(), "second"));
    let supervisor = Supervisor::new();
    let tls = ServerTls::load(files(&first.issue("server", &["localhost"]), None)).expect("loads");
    let address = server(&tls, &supervisor);
    let open = channel(address, trusting(first.file(), None));
    assert!(answers(&open).await);
    assert!(!tls.reload().expect("reads"), "nothing has changed");

    // Whoever writes two files is seen between them.
    let key = fs::read(dir.path().join("server.key")).expect("there");
    let renewed = second.issue("server", &["localhost"]);
    let new_key = fs::read(&renewed.key).expect("there");
    fs::write(&renewed.key, key).expect("written");
    let half = tls.reload().expect_err("the key is of the certificate before").to_string();
    assert!(half.contains("server.crt"), "{half}");
    assert!(answers(&channel(address, trusting(first.file(), None))).await);

    fs::write(&renewed.key, new_key).expect("written");
    assert!(tls.reload().expect("reads"));
    assert!(answers(&channel(address, trusting(second.file(), None))).await);
    assert!(!answers(&channel(address, trusting(first.file(), None))).await);
    assert!(answers(&open).await, "a connection that was open goes on");
}

#[tokio::test]
async fn what_is_no_certificate_is_named_and_nothing_of_a_key_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(dir.path(), "ours");
    let good = ours.issue("server", &["localhost"]);
    let none = dir.path().join("none.pem");
    fs::write(&none, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXdvcmRz\n-----END PRIVATE KEY-----\n")
        .expect("written");
    let refused = |files: TlsFiles| ServerTls::load(files).expect_err("of no use").to_string();
    let missing = refused(TlsFiles { cert: dir.path().join("gone"), ..files(&good, None) });
    assert!(missing.starts_with("cannot read ") && missing.contains("gone"), "{missing}");
    let no_cert = refused(TlsFiles { cert: none.clone(), ..files(&good, None) });
    assert!(no_cert.ends_with("none.pem: there is no certificate in PEM form"), "{no_cert}");
    let no_key = refused(TlsFiles { key: good.cert.clone(), ..files(&good, None) });
    assert!(no_key.ends_with("server.crt: there is no private key in PEM form"), "{no_key}");
    let odd_key = refused(TlsFiles { key: none, ..files(&good, None) });
    assert!(!odd_key.contains("c2Vj") && !odd_key.contains("secret"), "{odd_key}");
}

#[tokio::test]
async fn the_page_is_served_over_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(dir.path(), "ours");
    let supervisor = Supervisor::new();
    let tls = ServerTls::load(files(&ours.issue("server", &["localhost"]), None)).expect("loads");
    let (listener, address) = bound();
    let listener = Listener::new(listener, Some(&tls), Protocol::Page);
    let page = admin::serve(listener, Metrics::new(), Readiness::default(), supervisor.shutdown());
    supervisor.spawn("admin", TaskKind::Essential, page);

    let mut roots = rustls::RootCertStore::empty();
    let pem = fs::read(ours.file()).expect("there");
    let cert =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem);
    roots.add(cert.expect("a certificate")).expect("added");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(address).await.expect("connects");
    let name = "localhost".try_into().expect("a name");
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    // The server closes without ado, which is how HTTP ends.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_socket_in_a_folder_is_served_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("control.sock");
    let supervisor = Supervisor::new();
    serve(UnixListener::bind(&path).expect("binds").into(), &supervisor);
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).expect("an address");
    assert!(answers(&endpoint.connect_lazy()).await);
}
