//! `cargo xtask test`: everything that must hold, stage by stage, with what it needs installed on the way.
//! What can't be had is skipped loudly; `--require-all` makes a skip a failure.

mod readme;
mod tools;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{codegen, layers, status};
use tools::{Tool, Tools};

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// A stage that can't run is a failure.
    #[arg(long)]
    require_all: bool,
    /// Only the stages with this word in their name.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

/// How a stage ended.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

type Stage = (&'static str, fn(&Job) -> Result<Outcome>);

/// What the stages work with.
struct Job {
    root: std::path::PathBuf,
    tools: Tools,
}

const STAGES: &[Stage] = &[
    ("format", |c| cargo(c, &["fmt", "--all", "--check"])),
    ("layers", |c| done(layers::run(&c.root))),
    ("codegen", |c| done(codegen::run(&c.root, true))),
    ("status", |c| done(status::run(&c.root))),
    ("proto lint", |c| buf(c, &["lint"])),
    ("proto format", |c| buf(c, &["format", "-d", "--exit-code"])),
    ("licences", deny),
    ("clippy", |c| cargo(c, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
    ("tests", tests),
    ("readme", |c| readme::run(&c.root)),
];

/// Runs the stages; an error names those that failed.
pub(crate) fn run(root: &Path, args: &TestArgs) -> Result<()> {
    let context = Job { root: root.to_owned(), tools: Tools::new(root) };
    let mut rows = Vec::new();
    for (name, stage) in STAGES {
        if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        say(&format!("== {name}"))?;
        let started = Instant::now();
        let outcome = stage(&context).unwrap_or_else(|e| Outcome::Failed(format!("{e:#}")));
        if let Outcome::Failed(why) | Outcome::Skipped(why) = &outcome {
            say(why)?;
        }
        rows.push((*name, outcome, started.elapsed()));
    }
    report(&rows, args.require_all)
}

fn report(rows: &[(&str, Outcome, Duration)], require_all: bool) -> Result<()> {
    let mut text = String::from("\n");
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for (name, outcome, took) in rows {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => {
                failed.push(*name);
                "FAILED"
            }
            Outcome::Skipped(_) => {
                skipped.push(*name);
                "SKIPPED"
            }
        };
        writeln!(text, "{word:<8} {name:<14} {:>7.1} s", took.as_secs_f64())?;
    }
    say(&text)?;
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    if require_all && !skipped.is_empty() {
        bail!("skipped, and all are required: {}", skipped.join(", "));
    }
    Ok(())
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

fn done(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// Runs a command; its output goes where ours goes.
fn passes(command: &mut Command) -> Result<Outcome> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("running {program}"))?;
    if status.success() { Ok(Outcome::Passed) } else { Ok(Outcome::Failed(format!("{program}: {status}"))) }
}

fn cargo(c: &Job, args: &[&str]) -> Result<Outcome> {
    passes(Command::new("cargo").args(args).current_dir(&c.root))
}

fn with_tool(c: &Job, tool: Tool, args: &[&str]) -> Result<Outcome> {
    match c.tools.get(tool) {
        Ok(path) => passes(Command::new(path).args(args).current_dir(&c.root)),
        Err(why) => Ok(Outcome::Skipped(format!("{} can't be had: {why:#}", tool.name))),
    }
}

fn buf(c: &Job, args: &[&str]) -> Result<Outcome> {
    with_tool(c, tools::BUF, args)
}

fn deny(c: &Job) -> Result<Outcome> {
    let checks =
        ["--workspace", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    with_tool(c, tools::DENY, &checks)
}

/// The binaries that tests start are built first, so that each test finds them.
fn tests(c: &Job) -> Result<Outcome> {
    let built = cargo(c, &["build", "--workspace", "--locked"])?;
    if !matches!(built, Outcome::Passed) {
        return Ok(built);
    }
    match c.tools.get(tools::NEXTEST) {
        Ok(path) => {
            let args = ["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
            let args = args.map(OsString::from);
            passes(Command::new(path).args(args).current_dir(&c.root))
        }
        Err(why) => {
            say(&format!("cargo-nextest can't be had, so cargo test runs: {why:#}"))?;
            cargo(c, &["test", "--workspace", "--locked", "--no-fail-fast"])
        }
    }
}
