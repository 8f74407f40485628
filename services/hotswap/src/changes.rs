//! What differs between two contents of a resource: field by field, or as a diff of their YAML.

use std::collections::BTreeMap;

use hotswap_api::route::v1::FieldDifference;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use crate::exit::{Failure, one_line};
use crate::output::yaml;
use crate::proto_json::Document;
use crate::resource::Resource;
use crate::style::{Tone, paint};

/// Lines of context around what differs.
const CONTEXT: usize = 3;

/// One field that differs; a value that is not there is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// As "forward.timeouts.total_ms" or "hosts[1]".
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<Value>,
}

impl From<FieldDifference> for Change {
    fn from(d: FieldDifference) -> Self {
        // What is not JSON is shown as it came.
        let value = |text: String| {
            if text.is_empty() {
                None
            } else {
                Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
            }
        };
        Self { path: d.path, old: value(d.old_json), new: value(d.new_json) }
    }
}

impl Change {
    /// In a few words, as `priority: 0 → 5`.
    pub(crate) fn words(&self) -> String {
        let show =
            |value: &Option<Value>| value.as_ref().map_or("none".to_owned(), |v| one_line(&v.to_string()));
        format!("{}: {} → {}", one_line(&self.path), show(&self.old), show(&self.new))
    }
}

/// Every field of the content that differs, in the order of their paths. `None`: the resource is not there.
pub(crate) fn between<R: Resource>(old: Option<&R>, new: Option<&R>) -> Result<Vec<Change>, Failure> {
    let (mut old, mut new) = (leaves(old)?, leaves(new)?);
    let mut paths: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    let changes =
        paths.into_iter().map(|path| Change { old: old.remove(&path), new: new.remove(&path), path });
    Ok(changes.filter(|change| change.old != change.new).collect())
}

fn leaves<R: Resource>(resource: Option<&R>) -> Result<BTreeMap<String, Value>, Failure> {
    let mut out = BTreeMap::new();
    if let Some(resource) = resource {
        collect(String::new(), document(resource)?.into_value(), &mut out);
        // What it is called is no part of what it says.
        out.remove("name");
    }
    Ok(out)
}

fn document<R: Resource>(resource: &R) -> Result<Document, Failure> {
    Document::of(<R as Resource>::KIND, <R as Resource>::MESSAGE, &resource.content())
}

fn collect(path: String, value: Value, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                collect(if path.is_empty() { key } else { format!("{path}.{key}") }, value, out);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.into_iter().enumerate() {
                collect(format!("{path}[{i}]"), value, out);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.insert(path, value);
        }
    }
}

/// The difference as a unified diff of the two documents, for people and for `patch`-like eyes.
pub(crate) fn unified<R: Resource>(
    old: (Option<&R>, &str),
    new: (Option<&R>, &str),
    colours: bool,
) -> Result<String, Failure> {
    let text = |r: Option<&R>| r.map_or(Ok(String::new()), |r| yaml(&document(r)?));
    let (before, after) = (text(old.0)?, text(new.0)?);
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let diff = diff.unified_diff().context_radius(CONTEXT).header(old.1, new.1).to_string();
    Ok(diff.lines().map(|line| toned(line, colours) + "\n").collect())
}

fn toned(line: &str, colours: bool) -> String {
    let tone = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Tone::Head,
        [b'@', ..] => Tone::Faint,
        [b'+', ..] => Tone::Good,
        [b'-', ..] => Tone::Bad,
        _ => return one_line_as_is(line),
    };
    paint(&one_line_as_is(line), tone, colours)
}

/// As [`one_line`], with the blanks at its ends, which mean something in a diff.
fn one_line_as_is(line: &str) -> String {
    let start = line.len() - line.trim_start().len();
    format!("{}{}", &line[..start], one_line(line))
}

/// The differences field by field, each with its path above.
pub(crate) fn by_field(changes: &[Change], old: &str, new: &str, colours: bool) -> String {
    let mut lines = vec![format!("--- {old}"), format!("+++ {new}")];
    for change in changes {
        lines.push(one_line(&change.path));
        let side = |sign: char, value: &Option<Value>| {
            value.as_ref().map(|v| format!("{sign} {}", one_line(&v.to_string())))
        };
        lines.extend(side('-', &change.old));
        lines.extend(side('+', &change.new));
    }
    lines.iter().map(|line| toned(line, colours) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::{Redirect, Route, route};
    use serde_json::json;

    use super::*;

    fn subject(hosts: &[&str], priority: i32) -> Route {
        Route {
            name: "routes/a".into(),
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            priority,
            etag: "1".into(),
            revision: 9,
            action: Some(route::Action::Redirect(Redirect { status: 301, ..Redirect::default() })),
            ..Route::default()
        }
    }

    #[test]
    fn each_field_that_differs_is_named_once() {
        let (old, new) = (subject(&["a", "b"], 0), subject(&["a"], 5));
        let changes = between(Some(&old), Some(&new)).expect("compares");
        let words: Vec<_> = changes.iter().map(Change::words).collect();
        assert_eq!(words, ["hosts[1]: \"b\" → none", "priority: none → 5"]);
        assert!(
            between(Some(&old), Some(&Route { revision: 10, ..old.clone() })).expect("compares").is_empty()
        );
        let made = between(None, Some(&new)).expect("compares");
        assert!(made.iter().all(|c| c.old.is_none() && c.path != "name"), "{made:?}");
    }

    #[test]
    fn documents_are_compared_line_by_line() {
        let (old, new) = (subject(&["a"], 0), subject(&["a"], 5));
        let text =
            unified((Some(&old), "routes/a now"), (Some(&new), "routes/a then"), false).expect("compares");
        assert_eq!(
            text,
            "--- routes/a now\n+++ routes/a then\n@@ -2,5 +2,6 @@\n name: routes/a\n hosts:\n - a\n+priority: 5\n \
             redirect:\n   status: 301\n"
        );
        let painted = unified((Some(&old), "a"), (Some(&new), "b"), true).expect("compares");
        assert!(painted.contains("\u{1b}[32m+priority: 5\u{1b}[0m\n"), "{painted:?}");
    }

    #[test]
    fn fields_are_compared_path_by_path() {
        let changes = [
            Change::from(FieldDifference {
                path: "priority".into(),
                old_json: "0".into(),
                new_json: "5".into(),
            }),
            Change { path: "hosts[0]".into(), old: None, new: Some(json!("a")) },
        ];
        assert_eq!(
            by_field(&changes, "old", "new", false),
            "--- old\n+++ new\npriority\n- 0\n+ 5\nhosts[0]\n+ \"a\"\n"
        );
    }
}
