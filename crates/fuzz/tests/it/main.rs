//! What fuzzers found, and what they reached, run once more. Each line of these files is a case: a JSON string
//! whose characters, up to U+00FF, are its bytes.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use hotswap_fuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The cases of a target; none where there is no file.
fn cases(kind: &str, target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(fuzz().join(kind).join(format!("{target}.jsonl"))).unwrap_or_default();
    let line = |line: &str| -> Vec<u8> {
        let text: String = serde_json::from_str(line).expect("a JSON string");
        text.chars().map(|c| u8::try_from(c).expect("a byte")).collect()
    };
    text.lines().map(line).collect()
}

fn run_again(kind: &str) {
    for (name, target) in TARGETS {
        for case in cases(kind, name) {
            assert!(catch_unwind(|| target(&case)).is_ok(), "{name}: {}", case.escape_ascii());
        }
    }
}

#[test]
fn what_was_found_is_mended() {
    run_again("found");
}

#[test]
fn what_holds_holds_for_every_kept_case() {
    run_again("corpus");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("reads");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(!cases("corpus", name).is_empty(), "{name}");
    }
}
