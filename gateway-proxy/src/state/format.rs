//! The bytes of a checkpoint and of a journal. Numbers are little-endian.
//!
//! ```text
//!   checkpoint                                     journal
//!   8   "HSGWCONF"                                 8   "HSGWJRNL"
//!   4   format: 1                                  4   format: 1
//!   4   flags; 1: the stream can go on from here   32  checksum of its checkpoint
//!   8   revision                                   then records:
//!   8   resources                                  4   length of the message
//!   8   length of the body                         4   flags, as of a checkpoint
//!   32  digest                                     32  SHA-256 of length, flags and message
//!   4   length of the store id, and the id         …   message: hotswap.gateway.v1.Delta without upserts,
//!   32  SHA-256 of all before and of the body          then these, each behind its length, 4
//!   …   body: each hotswap.gateway.v1.Resource
//!       behind its length, 4
//!
//!   anything else: 8 its mark, 4 format: 1, 32 SHA-256 of the body, … body
//! ```

use hotswap_api::gateway::v1::{Delta, Resource, ResumeToken};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::image::{Change, Image, Kept};

const CHECKPOINT: [u8; 8] = *b"HSGWCONF";
const JOURNAL: [u8; 8] = *b"HSGWJRNL";
const FORMAT: u32 = 1;
const RESUMABLE: u32 = 1;

/// What a checkpoint's header and body hash to.
pub(super) type Checksum = [u8; 32];

/// Why bytes are not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it can't be read: {0}")]
    Unreadable(#[source] std::io::Error),
    #[error("it is cut short")]
    Short,
    #[error("it is no state of a gateway")]
    Foreign,
    #[error("its format is {0}, and this build knows {FORMAT}")]
    Format(u32),
    #[error("it is of another checkpoint")]
    OtherCheckpoint,
    #[error("it was altered: the checksum differs")]
    Checksum,
    #[error("it was altered: the digest differs")]
    Digest,
    #[error("it holds something that can't be read")]
    Content,
    #[error("it does not go on where it should")]
    Order,
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

// === checkpoint ===

/// A checkpoint and its checksum.
pub(super) fn checkpoint(image: &Image) -> (Vec<u8>, Checksum) {
    let body: usize = image.encoded().map(|r| 4 + r.len()).sum();
    let store = image.at.store_id.as_bytes();
    let mut bytes = Vec::with_capacity(108 + store.len() + body);
    bytes.extend(CHECKPOINT);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(flags(image.resumable).to_le_bytes());
    bytes.extend(image.at.revision.to_le_bytes());
    bytes.extend((image.len() as u64).to_le_bytes());
    bytes.extend((body as u64).to_le_bytes());
    bytes.extend(image.digest().to_bytes());
    bytes.extend(length(store));
    bytes.extend(store);
    let place = bytes.len();
    bytes.extend([0; 32]);
    for resource in image.encoded() {
        bytes.extend(length(resource));
        bytes.extend(resource);
    }
    let (head, rest) = bytes.split_at_mut(place);
    let (slot, body) = rest.split_at_mut(32);
    let checksum = sha256(&[head, body]);
    slot.copy_from_slice(&checksum);
    (bytes, checksum)
}

/// Reads a checkpoint that is whole in every way.
pub(super) fn read_checkpoint(bytes: &[u8]) -> Result<(Image, Checksum), Fault> {
    let mut reader = Reader(bytes);
    reader.expect(CHECKPOINT)?;
    let resumable = reader.u32()? & RESUMABLE != 0;
    let revision = i64::from_le_bytes(reader.array()?);
    let (count, length) = (reader.u64()?, reader.u64()?);
    let digest: [u8; 32] = reader.array()?;
    let store = reader.u32()? as usize;
    let store_id = reader.take(store)?;
    let head = &bytes[..bytes.len() - reader.0.len()];
    let checksum: Checksum = reader.array()?;
    let body = reader.take(usize::try_from(length).map_err(|_| Fault::Short)?)?;
    if !reader.0.is_empty() || sha256(&[head, body]) != checksum {
        return Err(Fault::Checksum);
    }
    let store_id = String::from_utf8(store_id.to_vec()).map_err(|_| Fault::Content)?;
    let mut image = Image::new(ResumeToken { store_id, revision }, resumable);
    let mut body = Reader(body);
    while !body.0.is_empty() {
        let length = body.u32()? as usize;
        let (name, kept) = resource(body.take(length)?)?;
        if image.has(&name) {
            return Err(Fault::Content);
        }
        image.put(name, kept);
    }
    if image.len() as u64 != count || image.digest().to_bytes() != digest {
        return Err(Fault::Digest);
    }
    Ok((image, checksum))
}

// === journal ===

/// What a journal begins with.
pub(super) fn journal_header(checkpoint: &Checksum) -> Vec<u8> {
    [&JOURNAL[..], &FORMAT.to_le_bytes(), checkpoint].concat()
}

/// The record of a journal that leads from an image on.
pub(super) fn record(from: &Image, change: &Change) -> Vec<u8> {
    let delta = Delta {
        from: from.at.revision,
        to: Some(change.at.clone()),
        removes: change.removes().map(str::to_owned).collect(),
        digest: from.digest_after(change).to_bytes().to_vec().into(),
        ..Delta::default()
    };
    let mut message = Vec::new();
    for part in std::iter::once(&*delta.encode_to_vec()).chain(change.encoded()) {
        message.extend(length(part));
        message.extend(part);
    }
    let (length, flags) = (length(&message), flags(change.resumable).to_le_bytes());
    let checksum = sha256(&[&length, &flags, &message]);
    [&length[..], &flags, &checksum, &message].concat()
}

/// How far a journal counted.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) records: usize,
    /// Length of what counted, in bytes.
    pub(super) length: usize,
    /// Why the rest does not count.
    pub(super) rest: Result<(), Fault>,
}

