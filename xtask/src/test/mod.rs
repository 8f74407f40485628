//! `cargo xtask test`: everything that must hold, stage by stage, with what it needs installed on the way.
//! What can't be had is skipped loudly; `--require-all` makes a skip a failure.

mod conformance;
mod debian;
mod go;
mod guides;
mod readme;
mod report;
mod services;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::{codegen, docs, layers, say, status};
use report::Row;
use services::Services;
use tools::{GoTool, Tool, Tools};

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// A stage that can't run is a failure
    #[arg(long)]
    require_all: bool,
    /// Only these stages
    #[arg(long, value_name = "STAGE", value_parser = PossibleValuesParser::new(STAGES.iter().map(|s| s.0)))]
    only: Vec<String>,
}

pub(crate) use conformance::conformance;

/// How a stage ended.
enum Outcome {
    Passed,
    /// Something does not hold: what.
    Failed(String),
    /// It could not run: why.
    Skipped(String),
}

/// What the stages work with.
struct Job {
    root: PathBuf,
    tools: Tools,
    services: Services,
}

type Stage = (&'static str, fn(&Job) -> Result<Outcome>);

/// From the quickest to the slowest, so that most faults show early.
const STAGES: &[Stage] = &[
    ("format", |job| cargo(job, &["fmt", "--all", "--check"])),
    ("layers", |job| done(layers::run(&job.root))),
    ("codegen", |job| done(codegen::run(&job.root, true))),
    ("status", |job| done(status::run(&job.root))),
    ("docs", |job| done(docs::run(&job.root, true))),
    ("proto-lint", |job| with_tool(job, tools::BUF, &["lint"])),
    ("proto-format", |job| with_tool(job, tools::BUF, &["format", "--diff", "--exit-code"])),
    ("licences", |job| with_tool(job, tools::DENY, DENY_ARGS)),
    ("clippy", |job| {
        cargo(job, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    }),
    // What these can't have, the tests that need it skip.
    ("postgres", |job| job.services.postgres()),
    ("redis", |job| job.services.redis()),
    ("prometheus", |job| job.services.prometheus()),
    ("smtp", |job| job.services.smtp()),
    ("tmux", |job| job.services.tmux()),
    ("varnishtest", |job| job.services.varnishtest()),
    ("jaeger", |job| built(job, &[tools::JAEGER])),
    ("h2spec", |job| built(job, &[tools::H2SPEC])),
    ("grpc-interop", |job| built(job, &[tools::INTEROP_CLIENT, tools::INTEROP_SERVER])),
    ("tests", |job| tests(job, &[], &[])),
    // The same suites on the other database.
    ("tests-postgres", |job| match job.services.postgres()? {
        Outcome::Passed => tests(job, ON_BOTH, &[("HOTSWAP_TEST_STORE", "postgres")]),
        other => Ok(other),
    }),
    // The gateway's suite on the engine that is not its default.
    ("tests-engine", |job| tests(job, &["hotswap-gateway"], &[("HOTSWAP_GATEWAY_ENGINE", "hyper")])),
    // cargo-nextest runs none of these.
    ("doc-tests", |job| cargo(job, &["test", "--workspace", "--doc", "--locked", "--quiet"])),
    ("readme", |job| readme::run(&job.root)),
    ("guides", |job| guides::run(&job.root, &job.tools)),
];

/// Packages whose tests run on either database, as the run says.
const ON_BOTH: &[&str] = &["hotswap-route", "hotswap-rollout-host"];

/// Advisories apart: they change without a change of ours.
const DENY_ARGS: &[&str] =
    &["--workspace", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];

/// Runs the stages, all of them; an error names those that failed.
pub(crate) fn run(root: &Path, args: &TestArgs) -> Result<()> {
    let services = Services::new(args.require_all)?;
    let job = Job { root: root.to_owned(), tools: Tools::new(root)?, services };
    let mut rows = Vec::new();
    for (name, stage) in STAGES.iter().filter(|s| args.only.is_empty() || args.only.iter().any(|o| o == s.0))
    {
        say(&format!("\n== {name}"))?;
        let started = Instant::now();
        let outcome = stage(&job).unwrap_or_else(|e| Outcome::Failed(format!("{e:#}")));
        match &outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => say(&format!("FAILED {name}: {why}"))?,
            Outcome::Skipped(why) => say(&format!("SKIPPED {name}: {why}"))?,
        }
        rows.push(Row { name, outcome, took: started.elapsed() });
    }
    say(&report::table(&rows))?;
    report::verdict(&rows, args.require_all)
}

fn done(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// Runs a command; its output goes where ours goes.
fn passes(command: &mut Command) -> Result<Outcome> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("running {program}"))?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("{program}: {status}")) })
}

fn cargo(job: &Job, args: &[&str]) -> Result<Outcome> {
    passes(Command::new("cargo").args(args).current_dir(&job.root))
}

fn with_tool(job: &Job, tool: Tool, args: &[&str]) -> Result<Outcome> {
    match job.tools.get(tool) {
        Ok(path) => passes(Command::new(path).args(args).current_dir(&job.root)),
        Err(why) => Ok(Outcome::Skipped(format!("{} can't be had: {why:#}", tool.name))),
    }
}

/// Builds what tests need.
fn built(job: &Job, tools: &[GoTool]) -> Result<Outcome> {
    for tool in tools {
        if let Err(why) = job.tools.go(*tool) {
            return Ok(Outcome::Skipped(format!("{} can't be built: {why:#}", tool.name)));
        }
    }
    Ok(Outcome::Passed)
}

/// All tests of the workspace, or those of some packages, in the one build of all: on its own, a package would be built
/// anew with other features of what it stands on. Those of a package start its own binaries, which cargo builds with
/// them.
fn tests(job: &Job, packages: &[&str], variables: &[(&str, &str)]) -> Result<Outcome> {
    let mut command = match job.tools.get(tools::NEXTEST) {
        Ok(path) => {
            let mut command = Command::new(path);
            command.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--config-file"]);
            command.arg(job.root.join("xtask/nextest.toml"));
            for package in packages {
                command.args(["--filterset", &format!("package({package})")]);
            }
            command
        }
        Err(why) => {
            say(&format!("cargo-nextest can't be had, so cargo test runs: {why:#}"))?;
            let mut command = Command::new("cargo");
            command.args(["test", "--all-targets", "--locked", "--no-fail-fast"]);
            if packages.is_empty() {
                command.arg("--workspace");
            }
            for package in packages {
                command.args(["--package", package]);
            }
            command
        }
    };
    command.envs(variables.iter().copied());
    for tool in tools::OF_TESTS {
        // Its stage has told why it can't be had; tests that need it skip.
        let _ = job.tools.give(tool, &mut command);
    }
    job.services.give(&mut command)?;
    let outcome = passes(command.current_dir(&job.root))?;
    for skipped in job.services.skipped_tests()? {
        say(&format!("SKIPPED test {skipped}"))?;
    }
    Ok(outcome)
}
