//! Layers inside a service: what the code of a folder must not mention.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context, Result};
use proc_macro2::TokenStream;

use super::paths::{Mention, mentions, module_of, resolve};

/// A folder of `src/`, what it must not mention, and why. A name stands for an outside crate or one of ours;
/// `crate::x` for the module `x` of the same service.
struct Rule {
    folder: &'static str,
    forbidden: &'static [&'static str],
    reason: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        folder: "domain",
        forbidden: &[
            "tonic",
            "prost",
            "prost_types",
            "sqlx",
            "tokio",
            "hyper",
            "hotswap_api",
            "hotswap_store",
            "hotswap_rpc",
            "crate::app",
            "crate::store",
            "crate::rpc",
        ],
        reason: "the domain is pure",
    },
    Rule {
        folder: "app",
        forbidden: &["tonic", "prost", "prost_types", "sqlx", "hotswap_api", "hotswap_rpc", "crate::rpc"],
        reason: "a use case knows no wire and no SQL",
    },
    Rule {
        folder: "store",
        forbidden: &["tonic", "prost", "prost_types", "hotswap_api", "hotswap_rpc", "crate::rpc"],
        reason: "store and rpc never meet",
    },
    Rule { folder: "rpc", forbidden: &["sqlx", "crate::store"], reason: "store and rpc never meet" },
];

/// The breaches in the services' sources.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for service in fs::read_dir(root.join("services")).context("reading services")? {
        let src = service?.path().join("src");
        for file in rust_files(&src)? {
            let text = fs::read_to_string(&file)?;
            let within = file.strip_prefix(&src)?;
            let shown = file.strip_prefix(root).unwrap_or(&file).display();
            let found = check_file(within, &text).with_context(|| format!("reading {shown}"))?;
            breaches.extend(found.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
        }
    }
    Ok(breaches)
}

/// The breaches in one file, which lies at `within` in `src/`: line, from 1, and what is wrong.
fn check_file(within: &Path, text: &str) -> Result<Vec<(usize, String)>> {
    let module = module_of(within);
    let Some(rule) = module.first().and_then(|top| RULES.iter().find(|r| r.folder == top)) else {
        return Ok(Vec::new());
    };
    let tokens = TokenStream::from_str(text).map_err(|e| anyhow::anyhow!("not Rust: {e}"))?;
    let mut breaches = Vec::new();
    for Mention { line, path } in mentions(tokens) {
        let path = resolve(&path, &module);
        if let Some(word) = rule.forbidden.iter().find(|word| begins_with(&path, word)) {
            breaches.push((line, format!("{} must not mention {word}: {}", rule.folder, rule.reason)));
        }
    }
    // One `use` with many leaves is one breach.
    breaches.sort();
    breaches.dedup();
    Ok(breaches)
}

fn begins_with(path: &[String], word: &str) -> bool {
    word.split("::").enumerate().all(|(i, segment)| path.get(i).is_some_and(|p| p == segment))
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop().filter(|d| d.is_dir()) {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(within: &str, text: &str) -> Vec<(usize, String)> {
        check_file(Path::new(within), text).expect("is Rust")
    }

    #[test]
    fn each_rule_fires_in_its_folder_and_in_no_other() {
        for rule in RULES {
            for word in rule.forbidden {
                let text = format!("//! Words.\nuse {word}::Thing;\n");
                let expected = format!("{} must not mention {word}: {}", rule.folder, rule.reason);
                let deep = format!("{}/deep/file.rs", rule.folder);
                assert_eq!(breaches(&deep, &text), [(2, expected)], "{deep}: {text}");
                assert!(breaches("target.rs", &text).is_empty());
            }
        }
    }

    #[test]
    fn a_file_named_like_a_folder_is_under_the_same_rule() {
        assert_eq!(breaches("domain.rs", "fn f() { tokio::spawn(g()); }").len(), 1);
    }

    #[test]
    fn store_and_rpc_meet_by_no_spelling() {
        let spellings = [
            "use crate::store;",
            "use crate::{app::App, store::Row};",
            "use super::super::super::store::Row;",
            "use super::super::super::{app, store};",
            "fn f() -> crate::store::Row { todo!() }",
            "fn f() { query!(crate::store::TABLE); }",
            "pub(in crate::store) fn f() {}",
        ];
        for text in spellings {
            assert_eq!(breaches("rpc/watch/feed.rs", text).len(), 1, "{text}");
        }
        assert_eq!(breaches("rpc/mod.rs", "use super::store;").len(), 1);
        assert_eq!(breaches("store/row.rs", "use super::super::rpc::Reply;").len(), 1);
    }

    #[test]
    fn what_only_looks_like_a_breach_is_none() {
        let harmless = [
            "// use tonic::Status;",
            "/// See [`tonic::Status`].\nstruct A;",
            "const A: &str = \"tonic::Status\";",
            "fn f(a: A) { let electronic = a.tokio; electronic::b(); }",
            "use crate::domain::store::Thing;",
            "use super::store::Thing;",
        ];
        for text in harmless {
            assert!(breaches("domain/deep/file.rs", text).is_empty(), "{text}");
        }
    }
}
