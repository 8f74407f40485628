//! `hotswap diff`: what files would change, or what differs between two revisions. It ends with 1 where something
//! differs, so no failure of it ends with 1.

use std::pin::pin;

use futures_util::stream::StreamExt as _;
use hotswap_api::route::v1::{Certificate, Pool, Route};
use serde::Serialize;

use super::Ended;
use super::target::Target;
use super::write::{self, Tally, Writer, Written};
use crate::changes::{self, Change};
use crate::cli::Diff;
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, View};
use crate::resource::{Resource, ResourceKind};

pub(super) async fn run(args: &Diff) -> Result<Ended, Failure> {
    let found = if args.documents.files.is_empty() { revisions(args).await } else { files(args).await };
    match found {
        Ok(true) => Ok(Ended::Differs),
        Ok(false) => Ok(Ended::Well),
        Err(failure) if failure.exit() == Exit::Other => Err(failure.with_exit(Exit::Usage)),
        Err(failure) => Err(failure),
    }
}

/// What differs in one resource.
#[derive(Serialize)]
struct Difference {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_revision: Option<i64>,
    differences: Vec<Change>,
}

/// What files would change; whether they would.
async fn files(args: &Diff) -> Result<bool, Failure> {
    let manifest = write::documents(&args.documents)?;
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let writer = Writer::new(target.connect().await?, &manifest, true);
    let mut job = Job { view, tally: Tally::default(), found: Vec::new() };
    job.compare(&writer, manifest.certificates, args.documents.parallel).await?;
    job.compare(&writer, manifest.pools, args.documents.parallel).await?;
    job.compare(&writer, manifest.routes, args.documents.parallel).await?;
    show(&job.found, view, false)?;
    job.tally.end("compared")?;
    Ok(!job.found.is_empty())
}

struct Job {
    view: View,
    tally: Tally,
    found: Vec<Difference>,
}

impl Job {
    async fn compare<R: Resource>(
        &mut self,
        writer: &Writer,
        items: Vec<R>,
        at_once: u16,
    ) -> Result<(), Failure> {
        let mut outcomes = pin!(writer.all(items, at_once).await?);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Err(failure) => self.tally.note(&failure),
                Ok(None) => self.tally.left += 1,
                Ok(Some(written)) => {
                    self.tally.done += 1;
                    self.note(&written)?;
                }
            }
        }
        Ok(())
    }

    fn note<R: Resource>(&mut self, written: &Written<R>) -> Result<(), Failure> {
        let Written { before, after, .. } = written;
        let differences = changes::between(before.as_ref(), Some(after))?;
        if before.is_some() && differences.is_empty() {
            return Ok(());
        }
        let name = after.name().to_owned();
        if matches!(self.view.format, Format::Table | Format::Wide) {
            let old = before.as_ref().map_or_else(|| "/dev/null".into(), |b| at(&name, b.revision()));
            let old = (before.as_ref(), old.as_str());
            let text = changes::unified(
                old,
                (Some(after), &format!("{name} (as in the files)")),
                self.view.colours,
            )?;
            output::told(&text)?;
        }
        let from_revision = before.as_ref().map(Resource::revision);
        self.found.push(Difference { name, from_revision, to_revision: None, differences });
        Ok(())
    }
}

fn at(name: &str, revision: i64) -> String {
    format!("{name} (revision {revision})")
}

/// What differs between two revisions; whether anything does.
async fn revisions(args: &Diff) -> Result<bool, Failure> {
    let names = Target::parse_named(&args.resources)?;
    let [(kind, name)] = names.as_slice() else {
        return Err(Failure::usage("revisions are compared for one resource at a time"));
    };
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    match kind {
        ResourceKind::Route => compare::<Route>(&api, name, args, view).await,
        ResourceKind::Pool => compare::<Pool>(&api, name, args, view).await,
        ResourceKind::Certificate => compare::<Certificate>(&api, name, args, view).await,
    }
}

async fn compare<R: Resource>(api: &Api, name: &str, args: &Diff, view: View) -> Result<bool, Failure> {
    let (from, to) = (args.from.unwrap_or(0), args.to.unwrap_or(0));
    let compared = R::diff(api, name.to_owned(), from, to).await.map_err(|s| Failure::from(s).about(name))?;
    let differences: Vec<_> = compared.differences.into_iter().map(Change::from).collect();
    let differs = !differences.is_empty();
    if differs && matches!(view.format, Format::Table | Format::Wide) {
        let old = if compared.from == 0 { "/dev/null".to_owned() } else { at(name, compared.from) };
        output::told(&changes::by_field(&differences, &old, &at(name, compared.to), view.colours))?;
    }
    let (from_revision, to_revision) = (Some(compared.from).filter(|r| *r != 0), Some(compared.to));
    let found = [Difference { name: name.to_owned(), from_revision, to_revision, differences }];
    if differs || view.format != Format::Name {
        show(&found, view, true)?;
    }
    Ok(differs)
}

/// What differs, for programs; people have read it by then.
fn show(found: &[Difference], view: View, alone: bool) -> Result<(), Failure> {
    let text = match view.format {
        Format::Table | Format::Wide => return Ok(()),
        Format::Name => found.iter().map(|d| format!("{}\n", d.name)).collect(),
        Format::Json if alone => found.first().map_or_else(|| Ok(String::new()), output::json)?,
        Format::Json => output::json(&found)?,
        Format::Yaml => found.iter().map(output::yaml).collect::<Result<Vec<_>, _>>()?.join("---\n"),
    };
    output::told(&text).map(drop)
}
