//! Between events and rows. Each value has one text in the store; another text for the same value counts as damage,
//! so that no changed bit goes unseen.

use hotswap_core::{Revision, Timestamp};
use hotswap_store::{Row, StoreError, Value};
use uuid::Uuid;

use crate::{Caller, Chain, Change, Event, Hash, Outcome, Sealed};

/// What is wrong with a row.
pub(crate) type Damage = String;

pub(crate) fn values(sealed: &Sealed) -> [Value; 20] {
    let Sealed { event, previous, hash } = sealed;
    let opt = |hash: Option<Hash>| hash.map(|h| h.to_string()).unwrap_or_default();
    [
        event.chain.to_string().into(),
        event.sequence.into(),
        event.id.to_string().into(),
        event.at.into(),
        event.caller.actor.as_str().into(),
        event.caller.roles.join(",").into(),
        event.caller.tenant.as_str().into(),
        event.caller.method.as_str().into(),
        event.resource.as_str().into(),
        event.revision.into(),
        event.outcome.as_str().into(),
        event.reason.as_str().into(),
        event.caller.request_id.to_string().into(),
        event.caller.source.as_str().into(),
        opt(event.before).into(),
        opt(event.after).into(),
        changes_text(&event.changes).into(),
        event.attempts.into(),
        previous.to_string().into(),
        hash.to_string().into(),
    ]
}

/// Nothing, or JSON.
fn changes_text(changes: &[Change]) -> String {
    if changes.is_empty() { String::new() } else { serde_json::to_string(changes).unwrap_or_default() }
}

/// What has columns.
pub(crate) trait Columns {
    fn int(&self, column: &'static str) -> Result<i64, StoreError>;
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
}

impl Columns for Row {
    fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        Row::int(self, column)
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Row::text(self, column)
    }
}

/// An event as the store has it.
pub(crate) fn sealed(row: &impl Columns) -> Result<Sealed, Damage> {
    let text = |column| row.text(column).map_err(|_| format!("{column} can't be read"));
    let int = |column| row.int(column).map_err(|_| format!("{column} can't be read"));
    let opt = |column| match text(column)?.as_str() {
        "" => Ok(None),
        hex => Hash::parse(hex).map(Some).ok_or_else(|| format!("{column} is no hash")),
    };
    let hash = |column| opt(column)?.ok_or_else(|| format!("{column} is no hash"));
    let event = Event {
        chain: Chain::parse(&text("chain")?).ok_or("chain is none")?,
        sequence: int("sequence")?,
        id: uuid(&text("id")?).ok_or("id is no UUID")?,
        at: Timestamp(int("at")?),
        caller: Caller {
            actor: text("actor")?,
            roles: roles(&text("roles")?),
            tenant: text("tenant")?,
            method: text("method")?,
            request_id: uuid(&text("request_id")?).ok_or("request_id is no UUID")?,
            source: text("source")?,
        },
        resource: text("resource")?,
        revision: Revision(int("revision")?),
        outcome: Outcome::parse(&text("outcome")?).ok_or("outcome is none")?,
        reason: text("reason")?,
        before: opt("before_hash")?,
        after: opt("after_hash")?,
        changes: changes(&text("changes")?).ok_or("changes are not as they are written")?,
        attempts: int("attempts")?,
    };
    Ok(Sealed { event, previous: hash("previous_hash")?, hash: hash("hash")? })
}

fn uuid(text: &str) -> Option<Uuid> {
    text.parse().ok().filter(|id: &Uuid| id.to_string() == text)
}

fn roles(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}

fn changes(text: &str) -> Option<Vec<Change>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let changes: Vec<Change> = serde_json::from_str(text).ok()?;
    (changes_text(&changes) == text).then_some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_for_the_same_value_is_damage() {
        assert!(uuid("0190c42e-0000-7000-8000-00000000000a").is_some());
        for other in [
            "0190C42E-0000-7000-8000-00000000000A",
            "0190c42e000070008000",
            "{0190c42e-0000-7000-8000-00000000000a}",
        ] {
            assert_eq!(uuid(other), None);
        }
        let text = r#"[{"path":"a","new_json":"\"\\u001f\""}]"#;
        assert!(changes(text).is_some());
        for other in
            [r#"[{"path": "a","new_json":"1"}]"#, r#"[{"path":"a","new_json":"\u0041"}]"#, "[]", "{}"]
        {
            assert_eq!(changes(other), None, "{other}");
        }
    }

    #[test]
    fn roles_come_back() {
        for list in [vec![], vec!["admin"], vec!["admin", "viewer"]] {
            assert_eq!(roles(&list.join(",")), list);
        }
    }
}
