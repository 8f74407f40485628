//! Verifies an export, without a store.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use hotswap_core::StoreId;

use super::{Begin, End, FORM, Format, Omitted, Record, csv, line};
use crate::anchors::{AnchorSet, Anchored};
use crate::hash::Hasher;
use crate::list::Selection;
use crate::merkle::cover;
use crate::walk::{FaultKind, Faults, Walk};
use crate::{Chain, Checkpoint, Frontier, PublicKey};

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 4 * 1024 * 1024;

/// What is believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys that may have signed the export, and anchors.
    pub keys: Vec<PublicKey>,
    /// Anchors to compare it with.
    pub anchors: AnchorSet,
}

/// What the verification of an export found.
#[derive(Clone, Debug)]
pub struct ExportReport {
    /// The chain.
    pub chain: Option<Chain>,
    /// The store that the export was made from.
    pub store: Option<StoreId>,
    /// Which events were asked for; empty: all.
    pub filter: String,
    /// When it was made, in words.
    pub exported_at: String,
    /// Who made it.
    pub exported_by: String,
    /// The key that it says it is signed with.
    pub public_key: String,
    /// The key that it is signed with, if that is trusted.
    pub signed_by: Option<PublicKey>,
    /// The events that it is about: behind this one…
    pub after: i64,
    /// … up to this one.
    pub through: i64,
    /// Events in it.
    pub events: u64,
    /// Events that the filter left out.
    pub omitted: u64,
    /// Anchors that it was compared with.
    pub anchors: u64,
    /// Anchors that it can't be compared with, because events at their places were left out.
    pub anchors_left_out: u64,
    /// What is wrong.
    pub faults: Faults,
}

impl ExportReport {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Verifies an export.
///
/// # Errors
/// Where it can't be read. What is wrong with it stands in the report.
pub fn verify_export(mut from: impl BufRead, trust: &Trust) -> io::Result<ExportReport> {
    let mut reading = Reading::default();
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        if from.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if let Err(why) = reading.line(&bytes, trust) {
            let at = reading.at();
            reading.faults.add(at, FaultKind::ExportAltered, format!("line {number}: {why}"));
        }
        reading.digest.update(&bytes);
    }
    Ok(reading.finish())
}

#[derive(Default)]
struct Reading {
    format: Option<Format>,
    begin: Option<Begin>,
    chain: Option<Chain>,
    walk: Option<Walk>,
    selection: Option<Selection>,
    anchors: BTreeMap<i64, Anchored>,
    digest: Hasher,
    end: Option<End>,
    signed_by: Option<PublicKey>,
    events: u64,
    omitted: u64,
    compared: u64,
    left_out: u64,
    faults: Faults,
}

impl Reading {
    fn at(&self) -> i64 {
        self.walk.as_ref().map_or(0, Walk::at)
    }

