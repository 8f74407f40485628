//! Requests and responses on their way through.

use hotswap_matcher::{
    BackendDraft, HeaderDraft, HeaderEditsDraft, LoadBalancingDraft, PoolDraft, RedirectDraft, RewriteDraft,
    RouteDraft,
};

use crate::support::*;
use crate::ways::WAYS;

#[tokio::test]
async fn a_request_goes_through_and_the_connections_are_kept_on_both_sides() {
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: 1\r\n\r\nhello").await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    for _ in 0..10 {
        client.send("GET /x HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
        assert_eq!(response.header("x-a"), Some("1"));
    }
    assert_eq!(backend.connections(), 1);
    gateway.counts("gateway_upstream_reuses_total 9").await;
    gateway.counts("gateway_requests_total{class=\"2xx\"} 10").await;
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it_and_the_hop_is_announced() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let text = request.head;
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\n\
                 proxy-connection: a\r\nx-end: 1\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            ))
            .await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let request = "GET /a?b=c HTTP/1.1\r\nHost: Shop:81\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\n\
                   Keep-Alive: 5\r\nTE: gzip\r\nUpgrade: h2c\r\nX-Forwarded-For: 9.9.9.9\r\n\
                   X-Forwarded-Proto: https\r\nX-End: 1\r\n\r\n";
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send(request).await;
        let response = client.response().await;
        let sent = response.text();
        let mut lines: Vec<&str> = sent.trim_end().lines().collect();
        assert_eq!(lines.remove(0), "GET /a?b=c HTTP/1.1");
        lines.sort_unstable();
        let want = [
            "host: Shop:81",
            "via: 1.1 hotswap",
            "x-end: 1",
            "x-forwarded-for: 9.9.9.9, 127.0.0.1",
            "x-forwarded-host: Shop:81",
            "x-forwarded-proto: http",
        ];
        assert_eq!(lines, want);
        for gone in ["x-hop", "keep-alive", "upgrade", "proxy-connection", "connection"] {
            assert_eq!(response.header(gone), None, "{gone}: {}", response.head);
        }
        assert_eq!((response.header("x-end"), response.header("via")), (Some("1"), Some("1.1 hotswap")));
    }
}

