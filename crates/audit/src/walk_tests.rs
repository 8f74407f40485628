use std::collections::HashMap;

use hotswap_core::{Revision, Timestamp};
use hotswap_store::{StoreError, Value};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::row::{self, Columns};
use crate::{Caller, Change, Diff, Entry, Event};

const COLUMNS: [&str; 20] = [
    "chain",
    "sequence",
    "id",
    "at",
    "actor",
    "roles",
    "tenant",
    "method",
    "resource",
    "revision",
    "outcome",
    "reason",
    "request_id",
    "source",
    "before_hash",
    "after_hash",
    "changes",
    "attempts",
    "previous_hash",
    "hash",
];

/// A row as the database has it, whose bytes can be changed.
#[derive(Clone, Debug, PartialEq)]
struct Stored(HashMap<&'static str, Cell>);

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Int(i64),
    Text(Vec<u8>),
}

impl Stored {
    fn of(sealed: &Sealed) -> Self {
        let cell = |value| match value {
            Value::Int(i) => Cell::Int(i),
            Value::Text(text) => Cell::Text(text.into_bytes()),
            Value::OptText(_) | Value::OptInt(_) => panic!("no column may be NULL"),
        };
        Self(COLUMNS.into_iter().zip(row::values(sealed).map(cell)).collect())
    }

    fn bits(&self, column: &str) -> usize {
        match &self.0[column] {
            Cell::Int(_) => 64,
            Cell::Text(bytes) => bytes.len() * 8,
        }
    }

    fn flip(&mut self, column: &'static str, bit: usize) {
        match self.0.get_mut(column).expect("there") {
            Cell::Int(i) => *i ^= 1 << bit,
            Cell::Text(bytes) => bytes[bit / 8] ^= 1 << (bit % 8),
        }
    }
}

impl Columns for Stored {
    fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        match &self.0[column] {
            Cell::Int(i) => Ok(*i),
            Cell::Text(_) => Err(StoreError::inconsistent("", column, "")),
        }
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        let unreadable = || StoreError::inconsistent("", column, "");
        match &self.0[column] {
            Cell::Text(bytes) => String::from_utf8(bytes.clone()).map_err(|_| unreadable()),
            Cell::Int(_) => Err(unreadable()),
        }
    }
}

fn entry(i: i64) -> Entry {
    let caller = Caller {
        actor: format!("user-{i}"),
        roles: vec!["operator".into(), "viewer".into()],
        tenant: "acme".into(),
        method: "hotswap.route.v1.RouteService/UpdateRoute".into(),
        request_id: Uuid::from_u128(0x1234_abcd << 64 | i as u128),
        source: "2001:db8::1f".into(),
    };
    let change = Change { path: "hosts[0]".into(), old_json: Some("\"a\\u001f\"".into()), new_json: None };
    let diff = Diff { before: Some(Hash::of(b"a")), after: Some(Hash::of(b"b")), changes: vec![change] };
    Entry { reason: "R", ..Entry::done(caller, format!("routes/r{i}"), Revision(i), diff) }
}

/// A chain of `n` events, its tree, and the rows as stored.
fn log(n: i64) -> (Vec<Sealed>, Hash) {
    let mut tree = Frontier::default();
    let mut previous = Hash::ZERO;
    let events = (1..=n).map(|i| {
        let event = Event::new(Chain::Platform, i, Uuid::from_u128(i as u128), Timestamp(i), entry(i));
        let sealed = Sealed { hash: encode::chained(&previous, &event), event, previous };
        previous = sealed.hash;
        tree.push(sealed.hash);
        sealed
    });
    (events.collect(), tree.root())
}

fn stored(events: &[Sealed]) -> Vec<Stored> {
    events.iter().map(Stored::of).collect()
}

/// What is wrong with these rows, of which `size` were written, the last with this hash, and this root signed.
fn verify(rows: &[Stored], size: i64, head: Hash, root: Hash) -> Faults {
    let mut walk = Walk::new(Chain::Platform);
    for row in rows {
        let sequence = row.int("sequence").expect("an integer");
        let sealed = row::sealed(row);
        walk.step(sequence, sealed.as_ref().map_err(String::as_str));
    }
    walk.end(size, head);
    if walk.at() == size && !walk.agrees(&root, &head) {
        walk.faults.add(size, FaultKind::CheckpointMismatch, "");
    }
    walk.faults
}

#[test]
fn what_was_not_changed_is_intact() {
    let (events, root) = log(20);
    let faults = verify(&stored(&events), 20, events[19].hash, root);
    assert!(faults.is_empty(), "{faults:?}");
}

