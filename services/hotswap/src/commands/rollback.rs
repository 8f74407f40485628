//! `hotswap rollback`: what a resource was at a revision is written again, as a new revision. Whoever writes at the
//! same time wins: the etag that was read guards the write.

use hotswap_api::route::v1::{Certificate, Pool, Route};
use hotswap_core::{Ids as _, SystemIds};
use tonic::Code;

use super::past;
use super::revision;
use super::target::Target;
use crate::changes::{self, Change};
use crate::cli::Rollback;
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::resource::{Resource, ResourceKind, RevisionOf as _, Write};
use crate::style::{self, Tone, paint};

pub(super) async fn run(args: &Rollback) -> Result<(), Failure> {
    let names = Target::parse_named(&args.resources)?;
    let [(kind, name)] = names.as_slice() else {
        return Err(Failure::usage("one resource at a time is rolled back"));
    };
    let api = args.client.connect().await?;
    revision::check(&api, args.to).await?;
    match kind {
        ResourceKind::Route => back::<Route>(&api, name, args).await,
        ResourceKind::Pool => back::<Pool>(&api, name, args).await,
        ResourceKind::Certificate => back::<Certificate>(&api, name, args).await,
    }
}

async fn back<R: Resource>(api: &Api, name: &str, args: &Rollback) -> Result<(), Failure> {
    let before = match R::get(api, name.to_owned()).await {
        Ok(before) => Some(before),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(Failure::from(status).about(name)),
    };
    let (revision, mut then) = content::<R>(api, name, args.to).await?;
    let dry = if args.dry_run { " (dry run)" } else { "" };
    if before.as_ref().is_some_and(|now| now.content() == then) {
        return output::line(&format!("{name} unchanged: it is what it was at revision {revision}{dry}"));
    }
    then.set_etag(before.as_ref().map(|now| now.etag().to_owned()).unwrap_or_default());
    let write = Write {
        resource: then,
        validate_only: args.dry_run,
        draft: false,
        request_id: SystemIds.uuid().to_string(),
    };
    let written = if before.is_some() { R::put(api, write).await } else { R::create(api, write).await };
    let after = written.map_err(|status| Failure::from(status).about(name))?;
    let colours = style::on_stdout();
    let what = paint("rolled back", Tone::Warn, colours);
    let now = if args.dry_run { String::new() } else { format!(", as revision {}", after.revision()) };
    output::line(&format!("{name} {what} to what it was at revision {revision}{now}{dry}"))?;
    for change in changes::between(before.as_ref(), Some(&after))?.iter().map(Change::words) {
        output::line(&format!("  {change}"))?;
    }
    Ok(())
}

/// What it was at a revision, without what the server writes, and the revision that had written it.
async fn content<R: Resource>(api: &Api, name: &str, to: i64) -> Result<(i64, R), Failure> {
    let Some(found) = past::at::<R>(api, name, to).await? else {
        let why = format!("{name} was not there yet at revision {to}");
        return Err(
            Failure::new(Exit::NotFound, why).hint(format!("`hotswap history {name}` shows its revisions"))
        );
    };
    match found.resource() {
        Some(then) => Ok((found.revision(), then.content())),
        None => {
            let why = format!(
                "{name} was not there at revision {to}: revision {} had deleted it",
                found.revision()
            );
            Err(Failure::new(Exit::Conflict, why).hint(format!("`hotswap delete {name}` deletes it")))
        }
    }
}
