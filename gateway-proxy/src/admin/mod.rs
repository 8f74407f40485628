//! The pages of the gateway's admin address, beside `/metrics`, `/healthz` and `/readyz`: what is served now, for people
//! as text and for programs as JSON (`?format=json`, or Accept).
//!
//! | page | tells | parameters |
//! |---|---|---|
//! | `/` | which pages there are | |
//! | `/config` | revision and digest, the control plane, the limits | |
//! | `/routes` | the routes in force | `name`, `host`, `after`, `limit` |
//! | `/pools` | the pools in force, their strategies, how many backends take requests, their breakers, their TLS | `name`, `after`, `limit` |
//! | `/backends` | every backend and how it stands | `pool` |
//! | `/rollouts` | the rollouts under way, who gets their candidates, what was counted of both arms | |

mod backends;
mod config;
mod pools;
mod rollouts;
mod routes;
mod text;

use hotswap_runtime::admin::{Asked, Page};
use serde::Serialize;

pub use config::Gateway;

use crate::config::Live;

/// Entries of a page, where nothing is said, and at most.
const LIMIT: usize = 100;
const MOST: usize = 1_000;

/// All pages.
pub fn pages(config: &Live, gateway: Gateway) -> Vec<Page> {
    let live = || config.clone();
    let (routes, pools, backends) = (live(), live(), live());
    let files = gateway.backend_tls().clone();
    let (all, under_way) = (live(), live());
    vec![
        Page::new("/", |asked| Ok(index(asked))),
        Page::new("/config", move |asked| written(asked, &gateway.standing(&all), config::text)),
        Page::new("/routes", move |asked| written(asked, &routes::page(&routes.now(), asked)?, routes::text)),
        Page::new("/pools", move |asked| {
            written(asked, &pools::page(&pools.now(), &files, asked)?, pools::text)
        }),
        Page::new("/backends", move |asked| {
            let states = backends.states().borrow().clone();
            written(asked, &backends::page(&states, asked)?, |all| backends::text(all))
        }),
        Page::new("/rollouts", move |asked| {
            written(asked, &rollouts::page(&under_way.now()), |all| rollouts::text(all))
        }),
    ]
}

fn written<T: Serialize>(asked: &Asked, page: &T, text: impl Fn(&T) -> String) -> Result<String, String> {
    if !asked.json() {
        return Ok(text(page));
    }
    serde_json::to_string(page).map_err(|error| error.to_string())
}

/// A part of a list, in the order of names.
#[derive(Debug, Serialize)]
struct Part<T> {
    /// How many there are that are asked for, on all pages.
    total: usize,
    entries: Vec<T>,
    /// The value of `after` that gets the next page; `None`: this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl<T> Part<T> {
    /// Of these, each with its name, those that the query wants.
    fn of<S>(asked: &Asked, mut all: Vec<(&str, S)>, entry: impl Fn(&str, S) -> T) -> Result<Self, String> {
        let limit = match asked.get("limit").map(str::parse::<usize>) {
            None => LIMIT,
            Some(Ok(limit @ 1..=MOST)) => limit,
            Some(_) => return Err(format!("limit must be 1 to {MOST}")),
        };
        let total = all.len();
        let behind = asked.get("after").unwrap_or_default();
        all.retain(|(name, _)| *name > behind);
        all.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let more = all.len() > limit;
        all.truncate(limit);
        let after = all.last().filter(|_| more).map(|(name, _)| (*name).to_owned());
        Ok(Self { total, entries: all.into_iter().map(|(name, s)| entry(name, s)).collect(), after })
    }

    /// The last line of a text: how to go on.
    fn rest(&self, page: &str) -> String {
        let shown = self.entries.len();
        match &self.after {
            Some(after) => format!("{shown} of {} shown; go on with {page}?after={after}\n", self.total),
            None if shown < self.total => format!("the last {shown} of {}\n", self.total),
            None => format!("{} in all\n", self.total),
        }
    }
}

fn index(asked: &Asked) -> String {
    const PAGES: [(&str, &str); 8] = [
        ("/config", "revision and digest, the control plane, the limits"),
        ("/routes", "the routes in force: ?name=, ?host=, ?after=, ?limit="),
        ("/pools", "the pools in force: ?name=, ?after=, ?limit="),
        ("/backends", "every backend and how it stands: ?pool="),
        ("/rollouts", "the rollouts under way, and what was counted of both arms"),
        ("/metrics", "for Prometheus"),
        ("/healthz", "whether it runs"),
        ("/readyz", "whether it takes traffic"),
    ];
    if asked.json() {
        return serde_json::json!(PAGES.map(|(path, _)| path)).to_string();
    }
    let rows = PAGES.map(|(path, what)| vec![path.to_owned(), what.to_owned()]);
    text::table(&["PAGE", "TELLS"], &rows) + "Each as JSON with ?format=json, but for the last three.\n"
}
