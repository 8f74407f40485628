//! The load generator of HTTP/2: Debian's h2load, one thread, with a log that the latencies are read from.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::output;
use super::tools::debian;
use super::wrk::{Load, Outcome};

/// Connections, and streams of each.
const SHAPE: (u32, u32) = (8, 16);

/// Runs the load to its end, on the caller's core, with prior knowledge. `dir` takes the log.
pub(crate) async fn run(dir: &Path, load: &Load<'_>) -> Result<Outcome> {
    let log = dir.join("h2load.log");
    // It adds to a log that is there.
    let _ = fs::remove_file(&log);
    let mut command = Command::new(debian("nghttp2-client", "h2load").await?);
    command.args(["-t1", &format!("-c{}", SHAPE.0), &format!("-m{}", SHAPE.1)]);
    command.args(["-D", &load.seconds.to_string(), "--log-file"]).arg(&log);
    let first = load.prefixes.first().map_or("", String::as_str);
    command.arg(format!("http://{}{first}{}", load.address, load.workload.suffix()));
    let text = output(command).await?;
    let outcome = parse(&text, u64::from(load.seconds) * 1_000_000);
    let mut outcome = outcome.with_context(|| format!("h2load printed no figures: {text}"))?;
    (outcome.p50_us, outcome.p99_us) = latencies(&fs::read_to_string(&log)?);
    Ok(outcome)
}

/// What it says of itself.
pub(crate) async fn version() -> Result<String> {
    let mut command = Command::new(debian("nghttp2-client", "h2load").await?);
    command.arg("--version");
    Ok(output(command).await?.trim().to_owned())
}

/// The figures of a run that took so long.
fn parse(text: &str, duration_us: u64) -> Option<Outcome> {
    let line = text.lines().find_map(|l| l.strip_prefix("requests: "))?;
    let of = |word: &str| {
        let part = line.split(", ").find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse::<u64>().ok()
    };
    let (requests, errors) = (of("succeeded")?, of("failed")? + of("errored")? + of("timeout")?);
    (requests > 0).then_some(Outcome { requests, duration_us, p50_us: 0.0, p99_us: 0.0, errors })
}

/// The latencies that half of the requests, and 99 of 100, stayed under: the third word of each line.
fn latencies(log: &str) -> (f64, f64) {
    let mut all: Vec<u32> =
        log.lines().filter_map(|l| l.split_ascii_whitespace().nth(2)?.parse().ok()).collect();
    all.sort_unstable();
    let at = |share: usize| all.get(all.len() * share / 100).copied().map_or(0.0, f64::from);
    (at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "finished in 5.00s, 41234.20 req/s, 43.57MB/s
requests: 206171 total, 206299 started, 206171 done, 206170 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 206170 2xx, 0 3xx, 0 4xx, 1 5xx
";

    #[test]
    fn the_line_of_figures_is_found() {
        let found = parse(PRINTED, 5_000_000).expect("figures");
        assert_eq!((found.requests, found.errors, found.duration_us), (206_170, 1, 5_000_000));
        assert_eq!(parse("finished in 5.00s", 1), None);
        assert_eq!(parse(&PRINTED.replace("206170 succeeded", "0 succeeded"), 1), None);
    }

    #[test]
    fn latencies_are_those_of_the_log() {
        let log: String = (1..=200).rev().map(|us| format!("1700000000000000\t200\t{us}\n")).collect();
        assert_eq!(latencies(&log), (101.0, 199.0));
        assert_eq!(latencies(""), (0.0, 0.0));
    }
}
