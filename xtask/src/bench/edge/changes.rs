//! Routes that change again and again while requests take them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::super::peers::{Control, start_hotswap};
use super::super::process::say;
use super::super::table::RouteTable;
use super::super::{backend, procfs};
use super::Bench;
use super::load::{Load, Outcome, send};

/// Requests in a second meanwhile.
const RATE: f64 = 10_000.0;
/// Routes of the table. All of them change in one call of the CLI.
const ROUTES: u32 = 100;
/// The pools that they change between; both have the same backend.
const POOLS: [&str; 2] = ["pools/other", "pools/bench"];

/// The table.
pub(super) async fn run(bench: &Bench<'_>) -> Result<String> {
    let dir = bench.folder("changes")?;
    let backend = backend::start(bench.tools, &dir, bench.plan.cores).await?;
    let mut text = format!(
        "## Routes that change under load\n\n{} changes of the {ROUTES} routes of the table, one of which takes {RATE:.0} \
         requests a second: each change to the other of two pools with the same backend, {ROUTES} in a call of `hotswap \
         apply`. The control plane and the CLI share the load's core and give way to it. Beside it the same load without \
         changes.\n\n\
         | engine | changes/s | requests | failed | p50 µs | p99 µs | p50 without | p99 without | memory before and \
         after, MB |\n|---|---|---|---|---|---|---|---|---|\n",
        bench.args.changes
    );
    for engine in ["own", "hyper"] {
        writeln!(text, "{}", row(bench, &dir, &backend, engine).await?)?;
    }
    Ok(text)
}

async fn row(bench: &Bench<'_>, dir: &Path, backend: &backend::Backend, engine: &str) -> Result<String> {
    let label = format!("changes-{engine}");
    let started = start_hotswap(&bench.scenario(dir, backend), &label, Some(engine)).await?;
    let other = format!("kind: Pool\nname: {}\nbackends: [{{address: \"{}\"}}]\n", POOLS[0], backend.address);
    started.control.apply(dir, &other).await?;
    started.control.give_way().await?;
    let contestant = &started.contestant;
    let load = |seconds: u64| Load {
        address: contestant.address,
        path: format!("{}/1k", contestant.prefixes.first().map_or("", String::as_str)),
        rate: RATE,
        connections: 64,
        length: Duration::from_secs(seconds),
    };
    // In the same pieces: each begins with connections that are new.
    let mut quiet = Outcome::default();
    for _ in 0..10 {
        quiet.add(send(load(1), bench.plan.cores.load).await?);
    }
    let quiet = quiet.sorted();
    let before = procfs::memory(contestant.pid)?;
    let (outcome, changes, took) = under_changes(bench, &started.control, dir, load(1)).await?;
    let after = procfs::memory(contestant.pid)?;
    let mb = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let p99 = outcome.quantile_us(0.99);
    say(&format!("{engine}: {changes} changes, p99 {p99:.0} µs, {} failed", outcome.failures.len()));
    Ok(format!(
        "| {engine} | {:.0} | {} | {} | {:.0} | {p99:.0} | {:.0} | {:.0} | {:.1} – {:.1} |",
        f64::from(changes) / took.as_secs_f64(),
        outcome.latencies_us.len() + outcome.failures.len(),
        outcome.failures.len(),
        outcome.quantile_us(0.5),
        quiet.quantile_us(0.5),
        quiet.quantile_us(0.99),
        mb(before),
        mb(after)
    ))
}

/// Load in pieces of a second for as long as there are changes left.
async fn under_changes(
    bench: &Bench<'_>,
    control: &Control,
    dir: &Path,
    load: Load,
) -> Result<(Outcome, u32, Duration)> {
    let (rounds, begin) = (bench.args.changes.div_ceil(ROUTES), Instant::now());
    let mut changing = tokio::task::JoinSet::from_iter([change(control.clone(), dir.to_owned(), rounds)]);
    let mut outcome = Outcome::default();
    let mut took = None;
    while took.is_none() {
        outcome.add(send(load.clone(), bench.plan.cores.load).await?);
        if let Some(ended) = changing.try_join_next() {
            took = Some(ended??.saturating_duration_since(begin));
        }
    }
    Ok((outcome.sorted(), rounds * ROUTES, took.unwrap_or_default()))
}

/// Changes all routes, so many times; when it was done.
async fn change(control: Control, dir: std::path::PathBuf, rounds: u32) -> Result<Instant> {
    let table = RouteTable { prefix: ROUTES, ..Default::default() };
    let documents =
        POOLS.map(|pool| table.routes().map(|r| r.document(pool)).collect::<Vec<_>>().join("---\n"));
    for round in 0..usize::try_from(rounds)? {
        let text = documents.get(round % POOLS.len()).context("no document")?;
        control.write(&dir, text).await?;
    }
    Ok(Instant::now())
}
