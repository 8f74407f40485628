//! Which certificate comes, which sessions are taken up again, who the client is.

use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{DigitallySignedStruct, HandshakeKind, SignatureScheme};

use super::*;
use crate::certificates::{Files, write_key};
use crate::support::spawn;

/// The certificate that a client gets for a name.
pub(super) async fn shown(gateway: &Gateway, authority: &Authority, name: &str) -> Option<Vec<u8>> {
    let seen = handshake(gateway, unchecked(authority), name).await.ok()?;
    let chain = seen.get_ref().1.peer_certificates().expect("a certificate");
    Some(chain[0].as_ref().to_vec())
}

/// A client that takes any name: which certificate comes is what is asked.
pub(super) fn unchecked(authority: &Authority) -> ClientConfig {
    let mut config = authority.client();
    config.dangerous().set_certificate_verifier(Arc::new(Anything));
    config
}

#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
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
        write_key(&files.key, &rcgen::KeyPair::generate().expect("a key").serialize_pem());
        let refused = tls.reload().expect_err("does not fit").to_string();
        assert!(refused.contains("the key of") || refused.contains("is that of another"), "{refused}");
        assert_eq!(shown(&gateway, &authority, "shop.example").await.as_deref(), Some(last.as_ref()));
        write_key(&files.key, &key);
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        in_time("clients", client).await.expect("no request failed");
    }
}
