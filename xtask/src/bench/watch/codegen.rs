//! The client of etcd that the benchmark speaks through, generated from `xtask/proto-etcd` and committed.
//! `cargo xtask bench watch-codegen` writes it anew; a test proves that it is fresh.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const PROTOS: &str = "xtask/proto-etcd";
const OUT: &str = "xtask/src/bench/watch/gen";
const FILES: [&str; 2] = ["etcdserverpb.rs", "mvccpb.rs"];

/// Writes the generated client.
pub(crate) fn run(root: &Path) -> Result<()> {
    let out = root.join(OUT);
    fs::create_dir_all(&out)?;
    for (name, bytes) in generate(root)? {
        fs::write(out.join(&name), bytes).with_context(|| format!("writing {name}"))?;
    }
    crate::say(&format!("{} files written", FILES.len()))
}

fn generate(root: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let temp = tempfile::tempdir()?;
    let protos = root.join(PROTOS);
    let mut compiler = protox::Compiler::new([&protos])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files([protos.join("etcdserverpb/rpc.proto")])?;
    tonic_prost_build::configure()
        .out_dir(temp.path())
        .bytes(".")
        .build_server(false)
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    let paths = FILES.map(|name| temp.path().join(name));
    let mut format = Command::new("rustfmt");
    format.arg("--config-path").arg(root.join("rustfmt.toml")).args(&paths);
    let done = format.output().context("running rustfmt")?;
    if !done.status.success() {
        bail!("rustfmt failed on generated code: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    let read = |(name, path)| Ok((String::from(name), fs::read(path)?));
    FILES.into_iter().zip(&paths).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_client_is_what_would_be_generated() {
        let root = crate::root().expect("a root");
        for (name, bytes) in generate(&root).expect("generates") {
            let committed = fs::read(root.join(OUT).join(&name)).unwrap_or_default();
            assert!(committed == bytes, "{name} is stale: run `cargo xtask bench watch-codegen`");
        }
    }
}
