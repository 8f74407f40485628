//! `hotswap delete`.

use hotswap_api::route::v1::{Certificate, Pool, Route};
use hotswap_core::{Ids as _, SystemIds};

use super::target::Target;
use crate::cli;
use crate::exit::Failure;
use crate::output;
use crate::resource::{Delete, Resource as _, ResourceKind};

pub(super) async fn run(args: &cli::Delete) -> Result<(), Failure> {
    let mut names = Target::parse_named(&args.resources)?;
    if names.len() > 1 && !args.etag.is_empty() {
        return Err(Failure::usage("--etag is for one resource"));
    }
    // Routes go first: a pool can't go while a route sends to it.
    names.sort_by_key(|(kind, _)| std::cmp::Reverse(*kind));
    let api = args.client.connect().await?;
    for (kind, name) in names {
        let delete = Delete {
            name: name.clone(),
            etag: args.etag.clone(),
            validate_only: args.dry_run,
            allow_missing: args.ignore_not_found,
            request_id: SystemIds.uuid().to_string(),
        };
        let done = match kind {
            ResourceKind::Route => Route::delete(&api, delete).await,
            ResourceKind::Pool => Pool::delete(&api, delete).await,
            ResourceKind::Certificate => Certificate::delete(&api, delete).await,
        };
        done.map_err(|status| Failure::from(status).about(&name))?;
        let dry = if args.dry_run { " (dry run)" } else { "" };
        output::line(&format!("{name} deleted{dry}"))?;
    }
    Ok(())
}
