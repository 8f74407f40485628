//! The PROXY protocol: what a load balancer says of its client, before its bytes.

use std::time::Duration;

use hotswap_matcher::{AccessDraft, RateLimitDraft, TrafficDraft};

use super::support::{Backend, Gateway, Wire, in_time};
use crate::http2_alike::Either;
use crate::http2_support::Http2;
use crate::traffic::logs::lines;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const V1: &str = "PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n";

fn v2(rest: &[u8]) -> Vec<u8> {
    v2_of(0x11, rest)
}

/// Of TCP over IPv4 (0x11) or IPv6 (0x21).
fn v2_of(family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family], &len, rest].concat()
}

/// What a load balancer says of a client of IPv6.
fn v2_of_ipv6(client: &str) -> Vec<u8> {
    let octets = |address: &str| address.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    v2_of(0x21, &[&octets(client)[..], &octets("2001:db8::1"), &[1, 1, 2, 2]].concat())
}

/// A client of either version behind a header.
async fn behind(gateway: &Gateway, header: impl AsRef<[u8]>, http2: bool) -> Either {
    let mut wire = gateway.connect().await;
    wire.send(header).await;
    if http2 { Either::Http2(Http2::over(wire.stream).await) } else { Either::Http1(wire) }
}

async fn gateway(args: &[&str]) -> (Gateway, Backend) {
    let backend = Backend::echo().await;
    let own: Vec<_> = ["--gateway-engine", "own"].iter().chain(args).copied().collect();
    (Gateway::before_with(backend.address, &own, |_| {}), backend)
}

#[tokio::test]
async fn the_address_that_it_says_is_the_one_that_backends_get() {
    let (gateway, _backend) = gateway(&["--proxy-protocol-from", "127.0.0.0/8"]).await;
    let addresses = [203, 0, 113, 7, 192, 0, 2, 2, 1, 1, 2, 2];
    for header in [V1.as_bytes().to_vec(), v2(&addresses), v2(&[&addresses[..], &[4, 0, 1, 9]].concat())] {
        let mut client = gateway.connect().await;
        client.send([&header, GET.as_bytes()].concat()).await;
        for _ in 0..2 {
            let seen = client.response().await.text();
            assert!(seen.contains("x-forwarded-for: 203.0.113.7\r\n"), "{seen}");
            client.send(GET).await;
        }
    }
    let mut client = gateway.connect().await;
    client.send(format!("PROXY UNKNOWN\r\n{GET}")).await;
    let seen = client.response().await.text();
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
}

#[tokio::test]
async fn the_address_that_it_says_counts_for_lists_limits_and_the_log() {
    let backend = Backend::echo().await;
    let deny = ["203.0.113.7", "2001:db8:bad::/48"].map(str::to_owned).into();
    let rate_limit = RateLimitDraft {
        requests: 2,
        period_ms: 3_600_000,
        client_address: Some(true),
        ..RateLimitDraft::default()
    };
    let traffic = TrafficDraft {
        access: Some(AccessDraft { deny, ..AccessDraft::default() }),
        rate_limit: Some(rate_limit),
        ..TrafficDraft::default()
    };
    let v1 = |client: &str| format!("PROXY TCP4 {client} 192.0.2.2 40000 443\r\n").into_bytes();
    for http2 in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        let path = file.to_str().expect("text");
        let own = ["--gateway-engine", "own", "--proxy-protocol-from", "127.0.0.1"];
        let args = [&own[..], &["--access-log", "all", "--access-log-file", path]].concat();
        let gateway = Gateway::before_with(backend.address, &args, |route| {
            route.traffic = Some(Box::new(traffic.clone()));
        });
        let clients = [
            ("203.0.113.7", v1("203.0.113.7"), [403, 403, 403]),
            ("198.51.100.1", v1("198.51.100.1"), [200, 200, 429]),
            // Another one has a bucket of its own, though it comes from the same load balancer.
            ("198.51.100.2", v1("198.51.100.2"), [200, 200, 429]),
            ("2001:db8:bad::1", v2_of_ipv6("2001:db8:bad::1"), [403, 403, 403]),
            ("2001:db8::7", v2_of_ipv6("2001:db8::7"), [200, 200, 429]),
            ("2001:db8:0:9::1", b"PROXY TCP6 2001:db8:0:9::1 2001:db8::1 1 2\r\n".to_vec(), [200, 200, 429]),
        ];
        let mut want = Vec::new();
        for (address, header, statuses) in clients {
            let mut client = behind(&gateway, header, http2).await;
            for status in statuses {
                let response = client.ask(GET).await;
                assert_eq!(response.status, status, "{address}, HTTP/2: {http2}");
                let told = format!("x-forwarded-for: {address}\r\n");
                assert_eq!(response.text().contains(&told), status == 200, "{}", response.text());
                want.push((address.to_owned(), status));
            }
        }
        let lines = lines(&file, |lines| lines.len() == want.len()).await;
        let logged = lines.iter().map(|line| {
            let status = line["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            (line["client"].as_str().unwrap_or_default().to_owned(), status.unwrap_or_default())
        });
        assert_eq!(logged.collect::<Vec<_>>(), want);
    }
}

