//! Backends that fail, and what the gateway does about them: active checks, breakers, ejection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hotswap_gateway::standing::{BackendStanding, backends};
use hotswap_matcher::{
    BackendDraft, CircuitBreakerDraft, HealthCheckDraft, HealthCheckKindDraft, OutlierEjectionDraft,
    PoolDraft,
};

use crate::support::*;
use crate::ways::{WAYS, Way};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const ERROR: &str = "HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno";
const BUSY: &str = "HTTP/1.1 429 Busy\r\ncontent-length: 0\r\n\r\n";

/// A backend whose answers can be changed, and that counts what comes: requests, and checks of "/up".
struct Moody {
    backend: Backend,
    answers: Arc<std::sync::Mutex<&'static str>>,
    requests: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
}

impl Moody {
    async fn new() -> Self {
        let answers = Arc::new(std::sync::Mutex::new(OK));
        let (requests, checks) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (a, r, c) = (Arc::clone(&answers), Arc::clone(&requests), Arc::clone(&checks));
        let backend = Backend::each(move |_, mut wire| {
            let (a, r, c) = (Arc::clone(&a), Arc::clone(&r), Arc::clone(&c));
            async move {
                while let Some(request) = wire.request().await {
                    let count = if request.head.starts_with("GET /up ") { &c } else { &r };
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = *a.lock().expect("lock");
                    wire.send(answer).await;
                }
            }
        })
        .await;
        Self { backend, answers, requests, checks }
    }

