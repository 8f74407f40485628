//! Records as CSV.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EventRecord, Record};

/// The head line.
pub(super) const HEAD: &str = "record,sequence,time,actor,roles,tenant,method,resource,revision,outcome,reason,\
     attempts,source,request_id,id,before_hash,after_hash,changes,previous_hash,hash,proof\r\n";

const COLUMNS: usize = 21;

/// A record as a row.
pub(super) fn row(record: &Record) -> String {
    let mut cells: [String; COLUMNS] = Default::default();
    match record {
        Record::Event(event) => fill(&mut cells, event),
        Record::Begin(_) | Record::Omitted(_) | Record::End(_) => {
            cells[0] = kind(record).to_owned();
            cells[COLUMNS - 1] = json(record);
        }
    }
    let quoted: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    quoted.join(",") + "\r\n"
}

fn kind(record: &Record) -> &'static str {
    match record {
        Record::Begin(_) => "begin",
        Record::Event(_) => "event",
        Record::Omitted(_) => "omitted",
        Record::End(_) => "end",
    }
}

fn fill(cells: &mut [String; COLUMNS], e: &EventRecord) {
    let opt = |hash: Option<crate::Hash>| hash.map(|h| h.to_string()).unwrap_or_default();
    *cells = [
        "event".to_owned(),
        e.sequence.to_string(),
        e.time.clone(),
        e.actor.clone(),
        json(&e.roles),
        e.tenant.clone(),
        e.method.clone(),
        e.resource.clone(),
        e.revision.to_string(),
        e.outcome.clone(),
        e.reason.clone(),
        e.attempts.to_string(),
        e.source.clone(),
        e.request_id.to_string(),
        e.id.to_string(),
        opt(e.before_hash),
        opt(e.after_hash),
        json(&e.changes),
        e.previous_hash.to_string(),
        e.hash.to_string(),
        String::new(),
    ];
}

/// A record from a row, its end of line too; `None`: it is none.
pub(super) fn parse(line: &str) -> Option<Record> {
    let cells = cells(line.strip_suffix("\r\n")?)?;
    let cells: [String; COLUMNS] = cells.try_into().ok()?;
    if cells[0] != "event" {
        let record: Record = from_json(&cells[COLUMNS - 1])?;
        return (kind(&record) == cells[0]).then_some(record);
    }
    let hash = |i: usize| crate::Hash::parse(&cells[i]);
    let opt = |i: usize| if cells[i].is_empty() { Some(None) } else { hash(i).map(Some) };
    let event = EventRecord {
        sequence: cells[1].parse().ok()?,
        time: cells[2].clone(),
        actor: cells[3].clone(),
        roles: from_json(&cells[4])?,
        tenant: cells[5].clone(),
        method: cells[6].clone(),
        resource: cells[7].clone(),
        revision: cells[8].parse().ok()?,
        outcome: cells[9].clone(),
        reason: cells[10].clone(),
        attempts: cells[11].parse().ok()?,
        source: cells[12].clone(),
        request_id: cells[13].parse().ok()?,
        id: cells[14].parse().ok()?,
        before_hash: opt(15)?,
        after_hash: opt(16)?,
        changes: from_json(&cells[17])?,
        previous_hash: hash(18)?,
        hash: hash(19)?,
    };
    Some(Record::Event(Box::new(event)))
}

/// A list that is empty is an empty cell.
fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    if text == "[]" { String::new() } else { text }
}

fn from_json<T: DeserializeOwned>(cell: &str) -> Option<T> {
    serde_json::from_str(if cell.is_empty() { "[]" } else { cell }).ok()
}

/// A cell as it stands in a row: not a formula, and quoted where it must be.
fn quoted(cell: &str) -> String {
    let harmful = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']);
    let cell = if harmful { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// The cells of a row; `None`: it is none.
fn cells(row: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = row;
    loop {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(inner) => in_quotes(inner)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (cell, behind) = rest.split_at(end);
                (cell.to_owned(), behind)
            }
        };
        cells.push(cell.strip_prefix('\'').map(str::to_owned).unwrap_or(cell));
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Some(cells),
            None => return None,
        }
    }
}

/// A quoted cell, and what stands behind its closing quote.
fn in_quotes(inner: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = inner;
    loop {
        let at = rest.find('"')?;
        cell.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(behind) => {
                cell.push('"');
                rest = behind;
            }
            None => return Some((cell, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cells_come_back_whatever_they_hold(wanted in prop::collection::vec(".*|[=+@',\"-][,\"'a]*", 1..5)) {
            let row = wanted.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
            prop_assert_eq!(cells(&row), Some(wanted));
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'x", "=HYPERLINK(\"http://x\",\"y\")"] {
            let shown = quoted(cell);
            assert!(shown.trim_start_matches('"').starts_with('\''), "{shown}");
        }
        assert_eq!(quoted("a=b"), "a=b");
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for row in ["\"a", "\"a\"b", "a,\"b\"\"", "x\r\n"] {
            assert!(cells(row).is_none_or(|c| c.len() != COLUMNS), "{row}");
            assert!(parse(row).is_none(), "{row}");
        }
        assert_eq!(HEAD.trim_end().split(',').count(), COLUMNS);
    }
}