#[tokio::test]
async fn a_proxy_is_trusted_by_the_address_that_it_says_and_not_by_the_load_balancers() {
    let backend = Backend::echo().await;
    let access = AccessDraft { deny: vec!["203.0.113.7".into()], ..AccessDraft::default() };
    let traffic = TrafficDraft { access: Some(access), ..TrafficDraft::default() };
    let args = ["--gateway-engine", "own", "--proxy-protocol-from", "127.0.0.1"];
    let trusted = ["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"];
    let gateway = Gateway::before_with(backend.address, &[&args[..], &trusted].concat(), |route| {
        route.traffic = Some(Box::new(traffic));
    });
    let asked = "GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 203.0.113.7\r\n\r\n";
    for http2 in [false, true] {
        for (from, status) in [("10.0.0.1", 403), ("198.51.100.1", 200)] {
            let header = format!("PROXY TCP4 {from} 192.0.2.2 40000 443\r\n");
            let response = behind(&gateway, header, http2).await.ask(asked).await;
            assert_eq!(response.status, status, "{from}, HTTP/2: {http2}");
        }
    }
}

#[tokio::test]
async fn a_header_in_pieces_is_waited_for_and_takes_nothing_of_the_request() {
    let (gateway, _backend) = gateway(&["--proxy-protocol-from", "127.0.0.1"]).await;
    let mut client = gateway.connect().await;
    let whole = format!("{V1}{GET}");
    for piece in whole.as_bytes().chunks(5) {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seen = client.response().await.text();
    assert!(seen.contains("x-forwarded-for: 203.0.113.7\r\n"), "{seen}");
}

#[tokio::test]
async fn who_is_trusted_must_begin_with_it_and_who_is_not_can_not() {
    let args = ["--proxy-protocol-from", "127.0.0.1", "--client-head-ms", "200"];
    let (behind, backend) = gateway(&args).await;
    for bytes in [GET, "PROXY TCP4 1.2.3.4\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY ", ""] {
        let mut client = behind.connect().await;
        client.send(bytes).await;
        let _ = client.ended().await;
        assert!(client.buffered().is_empty(), "{bytes}");
    }
    behind.counts("gateway_proxy_headers_refused_total 5").await;
    assert_eq!(backend.connections(), 0);

    let (elsewhere, _backend) = gateway(&["--proxy-protocol-from", "192.0.2.0/24"]).await;
    assert_eq!(elsewhere.ask(GET).await.status, 200);
    let mut client = elsewhere.connect().await;
    client.send(format!("{V1}{GET}")).await;
    assert_eq!(client.response().await.status, 400);
}

#[tokio::test]
async fn it_comes_before_the_handshake_of_tls_and_on_the_listeners_that_are_named() {
    let authority = super::certificates::Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let option = files.option();
    let tls = ["--gateway-tls-listen", "127.0.0.1:0", "--gateway-tls-certificate", &option];
    let args: Vec<_> = tls
        .iter()
        .copied()
        .chain(["--proxy-protocol-from", "127.0.0.1", "--proxy-protocol", "tls"])
        .collect();
    let (gateway, _backend) = gateway(&args).await;
    assert_eq!(gateway.ask(GET).await.status, 200, "without TLS there is none");
    let mut wire = Wire::connect(gateway.plane.listen_tls().expect("TLS")).await;
    wire.send(V1).await;
    let client = tokio_rustls::TlsConnector::from(std::sync::Arc::new(authority.client()));
    let name = rustls::pki_types::ServerName::try_from("shop.example").expect("a name");
    let mut client = in_time("handshake", client.connect(name, wire.stream)).await.expect("agrees");
    tokio::io::AsyncWriteExt::write_all(&mut client, GET.as_bytes()).await.expect("sent");
    let mut came = Vec::new();
    while !String::from_utf8_lossy(&came).contains("x-forwarded-for: 203.0.113.7\r\n") {
        let read = tokio::io::AsyncReadExt::read_buf(&mut client, &mut came);
        assert!(in_time("response", read).await.expect("reads") > 0);
    }
}
