//! What the traffic features of a route cost a request, where they are off and where each is on: a decision, and the edit
//! of the answer's head; then what compressing a body and a line of the access log cost. Each line is a figure as JSON. One
//! core, no sockets.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod others;
mod tokens;

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use hotswap_core::{PoolName, ResourceName as _, RouteName};
use hotswap_gateway::balance::client::TrustedProxies;
use hotswap_gateway::balance::wish::Sender;
use hotswap_gateway::config::{Catalog, Compiled};
use hotswap_gateway::decide::{ByAddress, Caller, Decision, Targets, decide};
use hotswap_gateway::dice::Dice;
use hotswap_gateway::traffic::{Mark, Told};
use hotswap_h1::Head as Response;
use hotswap_matcher::{
    AccessDraft, AccessLogDraft, BackendDraft, CompressionDraft, ConcurrencyDraft, CorsDraft,
    FaultAbortDraft, FaultDraft, ForwardDraft, JwtDraft, MirrorDraft, PoolDraft, PoolSpec, RateLimitDraft,
    RateScopeDraft, RequestHead, RequestLimitsDraft, RouteDraft, RouteSpec, TrafficDraft,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 9;
const REQUESTS: usize = 200_000;
/// Requests that each bring a token that nobody has seen.
const NEW: usize = 2_000;

/// The head of a request.
struct Head {
    authorization: String,
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "shop.example"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, name: &http::HeaderName, visit: &mut dyn FnMut(&[u8])) {
        match name.as_str() {
            "x-user" => visit(b"0198c2a4-7b1e-7000-8000-000000000001"),
            "origin" => visit(b"https://app.example"),
            "accept-encoding" => visit(b"gzip, deflate, br, zstd"),
            "authorization" => visit(self.authorization.as_bytes()),
            _ => {}
        }
    }
}

fn main() -> Outcome<()> {
    let signer = tokens::Signer::new()?;
    let known = [Head { authorization: signer.token(0)? }];
    for (name, traffic) in cases() {
        let config = compiled(traffic)?;
        let values = (0..ROUNDS).map(|_| measured(&config, &known, REQUESTS)).collect();
        tell(name, values);
    }
    let jwt = JwtDraft { jwks: signer.jwks(), algorithms: vec!["ES256".into()], ..JwtDraft::default() };
    let traffic = Some(TrafficDraft { jwt: Some(jwt), ..TrafficDraft::default() });
    let config = compiled(traffic.clone())?;
    let values = (0..ROUNDS).map(|_| measured(&config, &known, REQUESTS)).collect();
    tell("jwt, a token that was seen before", values);
    let new = (0..NEW).map(|n| Ok(Head { authorization: signer.token(n)? })).collect::<Outcome<Vec<_>>>()?;
    let mut values = Vec::new();
    for _ in 0..ROUNDS {
        // Tokens are remembered for one content of a route.
        values.push(measured(&compiled(traffic.clone())?, &new, NEW));
    }
    tell("jwt, a new token (ES256)", values);
    others::bodies()?;
    others::log_lines()
}

fn tell(name: &str, values: Vec<f64>) {
    println!("{}", serde_json::json!({ "name": name, "unit": "ns", "values": values }));
}

