//! `hotswap get`.

use hotswap_api::route::v1::{Certificate, Pool, Route};
use hotswap_core::{Clock as _, SystemClock};

use super::target::Target;
use crate::cli::Get;
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::output::{self, View};
use crate::resource::{Query, Resource, ResourceKind};

/// Rows asked for at once: the most that a page holds.
const PAGE: u32 = 1_000;

pub(super) async fn run(args: &Get) -> Result<(), Failure> {
    let target = Target::parse(&args.resources)?;
    if matches!(target, Target::Some(_)) && !(args.filter.is_empty() && args.order_by.is_empty()) {
        return Err(Failure::usage("--filter and --order-by are for lists, not for names"));
    }
    let plane = args.client.target()?;
    let view = args.output.view(&plane);
    let api = plane.connect().await?;
    match target {
        Target::All(ResourceKind::Route) => list::<Route>(&api, args, view).await,
        Target::All(ResourceKind::Pool) => list::<Pool>(&api, args, view).await,
        Target::All(ResourceKind::Certificate) => list::<Certificate>(&api, args, view).await,
        Target::Some(names) => named(&api, &names, view).await,
    }
}

async fn list<R: Resource>(api: &Api, args: &Get, view: View) -> Result<(), Failure> {
    let items = all::<R>(api, &args.filter, &args.order_by, args.limit).await?;
    output::many(&items, view, SystemClock.now().seconds())
}

/// Every resource that meets the filter, page by page, up to a limit.
pub(super) async fn all<R: Resource>(
    api: &Api,
    filter: &str,
    order_by: &str,
    limit: Option<u32>,
) -> Result<Vec<R>, Failure> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut items = Vec::new();
    let mut page_token = String::new();
    while left > 0 {
        let page_size = i32::try_from(left.min(PAGE)).unwrap_or_default();
        let (filter, order_by) = (filter.to_owned(), order_by.to_owned());
        let (page, next) = R::list(api, Query { filter, order_by, page_size, page_token }).await?;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        items.extend(page);
        if next.is_empty() {
            break;
        }
        page_token = next;
    }
    Ok(items)
}

async fn named(api: &Api, names: &[(ResourceKind, String)], view: View) -> Result<(), Failure> {
    let kind = names.first().map(|(kind, _)| *kind);
    if names.iter().any(|(k, _)| Some(*k) != kind) {
        let why = "routes, pools and certificates can't be shown together; ask for them one by one";
        return Err(Failure::usage(why));
    }
    let names = names.iter().map(|(_, name)| name.as_str());
    match kind {
        Some(ResourceKind::Pool) => these::<Pool>(api, names, view).await,
        Some(ResourceKind::Certificate) => these::<Certificate>(api, names, view).await,
        Some(ResourceKind::Route) | None => these::<Route>(api, names, view).await,
    }
}

/// Shows those that are there. What went wrong with the others is told behind them.
async fn these<R: Resource>(
    api: &Api,
    names: impl ExactSizeIterator<Item = &str>,
    view: View,
) -> Result<(), Failure> {
    let now = SystemClock.now().seconds();
    let single = names.len() == 1;
    let (mut items, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match one::<R>(api, name).await {
            Ok(item) => items.push(item),
            Err(failure) if failure.exit() == Exit::NotFound => failures.push(failure),
            Err(failure) => return Err(failure),
        }
    }
    match items.as_slice() {
        [] => {}
        [item] if single => output::one(item, view, now)?,
        items => output::many(items, view, now)?,
    }
    let last = failures.pop();
    failures.iter().for_each(output::complain);
    last.map_or(Ok(()), Err)
}

/// One resource; a failure says which.
pub(super) async fn one<R: Resource>(api: &Api, name: &str) -> Result<R, Failure> {
    R::get(api, name.to_owned()).await.map_err(|status| Failure::from(status).about(name))
}
