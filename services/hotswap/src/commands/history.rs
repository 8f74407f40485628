//! `hotswap history`.

use hotswap_api::route::v1::{Certificate, Pool, Route};

use super::past;
use super::target::Target;
use crate::cli::History;
use crate::client::Api;
use crate::exit::Failure;
use crate::output::{self, View};
use crate::resource::{Resource, ResourceKind};

pub(super) async fn run(args: &History) -> Result<(), Failure> {
    let names = Target::parse_named(&args.resources)?;
    let [(kind, name)] = names.as_slice() else {
        return Err(Failure::usage("a history is shown for one resource at a time"));
    };
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    match kind {
        ResourceKind::Route => show::<Route>(&api, name, limit, view).await,
        ResourceKind::Pool => show::<Pool>(&api, name, limit, view).await,
        ResourceKind::Certificate => show::<Certificate>(&api, name, limit, view).await,
    }
}

async fn show<R: Resource>(api: &Api, name: &str, limit: usize, view: View) -> Result<(), Failure> {
    let pasts = past::read::<R>(api, name, 0, limit).await?;
    output::many(&pasts, view, 0)
}
