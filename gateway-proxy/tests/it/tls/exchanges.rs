//! Requests over TLS, and those that are sent there.

use futures_util::{SinkExt as _, StreamExt as _};

use super::*;
use crate::http2_support::{Http2, whole};
use crate::traffic::logs::lines;
use crate::upgrades::talked;

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
async fn the_access_log_has_the_version_of_tls() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("log");
    let path = file.to_str().expect("text");
    let log = ["--access-log", "all", "--access-log-file", path];
    let option = files.option();
    let args = [&["--gateway-tls-certificate", &*option][..], &log].concat();
    let (gateway, _backend) = gateway(&args).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = authority.client_of(version);
        assert!(asked(&gateway, client, "shop.example", GET).await.is_ok());
    }
    assert_eq!(gateway.ask(GET).await.status, 200);
    let lines = lines(&file, |lines| lines.len() == 3).await;
    let told: Vec<_> = lines.iter().map(|line| line["tls"].as_str()).collect();
    assert_eq!(told, [Some("1.2"), Some("1.3"), None]);
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let mut client = handshake(&gateway, authority.client(), "shop.example").await.expect("agrees");
    for size in [1, 16_384, 70_000, 2_000_000] {
        let body: String = (0..size).map(|i| char::from(b'a' + (i % 251 % 26) as u8)).collect();
        let request = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n{body}");
        let (mut read, mut write) = tokio::io::split(&mut client);
        let reading = async {
            let mut came = Vec::new();
            // The backend sends the head that it got, a line, and the body.
            let whole = |came: &[u8]| {
                let text = String::from_utf8_lossy(came);
                let (head, rest) = text.split_once("\r\n\r\n")?;
                let length: usize = header(head, "content-length")?.parse().ok()?;
                (rest.len() >= length).then(|| rest.to_owned())
            };
            loop {
                assert!(in_time("more", read.read_buf(&mut came)).await.expect("reads") > 0);
                if came.len() > size
                    && let Some(seen) = whole(&came)
                {
                    return seen;
                }
            }
        };
        let (seen, sent) = tokio::join!(reading, async {
            write.write_all(request.as_bytes()).await?;
            write.flush().await
        });
        sent.expect("sent");
        assert!(seen.split_once("\r\n\r\n\n").is_some_and(|(_, came)| came == body), "{size}");
    }
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

#[tokio::test]
async fn a_websocket_over_tls_passes_in_both_directions_whatever_the_size() {
    let authority = Authority::new();
    let option = authority.issue("shop", &["shop.example"]).option();
    let backend = Backend::each(|_, wire| async move {
        let mut socket = tokio_tungstenite::accept_async(wire.stream).await.expect("a websocket");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() {
                socket.send(message).await.expect("sent");
            }
        }
    })
    .await;
    let args = ["--gateway-engine", "own", "--gateway-tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--gateway-tls-certificate", &option]].concat();
    let gateway = Gateway::before_with(backend.address, &args, |_| {});
    let tls = handshake(&gateway, authority.client(), "shop.example").await.expect("agrees");
    let asked = tokio_tungstenite::client_async("wss://shop.example/chat", tls);
    let (mut socket, answer) = in_time("a switch", asked).await.expect("a websocket");
    assert_eq!(answer.status(), 101);
    talked(&mut socket).await;
    drop(socket);
    gateway.counts("gateway_upgraded_connections 0").await;
    gateway.counts("gateway_active_connections 0").await;
    assert!(gateway.metrics().contains("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 0"));
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
