//! `hotswap describe`.

use std::fmt::Write as _;

use hotswap_api::route::v1::{
    ListPoolRevisionsRequest, ListRouteRevisionsRequest, Pool, PoolRevision, Route, RouteRevision,
};
use prost_types::Timestamp;

use super::{get, target::Target};
use crate::cli::Describe;
use crate::client::Api;
use crate::exit::{Failure, one_line};
use crate::output::{View, io_result, print, render};
use crate::resource::ResourceKind;
use crate::words;

/// Revisions shown.
const REVISIONS: i32 = 5;
/// Routes of a pool shown.
const ROUTES: u32 = 20;

pub(super) async fn run(args: &Describe) -> Result<(), Failure> {
    let names = Target::parse_named(&args.resources)?;
    let api = args.client.connect().await?;
    for (i, (kind, name)) in names.iter().enumerate() {
        let text = match kind {
            ResourceKind::Route => route(&api, name).await?,
            ResourceKind::Pool => pool(&api, name).await?,
        };
        let gap = if i == 0 { "" } else { "\n" };
        print(|out| io_result(write!(out, "{gap}{text}")))?;
    }
    Ok(())
}

async fn route(api: &Api, name: &str) -> Result<String, Failure> {
    let route = get::one::<Route>(api, name).await?;
    let request =
        ListRouteRevisionsRequest { name: name.to_owned(), page_size: REVISIONS, ..Default::default() };
    let revisions = api.routes.clone().list_route_revisions(request).await?.into_inner().revisions;
    let mut text = fields(&words::route(&route));
    history(&mut text, revisions.iter().map(Past::from).collect());
    Ok(text)
}

async fn pool(api: &Api, name: &str) -> Result<String, Failure> {
    let pool = get::one::<Pool>(api, name).await?;
    let users = get::all::<Route>(api, &format!("pool = \"{name}\""), "", Some(ROUTES + 1)).await?;
    let request =
        ListPoolRevisionsRequest { name: name.to_owned(), page_size: REVISIONS, ..Default::default() };
    let revisions = api.routes.clone().list_pool_revisions(request).await?.into_inner().revisions;
    let mut lines = words::pool(&pool);
    lines.push(("Routes", used_by(&users)));
    let mut text = fields(&lines);
    history(&mut text, revisions.iter().map(Past::from).collect());
    Ok(text)
}

fn used_by(routes: &[Route]) -> Vec<String> {
    let shown = usize::try_from(ROUTES).unwrap_or_default();
    let mut lines: Vec<_> = routes.iter().take(shown).map(|route| route.name.clone()).collect();
    if routes.len() > shown {
        lines.push("and more".to_owned());
    }
    lines
}

/// Names and values in two columns; further values of a name stand below the first.
pub(super) fn fields(lines: &[(&str, Vec<String>)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 2;
    let mut text = String::new();
    for (name, values) in lines {
        let mut head = format!("{name}:");
        for value in values {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{head:width$}{}", one_line(value));
            head.clear();
        }
    }
    text
}

/// A revision, of whatever kind.
struct Past<'a> {
    revision: i64,
    deleted: bool,
    at: Option<&'a Timestamp>,
    actor: &'a str,
}

impl<'a> From<&'a RouteRevision> for Past<'a> {
    fn from(r: &'a RouteRevision) -> Self {
        Self { revision: r.revision, deleted: r.route.is_none(), at: r.create_time.as_ref(), actor: &r.actor }
    }
}

impl<'a> From<&'a PoolRevision> for Past<'a> {
    fn from(r: &'a PoolRevision) -> Self {
        Self { revision: r.revision, deleted: r.pool.is_none(), at: r.create_time.as_ref(), actor: &r.actor }
    }
}

fn history(text: &mut String, revisions: Vec<Past<'_>>) {
    if revisions.is_empty() {
        return;
    }
    let rows = revisions.into_iter().map(|r| {
        let what = if r.deleted { "deleted" } else { "written" };
        vec![r.revision.to_string().into(), what.into(), words::moment(r.at).into(), r.actor.into()]
    });
    let table = render(&["REVISION", "WHAT", "WHEN", "WHO"], rows.collect(), View::PLAIN);
    text.push('\n');
    text.push_str(&table);
}