#[tokio::test]
async fn bodies_go_through_in_both_framings() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello").await;
    let echoed = client.response().await.text();
    assert!(echoed.contains("content-length: 5\r\n") && echoed.ends_with("\nhello"), "{echoed}");
    for method in ["POST", "GET", "DELETE"] {
        let head = format!("{method} /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send(head + "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n").await;
        let echoed = client.response().await.text();
        assert!(echoed.contains("transfer-encoding: chunked\r\n") && echoed.ends_with("\nhello"), "{echoed}");
        assert!(!echoed.contains("content-length"), "{echoed}");
    }
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n").await;
    let echoed = client.response().await.text();
    assert!(echoed.contains("content-length: 0\r\n"), "{echoed}");
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_large_body_streams_both_ways_without_being_kept() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for piece in request.body.chunks(100_000) {
                wire.send(format!("{:x}\r\n", piece.len())).await;
                wire.send(piece).await;
                wire.send("\r\n").await;
            }
            wire.send("0\r\n\r\n").await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    let body: Vec<u8> = (0..5_000_000u32).map(|i| (i % 251) as u8).collect();
    client.send(format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    client.send(&body).await;
    let response = client.response().await;
    assert!(response.whole && response.body == body);
}

#[tokio::test]
async fn large_bodies_of_a_known_length_follow_each_other_and_a_cut_one_is_cut() {
    let body = |first: u32| (first..first + 3_000_000).map(|i| (i % 251) as u8).collect::<Vec<u8>>();
    let backend = Backend::each(move |_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n").await;
            let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
            let cut = path == "/cut";
            let body = body(u32::try_from(path.len()).unwrap());
            wire.send(&body[..if cut { 1_500_000 } else { body.len() }]).await;
            if cut {
                return;
            }
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    // The second stands behind the first already.
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\nGET /bcd HTTP/1.1\r\nhost: h\r\n\r\n").await;
    for first in [2, 4] {
        let response = client.response().await;
        assert!(response.whole && response.body == body(first));
    }
    assert_eq!(backend.connections(), 1);
    client.send("GET /cut HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let response = client.response().await;
    assert!(!response.whole && response.body.len() <= 1_500_000);
    gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_CUT\"} 1").await;
}

#[tokio::test]
async fn trailers_go_to_a_client_that_takes_them() {
    let chunked = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
    let backend = Backend::always(chunked).await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.trailers.as_str()), ("hi", "x-sum: 7\n"));
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.trailers.as_str()), ("hi", ""));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn responses_without_a_body_keep_their_headers_and_the_connection() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let answer = match request.head.split(' ').nth(1) {
                Some("/204") => "HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
                Some("/304") => "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
                _ => "HTTP/1.1 200 Fine\r\ncontent-length: 1234\r\n\r\n",
            };
            wire.send(answer).await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("HEAD / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let head = client.response_to("HEAD").await.expect("head");
    assert_eq!(head.header("content-length"), Some("1234"));
    assert!(head.head.starts_with("HTTP/1.1 200 Fine\r\n"), "{}", head.head);
    for path in ["/204", "/304"] {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        let response = client.response().await;
        assert_eq!(response.status.to_string(), path[1..]);
        assert_eq!(response.header("transfer-encoding"), None);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_http_1_0_client_is_answered_in_its_own_terms() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let backend = Backend::always(chunked).await;
    let gateway = Gateway::before(backend.address);
    let response = gateway.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert!(response.head.starts_with("HTTP/1.0 200"), "{}", response.head);
    assert_eq!(response.header("transfer-encoding"), None);
    assert!(response.whole && response.text() == "hi");
    let echo = Backend::echo().await;
    let gateway = Gateway::before(echo.address);
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
        let echoed = client.response().await.text();
        assert!(echoed.starts_with("GET / HTTP/1.1\r\n") && echoed.contains("via: 1.0 hotswap"), "{echoed}");
        assert!(echoed.contains(&format!("host: {}\r\n", echo.address)), "{echoed}");
    }
}

