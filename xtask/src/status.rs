//! `cargo xtask status`: which methods of the contract are built, and which answer UNIMPLEMENTED.
//!
//! A service names what it has not built in `src/rpc/not_built.rs`; the rest of the contract counts as built.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use prost_reflect::DescriptorPool;

const DESCRIPTOR: &str = "clients/rust/api/src/gen/descriptor.bin";

/// Prints the methods by service, and how many are built.
pub(crate) fn run(root: &Path) -> Result<()> {
    let bytes = fs::read(root.join(DESCRIPTOR)).with_context(|| format!("reading {DESCRIPTOR}"))?;
    let pool = DescriptorPool::decode(bytes.as_slice())?;
    let table = table(&methods(&pool), &not_built(root)?)?;
    crate::say(&table)
}

/// The methods that are built, as "/package.Service/Method".
///
/// # Errors
/// Where the contract or the services can't be read.
pub(crate) fn built(root: &Path) -> Result<BTreeSet<String>> {
    let bytes = fs::read(root.join(DESCRIPTOR)).with_context(|| format!("reading {DESCRIPTOR}"))?;
    let pool = DescriptorPool::decode(bytes.as_slice())?;
    Ok(methods(&pool).difference(&not_built(root)?).cloned().collect())
}

fn table(methods: &BTreeSet<String>, missing: &BTreeSet<String>) -> Result<String> {
    if let Some(unknown) = missing.difference(methods).next() {
        bail!("{unknown} is listed as not built, but the contract has no such method");
    }
    let mut services: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
    for path in methods {
        let (service, method) =
            path.trim_start_matches('/').split_once('/').context("a method has a service")?;
        services.entry(service).or_default().push((method, !missing.contains(path)));
    }
    let mut text = String::new();
    for (service, methods) in &services {
        let built = methods.iter().filter(|(_, built)| *built).count();
        writeln!(text, "{service}: {built} of {} built", methods.len())?;
        for (method, built) in methods {
            writeln!(text, "  {:<14} {method}", if *built { "built" } else { "UNIMPLEMENTED" })?;
        }
    }
    let built = methods.len() - missing.len();
    write!(text, "{built} of {} methods are built", methods.len())?;
    Ok(text)
}

/// Every method of the contract, as "/package.Service/Method".
fn methods(pool: &DescriptorPool) -> BTreeSet<String> {
    let path =
        |m: prost_reflect::MethodDescriptor| format!("/{}/{}", m.parent_service().full_name(), m.name());
    pool.services().flat_map(|service| service.methods().map(path).collect::<Vec<_>>()).collect()
}

/// What the services list.
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

/// String literals that are the path of a method.
fn literals(text: &str) -> Vec<String> {
    text.split('"').filter(|s| s.starts_with("/hotswap.")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn paths_are_read_from_the_list() {
        let text =
            "//! The \"list.\nA = \"/hotswap.a.v1.S/M\";\nB = \"other\";\nC = [\"/hotswap.a.v1.S/N\"];";
        assert_eq!(literals(text), ["/hotswap.a.v1.S/M", "/hotswap.a.v1.S/N"]);
    }

    #[test]
    fn each_method_is_listed_under_its_service_with_the_sums() {
        let methods = set(&["/hotswap.a.v1.S/M", "/hotswap.a.v1.S/N", "/hotswap.b.v1.T/M"]);
        let text = table(&methods, &set(&["/hotswap.a.v1.S/N"])).expect("all are known");
        let expected = "hotswap.a.v1.S: 1 of 2 built\n  built          M\n  UNIMPLEMENTED  N\n\
                        hotswap.b.v1.T: 1 of 1 built\n  built          M\n2 of 3 methods are built";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_listed_method_that_the_contract_lacks_is_an_error() {
        let error =
            table(&set(&["/hotswap.a.v1.S/M"]), &set(&["/hotswap.a.v1.S/Gone"])).expect_err("is unknown");
        assert!(error.to_string().contains("/hotswap.a.v1.S/Gone"));
    }
}
