//! Clients that must show who they are: what counts of it, when it is looked at, and what backends are told.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::{HandshakeKind, SupportedProtocolVersion};

use super::*;
use crate::certificates::Files;
use crate::http2_support::Http2;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
/// What a client claims to be.
const FORGED: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\nclient-cert: :AA:\r\nclient-cert-chain: :AA:\r\n\
                      x-forwarded-client-cert: Hash=00\r\n\r\n";

/// A gateway whose clients must be known to those in the file.
async fn asking(authority: &Authority, ca: &std::path::Path, more: &[&str]) -> (Gateway, Backend) {
    let server = authority.issue("shop", &["shop.example"]);
    let (server, ca) = (server.option(), ca.display().to_string());
    let args = ["--gateway-tls-certificate", &server, "--gateway-tls-client-ca", &ca];
    gateway(&[&args[..], more].concat()).await
}

/// A client of one version that trusts `trusted`, and shows this.
fn showing(trusted: &Authority, shown: &Files, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let builder =
        ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(trusted.roots());
    builder.with_client_auth_cert(vec![shown.certificate()], shown.private_key()).expect("fits")
}

#[tokio::test]
async fn the_certificate_is_looked_at_in_every_handshake() {
    let authority = Authority::new();
    let known = authority.issue("known", &["known.example"]);
    for more in [&[][..], &["--gateway-tls-client-optional"]] {
        let (gateway, _backend) = asking(&authority, &authority.ca(), more).await;
        for version in VERSIONS {
            let client = Arc::new(showing(&authority, &known, version));
            for _ in 0..3 {
                let mut stream = handshake_with(&gateway, &client, "shop.example").await.expect("agrees");
                // A ticket would come with the answer.
                let seen = exchange(&mut stream, GET).await.expect("answered");
                assert!(seen.contains("Subject=\"CN=known\""), "{seen}");
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
            }
        }
        gateway.counts("gateway_tls_handshakes_total{result=\"full\"} 6").await;
        gateway.counts("gateway_tls_handshakes_total{result=\"resumed\"} 0").await;
    }
}

#[tokio::test]
async fn by_http_2_backends_are_told_who_it_is_and_nobody_claims_it() {
    let authority = Authority::new();
    let known = authority.issue("known", &["known.example"]);
    let (gateway, _backend) = asking(&authority, &authority.ca(), &["--gateway-tls-client-optional"]).await;
    let http2 = async |mut config: ClientConfig| {
        config.alpn_protocols = vec![b"h2".to_vec()];
        Http2::over(handshake(&gateway, config, "shop.example").await.expect("agrees")).await
    };
    let (shows, nobody) = (http2(authority.client_with(&known)).await, http2(authority.client()).await);
    for _ in 0..2 {
        let seen = shows.ask(FORGED).await.text();
        assert!(!seen.contains(":AA:") && !seen.contains("Hash=00"), "{seen}");
        assert!(seen.contains("client-cert: :MII") && seen.contains("Subject=\"CN=known\""), "{seen}");
        let seen = nobody.ask(FORGED).await.text();
        assert!(!seen.contains("client-cert"), "{seen}");
    }
}

#[tokio::test]
async fn another_file_of_authorities_counts_from_the_next_handshake_on() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("clients.pem");
    std::fs::copy(first.ca(), &ca).expect("copied");
    let (gateway, _backend) = asking(&first, &ca, &[]).await;
    let of = |authority: &Authority, name: &str| {
        let shown = authority.issue(name, &["known.example"]);
        Arc::new(showing(&first, &shown, &rustls::version::TLS13))
    };
    let (old, new) = (of(&first, "old"), of(&second, "new"));
    let ask = async |client: &Arc<ClientConfig>| {
        let mut stream = handshake_with(&gateway, client, "shop.example").await.ok()?;
        exchange(&mut stream, GET).await.ok()
    };
    let mut open = handshake_with(&gateway, &old, "shop.example").await.expect("agrees");
    exchange(&mut open, GET).await.expect("answered");
    assert!(ask(&new).await.is_none(), "nobody vouches for it yet");

    std::fs::copy(second.ca(), &ca).expect("copied");
    let tls = gateway.plane.tls().expect("TLS");
    assert!(tls.reload().expect("fits"));
    assert!(ask(&old).await.is_none(), "nobody vouches for it any more");
    assert!(ask(&new).await.is_some_and(|seen| seen.contains("Subject=\"CN=new\"")));
    let seen = exchange(&mut open, GET).await.expect("a connection that is open goes on");
    assert!(seen.contains("Subject=\"CN=old\""), "{seen}");

    std::fs::write(&ca, "nonsense").expect("written");
    assert!(tls.reload().is_err());
    assert!(ask(&old).await.is_none() && ask(&new).await.is_some(), "what was in force stays so");
}

#[tokio::test]
async fn a_certificate_that_is_not_good_now_or_not_for_clients_lets_nobody_in() {
    let authority = Authority::new();
    let (gateway, backend) = asking(&authority, &authority.ca(), &["--gateway-tls-client-optional"]).await;
    let issue = |name: &str, change: fn(&mut CertificateParams)| {
        authority.issue_with(authority.folder.path(), name, &["known.example"], change)
    };
    let bad = [
        issue("expired", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        }),
        issue("early", |params| params.not_before = date_time_ymd(4000, 1, 1)),
        issue("server", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
    ];
    for version in VERSIONS {
        for shown in &bad {
            let client = showing(&authority, shown, version);
            assert!(asked(&gateway, client, "shop.example", GET).await.is_err(), "{shown:?} {version:?}");
        }
        let good = issue("good", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert!(asked(&gateway, showing(&authority, &good, version), "shop.example", GET).await.is_ok());
    }
    assert_eq!(backend.connections(), 1, "the two that were good went by one connection");
    gateway.counts("gateway_tls_handshakes_total{result=\"failed\"} 6").await;
}

#[tokio::test]
async fn the_oldest_version_that_is_wanted_is_the_oldest_that_is_taken() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    for (oldest, takes) in [("1.2", [true, true]), ("1.3", [false, true])] {
        let args = ["--gateway-tls-certificate", &files.option(), "--gateway-tls-min-version", oldest];
        let (gateway, _backend) = gateway(&args).await;
        for (version, taken) in VERSIONS.into_iter().zip(takes) {
            let asked = asked(&gateway, authority.client_of(version), "shop.example", GET).await;
            assert_eq!(asked.is_ok(), taken, "{version:?} where {oldest} is the oldest");
        }
    }
}
