//! Field masks (AIP-161) on stored content.

use hotswap_core::Violations;
use serde_json::{Map, Value};

use super::Content;
use super::content::to_json;

/// Which fields an update changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Those that the update sets.
    Populated,
    /// All; what the update does not set is cleared.
    All,
    /// These.
    Paths(Vec<String>),
}

impl Mask {
    /// Parses the paths of a mask; `None`: there was no mask. Output-only fields, `name` and `etag` may stand
    /// in it and change nothing.
    ///
    /// # Errors
    /// Faults of `update_mask`.
    pub fn parse<C: Content>(paths: Option<Vec<String>>) -> Result<Self, Violations> {
        let Some(paths) = paths else { return Ok(Self::Populated) };
        if paths.iter().any(|p| p == "*") {
            return if paths.len() == 1 {
                Ok(Self::All)
            } else {
                Err(Violations::one("update_mask", "\"*\" must stand alone"))
            };
        }
        let shape = to_json(&C::shape());
        let mut kept = Vec::new();
        let mut v = Violations::new();
        for path in paths {
            if OUTSIDE.contains(&path.as_str()) {
                continue;
            }
            if C::SECRET != Some(path.as_str()) && !exists(&shape, &path) {
                v.add("update_mask", format!("\"{path}\" is no field of {}", C::FIELD));
            }
            kept.push(path);
        }
        v.into_result()?;
        Ok(Self::Paths(kept))
    }

    /// `base` with the masked fields of `patch`.
    ///
    /// # Errors
    /// Faults of `update_mask`, where the result could not be content.
    pub fn apply<C: Content>(&self, base: &C, patch: &C) -> Result<C, Violations> {
        let paths = match self {
            Self::All => return Ok(patch.clone()),
            Self::Paths(paths) => paths.clone(),
            Self::Populated => populated(patch),
        };
        let secret = matches!(self, Self::Populated) || paths.iter().any(|p| C::SECRET == Some(p.as_str()));
        let secret = patch.secret().filter(|_| secret).cloned();
        let (mut json, patch) = (to_json(base), to_json(patch));
        for path in paths.iter().filter(|path| C::SECRET != Some(path.as_str())) {
            let value = lookup(&patch, path).cloned();
            let set = value.as_ref().is_some_and(|v| !v.is_null());
            put(&mut json, path, value);
            if set {
                clear_siblings::<C>(&mut json, path);
            }
        }
        let mut content: C = serde_json::from_value(json)
            .map_err(|e| Violations::one("update_mask", format!("does not apply: {e}")))?;
        content.set_secret(secret);
        Ok(content)
    }
}

/// Fields of a resource beside its content.
const OUTSIDE: [&str; 7] = ["name", "etag", "revision", "uid", "create_time", "update_time", "standing"];

/// Top-level fields that differ from their defaults.
fn populated<C: Content>(patch: &C) -> Vec<String> {
    let (json, defaults) = (to_json(patch), to_json(&C::default()));
    let fields = json.as_object().cloned().unwrap_or_default();
    fields.into_iter().filter(|(k, v)| defaults.get(k) != Some(v)).map(|(k, _)| k).collect()
}

fn exists(shape: &Value, path: &str) -> bool {
    let mut at = shape;
    for segment in path.split('.') {
        let Some(object) = at.as_object() else { return false };
        match object.get(segment) {
            Some(next) => at = next,
            // An empty object is a map: any one key may stand in it.
            None => return object.is_empty() && !segment.is_empty(),
        }
    }
    true
}

fn lookup<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(json, |at, segment| at.get(segment))
}

/// Puts a value at a path, making the objects on the way; `None` takes it away.
fn put(json: &mut Value, path: &str, value: Option<Value>) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = json;
    for segment in parents.split('.').filter(|s| !s.is_empty()) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[segment];
    }
    if !at.is_object() {
        // Nothing is to be taken out of nothing.
        if value.is_none() {
            return;
        }
        *at = Value::Object(Map::new());
    }
    if let Some(object) = at.as_object_mut() {
        match value {
            Some(value) => {
                object.insert(last.to_owned(), value);
            }
            None => {
                object.remove(last);
            }
        }
    }
}

