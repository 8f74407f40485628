//! `hotswap apply`.

use std::pin::pin;

use futures_util::stream::StreamExt as _;

use super::prune::Prune;
use super::write::{self, Outcome, Tally, Writer};
use crate::cli::Apply;
use crate::exit::Failure;
use crate::output::{self, Format, View};
use crate::proto_json::Document;
use crate::resource::Resource;
use crate::style::{Tone, paint};

pub(super) async fn run(args: &Apply) -> Result<(), Failure> {
    let manifest = write::documents(&args.documents)?;
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let prune = Prune::prepare(args, &manifest, &api).await?;
    let writer = Writer::new(api.clone(), &manifest, args.dry_run).drafting(args.draft);
    let mut job = Job { dry_run: args.dry_run, view, tally: Tally::default(), documents: Vec::new() };
    job.apply(&writer, manifest.certificates, args.documents.parallel).await?;
    job.apply(&writer, manifest.pools, args.documents.parallel).await?;
    job.apply(&writer, manifest.routes, args.documents.parallel).await?;
    job.show()?;
    job.tally.end("applied")?;
    prune.run(&api, view).await
}

struct Job {
    dry_run: bool,
    view: View,
    tally: Tally,
    /// What was written, where it is to be shown whole.
    documents: Vec<Document>,
}

impl Job {
    /// Writes all of one kind. What is told in lines is told as it happens.
    async fn apply<R: Resource>(
        &mut self,
        writer: &Writer,
        items: Vec<R>,
        at_once: u16,
    ) -> Result<(), Failure> {
        let mut outcomes = pin!(writer.all(items, at_once).await?);
        while let Some(outcome) = outcomes.next().await {
            let written = match outcome {
                Ok(Some(written)) => written,
                Ok(None) => {
                    self.tally.left += 1;
                    continue;
                }
                Err(failure) => {
                    self.tally.note(&failure);
                    continue;
                }
            };
            self.tally.done += 1;
            match self.view.format {
                Format::Table | Format::Wide => self.tell(&written.after, written.outcome())?,
                Format::Name => output::line(written.after.name())?,
                Format::Json | Format::Yaml => {
                    self.documents.push(Document::of(<R as Resource>::KIND, R::MESSAGE, &written.after)?);
                }
            }
        }
        Ok(())
    }

    fn tell<R: Resource>(&self, after: &R, outcome: Outcome) -> Result<(), Failure> {
        let tone = match outcome {
            Outcome::Created => Tone::Good,
            Outcome::Configured | Outcome::Drafted => Tone::Warn,
            Outcome::Unchanged => Tone::Faint,
        };
        let dry = if self.dry_run { " (dry run)" } else { "" };
        let which = match outcome {
            // Whoever rolls it out, or looks at it, needs its number.
            Outcome::Drafted if !self.dry_run => format!(" as revision {}", after.revision()),
            _ => String::new(),
        };
        let what = paint(outcome.as_str(), tone, self.view.colours);
        output::line(&format!("{} {what}{which}{dry}", after.name()))
    }

    fn show(&self) -> Result<(), Failure> {
        let text = match (self.view.format, self.documents.as_slice()) {
            (Format::Json, [one]) => output::json(one)?,
            (Format::Json, many) => output::json(&many)?,
            (Format::Yaml, many) => {
                many.iter().map(output::yaml).collect::<Result<Vec<_>, _>>()?.join("---\n")
            }
            (Format::Table | Format::Wide | Format::Name, _) => return Ok(()),
        };
        output::told(&text).map(drop)
    }
}
