//! The strategies on real sockets: who answers, also while backends are drained and added.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotswap_matcher::{
    BackendDraft, BackendState, BalancingDraft, HashKeyDraft, HeaderRuleDraft, HeaderRulesDraft,
    LoadBalancingDraft, PoolDraft, StickyCookieDraft,
};
use tokio::sync::Semaphore;

use crate::health::standing;
use crate::support::*;
use crate::swaps::Traffic;
use crate::ways::{HYPER, WAYS, Way};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A backend that answers with its name.
async fn named(name: &str) -> Backend {
    let response =
        format!("HTTP/1.1 200 OK\r\nset-cookie: own=1\r\ncontent-length: {}\r\n\r\n{name}", name.len());
    Backend::always(response.leak()).await
}

fn drafts(backends: &[&Backend]) -> Vec<BackendDraft> {
    let draft = |b: &&Backend| BackendDraft { address: b.address.to_string(), ..BackendDraft::default() };
    backends.iter().map(draft).collect()
}

fn pool(backends: &[&Backend], strategy: LoadBalancingDraft, balancing: BalancingDraft) -> PoolDraft {
    PoolDraft {
        backends: drafts(backends),
        load_balancing: strategy,
        balancing: Some(balancing),
        ..PoolDraft::default()
    }
}

/// A gateway that sends everything to one pool.
fn before(pool: &PoolDraft, args: &[&str]) -> Gateway {
    let mut gateway = Gateway::start(args);
    gateway.route("r", &to_pool("p"));
    gateway.pool_of("p", pool);
    gateway.swap();
    gateway
}

fn with(header: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\n{header}\r\n\r\n")
}

