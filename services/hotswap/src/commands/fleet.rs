//! `hotswap fleet`: what the proxies have.

use std::time::{Duration, Instant};

use hotswap_api::gateway::v1::{
    GetProxyRequest, ListProxiesRequest, Proxy, ResourceError, ResumeToken, WaitForRevisionRequest, proxy,
};
use hotswap_core::{Clock as _, SystemClock};
use prost_types::Duration as ProtoDuration;

use super::{describe, revision};
use crate::cli::{Fleet, FleetAction, FleetWait};
use crate::client::Api;
use crate::columns::{age, labels, refused};
use crate::exit::{Exit, Failure};
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::{self, Cell, Tone, paint};
use crate::words;

/// Proxies asked for at once: the most that a page holds.
const PAGE: i32 = 1_000;
/// The longest that one call waits. A longer wait is several calls.
const ONE_WAIT: Duration = Duration::from_secs(20);

pub(super) async fn run(args: &Fleet) -> Result<(), Failure> {
    match &args.action {
        FleetAction::List { output, client } => {
            let target = client.target()?;
            let proxies = all(&target.connect().await?).await?;
            output::many(&proxies, output.view(&target), SystemClock.now().seconds())
        }
        FleetAction::Describe { name, output, client } => {
            let target = client.target()?;
            let proxy = get(&target.connect().await?, name).await?;
            let view = output.view(&target);
            match view.format {
                output::Format::Table | output::Format::Wide => output::told(&told(&proxy)).map(drop),
                _ => output::one(&proxy, view, SystemClock.now().seconds()),
            }
        }
        FleetAction::Wait(args) => wait(args).await,
    }
}

/// All proxies, by name.
async fn all(api: &Api) -> Result<Vec<Proxy>, Failure> {
    let mut proxies = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListProxiesRequest { page_size: PAGE, page_token };
        let page = api.fleet.clone().list_proxies(request).await?.into_inner();
        proxies.extend(page.proxies);
        if page.next_page_token.is_empty() {
            return Ok(proxies);
        }
        page_token = page.next_page_token;
    }
}

async fn get(api: &Api, name: &str) -> Result<Proxy, Failure> {
    let name = if name.contains('/') { name.to_owned() } else { format!("proxies/{name}") };
    let answer = api.fleet.clone().get_proxy(GetProxyRequest { name: name.clone() }).await;
    let proxy = answer.map_err(|status| Failure::from(status).about(&name))?.into_inner().proxy;
    proxy.ok_or_else(|| Failure::other("the server's answer holds no proxy"))
}

impl Show for Proxy {
    const COLUMNS: &'static [&'static str] =
        &["NAME", "SYNC", "REVISION", "SENT", "REFUSED", "VERSION", "SEEN"];
    const WIDE: &'static [&'static str] = &["CONNECTED", "INSTANCE", "LABELS"];

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, now: i64) -> Vec<Cell> {
        let mut row = vec![
            self.name.clone().into(),
            sync(self),
            revision_of(self.active.as_ref()).into(),
            revision_of(self.sent.as_ref()).into(),
            refused(self.refusals.len()),
            self.build_version.clone().into(),
            age(self.last_seen_time.as_ref(), now).into(),
        ];
        if wide {
            row.push(age(self.connect_time.as_ref(), now).into());
            row.push(self.instance_id.clone().into());
            row.push(labels(&self.labels).into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("Proxy", "hotswap.gateway.v1.Proxy", self)
    }
}

fn sync(proxy: &Proxy) -> Cell {
    match proxy.sync() {
        proxy::Sync::Unspecified => "unknown".into(),
        proxy::Sync::Synced => Cell::toned("synced", Tone::Good),
        proxy::Sync::Pending => Cell::toned("pending", Tone::Warn),
        proxy::Sync::Refusing => Cell::toned("refusing", Tone::Bad),
        proxy::Sync::Disconnected => Cell::toned("disconnected", Tone::Faint),
    }
}

fn revision_of(place: Option<&ResumeToken>) -> String {
    place.map_or("-".to_owned(), |place| place.revision.to_string())
}

/// Everything about a proxy.
fn told(proxy: &Proxy) -> String {
    let place = |place: Option<&ResumeToken>| match place {
        None => "nothing yet".to_owned(),
        Some(place) => format!("revision {} of store {}", place.revision, place.store_id),
    };
    let refusal = |r: &ResourceError| {
        let field = if r.field.is_empty() { String::new() } else { format!("{}: ", r.field) };
        format!("{} at revision {}, {field}{} ({})", r.name, r.version, r.message, r.reason)
    };
    let mut refusals: Vec<_> = proxy.refusals.iter().map(refusal).collect();
    if refusals.is_empty() {
        refusals.push("nothing".to_owned());
    }
    describe::fields(&[
        ("Name", vec![proxy.name.clone()]),
        ("Sync", vec![sync(proxy).text]),
        ("Serves", vec![place(proxy.active.as_ref())]),
        ("Sent", vec![place(proxy.sent.as_ref())]),
        ("Refuses", refusals),
        ("Version", vec![proxy.build_version.clone()]),
        ("Labels", vec![labels(&proxy.labels)]),
        ("Instance", vec![proxy.instance_id.clone()]),
        ("Connected", vec![words::moment(proxy.connect_time.as_ref())]),
        ("Last seen", vec![words::moment(proxy.last_seen_time.as_ref())]),
    ])
}

/// Waits until enough connected proxies serve a revision.
async fn wait(args: &FleetWait) -> Result<(), Failure> {
    let mut target = args.client.target()?;
    target.limit = target.limit.max(ONE_WAIT.saturating_mul(2));
    let api = target.connect().await?;
    let revision = match args.revision {
        Some(revision) => revision,
        None => newest(&api).await?,
    };
    let until = Instant::now() + args.wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let request = WaitForRevisionRequest {
            revision,
            quorum: args.quorum.map_or(0, |n| i32::try_from(n).unwrap_or(i32::MAX)),
            timeout: ProtoDuration::try_from(left.min(ONE_WAIT)).ok(),
        };
        let answer = api.fleet.clone().wait_for_revision(request).await?.into_inner();
        let (serving, connected) = (answer.serving, answer.connected);
        let standing = format!("{serving} of {connected} connected proxies serve revision {revision}");
        if answer.reached {
            return output::line(&paint(&standing, Tone::Good, style::on_stdout()));
        }
        if left <= ONE_WAIT {
            let mut failure = Failure::new(Exit::Unavailable, format!("the time is up: {standing}"));
            if !answer.lagging.is_empty() {
                failure = failure.hint(format!("behind: {}", answer.lagging.join(", ")));
            } else if connected == 0 {
                failure = failure.hint("no proxy is connected; `hotswap fleet list` shows those that were");
            }
            return Err(failure);
        }
    }
}

/// The newest revision that wrote a route or a pool.
async fn newest(api: &Api) -> Result<i64, Failure> {
    let newest = revision::newest_written(api).await?;
    if newest == 0 {
        return Err(Failure::usage(
            "there is neither a route nor a pool to wait for; --revision names a revision",
        ));
    }
    Ok(newest)
}
