//! `cargo xtask conformance`: what suites that others have made say of the gateway, as a page. The suites are tests of
//! the gateway, which run with all others; here the one that writes the page runs alone.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::tools::{self, Tools, run};
use crate::say;

/// The page.
const PAGE: &str = "docs/reference/conformance.md";

/// Runs the suites and writes the page.
pub(crate) fn conformance(root: &Path) -> Result<()> {
    let h2spec = Tools::new(root)?.go(tools::H2SPEC)?;
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "--package", "hotswap-gateway", "--test", "it", "h2spec"]);
    command.env("HOTSWAP_TEST_H2SPEC", h2spec).env("HOTSWAP_CONFORMANCE_PAGE", root.join(PAGE));
    run(command.current_dir(root))?;
    say(&format!("written: {PAGE}"))
}
