//! `cargo xtask status`: which methods of the contract are built.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io::Write as _};

use anyhow::{Context, Result, bail};
use prost_reflect::DescriptorPool;

const DESCRIPTOR: &str = "clients/rust/api/src/gen/descriptor.bin";

/// Prints a line for each method, and the count.
pub(crate) fn run(root: &Path) -> Result<()> {
    let pool = DescriptorPool::decode(fs::read(root.join(DESCRIPTOR))?.as_slice())?;
    let methods = methods(&pool);
    let missing = not_built(root)?;
    if let Some(unknown) = missing.iter().find(|m| !methods.contains(*m)) {
        bail!("{unknown} is listed as not built, but the contract has no such method");
    }
    let mut out = std::io::stdout().lock();
    for method in &methods {
        let word = if missing.contains(method) { "not built" } else { "built" };
        writeln!(out, "{word:<10} {}", method.trim_start_matches('/'))?;
    }
    writeln!(out, "{} of {} methods built", methods.len() - missing.len(), methods.len())?;
    Ok(())
}

fn methods(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    for service in pool.services() {
        for method in service.methods() {
            methods.insert(format!("/{}/{}", service.full_name(), method.name()));
        }
    }
    methods
}

/// The paths in every `services/*/src/rpc/not_built.rs`.
fn not_built(root: &Path) -> Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    for service in fs::read_dir(root.join("services")).context("reading services")? {
        let file = service?.path().join("src/rpc/not_built.rs");
        if file.exists() {
            paths.extend(literals(&fs::read_to_string(&file)?));
        }
    }
    Ok(paths)
}

/// String literals that look like the path of a method.
fn literals(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).filter(|s| s.starts_with("/hotswap.")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_the_list() {
        let text = "A = \"/hotswap.a.v1.S/M\";\nB = \"other\";\nC = \"/hotswap.a.v1.S/N\";";
        assert_eq!(literals(text), ["/hotswap.a.v1.S/M", "/hotswap.a.v1.S/N"]);
    }
}
