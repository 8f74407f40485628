//! What differs between two contents.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Content;
use super::content::to_json;

/// One field that differs; a value that is not there is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path, as "forward.timeouts.total_ms" or "hosts[1]".
    pub path: String,
    /// The earlier value, as JSON.
    pub old: Option<String>,
    /// The later value, as JSON.
    pub new: Option<String>,
}

/// Every leaf that differs, in the order of the paths. `None`: the resource was not there.
pub fn differences<C: Content>(old: Option<&C>, new: Option<&C>) -> Vec<Difference> {
    let (mut old, mut new) = (leaves(old), leaves(new));
    let mut paths: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .map(|path| Difference { old: old.remove(&path), new: new.remove(&path), path })
        .filter(|d| d.old != d.new)
        .collect()
}

fn leaves<C: Content>(content: Option<&C>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    if let Some(content) = content {
        collect("", &to_json(content), &mut out);
    }
    out
}

fn collect(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, out);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                collect(&format!("{path}[{i}]"), value, out);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.insert(path.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use hotswap_matcher::RouteDraft;

    use super::*;

    #[test]
    fn changed_added_and_removed_leaves_are_named() {
        let old = RouteDraft { hosts: vec!["a".into(), "b".into()], ..RouteDraft::default() };
        let new = RouteDraft { hosts: vec!["a".into()], priority: 2, ..RouteDraft::default() };
        let d = |path: &str, old: Option<&str>, new: Option<&str>| Difference {
            path: path.into(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
        };
        assert_eq!(
            differences(Some(&old), Some(&new)),
            [d("hosts[1]", Some("\"b\""), None), d("priority", Some("0"), Some("2"))]
        );
        assert!(differences(Some(&old), Some(&old)).is_empty());
        assert!(differences::<RouteDraft>(None, Some(&old)).iter().all(|d| d.old.is_none()));
    }
}
