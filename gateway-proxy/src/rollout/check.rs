//! A look at a candidate that nobody gets yet. Its smoke tests go through the gateway's own sockets and everything that
//! a client's request goes through; without any, its backends must take requests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hotswap_api::gateway::v1::CheckResult;
use hotswap_matcher::{Check, HostPattern, Routed as _, SmokeTest};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

use super::{Forced, Rollout, Subject};
use crate::backend_state::{Hold, clock};
use crate::config::{Compiled, Live, PoolEntry};
use crate::health::probe;

/// How often the backends are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long they have where they are not checked, and at most where they are.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// What is read of an answer's body, in bytes; the rest is left.
const MOST_BODY: u64 = 16 * 1024 * 1024;

/// Does a check of a rollout's candidate, as the configuration in force has both.
pub(crate) async fn run(config: Live, rollout: Arc<Rollout>, check: Check) -> CheckResult {
    let found = if check.smoke_tests.is_empty() {
        backends_take_requests(&config.now(), &rollout).await
    } else {
        smoke_tests(&config, &rollout, &check.smoke_tests).await
    };
    let message = found.err().unwrap_or_default();
    let passed = message.is_empty();
    tracing::info!(rollout = rollout.name(), number = check.number, passed, message, "candidate checked");
    CheckResult { rollout: rollout.name().to_owned(), number: check.number, passed, message }
}

// === backends ===

async fn backends_take_requests(config: &Compiled, rollout: &Rollout) -> Result<(), String> {
    // One that redirects has none.
    let slots: Vec<usize> = match rollout.subject() {
        Subject::Pool(slot) => vec![slot],
        Subject::Route(slot) => config.route(slot).map_or_else(Vec::new, |route| match route.split() {
            Some(split) => split.taking().collect(),
            None => route.pool().into_iter().collect(),
        }),
    };
    for slot in slots {
        takes_requests(config.pool(slot).ok_or("its pool does not exist")?).await?;
    }
    Ok(())
}

async fn takes_requests(pool: &PoolEntry) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + patience(pool);
    loop {
        match look(pool) {
            Err(_) if tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            found => return found,
        }
    }
}

/// Long enough for a backend that has failed to be found healthy.
fn patience(pool: &PoolEntry) -> Duration {
    let Some(check) = &pool.backends().resilience.health_check else { return PATIENCE.0 };
    let checks = check.healthy_threshold.max(check.unhealthy_threshold).saturating_add(1);
    let all = (check.interval * 2).saturating_add(check.timeout).saturating_mul(checks);
    all.clamp(PATIENCE.0, PATIENCE.1)
}

/// Whether all take requests, but for those that an operator has taken out; with a panic threshold one is enough.
fn look(pool: &PoolEntry) -> Result<(), String> {
    let now = clock::now_ms();
    let (mut good, mut bad) = (0, Vec::new());
    for state in pool.states().members() {
        let view = state.view(now);
        if matches!(view.hold, Hold::Drained | Hold::ForcedOpen) {
            continue;
        }
        if view.usable && (view.healthy.is_none() || view.settled) {
            good += 1;
        } else {
            let why = match view {
                view if view.healthy == Some(false) => "is unhealthy",
                view if view.usable => "was not found healthy in time",
                _ => "takes no requests",
            };
            bad.push(format!("{} {why}", state.address()));
        }
    }
    let enough = bad.is_empty() || pool.backends().balancing.panic_threshold > 0;
    if good > 0 && enough {
        return Ok(());
    }
    bad.truncate(5);
    Err(if bad.is_empty() { "no backend takes requests".to_owned() } else { bad.join("; ") })
}

// === smoke tests ===

async fn smoke_tests(config: &Live, rollout: &Rollout, tests: &[SmokeTest]) -> Result<(), String> {
    let listen = config.listen().ok_or("the gateway does not listen yet")?;
    let host = own_host(&config.now(), rollout);
    for test in tests {
        let forced = Arc::new(Forced::of(rollout.name()));
        let host = test.host.as_deref().or(host.as_deref());
        let asking = async {
            loop {
                match ask(config, reachable(listen), test, host, &forced).await {
                    // That the gateway has no socket left says nothing of the candidate.
                    Err(error) if error.is_own() => tokio::time::sleep(LOOK_EVERY).await,
                    found => break found,
                }
            }
        };
        let found = match tokio::time::timeout(test.timeout, asking).await {
            Err(_) => Err(format!("no answer within {} ms", test.timeout.as_millis())),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(status)) => judge(test, status),
        };
        let found = match found {
            Ok(()) if !forced.has_met() => Err("it does not lead to the candidate".to_owned()),
            found => found,
        };
        found.map_err(|why| format!("{test}: {why}"))?;
    }
    Ok(())
}

fn judge(test: &SmokeTest, status: u16) -> Result<(), String> {
    match test.expect_status {
        Some(wanted) if wanted != status => Err(format!("status {status}, not {wanted}")),
        None if status >= 400 => Err(format!("status {status}, not one below 400")),
        Some(_) | None => Ok(()),
    }
}

/// Sends a test through the gateway's own socket, and reads the answer to its end.
async fn ask(
    config: &Live,
    listen: SocketAddr,
    test: &SmokeTest,
    host: Option<&str>,
    forced: &Arc<Forced>,
) -> Result<u16, probe::Failed> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(listen.ip(), 0))?;
    // Known before it connects: a request can't be there earlier.
    let _registered = config.forced().register(socket.local_addr()?, forced);
    let mut stream = socket.connect(listen).await?;
    let SmokeTest { method, path, .. } = test;
    let host = host.map_or_else(|| listen.to_string(), str::to_owned);
    let body = if matches!(method.as_str(), "GET" | "HEAD") { "" } else { "content-length: 0\r\n" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: hotswap-gateway smoke test\r\naccept: */*\r\n\
         {body}connection: close\r\n\r\n"
    );
    let status = probe::ask(&mut stream, &request).await?;
    // Whose answer is read to its end is no client that went away.
    tokio::io::copy(&mut stream.take(MOST_BODY), &mut tokio::io::sink()).await?;
    Ok(status)
}

/// Where a socket can be reached that listens on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A host that leads to the subject: the candidate's own, or that of a route to the pool. `None`: any does.
fn own_host(config: &Compiled, rollout: &Rollout) -> Option<String> {
    let leads_there = |slot| config.pool(slot).is_some_and(|pool| pool.name() == rollout.resource());
    let route = match rollout.subject() {
        Subject::Route(slot) => config.route(slot),
        Subject::Pool(_) => config.routes().find(|route| route.pools().any(leads_there)),
    };
    route?.spec().hosts().first().map(|host| match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(name) => format!("smoke-test.{name}"),
    })
}
