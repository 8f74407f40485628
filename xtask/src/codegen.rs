//! `cargo xtask codegen`: the contract becomes Rust, once, into `clients/rust/api/src/gen`, which is committed.
//! Users and CI compile no code generator.
//!
//! `--check` generates into a temporary folder and compares file by file, so that a dirty tree can't fool it.
//! The output depends on `proto/`, `third_party/`, `rustfmt.toml` and the versions in `Cargo.lock` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};

const OUT: &str = "clients/rust/api/src/gen";

/// Packages of ours begin so.
const OURS: &str = "hotswap.";

/// Messages with a secret in them: their Debug is written by hand, in `clients/rust/api/src/secret.rs`.
const SECRET: [&str; 1] = ["hotswap.route.v1.Certificate"];

/// The well-known types, which come with prost.
const WELL_KNOWN: &str = "google.protobuf";

type Files = BTreeMap<String, Vec<u8>>;

/// Generates, or with `check` proves that what is committed is fresh.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let out = root.join(OUT);
    let fresh = generate(root)?;
    let committed = if out.exists() { read_dir(&out)? } else { Files::new() };
    let stale = differing(&committed, &fresh);
    if check && !stale.is_empty() {
        let names: Vec<_> = stale.iter().map(|name| format!("{OUT}/{name}")).collect();
        bail!("generated code is stale, run `cargo xtask codegen`:\n  {}", names.join("\n  "));
    }
    if !check {
        write(&out, &fresh, &stale)?;
    }
    let word = if stale.is_empty() { "fresh" } else { "written" };
    crate::say(&format!("{} files, {} {word}", fresh.len(), if check { fresh.len() } else { stale.len() }))
}

/// Writes only what differs, so that nothing is rebuilt for nothing.
fn write(out: &Path, fresh: &Files, stale: &[String]) -> Result<()> {
    fs::create_dir_all(out)?;
    for name in stale {
        let path = out.join(name);
        match fresh.get(name) {
            Some(bytes) => fs::write(&path, bytes),
            None => fs::remove_file(&path),
        }
        .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Names of files that are missing, left over or different.
fn differing(a: &Files, b: &Files) -> Vec<String> {
    let names: BTreeSet<_> = a.keys().chain(b.keys()).filter(|n| a.get(*n) != b.get(*n)).collect();
    names.into_iter().cloned().collect()
}

/// What the folder of generated code must hold.
fn generate(root: &Path) -> Result<Files> {
    let temp = tempfile::tempdir()?;
    let out = temp.path();
    let protos = protos(&root.join("proto"))?;
    let mut compiler = protox::Compiler::new([root.join("proto"), root.join("third_party")])?;
    compiler.include_imports(true).include_source_info(true).open_files(&protos)?;
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())?;
    let packages = packages(&pool);
    let mut set = compiler.file_descriptor_set();
    set.file.retain(|file| packages.contains(file.package()) || file.package() == WELL_KNOWN);
    tonic_prost_build::configure()
        .out_dir(out)
        .btree_map(".")
        .bytes(".")
        .skip_debug(SECRET.map(|message| format!(".{message}")))
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .emit_rerun_if_changed(false)
        .compile_fds(set)?;
    fs::write(out.join("mod.rs"), module_tree(&packages))?;
    format(root, out)?;
    let mut files = read_dir(out)?;
    files.insert("descriptor.bin".to_owned(), descriptor(&pool)?);
    Ok(files)
}

/// The packages to generate: ours, and those whose types ours hold in a field. google.api only
/// annotates.
fn packages(pool: &DescriptorPool) -> BTreeSet<String> {
    let is_ours = |m: &MessageDescriptor| m.package_name().starts_with(OURS);
    let mut open: Vec<MessageDescriptor> = pool.all_messages().filter(is_ours).collect();
    let mut seen: BTreeSet<String> = open.iter().map(|m| m.full_name().to_owned()).collect();
    let mut packages: BTreeSet<String> =
        pool.files().map(|f| f.package_name().to_owned()).filter(|p| p.starts_with(OURS)).collect();
    while let Some(message) = open.pop() {
        packages.insert(message.package_name().to_owned());
        for field in message.fields() {
            match field.kind() {
                Kind::Enum(held) => drop(packages.insert(held.package_name().to_owned())),
                Kind::Message(held) if seen.insert(held.full_name().to_owned()) => open.push(held),
                _ => {}
            }
        }
    }
    packages.remove(WELL_KNOWN);
    packages
}

/// The descriptors that servers reflect and the CLI reads: all files with their options (http annotations
/// too), without comments.
fn descriptor(pool: &DescriptorPool) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for file in pool.files() {
        // A dynamic message keeps extension options, which a prost FileDescriptorSet would drop.
        let bytes = file.encode_to_vec();
        let mut dynamic = DynamicMessage::decode(pool_descriptor()?, bytes.as_slice())?;
        dynamic.clear_field_by_name("source_code_info");
        // Field 1 of a FileDescriptorSet.
        prost::encoding::message::encode(1, &dynamic, &mut out);
    }
    Ok(out)
}

fn pool_descriptor() -> Result<MessageDescriptor> {
    DescriptorPool::global()
        .get_message_by_name("google.protobuf.FileDescriptorProto")
        .context("the well-known types are not in the global pool")
}

