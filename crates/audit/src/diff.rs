//! What a change changed, with secrets masked.
//!
//! A secret value never enters the log, nor a plain hash of it: short ones could be guessed. What stands in for it
//! is an HMAC under a key that the log does not have, so that one still sees *that* it changed.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::Hasher;
use crate::{Hash, event};

/// Most changes that an event lists; what else changed is in the hash, and counted.
const MAX_CHANGES: usize = 200;
/// The longest value, in bytes of its JSON; of a longer one its length and hash are given.
const MAX_VALUE: usize = 1_024;
/// The path of the entry that counts what is not listed.
const MORE: &str = "(more)";

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The path, as "forward.timeouts.total_ms" or "hosts[1]".
    pub path: String,
    /// The earlier value, as JSON; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_json: Option<String>,
    /// The later value, as JSON; `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_json: Option<String>,
}

/// What differs between two contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Hash of the content before; `None`: there was none.
    pub before: Option<Hash>,
    /// Hash of the content after; `None`: there is none.
    pub after: Option<Hash>,
    /// Each leaf that differs, in the order of the paths.
    pub changes: Vec<Change>,
}

/// Masks secrets, under a key.
#[derive(Clone, Debug)]
pub(crate) struct Masker(hmac::Key);

impl Masker {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn mask(&self, path: &str, json: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        // With its path, so that equal secrets in two places don't show as equal.
        context.update(path.as_bytes());
        context.update(&[0]);
        context.update(json.as_bytes());
        let tag = Hash::from_bytes(context.sign().as_ref()).unwrap_or(Hash::ZERO);
        format!("\"masked:{}\"", &tag.to_string()[..16])
    }

    /// What differs. Values whose names say that they are secret are masked, and those whose paths `secret` names.
    pub(crate) fn diff(
        &self,
        before: Option<&Value>,
        after: Option<&Value>,
        secret: &dyn Fn(&str) -> bool,
    ) -> Diff {
        let leaves = |content: Option<&Value>| {
            let mut leaves = BTreeMap::new();
            if let Some(content) = content {
                Walk { masker: self, secret, leaves: &mut leaves }.collect("", content, false);
            }
            leaves
        };
        let (old, new) = (leaves(before), leaves(after));
        let mut changes: Vec<Change> = Vec::new();
        let mut more = 0_u64;
        let paths = old.keys().chain(new.keys().filter(|path| !old.contains_key(*path)));
        for path in paths.filter(|path| old.get(*path) != new.get(*path)) {
            if changes.len() == MAX_CHANGES {
                more += 1;
                continue;
            }
            let value = |leaves: &BTreeMap<String, String>| leaves.get(path).map(|json| shortened(json));
            changes.push(Change {
                path: event::clean(path, MAX_VALUE),
                old_json: value(&old),
                new_json: value(&new),
            });
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        if more > 0 {
            changes.push(Change { path: MORE.to_owned(), old_json: None, new_json: Some(more.to_string()) });
        }
        Diff { before: before.map(|_| content_hash(&old)), after: after.map(|_| content_hash(&new)), changes }
    }
}

/// SHA-256 over the leaves in the order of their paths, each as path and JSON with their lengths before them (4
/// bytes, big-endian). Secrets are masked in it as in the changes.
fn content_hash(leaves: &BTreeMap<String, String>) -> Hash {
    let mut hasher = Hasher::new();
    for text in leaves.iter().flat_map(|(path, json)| [path, json]) {
        hasher.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finish()
}

fn shortened(json: &str) -> String {
    if json.len() <= MAX_VALUE {
        return json.to_owned();
    }
    format!("\"({} bytes, sha256 {})\"", json.len(), Hash::of(json.as_bytes()))
}

struct Walk<'a> {
    masker: &'a Masker,
    secret: &'a dyn Fn(&str) -> bool,
    leaves: &'a mut BTreeMap<String, String>,
}

impl Walk<'_> {
    fn collect(&mut self, path: &str, value: &Value, secret: bool) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                // As a header: {"name": "authorization", "value": "…"}.
                let named = fields.get("name").and_then(Value::as_str).is_some_and(sounds_secret);
                for (key, value) in fields {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let secret = secret || (named && key != "name") || sounds_secret(key);
                    self.collect(&path, value, secret);
                }
            }
            Value::Array(items) => {
                for (i, value) in items.iter().enumerate() {
                    self.collect(&format!("{path}[{i}]"), value, secret);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let json = value.to_string();
                let secret = secret || (self.secret)(path);
                let shown = if secret { self.masker.mask(path, &json) } else { json };
                self.leaves.insert(path.to_owned(), shown);
            }
        }
    }
}

