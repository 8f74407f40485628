//! The README's first command, run as it stands there, but on free ports, in a folder of its own, and ending
//! after the story.

use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{Outcome, passes};

const FIRST: &str = "cargo run --release -- up --demo";
const SECOND: &str = "cargo xtask test";

/// A story that hangs must not hang everything. Its own limits are far below.
const LIMIT: Duration = Duration::from_secs(300);
/// From the request to end, to the end.
const GRACE: Duration = Duration::from_secs(15);

pub(super) fn run(root: &Path) -> Result<Outcome> {
    let readme = std::fs::read_to_string(root.join("README.md")).context("reading README.md")?;
    if let Some(command) = [FIRST, SECOND].into_iter().find(|command| !shows(&readme, command)) {
        return Ok(Outcome::Failed(format!("README.md does not show the command: {command}")));
    }
    // Built before, so that the limit is for the story alone.
    let built = passes(Command::new("cargo").args(["build", "--release", "--locked"]).current_dir(root))?;
    if !matches!(built, Outcome::Passed) {
        return Ok(built);
    }
    let data = tempfile::tempdir()?;
    let mut command = Command::new("cargo");
    command.args(FIRST.split(' ').skip(1)).arg("--exit").arg("--data-dir").arg(data.path().join("data"));
    for flag in ["--listen", "--admin-listen", "--gateway-listen", "--gateway-admin-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    ends(command.current_dir(root).spawn().context("running cargo")?, LIMIT)
}

/// Whether a command has a line of its own, with or without a prompt.
fn shows(readme: &str, command: &str) -> bool {
    readme.lines().any(|line| line.trim().trim_start_matches("$ ") == command)
}

/// Waits for the process, and ends it where it takes longer than the limit.
fn ends(mut child: Child, limit: Duration) -> Result<Outcome> {
    let waits = [(limit, Signal::TERM), (GRACE, Signal::KILL)];
    for (wait, signal) in waits {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(Outcome::Passed),
                Some(status) => return Ok(Outcome::Failed(format!("{FIRST} --exit: {status}"))),
                None => thread::sleep(Duration::from_millis(50)),
            }
        }
        // cargo has become the program that it ran, so this is ours.
        kill_process(Pid::from_child(&child), signal)?;
    }
    child.wait()?;
    Ok(Outcome::Failed(format!("{FIRST} --exit: no end after {} s", limit.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_on_a_line_of_its_own() {
        assert!(shows("text\n    cargo xtask test\n", SECOND));
        assert!(shows("```\n$ cargo xtask test\n```\n", SECOND));
        assert!(!shows("Say `cargo xtask test` to test.\n", SECOND));
        assert!(!shows("cargo xtask test --only layers\n", SECOND));
    }

    #[test]
    fn a_process_that_does_not_end_is_ended_and_is_a_failure() {
        let child = Command::new("sleep").arg("600").spawn().expect("starts");
        let outcome = ends(child, Duration::ZERO).expect("ends");
        assert!(matches!(outcome, Outcome::Failed(_)));
    }

    #[test]
    fn a_process_passes_by_its_exit_code() {
        let limit = Duration::from_secs(60);
        let run = |program: &str| ends(Command::new(program).spawn().expect("starts"), limit).expect("ends");
        assert!(matches!(run("true"), Outcome::Passed));
        assert!(matches!(run("false"), Outcome::Failed(_)));
    }
}
