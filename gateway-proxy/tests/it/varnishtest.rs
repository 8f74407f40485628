//! Scripts of clients and backends around the gateway (`tests/vtc`), played by varnishtest: hostile bytes, floods,
//! slowness, connections that are left, on both engines. Those in `tests/vtc/own` ask for more than the engine on
//! hyper does.
//!
//! A script connects to `${gateway}`; its server listens at `${backend}`, the only backend of the only route. Where
//! a request must be refused, the server waits for another one, which comes last.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use hotswap_matcher::TimeoutsDraft;
use hotswap_test_servers::{required, varnishtest_program};

use crate::support::*;

/// Small limits and short times: what is to be seen is that they hold.
const ARGS: [&str; 8] = [
    "--max-head-bytes",
    "8192",
    "--max-body-bytes",
    "100000",
    "--client-head-ms",
    "400",
    "--client-idle-ms",
    "400",
];
/// What its part of the page of `cargo xtask conformance` begins with.
const PART: &str = "
## HTTP/1.1: scripts of our own (`gateway-proxy/tests/vtc`), played by varnishtest

| engine | scripts that hold |
|---|---|
";
/// The servers' ports begin here: below those that the kernel gives out.
const PORTS: u16 = 20_080;

/// The scripts of a folder, in order.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("reads").map(|e| e.expect("entry").path());
    let mut scripts: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "vtc")).collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "{}", folder.display());
    scripts
}

/// An address of the loopback that nobody else uses.
fn backend() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 64 | high, middle, low);
    (host, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// What a script that failed told.
fn play(program: &Path, engine: &str, script: &Path) -> Option<String> {
    let backend = backend();
    let args = [&["--gateway-engine", engine], &ARGS[..]].concat();
    let limits = TimeoutsDraft { idle_ms: 400, ..TimeoutsDraft::default() };
    let gateway = Gateway::before_with(backend, &args, |draft| timeouts(draft, limits));
    // varnishtest writes an address as host, space, port.
    let socket = |address: SocketAddr| format!("{} {}", address.ip(), address.port());
    let told = Command::new(program)
        .args(["-l", "-t", "30", "-D"])
        .arg(format!("gateway={}", socket(gateway.address())))
        .arg("-D")
        .arg(format!("backend={}", socket(backend)))
        .arg(script)
        .output()
        .expect("runs");
    let shown = || String::from_utf8_lossy(&[told.stdout.as_slice(), &told.stderr].concat()).into_owned();
    (!told.status.success()).then(|| format!("{engine}: {}\n{}", script.display(), shown()))
}

/// Plays the scripts of a folder; how many there are.
fn play_all(engine: &str, folder: &str) -> usize {
    let Some(program) = required(varnishtest_program()) else { return 0 };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vtc").join(folder);
    let scripts = scripts(&folder);
    let failed: Vec<String> = scripts.iter().filter_map(|script| play(&program, engine, script)).collect();
    assert!(failed.is_empty(), "{} of {} failed\n{}", failed.len(), scripts.len(), failed.join("\n"));
    scripts.len()
}

#[test]
fn scripts_hold_on_the_own_engine() {
    let played = play_all("own", "");
    record("varnishtest-1", &format!("{PART}| own | {played} |\n"));
}

#[test]
fn scripts_hold_on_the_engine_on_hyper() {
    let played = play_all("hyper", "");
    record("varnishtest-3", &format!("| hyper | {played} |\n"));
}

#[test]
fn scripts_of_more_strictness_hold_on_the_own_engine() {
    let played = play_all("own", "own");
    record("varnishtest-2", &format!("| own, where it is stricter | {played} |\n"));
}
