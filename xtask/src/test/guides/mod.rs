//! The guides, run as they stand: what a reader types is typed, and what is said to come must come.
//!
//! A guide that begins with `<!-- run -->` is run. Its blocks are taken in order, by one bash in an empty folder, with
//! `hotswap` and `grpcurl` on its path and the ports of the defaults free:
//!
//! - ` ```sh `: typed. A command that fails ends the guide.
//! - ` ```text ` behind it: its lines must come, in their order, among what the commands printed; `…` stands for anything.
//! - ` ```yaml shop.yaml `: written to that file.
//! - any other block: not looked at.

mod page;
mod shell;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use self::page::Page;
use super::debian::install;
use super::tools::{GRPCURL, Tools};
use super::{Outcome, passes};
use crate::say;

/// The guide that calls every method.
const EVERY_METHOD: &str = "grpcurl.md";

/// Runs them all; those that do not hold are named together.
pub(super) fn run(root: &Path, tools: &Tools) -> Result<Outcome> {
    let grpcurl = match tools.go(GRPCURL) {
        Ok(program) => program,
        Err(why) => return Ok(Outcome::Skipped(format!("grpcurl can't be built: {why:#}"))),
    };
    for (program, version) in [("curl", "--version"), ("openssl", "version")] {
        if Command::new(program).arg(version).stdout(Stdio::null()).status().is_err() {
            install(program)?;
        }
    }
    let hotswap = built(root)?;
    let mut faults = Vec::new();
    for guide in guides(root)? {
        let name = guide.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&guide).with_context(|| format!("reading {name}"))?;
        let Some(page) = Page::parse(&text).with_context(|| name.clone())? else { continue };
        say(&format!("{name}: {} steps", page.steps.len()))?;
        if let Err(why) = shell::run(&page, &[&hotswap, &grpcurl]) {
            faults.push(format!("{name}: {why:#}"));
        }
        if name == EVERY_METHOD {
            faults.extend(uncalled(root, &text)?.map(|methods| format!("{name} does not call {methods}")));
        }
    }
    Ok(if faults.is_empty() { Outcome::Passed } else { Outcome::Failed(faults.join("\n")) })
}

/// The release build of `hotswap`.
fn built(root: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    let built =
        passes(cargo.args(["build", "--release", "--locked", "--package", "hotswap"]).current_dir(root))?;
    if !matches!(built, Outcome::Passed) {
        bail!("hotswap does not build");
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(std::path::absolute(target)?.join("release/hotswap"))
}

fn guides(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(root.join("docs/guides")).context("reading docs/guides")?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut guides: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    guides.sort();
    Ok(guides)
}

/// Methods that are built and that the guide does not name.
fn uncalled(root: &Path, text: &str) -> Result<Option<String>> {
    let methods = crate::status::built(root)?;
    let missing: Vec<_> =
        methods.iter().map(|path| path.trim_start_matches('/')).filter(|path| !text.contains(path)).collect();
    Ok((!missing.is_empty()).then(|| missing.join(", ")))
}
