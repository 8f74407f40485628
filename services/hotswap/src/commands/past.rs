//! The revisions of a resource: read page by page, and told one by one.

use crate::changes::{self, Change};
use crate::client::Api;
use crate::exit::Failure;
use crate::output::Show;
use crate::proto_json::Document;
use crate::resource::{Resource, RevisionOf};
use crate::style::{Cell, Tone};
use crate::words;

/// Revisions asked for at once.
const PAGE: usize = 100;

/// What a revision did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Created,
    Updated,
    /// Kept, and never live.
    Drafted,
    Deleted,
}

impl What {
    /// What a revision did, by what it left and what there was before it.
    pub(super) fn of<R: Resource>(this: &R::Revision, before: Option<&R::Revision>) -> Self {
        match (this.resource(), before.and_then(RevisionOf::resource)) {
            (None, _) => Self::Deleted,
            (Some(kept), _) if kept.is_draft() => Self::Drafted,
            (Some(_), None) => Self::Created,
            (Some(_), Some(_)) => Self::Updated,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Drafted => "drafted",
            Self::Deleted => "deleted",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Created => Tone::Good,
            Self::Updated | Self::Drafted => Tone::Warn,
            Self::Deleted => Tone::Bad,
        }
    }
}

/// A revision, and the one before it, where there is one.
pub(super) struct Past<R: Resource> {
    pub(super) this: R::Revision,
    before: Option<R::Revision>,
}

impl<R: Resource> Past<R> {
    pub(super) fn what(&self) -> What {
        What::of::<R>(&self.this, self.before.as_ref())
    }

    /// Whether the revision is a draft that never was live.
    pub(super) fn is_draft(&self) -> bool {
        self.this.resource().is_some_and(Resource::is_draft)
    }

    /// What the revision changed.
    pub(super) fn changes(&self) -> Result<Vec<Change>, Failure> {
        changes::between(self.before.as_ref().and_then(RevisionOf::resource), self.this.resource())
    }
}

impl<R: Resource> Show for Past<R> {
    const COLUMNS: &'static [&'static str] = &["REVISION", "WHAT", "WHEN", "WHO"];
    const WIDE: &'static [&'static str] = &["CHANGES"];

    fn called(&self) -> String {
        self.this.revision().to_string()
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let mut row = vec![
            self.this.revision().to_string().into(),
            Cell::toned(self.what().as_str(), self.what().tone()),
            words::moment(self.this.at()).into(),
            self.this.actor().into(),
        ];
        if wide {
            // Only an update says what it changed: of the others that is everything.
            let changes = if matches!(self.what(), What::Updated | What::Drafted) {
                self.changes().unwrap_or_default()
            } else {
                Vec::new()
            };
            row.push(changes.iter().map(Change::words).collect::<Vec<_>>().join(", ").into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of(R::Revision::KIND, R::Revision::MESSAGE, &self.this)
    }
}

/// The newest revisions, newest first, at most so many, and none at or below `after`.
pub(super) async fn read<R: Resource>(
    api: &Api,
    name: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<Past<R>>, Failure> {
    let mut found: Vec<R::Revision> = Vec::new();
    let mut page_token = String::new();
    // One more than asked for, so that the last one can be compared with what was before it.
    while found.len() <= limit && found.last().is_none_or(|r| r.revision() > after) {
        let size = limit.saturating_sub(found.len()).saturating_add(1).min(PAGE);
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let page = R::revisions(api, name.to_owned(), size, page_token).await;
        let (page, next) = page.map_err(|status| Failure::from(status).about(name))?;
        found.extend(page);
        if next.is_empty() {
            break;
        }
        page_token = next;
    }
    let before: Vec<_> = found.iter().skip(1).cloned().map(Some).chain([None]).collect();
    let pasts = found.into_iter().zip(before).map(|(this, before)| Past::<R> { this, before });
    Ok(pasts.take(limit).take_while(|past| past.this.revision() > after).collect())
}

/// What a resource was at a revision of the configuration.
pub(super) async fn at<R: Resource>(
    api: &Api,
    name: &str,
    revision: i64,
) -> Result<Option<R::Revision>, Failure> {
    let mut page_token = String::new();
    loop {
        let size = i32::try_from(PAGE).unwrap_or(i32::MAX);
        let page = R::revisions(api, name.to_owned(), size, page_token).await;
        let (page, next) = page.map_err(|status| Failure::from(status).about(name))?;
        if let Some(found) = page.into_iter().find(|r| r.revision() <= revision) {
            return Ok(Some(found));
        }
        if next.is_empty() {
            return Ok(None);
        }
        page_token = next;
    }
}
