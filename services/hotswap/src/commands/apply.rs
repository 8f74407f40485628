//! `hotswap apply`.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _};
use hotswap_core::{Ids as _, SystemIds};
use tonic::Code;

use super::get;
use crate::cli::Apply;
use crate::client::Api;
use crate::exit::Failure;
use crate::manifest;
use crate::output;
use crate::resource::{Resource, Write};

/// From so many documents of a kind on, what is there is listed at once instead of asked for one by one.
const LIST_FROM: usize = 200;

pub(super) async fn run(args: &Apply) -> Result<(), Failure> {
    let manifest = manifest::load(&args.files).map_err(all_but_last)?;
    let pools = manifest.pools.iter().map(|pool| pool.name.clone()).collect();
    let job = Job { api: args.client.connect().await?, dry_run: args.dry_run, pools };
    let mut tally = Tally::default();
    job.apply(manifest.pools, args.parallel, &mut tally).await?;
    job.apply(manifest.routes, args.parallel, &mut tally).await?;
    tally.end()
}

/// Tells all failures but the last, which is told where the command ends.
fn all_but_last(mut failures: Vec<Failure>) -> Failure {
    let last = failures.pop().unwrap_or_else(|| Failure::usage("there is no document to apply"));
    for failure in failures {
        output::complain(&failure);
    }
    last
}

/// Failures are told as they come; the exit code is the first one's.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    first: Option<Failure>,
}

impl Tally {
    fn note(&mut self, failure: Failure) {
        output::complain(&failure);
        self.failed += 1;
        self.first.get_or_insert(failure);
    }

    fn end(self) -> Result<(), Failure> {
        let Some(first) = self.first else { return Ok(()) };
        let all = self.done + self.failed;
        Err(Failure::new(first.exit(), format!("{} of {all} documents were not applied", self.failed)))
    }
}

/// What every write of one command needs.
struct Job {
    api: Api,
    dry_run: bool,
    /// The pools that the documents themselves bring.
    pools: HashSet<String>,
}

impl Job {
    /// Writes all of one kind, so many at once, and tells each in the order of the documents.
    async fn apply<R: Resource>(
        &self,
        resources: Vec<R>,
        parallel: u16,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let mut known = if resources.len() < LIST_FROM { None } else { Some(self.everything::<R>().await?) };
        let writes = resources.into_iter().map(|resource| {
            let before = known.as_mut().map(|known| known.remove(resource.name()));
            self.put(resource, before)
        });
        let mut outcomes = stream::iter(writes).buffered(usize::from(parallel));
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(text) => {
                    tally.done += 1;
                    output::line(&text)?;
                }
                Err(failure) => tally.note(failure),
            }
        }
        Ok(())
    }

    /// All that is there, by name.
    async fn everything<R: Resource>(&self) -> Result<HashMap<String, R>, Failure> {
        let items = get::all::<R>(&self.api, "", "", None).await?;
        Ok(items.into_iter().map(|item| (item.name().to_owned(), item)).collect())
    }

    /// Writes one. `before` is what was there, where that is known.
    async fn put<R: Resource>(&self, resource: R, before: Option<Option<R>>) -> Result<String, Failure> {
        let name = resource.name().to_owned();
        let before = match before {
            Some(before) => before,
            None => self.before(&name).await?,
        };
        // In a dry run the pools of the same documents are not there yet; that is no fault of a route.
        let brought = resource.pool().is_some_and(|pool| self.pools.contains(pool));
        let request_id = SystemIds.uuid().to_string();
        let write = Write { resource, validate_only: self.dry_run, request_id };
        let outcome = match R::put(&self.api, write).await.map_err(Failure::from) {
            Ok(after) => Outcome::of(before.as_ref(), &after),
            Err(failure) if self.dry_run && brought && failure.is_only_about(POOL_FIELD) => {
                if before.is_some() { Outcome::Configured } else { Outcome::Created }
            }
            Err(failure) => return Err(failure.about(&name)),
        };
        let dry = if self.dry_run { " (dry run)" } else { "" };
        Ok(format!("{name} {}{dry}", outcome.as_str()))
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

/// The field that a route names its pool in, as violations give it.
const POOL_FIELD: &str = "route.forward.pool";

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Created,
    Configured,
    Unchanged,
}

impl Outcome {
    fn of<R: Resource>(before: Option<&R>, after: &R) -> Self {
        match before {
            None => Self::Created,
            Some(before) if before.content() == after.content() => Self::Unchanged,
            Some(_) => Self::Configured,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}
