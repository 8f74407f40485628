//! What the manifests say: who imports what, and whether versions and lints come from the workspace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toml::Table;

/// Where a crate lives, which decides what it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// `crates/`.
    Kernel,
    /// `services/`.
    Service,
    /// A folder of its own.
    #[default]
    Other,
}

/// A crate of the workspace.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) home: Home,
    pub(super) manifest: PathBuf,
    /// Names of what it imports when built and when running, by their names in the registry.
    pub(super) imports: BTreeSet<String>,
    /// Names of what only its tests import.
    pub(super) test_imports: BTreeSet<String>,
}

/// The crates of the workspace, as cargo sees them.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    read(root, &serde_json::from_slice(&output.stdout)?)
}

fn read(root: &Path, metadata: &Value) -> Result<Vec<Package>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    packages.iter().map(|p| package(root, p)).collect()
}

fn package(root: &Path, json: &Value) -> Result<Package> {
    let text = |v: &Value| v.as_str().map(str::to_owned).context("cargo metadata is not as it was");
    let manifest = PathBuf::from(text(&json["manifest_path"])?);
    let top = manifest.strip_prefix(root).ok().and_then(|p| p.iter().next());
    let home = match top.and_then(|t| t.to_str()) {
        Some("crates") => Home::Kernel,
        Some("services") => Home::Service,
        _ => Home::Other,
    };
    let mut package = Package { name: text(&json["name"])?, home, manifest, ..Package::default() };
    for dependency in json["dependencies"].as_array().context("a package without dependencies")? {
        // What a feature of the tools brings is not built unless it is asked for.
        if package.name == "xtask" && dependency["optional"] == true {
            continue;
        }
        let tests = dependency["kind"] == "dev";
        let imports = if tests { &mut package.test_imports } else { &mut package.imports };
        imports.insert(text(&dependency["name"])?);
    }
    Ok(package)
}

/// Rules for the manifests themselves.
pub(super) fn check(root: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for package in packages {
        let shown = package.manifest.strip_prefix(root).unwrap_or(&package.manifest).display();
        let text = fs::read_to_string(&package.manifest).with_context(|| format!("reading {shown}"))?;
        let faults = faults(&package.name, &text).with_context(|| format!("reading {shown}"))?;
        breaches.extend(faults.into_iter().map(|f| format!("{shown}: {f}")));
    }
    Ok(breaches)
}

fn faults(name: &str, text: &str) -> Result<Vec<String>> {
    let manifest: Table = text.parse()?;
    let mut faults = Vec::new();
    // Generated code is not ours to lint.
    if name != "hotswap-api" && !manifest.get("lints").is_some_and(from_workspace) {
        faults.push("must take its lints from the workspace".to_owned());
    }
    for (dependency, spec) in dependencies(&manifest) {
        if !from_workspace(spec) {
            faults.push(format!("{dependency} must take its version from the workspace"));
        }
    }
    Ok(faults)
}

/// All dependencies of a manifest, those of one platform too.
fn dependencies(manifest: &Table) -> Vec<(&String, &toml::Value)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let of_targets = targets.into_iter().flat_map(Table::values).filter_map(toml::Value::as_table);
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = [manifest].into_iter().chain(of_targets);
    let entries = tables.flat_map(|table| sections.map(|s| table.get(s).and_then(toml::Value::as_table)));
    entries.flatten().flatten().collect()
}

fn from_workspace(spec: &toml::Value) -> bool {
    spec.get("workspace").and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = "[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";

    #[test]
    fn a_manifest_that_takes_all_from_the_workspace_has_no_faults() {
        assert!(faults("x", GOOD).expect("parses").is_empty());
    }

    #[test]
    fn missing_lints_are_named_and_generated_code_needs_none() {
        let text = "[dependencies]\nserde.workspace = true\n";
        assert_eq!(faults("x", text).expect("parses"), ["must take its lints from the workspace"]);
        assert!(faults("hotswap-api", text).expect("parses").is_empty());
    }

    #[test]
    fn a_version_of_its_own_is_named_in_every_section() {
        let sections = [
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
            "target.x86_64-unknown-linux-gnu.dev-dependencies",
        ];
        for section in sections {
            for spec in
                ["own = \"1\"", "own = { path = \"../own\" }", "own = { version = \"1\", features = [] }"]
            {
                let text =
                    format!("[lints]\nworkspace = true\n[{section}]\nserde.workspace = true\n{spec}\n");
                let expected = ["own must take its version from the workspace"];
                assert_eq!(faults("x", &text).expect("parses"), expected, "{section}: {spec}");
            }
        }
    }

    #[test]
    fn a_package_is_read_with_its_home_and_the_real_names_of_its_imports() {
        let metadata = json!({"packages": [{
            "name": "hotswap-store",
            "manifest_path": "/w/crates/store/Cargo.toml",
            "dependencies": [
                {"name": "sqlx", "kind": null, "rename": "database"},
                {"name": "cc", "kind": "build"},
                {"name": "tempfile", "kind": "dev"},
            ],
        }]});
        let packages = read(Path::new("/w"), &metadata).expect("reads");
        assert_eq!(packages[0].home, Home::Kernel);
        assert_eq!(packages[0].imports, ["cc", "sqlx"].map(str::to_owned).into());
        assert_eq!(packages[0].test_imports, ["tempfile".to_owned()].into());
    }
}
