//! What a fuzzer tells while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;

use crate::say;

/// Lines that are kept for a report.
const LAST: usize = 40;

/// A run, summed up.
#[derive(Debug, Default)]
pub(super) struct Stats {
    runs: u64,
    per_second: u64,
    /// Edges, and edges with what was compared.
    reached: String,
    /// The case that something did not hold for.
    pub(super) found: Option<PathBuf>,
    pub(super) last: Vec<String>,
}

/// Reads to the end.
pub(super) fn follow(stderr: impl Read) -> Stats {
    let mut stats = Stats::default();
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        stats.read(String::from_utf8_lossy(&line).into_owned());
    }
    stats
}

impl Stats {
    fn read(&mut self, line: String) {
        let number = |rest: &str| rest.trim().parse().unwrap_or_default();
        if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = number(rest);
        } else if let Some(rest) = line.strip_prefix("stat::average_exec_per_sec:") {
            self.per_second = number(rest);
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.found = Some(path.trim().into());
        } else if let Some((_, rest)) = line.split_once(" cov: ") {
            let end = rest.find(" corp:").unwrap_or(rest.len());
            self.reached = rest.get(..end).unwrap_or_default().to_owned();
            // A line for each new case is too much; those at doubling counts are enough.
            if !line.contains("pulse") && !line.contains("DONE") {
                return;
            }
        }
        // A dictionary that it recommends.
        if line.starts_with(['"', '#']) && line.contains("# Uses") || line.starts_with("######") {
            return;
        }
        let _ = say(&line);
        self.last.push(line);
        if self.last.len() > LAST {
            self.last.remove(0);
        }
    }

    /// A line of the table.
    pub(super) fn row(&self, name: &str) -> String {
        let (runs, per_second, reached) = (self.runs, self.per_second, &self.reached);
        let end = if self.found.is_some() { "FOUND SOMETHING" } else { "held" };
        format!("{name:<16} {runs:>12} cases  {per_second:>8}/s  edges {reached:<18} {end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_summed_up() {
        let told = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                    #9\tNEW    cov: 40 ft: 77 corp: 2/9b lim: 4 exec/s: 0 rss: 30Mb\n\
                    artifact_prefix='/t/'; Test unit written to /t/crash-1\n\
                    stat::number_of_executed_units: 1000\nstat::average_exec_per_sec:     50\n";
        let stats = follow(told.as_bytes());
        assert_eq!((stats.runs, stats.per_second, stats.reached.as_str()), (1_000, 50, "40 ft: 77"));
        assert_eq!(stats.found, Some("/t/crash-1".into()));
        assert!(stats.row("x").ends_with("FOUND SOMETHING"));
    }
}
