//! What the stages came to.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Outcome;

/// A stage that ended.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Row {
    fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "FAILED",
            Outcome::Skipped(_) => "SKIPPED",
        }
    }
}

/// A line for each stage, and their sum.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from("\n");
    for row in rows {
        // Writing to a string does not fail.
        let _ = write!(text, "{:<8} {:<14} {:>7.1} s", row.word(), row.name, row.took.as_secs_f64());
        let _ = match &row.outcome {
            Outcome::Passed => writeln!(text),
            // The whole reason stands where the stage ended.
            Outcome::Failed(why) | Outcome::Skipped(why) => {
                writeln!(text, "  {}", why.lines().next().unwrap_or_default())
            }
        };
    }
    let count = |word: &str| rows.iter().filter(|r| r.word() == word).count();
    let (passed, failed, skipped) = (count("passed"), count("FAILED"), count("SKIPPED"));
    let _ = write!(text, "stages: {passed} passed, {failed} failed, {skipped} skipped");
    text
}

/// # Errors
/// Names the stages that failed, and with `require_all` those that were skipped.
pub(super) fn verdict(rows: &[Row], require_all: bool) -> Result<()> {
    let named = |word: &str| {
        let names: Vec<_> = rows.iter().filter(|r| r.word() == word).map(|r| r.name).collect();
        names.join(", ")
    };
    let (failed, skipped) = (named("FAILED"), named("SKIPPED"));
    if !failed.is_empty() {
        bail!("failed: {failed}");
    }
    if require_all && !skipped.is_empty() {
        bail!("skipped, and all are required: {skipped}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, outcome: Outcome) -> Row {
        Row { name, outcome, took: Duration::from_millis(1_240) }
    }

    #[test]
    fn the_table_has_a_line_for_each_stage_with_the_reason_and_the_sum_last() {
        let rows = [
            row("format", Outcome::Passed),
            row("clippy", Outcome::Failed("x".into())),
            row("licences", Outcome::Skipped("no tool\nand more".into())),
        ];
        let text = table(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "passed   format             1.2 s");
        assert_eq!(lines[2], "FAILED   clippy             1.2 s  x");
        assert_eq!(lines[3], "SKIPPED  licences           1.2 s  no tool");
        assert_eq!(lines.last(), Some(&"stages: 1 passed, 1 failed, 1 skipped"));
    }

    #[test]
    fn a_failure_always_counts_and_a_skip_where_all_are_required() {
        let skipped = [row("format", Outcome::Passed), row("licences", Outcome::Skipped("x".into()))];
        assert!(verdict(&skipped, false).is_ok());
        let error = verdict(&skipped, true).expect_err("a skip is a failure").to_string();
        assert_eq!(error, "skipped, and all are required: licences");
        let failed = [row("clippy", Outcome::Failed("x".into()))];
        assert_eq!(verdict(&failed, false).expect_err("failed").to_string(), "failed: clippy");
    }
}
