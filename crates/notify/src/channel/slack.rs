//! Incoming webhooks of Slack, with Block Kit.

use hotswap_core::{Timestamp, Violations};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value as Json, json};

use super::{Failure, http};
use crate::SlackConfig;
use crate::message::Letter;
use crate::secret::SecretFile;
use crate::template::{Text, moment};

/// The most characters that a section takes; Slack refuses more than 3,000.
const MAX_SECTION: usize = 2_900;
/// The most sections that are made of a text; Slack takes 50 blocks.
const MAX_SECTIONS: usize = 8;

#[derive(Debug)]
pub(super) struct Slack {
    client: Client,
    url: SecretFile,
}

impl Slack {
    pub(super) fn new(config: &SlackConfig, v: &mut Violations) -> Option<Self> {
        let url = SecretFile::new(&config.url_file);
        let read = url.read().and_then(|s| http::address(s.expose()).map(drop).map_err(str::to_owned));
        v.take("url_file", read);
        let client = http::client(v, config.ca_file.as_deref(), config.proxy.as_ref())?;
        Some(Self { client, url })
    }

    pub(super) async fn send(&self, letter: &Letter, text: &Text, now: Timestamp) -> Result<(), Failure> {
        let secret = self.url.read().map_err(Failure::again)?;
        let url = http::address(secret.expose()).map_err(Failure::again)?;
        let secrets = http::secrets_of(&url);
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", &letter.id)
            .body(body(letter, text).to_string());
        http::send(request, &secrets, now).await
    }
}

/// A message in blocks, and its title for notifications and for readers of the screen.
fn body(letter: &Letter, text: &Text) -> Json {
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": text.title, "emoji": false } }),
    ];
    for part in sections(&text.text) {
        // Verbatim: Slack makes no links and mentions of what only looks like one.
        blocks
            .push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": part, "verbatim": true } }));
    }
    let foot = format!("{} · {}", letter.message.kind(), moment(letter.message.at()));
    blocks.push(
        json!({ "type": "context", "elements": [{ "type": "plain_text", "text": foot, "emoji": false }] }),
    );
    json!({ "text": text.title, "blocks": blocks })
}

/// A text in parts that a section takes, cut between lines.
fn sections(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let line: String = line.chars().take(MAX_SECTION).collect();
        match parts.last_mut() {
            Some(part) if part.chars().count() + line.chars().count() < MAX_SECTION => {
                part.push('\n');
                part.push_str(&line);
            }
            _ => parts.push(line),
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    if parts.len() > MAX_SECTIONS {
        parts.truncate(MAX_SECTIONS);
        parts.push("…".to_owned());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_lines_into_what_slack_takes() {
        let text = vec!["x".repeat(1_000); 5].join("\n");
        let parts = sections(&text);
        assert_eq!(parts.iter().map(|p| p.lines().count()).collect::<Vec<_>>(), [2, 2, 1]);
        let endless = sections(&"y".repeat(2_000).repeat(10).replace("yyyyyyyyyy", "yyyyyyyyy\n"));
        assert!(endless.iter().all(|p| p.chars().count() <= MAX_SECTION));
        assert_eq!(sections(&vec!["z".repeat(2_900); 30].join("\n")).len(), MAX_SECTIONS + 1);
        assert!(sections("\n\n").is_empty(), "Slack refuses an empty section");
    }
}
