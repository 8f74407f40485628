//! `cargo xtask bench judge`: the judge of rollouts beside a plain threshold and a rank test, on the same simulated
//! rollouts. A program of the crate itself simulates (`crates/rollout/examples/judges`); this one runs it and writes the
//! tables. The figures follow from seeds, so every machine makes the same.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::process::{output, say};
use super::report::{self, thousands};

const INTRO: &str = "# The judge beside its peers

Made by `cargo xtask bench judge`. Simulated from fixed seeds: every machine makes the same figures.

A rollout gives the candidate a tenth of the requests for half an hour. 1 % of requests fail; latencies are log-normal \
(σ = 0.6), and slow is what takes more than twice the baseline's p95. The limit is 5 percentage points, for errors and \
for slow requests. All judges see the same measurements: one a second in the first minute, then one every 10 s. Sticky: \
600, 3,000 or 10,000 clients whose activity is log-normal (σ = 1), each with an own share of errors and slow requests \
(beta, correlated at 0.05), in 64 hash buckets an arm.

- **ours**: the sequential judge as it is by default. It states at most 1 % of rollbacks without cause, and at most 1 % \
of promotions beyond a limit.
- **threshold**: the candidate's share in a window minus the baseline's, against the limit; so many windows in a row roll \
back. That is Argo Rollouts' and Flagger's way, with a baseline beside the candidate added.
- **mann-whitney**: ranks of the shares in windows, with Kayenta's tolerance of 25 %, looked at after each window.

The peers are tuned for each traffic: windows of 1 s to 5 min and 1 to 5 in a row; windows of 20 or 60 s, 8, 15 or 50 of \
them, levels of 2 % to 0.02 %. Of the settings that roll back without cause no more often than ours does (and at most in \
1 %), the one is taken that finds \"limit +5\" soonest; where no setting is that rare, the rarest, and the table says so.
";

const LEGEND: &str = "Without cause: rollouts of a candidate that is like the baseline and is rolled back. Requests are \
the candidate's until the rollback, the median over 500 rollouts (all requests are ten times as many); \"–\" means that \
fewer than half were rolled back within half an hour. At 1,000 requests/s the candidate has had about 100 of them at the \
first measurement: no judge needs fewer. \"limit +5\" is a candidate of which 10 points more fail. Latency \
×2 is at the limit itself, and ×1.2 is within it: a rollback there is one that the limit does not ask for. Where ours \
promotes fewer than the rest, it is undecided: it has not seen enough to say that the candidate is within the limit.";

/// A line of the program.
#[derive(Deserialize)]
struct Line {
    rate: f64,
    sticky: bool,
    trouble: String,
    judge: String,
    settings: String,
    rollouts: u64,
    rolled_back: u64,
    promoted: u64,
    median: Option<f64>,
}

/// Runs it, or takes what it printed before.
pub(crate) async fn run(root: &Path, out: &Path, results: Option<&Path>) -> Result<()> {
    let lines = match results {
        Some(path) => fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        None => simulate(root).await?,
    };
    report::publish(&tables(&lines)?, out)
}

async fn simulate(root: &Path) -> Result<String> {
    say("building and running the judges (release); this takes some minutes");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root);
    command.args(["run", "--release", "--quiet", "--package", "hotswap-rollout", "--example", "judges"]);
    output(command).await
}

fn tables(lines: &str) -> Result<String> {
    let parse = |line: &str| serde_json::from_str::<Line>(line).context("a line that is no result");
    // What the program complains of stands between its lines.
    let lines: Vec<Line> = lines.lines().filter(|l| l.starts_with('{')).map(parse).collect::<Result<_>>()?;
    let mut text = INTRO.to_owned();
    text.push_str(&summary(&lines)?);
    for traffic in traffics(&lines) {
        let some: Vec<&Line> = lines.iter().filter(|l| (l.rate, l.sticky) == traffic).collect();
        write!(text, "\n## {}\n\n", title(traffic))?;
        text.push_str("| candidate | judge | rolled back | promoted | requests |\n|---|---|---|---|---|\n");
        for line in &some {
            let of = |n| format!("{} of {}", thousands(n), thousands(line.rollouts));
            let (back, on, requests) = (of(line.rolled_back), of(line.promoted), median(line));
            writeln!(text, "| {} | {} | {back} | {on} | {requests} |", line.trouble, line.judge)?;
        }
    }
    Ok(format!("{text}\n{LEGEND}\n"))
}

