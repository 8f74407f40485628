//! The bytes that an event's hash is taken over, and how it is chained.
//!
//! ```text
//!   hash = SHA-256( 0x00 ‖ previous hash (32 bytes) ‖ event )
//!
//!   event = 0x01                       the version of this form
//!           text   chain               "platform" or "tenants/{tenant}"
//!           int    sequence
//!           16     id                  the bytes of the UUID
//!           int    at                  µs since 1970-01-01T00:00:00Z
//!           text   actor
//!           count  roles,   each: text
//!           text   tenant
//!           text   method
//!           text   resource
//!           int    revision
//!           text   outcome             "done", "denied" or "failed"
//!           text   reason
//!           16     request id
//!           text   source
//!           hash?  before
//!           hash?  after
//!           count  changes, each: text path, text? old, text? new
//!           int    attempts
//!
//!   int    8 bytes, two's complement, big-endian
//!   count  4 bytes, unsigned, big-endian: how many follow
//!   text   4 bytes, unsigned, big-endian: its length in bytes; then its UTF-8
//!   text?  0x00; or 0x01 and a text
//!   hash?  0x00; or 0x01 and 32 bytes
//! ```
//! Every part has a fixed place and its length before it, so two events that differ in anything differ in their
//! bytes. The leading 0x00 makes the hash a leaf hash of RFC 6962: the chain's hashes are the leaves of its Merkle
//! tree. A later version of the form begins with another byte.

use crate::hash::Hasher;
use crate::{Event, Hash};

const VERSION: u8 = 1;

/// The canonical form of an event.
pub fn encode(event: &Event) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(512));
    out.0.push(VERSION);
    out.text(&event.chain.to_string());
    out.int(event.sequence);
    out.0.extend_from_slice(event.id.as_bytes());
    out.int(event.at.0);
    out.text(&event.caller.actor);
    out.count(event.caller.roles.len());
    event.caller.roles.iter().for_each(|role| out.text(role));
    out.text(&event.caller.tenant);
    out.text(&event.caller.method);
    out.text(&event.resource);
    out.int(event.revision.0);
    out.text(event.outcome.as_str());
    out.text(&event.reason);
    out.0.extend_from_slice(event.caller.request_id.as_bytes());
    out.text(&event.caller.source);
    out.opt_hash(event.before);
    out.opt_hash(event.after);
    out.count(event.changes.len());
    for change in &event.changes {
        out.text(&change.path);
        out.opt_text(change.old_json.as_deref());
        out.opt_text(change.new_json.as_deref());
    }
    out.int(event.attempts);
    out.0
}

/// The hash of an event that follows the one with the hash `previous`.
pub fn chained(previous: &Hash, event: &Event) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[0]);
    hasher.update(previous.bytes());
    hasher.update(&encode(event));
    hasher.finish()
}

struct Out(Vec<u8>);

impl Out {
    fn int(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Nothing here comes near the limit; what did would be seen as another length by whoever verifies.
    fn count(&mut self, n: usize) {
        self.0.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn opt_text(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn opt_hash(&mut self, hash: Option<Hash>) {
        self.0.push(u8::from(hash.is_some()));
        if let Some(hash) = hash {
            self.0.extend_from_slice(hash.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use hotswap_core::{Revision, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::{Caller, Chain, Change, Outcome};

    fn event() -> Event {
        Event {
            chain: Chain::Tenant("a".into()),
            sequence: 2,
            id: Uuid::from_u128(3),
            at: Timestamp(-1),
            caller: Caller {
                actor: "me".into(),
                roles: vec!["admin".into()],
                tenant: "a".into(),
                method: "s/M".into(),
                request_id: Uuid::from_u128(4),
                source: "::1".into(),
            },
            resource: "r/1".into(),
            revision: Revision(5),
            outcome: Outcome::Done,
            reason: String::new(),
            before: None,
            after: Some(Hash::ZERO),
            changes: vec![Change { path: "p".into(), old_json: None, new_json: Some("1".into()) }],
            attempts: 1,
        }
    }

    /// The bytes, written by hand from the page above: another program that follows the page gets the same.
    #[test]
    fn the_form_is_as_documented() {
        let hex = |text: &str| -> Vec<u8> {
            let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
            let pair = |p: &[char]| u8::from_str_radix(&p.iter().collect::<String>(), 16).expect("hex");
            digits.chunks(2).map(pair).collect()
        };
        let expected = hex(concat!(
            "01",
            "00000009 74656e616e74732f61", // tenants/a
            "0000000000000002",
            "00000000000000000000000000000003",
            "ffffffffffffffff",
            "00000002 6d65",
            "00000001 00000005 61646d696e",
            "00000001 61",
            "00000003 732f4d",
            "00000003 722f31",
            "0000000000000005",
            "00000004 646f6e65",
            "00000000",
            "00000000000000000000000000000004",
            "00000003 3a3a31",
            "00",
            "01 0000000000000000000000000000000000000000000000000000000000000000",
            "00000001 00000001 70 00 01 00000001 31",
            "0000000000000001",
        ));
        assert_eq!(encode(&event()), expected);
        let mut chained_by_hand = vec![0];
        chained_by_hand.extend_from_slice(&[0; 32]);
        chained_by_hand.extend_from_slice(&expected);
        assert_eq!(chained(&Hash::ZERO, &event()), Hash::of(&chained_by_hand));
    }

    #[test]
    fn what_moves_from_one_part_to_the_next_is_another_event() {
        let one = event();
        let mut other = event();
        other.caller.method = "s/Mr".into();
        other.resource = "/1".into();
        assert_ne!(encode(&one), encode(&other));
        let mut other = event();
        other.changes[0] = Change { path: "p".into(), old_json: Some("1".into()), new_json: None };
        assert_ne!(encode(&one), encode(&other));
    }
}
