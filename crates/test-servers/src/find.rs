//! Where the programs are.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Unavailable;

/// Says where Jaeger is.
const JAEGER: &str = "HOTSWAP_TEST_JAEGER";
/// Where `h2spec` is.
const H2SPEC: &str = "HOTSWAP_TEST_H2SPEC";
/// Where the client and the server of gRPC's interoperability tests are.
const INTEROP_CLIENT: &str = "HOTSWAP_TEST_INTEROP_CLIENT";
const INTEROP_SERVER: &str = "HOTSWAP_TEST_INTEROP_SERVER";

/// Where Debian keeps PostgreSQL, a folder for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder of PostgreSQL's server programs: Debian's newest, else what the path has.
///
/// # Errors
/// [`Unavailable::Missing`] where there is none.
pub fn postgres_programs() -> Result<PathBuf, Unavailable> {
    let complete = |dir: &Path| ["initdb", "postgres"].iter().all(|p| dir.join(p).is_file());
    let of_path = || {
        // A link in a common folder: what belongs to the server is beside the target.
        let program = on_path("postgres")?.canonicalize().ok()?;
        program.parent().map(Path::to_owned)
    };
    let dirs = debian_versions(Path::new(DEBIAN)).into_iter().chain(of_path());
    let missing = Unavailable::Missing { program: "postgres", package: "postgresql" };
    dirs.into_iter().find(|dir| complete(dir)).ok_or(missing)
}

/// The program `redis-server`.
///
/// # Errors
/// [`Unavailable::Missing`] where there is none.
pub fn redis_program() -> Result<PathBuf, Unavailable> {
    on_path("redis-server").ok_or(Unavailable::Missing { program: "redis-server", package: "redis-server" })
}

/// The program `prometheus`.
///
/// # Errors
/// [`Unavailable::Missing`] where there is none.
pub fn prometheus_program() -> Result<PathBuf, Unavailable> {
    on_path("prometheus").ok_or(Unavailable::Missing { program: "prometheus", package: "prometheus" })
}

/// The program `promtool`, which comes with Prometheus.
pub(crate) fn promtool_program() -> Result<PathBuf, Unavailable> {
    on_path("promtool").ok_or(Unavailable::Missing { program: "promtool", package: "prometheus" })
}

/// The interpreter that aiosmtpd runs in, which its program names.
///
/// # Errors
/// [`Unavailable::Missing`] where there is none.
pub fn smtp_program() -> Result<PathBuf, Unavailable> {
    let interpreter = || {
        let text = fs::read_to_string(on_path("aiosmtpd")?).ok()?;
        let line = text.lines().next()?.strip_prefix("#!")?.trim();
        Some(PathBuf::from(line)).filter(|path| path.is_file())
    };
    interpreter().ok_or(Unavailable::Missing { program: "aiosmtpd", package: "python3-aiosmtpd" })
}

/// The program `tmux`, a terminal that a test can type into and look at.
///
/// # Errors
/// [`Unavailable::Missing`] where there is none.
pub fn tmux_program() -> Result<PathBuf, Unavailable> {
    on_path("tmux").ok_or(Unavailable::Missing { program: "tmux", package: "tmux" })
}

/// The program `varnishtest`, which runs scripts of clients and servers around a proxy.
///
/// # Errors
/// [`Unavailable::Missing`] where there is none.
pub fn varnishtest_program() -> Result<PathBuf, Unavailable> {
    on_path("varnishtest").ok_or(Unavailable::Missing { program: "varnishtest", package: "varnish" })
}

/// Jaeger's `all-in-one`, where `HOTSWAP_TEST_JAEGER` says it is. No package brings it.
///
/// # Errors
/// [`Unavailable::NotBuilt`] where it is not said, or not so.
pub fn jaeger_program() -> Result<PathBuf, Unavailable> {
    named("jaeger", JAEGER)
}

/// `h2spec`, which asks a server of HTTP/2 whether it keeps to the RFCs, where `HOTSWAP_TEST_H2SPEC` says it is. No
/// package brings it.
///
/// # Errors
/// [`Unavailable::NotBuilt`] where it is not said, or not so.
pub fn h2spec_program() -> Result<PathBuf, Unavailable> {
    named("h2spec", H2SPEC)
}

/// The client of gRPC's interoperability tests, where `HOTSWAP_TEST_INTEROP_CLIENT` says it is. No package brings it.
///
/// # Errors
/// [`Unavailable::NotBuilt`] where it is not said, or not so.
pub fn interop_client_program() -> Result<PathBuf, Unavailable> {
    named("grpc-interop-client", INTEROP_CLIENT)
}

/// Their server, likewise by `HOTSWAP_TEST_INTEROP_SERVER`.
pub(crate) fn interop_server_program() -> Result<PathBuf, Unavailable> {
    named("grpc-interop-server", INTEROP_SERVER)
}

/// A program whose place a variable says.
fn named(program: &'static str, variable: &'static str) -> Result<PathBuf, Unavailable> {
    let named = env::var_os(variable).map(PathBuf::from).filter(|program| program.is_file());
    named.ok_or(Unavailable::NotBuilt { program, variable })
}

/// The folders of the versions, the newest first.
fn debian_versions(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|e| Some((e.file_name().to_str()?.parse::<u32>().ok()?, e.path())));
    let mut versions: Vec<_> = numbered.collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path.join("bin")).collect()
}

/// A program on the path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let root = tempfile::tempdir().expect("temp");
        for version in ["9", "15", "17", "common"] {
            fs::create_dir(root.path().join(version)).expect("makes");
        }
        let names = ["17/bin", "15/bin", "9/bin"].map(|n| root.path().join(n));
        assert_eq!(debian_versions(root.path()), names);
        assert!(debian_versions(&root.path().join("nowhere")).is_empty());
    }

    #[test]
    fn a_program_is_found_on_the_path_or_not_at_all() {
        assert!(on_path("sh").is_some());
        assert!(on_path("no-such-program-anywhere").is_none());
    }
}
