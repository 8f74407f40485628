//! `cargo xtask check-layers`: who may import whom, as ARCHITECTURE.md draws it. A rule that is not checked is
//! a hope.
//!
//! Three kinds of rules, each a table in code: which crate may import which ([`rules`]); that versions and lints
//! come from the workspace ([`manifest`]); what a folder inside a service may mention ([`source`]).

mod manifest;
mod paths;
mod rules;
mod source;

use std::path::Path;

use anyhow::{Result, bail};

/// Checks the whole tree; every breach is named.
pub(crate) fn run(root: &Path) -> Result<()> {
    let packages = manifest::packages(root)?;
    let mut breaches = rules::check(&packages);
    breaches.extend(manifest::check(root, &packages)?);
    breaches.extend(source::check(root)?);
    match breaches.len() {
        0 => crate::say(&format!("{} crates keep their layers", packages.len())),
        n => bail!("{n} breaches of the layers:\n  {}", breaches.join("\n  ")),
    }
}
