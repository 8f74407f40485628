//! A backend that is killed under load, and one that is added.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::backend::{self, Backend, Manner};
use super::super::peers::start_hotswap;
use super::super::process::say;
use super::Bench;
use super::load::{Load, send};

/// Requests in a second.
const RATE: f64 = 5_000.0;

/// What a pool and its route are told about failures.
#[derive(Clone, Copy)]
struct Guard {
    name: &'static str,
    pool: &'static str,
    route: &'static str,
}

const GUARDS: [Guard; 4] = [
    Guard { name: "none", pool: "", route: "" },
    Guard { name: "retries", pool: "", route: ", retry: {}" },
    Guard { name: "breaker", pool: "circuit_breaker: {}\n", route: "" },
    Guard { name: "breaker, retries", pool: "circuit_breaker: {}\n", route: ", retry: {}" },
];

/// The table.
pub(super) async fn run(bench: &Bench<'_>) -> Result<String> {
    let mut text = format!(
        "## Backends that fail and come\n\n{RATE:.0} requests a second to a pool of three backends, round robin. One is \
         killed after two seconds: what failed, and until when; the pool is changed after three seconds more. \"Breaker\" is \
         `circuit_breaker: {{}}`, \"retries\" `retry: {{}}`, both with their defaults. Then a fourth is added: from the begin \
         of the call to its first answer, and to its share of a quarter of the last 200.\n\n\
         | guard | requests | failed | last failure after, ms | first answer of the added, ms | its share after, ms \
         |\n|---|---|---|---|---|---|\n"
    );
    for guard in GUARDS {
        let row = killed_and_added(bench, guard).await?;
        writeln!(text, "{row}")?;
    }
    Ok(text)
}

async fn killed_and_added(bench: &Bench<'_>, guard: Guard) -> Result<String> {
    let dir = bench.folder(&format!("failures-{}", guard.name.replace(", ", "-")))?;
    let mut backends = Vec::new();
    for name in ['a', 'b', 'c', 'd'] {
        let manner = Manner { name: Some(name), ..Manner::default() };
        backends.push(backend::start_as(bench.tools, &dir, bench.plan.cores, manner).await?);
    }
    let added = backends.pop();
    let first = backends.first().map(|b| bench.scenario(&dir, b));
    let Some((scenario, added)) = first.zip(added) else { return Ok(String::new()) };
    let started = start_hotswap(&scenario, "hotswap", None).await?;
    let Guard { name, pool: breaker, route: retry } = guard;
    let route = format!(
        "kind: Route\nname: routes/r57\nmatches: [{{path: {{prefix: \"/r57\"}}}}]\nforward: {{pool: pools/bench{retry}}}\n"
    );
    let pool = |of: &[&Backend]| {
        let list: Vec<_> = of.iter().map(|b| format!("{{address: \"{}\"}}", b.address)).collect();
        format!("kind: Pool\nname: pools/bench\n{breaker}backends: [{}]\n", list.join(", "))
    };
    let all: Vec<_> = backends.iter().collect();
    started.control.apply(&dir, &format!("{}---\n{route}", pool(&all))).await?;
    let load = Load {
        address: started.contestant.address,
        path: "/r57/1k".into(),
        rate: RATE,
        connections: 64,
        length: Duration::from_secs(8),
    };
    let begin = Instant::now();
    let sending = tokio::task::JoinSet::from_iter([send(load, bench.plan.cores.load)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed_at = begin.elapsed();
    let (rest, killed): (Vec<_>, Vec<_>) = backends.into_iter().enumerate().partition(|(i, _)| *i != 1);
    drop(killed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut with: Vec<_> = rest.iter().map(|(_, b)| b).collect();
    with.push(&added);
    let added_at = begin.elapsed();
    started.control.apply(&dir, &pool(&with)).await?;
    let outcome = sending.join_all().await.pop().unwrap_or_else(|| Ok(Default::default()))?;
    let ms = |at: Option<Duration>, from: Duration| {
        at.map_or("–".to_owned(), |at| format!("{:.0}", at.saturating_sub(from).as_secs_f64() * 1e3))
    };
    let came = outcome.backends.get(&b'd').cloned().unwrap_or_default();
    let full = full_share(&outcome.backends, b'd');
    say(&format!("{name}: {} failed", outcome.failures.len()));
    Ok(format!(
        "| {name} | {} | {} | {} | {} | {} |",
        outcome.latencies_us.len() + outcome.failures.len(),
        outcome.failures.len(),
        ms(outcome.failures.iter().max().copied(), killed_at),
        ms(came.iter().min().copied(), added_at),
        ms(full, added_at)
    ))
}

/// When this backend had given 50 of the last 200 answers for the first time.
fn full_share(answers: &std::collections::BTreeMap<u8, Vec<Duration>>, name: u8) -> Option<Duration> {
    let mut all: Vec<_> = answers.iter().flat_map(|(n, at)| at.iter().map(|at| (*at, *n == name))).collect();
    all.sort_unstable();
    let of_last =
        |end: usize| all.get(end.saturating_sub(200)..end).map_or(0, |w| w.iter().filter(|x| x.1).count());
    (200..=all.len()).find(|end| of_last(*end) >= 50).and_then(|end| all.get(end - 1)).map(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_share_is_a_quarter_of_the_last_200() {
        let ms = Duration::from_millis;
        let a: Vec<_> = (0..600).map(ms).collect();
        let d: Vec<_> = (300..400).map(ms).collect();
        let answers = [(b'a', a), (b'd', d)].into_iter().collect();
        // From 300 on every second answer is its own: 50 of them after 50 ms.
        assert_eq!(full_share(&answers, b'd'), Some(ms(349)));
        assert_eq!(full_share(&answers, b'x'), None);
    }
}
