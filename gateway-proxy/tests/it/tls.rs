//! TLS towards clients, by real handshakes.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hotswap_test_servers::{Unavailable, required};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authority, Files};
use super::http2_support::{Http2, whole};
use super::support::{Backend, Gateway, Wire, header, in_time, spawn};

const GET: &str = "GET /a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// A gateway with TLS before a backend that tells what it got.
async fn gateway(args: &[&str]) -> (Gateway, Backend) {
    let backend = Backend::echo().await;
    let fixed = ["--gateway-engine", "own", "--gateway-tls-listen", "127.0.0.1:0"];
    let args: Vec<_> = fixed.iter().chain(args).copied().collect();
    (Gateway::before_with(backend.address, &args, |_| {}), backend)
}

fn at(gateway: &Gateway) -> SocketAddr {
    gateway.plane.listen_tls().expect("listens with TLS")
}

async fn handshake(gateway: &Gateway, client: ClientConfig, name: &str) -> io::Result<TlsStream<TcpStream>> {
    handshake_with(gateway, &Arc::new(client), name).await
}

async fn handshake_with(
    gateway: &Gateway,
    client: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(at(gateway)).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    in_time("handshake", TlsConnector::from(Arc::clone(client)).connect(name, tcp)).await
}

/// One exchange; the whole response.
async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut came = Vec::new();
    loop {
        if let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&came[..end + 4]).into_owned();
            let length: usize = header(&head, "content-length").map_or(0, |v| v.parse().expect("a length"));
            if came.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&came).into_owned());
            }
        }
        if in_time("response", stream.read_buf(&mut came)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn asked(gateway: &Gateway, client: ClientConfig, name: &str, request: &str) -> io::Result<String> {
    exchange(&mut handshake(gateway, client, name).await?, request).await
}

/// The certificate that a client gets for a name.
async fn shown(gateway: &Gateway, authority: &Authority, name: &str) -> Option<Vec<u8>> {
    let seen = handshake(gateway, unchecked(authority), name).await.ok()?;
    let chain = seen.get_ref().1.peer_certificates().expect("a certificate");
    Some(chain[0].as_ref().to_vec())
}

/// A client that takes any name: which certificate comes is what is asked.
fn unchecked(authority: &Authority) -> ClientConfig {
    let mut config = authority.client();
    config.dangerous().set_certificate_verifier(Arc::new(Anything));
    config
}

#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_request_with_tls_reaches_the_backend_as_https() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let mut client = handshake(&gateway, authority.client(), "shop.example").await.expect("agrees");
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..3 {
        let seen = exchange(&mut client, GET).await.expect("answered");
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        assert!(seen.contains("x-forwarded-proto: https"), "{seen}");
    }
    let claimed = "GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-proto: https\r\nclient-cert: :AA:\r\n\r\n";
    let plain = gateway.ask(claimed).await.text();
    assert!(plain.contains("x-forwarded-proto: http\r\n") && !plain.contains("client-cert"), "{plain}");
    gateway.counts("gateway_tls_handshakes_total{result=\"full\"} 1").await;
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let mut client = handshake(&gateway, authority.client(), "shop.example").await.expect("agrees");
    for size in [1, 16_384, 70_000, 2_000_000] {
        let body = "x".repeat(size);
        let request = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n{body}");
        let (mut read, mut write) = tokio::io::split(&mut client);
        let reading = async {
            let mut came = Vec::new();
            while !came.ends_with(body.as_bytes()) {
                assert!(in_time("more", read.read_buf(&mut came)).await.expect("reads") > 0);
            }
        };
        let (_, sent) = tokio::join!(reading, async {
            write.write_all(request.as_bytes()).await?;
            write.flush().await
        });
        sent.expect("sent");
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let pairs = tempfile::tempdir().expect("a folder");
    let first = authority.issue("first", &["first.example"]);
    let wild = authority.issue_in(pairs.path(), "wild", &["*.shop.example"]);
    let own = authority.issue_in(pairs.path(), "own", &["www.shop.example"]);
    let folder = pairs.path().display().to_string();
    let args = ["--gateway-tls-certificate", &first.option(), "--gateway-tls-certificates", &folder];
    let (before, _backend) = gateway(&args).await;
    let der = |files: &Files| Some(files.certificate().as_ref().to_vec());
    for (name, want) in [
        ("first.example", &first),
        ("www.shop.example", &own),
        ("other.shop.example", &wild),
        ("unknown.example", &first),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(shown(&before, &authority, name).await, der(want), "{name}");
    }
    let strict: Vec<_> = args.iter().copied().chain(["--gateway-tls-refuse-unknown"]).collect();
    let (strict, _backend) = gateway(&strict).await;
    assert_eq!(shown(&strict, &authority, "other.shop.example").await, der(&wild));
    for name in ["unknown.example", "127.0.0.1"] {
        assert_eq!(shown(&strict, &authority, name).await, None, "{name}");
    }
    strict.counts("gateway_tls_handshakes_total{result=\"failed\"} 2").await;
}

#[tokio::test]
async fn sessions_are_taken_up_again_in_both_versions_and_on_every_core() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let args = ["--gateway-tls-certificate", &files.option(), "--gateway-workers", "3"];
    let (gateway, _backend) = gateway(&args).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let client = builder.with_root_certificates(authority.roots()).with_no_client_auth();
        let client = Arc::new(client);
        for round in 0..6 {
            let mut stream = handshake_with(&gateway, &client, "shop.example").await.expect("agrees");
            exchange(&mut stream, GET).await.expect("answered");
            let kind = stream.get_ref().1.handshake_kind();
            let want = if round == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(kind, Some(want), "{version:?}, round {round}");
        }
    }
    gateway.counts("gateway_tls_handshakes_total{result=\"full\"} 2").await;
    gateway.counts("gateway_tls_handshakes_total{result=\"resumed\"} 10").await;
}

