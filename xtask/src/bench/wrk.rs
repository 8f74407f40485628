//! The load generator: Debian's wrk, one thread, with a script that prints the figures in a form to parse.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::measure::Workload;
use super::process::output;
use super::tools::Tools;

/// Bytes of a POST's body.
const POST_BODY: usize = 10 * 1024;

/// One turn's load.
pub(crate) struct Load<'a> {
    /// Where the requests go.
    pub(crate) address: SocketAddr,
    /// What they ask for.
    pub(crate) workload: Workload,
    /// Beginnings of their paths, taken in turn.
    pub(crate) prefixes: &'a [String],
    /// Connections held open.
    pub(crate) connections: u32,
    /// How long.
    pub(crate) seconds: u32,
}

/// What the load generator saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// How long it took, in µs.
    pub(crate) duration_us: u64,
    /// The latency that half of the requests stayed under, in µs.
    pub(crate) p50_us: f64,
    /// The latency that 99 of 100 requests stayed under, in µs.
    pub(crate) p99_us: f64,
    /// Connections that failed, answers with a status above 399, time-outs.
    pub(crate) errors: u64,
}

/// Runs the load to its end, on the caller's core. `dir` takes the script.
pub(crate) async fn run(tools: &Tools, dir: &Path, load: &Load<'_>) -> Result<Outcome> {
    let script = dir.join("wrk.lua");
    fs::write(&script, lua(load))?;
    let mut command = Command::new(&tools.wrk);
    command.args(["-t1", &format!("-c{}", load.connections), &format!("-d{}s", load.seconds), "-s"]);
    let first = load.prefixes.first().map_or("", String::as_str);
    command.arg(&script).arg(format!("http://{}{first}{}", load.address, load.workload.suffix()));
    let text = output(command).await?;
    parse(&text).with_context(|| format!("wrk printed no figures: {text}"))
}

/// What the generator says of itself.
pub(crate) fn version(tools: &Tools) -> String {
    // `wrk -v` ends with an error, though it prints the version.
    let printed = Command::new(&tools.wrk).arg("-v").output().map(|o| o.stdout).unwrap_or_default();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let words: Vec<_> = printed.split_ascii_whitespace().take(2).collect();
    words.join(" ")
}

fn lua(load: &Load<'_>) -> String {
    let mut script = String::new();
    if load.workload.is_post() {
        script.push_str("wrk.method = 'POST'\n");
        script.push_str(&format!("wrk.body = string.rep('x', {POST_BODY})\n"));
        script.push_str("wrk.headers['Content-Type'] = 'application/octet-stream'\n");
    }
    // Without a request function wrk sends one request that it made ready at the start, at no cost.
    if load.prefixes.len() > 1 {
        let paths: Vec<_> =
            load.prefixes.iter().map(|p| format!("'{p}{}'", load.workload.suffix())).collect();
        script.push_str(&format!("local paths = {{{}}}\n", paths.join(",")));
        script.push_str(TAKE_TURNS);
    }
    script.push_str(PRINT);
    script
}

/// Goes through the paths in steps prime to their number, so that neighbours in the table don't follow each
/// other.
const TAKE_TURNS: &str = "\
local ready, at = {}, 0
function init(args)
  for i, path in ipairs(paths) do ready[i] = wrk.format(nil, path) end
end
function request()
  at = (at + 7919) % #ready
  return ready[at + 1]
end
";

const PRINT: &str = "\
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('BENCH requests=%d duration_us=%d p50_us=%.0f p99_us=%.0f errors=%d\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
";

fn parse(text: &str) -> Option<Outcome> {
    let line = text.lines().find_map(|l| l.strip_prefix("BENCH "))?;
    let mut outcome = Outcome::default();
    let mut seen = 0;
    for pair in line.split_ascii_whitespace() {
        let (name, value) = pair.split_once('=')?;
        match name {
            "requests" => outcome.requests = value.parse().ok()?,
            "duration_us" => outcome.duration_us = value.parse().ok()?,
            "p50_us" => outcome.p50_us = value.parse().ok()?,
            "p99_us" => outcome.p99_us = value.parse().ok()?,
            "errors" => outcome.errors = value.parse().ok()?,
            _ => return None,
        }
        seen += 1;
    }
    (seen == 5 && outcome.requests > 0 && outcome.duration_us > 0).then_some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 1s test @ http://127.0.0.1:1/r57/1k
  1 threads and 64 connections
Requests/sec:  61004.11
BENCH requests=61005 duration_us=1000013 p50_us=981 p99_us=1890 errors=0
";

    #[test]
    fn the_line_of_figures_is_found() {
        let expected =
            Outcome { requests: 61_005, duration_us: 1_000_013, p50_us: 981.0, p99_us: 1890.0, errors: 0 };
        assert_eq!(parse(PRINTED), Some(expected));
    }

    #[test]
    fn missing_figures_are_no_figures() {
        assert_eq!(parse("Running 1s test"), None);
        assert_eq!(parse("BENCH requests=61005 duration_us=1000013 p50_us=981"), None);
        assert_eq!(parse(&PRINTED.replace("requests=61005", "requests=0")), None);
    }

    #[test]
    fn one_path_costs_the_generator_no_function() {
        let mut prefixes = vec!["/r57".to_owned()];
        let script = |prefixes: &[String], workload| {
            let address = SocketAddr::from(([127, 0, 0, 1], 1));
            lua(&Load { address, workload, prefixes, connections: 64, seconds: 1 })
        };
        assert!(!script(&prefixes, Workload::W1).contains("function request"));
        assert!(script(&prefixes, Workload::W3).contains("wrk.method = 'POST'"));
        prefixes.push("/e3".to_owned());
        assert!(script(&prefixes, Workload::W1).contains("{'/r57/1k','/e3/1k'}"));
    }
}