fn cases() -> Vec<(&'static str, Option<TrafficDraft>)> {
    let none = TrafficDraft::default;
    let networks = |n: u32| (0..n).map(|i| format!("10.{}.{}.0/24", i / 256, i % 256)).collect();
    let limit = RateLimitDraft { requests: 1_000_000, period_ms: 1, ..RateLimitDraft::default() };
    let quiet = RateLimitDraft { quiet: true, ..limit.clone() };
    let by_user = RateLimitDraft { header: Some("x-user".into()), ..quiet.clone() };
    let cors = CorsDraft { origins: vec!["https://app.example".into()], ..CorsDraft::default() };
    let fleet = RateLimitDraft { scope: RateScopeDraft::Fleet, ..quiet.clone() };
    let abort = Some(FaultAbortDraft { status: 503, share_bps: 1 });
    let some = |traffic| Some(traffic);
    vec![
        ("none", None),
        (
            "access, 1,000 networks",
            some(TrafficDraft {
                access: Some(AccessDraft { allow: vec![], deny: networks(1_000) }),
                ..none()
            }),
        ),
        (
            "limits of head and body",
            some(TrafficDraft {
                limits: Some(RequestLimitsDraft { max_body_bytes: 9, max_head_bytes: 999, max_headers: 9 }),
                ..none()
            }),
        ),
        ("rate limit, quiet", some(TrafficDraft { rate_limit: Some(quiet), ..none() })),
        ("rate limit by header, quiet", some(TrafficDraft { rate_limit: Some(by_user), ..none() })),
        ("rate limit that is told", some(TrafficDraft { rate_limit: Some(limit), ..none() })),
        (
            "rate limit of the fleet, until Redis is asked",
            some(TrafficDraft { rate_limit: Some(fleet), ..none() }),
        ),
        (
            "concurrency",
            some(TrafficDraft {
                concurrency: Some(ConcurrencyDraft { max_requests: 9, retry_after_s: 0 }),
                ..none()
            }),
        ),
        ("cors", some(TrafficDraft { cors: Some(cors), ..none() })),
        (
            "fault that hits one in 10,000",
            some(TrafficDraft { fault: Some(FaultDraft { abort, ..FaultDraft::default() }), ..none() }),
        ),
        (
            "mirror of all, without the copy",
            some(TrafficDraft {
                mirror: Some(MirrorDraft { pool: Some("pools/p".into()), ..MirrorDraft::default() }),
                ..none()
            }),
        ),
        (
            "compression, without the body",
            some(TrafficDraft { compression: Some(CompressionDraft::default()), ..none() }),
        ),
        (
            "access log of its own, without the line",
            some(TrafficDraft { access_log: Some(AccessLogDraft::default()), ..none() }),
        ),
    ]
}

/// A request's time in ns.
fn measured(config: &Compiled, heads: &[Head], requests: usize) -> f64 {
    let (trusted, dice) = (TrustedProxies::default(), RefCell::new(Dice::new()));
    let sender = Sender { peer: [192, 0, 2, 1].into(), trusted: &trusted };
    let (dice, mark) = (&dice, &Mark::new(&mut Dice::new()));
    let caller = Caller { port: None, sender, now: 1, stages: None, dice, mark, forced: None, secure: false };
    let (mut targets, mut response) = (Targets::new(0), Response::default());
    let began = Instant::now();
    for head in heads.iter().cycle().take(requests) {
        let decision = decide(config, black_box(head), &caller, &mut targets, &mut ByAddress);
        if let Decision::Forward(plan) = &decision
            && let Some(admitted) = &plan.admitted
        {
            response.clear();
            admitted.edit_response(&mut response);
            if let Some(wanted) = admitted.wanted() {
                response.push("content-type", b"application/json");
                black_box(wanted.edit(200, Told::Length(10_240), &mut response, Some));
            }
        }
        black_box(decision);
    }
    began.elapsed().as_secs_f64() * 1e9 / requests as f64
}

fn compiled(traffic: Option<TrafficDraft>) -> Outcome<Compiled> {
    let text = |v: hotswap_core::Violations| format!("{v:?}");
    let mut catalog = Catalog::default();
    let backends = vec![BackendDraft { address: "b:80".into(), ..BackendDraft::default() }];
    let pool = PoolSpec::parse(&PoolDraft { backends, ..PoolDraft::default() }).map_err(text)?;
    catalog.put_pool(&PoolName::from_id("p")?, &pool);
    let draft = RouteDraft {
        forward: Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() }),
        traffic: traffic.map(Box::new),
        ..RouteDraft::default()
    };
    let spec = Arc::new(RouteSpec::parse(&draft).map_err(text)?);
    catalog.put_route(&RouteName::from_id("r")?, spec);
    Ok(catalog.compile(1))
}