#[tokio::test]
async fn a_client_shows_who_it_is_and_the_backend_is_told() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let server = authority.issue("shop", &["shop.example"]);
    let known = authority.issue("known", &["known.example"]);
    let ca = authority.ca().display().to_string();
    let args = ["--gateway-tls-certificate", &server.option(), "--gateway-tls-client-ca", &ca];
    let (required, _backend) = gateway(&args).await;
    let forged = "GET / HTTP/1.1\r\nhost: h\r\nclient-cert: :AA:\r\nclient-cert-chain: :AA:\r\n\
                  x-forwarded-client-cert: Hash=00\r\n\r\n";
    let seen =
        asked(&required, authority.client_with(&known), "shop.example", forged).await.expect("answered");
    assert!(!seen.contains(":AA:") && !seen.contains("Hash=00"), "{seen}");
    assert!(seen.contains("client-cert: :MII"), "{seen}");
    assert!(seen.contains("Subject=\"CN=known\";DNS=\"known.example\""), "{seen}");
    let mut other = authority.client_with(&known);
    let strange = stranger.issue("known", &["known.example"]);
    other.client_auth_cert_resolver = stranger.client_with(&strange).client_auth_cert_resolver;
    for (who, client) in [("a stranger", other.clone()), ("nobody", authority.client())] {
        assert!(asked(&required, client, "shop.example", GET).await.is_err(), "{who} got in");
    }

    let args: Vec<_> = args.iter().copied().chain(["--gateway-tls-client-optional"]).collect();
    let (optional, _backend) = gateway(&args).await;
    let seen = asked(&optional, authority.client(), "shop.example", forged).await.expect("answered");
    assert!(seen.starts_with("HTTP/1.1 200") && !seen.contains("client-cert"), "{seen}");
    assert!(asked(&optional, other, "shop.example", GET).await.is_err(), "a stranger got in");
}

