//! Writing documents, or seeing what a write would do: what `apply` and `diff` share.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, Stream, StreamExt as _};
use hotswap_core::{Ids as _, SystemIds};
use tonic::Code;

use super::get;
use crate::cli::Documents;
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::manifest::{self, Manifest};
use crate::output;
use crate::resource::{Resource, Write};

/// From so many documents of a kind on, what is there is listed at once instead of asked for one by one.
const LIST_FROM: usize = 200;

/// Reads and checks all documents. Failures but the last are told; the last is given.
pub(super) fn documents(args: &Documents) -> Result<Manifest, Failure> {
    manifest::load(&args.files, args.recursive).map_err(|mut failures| {
        let last = failures.pop().unwrap_or_else(|| Failure::usage("there is no document to apply"));
        for failure in failures {
            output::complain(&failure);
        }
        last
    })
}

/// Failures are told as they come; the exit code is the first one's.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) done: usize,
    failed: usize,
    /// Those that were not tried any more.
    pub(super) left: usize,
    first: Option<Exit>,
}

impl Tally {
    pub(super) fn note(&mut self, failure: &Failure) {
        output::complain(failure);
        self.failed += 1;
        self.first.get_or_insert(failure.exit());
    }

    /// How it went; `what` became of those that failed, as "applied".
    pub(super) fn end(&self, what: &str) -> Result<(), Failure> {
        let Some(first) = self.first else { return Ok(()) };
        let all = self.done + self.failed + self.left;
        let left =
            if self.left > 0 { format!(", and {} more were not tried", self.left) } else { String::new() };
        Err(Failure::new(first, format!("{} of {all} documents were not {what}{left}", self.failed)))
    }
}

/// What every write of one command needs.
pub(super) struct Writer {
    api: Api,
    dry_run: bool,
    /// What is written is kept, and carries no traffic.
    draft: bool,
    /// The pools that the documents themselves bring.
    pools: HashSet<String>,
    /// Something is wrong that is so for every document: nothing more is tried.
    stopped: Cell<bool>,
}

/// What a write did, or would do.
pub(super) struct Written<R> {
    draft: bool,
    pub(super) before: Option<R>,
    pub(super) after: R,
}

impl<R: Resource> Written<R> {
    pub(super) fn outcome(&self) -> Outcome {
        match &self.before {
            None => Outcome::Created,
            Some(before) if before.content() == self.after.content() => Outcome::Unchanged,
            Some(_) if self.draft => Outcome::Drafted,
            Some(_) => Outcome::Configured,
        }
    }
}

impl Writer {
    pub(super) fn new(api: Api, manifest: &Manifest, dry_run: bool) -> Self {
        let pools = manifest.pools.iter().map(|pool| pool.name.clone()).collect();
        Self { api, dry_run, draft: false, pools, stopped: Cell::new(false) }
    }

    /// Keeps what it writes as drafts.
    pub(super) fn drafting(self, draft: bool) -> Self {
        Self { draft, ..self }
    }

    /// Writes all of one kind, so many at once; tells each in the order of the documents. `None`: it was not tried,
    /// as the control plane is away or does not let the caller write.
    pub(super) async fn all<R: Resource>(
        &self,
        resources: Vec<R>,
        parallel: u16,
    ) -> Result<impl Stream<Item = Result<Option<Written<R>>, Failure>>, Failure> {
        let mut known = if resources.len() < LIST_FROM { None } else { Some(self.everything::<R>().await?) };
        let writes = resources.into_iter().map(move |resource| {
            let before = known.as_mut().map(|known| known.remove(resource.name()));
            self.tried(resource, before)
        });
        Ok(stream::iter(writes).buffered(usize::from(parallel)))
    }

    /// All that is there, by name.
    async fn everything<R: Resource>(&self) -> Result<HashMap<String, R>, Failure> {
        let items = get::all::<R>(&self.api, "", "", None).await?;
        Ok(items.into_iter().map(|item| (item.name().to_owned(), item)).collect())
    }

    async fn tried<R: Resource>(
        &self,
        resource: R,
        before: Option<Option<R>>,
    ) -> Result<Option<Written<R>>, Failure> {
        if self.stopped.get() {
            return Ok(None);
        }
        let outcome = self.put(resource, before).await;
        if let Err(failure) = &outcome {
            self.stopped
                .set(self.stopped.get() || matches!(failure.exit(), Exit::Unavailable | Exit::Denied));
        }
        outcome.map(Some)
    }

    /// Writes one. `before` is what was there, where that is known.
    async fn put<R: Resource>(&self, resource: R, before: Option<Option<R>>) -> Result<Written<R>, Failure> {
        let name = resource.name().to_owned();
        let before = match before {
            Some(before) => before,
            None => self.before(&name).await?,
        };
        // In a dry run the pools of the same documents are not there yet; that is no fault of a route.
        let brought = resource.pools().filter(|(_, pool)| self.pools.contains(*pool));
        let brought: Vec<_> = brought.map(|(field, _)| field).collect();
        let as_is = resource.clone();
        let request_id = SystemIds.uuid().to_string();
        let write = Write { resource, validate_only: self.dry_run, draft: self.draft, request_id };
        match R::put(&self.api, write).await.map_err(Failure::from) {
            Ok(after) => Ok(Written { draft: self.draft, before, after }),
            Err(failure) if self.dry_run && failure.is_only_about(&brought) => {
                Ok(Written { draft: self.draft, before, after: as_is })
            }
            Err(failure) => Err(failure.about(&name)),
        }
    }

    /// What is there under a name.
    async fn before<R: Resource>(&self, name: &str) -> Result<Option<R>, Failure> {
        match R::get(&self.api, name.to_owned()).await {
            Ok(before) => Ok(Some(before)),
            // A name that breaks the rules is told by the write, with everything else that is wrong.
            Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => Ok(None),
            Err(status) => Err(Failure::from(status).about(name)),
        }
    }
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    Configured,
    Drafted,
    Unchanged,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Drafted => "drafted",
            Self::Unchanged => "unchanged",
        }
    }
}
