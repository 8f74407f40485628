//! What stands behind the body of a request: all of it arrives, whatever features the route has, but for what those take out
//! of heads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hotswap_matcher::{
    CompressionDraft, ConcurrencyDraft, CorsDraft, HeaderDraft, HeaderEditsDraft, PoolDraft, RouteDraft,
    TrafficDraft,
};
use jsonwebtoken::Algorithm;

use crate::http2_backends::{Backend2, end, pool_of, with_route};
use crate::http2_support::{Http2, body, whole};
use crate::support::*;
use crate::tokens::{Signer, claims, jwt};

/// What backends of both versions got behind bodies.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Kept {
    fn keep(&self, trailers: &str) {
        let mut lines: Vec<_> = trailers.trim().lines().map(str::trim).collect();
        lines.sort_unstable();
        self.0.lock().expect("a lock").push(lines.join("|"));
    }

    fn all(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("a lock"))
    }
}

async fn http1(kept: Kept) -> Backend {
    Backend::each(move |_, mut wire| {
        let kept = kept.clone();
        async move {
            while let Some((_, trailers)) = wire.request_and_trailers().await {
                kept.keep(&trailers);
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await
}

async fn http2(kept: Kept) -> Backend2 {
    Backend2::each(move |mut asked| {
        let kept = kept.clone();
        async move {
            let (_, whole, trailers) = body(asked.request.into_body()).await;
            assert!(whole);
            kept.keep(&trailers);
            asked.respond.send_response(http::Response::new(()), true).expect("open");
        }
    })
    .await
}

/// A gateway before a backend of each version, with the same features.
async fn both(kept: &Kept, route: RouteDraft) -> ([Gateway; 2], (Backend, Backend2)) {
    let backends = (http1(kept.clone()).await, http2(kept.clone()).await);
    let of = |pool: PoolDraft| with_route(&pool, &route);
    let one = |at: SocketAddr| of(of_backends(&[at]));
    ([one(backends.0.address), of(pool_of(&[backends.1.address]))], backends)
}

/// A request by HTTP/2 with trailers; its status.
async fn posts(gateway: &Gateway, headers: &str, trailers: &[(&'static str, &str)]) -> u16 {
    let client = Http2::connect(gateway).await;
    let head = format!("POST / HTTP/1.1\r\nhost: h\r\n{headers}");
    let (response, mut stream) = client.begin(&head, false).await;
    stream.send_data(Bytes::from_static(b"hi"), false).expect("takes it");
    end(&mut stream, trailers);
    whole(response).await.status
}

#[tokio::test]
async fn trailers_arrive_whatever_features_the_route_has() {
    let kept = Kept::default();
    let mut route = to_pool("p");
    let traffic = TrafficDraft {
        concurrency: Some(ConcurrencyDraft { max_requests: 100, retry_after_s: 0 }),
        cors: Some(CorsDraft { origins: vec!["https://a.example".into()], ..CorsDraft::default() }),
        compression: Some(CompressionDraft::default()),
        ..TrafficDraft::default()
    };
    route.traffic = Some(Box::new(traffic));
    let ([one, two], _backends) = both(&kept, route).await;
    let headers = "origin: https://a.example\r\naccept-encoding: gzip\r\n";
    // HTTP/2 does not announce them.
    assert_eq!(posts(&two, headers, &[("x-sum", "7"), ("x-any", "1")]).await, 200);
    assert_eq!(kept.all(), ["x-any: 1|x-sum: 7"]);
    // Towards HTTP/1.1 they must be.
    let announced = format!("{headers}trailer: x-sum\r\n");
    assert_eq!(posts(&one, &announced, &[("x-sum", "7"), ("x-any", "1")]).await, 200);
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: h\r\n{announced}transfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\nx-any: 1\r\n\r\n"
    );
    for gateway in [&one, &two] {
        assert_eq!(gateway.ask(&chunked).await.status, 200);
    }
    assert_eq!(kept.all(), ["x-sum: 7"; 3]);
}

#[tokio::test]
async fn what_the_route_takes_out_of_heads_no_trailer_says_by_any_way() {
    const FORGED: [&str; 11] = [
        // Who asks, and from where, as the gateway says it.
        "client-cert",
        "client-cert-chain",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "forwarded",
        // The token, and what stands in it.
        "authorization",
        "x-user",
        "x-roles",
        // A claim that this token does not have.
        "x-map",
        // What the route's edits remove and set.
        "x-inner",
        "x-tier",
    ];
    let kept = Kept::default();
    let signer = Signer::new("ed", Algorithm::EdDSA);
    let mut route = to_pool("p");
    route.traffic = Some(Box::new(TrafficDraft { jwt: Some(jwt(&[&signer])), ..TrafficDraft::default() }));
    route.request_headers = Some(HeaderEditsDraft {
        remove: vec!["x-inner".into()],
        set: vec![HeaderDraft { name: "x-tier".into(), value: "gold".into() }],
        ..HeaderEditsDraft::default()
    });
    let (gateways, _backends) = both(&kept, route).await;
    let token = format!("authorization: Bearer {}\r\n", signer.sign(&claims()));
    let announced = format!("{token}trailer: x-sum, {}\r\n", FORGED.join(", ").to_uppercase());
    let trailers: Vec<_> = [("x-sum", "7")].into_iter().chain(FORGED.map(|name| (name, "forged"))).collect();
    let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: h\r\n{announced}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{lines}\r\n"
    );
    for gateway in &gateways {
        assert_eq!(gateway.ask(&chunked).await.status, 200);
        assert_eq!(posts(gateway, &announced, &trailers).await, 200);
    }
    assert_eq!(kept.all(), ["x-sum: 7"; 4]);
    assert_eq!(posts(&gateways[1], &token, &trailers).await, 200);
    assert_eq!(kept.all(), ["x-sum: 7"], "not announced, which HTTP/2 need not do");
}
