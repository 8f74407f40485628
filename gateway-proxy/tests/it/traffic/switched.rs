//! What a route asks of connections that switch to another protocol.

use hotswap_matcher::{
    BalancingDraft, ConcurrencyDraft, ExposureDraft, FaultDelayDraft, FaultDraft, JwtDraft, PoolDraft,
    RequestKeyDraft, StickyCookieDraft, TrafficDraft,
};
use jsonwebtoken::Algorithm;

use crate::rollouts::who;
use crate::support::*;
use crate::tokens::{Signer, claims, jwt};
use crate::upgrades::{ASK, exactly, switching};

const IN_FLIGHT: &str = "gateway_traffic_in_flight{route=\"routes/r\"}";

/// The wish to switch, with these fields.
fn asking(fields: &str) -> String {
    ASK.replace("host: h\r\n", &format!("host: h\r\n{fields}"))
}

/// A connection that has switched, and the answer to its wish.
async fn switched(gateway: &Gateway, fields: &str) -> (Client, Response) {
    let mut client = gateway.connect().await;
    client.send(asking(fields)).await;
    let response = client.response().await;
    assert_eq!(response.status, 101, "{}", response.head);
    client.send("hi").await;
    exactly(&mut client, b"hi").await;
    (client, response)
}

/// A gateway before two backends that switch, whose clients stay with theirs by cookie.
fn gateway(backends: &[&Backend; 2], traffic: TrafficDraft) -> Gateway {
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    let sticky_cookie = Some(StickyCookieDraft::default());
    let balancing = Some(BalancingDraft { sticky_cookie, ..BalancingDraft::default() });
    gateway.pool_of("p", &PoolDraft { balancing, ..of_backends(&backends.map(|b| b.address)) });
    let mut route = to_pool("p");
    route.traffic = Some(Box::new(traffic));
    gateway.route("r", &route);
    gateway.swap();
    gateway
}

#[tokio::test]
async fn a_websocket_needs_a_token_waits_and_holds_its_place_until_its_end() {
    let (a, b) = (switching().await, switching().await);
    let signer = Signer::new("ed", Algorithm::EdDSA);
    let delay = Some(FaultDelayDraft { delay_ms: 20, share_bps: 10_000 });
    let traffic = TrafficDraft {
        jwt: Some(JwtDraft { strip_token: true, ..jwt(&[&signer]) }),
        concurrency: Some(ConcurrencyDraft { max_requests: 1, retry_after_s: 0 }),
        fault: Some(FaultDraft { delay, ..FaultDraft::default() }),
        ..TrafficDraft::default()
    };
    let gateway = gateway(&[&a, &b], traffic);
    let mut refused = gateway.connect().await;
    for _ in 0..2 {
        refused.send(ASK).await;
        assert_eq!(refused.response().await.reason(), Some("TOKEN_MISSING"));
    }
    let token = format!("authorization: Bearer {}\r\n", signer.sign(&claims()));
    for _ in 0..2 {
        let (client, _) = switched(&gateway, &token).await;
        gateway.counts(&format!("{IN_FLIGHT} 1")).await;
        let shed = gateway.ask(&asking(&token)).await;
        assert_eq!((shed.status, shed.reason()), (503, Some("CONCURRENCY_LIMIT")));
        drop(client);
        gateway.counts(&format!("{IN_FLIGHT} 0")).await;
    }
    gateway.counts("gateway_upgraded_connections 0").await;
}

#[tokio::test]
async fn a_websocket_gets_a_cookie_that_leads_it_back() {
    let (a, b) = (switching().await, switching().await);
    let gateway = gateway(&[&a, &b], TrafficDraft::default());
    let (_first, answer) = switched(&gateway, "").await;
    let cookie = answer.header("set-cookie").and_then(|c| c.split(';').next()).expect("a cookie").to_owned();
    let before = [a.connections(), b.connections()];
    for _ in 0..6 {
        let (_again, answer) = switched(&gateway, &format!("cookie: {cookie}\r\n")).await;
        assert_eq!(answer.header("set-cookie"), None, "it has its cookie already");
    }
    let more = [a.connections() - before[0], b.connections() - before[1]];
    assert!(more.contains(&6) && before.iter().sum::<usize>() == 1, "{before:?} and {more:?} more");
}

#[tokio::test]
async fn a_websocket_meets_the_revision_of_its_user() {
    let (a, b) = (switching().await, switching().await);
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    gateway.pool("a", &[a.address]);
    gateway.pool("b", &[b.address]);
    let key = RequestKeyDraft::Cookie("user".into());
    let half = who(1, Some(ExposureDraft::ShareBps(5_000)), Some(key));
    gateway.route_with("r", &to_pool("a"), &to_pool("b"), &half);
    gateway.swap();
    for user in 0..20 {
        let before = [a.connections(), b.connections()];
        for _ in 0..3 {
            switched(&gateway, &format!("cookie: user={user}\r\n")).await;
        }
        let more = [a.connections() - before[0], b.connections() - before[1]];
        assert!(more.contains(&3) && more.contains(&0), "user {user}: {more:?}");
    }
    assert!(a.connections() > 0 && b.connections() > 0);
}