fn protos(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Nested modules, one a package segment, each including its file.
fn module_tree(packages: &BTreeSet<String>) -> String {
    #[derive(Default)]
    struct Node {
        children: BTreeMap<String, Node>,
        file: Option<String>,
    }
    fn write(node: &Node, out: &mut String) {
        for (name, child) in &node.children {
            out.push_str(&format!("pub mod {name} {{\n"));
            if let Some(file) = &child.file {
                out.push_str(&format!("include!(\"{file}.rs\");\n"));
            }
            write(child, out);
            out.push_str("}\n");
        }
    }
    let mut root = Node::default();
    for package in packages {
        let mut node = &mut root;
        for segment in package.split('.') {
            node = node.children.entry(segment.to_owned()).or_default();
        }
        node.file = Some(package.clone());
    }
    let mut out = String::from("// Written by `cargo xtask codegen`. Not for editing.\n");
    write(&root, &mut out);
    out
}

/// With the project's own settings; those of the machine don't count.
fn format(root: &Path, out: &Path) -> Result<()> {
    let files = read_dir(out)?.into_keys().map(|name| out.join(name));
    let output = Command::new("rustfmt")
        .arg("--config-path")
        .arg(root.join("rustfmt.toml"))
        .args(files)
        .output()
        .context("running rustfmt")?;
    if !output.status.success() {
        bail!("rustfmt failed on generated code: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn read_dir(dir: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_stale() {
        let map = |files: &[(&str, &str)]| {
            files.iter().map(|(n, c)| ((*n).to_owned(), c.as_bytes().to_vec())).collect::<BTreeMap<_, _>>()
        };
        let committed = map(&[("same", "x"), ("changed", "x"), ("left-over", "x")]);
        let fresh = map(&[("same", "x"), ("changed", "y"), ("missing", "x")]);
        assert_eq!(differing(&committed, &fresh), ["changed", "left-over", "missing"]);
    }

    #[test]
    fn packages_nest() {
        let text = module_tree(&["a.b.v1".to_owned(), "a.c.v1".to_owned()].into());
        assert_eq!(text.matches("pub mod a {").count(), 1);
        assert!(text.contains("include!(\"a.c.v1.rs\");"));
    }

    const SAMPLE: &str = r#"syntax = "proto3";
package hotswap.sample.v1;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "google/rpc/status.proto";
// Samples of samples.
service SampleService {
  // Reads one.
  rpc GetSample(GetSampleRequest) returns (GetSampleResponse) {
    option (google.api.http) = {get: "/v1/samples"};
  }
}
// Asks.
message GetSampleRequest {}
// Answers.
message GetSampleResponse {
  // Sorted, so that encoding is deterministic.
  map<string, string> labels = 1;
  // Raw.
  bytes body = 2;
  // What went wrong.
  google.rpc.Status status = 3;
  // When.
  google.protobuf.Timestamp time = 4;
}
"#;

    /// A project that holds one small contract.
    fn sample() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let protos = root.path().join("proto/hotswap/sample/v1");
        fs::create_dir_all(&protos).expect("created");
        fs::write(protos.join("sample_service.proto"), SAMPLE).expect("written");
        let ours = crate::root().expect("a root");
        std::os::unix::fs::symlink(ours.join("third_party"), root.path().join("third_party"))
            .expect("linked");
        fs::copy(ours.join("rustfmt.toml"), root.path().join("rustfmt.toml")).expect("copied");
        root
    }

    #[test]
    fn a_contract_becomes_documented_rust_behind_two_features() {
        let files = generate(sample().path()).expect("generates");
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["descriptor.bin", "google.rpc.rs", "hotswap.sample.v1.rs", "mod.rs"]);
        let code = String::from_utf8_lossy(&files["hotswap.sample.v1.rs"]);
        for part in [
            "/// Sorted, so that encoding is deterministic.",
            "#[prost(btree_map = \"string, string\", tag = \"1\")]",
            "pub body: ::prost::bytes::Bytes,",
            "::core::option::Option<super::super::super::google::rpc::Status>",
            "::core::option::Option<::prost_types::Timestamp>",
            "#[cfg(feature = \"client\")]\npub mod sample_service_client {",
            "#[cfg(feature = \"server\")]\npub mod sample_service_server {",
        ] {
            assert!(code.contains(part), "{part} is not in:\n{code}");
        }
    }

    #[test]
    fn the_descriptor_holds_imports_and_options_and_no_comments() {
        let files = generate(sample().path()).expect("generates");
        let pool = DescriptorPool::decode(files["descriptor.bin"].as_slice()).expect("decodes");
        let service = pool.get_service_by_name("hotswap.sample.v1.SampleService").expect("is there");
        let method = service.methods().next().expect("has a method");
        let http = pool.get_extension_by_name("google.api.http").expect("is imported");
        assert!(method.options().has_extension(&http));
        assert!(pool.files().all(|f| f.file_descriptor_proto().source_code_info.is_none()));
    }

    #[test]
    fn a_check_names_the_stale_file_and_changes_nothing() {
        let root = sample();
        run(root.path(), false).expect("generates");
        run(root.path(), true).expect("is fresh");
        let edited = root.path().join(OUT).join("mod.rs");
        fs::write(&edited, "// edited").expect("written");
        let error = run(root.path(), true).expect_err("is stale").to_string();
        assert!(error.contains("clients/rust/api/src/gen/mod.rs"), "{error}");
        assert!(!error.contains("descriptor.bin"), "{error}");
        assert_eq!(fs::read_to_string(&edited).expect("is there"), "// edited");
    }
}
