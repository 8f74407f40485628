//! The project's own tools: `cargo xtask <command>`.

mod bench;
mod codegen;
mod docs;
mod fuzz;
mod layers;
mod status;
mod test;

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tools")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must hold: format, layers, lints, licences, tests, the README's commands.
    Test(test::TestArgs),
    /// Generates the Rust API from the contract.
    Codegen {
        /// Change nothing; fail where the committed code is not what would be generated.
        #[arg(long)]
        check: bool,
    },
    /// Writes the pages of the documentation that are made from code.
    Docs {
        /// Change nothing; fail where a committed page is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Asks suites that others have made whether the gateway keeps to the standards, and writes what they say.
    Conformance,
    /// Fuzzes everything that reads bytes of strangers.
    Fuzz(fuzz::FuzzArgs),
    /// Checks who imports whom.
    CheckLayers,
    /// Lists which methods of the contract are built.
    Status,
    /// Benchmarks, beside peers in the same run.
    #[command(disable_help_flag = true)]
    Bench {
        /// The area and its options; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = root()?;
    match Cli::parse().command {
        Command::Test(args) => test::run(&root, &args),
        Command::Codegen { check } => codegen::run(&root, check),
        Command::Docs { check } => docs::run(&root, check),
        Command::Conformance => test::conformance(&root),
        Command::Fuzz(args) => fuzz::run(&root, &args),
        Command::CheckLayers => layers::run(&root),
        Command::Status => status::run(&root),
        Command::Bench { args } => bench::run(args),
    }
}

/// Writes a line to the standard output.
fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// The workspace's folder: of the checkout that cargo runs this in, since several may share a target folder.
fn root() -> Result<PathBuf> {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map(Path::to_owned).context("xtask has no parent folder")
}
