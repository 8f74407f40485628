//! Edits of headers.

use hotswap_core::Violations;
use http::{HeaderName, HeaderValue};

use super::condition::parse_each;
use crate::draft::{HeaderDraft, HeaderEditsDraft};

/// Headers that belong to one connection or to the framing of a message; no edit may touch them.
const PROTECTED: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Edits, in this order: remove, set, add.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    /// Names to take away.
    pub remove: Vec<HeaderName>,
    /// Headers that replace all of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Headers put beside those of the same name.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    pub(super) fn parse(draft: &HeaderEditsDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        for (what, len) in
            [("remove", draft.remove.len()), ("set", draft.set.len()), ("add", draft.add.len())]
        {
            if len > 32 {
                v.add(what, "must have at most 32 entries");
            }
        }
        let remove =
            parse_each(&mut v, "remove", &draft.remove, |n| name(n).map_err(|m| Violations::one("", m)));
        let set = parse_each(&mut v, "set", &draft.set, header);
        let add = parse_each(&mut v, "add", &draft.add, header);
        v.into_result()?;
        Ok(Self { remove, set, add })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

pub(super) fn name(text: &str) -> Result<HeaderName, String> {
    if text.len() > 200 {
        return Err("must be at most 200 bytes".into());
    }
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a valid header name")?;
    if PROTECTED.contains(&name.as_str()) {
        return Err(format!("{name} belongs to the connection or the framing and can't be edited"));
    }
    Ok(name)
}

fn header(draft: &HeaderDraft) -> Result<(HeaderName, HeaderValue), Violations> {
    let mut v = Violations::new();
    let name = v.take("name", name(&draft.name));
    let valid =
        draft.value.len() <= 4_096 && draft.value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
    let value = HeaderValue::from_str(&draft.value).ok().filter(|_| valid);
    let value = v.take("value", value.ok_or("must be visible ASCII, spaces and tabs, at most 4,096 bytes"));
    match (name, value) {
        (Some(name), Some(value)) => Ok((name, value)),
        _ => Err(v),
    }
}
