//! Every strategy on backends that die and come back, with both engines: who is gone is passed over, who is back gets
//! its share, and a pool of which nothing is left answers 503 and says why.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hotswap_matcher::{
    BackendDraft, BalancingDraft, HashKeyDraft, HeaderRuleDraft, HeaderRulesDraft, HealthCheckDraft,
    LoadBalancingDraft, PoolDraft,
};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::support::*;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The one that dies.
const DYING: usize = 1;
/// Requests that are looked at: so many of each of three, where they go in turn.
const LOOK: usize = 60;

/// A backend that can die, and come back at the same address. While it is dead its port refuses connections and is
/// nobody else's.
struct Mortal {
    name: &'static str,
    address: SocketAddr,
    /// Bound, and not listening.
    _reserved: Socket,
    alive: Option<Backend>,
}

fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    socket.set_reuse_port(true).expect("set");
    socket.set_nonblocking(true).expect("set");
    socket.bind(&address.into()).expect("binds");
    socket
}

impl Mortal {
    fn born(name: &'static str) -> Self {
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reserved.local_addr().expect("address").as_socket().expect("IP");
        let mut this = Self { name, address, _reserved: reserved, alive: None };
        this.rise();
        this
    }

    fn rise(&mut self) {
        let socket = socket(self.address);
        socket.listen(128).expect("listens");
        let name = self.name;
        let backend = Backend::on(
            TcpListener::from_std(socket.into()).expect("listens"),
            move |_, mut wire| async move {
                while wire.request().await.is_some() {
                    wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{name}")).await;
                }
            },
        );
        self.alive = Some(backend);
    }

    /// Gone, with all its connections; when this returns nobody listens.
    async fn die(&mut self) {
        if let Some(backend) = self.alive.take() {
            backend.end().await;
        }
    }
}

/// A strategy, and a request of which `#` is the number.
struct Case {
    strategy: LoadBalancingDraft,
    balancing: BalancingDraft,
    request: &'static str,
}

fn cases(dying: SocketAddr) -> Vec<Case> {
    use LoadBalancingDraft::{
        Hash, Header, IpHash, LeastConnections, PowerOfTwo, RoundRobin, WeightedRoundRobin,
    };
    let plain = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    let case = |strategy, balancing, request| Case { strategy, balancing, request };
    let key = HashKeyDraft { header: Some("x-user".into()), ..HashKeyDraft::default() };
    let rule = HeaderRuleDraft { value: "beta".into(), addresses: vec![dying.to_string()] };
    let rules =
        HeaderRulesDraft { header: "x-cohort".into(), rules: vec![rule], default_addresses: Vec::new() };
    let hash = BalancingDraft { hash: Some(key), ..BalancingDraft::default() };
    let header = BalancingDraft { header_rules: Some(rules), ..BalancingDraft::default() };
    let mut all: Vec<Case> = [RoundRobin, WeightedRoundRobin, LeastConnections, PowerOfTwo]
        .into_iter()
        .map(|strategy| case(strategy, BalancingDraft::default(), plain))
        .collect();
    let forwarded = "GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 192.0.2.#\r\n\r\n";
    all.push(case(IpHash, BalancingDraft::default(), forwarded));
    all.push(case(Hash, hash, "GET / HTTP/1.1\r\nhost: h\r\nx-user: user-#\r\n\r\n"));
    all.push(case(Header, header, "GET / HTTP/1.1\r\nhost: h\r\nx-cohort: beta\r\n\r\n"));
    all
}

/// Checked often; one check decides, and a slow machine has time for it.
fn pool_of(case: &Case, backends: &[Mortal]) -> PoolDraft {
    let check = HealthCheckDraft {
        interval_ms: 100,
        timeout_ms: 20_000,
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        ..HealthCheckDraft::default()
    };
    let draft = |b: &Mortal| BackendDraft { address: b.address.to_string(), ..BackendDraft::default() };
    PoolDraft {
        backends: backends.iter().map(draft).collect(),
        load_balancing: case.strategy,
        balancing: Some(case.balancing.clone()),
        health_check: Some(check),
        ..PoolDraft::default()
    }
}

/// Waits until checks have found a backend so.
async fn found(gateway: &Gateway, backend: &Mortal, healthy: bool) {
    let line = format!(
        "gateway_backend_healthy{{backend=\"{}\",pool=\"pools/p\"}} {}",
        backend.address,
        i32::from(healthy)
    );
    gateway.counts(&line).await;
}

/// Waits until requests are answered again.
async fn is_answered(client: &mut Client, case: &Case) {
    in_time("an answer", async {
        loop {
            client.send(case.request.replace('#', "1")).await;
            if client.response().await.status == 200 {
                break;
            }
        }
    })
    .await;
}

/// Who answers so many requests, one after the other on one connection; each must be answered.
async fn answers(client: &mut Client, case: &Case) -> Vec<String> {
    let mut seen = Vec::with_capacity(LOOK);
    for i in 0..LOOK {
        client.send(case.request.replace('#', &i.to_string())).await;
        let response = client.response().await;
        assert_eq!(response.status, 200, "{:?}: {:?}", case.strategy, response.reason());
        seen.push(response.text());
    }
    seen
}

fn count(seen: &[String], name: &str) -> usize {
    seen.iter().filter(|n| *n == name).count()
}