/// A backend that answers once it is let go.
async fn held(name: &'static str, gate: Arc<Semaphore>, waiting: Arc<AtomicUsize>) -> Backend {
    Backend::each(move |_, mut wire| {
        let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
        async move {
            while wire.request().await.is_some() {
                waiting.fetch_add(1, Ordering::SeqCst);
                let _permit = gate.acquire().await;
                wire.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len())).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn least_connections_counts_requests_in_flight_of_all_cores() {
    let ways = WAYS.map(|way| (way, "2"));
    for (way, workers) in [(WAYS[0], "1"), (HYPER, "1")].into_iter().chain(ways) {
        let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let slow = held("slow", Arc::clone(&gate), Arc::clone(&waiting)).await;
        let quick = named("quick").await;
        let load_balancing = LoadBalancingDraft::LeastConnections;
        let two = PoolDraft { load_balancing, ..way.pool(&[slow.address, quick.address]).await };
        // The only one at first, so that it is the one that has a request.
        let mut one = two.clone();
        one.backends.pop();
        let mut gateway = before(&one, &["--gateway-engine", way.engine, "--gateway-workers", workers]);
        let mut client = way.connect(&gateway).await;
        let first = spawn(async move { client.ask(GET).await });
        in_time("the request arrives", async {
            while waiting.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        gateway.pool_of("p", &two);
        gateway.swap();
        for _ in 0..20 {
            // A core counts a request as over a moment after its client has the answer.
            in_time("only the first is under way", async {
                while standing(&gateway).iter().map(|b| b.active).sum::<u32>() != 1 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            assert_eq!(way.ask(&gateway, GET).await.text(), "quick", "{way:?}");
        }
        gate.add_permits(100);
        assert_eq!(in_time("the first", first).await.expect("answered").text(), "slow");
        gateway.counts("gateway_requests_total{class=\"2xx\"} 21").await;
        let mut seen = BTreeMap::new();
        for _ in 0..40 {
            *seen.entry(way.ask(&gateway, GET).await.text()).or_insert(0) += 1;
        }
        assert!(seen.len() == 2, "both are idle: {way:?} {seen:?}");
    }
}

/// Who answers each of some clients.
async fn homes(way: Way, gateway: &Gateway, header: &str, n: usize) -> HashMap<usize, String> {
    let mut client = way.connect(gateway).await;
    let mut homes = HashMap::new();
    for i in 0..n {
        let line = header.replace('#', &i.to_string());
        homes.insert(i, client.ask(&with(&line)).await.text());
    }
    homes
}

#[tokio::test]
async fn a_client_address_keeps_its_backend_on_every_gateway_and_a_drained_one_moves_its_own_alone() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let chain = "x-forwarded-for: 6.6.6.6, 192.0.2.#, 10.1.1.1";
    for way in WAYS {
        let three = way.pool(&[a.address, b.address, c.address]).await;
        let mut draft = PoolDraft { load_balancing: LoadBalancingDraft::IpHash, ..three };
        let engine = ["--gateway-engine", way.engine];
        let trusting = [&engine[..], &["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]].concat();
        let (mut gateway, other) = (before(&draft, &trusting), before(&draft, &trusting));
        let first = homes(way, &gateway, chain, 60).await;
        assert_eq!(first, homes(way, &other, chain, 60).await, "{way:?}: gateways agree");
        let count = |name: &str| first.values().filter(|n| *n == name).count();
        assert!(["a", "b", "c"].iter().all(|n| count(n) > 5), "{way:?} {first:?}");

        draft.backends[1].state = BackendState::Drained;
        gateway.pool_of("p", &draft);
        gateway.swap();
        let moved = homes(way, &gateway, chain, 60).await;
        for (client, home) in &first {
            let stays = moved[client] == *home;
            assert_eq!(stays, home != "b", "{way:?} client {client}: {home} to {}", moved[client]);
        }
        let doubting = before(&draft, &engine);
        let homes = homes(way, &doubting, chain, 20).await;
        assert!(homes.values().all(|n| *n == homes[&0]), "without trust it is all one client: {homes:?}");
    }
}

#[tokio::test]
async fn a_header_or_cookie_keeps_its_backend() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let by_header = HashKeyDraft { header: Some("X-User".into()), ..HashKeyDraft::default() };
    let cookie = Some("sid".into());
    let by_cookie = HashKeyDraft { cookie, load_limit_percent: 150, ..HashKeyDraft::default() };
    for way in WAYS {
        let three = way.pool(&[a.address, b.address, c.address]).await;
        for (key, line) in [(&by_header, "x-user: user-#"), (&by_cookie, "cookie: a=b; sid=user-#")] {
            let balancing = Some(BalancingDraft { hash: Some(key.clone()), ..BalancingDraft::default() });
            let draft = PoolDraft { load_balancing: LoadBalancingDraft::Hash, balancing, ..three.clone() };
            let gateway = before(&draft, &["--gateway-engine", way.engine]);
            let first = homes(way, &gateway, line, 40).await;
            assert_eq!(first, homes(way, &gateway, line, 40).await, "{way:?}");
            let distinct: std::collections::BTreeSet<_> = first.values().collect();
            assert_eq!(distinct.len(), 3, "{way:?}");
            let without = homes(way, &gateway, "x-other: #", 6).await;
            let turns = |name: &str| without.values().filter(|n| *n == name).count();
            assert_eq!([turns("a"), turns("b"), turns("c")], [2, 2, 2], "those without a key go in turn");
        }
    }
}

#[tokio::test]
async fn a_header_chooses_the_backend_by_rules() {
    let (a, b) = (named("stable").await, named("beta").await);
    let rule = HeaderRuleDraft { value: "beta".into(), addresses: vec![b.address.to_string()] };
    let rules =
        HeaderRulesDraft { header: "X-Cohort".into(), rules: vec![rule], default_addresses: Vec::new() };
    let balancing = BalancingDraft { header_rules: Some(rules), ..BalancingDraft::default() };
    let mut draft = pool(&[&a, &b], LoadBalancingDraft::Header, balancing);
    let mut gateway = before(&draft, &[]);
    for _ in 0..3 {
        assert_eq!(gateway.ask(&with("x-cohort: beta")).await.text(), "beta");
        assert_eq!(gateway.ask(&with("x-cohort: else")).await.text(), "stable");
        assert_eq!(gateway.ask(GET).await.text(), "stable");
    }
    draft.backends[1].state = BackendState::Drained;
    gateway.pool_of("p", &draft);
    gateway.swap();
    assert_eq!(gateway.ask(&with("x-cohort: beta")).await.text(), "stable", "the default stands in");
}

#[tokio::test]
async fn a_sticky_cookie_leads_back_until_its_backend_is_drained() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let cookie = StickyCookieDraft { name: "back".into(), max_age_s: 60, ..StickyCookieDraft::default() };
    let balancing = BalancingDraft { sticky_cookie: Some(cookie), ..BalancingDraft::default() };
    let mut draft = pool(&[&a, &b, &c], LoadBalancingDraft::RoundRobin, balancing);
    let mut gateway = before(&draft, &[]);
    let first = gateway.ask(GET).await;
    let cookies = |r: &Response| {
        let lines = r.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| *n == "set-cookie").map(|(_, v)| v.to_owned()).collect::<Vec<_>>()
    };
    let set = cookies(&first);
    assert_eq!(set[0], "own=1", "the backend's own stays");
    let (pair, attributes) = set[1].split_once(';').expect("attributes");
    assert_eq!(attributes, " Path=/; Max-Age=60; SameSite=Lax; HttpOnly");
    let (home, line) = (first.text(), format!("cookie: own=1; {pair}"));
    for _ in 0..7 {
        let again = gateway.ask(&with(&line)).await;
        assert_eq!((again.text(), cookies(&again).len()), (home.clone(), 1), "it has its cookie already");
    }
    let at = ["a", "b", "c"].iter().position(|n| *n == home).expect("one of them");
    draft.backends[at].state = BackendState::Drained;
    gateway.pool_of("p", &draft);
    gateway.swap();
    let moved = gateway.ask(&with(&line)).await;
    assert_ne!(moved.text(), home);
    assert!(cookies(&moved).iter().any(|c| c.starts_with("back=") && !c.starts_with(pair)), "a new one");
    assert_eq!(cookies(&gateway.ask(&with("cookie: back=forged")).await).len(), 2);
}

#[tokio::test]
async fn who_answers_slowly_or_fails_fast_draws_few_requests() {
    let slow = Backend::each(|_, mut wire| async move {
        while wire.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(150)).await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow").await;
        }
    })
    .await;
    let failing = Backend::always("HTTP/1.1 503 Oh\r\ncontent-length: 4\r\n\r\nfail").await;
    let (a, b) = (named("good").await, named("good").await);
    for odd in [&slow, &failing] {
        let draft = pool(&[odd, &a, &b], LoadBalancingDraft::PowerOfTwo, BalancingDraft::default());
        let gateway = before(&draft, &[]);
        let mut clients = Vec::new();
        for _ in 0..4 {
            let address = gateway.address();
            clients.push(spawn(async move {
                let mut client = Client::connect(address).await;
                let mut good = 0;
                for _ in 0..50 {
                    client.send(GET).await;
                    good += usize::from(client.response().await.text() == "good");
                }
                good
            }));
        }
        let mut good = 0;
        for client in clients {
            good += client.await.expect("ends");
        }
        // In turn it would be 133 of 200.
        assert!(good > 180, "{good} of 200");
    }
}

#[tokio::test]
async fn a_pool_whose_backends_are_all_drained_is_a_clean_503() {
    let a = named("a").await;
    let mut draft = pool(&[&a], LoadBalancingDraft::PowerOfTwo, BalancingDraft::default());
    draft.backends[0].state = BackendState::Drained;
    let mut gateway = before(&draft, &[]);
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        let response = client.response().await;
        assert_eq!((response.status, response.reason()), (503, Some("NO_BACKEND")));
    }
    draft.backends[0].state = BackendState::Enabled;
    gateway.pool_of("p", &draft);
    gateway.swap();
    client.send(GET).await;
    assert_eq!(client.response().await.text(), "a", "on the same connection");
}

#[tokio::test]
async fn draining_and_enabling_fails_no_request_whatever_the_strategy() {
    use LoadBalancingDraft::{IpHash, LeastConnections, PowerOfTwo, RoundRobin, WeightedRoundRobin};
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let strategies = [RoundRobin, WeightedRoundRobin, LeastConnections, IpHash, PowerOfTwo];
    for way in WAYS {
        let three = way.pool(&[a.address, b.address, c.address]).await;
        let mut gateway = before(&three, &["--gateway-engine", way.engine, "--gateway-workers", "2"]);
        let traffic = Traffic::begin(way, &gateway, 4);
        for round in 0..120 {
            let mut draft = PoolDraft { load_balancing: strategies[round / 7 % 5], ..three.clone() };
            draft.backends[round % 3].state = BackendState::Drained;
            draft.backends.rotate_left(round % 2);
            gateway.pool_of("p", &draft);
            gateway.swap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let done = traffic.end(&gateway).await;
        assert!(done > 50, "{way:?}: {done} requests saw 120 changes");
    }
}
