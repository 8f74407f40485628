//! Packages of Debian, installed without a service that starts.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::tools::run;
use crate::say;

/// Asked before a package starts its services; 101 says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Read when PostgreSQL is installed: no cluster is made that nobody asked for.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.d";

/// Installs a package.
///
/// # Errors
/// Where we are not root, or apt fails.
pub(super) fn install(package: &str) -> Result<()> {
    if !is_root() {
        bail!("installing the Debian package {package} needs root");
    }
    say(&format!("installing {package}"))?;
    let _no_services = Meanwhile::file(Path::new(POLICY), "#!/bin/sh\nexit 101\n", 0o755)?;
    let no_cluster = Path::new(CLUSTERS).join("hotswap.conf");
    let _no_cluster = Meanwhile::file(&no_cluster, "create_main_cluster = false\n", 0o644)?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends", package];
    apt(&install).or_else(|_| {
        // The lists may be missing or old.
        apt(&["update", "--quiet"])?;
        apt(&install)
    })
}

/// Whether packages can be installed.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) fn apt(args: &[&str]) -> Result<()> {
    run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args))
}

/// A file that is there while this lives. One that was there before stays as it is.
struct Meanwhile {
    /// What was made, the file before its folders.
    made: Vec<PathBuf>,
}

impl Meanwhile {
    fn file(path: &Path, text: &str, mode: u32) -> Result<Self> {
        let mut made = Self { made: Vec::new() };
        made.make(path, text, mode).with_context(|| format!("writing {}", path.display()))?;
        Ok(made)
    }

    fn make(&mut self, path: &Path, text: &str, mode: u32) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        let missing = path.ancestors().skip(1).take_while(|dir| !dir.exists());
        self.made.extend(missing.map(Path::to_owned));
        self.made.insert(0, path.to_owned());
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        for path in &self.made {
            // A folder that holds more by now stays.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_meanwhile_and_its_folders_go_where_nobody_uses_them() {
        let dir = tempfile::tempdir().expect("temp");
        let file = dir.path().join("a/b/c");
        let meanwhile = Meanwhile::file(&file, "text", 0o644).expect("writes");
        assert_eq!(fs::read_to_string(&file).expect("reads"), "text");
        fs::write(dir.path().join("a/other"), "").expect("writes");
        drop(meanwhile);
        assert!(!dir.path().join("a/b").exists() && dir.path().join("a/other").exists());
    }

    #[test]
    fn a_file_that_was_there_is_not_touched() {
        let dir = tempfile::tempdir().expect("temp");
        let file = dir.path().join("a");
        fs::write(&file, "mine").expect("writes");
        drop(Meanwhile::file(&file, "text", 0o644).expect("leaves it"));
        assert_eq!(fs::read_to_string(&file).expect("reads"), "mine");
    }
}