/// Not a sample: every bit of every column of an event.
#[test]
fn every_single_bit_change_of_a_stored_event_is_found() {
    let (events, root) = log(3);
    let rows = stored(&events);
    let mut tried = 0;
    for column in COLUMNS {
        for bit in 0..rows[1].bits(column) {
            let mut changed = rows.clone();
            changed[1].flip(column, bit);
            let faults = verify(&changed, 3, events[2].hash, root);
            assert!(!faults.is_empty(), "bit {bit} of {column}: {:?}", changed[1].0[column]);
            tried += 1;
        }
    }
    assert!(tried > 4_000, "{tried}");
}

#[test]
fn a_log_made_anew_from_an_event_on_is_found_by_what_was_signed() {
    let (events, root) = log(10);
    let (mut forged, mut previous) = (events.clone(), Hash::ZERO);
    forged[3].event.caller.actor = "somebody else".into();
    for sealed in &mut forged {
        sealed.previous = previous;
        sealed.hash = encode::chained(&previous, &sealed.event);
        previous = sealed.hash;
    }
    let faults = verify(&stored(&forged), 10, previous, root);
    assert_eq!(faults.list().len(), 1);
    assert_eq!(faults.list()[0].kind, FaultKind::CheckpointMismatch);
}

#[test]
fn faults_are_counted_beyond_those_that_are_told() {
    let (events, root) = log(300);
    let mut rows = stored(&events);
    rows.iter_mut().for_each(|row| row.flip("actor", 0));
    let faults = verify(&rows, 300, events[299].hash, root);
    assert_eq!((faults.list().len(), faults.count()), (MAX_FAULTS, 300));
}

#[test]
fn a_missing_and_a_damaged_event_are_named() {
    let (events, root) = log(6);
    let mut rows = stored(&events);
    rows.remove(2);
    rows.truncate(4);
    rows[0].flip("outcome", 3);
    let faults = verify(&rows, 6, events[5].hash, root);
    let told: Vec<_> = faults.list().iter().map(|f| (f.sequence, f.kind)).collect();
    assert_eq!(
        told,
        [(1, FaultKind::EventAltered), (3, FaultKind::EventMissing), (6, FaultKind::LogTruncated)]
    );
}

/// What can be done to a list of rows.
#[derive(Clone, Debug)]
enum Tampering {
    Flip(usize, usize, usize),
    Delete(usize),
    Swap(usize, usize),
    /// The contents of two events, their places left alone.
    SwapContents(usize, usize),
    Truncate(usize),
    Repeat(usize),
    CutBeginning(usize),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let any = 0..1_000_usize;
    prop_oneof![
        (any.clone(), any.clone(), 0..100_000_usize).prop_map(|(i, c, b)| Tampering::Flip(i, c, b)),
        any.clone().prop_map(Tampering::Delete),
        (any.clone(), any.clone()).prop_map(|(i, j)| Tampering::Swap(i, j)),
        (any.clone(), any.clone()).prop_map(|(i, j)| Tampering::SwapContents(i, j)),
        any.clone().prop_map(Tampering::Truncate),
        any.clone().prop_map(Tampering::Repeat),
        any.prop_map(Tampering::CutBeginning),
    ]
}

fn tamper(rows: &mut Vec<Stored>, how: &Tampering) {
    let n = rows.len();
    match *how {
        Tampering::Flip(i, column, bit) => {
            let column = COLUMNS[column % COLUMNS.len()];
            let bits = rows[i % n].bits(column);
            if bits > 0 {
                rows[i % n].flip(column, bit % bits);
            }
        }
        Tampering::Delete(i) => drop(rows.remove(i % n)),
        Tampering::Swap(i, j) => rows.swap(i % n, j % n),
        Tampering::SwapContents(i, j) => {
            rows.swap(i % n, j % n);
            for (at, other) in [(i % n, j % n), (j % n, i % n)] {
                let sequence = Cell::Int(i64::try_from(at).expect("small") + 1);
                if at != other {
                    rows[at].0.insert("sequence", sequence);
                }
            }
        }
        Tampering::Truncate(i) => rows.truncate(i % n),
        Tampering::Repeat(i) => rows.insert(i % n, rows[i % n].clone()),
        Tampering::CutBeginning(i) => drop(rows.drain(..i % n)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_is_done_to_the_rows_is_found(n in 1_i64..40, how in prop::collection::vec(tampering(), 1..4)) {
        let (events, root) = log(n);
        let original = stored(&events);
        let mut rows = original.clone();
        for one in &how {
            if !rows.is_empty() {
                tamper(&mut rows, one);
            }
        }
        let faults = verify(&rows, n, events[events.len() - 1].hash, root);
        prop_assert_eq!(faults.is_empty(), rows == original, "{:?}: {:?}", how, faults);
    }
}
