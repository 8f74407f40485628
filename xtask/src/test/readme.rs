//! The README's first command, run as it stands there, but on free ports, in a folder of its own, and ending
//! after the story.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Outcome, passes};

const FIRST: &str = "cargo run --release -- up --demo";

pub(super) fn run(root: &Path) -> Result<Outcome> {
    let readme = std::fs::read_to_string(root.join("README.md")).context("reading README.md")?;
    for command in [FIRST, "cargo xtask test"] {
        if !readme.lines().any(|l| l.trim() == command) {
            return Ok(Outcome::Failed(format!("README.md does not show the command: {command}")));
        }
    }
    let data = tempfile::tempdir()?;
    let mut command = Command::new("cargo");
    command.args(FIRST.split(' ').skip(1)).arg("--exit").arg("--data-dir").arg(data.path().join("data"));
    for flag in ["--listen", "--admin-listen", "--gateway-listen", "--gateway-admin-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    passes(command.current_dir(root))
}
