//! `cargo xtask bench picks`: what choosing a backend costs. A program of the gateway itself measures
//! (`gateway-proxy/examples/picks.rs`); this one runs it and writes the table.

use std::path::Path;

use anyhow::{Context, Result};

use super::audit::{Line, Program, figures, measured, shown};
use super::facts::Facts;
use super::report;
use super::stats::Figure;

const LEGEND: &str = "ns for one pick on one core: median of 9 rounds, with the smallest and the largest in \
parentheses. The states of the backends are the real ones, nobody else touches them, a third has a request in flight, \
weights are 1 to 7; for each 1,000 picks there is one look at who takes requests, as the gateway has it at 40,000 \
requests a second. What is read from the request (a header, a cookie, the client's address) is not in it, nor is the \
count of the request at its backend. Where the spread is wide the machine was busy, and the smallest figure is the \
better one.";

/// Runs it.
pub(crate) async fn run(root: &Path, out: &Path) -> Result<()> {
    let facts = Facts::gather().await?;
    let picks = Program { package: "hotswap-gateway", example: "picks", args: &[] };
    let text = table(&facts.lines(), &measured(root, &picks).await?)?;
    report::publish(&text, out)
}

/// A row for each strategy, a column for each size.
fn table(facts: &str, lines: &str) -> Result<String> {
    let (mut sizes, mut rows): (Vec<String>, Vec<(String, Vec<String>)>) = (Vec::new(), Vec::new());
    for line in figures(lines) {
        let Line { name, values, .. } = line?;
        let (strategy, size) = name.rsplit_once(", ").context("a figure without a size")?;
        if !sizes.iter().any(|s| s == size) {
            sizes.push(size.to_owned());
        }
        if rows.last().is_none_or(|(name, _)| name != strategy) {
            rows.push((strategy.to_owned(), Vec::new()));
        }
        if let (Some((_, cells)), Some(figure)) = (rows.last_mut(), Figure::of(values)) {
            cells.push(shown(figure));
        }
    }
    let mut text =
        format!("# What choosing a backend costs\n\nMade by `cargo xtask bench picks`.\n\n{facts}\n");
    text.push_str(&format!("| ns a pick | {} |\n|---|{}\n", sizes.join(" | "), "---|".repeat(sizes.len())));
    for (strategy, cells) in rows {
        text.push_str(&format!("| {strategy} | {} |\n", cells.join(" | ")));
    }
    Ok(format!("{text}\n{LEGEND}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_a_row_and_a_size_a_column() {
        let line =
            |name: &str, ns: f64| format!("{{\"name\":\"{name}\",\"unit\":\"ns\",\"values\":[{ns}]}}\n");
        let lines = line("a, 5 backends", 1.0) + &line("a, 100 backends", 2.0) + &line("b, 5 backends", 3.0);
        let text = table("- facts\n", &lines).unwrap();
        let want =
            "| ns a pick | 5 backends | 100 backends |\n|---|---|---|\n| a | 1.0 | 2.0 |\n| b | 3.0 |\n";
        assert!(text.contains(want), "{text}");
    }
}
