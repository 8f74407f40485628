//! `cargo xtask bench rollout`: many active rollouts on one node. A program of the crate itself measures
//! (`crates/rollout-host/examples/many`); this one runs it and writes the table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::audit::{Program, measured, number};
use super::facts::Facts;
use super::report::{self, thousands};

const LEGEND: &str = "Driver, use cases and database are the real ones, in one process with their defaults; the target, its \
counts and what it tells of its subjects cost nothing, so that the figures are the engine's. Each rollout is a canary that \
bakes at 10 %; every second one keeps users in their arm, so that counts of 64 parts of both arms are stored and judged. A \
rollout is judged each second in an exposure's first minute, then more rarely, from half an hour on each 30 s; the figures \
are of rollouts of one age, that began at random moments. *Judged late* is the time from when a measurement was due to its \
decision, of every measurement; *steps late* the same for the end of a bake. CPU is user and system. PostgreSQL writes to \
disk at each commit, as SQLite does, and runs on the same machine; a commit takes as long as the disk.";

/// What is measured.
#[derive(Args, Clone)]
pub(crate) struct RolloutArgs {
    /// Active rollouts.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    rollouts: u32,
    /// How long is measured, in seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(5..=36_000))]
    seconds: u32,
    /// How often each is judged, in seconds: they are as old as that takes.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=30))]
    every: u32,
    /// Steps that fall due while it is measured.
    #[arg(long, default_value_t = 120)]
    steps: u32,
    /// On which databases.
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    stores: Vec<String>,
    /// The file for the table. Default: docs/bench/rollout.md.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A line of the program.
#[derive(Deserialize)]
struct Line {
    store: String,
    name: String,
    unit: String,
    value: f64,
}

impl RolloutArgs {
    fn flags(&self) -> Vec<String> {
        let of = |name: &str, value: &dyn ToString| [format!("--{name}"), value.to_string()];
        [
            of("rollouts", &self.rollouts),
            of("seconds", &self.seconds),
            of("every", &self.every),
            of("steps", &self.steps),
            of("stores", &self.stores.join(",")),
        ]
        .concat()
    }
}

/// Runs it.
pub(crate) async fn run(root: &Path, args: &RolloutArgs) -> Result<()> {
    let facts = Facts::gather().await?;
    let flags = args.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let many = Program { package: "hotswap-rollout-host", example: "many", args: &flags };
    let text = table(args, &flags.join(" "), &facts.lines(), &measured(root, &many).await?)?;
    let out = args.out.clone().unwrap_or_else(|| root.join("docs/bench/rollout.md"));
    report::publish(&text, &out)
}

/// A row for each figure, a column for each database.
fn table(args: &RolloutArgs, flags: &str, facts: &str, lines: &str) -> Result<String> {
    let parse = |line: &str| serde_json::from_str::<Line>(line).context("a line that is no figure");
    // What the program complains of stands between its lines.
    let lines: Vec<Line> = lines.lines().filter(|l| l.starts_with('{')).map(parse).collect::<Result<_>>()?;
    let (mut stores, mut seen) = (Vec::new(), BTreeSet::new());
    for line in &lines {
        if !stores.contains(&line.store) {
            stores.push(line.store.clone());
        }
    }
    let mut text = format!(
        "# {} active rollouts on one node\n\nMade by `cargo xtask bench rollout {flags}`: measured for {} s, each judged \
         every {} s.\n\n{facts}\n| what | {} | unit |\n|---|{}---|\n",
        thousands(args.rollouts),
        args.seconds,
        args.every,
        stores.join(" | "),
        "---|".repeat(stores.len())
    );
    for line in lines.iter().filter(|line| seen.insert(line.name.clone())) {
        let of = |store: &String| {
            let found = lines.iter().find(|l| l.name == line.name && l.store == *store);
            found.map_or("–".to_owned(), |l| number(l.value))
        };
        let cells: Vec<String> = stores.iter().map(of).collect();
        writeln!(text, "| {} | {} | {} |", line.name, cells.join(" | "), line.unit)?;
    }
    Ok(format!("{text}\n{LEGEND}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_row_and_a_database_a_column() {
        let line = |store: &str, name: &str, value: f64| {
            format!("{{\"store\":\"{store}\",\"name\":\"{name}\",\"unit\":\"ms\",\"value\":{value}}}\n")
        };
        let lines =
            line("SQLite", "a", 1.0) + "a warning\n" + &line("P", "a", 2.0) + &line("P", "b", 12_345.0);
        let args = RolloutArgs { rollouts: 1_000, seconds: 9, every: 5, steps: 1, stores: vec![], out: None };
        let text = table(&args, "--x", "- facts\n", &lines).unwrap();
        assert!(
            text.starts_with(
                "# 1,000 active rollouts on one node\n\nMade by `cargo xtask bench rollout --x`"
            )
        );
        let want = "| what | SQLite | P | unit |\n|---|---|---|---|\n| a | 1.0 | 2.0 | ms |\n| b | – | 12,345 | ms |\n";
        assert!(text.contains(want), "{text}");
    }
}