/// The part of each backend, as it must be while all live.
fn is_shared(case: &Case, seen: &[String]) {
    let counts = NAMES.map(|name| count(seen, name));
    let fair = match case.strategy {
        // What ends an exchange may come after its response, and costs that backend a turn.
        LoadBalancingDraft::RoundRobin | LoadBalancingDraft::WeightedRoundRobin => {
            counts.iter().all(|n| (LOOK / 3 - 2..=LOOK / 3 + 2).contains(n))
        }
        LoadBalancingDraft::Header => counts[DYING] == LOOK,
        // Each is asked once at least, to learn how fast it is.
        LoadBalancingDraft::PowerOfTwo => counts.iter().all(|n| *n > 0),
        _ => counts.iter().all(|n| *n >= 3),
    };
    assert!(fair, "{:?}: {counts:?}", case.strategy);
}

/// A gateway before three backends, and a client of it.
struct Stage {
    case: Case,
    backends: Vec<Mortal>,
    gateway: Gateway,
    client: Client,
}

impl Stage {
    async fn set(engine: &str, at: usize) -> Self {
        let backends: Vec<Mortal> = NAMES.into_iter().map(Mortal::born).collect();
        let case = cases(backends[DYING].address).swap_remove(at);
        let args = ["--gateway-engine", engine, "--trusted-proxies", "127.0.0.0/8"];
        let mut gateway = Gateway::start(&args);
        gateway.route("r", &to_pool("p"));
        gateway.pool_of("p", &pool_of(&case, &backends));
        gateway.swap();
        let client = gateway.connect().await;
        Self { case, backends, gateway, client }
    }

    fn hashes(&self) -> bool {
        matches!(self.case.strategy, LoadBalancingDraft::IpHash | LoadBalancingDraft::Hash)
    }

    async fn die(&mut self, at: usize) {
        self.backends[at].die().await;
        found(&self.gateway, &self.backends[at], false).await;
    }

    async fn rise(&mut self, at: usize) {
        self.backends[at].rise();
        found(&self.gateway, &self.backends[at], true).await;
    }

    async fn answers(&mut self) -> Vec<String> {
        answers(&mut self.client, &self.case).await
    }

    /// Nobody fails, and who hashes moves the dead one's own alone.
    async fn goes_on_without_one(&mut self, before: &[String]) {
        let without = self.answers().await;
        assert_eq!(count(&without, NAMES[DYING]), 0, "{:?}", self.case.strategy);
        let hashes = self.hashes();
        for (was, is) in before.iter().zip(&without).filter(|(was, _)| hashes && *was != NAMES[DYING]) {
            assert_eq!(was, is, "{:?}: only those of the dead one move", self.case.strategy);
        }
    }

    /// A clean 503, on a connection that goes on.
    async fn has_nobody(&mut self) {
        for _ in 0..3 {
            self.client.send(self.case.request.replace('#', "1")).await;
            let response = self.client.response().await;
            let told = (response.status, response.reason(), response.text());
            assert_eq!(told, (503, Some("NO_HEALTHY_BACKEND"), "no backend is healthy\n".to_owned()));
        }
    }

    /// Waits until the core, which looks with each tick, has seen that all are back.
    async fn has_all(&mut self) {
        if self.case.strategy == LoadBalancingDraft::Header {
            return;
        }
        in_time("all of them", async {
            while self.answers().await.iter().collect::<BTreeSet<_>>().len() < NAMES.len() {}
        })
        .await;
    }
}

async fn outlives(engine: &str, at: usize) {
    let mut stage = Stage::set(engine, at).await;
    let before = stage.answers().await;
    is_shared(&stage.case, &before);
    stage.die(DYING).await;
    stage.goes_on_without_one(&before).await;
    stage.die(0).await;
    stage.die(2).await;
    stage.has_nobody().await;

    // It is back, alone, and has everything; then the others are, and each has its share again.
    stage.rise(DYING).await;
    is_answered(&mut stage.client, &stage.case).await;
    assert_eq!(count(&stage.answers().await, NAMES[DYING]), LOOK);
    stage.rise(0).await;
    stage.rise(2).await;
    if stage.case.strategy == LoadBalancingDraft::PowerOfTwo {
        // How much each gets depends for a while on how fast it was.
        stage.answers().await;
        return;
    }
    stage.has_all().await;
    let after = stage.answers().await;
    is_shared(&stage.case, &after);
    assert!(!stage.hashes() || before == after, "{:?}: everybody is home again", stage.case.strategy);
}

/// An empty pool is another reason, whatever the strategy. A header's rules name backends, so that one has to have some.
async fn empty(engine: &str, at: usize) {
    let backends = [Mortal::born(NAMES[0])];
    let case = cases(backends[0].address).swap_remove(at);
    let mut draft = pool_of(&case, &backends);
    if case.strategy == LoadBalancingDraft::Header {
        draft.backends[0].weight = Some(0);
    } else {
        draft.backends.clear();
    }
    let mut gateway = Gateway::start(&["--gateway-engine", engine]);
    gateway.route("r", &to_pool("p"));
    gateway.pool_of("p", &draft);
    gateway.swap();
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send(case.request).await;
        let response = client.response().await;
        assert_eq!((response.status, response.reason()), (503, Some("NO_BACKEND")), "{:?}", case.strategy);
    }
}

macro_rules! strategies {
    ($($name:ident = $at:literal;)+) => {
        $(mod $name {
            #[tokio::test]
            async fn passes_over_a_backend_that_dies_and_takes_it_back() {
                for engine in ["hyper", "own"] {
                    super::outlives(engine, $at).await;
                }
            }

            #[tokio::test]
            async fn has_a_reason_for_an_empty_pool() {
                for engine in ["hyper", "own"] {
                    super::empty(engine, $at).await;
                }
            }
        })+
    };
}

strategies! {
    round_robin = 0;
    weighted_round_robin = 1;
    least_connections = 2;
    power_of_two = 3;
    ip_hash = 4;
    hash = 5;
    header = 6;
}
