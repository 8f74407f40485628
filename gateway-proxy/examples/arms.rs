//! What a rollout costs a request: finding its route and pool, the draw, and the count at its end. Each line is a figure
//! as JSON. One core, a table of 1,000 routes, no sockets.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotswap_core::{PoolName, ResourceName as _, RouteName};
use hotswap_gateway::balance::client::TrustedProxies;
use hotswap_gateway::balance::wish::Sender;
use hotswap_gateway::config::{Catalog, Compiled};
use hotswap_gateway::decide::{ByAddress, Caller, Decision, Targets, decide};
use hotswap_gateway::dice::Dice;
use hotswap_gateway::traffic::Mark;
use hotswap_matcher::{
    BackendDraft, CandidateDraft, CandidateSpec, ExposureDraft, ForwardDraft, MatchDraft, PathMatchDraft,
    PoolDraft, PoolSpec, RequestHead, RequestKeyDraft, RouteDraft, RouteSpec,
};

const ROUNDS: usize = 9;
const REQUESTS: u32 = 200_000;
const ROUTES: usize = 1_000;

struct Head(String);

impl RequestHead for Head {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "shop.example"
    }
    fn path(&self) -> &str {
        &self.0
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, name: &http::HeaderName, visit: &mut dyn FnMut(&[u8])) {
        if name == "x-user" {
            visit(b"0198c2a4-7b1e-7000-8000-000000000001");
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let none: &[&str] = &[];
    let cases: [(&str, &[&str], &str, bool); 6] = [
        ("no rollout", none, "/r500/a", false),
        ("one of another route", &["routes/r7"], "/r500/a", false),
        ("one of its route, drawn", &["routes/r500"], "/r500/a", false),
        ("one of its route, by key", &["routes/r500"], "/r500/a", true),
        ("one of its pool, drawn", &["pools/p"], "/r500/a", false),
        ("of both, by key", &["routes/r500", "pools/p"], "/r500/a", true),
    ];
    for (name, rollouts, path, sticky) in cases {
        let config = catalog(rollouts, sticky)?.compile(1);
        let values: Vec<f64> = (0..ROUNDS).map(|_| measured(&config, &Head(path.to_owned()))).collect();
        println!("{}", serde_json::json!({ "name": name, "unit": "ns", "values": values }));
    }
    Ok(())
}

/// A request's time in ns.
fn measured(config: &Compiled, head: &Head) -> f64 {
    let (trusted, dice) = (TrustedProxies::default(), RefCell::new(Dice::new()));
    let sender = Sender { peer: [192, 0, 2, 1].into(), trusted: &trusted };
    let (dice, mark) = (&dice, &Mark::new(&mut Dice::new()));
    let caller = Caller { port: None, sender, now: 1, stages: None, dice, mark, forced: None, secure: false };
    let mut targets = Targets::new(0);
    let began = Instant::now();
    for _ in 0..REQUESTS {
        let Decision::Forward(plan) = decide(config, black_box(head), &caller, &mut targets, &mut ByAddress)
        else {
            continue;
        };
        for drawn in plan.arms.iter() {
            if let Some(rollout) = config.rollout(drawn.rollout) {
                let took = Duration::from_micros(700);
                rollout.tallies().count(0, drawn.arm, drawn.bucket.into(), false, took);
            }
        }
        black_box(plan);
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS)
}

fn catalog(rollouts: &[&str], sticky: bool) -> Result<Catalog, Box<dyn std::error::Error>> {
    let text = |v: hotswap_core::Violations| format!("{v:?}");
    let who = |resource: &str| {
        let draft = CandidateDraft {
            rollout: format!("rollouts/{}", resource.replace('/', "-")),
            exposure: Some(ExposureDraft::ShareBps(5_000)),
            sticky_key: sticky.then(|| RequestKeyDraft::Header("x-user".into())),
            ..CandidateDraft::default()
        };
        CandidateSpec::parse(&draft).map_err(text)
    };
    let mut catalog = Catalog::default();
    let backends = vec![BackendDraft { address: "b:80".into(), ..BackendDraft::default() }];
    let pool = PoolSpec::parse(&PoolDraft { backends, ..PoolDraft::default() }).map_err(text)?;
    let name = PoolName::from_id("p")?;
    let beside = if rollouts.contains(&"pools/p") { Some((&pool, who("pools/p")?)) } else { None };
    catalog.put_pool_with(&name, &pool, beside);
    for n in 0..ROUTES {
        let path = Some(PathMatchDraft::Prefix(format!("/r{n}")));
        let draft = RouteDraft {
            matches: vec![MatchDraft { path, ..MatchDraft::default() }],
            forward: Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() }),
            ..RouteDraft::default()
        };
        let spec = Arc::new(RouteSpec::parse(&draft).map_err(text)?);
        let name = RouteName::from_id(&format!("r{n}"))?;
        let under = rollouts.contains(&name.as_str());
        let beside = if under { Some((Arc::clone(&spec), who(name.as_str())?)) } else { None };
        catalog.put_route_with(&name, spec, beside);
    }
    Ok(catalog)
}
