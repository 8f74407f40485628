//! What people are told, before anybody knows over which channels.

use hotswap_core::{Timestamp, Violations};
use serde_json::Value as Json;

/// The longest key and subject, in bytes.
const MAX_WORDS: usize = 200;
/// The most data, in bytes of JSON: receivers of webhooks like less than 20 kB.
const MAX_DATA: usize = 16 * 1024;

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    dedupe_key: String,
    kind: String,
    subject: String,
    at: Timestamp,
    data: Json,
}

impl Message {
    /// A message.
    ///
    /// - `dedupe_key`: names the event for ever, as "rollouts/<id>/<seq>". A second message with it is not put.
    /// - `kind`: what happened, as "rollout.started". Channels choose by it, and it names the template.
    /// - `subject`: what it happened to, as "routes/checkout".
    /// - `at`: when it happened.
    /// - `data`: the rest, a JSON object of at most 16 KiB. No secrets: it is sent to strangers.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn new(
        dedupe_key: impl Into<String>,
        kind: impl Into<String>,
        subject: impl Into<String>,
        at: Timestamp,
        data: Json,
    ) -> Result<Self, Violations> {
        let this =
            Self { dedupe_key: dedupe_key.into(), kind: kind.into(), subject: subject.into(), at, data };
        let mut v = Violations::new();
        if !is_words(&this.dedupe_key, |c| c.is_ascii_graphic()) {
            v.add("dedupe_key", format!("must be 1 to {MAX_WORDS} visible ASCII characters"));
        }
        if !is_kind(&this.kind) {
            v.add("kind", "must be words of a-z, 0-9 and _, with dots between them, as \"rollout.started\"");
        }
        if !is_words(&this.subject, |c| !c.is_control()) {
            v.add("subject", format!("must be 1 to {MAX_WORDS} bytes without control characters"));
        }
        if !this.data.is_object() || this.data.to_string().len() > MAX_DATA {
            v.add("data", format!("must be a JSON object of at most {MAX_DATA} bytes"));
        }
        if v.is_empty() { Ok(this) } else { Err(v) }
    }

    /// What names the event for ever.
    pub fn dedupe_key(&self) -> &str {
        &self.dedupe_key
    }

    /// What happened, as "rollout.started".
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it happened to.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The rest.
    pub fn data(&self) -> &Json {
        &self.data
    }

    /// One that was stored, and so was checked once.
    pub(crate) fn stored(
        dedupe_key: String,
        kind: String,
        subject: String,
        at: Timestamp,
        data: Json,
    ) -> Self {
        Self { dedupe_key, kind, subject, at, data }
    }
}

/// A message with the identity it is sent under, which is the same however often it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) message: Message,
}

fn is_words(text: &str, good: impl Fn(char) -> bool) -> bool {
    (1..=MAX_WORDS).contains(&text.len()) && text.chars().all(good)
}

/// Whether it is a kind: words with dots between them. It names files, so it has nothing else.
pub(crate) fn is_kind(text: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() <= 64 && text.split('.').all(word)
}

/// Kinds that a channel wants: "rollout.started", all that begin with "rollout." ("rollout.*"), or all ("*").
pub(crate) fn is_pattern(text: &str) -> bool {
    text == "*" || is_kind(text.strip_suffix(".*").unwrap_or(text))
}

/// Whether a pattern takes a kind.
pub(crate) fn takes(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(message: Result<Message, Violations>) -> Vec<String> {
        message.expect_err("wrong").iter().map(|v| v.field.clone()).collect()
    }

    #[test]
    fn all_that_is_wrong_with_a_message_is_told_at_once() {
        let bad = Message::new("a b", "Rollout Started", "two\nlines", Timestamp(0), json!([]));
        assert_eq!(fields(bad), ["dedupe_key", "kind", "subject", "data"]);
        let long = json!({ "text": "x".repeat(MAX_DATA) });
        assert_eq!(fields(Message::new("k", "a", "s", Timestamp(0), long)), ["data"]);
        assert!(Message::new("rollouts/1/2", "rollout.started", "routes/ä", Timestamp(0), json!({})).is_ok());
    }

    #[test]
    fn a_kind_names_no_file_elsewhere() {
        for bad in ["", ".", "a.", "../a", "a/b", "A", "a..b", "a b"] {
            assert!(!is_kind(bad), "{bad}");
        }
    }

    #[test]
    fn a_pattern_takes_a_kind_or_what_begins_with_its_words() {
        let cases = [
            ("*", "rollout.started", true),
            ("rollout.*", "rollout.started", true),
            ("rollout.*", "rollouts.started", false),
            ("rollout.started", "rollout.started", true),
            ("rollout.started", "rollout.started.twice", false),
        ];
        for (pattern, kind, taken) in cases {
            assert!(is_pattern(pattern), "{pattern}");
            assert_eq!(takes(pattern, kind), taken, "{pattern} {kind}");
        }
        assert!(!is_pattern("roll*") && !is_pattern("*.started") && !is_pattern(".*"));
    }
}
