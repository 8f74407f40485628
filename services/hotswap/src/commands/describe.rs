//! `hotswap describe`.

use std::fmt::Write as _;

use hotswap_api::route::v1::{Certificate, Pool, Route};

use super::{get, past, target::Target};
use crate::cli::Describe;
use crate::client::Api;
use crate::exit::{Failure, one_line};
use crate::output::{Show as _, View, io_result, print, render};
use crate::resource::{Resource, ResourceKind};
use crate::words;

/// Revisions shown.
const REVISIONS: usize = 5;
/// Routes of a pool shown.
const ROUTES: u32 = 20;

pub(super) async fn run(args: &Describe) -> Result<(), Failure> {
    let names = Target::parse_named(&args.resources)?;
    let api = args.client.connect().await?;
    for (i, (kind, name)) in names.iter().enumerate() {
        let text = match kind {
            ResourceKind::Route => route(&api, name).await?,
            ResourceKind::Pool => pool(&api, name).await?,
            ResourceKind::Certificate => certificate(&api, name).await?,
        };
        let gap = if i == 0 { "" } else { "\n" };
        print(|out| io_result(write!(out, "{gap}{text}")))?;
    }
    Ok(())
}

async fn route(api: &Api, name: &str) -> Result<String, Failure> {
    let route = get::one::<Route>(api, name).await?;
    let mut text = fields(&words::route(&route));
    history::<Route>(api, name, &mut text).await?;
    Ok(text)
}

async fn pool(api: &Api, name: &str) -> Result<String, Failure> {
    let pool = get::one::<Pool>(api, name).await?;
    let users = get::all::<Route>(api, &format!("pool = \"{name}\""), "", Some(ROUTES + 1)).await?;
    let mut lines = words::pool(&pool);
    lines.push(("Routes", used_by(&users)));
    let mut text = fields(&lines);
    history::<Pool>(api, name, &mut text).await?;
    Ok(text)
}

async fn certificate(api: &Api, name: &str) -> Result<String, Failure> {
    let certificate = get::one::<Certificate>(api, name).await?;
    let mut text = fields(&words::certificate(&certificate));
    history::<Certificate>(api, name, &mut text).await?;
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

/// The newest revisions, below everything else.
async fn history<R: Resource>(api: &Api, name: &str, text: &mut String) -> Result<(), Failure> {
    let pasts = past::read::<R>(api, name, 0, REVISIONS).await?;
    if !pasts.is_empty() {
        let rows = pasts.iter().map(|past| past.row(false, 0)).collect();
        text.push('\n');
        text.push_str(&render(past::Past::<R>::COLUMNS, rows, View::PLAIN));
    }
    Ok(())
}
