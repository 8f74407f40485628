//! `hotswap audit list`.

use hotswap_api::audit::v1::event::Outcome;
use hotswap_api::audit::v1::{Change, Event, ListEventsRequest};

use crate::cli::AuditList;
use crate::client::Api;
use crate::exit::Failure;
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::{Cell, Tone};
use crate::words;

/// Events asked for at once: the most that a page holds.
const PAGE: usize = 1_000;

pub(super) async fn run(args: &AuditList) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let events = newest(&target.connect().await?, args).await?;
    output::many(&events, view, 0)
}

/// The newest events that are asked for, newest first.
async fn newest(api: &Api, args: &AuditList) -> Result<Vec<Event>, Failure> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let size = limit.saturating_sub(found.len()).min(PAGE);
        let request = ListEventsRequest {
            chain: args.chain.chain.clone(),
            filter: args.filter.clone(),
            page_size: i32::try_from(size).unwrap_or(i32::MAX),
            page_token,
        };
        let page = api.audit.clone().list_events(request).await?.into_inner();
        found.extend(page.events);
        if found.len() >= limit || page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

impl Show for Event {
    const COLUMNS: &'static [&'static str] = &["SEQUENCE", "WHEN", "WHO", "WHAT", "RESOURCE", "OUTCOME"];
    const WIDE: &'static [&'static str] = &["FROM", "ROLES", "REQUEST", "CHANGES"];

    fn called(&self) -> String {
        format!("{}/{}", self.chain, self.sequence)
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let method = self.method.rsplit('/').next().unwrap_or_default();
        let resource = if self.resource.is_empty() { "-" } else { &self.resource };
        let mut row = vec![
            self.sequence.to_string().into(),
            words::moment(self.time.as_ref()).into(),
            self.actor.as_str().into(),
            method.into(),
            resource.into(),
            outcome(self),
        ];
        if wide {
            row.push(self.source_address.as_str().into());
            row.push(self.roles.join(", ").into());
            row.push(self.request_id.as_str().into());
            row.push(self.changes.iter().map(change).collect::<Vec<_>>().join(", ").into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("AuditEvent", "hotswap.audit.v1.Event", self)
    }
}

/// As "done", "failed: STALE_ETAG" or "denied: TOKEN_MISSING, 200 times".
fn outcome(event: &Event) -> Cell {
    let (word, tone) = match event.outcome() {
        Outcome::Unspecified => ("unknown", Tone::Faint),
        Outcome::Done => ("done", Tone::Good),
        Outcome::Denied => ("denied", Tone::Bad),
        Outcome::Failed => ("failed", Tone::Warn),
    };
    let mut text = word.to_owned();
    if !event.reason.is_empty() {
        text = format!("{text}: {}", event.reason);
    }
    if event.attempts > 1 {
        text = format!("{text}, {} times", event.attempts);
    }
    Cell::toned(text, tone)
}

fn change(change: &Change) -> String {
    let value = |json: &str| if json.is_empty() { "nothing".to_owned() } else { json.to_owned() };
    format!("{}: {} to {}", change.path, value(&change.old_json), value(&change.new_json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_why_and_how_often() {
        let event = |outcome: Outcome, reason: &str, attempts| Event {
            outcome: outcome.into(),
            reason: reason.into(),
            attempts,
            ..Event::default()
        };
        assert_eq!(outcome(&event(Outcome::Done, "", 1)).text, "done");
        let flood = event(Outcome::Denied, "TOKEN_MISSING", 200);
        assert_eq!(outcome(&flood).text, "denied: TOKEN_MISSING, 200 times");
    }
}