/// Carries out what a journal holds, up to the first record that is not whole or does not fit.
pub(super) fn replay(image: &mut Image, checkpoint: &Checksum, bytes: &[u8]) -> Replayed {
    let mut reader = Reader(bytes);
    let begin = |reader: &mut Reader<'_>| {
        reader.expect(JOURNAL)?;
        if reader.array()? == *checkpoint { Ok(()) } else { Err(Fault::OtherCheckpoint) }
    };
    let mut replayed = Replayed { records: 0, length: 0, rest: begin(&mut reader) };
    while replayed.rest.is_ok() {
        replayed.length = bytes.len() - reader.0.len();
        if reader.0.is_empty() {
            break;
        }
        replayed.rest = replay_one(image, &mut reader);
        replayed.records += usize::from(replayed.rest.is_ok());
    }
    replayed
}

fn replay_one(image: &mut Image, reader: &mut Reader<'_>) -> Result<(), Fault> {
    let (length, flags): ([u8; 4], [u8; 4]) = (reader.array()?, reader.array()?);
    let checksum: Checksum = reader.array()?;
    let message = reader.take(u32::from_le_bytes(length) as usize)?;
    if sha256(&[&length, &flags, message]) != checksum {
        return Err(Fault::Checksum);
    }
    let mut parts = Reader(message);
    let head = parts.u32()? as usize;
    let delta = Delta::decode(parts.take(head)?).map_err(|_| Fault::Content)?;
    let at = delta.to.ok_or(Fault::Content)?;
    if at.store_id != image.at.store_id || delta.from != image.at.revision {
        return Err(Fault::Order);
    }
    let resumable = u32::from_le_bytes(flags) & RESUMABLE != 0;
    let mut change = Change { resumable, ..Change::to(at) };
    change.names.extend(delta.removes.into_iter().map(|name| (name.into(), None)));
    while !parts.0.is_empty() {
        let length = parts.u32()? as usize;
        let (name, kept) = resource(parts.take(length)?)?;
        if change.names.insert(name, Some(kept)).is_some() {
            return Err(Fault::Content);
        }
    }
    if image.digest_after(&change).to_bytes() != *delta.digest {
        return Err(Fault::Digest);
    }
    image.apply(change);
    Ok(())
}

// === anything else ===

/// A body under a mark and a checksum.
pub(super) fn seal(mark: [u8; 8], body: &[u8]) -> Vec<u8> {
    [&mark[..], &FORMAT.to_le_bytes(), &sha256(&[body]), body].concat()
}

/// The body, where all of it is as it was written.
pub(super) fn unseal(mark: [u8; 8], bytes: &[u8]) -> Result<&[u8], Fault> {
    let mut reader = Reader(bytes);
    reader.expect(mark)?;
    let checksum: Checksum = reader.array()?;
    if sha256(&[reader.0]) == checksum { Ok(reader.0) } else { Err(Fault::Checksum) }
}

// === bytes ===

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Fault::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Fault::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// The mark of a kind of file, and the format that this build knows.
    fn expect(&mut self, mark: [u8; 8]) -> Result<(), Fault> {
        if self.0.len() < mark.len() && mark.starts_with(self.0) {
            return Err(Fault::Short);
        }
        if self.array().ok() != Some(mark) {
            return Err(Fault::Foreign);
        }
        match self.u32()? {
            FORMAT => Ok(()),
            other => Err(Fault::Format(other)),
        }
    }
}

/// Read, so that what can't be is found now.
fn resource(encoded: &[u8]) -> Result<(Box<str>, Kept), Fault> {
    let resource = Resource::decode(encoded).map_err(|_| Fault::Content)?;
    Ok((resource.name.into(), Kept::new(resource.version, encoded.into())))
}

fn flags(resumable: bool) -> u32 {
    if resumable { RESUMABLE } else { 0 }
}

/// A resource or message is far below 4 GiB: the stream itself takes no message above 64 MiB.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn sha256(parts: &[&[u8]]) -> Checksum {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