    fn line(&mut self, bytes: &[u8], trust: &Trust) -> Result<(), String> {
        let Some(format) = self.format else {
            let csv = bytes == csv::HEAD.as_bytes();
            self.format = Some(if csv { Format::Csv } else { Format::Json });
            return if csv { Ok(()) } else { self.line(bytes, trust) };
        };
        if self.end.is_some() {
            return Err("something stands behind the end".to_owned());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
        let record = match format {
            Format::Json => serde_json::from_str(text).ok(),
            Format::Csv => csv::parse(text),
        };
        match record.ok_or("it is no record of an export")? {
            Record::Begin(begin) => self.begin(begin, trust),
            Record::Event(event) => {
                let chain = self.chain.clone().ok_or(NO_BEGIN)?;
                let sealed = event.into_sealed(&chain)?;
                let walk = self.walk.as_mut().ok_or(NO_BEGIN)?;
                walk.step(sealed.event.sequence, Ok(&sealed));
                self.events += 1;
                let wanted = self.selection.as_ref().is_some_and(|s| s.wants(&sealed.event));
                self.anchor();
                if wanted { Ok(()) } else { Err("its filter does not want this event".to_owned()) }
            }
            Record::Omitted(omitted) => self.omitted(&omitted),
            Record::End(end) => {
                let canonical = line(&Record::End(End { note: end.note.clone(), ..end }), format) == bytes;
                let outcome = self.check_end(&end, trust);
                self.end = Some(end);
                if canonical { outcome } else { outcome.and(Err("it is not as it is written".to_owned())) }
            }
        }
    }

    fn begin(&mut self, begin: Begin, trust: &Trust) -> Result<(), String> {
        if self.begin.is_some() {
            return Err("it begins twice".to_owned());
        }
        if begin.form != FORM {
            return Err(format!("its form is {:?}, and this program reads {FORM:?}", begin.form));
        }
        let chain = Chain::parse(&begin.chain).ok_or("its chain is none")?;
        let size = u64::try_from(begin.after).map_err(|_| "it begins before the beginning")?;
        let tree = Frontier::new(size, begin.frontier.clone()).ok_or("its frontier is none")?;
        let selection = Selection::parse(&begin.filter).map_err(|_| "its filter is none")?;
        self.anchors = trust.anchors.of(&chain).split_off(&(begin.after + 1));
        self.walk = Some(Walk::from(chain.clone(), begin.after, Some(begin.previous_hash), Some(tree)));
        self.selection = Some(selection);
        self.chain = Some(chain);
        self.begin = Some(begin);
        Ok(())
    }

    fn omitted(&mut self, omitted: &Omitted) -> Result<(), String> {
        let walk = self.walk.as_mut().ok_or(NO_BEGIN)?;
        if self.selection.as_ref().is_some_and(Selection::is_all) {
            return Err("events are left out, though all were asked for".to_owned());
        }
        if omitted.first != walk.at() + 1 || omitted.last < omitted.first {
            return Err("what is left out does not follow what is before it".to_owned());
        }
        let index = |sequence: i64| u64::try_from(sequence).unwrap_or(0);
        let levels = cover(index(omitted.first - 1), index(omitted.last));
        if levels.len() != omitted.subtrees.len() {
            return Err("the subtrees of what is left out are not those of these events".to_owned());
        }
        let subtrees: Vec<_> = levels.into_iter().zip(omitted.subtrees.iter().copied()).collect();
        walk.leave_out(omitted.last, omitted.last_hash, &subtrees);
        self.omitted += index(omitted.last - omitted.first + 1);
        self.left_out += self.anchors.range(omitted.first..omitted.last).count() as u64;
        self.anchor();
        Ok(())
    }

    fn anchor(&mut self) {
        let Some(walk) = &mut self.walk else { return };
        let at = walk.at();
        let Some(anchored) = self.anchors.get(&at) else { return };
        self.compared += 1;
        if !walk.agrees(&anchored.root, &anchored.head) {
            self.faults.add(at, FaultKind::AnchorMismatch, "the log is not what was anchored");
        }
    }

    fn check_end(&mut self, end: &End, trust: &Trust) -> Result<(), String> {
        let (begin, walk) = self.begin.as_ref().zip(self.walk.as_ref()).ok_or(NO_BEGIN)?;
        let opened = Checkpoint::open(&end.note, &trust.keys);
        let (checkpoint, key) = opened.map_err(|fault| format!("its end: {fault}"))?;
        self.signed_by = Some(key);
        if checkpoint.file != Some(self.digest.so_far()) {
            return Err("the bytes before its end are not those that were signed".to_owned());
        }
        let about = (checkpoint.store.0, checkpoint.chain.to_string(), checkpoint.size);
        if about != (begin.store, begin.chain.clone(), begin.through) || walk.at() != begin.through {
            return Err("it does not end where it says it does".to_owned());
        }
        if (end.events, end.omitted) != (self.events, self.omitted) {
            return Err("it has not as many events as it says".to_owned());
        }
        if !walk.agrees(&checkpoint.root, &checkpoint.head) {
            return Err("its events are not those that were signed".to_owned());
        }
        Ok(())
    }

    fn finish(mut self) -> ExportReport {
        if self.end.is_none() {
            let at = self.at();
            self.faults.add(at, FaultKind::ExportAltered, "it has no end: it was cut short");
        }
        let begin = self.begin;
        let text = |of: fn(&Begin) -> &String| begin.as_ref().map(of).cloned().unwrap_or_default();
        let mut faults = self.walk.as_mut().map(|walk| std::mem::take(&mut walk.faults)).unwrap_or_default();
        faults.append(&mut self.faults);
        ExportReport {
            chain: self.chain,
            store: begin.as_ref().map(|b| StoreId(b.store)),
            filter: text(|b| &b.filter),
            exported_at: text(|b| &b.exported_at),
            exported_by: text(|b| &b.exported_by),
            public_key: text(|b| &b.public_key),
            signed_by: self.signed_by,
            after: begin.as_ref().map_or(0, |b| b.after),
            through: begin.as_ref().map_or(0, |b| b.through),
            events: self.events,
            omitted: self.omitted,
            anchors: self.compared,
            anchors_left_out: self.left_out,
            faults,
        }
    }
}

const NO_BEGIN: &str = "it does not begin with its beginning";