#[tokio::test]
async fn new_certificates_are_taken_without_a_failed_request_and_bad_ones_are_not() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let gateway = Arc::new(gateway);
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|i| {
            let (gateway, over, client) = (Arc::clone(&gateway), Arc::clone(&over), authority.client());
            spawn(async move {
                let client = Arc::new(client);
                let mut answered = 0;
                let mut kept = handshake_with(&gateway, &client, "shop.example").await.expect("agrees");
                while !over.load(Ordering::SeqCst) || answered < 20 {
                    if i % 2 == 0 {
                        kept = handshake_with(&gateway, &client, "shop.example").await.expect("agrees");
                    }
                    let seen = exchange(&mut kept, GET).await.expect("answered");
                    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
                    answered += 1;
                }
            })
        })
        .collect();
    let tls = gateway.plane.tls().expect("TLS").clone();
    let mut last = files.certificate();
    for round in 0..5 {
        files.replace_by(&authority.issue(&format!("next-{round}"), &["shop.example"]));
        assert!(tls.reload().expect("fits") && !tls.reload().expect("the same"));
        let now = shown(&gateway, &authority, "shop.example").await;
        assert_eq!(now.as_deref(), Some(files.certificate().as_ref()));
        assert_ne!(files.certificate(), last);
        last = files.certificate();
        // A key of another certificate.
        let key = std::fs::read_to_string(&files.key).expect("read");
        super::certificates::write_key(
            &files.key,
            &rcgen::KeyPair::generate().expect("a key").serialize_pem(),
        );
        let refused = tls.reload().expect_err("does not fit").to_string();
        assert!(refused.contains("the key of") || refused.contains("is that of another"), "{refused}");
        assert_eq!(shown(&gateway, &authority, "shop.example").await.as_deref(), Some(last.as_ref()));
        super::certificates::write_key(&files.key, &key);
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        in_time("clients", client).await.expect("no request failed");
    }
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_so_in_words() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let mut client = Wire::connect(at(&gateway)).await;
    client.send(GET).await;
    let response = client.response().await;
    assert_eq!((response.status, response.reason()), (400, Some("TLS_REQUIRED")));
    assert!(response.text().contains("HTTPS"), "{}", response.text());
    assert!(!client.ended().await);
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn oddities_end_in_order_and_leave_nothing_behind() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let args = ["--gateway-tls-certificate", &files.option(), "--gateway-tls-handshake-ms", "300"];
    let (gateway, backend) = gateway(&args).await;
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    for (what, bytes) in [
        ("garbage", &b"\x00\x01garbage that is no TLS at all"[..]),
        ("half a handshake", &hello[..]),
        ("nothing", b""),
        ("a huge record", &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3]),
        ("data before a handshake", &[0x17, 3, 3, 0, 3, 1, 2, 3]),
    ] {
        let mut client = Wire::connect(at(&gateway)).await;
        client.send(bytes).await;
        let _ = client.ended().await;
        let _ = what;
    }
    gateway.counts("gateway_tls_handshakes_total{result=\"timed_out\"} 2").await;
    gateway.counts("gateway_tls_handshakes_total{result=\"failed\"} 3").await;
    gateway.counts("gateway_active_connections 0").await;
    assert_eq!(backend.connections(), 0);
    let seen = asked(&gateway, authority.client(), "shop.example", GET).await.expect("answered");
    assert!(seen.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn without_tls_clients_are_sent_to_where_it_is() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let own = ["--gateway-tls-certificate", &files.option(), "--redirect-to-https"];
    let (gateway, backend) = gateway(&own).await;
    let response =
        gateway.ask("POST /a?b=c HTTP/1.1\r\nhost: shop.example:8080\r\ncontent-length: 0\r\n\r\n").await;
    let to = format!("https://shop.example:{}/a?b=c", at(&gateway).port());
    assert_eq!((response.status, response.header("location")), (308, Some(to.as_str())));
    let seen = asked(&gateway, authority.client(), "shop.example", GET).await.expect("answered");
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    assert_eq!(backend.connections(), 1);

    let seen_port = Gateway::start(&["--gateway-engine", "own", "--redirect-to-https=443"]);
    let response = seen_port.ask(GET).await;
    assert_eq!(response.header("location"), Some("https://shop.example/a?b"));
}

#[tokio::test]
async fn a_redirect_of_a_route_keeps_the_scheme() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let args =
        ["--gateway-engine", "own", "--gateway-tls-listen", "127.0.0.1:0", "--gateway-tls-certificate"];
    let option = files.option();
    let mut gateway = Gateway::start(&args.iter().copied().chain([option.as_str()]).collect::<Vec<_>>());
    let to = hotswap_matcher::RedirectDraft { host: "new.example".into(), ..Default::default() };
    let draft = hotswap_matcher::RouteDraft { redirect: Some(to), ..Default::default() };
    gateway.route("r", &draft);
    gateway.swap();
    let seen = asked(&gateway, authority.client(), "shop.example", GET).await.expect("answered");
    assert!(seen.contains("location: https://new.example/a?b"), "{seen}");
    assert_eq!(gateway.ask(GET).await.header("location"), Some("http://new.example/a?b"));
}

