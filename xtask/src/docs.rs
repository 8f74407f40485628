//! `cargo xtask docs`: pages of the documentation that are made from code, which are committed. What a page says is
//! printed by an example of the crate that knows it, so that this tool needs none of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The pages: where, and by which example of which crate.
const PAGES: &[(&str, &str, &str)] = &[
    ("docs/reference/permissions.md", "hotswap-auth", "permissions"),
    ("docs/reference/errors.md", "hotswap", "errors"),
    ("docs/reference/metrics.md", "hotswap", "metrics"),
];

/// Writes the pages, or with `check` proves that those committed are fresh.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (page, package, example) in PAGES {
        let fresh = printed(root, package, example)?;
        let path = root.join(page);
        if fs::read(&path).is_ok_and(|committed| committed == fresh) {
            continue;
        }
        stale.push(*page);
        if !check {
            let folder = path.parent().context("a page lies in a folder")?;
            fs::create_dir_all(folder).and_then(|()| fs::write(&path, fresh))?;
        }
    }
    if check && !stale.is_empty() {
        bail!("stale pages, run `cargo xtask docs`:\n  {}", stale.join("\n  "));
    }
    let (count, word) = if check { (PAGES.len(), "fresh") } else { (stale.len(), "written") };
    crate::say(&format!("{} pages, {count} {word}", PAGES.len()))
}

/// What an example prints.
fn printed(root: &Path, package: &str, example: &str) -> Result<Vec<u8>> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--locked", "--package", package, "--example", example]);
    let ran = command.current_dir(root).stderr(std::process::Stdio::inherit()).output();
    let ran = ran.context("running cargo")?;
    if !ran.status.success() {
        bail!("the example {example} of {package}: {}", ran.status);
    }
    Ok(ran.stdout)
}