/// Whether the name of a field, header or parameter says that its value is secret. Too often rather than too
/// rarely.
fn sounds_secret(name: &str) -> bool {
    const WORDS: [&str; 11] = [
        "auth",
        "cookie",
        "token",
        "secret",
        "passw",
        "credential",
        "session",
        "signature",
        "apikey",
        "api-key",
        "api_key",
    ];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) || name.ends_with("-key") || name.ends_with("_key")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masker() -> Masker {
        Masker::new(&[7; 32])
    }

    fn diff(before: &Value, after: &Value) -> Diff {
        masker().diff(Some(before), Some(after), &|_| false)
    }

    #[test]
    fn changed_added_and_removed_leaves_are_named() {
        let found =
            diff(&json!({"a": 1, "b": ["x", "y"], "c": null}), &json!({"a": 2, "b": ["x"], "d": true}));
        let change = |path: &str, old: Option<&str>, new: Option<&str>| Change {
            path: path.into(),
            old_json: old.map(str::to_owned),
            new_json: new.map(str::to_owned),
        };
        assert_eq!(
            found.changes,
            [
                change("a", Some("1"), Some("2")),
                change("b[1]", Some("\"y\""), None),
                change("d", None, Some("true"))
            ]
        );
        assert_ne!(found.before, found.after);
        let same = diff(&json!({"a": 1}), &json!({"a": 1}));
        assert_eq!((same.changes, same.before), (vec![], same.after));
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand_and_their_change_is_seen() {
        let with = |secret: &str| {
            json!({
                "request_headers": {"set": [{"name": "Authorization", "value": secret}, {"name": "x", "value": "y"}]},
                "matches": [{"query": [{"name": "api_key", "exact": secret}]}],
                "password": secret, "nested": {"client_secret": {"deep": [secret]}}, "told": secret,
            })
        };
        let (one, other) = (with("hunter2-one"), with("hunter2-two"));
        let found = masker().diff(Some(&one), Some(&other), &|path| path == "told");
        let paths: Vec<_> = found.changes.iter().map(|c| c.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "matches[0].query[0].exact",
                "nested.client_secret.deep[0]",
                "password",
                "request_headers.set[0].value",
                "told"
            ]
        );
        let text = serde_json::to_string(&found.changes).expect("JSON");
        assert!(!text.contains("hunter2"), "{text}");
        let tags: std::collections::BTreeSet<_> =
            found.changes.iter().map(|c| c.old_json.as_deref()).collect();
        assert_eq!(tags.len(), 5, "the same secret shows differently in each place");
    }

    #[test]
    fn an_event_stays_small() {
        let many: Value = (0..500)
            .map(|i| (format!("k{i:03}"), Value::from("v")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let found = masker().diff(None, Some(&many), &|_| false);
        assert_eq!(found.changes.len(), MAX_CHANGES + 1);
        let last = found.changes.last().expect("there");
        assert_eq!((last.path.as_str(), last.new_json.as_deref()), (MORE, Some("300")));
        assert_eq!(found.before, None);
        let long = masker().diff(None, Some(&json!({"a": "x".repeat(5_000)})), &|_| false);
        assert!(long.changes[0].new_json.as_deref().is_some_and(|v| v.starts_with("\"(5002 bytes, sha256 ")));
    }

    #[test]
    fn names_that_sound_secret() {
        for name in ["Authorization", "Set-Cookie", "X-API-Key", "x_auth", "signing_key", "clientSecret"] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["x-env", "name", "keyboard", "monkey"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }
}