/// What `openssl s_client` says, asked for with `args`.
fn s_client(gateway: &Gateway, args: &[&str]) -> Option<String> {
    let mut child = Command::new("openssl");
    child.args(["s_client", "-connect", &at(gateway).to_string()]).args(args);
    let output = child.stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn a_client_that_chooses_http_2_gets_it() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let mut config = authority.client();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = handshake(&gateway, config, "shop.example").await.expect("agrees");
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = Http2::over(tls).await;
    for _ in 0..3 {
        let seen = client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        assert_eq!((seen.status, header(&seen.text(), "x-forwarded-proto")), (200, Some("https")));
    }
    let body = "0123456789".repeat(20_000);
    let (response, mut stream) = client.begin("POST / HTTP/1.1\r\nhost: shop.example\r\n", false).await;
    let mut left = bytes::Bytes::from(body.clone());
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let room = in_time("room", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
        let n = room.expect("open").expect("open").min(left.len());
        stream.send_data(left.split_to(n), left.is_empty()).expect("sent");
    }
    let seen = whole(response).await;
    assert!(seen.whole && seen.text().ends_with(&body));
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_agrees_on_what_is_safe_and_on_nothing_older() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let asked = s_client(&gateway, &["-tls1_3", "-servername", "shop.example", "-alpn", "http/1.1"]);
    let missing = Unavailable::Missing { program: "openssl", package: "openssl" };
    let Some(new) = required(asked.ok_or(missing)) else { return };
    assert!(new.contains("TLSv1.3") && new.contains("ALPN protocol: http/1.1"), "{new}");
    let old = s_client(&gateway, &["-tls1_2", "-noservername"]).expect("runs");
    assert!(old.contains("TLSv1.2") && old.contains("Secure Renegotiation IS supported"), "{old}");
    for version in ["-tls1", "-tls1_1"] {
        let args = [version, "-cipher", "ALL:@SECLEVEL=0"];
        let refused = s_client(&gateway, &args).expect("runs");
        assert!(refused.contains("SSL alert number"), "{version}: {refused}");
        assert!(refused.contains("no peer certificate available"), "{version}: {refused}");
    }
    let other = s_client(&gateway, &["-alpn", "spdy/3"]).expect("runs");
    assert!(other.contains("alert no application protocol"), "{other}");
}

#[test]
fn what_can_not_work_is_told_before_anything_is_served() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let other = authority.issue("other", &["other.example"]);
    let listen = ["--gateway-tls-listen", "127.0.0.1:0"];
    let open = authority.issue("open", &["open.example"]);
    std::fs::set_permissions(&open.key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("set");
    let swapped = format!("{}:{}", files.cert.display(), other.key.display());
    let none = format!("{}:/none/key.pem", files.cert.display());
    let no_key = format!("{0}:{0}", files.cert.display());
    std::fs::set_permissions(&files.cert, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    for (args, want) in [
        (vec![], "needs --gateway-tls-certificate"),
        (vec!["--gateway-tls-certificate", &open.option()], "chmod 600"),
        (vec!["--gateway-tls-certificate", &swapped], "is that of another certificate"),
        (vec!["--gateway-tls-certificate", &none], "cannot read /none/key.pem"),
        (vec!["--gateway-tls-certificate", &no_key], "there is no private key"),
        (vec!["--gateway-tls-certificate", &files.option(), "--gateway-tls-client-optional"], "client-ca"),
        (
            vec!["--gateway-tls-certificate", &files.option(), "--gateway-engine", "hyper"],
            "use --gateway-engine own",
        ),
    ] {
        let own = if args.contains(&"hyper") { vec![] } else { vec!["--gateway-engine", "own"] };
        let args: Vec<_> = listen.iter().copied().chain(own).chain(args).collect();
        let told = hotswap_gateway::plane::DataPlane::start(&super::support::options(&args));
        let told = told.expect_err(want).to_string();
        assert!(told.contains(want), "{told}");
    }
}
