//! What each strategy makes of five backends of which one is slow, beside HAProxy's.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::backend::{self, Backend, Manner};
use super::super::peers::start_hotswap;
use super::super::process::{Group, free_address, say};
use super::super::procfs::CpuReading;
use super::super::{probe, tools};
use super::Bench;
use super::load::{Load, send};

/// Requests in a second.
const RATE: f64 = 5_000.0;
/// How long the slow one takes.
const SLOW: Duration = Duration::from_millis(20);
/// Ours, and what goes with them.
const OURS: [(&str, &str); 7] = [
    ("ROUND_ROBIN", ""),
    ("WEIGHTED_ROUND_ROBIN", ""),
    ("LEAST_CONNECTIONS", ""),
    ("POWER_OF_TWO", ""),
    ("IP_HASH", ""),
    ("HASH", "balancing: { hash: { header: x-user } }\n"),
    (
        "HEADER",
        "balancing: { header_rules: { header: x-cohort, rules: [{ value: beta, addresses: [\"ADDRESS\"] }] } }\n",
    ),
];
const HAPROXY: [&str; 3] = ["roundrobin", "leastconn", "random"];

/// The table.
pub(super) async fn run(bench: &Bench<'_>) -> Result<String> {
    let mut text = format!(
        "## Strategies with one slow backend\n\n{RATE:.0} requests a second to five backends, one of which takes {} ms; 64 \
         connections. A hash by the client's address has one key: all go to one backend. The header of `hash` is absent: \
         such requests go in turn.\n\n\
         | proxy | strategy | CPU µs/request | p50 µs | p99 µs | to the slow one | failed |\n|---|---|---|---|---|---|---|\n",
        SLOW.as_millis()
    );
    let dir = bench.folder("strategies")?;
    let mut backends = Vec::new();
    for (name, delay) in [
        ('a', Duration::ZERO),
        ('b', Duration::ZERO),
        ('c', Duration::ZERO),
        ('d', Duration::ZERO),
        ('s', SLOW),
    ] {
        let manner = Manner { name: Some(name), delay };
        backends.push(backend::start_as(bench.tools, &dir, bench.plan.cores, manner).await?);
    }
    let first = backends.first().context("no backend")?;
    let started = start_hotswap(&bench.scenario(&dir, first), "strategies", Some("own")).await?;
    let list: Vec<_> = backends.iter().map(|b| format!("{{address: \"{}\"}}", b.address)).collect();
    for (strategy, more) in OURS {
        let more = more.replace("ADDRESS", &first.address.to_string());
        let pool = format!(
            "kind: Pool\nname: pools/bench\nload_balancing: LOAD_BALANCING_{strategy}\n{more}backends: [{}]\n",
            list.join(", ")
        );
        started.control.apply(&dir, &pool).await.with_context(|| strategy.to_owned())?;
        let name = strategy.to_lowercase().replace('_', " ");
        writeln!(
            text,
            "{}",
            row(bench, "hotswap", &name, started.contestant.address, started.contestant.pid).await?
        )?;
    }
    drop(started);
    for algorithm in HAPROXY {
        let (group, address) = haproxy(bench, &dir, algorithm, &backends).await?;
        writeln!(text, "{}", row(bench, "haproxy", algorithm, address, group.pid()).await?)?;
    }
    Ok(text)
}

async fn row(
    bench: &Bench<'_>,
    proxy: &str,
    strategy: &str,
    address: SocketAddr,
    pid: u32,
) -> Result<String> {
    let length = Duration::from_secs(u64::from(bench.plan.seconds).max(2));
    let load = Load { address, path: "/r57/1k".into(), rate: RATE, connections: 64, length };
    send(Load { length: Duration::from_secs(1), ..load.clone() }, bench.plan.cores.load).await?;
    let (before, begin) = (CpuReading::of_tree(pid)?, Instant::now());
    let outcome = send(load, bench.plan.cores.load).await?;
    let spent = (CpuReading::of_tree(pid)? - before).time(rustix::param::clock_ticks_per_second());
    let requests = outcome.latencies_us.len() + outcome.failures.len();
    let cpu = (spent.user_us + spent.system_us) / requests.max(1) as f64;
    say(&format!(
        "{proxy} {strategy}: p99 {:.0} µs in {:.1} s",
        outcome.quantile_us(0.99),
        begin.elapsed().as_secs_f64()
    ));
    Ok(format!(
        "| {proxy} | {strategy} | {cpu:.1} | {:.0} | {:.0} | {:.1} % | {} |",
        outcome.quantile_us(0.5),
        outcome.quantile_us(0.99),
        outcome.share(b's') * 100.0,
        outcome.failures.len()
    ))
}

async fn haproxy(
    bench: &Bench<'_>,
    dir: &Path,
    algorithm: &str,
    backends: &[Backend],
) -> Result<(Group, SocketAddr)> {
    let program = tools::debian("haproxy", "haproxy").await?;
    let address = free_address()?;
    let mut servers = String::new();
    for (i, backend) in backends.iter().enumerate() {
        writeln!(servers, "  server s{i} {}", backend.address)?;
    }
    let file = dir.join(format!("haproxy-{algorithm}.cfg"));
    std::fs::write(
        &file,
        format!(
            "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode http\n  no log\n  timeout connect 2s\n  timeout client \
             60s\n  timeout server 60s\n  http-reuse always\nfrontend in\n  bind {address}\n  default_backend bench\n\
             backend bench\n  balance {algorithm}\n{servers}"
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file);
    let mut group = Group::spawn(&mut command, bench.plan.cores.proxy, dir, &format!("haproxy-{algorithm}"))?;
    group.until("answering", Duration::from_secs(10), || probe::is_ok(address, "/1k")).await?;
    Ok((group, address))
}
