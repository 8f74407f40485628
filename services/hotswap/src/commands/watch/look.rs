//! What has changed since the last look. The contract offers lists by revision and the history of each resource:
//!
//! ```text
//!   list, newest revision first ──► names whose revision is not the one told last ─┐
//!   list as a whole, now and then ──► names that are no longer there ──────────────┴─► their histories ──► events
//! ```
//!
//! A history holds every revision, so that nothing between two looks is lost and nothing is told twice. What comes
//! and goes between two looks leaves no name behind, and is not told.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::super::past::{self, What};
use crate::changes::Change;
use crate::client::Api;
use crate::exit::{Exit, Failure, one_line};
use crate::output::{self, Format, View};
use crate::resource::{Query, Resource, RevisionOf as _};
use crate::style::{Tone, paint};
use crate::words;

/// Rows asked for at once.
const PAGE: i32 = 200;
/// Up to so many resources are listed as a whole at every look, more of them at every tenth.
const LISTED_AT_ONCE: usize = 200;
const WHOLE_EVERY: u64 = 10;
/// Histories read at once.
const AT_ONCE: usize = 8;
/// Revisions of one resource that are told after one look.
const MOST: usize = 1_000;
/// Fields of a change that a line shows.
const FIELDS: usize = 3;

/// One change.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    time: String,
    change: &'static str,
    name: String,
    revision: i64,
    actor: String,
    differences: Vec<Change>,
    #[serde(skip)]
    what: What,
}

impl Event {
    /// As the view wants it, with the end of its last line.
    pub(super) fn shown(&self, view: View) -> Result<String, Failure> {
        match view.format {
            Format::Name => Ok(format!("{}\n", one_line(&self.name))),
            Format::Json => serde_json::to_string(self).map(|text| text + "\n").map_err(Failure::other),
            Format::Yaml => output::yaml(self).map(|text| format!("---\n{text}")),
            Format::Table => Ok(self.line(FIELDS, view.colours)),
            Format::Wide => Ok(self.line(usize::MAX, view.colours)),
        }
    }

    fn line(&self, fields: usize, colours: bool) -> String {
        let mut text = format!(
            "{}  {}  {}  revision {} by {}",
            paint(&self.time, Tone::Faint, colours),
            paint(self.change, self.what.tone(), colours),
            one_line(&self.name),
            self.revision,
            one_line(&self.actor),
        );
        // Of what is new or gone everything differs.
        if self.what == What::Updated {
            let words: Vec<_> = self.differences.iter().take(fields).map(Change::words).collect();
            let more = self.differences.len().saturating_sub(fields);
            text += &format!("  {}", words.join(", "));
            if more > 0 {
                text += &format!(", {more} more");
            }
        }
        text + "\n"
    }
}

/// What was told last of a resource.
#[derive(Clone, Copy)]
struct Told {
    revision: i64,
    there: bool,
}

/// Looks at all resources of a kind, or at some.
pub(super) struct Looker<R> {
    names: Option<Vec<String>>,
    told: HashMap<String, Told>,
    /// Everything that a list shows up to this revision is told.
    top: i64,
    /// What was not there at the start is told from this revision on.
    start: i64,
    looks: u64,
    kind: std::marker::PhantomData<fn() -> R>,
}

impl<R: Resource> Looker<R> {
    /// Begins with what is there, or with what came after a revision.
    pub(super) async fn start(
        api: &Api,
        names: Option<Vec<String>>,
        since: Option<i64>,
    ) -> Result<Self, Failure> {
        let mut this =
            Self { names, told: HashMap::new(), top: 0, start: 0, looks: 0, kind: std::marker::PhantomData };
        let mut newest = 0;
        if let Some(names) = &this.names {
            for name in names {
                let last = history::<R>(api, name, 0, 1).await?;
                newest = newest.max(last.first().map_or(0, |past| past.this.revision()));
            }
        } else {
            let rows = this.list(api, true).await?;
            newest = rows.first().map_or(0, |row| row.1);
            let told = |(name, revision): (String, i64)| {
                (name, Told { revision: since.map_or(revision, |s| s.min(revision)), there: true })
            };
            this.told = rows.into_iter().map(told).collect();
        }
        this.start = since.unwrap_or(newest);
        this.top = this.start;
        Ok(this)
    }

    /// What is watched.
    pub(super) fn what(&self) -> String {
        match &self.names {
            None if self.told.len() == 1 => format!("1 {}", R::COLLECTION.trim_end_matches('s')),
            None => format!("{} {}", self.told.len(), R::COLLECTION),
            Some(names) => names.join(", "),
        }
    }

