//! `cargo xtask bench audit` and `cargo xtask bench overhead`: what the audit log costs, and what stands before a use
//! case. Programs of the crates themselves measure (`crates/audit/examples/cost.rs`,
//! `services/hotswap/examples/overhead`); this runs them and writes the tables.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::facts::Facts;
use super::process::{output, say};
use super::report;
use super::stats::Figure;

const LEGEND: &str = "A figure is the median of 5 rounds, with the smallest and the largest in parentheses. CPU is that \
of the control plane's process, user and system, with what it waits for left out; of PostgreSQL's own processes \
nothing is in it. A write is a transaction that takes a revision and an entry of the change log, committed to disk, \
one after another; its event is that of an update of a route, with its difference. The verified log has 100,000 such \
events and a checkpoint for each 1,000; one core verifies, and SQLite or PostgreSQL reads beside it.";

/// A line of the program.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) name: String,
    unit: String,
    pub(super) values: Vec<f64>,
}

const OVERHEAD: &str = "A figure is the median of the rounds, with the smallest and the largest in parentheses. CPU is that \
of the control plane's process, user and system, on one core, for a call over HTTP/2 on loopback; what something adds is \
the difference of two servers that took turns. Gets are 10,000 in a turn, 8 at a time; writes are 1,000 updates of a route \
on SQLite, one after another, each committed to disk with its event in the audit log and its record as a rollout that was \
live at once. What these two add is measured in the store, where a write without them is possible.";

const TRAFFIC: &str = "ns for the decision about one request on one core, and the edit of its answer's head, by one feature \
of its route: median of 9 rounds, with the smallest and the largest in parentheses. What stands above \"none\" is the \
feature's own. No sockets, and no other core that counts at the same time. A copy of a mirror is a request more, and a \
rate limit of the fleet waits for Redis; neither is in here. The last figures stand alone: what compressing a body takes, and a \
line of the access log.";

/// A program that measures.
pub(super) struct Program<'a> {
    pub(super) package: &'a str,
    pub(super) example: &'a str,
    pub(super) args: &'a [&'a str],
}

/// Runs `audit`.
pub(crate) async fn run(root: &Path, out: &Path) -> Result<()> {
    let facts = Facts::gather().await?;
    let lines = measured(root, &Program { package: "hotswap-audit", example: "cost", args: &[] }).await?;
    let text = table("What the audit log costs", "cargo xtask bench audit", &facts.lines(), &lines, LEGEND)?;
    report::publish(&text, out)
}

/// Runs `overhead`.
pub(crate) async fn overhead(root: &Path, rounds: u32, out: &Path) -> Result<()> {
    let facts = Facts::gather().await?;
    let rounds = rounds.to_string();
    let layers = Program { package: "hotswap", example: "overhead", args: &["--rounds", &rounds] };
    let audit = Program { package: "hotswap-audit", example: "cost", args: &["writes", "verify"] };
    let live = Program { package: "hotswap-rollout-host", example: "live", args: &[&rounds] };
    let mut lines = String::new();
    for program in [layers, audit, live] {
        lines.push_str(&measured(root, &program).await?);
    }
    let command = format!("cargo xtask bench overhead --rounds {rounds}");
    let title = "What stands before a use case, and what it costs";
    report::publish(&table(title, &command, &facts.lines(), &lines, OVERHEAD)?, out)
}

/// Runs `traffic`.
pub(crate) async fn traffic(root: &Path, out: &Path) -> Result<()> {
    let facts = Facts::gather().await?;
    let features = Program { package: "hotswap-gateway", example: "traffic", args: &[] };
    let lines = measured(root, &features).await?;
    let (title, command) = ("What the traffic features of a route cost", "cargo xtask bench traffic");
    report::publish(&table(title, command, &facts.lines(), &lines, TRAFFIC)?, out)
}

/// What a program prints.
pub(super) async fn measured(root: &Path, program: &Program<'_>) -> Result<String> {
    let Program { package, example, args } = program;
    say(&format!("building and running {example} of {package} (release)"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root);
    command.args(["run", "--release", "--quiet", "--package", package, "--example", example, "--"]);
    command.args(*args);
    output(command).await
}

/// The figures among what a program prints: what it complains of stands between them.
pub(super) fn figures(lines: &str) -> impl Iterator<Item = Result<Line>> {
    let figures = lines.lines().filter(|line| line.starts_with('{'));
    figures.map(|line| serde_json::from_str(line).context("a line that is no figure"))
}

fn table(title: &str, command: &str, facts: &str, lines: &str, legend: &str) -> Result<String> {
    let mut text =
        format!("# {title}\n\nMade by `{command}`.\n\n{facts}\n| what | figure | unit |\n|---|---|---|\n");
    for line in figures(lines) {
        let Line { name, unit, values } = line?;
        let Some(figure) = Figure::of(values) else { continue };
        text.push_str(&format!("| {name} | {} | {unit} |\n", shown(figure)));
    }
    Ok(format!("{text}\n{legend}\n"))
}

pub(super) fn shown(Figure { median, min, max }: Figure) -> String {
    if min == max {
        number(median)
    } else {
        format!("{} ({}–{})", number(median), number(min), number(max))
    }
}

/// Three digits or so, thousands apart.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_rows() {
        let lines = "a warning\n{\"name\":\"a\",\"unit\":\"µs\",\"values\":[3.0,1.0,2.0]}\n\
                     {\"name\":\"b\",\"unit\":\"events/s\",\"values\":[1234567.8]}\n";
        let text = table("T", "c", "- facts\n", lines, "L").unwrap();
        assert!(text.contains("| a | 2.0 (1.0–3.0) | µs |\n| b | 1,234,568 | events/s |\n"), "{text}");
        assert!(table("", "", "", "{\"no\":1}", "").is_err());
    }
}