/// Clears the other members of every oneof that `path` passes through.
fn clear_siblings<C: Content>(json: &mut Value, path: &str) {
    for (parent, members) in C::ONEOFS {
        let rest = match parent.is_empty() {
            true => Some(path),
            false => path.strip_prefix(parent).and_then(|r| r.strip_prefix('.')),
        };
        let Some(member) = rest.and_then(|r| r.split('.').next()) else { continue };
        if !members.contains(&member) {
            continue;
        }
        let holder = if parent.is_empty() { Some(&mut *json) } else { json.pointer_mut(&pointer(parent)) };
        if let Some(object) = holder.and_then(Value::as_object_mut) {
            for other in members.iter().filter(|m| **m != member) {
                object.insert((*other).to_owned(), Value::Null);
            }
        }
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use hotswap_matcher::{ForwardDraft, RedirectDraft, RouteDraft, TimeoutsDraft};

    use super::*;

    fn base() -> RouteDraft {
        RouteDraft {
            display_name: "old".into(),
            labels: [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
            forward: Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() }),
            ..RouteDraft::default()
        }
    }

    fn masked(paths: &[&str], patch: &RouteDraft) -> RouteDraft {
        let paths = paths.iter().map(|p| (*p).to_owned()).collect();
        Mask::parse::<RouteDraft>(Some(paths)).expect("valid").apply(&base(), patch).expect("applies")
    }

    #[test]
    fn without_a_mask_what_is_set_changes_and_the_rest_stays() {
        let patch = RouteDraft { priority: 3, ..RouteDraft::default() };
        let mask = Mask::parse::<RouteDraft>(None).expect("valid");
        let got = mask.apply(&base(), &patch).expect("applies");
        assert_eq!(got, RouteDraft { priority: 3, ..base() });
    }

    #[test]
    fn a_star_replaces_everything() {
        let patch = RouteDraft { priority: 3, ..RouteDraft::default() };
        assert_eq!(masked(&["*"], &patch), patch);
    }

    #[test]
    fn a_named_field_that_is_not_set_is_cleared() {
        assert_eq!(masked(&["display_name"], &RouteDraft::default()).display_name, "");
    }

    #[test]
    fn a_path_reaches_into_messages_and_maps() {
        let timeouts = Some(TimeoutsDraft { total_ms: 5, ..TimeoutsDraft::default() });
        let patch = RouteDraft {
            labels: [("a".to_owned(), "9".to_owned())].into(),
            forward: Some(ForwardDraft { timeouts, ..ForwardDraft::default() }),
            ..RouteDraft::default()
        };
        let got = masked(&["forward.timeouts.total_ms", "labels.a", "labels.b"], &patch);
        let forward = got.forward.expect("forward");
        assert_eq!(forward.pool.as_deref(), Some("pools/p"));
        assert_eq!(forward.timeouts.expect("timeouts").total_ms, 5);
        assert_eq!(got.labels, [("a".to_owned(), "9".to_owned())].into());
    }

    #[test]
    fn setting_one_member_of_a_oneof_clears_the_other() {
        let redirect = Some(RedirectDraft { host: "a.b".into(), ..RedirectDraft::default() });
        let patch = RouteDraft { redirect, ..RouteDraft::default() };
        let got = masked(&["redirect"], &patch);
        assert!(got.redirect.is_some() && got.forward.is_none());
        let mask = Mask::parse::<RouteDraft>(None).expect("valid");
        assert!(mask.apply(&base(), &patch).expect("applies").forward.is_none());
    }

    #[test]
    fn unknown_paths_are_all_named() {
        let paths = ["colour", "forward.x", "hosts.0", "name"].map(str::to_owned).to_vec();
        let faults = Mask::parse::<RouteDraft>(Some(paths)).expect_err("unknown").to_string();
        for path in ["colour", "forward.x", "hosts.0"] {
            assert!(faults.contains(&format!("\"{path}\"")), "{faults}");
        }
        assert!(!faults.contains("\"name\""));
    }
}
