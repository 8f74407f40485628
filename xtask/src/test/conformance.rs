//! `cargo xtask conformance`: what suites that others have made say of the gateway, as a page. The suites are tests of
//! the gateway, which run with all others; here those that write the page run alone, each its part.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::services::{REQUIRE_ALL, Services};
use super::tools::{H2SPEC, INTEROP_CLIENT, INTEROP_SERVER, Tools, run};
use crate::say;

/// The page.
const PAGE: &str = "docs/reference/conformance.md";

/// What it begins with.
const HEAD: &str = "\
# Conformance

<!-- Made by `cargo xtask conformance`. -->

What suites say of the gateway, most of which others have made. They run with all tests, too.
";

/// Its parts, in order: the tests that write them, each into files whose names begin so.
const PARTS: [&str; 3] = ["h2spec", "grpc_interop", "varnishtest"];

/// Runs the suites and writes the page.
pub(crate) fn conformance(root: &Path) -> Result<()> {
    let (parts, tools) = (tempfile::tempdir()?, Tools::new(root)?);
    Services::new(true)?.varnishtest()?;
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "--package", "hotswap-gateway", "--test", "it", "--"]).args(PARTS);
    command.env("HOTSWAP_CONFORMANCE_PARTS", parts.path()).env(REQUIRE_ALL, "1");
    for tool in [H2SPEC, INTEROP_CLIENT, INTEROP_SERVER] {
        tools.give(tool, &mut command)?;
    }
    run(command.current_dir(root))?;
    let mut page = HEAD.to_owned();
    for part in PARTS {
        page += &written(parts.path(), part)?;
    }
    fs::write(root.join(PAGE), page)?;
    say(&format!("written: {PAGE}"))
}

/// What the tests of a part have written, in the order of the files' names.
fn written(folder: &Path, part: &str) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(part) {
            files.push(entry.path());
        }
    }
    if files.is_empty() {
        bail!("{part} has written nothing");
    }
    files.sort();
    files.iter().map(|file| Ok(fs::read_to_string(file)?)).collect()
}