    fn answers(&self, response: &'static str) {
        *self.answers.lock().expect("lock") = response;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    async fn is_checked(&self, times: usize) {
        let from = self.checks.load(Ordering::SeqCst);
        in_time("checks", async {
            while self.checks.load(Ordering::SeqCst) < from + times {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

fn pool(backends: &[SocketAddr]) -> PoolDraft {
    let backend = |a: &SocketAddr| BackendDraft { address: a.to_string(), ..BackendDraft::default() };
    PoolDraft { backends: backends.iter().map(backend).collect(), ..PoolDraft::default() }
}

fn checked(kind: HealthCheckKindDraft) -> Option<HealthCheckDraft> {
    Some(HealthCheckDraft {
        path: "/up".into(),
        interval_ms: 100,
        timeout_ms: 60_000,
        unhealthy_threshold: 2,
        healthy_threshold: 2,
        kind,
        ..HealthCheckDraft::default()
    })
}

fn gateway(pool: &PoolDraft, args: &[&str]) -> Gateway {
    let mut gateway = Gateway::start(args);
    gateway.pool_of("p", pool);
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    gateway
}

pub fn standing(gateway: &Gateway) -> Vec<BackendStanding> {
    let states = gateway.plane.config().states().borrow().clone();
    backends(&states, |_| true)
}

/// Waits until a backend, by its place, stands so.
async fn stands(gateway: &Gateway, place: usize, what: &str, so: impl Fn(&BackendStanding) -> bool) {
    in_time(what, async {
        while !standing(gateway).get(place).is_some_and(&so) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn statuses(gateway: &Gateway, n: usize) -> Vec<u16> {
    let mut client = gateway.connect().await;
    let mut all = Vec::new();
    for _ in 0..n {
        client.send(GET).await;
        all.push(client.response().await.status);
    }
    all
}

/// The same, by a way.
async fn statuses_by(way: Way, gateway: &Gateway, n: usize) -> Vec<u16> {
    let mut client = way.connect(gateway).await;
    let mut all = Vec::new();
    for _ in 0..n {
        all.push(client.ask(GET).await.status);
    }
    all
}

#[tokio::test]
async fn a_backend_that_fails_its_checks_gets_no_request_until_it_passes_them() {
    let (a, b) = (Moody::new().await, Moody::new().await);
    let health_check = checked(HealthCheckKindDraft::Http);
    let addresses = [a.backend.address, b.backend.address];
    let mut gateway = gateway(&PoolDraft { health_check, ..pool(&addresses) }, &[]);
    assert_eq!(statuses(&gateway, 4).await, [200; 4]);
    assert_eq!((a.requests(), b.requests()), (2, 2));

    a.answers(ERROR);
    stands(&gateway, 0, "unhealthy", |b| b.healthy == Some(false) && !b.usable).await;
    assert_eq!(statuses(&gateway, 4).await, [200; 4]);
    assert_eq!((a.requests(), b.requests()), (2, 6));
    gateway.counts("gateway_backends{condition=\"unhealthy\"} 1").await;

    // What is known outlives a change of the configuration.
    let health_check = checked(HealthCheckKindDraft::Http);
    let changed = PoolDraft { health_check, connect_timeout_ms: 1_000, ..pool(&addresses) };
    gateway.pool_of("p", &changed);
    gateway.swap();
    assert_eq!(standing(&gateway)[0].healthy, Some(false));
    assert_eq!(statuses(&gateway, 4).await, [200; 4]);
    assert_eq!(a.requests(), 2);

    a.answers(OK);
    stands(&gateway, 0, "healthy", |b| b.usable).await;
    assert_eq!(statuses(&gateway, 4).await, [200; 4]);
    assert_eq!(a.requests(), 4);
}

#[tokio::test]
async fn an_address_is_checked_once_whatever_the_cores_and_routes_and_not_after_its_pool() {
    let a = Moody::new().await;
    let health_check = checked(HealthCheckKindDraft::Http);
    let draft = PoolDraft { health_check, ..pool(&[a.backend.address]) };
    let mut gateway = gateway(&draft, &["--gateway-workers", "4"]);
    for id in ["r1", "r2", "r3"] {
        gateway.route(id, &to_pool("p"));
    }
    gateway.swap();
    a.is_checked(3).await;
    // Each check has a connection of its own; nothing else connects.
    assert!(a.backend.connections() <= a.checks.load(Ordering::SeqCst) + 1);
    // Another pool's checks tell the time.
    let b = Moody::new().await;
    let health_check = checked(HealthCheckKindDraft::Http);
    gateway.pool_of("q", &PoolDraft { health_check, ..pool(&[b.backend.address]) });
    gateway.pool("p", &[a.backend.address]);
    gateway.swap();
    assert_eq!(standing(&gateway)[0].healthy, None);
    b.is_checked(1).await;
    let after = a.checks.load(Ordering::SeqCst);
    b.is_checked(5).await;
    // One that was on its way may still come.
    assert!(a.checks.load(Ordering::SeqCst) <= after + 1, "it is checked no more");
}

#[tokio::test]
async fn a_tcp_check_wants_a_connection_and_nothing_else() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("address");
    let health_check = checked(HealthCheckKindDraft::Tcp);
    let gateway = gateway(&PoolDraft { health_check, ..pool(&[address]) }, &[]);
    let (_, _) = in_time("check", listener.accept()).await.expect("a check");
    assert_eq!(standing(&gateway)[0].healthy, Some(true));
    drop(listener);
    stands(&gateway, 0, "unhealthy", |b| b.healthy == Some(false)).await;
    let response = gateway.ask(GET).await;
    assert_eq!((response.status, response.reason()), (503, Some("NO_HEALTHY_BACKEND")));
}

#[tokio::test]
async fn a_check_without_an_answer_in_time_is_a_failure() {
    let silent = Backend::each(|_, mut wire| async move { while wire.more().await {} }).await;
    let mut health_check = checked(HealthCheckKindDraft::Http);
    if let Some(check) = &mut health_check {
        check.timeout_ms = 50;
    }
    let gateway = gateway(&PoolDraft { health_check, ..pool(&[silent.address]) }, &[]);
    stands(&gateway, 0, "unhealthy", |b| b.healthy == Some(false)).await;
}

fn broken(open_ms: u32) -> Option<CircuitBreakerDraft> {
    Some(CircuitBreakerDraft { open_ms, ..CircuitBreakerDraft::default() })
}

#[tokio::test]
async fn five_failures_open_the_breaker_for_all_cores_and_routes() {
    let a = Moody::new().await;
    a.answers(ERROR);
    let draft = PoolDraft { circuit_breaker: broken(60_000), ..pool(&[a.backend.address]) };
    let gateway = gateway(&draft, &["--gateway-workers", "4"]);
    // Each client may meet another core.
    let mut seen = Vec::new();
    for _ in 0..12 {
        seen.push(gateway.ask(GET).await.status);
    }
    assert_eq!(seen, [[500; 5].as_slice(), &[503; 7]].concat());
    assert_eq!(a.requests(), 5);
    let metrics = gateway.metrics();
    let address = a.backend.address;
    for line in [
        format!("gateway_circuit_breaker_state{{backend=\"{address}\",pool=\"pools/p\"}} 2"),
        format!("gateway_circuit_breaker_opened_total{{backend=\"{address}\",pool=\"pools/p\"}} 1"),
        "gateway_backends{condition=\"open\"} 1".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn half_open_lets_one_try_and_only_a_success_closes_it() {
    for way in WAYS {
        let a = Moody::new().await;
        a.answers(ERROR);
        let draft = PoolDraft { circuit_breaker: broken(100), ..way.pool(&[a.backend.address]).await };
        let gateway = gateway(&draft, &["--gateway-engine", way.engine]);
        assert_eq!(statuses_by(way, &gateway, 5).await, [500; 5], "{way:?}");
        stands(&gateway, 0, "half-open", |b| b.breaker == Some("half_open")).await;
        assert_eq!(statuses_by(way, &gateway, 2).await, [500, 503], "one trial, which fails: {way:?}");
        stands(&gateway, 0, "half-open", |b| b.breaker == Some("half_open")).await;
        a.answers(BUSY);
        assert_eq!(statuses_by(way, &gateway, 3).await, [429; 3], "{way:?}");
        assert_eq!(standing(&gateway)[0].breaker, Some("half_open"), "429 is no success: {way:?}");
        a.answers(OK);
        assert_eq!(statuses_by(way, &gateway, 1).await, [200], "{way:?}");
        assert_eq!(standing(&gateway)[0].breaker, Some("closed"), "{way:?}");
    }
}

#[tokio::test]
async fn while_a_trial_is_under_way_nobody_else_may_try() {
    let (fails, slow) = (Arc::new(AtomicBool::new(true)), Arc::new(tokio::sync::Notify::new()));
    let (f, s) = (Arc::clone(&fails), Arc::clone(&slow));
    let backend = Backend::each(move |_, mut wire| {
        let (f, s) = (Arc::clone(&f), Arc::clone(&s));
        async move {
            while wire.request().await.is_some() {
                if f.load(Ordering::SeqCst) {
                    wire.send(ERROR).await;
                } else {
                    s.notified().await;
                    wire.send(OK).await;
                }
            }
        }
    })
    .await;
    let draft = PoolDraft { circuit_breaker: broken(100), ..pool(&[backend.address]) };
    let gateway = gateway(&draft, &["--gateway-workers", "2"]);
    assert_eq!(statuses(&gateway, 5).await, [500; 5]);
    fails.store(false, Ordering::SeqCst);
    stands(&gateway, 0, "half-open", |b| b.breaker == Some("half_open")).await;
    let mut trial = gateway.connect().await;
    trial.send(GET).await;
    stands(&gateway, 0, "the trial", |b| b.active == 1).await;
    for _ in 0..4 {
        assert_eq!(gateway.ask(GET).await.status, 503);
    }
    slow.notify_one();
    assert_eq!(trial.response().await.status, 200);
    assert_eq!(standing(&gateway)[0].breaker, Some("closed"));
}

#[tokio::test]
async fn an_ejected_backend_comes_back_by_itself_and_others_stay() {
    for way in WAYS {
        let (a, b) = (Moody::new().await, Moody::new().await);
        a.answers(ERROR);
        b.answers(ERROR);
        let outlier_ejection = Some(OutlierEjectionDraft {
            consecutive_failures: 2,
            base_ms: 1_000,
            ..OutlierEjectionDraft::default()
        });
        let addresses = [a.backend.address, b.backend.address];
        let draft = PoolDraft { outlier_ejection, ..way.pool(&addresses).await };
        let gateway = gateway(&draft, &["--gateway-engine", way.engine]);
        assert_eq!(statuses_by(way, &gateway, 4).await, [500; 4]);
        let out = |all: Vec<BackendStanding>| all.iter().filter(|b| b.ejected_for_ms.is_some()).count();
        assert_eq!(out(standing(&gateway)), 1, "of two at most one, however they fail");
        a.answers(OK);
        b.answers(OK);
        in_time("both are back", async {
            while out(standing(&gateway)) > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        assert_eq!(statuses_by(way, &gateway, 4).await, [200; 4]);
        assert!(a.requests() >= 3 && b.requests() >= 3, "{} {}", a.requests(), b.requests());
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_is_a_failure_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let nobody = listener.local_addr().expect("address");
    drop(listener);
    let draft = PoolDraft { circuit_breaker: broken(60_000), ..pool(&[nobody]) };
    let gateway = gateway(&draft, &[]);
    assert_eq!(statuses(&gateway, 7).await, [502, 502, 502, 502, 502, 503, 503]);
}
