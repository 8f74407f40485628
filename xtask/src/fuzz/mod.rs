//! `cargo xtask fuzz`: builds the fuzzers (`fuzz/`) and runs them one after the other, from the cases that are kept
//! and those that earlier runs here came upon.
//!
//! libFuzzer comes with the crate libfuzzer-sys; the compiler counts what is reached by a pass of LLVM, which a stable
//! one has as well. No sanitizer: there is no `unsafe` of ours to watch.

mod cases;
mod stats;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::say;
use stats::Stats;

/// What makes LLVM count edges and tell of comparisons, as libFuzzer wants it.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// The longest case that is made, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2_048)]
    max_len: usize,
    /// Run nothing; keep of all cases the fewest that reach as much, in fuzz/corpus
    #[arg(long)]
    minimise: bool,
    /// Only these targets
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// A target, and where its cases are.
struct Job<'a> {
    name: &'a str,
    program: PathBuf,
    /// In the repository.
    corpus: PathBuf,
    found: PathBuf,
    /// Cases as files, one each: those that are kept, and those that runs came upon.
    work: PathBuf,
    fuzz: PathBuf,
}

/// Runs the targets; an error names those that found something.
pub(crate) fn run(root: &Path, args: &FuzzArgs) -> Result<()> {
    let fuzz = root.join("fuzz");
    let all = targets(&fuzz)?;
    if let Some(unknown) = args.targets.iter().find(|t| !all.contains(t)) {
        bail!("there is no target {unknown}; use {}", all.join(", "));
    }
    let wanted = all.iter().filter(|t| args.targets.is_empty() || args.targets.contains(t));
    let wanted: Vec<&String> = wanted.collect();
    let programs = build(root, &wanted)?;
    let work = programs.join("cases");
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for name in wanted {
        let in_fuzz = |kind: &str| fuzz.join(kind).join(format!("{name}.jsonl"));
        let (corpus, found) = (in_fuzz("corpus"), in_fuzz("found"));
        let job = Job {
            name,
            program: programs.join(name),
            corpus,
            found,
            work: work.join(name),
            fuzz: fuzz.clone(),
        };
        if args.minimise {
            job.minimise()?;
            continue;
        }
        say(&format!("\n== {name}, {} s", args.seconds))?;
        let stats = job.run(args)?;
        if let Some(case) = &stats.found {
            failed.push(format!("{name}: {}", job.keep(case)?));
        }
        rows.push(stats.row(name));
    }
    for row in &rows {
        say(row)?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("found something:\n{}", failed.join("\n")) }
}

/// The programs that the manifest names.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(fuzz.join("Cargo.toml")).context("reading fuzz/Cargo.toml")?;
    let manifest: toml::Table = text.parse()?;
    let bins =
        manifest.get("bin").and_then(toml::Value::as_array).context("fuzz/Cargo.toml has no programs")?;
    let name = |bin: &toml::Value| bin.get("name").and_then(toml::Value::as_str).map(str::to_owned);
    Ok(bins.iter().filter_map(name).collect())
}

/// Builds the programs, with the versions of the main workspace; the folder they are in.
fn build(root: &Path, targets: &[&String]) -> Result<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output().context("running rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).context("rustc names no host")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = std::path::absolute(target)?;
    fs::copy(root.join("Cargo.lock"), root.join("fuzz/Cargo.lock")).context("copying Cargo.lock")?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", host]);
    cargo.arg("--target-dir").arg(&target);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    let status =
        cargo.env("RUSTFLAGS", FLAGS.join(" ")).current_dir(root).status().context("running cargo")?;
    if !status.success() {
        bail!("the fuzzers can't be built: {status}");
    }
    Ok(target.join(host).join("release"))
}

impl Job<'_> {
    /// The program, with what all uses of it share.
    fn command(&self) -> Command {
        let mut command = Command::new("nice");
        command.arg(&self.program).args(["-print_final_stats=1", "-timeout=10", "-verbosity=1"]);
        command.arg(format!("-dict={}", self.fuzz.join("http.dict").display()));
        command
    }

    fn run(&self, args: &FuzzArgs) -> Result<Stats> {
        for kept in [&self.corpus, &self.found] {
            cases::unpack(kept, &self.work)?;
        }
        let artifacts = format!("{}-", self.work.display());
        let mut command = self.command();
        command.arg(format!("-max_total_time={}", args.seconds)).arg(format!("-max_len={}", args.max_len));
        command.arg(format!("-artifact_prefix={artifacts}")).arg(&self.work);
        let mut child = command.stderr(Stdio::piped()).spawn().context("starting a fuzzer")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let told = thread::spawn(move || stats::follow(stderr));
        let status = child.wait()?;
        let stats = told.join().map_err(|_| anyhow::anyhow!("what the fuzzer told can't be read"))?;
        if !status.success() && stats.found.is_none() {
            bail!("{} ended with {status}:\n{}", self.name, stats.last.join("\n"));
        }
        Ok(stats)
    }

    /// Adds what was found to the kept cases; the line.
    fn keep(&self, case: &Path) -> Result<String> {
        let line = cases::line(&fs::read(case).with_context(|| format!("reading {}", case.display()))?)?;
        let mut lines = fs::read_to_string(&self.found).unwrap_or_default();
        if !lines.lines().any(|l| l == line) {
            lines += &format!("{line}\n");
            fs::create_dir_all(self.found.parent().unwrap_or(&self.fuzz))?;
            fs::write(&self.found, lines)?;
        }
        Ok(line)
    }

    /// Puts the fewest cases in the place of those that are kept.
    fn minimise(&self) -> Result<()> {
        let small = self.work.with_extension("small");
        let _ = fs::remove_dir_all(&small);
        fs::create_dir_all(&small)?;
        cases::unpack(&self.corpus, &self.work)?;
        let mut command = self.command();
        // Which edges, and not how often: a tenth of the cases.
        command.args(["-set_cover_merge=1", "-use_counters=0"]).args([&small, &self.work]);
        let output = command.output().context("starting a fuzzer")?;
        if !output.status.success() {
            bail!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        let count = cases::pack(&small, &self.corpus)?;
        say(&format!("{}: {count} cases are kept", self.name))
    }
}
