//! A gateway's folder. A checksum stands over everything in it, so bytes that are made up would seldom be looked
//! at; they are put into files that are right in that. What is loaded is compared with a model.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hotswap_api::gateway::v1::{Delta, Resource, ResumeToken};
use hotswap_core::SetDigest;
use hotswap_gateway::state::State;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const STORE: &str = "s";
const REVISION: i64 = 7;

/// What a gateway holds, by name: the version.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    revision: i64,
    versions: BTreeMap<String, i64>,
}

impl Model {
    fn digest(&self) -> [u8; 32] {
        let mut digest = SetDigest::default();
        self.versions.iter().for_each(|(name, version)| digest.insert(name, *version));
        digest.to_bytes()
    }

    fn loaded(dir: &Path) -> Option<Self> {
        let state = State::open(dir, None, Arc::default()).ok()?;
        let saved = state.saved()?;
        let mut model = Self { revision: saved.at().revision, ..Self::default() };
        for resource in saved.resources() {
            let twice = model.versions.insert(resource.name, resource.version);
            assert_eq!(twice, None, "a name stands there once");
        }
        Some(model)
    }
}

/// A choice, the length of a checkpoint in two bytes, the checkpoint, and a journal. Bit 0 of the choice: the
/// checkpoint is only a body, and is put into a right file; bit 1: the journal is only messages, each behind its
/// length in one byte.
pub fn state_files(data: &[u8]) {
    let [choice, low, high, rest @ ..] = data else { return };
    let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (checkpoint, journal) = rest.split_at(len);
    let mut model = None;
    let checkpoint =
        if choice & 1 == 0 { checkpoint.to_vec() } else { whole_checkpoint(checkpoint, &mut model) };
    let journal = match &mut model {
        Some(model) if choice & 2 != 0 => whole_journal(&checkpoint, journal, model),
        _ => journal.to_vec(),
    };
    let Some(folder) = folder() else { return };
    let dir = folder.path();
    let file = |kind: &str| dir.join(format!("{:020}.{kind}", 1));
    if fs::write(file("checkpoint"), checkpoint).and(fs::write(file("journal"), &journal)).is_err() {
        return;
    }
    let loaded = Model::loaded(dir);
    if choice & 3 == 3 {
        assert_eq!(loaded, model);
    }
    // An end that did not count has been cut off; that changes nothing.
    assert_eq!(Model::loaded(dir), loaded);
    let left = fs::read(file("journal")).unwrap_or_default();
    assert!(journal.starts_with(&left));
}

/// In memory, where that can be had.
fn folder() -> Option<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).ok()
}

/// The parts of a message or a body, each behind its length; `None`: they are cut short.
fn parts(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        parts.push(part);
        bytes = rest;
    }
    Some(parts)
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// A checkpoint with this body. The model is what it holds; `None`: the body can't be read.
fn whole_checkpoint(body: &[u8], model: &mut Option<Model>) -> Vec<u8> {
    let mut read = Model { revision: REVISION, ..Model::default() };
    let mut count = 0u64;
    let sound = parts(body).is_some_and(|parts| {
        parts.into_iter().all(|part| {
            count += 1;
            let resource = Resource::decode(part).ok();
            resource.is_some_and(|r| read.versions.insert(r.name, r.version).is_none())
        })
    });
    let mut head = b"HSGWCONF\x01\0\0\0\x01\0\0\0".to_vec();
    head.extend(REVISION.to_le_bytes());
    head.extend(count.to_le_bytes());
    head.extend((body.len() as u64).to_le_bytes());
    head.extend(read.digest());
    head.extend([1, 0, 0, 0]);
    head.extend(STORE.bytes());
    let checksum = sha256(&[&head, body]);
    *model = sound.then_some(read);
    [&head[..], &checksum, body].concat()
}

/// A journal with these messages. What comes before the first that can't be read changes the model.
fn whole_journal(checkpoint: &[u8], mut messages: &[u8], model: &mut Model) -> Vec<u8> {
    let mut journal = b"HSGWJRNL\x01\0\0\0".to_vec();
    // Behind the header, whose store has one byte.
    journal.extend_from_slice(checkpoint.get(77..109).unwrap_or_default());
    let mut sound = true;
    while let Some((len, rest)) = messages.split_first() {
        let (message, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        messages = rest;
        let whole = if sound { whole_message(message, model) } else { None };
        sound = whole.is_some();
        let message = whole.unwrap_or(message.to_vec());
        let len = u32::try_from(message.len()).unwrap_or_default().to_le_bytes();
        let flags = [1, 0, 0, 0];
        let checksum = sha256(&[&len, &flags, &message]);
        journal.extend([&len[..], &flags, &checksum, &message].concat());
    }
    journal
}

/// A message that leads on from the model: place and digest are put in.
fn whole_message(message: &[u8], model: &mut Model) -> Option<Vec<u8>> {
    let parts = parts(message)?;
    let (delta, upserts) = parts.split_first()?;
    let mut delta = Delta::decode(*delta).ok()?;
    let mut next = model.clone();
    next.revision += 1;
    for name in &delta.removes {
        next.versions.remove(name);
    }
    let mut names = Vec::new();
    for upsert in upserts {
        let resource = Resource::decode(*upsert).ok()?;
        if names.contains(&resource.name) || delta.removes.contains(&resource.name) {
            return None;
        }
        names.push(resource.name.clone());
        next.versions.insert(resource.name, resource.version);
    }
    delta.from = model.revision;
    delta.to = Some(ResumeToken { store_id: STORE.to_owned(), revision: next.revision });
    delta.digest = next.digest().to_vec().into();
    *model = next;
    let delta = delta.encode_to_vec();
    let parts = std::iter::once(&delta[..]).chain(upserts.iter().copied());
    Some(
        parts.flat_map(|p| [&u32::try_from(p.len()).unwrap_or_default().to_le_bytes(), p].concat()).collect(),
    )
}