#[tokio::test]
async fn a_backend_of_http_1_0_and_one_that_ends_by_closing_are_passed_on_whole() {
    let backend = Backend::each(|n, mut wire| async move {
        let _ = wire.request().await;
        let version = if n == 0 { "1.0" } else { "1.1" };
        wire.send(format!("HTTP/{version} 200 OK\r\n\r\nto the end")).await;
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    for via in ["1.0 hotswap", "1.1 hotswap"] {
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let response = client.response().await;
        assert!(response.whole && response.text() == "to the end", "{response:?}");
        assert_eq!(response.header("via"), Some(via));
    }
}

#[tokio::test]
async fn an_absolute_target_counts_before_the_host_header() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    let echoed = gateway.ask("GET http://real:81/a?b HTTP/1.1\r\nhost: liar\r\n\r\n").await.text();
    assert!(echoed.starts_with("GET /a?b HTTP/1.1\r\n") && echoed.contains("host: real:81\r\n"), "{echoed}");
    assert!(echoed.contains("x-forwarded-host: real:81\r\n") && !echoed.contains("liar"), "{echoed}");
}

#[tokio::test]
async fn a_question_about_the_server_itself_reaches_no_backend() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    assert_eq!(gateway.ask("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 204);
    let connect = gateway.ask("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n").await;
    assert_eq!((connect.status, connect.reason()), (501, Some("UNSUPPORTED")));
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn the_expectation_of_a_client_is_the_backends_to_answer() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(head) = wire.request_head().await {
            if head.starts_with("POST /no") {
                wire.send("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n").await;
                return;
            }
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            let mut body = vec![0; 5];
            tokio::io::AsyncReadExt::read_exact(&mut wire.stream, &mut body).await.expect("body");
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
            wire.send(body).await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let ask = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
    };
    let mut client = gateway.connect().await;
    client.send(ask("/yes")).await;
    assert_eq!(client.response_to("POST").await.expect("interim").status, 100);
    client.send("hello").await;
    assert_eq!(client.response().await.text(), "hello");
    client.send(ask("/no")).await;
    let refused = client.response().await;
    assert_eq!(refused.status, 417, "the body was never asked for: {refused:?}");
}

#[tokio::test]
async fn a_backend_may_answer_before_it_has_read_the_request() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request_head().await;
        wire.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await;
        while wire.more().await {}
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nbegin").await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
}

#[tokio::test]
async fn the_route_rewrites_path_host_and_headers() {
    let backend = Backend::echo().await;
    let edit = |name: &str, value: &str| HeaderDraft { name: name.into(), value: value.into() };
    let request = "GET /shop/cart?x=%20 HTTP/1.1\r\nhost: outer\r\ncookie: c\r\nx-a: old\r\nx-a: older\r\nx-b: 1\r\n\r\n";
    for way in WAYS {
        let gateway = way.before(backend.address, &[], |draft| {
            draft.matches = at_prefix("/shop");
            draft.request_headers = Some(HeaderEditsDraft {
                remove: vec!["Cookie".into()],
                set: vec![edit("x-a", "new")],
                add: vec![edit("x-b", "2")],
            });
            draft.response_headers =
                Some(HeaderEditsDraft { set: vec![edit("server", "us")], ..HeaderEditsDraft::default() });
            draft.forward.as_mut().expect("forward").rewrite = Some(RewriteDraft {
                replace_prefix: Some("/v2/".into()),
                host: "inner.example".into(),
                ..RewriteDraft::default()
            });
        });
        let response = way.ask(&gateway.await, request).await;
        let echoed = response.text();
        assert!(echoed.starts_with("GET /v2/cart?x=%20 HTTP/1.1\r\n"), "{way:?} {echoed}");
        for there in [
            "host: inner.example\r\n",
            "x-forwarded-host: outer\r\n",
            "x-a: new\r\n",
            "x-b: 1\r\n",
            "x-b: 2\r\n",
        ] {
            assert!(echoed.contains(there), "{way:?} {there}{echoed}");
        }
        assert!(!echoed.contains("cookie") && !echoed.contains("old"), "{way:?} {echoed}");
        assert_eq!(response.header("server"), Some("us"));
    }
}

#[tokio::test]
async fn a_redirect_is_the_gateways_own_answer() {
    for way in WAYS {
        let mut gateway = Gateway::start(&["--gateway-engine", way.engine]);
        let redirect = RedirectDraft { scheme: "https".into(), status: 308, ..RedirectDraft::default() };
        gateway.route("r", &RouteDraft { redirect: Some(redirect), ..RouteDraft::default() });
        gateway.swap();
        let response = way.ask(&gateway, "GET /a?b=c HTTP/1.1\r\nhost: Shop:8080\r\n\r\n").await;
        let told = (response.status, response.header("location"));
        assert_eq!(told, (308, Some("https://shop/a?b=c")), "{way:?}");
        assert_eq!(response.reason(), None);
    }
}

#[tokio::test]
async fn requests_go_round_by_weight_and_none_to_weight_0() {
    let names =
        ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb"];
    let (a, b, c) = (Backend::always(names[0]).await, Backend::always(names[1]).await, Backend::echo().await);
    let mut gateway = Gateway::start(&[]);
    let backend = |b: &Backend, weight| BackendDraft {
        address: b.address.to_string(),
        weight: Some(weight),
        ..BackendDraft::default()
    };
    let backends = vec![backend(&a, 3), backend(&b, 1), backend(&c, 0)];
    let load_balancing = LoadBalancingDraft::WeightedRoundRobin;
    gateway.pool_of("p", &PoolDraft { backends, load_balancing, ..PoolDraft::default() });
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    let mut client = gateway.connect().await;
    let mut order = String::new();
    for _ in 0..8 {
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        order += &client.response().await.text();
    }
    assert_eq!(order, "aabaaaba");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    let one = |n: usize| format!("POST /{n} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab");
    client.send((0..20).map(one).collect::<String>()).await;
    for n in 0..20 {
        let echoed = client.response().await.text();
        assert!(echoed.starts_with(&format!("POST /{n} ")) && echoed.ends_with("\nab"), "{n}: {echoed}");
    }
    assert_eq!(backend.connections(), 1);
}
