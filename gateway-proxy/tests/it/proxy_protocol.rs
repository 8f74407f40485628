//! The PROXY protocol: what a load balancer says of its client, before its bytes.

use std::time::Duration;

use super::support::{Backend, Gateway, Wire, in_time};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const V1: &str = "PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n";

fn v2(rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &len, rest].concat()
}

async fn gateway(args: &[&str]) -> (Gateway, Backend) {
    let backend = Backend::echo().await;
    let own: Vec<_> = ["--gateway-engine", "own"].iter().chain(args).copied().collect();
    (Gateway::before_with(backend.address, &own, |_| {}), backend)
}

#[tokio::test]
async fn the_address_that_it_says_is_the_clients_everywhere() {
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