    /// The newest revision that was told, or was there at the start.
    pub(super) fn at(&self) -> i64 {
        self.told.values().map(|t| t.revision).max().unwrap_or(0).max(self.top)
    }

    /// What has changed, in the order in which it happened.
    pub(super) async fn look(&mut self, api: &Api) -> Result<Vec<Event>, Failure> {
        let (names, top) = match &self.names {
            Some(names) => (names.clone(), self.top),
            None => self.suspects(api).await?,
        };
        let reads = names.into_iter().map(|name| async {
            let after = self.told.get(&name).map_or(self.start, |told| told.revision);
            let pasts = history::<R>(api, &name, after, MOST).await?;
            Ok::<_, Failure>((name, pasts))
        });
        let found: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut events = Vec::new();
        for (name, pasts) in found {
            if let Some(newest) = pasts.first() {
                let told = Told { revision: newest.this.revision(), there: newest.this.resource().is_some() };
                self.told.insert(name.clone(), told);
            }
            for past in &pasts {
                events.push(event(&name, past)?);
            }
        }
        events.sort_by(|a, b| (a.revision, &a.name).cmp(&(b.revision, &b.name)));
        self.top = top;
        self.looks += 1;
        Ok(events)
    }

    /// Names of which something may be told, and the newest revision of the list.
    async fn suspects(&self, api: &Api) -> Result<(Vec<String>, i64), Failure> {
        let whole = self.told.len() <= LISTED_AT_ONCE || self.looks.is_multiple_of(WHOLE_EVERY);
        let rows = self.list(api, whole).await?;
        let top = rows.first().map_or(self.top, |row| row.1.max(self.top));
        let is_told =
            |name: &str, revision| self.told.get(name).is_some_and(|t| t.there && t.revision >= revision);
        let changed =
            rows.iter().filter(|(name, revision)| !is_told(name, *revision)).map(|(name, _)| name.clone());
        let mut names: Vec<_> = changed.collect();
        if whole {
            let there: HashSet<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
            let gone = self.told.iter().filter(|(name, told)| told.there && !there.contains(name.as_str()));
            names.extend(gone.map(|(name, _)| name.clone()));
        }
        Ok((names, top))
    }

    /// Names and revisions, newest first: all of them, or those that are new since the last look.
    async fn list(&self, api: &Api, whole: bool) -> Result<Vec<(String, i64)>, Failure> {
        let mut rows = Vec::new();
        let mut page_token = String::new();
        loop {
            let order_by = "revision desc".to_owned();
            let query = Query { order_by, page_size: PAGE, page_token, ..Query::default() };
            let (page, next) = R::list(api, query).await?;
            rows.extend(page.iter().map(|r| (r.name().to_owned(), r.revision())));
            let rest_is_told = rows.last().is_some_and(|row: &(String, i64)| row.1 <= self.top);
            if next.is_empty() || (!whole && rest_is_told) {
                return Ok(rows);
            }
            page_token = next;
        }
    }
}

/// The revisions after one; none, where there never was such a resource.
async fn history<R: Resource>(
    api: &Api,
    name: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<past::Past<R>>, Failure> {
    match past::read::<R>(api, name, after, limit).await {
        Err(failure) if failure.exit() == Exit::NotFound => Ok(Vec::new()),
        result => result,
    }
}

fn event<R: Resource>(name: &str, past: &past::Past<R>) -> Result<Event, Failure> {
    let what = past.what();
    Ok(Event {
        time: words::moment(past.this.at()),
        change: what.as_str(),
        name: name.to_owned(),
        revision: past.this.revision(),
        actor: past.this.actor().to_owned(),
        differences: past.changes()?,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_first_fields_of_an_update() {
        let change = |path: &str| Change { path: path.into(), old: None, new: Some(1.into()) };
        let mut event = Event {
            time: "2026-01-01T00:00:00Z".into(),
            change: "updated",
            name: "routes/a".into(),
            revision: 7,
            actor: "me".into(),
            differences: ["a", "b", "c", "d"].map(change).into(),
            what: What::Updated,
        };
        let head = "2026-01-01T00:00:00Z  updated  routes/a  revision 7 by me";
        assert_eq!(event.line(3, false), format!("{head}  a: none → 1, b: none → 1, c: none → 1, 1 more\n"));
        event.what = What::Deleted;
        assert_eq!(event.line(3, false), format!("{head}\n"));
        assert!(
            serde_json::to_string(&event).expect("JSON").starts_with("{\"time\":\"2026-01-01T00:00:00Z\",")
        );
    }
}
