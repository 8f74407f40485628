//! Latency at half of what each can do, and at one rate for all, with requests that do not wait for each other.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::super::measure::{self, Sample};
use super::super::peers::Contestant;
use super::super::process::say;
use super::super::stats::Figure;
use super::super::{backend, start_all};
use super::Bench;
use super::load::{Load, send};

/// The rate that all have in common, in requests a second.
const SAME: f64 = 8_000.0;

/// What came of the rounds of one proxy at one rate.
#[derive(Clone, Default)]
struct Rounds {
    /// The latencies that half, 99 % and 99.9 % of the requests stayed under, in µs.
    quantiles: Vec<[f64; 3]>,
    failed: usize,
}

/// The tables.
pub(super) async fn run(bench: &Bench<'_>) -> Result<String> {
    let dir = bench.folder("steady")?;
    let backend = backend::start(bench.tools, &dir, bench.plan.cores).await?;
    let (contestants, _) = start_all(&bench.args.peers, &bench.scenario(&dir, &backend)).await?;
    let samples = measure::all(bench.plan, bench.tools, &dir, &contestants).await?;
    let limits: Vec<f64> = (0..contestants.len())
        .map(|i| {
            samples.iter().find(|s| s.contestant == i).map_or(0.0, |s| s.figure(|s: &Sample| s.rate).median)
        })
        .collect();
    let halves: Vec<f64> = limits.iter().map(|limit| limit / 2.0).collect();
    let mut text = format!(
        "## Latency below the limit\n\nRequests of 1 KB fall due at random moments, at half of the rate that one core of \
         the proxy can do, and at {SAME:.0} a second for all; a latency counts from the moment that its request was due. \
         Medians of {} rounds of {} s. Load generator and backend share the other core, which 30,000 requests a second \
         nearly fill: there the tail is theirs as much as the proxy's. At one rate for all, it is the proxy that differs.\n\n",
        bench.plan.rounds, bench.plan.seconds
    );
    for (title, rates) in [("half of its limit", halves), ("the same rate", vec![SAME; limits.len()])] {
        let rounds = rounds(bench, &contestants, &rates).await?;
        writeln!(text, "At {title}:\n")?;
        text.push_str("| proxy | limit, requests/s | at | p50 µs | p99 µs | p99.9 µs | failed |\n|---|---|---|---|---|---|---|\n");
        for (i, contestant) in contestants.iter().enumerate() {
            let (Some(rounds), Some(limit), Some(rate)) = (rounds.get(i), limits.get(i), rates.get(i)) else {
                continue;
            };
            writeln!(text, "{}", row(&contestant.label, *limit, *rate, rounds))?;
        }
        text.push('\n');
    }
    Ok(text.trim_end().to_owned() + "\n")
}

async fn rounds(bench: &Bench<'_>, contestants: &[Contestant], rates: &[f64]) -> Result<Vec<Rounds>> {
    let mut all = vec![Rounds::default(); contestants.len()];
    for _ in 0..bench.plan.rounds {
        for ((contestant, rate), rounds) in contestants.iter().zip(rates).zip(&mut all) {
            let load = Load {
                address: contestant.address,
                path: format!("{}/1k", contestant.prefixes.first().map_or("", String::as_str)),
                rate: *rate,
                connections: usize::try_from(bench.plan.connections)?,
                length: Duration::from_secs(u64::from(bench.plan.seconds)),
            };
            let outcome = send(load, bench.plan.cores.load).await?;
            say(&format!("{} at {rate:.0}/s: p99 {:.0} µs", contestant.label, outcome.quantile_us(0.99)));
            rounds.quantiles.push([0.5, 0.99, 0.999].map(|part| outcome.quantile_us(part)));
            rounds.failed += outcome.failures.len();
        }
    }
    Ok(all)
}

fn row(label: &str, limit: f64, rate: f64, rounds: &Rounds) -> String {
    let of = |n: usize| {
        let values = rounds.quantiles.iter().filter_map(|row| row.get(n).copied());
        Figure::of(values).map_or(0.0, |f| f.median)
    };
    let (p50, p99, p999) = (of(0), of(1), of(2));
    format!("| {label} | {limit:.0} | {rate:.0} | {p50:.0} | {p99:.0} | {p999:.0} | {} |", rounds.failed)
}
