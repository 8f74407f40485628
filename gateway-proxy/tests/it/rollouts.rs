//! Two revisions of a route or pool at once, on both engines.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{
    Arm, CandidateDraft, CohortDraft, ExposureDraft, HeaderDraft, HeaderEditsDraft, RequestKeyDraft,
    RetryDraft, RouteDraft,
};

use crate::gateway_process::two_backends;
use crate::support::*;
use crate::swaps::Traffic;
use crate::ways::{WAYS, Way};

pub const ENGINES: [&str; 2] = ["hyper", "own"];
pub const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
pub const OTHER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb";

pub fn who(
    epoch: i64,
    exposure: Option<ExposureDraft>,
    sticky_key: Option<RequestKeyDraft>,
) -> CandidateDraft {
    let rollout = "rollouts/0198c2a4-7b1e-7000-8000-000000000001".to_owned();
    CandidateDraft { rollout, epoch, exposure, sticky_key, check: None }
}

fn share(bps: u32) -> CandidateDraft {
    who(i64::from(bps), Some(ExposureDraft::ShareBps(bps)), None)
}

fn sticky(bps: u32) -> CandidateDraft {
    who(i64::from(bps), Some(ExposureDraft::ShareBps(bps)), Some(RequestKeyDraft::Cookie("user".into())))
}

/// A gateway with a route under a rollout, whose baseline answers "a" and whose candidate answers "b".
struct Canary {
    way: Way,
    gateway: Gateway,
    _backends: (Backend, Backend),
}

impl Canary {
    async fn start(way: Way, workers: &str, who: &CandidateDraft) -> Self {
        let backends = two_backends().await;
        let mut gateway = Gateway::start(&["--gateway-engine", way.engine, "--gateway-workers", workers]);
        gateway.pool_of("a", &way.pool(&[backends.0.address]).await);
        gateway.pool_of("b", &way.pool(&[backends.1.address]).await);
        let mut canary = Self { way, gateway, _backends: backends };
        canary.expose(who);
        canary
    }

    fn expose(&mut self, who: &CandidateDraft) {
        self.gateway.route_with("r", &to_pool("a"), &to_pool("b"), who);
        self.gateway.swap();
    }

    /// How often each answer came to these requests, on one connection.
    async fn answers(&self, requests: impl IntoIterator<Item = String>) -> HashMap<String, u64> {
        let mut client = self.way.connect(&self.gateway).await;
        let mut answers = HashMap::new();
        for request in requests {
            *answers.entry(client.ask(&request).await.text()).or_default() += 1;
        }
        answers
    }

    async fn of_user(&self, n: u64) -> String {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: user={n}\r\n\r\n");
        self.answers([request]).await.into_keys().next().expect("one")
    }

    /// What was counted at this exposure: of the baseline, of the candidate.
    async fn counted(&self, all: u64) -> [Total; 2] {
        counted(&self.gateway, all).await
    }
}