/// The rows that the aim is about.
fn summary(lines: &[Line]) -> Result<String> {
    let mut text = String::from(
        "\n## In short\n\n| traffic | judge | settings | without cause | requests to find limit +5 | of the better peer's \
         | wrongly promoted at limit +1 |\n|---|---|---|---|---|---|---|\n",
    );
    for traffic in traffics(lines) {
        let of = |judge: &str, trouble: &str| {
            let is_it = |l: &&Line| (l.rate, l.sticky) == traffic && l.judge == judge && l.trouble == trouble;
            lines.iter().find(is_it)
        };
        let rate = |line: &Line| percent(line.rolled_back, line.rollouts);
        let ours = of("ours", "none");
        // One that rolls back more often than ours is no measure.
        let fair = |judge: &str| {
            let most = ours.map_or(0, |line| line.rolled_back);
            of(judge, "none").is_some_and(|line| line.rolled_back <= most)
        };
        let peers = ["threshold", "mann-whitney"].into_iter().filter(|judge| fair(judge));
        let better = peers.filter_map(|judge| of(judge, "limit +5")?.median).reduce(f64::min);
        for judge in ["ours", "threshold", "mann-whitney"] {
            let (Some(none), Some(five), Some(one)) =
                (of(judge, "none"), of(judge, "limit +5"), of(judge, "limit +1"))
            else {
                continue;
            };
            let rare = if judge == "ours" || fair(judge) { "" } else { " (more than ours)" };
            let ratio = match (five.median, better) {
                (Some(median), Some(better)) if judge == "ours" => format!("{:.2}", median / better),
                _ => String::new(),
            };
            writeln!(
                text,
                "| {} | {judge} | {} | {}{rare} | {} | {ratio} | {} of {} |",
                title(traffic),
                none.settings,
                rate(none),
                median(five),
                one.promoted,
                one.rollouts
            )?;
        }
    }
    Ok(text)
}

fn traffics(lines: &[Line]) -> Vec<(f64, bool)> {
    let mut seen = Vec::new();
    for traffic in lines.iter().map(|line| (line.rate, line.sticky)) {
        if !seen.contains(&traffic) {
            seen.push(traffic);
        }
    }
    seen
}

fn title((rate, sticky): (f64, bool)) -> String {
    format!("{} requests/s, {}", thousands(rate), if sticky { "sticky" } else { "independent" })
}

fn median(line: &Line) -> String {
    line.median.map_or("–".to_owned(), |median| thousands(format!("{median:.0}")))
}

#[expect(clippy::cast_precision_loss, reason = "some thousand rollouts")]
fn percent(part: u64, all: u64) -> String {
    format!("{:.2} %", part as f64 * 100.0 / all.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(judge: &str, trouble: &str, rolled_back: u64, median: &str) -> String {
        format!(
            "{{\"rate\":50.0,\"sticky\":false,\"trouble\":\"{trouble}\",\"judge\":\"{judge}\",\"settings\":\"s\",\
             \"rollouts\":2000,\"rolled_back\":{rolled_back},\"promoted\":3,\"median\":{median}}}"
        )
    }

    #[test]
    fn the_ratio_is_to_the_better_peer_that_is_as_rare() {
        let mut lines = vec!["a warning".to_owned()];
        for (judge, wrong, median) in
            [("ours", 8, "40.0"), ("threshold", 8, "100.0"), ("mann-whitney", 9, "50.0")]
        {
            lines.push(line(judge, "none", wrong, "null"));
            lines.push(line(judge, "limit +1", 2000, "90.0"));
            lines.push(line(judge, "limit +5", 2000, median));
        }
        let text = tables(&lines.join("\n")).unwrap();
        let ours = "| 50 requests/s, independent | ours | s | 0.40 % | 40 | 0.40 | 3 of 2000 |";
        assert!(text.contains(ours), "{text}");
        assert!(text.contains("| mann-whitney | s | 0.45 % (more than ours) | 50 |"), "{text}");
        assert!(text.contains("| none | ours | 8 of 2,000 | 3 of 2,000 | – |"), "{text}");
    }
}