/// What was counted of the one rollout, as soon as it is so much in all.
pub async fn counted(gateway: &Gateway, all: u64) -> [Total; 2] {
    in_time("counts", async {
        loop {
            let config = gateway.plane.config().now();
            let rollout = config.rollouts().next().expect("a rollout");
            let totals = [Arm::Baseline, Arm::Candidate].map(|arm| rollout.tallies().now(arm));
            if totals.iter().map(|t| t.requests).sum::<u64>() == all {
                return totals;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Whether `hits` of `all` are as a coin of this share would have them, within 6 standard deviations.
pub fn is_about(hits: u64, all: u64, bps: u32) -> bool {
    let (n, p) = (all as f64, f64::from(bps) / 10_000.0);
    (hits as f64 - n * p).abs() <= 6.0 * (n * p * (1.0 - p)).sqrt()
}

#[tokio::test]
async fn a_share_of_the_requests_meets_the_candidate_and_is_counted_as_the_client_counts() {
    const ALL: u64 = 400;
    for way in WAYS {
        for bps in [0, 1_000, 5_000, 10_000] {
            let canary = Canary::start(way, "1", &share(bps)).await;
            let answers = canary.answers((0..ALL).map(|_| GET.to_owned())).await;
            let candidate = answers.get("b").copied().unwrap_or_default();
            assert!(is_about(candidate, ALL, bps), "{way:?}: {candidate} of {ALL} at {bps} bp");
            let [baseline, other] = canary.counted(ALL).await;
            let want = [ALL - candidate, candidate].map(|requests| Total { requests, errors: 0 });
            assert_eq!([baseline, other], want, "{way:?}");
        }
    }
}

#[tokio::test]
async fn users_stay_and_a_larger_share_only_adds_some() {
    for way in WAYS {
        let mut canary = Canary::start(way, "1", &sticky(0)).await;
        let mut before = vec!["a".to_owned(); 100];
        for bps in [1_000, 3_000, 8_000, 10_000] {
            canary.expose(&sticky(bps));
            let mut now = Vec::new();
            for n in 0..100 {
                now.push(canary.of_user(n).await);
                assert_eq!(canary.of_user(n).await, now[now.len() - 1], "the same each time");
            }
            let came_back = before.iter().zip(&now).filter(|(before, now)| *before == "b" && *now == "a");
            assert_eq!(came_back.count(), 0, "{way:?}");
            before = now;
        }
        assert!(before.iter().all(|answer| answer == "b"));
    }
}

#[tokio::test]
async fn a_cohort_is_told_by_header_or_cookie() {
    for way in WAYS {
        for (key, header) in [
            (RequestKeyDraft::Header("x-beta".into()), "x-beta: yes"),
            (RequestKeyDraft::Cookie("beta".into()), "cookie: other=1; beta=yes"),
        ] {
            let cohort = CohortDraft { key, values: vec!["yes".into()] };
            let exposure = who(1, Some(ExposureDraft::Cohort(cohort)), None);
            let canary = Canary::start(way, "1", &exposure).await;
            let with = |header: &str| format!("GET / HTTP/1.1\r\nhost: h\r\n{header}\r\n\r\n");
            let inside = canary.answers((0..10).map(|_| with(header))).await;
            let outside = canary.answers((0..10).map(|_| with(&header.replace("yes", "no")))).await;
            assert_eq!((inside.get("b"), outside.get("a")), (Some(&10), Some(&10)), "{way:?}: {header}");
        }
    }
}

#[tokio::test]
async fn a_candidate_with_other_matches_is_as_if_it_were_live() {
    for engine in ENGINES {
        let (a, b) = two_backends().await;
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.pool("a", &[a.address]);
        gateway.pool("b", &[b.address]);
        let at = |pool, prefix| RouteDraft { matches: at_prefix(prefix), ..to_pool(pool) };
        let cohort = CohortDraft { key: RequestKeyDraft::Header("x-beta".into()), values: vec!["1".into()] };
        let exposure = who(1, Some(ExposureDraft::Cohort(cohort)), None);
        // The candidate leaves /old and takes /new, which another route has for everybody else.
        gateway.route_with("r", &at("a", "/old"), &at("b", "/new/and"), &exposure);
        gateway.route("s", &at("a", "/new"));
        gateway.swap();
        let ask = async |path: &str, beta: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nx-beta: {beta}\r\n\r\n");
            let response = gateway.ask(&request).await;
            response.reason().map(str::to_owned).unwrap_or_else(|| response.text())
        };
        assert_eq!(
            (ask("/old", "0").await, ask("/old", "1").await),
            ("a".into(), "NO_ROUTE".into()),
            "{engine}"
        );
        assert_eq!((ask("/new/and", "0").await, ask("/new/and", "1").await), ("a".into(), "b".into()));
        assert_eq!(ask("/new", "1").await, "a");
        let [baseline, candidate] = counted(&gateway, 2).await;
        assert_eq!((baseline.requests, candidate.requests), (1, 1), "those that the table gave to it");
    }
}

#[tokio::test]
async fn a_pool_has_a_candidate_too_and_both_may_be_under_way() {
    for engine in ENGINES {
        let (a, b) = two_backends().await;
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.route("r", &to_pool("p"));
        gateway.pool_with("p", a.address, b.address, &share(5_000));
        gateway.swap();
        let mut client = gateway.connect().await;
        let mut candidate = 0;
        for _ in 0..1_000 {
            client.send(GET).await;
            candidate += u64::from(client.response().await.text() == "b");
        }
        assert!(is_about(candidate, 1_000, 5_000), "{engine}: {candidate}");
        let totals = counted(&gateway, 1_000).await;
        assert_eq!(totals[1], Total { requests: candidate, errors: 0 });
        // The route comes under a rollout of its own: both are drawn.
        let edits = HeaderEditsDraft {
            set: vec![HeaderDraft { name: "x-arm".into(), value: "candidate".into() }],
            ..HeaderEditsDraft::default()
        };
        let other = RouteDraft { response_headers: Some(edits), ..to_pool("p") };
        let exposure = CandidateDraft { rollout: "rollouts/second".into(), ..share(5_000) };
        gateway.route_with("r", &to_pool("p"), &other, &exposure);
        gateway.swap();
        let mut seen = HashMap::<_, u64>::new();
        for _ in 0..1_000 {
            client.send(GET).await;
            let response = client.response().await;
            *seen.entry((response.header("x-arm").is_some(), response.text() == "b")).or_default() += 1;
        }
        assert!(seen.len() == 4 && seen.values().all(|n| is_about(*n, 1_000, 2_500)), "{engine}: {seen:?}");
    }
}

#[tokio::test]
async fn exposures_that_come_and_go_under_load_fail_no_request() {
    for way in WAYS {
        let mut canary = Canary::start(way, "2", &share(0)).await;
        let traffic = Traffic::begin(way, &canary.gateway, 6);
        for round in 0..100 {
            for bps in [1, 2_000, 9_000, 500] {
                canary.expose(&share(bps));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Promoted, or rolled back.
            canary.gateway.route("r", &to_pool(if round % 2 == 0 { "b" } else { "a" }));
            canary.gateway.swap();
            assert_eq!(canary.gateway.plane.config().now().rollouts().count(), 0);
        }
        let done = traffic.end(&canary.gateway).await;
        assert!(done > 100, "{way:?}: {done} requests saw 500 swaps");
    }
}

#[tokio::test]
async fn a_retry_stays_in_its_arm() {
    for way in WAYS {
        let broken = Backend::always("HTTP/1.1 503 S\r\ncontent-length: 0\r\n\r\n").await;
        let (good, other) = (Backend::always(OTHER).await, Backend::always(OTHER).await);
        let mut gateway = Gateway::start(&["--gateway-engine", way.engine]);
        gateway.pool_of("a", &way.pool(&[good.address]).await);
        gateway.pool_of("b", &way.pool(&[broken.address, other.address]).await);
        let mut with_retries = to_pool("b");
        with_retries.forward.as_mut().expect("forwards").retry =
            Some(RetryDraft { max_retries: 3, budget_percent: 100, ..RetryDraft::default() });
        gateway.route_with("r", &to_pool("a"), &with_retries, &share(10_000));
        gateway.swap();
        for _ in 0..20 {
            assert_eq!(way.ask(&gateway, GET).await.status, 200, "{way:?}");
        }
        assert_eq!(good.connections(), 0, "nothing went to the baseline");
        assert_eq!(counted(&gateway, 20).await[1], Total { requests: 20, errors: 0 });
    }
}

#[tokio::test]
async fn errors_of_an_arm_are_what_the_client_got() {
    for way in WAYS {
        let broken = Backend::always("HTTP/1.1 500 E\r\ncontent-length: 0\r\n\r\n").await;
        let good = Backend::always(OTHER).await;
        let mut gateway = Gateway::start(&["--gateway-engine", way.engine]);
        gateway.pool_of("a", &way.pool(&[good.address]).await);
        gateway.pool_of("b", &way.pool(&[broken.address]).await);
        gateway.route_with("r", &to_pool("a"), &to_pool("b"), &share(5_000));
        gateway.swap();
        let mut errors = 0;
        for _ in 0..100 {
            errors += u64::from(way.ask(&gateway, GET).await.status == 500);
        }
        let totals = counted(&gateway, 100).await;
        assert_eq!(totals[0], Total { requests: 100 - errors, errors: 0 }, "{way:?}");
        assert_eq!(totals[1], Total { requests: errors, errors }, "{way:?}");
        // A pool that is not there is an error of the arm that leads to it.
        let missing = CandidateDraft { epoch: 2, ..share(10_000) };
        gateway.route_with("r", &to_pool("a"), &to_pool("none"), &missing);
        gateway.swap();
        assert_eq!(way.ask(&gateway, GET).await.reason(), Some("POOL_MISSING"));
        assert_eq!(counted(&gateway, 1).await[1], Total { requests: 1, errors: 1 });
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_error() {
    for engine in ENGINES {
        let silent = Backend::each(|_, mut wire| async move {
            let _ = wire.request().await;
            let _ = wire.ended().await;
        })
        .await;
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.pool("b", &[silent.address]);
        gateway.route_with("r", &to_pool("b"), &to_pool("b"), &share(10_000));
        gateway.swap();
        let mut client = gateway.connect().await;
        client.send(GET).await;
        in_time("reach the backend", async {
            while silent.connections() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        drop(client);
        assert_eq!(counted(&gateway, 1).await[1], Total { requests: 1, errors: 0 }, "{engine}");
    }
}

#[tokio::test]
async fn a_request_keeps_the_arm_that_it_began_with() {
    for engine in ENGINES {
        let go = Arc::new(tokio::sync::Semaphore::new(0));
        let waiting = Arc::clone(&go);
        let slow = Backend::each(move |_, mut wire| {
            let go = Arc::clone(&waiting);
            async move {
                let _ = wire.request().await;
                go.acquire().await.expect("open").forget();
                wire.send(OTHER).await;
            }
        })
        .await;
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.pool("b", &[slow.address]);
        gateway.route_with("r", &to_pool("none"), &to_pool("b"), &share(10_000));
        gateway.swap();
        let before = gateway.plane.config().now();
        let mut client = gateway.connect().await;
        client.send(GET).await;
        in_time("reach the backend", async {
            while slow.connections() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        gateway.route("r", &to_pool("none"));
        gateway.swap();
        go.add_permits(1);
        assert_eq!(client.response().await.text(), "b", "{engine}");
        let rollout = before.rollouts().next().expect("a rollout");
        in_time("its count", async {
            while rollout.tallies().now(Arm::Candidate).requests == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}
